"""Backends: where runners of experiments log their runs to. MLflow itself is loaded by whoever asks for it."""

from __future__ import annotations

from .choosing import get_logger
from .memory import InMemoryLogger
from .mlflow import MLflowLogger
from .noop import NoOpLogger
from .otel import OTelLogger
from .protocol import LoggerBackend, LoggerError
from .runs import LoggedRun, logged_run


__all__ = [
    "InMemoryLogger",
    "LoggedRun",
    "LoggerBackend",
    "LoggerError",
    "MLflowLogger",
    "NoOpLogger",
    "OTelLogger",
    "get_logger",
    "logged_run",
]
