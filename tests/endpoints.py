"""Real OTLP endpoints on loopback, over HTTP and gRPC, that count what arrives and can be made sick while they run.

In a test: ``with HttpEndpoint() as endpoint: endpoint.behave("status", status=503)``. In a process of its own:
``python tests/endpoints.py --kind http --port 0`` prints one line of JSON with the addresses of the endpoint and of its
control, which ``RemoteEndpoint`` speaks to.
"""

from __future__ import annotations

import argparse
import gzip
import json
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Literal, Self

import orjson


# ── how an endpoint behaves ───────────────────────────────────────────────────────────────────────

Kind = Literal[
    "healthy",
    "down",  # nobody listens
    "black hole",  # connects, and nothing ever comes back
    "status",  # answers with a status: 503, 429, 500, 401, 302, 400 …; over gRPC with what corresponds
    "too large",  # takes bodies up to *limit* bytes
    "no json",  # 415 to JSON; over gRPC the service is not implemented
    "partial",  # takes all but *rejected* items
    "reset",  # resets the connection in the middle of the request
    "lost answer",  # takes it, then resets the connection
    "bad answer",  # takes it, and answers with what is no JSON and no protobuf
    "huge answer",  # takes it, and says far too much
    "drip",  # takes it, and answers a byte at a time
]


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How an endpoint behaves for now."""

    kind: Kind = "healthy"
    status: int = 503
    retry_after: str | None = None  # over gRPC: RetryInfo
    body: str = "something is wrong"
    content_type: str = "text/plain"
    limit: int = 100_000
    rejected: int = 0
    delay_seconds: float = 0.0  # before every answer, of whatever kind


# ── what has arrived ──────────────────────────────────────────────────────────────────────────────


@dataclass
class Received:
    """How often each span, log record and metric point has been accepted."""

    spans: Counter[str] = field(default_factory=Counter)
    logs: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)

    def add(self, content: dict[str, Any]) -> int:
        """Count what a request holds; return how many items that is."""
        found = list(items_of(content))
        for kind, name in found:
            getattr(self, kind)[name] += 1
        return len(found)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return all counts by kind."""
        return {"spans": dict(self.spans), "logs": dict(self.logs), "points": dict(self.points)}

    def duplicates(self) -> int:
        """How many items came again."""
        return sum(counts.total() - len(counts) for counts in (self.spans, self.logs, self.points))


