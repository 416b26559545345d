"""Limits: what a budget accepts, and how much of it is used, exactly."""

from __future__ import annotations

import decimal
import pickle
from dataclasses import FrozenInstanceError
from datetime import UTC, timedelta
from decimal import Decimal

import pytest

from branchline.errors import BranchlineError, ConfigError
from branchline.limits import BudgetConfig, BudgetExceeded, BudgetStatus, amount, bar


def test_nothing_said():
    """
    A budget of which nothing is said limits nothing, warns at 80 and is exceeded at 100 percent.
    """
    budget = BudgetConfig()

    assert (budget.limits, budget.warn_threshold, budget.block_threshold, budget.on_exceed) == ((), 0.8, 1.0, "inform")


def test_money_is_exact():
    """
    Money is a Decimal: of a float, the one that it prints as.
    """
    budget = BudgetConfig(daily=0.1, weekly="2.50", monthly=Decimal("10.001"), run=3, branch=1.1, step="0.01")

    assert [budget.limit(name) for name in budget.limits] == [
        *(Decimal("0.1"), Decimal("2.50"), Decimal("10.001")),
        *(Decimal(3), Decimal("1.1"), Decimal("0.01")),
    ]


def test_frozen():
    """
    A budget does not change.
    """
    with pytest.raises(FrozenInstanceError):
        BudgetConfig(daily=1).daily = 2  # type: ignore[misc]  # that is the rule


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("daily", -1), ("daily", "a lot"), ("daily", float("nan")), ("daily", float("inf")), ("daily", True)),
        *(("daily", []), ("daily", 10**31)),
        *(("run", "-0.01"), ("step", object())),
        *(("tokens", 1.5), ("tokens", -1), ("tokens", "1"), ("calls", True), ("calls", None.__class__)),
        *(("seconds", -1), ("seconds", "soon"), ("seconds", float("inf"))),
        *(
            ("warn_threshold", 0),
            ("warn_threshold", "80%"),
            ("warn_threshold", None),
            ("block_threshold", float("nan")),
        ),
        *(("warn_threshold", 1.5), ("block_threshold", 0.5)),
        *(("on_exceed", "stop"), ("on_exceed", None)),
        *(("timezone", "Mars/Olympus"), ("timezone", "../../etc/passwd"), ("timezone", 2), ("timezone", "")),
    ],
)
def test_what_is_not_accepted(option, value):
    """
    A value that cannot be is refused at once, by name and with what is accepted.
    """
    with pytest.raises(ConfigError, match=r"BudgetConfig\(\w+=.*\) is not accepted; accepted: .+"):
        BudgetConfig(**{option: value})


def test_other_ways_to_say_it():
    """
    A time is also a text or a timedelta, a time zone also an object.
    """
    assert BudgetConfig(seconds="2 min") == BudgetConfig(seconds=timedelta(minutes=2)) == BudgetConfig(seconds=120)
    assert BudgetConfig(timezone=UTC).zone is UTC
    assert str(BudgetConfig(timezone="Europe/Berlin").zone) == "Europe/Berlin"


def test_as_a_dictionary():
    """
    `from_dict` makes the same budget of what `to_dict` gives, and of the thresholds as alerts.
    """
    budget = BudgetConfig(daily=10.0, weekly="0.1", run="1.00000000000000001", seconds=2.5, timezone="Europe/Berlin")

    assert BudgetConfig.from_dict(budget.to_dict()) == budget
    assert (budget.to_dict()["daily"], budget.to_dict()["warn_threshold"]) == (10.0, 0.8)
    assert BudgetConfig.from_dict(
        {"daily": 10.00, "alerts": [{"threshold": 0.5, "action": "warn"}, {"threshold": 0.9, "action": "block"}]}
    ) == BudgetConfig(daily=10, warn_threshold=0.5, block_threshold=0.9)


@pytest.mark.parametrize("options", [{"dayly": 1}, {"alerts": [{"threshold": 1, "action": "mail"}]}, {"alerts": [1]}])
def test_an_unknown_option(options):
    """
    What is no option of a budget is refused, with those that there are.
    """
    with pytest.raises(ConfigError, match=r"known are|accepted: "):
        BudgetConfig.from_dict(options)


@pytest.mark.parametrize(
    ("used", "expected"),
    [("0", "ok"), ("7.99", "ok"), ("8", "warning"), ("9.99", "warning"), ("10", "exceeded"), ("12", "exceeded")],
)
def test_thresholds(used, expected):
    """
    At its threshold, not only beyond it, a limit warns and is exceeded.
    """
    assert BudgetConfig(daily=10).status("daily", Decimal(used)).status == expected


def test_what_a_status_says():
    """
    Used, remaining and percent are exact; remaining stays at zero, and percent goes on.
    """
    assert BudgetConfig(daily="10.00").status("daily", Decimal("12.50")) == BudgetStatus(
        period="daily",
        limit=Decimal(10),
        used=Decimal("12.50"),
        remaining=Decimal(0),
        percent_used=Decimal(125),
        status="exceeded",
    )


def test_three_times_ten_cents():
    """
    Three times 0.1 of 0.3 is all of it, and not a hair more.
    """
    status = BudgetConfig(daily=0.3).status("daily", Decimal("0.1") * 3)

    assert (status.percent_used, status.remaining, status.status) == (Decimal(100), Decimal(0), "exceeded")


def test_zero_blocks():
    """
    A limit of zero is exceeded before anything was spent.
    """
    status = BudgetConfig(daily=0).status("daily", Decimal(0))

    assert (status.status, status.percent_used, status.remaining) == ("exceeded", Decimal(100), Decimal(0))


def test_the_error():
    """
    BudgetExceeded says how much of what is used, has the status, and comes whole out of another process.
    """
    error = BudgetExceeded(BudgetConfig(branch=5).status("branch", Decimal("5.004"), name="gpt"))

    assert isinstance(error, BranchlineError)
    assert str(error) == "$5.00 of $5.00 of the branch budget of gpt used: no step is entered any more"
    assert pickle.loads(pickle.dumps(error)).status == error.status


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("0", "USD", "$0.00"),
        ("1234.5", "USD", "$1,234.50"),
        ("0.0031", "USD", "$0.0031"),
        ("0.05", "USD", "$0.05"),
        ("0.0512", "USD", "$0.051"),
        ("12000", "tokens", "12,000 tokens"),
        ("61.23", "seconds", "61.2 seconds"),
    ],
)
def test_as_a_person_reads_it(value, unit, expected):
    """
    Dollars have two places, or two digits that say something; counts have their unit.
    """
    assert amount(Decimal(value), unit) == expected


def test_whatever_the_program_does_with_decimals():
    """
    A program that rounds to three digits, or raises where a decimal is not exact, changes nothing about its budget.
    """
    with decimal.localcontext(decimal.Context(prec=3, traps=[decimal.Inexact, decimal.Rounded])):
        status = BudgetConfig(daily="1234.5678").status("daily", Decimal("411.5226"))
        shown = (str(status), bar(status))

    assert (status.percent_used, status.remaining) == (Decimal("33.333333333333"), Decimal("823.0452"))
    assert shown == ("$411.52 of $1,234.57 of the daily budget", "██████░░░░░░░░░░░░░░")
