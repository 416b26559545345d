"""Money: US dollars as exact decimals, whatever the program has told Python's decimal module to do."""

from __future__ import annotations

from contextvars import copy_context
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal
from typing import Final


A_COST: Final = "US dollars as a Decimal, a number or text; not below zero"

# Places behind the point. The price of one token has about nine, and a float's digits all fit in.
PLACES: Final = 18
# Of our own: the application's may round to three digits, or raise where it has to round. It never traps.
CONTEXT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN, Emin=MIN_EMIN, Emax=MAX_EMAX, capitals=1, clamp=0, traps=[])
# Made where it is soon forgotten: the first decimal of a thread leaves a context variable there, and with a second
# variable every step of that thread would cost a twentieth more.
ZERO, _UNIT, _MOST = copy_context().run(lambda: (Decimal(0), Decimal(1).scaleb(-PLACES), Decimal(10) ** 30))
_MOST_TEXT: Final = 100


def money(value: object) -> Decimal:
    """Return *value* as an exact amount of dollars, to 18 places; a float is what it prints as.

    Raises:
        ValueError: for what is no number, not finite, or below zero.
    """
    if value.__class__ is Decimal:
        amount: Decimal = value
    elif isinstance(value, bool):
        raise ValueError
    elif isinstance(value, Decimal | int):
        amount = Decimal(value)
    elif isinstance(value, str) and len(value) <= _MOST_TEXT:
        amount = CONTEXT.create_decimal(value.strip())
    else:
        amount = Decimal(repr(float(value)))  # type: ignore[arg-type]  # raises as it may
    # What is not finite compares with nothing, or with everything in the wrong way.
    if not amount.is_finite() or not 0 <= amount < _MOST:
        raise ValueError
    return amount if amount.as_tuple().exponent >= -PLACES else CONTEXT.quantize(amount, _UNIT)  # type: ignore[operator]  # finite


def units(amount: Decimal) -> int:
    """Return *amount* as a whole number of the smallest units: what is added up without any rounding."""
    return int(CONTEXT.scaleb(amount, PLACES))


def of_units(count: int) -> Decimal:
    """Return *count* of the smallest units as dollars."""
    return CONTEXT.normalize(CONTEXT.scaleb(Decimal(count), -PLACES))


def plain(amount: Decimal) -> str:
    """Return *amount* as text without an exponent and without needless zeros: what ``money`` reads back exactly."""
    text = f"{amount:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
