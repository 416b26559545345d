"""Loading what is loaded late: by one thread at a time, and never in the middle of a fork.

A forked child waits for ever for a module that a thread was importing which the child does not have.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final


# A module takes a fraction of it to load; whoever forks does not wait longer for a thread that hangs.
_PATIENCE_SECONDS: Final = 5.0


class _Loading:
    def __init__(self) -> None:
        # Re-entrant: a signal handler may load, or fork, in the middle of this.
        self.lock = threading.RLock()
        self._holding: set[int] = set()

    def hold(self) -> None:
        if self.lock.acquire(timeout=_PATIENCE_SECONDS):
            self._holding.add(threading.get_ident())

    def let_go(self) -> None:
        if threading.get_ident() in self._holding:
            self._holding.discard(threading.get_ident())
            self.lock.release()

    def begin_anew(self) -> None:
        self.let_go()
        self._holding.clear()
        self.lock = threading.RLock()


_loading = _Loading()
os.register_at_fork(before=_loading.hold, after_in_parent=_loading.let_go, after_in_child=_loading.begin_anew)


@contextmanager
def loading() -> Iterator[None]:
    """Import inside of this block: no other thread forks meanwhile."""
    with _loading.lock:
        yield
