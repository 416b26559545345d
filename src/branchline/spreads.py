"""Spreads: what many values come to, in memory that is bounded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the values of one series of a metric come to."""

    metric: str
    attributes: Mapping[str, object] = field(default_factory=dict, hash=False)
    unit: str = ""
    count: int
    min: float
    max: float
    mean: float
    p50: float
    p95: float
    p99: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {name: getattr(self, name) for name in _FIELDS} | {"attributes": dict(self.attributes)}


_FIELDS: Final = ("metric", "attributes", "unit", "count", "min", "max", "mean", "p50", "p95", "p99")


def summary_of(
    values: Iterable[float], *, metric: str, attributes: Mapping[str, object] | None = None, unit: str = ""
) -> Summary | None:
    """Return what *values* come to; None for none, and values that are no numbers do not count."""
    spread = Spread()
    for value in values:
        spread.add(value)
    return spread.summary(metric, attributes or {}, unit)


# So many values are kept as they are; that is what most series have in a run.
_MOST_KEPT: Final = 1024
# Beyond that, a percentile is off by less than one in a hundred.
_GROWTH: Final = math.log(1.02)


class Spread:
    """How values are spread: exactly for the first thousand, in narrow buckets beyond, in memory that is bounded."""

    __slots__ = ("_buckets", "_kept", "count", "largest", "smallest", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.smallest = math.inf
        self.largest = -math.inf
        self._kept: list[float] | None = []
        self._buckets: dict[tuple[int, int], int] = {}

    def add(self, value: float) -> None:
        """Take one more value; what is not finite is none."""
        if not math.isfinite(value):
            return
        self.count += 1
        self.total += value
        self.smallest = min(self.smallest, value)
        self.largest = max(self.largest, value)
        if self._kept is None:
            self._put(value)
            return
        self._kept.append(value)
        if len(self._kept) > _MOST_KEPT:
            kept, self._kept = self._kept, None
            for one in kept:
                self._put(one)

    def _put(self, value: float) -> None:
        bucket = _bucket(value)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    def percentile(self, percent: float) -> float:
        """Return the value below which *percent* of all values lie, between two of them where it falls there."""
        place = (self.count - 1) * percent / 100
        if self._kept is not None:
            ordered = sorted(self._kept)
            low = math.floor(place)
            high = min(low + 1, self.count - 1)
            return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
        passed = 0
        for bucket in sorted(self._buckets):
            passed += self._buckets[bucket]
            if passed > place:
                return min(max(_middle(bucket), self.smallest), self.largest)
        return self.largest

    def summary(self, metric: str, attributes: Mapping[str, object], unit: str) -> Summary | None:
        """Return what it comes to; None for nothing."""
        if not self.count:
            return None
        return Summary(
            metric=metric,
            attributes=attributes,
            unit=unit,
            count=self.count,
            min=self.smallest,
            max=self.largest,
            mean=self.total / self.count,
            p50=self.percentile(50),
            p95=self.percentile(95),
            p99=self.percentile(99),
        )


def _bucket(value: float) -> tuple[int, int]:
    """Return where *value* falls: buckets sort as their values do."""
    if value == 0:
        return (0, 0)
    sign = 1 if value > 0 else -1
    return (sign, sign * math.floor(math.log(abs(value)) / _GROWTH))


def _middle(bucket: tuple[int, int]) -> float:
    sign, place = bucket
    return sign * math.exp((sign * place + 0.5) * _GROWTH) if sign else 0.0
