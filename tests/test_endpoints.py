"""The endpoint that other tests deliver to, in a process of its own."""

from __future__ import annotations

from typing import Literal

import pytest

import branchline as bl
from branchline.exporters.otlp import transport_for
from endpoints import RemoteEndpoint
from test_otlp_http import log_line, span_line


@pytest.mark.parametrize(("kind", "protocol"), [("http", "http/json"), ("grpc", "grpc")])
def test_an_endpoint_in_a_process_of_its_own(kind: str, protocol: Literal["http/json", "grpc"]):
    """
    It counts what arrives, what arrives again, and every request, and behaves as it is told while it runs.
    """
    with RemoteEndpoint(kind) as endpoint:
        transport = transport_for(bl.OTLP(endpoint.url, protocol=protocol), {})

        def send() -> str:
            return transport.send("traces", [span_line(1, 2)], timeout_seconds=5.0).kind

        answers = [send(), send()]
        endpoint.behave("status", status=503)
        answers.append(send())
        endpoint.behave("down")
        answers.append(send())
        endpoint.behave("healthy")
        answers.append(transport.send("logs", [log_line("a")], timeout_seconds=5.0).kind)
        transport.close()
        received, requests = endpoint.received, endpoint.request_count

    assert answers == ["accepted", "accepted", "retry", "retry", "accepted"]
    assert (sorted(received.spans.values()), dict(received.logs), received.duplicates()) == ([2, 2], {"a": 1}, 2)
    assert requests == 4