def items_of(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield kind and name of every item in a request: spans by their id, log records by theirs, points by all."""
    for resource in content.get("resourceSpans") or ():
        for scope in resource.get("scopeSpans") or ():
            for span in scope.get("spans") or ():
                yield "spans", f"{span['traceId']}-{span['spanId']}"
    for resource in content.get("resourceLogs") or ():
        for scope in resource.get("scopeLogs") or ():
            for record in scope.get("logRecords") or ():
                uids = [item["value"] for item in record.get("attributes") or () if item["key"] == "log.record.uid"]
                yield "logs", uids[0]["stringValue"] if uids else json.dumps(record, sort_keys=True)
    for resource in content.get("resourceMetrics") or ():
        for scope in resource.get("scopeMetrics") or ():
            for metric in scope.get("metrics") or ():
                for form in ("gauge", "sum", "histogram", "exponentialHistogram", "summary"):
                    for point in (metric.get(form) or {}).get("dataPoints") or ():
                        identity = [point.get("timeUnixNano"), sorted(map(str, point.get("attributes") or ()))]
                        yield "points", f"{metric['name']} {identity}"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    content: dict[str, Any]
    size: int


class Endpoint:
    """What the endpoints of both protocols have in common."""

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self.received = Received()
        self.requests: deque[Request] = deque(maxlen=100)  # the last ones, also those that were not accepted
        self.request_count = 0
        self.connections = 0
        self._lock = threading.Lock()
        self._changed = threading.Event()

    def behave(self, kind: Kind = "healthy", **how: Any) -> None:
        """Behave differently from here on; what is held up is let go."""
        self.behaviour = Behaviour(kind=kind, **how)
        changed, self._changed = self._changed, threading.Event()
        changed.set()

    def seen(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)
            self.request_count += 1

    def accepted(self, request: Request) -> int:
        with self._lock:
            return self.received.add(request.content)

    def wait(self, seconds: float | None) -> None:
        """Wait for *seconds*, or until the behaviour changes."""
        self._changed.wait(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End."""


# ── HTTP ──────────────────────────────────────────────────────────────────────────────────────────


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    endpoint: HttpEndpoint
    context: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the connection's own thread: a handshake that hangs holds up nobody else.
        self.endpoint.connections += 1
        with self.endpoint.holding(request):
            if self.endpoint.behaviour.kind == "black hole":
                self.endpoint.wait(None)
                return
            if self.context is not None:
                try:
                    request = self.context.wrap_socket(request, server_side=True)
                except OSError:
                    return
            with self.endpoint.holding(request), suppress(OSError):
                super().finish_request(request, client_address)
            if request.fileno() >= 0:
                self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        endpoint = self.server.endpoint
        behaviour = endpoint.behaviour
        if behaviour.kind == "reset":
            self.rfile.read(1)
            self.reset()
            return
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        request = self.request_of(body)
        endpoint.seen(request)
        if behaviour.delay_seconds:
            endpoint.wait(behaviour.delay_seconds)
        match behaviour.kind:
            case "black hole" | "down":
                endpoint.wait(None)
                self.close_connection = True
            case "status":
                self.refuse(behaviour)
            case "too large" if len(body) > behaviour.limit:
                self.answer(413, b"request body too large", "text/plain")
            case "no json" if self.headers["content-type"] == "application/json":
                self.answer(415, b"unsupported content type", "text/plain")
            case _:
                self.accept(behaviour, request)

    def accept(self, behaviour: Behaviour, request: Request) -> None:
        self.server.endpoint.accepted(request)
        signal = request.path.partition("?")[0].rpartition("/")[2]
        match behaviour.kind:
            case "lost answer":
                self.reset()
            case "bad answer":
                self.answer(200, b'{"partialSuccess": {"rejec', self.headers["content-type"])
            case "huge answer":
                self.answer(200, b" " * 5_000_000, "application/json")
            case "drip":
                self.drip()
            case "partial":
                message = "some were not good enough"
                self.answer(200, *partial_success(self.headers["content-type"], signal, behaviour.rejected, message))
            case _:
                self.answer(200, *partial_success(self.headers["content-type"], signal, 0, ""))

    def refuse(self, behaviour: Behaviour) -> None:
        headers = {} if behaviour.retry_after is None else {"retry-after": behaviour.retry_after}
        if 300 <= behaviour.status < 400:
            headers["location"] = f"{self.server.endpoint.url}/elsewhere"
        self.answer(behaviour.status, behaviour.body.encode(), behaviour.content_type, **headers)

    def answer(self, status: int, body: bytes, content_type: str, **headers: str) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def drip(self) -> None:
        with suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\nx-slow: " + b"x" * 10_000:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.02)

    def reset(self) -> None:
        self.close_connection = True
        abort(self.connection)

    def request_of(self, body: bytes) -> Request:
        size = len(body)
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        signal = self.path.partition("?")[0].rpartition("/")[2]
        match self.headers["content-type"]:
            case "application/json":
                content = orjson.loads(body)
            case "application/x-protobuf":
                content = content_of(signal, body)
            case _:
                content = {}
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(path=self.path, headers=headers, content=content, size=size)

    def do_CONNECT(self) -> None:
        self.send_error(501)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def abort(connection: socket.socket) -> None:
    """Close *connection* with a reset."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The descriptor itself: whoever else holds the socket would keep it open.
        socket.socket(fileno=connection.detach()).close()


class HttpEndpoint(Endpoint):
    """OTLP over HTTP, with JSON and protobuf, on a port of loopback."""

    def __init__(self, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self._tls = tls
        self._held: set[socket.socket] = set()
        self._server = self._listen(port)
        self.port = int(self._server.server_address[1])
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"

    def _listen(self, port: int) -> _Server:
        server = _Server(("127.0.0.1", port), _Handler)
        server.endpoint, server.context = self, self._tls
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self._is_listening = True
        return server

    def behave(self, kind: Kind = "healthy", **how: Any) -> None:
        super().behave(kind, **how)
        if kind == "down":
            self._hang_up()
        elif not self._is_listening:
            self._server = self._listen(self.port)

    @contextmanager
    def holding(self, connection: socket.socket) -> Iterator[None]:
        self._held.add(connection)
        try:
            yield
        finally:
            self._held.discard(connection)

    def _hang_up(self) -> None:
        if self._is_listening:
            self._is_listening = False
            self._server.shutdown()
            self._server.server_close()
        for connection in list(self._held):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        super().behave("down")
        self._hang_up()


# ── gRPC ──────────────────────────────────────────────────────────────────────────────────────────

_SERVICES = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
}
_CODES = {400: 3, 401: 16, 403: 7, 429: 8, 500: 13, 503: 14, 504: 4}


class GrpcEndpoint(Endpoint):
    """OTLP over gRPC on a port of loopback; *tls* is key, certificate and, for mutual TLS, whose clients to trust."""

    def __init__(self, *, port: int = 0, tls: tuple[bytes, bytes, bytes | None] | None = None) -> None:
        super().__init__()
        self._tls = tls
        self._server: Any = None
        self.port = self._listen(port)
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"

    def _listen(self, port: int) -> int:
        import grpc

        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)]
        server = grpc.server(ThreadPoolExecutor(16), options=options)
        for signal, service in _SERVICES.items():
            handler = grpc.unary_unary_rpc_method_handler(
                lambda body, context, signal=signal: self._export(signal, body, context)
            )
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
        address = f"127.0.0.1:{port}"
        if self._tls is None:
            found = server.add_insecure_port(address)
        else:
            key, certificate, clients = self._tls
            credentials = grpc.ssl_server_credentials(
                [(key, certificate)], root_certificates=clients, require_client_auth=clients is not None
            )
            found = server.add_secure_port(address, credentials)
        server.start()
        self._server = server
        return int(found)

    def behave(self, kind: Kind = "healthy", **how: Any) -> None:
        super().behave(kind, **how)
        if kind == "down":
            self._hang_up()
        elif self._server is None:
            self._listen(self.port)

    def _hang_up(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.stop(0).wait(10)

    def _export(self, signal: str, body: bytes, context: Any) -> bytes:
        behaviour = self.behaviour
        headers = {name: value for name, value in context.invocation_metadata() if isinstance(value, str)}
        request = Request(path=signal, headers=headers, content=content_of(signal, body), size=len(body))
        self.seen(request)
        if behaviour.delay_seconds:
            self.wait(behaviour.delay_seconds)
        match behaviour.kind:
            case "black hole" | "down":
                self.wait(None)
            case "status":
                self._refuse(behaviour, context)
            case "too large" if len(body) > behaviour.limit:
                self._abort(context, 8, f"Received message larger than max ({len(body)} vs. {behaviour.limit})")
            case "no json":
                self._abort(context, 12, f"unknown service {_SERVICES[signal]}")
            case "reset":
                self._abort(context, 14, "Socket closed")
        self.accepted(request)
        match behaviour.kind:
            case "lost answer":
                self._abort(context, 14, "Socket closed")
            case "bad answer":
                return b"\x0a\xff\xff"
            case "huge answer":
                return partial_success("application/x-protobuf", signal, 0, "x" * 5_000_000)[0]
            case "partial":
                message = "some were not good enough"
                return partial_success("application/x-protobuf", signal, behaviour.rejected, message)[0]
        return partial_success("application/x-protobuf", signal, 0, "")[0]

    def _refuse(self, behaviour: Behaviour, context: Any) -> None:
        if behaviour.retry_after is not None:
            from google.protobuf.any_pb2 import Any as AnyMessage
            from google.protobuf.duration_pb2 import Duration
            from google.rpc.error_details_pb2 import RetryInfo
            from google.rpc.status_pb2 import Status

            detail = AnyMessage()
            detail.Pack(RetryInfo(retry_delay=Duration(seconds=int(behaviour.retry_after))))
            status = Status(code=_CODES[behaviour.status], message=behaviour.body, details=[detail])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        self._abort(context, _CODES.get(behaviour.status, 2), behaviour.body)

    def _abort(self, context: Any, code: int, details: str) -> None:
        import grpc

        context.abort(next(known for known in grpc.StatusCode if known.value[0] == code), details)

    def close(self) -> None:
        super().behave("down")
        self._hang_up()


# ── protobuf ──────────────────────────────────────────────────────────────────────────────────────


def content_of(signal: str, body: bytes) -> dict[str, Any]:
    """Return a request in protobuf as OTLP/JSON has it."""
    from google.protobuf.json_format import MessageToDict

    content: dict[str, Any] = hex_ids(MessageToDict(_service(signal, "Request").FromString(body)))
    return content


def hex_ids(content: Any) -> Any:
    """Return *content* with ids in hex, as OTLP has them, where plain protobuf JSON has base64."""
    if isinstance(content, dict):
        return {
            key: base64_to_hex(item) if key in {"traceId", "spanId", "parentSpanId"} else hex_ids(item)
            for key, item in content.items()
        }
    return [hex_ids(item) for item in content] if isinstance(content, list) else content


def base64_to_hex(text: str) -> str:
    import base64

    return base64.b64decode(text).hex()


def partial_success(content_type: str, signal: str, rejected: int, message: str) -> tuple[bytes, str]:
    """Return an answer and its type."""
    names = {"traces": "Spans", "logs": "LogRecords", "metrics": "DataPoints"}
    if content_type == "application/json":
        partial = {f"rejected{names[signal]}": str(rejected), "errorMessage": message} if rejected or message else {}
        return orjson.dumps({"partialSuccess": partial} if partial else {}), content_type
    field_name = {"traces": "rejected_spans", "logs": "rejected_log_records", "metrics": "rejected_data_points"}[signal]
    made = _service(signal, "Response")()
    if rejected or message:
        setattr(made.partial_success, field_name, rejected)
        made.partial_success.error_message = message
    return made.SerializeToString(), content_type


def _service(signal: str, direction: str) -> Any:
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

    modules: dict[str, tuple[Any, str]] = {
        "traces": (trace_service_pb2, "Trace"),
        "logs": (logs_service_pb2, "Logs"),
        "metrics": (metrics_service_pb2, "Metrics"),
    }
    module, name = modules[signal]
    return getattr(module, f"Export{name}Service{direction}")


# ── certificates ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """A private authority, a server and a client, each as PEM files."""

    authority: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path

    def http(self, *, wants_client: bool = False) -> ssl.SSLContext:
        """Return what an HttpEndpoint takes."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server, self.server_key)
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.authority)
        return context

    def grpc(self, *, wants_client: bool = False) -> tuple[bytes, bytes, bytes | None]:
        """Return what a GrpcEndpoint takes."""
        clients = self.authority.read_bytes() if wants_client else None
        return self.server_key.read_bytes(), self.server.read_bytes(), clients


