"""Updates: what subscribers are told live, one thing that happened in a run, and who is told."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Protocol

from .json_values import json_value
from .values import Value


# What can be subscribed to. A span is one of OpenTelemetry's that is none of ours.
KINDS: Final = ("step", "span", "branch", "experiment", "log", "metric", "usage", "progress")

STARTED: Final = "started"
ENDED: Final = "ended"
RECORDED: Final = "recorded"


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """One thing that happened in a run, without secrets; no later change reaches it."""

    kind: str
    """``step``, ``span``, ``branch``, ``experiment``, ``log``, ``metric``, ``usage`` or ``progress``."""
    what: str
    """``ended`` or ``started`` of what has a length (of a step, only if it is a long one), else ``recorded``."""
    name: str
    """Of the step, the metric, the model or the task; of a log record the event that it is, or its logger."""
    time_unix_nano: int
    run_id: str
    process: str
    """The name of the process that it happened in."""
    id: str
    """A name that no other update has."""
    trace_id: str | None = None
    span_id: str | None = None
    """Of what has begun or ended; of all else, that it was recorded in."""
    parent_id: str | None = None
    experiment_name: str | None = None
    branch_name: str | None = None
    branch_id: str | None = None
    outcome: str | None = None
    status: str | None = None
    """Of a branch."""
    error: str | None = None
    """As a person reads it: ``ValueError: boom``."""
    duration: float | None = None
    """In seconds."""
    stamps: tuple[str, ...] = ()
    """The names of the stamps of what has ended."""
    level: str | None = None
    """Of a log record, in OpenTelemetry's words."""
    message: str = ""
    value: float | None = None
    """Of a metric; of a task that goes on, how much is done."""
    unit: str | None = None
    attributes: Mapping[str, Value] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values; what it has not is left out."""
        told = {name: getattr(self, name) for name in _FIELDS}
        return {name: json_value(value) for name, value in told.items() if value not in (None, "", (), {})}

    def __str__(self) -> str:
        if self.kind == "log":
            return " ".join(filter(None, (self.level, self.name, self.message)))
        if self.kind == "metric":
            return f"metric {self.name} = {self.value}{f' {self.unit}' if self.unit else ''}"
        if self.what == RECORDED:
            return f"{self.kind} {self.name}" + ("" if self.value is None else f" {self.value:g}")
        length = "" if self.duration is None else f"{self.duration:.3f} s"
        ending = self.status or self.outcome or self.what
        return " ".join(filter(None, (self.kind, self.name, ending, length, self.error)))


_FIELDS: Final = tuple(each.name for each in fields(Update))


class Subscriber(Protocol):
    """Somebody who is told. Nothing of it may raise, or take long: the thread that writes calls it."""

    @property
    def kinds(self) -> Collection[str]:
        """What it wants to know of."""

    def offer(self, updates: Sequence[Update]) -> None:
        """Take *updates*."""

    def settle(self, timeout: float) -> bool:
        """Wait until everything that was offered is told, *timeout* seconds at most; return whether it is."""
