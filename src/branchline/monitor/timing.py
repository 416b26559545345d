"""Timed operations: steps of which the log says that they began, and how long they took."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from .. import names
from ..current import CURRENT
from ..logs import foreign
from ..logs.severity import named, word_of
from ..outcomes import error_type, outcome_of
from ..recording import EventTaker
from ..steps import Step, step
from ..tracebacks import said
from ..values import freeze_name
from .around import Around
from .thresholds import checked_milliseconds


class TimedOperation(Around):
    """A block or function that is a step, and whose beginning and end are log events with its duration.

    The events are called ``branchline.operation.started`` (DEBUG), ``.completed`` (INFO), ``.slow`` (WARNING) and
    ``.failed`` (ERROR); their messages are ``<operation>_started`` and so on.
    """

    def __init__(self, operation: str, /, *, threshold_ms: float | None = None, **fields: object) -> None:
        """Time *operation*; from more than *threshold_ms* milliseconds on it is slow. *fields* are on all of it.

        Raises:
            ConfigError: for a threshold that is no number above zero.
        """
        self.operation = freeze_name(operation)
        self.threshold_ms = checked_milliseconds(threshold_ms)
        self.duration_ms: float | None = None
        """How long it took, once it has ended."""
        self._fields = fields
        self._step: Step | None = None
        self._began = 0.0

    def again(self) -> Self:
        """Return one of the same kind, for another call."""
        return type(self)(self.operation, threshold_ms=self.threshold_ms, **self._fields)

    def begin(self) -> None:
        """Begin the step, and say so."""
        self._step = step(self.operation)
        self._step.__enter__()
        self._step.set(**self._fields)
        self._say(names.TIMED_STARTED, "started", "DEBUG")
        self._began = time.perf_counter()

    def end(self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None) -> None:
        """Say how it went, and end the step."""
        duration = self.duration_ms = round((time.perf_counter() - self._began) * 1000, 2)
        told: dict[str, object] = {"duration_ms": duration}
        limit = self.threshold_ms
        if limit is not None:
            told["threshold_ms"] = limit
        outcome = outcome_of(error)
        if error is not None and outcome != names.SUCCESS:
            why = {names.ERROR_TYPE: error_type(error), "error": said(error), "outcome": outcome}
            self._say(names.TIMED_FAILED, "failed", "ERROR", **told, **why)
        elif limit is not None and duration > limit:
            self._say(names.TIMED_SLOW, "completed_slow", "WARNING", **told)
        else:
            self._say(names.TIMED_COMPLETED, "completed", "INFO", **told)
        if self._step is not None:
            self._step.__exit__(kind, error, stack)

    def _say(self, event: str, what: str, severity: str, **told: object) -> None:
        taker: EventTaker | None = CURRENT.events or foreign.events()
        if taker is not None:
            number = named(severity) or 0
            fields = {**self._fields, "operation": self.operation, **told}
            taker.event(event, fields, number=number, text=word_of(number), body=f"{self.operation}_{what}")


def timed_operation(operation: str, /, *, threshold_ms: float | None = None, **fields: object) -> TimedOperation:
    """Return a timed operation for a ``with`` or ``async with`` block, or to decorate a function with.

    From more than *threshold_ms* milliseconds on it is slow, which is a warning. *fields* are on its step and events.

    Raises:
        ConfigError: for a threshold that is no number above zero.
    """
    return TimedOperation(operation, threshold_ms=threshold_ms, **fields)
