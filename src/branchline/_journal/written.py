"""What the journal of a dead process has already: which spans and records, and which of its spans were open."""

from __future__ import annotations

import base64
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from .. import names
from . import layout
from .layout import Segment
from .ring_layout import Progress


OPENING: Final = frozenset({names.EXPERIMENT_STARTED, names.BRANCH_STARTED, names.STEP_STARTED})

_SPAN_ID: Final = re.compile(rb'"spanId":"([0-9a-f]{16})"')


@dataclass(slots=True)
class Opened:
    """A span that had a start record."""

    trace_hex: str
    data: dict[str, Any]


@dataclass(slots=True)
class Written:
    """What a journal has: all log records and points of metrics, and the spans from a place on."""

    spans: set[str] = field(default_factory=set)
    logs: set[str] = field(default_factory=set)
    opened: dict[str, Opened] = field(default_factory=dict)
    checkpoints: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    points: int = 0
    """Of metrics."""
    notes: int = 0
    """Of branchline's own, among the log records."""
    latest: int = 0


def written_in(process: Path, progress: Progress) -> Written:
    """Return what *process*'s journal has; spans before the place that *progress* names are left out."""
    found = Written()
    for segment in layout.segments(process):
        if segment.signal == "traces":
            start = _start(segment, progress.traces_segment, progress.traces_offset)
            for span in _objects(segment, start, "resourceSpans", "scopeSpans", "spans"):
                found.spans.add(str(span.get("spanId")))
                found.latest = max(found.latest, _integer(span.get("endTimeUnixNano")))
        elif segment.signal == "logs":
            # All of them: a span that is open now may have been opened long ago.
            for record in _objects(segment, 0, "resourceLogs", "scopeLogs", "logRecords"):
                _take_log(found, record)
        else:
            found.points += sum(map(_points, _objects(segment, 0, "resourceMetrics", "scopeMetrics", "metrics")))
    found.closed = _closed(process, set(found.opened))
    return found


def _start(segment: Segment, number: int, offset: int) -> int | None:
    """Return where to read *segment* from, or None for not at all."""
    if segment.number < number:
        return None
    return offset if segment.number == number and not segment.is_sealed else 0


def _objects(segment: Segment, start: int | None, outer: str, middle: str, inner: str) -> Iterator[dict[str, Any]]:
    if start is None:
        return
    for line in _lines(segment, start):
        yield from _objects_in(line, outer, middle, inner)


def _objects_in(line: bytes, outer: str, middle: str, inner: str) -> list[dict[str, Any]]:
    try:
        return [
            item
            for resource in orjson.loads(line).get(outer, ())
            for scope in resource.get(middle, ())
            for item in scope.get(inner, ())
            if isinstance(item, dict)
        ]
    except (ValueError, AttributeError, TypeError):
        # A torn line.
        return []


def _lines(segment: Segment, start: int) -> Iterator[bytes]:
    try:
        with gzip.open(segment.path, "rb") if segment.is_sealed else segment.path.open("rb") as file:
            file.seek(start)
            yield from file
    except (OSError, EOFError, zlib.error):
        # Cut off, or damaged: what can be read of it was.
        return


def _take_log(found: Written, record: dict[str, Any]) -> None:
    attributes = _plain(record.get("attributes", ()))
    uid = attributes.get(names.LOG_UID)
    if isinstance(uid, str):
        found.logs.add(uid)
    # Not its time, which is whatever somebody said.
    found.latest = max(found.latest, _integer(record.get("observedTimeUnixNano")))
    name, span_id = record.get("eventName"), record.get("spanId")
    found.notes += name in names.LIFECYCLE
    if name in OPENING and span_id:
        found.opened[span_id] = Opened(trace_hex=str(record.get("traceId")), data=attributes)
    elif name == names.STEP_CHECKPOINT and span_id:
        found.checkpoints.setdefault(span_id, []).append(attributes)


def _points(metric: dict[str, Any]) -> int:
    return sum(len(data.get("dataPoints", ())) for data in metric.values() if isinstance(data, dict))


def _closed(process: Path, opened: set[str]) -> set[str]:
    """Return which of the *opened* spans have ended: the only thing that needs all of the traces."""
    closed: set[str] = set()
    for segment in layout.segments(process, "traces"):
        for line in _lines(segment, 0):
            if opened <= closed:
                return closed
            named = {found.decode() for found in _SPAN_ID.findall(line)} & opened
            if named - closed:
                # Parsed, for a link to an open span names it as well.
                spans = _objects_in(line, "resourceSpans", "scopeSpans", "spans")
                closed |= named & {str(span.get("spanId")) for span in spans}
    return closed


def _plain(attributes: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {item["key"]: _value(item.get("value", {})) for item in attributes if "key" in item}


def _value(value: dict[str, Any]) -> Any:
    for kind, inner in value.items():
        if kind == "intValue":
            return int(inner)
        if kind == "bytesValue":
            return base64.b64decode(inner)
        if kind == "arrayValue":
            return [_value(item) for item in inner.get("values", ())]
        if kind == "kvlistValue":
            return _plain(inner.get("values", ()))
        return inner
    return None


def _integer(value: object) -> int:
    return int(value) if isinstance(value, (int, str)) and str(value).isdecimal() else 0
