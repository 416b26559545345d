"""The log of token usage: what is kept of each call, what it comes to, and how it is taken away."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

import branchline as bl
from branchline.read import open_runs
from branchline.usage import TokenBreakdown, TokenUsageLogger, log_token_usage


def filled() -> TokenUsageLogger:
    log = TokenUsageLogger("run-7", "exp")
    log.log("plan", "gpt", "openai", 1000, 200, 0.10, 12.5, TokenBreakdown(system=300, data=500, instructions=200))
    log.log("write, then check", "gpt", "openai", 500, 300, "0.20")
    log.log("plan", "claude", input_tokens=100, output_tokens=0, cost_usd=Decimal("0.30"), run_id="run-8")
    return log


def test_a_breakdown():
    """
    A breakdown knows its sums: all but the output, and everything.
    """
    parts = TokenBreakdown(system=1, data=2, instructions=3, output=4, other=5)

    assert (parts.total_input, parts.total) == (11, 15)
    assert TokenBreakdown() == TokenBreakdown(0, 0, 0, 0, 0)


def test_a_record():
    """
    A record has what was said; where nobody breaks the tokens down, the output alone is known.
    """
    record = TokenUsageLogger("run-7").log("plan", "gpt", input_tokens=10, output_tokens=4)

    assert (record.run_id, record.step, record.model, record.provider) == ("run-7", "plan", "gpt", "")
    assert (record.input_tokens, record.output_tokens, record.total_tokens) == (10, 4, 14)
    assert (record.cost_usd, record.latency_ms, record.breakdown) == (Decimal(0), 0.0, TokenBreakdown(output=4))


def test_a_record_as_json():
    """
    A record is written with the keys that readers of such logs know.
    """
    written = json.loads(filled().to_jsonl().splitlines()[0])

    assert datetime.fromisoformat(written.pop("timestamp")).tzinfo is not None
    assert written == {
        "event": "llm_call",
        "run_id": "run-7",
        "step": "plan",
        "model": "gpt",
        "provider": "openai",
        "tokens": {"input": 1000, "output": 200, "total": 1200},
        "prompt_breakdown": {
            "system": 300,
            "data": 500,
            "instructions": 200,
            "output": 0,
            "other": 0,
            "total_input": 1000,
            "total": 1000,
        },
        "cost_usd": 0.1,
        "latency_ms": 12.5,
        "trace_id": None,
        "span_id": None,
    }


def test_summary():
    """
    A summary adds up all of it: in total, by step, by model, and by what the tokens were spent on; costs exactly.
    """
    assert filled().get_summary() == {
        "total_input": 1600,
        "total_output": 500,
        "total_tokens": 2100,
        "total_cost_usd": Decimal("0.60"),
        "call_count": 3,
        "output_input_ratio": 500 / 1600,
        "by_step": {
            "plan": {"input": 1100, "output": 200, "cost": Decimal("0.40")},
            "write, then check": {"input": 500, "output": 300, "cost": Decimal("0.20")},
        },
        "by_model": {
            "gpt": {"input": 1500, "output": 500, "cost": Decimal("0.30")},
            "claude": {"input": 100, "output": 0, "cost": Decimal("0.30")},
        },
        "breakdown": {
            "system": 300,
            "data": 500,
            "instructions": 200,
            "output": 300,
            "other": 0,
            "total_input": 1000,
            "total": 1300,
        },
    }


def test_an_empty_summary():
    """
    Of no calls the ratio is zero, and there is nothing to divide by.
    """
    summary = TokenUsageLogger().get_summary()

    assert (summary["output_input_ratio"], summary["call_count"], summary["by_step"]) == (0.0, 0, {})


def test_csv():
    """
    What has a comma, a quote or a line break in it comes back whole from the CSV.
    """
    log = TokenUsageLogger()
    names = ["plain", "with, comma", 'with "quotes"', "with\nbreak", "=SUM(A1)", "ünï"]
    for name in names:
        log.log(name, "m,1", input_tokens=1, cost_usd="0.000000123456789")

    header, *rows = csv.reader(io.StringIO(log.to_csv()))
    assert header == [
        *("timestamp", "run_id", "step", "model", "provider", "input_tokens", "output_tokens", "cost_usd"),
        "latency_ms",
    ]
    assert [(row[2], row[3], row[7]) for row in rows] == [(name, "m,1", "0.000000123456789") for name in names]


def test_display():
    """
    A person sees what each step took, and the total.
    """
    assert filled().to_display() == (
        "step               input  output   cost\n"
        "plan               1,100     200  $0.40\n"
        "write, then check    500     300  $0.20\n"
        "total              1,600     500  $0.60"
    )


def test_it_is_in_the_journal(tmp_path):
    """
    A record carries the ids of the step that it was made in, and is in the journal with these and its labels.
    """
    with bl.configure("x", directory=tmp_path, console=False), bl.branch({"a": 1}), bl.step("ask") as step:
        record = TokenUsageLogger("run-7", "exp").log("plan", "gpt", "openai", 10, 4, "0.25", 20.0)
        ids = (step.trace_id, step.span_id)

    [usage] = open_runs(tmp_path).last.usages
    assert (record.trace_id, record.span_id) == ids
    assert (usage.trace_id, usage.span_id, usage.usage_id) == (*ids, record.usage_id)
    assert (usage.model, usage.input_tokens, usage.output_tokens) == ("gpt", 10, 4)
    assert (usage.cost, usage.latency) == (Decimal("0.25"), 0.02)
    assert usage.labels == {"step": "plan", "run_id": "run-7", "experiment_id": "exp"}


def test_the_short_form():
    """
    One call makes one record.
    """
    record = log_token_usage("plan", "gpt", 10, 4, 0.5)

    assert (record.step, record.total_tokens, record.cost_usd) == ("plan", 14, Decimal("0.5"))


@pytest.mark.parametrize("bad", [-1, "many", None, float("nan"), object()])
def test_it_never_raises(bad: Any):
    """
    A number that is none counts as 0, and the rest of the record is there.
    """
    log = TokenUsageLogger()
    log.log("s", "m", "p", bad, bad, bad, bad, bad)

    [record] = log.records
    assert (record.input_tokens, record.output_tokens, record.cost_usd, record.latency_ms) == (0, 0, Decimal(0), 0.0)
    assert record.breakdown == TokenBreakdown()
