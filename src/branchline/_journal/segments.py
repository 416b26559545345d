"""Appending lines to a process's journal: torn tails repaired, files rotated by size, sealed ones compressed."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path
from typing import Any, Final

from .._files.compression import pack_beside
from .._files.places import remove, sync_folder
from . import layout
from .layout import Signal


ROTATE_BYTES: Final = 32 * 1024 * 1024
# It is done beside the application's own work: fast counts for more than small.
_LEVEL: Final = 3


class Appender:
    """The one writer of one signal's files in one process's folder."""

    def __init__(self, process: Path, signal: Signal, *, rotate_bytes: int = ROTATE_BYTES, sync: bool = False) -> None:
        """Append to *process*'s files of *signal*; *sync* forces each append to the disk."""
        self._process = process
        self._signal = signal
        self._rotate_bytes = rotate_bytes
        self._sync = sync
        self._descriptor = -1
        self._sealing: list[threading.Thread] = []
        self.segment = 0
        self.offset = 0

    def append(self, lines: bytes) -> None:
        """Write whole *lines* in one call. Raises OSError, and then nothing of them counts as written."""
        if self._descriptor >= 0 and self.offset and self.offset + len(lines) > self._rotate_bytes:
            self.rotate()
        elif self._descriptor >= 0 and os.fstat(self._descriptor).st_nlink == 0:
            # Somebody removed the folder: what would be written here, nobody could ever read.
            self._give_up_file()
        if self._descriptor < 0:
            self._open()
        try:
            self._write(lines)
        except OSError as error:
            # A file may not grow where the disk has room all the same (ulimit -f, FAT): another file takes them.
            is_file_full = error.errno == errno.EFBIG and self.offset > 0
            self._take_back()
            if not is_file_full:
                raise
            self.rotate()
            self.append(lines)
        else:
            self.offset += len(lines)

    def _write(self, lines: bytes) -> None:
        written = os.write(self._descriptor, lines)
        while written < len(lines):
            # A short write does not say why. The next one does.
            written += os.write(self._descriptor, lines[written:])
        if self._sync:
            os.fsync(self._descriptor)

    @property
    def path(self) -> Path:
        """The file that is being written."""
        return self._process / layout.segment_name(self._signal, self.segment)

    def rotate(self) -> None:
        """Seal the file that is being written; the next append starts another one."""
        if self._descriptor < 0:
            return
        sealed = self.path
        self._give_up_file()
        # Compressing 32 MiB takes a second, and the writer must not stand still for it.
        thread = threading.Thread(target=seal, args=(sealed,), name="branchline-seal", daemon=True)
        self._sealing = [other for other in self._sealing if other.is_alive()]
        try:
            thread.start()
        except RuntimeError:
            # The interpreter is ending, or there are too many threads: the plain file is as good.
            return
        self._sealing.append(thread)

    def finish_sealing(self, timeout: float) -> None:
        """Wait up to *timeout* seconds for what is being compressed."""
        deadline = time.monotonic() + timeout
        for thread in self._sealing:
            thread.join(max(deadline - time.monotonic(), 0))

    def close(self) -> None:
        """Stop writing; the file stays as it is."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        layout.private_directory(self._process)
        # Not only what is there: a sealed file's plain one is gone, and one of its name would take its place.
        taken = [segment.number for segment in layout.segments(self._process, self._signal)]
        number = max([self.segment, *(number + 1 for number in taken)])
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:
            self.segment = number
            self.offset = 0
            try:
                self._descriptor = os.open(self.path, flags, 0o600)
            except FileExistsError:
                number += 1
            else:
                break
        if self._sync:
            sync_folder(self._process)

    def _take_back(self) -> None:
        """Cut a half-written tail off; where even that fails, leave the file and start another."""
        try:
            os.ftruncate(self._descriptor, self.offset)
        except OSError:
            self._give_up_file()

    def _give_up_file(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1
        self.segment += 1
        self.offset = 0


def seal(path: Path) -> None:
    """Compress *path* and note its checksum. A death in the middle leaves the plain file in force."""
    try:
        packed = pack_beside(path, "gz", level=_LEVEL)
        # Noted once it is there, and the plain file goes last: as long as that exists, it is the one that counts.
        _note(packed.path, {"name": packed.path.name, "sha256": packed.sha256, "bytes": packed.packed_bytes})
        path.unlink()
    except OSError:
        # No room to compress, or no folder any more: the plain file stays, and is as good.
        return


def finish_seals(process: Path) -> None:
    """Bring to an end what a dead *process* was sealing when it died."""
    # Of what was compressed, and of the notes about it.
    for path in process.glob(".*.tmp"):
        remove(path)
    for plain in process.glob("*.jsonl"):
        if plain.with_name(plain.name + ".gz").exists():
            seal(plain)


class _Notes:
    """Who may write a ``segments.json``: two signals of one process may be sealed at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def reset(self) -> None:
        self.lock = threading.Lock()


_notes = _Notes()
# A thread that seals may hold the lock at the moment of a fork; the child has its own files.
os.register_at_fork(after_in_child=_notes.reset)


def _note(packed: Path, entry: dict[str, Any]) -> None:
    notes = packed.with_name("segments.json")
    with _notes.lock:
        known = layout.read_json(notes) or {"version": layout.VERSION, "sealed": []}
        others = [sealed for sealed in known["sealed"] if sealed["name"] != packed.name]
        layout.replace_json(notes, {"version": layout.VERSION, "sealed": [*others, entry]})
