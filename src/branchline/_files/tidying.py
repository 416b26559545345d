"""Tidying: what rotated files get once nobody writes to them any more, in a thread of its own that ends when done."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from .archive import Archiving
from .compression import Compression, pack
from .encryption import ENCRYPTED, Key, encrypt
from .locks import FileLock
from .places import remove
from .retention import Retention, expired
from .rotated import SUFFIXES, Rotated, beside, rotated_files


@dataclass(frozen=True, kw_only=True)
class Care:
    """What becomes of rotated files."""

    compression: Compression | None = None
    encryption: Key | None = None
    retention: Retention = field(default_factory=Retention)
    archiving: Archiving | None = None

    @property
    def is_none(self) -> bool:
        """Whether they stay as they are."""
        return self == Care()


@dataclass(kw_only=True)
class Tally:
    """What was done so far, in numbers."""

    plain_bytes: int = 0
    """Before they were compressed."""
    packed_bytes: int = 0
    """And after."""
    removed: int = 0
    archived: int = 0
    failed: int = 0


class Tidying:
    """Tidies up what was rotated away from one file, whenever it is asked to."""

    def __init__(self, path: Path, care: Care, *, say: Callable[[str], None]) -> None:
        """Look after what is rotated away from *path*; *say* is told what goes wrong."""
        self.tally = Tally()
        self._path = path
        self._care = care
        self._say = say
        self.forget_threads()

    def forget_threads(self) -> None:
        """Begin anew in a forked child, in which no thread of the parent runs."""
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_asked = False

    def ask(self) -> None:
        """Have it done soon."""
        if self._care.is_none:
            return
        with self._mutex:
            self._is_asked = True
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="branchline-tidy", daemon=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError:
                # The interpreter is ending, or there are too many threads: whoever opens the file next does it.
                self._thread = None

    def wait(self, timeout: float | None) -> bool:
        """Wait until it is done; return whether it is."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._mutex:
                if not self._is_asked:
                    self._thread = None
                    return
                self._is_asked = False
            try:
                tidy(self._path, self._care, self.tally)
            except Exception as error:  # a disk that refuses, or a function of the user's
                self.tally.failed += 1
                self._say(f"could not tidy up after {self._path.name}: {type(error).__name__}: {error}")


def tidy(path: Path, care: Care, tally: Tally, *, now: float | None = None) -> None:
    """Compress, archive and remove what was rotated away from *path*, as *care* says; one process at a time.

    What an earlier one left half done when it died is done first: all of it is seen from the names of the files.
    """
    moment = time.time() if now is None else now
    if not path.parent.is_dir():
        return
    with alone_with(path):
        there = beside(path)
        for left in there.unfinished:
            remove(left)
        files = there.rotated
        if care.compression is not None:
            files = _compressed(files, care.compression, tally)
        if care.encryption is not None:
            files = _encrypted(files, care.encryption)
        try:
            if care.archiving is not None:
                moved = care.archiving.move(files, now=moment, key=care.encryption)
                tally.archived += moved
        finally:
            # Also where the archive is away: the disk here has its bounds.
            files = [file for file in files if care.archiving is None or os.path.lexists(file.path)]
            tally.removed += _enforce(path, files, care.retention, moment)


@contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """Be the only one, in all processes, who does something to what was rotated away from *path*."""
    lock = FileLock(path.with_name(f".{path.name}.tidy.lock"))
    lock.take()
    try:
        yield
    finally:
        lock.close()


def _compressed(files: list[Rotated], kind: Compression, tally: Tally) -> list[Rotated]:
    """Compress those of *files* that are plain; return what there is then."""
    kept: list[Rotated] = []
    for file in files:
        if file.suffix:
            kept.append(file)
            continue
        try:
            packed = pack(file.path, kind)
        except FileNotFoundError:
            # Somebody took it away.
            continue
        tally.plain_bytes += packed.plain_bytes
        tally.packed_bytes += packed.packed_bytes
        kept.append(replace(file, path=packed.path, suffix=SUFFIXES[kind], size=packed.packed_bytes))
    return kept


def _encrypted(files: list[Rotated], key: Key) -> list[Rotated]:
    """Encrypt those of *files* that are not; return what there is then."""
    kept: list[Rotated] = []
    for file in files:
        if file.suffix.endswith(ENCRYPTED):
            kept.append(file)
            continue
        try:
            path = encrypt(file.path, key)
        except FileNotFoundError:
            # Somebody took it away.
            continue
        kept.append(replace(file, path=path, suffix=file.suffix + ENCRYPTED, size=path.stat().st_size))
    return kept


def _enforce(path: Path, files: list[Rotated], keep: Retention, now: float) -> int:
    if keep.decide is not None:
        keep.decide([file.path for file in files])
        # A function of the user's may do anything with them.
        files = rotated_files(path)
    gone = expired(files, keep, now=now, active_bytes=_size(path), free_bytes=free_bytes(path))
    return sum(remove(file.path) for file in gone)


def purge_one(path: Path) -> Rotated | None:
    """Remove the oldest file that was rotated away from *path*; return which, or None for none."""
    return next((file for file in rotated_files(path) if remove(file.path)), None)


def free_bytes(path: Path) -> int | None:
    """Return how much room is left on the disk of *path*."""
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return None


def _size(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0
