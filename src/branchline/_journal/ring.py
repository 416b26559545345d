"""The crash ring: shared memory in which what has finished survives the death of the process.

A record takes one slot, or several when it is long. Reserving is one call into C (``next`` of a counter), so a
signal handler or a finaliser that records in the middle of a record simply gets the next slot; there is no lock.
A slot is taken from the moment it is reserved until its record is in the journal, and only then used again.
"""

from __future__ import annotations

import dataclasses
import fcntl
import itertools
import mmap
import os
import stat
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from ..errors import JournalError

MAGIC: Final = b"branchline-ring1"
SIZE: Final = 4 * 1024 * 1024
SLOT: Final = 512
BUSY_AT: Final = 8192
SLOTS_AT: Final = 16384
SLOTS: Final = 8064
PAGE_AT: Final = 64
# A quarter of the ring; beyond it, a record's parts could not be counted either.
LARGEST: Final = 1_000_000

# checksum of the whole record; size of this part, its number and how many there are; counter of the first part's slot.
# Adler, not CRC: half the time, and a kill is no noisy line.
_HEADER: Final = struct.Struct("<IIQ")
_ROOM: Final = SLOT - _HEADER.size
_PART: Final = 1 << 10
_COUNT: Final = 1 << 21
_PROGRESS: Final = struct.Struct("<QQQQQI")
_LENGTH: Final = struct.Struct("<I")

_FREE: Final = 0
_RESERVED: Final = 1
# Only a written slot is read after a death: a reserved one still shows the record that was there before.
_WRITTEN: Final = 2

assert SLOTS_AT + SLOTS * SLOT <= SIZE
assert BUSY_AT + SLOTS <= SLOTS_AT


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far the journal got: no record that is busy in the ring was written before this place."""

    traces_segment: int = 0
    traces_offset: int = 0
    logs_segment: int = 0
    logs_offset: int = 0
    heartbeat_unix_nano: int = 0


class Ring:
    """The writing end of a crash ring, owned by one process."""

    def __init__(self, path: Path, page: dict[str, str | int], *, is_shared_memory: bool = True) -> None:
        """Create the ring at *path*; *page* says whose it is. Raises OSError where there is no room."""
        self.path = path
        self.is_shared_memory = is_shared_memory
        self._descriptor = _created(path)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Reserved, not just sized: writing to a page that a full tmpfs cannot back would kill the process.
            os.posix_fallocate(self._descriptor, 0, SIZE)
            self._memory = mmap.mmap(self._descriptor, SIZE)
        except OSError:
            os.close(self._descriptor)
            path.unlink(missing_ok=True)
            raise
        text = orjson.dumps(page)
        if len(text) > BUSY_AT - PAGE_AT - _LENGTH.size - _PROGRESS.size:
            self.close()
            msg = f"the ring's first page has no room for {len(text)} bytes of identity"
            raise JournalError(msg)
        start = PAGE_AT + _PROGRESS.size
        self._memory[start : start + _LENGTH.size + len(text)] = _LENGTH.pack(len(text)) + text
        self._memory[: len(MAGIC)] = MAGIC
        self._next = itertools.count().__next__
        # Called with a taken slot when the ring is full; returns whether it came free in time.
        self.wait: Callable[[int], bool] = lambda slot: False
        self.put: Callable[[bytes], int | tuple[int, ...]] = self._made_put()
        """Copy a record in and return its slot(s) for ``free``; -1 when there is no room (nothing is copied)."""

    def _made_put(self) -> Callable[[bytes], int | tuple[int, ...]]:
        # A closure, because this runs at the end of every step: what it uses is looked up once.
        memory, next_number, checksum, pack = self._memory, self._next, zlib.adler32, _HEADER.pack
        room, slots, slot_size, header = _ROOM, SLOTS, SLOT, _HEADER.size
        busy_at, slots_at, one = BUSY_AT, SLOTS_AT, _COUNT

        def put(data: bytes) -> int | tuple[int, ...]:
            size = len(data)
            if size > room:
                return self._put_parts(data)
            number = next_number()
            slot = number % slots
            busy = busy_at + slot
            if memory[busy] and not self.wait(slot):
                return -1
            memory[busy] = 1
            at = slots_at + slot * slot_size
            memory[at : at + header + size] = pack(checksum(data), one + size, number) + data
            memory[busy] = 2
            return slot

        return put

    def _put_parts(self, data: bytes) -> int | tuple[int, ...]:
        if len(data) > LARGEST:
            return -1
        memory = self._memory
        parts = -(-len(data) // _ROOM)
        checksum = zlib.adler32(data)
        slots: list[int] = []
        first = -1
        for part in range(parts):
            number = self._next()
            first = number if part == 0 else first
            slot = number % SLOTS
            if memory[BUSY_AT + slot] and not self.wait(slot):
                self.free(tuple(slots))
                return -1
            memory[BUSY_AT + slot] = _RESERVED
            slots.append(slot)
            piece = data[part * _ROOM : (part + 1) * _ROOM]
            at = SLOTS_AT + slot * SLOT
            described = parts * _COUNT + part * _PART + len(piece)
            memory[at : at + _HEADER.size + len(piece)] = _HEADER.pack(checksum, described, first) + piece
            memory[BUSY_AT + slot] = _WRITTEN
        return tuple(slots)

    def is_free(self, slot: int) -> bool:
        """Tell whether *slot* may be used."""
        return self._memory[BUSY_AT + slot] == _FREE

    def free(self, slots: int | tuple[int, ...]) -> None:
        """Give back the slots of a record that is in the journal."""
        if slots.__class__ is int:
            if slots >= 0:  # type: ignore[operator]  # narrowed by class, for speed
                self._memory[BUSY_AT + slots] = _FREE  # type: ignore[operator]
            return
        for slot in slots:  # type: ignore[union-attr]
            self._memory[BUSY_AT + slot] = _FREE

    def note(self, progress: Progress) -> None:
        """Say how far the journal got, before the next records are written to it."""
        fields = dataclasses.astuple(progress)
        # A death in the middle of this copy leaves a checksum that does not fit: then all of the journal is read.
        self._memory[PAGE_AT : PAGE_AT + _PROGRESS.size] = _PROGRESS.pack(*fields, zlib.crc32(repr(fields).encode()))

    def close(self, *, remove: bool = True) -> None:
        """Let go of the ring; with *remove* it is gone, without it stays for recovery."""
        if remove:
            self.path.unlink(missing_ok=True)
        self._memory.close()
        os.close(self._descriptor)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's ring without touching it."""
        # Both hold the parent's lock open: as long as they live here, nobody could see the parent die.
        self._memory.close()
        os.close(self._descriptor)


