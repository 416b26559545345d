"""The crash ring: shared memory in which what has finished survives the death of the process.

A record takes one slot, or several when it is long. Reserving is one call into C (``pop`` of the free slots), so a
signal handler or a finaliser that records in the middle of a record simply gets another slot; there is no lock.
A slot is taken from the moment it is reserved until its record is in the journal, and only then used again: the one
that came free last first, because the processor still has it at hand. Slots go by their place in the memory.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import mmap
import os
import stat
import struct
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from ..errors import JournalError


# Another one with every change of what a record looks like: who does not know it leaves the ring alone.
MAGIC: Final = b"branchline-ring6"
SUFFIX: Final = ".ring"
# While it is being made it has another name: whoever looks for rings finds only whole ones.
UNFINISHED: Final = ".ring.new"
UNFINISHED_SECONDS: Final = 60.0
# While somebody recovers it, it has a third: who comes second knows that it is worth waiting.
RECOVERING: Final = ".recovering"
SIZE: Final = 4 * 1024 * 1024
SLOT: Final = 512
PAGE_AT: Final = 64
SLOTS_AT: Final = 8192
SLOTS: Final = (SIZE - SLOTS_AT) // SLOT
# A quarter of the ring; beyond it, a record's parts could not be counted either.
LARGEST: Final = 1_000_000

# size of this part, its number and how many there are: 0 in a free slot; checksum of the whole record; the first
# part's slot. What a death interrupted in the middle of copying has another checksum: Adler's, not CRC, which takes
# twice the time, and a kill is no noisy line.
_HEADER: Final = struct.Struct("<III")
_DESCRIBED: Final = struct.Struct("<I")
_ROOM: Final = SLOT - _HEADER.size
_PART: Final = 1 << 10
_COUNT: Final = 1 << 21
_PROGRESS: Final = struct.Struct("<QQQQQQQI")
_LENGTH: Final = struct.Struct("<I")

_FREE: Final = bytes(4)
# One call into C writes header and data; how, depends on the size of the data alone.
_WRITERS: Final = tuple(
    (struct.Struct(f"{_HEADER.format}{size}s").pack_into, _COUNT + size) for size in range(_ROOM + 1)
)


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
        text = orjson.dumps(page)
        if len(text) > SLOTS_AT - PAGE_AT - _LENGTH.size - _PROGRESS.size:
            msg = f"the ring's first page has no room for {len(text)} bytes of identity"
            raise JournalError(msg)
        unfinished = path.with_name(path.name.removesuffix(SUFFIX) + UNFINISHED)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(unfinished, flags, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _reserve(self._descriptor)
            self._memory = mmap.mmap(self._descriptor, SIZE)
            start = PAGE_AT + _PROGRESS.size
            self._memory[start : start + _LENGTH.size + len(text)] = _LENGTH.pack(len(text)) + text
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
        count = -(-len(data) // _ROOM)
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
            piece = data[part * _ROOM : (part + 1) * _ROOM]
            write, _ = _WRITERS[len(piece)]
            write(self._memory, slot, count * _COUNT + part * _PART + len(piece), checksum, slots[0], piece)
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
        memory, give, clear = self._memory, self._free.append, _DESCRIBED.pack_into
        for slots in places:
            if isinstance(slots, tuple):
                self.free(slots)
            elif slots >= 0:
                clear(memory, slots, 0)
                give(slots)

    def read(self, slots: Iterable[int]) -> list[bytes]:
        """Return the records in *slots*: each is of one slot, and not given back yet."""
        memory, described, start = self._memory, _DESCRIBED.unpack_from, _HEADER.size
        return [memory[slot + start : slot + start + described(memory, slot)[0] % _PART] for slot in slots]

    def left(self) -> list[bytes]:
        """Return the records that are still in it: once all is written, those of calls that were torn off half-way."""
        return [] if len(self._free) == SLOTS else list(_records_in(self._memory[:]))

    def note(self, progress: Progress) -> None:
        """Say how far the journal got, before the next records are written to it."""
        fields = dataclasses.astuple(progress)
        # A death in the middle of this copy leaves a checksum that does not fit: then all of the journal is read.
        self._memory[PAGE_AT : PAGE_AT + _PROGRESS.size] = _PROGRESS.pack(*fields, zlib.crc32(repr(fields).encode()))

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
            # Before it is read: who comes in those milliseconds is to see that it is worth waiting. It fails where its
            # recoverer removed it between our open and our lock, and on a read-only disk.
            recovering = path.rename(path.with_suffix(RECOVERING))
            return cls(descriptor, recovering, _whole(descriptor))
        except OSError:
            os.close(descriptor)
            return None

    @property
    def page(self) -> dict[str, Any] | None:
        """Whose ring it was; None for one of another version, or a damaged one."""
        return self.page_in(self._data) if len(self._data) == SIZE else None

    @property
    def is_blank(self) -> bool:
        """Whether nothing was ever in it: a disk that lost power may leave such a file."""
        return not any(self._data[: len(MAGIC)])

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
        """Yield the whole records that the journal may lack, in no particular order."""
        return _records_in(self._data)

    def close(self, *, remove: bool) -> None:
        """Let go of the ring; with *remove*, all it held is in the journal."""
        if remove:
            self.path.unlink(missing_ok=True)
        else:
            self.path.rename(self.path.with_suffix(SUFFIX))
        os.close(self._descriptor)


def _records_in(data: bytes) -> Iterator[bytes]:
    parts: dict[tuple[int, int, int], dict[int, bytes]] = {}
    for at in range(SLOTS_AT, SLOTS_AT + SLOTS * SLOT, SLOT):
        described, checksum, first = _HEADER.unpack_from(data, at)
        size, part, count = described % _PART, described % _COUNT // _PART, described // _COUNT
        if count and size <= _ROOM:
            parts.setdefault((first, count, checksum), {})[part] = data[at + _HEADER.size : at + _HEADER.size + size]
    for (_, count, checksum), pieces in parts.items():
        record = b"".join(pieces[part] for part in sorted(pieces))
        if len(pieces) == count and zlib.adler32(record) == checksum:
            yield record


def _whole(descriptor: int) -> bytes:
    chunks = []
    while chunk := os.read(descriptor, 1 << 20):
        chunks.append(chunk)
    return b"".join(chunks)


def rings(folder: Path | None) -> list[Path]:
    """Return the rings in *folder*, dead or alive, and those that somebody recovers."""
    try:
        entries = [] if folder is None else list(os.scandir(folder))
    except OSError:
        return []
    return [Path(entry.path) for entry in sorted(entries, key=lambda entry: entry.name) if _is_ring(entry.name)]


def noted_rings(index: Path) -> list[Path]:
    """Return the rings on the disk that are noted in *index*; notes of those that are gone are removed."""
    found: list[Path] = []
    for note in rings(index):
        try:
            path = Path(os.path.normpath(index / os.fsdecode(note.read_bytes())))
            if path.exists() or path.with_suffix(RECOVERING).exists():
                found.append(path)
            elif time.time() - note.stat().st_mtime > UNFINISHED_SECONDS:
                # Not before: it is noted first, and made then.
                note.unlink()
        except (OSError, ValueError):
            continue
    return found


def _is_ring(name: str) -> bool:
    return name.endswith((SUFFIX, RECOVERING))


def remove_unfinished(folder: Path) -> None:
    """Remove what processes left in *folder* that died while they made their ring."""
    for path in folder.glob(f"*{UNFINISHED}"):
        try:
            if time.time() - path.stat().st_mtime < UNFINISHED_SECONDS:
                continue
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except OSError:
            # It is being made after all.
            continue
        finally:
            os.close(descriptor)
