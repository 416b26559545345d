"""The crash ring: shared memory in which what has finished survives the death of the process.

A record takes one slot, or several when it is long. Reserving is one call into C (``pop`` of the free slots), so a
signal handler or a finaliser that records in the middle of a record simply gets another slot; there is no lock.
A slot is taken from the moment it is reserved until its record is in the journal, and only then used again: the one
that came free last first, because the processor still has it at hand. Slots go by their place in the memory.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from .ring_layout import (
    COUNT,
    DESCRIBED,
    HEADER,
    MAGIC,
    PAGE_AT,
    PART,
    ROOM,
    SIZE,
    SLOT,
    SLOTS,
    SLOTS_AT,
    TEXT_AT,
    Progress,
    packed_page,
    packed_progress,
    records_in,
)
from .ring_places import SUFFIX, UNFINISHED


# A quarter of the ring; beyond it, a record's parts could not be counted either.
LARGEST: Final = 1_000_000

_FREE: Final = bytes(4)
# One call into C writes header and data; how, depends on the size of the data alone.
_WRITERS: Final = tuple((struct.Struct(f"{HEADER.format}{size}s").pack_into, COUNT + size) for size in range(ROOM + 1))


class Inside(NamedTuple):
    """What a record of one slot is written with: see ``Ring.put``."""

    memory: mmap.mmap
    take: Callable[[], int]
    checksum: Callable[[bytes], int]
    writers: tuple[tuple[Callable[..., None], int], ...]


def _never() -> int:
    raise IndexError


# Takes nothing: whoever writes by this finds that nothing fits.
NOWHERE: Final = Inside(mmap.mmap(-1, mmap.PAGESIZE), _never, zlib.adler32, ())


class Ring:
    """The writing end of a crash ring, owned by one process."""

    def __init__(
        self, path: Path, page: dict[str, str | int], *, is_shared_memory: bool = True, index: Path | None = None
    ) -> None:
        """Create the ring at *path*; *page* says whose it is. Raises OSError where there is no room.

        *index* is the folder in which a ring on the disk is noted, for whoever looks for rings.
        """
        self.path = path
        self.is_shared_memory = is_shared_memory
        self._noted = None if index is None else index / path.name
        told = packed_page(page)
        unfinished = path.with_name(path.name.removesuffix(SUFFIX) + UNFINISHED)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(unfinished, flags, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _reserve(self._descriptor)
            self._memory = mmap.mmap(self._descriptor, SIZE)
            self._memory[TEXT_AT : TEXT_AT + len(told)] = told
            self._memory[: len(MAGIC)] = MAGIC
            if self._noted is not None:
                self._noted.write_bytes(os.fsencode(os.path.relpath(path, self._noted.parent)))
            unfinished.rename(path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            os.close(self._descriptor)
            raise
        self._free: deque[int] = deque(range(SLOTS_AT, SLOTS_AT + SLOTS * SLOT, SLOT))
        # Called when the ring is full; returns a slot that came free in time, or -1.
        self.wait: Callable[[Ring], int] = lambda ring: -1
        self.put: Callable[[bytes], int | tuple[int, ...]] = self._made_put()
        """Copy a record in and return its slot(s) for ``free``; -1 when there is no room (nothing is copied)."""

    @property
    def inside(self) -> Inside:
        """What ``put`` uses, for who cannot pay for its call."""
        return Inside(self._memory, self._free.pop, zlib.adler32, _WRITERS)

    def _made_put(self) -> Callable[[bytes], int | tuple[int, ...]]:
        # A closure, because this runs for every record: what it uses is looked up once.
        memory, take, checksum, writers = self.inside

        def put(data: bytes) -> int | tuple[int, ...]:
            try:
                write, described = writers[len(data)]
            except IndexError:
                return self._put_parts(data)
            try:
                slot = take()
            except IndexError:
                slot = self.wait(self)
                if slot < 0:
                    return -1
            try:
                write(memory, slot, described, checksum(data), slot, data)
            except ValueError:  # closed meanwhile
                return -1
            return slot

        return put

    def _put_parts(self, data: bytes) -> int | tuple[int, ...]:
        if len(data) > LARGEST:
            return -1
        count = -(-len(data) // ROOM)
        slots: list[int] = []
        while len(slots) < count:
            slot = self.take()
            if slot < 0:
                slot = self.wait(self)
            if slot < 0:
                self._free.extend(slots)
                return -1
            slots.append(slot)
        checksum = zlib.adler32(data)
        for part, slot in enumerate(slots):
            piece = data[part * ROOM : (part + 1) * ROOM]
            write, _ = _WRITERS[len(piece)]
            write(self._memory, slot, count * COUNT + part * PART + len(piece), checksum, slots[0], piece)
        return tuple(slots)

    @property
    def has_room(self) -> bool:
        """Whether any slot is free: then what it does not take is too large for it."""
        return bool(self._free)

    def take(self) -> int:
        """Reserve a slot; -1 when none is free."""
        try:
            return self._free.pop()
        except IndexError:
            return -1

    def free(self, slots: int | tuple[int, ...]) -> None:
        """Give back the slots of a record that is in the journal."""
        for slot in slots if isinstance(slots, tuple) else (slots,):
            if slot >= 0:
                self._memory[slot : slot + len(_FREE)] = _FREE
                self._free.append(slot)

    def free_all(self, places: Iterable[int | tuple[int, ...]]) -> None:
        """Give back the slots of many records, as ``free`` does of each."""
        memory, give, clear = self._memory, self._free.append, DESCRIBED.pack_into
        for slots in places:
            if isinstance(slots, tuple):
                self.free(slots)
            elif slots >= 0:
                clear(memory, slots, 0)
                give(slots)

    def read(self, slots: Iterable[int]) -> list[bytes]:
        """Return the records in *slots*: each is of one slot, and not given back yet."""
        memory, described, start = self._memory, DESCRIBED.unpack_from, HEADER.size
        return [memory[slot + start : slot + start + described(memory, slot)[0] % PART] for slot in slots]

    def left(self) -> list[bytes]:
        """Return the records that are still in it: once all is written, those of calls that were torn off half-way."""
        return [] if len(self._free) == SLOTS else list(records_in(self._memory[:]))

    def note(self, progress: Progress) -> None:
        """Say how far the journal got, before the next records are written to it."""
        # A death in the middle of this copy leaves a checksum that does not fit: then all of the journal is read.
        self._memory[PAGE_AT:TEXT_AT] = packed_progress(progress)

    def close(self, *, remove: bool = True) -> None:
        """Let go of the ring; with *remove* it is gone, without it stays for recovery."""
        if remove:
            self.path.unlink(missing_ok=True)
            if self._noted is not None:
                self._noted.unlink(missing_ok=True)
        self._memory.close()
        os.close(self._descriptor)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's ring without touching it."""
        # Both hold the parent's lock open: as long as they live here, nobody could see the parent die.
        self._memory.close()
        os.close(self._descriptor)


def create_ring(folder: Path, page: dict[str, str | int], *, is_shared_memory: bool, index: Path | None = None) -> Ring:
    """Create a ring with a name of its own in *folder*. Raises OSError where there is no room."""
    name = f"{os.getpid()}-{time.time_ns():x}-{os.urandom(4).hex()}{SUFFIX}"
    return Ring(folder / name, page, is_shared_memory=is_shared_memory, index=index)


def _reserve(descriptor: int) -> None:
    """Reserve the ring's room, not just its size: writing to a page that a full tmpfs cannot back kills the process."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, SIZE)
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
                raise
        else:
            return
    # macOS and some file systems cannot be asked; what is written has its room.
    zeros = bytes(1 << 20)
    for _ in range(SIZE // len(zeros)):
        if os.write(descriptor, zeros) != len(zeros):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
