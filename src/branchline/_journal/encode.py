"""Finished spans and log records as lines of OTLP/JSON, redacted on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Final, TypeVar

from .. import names
from ..redaction import REDACTED, Redactor
from .jsontext import INT64_MAX, INT64_MIN, any_value, quoted
from .lines import LINE_BYTES, SPANS_PER_LINE, Lines
from .log_records import SCOPE_AT
from .log_texts import LogTexts
from .plans import Plan, Plans, Writer
from .span_records import Bond, Mark, SpanLike
from .stored import span_record


T = TypeVar("T")

# Attributes cannot be spilled elsewhere as events can: they may fill a line up to here, and are cut beyond.
ATTRIBUTE_BYTES: Final = 640 * 1024
# Of a span of no more than this, nothing is cut or spilled.
_WHOLE_BYTES: Final = LINE_BYTES // 2

_REMEMBERED: Final = 4096
_REMEMBERED_LENGTH: Final = 160


class Encoder:
    """Writes records as OTLP/JSON. One thread uses it; what it remembers is bounded."""

    def __init__(self, resource: Mapping[str, Any], redactor: Redactor | None, *, version: str) -> None:
        """Encode everything as coming from *resource*; *redactor* None leaves values as they are."""
        self._redactor = redactor
        # Texts as they are written: as text, and as bytes for the plans.
        self._texts: dict[str, str] = {}
        self._quoted: dict[str, bytes] = {}
        self._keys: dict[str, str] = {}
        self._secret_keys: set[str] = set()
        self._identities: dict[int, tuple[Any, str]] = {}
        self._places: dict[tuple[str | None, ...], bytes] = {}
        self._lines = Lines(
            '{"attributes":[' + self._attributes(resource) + "]}",
            version=version,
            text=self._text,
            attributes=self._attributes,
        )
        self._ends: dict[tuple[str, str | None], str] = {
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
        # A callback is asked about every single value.
        is_asked = redactor is not None and redactor.callback is not None
        self._plans = None if is_asked else Plans(self._writer())
        self._logs = LogTexts(
            redactor,
            text=lambda text: self._texts.get(text) or self._text(text),
            value=self._value,
            identity=self._identity,
            attributes=self._attributes,
            attributes_within=self._attributes_within,
        )
        self.spilled: list[tuple[SpanLike, Mark]] = []

    def _writer(self) -> Writer:
        redactor = self._redactor
        return Writer(
            text=self._text,
            ending=self._ending,
            identity=self._place,
            is_secret=(lambda _: False) if redactor is None else redactor.is_secret,
            redacted=f'"{REDACTED}"',
        )

    # ── lines ─────────────────────────────────────────────────────────────────────────────────────

    def span_lines(self, spans: Sequence[Any]) -> bytes:
        """Return *spans*, which may come as their short forms, as whole lines.

        Events that do not fit are left in ``spilled``.
        """
        starts = range(0, len(spans), SPANS_PER_LINE)
        texts = [text for start in starts for text in self._spans(spans[start : start + SPANS_PER_LINE])]
        scopes = [None if span.__class__ is list else span.scope for span in spans]
        return self._lines.of(scopes, texts, "resourceSpans", "scopeSpans", "spans")

    def log_lines(self, records: Sequence[Any]) -> bytes:
        """Return log *records*, which may come as lists, as whole lines."""
        scopes = [record[SCOPE_AT] if record.__class__ is list else record.scope for record in records]
        return self._lines.of(scopes, self._logs.texts(records), "resourceLogs", "scopeLogs", "logRecords")

    # ── spans by plan ─────────────────────────────────────────────────────────────────────────────

    def _spans(self, spans: Sequence[Any]) -> list[bytes]:
        plans = self._plans
        if plans is None:
            return [self.span(span_record(span)).encode() for span in spans]
        texts: list[bytes | None] = [None] * len(spans)
        for plan, members, rows in _planned(plans, spans):
            for n, text in zip(members, self._filled(plan, list(zip(*rows, strict=True))), strict=False):
                if len(text) <= _WHOLE_BYTES:
                    texts[n] = text
        return [text or self.span(span_record(span)).encode() for text, span in zip(texts, spans, strict=True)]

    def _learn(self, texts: list[str]) -> None:
        """Remember *texts* if nothing is to be redacted in them, which is cheaper to tell of many than of each."""
        known = self._quoted
        unknown = [text for text in texts if text not in known and len(text) <= _REMEMBERED_LENGTH]
        if not unknown or (self._redactor is not None and not self._redactor.are_clean(unknown)):
            return
        if len(known) + len(unknown) > _REMEMBERED:
            known.clear()
        for text in unknown:
            known[text] = quoted(text).encode()

    def _filled(self, plan: Plan, columns: list[Sequence[Any]]) -> Iterable[bytes]:
        """Return the spans that *plan* makes of *columns* of values; none if one of these needs a closer look.

        A column at a time, because what C does to all of a column costs next to nothing.
        """
        form, texts, integers, fractions, truths, secrets = plan
        known = self._quoted
        self._learn([text for place in texts for text in columns[place]])
        for place in texts:
            columns[place] = [
                known.get(text) or _remembered(known, text, self._text(text).encode()) for text in columns[place]
            ]
        for place in integers:
            if min(columns[place]) < INT64_MIN or max(columns[place]) > INT64_MAX:
                return ()
        for place in fractions:
            if not all(map(isfinite, columns[place])):
                return ()
        for place in truths:
            columns[place] = [b"true" if value else b"false" for value in columns[place]]
        for place in secrets:
            columns[place] = [b""] * len(columns[place])
        return [form % row for row in zip(*columns, strict=True)]

    # ── one span ──────────────────────────────────────────────────────────────────────────────────

    def span(self, span: SpanLike) -> str:
        """Return *span* as an OTLP/JSON object."""
        lane = span.lane
        texts = self._texts
        title = texts.get(span.title) or self._text(span.title)
        parent = span.parent_number
        place = f',"parentSpanId":"{parent:016x}"' if parent is not None else ""
        if lane.state:
            place += f',"traceState":{self._text(lane.state)}'
        # Bit 8 says that bit 9 means something: whether the parent lives in another process.
        flags = (lane.flags & 0xFF) | (0x300 if span.has_remote_parent else 0x100)
        tail, cut = self._attribute_part(span)
        if span.marks:
            tail += self._events(span, len(tail))
        if span.bonds:
            tail += f',"links":[{",".join([self._link(bond) for bond in span.bonds])}]'
        if span.dropped_attributes or cut:
            tail += f',"droppedAttributesCount":{span.dropped_attributes + cut}'
        if span.dropped_links:
            tail += f',"droppedLinksCount":{span.dropped_links}'
        if span.code:
            note = f'"message":{self._text(span.note)},' if span.note else ""
            tail += f',"status":{{{note}"code":{span.code}}}'
        else:
            tail += ',"status":{}'
        return (
            f'{{"traceId":"{span.trace_hex}","spanId":"{span.number:016x}"{place},"flags":{flags},"name":{title},'
            f'"kind":{span.span_kind},"startTimeUnixNano":"{span.began}","endTimeUnixNano":"{span.ended}"{tail}}}'
        )

    def _attribute_part(self, span: SpanLike) -> tuple[str, int]:
        """Return the attributes of *span*, and how many of them were too much for a line."""
        parts: list[str] = []
        cut = 0
        if span.role is not None:
            parts.append(self._ending(span.role, span.outcome))
        if span.identity is not None:
            identity = self._identity(span.identity)
            if identity:
                parts.append(identity)
        if span.data:
            own = self._attributes(span.data)
            if len(own) > LINE_BYTES:
                own, cut = self._cut_attributes(span.data)
            if own:
                parts.append(own)
        return f',"attributes":[{",".join(parts)}]' if parts else "", cut

    def _ending(self, role: str | None, outcome: str | None) -> str:
        if role is None:
            return ""
        return self._ends.get((role, outcome)) or self._attributes({names.KIND: role})

    def _attributes_within(self, attributes: Mapping[str, Any], used: int) -> tuple[str, int]:
        """Return *attributes* of a record of which *used* bytes are written, and how many were too much for a line."""
        own = self._attributes(attributes)
        return (own, 0) if len(own) <= LINE_BYTES else self._cut_attributes(attributes, ATTRIBUTE_BYTES - used)

    def _cut_attributes(self, attributes: Mapping[str, Any], room: int = ATTRIBUTE_BYTES) -> tuple[str, int]:
        """Return as many of *attributes* as *room* has bytes for, and how many it has not."""
        kept: list[str] = []
        for key, value in attributes.items():
            text = self._attribute(key, value)
            size = len(text.encode())
            if size <= room:
                room -= size
                kept.append(text)
        return ",".join(kept), len(attributes) - len(kept)

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
        text = self._place((identity.experiment_name, identity.branch_id, identity.branch_name)).decode()
        if len(self._identities) >= _REMEMBERED:
            self._identities.clear()
        self._identities[id(identity)] = (identity, text)
        return text

    def _place(self, place: Sequence[str | None]) -> bytes:
        """Return the experiment and branch of a short form as attributes."""
        place = tuple(place)
        text = self._places.get(place)
        if text is None:
            described = zip((names.EXPERIMENT_NAME, names.BRANCH_ID, names.BRANCH_NAME), place, strict=True)
            text = self._attributes({key: value for key, value in described if value is not None}).encode()
            if len(self._places) >= _REMEMBERED:
                self._places.clear()
            self._places[place] = text
        return text

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
            elif kind is int and INT64_MIN <= value <= INT64_MAX:
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
        return any_value(value)

    def _text(self, text: str) -> str:
        """Return *text* as a JSON string, redacted."""
        shown = text if self._redactor is None else self._redactor.text(text)
        return _remembered(self._texts, text, quoted(shown))


def _planned(plans: Plans, spans: Sequence[Any]) -> Iterable[tuple[Plan, list[int], list[list[Any]]]]:
    """Return each plan that some of *spans* have, which of them these are, and their values."""
    found: dict[int, tuple[Plan, list[int], list[list[Any]]]] = {}
    latest: Plan | None = None
    members: list[int] = []
    rows: list[list[Any]] = []
    for n, span in enumerate(spans):
        planned = plans.of(span) if span.__class__ is list else plans.of(span.fields) if span.is_common else None
        if planned is None:
            continue
        plan, values = planned
        if plan is not latest:
            _, members, rows = found.setdefault(id(plan), (plan, [], []))
            latest = plan
        members.append(n)
        rows.append(values)
    return found.values()


def _remembered(known: dict[str, T], text: str, written: T) -> T:
    """Remember that *text* is *written* so, and return that."""
    if len(text) <= _REMEMBERED_LENGTH:
        if len(known) >= _REMEMBERED:
            known.clear()
        known[text] = written
    return written
