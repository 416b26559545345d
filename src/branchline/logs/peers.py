"""Other logging libraries: a sink for loguru and a processor for structlog, through which their records get here."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from types import FrameType
from typing import Any, Final

from ..current import CURRENT
from .levels import level_number
from .records import Record
from .scoped_fields import frozen


def loguru_sink(message: Any) -> None:  # noqa: ANN401  # loguru's text, with a record
    """Take a record of loguru into the run: ``logger.add(loguru_sink, level="TRACE", format="{message}")``."""
    take = CURRENT.logs
    if take is None:
        return
    told: Mapping[str, Any] = message.record
    level, error = told["level"], told["exception"]
    standard = {
        "name": told["name"] or "loguru",
        "msg": told["message"],
        "levelno": level.no,
        "levelname": level.name,
        "created": told["time"].timestamp(),
        "pathname": told["file"].path,
        "lineno": told["line"],
        "funcName": told["function"],
        "thread": told["thread"].id,
        "threadName": told["thread"].name,
        "exc_info": None if error is None else (error.type, error.value, error.traceback),
    }
    take(_record(standard, told["extra"]))


_NO_FIELDS: Final = frozenset({"event", "level", "logger", "timestamp", "exc_info", "stack_info"})


def structlog_processor(
    logger: Any,  # noqa: ANN401  # of any factory
    method_name: str,
    event_dict: MutableMapping[str, Any],
) -> MutableMapping[str, Any]:
    """Take an event of structlog into the run, and leave it as it is: one of structlog's processors, before renderers.

    One that structlog hands on to the logging module comes from there, and is not taken here.
    """
    take = CURRENT.logs
    if take is None or isinstance(logger, logging.Logger):
        return event_dict
    try:
        take(_event_record(logger, method_name, event_dict))
    except Exception:  # whatever is in an event: it is no reason to lose it for structlog
        return event_dict
    return event_dict


def _event_record(logger: Any, method_name: str, event: Mapping[str, Any]) -> Record:  # noqa: ANN401  # the same
    name = event.get("level", method_name)
    level = level_number({"exception": "ERROR", "msg": "INFO", "fatal": "CRITICAL"}.get(name, name))
    frame = _caller()
    error = event.get("exc_info")
    standard = {
        "name": str(event.get("logger") or getattr(logger, "name", None) or "structlog"),
        "msg": event.get("event", ""),
        "levelno": level,
        "levelname": logging.getLevelName(level),
        "pathname": "" if frame is None else frame.f_code.co_filename,
        "lineno": 0 if frame is None else frame.f_lineno,
        "funcName": None if frame is None else frame.f_code.co_name,
        "exc_info": _error_info(error),
        "stack_info": event.get("stack_info") if isinstance(event.get("stack_info"), str) else None,
    }
    return _record(standard, {key: value for key, value in event.items() if key not in _NO_FIELDS})


def _error_info(error: object) -> object:
    if isinstance(error, BaseException):
        return type(error), error, error.__traceback__
    if error and not isinstance(error, tuple):
        error = sys.exc_info()
    return error if isinstance(error, tuple) and len(error) == 3 and error[1] is not None else None


def _caller() -> FrameType | None:
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001  # as every logging library does
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in (
        "structlog",
        "branchline",
    ):
        frame = frame.f_back
    return frame


def _record(standard: Mapping[str, object], fields: Mapping[Any, object]) -> Record:
    record = Record.of(logging.makeLogRecord(standard))
    record.fields = frozen(fields)
    return record
