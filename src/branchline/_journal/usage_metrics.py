"""Metrics of usage: what calls of models come to, the same from the writer and from a reader."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping
from typing import Any, Final

from .. import names
from ..boundaries import BY_NAME
from ..money import as_float, of_units, units
from ..usage_values import Usage
from .snapshots import HISTOGRAM, SUM, Distribution, Metric, Series


Values = tuple[str | None, ...]

_PLACE: Final = (names.STEP_NAME, names.EXPERIMENT_NAME, names.BRANCH_NAME)
_CALL: Final = (names.OPERATION, names.PROVIDER, names.MODEL)
_TOKENS: Final = (*_CALL, names.TOKEN_TYPE, *_PLACE)
_CALLS: Final = (*_CALL, *_PLACE)
# Values that no series has.
_OVERFLOW: Final[Values] = ()
_SECOND: Final = 1_000_000_000


class _Counted:
    """How often whole numbers fell between which boundaries."""

    __slots__ = ("_boundaries", "_counts", "_least", "_most", "_scale", "_sum")

    def __init__(self, boundaries: tuple[float, ...], scale: int) -> None:
        """Count numbers that are *scale* times what the *boundaries* are of."""
        self._boundaries = boundaries
        self._scale = scale
        self._counts = [0] * (len(boundaries) + 1)
        self._sum = 0
        self._least: int | None = None
        self._most: int | None = None

    def take(self, other: _Counted) -> None:
        self._counts = [count + more for count, more in zip(self._counts, other._counts, strict=True)]
        self._sum += other._sum
        self._least = min((least for least in (self._least, other._least) if least is not None), default=None)
        self._most = max((most for most in (self._most, other._most) if most is not None), default=None)

    def add(self, number: int) -> None:
        self._counts[bisect_left(self._boundaries, number / self._scale)] += 1
        self._sum += number
        self._least = number if self._least is None else min(self._least, number)
        self._most = number if self._most is None else max(self._most, number)

    @property
    def distribution(self) -> Distribution:
        return Distribution(
            values=sum(self._counts),
            total=self._shown(self._sum),
            boundaries=self._boundaries,
            counts=tuple(self._counts),
            least=None if self._least is None else self._shown(self._least),
            most=None if self._most is None else self._shown(self._most),
        )

    def _shown(self, number: int) -> float:
        return number if self._scale == 1 else number / self._scale


class UsageMetrics:
    """Adds up calls of models: their tokens, how long they took, what they cost."""

    def __init__(self, *, most_series: int | None = None) -> None:
        """Add up; beyond *most_series* of one metric, what is new is added to one more."""
        self._most = most_series
        self._tokens: dict[Values, _Counted] = {}
        self._lengths: dict[Values, _Counted] = {}
        self._costs: dict[Values, int] = {}

    def add(self, usage: Usage) -> None:
        """Take one call."""
        call = (usage.operation, usage.provider, usage.model)
        place = (usage.step, usage.experiment, usage.branch)
        for kind, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            if count:
                self._counted(self._tokens, (*call, kind, *place), names.TOKEN_USAGE, 1).add(count)
        if usage.latency is not None:
            took = round(usage.latency * _SECOND)
            self._counted(self._lengths, (*call, *place), names.OPERATION_DURATION, _SECOND).add(took)
        if usage.cost is not None:
            values = self._known(self._costs, (*call, *place))
            self._costs[values] = self._costs.get(values, 0) + units(usage.cost)

    def take(self, other: UsageMetrics, *, but: Collection[str] = ()) -> None:
        """Add what *other* has added up, *but* for the metrics of these names."""
        for name, scale, ours, theirs in (
            (names.TOKEN_USAGE, 1, self._tokens, other._tokens),
            (names.OPERATION_DURATION, _SECOND, self._lengths, other._lengths),
        ):
            for values, counted in () if name in but else theirs.items():
                self._counted(ours, values, name, scale).take(counted)
        for values, count in other._costs.items():
            known = self._known(self._costs, values)
            self._costs[known] = self._costs.get(known, 0) + count

    def metrics(self) -> tuple[Metric, ...]:
        """Return what it all comes to; a metric of nothing is left out."""
        costs = tuple(
            Series(_attributes(_CALLS, values), as_float(of_units(count))) for values, count in self._costs.items()
        )
        found = (
            _metric(names.TOKEN_USAGE, "How many tokens calls of models took.", "{token}", _TOKENS, self._tokens),
            _metric(names.OPERATION_DURATION, "How long calls of models took.", "s", _CALLS, self._lengths),
            Metric(names.COST, SUM, costs, "{USD}", "What calls of models cost, as far as that is known.", True),
        )
        return tuple(metric for metric in found if metric.series)

    def _counted(self, known: dict[Values, _Counted], values: Values, name: str, scale: int) -> _Counted:
        values = self._known(known, values)
        counted = known.get(values)
        if counted is None:
            counted = known[values] = _Counted(BY_NAME[name], scale)
        return counted

    def _known(self, known: Mapping[Values, object], values: Values) -> Values:
        is_full = self._most is not None and len(known) >= self._most
        return _OVERFLOW if is_full and values not in known else values


def _metric(name: str, description: str, unit: str, keys: tuple[str, ...], found: Mapping[Values, _Counted]) -> Metric:
    series = tuple(Series(_attributes(keys, values), counted.distribution) for values, counted in found.items())
    return Metric(name, HISTOGRAM, series, unit, description)


def _attributes(keys: tuple[str, ...], values: Values) -> dict[str, Any]:
    if values == _OVERFLOW:
        return {names.OVERFLOW: True}
    return {key: text for key, text in zip(keys, values, strict=True) if text is not None}
