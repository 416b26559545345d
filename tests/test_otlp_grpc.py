"""Delivery over gRPC: to real servers on loopback, healthy and sick."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from typing import Any, Self

import pytest

import branchline as bl
from branchline.exporters.otlp import Answer, Transport, transport_for
from endpoints import Certificates, GrpcEndpoint, certificates
from test_otlp_http import log_line, span_line


@pytest.fixture
def endpoint():
    """
    A healthy endpoint.
    """
    with GrpcEndpoint() as made:
        yield made


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


def transport_to(endpoint: GrpcEndpoint, **options: Any) -> Transport:
    return transport_for(bl.OTLP(endpoint.url, protocol="grpc", **options), {})


def sent(endpoint: GrpcEndpoint, *lines: bytes, timeout_seconds: float = 5.0, **options: Any) -> Answer:
    transport = transport_to(endpoint, **options)
    answer = transport.send("traces", lines or (span_line(1),), timeout_seconds=timeout_seconds)
    transport.close()
    return answer


def test_lines_are_one_request(endpoint):
    """
    All lines of a signal are one request, with the headers as metadata.
    """
    answer = sent(endpoint, span_line(1, 2), span_line(3), headers={"X-Tenant": "a"})

    [request] = endpoint.requests
    assert answer == Answer(kind="accepted")
    assert (request.path, request.headers["x-tenant"]) == ("traces", "a")
    assert request.headers["user-agent"].startswith("branchline/")
    assert sorted(endpoint.received.spans.values()) == [1, 1, 1]


@pytest.mark.parametrize(("compression", "is_small"), [("none", False), ("gzip", True)])
def test_compression(endpoint, compression, is_small):
    """
    What is to be compressed is, on the wire.
    """
    lines = [span_line(*range(1, 1001))]
    with Wiretap(endpoint.port) as wire:
        endpoint.url = f"http://127.0.0.1:{wire.port}"
        answer = sent(endpoint, *lines, compression=compression)

    [request] = endpoint.requests
    assert answer.kind == "accepted"
    assert (wire.count < request.size / 2) is is_small


class Wiretap:
    """
    A port in front of another that counts the bytes that go in.
    """

    def __init__(self, target: int) -> None:
        self.count = 0
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            here, _ = self._listening.accept()
            there = socket.create_connection(("127.0.0.1", self._target))
            back = threading.Thread(target=self._copy, args=(there, here), daemon=True)
            back.start()
            self._copy(here, there, counted=1)
            back.join()
            here.close()
            there.close()

    def _copy(self, source: socket.socket, sink: socket.socket, counted: int = 0) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self.count += counted * len(data)
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()


def test_every_signal(endpoint):
    """
    Every signal has its own service on the one channel.
    """
    point = b'{"asInt":"1","timeUnixNano":"5"}'
    metrics = b'[{"name":"m","gauge":{"dataPoints":[%b]}}]' % point
    line = b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":%b}]}]}\n' % metrics
    transport = transport_to(endpoint)

    answers = [
        transport.send("traces", [span_line(1)], timeout_seconds=5.0).kind,
        transport.send("logs", [log_line("a")], timeout_seconds=5.0).kind,
        transport.send("metrics", [line], timeout_seconds=5.0).kind,
    ]
    transport.close()

    received = endpoint.received
    assert answers == ["accepted"] * 3
    assert [len(counts) for counts in (received.spans, received.logs, received.points)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (503, "retry", "UNAVAILABLE"),
        (504, "retry", "DEADLINE_EXCEEDED"),
        (429, "refused", "RESOURCE_EXHAUSTED"),
        (400, "refused", "INVALID_ARGUMENT"),
        (401, "refused", "UNAUTHENTICATED"),
        (500, "refused", "INTERNAL"),
    ],
)
def test_codes(endpoint, status, kind, code):
    """
    Only what OTLP names is sent again; everything else is refused for good, with the server's words.
    """
    endpoint.behave("status", status=status)

    answer = sent(endpoint)

    assert answer == Answer(kind=kind, message=f"{endpoint.url}: {code}: something is wrong")


def test_retry_info(endpoint):
    """
    A server that is exhausted and says for how long gets it again then.
    """
    endpoint.behave("status", status=429, retry_after="7")

    answer = sent(endpoint)

    assert (answer.kind, answer.retry_after_seconds) == ("retry", 7.0)


def test_partial_success(endpoint):
    """
    What the server did not take is told, with its reason.
    """
    endpoint.behave("partial", rejected=2)

    assert sent(endpoint) == Answer(kind="partial", rejected=2, message="some were not good enough")


def test_a_message_that_is_too_large(endpoint):
    """
    Halves may get through where the whole did not.
    """
    endpoint.behave("too large", limit=200)
    transport = transport_to(endpoint)

    answers = [
        transport.send("traces", lines, timeout_seconds=5.0).kind
        for lines in ([span_line(1), span_line(2)], [span_line(1)], [span_line(2)])
    ]
    transport.close()

    assert answers == ["too_large", "accepted", "accepted"]


def test_a_service_that_is_not_there(endpoint):
    """
    A server that does not know the signal never takes it; the answer says how to leave it out.
    """
    endpoint.behave("no json")

    answer = sent(endpoint)

    assert (answer.kind, "OTLP(signals=…)" in answer.message) == ("refused", True)


def test_what_is_no_otlp_is_refused_at_home(endpoint):
    """
    A line that no server would understand is refused before anything is sent.
    """
    answer = sent(endpoint, b"{torn")

    assert (answer.kind, endpoint.request_count) == ("refused", 0)


@pytest.mark.parametrize("kind", ["lost answer", "reset", "down"])
def test_what_may_not_have_arrived(endpoint, kind):
    """
    What may not have arrived is sent again, and gets through as soon as the server is well, without a pause of gRPC's.
    """
    transport = transport_to(endpoint)
    transport.send("traces", [span_line(1)], timeout_seconds=5.0)
    endpoint.behave(kind)

    answers = [transport.send("traces", [span_line(2)], timeout_seconds=5.0).kind for _ in range(4)]
    endpoint.behave()
    after = transport.send("traces", [span_line(3)], timeout_seconds=5.0)
    transport.close()

    assert (answers, after.kind) == (["retry"] * 4, "accepted")


@pytest.mark.parametrize("kind", ["bad answer", "huge answer"])
def test_odd_answers(endpoint, kind):
    """
    What was taken is taken, whatever is said about it.
    """
    endpoint.behave(kind)

    assert sent(endpoint).kind == "accepted"


def test_a_send_ends_in_its_time(endpoint):
    """
    A server that does not answer holds a send up no longer than allowed.
    """
    endpoint.behave("black hole")

    answer = sent(endpoint, timeout_seconds=0.3)

    assert (answer.kind, "DEADLINE_EXCEEDED" in answer.message) == ("retry", True)


def test_interrupting(endpoint):
    """
    A send that hangs ends when it is interrupted, and the next one is as any other.
    """
    endpoint.behave("black hole")
    transport = transport_to(endpoint)
    timer = threading.Timer(0.3, transport.interrupt)
    timer.start()

    answer = transport.send("traces", [span_line(1)], timeout_seconds=60.0)
    timer.join()
    endpoint.behave()
    after = transport.send("traces", [span_line(1)], timeout_seconds=5.0)
    transport.close()

    assert (answer.kind, answer.message, after.kind) == ("retry", "interrupted", "accepted")


def test_interrupting_before_there_is_anything_to_interrupt(endpoint):
    """
    An interruption that comes too early ends the next send.
    """
    transport = transport_to(endpoint)
    transport.interrupt()

    answers = [transport.send("traces", [span_line(1)], timeout_seconds=5.0).kind for _ in range(2)]
    transport.close()

    assert answers == ["retry", "accepted"]


@pytest.mark.parametrize("wants_client", [False, True])
def test_tls_with_an_authority_of_its_own(tls, wants_client):
    """
    A private authority is trusted when it is named, and a client shows its certificate when it has one.
    """
    with GrpcEndpoint(tls=tls.grpc(wants_client=wants_client)) as endpoint:
        known = {"client_certificate": tls.client, "client_key": tls.client_key} if wants_client else {}

        assert sent(endpoint, certificate=tls.authority, **known).kind == "accepted"
        assert len(endpoint.received.spans) == 1


@pytest.mark.parametrize("wants_client", [False, True])
def test_who_is_not_trusted(tls, wants_client):
    """
    Nothing goes to a server that nobody vouches for, and nothing gets to one that does not know us.
    """
    with GrpcEndpoint(tls=tls.grpc(wants_client=wants_client)) as endpoint:
        answer = sent(endpoint, **({"certificate": tls.authority} if wants_client else {}))

        assert (answer.kind, endpoint.received.spans) == ("retry", Counter())


def test_a_certificate_that_cannot_be_read(tmp_path):
    """
    A file that is not there is an error at set-up that names it.
    """
    with pytest.raises(bl.ConfigError, match=r"ca\.pem"):
        transport_for(bl.OTLP("https://localhost:4317", certificate=tmp_path / "ca.pem"), {})


def test_without_the_extra():
    """
    Without gRPC, set-up says what to install.
    """
    program = """
