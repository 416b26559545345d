"""The cost tracker: estimates and what became of them, in a file and against a budget."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from branchline.budget import BudgetConfig, BudgetStatus, CostRecord, CostSummary, CostTracker
from branchline.errors import ConfigError


NOW = datetime.now(UTC)


def line(actual: object = 1, at: str | None = None, **more: object) -> str:
    """Return a line of a history as it was written elsewhere."""
    written = {
        "timestamp": at or NOW.isoformat(),
        "experiment_id": "e",
        "run_id": "r",
        "costs": {"estimated_before": 1, "actual": actual, "variance": 0, "variance_percent": 0, "breakdown": {}},
        "model": "m",
        "provider": "p",
        "tokens": {"input": 1, "output": 2},
    }
    return json.dumps(written | more)


def of_daily(used: str, limit: str, status: str) -> BudgetStatus:
    spent, most = Decimal(used), Decimal(limit)
    left = max(most - spent, Decimal(0))
    return BudgetStatus(
        period="daily",
        limit=most,
        used=spent,
        remaining=left,
        percent_used=spent * 100 / most,
        status=status,  # type: ignore[arg-type]  # one of the three
    )


def test_an_estimate_and_what_became_of_it():
    """
    A record says how much more or less something cost than was expected, in dollars and percent.
    """
    record = CostTracker().record("exp", "run", 1.0, 0.9, model="gpt", provider="openai", input_tokens=10)

    assert (record.estimated, record.actual) == (Decimal(1), Decimal("0.9"))
    assert (record.variance, record.variance_percent) == (Decimal("-0.1"), Decimal(-10))


@pytest.mark.parametrize("estimated", [0, None])
def test_nothing_was_expected(estimated):
    """
    Of what nobody expected to cost anything, the percentage is zero.
    """
    assert CostTracker().record("e", "r", estimated, 2).variance_percent == Decimal(0)


def test_what_is_written(tmp_path):
    """
    A record is one line of JSON with the keys that readers of such histories know.
    """
    path = tmp_path / "deep" / "costs.jsonl"
    made = CostTracker(storage_path=path).record(
        "exp",
        "run",
        "2.00",
        "2.50",
        model="gpt",
        provider="openai",
        input_tokens=7,
        output_tokens=3,
        breakdown={"x": 1},
    )

    [written] = [json.loads(text) for text in path.read_text().splitlines()]
    assert datetime.fromisoformat(written.pop("timestamp")) == made.timestamp
    assert written.pop("id") == made.id
    assert written == {
        "experiment_id": "exp",
        "run_id": "run",
        "costs": {
            "estimated_before": 2.0,
            "actual": 2.5,
            "variance": 0.5,
            "variance_percent": 25.0,
            "breakdown": {"x": 1.0},
        },
        "model": "gpt",
        "provider": "openai",
        "tokens": {"input": 7, "output": 3},
    }
    assert CostTracker(storage_path=path).get_records() == [made]


def test_the_day_fills_up():
    """
    As a day's budget fills, its status goes from ok over warning to exceeded; ten cents thirty times are three dollars.
    """
    tracker = CostTracker(BudgetConfig(daily="3.00"))
    seen = []
    for _ in range(30):
        tracker.record("e", "r", 0.1, 0.1)
        [status] = tracker.check_budget()
        seen.append((status.status, tracker.should_warn(), tracker.should_block()))

    assert seen == [("ok", False, False)] * 23 + [("warning", True, False)] * 6 + [("exceeded", True, True)]
    assert tracker.check_budget() == [of_daily("3.0", "3.00", "exceeded")]


def test_the_order_of_periods():
    """
    There is one status for each period that has a limit: day, week, month.
    """
    tracker = CostTracker(BudgetConfig(monthly=150.00, daily=10.00, weekly=50.00))
    tracker.record("e", "r", 8.0, 8.5)

    found = [(status.period, status.percent_used, status.status) for status in tracker.check_budget()]
    assert found == [
        ("daily", Decimal(85), "warning"),
        ("weekly", Decimal(17), "ok"),
        ("monthly", Decimal("5.666666666667"), "ok"),
    ]


def test_no_budget():
    """
    Without a budget there is no status, and nothing to warn of.
    """
    tracker = CostTracker()
    tracker.record("e", "r", 1, 1000)

    assert (tracker.check_budget(), tracker.should_warn(), tracker.should_block()) == ([], False, False)


def test_zero_blocks():
    """
    A budget of zero blocks before anything was spent.
    """
    assert CostTracker(BudgetConfig(daily=0)).should_block()


def test_a_record_of_2001(tmp_path):
    """
    What was spent in 2001 touches neither today nor this week or month, and is in the summary all the same.
    """
    path = tmp_path / "costs.jsonl"
    path.write_text(line(9.99, "2001-05-05T12:00:00") + "\n")
    tracker = CostTracker(BudgetConfig(daily=10, weekly=10, monthly=10), path)

    assert [status.used for status in tracker.check_budget()] == [Decimal(0)] * 3
    assert tracker.get_summary().total_actual == Decimal("9.99")


def test_yesterday_is_over(tmp_path):
    """
    Of a history, today's budget counts what was spent today.
    """
    path = tmp_path / "costs.jsonl"
    path.write_text("".join(line(day + 1, (NOW - timedelta(days=day)).isoformat()) + "\n" for day in range(3)))
    tracker = CostTracker(BudgetConfig(daily=10, timezone="UTC"), path)

    assert tracker.check_budget() == [of_daily("1", "10", "ok")]


def test_bad_lines_are_skipped_and_reported(tmp_path, caplog):
    """
    A line that is no record costs that line alone, the first one too; it is reported with its number.
    """
    path = tmp_path / "costs.jsonl"
    bad = [
        "{broken",
        "[]",
        '{"costs": {}}',
        line("a lot"),
        line(-1),
        line(1, "yesterday"),
        line(float("nan")),
        "\udcff",
    ]
    good = [line(1), line("0.25"), line(0.5)]
    text = "\n".join([bad[0], good[0], "", *bad[1:], good[1], good[2]]) + "\n"
    path.write_bytes(text.encode(errors="surrogateescape"))

    with caplog.at_level(logging.WARNING, "branchline.budget"):
        tracker = CostTracker(BudgetConfig(daily=10), path)

    assert [record.actual for record in tracker.get_records()] == [Decimal(1), Decimal("0.25"), Decimal("0.5")]
    assert [each.line for each in tracker.skipped] == [1, 4, 5, 6, 7, 8, 9, 10]
    assert [str(tracker.skipped[0]), str(tracker.skipped[2])] == ["line 1: no JSON", "line 5: without 'timestamp'"]
    [told] = [record.getMessage() for record in caplog.records]
    assert "8 lines are no records of costs and are left out: line 1: no JSON; line 4: " in told


def test_a_torn_last_line(tmp_path):
    """
    What is appended after a line that was torn off is not lost with it.
    """
    path = tmp_path / "costs.jsonl"
    path.write_text(line(1) + "\n" + line(2)[:40])
    tracker = CostTracker(storage_path=path)
    tracker.record("e", "r", 1, 3)

    assert [record.actual for record in CostTracker(storage_path=path).get_records()] == [Decimal(1), Decimal(3)]


def test_others_append(tmp_path):
    """
    Trackers on one file see each other's records, each of them once, and all keep the same order.
    """
    path = tmp_path / "costs.jsonl"
    budget = BudgetConfig(daily=10)
    mine, yours = CostTracker(budget, path), CostTracker(budget, path)
    for number in range(5):
        mine.record("mine", "r", 0, number)
        yours.record("yours", "r", 0, number)

    assert mine.get_records() == yours.get_records()
    assert [status.used for tracker in (mine, yours) for status in tracker.check_budget()] == [Decimal(20)] * 2
    assert [record.actual for record in mine.get_records("yours")] == [Decimal(number) for number in range(5)]


def test_processes_append(tmp_path):
    """
    Four processes that append 200 records each to one file lose none.
    """
    path = tmp_path / "costs.jsonl"
    program = """
