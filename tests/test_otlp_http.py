"""Delivery over HTTP: to real servers on loopback, healthy and sick."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Any

import orjson
import pytest
import urllib3
from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

import branchline as bl
from branchline.exporters.otlp import Answer, Transport, transport_for
from endpoints import Certificates, HttpEndpoint, certificates
from journals import attributes, event, span


@pytest.fixture
def endpoint():
    """
    A healthy endpoint.
    """
    with HttpEndpoint() as made:
        yield made


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


def span_line(*numbers: int) -> bytes:
    spans = [span(number, f"step {number}", events=[event("loaded", rows=number)]) for number in numbers]
    scope = {"scope": {"name": "branchline"}, "spans": spans}
    return orjson.dumps({"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [scope]}]}) + b"\n"


def log_line(*uids: str) -> bytes:
    records = [{"timeUnixNano": "1", "attributes": attributes({"log.record.uid": uid})} for uid in uids]
    scope = {"scope": {"name": "branchline"}, "logRecords": records}
    return orjson.dumps({"resourceLogs": [{"resource": {"attributes": []}, "scopeLogs": [scope]}]}) + b"\n"


def transport_to(endpoint: HttpEndpoint, **options: Any) -> Transport:
    return transport_for(bl.OTLP(endpoint.url, **options), {})


def sent(endpoint: HttpEndpoint, *lines: bytes, timeout_seconds: float = 5.0, **options: Any) -> Answer:
    transport = transport_to(endpoint, **options)
    answer = transport.send("traces", lines or (span_line(1),), timeout_seconds=timeout_seconds)
    transport.close()
    return answer


# ── what arrives ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("protocol", ["http/json", "http/protobuf"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_lines_are_one_request(endpoint, protocol, compression):
    """
    All lines of a signal are one request, in every protocol and compression, and arrive once.
    """
    answer = sent(endpoint, span_line(1, 2), span_line(3), protocol=protocol, compression=compression)

    [request] = endpoint.requests
    assert answer == Answer(kind="accepted")
    assert request.path == "/v1/traces"
    assert [len(resource["scopeSpans"][0]["spans"]) for resource in request.content["resourceSpans"]] == [2, 1]
    assert sorted(endpoint.received.spans.values()) == [1, 1, 1]


def test_signals_share_a_connection(endpoint):
    """
    One connection is kept for all requests of all signals.
    """
    transport = transport_to(endpoint)

    for number in range(5):
        transport.send("traces", [span_line(number + 1)], timeout_seconds=5.0)
        transport.send("logs", [log_line(f"uid-{number}")], timeout_seconds=5.0)

    assert (endpoint.connections, len(endpoint.received.spans), len(endpoint.received.logs)) == (1, 5, 5)
    transport.close()


def test_a_connection_that_the_server_has_closed(endpoint):
    """
    A connection that was closed while nothing was sent is made again, without a word.
    """
    transport = transport_to(endpoint)
    transport.send("traces", [span_line(1)], timeout_seconds=5.0)
    endpoint.behave("down")
    endpoint.behave()

    answer = transport.send("traces", [span_line(2)], timeout_seconds=5.0)
    transport.close()

    assert (answer, endpoint.connections) == (Answer(kind="accepted"), 2)


def test_foreign_lines_are_taken(endpoint):
    """
    A line with other white space, as other programs write it, is joined all the same.
    """
    foreign = span_line(1).replace(b'{"resourceSpans":[', b'{ "resourceSpans" : [ ')

    sent(endpoint, foreign, b'{"resourceSpans":[]}\n', span_line(2))

    assert len(endpoint.received.spans) == 2


@pytest.mark.parametrize("line", [b"{torn", b"[]\n", log_line("1")], ids=["torn", "no object", "other signal"])
@pytest.mark.parametrize("protocol", ["http/json", "http/protobuf"])
def test_what_is_no_otlp_is_refused_at_home(endpoint, line, protocol):
    """
    A line that no server would understand is refused before anything is sent.
    """
    answer = sent(endpoint, line, protocol=protocol)

    assert (answer.kind, "a line of traces" in answer.message) == ("refused", True)
    assert endpoint.request_count == 0


def test_headers_and_credentials_are_sent(endpoint):
    """
    Headers go with every request, as do user and password of the URL.
    """
    url = endpoint.url.replace("://", "://me:p%40ss@")
    transport = transport_for(bl.OTLP(url, headers={"X-Tenant": "a b"}), {})
    transport.send("traces", [span_line(1)], timeout_seconds=5.0)
    transport.close()

    [request] = endpoint.requests
    assert request.headers["x-tenant"] == "a b"
    assert request.headers["authorization"] == "Basic bWU6cEBzcw=="
    assert request.headers["user-agent"].startswith("branchline/")


# ── what a sick server answers ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "retry"),
        (502, "retry"),
        (503, "retry"),
        (504, "retry"),
        (413, "too_large"),
        (415, "unsupported"),
        (302, "refused"),
        (400, "refused"),
        (401, "refused"),
        (404, "refused"),
        (500, "refused"),
        (501, "refused"),
    ],
)
def test_statuses(endpoint, status, kind):
    """
    Only what OTLP names is sent again; everything else is refused for good, with the server's words.
    """
    endpoint.behave("status", status=status, body="something is wrong")

    answer = sent(endpoint, protocol="http/protobuf")

    assert answer.kind == kind
    assert str(status) in answer.message
    assert "something is wrong" in answer.message
    assert endpoint.received.spans == Counter()


def test_retry_after(endpoint):
    """
    A server says how long to leave it alone.
    """
    endpoint.behave("status", status=429, retry_after="7")

    assert sent(endpoint).retry_after_seconds == 7.0


def test_redirects_are_not_followed(endpoint):
    """
    Data goes nowhere but to where it was meant for.
    """
    endpoint.behave("status", status=307)

    answer = sent(endpoint)

    assert answer.kind == "refused"
    assert "redirects are not followed" in answer.message
    assert endpoint.request_count == 1


@pytest.mark.parametrize("protocol", ["http/json", "http/protobuf"])
def test_partial_success(endpoint, protocol):
    """
    What the server did not take is told, with its reason.
    """
    endpoint.behave("partial", rejected=2)

    answer = sent(endpoint, protocol=protocol)

    assert answer == Answer(kind="partial", rejected=2, message="some were not good enough")


def test_a_body_that_is_too_large(endpoint):
    """
    Halves may get through where the whole did not.
    """
    endpoint.behave("too large", limit=len(span_line(1)) + 100)
    transport = transport_to(endpoint)

    answers = [
        transport.send("traces", lines, timeout_seconds=5.0).kind
        for lines in ([span_line(1), span_line(2)], [span_line(1)], [span_line(2)])
    ]
    transport.close()

    assert answers == ["too_large", "accepted", "accepted"]
    assert sorted(endpoint.received.spans.values()) == [1, 1]


def test_no_json(endpoint):
    """
    A server that takes no JSON gets protobuf from then on, for all signals; that is said once.
    """
    endpoint.behave("no json")
    said: list[str] = []
    transport = transport_for(bl.OTLP(endpoint.url), {}, say=said.append)

    answers = [
        transport.send("traces", [span_line(1)], timeout_seconds=5.0).kind,
        transport.send("logs", [log_line("a")], timeout_seconds=5.0).kind,
        transport.send("traces", [span_line(2)], timeout_seconds=5.0).kind,
    ]
    transport.close()

    assert answers == ["accepted"] * 3
    assert [request.headers["content-type"] for request in endpoint.requests] == [
        "application/json",
        *["application/x-protobuf"] * 3,
    ]
    [sentence] = said
    assert "protobuf" in sentence


def test_no_json_and_no_protobuf_either(endpoint):
    """
    Without the extra, a server that takes no JSON is unsupported, and the answer says what to install.
    """
    endpoint.behave("no json")
    program = f"""
