"""Money: exact decimals, whatever the program does to Python's own decimals."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from decimal import ROUND_UP, Context, Decimal, Inexact, localcontext

import pytest

import branchline as bl
from branchline.money import money, of_units, plain, units
from branchline.tally import Tally
from branchline.testing import capture
from branchline.usage_values import Usage


@pytest.mark.parametrize(
    ("said", "amount"),
    [
        (Decimal("12.50"), "12.5"),
        (0.1, "0.1"),
        (3, "3"),
        (" 0.05 ", "0.05"),
        (1e-9, "0.000000001"),
        (Decimal("1E+3"), "1000"),
        (0.1234567890123456, "0.1234567890123456"),
        (Decimal("0.1234567890123456789"), "0.123456789012345679"),
    ],
)
def test_what_is_taken(said, amount):
    """
    A number or text is the amount that it prints as, to eighteen places.
    """
    assert plain(money(said)) == amount


@pytest.mark.parametrize("said", [-1, "-0.1", float("nan"), "inf", "sNaN", True, "ten", None, [], 1e300, "1" * 101])
def test_what_is_refused(said):
    """
    What is no number, not finite, below zero or beyond all money is refused.
    """
    with pytest.raises((ValueError, TypeError)):
        money(said)


def test_the_decimals_of_the_program_do_not_matter():
    """
    Sums are exact where the program rounds its own decimals to three digits, upwards, and has rounding raise.
    """
    with localcontext(Context(prec=3, rounding=ROUND_UP, traps=[Inexact])):
        tally = Tally()
        for _ in range(1001):
            tally.add(Usage("m", input_tokens=1, cost=money("0.000012345678")))

        cost = tally.cost

    assert cost == Decimal("0.012358023678")


def test_no_context_variable():
    """
    Recording and adding up asks for no decimal context: a context variable more would slow every step of the thread.
    """

    def variables() -> int:
        before = len(copy_context())
        with bl.step("ask") as step:
            bl.record_usage("gpt-4o", provider="openai", input_tokens=10, output_tokens=3, cached_tokens=1)
            step.usage("m", input_tokens=10, cost="0.1", estimated=0.2)
        return len(copy_context()) - before

    with capture(), ThreadPoolExecutor(1) as pool:
        # The variable of the current step is there from the first one on.
        pool.submit(lambda: bl.step("first").__enter__().__exit__(None, None, None)).result()
        assert pool.submit(variables).result() == 0


def test_units_and_back():
    """
    An amount survives the way to whole units and back, also below zero.
    """
    amounts = [Decimal("0.000000000000000001"), Decimal("123456789.987654321"), Decimal(0), Decimal("-0.5")]

    assert [of_units(units(amount)) for amount in amounts] == amounts
