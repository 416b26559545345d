"""What a process has more than at one moment: threads and open files. Those that were there before are other tests'."""

from __future__ import annotations

import sys
import threading
from pathlib import Path


class Surplus:
    """Threads and open files that were not there when this was made; what has gone since is nobody's business."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._files = _open_files()

    def threads(self, *named: str) -> list[str]:
        """Return the names of the new threads, of all or of those that are called so."""
        new = set(threading.enumerate()) - self._threads
        return sorted(thread.name for thread in new if not named or thread.name in named)

    def files(self) -> list[str]:
        """Return what the new descriptors lead to."""
        return sorted(target for _, target in _open_files() - self._files)


def _open_files() -> set[tuple[str, str]]:
    if sys.platform != "linux":
        return set()
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.add((descriptor.name, str(descriptor.readlink())))
        except OSError:  # the one that lists them, and what others have closed meanwhile
            continue
    return found
