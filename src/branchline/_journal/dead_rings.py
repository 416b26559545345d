"""The crash rings of dead processes: their reading end, which one at a time may hold."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .ring_layout import MAGIC, SIZE, Progress, page_in, progress_in, records_in
from .ring_places import RECOVERING, SUFFIX


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
        return page_in(self._data) if len(self._data) == SIZE else None

    @property
    def is_blank(self) -> bool:
        """Whether nothing was ever in it: a disk that lost power may leave such a file."""
        return not any(self._data[: len(MAGIC)])

    @property
    def progress(self) -> Progress:
        """How far the journal got for certain; its beginning when that was lost."""
        return progress_in(self._data)

    def records(self) -> Iterator[bytes]:
        """Yield the whole records that the journal may lack, in no particular order."""
        return records_in(self._data)

    def close(self, *, remove: bool) -> None:
        """Let go of the ring; with *remove*, all it held is in the journal."""
        if remove:
            self.path.unlink(missing_ok=True)
        else:
            self.path.rename(self.path.with_suffix(SUFFIX))
        os.close(self._descriptor)


def _whole(descriptor: int) -> bytes:
    chunks = []
    while chunk := os.read(descriptor, 1 << 20):
        chunks.append(chunk)
    return b"".join(chunks)
