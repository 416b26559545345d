"""The bookkeeper: a thread beside the writer that keeps the ledger, and tells budgets what others have spent."""

from __future__ import annotations

import _thread
import sqlite3
import threading
import time
from collections import deque
from pathlib import Path
from typing import Final

from .._journal.layout import ledger_path
from .._journal.ledger import Ledger, is_damage, opening, set_aside
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

# Connections of a parent, in a forked child: closing them would take the parent's locks away.
_abandoned: list[Ledger] = []


class Bookkeeper:
    """Keeps the ledger of one directory for one process."""

    def __init__(self, pipeline: Pipeline, directory: Path) -> None:
        """Keep the ledger of *directory* for what *pipeline* records; nothing is opened yet."""
        self._pipeline = pipeline
        self._directory = directory
        self._audiences: tuple[Counts, ...] = ()
        self._fresh()

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
        self._retry_at = 0.0
        self._again_at = float("inf")

    def join(self, audience: Counts) -> None:
        """Tell *audience* what was spent so far, and from now on what others spend."""
        with self._turn:
            self._guarded()
            self._audiences = (*self._audiences, audience)
            if self._ledger is not None:
                self._guarded(audience)
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
        with self._turn:
            self._guarded()
            try:
                known = [] if self._ledger is None else self._ledger.history()
            except sqlite3.Error as error:
                self._complain(error)
                known = []
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

    def after_fork(self) -> None:
        """In a forked child: leave the file to the parent and open it anew, at the child's first usage."""
        if self._ledger is not None:
            _abandoned.append(self._ledger)
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
                self._guarded()
            self._pass_time()
        self._end()

    def _end(self) -> None:
        with self._turn:
            self._guarded()
            ledger, self._ledger = self._ledger, None
            if ledger is not None:
                ledger.close()

    def _pass_time(self) -> None:
        now = time.time_ns()
        for audience in self._audiences:
            audience.pass_time(now)

    def _guarded(self, newcomer: Counts | None = None) -> None:
        try:
            self._keep(newcomer)
        except Exception as error:  # a disk that is full, a file that is none: recording never raises
            self._complain(error)

    def _keep(self, newcomer: Counts | None) -> None:
        now = time.monotonic()
        if self._ledger is None and now < self._retry_at:
            return
        try:
            ledger = self._ledger
            if ledger is None or not ledger.is_current:
                ledger = self._opened(ledger)
            else:
                ledger.check()
                if newcomer is not None:
                    newcomer.reload(self._counting(ledger, newcomer))
            if now >= self._again_at:
                self._again_at = float("inf")
                catch_up(ledger, self._directory)
            self._write(ledger)
            self._tell(ledger)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self._replace(error)

    def _opened(self, before: Ledger | None) -> Ledger:
        if before is not None:
            before.close()
            self._again_at = time.monotonic() + _AGAIN_SECONDS
        self._ledger = None
        ledger = self._ledger = open_ledger(self._directory, self._damaged)
        for audience in self._audiences:
            audience.reload(self._counting(ledger, audience))
        return ledger

    def _counting(self, ledger: Ledger, audience: Counts) -> list[Spent]:
        return ledger.since(audience.earliest(time.time_ns()), self._pipeline.options.run_id)

    def _write(self, ledger: Ledger) -> None:
        while self._queue:
            spent = [self._queue[place] for place in range(min(len(self._queue), _AT_ONCE))]
            ledger.add(spent)
            for _ in spent:
                self._queue.popleft()

    def _tell(self, ledger: Ledger) -> None:
        if not self._audiences:
            return
        unread = ledger.unread()
        for audience in self._audiences if unread else ():
            audience.catch_up(unread)

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
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            ledger.close()
        while len(self._queue) > _MOST_WAITING:
            self._queue.popleft()
        known = isinstance(error, sqlite3.Error | OSError | JournalError)
        what = f"{error}" if known else f"{type(error).__name__}: {error}"
        self._pipeline.notices.noted(
            "ledger", f"cannot keep {ledger_path(self._directory)}: {what}; budgets count what this process spends"
        )
