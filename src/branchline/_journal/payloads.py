"""What a line of the journal holds for who delivers it: told without parsing it, wherever that is possible.

In the process that records, whoever parses a megabyte keeps everybody else from running for many milliseconds.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson

from .. import names
from .decode import parsed
from .layout import Signal


_OUTER: Final[Mapping[Signal, str]] = {
    "traces": "resourceSpans",
    "logs": "resourceLogs",
    "metrics": "resourceMetrics",
}
_MIDDLE: Final[Mapping[Signal, str]] = {"traces": "scopeSpans", "logs": "scopeLogs", "metrics": "scopeMetrics"}
_INNER: Final[Mapping[Signal, str]] = {"traces": "spans", "logs": "logRecords", "metrics": "metrics"}
_HEADS: Final = {signal: f'{{"{outer}":['.encode() for signal, outer in _OUTER.items()}
_TAIL: Final = b"]}\n"

# Once in each, and nowhere else: inside of a JSON string the quotes have a backslash before them.
_MARKS: Final[Mapping[Signal, bytes]] = {"traces": b'"startTimeUnixNano":', "logs": b'"observedTimeUnixNano":'}
_POINTS: Final = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")

# Longer than what any of ours begins with: most lines are told by this alone.
_OURS: Final = b'"eventName":"branchline.'
_NOTE: Final = re.compile(
    rb'"eventName":"(?:' + b"|".join(re.escape(name.encode()) for name in sorted(names.LIFECYCLE)) + rb')"'
)

Content = dict[str, Any]


def sound(signal: Signal, line: bytes, *, is_thorough: bool = False) -> bytes | None:
    """Return *line* as it may be sent, or None for one that cannot be read or is of another signal.

    Only a *thorough* look finds damage in the middle of a line; a line that is no strict JSON is made one.
    """
    is_ours = line.startswith(_HEADS[signal]) and line.endswith(_TAIL)
    if is_ours and not is_thorough:
        return line
    content, is_strict = _read(line)
    items = content.get(_OUTER[signal]) if isinstance(content, dict) else None
    if not isinstance(items, list):
        return None
    return line if is_ours and is_strict else orjson.dumps({_OUTER[signal]: items}) + b"\n"


def _read(line: bytes) -> tuple[object, bool]:
    said: list[str] = []
    return parsed(line, said.append), not said


def items_in(signal: Signal, line: bytes) -> int:
    """Return how many spans, log records or data points are in *line*."""
    mark = _MARKS.get(signal)
    # Without the mark it is a line that somebody else wrote, and left out what is zero.
    return (line.count(mark) if mark is not None else 0) or _counted(signal, line)


def _counted(signal: Signal, line: bytes) -> int:
    content = _content(line)
    if signal != "metrics":
        return sum(1 for _ in _items(signal, content))
    points = 0
    for metric in _items(signal, content):
        for kind in _POINTS:
            found = metric.get(kind)
            points += len(found.get("dataPoints") or ()) if isinstance(found, dict) else 0
    return points


def without_notes(line: bytes) -> tuple[bytes, int]:
    """Return a *line* of log records without branchline's notes about what has begun, and how many these were.

    A line that has none is returned as it is; one that has nothing else becomes empty.
    """
    if _OURS not in line or _NOTE.search(line) is None:
        return line, 0
    content = _content(line)
    before = sum(1 for _ in _items("logs", content))
    kept = _chosen("logs", content, lambda record: record.get("eventName") not in names.LIFECYCLE)
    left = sum(1 for _ in _items("logs", kept))
    return orjson.dumps(kept) + b"\n" if left else b"", before - left


def halves(signal: Signal, line: bytes) -> tuple[bytes, bytes] | None:
    """Return the two halves of what is in *line*, each a line of its own; None for what cannot be divided."""
    content = _content(line)
    count = sum(1 for _ in _items(signal, content))
    if count < 2:
        return None
    first, second = itertools.count(), itertools.count()
    return (
        orjson.dumps(_chosen(signal, content, lambda _: next(first) < count // 2)) + b"\n",
        orjson.dumps(_chosen(signal, content, lambda _: next(second) >= count // 2)) + b"\n",
    )


# ── walking through one ───────────────────────────────────────────────────────────────────────────


def _content(line: bytes) -> Content:
    try:
        content = orjson.loads(line)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _items(signal: Signal, content: Content) -> Iterator[Content]:
    for resource in _objects(content, _OUTER[signal]):
        for scope in _objects(resource, _MIDDLE[signal]):
            yield from _objects(scope, _INNER[signal])


def _chosen(signal: Signal, content: Content, is_wanted: Callable[[Content], bool]) -> Content:
    """Return *content* with those of its items that are wanted, asked for in order; what is empty then is left out."""
    resources = []
    for resource in _objects(content, _OUTER[signal]):
        scopes = []
        for scope in _objects(resource, _MIDDLE[signal]):
            items = [item for item in _objects(scope, _INNER[signal]) if is_wanted(item)]
            if items:
                scopes.append({**scope, _INNER[signal]: items})
        if scopes:
            resources.append({**resource, _MIDDLE[signal]: scopes})
    return {_OUTER[signal]: resources}


def _objects(holder: Content, key: str) -> list[Content]:
    found = holder.get(key)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
