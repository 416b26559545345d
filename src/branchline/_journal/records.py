"""What the pipeline hands to the journal: finished spans and log records, and their compact form in the ring."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol

import orjson

from .. import names
from .fields import CLOCK, IDENTITY, MARKS_AT, ShortSpan, flags_of


SPAN_RECORD: Final = 1
LOG_RECORD: Final = 2
# A span with all that it may have.
WHOLE_SPAN_RECORD: Final = 3
dumps: Final = orjson.dumps
loads: Final = orjson.loads

_BYTES_KEY: Final = "$bytes"
_ORIGIN: Final = (names.CODE_FILE, names.CODE_FUNCTION, names.CODE_LINE, names.LEVEL)

# name, time, attributes, how many of them were dropped
Mark = tuple[str, int, Mapping[str, Any] | None, int]
# trace id and span id in hex, trace state, attributes, flags, how many attributes were dropped
Bond = tuple[str, str, str, Mapping[str, Any] | None, int, int]
# file, function and line that a log record was made in, and what its logger calls the level
Origin = tuple[str, str, int, str]


class LaneLike(Protocol):
    """What spans share that go the same way."""

    flags: int
    state: str


class ScopeLike(Protocol):
    """An instrumentation scope."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str | None: ...
    @property
    def schema_url(self) -> str | None: ...
    @property
    def attributes(self) -> Mapping[str, Any] | None: ...


class IdentityLike(Protocol):
    """The experiment and branch that a record belongs to."""

    @property
    def experiment_name(self) -> str | None: ...
    @property
    def branch_id(self) -> str | None: ...
    @property
    def branch_name(self) -> str | None: ...


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


class LogLike(Protocol):
    """A log record, as the encoder reads it."""

    name: str
    time: int
    severity: int
    severity_text: str
    body: Any
    trace_hex: str | None
    span_number: int | None
    flags: int
    identity: Any
    uid: str
    data: Mapping[str, Any]
    scope: Any
    observed: int | None
    origin: Origin | None


class Lane:
    """What a record's trace has to say, read back."""

    __slots__ = ("flags", "state")

    def __init__(self, flags: int, state: str) -> None:
        self.flags = flags
        self.state = state


class Identity:
    """The experiment and branch that a record belongs to, read back."""

    __slots__ = ("branch_id", "branch_name", "experiment_name")

    def __init__(self, experiment_name: str | None, branch_id: str | None, branch_name: str | None) -> None:
        self.experiment_name = experiment_name
        self.branch_id = branch_id
        self.branch_name = branch_name


