"""What a trade must say: its fields, normalised, and everything that is wrong with them at once."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from ..cuts import beginning
from ..money import CONTEXT, ZERO
from .plain import plain_value


PLACED: Final = "order_placed"
EXECUTED: Final = "order_executed"
CANCELLED: Final = "order_cancelled"
POSITION_CHANGED: Final = "position_changed"
TYPES: Final = (PLACED, EXECUTED, CANCELLED, POSITION_CHANGED)

MOST_CHARACTERS: Final = 1000
_MOST_DIGITS: Final = 30
_SHORT: Final = {"placed": PLACED, "executed": EXECUTED, "cancelled": CANCELLED, "canceled": CANCELLED}
_ALIASES: Final = {
    "orderId": "order_id",
    "executionType": "execution_type",
    "commissionAsset": "commission_asset",
    "strategyId": "strategy_id",
    "filledQuantity": "filled_quantity",
    "remainingQuantity": "remaining_quantity",
    "previousPosition": "previous_position",
    "fee": "commission",
    "fee_asset": "commission_asset",
}
_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    PLACED: ("symbol", "side", "quantity"),
    EXECUTED: ("symbol", "side", "quantity", "price", "order_id"),
    CANCELLED: ("symbol", "side", "quantity", "order_id", "reason"),
    POSITION_CHANGED: ("symbol", "position"),
}


class Checked(NamedTuple):
    """What somebody has said of a trade, looked at."""

    kind: str
    fields: Mapping[str, Any]
    """Normalised; None for one that is not accepted."""
    extra: Mapping[str, Any]
    """What else was said."""
    problems: tuple[str, ...]


def checked(said: object, given: Mapping[str, object]) -> Checked:
    """Return what was *given* for a trade of the type that was *said*, and all that is wrong with it."""
    name = str(plain_value(said)).strip().lower()
    kind = _SHORT.get(name, name)
    problems = [] if kind in TYPES else [f"event_type={name!r} is not accepted; accepted: {', '.join(TYPES)}"]
    there = {_ALIASES.get(key, key): value for key, value in given.items() if value is not None}
    fields: dict[str, Any] = {}
    for key, (accepted, parsed) in _FIELDS.items():
        if key in there:
            fields[key] = parsed(there[key])
            if fields[key] is None:
                problems.append(f"{key}={shortened(there[key])!r} is not accepted; accepted: {accepted}")
    if kind == PLACED:
        # Whoever places an order may leave it to us to give it a name.
        fields.setdefault("order_id", uuid.uuid4().hex)
    problems += [f"{key} is missing" for key in _REQUIRED.get(kind, ()) if key not in fields]
    problems += _with_the_rest(kind, fields)
    extra = {key: shortened(value) for key, value in there.items() if key not in _FIELDS}
    return Checked(kind, fields, extra, tuple(problems))


def _with_the_rest(kind: str, fields: dict[str, Any]) -> list[str]:
    """Add to *fields* what follows from the others; return what does not fit."""
    if kind == POSITION_CHANGED:
        before, after = fields.get("previous_position"), fields.get("position")
        change = ZERO if before is None or after is None else CONTEXT.subtract(after, before)
        if not change.is_zero():
            fields.setdefault("quantity", CONTEXT.abs(change))
            fields.setdefault("side", "SELL" if is_negative(change) else "BUY")
        return []
    quantity, filled, left = (fields.get(key) for key in ("quantity", "filled_quantity", "remaining_quantity"))
    if quantity is None or (kind != CANCELLED and filled is None and left is None):
        return []
    if filled is None:
        filled = ZERO if left is None else CONTEXT.subtract(quantity, left)
    rest = CONTEXT.subtract(quantity, filled)
    if is_negative(filled) or is_negative(rest):
        return [f"filled_quantity={filled} is not accepted; accepted: from 0 to the quantity, {quantity}"]
    if left is not None and not CONTEXT.subtract(left, rest).is_zero():
        return [f"remaining_quantity={left} is not accepted: {filled} of {quantity} are filled"]
    fields.update(filled_quantity=filled, remaining_quantity=rest)
    return []


# ── one value ─────────────────────────────────────────────────────────────────────────────────────


def number_of(said: object) -> Decimal | None:
    """Return an exact number, of a float what it prints as; None for what is none."""
    if isinstance(said, bool) or not isinstance(said, Decimal | int | float | str):
        return None
    try:
        number = CONTEXT.create_decimal(repr(said) if isinstance(said, float) else said)
    except (ValueError, TypeError):
        return None
    return number if number.is_finite() and abs(number.adjusted()) < _MOST_DIGITS else None


def moment_of(said: object) -> datetime | None:
    """Return a time in UTC; one without a zone is meant as the machine has it; None for what is none."""
    try:
        if isinstance(said, str):
            said = datetime.fromisoformat(said.strip())
        elif isinstance(said, int | float) and not isinstance(said, bool) and math.isfinite(said):
            said = datetime.fromtimestamp(said, UTC)
        if isinstance(said, datetime):
            return said.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def is_negative(number: Decimal) -> bool:
    """Whether *number* is below zero."""
    return number.is_signed() and not number.is_zero()


def shortened(value: object) -> Any:  # noqa: ANN401  # JSON
    """Return *value* as a plain one, of a text that is very long its beginning."""
    plain = plain_value(value)
    if isinstance(plain, str) and len(plain) > MOST_CHARACTERS:
        return f"{beginning(plain, MOST_CHARACTERS)}..."
    return plain


def _text(said: object) -> str | None:
    plain = shortened(said)
    return str(plain).strip() or None if isinstance(plain, str | int) and not isinstance(plain, bool) else None


def _symbol(said: object) -> str | None:
    return _text(said) if isinstance(said, str) else None


def _capitals(said: object) -> str | None:
    text = _text(said)
    return None if text is None else text.upper()


def _side(said: object) -> str | None:
    side = _capitals(said)
    return side if side in ("BUY", "SELL") else None


def _above_zero(said: object) -> Decimal | None:
    number = number_of(said)
    return None if number is None or number.is_zero() or number.is_signed() else number


def _from_zero(said: object) -> Decimal | None:
    number = number_of(said)
    return None if number is None or is_negative(number) else number


_A_TEXT: Final = "a text that is not empty"
_ABOVE_ZERO: Final = ("a number above 0", _above_zero)
_FROM_ZERO: Final = ("a number from 0 on", _from_zero)
_NUMBER: Final = ("a number", number_of)
_FIELDS: Final[Mapping[str, tuple[str, Callable[[object], Any]]]] = {
    "symbol": ("a text such as 'BTCUSDT'", _symbol),
    "side": ("BUY or SELL", _side),
    "quantity": _ABOVE_ZERO,
    "price": _ABOVE_ZERO,
    "order_id": (_A_TEXT, _text),
    "execution_type": (_A_TEXT, _capitals),
    # A rebate is below zero.
    "commission": _NUMBER,
    "commission_asset": (_A_TEXT, _capitals),
    "strategy_id": (_A_TEXT, _text),
    "filled_quantity": _FROM_ZERO,
    "remaining_quantity": _FROM_ZERO,
    "reason": (_A_TEXT, _text),
    "position": _NUMBER,
    "previous_position": _NUMBER,
    "timestamp": ("a datetime, ISO 8601, or seconds since 1970", moment_of),
}
