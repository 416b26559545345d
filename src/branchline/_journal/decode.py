"""OTLP/JSON lines as plain records, whoever wrote them and whatever has happened to the file since."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson


Value = None | bool | int | float | str | bytes | tuple["Value", ...] | dict[str, "Value"]
Note = Callable[[str], None]

OURS: Final = "branchline."
# Our own lines end at 256 KiB; a collector's may be larger. Beyond this it is not a line but damage.
LONGEST_LINE: Final = 64 * 1024 * 1024

TORN: Final = "torn line"
DAMAGED: Final = "damaged line"
TOO_LONG: Final = "line longer than 64 MiB"
NOT_OTLP: Final = "line that is no OTLP"
REPLACED: Final = "damaged text (kept, with replacement characters)"
NO_IDS: Final = "span without valid ids"
BAD_RECORD: Final = "damaged record"
CUT_FILE: Final = "compressed file damaged or cut short"
NO_FILE: Final = "file that cannot be read"

# One line torn more often than this is not worth a search that takes the square of its length.
_MOST_TEARS: Final = 8
_START: Final = re.compile(rb'\{\s*"(?:resource|instrumentation|scope)[A-Z_]')
_TOO_LARGE: Final = 2**64
_HEX: Final = re.compile(r"[0-9a-f]+").fullmatch
_NO_ID: Final = frozenset({"0" * 16, "0" * 32})
_UNDERSCORE: Final = re.compile(r"_([a-z])")
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
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
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


def decode_line(line: bytes, note: Note) -> Line:
    """Return what *line* holds. Never raises; *note* is told the reason for each thing left out."""
    found = Line([], [])
    content = _parsed(line, note)
    if not isinstance(content, dict):
        if content is not _UNREADABLE:
            note(NOT_OTLP)
        return found
    try:
        content = _camel_cased(content) if any(key.startswith("resource_") for key in content) else content
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
    if not known:
        note(NOT_OTLP)
    return found


def _parsed(line: bytes, note: Note) -> object:
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
            note(TORN if start else REPLACED)
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
    trace_id = _known_trace_id(get("traceId"))
    span_id = _optional_id(get("spanId"), 16)
    if trace_id is None or span_id is None:
        raise _IdError
    return DecodedSpan(
        trace_id,
        span_id,
        _known_parent_id(parent) if parent else None,
        name if name.__class__ is str else _text(name),
        whole_number(get("startTimeUnixNano")),
        whole_number(get("endTimeUnixNano")),
        _status(status.get("code")) if status else 0,
        _text(status.get("message")) if status else "",
        _attributes(get("attributes"), ours),
        ours,
        [_event(event) for event in events] if events else [],
        [_link(link) for link in links] if links else [],
        scope,
        resource,
    )


def _event(event: dict[str, Any]) -> DecodedEvent:
    time = event.get("timeUnixNano")
    return DecodedEvent(_text(event.get("name")), whole_number(time), _attributes(event.get("attributes")))


def _link(link: dict[str, Any]) -> DecodedLink:
    return DecodedLink(
        _optional_id(link.get("traceId"), 32) or "",
        _optional_id(link.get("spanId"), 16) or "",
        _attributes(link.get("attributes")),
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
    attributes = _attributes(get("attributes"))
    name = get("eventName") or attributes.get("event.name")
    severity = get("severityNumber")
    return DecodedLog(
        # The observed time is the only one that a collector's receivers always set.
        whole_number(get("timeUnixNano")) or whole_number(get("observedTimeUnixNano")),
        whole_number(severity) if not isinstance(severity, str) or severity.isdigit() else 0,
        _text(get("severityText")),
        _text(name),
        any_value(get("body")),
        attributes,
        _optional_id(get("traceId"), 32),
        _optional_id(get("spanId"), 16),
        scope,
        resource,
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
    return _attributes(resource.get("attributes")) if resource else _NOTHING


def _scopes(item: dict[str, Any], signal: str, key: str) -> Iterator[tuple[str, list[Any]]]:
    # Before OTLP 0.19 a scope was called an instrumentation library.
    for name in (f"scope{signal}", f"instrumentationLibrary{signal}"):
        for scoped in item.get(name) or ():
            scope = scoped.get("scope") or scoped.get("instrumentationLibrary") or {}
            yield _text(scope.get("name")), scoped.get(key) or []


class _IdError(ValueError):
    """A span that cannot be told from others."""


def _optional_id(text: object, length: int) -> str | None:
    """Return an id in lower-case hex; None for what is none, or only zeros."""
    if not isinstance(text, str):
        return None
    if len(text) != length:
        return _id_in_base64(text, length)
    if not _HEX(text):
        text = text.lower()
        if not _HEX(text):
            return None
    return text if text not in _NO_ID else None


# Of traces and of parents there are fewer than of spans.
@lru_cache(maxsize=256)
def _known_trace_id(text: object) -> str | None:
    return _optional_id(text, 32)


@lru_cache(maxsize=256)
def _known_parent_id(text: object) -> str | None:
    return _optional_id(text, 16)


def _id_in_base64(text: str, length: int) -> str | None:
    # Plain protobuf JSON has bytes in base64; OTLP asks for hex, but not every exporter listened.
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw.hex() if len(raw) * 2 == length and any(raw) else None


def _camel_cased(content: Any) -> Any:
    """Return *content* with the keys of plain protobuf (``trace_id``) as OTLP has them (``traceId``)."""
    if isinstance(content, dict):
        return {
            _UNDERSCORE.sub(lambda match: match[1].upper(), key): _camel_cased(item) for key, item in content.items()
        }
    return [_camel_cased(item) for item in content] if isinstance(content, list) else content


def _raised(match: re.Match[str]) -> str:
    return match[1].upper()


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def whole_number(value: Any) -> int:  # whatever stands in the file
    """Return *value* as a number of 64 bits; 0 for what is none."""
    try:
        number = int(value) if value is not None else 0
    except (TypeError, ValueError, OverflowError):
        return 0
    return number if 0 <= number < _TOO_LARGE else 0


def _attributes(items: Iterable[Any] | None, ours: dict[str, Value] | None = None) -> dict[str, Value]:
    """Return OTLP attributes as plain values; branchline's own go to *ours*, where that is given."""
    attributes: dict[str, Value] = {}
    for item in items or ():
        try:
            key = item["key"]
            value = item["value"]
            # Nearly all attributes are text or whole numbers: this is the reader's innermost loop.
            if "stringValue" in value:
                found: Value = value["stringValue"]
                if found.__class__ is not str:
                    found = _text(found)
            elif "intValue" in value:
                found = int(value["intValue"])
            else:
                found = any_value(value)
        except (TypeError, KeyError, ValueError, OverflowError):
            if not isinstance(item, dict) or "key" not in item:
                continue
            key, found = item["key"], any_value(item.get("value"))
        if key.__class__ is not str:
            key = _text(key)
        if ours is not None and OURS in key and key.startswith(OURS):
            ours[key] = found
        else:
            attributes[key] = found
    return attributes


