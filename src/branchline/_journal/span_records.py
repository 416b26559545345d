"""Spans on their way to the journal: as the encoder reads them, and their compact form in the ring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from .belonging import Scope, identity_from
from .compact import restored
from .fields import CLOCK, IDENTITY, MARKS_AT, ShortSpan, flags_of


SPAN_RECORD: Final = 1
# A span with all that it may have.
WHOLE_SPAN_RECORD: Final = 3

# name, time, attributes, how many of them were dropped
Mark = tuple[str, int, Mapping[str, Any] | None, int]
# trace id and span id in hex, trace state, attributes, flags, how many attributes were dropped
Bond = tuple[str, str, str, Mapping[str, Any] | None, int, int]


class SpanLike(Protocol):
    """A finished span, as the encoder reads it; plain fields, because this is read for every span."""

    lane: Any
    trace_hex: str
    number: int
    parent_number: int | None
    title: str
    began: int
    ended: int | None
    span_kind: int
    role: str | None
    outcome: str | None
    code: int
    note: str | None
    identity: Any
    scope: Any
    data: Mapping[str, Any] | None
    marks: Any
    bonds: Any
    has_remote_parent: bool
    dropped_attributes: int
    dropped_events: int
    dropped_links: int


class Lane:
    """What a record's trace has to say, read back."""

    __slots__ = ("flags", "state")

    def __init__(self, flags: int, state: str) -> None:
        self.flags = flags
        self.state = state


class SpanRecord:
    """A span read back from a ring, or closed on behalf of a dead process."""

    # OTLP has more fields than a span of a dead process can have: these keep their defaults.
    dropped_attributes = 0
    dropped_events = 0
    dropped_links = 0
    is_common = False
    # It holds no slots of a ring, or they are freed with the ring, and no memory that anybody counts.
    slots: int | tuple[int, ...] = -1
    weight = 0

    def __init__(
        self,
        *,
        trace_hex: str,
        number: int,
        parent_number: int | None,
        title: str,
        began: int,
        ended: int,
        role: str | None,
        outcome: str | None,
        flags: int = 1,
        state: str = "",
        span_kind: int = 1,
        code: int = 0,
        note: str | None = None,
        identity: Any = None,
        scope: Any = None,
        data: Mapping[str, Any] | None = None,
        marks: Any = None,
        bonds: Any = None,
        has_remote_parent: bool = False,
    ) -> None:
        self.lane = Lane(flags, state)
        self.trace_hex = trace_hex
        self.number = number
        self.parent_number = parent_number
        self.title = title
        self.began = began
        self.ended: int | None = ended
        self.role = role
        self.outcome = outcome
        self.span_kind = span_kind
        self.code = code
        self.note = note
        self.identity = identity
        self.scope = scope
        self.data = data
        self.marks = marks
        self.bonds = bonds
        self.has_remote_parent = has_remote_parent


def span_tuple(span: SpanLike) -> tuple[Any, ...]:
    """Return the compact form of a finished span, with what its short form leaves out."""
    lane = span.lane
    identity = span.identity
    scope = span.scope
    return (
        WHOLE_SPAN_RECORD,
        span.trace_hex,
        span.number,
        span.parent_number,
        span.title,
        span.began,
        span.ended,
        span.role,
        span.outcome,
        span.data,
        span.marks,
        identity and (identity.experiment_name, identity.branch_id, identity.branch_name),
        lane.flags,
        span.code,
        span.note,
        scope and (scope.name, scope.version, scope.schema_url, dict(scope.attributes or {})),
        span.bonds,
        lane.state,
        span.span_kind,
        span.has_remote_parent,
    )


def span_from(fields: list[Any]) -> SpanRecord | None:
    """Return the span of a compact form, the short one or the one with all; None for anything else."""
    if fields and fields[0] == SPAN_RECORD and len(fields) >= MARKS_AT and (len(fields) - MARKS_AT) % 3 == 0:
        return _common_span_from(fields)
    if fields and fields[0] == WHOLE_SPAN_RECORD and len(fields) == 20:
        return _whole_span_from(fields)
    return None


class _Short(ShortSpan):
    """A short form, to be read by its names."""

    __slots__ = ("fields",)

    def __init__(self, fields: list[Any]) -> None:
        self.fields = fields


def _common_span_from(fields: list[Any]) -> SpanRecord:
    short = _Short(fields)
    return SpanRecord(
        trace_hex=short.trace_hex,
        number=short.number,
        parent_number=short.parent_number,
        title=short.title,
        began=short.began,
        ended=short.ended or short.began,
        role=short.role,
        outcome=short.outcome,
        data=restored(short.data),
        marks=_marks_from(short.marks),
        identity=identity_from(fields[IDENTITY]),
        flags=flags_of(fields[CLOCK]),
    )


def _whole_span_from(fields: list[Any]) -> SpanRecord:
    return SpanRecord(
        trace_hex=fields[1],
        number=fields[2],
        parent_number=fields[3],
        title=fields[4],
        began=fields[5],
        ended=fields[6],
        role=fields[7],
        outcome=fields[8],
        data=restored(fields[9]),
        marks=_marks_from(fields[10] or ()),
        identity=identity_from(fields[11]),
        flags=fields[12],
        code=fields[13],
        note=fields[14],
        scope=Scope(*fields[15]) if fields[15] else None,
        bonds=[(*bond[:3], restored(bond[3]), *bond[4:]) for bond in fields[16] or ()],
        state=fields[17],
        span_kind=fields[18],
        has_remote_parent=fields[19],
    )


def _marks_from(marks: Iterable[Any]) -> list[Mark]:
    return [(name, time, restored(data), dropped) for name, time, data, dropped in marks]
