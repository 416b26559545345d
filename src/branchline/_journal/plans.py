"""Plans: what all spans of one shape have in common, written once, with places for what they have not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple, TypeAlias

from .fields import MARKS_AT


# Spans of more events, or with more to them, gain little and come in too many shapes.
_MOST_EVENTS: Final = 16
_MOST_PARTS: Final = 128
# Characters of all names and keys: together with the number of plans, what the plans may cost in memory.
_MOST_CHARACTERS: Final = 2048
_MOST_PLANS: Final = 1024


_NO_MARKS: Final[list[Any]] = []

# An event's name and attributes.
_Named: TypeAlias = tuple[str, Mapping[str, Any] | None]


class Plan(NamedTuple):
    """A format for ``%``, and which of the values it takes are not yet what it needs."""

    # Of bytes: these Python formats in half the time, because it looks for the next place faster.
    form: bytes
    texts: tuple[int, ...]
    integers: tuple[int, ...]
    fractions: tuple[int, ...]
    truths: tuple[int, ...]
    secrets: tuple[int, ...]


class Writer(NamedTuple):
    """How the parts of a plan are written."""

    text: Callable[[str], str]
    ending: Callable[[str | None, str | None], str]
    identity: Callable[[Sequence[str | None]], bytes]
    is_secret: Callable[[str], bool]
    redacted: str


class Plans:
    """Finds the plan of a span, or makes it; what it remembers is bounded."""

    def __init__(self, writer: Writer) -> None:
        """Make plans whose parts are written by *writer*."""
        self._writer = writer
        self._plans: dict[tuple[Any, ...], Plan | None] = {}
        self._latest: list[Any] = []
        self._plan: Plan | None = None

    def of(self, fields: list[Any]) -> tuple[Plan, list[Any]] | None:
        """Return the plan of a span by its short form, and the values for it; None for one that is like no other."""
        is_short = len(fields) == MARKS_AT
        _, trace, number, parent, title, began, ended, role, outcome, data, place, clock = (
            fields if is_short else fields[:MARKS_AT]
        )
        # As `fields` has these, without its calls.
        flags = clock & 0xFF
        offset = clock - flags
        trace = trace.encode() if trace.__class__ is str else b"%032x" % trace
        # In the order of the form: see `_Draft.plan`.
        values: list[Any] = (
            [trace, number, title, began + offset, ended + offset]
            if parent is None
            else [trace, number, parent, title, began + offset, ended + offset]
        )
        identity = b"" if place is None else self._writer.identity(place)
        if identity:
            values.append(identity)
        # Then the keys and the types of what they have, and the same of each event, behind None and its name.
        shape: list[Any] = [role, outcome, flags, parent is None, not identity]
        if data:
            # A copy: a thread that was late must not change it between two looks.
            data = data.copy()
            told = data.values()
            shape += data
            shape += map(type, told)
            values += told
        marks = _NO_MARKS
        if not is_short:
            marks = fields[MARKS_AT:]
            parts = iter(marks)
            for name, time, attributes in zip(parts, parts, parts):  # noqa: B905  # an argument by name takes its time
                shape.append(None)
                shape.append(name)
                values.append(time + offset)
                if attributes:
                    for label, value in attributes.items():
                        shape.append(label)
                        shape.append(type(value))
                        values.append(value)
        if shape != self._latest:
            # Most are like the one before: then nothing has to be looked up.
            self._plan = self._found(tuple(shape), data or {}, marks)
            self._latest = shape
        return None if self._plan is None else (self._plan, values)

    def _found(self, shape: tuple[Any, ...], data: Mapping[str, Any], marks: list[Any]) -> Plan | None:
        try:
            return self._plans[shape]
        except KeyError:
            return self._made(shape, data, list(zip(marks[::3], marks[2::3], strict=True)))

    def _made(self, shape: tuple[Any, ...], data: Mapping[str, Any], marks: list[_Named]) -> Plan | None:
        labels = chain(data, *([name, *(attributes or ())] for name, attributes in marks))
        if len(marks) > _MOST_EVENTS or len(shape) > _MOST_PARTS or sum(map(len, labels)) > _MOST_CHARACTERS:
            return None
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        plan = self._plans[shape] = _Draft(self._writer).plan(shape, data, marks)
        return plan


class _Draft:
    """A plan on its way."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._place = 0
        self._places: dict[str, list[int]] = {"texts": [], "integers": [], "fractions": [], "truths": [], "secrets": []}
        self._is_possible = True

    def plan(self, shape: tuple[Any, ...], data: Mapping[str, Any], marks: list[_Named]) -> Plan | None:
        role, outcome, flags, is_root, is_nobodys = shape[:5]
        parent = "" if is_root else ',"parentSpanId":"%016x"'
        self._place = 2 if is_root else 3
        self._places["texts"].append(self._place)
        self._place += 3 if is_nobodys else 4
        parts = [_escaped(self._writer.ending(role, outcome)), "" if is_nobodys else "%b", self._attributes(data)]
        attributes = ",".join(filter(None, parts))
        form = (
            f'{{"traceId":"%b","spanId":"%016x"{parent},"flags":{(flags & 0xFF) | 0x100},"name":%b,"kind":1,'
            f'"startTimeUnixNano":"%d","endTimeUnixNano":"%d"'
            + (f',"attributes":[{attributes}]' if attributes else "")
            + (f',"events":[{",".join([self._event(mark) for mark in marks])}]' if marks else "")
            + ',"status":{}}'
        )
        places = {name: tuple(found) for name, found in self._places.items()}
        return Plan(form.encode(), **places) if self._is_possible else None

    def _event(self, mark: _Named) -> str:
        name, attributes = mark
        self._place += 1
        text = f'{{"timeUnixNano":"%d","name":{_escaped(self._writer.text(name))}'
        return f'{text},"attributes":[{self._attributes(attributes)}]}}' if attributes else text + "}"

    def _attributes(self, attributes: Mapping[str, Any]) -> str:
        return ",".join([self._attribute(key, type(value)) for key, value in attributes.items()])

    def _attribute(self, key: str, kind: type) -> str:
        if kind not in _FORMS:
            self._is_possible = False
            return ""
        places, form = _FORMS[kind]
        if self._writer.is_secret(key):
            # A format takes each of its values: this one becomes nothing before.
            places, form = "secrets", f'"stringValue":{_escaped(self._writer.redacted)}%b'
        self._places[places].append(self._place)
        self._place += 1
        return f'{{"key":{_escaped(self._writer.text(key))},"value":{{{form}}}}}'


_FORMS: Final = {
    str: ("texts", '"stringValue":%b'),
    int: ("integers", '"intValue":"%d"'),
    float: ("fractions", '"doubleValue":%a'),
    bool: ("truths", '"boolValue":%b'),
}


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
