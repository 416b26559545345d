"""Budgets, looked at afterwards: the bars of `branchline show` and `branchline cost`."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

import branchline as bl
from branchline._journal import layout
from branchline.cli import main
from branchline.read import open_runs
from branchline.read.budgets import budget_of, budget_statuses


def called(directory: Path, *command: str) -> str:
    result = CliRunner().invoke(main, [*command, "--directory", str(directory)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a journal with a run that spent 30 cents, and one after it with a budget that spent 60 in two branches."""
    with bl.configure("x", directory=tmp_path, console=False):
        bl.record_usage("m", cost="0.30")
    budget = bl.BudgetConfig(daily=1, run="0.50", branch="0.50", step="0.50", tokens=1000, calls=10, timezone="UTC")
    with bl.configure("x", directory=tmp_path, console=False, verbosity="NONE", budget=budget):
        for name in ("a", "b"):
            with bl.branch({"n": name}, name=name), bl.step("outer"), bl.step("ask"):
                bl.record_usage("m", input_tokens=100, cost="0.20" if name == "a" else "0.40")
    return tmp_path


BARS = [
    "  daily     ██████████████████░░   90.0 %  $0.90 of $1.00",
    "  run       ████████████████████  120.0 %  $0.60 of $0.50",
    "  branch    ████████████████░░░░   80.0 %  $0.40 of $0.50  b",
    "  step      ████████████████░░░░   80.0 %  $0.40 of $0.50",
    "  tokens    ████░░░░░░░░░░░░░░░░   20.0 %  200 of 1,000 tokens",
    "  calls     ████░░░░░░░░░░░░░░░░   20.0 %  2 of 10 calls",
]


@pytest.mark.parametrize("command", ["show", "cost"])
def test_bars(directory, command):
    """
    A run that had a budget shows a bar for each limit, as it was at its end.
    """
    lines = [line.rstrip() for line in called(directory, command, "last").splitlines() if "█" in line]

    assert [line.removesuffix("  outer").removesuffix("  ask") for line in lines] == BARS


@pytest.mark.parametrize("command", ["show", "cost"])
def test_for_programs(directory, command):
    """
    For a program the amounts are text, exact to the last digit.
    """
    budgets = json.loads(called(directory, command, "last", "--json"))["budgets"]

    assert budgets[0] == {
        "period": "daily",
        "limit": "1.0",
        "used": "0.9",
        "remaining": "0.1",
        "percent_used": 90.0,
        "status": "warning",
        "name": None,
    }


def test_without_a_ledger(directory):
    """
    Where the ledger is gone, the journals say the same, and none is made by looking.
    """
    before = budget_statuses(open_runs(directory).last)
    for file in directory.glob("ledger.sqlite*"):
        file.unlink()

    assert budget_statuses(open_runs(directory).last) == before
    assert not layout.ledger_path(directory).exists()


def test_a_run_without_a_budget(directory):
    """
    A run that had no budget has no bars.
    """
    first = open_runs(directory)[0]

    assert (budget_of(first), budget_statuses(first)) == (None, ())
    assert "█" not in called(directory, "show", first.id)


def test_what_came_later_does_not_count(directory):
    """
    What was spent after the end of a run is not in its bars.
    """
    last = open_runs(directory).last.id
    with bl.configure("x", directory=directory, console=False):
        bl.record_usage("m", cost="5")

    assert budget_statuses(open_runs(directory)[last])[0].used == Decimal("0.90")
