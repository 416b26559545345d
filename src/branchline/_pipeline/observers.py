"""Those who watch what a run measures: told by the writer, of what it writes anyway."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from .. import names
from .._journal.log_records import LogRecord
from .._journal.snapshots import GAUGE, SUM, Distribution, ExponentialDistribution, Metric, Series, Snapshot
from ..recording import Identity
from ..watching import Measured, Watching


_DURATIONS: Final = {
    names.KIND_STEP: (names.STEP_DURATION, names.STEP_FAILED),
    names.KIND_BRANCH: (names.BRANCH_DURATION, names.BRANCH_FAILED),
}
# Of a series of a histogram: how many values there were, and what they came to.
_Seen = dict[tuple[str, tuple[tuple[str, str], ...]], tuple[int, float]]


class Observers:
    """Whoever watches one run; while there is nobody, nothing is made for them."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self.joined: tuple[Watching, ...] = ()
        # Instruments that nobody who watches wants to be told of.
        self.unheard: Collection[str] = ()
        self._histograms: _Seen = {}

    def __bool__(self) -> bool:
        return bool(self.joined)

    def spans(self, spans: Iterable[Any]) -> None:
        """Tell how long the steps and branches among finished *spans* took, and whether they failed."""
        self._tell([measured for span in spans for measured in _of_span(span)])

    def logs(self, logs: Iterable[LogRecord]) -> None:
        """Tell of the points of metrics among *logs*."""
        self._tell([_of_point(record) for record in logs if record.name == names.METRIC_EVENT])

    def snapshots(self, snapshots: Iterable[Snapshot]) -> None:
        """Tell what instruments have come to; what we ourselves come to, whoever watches asks for."""
        for snapshot in snapshots:
            self._tell(
                [
                    measured
                    for metric in snapshot.metrics
                    if metric.scope is not None and metric.name not in self.unheard
                    for measured in self._of_metric(metric, snapshot.time)
                ]
            )

    def _tell(self, measured: Sequence[Measured]) -> None:
        if measured:
            for watching in self.joined:
                watching.hear(measured)

    def _of_metric(self, metric: Metric, moment: int) -> Iterator[Measured]:
        if metric.kind in (GAUGE, SUM):
            yield from of_metric(metric, moment)
            return
        for series in metric.series:
            mean = self._mean_since(metric, series)
            if mean is not None:
                yield Measured(metric.name, mean, metric.unit, series.attributes, moment)

    def _mean_since(self, metric: Metric, series: Series) -> float | None:
        """Return the mean of the values that have come since the last look; None for no new ones."""
        value = series.value
        if not isinstance(value, Distribution | ExponentialDistribution):
            return None
        key = (metric.name, tuple(sorted((name, str(told)) for name, told in series.attributes.items())))
        count, total = self._histograms.get(key, (0, 0.0))
        self._histograms[key] = (value.values, value.total)
        return (value.total - total) / (value.values - count) if value.values > count else None


def of_metric(metric: Metric, moment: int) -> Iterator[Measured]:
    """Yield the values of *metric*, as it was at the *moment*."""
    for series in metric.series:
        if isinstance(series.value, int | float):
            yield Measured(
                metric.name, series.value, metric.unit, series.attributes, moment, is_total=metric.is_monotonic
            )


def _of_span(span: Any) -> Iterator[Measured]:
    found = _DURATIONS.get(span.role or "")
    if found is None or span.ended is None:
        return
    duration, failed = found
    attributes = _place(span.identity)
    if span.role == names.KIND_STEP:
        attributes[names.STEP_NAME] = span.title
    place = (span.trace_hex, f"{span.number:016x}")
    took = max(span.ended - span.began, 0) / 1e9
    yield Measured(duration, took, "s", attributes, span.ended, *place)
    yield Measured(failed, float(span.outcome in names.ERROR_OUTCOMES), "1", attributes, span.ended, *place)


def _of_point(record: LogRecord) -> Measured:
    own = {key: value for key, value in record.data.items() if key not in _ABOUT_POINT}
    value = record.data.get(names.METRIC_VALUE)
    return Measured(
        str(record.data.get(names.METRIC_NAME)),
        # What JSON has no digits for stands as text: infinities and NaN, which float() reads.
        float(value),  # type: ignore[arg-type]  # it was made so
        str(record.data.get(names.METRIC_UNIT) or ""),
        _place(record.identity) | own,
        record.time,
        record.trace_hex,
        None if record.span_number is None else f"{record.span_number:016x}",
    )


_ABOUT_POINT: Final = frozenset({names.METRIC_NAME, names.METRIC_VALUE, names.METRIC_UNIT, names.METRIC_STEP})


def _place(identity: Identity | None) -> dict[str, object]:
    if identity is None:
        return {}
    told: Mapping[str, object] = {
        names.EXPERIMENT_NAME: identity.experiment_name,
        names.BRANCH_NAME: identity.branch_name,
    }
    return {key: value for key, value in told.items() if value is not None}
