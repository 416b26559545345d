"""Threads that run branches behind somebody's back: whoever ends waits for them."""

from __future__ import annotations

import threading
import time


_threads: set[threading.Thread] = set()


def keep(thread: threading.Thread) -> None:
    """Have whoever ends wait for *thread*."""
    _threads.add(thread)


def leave(thread: threading.Thread) -> None:
    """Wait for *thread* no more: it is done."""
    _threads.discard(thread)


def drain(timeout: float | None = None) -> None:
    """Wait until all of them are done, at most *timeout* seconds if that is said."""
    deadline = None if timeout is None else time.monotonic() + timeout
    for thread in list(_threads):
        if thread is not threading.current_thread():
            thread.join(None if deadline is None else max(deadline - time.monotonic(), 0))