import sys
sys.modules["grpc"] = None
import branchline as bl
from branchline.exporters.otlp import transport_for
try:
    transport_for(bl.OTLP("http://localhost:4317"), {})
except bl.MissingExtraError as error:
    print(error)
"""

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert "pip install 'branchline[otlp]'" in said


def test_nothing_on_stderr(endpoint, tls):
    """
    Servers that are away or not trusted make no noise: what is wrong is in the answer. The environment stays as it was.
    """
    with GrpcEndpoint(tls=tls.grpc()) as strange:
        program = f"""
import os
import branchline as bl
from branchline.exporters.otlp import transport_for
for url in ("http://127.0.0.1:1", {strange.url!r}, "http://collector.invalid:4317", {endpoint.url!r}):
    transport = transport_for(bl.OTLP(url, protocol="grpc"), {{}})
    print(transport.send("traces", [{span_line(1)!r}], timeout_seconds=5.0).kind)
    transport.close()
assert "GRPC_VERBOSITY" not in os.environ
"""
        finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert (finished.stdout.split(), finished.stderr) == (["retry", "retry", "retry", "accepted"], "")


def test_a_forked_child_sends_nothing_itself(endpoint):
    """
    gRPC aborts in a child of a process that uses it: the child keeps away from it, and the parent goes on.
    """
    program = f"""
import os, sys
import branchline as bl
from branchline.exporters.otlp import transport_for
transport = transport_for(bl.OTLP({endpoint.url!r}, protocol="grpc"), {{}})
lines = {[span_line(number) for number in range(1, 12)]!r}
send = lambda line: transport.send("traces", [line], timeout_seconds=5.0)
assert send(lines[0]).kind == "accepted"
for line in lines[1:]:
    child = os.fork()
    if not child:
        transport.interrupt()
        answer = send(line)
        transport.close()
        made_here = transport_for(bl.OTLP({endpoint.url!r}, protocol="grpc"), {{}})
        assert answer == made_here.send("traces", [line], timeout_seconds=5.0)
        assert answer.kind == "retry" and "the process that was there first" in answer.message, answer
        sys.exit(7)
    assert send(line).kind == "accepted"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
transport.close()
"""

    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=120)

    assert (len(endpoint.received.spans), endpoint.received.duplicates()) == (11, 0)
