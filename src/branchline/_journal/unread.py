"""What a follower has not read yet: whole lines, from its place on, through every segment of every process."""

from __future__ import annotations

import gzip
import os
import time
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, Final, NamedTuple

from . import layout
from .cursors import Cursor, Key, Place
from .decode import LONGEST_LINE
from .layout import Segment, Signal
from .payloads import sound


_BUFFER: Final = 256 * 1024
_BLANK: Final = b"\0 \t\r\n"
_OVER: Final = frozenset({"ended", "recovered"})
# A line that is being written is whole within microseconds.
_TORN_AFTER_SECONDS: Final = 5.0


class Read(NamedTuple):
    """One line, or nothing but a step further in a file. Not a dataclass: there is one for every line."""

    process: str
    signal: Signal
    line: bytes
    """Empty where there is nothing to deliver."""
    segment: int
    offset: int
    """Where what follows begins."""
    is_damaged: bool = False


class Reader:
    """Reads one run, in passes; a pass takes what is there when it comes to a file, and never waits."""

    def __init__(self, run: Path, *, is_thorough: bool = False) -> None:
        """Read the *run*; a *thorough* reader parses every line, and so finds all damage."""
        self._run = run
        self._is_thorough = is_thorough
        self._settled: set[Key] = set()

    def look_again(self) -> None:
        """Let the next pass look at all processes, those that have ended as well."""
        self._settled.clear()

    def lines(self, signal: Signal, cursor: Cursor) -> Iterator[Read]:
        """Yield what is unread of *signal*, process by process; what cannot be read now is left for next time."""
        for folder in layout.processes(self._run):
            key = (folder.name, signal)
            if key in self._settled:
                continue
            is_over = _state(folder) in _OVER
            is_anything = False
            try:
                for read in self._process_lines(folder, signal, cursor.place(*key)):
                    is_anything = True
                    yield read
            except OSError:
                # The disk's trouble, or too many open files: nothing is passed over for it.
                continue
            if is_over and not is_anything:
                self._settled.add(key)

    def _process_lines(self, folder: Path, signal: Signal, place: Place) -> Iterator[Read]:
        # Listed before they are read: one that has a successor then is whole.
        listed = layout.segments(folder, signal)
        number, offset = place.position if _fits(place, listed) else (0, 0)
        for segment in listed:
            if segment.number < number:
                continue
            is_final = segment.is_sealed or segment is not listed[-1]
            yield from self._segment_lines(folder, segment, offset if segment.number == number else 0, is_final)
            if is_final:
                yield Read(folder.name, signal, b"", segment.number + 1, 0)

    def _segment_lines(self, folder: Path, segment: Segment, offset: int, is_final: bool) -> Iterator[Read]:
        name, signal, number = folder.name, segment.signal, segment.number
        try:
            with _opened(segment) as file:
                # What comes while we read is for the next pass: other processes wait for their turn.
                end = None if is_final else os.fstat(file.fileno()).st_size
                if offset and not _is_line_end(file, offset):
                    # The place is of another file: to deliver all of this one again is better than never.
                    offset = 0
                file.seek(offset)
                while (end is None or offset < end) and (line := file.readline(LONGEST_LINE)):
                    offset += len(line)
                    if line.endswith(b"\n"):
                        yield self._read(name, signal, line, number, offset)
                    elif len(line) == LONGEST_LINE:
                        offset += _rest_of_line(file)
                        yield Read(name, signal, b"", number, offset, is_damaged=True)
                    elif line.strip(_BLANK) and (is_final or _is_torn(folder, segment)):
                        yield Read(name, signal, b"", number + 1, 0, is_damaged=True)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            # Compressed, and damaged: what can be read of it was.
            yield Read(name, signal, b"", number + 1, 0, is_damaged=True)

    def _read(self, process: str, signal: Signal, line: bytes, segment: int, offset: int) -> Read:
        if not line.strip(_BLANK):
            return Read(process, signal, b"", segment, offset)
        fit = sound(signal, line, is_thorough=self._is_thorough)
        return Read(process, signal, fit or b"", segment, offset, is_damaged=fit is None)


def _fits(place: Place, listed: Sequence[Segment]) -> bool:
    """Whether the *place* can be one in these files: at most behind the last."""
    return not listed or place.segment <= listed[-1].number + 1


def _opened(segment: Segment) -> IO[bytes] | gzip.GzipFile:
    if not segment.is_sealed:
        try:
            return segment.path.open("rb", buffering=_BUFFER)
        except FileNotFoundError:
            # Sealed since we looked: the compressed file is there before the plain one goes.
            return gzip.open(segment.path.with_name(segment.path.name + ".gz"))
    return gzip.open(segment.path)


def _rest_of_line(file: IO[bytes] | gzip.GzipFile) -> int:
    """Read to the end of a line that is none, and return how much that was."""
    size = 0
    while piece := file.readline(LONGEST_LINE):
        size += len(piece)
        if piece.endswith(b"\n"):
            break
    return size


def _is_line_end(file: IO[bytes] | gzip.GzipFile, offset: int) -> bool:
    file.seek(offset - 1)
    return file.read(1) == b"\n"


def _state(folder: Path) -> object:
    return (layout.read_json(folder / "process.json") or {}).get("state")


def _is_torn(folder: Path, segment: Segment) -> bool:
    """Whether nobody will ever write the end of the last line."""
    state = _state(folder)
    if state != "ended":
        return state == "recovered"
    # Whoever records after the end of its process, on the way out, writes by itself.
    return time.time() - segment.path.stat().st_mtime > _TORN_AFTER_SECONDS


# ── how much there is ─────────────────────────────────────────────────────────────────────────────


def ends(run: Path, signals: Collection[Signal]) -> dict[Key, tuple[int, int]]:
    """Return, for each process and signal, the position behind the last line that is there now."""
    found: dict[Key, tuple[int, int]] = {}
    for folder in layout.processes(run):
        for segment in layout.segments(folder):
            if segment.signal in signals:
                # In order: the last one stays.
                found[folder.name, segment.signal] = _end(segment)
    return found


def unread_bytes(run: Path, cursor: Cursor, signals: Collection[Signal]) -> int:
    """Return how much of the *run* is behind the *cursor*, in bytes as they were written."""
    total = 0
    for folder in layout.processes(run):
        for segment in layout.segments(folder):
            number, offset = cursor.place(folder.name, segment.signal).position
            if segment.signal in signals and segment.number >= number:
                total += max(_size(segment) - (offset if segment.number == number else 0), 0)
    return total


def _end(segment: Segment) -> tuple[int, int]:
    if segment.is_sealed:
        return segment.number + 1, 0
    try:
        with segment.path.open("rb") as file:
            end = os.fstat(file.fileno()).st_size
            # What is behind the last line is being written, or torn.
            while end > 0:
                start = max(end - _BUFFER, 0)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
                if newline >= 0:
                    return segment.number, start + newline + 1
                end = start
    except OSError:
        # Sealed since we looked.
        return segment.number, 1
    return segment.number, 0


def _size(segment: Segment) -> int:
    try:
        if not segment.is_sealed:
            return segment.path.stat().st_size
        with segment.path.open("rb") as file:
            # The last four bytes of a gzip file; segments are far smaller than what these can say.
            file.seek(-4, os.SEEK_END)
            return int.from_bytes(file.read(4), "little")
    except OSError:
        return 0
