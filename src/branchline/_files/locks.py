"""Locks between processes: hidden files beside the one they protect, each with a small note that its holder may read.

The kernel gives a lock back when its holder dies, so none is ever stale.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from pathlib import Path
from typing import Any, Final

from .places import close_quietly, open_to_lock, private_folder


# A file system that has no locks, or a folder in which nobody may make a file: writing goes on without.
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EPERM, errno.EROFS})
_MOST_OF_A_NOTE: Final = 4096


class FileLock:
    """A lock that one holder has at a time, in all processes; two of these in one process exclude each other too."""

    def __init__(self, path: Path) -> None:
        """Lock by the file *path*, which is made when it is first needed."""
        self.path = path
        self._descriptor = -1

    def take(self, *, is_waiting: bool = True) -> bool:
        """Take the lock; return False for one that somebody else has, unless *is_waiting* for it."""
        operation = fcntl.LOCK_EX if is_waiting else fcntl.LOCK_EX | fcntl.LOCK_NB
        while True:
            try:
                if self._descriptor < 0:
                    self._open()
                fcntl.flock(self._descriptor, operation)
                if os.fstat(self._descriptor).st_nlink:
                    return True
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                return True
            # Somebody removed the file: what is locked by it, the next one cannot know.
            self.close()

    def give_back(self) -> None:
        """Let the next one have it."""
        if self._descriptor < 0:
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        except OSError as error:
            # Who has none to give back was let in without.
            if error.errno not in _NO_LOCKS:
                raise

    def close(self) -> None:
        """Give it back, and close the file. A child that was forked meanwhile would keep it, were it only closed."""
        self.give_back()
        self.forget()

    def forget(self) -> None:
        """Close the file in a forked child: it is the parent who has the lock, and gives it back."""
        descriptor, self._descriptor = self._descriptor, -1
        close_quietly(descriptor)

    # ── what its holders tell each other ──────────────────────────────────────────────────────────

    def note(self) -> dict[str, Any]:
        """Return what the last holder noted."""
        try:
            found = json.loads(os.pread(self._descriptor, _MOST_OF_A_NOTE, 0)) if self._descriptor >= 0 else None
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def write_note(self, note: dict[str, Any]) -> None:
        """Note something for the next holder; where that cannot be, it finds nothing."""
        if self._descriptor < 0:
            return
        data = json.dumps(note).encode()
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, data, 0)
        except OSError:
            return

    def _open(self) -> None:
        try:
            self._descriptor = open_to_lock(self.path)
        except FileNotFoundError:
            private_folder(self.path.parent)
            self._descriptor = open_to_lock(self.path)
