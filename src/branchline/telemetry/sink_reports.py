"""What the sinks of Loggers tell of themselves: among the metrics of a process, and in its ``process.json``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .. import names
from .._journal.snapshots import GAUGE, SUM, Metric, Series
from ..logs.handlers import reports
from ..logs.reports import SinkReport


def sink_document() -> dict[str, Any]:
    """Return what ``process.json`` says of them; nothing where there are none."""
    found = reports()
    return {"sinks": [report.document() for report in found]} if found else {}


def sink_metrics() -> tuple[Metric, ...]:
    """Return the metrics of all of them."""
    return metrics_of(reports())


def metrics_of(found: Sequence[SinkReport]) -> tuple[Metric, ...]:
    """Return the metrics of some of them; several of one name are one."""
    by_name: dict[str, list[SinkReport]] = {}
    for report in found:
        by_name.setdefault(report.sink, []).append(report)
    dropped: dict[tuple[str, str], int] = {}
    for report in found:
        for reason, count in report.dropped.items():
            dropped[report.sink, reason] = dropped.get((report.sink, reason), 0) + count
    files = {sink: each for sink, each in by_name.items() if any(report.bytes_written for report in each)}
    failing = {sink: each for sink, each in by_name.items() if any(report.errors for report in each)}
    ratios = [(sink, each[-1].compression_ratio) for sink, each in by_name.items()]
    metrics = (
        _sum(names.SELF_SINK_CREATED, "{record}", _totals(by_name, "created")),
        _sum(names.SELF_SINK_WRITTEN, "{record}", _totals(by_name, "written")),
        _sum(
            names.SELF_SINK_DROPPED,
            "{record}",
            [Series({names.SINK: sink, names.REASON: reason}, count) for (sink, reason), count in dropped.items()],
        ),
        _sum(names.SELF_SINK_BYTES, "By", _totals(files, "bytes_written")),
        _sum(names.SELF_SINK_ROTATIONS, "{file}", _totals(files, "rotations")),
        _sum(names.SELF_SINK_ERRORS, "{error}", _totals(failing, "errors")),
        _sum(names.SELF_SINK_TIME, "s", _totals(by_name, "seconds")),
        Metric(names.SELF_SINK_WAITING, GAUGE, tuple(_totals(by_name, "waiting")), unit="{record}"),
        Metric(
            names.SELF_SINK_COMPRESSION,
            GAUGE,
            tuple(Series({names.SINK: sink}, ratio) for sink, ratio in ratios if ratio is not None),
            unit="1",
            description="How much smaller rotated files became",
        ),
    )
    return tuple(metric for metric in metrics if metric.series)


def _totals(by_name: dict[str, list[SinkReport]], what: str) -> list[Series]:
    return [Series({names.SINK: sink}, sum(getattr(report, what) for report in each)) for sink, each in by_name.items()]


def _sum(name: str, unit: str, series: Iterable[Series]) -> Metric:
    described = f"Of the sinks of Loggers: {name.rpartition('.')[2]}"
    return Metric(name, SUM, tuple(series), unit=unit, description=described, is_monotonic=True)
