"""Replies: what the answer of an HTTP server means."""

from __future__ import annotations

import email.utils
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import orjson

from ...cuts import beginning
from ...redaction import REDACTED
from ...standing_redaction import standing_redactor
from .answers import Answer


# Of the answer, so much is read; of the text in it, so much is kept.
REPLY_BYTES: Final = 64 * 1024
MESSAGE_CHARACTERS: Final = 2000

NOT_THIS_SIGNAL: Final = (
    "is this the address of OTLP, and for this signal? OTLP(signals=…) leaves out what it does not take"
)
_RETRYABLE: Final = frozenset({429, 502, 503, 504})
_REJECTED: Final = ("rejectedSpans", "rejectedLogRecords", "rejectedDataPoints")
_REJECTED_COUNT: Final = re.compile(rb'"rejected(?:Spans|LogRecords|DataPoints)"\s*:\s*"?([0-9]{1,18})')
_MARKUP: Final = re.compile(r"<(?:script|style).*?</(?:script|style)>|<[^>]*>", re.DOTALL | re.IGNORECASE)
# Nobody means to be left alone for longer than a day.
_LONGEST_WAIT_SECONDS: Final = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes = b""

    @property
    def content_type(self) -> str:
        """The kind of the body, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def answer_of(reply: Reply, *, now: float, hidden: Iterable[str] = ()) -> Answer:
    """Return what *reply* means; *hidden* are texts that must not come back in a message, *now* is the time."""
    if 200 <= reply.status < 300:
        return success(reply, hidden)
    message = bounded(f"{_titled(reply.status)}: {said}" if (said := _said(reply)) else _titled(reply.status), hidden)
    if reply.status in _RETRYABLE:
        wait = retry_after_seconds(reply.headers.get("retry-after", ""), now)
        return Answer(kind="retry", message=message, retry_after_seconds=wait)
    if reply.status == 413:
        return Answer(kind="too_large", message=message)
    if reply.status == 415:
        return Answer(kind="unsupported", message=message)
    if 300 <= reply.status < 400:
        return Answer(kind="refused", message=f"{message}; redirects are not followed, name the new place instead")
    if reply.status in {404, 405}:
        return Answer(kind="refused", message=f"{message}; {NOT_THIS_SIGNAL}")
    return Answer(kind="refused", message=message)


def success(reply: Reply, hidden: Iterable[str] = ()) -> Answer:
    """Return what a *reply* means that says that all went well."""
    if reply.content_type == "text/html":
        message = bounded(f"a web page, not the answer of an OTLP server: {_said(reply)}", hidden)
        return Answer(kind="refused", message=message)
    rejected, said = _partial_success(reply)
    message = bounded(said, hidden)
    if rejected > 0:
        return Answer(kind="partial", rejected=rejected, message=message)
    return Answer(kind="accepted", message=message)


def _titled(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def retry_after_seconds(text: str, now: float) -> float | None:
    """Return how long a ``Retry-After`` asks to wait, which is in seconds or a date."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return wait_within_reason(seconds)


def wait_within_reason(seconds: float | None) -> float | None:
    """Return *seconds* if somebody can have meant them."""
    if seconds is None or not math.isfinite(seconds):
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT_SECONDS)


def bounded(text: str, hidden: Iterable[str] = ()) -> str:
    """Return *text* as one line of bounded length, without secrets and without *hidden* texts."""
    for secret in hidden:
        # One or two characters are no secret, and would take whole messages with them.
        if len(secret) > 2:
            text = text.replace(secret, REDACTED)
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    line = standing_redactor().text(beginning(line, 2 * MESSAGE_CHARACTERS))
    return line if len(line) <= MESSAGE_CHARACTERS else f"{line[: MESSAGE_CHARACTERS - 1]}…"


# ── what is in the body ───────────────────────────────────────────────────────────────────────────


def _said(reply: Reply) -> str:
    """Return what the server says in its body: a ``google.rpc.Status``, or any text."""
    if reply.content_type == "application/x-protobuf":
        message = first(fields_in(reply.body), 2)
        return message.decode("utf-8", "replace") if isinstance(message, bytes) else ""
    parsed = _json(reply.body)
    if isinstance(parsed, dict) and isinstance(parsed.get("message"), str) and parsed["message"]:
        return str(parsed["message"])
    text = reply.body[: 4 * MESSAGE_CHARACTERS].decode("utf-8", "replace")
    return _MARKUP.sub(" ", text) if reply.content_type == "text/html" else text


def _partial_success(reply: Reply) -> tuple[int, str]:
    """Return how many items were rejected, and why; an answer that is damaged or cut short still counts."""
    if reply.content_type == "application/x-protobuf":
        parts = list(fields_in(first(fields_in(reply.body), 1)))
        count, message = first(parts, 1), first(parts, 2)
        text = message.decode("utf-8", "replace") if isinstance(message, bytes) else ""
        return _whole(count), text
    parsed = _json(reply.body)
    partial = parsed.get("partialSuccess") if isinstance(parsed, dict) else None
    if not isinstance(partial, dict):
        found_count = _REJECTED_COUNT.search(reply.body) if parsed is None else None
        return (int(found_count[1]), "") if found_count else (0, "")
    counted = next((partial[name] for name in _REJECTED if name in partial), 0)
    return _whole(counted), str(partial.get("errorMessage") or "")


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        return None


def _whole(value: object) -> int:
    # A negative number on the wire has the highest bit set.
    try:
        number = int(value)  # type: ignore[call-overload]  # what is no number counts nothing
    except (TypeError, ValueError):
        return 0
    return number if 0 < number < 2**63 else 0


def first(fields: Iterable[tuple[int, int | bytes]], number: int) -> int | bytes | None:
    """Return the first value of the field *number*."""
    return next((value for key, value in fields if key == number), None)


def fields_in(data: object) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protobuf message; what is damaged ends it, what is none has none.

    Answers are small and have two fields: for these nobody should need to have the protobuf package.
    """
    if not isinstance(data, bytes):
        return
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield key >> 3, value
        elif kind == 2:
            size, place = _varint(data, place)
            # Of an answer that was too long to be read whole, the last field is cut short.
            yield key >> 3, data[place : place + size]
            place += size
        elif kind in {1, 5}:
            place += 8 if kind == 1 else 4
        else:
            return


def _varint(data: bytes, place: int) -> tuple[int, int]:
    number = 0
    for index, byte in enumerate(data[place : place + 10]):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, place + index + 1
    return 0, len(data)
