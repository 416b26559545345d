"""Usage where the application has a tracer provider of its own: its spans say it too, and nothing counts twice."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from opentelemetry import trace

import branchline as bl
from branchline import names
from branchline.read import Spending
from test_guest import Application, application
from test_usage import NEWER, SAID, TAKEN


@pytest.fixture(name="app")
def _app(tmp_path):
    with application(tmp_path) as app:
        yield app


def exported(app: Application, name: str) -> dict[str, Any]:
    """Return what the application's exporter was told of usage on a span."""
    [span] = [span for span in app.exporter.get_finished_spans() if span.name == name]
    return {key: value for key, value in (span.attributes or {}).items() if key.startswith(SAID)}


def test_joined(app):
    """
    The application's exporter gets OpenTelemetry's names, the journal everything, totals included.
    """
    with app.configure(), bl.experiment("e"), bl.branch("b", name="b"), bl.step("ask") as step:
        step.usage("m", provider="p", input_tokens=100, output_tokens=20, cost="0.5")
        with bl.step("inner"):
            bl.record_usage("m", input_tokens=1, cost="0.25")

    assert exported(app, "ask") == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "p",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
    }
    run = app.run()
    assert run.usage == Spending(calls=2, input_tokens=101, output_tokens=20, cost=Decimal("0.75"))
    assert [branch.total_usage for branch in run.branches] == [run.usage]
    assert [(usage.step, usage.branch) for usage in run.usages] == [("ask", "b"), ("inner", "b")]


@pytest.mark.parametrize("is_recorded", [False, True])
def test_an_instrumentation_on_the_applications_provider(app, is_recorded):
    """
    A span that an instrumentation makes with the application's provider is picked up, once.
    """
    with app.configure(), bl.step("ask"):
        with trace.get_tracer("genai").start_as_current_span("chat", attributes=NEWER):
            pass
        if is_recorded:
            bl.record_usage("gpt-4o", input_tokens=100, output_tokens=20)

    assert app.run().usage == TAKEN
    assert (exported(app, "ask"), exported(app, "chat")) == ({}, NEWER)


def test_without_a_run(tmp_path):
    """
    Without configure() the application's span says what its call took, and nothing is written.
    """
    with application(tmp_path) as app, bl.step("ask") as step:
        step.usage("m", input_tokens=100, output_tokens=20, cost="0.5")
        usage = bl.record_usage("m", input_tokens=1, cost="0.25")

    said = exported(app, "ask")
    assert (said[names.INPUT_TOKENS], said[names.COST_USD], said[names.PRICED_RATIO]) == (101, 0.75, 1.0)
    assert (usage.span_id, usage.step, usage.usage_id) == (step.span_id, "ask", "")
    assert not list(tmp_path.iterdir())
