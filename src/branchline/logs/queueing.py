"""Queues: records wait for a thread that writes them, so that whoever logs does not wait for the disk."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from .accounts import Account
from .records import Record


Overflow = Literal["block", "drop_newest", "drop_oldest", "grow"]
OVERFLOWS: Final[tuple[Overflow, ...]] = ("block", "drop_newest", "drop_oldest", "grow")

MOST_AT_ONCE: Final = 1000
# A thread that is woken for each record costs the one that logs more than the record does. So it looks by itself, and
# only after some time of silence has to be woken.
_LOOK_SECONDS: Final = 0.01
_LOOKS_BEFORE_SLEEP: Final = 100
_STUCK_SECONDS: Final = 30.0
# A queue that may grow for a while becomes so many times as large, and then makes wait.
_MOST_GROWTH: Final = 10
# How long one waits for room before it looks again.
_ROOM_SECONDS: Final = 0.001


class Queue:
    """A bounded queue of records, and the thread that takes from it: one that is started by the first record."""

    def __init__(
        self,
        deliver: Callable[[list[Record]], None],
        account: Account,
        *,
        size: int,
        overflow: Overflow,
        at_once: int = MOST_AT_ONCE,
    ) -> None:
        """Give what comes to *deliver*, *at_once* at most; with *size* records waiting, do what *overflow* says."""
        self._deliver = deliver
        self._at_once = at_once
        _queues.add(self)
        self._account = account
        self._size = size
        self._overflow = overflow
        self.begin_anew()

    def begin_anew(self) -> None:
        """Be empty and without a thread, as at the start, or in a forked child."""
        self._waiting: deque[Record | threading.Event] = deque()
        self._mutex = threading.RLock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        # Of the thread that writes; 0 before there is one.
        self.thread_id = 0
        self._is_asleep = False
        self._is_closing = False
        self._is_closed = False

    @property
    def depth(self) -> int:
        """How many records wait."""
        return len(self._waiting)

    def put(self, record: Record) -> None:
        """Have *record* written; never raises."""
        if len(self._waiting) >= self._size and record.levelno < logging.CRITICAL and not self._has_room():
            return
        self._waiting.append(record)
        if self._is_asleep or self._thread is None:
            self._rouse()

    # ── when it is full ───────────────────────────────────────────────────────────────────────────

    def _has_room(self) -> bool:
        """Make room, or wait for it; return whether there is any. A CRITICAL record is never what is dropped."""
        if self._overflow == "drop_newest":
            self._account.drop("queue_full")
            return False
        if self._overflow == "drop_oldest":
            self._drop_oldest()
            return True
        most = self._size * _MOST_GROWTH if self._overflow == "grow" else self._size
        if len(self._waiting) >= most:
            self._wait_for_room(most)
        return True

    def _wait_for_room(self, most: int) -> None:
        self._account.waited += 1
        while len(self._waiting) >= most:
            if self._thread is None or not self._thread.is_alive():
                self._rouse()
                if self._thread is None:
                    # No thread can be started any more: what waits is written here.
                    self._deliver_all()
                    return
            self._wake.set()
            time.sleep(_ROOM_SECONDS)

    def _drop_oldest(self) -> None:
        with self._mutex:
            kept = []
            while self._waiting:
                oldest = self._waiting.popleft()
                if not isinstance(oldest, threading.Event) and oldest.levelno < logging.CRITICAL:
                    self._account.drop("queue_full")
                    break
                kept.append(oldest)
            self._waiting.extendleft(reversed(kept))

    # ── the thread ────────────────────────────────────────────────────────────────────────────────

    def _rouse(self) -> None:
        if self._is_closed:
            self._drop_rest()
            return
        if self._thread is not None:
            self._wake.set()
            return
        with self._mutex:
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="branchline-sink", daemon=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError:
                # The interpreter is ending, or there are too many threads.
                self._thread = None
        _flush_at_end_of_child()

    def _run(self) -> None:
        self.thread_id = threading.get_ident()
        looks = 0
        while True:
            if self._deliver_some():
                looks = 0
                continue
            if self._is_closing:
                return
            looks += 1
            if looks < _LOOKS_BEFORE_SLEEP:
                self._wake.wait(_LOOK_SECONDS)
            else:
                self._is_asleep = True
                # One that came just before would not have woken it.
                if not self._waiting:
                    self._wake.wait()
                self._is_asleep = False
                looks = 0
            self._wake.clear()

    def _deliver_some(self) -> bool:
        """Write the next ones, up to where somebody waits for what came before; return whether there were any."""
        records: list[Record] = []
        reached: threading.Event | None = None
        with self._mutex:
            for _ in range(min(len(self._waiting), self._at_once)):
                item = self._waiting.popleft()
                if isinstance(item, threading.Event):
                    reached = item
                    break
                records.append(item)
        try:
            if records:
                self._deliver(records)
        finally:
            if reached is not None:
                reached.set()
        return bool(records) or reached is not None

    def _deliver_all(self) -> None:
        while self._deliver_some():
            pass

    # ── the end ───────────────────────────────────────────────────────────────────────────────────

    def flush(self, timeout: float | None) -> bool:
        """Wait until what is there now is written; return whether it is.

        Without a *timeout* that is as long as it takes, unless nothing at all is written for half a minute.
        """
        if not self._waiting and self._thread is None:
            return True
        if self._thread is None or not self._thread.is_alive() or self.thread_id == threading.get_ident():
            self._deliver_all()
            return True
        reached = threading.Event()
        self._waiting.append(reached)
        self._wake.set()
        return reached.wait(timeout) if timeout is not None else self._is_reached(reached)

    def _is_reached(self, reached: threading.Event) -> bool:
        """Wait while there is progress: a sink that is slow is given its time, and one that hangs is not."""
        before = -1
        while not reached.wait(_STUCK_SECONDS):
            done = self._account.written + self._account.lost
            if done == before:
                return False
            before = done
        return True

    def close(self, timeout: float | None) -> bool:
        """Write what waits, and end the thread; what is left after *timeout* seconds is dropped, and counted."""
        is_done = self.flush(timeout)
        self._is_closing = True
        self._wake.set()
        if is_done:
            thread = self._thread
            if thread is not None and self.thread_id != threading.get_ident():
                thread.join(timeout)
            # What somebody had in hand meanwhile rouses nobody any more, and is counted.
            self._is_closed = self._is_asleep = True
            return not self._drop_rest()
        self._drop_rest()
        return False

    def _drop_rest(self) -> int:
        with self._mutex:
            left = sum(not isinstance(item, threading.Event) for item in self._waiting)
            self._waiting.clear()
        self._account.drop("closed", left)
        return left


# ── children of multiprocessing, which end without ``atexit`` ─────────────────────────────────────

_CHILD_SECONDS: Final = 2.0
_queues: Final[weakref.WeakSet[Queue]] = weakref.WeakSet()
_children: Final[set[int]] = set()


def _flush_at_end_of_child() -> None:
    """Have the queues of a child flushed when it ends, once for all of them."""
    process, util = (sys.modules.get(f"multiprocessing.{name}") for name in ("process", "util"))
    if process is None or util is None or process.parent_process() is None or os.getpid() in _children:
        return
    _children.add(os.getpid())
    util.Finalize(None, _flush_all, exitpriority=10)


def _flush_all() -> None:
    until = time.monotonic() + _CHILD_SECONDS
    for queue in list(_queues):
        queue.flush(max(until - time.monotonic(), 0.0))
