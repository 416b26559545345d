"""A backlog: lines on the disk that somebody is still to get, bounded, which the next process finds as well.

Each process writes files of its own and holds a lock on them; whose owner is dead, the next one takes over.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import places


SUFFIX: Final = ".lines"
MOST_BYTES: Final = 64 * 1024 * 1024

_SEGMENT_BYTES: Final = 1024 * 1024
_PLACE: Final = ".at"
_BLOCK: Final = 64 * 1024


@dataclass(kw_only=True)
class Segment:
    """One file of a backlog that this process has the lock of."""

    path: Path
    descriptor: int
    size: int
    at: int = 0
    """How much of it was delivered."""
    is_own: bool = True
    """Whether this process has written it."""


@dataclass(frozen=True, kw_only=True)
class Portion:
    """The next lines to be delivered, and where they end."""

    lines: list[bytes]
    segment: Segment
    end: int


class Backlog:
    """The lines for one destination, oldest first."""

    def __init__(
        self, folder: Path, *, max_bytes: int = MOST_BYTES, dropped: Callable[[int], None] = lambda count: None
    ) -> None:
        """Keep them in *folder*; *dropped* is told how many of the oldest had to go for others."""
        self.folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = min(_SEGMENT_BYTES, max_bytes // 4)
        self._dropped = dropped
        self._mutex = threading.RLock()
        self._segments: list[Segment] = []
        self._number = 0
        self._writing: Segment | None = None
        self._in_flight: Segment | None = None

    def forget_threads(self) -> None:
        """Begin anew in a forked child: all of it is the parent's."""
        self._mutex = threading.RLock()
        for segment in self._segments:
            places.close_quietly(segment.descriptor)
        self._segments = []
        self._writing = self._in_flight = None

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything, of whichever process."""
        return bool(self._paths())

    @property
    def own_lines(self) -> int:
        """How many lines of this process are there."""
        with self._mutex:
            return sum(_count(segment.path, segment.at) for segment in self._segments if segment.is_own)

    # ── in ────────────────────────────────────────────────────────────────────────────────────────

    def append(self, lines: Sequence[bytes]) -> None:
        """Add *lines*, none of which has a newline in it. Raises OSError, and then none of them is there."""
        data = b"".join(line + b"\n" for line in lines)
        with self._mutex:
            writing = self._writing
            if writing is None or (writing.size and writing.size + len(data) > self._segment_bytes):
                self._bound(max(len(data), self._segment_bytes))
                writing = self._begin()
            written = 0
            try:
                while written < len(data):
                    written += os.write(writing.descriptor, data[written:])
            except OSError:
                os.ftruncate(writing.descriptor, writing.size)
                raise
            writing.size += written

    def _begin(self) -> Segment:
        places.private_folder(self.folder)
        path = self.folder / f"{time.time_ns():020d}-{os.getpid()}-{self._number}{SUFFIX}"
        self._number += 1
        # Nobody may find it before it is locked: who finds an empty one that nobody has, removes it.
        hidden = path.with_name(f".{path.name}.tmp")
        descriptor, _ = places.open_to_append(hidden)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(path)
        self._writing = Segment(path=path, descriptor=descriptor, size=0)
        self._segments.append(self._writing)
        return self._writing

    def _bound(self, coming: int) -> None:
        """Make room for what is coming: the oldest goes."""
        there = [(path, _size(path)) for path in self._paths()]
        over = sum(size for _, size in there) + coming - self._max_bytes
        for path, size in there:
            if over <= 0:
                return
            segment = self._held(path)
            # What is being delivered just now is counted as that.
            if segment is not None and segment is not self._in_flight:
                self._dropped(_count(path, segment.at))
                self._finish(segment)
                over -= size

    # ── out ───────────────────────────────────────────────────────────────────────────────────────

    def next(self, most_lines: int, most_bytes: int) -> Portion | None:
        """Return the oldest lines that are to be delivered, or None if there are none that another process has not."""
        with self._mutex:
            for path in self._paths():
                segment = self._held(path)
                if segment is None:
                    continue
                portion = _portion(segment, most_lines, most_bytes)
                if portion is not None:
                    self._in_flight = segment
                    return portion
                if segment is not self._writing:
                    self._finish(segment)
            return None

    def done(self, portion: Portion) -> None:
        """Forget the lines of *portion*, which have been delivered."""
        with self._mutex:
            segment = portion.segment
            segment.at = portion.end
            self._in_flight = None
            if segment.at >= segment.size and segment in self._segments:
                # Whoever writes next begins another one.
                self._finish(segment)
                return
            try:
                place = os.open(_place(segment.path), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                try:
                    os.pwrite(place, b"%020d" % segment.at, 0)
                finally:
                    os.close(place)
            except OSError:
                # Then they are delivered once more: better than not at all.
                return

    def close(self) -> None:
        """Leave what is there to the next process."""
        with self._mutex:
            for segment in self._segments:
                if segment.at >= segment.size:
                    _remove(segment)
                places.close_quietly(segment.descriptor)
            self._segments = []
            self._writing = None

    def _paths(self) -> list[Path]:
        try:
            return [self.folder / name for name in sorted(os.listdir(self.folder)) if name.endswith(SUFFIX)]  # noqa: PTH208 - only the names, of which there may be many
        except OSError:
            return []

    def _held(self, path: Path) -> Segment | None:
        """Return the segment at *path* if it is ours, or nobody's any more; None for one that somebody else has."""
        for segment in self._segments:
            if segment.path == path:
                return segment
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(descriptor)
        except OSError:
            os.close(descriptor)
            return None
        if not status.st_nlink:
            os.close(descriptor)
            return None
        found = Segment(path=path, descriptor=descriptor, size=status.st_size, at=_read_place(path), is_own=False)
        self._segments.append(found)
        return found

    def _finish(self, segment: Segment) -> None:
        _remove(segment)
        places.close_quietly(segment.descriptor)
        self._segments = [other for other in self._segments if other is not segment]
        if self._writing is segment:
            self._writing = None


def _portion(segment: Segment, most_lines: int, most_bytes: int) -> Portion | None:
    lines: list[bytes] = []
    end = segment.at
    with segment.path.open("rb") as file:
        file.seek(segment.at)
        for line in file:
            if lines and (len(lines) >= most_lines or end - segment.at + len(line) > most_bytes):
                break
            end += len(line)
            # The last one of a process that died may be cut off.
            if line.endswith(b"\n"):
                lines.append(line[:-1])
    return Portion(lines=lines, segment=segment, end=end) if lines else None


def _place(path: Path) -> Path:
    return path.with_suffix(_PLACE)


def _read_place(path: Path) -> int:
    try:
        return int(_place(path).read_text())
    except (OSError, ValueError):
        return 0


def _remove(segment: Segment) -> None:
    places.remove(segment.path)
    places.remove(_place(segment.path))


def _size(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _count(path: Path, at: int) -> int:
    """Return how many lines there are in the file at *path* from a place on."""
    found = 0
    try:
        with path.open("rb") as file:
            file.seek(at)
            while block := file.read(_BLOCK):
                found += block.count(b"\n")
    except OSError:
        return found
    return found
