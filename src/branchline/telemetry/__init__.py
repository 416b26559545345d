"""Setting up and ending: the only room that wires the others together."""

from __future__ import annotations

from .borrowing import capturing
from .captures import Capturing
from .results import FlushResult
from .run import Telemetry
from .setting_up import begin, configure, host
from .state import STATE as _state  # noqa: N811  # an object, of which tests look at what is current
from .state import current, flush, own_logger_provider, own_meter_provider, own_tracer_provider, shutdown


__all__ = [
    "Capturing",
    "FlushResult",
    "Telemetry",
    "_state",
    "begin",
    "capturing",
    "configure",
    "current",
    "flush",
    "host",
    "own_logger_provider",
    "own_meter_provider",
    "own_tracer_provider",
    "shutdown",
]
