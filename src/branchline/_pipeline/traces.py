"""What all spans of one trace in this process share, its clock above all."""

from __future__ import annotations

from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any, Final


if TYPE_CHECKING:
    from .pipeline import Pipeline

_END_OF_TIME: Final = 2**64


class Trace:
    """What all spans of one trace in this process share."""

    __slots__ = ("began", "flags", "has_no_state", "hex", "offset", "pipeline", "state")

    def __init__(self, pipeline: Pipeline, trace_id: int, flags: int, state: str) -> None:
        self.pipeline = pipeline
        self.hex = "%032x" % trace_id  # noqa: UP031 - twice as fast as the other ways
        self.flags = flags
        self.state = state
        self.has_no_state = not state
        # One clock for the whole trace: wall time at its start, the monotonic clock from there.
        self.began = time_ns()
        self.offset = self.began - perf_counter_ns()

    @property
    def id(self) -> int:
        """The trace id as a number."""
        return int(self.hex, 16)

    def now(self) -> int:
        """Return the time, in nanoseconds since 1970."""
        return perf_counter_ns() + self.offset


def moment(given: Any, trace: Trace) -> int:
    """Return *given* nanoseconds since 1970 as OTLP can carry them: now, where they are none."""
    if given.__class__ is int and 0 <= given < _END_OF_TIME:
        return int(given)
    trace.pipeline.odd("time")
    try:
        whole = int(given)
    except Exception:  # whatever the user gave
        return trace.now()
    return whole if 0 <= whole < _END_OF_TIME else trace.now()
