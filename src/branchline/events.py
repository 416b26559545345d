"""Events: things worth noting that have a name, as log records of the run."""

from __future__ import annotations

from .context import CURRENT, EventTaker
from .logs import foreign
from .logs.severity import named, word_of


def event(name: str, /, *, severity: str = "INFO", message: str = "", **fields: object) -> None:
    """Record an event on the current step, or outside of all steps of the run.

    *name* says what kind of thing happened, the same every time; what differs is in the *fields*. *severity* is
    ``TRACE``, ``DEBUG``, ``INFO``, ``WARN``, ``ERROR`` or ``FATAL``; the logging module's names go as well.
    """
    taker: EventTaker | None = CURRENT.events or foreign.events()
    if taker is None:
        return
    number = named(severity)
    # A severity that nobody knows is no reason to lose the event.
    text = word_of(number) if number is not None else str(severity)
    taker.event(name, fields, number=9 if number is None else number, text=text, body=message or None)
