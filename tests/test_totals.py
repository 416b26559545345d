"""Totals: what counts against which limit, and when a threshold is reached."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from branchline.limits import BudgetConfig
from branchline.totals import EXCEEDED, WARNING, Totals, earliest
from branchline.usage_values import Usage


SECOND = 1_000_000_000


def nano(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


NOON = nano("2026-11-21T12:00")


def spent(cost: str | None, at: int = NOON, **where: object) -> Usage:
    return Usage("m", cost=None if cost is None else Decimal(cost), time_unix_nano=at, **where)  # type: ignore[arg-type]  # names of fields


def used(totals: Totals, at: int = NOON) -> dict[str, Decimal]:
    return {status.period: status.used for status in totals.statuses(at)}


def test_calendar():
    """
    A cost counts on its own day, in its own week and month, and nowhere else.
    """
    totals = Totals(BudgetConfig(daily=10, weekly=10, monthly=10, timezone="UTC"))

    for day, cost in (("2001-01-01", "9"), ("2026-10-31", "5"), ("2026-11-01", "1"), ("2026-11-16", "0.1")):
        totals.add(spent(cost, nano(f"{day}T12:00")), "a")
    totals.add(spent("0.01"), "b")

    assert used(totals) == {"daily": Decimal("0.01"), "weekly": Decimal("0.11"), "monthly": Decimal("1.11")}


def test_a_new_day():
    """
    At midnight the day begins at zero, while week and month go on.
    """
    totals = Totals(BudgetConfig(daily=1, weekly=10, timezone="UTC"))
    totals.add(spent("1", nano("2026-11-20T23:59:59")), "a")

    assert used(totals, nano("2026-11-20T23:59:59")) == {"daily": Decimal(1), "weekly": Decimal(1)}
    assert used(totals, nano("2026-11-21")) == {"daily": Decimal(0), "weekly": Decimal(1)}


@pytest.mark.parametrize("other", ["2001-01-01T00:00", "2099-01-01T00:00"])
def test_clocks_that_are_wrong(other):
    """
    A record of another century counts neither today, nor does it keep those of today from counting.
    """
    totals = Totals(BudgetConfig(daily=1, timezone="UTC"))

    totals.add(spent("0.25"), "a")
    totals.add(spent("5", nano(other)), "a")
    totals.add(spent("0.25"), "a")

    assert used(totals) == {"daily": Decimal("0.5")}


def test_what_belongs_to_the_run():
    """
    Run, branch, step, tokens and calls count what belongs to the run; the most used branch and step are named.
    """
    totals = Totals(BudgetConfig(daily=9, run=9, branch=9, step=9, tokens=99, calls=9, timezone="UTC"), run_id="mine")

    totals.add(spent("1", branch="a", branch_id="1", input_tokens=10, output_tokens=1), "mine", [("s", "ask")])
    totals.add(spent("2", branch="b", branch_id="2", calls=3), "mine", [("t", "try"), ("u", "up")])
    totals.add(spent("0.5", branch="b", branch_id="2"), "mine", [("u", "up")])
    totals.add(spent("4", branch="a", branch_id="1"), "another", [("s", "ask")])

    assert [(status.period, status.used, status.name) for status in totals.statuses(NOON)] == [
        ("daily", Decimal("7.5"), None),
        ("run", Decimal("3.5"), None),
        ("branch", Decimal("2.5"), "b"),
        ("step", Decimal("2.5"), "up"),
        ("tokens", Decimal(11), None),
        ("calls", Decimal(5), None),
    ]


def test_seconds():
    """
    The seconds of a run pass by themselves.
    """
    totals = Totals(BudgetConfig(seconds=60), run_id="mine", began_unix_nano=NOON)

    assert [used(totals, NOON + passed * SECOND)["seconds"] for passed in (-1, 0, 59)] == [0, 0, 59]
    assert [[account.level for account in totals.pass_time(NOON + passed * SECOND)] for passed in (47, 48, 60, 61)] == [
        *([], [WARNING], [EXCEEDED], []),
    ]


def test_each_threshold_is_reached_once():
    """
    Who adds is told of a limit when it reaches a threshold, and not again.
    """
    totals = Totals(BudgetConfig(daily=1, run="0.5", timezone="UTC"), run_id="r")

    told = [[(a.period, a.level) for a in totals.add(spent("0.1"), "r")] for _ in range(12)]

    assert [each for each in told if each] == [
        *([("run", WARNING)], [("run", EXCEEDED)], [("daily", WARNING)], [("daily", EXCEEDED)]),
    ]
    assert [number for number, each in enumerate(told, start=1) if each] == [4, 5, 8, 10]


def test_no_price_is_no_cost():
    """
    What has no known cost counts as a call and by its tokens, and not in money.
    """
    totals = Totals(BudgetConfig(run=1, tokens=100, calls=5), run_id="r")
    totals.add(spent(None, input_tokens=60), "r")

    assert used(totals) == {"run": Decimal(0), "tokens": Decimal(60), "calls": Decimal(1)}


def test_who_is_held_back():
    """
    A branch or step that has used up its own is held back alone; a day or run holds everybody back.
    """
    totals = Totals(BudgetConfig(daily=3, branch=1, step=1, timezone="UTC"), run_id="r")
    totals.add(spent("1", branch="a", branch_id="1"), "r", [("s", "ask")])
    asked: list[tuple[str | None, list[str]]] = [("1", []), (None, ["s"]), ("2", ["t"]), (None, [])]

    def held_back() -> list[str | None]:
        found = [totals.exceeded(NOON, branch, steps) for branch, steps in asked]
        return [None if account is None else account.period for account in found]

    assert held_back() == ["branch", "step", None, None]

    totals.add(spent("2"), "r")

    assert held_back() == ["daily", "daily", "daily", "daily"]
    assert totals.exceeded(nano("2026-11-22"), None, []) is None


def test_zero_lets_nothing_through():
    """
    A limit of zero is used up before anything was spent, on every day.
    """
    totals = Totals(BudgetConfig(daily=0, timezone="UTC"))

    assert [totals.is_exceeded(nano(day)) for day in ("2026-11-21", "2026-11-22")] == [True, True]


def test_many_small_costs_are_exact():
    """
    A hundred thousand costs of a fraction of a cent add up to the last digit.
    """
    totals = Totals(BudgetConfig(run=1), run_id="r")
    for _ in range(100_000):
        totals.add(spent("0.000000123456789"), "r")

    assert used(totals)["run"] == Decimal("0.0123456789")


def test_from_when_on():
    """
    What is to be read of the past is the longest of the calendar's periods that have a limit.
    """
    assert earliest(BudgetConfig(daily=1, weekly=1, timezone="UTC"), NOON) == nano("2026-11-16")
    assert earliest(BudgetConfig(daily=1, monthly=1, timezone="UTC"), NOON) == nano("2026-11-01")
    assert earliest(BudgetConfig(run=1), NOON) == NOON
