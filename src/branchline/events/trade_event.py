"""Trades: orders that are placed, executed or cancelled, and positions that change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from .. import names
from ..logs.json_lines import as_json
from ..money import plain
from .saying import say, side_by_side
from .trade_rules import CANCELLED, EXECUTED, PLACED, POSITION_CHANGED, checked


# Whoever wants trades in a file of their own gives this logger a sink.
LOGGER: Final = "trades"

_EVENTS: Final[Mapping[str, str]] = {
    PLACED: names.TRADE_PLACED,
    EXECUTED: names.TRADE_EXECUTED,
    CANCELLED: names.TRADE_CANCELLED,
    POSITION_CHANGED: names.TRADE_POSITION,
}
_DOCUMENTED: Final[Mapping[str, str]] = {
    "symbol": "symbol",
    "side": "side",
    "quantity": "quantity",
    "price": "price",
    "order_id": "orderId",
    "execution_type": "executionType",
    "commission": "commission",
    "commission_asset": "commissionAsset",
    "strategy_id": "strategyId",
    "filled_quantity": "filledQuantity",
    "remaining_quantity": "remainingQuantity",
    "reason": "reason",
    "position": "position",
    "previous_position": "previousPosition",
}


class InvalidTrade(ValueError):
    """A trade that cannot be; ``problems`` has everything that is wrong with it."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        """Say all of the *problems*."""
        super().__init__("; ".join(problems))
        self.problems = problems

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.problems,)


@dataclass(frozen=True, init=False)
class TradeEvent:
    """An order that was placed, executed or cancelled, or a position that changed; validated and normalised.

    Numbers are exact decimals; a side may be in any case; a time is in UTC. Keys may be in camel case. What has no
    field of its own is in ``extra``, shortened where it is very long.
    """

    event_type: str
    """``order_placed``, ``order_executed``, ``order_cancelled`` or ``position_changed``."""
    symbol: str
    side: str | None
    """``BUY`` or ``SELL``."""
    quantity: Decimal | None
    price: Decimal | None
    order_id: str | None
    """Made for an order that is placed, where it has none."""
    execution_type: str | None
    """Such as ``MARKET`` or ``LIMIT``."""
    commission: Decimal | None
    commission_asset: str | None
    strategy_id: str | None
    filled_quantity: Decimal | None
    remaining_quantity: Decimal | None
    """What of an order is not filled."""
    reason: str | None
    position: Decimal | None
    """What is held after it."""
    previous_position: Decimal | None
    timestamp: datetime
    extra: Mapping[str, Any] = field(hash=False)

    def __init__(self, event_type: str, **fields: object) -> None:
        """Take what there is to say of it.

        Raises:
            InvalidTrade: for what cannot be, with all that is wrong.
        """
        found = checked(event_type, fields)
        if found.problems:
            raise InvalidTrade(found.problems)
        said = {"timestamp": datetime.now(UTC), **found.fields}
        for name in _FIELDS:
            object.__setattr__(self, name, said.get(name))
        object.__setattr__(self, "event_type", found.kind)
        object.__setattr__(self, "extra", found.extra)

    @classmethod
    def placed(cls, symbol: str, side: str, quantity: Decimal | float | str, **fields: object) -> TradeEvent:
        """Return an order that was placed: *fields* are ``price``, ``order_id``, ``execution_type`` and so on.

        Raises:
            InvalidTrade: for what cannot be, with all that is wrong.
        """
        return cls(PLACED, symbol=symbol, side=side, quantity=quantity, **fields)

    @classmethod
    def executed(cls, symbol: str, side: str, quantity: Decimal | float | str, **fields: object) -> TradeEvent:
        """Return an order that was executed: *fields* are ``price``, ``order_id``, ``commission`` and so on.

        Raises:
            InvalidTrade: for what cannot be, with all that is wrong.
        """
        return cls(EXECUTED, symbol=symbol, side=side, quantity=quantity, **fields)

    @classmethod
    def cancelled(cls, symbol: str, side: str, quantity: Decimal | float | str, **fields: object) -> TradeEvent:
        """Return an order that was cancelled: *fields* are ``order_id``, ``reason``, ``filled_quantity`` and so on.

        Raises:
            InvalidTrade: for what cannot be, with all that is wrong.
        """
        return cls(CANCELLED, symbol=symbol, side=side, quantity=quantity, **fields)

    @classmethod
    def position_changed(cls, symbol: str, position: Decimal | float | str, **fields: object) -> TradeEvent:
        """Return that another *position* is held: *fields* are ``previous_position``, ``order_id`` and so on.

        Raises:
            InvalidTrade: for what cannot be, with all that is wrong.
        """
        return cls(POSITION_CHANGED, symbol=symbol, position=position, **fields)

    # ── as an event ───────────────────────────────────────────────────────────────────────────────

    @property
    def message(self) -> str:
        """What a person reads: ``BUY 1 BTC @ 50000``."""
        if self.event_type == POSITION_CHANGED:
            before = "" if self.previous_position is None else f"{plain(self.previous_position)} → "
            return f"{self.symbol} {before}{_shown(self.position)}"
        said = f"{self.side} {_shown(self.quantity)} {self.symbol}"
        said += "" if self.price is None else f" @ {plain(self.price)}"
        if self.event_type == CANCELLED:
            said += f", {_shown(self.remaining_quantity)} not filled: {self.reason}"
        return said

    def fields(self) -> dict[str, object]:
        """Return what is known of it beside the message, numbers as exact texts."""
        own = {name: _plain(getattr(self, name)) for name in _DOCUMENTED if getattr(self, name) is not None}
        return side_by_side(own, self.extra, "extra")

    def record(self, *, logger: str | None = LOGGER) -> TradeEvent:
        """Record it as an event of the current step, give it to whoever listens to that *logger*, and return it.

        Never raises.
        """
        moment = int(self.timestamp.timestamp() * 1e6) * 1000
        say(_EVENTS[self.event_type], self.fields(), message=self.message, logger=logger, time_unix_nano=max(moment, 1))
        return self

    # ── as plain values ───────────────────────────────────────────────────────────────────────────

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values, numbers as exact texts; what is not known is left out."""
        data = {
            documented: _plain(value)
            for name, documented in _DOCUMENTED.items()
            if (value := getattr(self, name)) is not None
        }
        return {
            "eventType": self.event_type,
            "timestamp": self.timestamp.isoformat(),
            "tradeData": side_by_side(data, self.extra, "extra"),
        }

    def to_json(self) -> str:
        """Return it as one line of JSON."""
        return as_json(self.to_dict())

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> TradeEvent:
        """Return the trade that ``to_dict`` told of.

        Raises:
            InvalidTrade: for what cannot be one, with all that is wrong.
        """
        data = told.get("tradeData")
        fields = dict(data) if isinstance(data, Mapping) else {}
        fields.pop("event_type", None)
        return cls(str(told.get("eventType")), **{"timestamp": told.get("timestamp"), **fields})


_FIELDS: Final = (*_DOCUMENTED, "timestamp")


def record_trade(event_type: str, **fields: object) -> TradeEvent | None:
    """Record a trade of which everything is still to be checked, and return it; never raises.

    One that cannot be is recorded as ``branchline.trade.invalid``, with all that is wrong and all that was said.
    """
    try:
        return TradeEvent(event_type, **fields).record()
    except InvalidTrade as error:
        say(
            names.TRADE_INVALID,
            side_by_side({"event_type": event_type, "problems": error.problems}, fields, "said"),
            severity="WARN",
            message=str(error),
            logger=LOGGER,
        )
        return None


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return plain(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _shown(number: Decimal | None) -> str:
    return "???" if number is None else plain(number)
