"""The short form of a span: what every span has, in one list, in the order in which the ring takes it."""

from __future__ import annotations

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
    marks: list[Any] | None = _field(MARKS)

    @property
    def trace_hex(self) -> str:
        """The id of its trace."""
        return trace_hex(self.fields[TRACE])
