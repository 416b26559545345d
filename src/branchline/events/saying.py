"""Saying an event: to the run, and to the sinks and handlers of a logger of the logging module."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import trace

from ..context import attached
from ..current import CURRENT
from ..log_api import SUPPRESSION
from ..logs.accounts import complain
from ..logs.accounts import said as told
from ..logs.records import Record, made_record
from ..logs.registry import get_logger
from ..logs.scoped_fields import frozen
from .named import record_event


_LEVELS: Final = {
    "TRACE": 5,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
    "FATAL": logging.CRITICAL,
}
# A field of this name says in a line of a sink which event it is: `branchline logs` looks for it there.
_NAME_FIELD: Final = "event_name"
_HERE: Final = f"{Path(__file__).parent}{os.sep}"


def say(
    name: str,
    fields: Mapping[str, object],
    *,
    severity: str = "INFO",
    message: str = "",
    logger: str | None = None,
    error: BaseException | None = None,
    beside: Mapping[str, object] | None = None,
    time_unix_nano: int | None = None,
) -> None:
    """Record the event *name*, and give it to whoever listens to the *logger* of that name; never raises.

    What is *beside* the fields is for the run alone: handlers get the *error* as the logging module has it.
    """
    record_event(name, {**fields, **(beside or {})}, severity=severity, message=message, time_unix_nano=time_unix_nano)
    if logger is None:
        return
    try:
        _hand_out(logger, name, fields, _LEVELS.get(severity, logging.INFO), message, error, time_unix_nano)
    except Exception as failure:  # somebody's filter or handler
        complain(f"could not hand the event {name} to the logger {logger}: {told(failure)}")


def _hand_out(
    logger: str,
    name: str,
    fields: Mapping[str, object],
    level: int,
    message: str,
    error: BaseException | None,
    time_unix_nano: int | None,
) -> None:
    under = get_logger(logger)
    is_heard = under.hasHandlers()
    if not under.isEnabledFor(level) or (not is_heard and CURRENT.logs is None):
        return
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    said = frozen({_NAME_FIELD: name, **fields})
    record: Record = made_record(logger, level, message, (), said, _caller(), trace.get_current_span(), exc_info)
    record.created = (time.time_ns() if time_unix_nano is None else time_unix_nano) / 1e9
    record.complete()
    # The run has it already: what brings log records there is to leave this one alone.
    with attached(otel_context.set_value(SUPPRESSION, True)):
        if is_heard:
            under.handle(record)
        elif CURRENT.logs is not None:
            # Nobody but the log file of the run, if it has one.
            CURRENT.logs(record)


def _caller() -> FrameType | None:
    """Return the frame of whoever has recorded the event."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # as the logging module does
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return frame


def side_by_side(own: Mapping[str, object], others: Mapping[str, object], prefix: str) -> dict[str, object]:
    """Return both; of the *others*, one that is called as one of the *own* gets the *prefix*."""
    return {**{f"{prefix}.{key}" if key in own else str(key): value for key, value in others.items()}, **own}
