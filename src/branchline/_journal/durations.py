"""Durations: what finished steps and branches come to as metrics, the same from the writer and from a reader."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from .. import names
from ..boundaries import STEP_SECONDS
from .snapshots import HISTOGRAM, SUM, Distribution, Metric, Series


_SECOND: Final = 1_000_000_000
# In nanoseconds, whole numbers: what they add up to does not depend on the order in which they come.
_BOUNDARIES: Final = tuple(round(boundary * _SECOND) for boundary in STEP_SECONDS)
# Of one metric, in the order of their attributes' names: None where there is nothing to say.
Values = tuple[str | None, ...]

_STEP: Final = (names.STEP_NAME, names.EXPERIMENT_NAME, names.BRANCH_NAME, names.OUTCOME, names.ERROR_TYPE)
_BRANCH: Final = (names.EXPERIMENT_NAME, names.BRANCH_NAME, names.OUTCOME, names.ERROR_TYPE)
_STATUS: Final = (names.EXPERIMENT_NAME, names.BRANCH_STATUS)


class Lengths:
    """How long the steps or branches of one series took."""

    __slots__ = ("_counts", "_least", "_most", "_put_by", "_sum", "add")

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDARIES) + 1)
        self._sum = 0
        self._least = 1 << 64
        self._most = 0
        self._put_by: list[int] = []
        # The list's own method: this is called for every step.
        self.add: Callable[[int], None] = self._put_by.append
        """Put the length of one more by, in nanoseconds, until ``count``."""

    def count(self) -> None:
        """Count what was put by."""
        lengths = sorted(self._put_by)
        if not lengths:
            return
        self._put_by.clear()
        if lengths[0] < 0:
            # A clock was set back.
            lengths = [max(length, 0) for length in lengths]
        self._sum += sum(lengths)
        self._least = min(self._least, lengths[0])
        self._most = max(self._most, lengths[-1])
        if len(lengths) < len(_BOUNDARIES):
            for length in lengths:
                self._counts[bisect_left(_BOUNDARIES, length)] += 1
            return
        start = 0
        for place, boundary in enumerate(_BOUNDARIES):
            end = bisect_right(lengths, boundary, start)
            self._counts[place] += end - start
            start = end
        self._counts[-1] += len(lengths) - start

    @property
    def distribution(self) -> Distribution:
        """What they come to, in seconds."""
        self.count()
        return Distribution(
            values=sum(self._counts),
            total=self._sum / _SECOND,
            boundaries=STEP_SECONDS,
            counts=tuple(self._counts),
            least=self._least / _SECOND,
            most=self._most / _SECOND,
        )


class Durations:
    """Adds up finished steps and branches."""

    def __init__(self, *, most_series: int | None = None) -> None:
        """Add up; beyond *most_series* of one metric, what is new is added to one more."""
        self._most = most_series
        self._steps: dict[Values, Lengths] = {}
        self._branches: dict[Values, Lengths] = {}
        self._statuses: dict[Values, int] = {}

    def of_steps(
        self, name: str, experiment: str | None, branch: str | None, outcome: str | None, error: str | None
    ) -> Lengths:
        """Return the series of steps that belongs to these attributes."""
        return self._series(self._steps, (name, experiment, branch, outcome, error))

    def add_branch(
        self,
        nanoseconds: int,
        experiment: str | None,
        branch: str | None,
        outcome: str | None,
        error: str | None,
        status: str | None,
    ) -> None:
        """Take one branch that has ended."""
        self._series(self._branches, (experiment, branch, outcome, error)).add(nanoseconds)
        values = self._known(self._statuses, (experiment, status))
        self._statuses[values] = self._statuses.get(values, 0) + 1

    def count(self) -> None:
        """Count what was put by: memory is as large as that and the number of series."""
        for lengths in (*self._steps.values(), *self._branches.values()):
            lengths.count()

    def metrics(self) -> tuple[Metric, ...]:
        """Return what it all comes to; a metric of nothing is left out."""
        counted = tuple(Series(attributes, value) for attributes, value in _described(_STATUS, self._statuses))
        found = (
            _metric(names.STEP_DURATION, "How long steps took.", _STEP, self._steps),
            _metric(names.BRANCH_DURATION, "How long branches took.", _BRANCH, self._branches),
            Metric(names.BRANCHES, SUM, counted, "{branch}", "Branches that have ended.", is_monotonic=True),
        )
        return tuple(metric for metric in found if metric.series)

    def _series(self, known: dict[Values, Lengths], values: Values) -> Lengths:
        values = self._known(known, values)
        lengths = known.get(values)
        if lengths is None:
            lengths = known[values] = Lengths()
        return lengths

    def _known(self, known: Mapping[Values, object], values: Values) -> Values:
        is_full = self._most is not None and len(known) >= self._most
        return _OVERFLOW if is_full and values not in known else values


# Values that no series of steps or branches has.
_OVERFLOW: Final[Values] = ()


def _metric(name: str, description: str, keys: tuple[str, ...], found: Mapping[Values, Lengths]) -> Metric:
    series = tuple(Series(attributes, lengths.distribution) for attributes, lengths in _described(keys, found))
    return Metric(name, HISTOGRAM, series, "s", description)


def _described(keys: tuple[str, ...], found: Mapping[Values, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    for values, value in found.items():
        if values == _OVERFLOW:
            yield {names.OVERFLOW: True}, value
        else:
            yield {key: text for key, text in zip(keys, values, strict=True) if text is not None}, value
