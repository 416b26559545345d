"""Refusing: no step is entered while a budget is used up; what is inside one already goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from opentelemetry.trace import SpanContext

from .. import names
from ..limits import BudgetExceeded, BudgetStatus
from ..recording import Identity, Recorder, Recording, UsagePlace


class Refusing:
    """Takes the place of the recorder while something is used up: until then, nobody pays for looking."""

    def __init__(self, recorder: Recorder, used_up: Callable[[], BudgetStatus | None]) -> None:
        """Record as *recorder* does, but enter no step while *used_up* says of what there is nothing left."""
        self._recorder = recorder
        self._used_up = used_up

    @property
    def capture(self) -> str:
        """What traced steps record of their call, unless they say otherwise."""
        return self._recorder.capture

    def _check(self) -> None:
        status = self._used_up()
        if status is not None:
            raise BudgetExceeded(status)

    def enter(
        self,
        name: str,
        role: str,
        attributes: Mapping[str, object] | None = None,
        links: Sequence[SpanContext] = (),
        identity: Identity | None = None,
        new_trace: bool = False,
    ) -> Recording:
        """Start a span and make it current; a step only if there is something left.

        Raises:
            BudgetExceeded: where there is nothing left.
        """
        if role == names.KIND_STEP:
            self._check()
        return self._recorder.enter(name, role, attributes, links, identity, new_trace)

    def open_step(self, name: str, attributes: dict[str, object] | None) -> Recording:
        """Start a plain step and make it current.

        Raises:
            BudgetExceeded: where there is nothing left.
        """
        self._check()
        return self._recorder.open_step(name, attributes)

    def current(self) -> Recording | None:
        """Return the innermost span of ours in this context."""
        return self._recorder.current()

    def current_step(self) -> Recording | None:
        """Return what ``current`` does if it is a step that is open."""
        return self._recorder.current_step()

    def event(
        self, name: str, attributes: Mapping[str, object], *, severity: str = "INFO", body: object = None
    ) -> None:
        """Record a log event of the run."""
        self._recorder.event(name, attributes, severity=severity, body=body)

    def point(
        self,
        name: object,
        value: object,
        unit: object,
        step: object,
        attributes: Mapping[str, object],
        recording: Recording | None = None,
    ) -> None:
        """Record one value of a metric."""
        self._recorder.point(name, value, unit, step, attributes, recording)

    def usage_place(self, recording: Recording | None = None) -> UsagePlace:
        """Return where a usage is recorded."""
        return self._recorder.usage_place(recording)
