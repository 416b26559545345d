"""Finished spans and log records as lines of OTLP/JSON, redacted on the way."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from .. import names
from ..redaction import REDACTED, Redactor
from ..values import freeze
from .records import Bond, LogLike, Mark, SpanLike


SPANS_PER_LINE: Final = 64
# The OpenTelemetry Collector's file receiver breaks lines over 1 MiB; this leaves room for what UTF-8 adds.
LINE_BYTES: Final = 256 * 1024
# Attributes cannot be spilled elsewhere as events can: they may fill a line up to here, and are cut beyond.
ATTRIBUTE_BYTES: Final = 640 * 1024

_REMEMBERED: Final = 4096
_REMEMBERED_LENGTH: Final = 160
_INT64: Final = 2**63

_dumps: Final = orjson.dumps


class Encoder:
    """Writes records as OTLP/JSON. One thread uses it; what it remembers is bounded."""

    def __init__(self, resource: Mapping[str, Any], redactor: Redactor | None, *, version: str) -> None:
        """Encode everything as coming from *resource*; *redactor* None leaves values as they are."""
        self._redactor = redactor
        self._texts: dict[str, str] = {}
        self._keys: dict[str, str] = {}
        self._secret_keys: set[str] = set()
        self._identities: dict[int, tuple[Any, str]] = {}
        self._scopes: dict[int, tuple[Any, str]] = {}
        self._resource = '{"attributes":[' + self._attributes(resource) + "]}"
        self._own_scope = self._scope_json(names.SCOPE, version)
        self._ends = {
            (role, outcome): self._attributes({names.KIND: role, names.OUTCOME: outcome})
            for role in (names.KIND_EXPERIMENT, names.KIND_BRANCH, names.KIND_STEP)
            for outcome in (
                names.SUCCESS,
                names.FAILED,
                names.SKIPPED,
                names.CANCELLED,
                names.INTERRUPTED,
                names.CLOSED,
            )
        }
        self.spilled: list[tuple[SpanLike, Mark]] = []

    # ── lines ─────────────────────────────────────────────────────────────────────────────────────

    def span_lines(self, spans: Sequence[SpanLike]) -> bytes:
        """Return *spans* as whole lines; events that do not fit are left in ``spilled``."""
        return self._lines([(span.scope, self.span(span)) for span in spans], "resourceSpans", "scopeSpans", "spans")

    def log_lines(self, records: Sequence[LogLike]) -> bytes:
        """Return log *records* as whole lines."""
        return self._lines([(None, self.log(record)) for record in records], "resourceLogs", "scopeLogs", "logRecords")

    def _lines(self, items: list[tuple[Any, str]], outer: str, middle: str, inner: str) -> bytes:
        head = f'{{"{outer}":[{{"resource":{self._resource},"{middle}":['
        lines: list[str] = []
        for start in range(0, len(items), SPANS_PER_LINE):
            parts = _within(items[start : start + SPANS_PER_LINE], LINE_BYTES - len(head))
            lines.extend([head + ",".join(self._scoped(part, inner)) + "]}]}\n" for part in parts])
        return "".join(lines).encode()

    def _scoped(self, items: list[tuple[Any, str]], inner: str) -> Iterable[str]:
        first = items[0][0]
        if all(scope is first for scope, _ in items):
            return [self._scope_group(first, [text for _, text in items], inner)]
        groups: dict[int, tuple[Any, list[str]]] = {}
        for scope, text in items:
            groups.setdefault(id(scope), (scope, []))[1].append(text)
        return [self._scope_group(scope, texts, inner) for scope, texts in groups.values()]

    def _scope_group(self, scope: Any, texts: list[str], inner: str) -> str:
        return f'{{"scope":{self._scope(scope)},"{inner}":[{",".join(texts)}]}}'

    def _scope(self, scope: Any) -> str:
        if scope is None:
            return self._own_scope
        remembered = self._scopes.get(id(scope))
        if remembered is not None and remembered[0] is scope:
            return remembered[1]
        text = self._scope_json(scope.name, scope.version, getattr(scope, "attributes", None))
        if len(self._scopes) >= _REMEMBERED:
            self._scopes.clear()
        self._scopes[id(scope)] = (scope, text)
        return text

    def _scope_json(self, name: str, version: str | None, attributes: Mapping[str, Any] | None = None) -> str:
        text = f'{{"name":{self._text(name)}'
        if version:
            text += f',"version":{self._text(version)}'
        if attributes:
            text += f',"attributes":[{self._attributes(attributes)}]'
        return text + "}"

    # ── one span ──────────────────────────────────────────────────────────────────────────────────

    def span(self, span: SpanLike) -> str:
        """Return *span* as an OTLP/JSON object."""
        trace = span.trace
        texts = self._texts
        title = texts.get(span.title) or self._text(span.title)
        parent = span.parent_number
        place = f',"parentSpanId":"{parent:016x}"' if parent is not None else ""
        if trace.state:
            place += f',"traceState":{self._text(trace.state)}'
        # Bit 8 says that bit 9 means something: whether the parent lives in another process.
        flags = (trace.flags & 0xFF) | (0x300 if span.has_remote_parent else 0x100)
        tail = self._attribute_part(span)
        if span.marks:
            tail += self._events(span, len(tail))
        if span.bonds:
            tail += f',"links":[{",".join([self._link(bond) for bond in span.bonds])}]'
        if span.dropped_attributes:
            tail += f',"droppedAttributesCount":{span.dropped_attributes}'
        if span.dropped_links:
            tail += f',"droppedLinksCount":{span.dropped_links}'
        if span.code:
            note = f'"message":{self._text(span.note)},' if span.note else ""
            tail += f',"status":{{{note}"code":{span.code}}}'
        else:
            tail += ',"status":{}'
        return (
            f'{{"traceId":"{trace.hex}","spanId":"{span.number:016x}"{place},"flags":{flags},"name":{title},'
            f'"kind":{span.span_kind},"startTimeUnixNano":"{span.began}","endTimeUnixNano":"{span.ended}"{tail}}}'
        )

    def _attribute_part(self, span: SpanLike) -> str:
        parts: list[str] = []
        if span.role is not None:
            parts.append(self._ends.get((span.role, span.outcome)) or self._attributes({names.KIND: span.role}))  # type: ignore[arg-type]  # a missing key is the answer
        if span.identity is not None:
            identity = self._identity(span.identity)
            if identity:
                parts.append(identity)
        if span.data:
            own = self._attributes(span.data)
            if len(own) > LINE_BYTES:
                own = self._cut_attributes(span)
            parts.append(own)
        return f',"attributes":[{",".join(parts)}]' if parts else ""

    def _cut_attributes(self, span: SpanLike) -> str:
        """Return as many attributes as a line may hold; the rest is counted as dropped, as OTLP says it."""
        kept: list[str] = []
        room = ATTRIBUTE_BYTES
        for key, value in (span.data or {}).items():
            text = self._attribute(key, value)
            if len(text.encode()) <= room:
                room -= len(text.encode())
                kept.append(text)
            else:
                span.dropped_attributes += 1
        return ",".join(kept)

    def _events(self, span: SpanLike, used: int) -> str:
        texts: list[str] = []
        room = max(LINE_BYTES // 2, LINE_BYTES - 4096 - used)
        spilled = 0
        for mark in span.marks:
            text = self._event(mark)
            room -= len(text)
            if room >= 0:
                texts.append(text)
            else:
                spilled += 1
                self.spilled.append((span, mark))
        dropped = span.dropped_events + spilled
        counted = f',"droppedEventsCount":{dropped}' if dropped else ""
        return f',"events":[{",".join(texts)}]{counted}'

    def _event(self, mark: Mark) -> str:
        name, time, attributes, dropped = mark
        text = f'{{"timeUnixNano":"{time}","name":{self._texts.get(name) or self._text(name)}'
        if attributes:
            text += f',"attributes":[{self._attributes(attributes)}]'
        if dropped:
            text += f',"droppedAttributesCount":{dropped}'
        return text + "}"

    def _link(self, bond: Bond) -> str:
        trace_hex, span_hex, state, attributes, flags, dropped = bond
        text = f'{{"traceId":"{trace_hex}","spanId":"{span_hex}","flags":{flags}'
        if state:
            text += f',"traceState":{self._text(state)}'
        if attributes:
            text += f',"attributes":[{self._attributes(attributes)}]'
        if dropped:
            text += f',"droppedAttributesCount":{dropped}'
        return text + "}"

    def _identity(self, identity: Any) -> str:
        remembered = self._identities.get(id(identity))
        if remembered is not None and remembered[0] is identity:
            return remembered[1]
        described = {
            names.EXPERIMENT_NAME: identity.experiment_name,
            names.BRANCH_ID: identity.branch_id,
            names.BRANCH_NAME: identity.branch_name,
        }
        text = self._attributes({key: value for key, value in described.items() if value is not None})
        if len(self._identities) >= _REMEMBERED:
            self._identities.clear()
        self._identities[id(identity)] = (identity, text)
        return text

    # ── one log record ────────────────────────────────────────────────────────────────────────────

    def log(self, record: LogLike) -> str:
        """Return a log *record* as an OTLP/JSON object."""
        parts = [self._attribute(names.LOG_UID, record.uid)]
        if record.identity is not None:
            identity = self._identity(record.identity)
            if identity:
                parts.append(identity)
        if record.data:
            parts.append(self._attributes(record.data))
        text = (
            f'{{"timeUnixNano":"{record.time}","observedTimeUnixNano":"{record.time}",'
            f'"severityNumber":{record.severity},"severityText":{self._text(record.severity_text)}'
        )
        if record.name:
            text += f',"eventName":{self._text(record.name)}'
        if record.body is not None:
            text += f',"body":{{{self._value("body", record.body)}}}'
        text += f',"attributes":[{",".join(parts)}]'
        if record.trace_hex is not None:
            text += f',"traceId":"{record.trace_hex}"'
        if record.span_number is not None:
            text += f',"spanId":"{record.span_number:016x}"'
        if record.flags:
            text += f',"flags":{record.flags}'
        return text + "}"

    # ── attributes ────────────────────────────────────────────────────────────────────────────────

    def _attributes(self, attributes: Mapping[str, Any]) -> str:
        keys = self._keys
        texts = self._texts
        parts: list[str] = []
        for key, value in attributes.items():
            head = keys.get(key)
            kind = value.__class__
            if head is None:
                parts.append(self._attribute(key, value))
            elif kind is str:
                parts.append(f'{head}"stringValue":{texts.get(value) or self._text(value)}}}}}')
            elif kind is int and -_INT64 <= value < _INT64:
                parts.append(f'{head}"intValue":"{value}"}}}}')
            elif kind is float and not value - value:
                parts.append(f'{head}"doubleValue":{value!r}}}}}')
            else:
                parts.append(f"{head}{self._value(key, value)}}}}}")
        return ",".join(parts)

    def _attribute(self, key: str, value: Any) -> str:
        """Return one attribute, the slow way, and remember the key unless it is a secret's."""
        head = f'{{"key":{self._text(key)},"value":{{'
        if self._redactor is not None and self._redactor.is_secret(key):
            return f'{head}"stringValue":"{REDACTED}"}}}}'
        if self._redactor is None or self._redactor.callback is None:
            if len(self._keys) >= _REMEMBERED:
                self._keys.clear()
            self._keys[key] = head
        return f"{head}{self._value(key, value)}}}}}"

    def _value(self, key: str, value: Any) -> str:
        if self._redactor is not None:
            value = self._redactor.value(key, value)
        return _any_value(value)

    def _text(self, text: str) -> str:
        """Return *text* as a JSON string, redacted."""
        shown = text if self._redactor is None else self._redactor.text(text)
        quoted = _quoted(shown)
        if len(text) <= _REMEMBERED_LENGTH:
            if len(self._texts) >= _REMEMBERED:
                self._texts.clear()
            self._texts[text] = quoted
        return quoted


