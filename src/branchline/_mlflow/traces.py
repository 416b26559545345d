"""Traces in MLflow's own store, and the runs that they are shown with: by MLflow's client and its way of logging in."""

from __future__ import annotations

import inspect
from typing import Any, Final

from .client import Client
from .failures import MLflowFailure, failure_of


# Its servers take OTLP from 3.4 on, and read tokens and cost out of it from here on.
OLDEST: Final = (3, 6)
_PREFIX: Final = "tr-"


class TraceStore:
    """What of MLflow takes traces: a server, or a database, of a release that does."""

    def __init__(self, client: Client) -> None:
        """Ask nobody yet."""
        self._client = client
        self.reason = _reason(client)
        """Why it takes no traces; empty while nothing is known against it."""

    def log(self, experiment_id: str, request: bytes) -> bool:
        """Keep the spans of an OTLP *request*, of one trace, in an experiment; return whether traces are taken at all.

        What is sent again takes the place of what was sent before.

        Raises:
            MLflowFailure: when they cannot be kept.
        """
        if self.reason:
            return False
        try:
            self._mlflow()._tracking_client.store.log_spans(experiment_id, _spans(request))  # noqa: SLF001  # no other way
        except NotImplementedError as error:
            # A server of an older release, or files.
            self.reason = f"{self._client.tracking_uri} takes no traces: {str(error) or 'it has no place for them'}"
            return False
        except MLflowFailure:
            raise
        except Exception as error:
            raise failure_of(error) from error
        return True

    def link(self, run_id: str, trace_id: str) -> None:
        """Show a trace with a run.

        Raises:
            MLflowFailure: when that cannot be kept.
        """
        try:
            self._mlflow().link_traces_to_run([f"{_PREFIX}{trace_id}"], run_id)
        except MLflowFailure:
            raise
        except Exception as error:
            raise failure_of(error) from error

    def _mlflow(self) -> Any:
        return self._client._mlflow()  # noqa: SLF001  # the same room


def _reason(client: Client) -> str:
    version = str(client._api.__version__)  # noqa: SLF001  # the same room
    numbers = tuple(int(number) for number in version.split(".")[:2] if number.isdigit())
    if numbers < OLDEST:
        return f"MLflow {version} takes no traces; releases from {'.'.join(map(str, OLDEST))} on do"
    return ""


def _spans(request: bytes) -> list[Any]:
    # MLflow's, and what it brings with it: whoever has no traces to send must not pay for them.
    from mlflow.entities import Span
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    parsed = ExportTraceServiceRequest.FromString(request)
    has_resource = "resource" in inspect.signature(Span.from_otel_proto).parameters
    return [
        Span.from_otel_proto(span, **({"resource": group.resource} if has_resource else {}))
        for group in parsed.resource_spans
        for scoped in group.scope_spans
        for span in scoped.spans
    ]
