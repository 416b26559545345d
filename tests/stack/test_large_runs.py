"""A run that was recorded with nobody listening arrives at once and as a whole, however large it is."""

from __future__ import annotations

import pytest
from applications import branchline, run
from servers import Gateway, Jaeger, eventually
from told import spans_in


pytestmark = pytest.mark.stack
SPANS = 20_000

PROGRAM = f'''\
"""Many steps, each with a stamp and a few attributes, and no endpoint."""

import branchline as bl

with bl.configure("shop", console=False, otlp=False), bl.experiment("large"):
    for number in range({SPANS}):
        with bl.step(f"step {{number % 10}}", number=number, text="some words of a prompt", is_right=True) as step:
            step.stamp("read", rows=number)
'''


def test_it_is_in_jaeger_once(tmp_path):
    """
    Jaeger has every span of it once, and the gateway has sent none of them twice.
    """
    run(tmp_path / "run", PROGRAM)
    journal = spans_in(tmp_path / "run")
    [trace] = {span["trace"] for span in journal.values()}
    to = {
        "GATEWAY_TRACES_TO": "[otlp_grpc/jaeger]",
        "GATEWAY_METRICS_TO": "[file/metrics]",
        "GATEWAY_LOGS_TO": "[file/logs]",
    }

    with Jaeger(tmp_path / "jaeger") as jaeger, Gateway(tmp_path / "gateway", JAEGER_OTLP=jaeger.otlp, **to) as gateway:
        branchline(tmp_path / "run", "ship", "--all", "--to", gateway.endpoint("http"))
        arrived = eventually(lambda: jaeger.ids(trace), lambda ids: len(ids) >= len(journal))
        assert gateway.said("retry") == []
        assert gateway.refused_or_dropped() == {}

    assert len(journal) == SPANS + 1
    assert arrived == sorted(journal)