def _within(items: list[tuple[Any, str]], room: int) -> Iterable[list[tuple[Any, str]]]:
    """Split *items* so that no part is larger than *room*; one item alone may be."""
    if sum(len(text) for _, text in items) <= room:
        return [items]
    parts: list[list[tuple[Any, str]]] = [[]]
    left = room
    for item in items:
        size = len(item[1].encode())
        if size > left and parts[-1]:
            parts.append([])
            left = room
        parts[-1].append(item)
        left -= size
    return parts


def _quoted(text: str) -> str:
    try:
        return _dumps(text).decode()
    except TypeError:
        # A lone surrogate: no JSON or protobuf parser takes it.
        return _dumps(freeze(text)).decode()


def _any_value(value: Any) -> str:
    """Return the inside of an OTLP AnyValue."""
    write = _WRITERS.get(value.__class__)
    if write is not None:
        return write(value)
    return _any_value(freeze(value)) if not isinstance(value, (str, Mapping, list, tuple)) else _container(value)


def _container(value: Any) -> str:
    if isinstance(value, str):
        return f'"stringValue":{_quoted(value)}'
    if isinstance(value, Mapping):
        items = ",".join(
            [f'{{"key":{_quoted(str(key))},"value":{{{_any_value(item)}}}}}' for key, item in value.items()]
        )
        return f'"kvlistValue":{{"values":[{items}]}}'
    items = ",".join([f"{{{_any_value(item)}}}" for item in value])
    return f'"arrayValue":{{"values":[{items}]}}'


def _integer(value: int) -> str:
    return f'"intValue":"{value}"' if -_INT64 <= value < _INT64 else f'"stringValue":"{value}"'


def _number(value: float) -> str:
    return f'"doubleValue":{value!r}' if not value - value else f'"stringValue":{_quoted(str(freeze(value)))}'


_WRITERS: Final[dict[type, Callable[[Any], str]]] = {
    str: lambda value: f'"stringValue":{_quoted(value)}',
    bool: lambda value: f'"boolValue":{"true" if value else "false"}',
    int: _integer,
    float: _number,
    bytes: lambda value: f'"bytesValue":"{base64.b64encode(value).decode()}"',
    type(None): lambda value: "",
    dict: _container,
    list: _container,
    tuple: _container,
}
