"""Lines of the journal as the bodies of requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from ..._journal.layout import Signal


_OUTER: Final[dict[Signal, str]] = {"traces": "resourceSpans", "logs": "resourceLogs", "metrics": "resourceMetrics"}
_TAIL: Final = b"]}"


class NotOtlpError(ValueError):
    """A line that no server would understand."""


def joined(signal: Signal, lines: Sequence[bytes]) -> bytes:
    """Return *lines* as one request.

    Raises:
        NotOtlpError: for a line that is no OTLP/JSON of this *signal*.
    """
    head = b'{"%b":[' % _OUTER[signal].encode()
    # Parsing would cost more than all the rest: what we write begins and ends the same way every time.
    return head + b",".join(filter(None, [_array(line.rstrip(), signal, head) for line in lines])) + _TAIL


def _array(line: bytes, signal: Signal, head: bytes) -> bytes:
    if line.startswith(head) and line.endswith(_TAIL):
        return line[len(head) : -len(_TAIL)]
    items = content(signal, line)
    return orjson.dumps(items)[1:-1]


def content(signal: Signal, line: bytes) -> list[Any]:
    """Return the items of a *line*, one for each resource.

    Raises:
        NotOtlpError: for a line that is no OTLP/JSON of this *signal*.
    """
    try:
        parsed = orjson.loads(line)
    except ValueError as error:
        msg = f"a line of {signal} is no JSON: {error}"
        raise NotOtlpError(msg) from error
    items = parsed.get(_OUTER[signal]) if isinstance(parsed, dict) else None
    if not isinstance(items, list):
        msg = f"a line of {signal} has no {_OUTER[signal]}"
        raise NotOtlpError(msg)
    return items