import sys
sys.modules["opentelemetry.proto"] = None
import branchline as bl
from branchline.exporters.otlp import transport_for
answer = transport_for(bl.OTLP({endpoint.url!r}), {{}}).send("traces", [{span_line(1)!r}], timeout_seconds=5.0)
print(answer.kind, answer.message)
try:
    transport_for(bl.OTLP({endpoint.url!r}, protocol="http/protobuf"), {{}})
except bl.MissingExtraError as error:
    print(error)
"""

    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert said.startswith("unsupported 415")
    assert said.count("pip install 'branchline[otlp]'") == 2


@pytest.mark.parametrize("kind", ["bad answer", "huge answer", "lost answer", "reset", "down"])
def test_odd_answers(endpoint, kind):
    """
    What was taken is taken, whatever is said about it; what may not have arrived is sent again.
    """
    endpoint.behave(kind)

    answer = sent(endpoint)

    assert answer.kind == ("accepted" if kind in {"bad answer", "huge answer"} else "retry")
    endpoint.behave()
    assert sent(endpoint).kind == "accepted"


def test_a_web_page_is_no_otlp_server(endpoint):
    """
    A page that a proxy or a web server answers with does not count as delivered.
    """
    endpoint.behave("status", status=200, body="<html><title>Log in</title></html>", content_type="text/html")

    answer = sent(endpoint)

    assert (answer.kind, answer.message) == ("refused", "a web page, not the answer of an OTLP server: Log in")


def test_an_answer_is_quoted_without_secrets(endpoint):
    """
    A server that repeats our headers, or much else, is quoted briefly, in one line, and without them.
    """
    body = "no access for Bearer my-own-token\n" + "x" * 10_000
    endpoint.behave("status", status=401, body=body)
    transport = transport_for(
        bl.OTLP(f"{endpoint.url}?key=qsecret", headers={"authorization": "Bearer my-own-token"}), {}
    )

    answer = transport.send("traces", [span_line(1)], timeout_seconds=5.0)
    transport.close()

    assert answer.message.startswith("401 Unauthorized: no access for [redacted] xxx")
    assert len(answer.message) == 2000
    assert "my-own-token" not in repr(transport)


def test_delivery_is_not_recorded(endpoint, caplog, monkeypatch):
    """
    What delivers is seen by no instrumentation, and urllib3 logs nothing of it; other requests are logged as before.
    """
    seen: list[object] = []
    urlopen = urllib3.HTTPConnectionPool.urlopen

    def instrumented(*args, **kwargs):
        seen.append(otel_context.get_value(_SUPPRESS_INSTRUMENTATION_KEY))
        return urlopen(*args, **kwargs)

    monkeypatch.setattr(urllib3.HTTPConnectionPool, "urlopen", instrumented)
    caplog.set_level("DEBUG")
    sent(endpoint)
    logged = len(caplog.records)
    urllib3.PoolManager().urlopen("POST", f"{endpoint.url}/v1/traces", body=b"{}", headers={"content-type": "text/x"})

    assert (seen, logged) == ([True, None], 0)
    assert caplog.records


# ── what hangs ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["black hole", "drip"])
def test_a_send_ends_in_its_time(endpoint, kind):
    """
    A server that does not answer, or answers a byte at a time for ever, holds a send up no longer than allowed.
    """
    endpoint.behave(kind)

    answer = sent(endpoint, timeout_seconds=0.3)

    assert (answer.kind, answer.message) == ("retry", f"{endpoint.url}: no answer in 0.3 s")


def test_a_timeout_of_the_options_counts_too(endpoint):
    """
    A request takes no longer than the options say, whatever the caller has time for.
    """
    endpoint.behave("black hole")

    assert sent(endpoint, timeout=0.2, timeout_seconds=30.0).message.endswith("no answer in 0.2 s")


def interrupted(transport: Transport, line: bytes) -> Answer:
    """Return what a send answers that is interrupted while it hangs."""
    timer = threading.Timer(0.3, transport.interrupt)
    timer.start()
    answer = transport.send("traces", [line], timeout_seconds=60.0)
    timer.join()
    return answer


def test_interrupting_what_waits_for_an_answer(endpoint):
    """
    A send that waits for an answer ends when it is interrupted, and the next one is as any other.
    """
    endpoint.behave("black hole")
    transport = transport_to(endpoint)

    answer = interrupted(transport, span_line(1))
    endpoint.behave()
    after = transport.send("traces", [span_line(1)], timeout_seconds=5.0)
    transport.close()

    assert (answer.kind, answer.message, after.kind) == ("retry", "interrupted", "accepted")


def test_interrupting_what_waits_for_an_answer_on_a_kept_connection(endpoint):
    """
    A connection that was used before is interrupted as well.
    """
    transport = transport_to(endpoint)
    transport.send("traces", [span_line(1)], timeout_seconds=5.0)
    endpoint.behave(delay_seconds=60.0)

    answer = interrupted(transport, span_line(2))
    transport.close()

    assert answer.message == "interrupted"


def test_interrupting_a_handshake(tls):
    """
    A server that connects and never speaks TLS does not hold up who is interrupted.
    """
    with HttpEndpoint(tls=tls.http()) as endpoint:
        endpoint.behave("black hole")
        transport = transport_to(endpoint, certificate=tls.authority)

        answer = interrupted(transport, span_line(1))
        transport.close()

    assert answer.message == "interrupted"


def test_interrupting_an_attempt_to_connect():
    """
    Where nothing answers at all, connecting is interrupted.
    """
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # What the queue has no room for gets no answer.
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        time.sleep(0.1)
        transport = transport_for(bl.OTLP(f"http://127.0.0.1:{full.getsockname()[1]}"), {})

        answer = interrupted(transport, span_line(1))
        transport.close()
        for one in waiting:
            one.close()

    assert answer.message == "interrupted"


def test_interrupting_before_there_is_anything_to_interrupt(endpoint):
    """
    An interruption that comes too early ends the next send: nobody can hang by being called a moment later.
    """
    transport = transport_to(endpoint)
    transport.interrupt()

    answers = [transport.send("traces", [span_line(1)], timeout_seconds=5.0).kind for _ in range(2)]
    transport.close()

    assert answers == ["retry", "accepted"]
    assert endpoint.request_count == 1


# ── TLS ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("wants_client", [False, True])
def test_tls_with_an_authority_of_its_own(tls, wants_client):
    """
    A private authority is trusted when it is named, and a client shows its certificate when it has one.
    """
    with HttpEndpoint(tls=tls.http(wants_client=wants_client)) as endpoint:
        known = {"client_certificate": tls.client, "client_key": tls.client_key} if wants_client else {}

        assert sent(endpoint, certificate=tls.authority, **known).kind == "accepted"
        assert len(endpoint.received.spans) == 1


def test_a_server_that_is_not_trusted(tls):
    """
    Nothing goes to a server whose certificate nobody vouches for.
    """
    with HttpEndpoint(tls=tls.http()) as endpoint:
        answer = sent(endpoint)

        assert answer.kind == "retry"
        assert "its certificate is not trusted" in answer.message
        assert endpoint.request_count == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_that_is_somebody_else(tmp_path, host):
    """
    A certificate that is trusted, but for another name, is not enough.
    """
    other = certificates(tmp_path, "127.0.0.2", "other.example.org")
    with HttpEndpoint(tls=other.http()) as endpoint:
        endpoint.url = endpoint.url.replace("127.0.0.1", host)
        answer = sent(endpoint, certificate=other.authority)

        assert (answer.kind, endpoint.request_count) == ("retry", 0)
        assert host in answer.message.partition(":")[2].partition(" ")[2]


def test_a_client_without_a_certificate(tls):
    """
    A server that wants to know its clients takes nothing from others.
    """
    with HttpEndpoint(tls=tls.http(wants_client=True)) as endpoint:
        answer = sent(endpoint, certificate=tls.authority)

        assert answer.kind == "retry"
        assert endpoint.request_count == 0


@pytest.mark.parametrize("named", ["missing", "no certificate"])
def test_a_certificate_that_cannot_be_read(tmp_path, named):
    """
    A file that is not there, or holds something else, is an error at set-up that names it.
    """
    path = tmp_path / "ca.pem"
    if named == "no certificate":
        path.write_text("hello")

    with pytest.raises(bl.ConfigError, match=r"ca\.pem"):
        transport_for(bl.OTLP("https://localhost", certificate=path), {})


# ── proxies and forks ─────────────────────────────────────────────────────────────────────────────


def test_a_proxy_of_the_environment(endpoint):
    """
    What is meant for a name that only the proxy knows goes through the proxy, with its user and the whole address.
    """
    proxy = endpoint.url.replace("://", "://me:pw@")
    transport = transport_for(bl.OTLP("http://collector.invalid:4318"), {"HTTP_PROXY": proxy})

    answer = transport.send("traces", [span_line(1)], timeout_seconds=5.0)
    transport.close()

    [request] = endpoint.requests
    assert answer.kind == "accepted"
    assert request.path == "http://collector.invalid:4318/v1/traces"
    assert request.headers["proxy-authorization"] == "Basic bWU6cHc="


def test_a_proxy_that_opens_no_tunnel(endpoint):
    """
    TLS goes through a tunnel; a proxy that makes none is named as what went wrong.
    """
    transport = transport_for(bl.OTLP("https://collector.invalid:4318"), {"https_proxy": endpoint.url})

    answer = transport.send("traces", [span_line(1)], timeout_seconds=5.0)
    transport.close()

    assert answer.kind == "retry"
    assert "501" in answer.message


def test_a_name_that_is_not_there():
    """
    A name that nobody knows is told, and tried again.
    """
    transport = transport_for(bl.OTLP("http://collector.invalid:4318"), {})

    answer = transport.send("traces", [span_line(1)], timeout_seconds=10.0)
    transport.close()

    assert answer.kind == "retry"
    assert "cannot find collector.invalid" in answer.message


def test_a_forked_child_has_a_connection_of_its_own(endpoint):
    """
    Parent and child send side by side without taking each other's connection, and the child's interruption is its own.
    """
    program = f"""
import os
import branchline as bl
from branchline.exporters.otlp import transport_for
transport = transport_for(bl.OTLP({endpoint.url!r}), {{}})
lines = {[span_line(number) for number in range(1, 32)]!r}
kinds = [transport.send("traces", [lines[0]], timeout_seconds=5.0).kind]
child = os.fork()
if not child:
    transport.interrupt()
for line in lines[1:16] if child else lines[16:]:
    answer = transport.send("traces", [line], timeout_seconds=5.0)
    kinds.append(answer.kind)
assert set(kinds) == {{"accepted"}}, kinds
if child:
    _, status = os.waitpid(child, 0)
    assert status == 0, status
"""

    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)

    assert (len(endpoint.received.spans), endpoint.received.duplicates(), endpoint.connections) == (31, 0, 2)
