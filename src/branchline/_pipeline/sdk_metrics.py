"""The OpenTelemetry SDK's side of metrics: loaded by the first instrument that measures something, not before."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from typing import Any, Final

from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    MetricReader,
    MetricsData,
    Sum,
)
from opentelemetry.sdk.metrics.view import Aggregation, ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from .._journal.snapshots import (
    EXPONENTIAL,
    GAUGE,
    HISTOGRAM,
    MOST_SERIES,
    SUM,
    Distribution,
    ExponentialDistribution,
    Metric,
    Series,
)


_EXPONENTIAL: Final[dict[type, Aggregation]] = {Histogram: ExponentialBucketHistogramAggregation()}


class Reader(MetricReader):
    """Reads everything, cumulative, when it is asked to."""

    def __init__(self, *, is_exponential: bool) -> None:
        """Read histograms in buckets of their own, or exponential ones."""
        super().__init__(preferred_aggregation=_EXPONENTIAL if is_exponential else None)
        self.is_exponential = is_exponential
        self._received: list[MetricsData] = []

    @property
    def is_registered(self) -> bool:
        """Whether a provider was made with it."""
        return getattr(self, "_collect", None) is not None

    def read(self, timeout: float) -> tuple[Metric, ...]:
        """Return all metrics; raises when callbacks take longer than *timeout* seconds."""
        self._received.clear()
        self.collect(timeout_millis=timeout * 1000)
        return tuple(metric for data in self._received for metric in _metrics(data))

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        self._received.append(metrics_data)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Do nothing: it has no thread, and what it read is gone."""


class Aggregates(MeterProvider):
    """What the instruments of one process have measured in one run."""

    def __init__(self, reader: Reader) -> None:
        """Aggregate for *reader*."""
        super().__init__(
            metric_readers=[reader],
            resource=Resource({}),
            # What they cost in time, a span's own attributes say as well.
            exemplar_filter=AlwaysOffExemplarFilter(),
            shutdown_on_exit=False,
            views=_views(),
        )

    def _handle_fork(self) -> None:
        # A child has aggregates of its own; the SDK would look for the resource of these in a pool of threads. But this
        # lock is everybody's, and a thread that the child does not have may have held it.
        MeterProvider._all_metric_readers_lock = threading.Lock()  # noqa: SLF001  # as the SDK does itself


def _views() -> list[View]:
    try:
        return [View(instrument_name="*", aggregation_cardinality_limit=MOST_SERIES)]
    except TypeError:
        # An SDK that has no limit to set.
        return []


# ── the SDK's values as ours ──────────────────────────────────────────────────────────────────────


def _metrics(data: MetricsData) -> Iterator[Metric]:
    for resource in data.resource_metrics:
        for scoped in resource.scope_metrics:
            for metric in scoped.metrics:
                points = metric.data.data_points
                if points:
                    yield Metric(
                        metric.name,
                        _kind(metric.data, points[0]),
                        tuple(Series(dict(point.attributes or {}), _value(point)) for point in points),
                        metric.unit or "",
                        metric.description or "",
                        isinstance(metric.data, Sum) and metric.data.is_monotonic,
                        scoped.scope,
                    )


def _kind(data: Any, point: Any) -> Any:
    if isinstance(point, HistogramDataPoint):
        return HISTOGRAM
    if isinstance(point, ExponentialHistogramDataPoint):
        return EXPONENTIAL
    return SUM if isinstance(data, Sum) else GAUGE


def _value(point: Any) -> Any:
    if isinstance(point, HistogramDataPoint):
        return Distribution(
            point.count,
            point.sum,
            tuple(point.explicit_bounds),
            tuple(point.bucket_counts),
            _extreme(point.min),
            _extreme(point.max),
        )
    if isinstance(point, ExponentialHistogramDataPoint):
        return ExponentialDistribution(
            point.count,
            point.sum,
            point.scale,
            point.zero_count,
            (point.positive.offset, tuple(point.positive.bucket_counts)),
            (point.negative.offset, tuple(point.negative.bucket_counts)),
            _extreme(point.min),
            _extreme(point.max),
        )
    return point.value


def _extreme(value: float) -> float | None:
    """Return a least or most value; None where it was not kept."""
    return value if math.isfinite(value) else None


__all__: Final = ["Aggregates", "Reader"]
