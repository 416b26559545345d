"""OTLP/JSON lines as plain records, whoever wrote them and whatever has happened to the file since."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import orjson

from .anyvalue import (
    Value,
    any_value,
    attributes_of,
    camel_cased,
    known_parent_id,
    known_trace_id,
    optional_id,
    text_of,
    whole_number,
)


Note = Callable[[str], None]

# Our own lines end at 256 KiB; a collector's may be larger. Beyond this it is not a line but damage.
LONGEST_LINE: Final = 64 * 1024 * 1024

TORN: Final = "torn line"
DAMAGED: Final = "damaged line"
TOO_LONG: Final = "line longer than 64 MiB"
NOT_OTLP: Final = "line that is no OTLP"
NOT_STRICT: Final = "line that is no strict JSON (read all the same)"
NO_IDS: Final = "span without valid ids"
BAD_RECORD: Final = "damaged record"
CUT_FILE: Final = "compressed file damaged or cut short"
NO_FILE: Final = "file that cannot be read"

# One line torn more often than this is not worth a search that takes the square of its length.
_MOST_TEARS: Final = 8
_START: Final = re.compile(rb'\{\s*"(?:resource|instrumentation|scope)[A-Z_]')
_STATUS: Final = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_UNREADABLE: Final = object()
_NOTHING: Final[Mapping[str, Value]] = {}
_WRONG_SHAPE = (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError)


class DecodedEvent(NamedTuple):
    """One event of a span."""

    name: str
    time_unix_nano: int
    attributes: dict[str, Value]


class DecodedLink(NamedTuple):
    """One link of a span."""

    trace_id: str
    span_id: str
    attributes: dict[str, Value]


class DecodedSpan(NamedTuple):
    """One finished span. A named tuple, not a dataclass: a run may have a million."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_unix_nano: int
    end_unix_nano: int
    status: int
    """0 unset, 1 OK, 2 error."""
    status_message: str
    attributes: dict[str, Value]
    ours: dict[str, Value]
    """The attributes that branchline writes for itself: all whose names begin with its own."""
    events: list[DecodedEvent]
    links: list[DecodedLink]
    scope: str
    resource: Mapping[str, Value]


class DecodedLog(NamedTuple):
    """One log record."""

    time_unix_nano: int
    severity_number: int
    severity_text: str
    event_name: str
    body: Value
    attributes: dict[str, Value]
    trace_id: str | None
    span_id: str | None
    scope: str
    resource: Mapping[str, Value]
    observed_unix_nano: int = 0
    """When whoever collected it first saw it; 0 where nobody said so."""


class Line(NamedTuple):
    """What one line holds; a line of metrics is legal and holds neither."""

    spans: list[DecodedSpan]
    logs: list[DecodedLog]


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """What of one file could not be read, for one reason."""

    file: str
    line: int
    """The first such line."""
    reason: str
    count: int = 1


@dataclass(slots=True)
class Skips:
    """Collects what was skipped; a thousand damaged lines of one file are one entry."""

    _found: dict[tuple[str, str], Skipped] = field(default_factory=dict)

    def note(self, file: str, line: int, reason: str) -> None:
        """Count one thing skipped."""
        known = self._found.get((file, reason))
        self._found[file, reason] = (
            Skipped(file=file, line=line, reason=reason) if known is None else replace(known, count=known.count + 1)
        )

    def found(self) -> tuple[Skipped, ...]:
        """Return everything skipped, in order of discovery."""
        return tuple(self._found.values())


def read_file(path: Path, skips: Skips, *, name: str | None = None) -> Iterator[Line]:
    """Yield what the lines of *path* hold; what cannot be read is noted in *skips*, as of file *name*."""
    name = path.name if name is None else name
    number = 0

    def note(reason: str) -> None:
        skips.note(name, number, reason)

    lines = _lines(path, note)
    while True:
        number += 1
        line = next(lines, None)
        if line is None:
            return
        if line.strip(b"\0 \t\r\n"):
            yield decode_line(line, note)


def _lines(path: Path, note: Note) -> Iterator[bytes]:
    try:
        with _opened(path) as file:
            while line := file.readline(LONGEST_LINE):
                if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                        pass
                    note(TOO_LONG)
                    line = b"\n"
                yield line
    except (EOFError, zlib.error, gzip.BadGzipFile):
        note(CUT_FILE)
    except OSError as error:
        note(f"{NO_FILE}: {error.strerror or error}")


def _opened(path: Path) -> IO[bytes] | gzip.GzipFile:
    if path.suffix == ".gz":
        return gzip.open(path)
    try:
        return path.open("rb")
    except FileNotFoundError:
        # Sealed since somebody looked: the compressed file is there before the plain one goes.
        packed = path.with_name(path.name + ".gz")
        if not packed.exists():
            raise
        return gzip.open(packed)


def decode_line(line: bytes, note: Note) -> Line:
    """Return what *line* holds. Never raises; *note* is told the reason for each thing left out."""
    found = Line([], [])
    content = parsed(line, note)
    if not isinstance(content, dict):
        if content is not _UNREADABLE:
            note(NOT_OTLP)
        return found
    try:
        content = camel_cased(content) if any(key.startswith("resource_") for key in content) else content
    except RecursionError:
        note(DAMAGED)
        return found
    known = False
    for key, items in content.items():
        decode = _SIGNALS.get(key)
        if decode is None:
            continue
        known = True
        for item in items if isinstance(items, list) else ():
            try:
                decode(item, found, note)
            except _WRONG_SHAPE:
                note(BAD_RECORD)
    # A message of nothing is legal, and what the collector's file exporter writes when a connector has nothing to say.
    if not known and content:
        note(NOT_OTLP)
    return found


