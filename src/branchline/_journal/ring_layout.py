"""The file of a crash ring: how its page, the journal's progress and the slots lie in it, and what of that is whole."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ..errors import JournalError


# Another one with every change of what a record looks like: who does not know it leaves the ring alone.
MAGIC: Final = b"branchline-ring6"
SIZE: Final = 4 * 1024 * 1024
SLOT: Final = 512
PAGE_AT: Final = 64
SLOTS_AT: Final = 8192
SLOTS: Final = (SIZE - SLOTS_AT) // SLOT

# size of this part, its number and how many there are: 0 in a free slot; checksum of the whole record; the first
# part's slot. What a death interrupted in the middle of copying has another checksum: Adler's, not CRC, which takes
# twice the time, and a kill is no noisy line.
HEADER: Final = struct.Struct("<III")
DESCRIBED: Final = struct.Struct("<I")
ROOM: Final = SLOT - HEADER.size
PART: Final = 1 << 10
COUNT: Final = 1 << 21

_PROGRESS: Final = struct.Struct("<QQQQQQQI")
_LENGTH: Final = struct.Struct("<I")
# Of what the page says, which is behind how far the journal got.
TEXT_AT: Final = PAGE_AT + _PROGRESS.size


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far the journal got: no record that is busy in the ring was written before this place."""

    traces_segment: int = 0
    traces_offset: int = 0
    logs_segment: int = 0
    logs_offset: int = 0
    heartbeat_unix_nano: int = 0
    spans: int = 0
    """How many there are before the place."""
    logs: int = 0


def packed_page(page: Mapping[str, str | int]) -> bytes:
    """Return *page* as the file has it. Raises JournalError if that has no room for it."""
    text = orjson.dumps(page)
    if len(text) > SLOTS_AT - TEXT_AT - _LENGTH.size:
        msg = f"the ring's first page has no room for {len(text)} bytes of identity"
        raise JournalError(msg)
    return _LENGTH.pack(len(text)) + text


def page_in(head: bytes) -> dict[str, Any] | None:
    """Return the page in the *head* of a ring's file, or None when there is none yet."""
    if not head.startswith(MAGIC) or len(head) < TEXT_AT + _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack_from(head, TEXT_AT)
    start = TEXT_AT + _LENGTH.size
    try:
        page = orjson.loads(head[start : start + length])
    except ValueError:
        return None
    return page if isinstance(page, dict) else None


def packed_progress(progress: Progress) -> bytes:
    """Return *progress* as the file has it, with a checksum."""
    fields = dataclasses.astuple(progress)
    return _PROGRESS.pack(*fields, zlib.crc32(repr(fields).encode()))


def progress_in(data: bytes) -> Progress:
    """Return how far the journal got for certain; its beginning when that was lost."""
    *fields, checksum = _PROGRESS.unpack_from(data, PAGE_AT)
    if checksum != zlib.crc32(repr(tuple(fields)).encode()):
        return Progress()
    return Progress(**dict(zip(Progress.__dataclass_fields__, fields, strict=True)))


def records_in(data: bytes) -> Iterator[bytes]:
    """Yield the whole records in *data*, a ring's file, in no particular order."""
    parts: dict[tuple[int, int, int], dict[int, bytes]] = {}
    for at in range(SLOTS_AT, SLOTS_AT + SLOTS * SLOT, SLOT):
        described, checksum, first = HEADER.unpack_from(data, at)
        size, part, count = described % PART, described % COUNT // PART, described // COUNT
        if count and size <= ROOM:
            parts.setdefault((first, count, checksum), {})[part] = data[at + HEADER.size : at + HEADER.size + size]
    for (_, count, checksum), pieces in parts.items():
        record = b"".join(pieces[part] for part in sorted(pieces))
        if len(pieces) == count and zlib.adler32(record) == checksum:
            yield record
