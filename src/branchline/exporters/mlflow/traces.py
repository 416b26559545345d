"""Traces for MLflow: each branch as one of its own, linked to its run; or to wherever else MLflow keeps its traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Protocol

from ..._mlflow.client import Client
from ..._mlflow.failures import MLflowFailure
from ..._mlflow.traces import TraceStore
from ...destinations import OTLP
from ...errors import MissingExtraError
from ..otlp.answers import Answer
from ..otlp.delivery import transport_for
from ..otlp.lines import NotOtlpError
from ..otlp.messages import encoded
from .trace_parts import TracePart, trace_id_of
from .trace_spans import otlp_lines


_SECONDS: Final = 30.0
_NOT_ALLOWED: Final = ("401 ", "403 ")


@dataclass(frozen=True, kw_only=True)
class TraceRequests:
    """What is sent of one trace."""

    run_id: str
    experiment_id: str
    trace_id: str
    is_linked: bool
    """Whether the trace is to be shown with the run; so it is already, where not."""
    lines: Sequence[str]

    def as_json(self) -> dict[str, object]:
        """Return it as it is kept, where it is refused."""
        return {"run": self.run_id, **asdict(self)}


def requests_of(part: TracePart) -> TraceRequests:
    """Return what is sent of *part*."""
    return TraceRequests(
        run_id=part.run_id,
        experiment_id=part.experiment_id,
        trace_id=trace_id_of(part.root),
        is_linked=bool(part.spans) and not part.is_late,
        lines=tuple(line.decode() for line in otlp_lines(part)),
    )


def requests_in(kept: Mapping[str, Any]) -> TraceRequests:
    """Return what was *kept*. Raises KeyError and TypeError for what is none."""
    return TraceRequests(**{each.name: kept[each.name] for each in fields(TraceRequests)})


class Traces(Protocol):
    """Where traces go."""

    @property
    def reason(self) -> str:
        """Why no traces are taken; empty where they are, or where that is not known yet."""

    def deliver(self, part: TracePart) -> None:
        """Let MLflow know of *part*; the same again changes nothing. Raises MLflowFailure when it is not taken."""

    def send(self, requests: TraceRequests) -> None:
        """Do so with what was made of a part before."""


class StoredTraces:
    """Traces in MLflow's own store: a server's, or a database."""

    def __init__(self, client: Client) -> None:
        """Ask nobody yet."""
        self._store = TraceStore(client)

    @property
    def reason(self) -> str:
        """Why no traces are taken; empty where they are."""
        return self._store.reason

    def deliver(self, part: TracePart) -> None:
        """Let MLflow know of *part*, and show it with its run; the same again changes nothing.

        Raises:
            MLflowFailure: when it does not take it.
        """
        if not self.reason:
            self.send(requests_of(part))

    def send(self, requests: TraceRequests) -> None:
        """Do so with what was made of a part before."""
        for line in () if self.reason else requests.lines:
            try:
                is_kept = self._store.log(requests.experiment_id, encoded("traces", [line.encode()]))
            except (NotOtlpError, MissingExtraError) as error:
                raise _refused(str(error)) from error
            if not is_kept:
                return
        if requests.is_linked and not self.reason:
            self._store.link(requests.run_id, requests.trace_id)


class SentTraces:
    """Traces by OTLP to an address that belongs to MLflow, such as that of Unity Catalog's tables."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], environment: Mapping[str, str]) -> None:
        """Send to *endpoint*, with or without ``/v1/traces``, by the proxies of *environment*.

        Raises:
            ConfigError: for an address or headers that are not accepted.
            MissingExtraError: without what makes messages.
        """
        options = OTLP(
            endpoint.rstrip("/").removesuffix("/v1/traces"),
            protocol="http/protobuf",
            headers=headers,
            timeout=_SECONDS,
            signals=("traces",),
        )
        # What it says about OTLP is about another endpoint.
        proxies = {name: text for name, text in environment.items() if not name.startswith("OTEL_")}
        self._transport = transport_for(options, proxies)

    @property
    def reason(self) -> str:
        """Nothing: it is only known when something is sent."""
        return ""

    def deliver(self, part: TracePart) -> None:
        """Send *part*; the same again is the same trace.

        Raises:
            MLflowFailure: when it is not taken.
        """
        self.send(requests_of(part))

    def send(self, requests: TraceRequests) -> None:
        """Do so with what was made of a part before."""
        for line in requests.lines:
            answer = self._transport.send("traces", [line.encode()], timeout_seconds=_SECONDS)
            if answer.kind != "accepted":
                raise _failure(answer)


def traces_for(
    client: Client,
    *,
    endpoint: str | None = None,
    headers: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Traces:
    """Return what delivers traces: to *endpoint* with *headers*, by the proxies of *environment*, else to MLflow."""
    return StoredTraces(client) if endpoint is None else SentTraces(endpoint, headers or {}, environment or {})


def _failure(answer: Answer) -> MLflowFailure:
    if answer.kind in {"retry", "unsupported"}:
        return MLflowFailure("retry", answer.message, "TEMPORARILY_UNAVAILABLE")
    if answer.message.startswith(_NOT_ALLOWED):
        # A token that has expired is no fault of the trace's.
        return MLflowFailure("refused", answer.message, "PERMISSION_DENIED")
    return _refused(answer.message)


def _refused(message: str) -> MLflowFailure:
    return MLflowFailure("refused", message, "INVALID_PARAMETER_VALUE")
