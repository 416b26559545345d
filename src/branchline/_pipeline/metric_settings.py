"""What OpenTelemetry's own variables say about metrics."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..errors import ConfigError


_AGGREGATION: Final = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
_INTERVAL: Final = "OTEL_METRIC_EXPORT_INTERVAL"
_EXPLICIT: Final = "explicit_bucket_histogram"
_EXPONENTIAL: Final = "base2_exponential_bucket_histogram"


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSettings:
    """How metrics are collected."""

    # OpenTelemetry's exporters have a minute; many a run is over in one.
    interval_seconds: float = 10.0
    is_exponential: bool = False
    """Whether histograms have exponential buckets."""


def metric_settings(env: Mapping[str, str]) -> MetricSettings:
    """Return what *env* says, and else what is usual.

    Raises:
        ConfigError: for a value that is not accepted.
    """
    aggregation = env.get(_AGGREGATION, "").strip().lower() or _EXPLICIT
    if aggregation not in (_EXPLICIT, _EXPONENTIAL):
        msg = f"{_AGGREGATION} is {aggregation!r}; accepted: {_EXPLICIT}, {_EXPONENTIAL}"
        raise ConfigError(msg)
    interval = env.get(_INTERVAL, "").strip()
    return MetricSettings(
        interval_seconds=_seconds(interval) if interval else MetricSettings().interval_seconds,
        is_exponential=aggregation == _EXPONENTIAL,
    )


def _seconds(milliseconds: str) -> float:
    try:
        seconds = float(milliseconds) / 1000
    except ValueError:
        seconds = 0.0
    if 0.001 <= seconds <= threading.TIMEOUT_MAX:
        return seconds
    msg = f"{_INTERVAL} is {milliseconds!r}; accepted: milliseconds, at least 1, as 10000"
    raise ConfigError(msg)
