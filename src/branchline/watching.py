"""Who watches what a run measures, what they hear, and what samples for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol


class Measured(NamedTuple):
    """One value of a metric, as those hear of it who watch a run."""

    metric: str
    value: float
    unit: str = ""
    attributes: Mapping[str, object] = {}
    time_unix_nano: int = 0
    trace_id: str | None = None
    span_id: str | None = None
    is_total: bool = False
    """Whether it only grows: then it is the last value that counts, and no other."""


class Watching(Protocol):
    """Somebody who watches what a run measures."""

    def hear(self, measured: Sequence[Measured]) -> None:
        """Take what was *measured*, in the order in which it was; returns at once, and never raises."""

    def finish(self, timeout: float) -> None:
        """Say within *timeout* seconds what there is still to say: the run ends."""

    def after_fork(self) -> None:
        """Begin anew in a forked child, where nobody is told of anything yet."""


class Measures(Protocol):
    """What a run measures, for those who watch it."""

    def join(self, watching: Watching, *, every: float, but: Collection[str] = ()) -> None:
        """Tell *watching* from now on; of instruments, *but* these, at least *every* so many seconds."""

    def leave(self, watching: Watching) -> None:
        """Tell *watching* nothing any more."""

    def look(self) -> list[Measured]:
        """Return what has to be asked for: how budgets stand, and what branchline measures of itself."""

    def catch_up(self, timeout: float) -> None:
        """Wait until everybody was told of what was recorded so far, for at most *timeout* seconds."""

    def alerted(self, metric: str, severity: str) -> None:
        """Count an alert about *metric*."""


class Monitoring(Protocol):
    """What samples the process and its machine."""

    def readings(self) -> Mapping[str, Sequence[tuple[float, Mapping[str, str | int]]]]:
        """Return the newest values, by the names of their metrics."""
