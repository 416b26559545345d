"""Retention: which rotated files may go, said as a count, an age, a total size, free room, or by a function."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from .. import quantities
from ..errors import ConfigError
from .rotated import Rotated


A_RETENTION: Final = (
    'a number of files such as 5 or "5 files", an age such as "7 days" or a timedelta, '
    "or a function that gets the rotated files"
)


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What stays: the newest so many, those of this age at most, as much as fits."""

    count: int | None = None
    seconds: float | None = None
    decide: Callable[[list[Path]], object] | None = None
    """Gets all rotated files, and removes what it likes."""
    max_total: int | None = None
    """Bytes of all of them together, and of the one that is being written."""
    min_free: int | None = None
    """Bytes that are to be free on the disk."""

    @property
    def is_everything(self) -> bool:
        """Whether everything stays."""
        return self == Retention()


def retention_of(said: object, *, max_total: object = None, min_free: object = None) -> Retention:
    """Return the retention that somebody *said*; None is to keep everything.

    Raises:
        ConfigError: for what cannot be one.
    """
    sizes = Retention(max_total=_bytes("max_total", max_total), min_free=_bytes("min_free", min_free))
    if said is None:
        return sizes
    if isinstance(said, int) and not isinstance(said, bool) and said > 0:
        return replace(sizes, count=said)
    if isinstance(said, timedelta | str):
        return _of_words(said, sizes)
    if callable(said):
        return replace(sizes, decide=said)
    raise _refused(said)


def _of_words(said: timedelta | str, sizes: Retention) -> Retention:
    if isinstance(said, str):
        number, _, unit = said.strip().partition(" ")
        if number.isdecimal() and int(number) > 0 and unit.strip().lower() in ("", "file", "files"):
            return replace(sizes, count=int(number))
    try:
        seconds = quantities.seconds(said)
    except (ValueError, KeyError):
        raise _refused(said) from None
    if not 0 < seconds < math.inf:
        raise _refused(said)
    return replace(sizes, seconds=seconds)


def _bytes(name: str, said: object) -> int | None:
    if said is None:
        return None
    try:
        return quantities.size(said)
    except (ValueError, KeyError):
        msg = f"{name}={said!r} is not accepted; accepted: {quantities.A_SIZE}"
        raise ConfigError(msg) from None


def _refused(said: object) -> ConfigError:
    msg = f"Cannot parse retention from: {said!r}; accepted: {A_RETENTION}"
    return ConfigError(msg)


def expired(
    files: Sequence[Rotated], keep: Retention, *, now: float, active_bytes: int = 0, free_bytes: int | None = None
) -> list[Rotated]:
    """Return which of *files*, oldest first, may go; the oldest always go first."""
    gone = list(files[: max(len(files) - keep.count, 0)]) if keep.count is not None else []
    if keep.seconds is not None:
        gone += [file for file in files[len(gone) :] if now - file.modified > keep.seconds]
    over = [0]
    if keep.max_total is not None:
        over.append(_total(files) - _total(gone) + active_bytes - keep.max_total)
    if keep.min_free is not None and free_bytes is not None:
        over.append(keep.min_free - free_bytes - _total(gone))
    excess = max(over)
    for file in files:
        if excess <= 0:
            break
        if file not in gone:
            gone.append(file)
            excess -= file.size
    return gone


def _total(files: Iterable[Rotated]) -> int:
    return sum(file.size for file in files)
