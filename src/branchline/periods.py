"""Periods: where a day, a week and a month begin and end in a time zone."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, tzinfo
from typing import Final, Literal, NamedTuple


Period = Literal["daily", "weekly", "monthly"]
PERIODS: Final[tuple[Period, ...]] = ("daily", "weekly", "monthly")

_SECOND: Final = 1_000_000_000


class Bounds(NamedTuple):
    """One day, week or month, in nanoseconds since 1970: from its first moment up to that of the next one."""

    start: int
    end: int

    def __contains__(self, unix_nano: object) -> bool:
        return isinstance(unix_nano, int) and self.start <= unix_nano < self.end


def bounds(period: Period, unix_nano: int, zone: tzinfo | None) -> Bounds:
    """Return the *period* that a moment falls into; *zone* None is the time zone of this machine.

    A week begins on Monday.
    """
    first = _first_day(period, datetime.fromtimestamp(unix_nano // _SECOND, zone).date())
    found = Bounds(_midnight(first, zone), _midnight(_next(period, first), zone))
    while unix_nano >= found.end:
        # A clock that was set back over midnight shows yesterday's date once more: that day is over all the same.
        first = _next(period, first)
        found = Bounds(found.end, _midnight(_next(period, first), zone))
    return found


def day_of(unix_nano: int, zone: tzinfo | None) -> date:
    """Return the day that a moment falls on."""
    start = bounds("daily", unix_nano, zone).start
    return datetime.fromtimestamp(start // _SECOND, zone).date()


def _first_day(period: Period, day: date) -> date:
    if period == "weekly":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == "monthly" else day


def _next(period: Period, first: date) -> date:
    if period == "monthly":
        return (first + timedelta(days=31)).replace(day=1)
    return first + timedelta(days=7 if period == "weekly" else 1)


def _midnight(day: date, zone: tzinfo | None) -> int:
    # Where the clock is set forward at midnight, this is the very moment; where it shows midnight twice, the first.
    return int(datetime.combine(day, time(), zone).timestamp()) * _SECOND
