"""Progress as it travels: how far a piece of work is, as the attributes of its log event, and back again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from . import names


class Progress(NamedTuple):
    """How far a piece of work is at one moment.

    A named tuple, not a dataclass: one is made for every piece of work on every look.
    """

    task_id: str
    description: str
    done: float = 0
    total: float | None = None
    """None where nobody knows."""
    rate: float | None = None
    """Items a second, of late."""
    eta_seconds: float | None = None
    outcome: str | None = None
    """As a step's; None while it goes on."""
    start_unix_nano: int = 0
    time_unix_nano: int = 0
    elapsed_seconds: float = 0.0
    parent_id: str | None = None
    """Of the piece of work that it is part of."""
    is_inner: bool = False
    """Whether it is a loop in a loop: one of many, perhaps, that are soon over."""
    span_id: int | None = None
    """Of the step that it belongs to."""
    stalls: int = 0
    stalled_seconds: float | None = None
    """How long nothing has been done, where that is called a stall; None otherwise."""
    message: str = ""
    """What went wrong."""

    @property
    def ratio(self) -> float | None:
        """The part that is done, 0 to 1; None where nobody knows. Of nothing at all everything is done."""
        if self.total is None:
            return None
        return min(max(self.done / self.total, 0.0), 1.0) if self.total > 0 else 1.0

    @property
    def percent(self) -> int | None:
        """The same in whole per cents, rounded down: 100 means that nothing is left."""
        return None if self.ratio is None else int(self.ratio * 100)


def progress_attributes(progress: Progress) -> dict[str, object]:
    """Return the attributes of the log event that keeps *progress*."""
    found: dict[str, object] = {
        names.PROGRESS_ID: progress.task_id,
        names.PROGRESS_DESCRIPTION: progress.description,
        names.PROGRESS_DONE: progress.done,
        names.PROGRESS_STARTED: progress.start_unix_nano,
        names.PROGRESS_TOTAL: progress.total,
        names.PROGRESS_RATE: progress.rate,
        names.PROGRESS_ETA: progress.eta_seconds,
        names.PROGRESS_PARENT_ID: progress.parent_id,
        names.PROGRESS_STALLS: progress.stalls or None,
        names.STALL_SECONDS: progress.stalled_seconds,
        names.PROGRESS_MESSAGE: progress.message or None,
        names.OUTCOME: progress.outcome,
    }
    return {key: value for key, value in found.items() if value is not None}


def progress_of(attributes: Mapping[str, Any], *, time_unix_nano: int, span_id: int | None = None) -> Progress:
    """Return the progress that the *attributes* of a log event keep."""
    start = _whole(attributes.get(names.PROGRESS_STARTED)) or time_unix_nano
    return Progress(
        task_id=str(attributes.get(names.PROGRESS_ID) or ""),
        description=str(attributes.get(names.PROGRESS_DESCRIPTION) or ""),
        done=_number(attributes.get(names.PROGRESS_DONE)) or 0,
        total=_number(attributes.get(names.PROGRESS_TOTAL)),
        rate=_number(attributes.get(names.PROGRESS_RATE)),
        eta_seconds=_number(attributes.get(names.PROGRESS_ETA)),
        outcome=_text(attributes.get(names.OUTCOME)),
        start_unix_nano=start,
        time_unix_nano=time_unix_nano,
        elapsed_seconds=max(time_unix_nano - start, 0) / 1e9,
        parent_id=_text(attributes.get(names.PROGRESS_PARENT_ID)),
        is_inner=names.PROGRESS_PARENT_ID in attributes,
        span_id=span_id,
        stalls=_whole(attributes.get(names.PROGRESS_STALLS)),
        stalled_seconds=_number(attributes.get(names.STALL_SECONDS)),
        message=_text(attributes.get(names.PROGRESS_MESSAGE)) or "",
    )


def counted(done: float, total: float | None = None) -> str:
    """Return how much is done as a person reads it: ``412/1,000``, ``412``, ``1.5/3``."""
    return _figure(done) if total is None else f"{_figure(done)}/{_figure(total)}"


def clock(seconds: float | None) -> str:
    """Return a length of time as a clock shows it: ``01:05``, ``2:01:05``, ``3 d 04:00``; ``--:--`` for none."""
    if seconds is None or not 0 <= seconds < 1e9:
        return "--:--"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 100:
        return f"{hours // 24} d {hours % 24:02d}:{minutes:02d}"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def _figure(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else f"{number:,.2f}".rstrip("0")


def _number(value: object) -> float | None:
    """Return *value* if it is a number that can be counted with."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value - value:
        return None
    return value


def _whole(value: object) -> int:
    number = _number(value)
    return 0 if number is None else int(number)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
