"""Strands: calls that have to wait for others, made in a few threads of their own; those about one thing in order."""

from __future__ import annotations

import atexit
import contextvars
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, TypeVar

from opentelemetry.context import Context

from ..context import attached
from ..log_api import PLAIN_SUPPRESSION, SUPPRESSION


Made = TypeVar("Made")

# A thread that has had nothing to do for so long ends.
_IDLE_SECONDS: Final = 5.0
# What an exit may cost for what was asked and not yet done.
_EXIT_SECONDS: Final = 2.0


class FullError(Exception):
    """So many calls wait that one more is not taken."""


class Strands:
    """Makes calls in at most *threads* threads, and takes at most *most_waiting* before they are made.

    Calls with the same key are made one after the other, in the order in which they came.
    """

    def __init__(self, *, threads: int, most_waiting: int = 10_000) -> None:
        self._most_threads = threads
        self._most_waiting = most_waiting
        self._begin()
        atexit.register(_wait_at_exit, weakref.ref(self))

    def __repr__(self) -> str:
        return f"<Strands with {self._count} waiting call(s)>"

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._strands: dict[str, deque[tuple[Future[Any], Callable[[], Any]]]] = {}
        # The keys of strands whose first call nobody is making yet.
        self._ready: deque[str] = deque()
        self._count = 0
        self._threads = 0
        self._idle = 0

    def submit(self, key: str, call: Callable[[], Made]) -> Future[Made]:
        """Have *call* made after all that came before it under *key*.

        Raises:
            FullError: when too many wait already.
        """
        if self._pid != os.getpid():
            # In a forked child the threads are gone, and what waited is the parent's to do.
            self._begin()
        future: Future[Made] = Future()
        with self._changed:
            if self._count >= self._most_waiting:
                raise FullError
            self._count += 1
            strand = self._strands.setdefault(key, deque())
            strand.append((future, call))
            if len(strand) == 1:
                self._ready.append(key)
                self._rouse()
        return future

    def wait(self, seconds: float) -> bool:
        """Wait until all calls have been made, at most so long; say whether they have."""
        if self._pid != os.getpid():
            return True
        with self._changed:
            return self._changed.wait_for(lambda: not self._count, seconds)

    def _rouse(self) -> None:
        if self._idle < len(self._ready) and self._threads < self._most_threads:
            thread = threading.Thread(target=self._work, name="branchline-backend", daemon=True)
            # It works for everybody, and must not keep alive what is current for who comes first.
            with suppress(RuntimeError):  # the interpreter is ending, or there are too many
                contextvars.Context().run(thread.start)
                self._threads += 1
        self._changed.notify_all()

    def _work(self) -> None:
        # What it does is no work of the application's: instrumented libraries are to keep quiet about it.
        with attached(Context({SUPPRESSION: True, PLAIN_SUPPRESSION: True})):
            while self._make_next():
                pass

    def _make_next(self) -> bool:
        with self._changed:
            self._idle += 1
            is_ready = self._changed.wait_for(lambda: self._ready, _IDLE_SECONDS)
            self._idle -= 1
            if not is_ready:
                self._threads -= 1
                return False
            key = self._ready.popleft()
            future, call = self._strands[key][0]
        _make(future, call)
        with self._changed:
            strand = self._strands[key]
            strand.popleft()
            self._count -= 1
            if strand:
                self._ready.append(key)
            else:
                del self._strands[key]
            self._changed.notify_all()
        return True


def _make(future: Future[Made], call: Callable[[], Made]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        made = call()
    except BaseException as error:  # it is for who waits to say what that means
        future.set_exception(error)
    else:
        future.set_result(made)


def _wait_at_exit(alive: weakref.ref[Strands]) -> None:
    strands = alive()
    if strands is not None:
        strands.wait(_EXIT_SECONDS)
