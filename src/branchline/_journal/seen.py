"""What the writer thread shows to live listeners, and whom it wakes: what both sides know of each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from ..limits import BudgetStatus
from ..tally import Tally
from .usage_totals import UsageTotals


class Seen(NamedTuple):
    """One span as a listener sees it, still open or just ended.

    A named tuple, not a dataclass: one is made for every span while somebody watches.
    """

    name: str
    kind: str | None
    """`experiment`, `branch`, `step`, or None for a plain OpenTelemetry span."""
    trace_id: str
    span_id: int
    parent_id: int | None
    start_unix_nano: int
    end_unix_nano: int | None
    """None while the span is open."""
    outcome: str | None
    error: str | None
    """As a person reads it: `ValueError: boom`."""
    stamps: tuple[str, ...]
    branch_name: str | None
    experiment_name: str | None
    status: str | None
    """Of a branch."""
    attributes: Mapping[str, object]
    metrics: Mapping[str, float] = MappingProxyType({})
    """Of a branch: the last values of its metrics, which may still change."""
    spent: Tally | None = None
    """What it took of models, with all inside that has ended; None for nothing."""


def error_text(kind: object, message: str | None) -> str:
    """Return an error as a person reads it: `ValueError: boom`; of one that says nothing, what it is."""
    if kind and message and kind != message:
        return f"{kind}: {message}"
    return str(kind or message or "error")


class Summary(NamedTuple):
    """What one process recorded, told to its listeners once, at the end."""

    run_id: str
    directory: str
    """The run's."""
    service_name: str
    spans: int
    logs: int
    dropped: Mapping[str, int]
    """How many, by reason."""
    oddities: Mapping[str, int]
    """How many, by kind."""
    seconds: float
    points: int = 0
    """Of metrics; they are among the log records."""
    levels: Mapping[str, int] = {}
    """How many log records there were for a person to read, by severity."""
    spent: UsageTotals | None = None
    """What the run took of models, all of its processes together."""
    budgets: Sequence[BudgetStatus] = ()
    """How much of each limit is used."""


class Follows(Protocol):
    """Something that follows what is written, in a thread of its own."""

    def wake(self) -> None:
        """There is something new; called by the writer thread after each write, and returns at once."""
        ...

    def after_fork(self) -> None:
        """This is a forked child: nothing of the parent's may be used."""
        ...


class Listener(Protocol):
    """Something that watches a run live; called by the writer thread alone."""

    def listen(self, ended: Sequence[Seen], open_: Sequence[Seen]) -> None:
        """Take what has ended since the last call, and everything that is open now."""
        ...

    def close(self, summary: Summary) -> None:
        """Say how it went; nothing is listened to afterwards."""
        ...
