"""The short form of a span: what every span has, in one list, in the order in which the ring takes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final


# The first one tells what kind of record it is.
# In hex, as a ring needs it; where there is none, a number until somebody asks: most ids nobody ever does.
TRACE: Final = 1
NUMBER: Final = 2
PARENT: Final = 3
TITLE: Final = 4
BEGAN: Final = 5
ENDED: Final = 6
ROLE: Final = 7
OUTCOME: Final = 8
DATA: Final = 9
# Of each event its name, time, attributes, and how many of these were dropped: one list for all events, because every
# object that waits costs time.
MARKS: Final = 10
IDENTITY: Final = 11
FLAGS: Final = 12

# Experiment, branch id, branch name.
ShortIdentity = tuple[str | None, str | None, str | None]


def short_identity(identity: Any) -> ShortIdentity | None:
    """Return the experiment and branch of *identity* as the short form has them."""
    return None if identity is None else (identity.experiment_name, identity.branch_id, identity.branch_name)


def trace_hex(trace: str | int) -> str:
    """Return the id of a *trace* in hex."""
    return trace if isinstance(trace, str) else trace.to_bytes(16, "big").hex()


def marks_of(told: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    """Return the events of a short form one by one."""
    parts = iter(told)
    return zip(parts, parts, parts, parts, strict=False)


def short_marks(marks: Iterable[Iterable[Any]]) -> list[Any]:
    """Return *marks*, one by one, as the short form has them."""
    return list(chain.from_iterable(marks))


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
    began: int = _field(BEGAN)
    ended: int | None = _field(ENDED)
    role: str | None = _field(ROLE)
    outcome: str | None = _field(OUTCOME)
    data: dict[str, Any] | None = _field(DATA)

    @property
    def marks(self) -> list[Any] | None:
        """Its events, one by one: a copy."""
        told = self.fields[MARKS]
        return told and list(marks_of(told))

    @marks.setter
    def marks(self, value: list[Any] | None) -> None:
        self.fields[MARKS] = value and short_marks(value)

    @property
    def trace_hex(self) -> str:
        """The id of its trace."""
        return trace_hex(self.fields[TRACE])
