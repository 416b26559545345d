"""What a metric of the journal is called and comes to in Prometheus: the rules of its OTLP receiver, in one place."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from servers import Prometheus

import measured


Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]

_UNITS = {"s": "seconds", "ms": "milliseconds", "By": "bytes", "Cel": "celsius", "%": "percent", "1": ""}
# Labels that say whose a series is: of the resource, of the scope, and what Prometheus makes of them.
_WHOSE = re.compile(r"^(job|instance|service_.*|host_name|otel_scope_.*|deployment_environment_name|__name__)$")


def of_journal(home: Path) -> Series:
    """Return the last value of every series in the journals below *home*, as Prometheus will call them."""
    found: Series = {}
    for _, _, metric in measured.metrics(home):
        for point in measured.points(metric):
            labels = {re.sub(r"\W", "_", key): _text(own) for key, own in measured.attributes(point)}
            for suffix, more, value in _parts(metric, point):
                found[_name(metric) + suffix, tuple(sorted((labels | more).items()))] = value
    return found


def of_prometheus(prometheus: Prometheus, instance: str, at: float | None = None) -> Series:
    """Return the value of every series that came from the process called *instance*, now or *at* a time."""
    ours = f'{{service_instance_id="{instance}",__name__!~"target_info|traces_.*"}}'
    found: Series = {}
    for series in prometheus.query(ours, at):
        labels = {name: text for name, text in series["metric"].items() if not _WHOSE.match(name)}
        found[series["metric"]["__name__"], tuple(sorted(labels.items()))] = float(series["value"][1])
    return found


def _parts(metric: Any, point: Any) -> Iterator[tuple[str, dict[str, str], float]]:
    if not hasattr(point, "bucket_counts"):
        yield "", {}, float(measured.value(point))
        return
    yield "_count", {}, float(point.count)
    yield "_sum", {}, float(point.sum)
    counted = 0
    for bound, count in zip((*point.explicit_bounds, math.inf), point.bucket_counts, strict=True):
        counted += count
        yield "_bucket", {"le": "+Inf" if bound == math.inf else repr(bound).removesuffix(".0")}, float(counted)


def _name(metric: Any) -> str:
    unit = re.sub(r"\{.*?\}", "", metric.unit)
    is_gauge = metric.WhichOneof("data") == "gauge"
    is_counter = metric.WhichOneof("data") == "sum" and metric.sum.is_monotonic
    words = [word for word in re.split(r"[^A-Za-z0-9:]+", metric.name) if word]
    unit_word = re.sub(r"[^A-Za-z0-9]+", "_", _UNITS.get(unit, unit))
    if unit_word and unit_word not in words:
        words.append(unit_word)
    if is_counter:
        words = [*(word for word in words if word != "total"), "total"]
    if unit == "1" and is_gauge:
        words = [*(word for word in words if word != "ratio"), "ratio"]
    return "_".join(words)


def _text(own: object) -> str:
    return str(own).lower() if isinstance(own, bool) else str(own)
