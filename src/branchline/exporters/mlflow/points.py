"""Points: single values of metrics as MLflow takes them, and what a process and its machine took meanwhile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from ... import names
from ..._journal.anyvalue import attributes_of, whole_number
from ..._journal.decode import DecodedLog
from ..._journal.layout import Signal
from ..._mlflow.limits import Point, fitted_key


# MLflow's page has a part of its own for metrics that begin so.
SYSTEM_PREFIX: Final = "system/"
_OF_SYSTEM: Final = ("process.", "system.", "hw.")
_MARKS: Final = tuple(f'"name":"{prefix}'.encode() for prefix in _OF_SYSTEM)
_METRICS: Final = "/metrics"


def point_of(log: DecodedLog, number: int) -> Point:
    """Return the point that a *log* record is; *number* is its place in the series where it has none."""
    step = log.attributes.get(names.METRIC_STEP)
    return Point(
        key=fitted_key(str(log.attributes.get(names.METRIC_NAME) or "")),
        value=_number(log.attributes.get(names.METRIC_VALUE)),
        timestamp_ms=log.time_unix_nano // 1_000_000,
        step=step if isinstance(step, int) else number,
    )


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]  # raises as it may
    except (TypeError, ValueError, OverflowError):
        return math.nan


def source_of(process: str, signal: Signal) -> str:
    """Return what is counted apart: the log records of a process, and its metrics."""
    return f"{process}{_METRICS}" if signal == "metrics" else process


def process_of(source: str) -> str:
    """Return the process that is counted as *source*."""
    return source.removesuffix(_METRICS)


def signal_of(source: str) -> Signal:
    """Return the signal that is counted as *source*."""
    return "metrics" if source.endswith(_METRICS) else "logs"


# ── what a process and its machine took ───────────────────────────────────────────────────────────


def samples_in(line: bytes) -> list[tuple[int, str, float]]:
    """Return when, under which name and how much, for everything about a process and its machine in a *line*."""
    if not any(mark in line for mark in _MARKS):
        return []
    try:
        return list(_samples(orjson.loads(line)))
    except (ValueError, TypeError, KeyError, AttributeError):
        # Damaged, or somebody else's.
        return []


def _samples(content: Mapping[str, Any]) -> Iterator[tuple[int, str, float]]:
    for resource in content["resourceMetrics"]:
        for scope in resource["scopeMetrics"]:
            for metric in scope["metrics"]:
                if metric["name"].startswith(_OF_SYSTEM):
                    yield from _of_metric(metric)


def _of_metric(metric: Mapping[str, Any]) -> Iterator[tuple[int, str, float]]:
    for kind in ("gauge", "sum"):
        for point in (metric.get(kind) or {}).get("dataPoints", ()):
            value = point.get("asDouble", point.get("asInt"))
            said = attributes_of(point.get("attributes"))
            name = ".".join([metric["name"], *(str(said[key]) for key in sorted(said))])
            key = fitted_key(SYSTEM_PREFIX + name.removeprefix("system."))
            yield whole_number(point.get("timeUnixNano")), key, _number(value)
