"""Snapshots: what all metrics of a process have come to at one moment, cumulative since its start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from .. import names


SUM: Final = "sum"
GAUGE: Final = "gauge"
HISTOGRAM: Final = "histogram"
EXPONENTIAL: Final = "exponentialHistogram"

# Series of one metric; what comes on top is added up in one more, as OpenTelemetry has it.
MOST_SERIES: Final = 2000
# From here on it is worth a word.
_MANY_SERIES: Final = MOST_SERIES * 8 // 10
# What has not changed is said again after a minute, as often as OpenTelemetry's exporters would say it: there are
# backends that take a series for ended after five.
REPEAT_SECONDS: Final = 60.0


class Distribution(NamedTuple):
    """How often values fell between which boundaries."""

    values: int
    """How many there were."""
    total: int | float
    boundaries: tuple[float, ...]
    counts: tuple[int, ...]
    """One more than there are boundaries; a value at a boundary counts below it."""
    least: int | float | None = None
    most: int | float | None = None


class ExponentialDistribution(NamedTuple):
    """How often values fell into buckets that grow by a constant factor."""

    values: int
    """How many there were."""
    total: int | float
    scale: int
    zeros: int
    positive: tuple[int, tuple[int, ...]]
    """The index of the first bucket, and the counts from there on."""
    negative: tuple[int, tuple[int, ...]]
    least: int | float | None = None
    most: int | float | None = None


class Series(NamedTuple):
    """What one metric has come to for one set of attributes."""

    attributes: Mapping[str, Any]
    value: int | float | Distribution | ExponentialDistribution


class Metric(NamedTuple):
    """One metric with all of its series."""

    name: str
    kind: Literal["sum", "gauge", "histogram", "exponentialHistogram"]
    series: tuple[Series, ...]
    unit: str = ""
    description: str = ""
    is_monotonic: bool = False
    """Of a sum: whether it only grows."""
    scope: Any = None
    """Who measured it; None is branchline itself."""

    @property
    def warning(self) -> str:
        """What to say when it has many series."""
        return (
            f"the metric {self.name} has {len(self.series):,} sets of attributes; those beyond {MOST_SERIES:,} are "
            f"added up in one, marked {names.OVERFLOW}"
        )


def many_series(metrics: Iterable[Metric]) -> list[Metric]:
    """Return those of *metrics* that have nearly as many series as there may be."""
    return [metric for metric in metrics if len(metric.series) >= _MANY_SERIES]


class Snapshot:
    """All metrics at one moment, on their way to the journal."""

    # It is in no ring: a death costs what was measured since the last one.
    slots: int | tuple[int, ...] = ()

    def __init__(self, metrics: tuple[Metric, ...], *, start: int, time: int) -> None:
        """Say what *metrics* have come to at *time*, from *start* on, both in nanoseconds since 1970."""
        self.metrics = metrics
        self.start = start
        self.time = time

    @property
    def points(self) -> int:
        """How many data points it has: what is counted of this signal."""
        return sum(len(metric.series) for metric in self.metrics)

    @property
    def weight(self) -> int:
        """Roughly the bytes of memory that it holds."""
        return 512 * self.points
