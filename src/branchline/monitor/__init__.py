"""The monitor: what this process and its machine take, how long things take, and alerts when something is too much."""

from __future__ import annotations

from ..spreads import Summary, summary_of
from .alerts import Alert
from .channels import CallbackChannel, Channel, LogChannel
from .consumption import MeasuredStep, measured_step
from .performance import PerformanceMonitor, summary, watch_loop
from .thresholds import Threshold
from .timing import TimedOperation, timed_operation
from .values import PerformanceMetric
from .webhook import WebhookChannel


__all__ = [
    "Alert",
    "CallbackChannel",
    "Channel",
    "LogChannel",
    "MeasuredStep",
    "PerformanceMetric",
    "PerformanceMonitor",
    "Summary",
    "Threshold",
    "TimedOperation",
    "WebhookChannel",
    "measured_step",
    "summary",
    "summary_of",
    "timed_operation",
    "watch_loop",
]
