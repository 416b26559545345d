"""Events by their names: each is a log record of the current step, or of the run."""

from __future__ import annotations

from collections.abc import Mapping

from ..current import CURRENT
from ..logs import foreign
from ..logs.severity import named, word_of
from ..recording import EventTaker
from ..values import freeze_name


def event(name: str, /, *, severity: str = "INFO", message: str = "", **fields: object) -> None:
    """Record an event on the current step, or outside of all steps of the run.

    *name* says what kind of thing happened, the same every time; what differs is in the *fields*. *severity* is
    ``TRACE``, ``DEBUG``, ``INFO``, ``WARN``, ``ERROR`` or ``FATAL``; the logging module's names go as well.
    """
    record_event(name, fields, severity=severity, message=message)


def record_event(
    name: str,
    fields: Mapping[str, object],
    *,
    severity: str = "INFO",
    message: str = "",
    time_unix_nano: int | None = None,
) -> None:
    """Record an event whose *fields* may have any name; *time_unix_nano* is when it happened, if not just now."""
    taker: EventTaker | None = CURRENT.events or foreign.events()
    if taker is None:
        return
    number = named(severity)
    # A severity that nobody knows is no reason to lose the event.
    text = word_of(number) if number is not None else freeze_name(severity)
    number = 9 if number is None else number
    # Asked of a text only: other objects may raise when they are asked whether they are empty.
    body = message if type(message) is not str or message else None
    taker.event(name, fields, number=number, text=text, body=body, time_unix_nano=time_unix_nano)
