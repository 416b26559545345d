"""Admission: which records a handler takes, by filter, by rate, and of repeats only the first."""

from __future__ import annotations

import copy
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from .. import quantities
from ..errors import ConfigError
from .levels import level_number
from .records import Record


Filter: TypeAlias = Callable[[Record], object]

A_FILTER: Final = (
    'a function of the record, the name of a logger such as "app.db", '
    'or levels by logger such as {"app": "INFO", "app.db": False}'
)
A_RATE: Final = 'records in a time, such as "100/s", "6000/min" or "1000/5 s"'

# Above any level: nothing passes.
_NONE: Final = 1 << 30
_MOST_REPEATED: Final = 1000
_SIMPLE: Final = frozenset({str, int, float, bool, type(None)})


# ── filters ───────────────────────────────────────────────────────────────────────────────────────


def filter_of(said: object) -> Filter | None:
    """Return what tells whether a record passes, as somebody *said*; None lets all pass.

    Raises:
        ConfigError: for what cannot be one.
    """
    if said is None or said == "":
        return None
    if isinstance(said, str):
        return _of_logger(said)
    if isinstance(said, Mapping):
        return _by_logger(said)
    if isinstance(said, logging.Filter):
        return said.filter
    if callable(said):
        return said
    msg = f"filter={said!r} is not accepted; accepted: {A_FILTER}"
    raise ConfigError(msg)


def _of_logger(name: str) -> Filter:
    below = f"{name}."
    return lambda record: record.name == name or record.name.startswith(below)


def _by_logger(said: Mapping[Any, object]) -> Filter:
    lowest = {_logger_name(name): _lowest(name, level) for name, level in said.items()}

    def passes(record: Record) -> bool:
        name = record.name
        while name not in lowest:
            if not name:
                return True
            name = name.rpartition(".")[0]
        return record.levelno >= lowest[name]

    return passes


def _logger_name(said: object) -> str:
    if said is None or isinstance(said, str):
        return said or ""
    msg = f"filter={said!r}: the names of loggers are texts"
    raise ConfigError(msg)


def _lowest(name: object, level: object) -> int:
    if isinstance(level, bool):
        return 0 if level else _NONE
    return level_number(level, f"filter[{name!r}]")


# ── rates ─────────────────────────────────────────────────────────────────────────────────────────


class Rate:
    """So many records in a time, each of which fills up again as it passes."""

    def __init__(self, count: float, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Let *count* records pass in *seconds*."""
        self._most = count
        self._each = count / seconds
        self._clock = clock
        self._left = count
        self._at = clock()
        self.begin_anew()

    def begin_anew(self) -> None:
        """Have a lock of its own in a forked child."""
        self._mutex = threading.RLock()

    def passes(self, record: Record) -> bool:
        """Whether *record* is within the rate; a CRITICAL one always is."""
        if record.levelno >= logging.CRITICAL:
            return True
        with self._mutex:
            now = self._clock()
            self._left = min(self._left + (now - self._at) * self._each, self._most)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


def rate_of(said: object) -> Rate | None:
    """Return the rate that somebody *said*; None is none.

    Raises:
        ConfigError: for what cannot be one.
    """
    if said is None:
        return None
    count, slash, time_said = str(said).partition("/")
    try:
        # "100/s" is in one second, "1000/5 s" in five.
        time_said = time_said.strip()
        seconds = quantities.seconds(time_said if time_said[:1].isdigit() else f"1 {time_said}")
        if isinstance(said, str) and slash and time_said and 1 <= float(count) < math.inf and seconds > 0:
            return Rate(float(count), seconds)
    except (ValueError, KeyError):
        pass
    msg = f"rate_limit={said!r} is not accepted; accepted: {A_RATE}"
    raise ConfigError(msg)


# ── repeats ───────────────────────────────────────────────────────────────────────────────────────


class Repeats:
    """Lets a record pass, and of those that say the same within a time only how many they were."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Hold back what was said within the last *seconds*."""
        self._seconds = seconds
        self._clock = clock
        self.begin_anew()

    def begin_anew(self) -> None:
        """Know of nothing, as at the start, or in a forked child."""
        self._mutex = threading.RLock()
        # In order of time: what has been here longest is the first that is over.
        self._seen: dict[tuple[str, int, str], _Repeated] = {}

    def admitted(self, record: Record) -> list[Record]:
        """Return what is to be written now that *record* came: how often others were repeated, and itself, if new."""
        with self._mutex:
            now = self._clock()
            told = self._over(now)
            key = (record.name, record.levelno, record.message)
            repeated = self._seen.get(key)
            if repeated is not None:
                repeated.count += 1
                return told
            self._seen[key] = _Repeated(record, now)
            return [*told, record]

    def rest(self) -> list[Record]:
        """Return how often what is held back was repeated, and begin anew with it."""
        with self._mutex:
            told = [repeated.told() for repeated in self._seen.values() if repeated.count]
            self._seen.clear()
            return told

    def _over(self, now: float) -> list[Record]:
        told = []
        while self._seen:
            key, repeated = next(iter(self._seen.items()))
            if now - repeated.at < self._seconds and len(self._seen) < _MOST_REPEATED:
                break
            del self._seen[key]
            if repeated.count:
                told.append(repeated.told())
        return told


class _Repeated:
    """A record that passed, and how often it was repeated since."""

    __slots__ = ("at", "count", "record")

    def __init__(self, record: Record, at: float) -> None:
        self.record = record
        self.at = at
        self.count = 0

    def told(self) -> Record:
        """Return the record that tells of the repeats."""
        made = copy.copy(self.record)
        times = "once" if self.count == 1 else f"{self.count:,} times"
        made.msg, made.args = f"{self.record.message} (repeated {times})", None
        made.__dict__.pop("message", None)
        made.exc_info = made.exc_text = made.stack_info = None
        return made


def repeats_of(said: object) -> Repeats | None:
    """Return what holds repeats back for as long as somebody *said*; None is nothing.

    Raises:
        ConfigError: for what cannot be a time.
    """
    if said is None:
        return None
    try:
        seconds = quantities.seconds(said)
        if seconds > 0:
            return Repeats(seconds)
    except (ValueError, KeyError):
        pass
    msg = f"deduplicate={said!r} is not accepted; accepted: {quantities.A_DURATION}"
    raise ConfigError(msg)


def freeze(record: Record) -> None:
    """Have *record* say later what it says now, though what it is made of may change meanwhile."""
    if record.msg.__class__ is str and record.args.__class__ is tuple:
        for arg in record.args or ():
            if arg.__class__ not in _SIMPLE:
                break
        else:
            return
    # Kept in the record, where whoever makes a line finds it.
    _ = record.message
