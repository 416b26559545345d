"""The short form of a span: what every span has, in one list, in the order in which the ring takes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final


# The first one tells what kind of record it is.
# In hex, as a ring needs it; where there is none, a number until somebody asks: most ids nobody ever does.
TRACE: Final = 1
NUMBER: Final = 2
PARENT: Final = 3
TITLE: Final = 4
# By the monotonic clock, as are the times of events: adding to it what makes it the wall clock is left to the writer.
BEGAN: Final = 5
ENDED: Final = 6
ROLE: Final = 7
OUTCOME: Final = 8
DATA: Final = 9
IDENTITY: Final = 10
# What makes the wall clock of the monotonic one, in steps of 256 nanoseconds, and in its last byte the trace's flags.
CLOCK: Final = 11
# From here on, of each event its name, its time and its attributes: no list of its own, because every object that
# waits costs time.
MARKS_AT: Final = 12

_FLAGS: Final = 0xFF

# Experiment, branch id, branch name.
ShortIdentity = tuple[str | None, str | None, str | None]


def short_identity(identity: Any) -> ShortIdentity | None:
    """Return the experiment and branch of *identity* as the short form has them."""
    return None if identity is None else (identity.experiment_name, identity.branch_id, identity.branch_name)


def trace_hex(trace: str | int) -> str:
    """Return the id of a *trace* in hex."""
    return trace if isinstance(trace, str) else trace.to_bytes(16, "big").hex()


class Shortened(dict[str, Any]):
    """Attributes of an event of which some were dropped."""

    __slots__ = ("dropped",)
    dropped: int

    def __init__(self, kept: Mapping[str, Any], dropped: int) -> None:
        super().__init__(kept)
        self.dropped = dropped


def clock_of(offset: int, flags: int) -> int:
    """Return the clock of a trace whose wall clock is the monotonic one and *offset*."""
    return offset & ~_FLAGS | flags & _FLAGS


def flags_of(clock: int) -> int:
    """Return the flags of the trace that goes by *clock*."""
    return clock & _FLAGS


def offset_of(clock: int) -> int:
    """Return what *clock* adds to the monotonic clock."""
    return clock & ~_FLAGS


def short_marks(marks: Iterable[tuple[Any, ...]], offset: int) -> list[Any]:
    """Return *marks*, one by one, as the short form of a span has them whose clock adds *offset*."""
    told: list[Any] = []
    for name, time, attributes, dropped in marks:
        told += name, time - offset, Shortened(attributes or {}, dropped) if dropped else attributes
    return told


def _moment(place: int) -> Any:
    def read(span: Any) -> Any:
        time = span.fields[place]
        return time if time is None else time + offset_of(span.fields[CLOCK])

    def write(span: Any, value: Any) -> None:
        span.fields[place] = value if value is None else value - offset_of(span.fields[CLOCK])

    return property(read, write)


def _field(place: int) -> Any:
    def read(span: Any) -> Any:
        return span.fields[place]

    def write(span: Any, value: Any) -> None:
        span.fields[place] = value

    return property(read, write)


class ShortSpan:
    """A span that has its short form at hand; the hot paths use that, everybody else these names."""

    __slots__ = ()

    fields: list[Any]
    number: int = _field(NUMBER)
    parent_number: int | None = _field(PARENT)
    title: str = _field(TITLE)
    began: int = _moment(BEGAN)
    ended: int | None = _moment(ENDED)
    role: str | None = _field(ROLE)
    outcome: str | None = _field(OUTCOME)
    data: dict[str, Any] | None = _field(DATA)

    @property
    def marks(self) -> list[Any]:
        """Its events, one by one: name, time, attributes, and how many of these were dropped. A copy."""
        parts = iter(self.fields[MARKS_AT:])
        offset = offset_of(self.fields[CLOCK])
        return [
            (name, time + offset, attributes, attributes.dropped if attributes.__class__ is Shortened else 0)
            for name, time, attributes in zip(parts, parts, parts, strict=True)
        ]

    @marks.setter
    def marks(self, value: Iterable[tuple[Any, ...]]) -> None:
        self.fields[MARKS_AT:] = short_marks(value, offset_of(self.fields[CLOCK]))

    @property
    def trace_hex(self) -> str:
        """The id of its trace."""
        return trace_hex(self.fields[TRACE])
