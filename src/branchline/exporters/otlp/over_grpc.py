"""OTLP over gRPC: the official messages and methods, under our own retry policy. Comes with the extra ``otlp``."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from ... import names
from ..._journal.layout import Signal
from ...errors import ConfigError, missing_extra
from .answers import INTERRUPTED, Answer
from .endpoints import Endpoint, Place, hidden_in
from .messages import encoded, request_type
from .replies import NOT_THIS_SIGNAL, Reply, bounded, fields_in, first, success, wait_within_reason


_RETRYABLE: Final = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"})
_PROTOBUF: Final = {"content-type": "application/x-protobuf"}
# No code of its own says that a message was too large; this is what Go, C++, Python, Java and Rust write.
_TOO_LARGE: Final = re.compile(r"larger than max|exceeds maximum size|message length too large", re.IGNORECASE)
_METHODS: Final[dict[Signal, str]] = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
_OPTIONS: Final = (
    ("grpc.primary_user_agent", f"branchline/{names.VERSION}"),
    # A channel that was made again must not wait for what another one has seen fail.
    ("grpc.use_local_subchannel_pool", 1),
    # To be larger than this, an answer would have to be damaged.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)


class GrpcConnection:
    """The one channel to *place*, made again when the server was not there."""

    def __init__(self, place: Place) -> None:
        """Connect only when something is sent.

        Raises:
            ConfigError: for a certificate or key that cannot be read.
            MissingExtraError: without the extra.
        """
        self.place = place
        self._grpc = _grpc()
        self._credentials = _credentials(self._grpc, place) if place.is_secure else None
        self._lock = threading.Lock()
        self._channel: Any = None
        self._call: Any = None
        self._is_interrupted = False

    def export(self, endpoint: Endpoint, signal: Signal, lines: Sequence[bytes], *, timeout_seconds: float) -> Answer:
        """Send *lines* and return what the server says to them.

        Raises:
            NotOtlpError: for a line that is no OTLP/JSON of this *signal*.
        """
        if _FORKED.is_unsafe:
            return Answer(kind="retry", message=_NOT_AFTER_FORK)
        call = self._started(endpoint, signal, encoded(signal, lines), timeout_seconds)
        if call is None:
            return INTERRUPTED
        try:
            answer = success(Reply(status=200, headers=_PROTOBUF, body=call.result()), hidden_in(endpoint))
        except (self._grpc.RpcError, self._grpc.FutureCancelledError):
            answer = self._failure(call, endpoint)
        with self._lock:
            was_interrupted, self._call, self._is_interrupted = self._is_interrupted, None, False
        return INTERRUPTED if was_interrupted and call.cancelled() else answer

    def interrupt(self) -> None:
        """End what is under way, or the next that is sent."""
        with self._lock:
            self._is_interrupted = True
            if self._call is not None:
                self._call.cancel()

    def close(self) -> None:
        """Close the channel."""
        channel, self._channel = self._channel, None
        # One that was made before a fork belongs to the parent.
        if channel is not None and not _FORKED.is_unsafe:
            channel.close()

    def _started(self, endpoint: Endpoint, signal: Signal, request: bytes, timeout_seconds: float) -> Any:
        compression = self._grpc.Compression
        # Bytes in and out: an answer that cannot be read must not look like one that failed.
        export = self._opened().unary_unary(_METHODS[signal])
        with self._lock:
            if self._is_interrupted:
                self._is_interrupted = False
                return None
            self._call = export.future(
                request,
                timeout=timeout_seconds,
                metadata=tuple(endpoint.headers.items()),
                compression=compression.Gzip if endpoint.compression == "gzip" else compression.NoCompression,
            )
            return self._call

    def _opened(self) -> Any:
        if self._channel is None:
            target = self.place.address
            with _silent_core():
                self._channel = (
                    self._grpc.insecure_channel(target, options=_OPTIONS)
                    if self._credentials is None
                    else self._grpc.secure_channel(target, self._credentials, options=_OPTIONS)
                )
        return self._channel

    def _failure(self, call: Any, endpoint: Endpoint) -> Answer:
        code = call.code().name
        details = call.details() or ""
        if code in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}:
            # A channel waits longer and longer between two attempts to connect; when to try again is our decision.
            self.close()
        trailing = dict(call.trailing_metadata() or ())
        wait = wait_within_reason(retry_delay(trailing.get("grpc-status-details-bin")))
        return answer_of(code, details, wait, place=str(self.place), hidden=hidden_in(endpoint))


def answer_of(code: str, details: str, wait_seconds: float | None, *, place: str, hidden: Sequence[str]) -> Answer:
    """Return what a gRPC status means."""
    message = bounded(f"{place}: {code}: {details}", hidden)
    if code in {"RESOURCE_EXHAUSTED", "OUT_OF_RANGE", "INVALID_ARGUMENT"} and _TOO_LARGE.search(details):
        return Answer(kind="too_large", message=message)
    if code in _RETRYABLE or (code == "RESOURCE_EXHAUSTED" and wait_seconds is not None):
        return Answer(kind="retry", message=message, retry_after_seconds=wait_seconds)
    if code == "UNIMPLEMENTED":
        return Answer(kind="refused", message=f"{message}; {NOT_THIS_SIGNAL}")
    return Answer(kind="refused", message=message)


def retry_delay(status: object) -> float | None:
    """Return how long the ``RetryInfo`` in a ``google.rpc.Status`` asks to wait."""
    details = [value for number, value in fields_in(status) if number == 3]
    for detail in details:
        kind, info = first(fields_in(detail), 1), first(fields_in(detail), 2)
        if isinstance(kind, bytes) and kind.endswith(b"/google.rpc.RetryInfo"):
            delay = list(fields_in(first(fields_in(info), 1)))
            seconds, nanos = first(delay, 1), first(delay, 2)
            return (seconds if isinstance(seconds, int) else 0) + (nanos if isinstance(nanos, int) else 0) / 1e9
    return None


# ── the packages of the extra ─────────────────────────────────────────────────────────────────────


def _grpc() -> Any:
    try:
        with _silent_core():
            # An extra, and slow to load.
            import grpc
        request_type("traces")
    except ImportError as error:
        feature = "OTLP over gRPC"
        raise missing_extra(feature, extra="otlp", package="opentelemetry-exporter-otlp") from error
    return grpc


@contextmanager
def _silent_core() -> Iterator[None]:
    """Keep what gRPC's core thinks about failed connections off stderr: we say ourselves what is wrong."""
    if "GRPC_VERBOSITY" in os.environ:
        yield
        return
    os.environ["GRPC_VERBOSITY"] = "NONE"
    try:
        yield
    finally:
        os.environ.pop("GRPC_VERBOSITY", None)


def _credentials(grpc: Any, place: Place) -> Any:
    paths = {
        "root_certificates": place.certificate,
        "private_key": place.client_key or place.client_certificate,
        "certificate_chain": place.client_certificate,
    }
    try:
        pem = {name: None if path is None else path.read_bytes() for name, path in paths.items()}
    except OSError as error:
        msg = f"cannot read the TLS file {error.filename}: {error.strerror}; accepted: a PEM file"
        raise ConfigError(msg) from error
    return grpc.ssl_channel_credentials(**pem)


# ── forks ─────────────────────────────────────────────────────────────────────────────────────────

_NOT_AFTER_FORK: Final = (
    "gRPC aborts or hangs in a process that was forked from one that uses it; what is recorded here waits in the "
    "journal, for the process that was there first, the next run, or `branchline ship`"
)


class _Forked:
    """Whether this process was forked from one that had gRPC's core: the threads that it waits for are not here."""

    def __init__(self) -> None:
        self.is_unsafe = False

    def note(self) -> None:
        self.is_unsafe = self.is_unsafe or "grpc" in sys.modules


_FORKED: Final = _Forked()
os.register_at_fork(after_in_child=_FORKED.note)