class Scope:
    """An instrumentation scope: of a log record, or read back."""

    __slots__ = ("attributes", "compact", "name", "schema_url", "version")

    def __init__(
        self,
        name: str,
        version: str | None,
        schema_url: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.schema_url = schema_url
        self.attributes = attributes
        self.compact = (name, version, schema_url, dict(attributes or {}))


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


class LogRecord:
    """One log record or event on its way to the journal."""

    __slots__ = (
        "body",
        "data",
        "flags",
        "identity",
        "name",
        "observed",
        "origin",
        "scope",
        "severity",
        "severity_text",
        "slots",
        "span_number",
        "time",
        "trace_hex",
        "uid",
        "weight",
    )

    def __init__(
        self,
        *,
        name: str,
        time: int,
        uid: str,
        severity: int = 9,
        severity_text: str = "INFO",
        body: Any = None,
        trace_hex: str | None = None,
        span_number: int | None = None,
        flags: int = 0,
        identity: Any = None,
        data: Mapping[str, Any] | None = None,
        scope: Scope | None = None,
        observed: int | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.name = name
        self.time = time
        self.uid = uid
        self.severity = severity
        self.severity_text = severity_text
        self.body = body
        self.trace_hex = trace_hex
        self.span_number = span_number
        self.flags = flags
        self.identity = identity
        self.data: Mapping[str, Any] = {} if data is None else data
        # None is branchline's own.
        self.scope = scope
        # None: when it happened.
        self.observed = observed
        self.origin = origin
        self.slots: int | tuple[int, ...] = -1
        self.weight = 0


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


def log_tuple(record: LogLike) -> tuple[Any, ...]:
    """Return the compact form of a log record."""
    identity = record.identity
    scope = record.scope
    return (
        LOG_RECORD,
        record.uid,
        record.name,
        record.time,
        record.severity,
        record.severity_text,
        record.body,
        record.trace_hex,
        record.span_number,
        record.flags,
        identity and (identity.experiment_name, identity.branch_id, identity.branch_name),
        record.data,
        scope and scope.compact,
        record.observed,
        record.origin,
    )


# A log record that is like most goes through the queue as a list: its compact form, as ``log_tuple`` has it, but with
# the identity and the scope themselves in their places, and behind all that its place in the ring.
TIME_AT: Final = 3
BODY_AT: Final = 6
IDENTITY_AT: Final = 10
DATA_AT: Final = 11
SCOPE_AT: Final = 12


def log_record(record: Any) -> Any:
    """Return *record* as an object; one that comes as a list is made one."""
    if record.__class__ is not list:
        return record
    _, uid, name, time, severity, severity_text, body, *place, identity, data, scope, observed, origin, slots = record
    made = LogRecord(
        uid=uid,
        name=name,
        time=time,
        severity=severity,
        severity_text=severity_text,
        body=body,
        trace_hex=place[0],
        span_number=place[1],
        flags=place[2],
        identity=identity,
        data=data,
        scope=scope,
        observed=observed,
        origin=origin and tuple(origin),
    )
    made.slots = slots
    return made


def origin_attributes(origin: Origin) -> dict[str, Any]:
    """Return the attributes that say where a log record was made."""
    return {key: value for key, value in zip(_ORIGIN, origin, strict=True) if value is not None}


def ring_default(value: object) -> object:
    """Write what JSON has no word for (orjson's ``default``)."""
    if isinstance(value, bytes):
        return {_BYTES_KEY: base64.b64encode(value).decode()}
    msg = f"cannot write {type(value).__name__}"
    raise TypeError(msg)


def from_tuple(fields: list[Any]) -> SpanRecord | LogRecord:
    """Return the record of a compact form. Raises ValueError for anything else."""
    if fields and fields[0] == SPAN_RECORD and len(fields) >= MARKS_AT and (len(fields) - MARKS_AT) % 3 == 0:
        return _common_span_from(fields)
    if fields and fields[0] == WHOLE_SPAN_RECORD and len(fields) == 20:
        return _span_from(fields)
    if fields and fields[0] == LOG_RECORD and len(fields) == 15:
        return _log_from(fields)
    msg = f"not a record of this version: {fields[:1]!r} with {len(fields)} fields"
    raise ValueError(msg)


def spilled_records(spilled: Sequence[tuple[SpanLike, Mark]]) -> list[LogRecord]:
    """Return the events that were too many for their span's line, as log records that readers put back.

    Their ids follow from the span's: whoever writes them a second time is found out.
    """
    spans = {span.number: span for span, _ in spilled}
    left = Counter(span.number for span, _ in spilled)
    # Those that spill are a span's last ones.
    places = {number: len(span.marks) - left[number] for number, span in spans.items()}
    records: list[LogRecord] = []
    for span, (name, moment, attributes, _) in spilled:
        place = places[span.number]
        places[span.number] += 1
        records.append(
            LogRecord(
                name=names.SPAN_EVENT,
                time=moment,
                uid=f"{span.number:016x}{place:016x}",
                trace_hex=span.trace_hex,
                span_number=span.number,
                flags=span.lane.flags,
                identity=span.identity,
                data={names.EVENT_NAME: name, **(attributes or {})},
            )
        )
    return records


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
        identity=_identity_from(fields[IDENTITY]),
        flags=flags_of(fields[CLOCK]),
    )


def _identity_from(told: Any) -> Identity | None:
    return Identity(*told) if told else None


def _marks_from(marks: Iterable[Any]) -> list[Mark]:
    return [(name, time, restored(data), dropped) for name, time, data, dropped in marks]


def _span_from(fields: list[Any]) -> SpanRecord:
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
        identity=_identity_from(fields[11]),
        flags=fields[12],
        code=fields[13],
        note=fields[14],
        scope=Scope(*fields[15]) if fields[15] else None,
        bonds=[(*bond[:3], restored(bond[3]), *bond[4:]) for bond in fields[16] or ()],
        state=fields[17],
        span_kind=fields[18],
        has_remote_parent=fields[19],
    )


def _log_from(fields: list[Any]) -> LogRecord:
    return LogRecord(
        uid=fields[1],
        name=fields[2],
        time=fields[3],
        severity=fields[4],
        severity_text=fields[5],
        body=restored(fields[6]),
        trace_hex=fields[7],
        span_number=fields[8],
        flags=fields[9],
        identity=_identity_from(fields[10]),
        data=restored(fields[11]),
        scope=_scope_from(*fields[12]) if fields[12] else None,
        observed=fields[13],
        origin=tuple(fields[14]) if fields[14] else None,
    )


def _scope_from(name: str, version: str | None, schema_url: str | None, attributes: dict[str, Any]) -> Scope:
    if attributes:
        return Scope(name, version, schema_url, restored(attributes))
    return _plain_scope(name, version, schema_url)


# One for many records: they are written in groups, and a group is of one scope.
@lru_cache(maxsize=1024)
def _plain_scope(name: str, version: str | None, schema_url: str | None) -> Scope:
    return Scope(name, version, schema_url)


def restored(value: Any) -> Any:
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(value.get(_BYTES_KEY), str):
            return _bytes_from(value)
        return {key: restored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [restored(item) for item in value]
    return value


def _bytes_from(value: dict[str, Any]) -> Any:
    try:
        return base64.b64decode(value[_BYTES_KEY], validate=True)
    except ValueError:
        # A mapping of the user's that looks like ours, or what redaction left of one.
        return value
