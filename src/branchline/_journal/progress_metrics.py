"""Metrics of progress: what has been done, and how far what goes on is, made of the log events that say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from .. import names
from ..progress_values import Progress
from .snapshots import GAUGE, SUM, Metric, Series


Place = tuple[str, str | None, str | None]
"""What is done, in which experiment, in which branch: what tells the series apart."""

_KEYS: Final = (names.PROGRESS_DESCRIPTION, names.EXPERIMENT_NAME, names.BRANCH_NAME)
# Whoever looked at work before its end tells of it no later than so many others.
_MOST_ENDED: Final = 10_000
# Of what is new beyond the series that there may be.
_OVERFLOW: Final[Place] = ("", None, None)


class _Counted:
    """What the work of one place has come to."""

    __slots__ = ("going_on", "items", "stalls")

    def __init__(self) -> None:
        self.items: float = 0
        self.stalls = 0
        self.going_on: dict[str, Progress] = {}


class ProgressMetrics:
    """Adds up the work of one process."""

    def __init__(self, *, most_series: int) -> None:
        """Add up, for at most so many series of each metric."""
        self._most = most_series
        self._places: dict[Place, _Counted] = {}
        self._ended: dict[str, None] = {}

    def add(self, progress: Progress, experiment: str | None, branch: str | None) -> None:
        """Take how far a piece of work is, or was at its end; what comes after that is of before."""
        if progress.task_id in self._ended:
            return
        if progress.outcome is not None:
            if len(self._ended) >= _MOST_ENDED:
                self._ended.clear()
            self._ended[progress.task_id] = None
        place: Place = (progress.description, experiment, branch)
        if place not in self._places and len(self._places) >= self._most:
            place = _OVERFLOW
        counted = self._places.setdefault(place, _Counted())
        before = counted.going_on.pop(progress.task_id, None)
        # A count that was set back was counted all the same.
        counted.items += max(progress.done - (0 if before is None else before.done), 0)
        counted.stalls += max(progress.stalls - (0 if before is None else before.stalls), 0)
        if progress.outcome is None:
            counted.going_on[progress.task_id] = progress

    def metrics(self) -> tuple[Metric, ...]:
        """Return what it all comes to; a metric of nothing is left out."""
        items = {place: counted.items for place, counted in self._places.items()}
        stalls = {place: counted.stalls for place, counted in self._places.items() if counted.stalls}
        ratios = {place: ratio for place, counted in self._places.items() if (ratio := _ratio(counted)) is not None}
        etas = {place: eta for place, counted in self._places.items() if (eta := _eta(counted)) is not None}
        found = (
            Metric(names.PROGRESS_ITEMS, SUM, _series(items), "{item}", "Items that are done.", is_monotonic=True),
            Metric(names.PROGRESS_RATIO, GAUGE, _series(ratios), "1", "How much of what goes on is done."),
            Metric(names.PROGRESS_ETA, GAUGE, _series(etas), "s", "How long what goes on still takes."),
            Metric(names.PROGRESS_STALLS, SUM, _series(stalls), "{stall}", "Stalls of work.", is_monotonic=True),
        )
        return tuple(metric for metric in found if metric.series)


def _ratio(counted: _Counted) -> float | None:
    known = [work for work in counted.going_on.values() if work.total]
    total = sum(work.total or 0 for work in known)
    return min(sum(work.done for work in known) / total, 1.0) if total else None


def _eta(counted: _Counted) -> float | None:
    """Return when the last of it will be done: work of one place goes on side by side."""
    return max((work.eta_seconds for work in counted.going_on.values() if work.eta_seconds is not None), default=None)


def _series(found: Mapping[Place, float]) -> tuple[Series, ...]:
    return tuple(Series(_described(place), value) for place, value in found.items())


def _described(place: Place) -> dict[str, Any]:
    if place == _OVERFLOW:
        return {names.OVERFLOW: True}
    pairs: Iterable[tuple[str, str | None]] = zip(_KEYS, place, strict=True)
    return {key: text for key, text in pairs if text is not None}
