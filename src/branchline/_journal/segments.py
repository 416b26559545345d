"""Appending lines to a process's journal: torn tails repaired, files rotated by size, sealed ones compressed."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import threading
from pathlib import Path
from typing import Final

from . import layout
from .layout import Signal


ROTATE_BYTES: Final = 32 * 1024 * 1024


class Appender:
    """The one writer of one signal's files in one process's folder."""

    def __init__(self, process: Path, signal: Signal, *, rotate_bytes: int = ROTATE_BYTES, sync: bool = False) -> None:
        """Append to *process*'s files of *signal*; *sync* forces each append to the disk."""
        self._process = process
        self._signal = signal
        self._rotate_bytes = rotate_bytes
        self._sync = sync
        self._descriptor = -1
        self.segment = 0
        self.offset = 0

    def append(self, lines: bytes) -> None:
        """Write whole *lines* in one call. Raises OSError, and then nothing of them counts as written."""
        if self._descriptor < 0:
            self._open()
        elif self.offset and self.offset + len(lines) > self._rotate_bytes:
            self.rotate()
            self._open()
        written = os.write(self._descriptor, lines)
        if written != len(lines):
            self._take_back()
            msg = f"{written:,} of {len(lines):,} bytes were written to {self.path}: the disk is full"
            raise OSError(msg)
        if self._sync:
            os.fsync(self._descriptor)
        self.offset += written

    @property
    def path(self) -> Path:
        """The file that is being written."""
        return self._process / layout.segment_name(self._signal, self.segment)

    def rotate(self) -> None:
        """Seal the file that is being written; the next append starts another one."""
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        sealed = self.path
        self.segment += 1
        self.offset = 0
        # Compressing 32 MiB takes a second, and the writer must not stand still for it.
        threading.Thread(target=seal, args=(sealed,), name="branchline-seal", daemon=True).start()

    def close(self) -> None:
        """Stop writing; the file stays as it is."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        layout.private_directory(self._process)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:
            try:
                self._descriptor = os.open(self.path, flags, 0o600)
            except FileExistsError:
                self.segment += 1
            else:
                self.offset = 0
                return

    def _take_back(self) -> None:
        """Cut a half-written tail off; where even that fails, leave the file and start another."""
        try:
            os.ftruncate(self._descriptor, self.offset)
        except OSError:
            os.close(self._descriptor)
            self._descriptor = -1
            self.segment += 1
            self.offset = 0


def seal(path: Path) -> None:
    """Compress *path* and note its checksum. A death in the middle leaves the plain file in force."""
    packed = path.with_name(path.name + ".gz")
    temporary = path.with_name(f".{packed.name}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with path.open("rb") as plain, os.fdopen(descriptor, "wb") as raw:
            with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=3, mtime=0) as file:
                shutil.copyfileobj(plain, file, 1 << 20)
            raw.flush()
            os.fsync(raw.fileno())
        _note(temporary, packed)
        temporary.replace(packed)
        path.unlink()
    except OSError:
        # No room to compress: the plain file stays, and is as good.
        temporary.unlink(missing_ok=True)


_notes_lock = threading.Lock()


def _note(temporary: Path, packed: Path) -> None:
    content = temporary.read_bytes()
    entry = {"name": packed.name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    notes = packed.with_name("segments.json")
    with _notes_lock:
        known = layout.read_json(notes) or {"version": layout.VERSION, "sealed": []}
        others = [sealed for sealed in known["sealed"] if sealed["name"] != packed.name]
        layout.replace_json(notes, {"version": layout.VERSION, "sealed": [*others, entry]})
