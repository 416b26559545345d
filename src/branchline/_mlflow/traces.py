"""Traces in MLflow's own store, and the runs that they are shown with: by MLflow's client and its way of logging in."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Final

from .client import Client
from .failures import MLflowFailure, failure_of, kind_of


# Servers take OTLP from 3.4 on; tokens and cost are found in it from here on.
OLDEST: Final = (3, 6)
TRACE_PREFIX: Final = "tr-"
"""What MLflow puts before the id of a trace."""

_PATH: Final = "/v1/traces"
_NO_SUCH_PLACE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})
_NOT_ALLOWED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_LATER: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_LONGEST_REPLY: Final = 300


class TraceStore:
    """What of MLflow keeps traces: a server, or a database, of a release that does."""

    def __init__(self, client: Client) -> None:
        """Ask nobody yet."""
        self._client = client
        self.reason = _reason(client)
        """Why it keeps no traces; empty while nothing is known against it."""

    def log(self, experiment_id: str, request: bytes) -> bool:
        """Keep the spans of an OTLP *request*, all of one trace, in an experiment; return whether traces are kept.

        What is sent again takes the place of what was sent before.

        Raises:
            MLflowFailure: when they cannot be kept.
        """
        if self.reason:
            return False
        try:
            store = self._mlflow()._tracking_client.store  # noqa: SLF001  # MLflow has no other way to it
            if hasattr(store, "get_host_creds"):
                self.reason = _posted(store.get_host_creds(), experiment_id, request)
            else:
                store.log_spans(experiment_id, _spans(request))
        except NotImplementedError:  # what a store says that has no traces: no fault, and `reason` tells it
            self.reason = "MLflow keeps no traces in this place: in a database it does"
        except MLflowFailure:
            raise
        except Exception as error:  # of any class of MLflow's or its database's; told apart, and raised
            raise failure_of(error) from error
        return not self.reason

    def link(self, run_id: str, trace_id: str) -> None:
        """Show a trace with a run.

        Raises:
            MLflowFailure: when that cannot be kept.
        """
        try:
            self._mlflow().link_traces_to_run([f"{TRACE_PREFIX}{trace_id}"], run_id)
        except MLflowFailure:
            raise
        except Exception as error:  # of any class of MLflow's or its database's; told apart, and raised
            raise failure_of(error) from error

    def _mlflow(self) -> Any:
        return self._client._mlflow()  # noqa: SLF001  # the same room


def _reason(client: Client) -> str:
    version = str(client._api.__version__)  # noqa: SLF001  # the same room
    numbers = tuple(int(number) for number in version.split(".")[:2] if number.isdigit())
    if numbers < OLDEST:
        return f"MLflow {version} keeps no traces; releases from {'.'.join(map(str, OLDEST))} on do"
    if client.tracking_uri.startswith("databricks"):
        return "Databricks keeps traces in Unity Catalog, by OTLP: MLflow(traces=URL, headers=…)"
    return ""


def _posted(credentials: Any, experiment_id: str, request: bytes) -> str:
    """Send *request* to the server of *credentials*; return why it keeps no traces, or nothing.

    MLflow's own call asks for the server's release first, for three seconds and only once: a server that is busy then
    would never get a trace.
    """
    from mlflow.utils.rest_utils import http_request

    headers = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": experiment_id}
    # Whoever follows the journal comes again by itself.
    reply = http_request(credentials, _PATH, "POST", max_retries=0, data=request, extra_headers=headers)
    if reply.status_code == HTTPStatus.OK:
        return ""
    said = _error_in(reply.text)
    code = said.get("error_code")
    message = " ".join(str(said.get("message") or reply.text).split())[:_LONGEST_REPLY]
    if isinstance(code, str):
        raise MLflowFailure(kind_of(code), message, code)
    if reply.status_code in _NO_SUCH_PLACE:
        return f"the server keeps no traces ({reply.status_code}): one of MLflow 3.6 or later, with a database, does"
    raise _failure(reply.status_code, message)


def _failure(status: int, message: str) -> MLflowFailure:
    text = f"{status}: {message}"
    if status in _LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return MLflowFailure("retry", text, "TEMPORARILY_UNAVAILABLE")
    return MLflowFailure("refused", text, "PERMISSION_DENIED" if status in _NOT_ALLOWED else "INVALID_PARAMETER_VALUE")


def _error_in(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _spans(request: bytes) -> list[Any]:
    # MLflow's, and what it brings with it: whoever has no traces to send must not pay for them.
    from mlflow.entities import Span
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    parsed = ExportTraceServiceRequest.FromString(request)
    return [
        Span.from_otel_proto(span, **_resource(Span, group.resource))
        for group in parsed.resource_spans
        for scoped in group.scope_spans
        for span in scoped.spans
    ]


def _resource(kind: Any, resource: Any) -> dict[str, Any]:
    # Later releases make tags of it.
    code = kind.from_otel_proto.__func__.__code__
    return {"resource": resource} if "resource" in code.co_varnames else {}