def certificates(folder: Path, *hosts: str) -> Certificates:
    """Make the files in *folder*; the server's are for *hosts*, else for loopback."""
    import trustme

    authority = trustme.CA()
    made = Certificates(**{name: folder / f"{name}.pem" for name in Certificates.__dataclass_fields__})
    authority.cert_pem.write_to_path(made.authority)
    for issued, certificate, key in (
        (authority.issue_cert(*(hosts or ("127.0.0.1", "localhost"))), made.server, made.server_key),
        (authority.issue_cert("client@example.org"), made.client, made.client_key),
    ):
        issued.private_key_pem.write_to_path(key)
        for part in issued.cert_chain_pems:
            part.write_to_path(certificate, append=True)
    return made


# ── in a process of its own ───────────────────────────────────────────────────────────────────────


class RemoteEndpoint:
    """An endpoint in a process of its own: it shares no lock and no interpreter with what is measured."""

    def __init__(self, kind: str = "http", *, port: int = 0) -> None:
        command = [sys.executable, __file__, "--kind", kind, "--port", str(port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = json.loads(self._process.stdout.readline())
        self.url, self.port, self._control = said["url"], said["port"], said["control"]

    def behave(self, kind: Kind = "healthy", **how: Any) -> None:
        """Behave differently from here on."""
        self._ask("POST", "/behaviour", {"kind": kind, **how})

    @property
    def received(self) -> Received:
        """What has arrived so far."""
        counted = self._ask("GET", "/received")
        return Received(**{kind: Counter(counts) for kind, counts in counted.items()})

    @property
    def request_count(self) -> int:
        """How many requests have come, accepted or not."""
        return int(self._ask("GET", "/requests"))

    def _ask(self, method: str, path: str, content: object = None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"{self._control}{path}", data=body, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as response:
            return json.load(response)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


class _Control(BaseHTTPRequestHandler):
    endpoint: Endpoint

    def do_GET(self) -> None:
        endpoint = self.endpoint
        if self.path == "/requests":
            self.answer(endpoint.request_count)
        else:
            with endpoint._lock:
                counts = endpoint.received.counts()
            self.answer(counts)

    def do_POST(self) -> None:
        how = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.endpoint.behave(**how)
        self.answer(how)

    def answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=["http", "grpc"], default="http")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    endpoint = HttpEndpoint(port=options.port) if options.kind == "http" else GrpcEndpoint(port=options.port)
    handler = type("Control", (_Control,), {"endpoint": endpoint})
    control = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
    where = f"http://127.0.0.1:{control.server_address[1]}"
    print(json.dumps({"url": endpoint.url, "port": endpoint.port, "control": where}), flush=True)
    control.serve_forever()


if __name__ == "__main__":
    main()
