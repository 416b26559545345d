"""Counting: each usage once, in whatever order its recorder and the ledger tell of it."""

from __future__ import annotations

import time
from decimal import Decimal
from itertools import permutations

import pytest

from branchline.budget.counting import Counting
from branchline.limits import BudgetConfig
from branchline.totals import Spent
from branchline.usage_values import Usage


def usage(name: str) -> Usage:
    return Usage("m", cost=Decimal("0.10"), usage_id=name, time_unix_nano=time.time_ns())


def counting() -> Counting:
    return Counting(BudgetConfig(daily=100, run=100), run_id="r", process=lambda: "me")


def used(counted: Counting) -> list[Decimal]:
    return [status.used for status in counted.statuses(time.time_ns())]


@pytest.mark.parametrize("order", list(permutations(["heard", "ledger", "reload"])))
def test_each_once(order):
    """
    A usage counts once, whether it is heard of before the ledger has it, after, or after the ledger was made anew.
    """
    counted = counting()
    mine = usage("mine")
    known: list[Spent] = []
    for event in order:
        if event == "heard":
            counted.hear(mine)
        elif event == "ledger":
            known.append(Spent(mine, "r", "me"))
            counted.catch_up(known)
        else:
            counted.reload(list(known))

    assert used(counted) == [Decimal("0.10"), Decimal("0.10")]


def test_others():
    """
    What others spend counts when the ledger tells of it, in this run or in another one.
    """
    counted = counting()
    counted.hear(usage("mine"))
    counted.catch_up([Spent(usage("a"), "r", "child"), Spent(usage("b"), "another", "other")])

    assert used(counted) == [Decimal("0.30"), Decimal("0.20")]
