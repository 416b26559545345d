"""Events: things worth noting that have a name, as log records of the run; and the faces that people know them by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..later import later as _later
from .named import event


if TYPE_CHECKING:
    from ..monitor.values import PerformanceMetric
    from .actions import RequestCreationAction, RequestFailureAction, RequestSuccessAction, RTAction
    from .catalogue import CATALOGUE
    from .error_event import ErrorEvent, record_error
    from .experiment_event import LogEvent, log_event
    from .experiment_logger import ExperimentLogger
    from .experiment_types import EventType, LogLevel
    from .log_files import read_log_file
    from .raised import Raised
    from .restored import RestoredError
    from .subscribing import Subscription, subscribe
    from .trade_context import TradeContext
    from .trade_event import InvalidTrade, TradeEvent, record_trade

__all__ = [
    "CATALOGUE",
    "ErrorEvent",
    "EventType",
    "ExperimentLogger",
    "InvalidTrade",
    "LogEvent",
    "LogLevel",
    "PerformanceMetric",
    "RTAction",
    "Raised",
    "RequestCreationAction",
    "RequestFailureAction",
    "RequestSuccessAction",
    "RestoredError",
    "Subscription",
    "TradeContext",
    "TradeEvent",
    "event",
    "log_event",
    "read_log_file",
    "record_error",
    "record_trade",
    "subscribe",
]

# Whoever only decorates functions must not pay for files and decimals.
__getattr__ = _later(
    __name__,
    {
        "CATALOGUE": "catalogue",
        "ErrorEvent": "error_event",
        "EventType": "experiment_types",
        "ExperimentLogger": "experiment_logger",
        "InvalidTrade": "trade_event",
        "LogEvent": "experiment_event",
        "LogLevel": "experiment_types",
        "PerformanceMetric": ".monitor.values",
        "RTAction": "actions",
        "Raised": "raised",
        "RequestCreationAction": "actions",
        "RequestFailureAction": "actions",
        "RequestSuccessAction": "actions",
        "RestoredError": "restored",
        "Subscription": "subscribing",
        "TradeContext": "trade_context",
        "TradeEvent": "trade_event",
        "log_event": "experiment_event",
        "read_log_file": "log_files",
        "record_error": "error_event",
        "record_trade": "trade_event",
        "subscribe": "subscribing",
    },
)
