"""Log records as OTLP/JSON objects: those that are like many others by a plan, the others field by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from .. import names
from ..redaction import Redactor
from ..values import freeze
from .compact import dumps
from .jsontext import quoted
from .log_plans import Alike, LogPlans, Writer, alike
from .log_records import LogLike, Origin, log_record, origin_attributes


# What a message may take of a line.
_BODY_BYTES: Final = 256 * 1024
# Up to here, nothing of a record is cut.
_WHOLE_BYTES: Final = 128 * 1024
_REMEMBERED: Final = 4096
_UID: Final = f'{{"key":"{names.LOG_UID}","value":{{"stringValue":'


class LogTexts:
    """Writes log records; what it remembers is bounded."""

    def __init__(
        self,
        redactor: Redactor | None,
        *,
        text: Callable[[str], str],
        value: Callable[[str, Any], str],
        identity: Callable[[Any], str],
        attributes: Callable[[Mapping[str, Any]], str],
        attributes_within: Callable[[Mapping[str, Any], int], tuple[str, int]],
    ) -> None:
        """Write what *redactor* leaves, by the encoder's ways to write the parts of a record."""
        self._redactor = redactor
        self._text, self._value, self._identity = text, value, identity
        self._attributes, self._attributes_within = attributes, attributes_within
        # A callback is asked about every single value.
        self._is_asked = redactor is not None and redactor.callback is not None
        self._is_body_text = redactor is None or not (self._is_asked or redactor.is_secret("body"))
        is_secret = (lambda _: False) if redactor is None else redactor.is_secret
        self._plans = LogPlans(
            Writer(
                text=text,
                texts=self._values,
                value=value,
                identity=identity,
                origin=self._origin,
                is_secret=is_secret,
            )
        )
        self._origins: dict[Origin, str] = {}
        self._places: dict[tuple[Any, ...], bytes] = {}
        # Whether nothing is to be redacted in what the application said beside the messages at hand.
        self._are_values_clean = False

    def texts(self, records: Sequence[Any]) -> list[bytes]:
        """Return *records*, each as an OTLP/JSON object; one may come as a list."""
        # Empty for what wants a closer look.
        found = [b""] * len(records)
        if self._is_body_text:
            self._write_common(list(alike(records)), found)
        if all(found) and max(map(len, found), default=0) <= _WHOLE_BYTES:
            return found
        return [
            text if text and len(text) <= _WHOLE_BYTES else self._any(log_record(record)).encode()
            for text, record in zip(found, records, strict=True)
        ]

    # ── by a plan ─────────────────────────────────────────────────────────────────────────────────

    def _write_common(self, groups: list[Alike], found: list[bytes]) -> None:
        """Write the records in *groups* to their places in *found*."""
        # Cheaper to tell of many texts than of each.
        are_bodies_clean = self._are_clean({body for some in groups for body in some.bodies})
        self._are_values_clean = self._are_clean(
            {value for some in groups for column in some.said for value in column if value.__class__ is str}
        )
        for some in groups:
            bodies = self._written(some.bodies, is_clean=are_bodies_clean)
            texts = self._plans.written(some, bodies, self._written_places(some.places))
            if texts is not None:
                for n, text in zip(some.members, texts, strict=True):
                    found[n] = text

    def _are_clean(self, texts: set[str]) -> bool:
        return not texts or self._redactor is None or self._redactor.are_clean(texts)

    def _values(self, texts: Sequence[str]) -> list[bytes]:
        return self._written(texts, is_clean=self._are_values_clean)

    def _written(self, texts: Sequence[str], *, is_clean: bool) -> list[bytes]:
        """Return each of *texts* as a JSON string, redacted unless they are clean."""
        if is_clean:
            try:
                return list(map(dumps, texts))
            except TypeError:  # half of a character
                pass
        return [self._text(text).encode() for text in texts]

    def _written_places(self, places: Sequence[tuple[Any, ...]]) -> list[bytes]:
        known = self._places
        try:
            return [known[place] for place in places]
        except KeyError:
            return [self._made_place(place) for place in places]

    def _made_place(self, place: tuple[Any, ...]) -> bytes:
        """Return what is written of the span in which a record was made: many are made in one."""
        trace_hex, span_number, flags = place
        text = "" if trace_hex is None else f',"traceId":"{trace_hex}"'
        text += "" if span_number is None else f',"spanId":"{span_number:016x}"'
        text += f',"flags":{flags}' if flags else ""
        if len(self._places) >= _REMEMBERED:
            self._places.clear()
        found = self._places[place] = text.encode()
        return found

    # ── field by field ────────────────────────────────────────────────────────────────────────────

    def _any(self, record: LogLike) -> str:
        uid = record.uid
        parts = [_UID + (f'"{uid}"' if uid.isalnum() else self._text(uid)) + "}}"]
        if record.identity is not None:
            parts.append(self._identity(record.identity))
        if record.origin is not None:
            parts.append(self._origin(record.origin))
        body = "" if record.body is None else self._body(record.body)
        dropped = 0
        if record.data:
            own, dropped = self._attributes_within(record.data, len(body))
            parts.append(own)
        text = (
            f'{{"timeUnixNano":"{record.time}","observedTimeUnixNano":"{record.observed or record.time}",'
            f'"severityNumber":{record.severity}'
        )
        if record.severity_text:
            text += f',"severityText":{self._text(record.severity_text)}'
        if record.name:
            text += f',"eventName":{self._text(record.name)}'
        if body:
            text += f',"body":{{{body}}}'
        text += f',"attributes":[{",".join(filter(None, parts))}]'
        if dropped:
            text += f',"droppedAttributesCount":{dropped}'
        return text + self._made_place((record.trace_hex, record.span_number, record.flags)).decode() + "}"

    def _origin(self, origin: Origin) -> str:
        """Return the attributes for where a record was made: most are made in few places."""
        try:
            known = self._origins.get(origin)
        except TypeError:  # not as the logging module makes them
            return self._attributes(origin_attributes(origin))
        if known is None:
            known = self._attributes(origin_attributes(origin))
            if not self._is_asked:
                if len(self._origins) >= _REMEMBERED:
                    self._origins.clear()
                self._origins[origin] = known
        return known

    def _body(self, body: Any) -> str:
        if body.__class__ is str and self._is_body_text:
            return f'"stringValue":{self._text(body)}'
        text = self._value("body", body)
        # A line has no room for more: the beginning of it, as text.
        return text if len(text) <= _BODY_BYTES else f'"stringValue":{quoted(str(freeze(text)))}'
