"""The bookkeeper: a thread beside the writer that keeps the ledger, and tells budgets what others have spent."""

from __future__ import annotations

import _thread
import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from .._journal.layout import ledger_path
from .._journal.ledger import Bookmark, Ledger, is_damage, opening, set_aside
from .._journal.ledger_history import catch_up, open_ledger, set_aside_text
from ..errors import JournalError
from ..totals import Counts, Spent
from ..usage_values import Usage
from .pipeline import Pipeline


# What comes together is written together: a transaction takes a thousand times as long as one entry in it.
_GATHER_SECONDS: Final = 0.1
# With the above, and the time of a transaction, what another process spends is known within a second.
_LOOK_SECONDS: Final = 0.4
_RETRY_SECONDS: Final = 1.0
# After a ledger was made anew: by then the journals have what was on its way to them.
_AGAIN_SECONDS: Final = 2.0
_AT_ONCE: Final = 1000
# While there is no ledger to write to; the journals have it all.
_MOST_WAITING: Final = 10_000

# How long a fork waits for a turn to end; a function of the user's may be called in it.
_FORK_SECONDS: Final = 2.0
_CHECK_SECONDS: Final = 2.0

# Those that are to close their file before a fork: SQLite in a child would believe to hold the locks of its parent.
_open: weakref.WeakSet[Bookkeeper] = weakref.WeakSet()
_is_hooked: list[bool] = []


def _before_fork() -> None:
    for keeper in tuple(_open):
        keeper.pause()


def _after_fork() -> None:
    for keeper in tuple(_open):
        keeper.go_on()


