"""A rolling file: lines are appended, whole, by any number of threads and processes, and it is rotated when due."""

from __future__ import annotations

import errno
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from . import places
from .locks import FileLock
from .rotated import next_name
from .rotation import Rotation, Written
from .tidying import Care, Tidying, purge_one


# Where a file cannot be renamed, the next try is not with each line.
_TRY_AGAIN_SECONDS: Final = 1.0
_MOST_PURGED: Final = 1000


class RollingFile:
    """One file that is appended to, and what is rotated away from it.

    All who write to it hold the lock beside it while they do, look whether the file is still the one that they have
    open, and rotate before the line that would be too much. So no line goes to a file that was rotated away.
    """

    def __init__(
        self,
        path: Path,
        *,
        rotation: Rotation | None = None,
        care: Care | None = None,
        mode: int = places.FILE_MODE,
        say: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Append to *path*; nothing is opened before the first line, or ``open``. *say* is told what goes wrong."""
        self.path = path
        self.rotations = 0
        self.bytes_written = 0
        self.tidying = Tidying(path, care or Care(), say=say)
        self._rotation = rotation or Rotation()
        self._care = care or Care()
        self._mode = mode
        self._say = say
        self._clock = clock
        self._mutex = threading.RLock()
        self._is_busy = False
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))
        self._descriptor = -1
        self._identity = (0, 0)
        self._size = 0
        self._began = 0.0
        self._due_at = 0.0
        self._no_rotation_before = 0.0
        _rolling.add(self)

    def __repr__(self) -> str:
        return f"<RollingFile {self.path}>"

    # ── what others call ──────────────────────────────────────────────────────────────────────────

    def open(self) -> None:
        """Open the file now. Raises OSError."""
        with self._mutex:
            self._locked(self._look)
        self.tidying.ask()

    def append(self, lines: deque[bytes]) -> None:
        """Write *lines*, each of which leaves the queue for it; called in the middle of itself, leave that to itself.

        Raises:
            OSError: when the disk refuses; what is left in *lines* then is not in the file.
        """
        with self._mutex:
            if self._is_busy:
                # A signal handler that logs: the call that it interrupted goes on until the queue is empty.
                return
            self._is_busy = True
            try:
                while lines:
                    self._locked(lambda: self._append(lines))
            finally:
                self._is_busy = False

    def rotate(self) -> None:
        """Rotate now, unless the file is empty. Raises OSError."""
        with self._mutex:
            self._locked(self._rotate_now)

    def close(self) -> None:
        """Close the file, which stays as it is."""
        with self._mutex:
            self._give_up_file()
            self._lock.close()
        self.tidying.ask()

    def forget_threads(self) -> None:
        """Begin anew in a forked child: the locks are the parent's, and some thread of it may have had them."""
        self._mutex = threading.RLock()
        self._is_busy = False
        self._give_up_file()
        self._lock.forget()
        self.tidying.forget_threads()

    # ── under the lock ────────────────────────────────────────────────────────────────────────────

    def _locked(self, what: Callable[[], None]) -> None:
        self._lock.take()
        try:
            what()
        finally:
            self._lock.give_back()

    def _look(self) -> None:
        """Have that file open which is at the path now: another process may have rotated it, or anybody moved it."""
        if self._descriptor >= 0:
            try:
                found = os.lstat(self.path)
            except FileNotFoundError:
                found = None
            if found is not None and (found.st_dev, found.st_ino) == self._identity:
                self._size = found.st_size
                return
            self._give_up_file()
        self._descriptor, is_new = places.open_to_append(self.path, self._mode)
        status = os.fstat(self._descriptor)
        self._identity = (status.st_dev, status.st_ino)
        self._size = status.st_size
        self._began = self._clock() if is_new or not status.st_size else self._begun(status)
        if is_new or not status.st_size:
            self._note()
        self._due_at = self._rotation.due_at(self._began)

    def _give_up_file(self) -> None:
        # In this order: a child that is forked in between has one descriptor too many, and closes no other's.
        descriptor, self._descriptor = self._descriptor, -1
        places.close_quietly(descriptor)

    def _begun(self, status: os.stat_result) -> float:
        note = self._lock.note()
        if note.get("file") == [status.st_dev, status.st_ino] and isinstance(note.get("began"), int | float):
            return float(note["began"])
        # Somebody else's: that it was last written then is all there is to know.
        return status.st_mtime

    def _note(self, rotated: str | None = None) -> None:
        last = self._lock.note().get("rotated", "") if rotated is None else rotated
        self._lock.write_note({"file": list(self._identity), "began": self._began, "rotated": last})

    def _append(self, lines: deque[bytes]) -> None:
        self._look()
        batch = [lines.popleft() for _ in range(len(lines))]
        done = 0
        try:
            while done < len(batch):
                if self._size and self._is_due(batch[done], 0):
                    self._rotate()
                done = self._write_some(batch, done, self._fitting(batch, done))
        finally:
            lines.extendleft(reversed(batch[done:]))

    def _write_some(self, batch: list[bytes], start: int, end: int) -> int:
        """Write the lines of *batch* from *start* to *end*, or as many of them as the file takes; return where to."""
        while True:
            try:
                self._write(b"".join(batch[start:end]))
            except OSError as error:
                if error.errno != errno.EFBIG or end - start == 1:
                    raise
                # Too many for a file that may not grow; fewer fit into each of several.
                end = start + (end - start) // 2
            else:
                return end

    def _fitting(self, batch: list[bytes], start: int) -> int:
        """Return the end of those lines of *batch* that go to the file before it is due, the first of them anyhow."""
        rules = self._rotation
        if start + 1 == len(batch):
            # As whoever writes without a queue has it each time.
            return len(batch)
        if not rules.decisions:
            return self._fitting_bytes(batch, start)
        pending, end = len(batch[start]), start + 1
        while end < len(batch) and not self._is_due(batch[end], pending):
            pending += len(batch[end])
            end += 1
        return end

    def _fitting_bytes(self, batch: list[bytes], start: int) -> int:
        most = self._rotation.max_bytes
        # Nearly always there is room for all, and adding up is all that it takes to know.
        if most is None or self._size + sum(map(len, batch)) <= most or self._clock() < self._no_rotation_before:
            return len(batch)
        room, end = most - self._size - len(batch[start]), start + 1
        while end < len(batch) and len(batch[end]) <= room:
            room -= len(batch[end])
            end += 1
        return end

    def _is_due(self, line: bytes, pending: int) -> bool:
        """Whether to rotate before *line*, with so many bytes *pending* that go to the file before it."""
        size, now = self._size + pending, self._clock()
        if now < self._no_rotation_before:
            return False
        if now < self._began:
            self._begin_now(now)
        rules = self._rotation
        if (rules.max_bytes is not None and size + len(line) > rules.max_bytes) or now >= self._due_at:
            return True
        if not rules.decisions:
            return False
        text, file = line.decode(errors="replace"), Written(path=self.path, size=size, began=self._began)
        return any(self._asked(decide, text, file) for decide in rules.decisions)

    def _begin_now(self, now: float) -> None:
        """Count from *now* on: the clock was put back, and what it said of the file's beginning is of no use."""
        self._began = now
        self._due_at = self._rotation.due_at(now)
        self._note()

    def _asked(self, decide: Callable[[str, Written], object], text: str, file: Written) -> bool:
        try:
            return bool(decide(text, file))
        except Exception as error:  # a function of the user's
            self._say(f"what decides about the rotation of {self.path.name} failed: {type(error).__name__}: {error}")
            return False

    def _write(self, data: bytes) -> None:
        written = 0
        try:
            while written < len(data):
                # A short write does not say why. The next one does.
                written += os.write(self._descriptor, data[written:] if written else data)
        except OSError as error:
            self._take_back(written)
            if error.errno in (errno.ENOSPC, errno.EDQUOT) and self._make_room():
                self._write(data)
                return
            if error.errno == errno.EFBIG and self._size:
                # A file may not grow where the disk has room all the same: another one takes it.
                self._rotate()
                self._write(data)
                return
            raise
        self._size += written
        self.bytes_written += written

    def _take_back(self, written: int) -> None:
        """Cut a half-written line off, so that none is torn."""
        try:
            if written and os.fstat(self._descriptor).st_size == self._size + written:
                os.ftruncate(self._descriptor, self._size)
        except OSError:
            return

    def _make_room(self) -> bool:
        """Remove the oldest rotated file where the disk is to be kept from filling up; return whether there was one."""
        return self._care.retention.min_free is not None and purge_one(self.path) is not None

    # ── rotation ──────────────────────────────────────────────────────────────────────────────────

    def _rotate_now(self) -> None:
        self._look()
        if self._size:
            self._rotate()

    def _rotate(self) -> None:
        now = self._clock()
        tail = next_name(self.path, now, str(self._lock.note().get("rotated", "")))
        try:
            self.path.rename(self.path.with_name(f"{self.path.name}.{tail}"))
        except FileNotFoundError:
            # Somebody moved it just now: that was a rotation as well.
            pass
        except OSError as error:
            # Better a file that is too long than lines that are lost.
            self._no_rotation_before = now + _TRY_AGAIN_SECONDS
            self._say(f"could not rotate {self.path}: {error.strerror}; it grows on")
            return
        self._give_up_file()
        self.rotations += 1
        self._look()
        self._note(tail)
        self.tidying.ask()


# A forked child has its parent's files open, and its locks perhaps taken by a thread that the child does not have.
_rolling: Final[weakref.WeakSet[RollingFile]] = weakref.WeakSet()


def _begin_anew() -> None:
    for file in list(_rolling):
        file.forget_threads()


os.register_at_fork(after_in_child=_begin_anew)
