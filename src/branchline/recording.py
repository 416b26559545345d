"""Recording, as those see it who have something to record: what they may say, and to whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext


if TYPE_CHECKING:
    from .usage_values import Usage


@dataclass(frozen=True, slots=True)
class Identity:
    """Which experiment and branch everything inside belongs to."""

    experiment_name: str | None = None
    branch_id: str | None = None
    branch_name: str | None = None


class Recording(Protocol):
    """One open span, as a recorder hands it out: everything that a step or a branch may say to it.

    No method raises, whatever it is given.
    """

    @property
    def is_open(self) -> bool:
        """Whether it still takes data."""

    @property
    def role(self) -> str | None:
        """``experiment``, ``branch`` or ``step``; None for a plain OpenTelemetry span."""

    @property
    def identity(self) -> Identity | None:
        """The experiment and branch it belongs to."""

    @property
    def span(self) -> trace.Span:
        """The OpenTelemetry span."""

    def put(self, attributes: Mapping[str, object]) -> None:
        """Set attributes."""

    def mark(self, name: str, attributes: Mapping[str, object]) -> None:
        """Add a span event, now."""

    def connect(self, other: SpanContext, attributes: Mapping[str, object] | None = None) -> None:
        """Add a link."""

    def settle(self, outcome: str, message: str | None = None) -> None:
        """Decide how it will have ended, unless an exception says otherwise."""

    def suspend(self) -> Context:
        """Give the caller its own context back, and return the one that was current inside (generators)."""

    def resume(self, inside: Context | None = None) -> None:
        """Make it, or *inside*, the context that ``suspend`` returned, current again."""

    def leave(self, outcome: str, error: BaseException | None = None, message: str | None = None) -> None:
        """Take it off the current context and end it; a second call does nothing."""


class UsagePlace(Protocol):
    """Where a usage is recorded: what it has to say about that, and what takes it. No method raises."""

    trace_id: str | None
    span_id: str | None
    identity: Identity | None
    step: str | None
    time_unix_nano: int
    usage_id: str

    def remark(self, kind: str, text: str, about: str = "") -> None:
        """Count something odd, and say *text* the first time for what it is *about*."""

    def take(self, usage: Usage) -> Usage:
        """Record *usage*, which was made with what this place says, and return it as it is known from now on."""


class Recorder(Protocol):
    """Where recorded things go."""

    @property
    def capture(self) -> str:
        """What traced steps record of their call, unless they say otherwise: ``""``, ``args``, ``result``, ``all``."""

    def enter(
        self,
        name: str,
        role: str,
        attributes: Mapping[str, object] | None = None,
        # Not keyword-only: Python calls such a function in the fast way, and this is called for every step.
        links: Sequence[SpanContext] = (),
        identity: Identity | None = None,
        new_trace: bool = False,
    ) -> Recording:
        """Start a span and make it current; *identity* replaces the one inherited from the parent."""

    def open_step(self, name: str, attributes: dict[str, object] | None) -> Recording:
        """Start a plain step and make it current: what ``enter`` does for most, without the rest."""

    def current(self) -> Recording | None:
        """Return the innermost span of ours (any role) in this context."""

    def current_step(self) -> Recording | None:
        """Return what ``current`` does if it is a step that is open, else None."""

    def event(
        self, name: str, attributes: Mapping[str, object], *, severity: str = "INFO", body: object = None
    ) -> None:
        """Record a log event of the run, belonging to the current span if there is one."""

    def point(
        self,
        name: object,
        value: object,
        unit: object,
        step: object,
        attributes: Mapping[str, object],
        # Neither keyword-only: this too is called in hot loops.
        recording: Recording | None = None,
    ) -> None:
        """Record one value of a metric, belonging to *recording*, open or ended, else to the current span."""

    def usage_place(self, recording: Recording | None = None) -> UsagePlace:
        """Return where a usage is recorded that belongs to *recording*, else to what is current."""


class EventTaker(Protocol):
    """Where the events go that somebody has named."""

    def event(
        self,
        name: str,
        attributes: Mapping[str, object],
        *,
        number: int,
        text: str,
        body: object,
        time_unix_nano: int | None = None,
    ) -> None:
        """Record a log event, belonging to the current span if there is one; *number* is its severity, as OTLP has it.

        *time_unix_nano* is when it happened, if not just now. Never raises.
        """