def parsed(line: bytes, note: Note) -> object:
    """Return what JSON *line* is, leniently; *note* is told what had to be left out, or that nothing can be read."""
    try:
        return orjson.loads(line)
    except ValueError:
        pass
    # Whoever appended after a torn line left two in one: what follows the tear is whole.
    starts = (match.start() for match in _START.finditer(line, 1))
    for start in (0, *islice(starts, _MOST_TEARS)):
        try:
            content = _leniently_parsed(line[start:])
        except (ValueError, RecursionError):
            continue
        if start or isinstance(content, dict):
            note(TORN if start else NOT_STRICT)
        return content
    note(DAMAGED if line.endswith(b"\n") else TORN)
    return _UNREADABLE


def _leniently_parsed(line: bytes) -> object:
    """Take what other encoders write: bytes that are no UTF-8, lone surrogates, bare NaN, a byte order mark."""
    text = line.strip(b"\0 \t\r\n").decode("utf-8-sig", "replace")
    content = json.loads(text, parse_constant=str, strict=False)
    return orjson.loads(json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"))


# ── spans ─────────────────────────────────────────────────────────────────────────────────────────
def _resource_spans(item: dict[str, Any], found: Line, note: Note) -> None:
    resource = _resource(item)
    for scope, spans in _scopes(item, "Spans", "spans"):
        for span in spans:
            try:
                found.spans.append(_span(span, scope, resource))
            except _IdError:
                note(NO_IDS)
            except _WRONG_SHAPE:
                note(BAD_RECORD)


def _span(span: dict[str, Any], scope: str, resource: Mapping[str, Value]) -> DecodedSpan:
    get = span.get
    status = get("status")
    parent = get("parentSpanId")
    name = get("name")
    events = get("events")
    links = get("links")
    ours: dict[str, Value] = {}
    trace_id = known_trace_id(get("traceId"))
    span_id = optional_id(get("spanId"), 16)
    if trace_id is None or span_id is None:
        raise _IdError
    return DecodedSpan(
        trace_id,
        span_id,
        known_parent_id(parent) if parent else None,
        name if name.__class__ is str else text_of(name),
        whole_number(get("startTimeUnixNano")),
        whole_number(get("endTimeUnixNano")),
        _status(status.get("code")) if status else 0,
        text_of(status.get("message")) if status else "",
        attributes_of(get("attributes"), ours),
        ours,
        [_event(event) for event in events] if events else [],
        [_link(link) for link in links] if links else [],
        scope,
        resource,
    )


def _event(event: dict[str, Any]) -> DecodedEvent:
    time = event.get("timeUnixNano")
    return DecodedEvent(text_of(event.get("name")), whole_number(time), attributes_of(event.get("attributes")))


def _link(link: dict[str, Any]) -> DecodedLink:
    return DecodedLink(
        optional_id(link.get("traceId"), 32) or "",
        optional_id(link.get("spanId"), 16) or "",
        attributes_of(link.get("attributes")),
    )


def _status(code: object) -> int:
    number = _STATUS.get(code, 0) if isinstance(code, str) and not code.isdigit() else whole_number(code)
    return number if number in {0, 1, 2} else 0


# ── log records ───────────────────────────────────────────────────────────────────────────────────
def _resource_logs(item: dict[str, Any], found: Line, note: Note) -> None:
    resource = _resource(item)
    for scope, records in _scopes(item, "Logs", "logRecords"):
        for record in records:
            try:
                found.logs.append(_log(record, scope, resource))
            except _WRONG_SHAPE:
                note(BAD_RECORD)


def _log(record: dict[str, Any], scope: str, resource: Mapping[str, Value]) -> DecodedLog:
    get = record.get
    attributes = attributes_of(get("attributes"))
    name = get("eventName") or attributes.get("event.name")
    severity = get("severityNumber")
    observed = whole_number(get("observedTimeUnixNano"))
    return DecodedLog(
        # The observed time is the only one that a collector's receivers always set.
        whole_number(get("timeUnixNano")) or observed,
        whole_number(severity) if not isinstance(severity, str) or severity.isdigit() else 0,
        text_of(get("severityText")),
        text_of(name),
        any_value(get("body")),
        attributes,
        optional_id(get("traceId"), 32),
        optional_id(get("spanId"), 16),
        scope,
        resource,
        observed,
    )


def _metrics(item: object, found: Line, note: Note) -> None:
    """Pass over metrics: they are legal, and nothing reads them here."""


_SIGNALS: Final[Mapping[str, Callable[[Any, Line, Note], None]]] = {
    "resourceSpans": _resource_spans,
    "resourceLogs": _resource_logs,
    "resourceMetrics": _metrics,
    "resourceProfiles": _metrics,
}


# ── what both are made of ─────────────────────────────────────────────────────────────────────────
def _resource(item: dict[str, Any]) -> Mapping[str, Value]:
    resource = item.get("resource")
    return attributes_of(resource.get("attributes")) if resource else _NOTHING


def _scopes(item: dict[str, Any], signal: str, key: str) -> Iterator[tuple[str, list[Any]]]:
    # Before OTLP 0.19 a scope was called an instrumentation library.
    for name in (f"scope{signal}", f"instrumentationLibrary{signal}"):
        for scoped in item.get(name) or ():
            scope = scoped.get("scope") or scoped.get("instrumentationLibrary") or {}
            yield text_of(scope.get("name")), scoped.get(key) or []


class _IdError(ValueError):
    """A span that cannot be told from others."""