def ring_folder() -> Path | None:
    """Return the folder for rings in shared memory, or None where there is none that is safe."""
    folder = Path(f"/dev/shm/branchline-{os.getuid()}")  # noqa: S108  # memory, not a temporary file; owner and mode are checked
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = os.lstat(folder)
    except OSError:
        return None
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return folder if is_ours else None


def create_ring(folder: Path, page: dict[str, str | int], *, is_shared_memory: bool) -> Ring:
    """Create a ring with a name of its own in *folder*. Raises OSError where there is no room."""
    name = f"{os.getpid()}-{time.time_ns():x}-{os.urandom(4).hex()}.ring"
    return Ring(folder / name, page, is_shared_memory=is_shared_memory)


def _created(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


class DeadRing:
    """The reading end of a ring whose owner is dead; holds its lock, so that only one recovers it."""

    def __init__(self, descriptor: int, path: Path, data: bytes) -> None:
        self._descriptor = descriptor
        self._data = data
        self.path = path

    @classmethod
    def open(cls, path: Path) -> DeadRing | None:
        """Return the ring at *path* if its owner is dead and nobody else recovers it; None otherwise."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            if os.fstat(descriptor).st_uid != os.getuid():
                os.close(descriptor)
                return None
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            data = _whole(descriptor)
        except OSError:
            os.close(descriptor)
            return None
        if not path.exists():
            # Its recoverer removed it between our open and our lock.
            os.close(descriptor)
            return None
        return cls(descriptor, path, data)

    @property
    def page(self) -> dict[str, Any] | None:
        """Whose ring it was; None when the owner died before it could say."""
        return self.page_in(self._data) if len(self._data) == SIZE else None

    @staticmethod
    def page_in(head: bytes) -> dict[str, Any] | None:
        """Return the first page in the *head* of a ring's file, or None when there is none yet."""
        start = PAGE_AT + _PROGRESS.size
        if not head.startswith(MAGIC) or len(head) < start + _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(head, start)
        try:
            page = orjson.loads(head[start + _LENGTH.size : start + _LENGTH.size + length])
        except ValueError:
            return None
        return page if isinstance(page, dict) else None

    @property
    def progress(self) -> Progress:
        """How far the journal got for certain; its beginning when that was lost."""
        *fields, checksum = _PROGRESS.unpack_from(self._data, PAGE_AT)
        if checksum != zlib.crc32(repr(tuple(fields)).encode()):
            return Progress()
        return Progress(**dict(zip(Progress.__dataclass_fields__, fields, strict=True)))

    def records(self) -> Iterator[bytes]:
        """Yield the whole records that the journal may lack, in the order in which they were made."""
        parts: dict[int, dict[int, bytes]] = {}
        expected: dict[int, tuple[int, int]] = {}
        for slot in range(SLOTS):
            if self._data[BUSY_AT + slot] != _WRITTEN:
                continue
            at = SLOTS_AT + slot * SLOT
            checksum, described, first = _HEADER.unpack_from(self._data, at)
            size, part, count = described % _PART, described % _COUNT // _PART, described // _COUNT
            if size > _ROOM or part >= count:
                continue
            key = expected.setdefault(first, (checksum, count))
            if key == (checksum, count):
                parts.setdefault(first, {})[part] = self._data[at + _HEADER.size : at + _HEADER.size + size]
        for first in sorted(parts):
            checksum, count = expected[first]
            pieces = parts[first]
            data = b"".join(pieces[part] for part in sorted(pieces))
            if len(pieces) == count and zlib.adler32(data) == checksum:
                yield data

    def close(self, *, remove: bool) -> None:
        """Let go of the ring; with *remove*, all it held is in the journal."""
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


def _whole(descriptor: int) -> bytes:
    chunks = []
    while chunk := os.read(descriptor, 1 << 20):
        chunks.append(chunk)
    return b"".join(chunks)


def rings(folder: Path | None) -> list[Path]:
    """Return the rings in *folder*, dead or alive."""
    try:
        return sorted(folder.glob("*.ring")) if folder is not None else []
    except OSError:
        return []
