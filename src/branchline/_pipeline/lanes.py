"""What spans share that go the same way: who makes them, where they end, the clock they go by, their trace's flags."""

from __future__ import annotations

from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any, Final

from .._journal.fields import clock_of, offset_of


if TYPE_CHECKING:
    from .pipeline import Pipeline

_END_OF_TIME: Final = 2**64
# The roots of this long share a clock: a wall clock that somebody sets is soon seen, and asking costs next to nothing.
_FRESH_NS: Final = 10_000_000


class Lane:
    """What spans share that go the same way; all spans of one trace in this process do."""

    __slots__ = ("clock", "flags", "has_no_state", "limits", "offset", "pipeline", "provider", "stale_at", "state")

    def __init__(
        self, provider: Any, pipeline: Pipeline, flags: int, state: str = "", *, offset: int | None = None
    ) -> None:
        """Go by the wall clock as it is now, and by the monotonic clock from there; or by the *offset* of another.

        *provider* is the Provider, which makes lanes and so cannot be imported here.
        """
        self.provider = provider
        self.limits = provider.limits
        self.pipeline = pipeline
        self.flags = flags
        self.state = state
        self.has_no_state = not state
        self.clock = clock_of(time_ns() - perf_counter_ns() if offset is None else offset, flags)
        self.offset = offset_of(self.clock)
        # From then on, by the monotonic clock, new traces want another lane.
        self.stale_at = perf_counter_ns() + _FRESH_NS

    def now(self) -> int:
        """Return the time, in nanoseconds since 1970."""
        return perf_counter_ns() + self.offset


def moment(given: Any, lane: Lane) -> int:
    """Return *given* nanoseconds since 1970 as OTLP can carry them: now, where they are none."""
    if type(given) is int and 0 <= given < _END_OF_TIME:
        return int(given)
    lane.pipeline.odd("time")
    try:
        whole = int(given)
    except Exception:  # whatever the user gave
        return lane.now()
    return whole if 0 <= whole < _END_OF_TIME else lane.now()
