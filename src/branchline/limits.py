"""Limits: what may be spent, as a value that set-up takes, and how much of it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, fields
from datetime import timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final, Literal, Self

from .errors import BranchlineError, ConfigError
from .money import A_COST, CONTEXT, ZERO, money, plain
from .quantities import A_DURATION, seconds


Status = Literal["ok", "warning", "exceeded"]

OF_MONEY: Final = ("daily", "weekly", "monthly", "run", "branch", "step")
OF_A_RUN: Final = ("tokens", "seconds", "calls")
LIMITS: Final = (*OF_MONEY, *OF_A_RUN)
UNITS: Final[Mapping[str, str]] = {
    **dict.fromkeys(OF_MONEY, "USD"),
    "tokens": "tokens",
    "seconds": "seconds",
    "calls": "calls",
}


@dataclass(frozen=True, kw_only=True)
class BudgetStatus:
    """How much of one limit is used."""

    period: str
    """Which limit, as `BudgetConfig` calls it: ``daily``, ``run``, ``tokens``."""
    limit: Decimal
    used: Decimal
    remaining: Decimal
    """Not below zero."""
    percent_used: Decimal
    """100 is all of it."""
    status: Status
    name: str | None = None
    """Of the branch or step that has used so much of it."""

    @property
    def unit(self) -> str:
        """What is counted."""
        return UNITS.get(self.period, "USD")

    def __str__(self) -> str:
        return f"{self.spent} of the {self.title}"

    @property
    def title(self) -> str:
        """What it is called: ``daily budget``, ``branch budget of gpt``."""
        return f"{self.period} budget" + (f" of {self.name}" if self.name else "")

    @property
    def spent(self) -> str:
        """How much of how much is used, as a person reads it: ``$8.00 of $10.00``, ``12 of 50 calls``."""
        return spent_of(self.used, self.limit, self.unit)


class BudgetExceeded(BranchlineError):
    """A step was not entered, because a budget is used up; *status* says which."""

    def __init__(self, status: BudgetStatus) -> None:
        super().__init__(f"{status} used: no step is entered any more")
        self.status = status

    def __reduce__(self) -> tuple[type[BudgetExceeded], tuple[BudgetStatus]]:
        return type(self), (self.status,)


OnExceed = Literal["inform", "raise"] | Callable[[BudgetStatus], object]


@dataclass(frozen=True)
class BudgetConfig:
    """What may be spent: in US dollars by day, week, month, run, branch and step; in tokens, seconds and calls by run.

    None is no limit, and zero lets nothing through. From *warn_threshold* of a limit on there is a warning, from
    *block_threshold* on it is exceeded. *on_exceed* then only says so (``inform``), lets no further step begin
    (``raise``), or is called with the ``BudgetStatus``. *timezone* says when a day begins: a name such as
    ``Europe/Berlin`` or a tzinfo; None is the time zone of this machine.
    """

    daily: Decimal | float | str | None = None
    weekly: Decimal | float | str | None = None
    monthly: Decimal | float | str | None = None
    _: KW_ONLY
    run: Decimal | float | str | None = None
    branch: Decimal | float | str | None = None
    step: Decimal | float | str | None = None
    tokens: int | None = None
    seconds: float | str | timedelta | None = None
    calls: int | None = None
    warn_threshold: float = 0.8
    block_threshold: float = 1.0
    on_exceed: OnExceed = "inform"
    timezone: str | tzinfo | None = None

    def __post_init__(self) -> None:
        for name, (accepted, read) in _FIELDS.items():
            value = getattr(self, name)
            if value is None and name not in _ALWAYS:
                continue
            try:
                object.__setattr__(self, name, read(value))
            except (ValueError, TypeError, ArithmeticError, KeyError, OSError):
                msg = f"BudgetConfig({name}={value!r}) is not accepted; accepted: {accepted}"
                raise ConfigError(msg) from None
        if self.warn_threshold > self.block_threshold:
            msg = (
                f"BudgetConfig(warn_threshold={self.warn_threshold!r}) is not accepted; accepted: at most "
                f"block_threshold, which is {self.block_threshold!r}"
            )
            raise ConfigError(msg)

    @property
    def zone(self) -> tzinfo | None:
        """The time zone that days begin in; None for the one of this machine."""
        return _zone(self.timezone) if isinstance(self.timezone, str) else self.timezone

    def limit(self, name: str) -> Decimal | None:
        """Return the limit of this *name*, or None where there is none."""
        value = getattr(self, name)
        return None if value is None else Decimal(str(value))

    @property
    def limits(self) -> tuple[str, ...]:
        """The names of the limits that there are."""
        return tuple(name for name in LIMITS if getattr(self, name) is not None)

    def status(self, period: str, used: Decimal, *, name: str | None = None) -> BudgetStatus:
        """Return how much of the limit of this *period* is used; there has to be one."""
        limit = self.limit(period) or ZERO
        return BudgetStatus(
            period=period,
            limit=limit,
            used=used,
            remaining=max(CONTEXT.subtract(limit, used), ZERO),
            percent_used=percent(used, limit),
            status=self._judged(used, limit),
            name=name,
        )

    def _judged(self, used: Decimal, limit: Decimal) -> Status:
        if used >= CONTEXT.multiply(limit, Decimal(str(self.block_threshold))):
            return "exceeded"
        return "warning" if used >= CONTEXT.multiply(limit, Decimal(str(self.warn_threshold))) else "ok"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values that JSON has: what is called when it is exceeded is not among them."""
        said = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        said["timezone"] = None if self.timezone is None else str(self.timezone)
        said["on_exceed"] = self.on_exceed if isinstance(self.on_exceed, str) else "inform"
        return {name: as_number(value) if isinstance(value, Decimal) else value for name, value in said.items()}

    @classmethod
    def from_dict(cls, options: Mapping[str, Any]) -> Self:
        """Return the budget that *options* describe; ``alerts`` may say the thresholds.

        Raises:
            ConfigError: for an unknown option and for a value that is not accepted.
        """
        said = {str(name): value for name, value in options.items() if name != "alerts"}
        for alert in options.get("alerts") or ():
            action = alert.get("action") if isinstance(alert, Mapping) else None
            if action not in _ALERTS or "threshold" not in alert:
                msg = f"alerts={alert!r} is not accepted; accepted: a threshold, and an action: {', '.join(_ALERTS)}"
                raise ConfigError(msg)
            said[_ALERTS[action]] = alert["threshold"]
        known = [entry.name for entry in fields(cls)]
        for name in said:
            if name not in known:
                msg = f"unknown option {name!r} of a budget; known are {', '.join(known)}"
                raise ConfigError(msg)
        return cls(**said)