def parted(attributes: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, Value]]:
    """Return the user's *attributes*, and branchline's own."""
    theirs = {key: value for key, value in attributes.items() if not key.startswith(OURS)}
    return theirs, {key: value for key, value in attributes.items() if key.startswith(OURS)}


def any_value(value: object) -> Value:
    """Return an OTLP AnyValue as a plain value; sequences become tuples."""
    if not isinstance(value, dict):
        return value if isinstance(value, (str, bool, int, float)) else None
    for key, content in value.items():
        decode = _VALUES.get(key)
        if decode is not None:
            return decode(content)
    return None


def _int_value(content: object) -> Value:
    try:
        return int(content)  # type: ignore[call-overload,no-any-return]  # what is no number stays as it is
    except (TypeError, ValueError, OverflowError):
        return _text(content)


def _double_value(content: object) -> Value:
    try:
        return float(content)  # type: ignore[arg-type]  # what is no number stays as it is
    except (TypeError, ValueError, OverflowError):
        return _text(content)


def _bytes_value(content: object) -> Value:
    try:
        return base64.b64decode(_text(content), validate=True)
    except (binascii.Error, ValueError):
        return _text(content)


def _array_value(content: dict[str, Any]) -> Value:
    return tuple([any_value(item) for item in content.get("values") or ()])


def _map_value(content: dict[str, Any]) -> Value:
    return _attributes(content.get("values"))


_VALUES: Final[Mapping[str, Callable[[Any], Value]]] = {
    "stringValue": _text,
    "intValue": _int_value,
    "boolValue": bool,
    "doubleValue": _double_value,
    "bytesValue": _bytes_value,
    "arrayValue": _array_value,
    "kvlistValue": _map_value,
}
