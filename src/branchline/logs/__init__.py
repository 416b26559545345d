"""Log records: from the logging module, from Loggers, and events, to the run that is being recorded and to sinks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..later import later as _later


if TYPE_CHECKING:
    from .enabled import enable_logging, thread_level
    from .integrity import Integrity, verify_lines
    from .leaks import Leak, find_leaks
    from .logger import Logger
    from .peers import loguru_sink, structlog_processor
    from .prepared import get_rt_logger, prepare_logger
    from .registry import create_logger, get_laketrace_logger, get_logger
    from .scoped_fields import bind_contextvars, clear_contextvars, iterate_with_context, unbind_contextvars
    from .setup_config import LoggerConfig
    from .setup_result import LoggingSetupResult, setup_logging
    from .structured import (
        LogContext,
        OutputFormat,
        StructuredLogger,
        configure_logging,
        get_structured_logger,
    )

__all__ = [
    "Integrity",
    "Leak",
    "LogContext",
    "Logger",
    "LoggerConfig",
    "LoggingSetupResult",
    "OutputFormat",
    "StructuredLogger",
    "bind_contextvars",
    "clear_contextvars",
    "configure_logging",
    "create_logger",
    "enable_logging",
    "find_leaks",
    "get_laketrace_logger",
    "get_logger",
    "get_rt_logger",
    "get_structured_logger",
    "iterate_with_context",
    "loguru_sink",
    "prepare_logger",
    "setup_logging",
    "structlog_processor",
    "thread_level",
    "unbind_contextvars",
    "verify_lines",
]

# Whoever only decorates functions must not pay for sinks and formats.
__getattr__ = _later(
    __name__,
    {
        "Integrity": "integrity",
        "Leak": "leaks",
        "LogContext": "structured",
        "Logger": "logger",
        "LoggerConfig": "setup_config",
        "LoggingSetupResult": "setup_result",
        "OutputFormat": "structured",
        "StructuredLogger": "structured",
        "bind_contextvars": "scoped_fields",
        "clear_contextvars": "scoped_fields",
        "configure_logging": "structured",
        "create_logger": "registry",
        "enable_logging": "enabled",
        "find_leaks": "leaks",
        "get_laketrace_logger": "registry",
        "get_logger": "registry",
        "get_rt_logger": "prepared",
        "get_structured_logger": "structured",
        "iterate_with_context": "scoped_fields",
        "loguru_sink": "peers",
        "prepare_logger": "prepared",
        "setup_logging": "setup_result",
        "structlog_processor": "peers",
        "thread_level": "enabled",
        "unbind_contextvars": "scoped_fields",
        "verify_lines": "integrity",
    },
)