_ALERTS: Final = {"warn": "warn_threshold", "block": "block_threshold"}


def amount(value: Decimal, unit: str) -> str:
    """Return *value* as a person reads it: ``$4.21``, ``$0.0031``, ``12,000 tokens``."""
    if unit != "USD":
        return f"{value:,.1f} {unit}" if unit == "seconds" else f"{value:,.0f} {unit}"
    # Cents; of less than ten, where that is not all, two digits that say something.
    is_whole = value >= Decimal("0.1") or CONTEXT.quantize(value, Decimal("0.01")) == value
    places = 2 if is_whole else min(1 - value.adjusted(), 8)
    return f"${value:,.{places}f}"


def spent_of(used: Decimal, limit: Decimal, unit: str) -> str:
    """Return how much of how much is used: ``$8.00 of $10.00``, ``12 of 50 calls``."""
    spent = amount(used, unit)
    return f"{spent if unit == 'USD' else spent.removesuffix(f' {unit}')} of {amount(limit, unit)}"


_BAR: Final = 20


def bar(status: BudgetStatus, *, full: str = "█", empty: str = "░") -> str:
    """Return how much is used as 20 characters; what is not nothing has one, and what is not all leaves one."""
    cells = min(int(status.percent_used), 100) * _BAR // 100
    if status.used and not cells:
        cells = 1
    return full * cells + empty * (_BAR - cells)


def as_number(value: Decimal) -> float | str:
    """Return *value* as a number, where a float says it exactly to who reads what it prints as; else as text."""
    return float(value) if Decimal(repr(float(value))) == value else plain(value)


def percent(part: Decimal, whole: Decimal) -> Decimal:
    """Return *part* of *whole* in percent, to twelve places; 100 of nothing."""
    if not whole:
        return Decimal(100)
    found = CONTEXT.divide(CONTEXT.multiply(part, Decimal(100)), whole)
    # Without an exponent: 100, and not 1E+2.
    return Decimal(plain(CONTEXT.quantize(found, Decimal("1e-12"))))


# ── the values ────────────────────────────────────────────────────────────────────────────────────


def _count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError


def _seconds(value: object) -> Decimal:
    return Decimal(str(seconds(float(value) if isinstance(value, Decimal) else value)))


def _fraction(value: object) -> float:
    number = float(value) if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else math.nan
    if math.isfinite(number) and number > 0:
        return number
    raise ValueError


def _on_exceed(value: object) -> object:
    if value in ("inform", "raise") or callable(value):
        return value
    raise ValueError


def _timezone(value: object) -> str | tzinfo:
    if isinstance(value, tzinfo):
        return value
    if not isinstance(value, str):
        raise TypeError
    _zone(value)
    return value


def _zone(name: str) -> tzinfo:
    # Whoever names no time zone must not pay for looking where these are.
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


_FIELDS: Final[Mapping[str, tuple[str, Callable[[object], object]]]] = {
    **dict.fromkeys(OF_MONEY, (A_COST, money)),
    "tokens": ("a whole number, not below zero", _count),
    "seconds": (A_DURATION, _seconds),
    "calls": ("a whole number, not below zero", _count),
    "warn_threshold": ("a positive number; 0.8 is 80 percent", _fraction),
    "block_threshold": ("a positive number; 1 is all of it", _fraction),
    "on_exceed": ('"inform", "raise", or what is called with the BudgetStatus', _on_exceed),
    "timezone": ('the name of a time zone such as "Europe/Berlin", or a tzinfo', _timezone),
}
_ALWAYS: Final = frozenset({"warn_threshold", "block_threshold", "on_exceed"})
