"""Money: US dollars as exact decimals, whatever the program has told Python's decimal module to do.

Nothing here asks for the decimal context of its thread: asked for once, that is a context variable more, and every step
of the thread costs a twentieth more from then on.
"""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal
from typing import Final


A_COST: Final = "US dollars as a Decimal, a number or text; not below zero"

# Places behind the point. The price of one token has about nine, and a float's digits all fit in.
PLACES: Final = 18
# Of our own: the application's may round to three digits, or raise where it has to round. It never traps.
CONTEXT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN, Emin=MIN_EMIN, Emax=MAX_EMAX, capitals=1, clamp=0, traps=[])
ZERO: Final = CONTEXT.create_decimal(0)
_ONE: Final = CONTEXT.create_decimal(1)
_UNIT: Final = CONTEXT.scaleb(_ONE, -PLACES)
# Digits before the point, and characters.
_MOST_DIGITS: Final = 30
_MOST_TEXT: Final = 100


def money(value: object) -> Decimal:
    """Return *value* as an exact amount of dollars, to 18 places; a float is what it prints as.

    Raises:
        ValueError, TypeError: for what is no number, not finite, or below zero.
    """
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, Decimal | int):
        amount = value if value.__class__ is Decimal else CONTEXT.create_decimal(value)
    elif isinstance(value, str) and len(value) <= _MOST_TEXT:
        amount = CONTEXT.create_decimal(value.strip())
    else:
        amount = CONTEXT.create_decimal(repr(float(value)))  # type: ignore[arg-type]  # raises as it may
    if not amount.is_finite() or (amount.is_signed() and not amount.is_zero()) or amount.adjusted() >= _MOST_DIGITS:
        raise ValueError
    return amount if amount.as_tuple().exponent >= -PLACES else CONTEXT.quantize(amount, _UNIT)  # type: ignore[operator]  # finite


def units(amount: Decimal) -> int:
    """Return *amount* as a whole number of the smallest units: what is added up without any rounding."""
    return int(CONTEXT.to_sci_string(CONTEXT.quantize(CONTEXT.scaleb(amount, PLACES), _ONE)))


def of_units(count: int) -> Decimal:
    """Return *count* of the smallest units as dollars."""
    return CONTEXT.normalize(CONTEXT.scaleb(CONTEXT.create_decimal(count), -PLACES))


def plain(amount: Decimal) -> str:
    """Return *amount* as text without an exponent and without needless zeros: what ``money`` reads back exactly."""
    count = units(amount)
    whole, part = divmod(abs(count), 10**PLACES)
    sign = "-" if count < 0 else ""
    return f"{sign}{whole}.{part:018d}".rstrip("0").rstrip(".")


def as_float(amount: Decimal) -> float:
    """Return *amount* as OpenTelemetry wants it."""
    return float(CONTEXT.to_sci_string(amount))
