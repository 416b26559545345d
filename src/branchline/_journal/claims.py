"""Claims: of all that could deliver a run for one follower, one does."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path
from typing import Final

from . import layout


LOCK_NAME: Final = "lock"


class _Held:
    """The locks that this process holds, so that a forked child lets go of what it inherits."""

    def __init__(self) -> None:
        self.descriptors: set[int] = set()
        # Held while a file is opened: a fork in between would leave the child with a lock that nobody knows of.
        # Reentrant, for a signal handler may fork in the middle of it.
        self.opening = threading.RLock()

    def before_fork(self) -> None:
        self.opening.acquire()

    def after_fork(self) -> None:
        self.opening.release()

    def in_child(self) -> None:
        # Closed, not unlocked: the lock belongs to the file that both have open, and the parent keeps it.
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = set()
        self.opening = threading.RLock()


_held = _Held()
os.register_at_fork(before=_held.before_fork, after_in_parent=_held.after_fork, after_in_child=_held.in_child)


class Claim:
    """The right to deliver one run for one follower, until it is given up or the process ends."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Made by ``claimed``."""
        self._path = path
        self._descriptor = descriptor

    @property
    def is_good(self) -> bool:
        """Whether it still counts: where the folder was removed, somebody else may have locked a new file."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))  # noqa: PTH116 - as the line says
        except OSError:
            return False

    def give_up(self) -> None:
        """Let somebody else have it."""
        with _held.opening:
            if self._descriptor in _held.descriptors:
                _held.descriptors.discard(self._descriptor)
                os.close(self._descriptor)
        self._descriptor = -1

    def __repr__(self) -> str:
        return f"<Claim on {self._path.parent}>"


def claimed(folder: Path, name: str = LOCK_NAME) -> Claim | None:
    """Return the claim on a follower's *folder* of one run, or None while somebody else has it. Raises OSError.

    By another *name* it is a claim on something else in a folder.
    """
    layout.private_directory(folder)
    path = folder / name
    with _held.opening:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        _held.descriptors.add(descriptor)
    claim = Claim(path, descriptor)
    if claim.is_good:
        return claim
    # Removed between our open and our lock: the next try makes a new one.
    claim.give_up()
    return None
