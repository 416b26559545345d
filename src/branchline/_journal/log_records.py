"""Log records on their way to the journal: as the encoder reads them, and their compact form in the ring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from .. import names
from .belonging import Scope, identity_from, scope_from
from .compact import restored


LOG_RECORD: Final = 2

_ORIGIN: Final = (names.CODE_FILE, names.CODE_FUNCTION, names.CODE_LINE, names.LEVEL)

# file, function and line that a log record was made in, and what its logger calls the level
Origin = tuple[str, str, int, str]


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


def log_from(fields: list[Any]) -> LogRecord | None:
    """Return the log record of a compact form; None for anything else."""
    if not fields or fields[0] != LOG_RECORD or len(fields) != 15:
        return None
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
        identity=identity_from(fields[10]),
        data=restored(fields[11]),
        scope=scope_from(fields[12]),
        observed=fields[13],
        origin=tuple(fields[14]) if fields[14] else None,
    )
