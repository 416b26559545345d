"""Plans for log records: what all of one shape have in common, written once, with places for what they have not.

Those of one shape are written together, a column at a time: what C does to all of them costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from .. import names
from ..redaction import REDACTED
from .jsontext import INT64_MAX, INT64_MIN


# Writes what many records have under one key; None where one of them wants a closer look.
_Write: TypeAlias = Callable[[Sequence[Any]], Iterable[Any] | None]

MOST_PLANS: Final = 1024
# Of a place in the code and keys: more of them are in no other record.
_MOST_PARTS: Final = 128
_UID: Final = f'{{"key":"{names.LOG_UID}","value":{{"stringValue":"%b"}}}}'
_NO_ORIGIN: Final = (None,)


class Alike(NamedTuple):
    """Log records of one shape, as columns."""

    shape: tuple[Any, ...]
    members: list[int]
    """Which of all records they are."""
    uids: Sequence[str]
    times: Sequence[int]
    seen: Sequence[int]
    bodies: Sequence[str]
    places: Sequence[tuple[Any, ...]]
    """The trace, the span and its flags."""
    said: Sequence[Sequence[Any]]
    """What the application has said beside the message, a column for each key."""
    first: list[Any]


class _Plan(NamedTuple):
    """A format for ``%``, and how the values that the application gave become what it needs."""

    # Of bytes: these Python formats in half the time, because it looks for the next place faster.
    form: bytes
    columns: tuple[_Write, ...]


class Writer(NamedTuple):
    """How the parts of a log record are written."""

    text: Callable[[str], str]
    texts: Callable[[Sequence[str]], list[bytes]]
    value: Callable[[str, Any], str]
    identity: Callable[[Any], str]
    origin: Callable[[Any], str]
    is_secret: Callable[[str], bool]


def alike(records: Sequence[Any]) -> Iterator[Alike]:
    """Yield those of *records* that come as lists and say a text, as far as they are of one shape."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    latest: tuple[Any, ...] | None = None
    members: list[int] = []
    for n, fields in enumerate(records):
        if fields.__class__ is not list:
            continue
        _, _, name, _, number, severity, said, _, _, _, identity, data, _, _, origin, _ = fields
        if name or said.__class__ is not str:
            continue
        here = (origin, number, severity, identity, list(data) if data else None)
        if here != latest:
            # Most are like the one before: then nothing has to be looked up.
            try:
                members = groups.setdefault((number, severity, identity, *(origin or _NO_ORIGIN), *data), [])
            except TypeError:  # its place in the code is not as the logging module has it
                continue
            latest = here
        members.append(n)
    for key, numbers in groups.items():
        yield _columns(key, numbers, [records[n] for n in numbers])


def _columns(shape: tuple[Any, ...], members: list[int], records: list[list[Any]]) -> Alike:
    columns = zip(*records, strict=True)
    _, uids, _, times, _, _, bodies, traces, spans, flags, _, data, _, observed, _, _ = columns
    seen = [at or time for at, time in zip(observed, times, strict=True)] if any(observed) else times
    said = list(zip(*[given.values() for given in data], strict=True)) if data[0] else []
    places = list(zip(traces, spans, flags, strict=True))
    return Alike(shape, members, uids, times, seen, bodies, places, said, records[0])


class LogPlans:
    """Finds the plans of log records, or makes them; what it remembers is bounded."""

    def __init__(self, writer: Writer) -> None:
        """Make plans whose parts are written by *writer*."""
        self._writer = writer
        self._plans: dict[tuple[Any, ...], _Plan] = {}

    def written(self, some: Alike, bodies: Iterable[bytes], places: Iterable[bytes]) -> list[bytes] | None:
        """Return *some* records as OTLP/JSON objects, with *bodies* as messages; None if one wants a closer look."""
        kinds = [set(map(type, column)) for column in some.said]
        # None is for values of several types.
        key = (*some.shape, *[kind.pop() if len(kind) == 1 else None for kind in kinds])
        plan = self._plans.get(key) or self._made(key, some.first, key[len(some.shape) :])
        if plan is None:
            return None
        columns: list[Iterable[Any]] = []
        for write, column in zip(plan.columns, some.said, strict=True):
            found = write(column)
            if found is None:
                return None
            columns.append(found)
        form = plan.form
        rows = zip(some.times, some.seen, bodies, map(str.encode, some.uids), *columns, places, strict=True)
        return [form % row for row in rows]

    # ── making one ────────────────────────────────────────────────────────────────────────────────

    def _made(self, key: tuple[Any, ...], fields: list[Any], kinds: Sequence[type | None]) -> _Plan | None:
        _, _, _, _, number, severity, *_, identity, data, _, _, origin, _ = fields
        if len(key) > _MOST_PARTS:
            return None
        said = f',"severityText":{_escaped(self._writer.text(severity))}' if severity else ""
        attributes = [self._attribute(label, kind) for label, kind in zip(data or (), kinds, strict=True)]
        parts = [
            _UID,
            "" if identity is None else _escaped(self._writer.identity(identity)),
            _escaped(self._writer.origin(origin)) if origin else "",
            *[part for part, _ in attributes],
        ]
        form = (
            f'{{"timeUnixNano":"%d","observedTimeUnixNano":"%d","severityNumber":{number}{said},'
            f'"body":{{"stringValue":%b}},"attributes":[{",".join(filter(None, parts))}]%b}}'
        )
        if len(self._plans) >= MOST_PLANS:
            self._plans.clear()
        plan = self._plans[key] = _Plan(form.encode(), tuple([write for _, write in attributes]))
        return plan

    def _attribute(self, key: str, kind: type | None) -> tuple[str, _Write]:
        """Return the form of an attribute, and what writes its values."""
        writer = self._writer
        write: _Write
        if writer.is_secret(key):
            # A format takes each of its values: these become nothing before.
            form, write = f'"stringValue":"{REDACTED}"%b', lambda values: [b""] * len(values)
        elif kind is str:
            form, write = '"stringValue":%b', writer.texts
        elif kind is int:
            form, write = '"intValue":"%d"', _integers
        elif kind is float:
            form, write = '"doubleValue":%a', _fractions
        else:
            form, write = "%b", lambda values: [writer.value(key, value).encode() for value in values]
        return f'{{"key":{_escaped(writer.text(key))},"value":{{{form}}}}}', write


def _integers(values: Sequence[int]) -> Sequence[int] | None:
    return values if min(values) >= INT64_MIN and max(values) <= INT64_MAX else None


def _fractions(values: Sequence[float]) -> Sequence[float] | None:
    # Not zero if one is infinite, or no number.
    return None if any(value - value for value in values) else values


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
