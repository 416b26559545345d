"""Snapshots of metrics as lines of OTLP/JSON, redacted on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final

from .encode import Encoder
from .jsontext import INT64_MAX, INT64_MIN
from .lines import LINE_BYTES
from .snapshots import (
    EXPONENTIAL,
    GAUGE,
    HISTOGRAM,
    SUM,
    Distribution,
    ExponentialDistribution,
    Metric,
    Series,
    Snapshot,
)


_CUMULATIVE: Final = 2
# Half a line: then what is around it fits in.
_PORTION: Final = LINE_BYTES // 2


class MetricsEncoder(Encoder):
    """Writes snapshots as OTLP/JSON."""

    def metric_lines(self, snapshot: Snapshot) -> bytes:
        """Return *snapshot* as whole lines; a metric of very many series may be in several of them."""
        texts = [(metric.scope, text) for metric in snapshot.metrics for text in self._metric(metric, snapshot)]
        scopes = [scope for scope, _ in texts]
        return self._lines.of(
            scopes, [text.encode() for _, text in texts], "resourceMetrics", "scopeMetrics", "metrics"
        )

    def _metric(self, metric: Metric, snapshot: Snapshot) -> Iterator[str]:
        head = f'{{"name":{self._text(metric.name)}'
        if metric.description:
            head += f',"description":{self._text(metric.description)}'
        if metric.unit:
            head += f',"unit":{self._text(metric.unit)}'
        tail = "" if metric.kind == GAUGE else f',"aggregationTemporality":{_CUMULATIVE}'
        if metric.kind == SUM and metric.is_monotonic:
            tail += ',"isMonotonic":true'
        start = "" if metric.kind == GAUGE else f'"startTimeUnixNano":"{snapshot.start}",'
        write = _VALUES[metric.kind]
        points = (self._point(series, f'{start}"timeUnixNano":"{snapshot.time}"', write) for series in metric.series)
        for portion in _portions(points):
            yield f'{head},"{metric.kind}":{{"dataPoints":[{portion}]{tail}}}}}'

    def _point(self, series: Series, times: str, write: Callable[[Any], str]) -> str:
        attributes = f'"attributes":[{self._attributes(series.attributes)}],' if series.attributes else ""
        return f"{{{attributes}{times},{write(series.value)}}}"


def _portions(points: Iterator[str]) -> Iterator[str]:
    portion: list[str] = []
    room = _PORTION
    for point in points:
        room -= len(point)
        if room < 0 and portion:
            yield ",".join(portion)
            portion, room = [], _PORTION - len(point)
        portion.append(point)
    yield ",".join(portion)


# ── values ────────────────────────────────────────────────────────────────────────────────────────


def _number(value: float) -> str:
    if isinstance(value, int) and INT64_MIN <= value <= INT64_MAX:
        return f'"asInt":"{int(value)}"'
    return f'"asDouble":{_double(value)}'


def _double(value: float) -> str:
    """Return *value* as protobuf's JSON has it, which has words for what JSON has not."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    if number - number == 0:
        return repr(number)
    return '"NaN"' if math.isnan(number) else '"Infinity"' if number > 0 else '"-Infinity"'


def _distribution(value: Distribution) -> str:
    counts = ",".join([f'"{count}"' for count in value.counts])
    boundaries = ",".join(map(_double, value.boundaries))
    return f'{_summary(value)},"bucketCounts":[{counts}],"explicitBounds":[{boundaries}]'


def _exponential(value: ExponentialDistribution) -> str:
    text = f'{_summary(value)},"scale":{value.scale},"zeroCount":"{value.zeros}"'
    for name, (offset, counts) in (("positive", value.positive), ("negative", value.negative)):
        if any(counts):
            listed = ",".join([f'"{count}"' for count in counts])
            text += f',"{name}":{{"offset":{offset},"bucketCounts":[{listed}]}}'
    return text


def _summary(value: Distribution | ExponentialDistribution) -> str:
    text = f'"count":"{value.values}","sum":{_double(value.total)}'
    if value.least is not None:
        text += f',"min":{_double(value.least)}'
    if value.most is not None:
        text += f',"max":{_double(value.most)}'
    return text


_VALUES: Final[dict[str, Callable[[Any], str]]] = {
    SUM: _number,
    GAUGE: _number,
    HISTOGRAM: _distribution,
    EXPONENTIAL: _exponential,
}
