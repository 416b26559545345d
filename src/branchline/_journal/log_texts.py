"""Log records as OTLP/JSON objects: those that are like many others by a form, the others field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from .. import names
from ..redaction import Redactor
from ..values import freeze
from .jsontext import quoted
from .records import BODY_AT, DATA_AT, LogLike, Origin, log_record, origin_attributes


# What a message may take of a line.
_BODY_BYTES: Final = 256 * 1024
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
        learn: Callable[[Iterable[str]], None],
    ) -> None:
        """Write what *redactor* leaves, by the encoder's ways to write the parts of a record."""
        self._redactor = redactor
        self._text, self._value, self._identity = text, value, identity
        self._attributes, self._attributes_within = attributes, attributes_within
        self._learn = learn
        # A callback is asked about every single value.
        is_asked = redactor is not None and redactor.callback is not None
        self._is_remembering = not is_asked
        self._is_body_text = redactor is None or not (is_asked or redactor.is_secret("body"))
        self._origins: dict[Origin, str] = {}
        self._forms: dict[tuple[Any, ...], tuple[str, str]] = {}
        self._places: dict[tuple[Any, ...], str] = {}
        # The messages of the records at hand, as they are written.
        self._bodies: dict[str, str] = {}

    def texts(self, records: Sequence[Any]) -> list[str]:
        """Return *records*, each as an OTLP/JSON object; one may come as a list."""
        self._bodies = self._clean_bodies(records) if self._is_body_text else {}
        if self._is_remembering:
            said: list[Any] = []
            for record in records:
                if record.__class__ is list and record[DATA_AT]:
                    said += record[DATA_AT].values()
            self._learn([value for value in said if value.__class__ is str])
        return [
            (record.__class__ is list and self._common(record)) or self._any(log_record(record)) for record in records
        ]

    def _clean_bodies(self, records: Sequence[Any]) -> dict[str, str]:
        """Return the messages as they are written, if nothing is to be redacted in them: cheaper to tell of many."""
        found = [record[BODY_AT] if record.__class__ is list else record.body for record in records]
        bodies = {body for body in found if body.__class__ is str}
        if not bodies or (self._redactor is not None and not self._redactor.are_clean(bodies)):
            return {}
        return {body: quoted(body) for body in bodies}

    # ── by a form ─────────────────────────────────────────────────────────────────────────────────

    def _common(self, fields: list[Any]) -> str | None:
        """Return a record that has no more than most of them, or None for one that wants a closer look."""
        _, uid, name, time, number, severity, said, *place, identity, data, _, observed, origin, _ = fields
        body = self._bodies.get(said) if said.__class__ is str else None
        if body is None or name:
            return None
        own = ""
        if data:
            own, dropped = self._attributes_within(data, len(body))
            if dropped:
                return None
            own = f",{own}"
        try:
            shape = (origin, number, severity, "" if identity is None else self._identity(identity))
            before, after = self._forms.get(shape) or self._made_form(shape)
        except TypeError:  # its place in the code is not as the logging module has it
            return None
        written = self._places.get(here := tuple(place)) or self._made_place(here)
        # The same in most of them, and a number is slow to write.
        moment = str(time)
        seen = str(observed) if observed else moment
        return (
            f'{{"timeUnixNano":"{moment}","observedTimeUnixNano":"{seen}","severityNumber":{before}{body}'
            f'}},"attributes":[{_UID}"{uid}"}}}}{after}{own}]{written}}}'
        )

    def _made_form(self, shape: tuple[Any, ...]) -> tuple[str, str]:
        """Return what stands before the message of all records of *shape*, and what after their ids."""
        origin, number, severity, identity = shape
        parts = (identity, "" if origin is None else self._origin(origin))
        said = f',"severityText":{self._text(severity)}' if severity else ""
        form = f'{number}{said},"body":{{"stringValue":', "".join([f",{part}" for part in parts if part])
        if self._is_remembering:
            if len(self._forms) >= _REMEMBERED:
                self._forms.clear()
            self._forms[shape] = form
        return form

    def _made_place(self, place: tuple[Any, ...]) -> str:
        """Return what is written of the span in which a record was made: many are made in one."""
        trace_hex, span_number, flags = place
        text = "" if trace_hex is None else f',"traceId":"{trace_hex}"'
        text += "" if span_number is None else f',"spanId":"{span_number:016x}"'
        text += f',"flags":{flags}' if flags else ""
        if len(self._places) >= _REMEMBERED:
            self._places.clear()
        self._places[place] = text
        return text

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
        return text + self._made_place((record.trace_hex, record.span_number, record.flags)) + "}"

    def _origin(self, origin: Origin) -> str:
        """Return the attributes for where a record was made: most are made in few places."""
        try:
            known = self._origins.get(origin)
        except TypeError:  # not as the logging module makes them
            return self._attributes(origin_attributes(origin))
        if known is None:
            known = self._attributes(origin_attributes(origin))
            if self._is_remembering:
                if len(self._origins) >= _REMEMBERED:
                    self._origins.clear()
                self._origins[origin] = known
        return known

    def _body(self, body: Any) -> str:
        if body.__class__ is str and self._is_body_text:
            return f'"stringValue":{self._bodies.get(body) or self._text(body)}'
        text = self._value("body", body)
        # A line has no room for more: the beginning of it, as text.
        return text if len(text) <= _BODY_BYTES else f'"stringValue":{quoted(str(freeze(text)))}'