import sys
from branchline.budget import CostTracker
tracker = CostTracker(storage_path=sys.argv[1])
for number in range(200):
    tracker.record(sys.argv[2], "r", 0, "0.01")
"""
    running = [subprocess.Popen([sys.executable, "-c", program, path, f"{number}"]) for number in range(4)]

    assert [each.wait(60) for each in running] == [0] * 4
    tracker = CostTracker(BudgetConfig(daily=10), path)
    assert (len(tracker.get_records()), tracker.skipped) == (800, ())
    assert tracker.check_budget() == [of_daily("8.00", "10", "warning")]


def test_summary():
    """
    A summary adds up what was expected, what it was, and what each model cost; of one experiment or all.
    """
    tracker = CostTracker(BudgetConfig(daily=100))
    tracker.record("a", "1", "1.00", "1.10", model="gpt")
    tracker.record("a", "2", "2.00", "1.80", model="claude")
    tracker.record("b", "3", "3.00", "3.01", model="gpt")
    tracker.record("b", "4", None, None, model="new")
    tracker.record("b", "5", None, "0.03")

    assert tracker.get_summary() == CostSummary(
        total_runs=5,
        total_estimated=Decimal("6.00"),
        total_actual=Decimal("5.94"),
        total_variance=Decimal("-0.09"),
        average_per_run=Decimal("1.485"),
        by_model={"gpt": Decimal("4.11"), "claude": Decimal("1.80")},
        unpriced=1,
        budget_status=tuple(tracker.check_budget()),
    )
    assert tracker.get_summary("a").total_actual == Decimal("2.90")


def test_display():
    """
    A person sees the totals, each model, and a bar of 20 characters for each limit.
    """
    tracker = CostTracker(BudgetConfig(daily=10, calls=4))
    tracker.record("e", "r", "5.00", "6.00", model="gpt")

    assert tracker.to_display() == (
        "records    1\n"
        "estimated  $5.00\n"
        "actual     $6.00\n"
        "variance   +$1.00\n"
        "average    $6.00\n"
        "  gpt  $6.00\n"
        "daily      ████████████░░░░░░░░    60.0 %  $6.00 of $10.00  ok\n"
        "calls      █████░░░░░░░░░░░░░░░    25.0 %  1 of 4 calls  ok"
    )


def test_recording_never_raises(tmp_path, caplog):
    """
    What is no amount counts as not known, and what cannot be written is kept in memory; both are said.
    """
    path = tmp_path / "read-only" / "costs.jsonl"
    path.parent.mkdir()
    path.parent.joinpath("costs.jsonl").symlink_to("/proc/nowhere/at/all")
    tracker = CostTracker(BudgetConfig(daily=1), path)
    with caplog.at_level(logging.WARNING, "branchline.budget"):
        tracker.record("e", "r", "much", -1, breakdown={"a": "b"})
        tracker.record("e", "r", 1, "0.50")

    assert [record.actual for record in tracker.get_records()] == [None, Decimal("0.50")]
    assert tracker.check_budget() == [of_daily("0.50", "1", "ok")]
    assert "estimated='much' is no cost" in caplog.text
    assert "the record is kept in memory" in caplog.text


def test_a_folder_is_no_file(tmp_path):
    """
    A storage path that is a folder is refused at once, as is a budget that is none.
    """
    with pytest.raises(ConfigError, match="is a folder; accepted"):
        CostTracker(storage_path=tmp_path)
    with pytest.raises(ConfigError, match="unknown option 'hourly'"):
        CostTracker({"hourly": 1})


def test_records_come_back():
    """
    A record is the same after it was written and read, whatever its digits.
    """
    made = CostRecord(timestamp=NOW, actual=Decimal("0.12345678901234567"), breakdown={"a": Decimal("0.1")})

    assert CostRecord.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert os.fspath(json.dumps(made.to_dict()["costs"]["actual"])) == '"0.12345678901234567"'
