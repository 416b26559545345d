"""Delivery: one transport for all signals, each to the endpoint and by the protocol that is configured for it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY as _SUPPRESSION

from ..._journal.layout import Signal
from ...destinations import OTLP
from ...errors import MissingExtraError
from .answers import INTERRUPTED, Answer, Transport
from .endpoints import Endpoint, endpoints_for
from .lines import NotOtlpError, joined
from .messages import encoded, request_type
from .over_http import HttpConnection
from .replies import bounded


if TYPE_CHECKING:
    from .over_grpc import GrpcConnection

_TEMPORALITY: Final = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
_JSON: Final = "application/json"
_PROTOBUF: Final = "application/x-protobuf"


def transport_for(
    options: OTLP, environment: Mapping[str, str], *, say: Callable[[str], None] | None = None
) -> Transport:
    """Return what delivers to the endpoint of *options*, completed by *environment*; *say* is told what changes.

    Raises:
        ConfigError: for a variable that is not accepted, and for a file that cannot be read.
        MissingExtraError: when the protocol needs what is not installed.
    """
    tell = say or _tell_nobody
    preference = environment.get(_TEMPORALITY, "").strip().lower()
    if preference not in {"", "cumulative"}:
        tell(f"{_TEMPORALITY}={preference} has no effect: the journal is cumulative; a collector can convert it")
    return Delivery(endpoints_for(options, environment), say=tell)


def _tell_nobody(text: str) -> None:
    pass


class Delivery:
    """The connections to the endpoints of all signals; signals that share a place share a connection."""

    def __init__(self, endpoints: Mapping[Signal, Endpoint], *, say: Callable[[str], None]) -> None:
        """Connect only when something is sent.

        Raises:
            ConfigError: for a certificate or key that cannot be read.
            MissingExtraError: when the protocol needs what is not installed.
        """
        self.endpoints = dict(endpoints)
        self._say = say
        self._open(endpoints.values())

    def _open(self, endpoints: Iterable[Endpoint]) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._active: HttpConnection | GrpcConnection | None = None
        self._is_interrupted = False
        self._over_http: dict[object, HttpConnection] = {}
        self._over_grpc: dict[object, GrpcConnection] = {}
        for endpoint in endpoints:
            if endpoint.protocol != "grpc":
                self._over_http.setdefault(endpoint.place, HttpConnection(endpoint.place))
                if endpoint.protocol == "http/protobuf":
                    request_type("traces")
            elif endpoint.place not in self._over_grpc:
                # Brings the packages of an extra with it.
                from .over_grpc import GrpcConnection

                self._over_grpc[endpoint.place] = GrpcConnection(endpoint.place)

    def __repr__(self) -> str:
        ways = sorted({f"{endpoint.place} by {endpoint.protocol}" for endpoint in self.endpoints.values()})
        return f"<Delivery to {', '.join(ways) or 'nowhere'}>"

    def send(self, signal: Signal, lines: Sequence[bytes], *, timeout_seconds: float) -> Answer:
        """Deliver whole journal *lines* of one *signal*; a signal that has no endpoint needs no delivery."""
        # Instrumentations of HTTP and gRPC, and bridges of logs, must not record what delivers their records.
        token = otel_context.attach(otel_context.set_value(_SUPPRESSION, True))
        try:
            if os.getpid() != self._pid:
                # What is open belongs to the parent, and may be in the middle of a request.
                self._open(self.endpoints.values())
            return self._sent(signal, lines, time.monotonic() + timeout_seconds)
        except NotOtlpError as error:
            return Answer(kind="refused", message=bounded(str(error)))
        except Exception as error:  # a transport never raises: whoever follows the journal must go on
            return Answer(kind="retry", message=bounded(f"{type(error).__name__}: {error}"))
        finally:
            otel_context.detach(token)

    def close(self) -> None:
        """Give up connections."""
        if os.getpid() == self._pid:
            for connection in self._over_http.values():
                connection.close()
            for channel in self._over_grpc.values():
                channel.close()

    def interrupt(self) -> None:
        """Let the send that is under way return soon; where there is none, the next."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            if self._active is None:
                self._is_interrupted = True
            else:
                self._active.interrupt()

    def _sent(self, signal: Signal, lines: Sequence[bytes], deadline: float) -> Answer:
        endpoint = self.endpoints.get(signal)
        if endpoint is None or not lines:
            return Answer(kind="accepted")
        answer = self._exchanged(endpoint, signal, lines, deadline)
        if answer.kind != "unsupported" or endpoint.protocol != "http/json":
            return answer
        try:
            request_type(signal)
        except MissingExtraError as error:
            return replace(answer, message=f"{answer.message}; {error}")
        self._say(f"{endpoint.place} takes no JSON ({answer.message}): from here on it gets protobuf")
        self._switch(endpoint)
        return self._exchanged(self.endpoints[signal], signal, lines, deadline)

    def _switch(self, refusing: Endpoint) -> None:
        """Use protobuf for every signal that goes where *refusing* does."""
        for signal, endpoint in self.endpoints.items():
            if endpoint.place == refusing.place and endpoint.protocol == "http/json":
                self.endpoints[signal] = replace(endpoint, protocol="http/protobuf")

    def _exchanged(self, endpoint: Endpoint, signal: Signal, lines: Sequence[bytes], deadline: float) -> Answer:
        connection = (self._over_grpc if endpoint.protocol == "grpc" else self._over_http)[endpoint.place]
        with self._lock:
            was_interrupted, self._is_interrupted = self._is_interrupted, False
            self._active = None if was_interrupted else connection
        if was_interrupted:
            return INTERRUPTED
        seconds = min(endpoint.timeout_seconds, max(deadline - time.monotonic(), 0.001))
        try:
            if not isinstance(connection, HttpConnection):
                return connection.export(endpoint, signal, lines, timeout_seconds=seconds)
            if endpoint.protocol == "http/json":
                return connection.post(endpoint, joined(signal, lines), _JSON, timeout_seconds=seconds)
            body = encoded(signal, lines)
            return connection.post(endpoint, body, _PROTOBUF, timeout_seconds=seconds)
        finally:
            with self._lock:
                self._active = None
