"""Records that few are like: events that branchline itself tells, and what must be frozen once more."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from opentelemetry.trace import SpanContext

from .. import names
from .._journal.compact import dumps, ring_default
from .._journal.log_records import LogRecord, log_tuple
from .._journal.span_records import span_tuple
from ..values import freeze, freeze_key
from . import ids


_SEVERITIES: Final = {
    "TRACE": 1,
    "DEBUG": 5,
    "INFO": 9,
    "WARN": 13,
    "WARNING": 13,
    "ERROR": 17,
    "FATAL": 21,
    "CRITICAL": 21,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record belongs."""

    trace_hex: str | None
    number: int | None
    flags: int
    identity: Any

    @classmethod
    def of(cls, span: Any, place: SpanContext | None, identity: object) -> Self:
        """Return that of *span* (ours) if given, else *place* and *identity*."""
        if span is not None:
            return cls(span.trace_hex, span.number, span.lane.flags, span.identity)
        if place is not None and place.is_valid:
            return cls(f"{place.trace_id:032x}", place.span_id, int(place.trace_flags), identity)
        return cls(None, None, 0, identity)


def event_record(
    name: str,
    attributes: Mapping[str, Any],
    odd: Callable[[str], None],
    place: Place,
    *,
    severity: str,
    body: Any,
    moment: int | None,
) -> LogRecord:
    """Return an event of *name* as a log record, as it is now."""
    return LogRecord(
        name=name,
        time=time.time_ns() if moment is None else moment,
        uid=f"{ids.bits(128):032x}",
        severity=_SEVERITIES.get(severity, 9),
        severity_text=severity,
        body=None if body is None else freeze(body, odd),
        trace_hex=place.trace_hex,
        span_number=place.number,
        flags=place.flags,
        identity=place.identity,
        data={key: freeze(value, odd) for key, value in attributes.items()},
    )


def beginning_of(span: Any) -> dict[str, Any]:
    """Return the attributes of the event that says that *span* has begun."""
    described: dict[str, Any] = {
        names.KIND: span.role,
        names.SPAN_NAME: span.title,
        names.SPAN_START: span.began,
        names.SPAN_ATTRIBUTES: dict(span.data or {}),
    }
    if span.parent_number is not None:
        described[names.SPAN_PARENT_ID] = f"{span.parent_number:016x}"
    if span.role is None:
        del described[names.KIND]
    return described


def thoroughly_frozen(record: Any, odd: Callable[[str], None]) -> bytes:
    """Return the compact form of *record*, with every field of it frozen once more, the thorough way."""
    if isinstance(record, LogRecord):
        record.data = freeze(record.data, odd)  # type: ignore[assignment]  # a mapping stays one
        record.body = freeze(record.body, odd)
        record.origin = freeze(record.origin, odd)  # type: ignore[assignment]  # a tuple stays one
        return dumps(log_tuple(record), ring_default)
    record.title = freeze(record.title, odd)
    record.note = freeze(record.note, odd)
    record.data = None if record.data is None else _cleaned(record.data, odd)
    record.marks = [
        (freeze(mark[0], odd), mark[1], mark[2] and _cleaned(mark[2], odd), mark[3]) for mark in record.marks or ()
    ]
    return dumps(span_tuple(record), ring_default)


def _cleaned(attributes: Mapping[str, Any], odd: Callable[[str], None]) -> dict[str, Any]:
    """Return attributes, every key and value frozen the thorough way."""
    return {freeze_key(key, odd): freeze(value, odd) for key, value in attributes.items()}