class Bookkeeper:
    """Keeps the ledger of one directory for one process."""

    def __init__(self, pipeline: Pipeline, directory: Path) -> None:
        """Keep the ledger of *directory* for what *pipeline* records; nothing is opened yet."""
        self._pipeline = pipeline
        self._directory = directory
        self._audiences: tuple[Counts, ...] = ()
        self._bookmark: Bookmark | None = None
        self._fresh()
        _open.add(self)
        if not _is_hooked:
            # Python has no way to take such a hook back; with nobody to tell, it does nothing.
            os.register_at_fork(before=_before_fork, after_in_parent=_after_fork)
            _is_hooked.append(True)

    def _fresh(self) -> None:
        self._queue: deque[Spent] = deque()
        self._ledger: Ledger | None = None
        self._thread: threading.Thread | None = None
        self._starting = _thread.allocate_lock()
        # Who opens, reads and writes.
        self._turn = threading.RLock()
        self._signal = _thread.allocate_lock()
        self._signal.acquire()
        self._is_over = False
        self._is_paused = False
        self._check_at = 0.0
        self._retry_at = 0.0
        self._again_at = float("inf")

    def join(self, audience: Counts) -> None:
        """Tell *audience* what was spent so far, and from now on what others spend."""
        with self._turn:
            self._guarded(self._keep)
            if self._ledger is not None:
                self._guarded(lambda: self._reload(audience))
            self._audiences = (*self._audiences, audience)
        self.start()

    def take(self, usage: Usage) -> None:
        """Put *usage* into the ledger, soon; called by whoever recorded it."""
        if self._is_over:
            return
        was_empty = not self._queue
        self._queue.append(Spent(usage, self._pipeline.options.run_id, self._pipeline.process))
        if self._thread is None:
            self.start()
        elif was_empty:
            self._wake()

    def history(self) -> list[Spent]:
        """Return everything that was ever spent, as far as the ledger has it or will soon; raises nothing."""
        known: list[Spent] = []
        with self._turn:
            self._guarded(self._keep)
            if self._ledger is not None:
                self._guarded(lambda: known.extend([] if self._ledger is None else self._ledger.history()))
            if self._is_over:
                self._close()
            return [*known, *self._queue]

    def start(self) -> None:
        """Begin; whoever comes second changes nothing."""
        if self._is_over or self._thread is not None or not self._starting.acquire(blocking=False):
            return
        thread = threading.Thread(target=self._run, name="branchline-ledger", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # No more threads: what there is to write is written at the end.
            return
        self._thread = thread

    def finish(self, timeout: float) -> None:
        """Write what is left and end, within *timeout* seconds; what is not written then, the journals have."""
        if self._is_over:
            return
        self._is_over = True
        if self._thread is not None and self._thread.is_alive():
            self._wake()
            self._thread.join(timeout)
        else:
            self._end()

    def pause(self) -> None:
        """Before a fork: let nobody begin a turn, and close the file."""
        self._is_paused = self._turn.acquire(timeout=_FORK_SECONDS)
        if self._ledger is not None and self._is_paused:
            self._bookmark = self._ledger.bookmark
            self._close()

    def go_on(self) -> None:
        """After a fork, in the parent: open it again, at the next turn, where it was."""
        if self._is_paused:
            self._is_paused = False
            self._turn.release()

    def after_fork(self) -> None:
        """In a forked child: write to the file as well, from the child's first usage on."""
        was_over = self._is_over
        self._fresh()
        self._is_over = was_over

    def _wake(self) -> None:
        try:
            self._signal.release()
        except RuntimeError:
            # Somebody else has just woken it.
            return

    # ── the thread ────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        while not self._is_over:
            if self._signal.acquire(timeout=_LOOK_SECONDS) and not self._is_over:
                self._signal.acquire(timeout=_GATHER_SECONDS)
            with self._turn:
                self._guarded(self._keep)
            self._pass_time()
        self._end()

    def _end(self) -> None:
        with self._turn:
            self._guarded(self._keep)
            self._close()

    def _close(self) -> None:
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            ledger.close()

    def _pass_time(self) -> None:
        now = time.time_ns()
        for audience in self._audiences:
            audience.pass_time(now)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            try:
                work()
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._replace(error)
        except Exception as error:  # a disk that is full, a file that is none: recording never raises
            self._complain(error)

    def _keep(self) -> None:
        now = time.monotonic()
        ledger = self._ledger
        if ledger is None and now < self._retry_at:
            return
        if ledger is None or not ledger.is_current:
            ledger = self._opened(ledger)
        if now >= self._check_at:
            self._check_at = now + _CHECK_SECONDS
            ledger.check()
        if now >= self._again_at:
            self._again_at = float("inf")
            catch_up(ledger, self._directory)
        self._write(ledger)
        unread = ledger.unread() if self._audiences else []
        for audience in self._audiences if unread else ():
            audience.catch_up(unread)

    def _opened(self, before: Ledger | None) -> Ledger:
        if before is not None:
            before.close()
            self._again_at = time.monotonic() + _AGAIN_SECONDS
        bookmark, self._bookmark, self._ledger = self._bookmark, None, None
        ledger = self._ledger = open_ledger(self._directory, self._damaged, bookmark=bookmark)
        for audience in () if ledger.is_resumed else self._audiences:
            self._reload(audience)
        return ledger

    def _reload(self, audience: Counts) -> None:
        if self._ledger is not None:
            since = audience.earliest(time.time_ns())
            audience.reload(self._ledger.since(since, self._pipeline.options.run_id))

    def _write(self, ledger: Ledger) -> None:
        while self._queue:
            spent = [self._queue[place] for place in range(min(len(self._queue), _AT_ONCE))]
            ledger.add(spent)
            for _ in spent:
                self._queue.popleft()

    def _replace(self, error: sqlite3.DatabaseError) -> None:
        """Set the damaged ledger aside, unless somebody has; the next turn makes one of the journals."""
        ledger = self._ledger
        if ledger is None:
            raise error
        path = ledger_path(self._directory)
        with opening(self._directory):
            if ledger.is_current:
                self._damaged(set_aside_text(path, set_aside(path), error))
        self._opened(ledger)

    def _damaged(self, text: str) -> None:
        self._pipeline.notices.noted("ledger_damaged", text)

    def _complain(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        self._close()
        while len(self._queue) > _MOST_WAITING:
            self._queue.popleft()
        known = isinstance(error, sqlite3.Error | OSError | JournalError)
        what = f"{error}" if known else f"{type(error).__name__}: {error}"
        self._pipeline.notices.noted(
            "ledger", f"cannot keep {ledger_path(self._directory)}: {what}; budgets count what this process spends"
        )
