"""Rotation: when a file has been written long enough, said the way people say it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from .. import quantities
from ..errors import ConfigError


A_ROTATION: Final = (
    'a size such as 500_000 or "500 MB"; a time such as "12:00", "monday 12:00" or "12:00 Europe/Berlin"; '
    '"hourly", "daily", "weekly", "monthly" or "yearly"; an interval such as "1 week" or a timedelta; '
    "a function of the line and the file; or a list of these"
)
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
PERIODS: Final = ("hourly", "daily", "weekly", "monthly", "yearly")

_TIME: Final = re.compile(r"(?:(?P<day>[a-z]+)\s+)?(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?")
_ZONE: Final = re.compile(r"(?P<rule>.*\S)\s+(?P<zone>[A-Z][A-Za-z_]*(?:/[A-Za-z0-9_+-]+)*)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """The file that is being written, as a function that decides about its rotation sees it."""

    path: Path
    size: int
    """Bytes that are in it."""
    began: float
    """When it was begun, in seconds since 1970."""

    @property
    def name(self) -> str:
        """Where it is, as text."""
        return str(self.path)

    def tell(self) -> int:
        """Return its size."""
        return self.size

    def __fspath__(self) -> str:
        return str(self.path)


Decision = Callable[[str, Written], object]
After = Callable[[float], float]


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """When to rotate: as soon as one of these says so."""

    max_bytes: int | None = None
    moments: tuple[After, ...] = ()
    """Each says when a file is due that was begun at a time."""
    decisions: tuple[Decision, ...] = ()

    def due_at(self, began: float) -> float:
        """Return when a file that was begun then is due, by the clock; infinity for never."""
        return min((after(began) for after in self.moments), default=math.inf)


def rotation_of(said: object) -> Rotation:
    """Return the rotation that somebody *said*; None is none at all.

    Raises:
        ConfigError: for what cannot be one.
    """
    if said is None:
        return Rotation()
    parts = list(said) if isinstance(said, list | tuple | set | frozenset) else [said]
    if not parts:
        raise _refused(said)
    found = [_one(part, said) for part in parts]
    sizes = [one.max_bytes for one in found if one.max_bytes is not None]
    return Rotation(
        max_bytes=min(sizes, default=None),
        moments=tuple(after for one in found for after in one.moments),
        decisions=tuple(decide for one in found for decide in one.decisions),
    )


def _one(part: object, said: object) -> Rotation:
    if isinstance(part, str):
        return _of_text(part.strip(), said)
    if isinstance(part, time):
        return Rotation(moments=(Clock(at=part.replace(tzinfo=None), zone=part.tzinfo),))
    if isinstance(part, timedelta) and part > timedelta():
        return Rotation(moments=(Interval(part.total_seconds()),))
    if isinstance(part, int | float) and not isinstance(part, bool) and math.isfinite(part) and part >= 1:
        return Rotation(max_bytes=int(part))
    if callable(part):
        return Rotation(decisions=(part,))
    raise _refused(said)


def _of_text(text: str, said: object) -> Rotation:
    zone: tzinfo | None = None
    if match := _ZONE.fullmatch(text):
        found = _zone(match["zone"])
        if found is not None:
            text, zone = match["rule"], found
    words = text.lower()
    if words in PERIODS:
        return Rotation(moments=(Period(word=words, zone=zone),))
    if words in WEEKDAYS:
        return Rotation(moments=(Clock(at=time(), weekday=WEEKDAYS.index(words), zone=zone),))
    if match := _TIME.fullmatch(words):
        return Rotation(moments=(_clock(match, zone, said),))
    if zone is None:
        try:
            return Rotation(max_bytes=quantities.size(text))
        except (ValueError, KeyError):
            pass
        try:
            seconds = quantities.seconds(text)
        except (ValueError, KeyError):
            raise _refused(said) from None
        if seconds > 0:
            return Rotation(moments=(Interval(seconds),))
    raise _refused(said)


def _clock(match: re.Match[str], zone: tzinfo | None, said: object) -> Clock:
    day = match["day"]
    try:
        at = time(int(match["hour"]), int(match["minute"]), int(match["second"] or 0))
    except ValueError:
        raise _refused(said) from None
    if day is not None and day not in WEEKDAYS:
        raise _refused(said)
    return Clock(at=at, weekday=None if day is None else WEEKDAYS.index(day), zone=zone)


def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except Exception:  # no zone of that name, no data about any, or a name that is a folder of them
        return None


def _refused(said: object) -> ConfigError:
    msg = f"Cannot parse rotation from: {said!r}; accepted: {A_ROTATION}"
    return ConfigError(msg)


# ── moments ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Interval:
    """So many seconds after the file was begun."""

    seconds: float

    def __call__(self, began: float) -> float:
        return began + self.seconds


@dataclass(frozen=True, kw_only=True)
class Clock:
    """When the clock shows a time, each day or one day of the week; by local time, where no zone is given."""

    at: time
    weekday: int | None = None
    zone: tzinfo | None = None

    def __call__(self, began: float) -> float:
        day = datetime.fromtimestamp(began, self.zone)
        moment = day.replace(hour=self.at.hour, minute=self.at.minute, second=self.at.second, microsecond=0, fold=0)
        # On the calendar, not by 24 hours: a day on which the clock changes has 23 or 25.
        while moment.timestamp() <= began or (self.weekday is not None and moment.weekday() != self.weekday):
            moment += timedelta(days=1)
        return moment.timestamp()


@dataclass(frozen=True, kw_only=True)
class Period:
    """When an hour, a day, a week (on Monday), a month or a year begins on the calendar."""

    word: str
    zone: tzinfo | None = None

    def __call__(self, began: float) -> float:
        if self.word == "hourly":
            return self._next_hour(began)
        midnight: dict[str, Any] = {"hour": 0, "minute": 0, "second": 0, "microsecond": 0, "fold": 0}
        day = datetime.fromtimestamp(began, self.zone).replace(**midnight)
        if self.word == "daily":
            day += timedelta(days=1)
        elif self.word == "weekly":
            day += timedelta(days=7 - day.weekday())
        elif self.word == "monthly":
            day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        else:
            day = day.replace(year=day.year + 1, month=1, day=1)
        return day.timestamp()

    def _next_hour(self, began: float) -> float:
        here = datetime.fromtimestamp(began, self.zone)
        # Counted in seconds, for the same hour may come twice.
        return began + 3600.0 - (here.minute * 60 + here.second + here.microsecond / 1e6)
