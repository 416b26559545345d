"""The providers ``branchline``: for applications that say in the environment whose providers they want."""

from __future__ import annotations

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from .. import telemetry


def tracer_provider() -> TracerProvider:
    """Return the tracer provider of this process, and begin a run."""
    provider = telemetry.own_tracer_provider()
    telemetry.begin()
    return provider


def meter_provider() -> MeterProvider:
    """Return the meter provider of this process, and begin a run."""
    provider = telemetry.own_meter_provider()
    telemetry.begin()
    return provider


def logger_provider() -> LoggerProvider:
    """Return the logger provider of this process, and begin a run."""
    provider = telemetry.own_logger_provider()
    telemetry.begin()
    return provider
