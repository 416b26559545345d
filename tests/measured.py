"""Reads the metrics of journals for tests: the official messages, and what they come to."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, MetricsData


Key = tuple[str, tuple[tuple[str, object], ...]]


def lines(home: Path) -> Iterator[tuple[Path, str]]:
    """Yield every line of metrics below *home* with the folder of its process; a plain file beats its packed twin."""
    found: dict[str, Path] = {}
    for path in (*sorted(home.rglob("metrics-*.jsonl.gz")), *sorted(home.rglob("metrics-*.jsonl"))):
        found[str(path).removesuffix(".gz")] = path
    for path in found.values():
        data = path.read_bytes()
        for line in (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines():
            yield path.parent, line


def messages(home: Path) -> list[tuple[Path, MetricsData]]:
    """Return every line as the official message, which knows everything that is in it."""
    return [(process, json_format.Parse(line, MetricsData())) for process, line in lines(home)]


def metrics(home: Path) -> Iterator[tuple[Path, str, Metric]]:
    """Yield every metric with the folder of its process and the name of its scope."""
    for process, message in messages(home):
        for resource in message.resource_metrics:
            for scoped in resource.scope_metrics:
                for metric in scoped.metrics:
                    yield process, scoped.scope.name, metric


def points(metric: Metric) -> list[Any]:
    """Return the data points of *metric*, whatever kind it is of."""
    return list(getattr(metric, metric.WhichOneof("data") or "").data_points)


def attributes(point: Any) -> tuple[tuple[str, object], ...]:
    """Return the attributes of a data point as something to compare."""
    return tuple(sorted((item.key, _plain(item.value)) for item in point.attributes))


def _plain(value: Any) -> object:
    found = getattr(value, value.WhichOneof("value"))
    return found if isinstance(found, (str, int, float, bool)) else str(found)


def value(point: Any) -> Any:
    """Return what a data point says: a number, or count and sum."""
    if hasattr(point, "as_int"):
        return getattr(point, point.WhichOneof("value"))
    return point.count, point.sum


def latest(home: Path) -> dict[Path, dict[Key, Any]]:
    """Return the last value of every series, by process."""
    found: dict[Path, dict[Key, Any]] = {}
    for process, _, metric in metrics(home):
        for point in points(metric):
            found.setdefault(process, {})[metric.name, attributes(point)] = value(point)
    return found


def of(home: Path, name: str) -> dict[tuple[tuple[str, object], ...], Any]:
    """Return the last values of the metric called *name*, of the one process that has it."""
    [found] = [
        {own: value for (metric, own), value in series.items() if metric == name}
        for series in latest(home).values()
        if any(metric == name for metric, _ in series)
    ] or [{}]
    return found


def total(home: Path, name: str) -> Any:
    """Return what all processes and series of a sum come to."""
    return sum(value for series in latest(home).values() for (metric, _), value in series.items() if metric == name)
