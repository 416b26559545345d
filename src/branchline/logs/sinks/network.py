"""The sink for other machines: it never makes anybody wait, and what cannot be delivered now waits on the disk."""

from __future__ import annotations

import hashlib
import os
import random
import re
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from ..._files.backlog import MOST_BYTES, Backlog, Portion
from ..accounts import Account, said
from ..records import Line
from .destinations import WireOptions, wire_of
from .wires import NotArrived, Wire, without_secrets


State = Literal["active", "recovering", "failed"]

MOST_LINES: Final = 500
_MOST_BYTES: Final = 1024 * 1024
# More than this is not kept in memory for a moment.
_MOST_IN_MEMORY: Final = 4 * 1024 * 1024
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
# What is on the disk may have been left by a process that has died since.
_LOOK_SECONDS: Final = 1.0
# And what waits in memory while the other side is away goes there so often.
_SPILL_SECONDS: Final = 0.25
_CLOSE_SECONDS: Final = 5.0


class NetworkSink:
    """Lines for one destination: first what waits on the disk, then what was logged since, in order."""

    def __init__(
        self,
        url: str,
        account: Account,
        *,
        options: WireOptions = WireOptions(),  # noqa: B008  # it is frozen
        max_bytes: int = MOST_BYTES,
        batch_size: int = MOST_LINES,
        batch_seconds: float = 0.0,
    ) -> None:
        """Deliver to *url*, *batch_size* lines at a time; what waits on the disk is at most *max_bytes*.

        Fewer lines wait for others *batch_seconds* at most.
        """
        self._wire: Wire = wire_of(url, options)
        self._account = account
        self._batch_size = batch_size
        self._batch_seconds = batch_seconds
        self.bytes_sent = 0
        self.backlog = Backlog(backlog_folder(url), max_bytes=max_bytes, dropped=self._dropped)
        self._is_forked = False
        self._begin_anew()
        if self.backlog.is_waiting:
            # An earlier process has left something.
            self._idle.clear()
            self._start()

    def _begin_anew(self) -> None:
        self._mutex = threading.RLock()
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._in_hand: list[bytes] = []
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._thread: threading.Thread | None = None
        self._thread_id = 0
        self._is_closing = False
        self._is_flushing = False
        self._is_failing = False
        # When the first of the lines that wait for others came.
        self._gathering_since: float | None = None

    @property
    def state(self) -> State:
        """How the other side is doing, as far as anybody knows."""
        if self._is_failing:
            return "failed"
        return "recovering" if self._thread is not None and self.backlog.is_waiting else "active"

    def forget_threads(self) -> None:
        """Begin anew in a forked child: what waits is the parent's to deliver, and so is the connection."""
        self._wire.close()
        self.backlog.forget_threads()
        self._is_forked = True
        self._begin_anew()

    # ── in ────────────────────────────────────────────────────────────────────────────────────────

    def write(self, lines: Sequence[Line]) -> None:
        """Take *lines*, to be delivered soon."""
        if threading.get_ident() == self._thread_id:
            # The HTTP library tells its logger about each request.
            self._account.drop("recursive", len(lines))
            return
        with self._mutex:
            for line in lines:
                data = self._wire.encoded(line)
                self._lines.append(data)
                self._bytes += len(data)
            self._idle.clear()
            # A forked child may end at any moment without saying so: what it leaves, its parent delivers.
            if self._is_forked or self._bytes > _MOST_IN_MEMORY:
                self._to_disk()
        self._start()

    def _start(self) -> None:
        if self._thread is not None:
            if not self._is_failing and not self._is_forked:
                self._wake.set()
            return
        with self._mutex:
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._run, name="branchline-wire", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:
                # The interpreter is ending, or there are too many threads: the next process delivers it.
                self._thread = None
                self._to_disk()

    def _to_disk(self) -> None:
        with self._mutex:
            lines = list(self._lines)
            self._lines.clear()
            self._bytes = 0
        if not lines:
            return
        try:
            self.backlog.append(lines)
        except OSError as error:
            self._account.drop("disk", len(lines))
            self._account.say("backlog", f"cannot keep what waits in {self.backlog.folder}: {error.strerror}")

    def _dropped(self, count: int) -> None:
        self._account.drop("backlog_full", count)
        self._account.say("backlog_full", f"more waits than the backlog takes; the oldest {count:,} are dropped")

    # ── out ───────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        self._thread_id = threading.get_ident()
        if self._is_forked:
            # One that ends in the middle of delivering leaves to its parent what has arrived already.
            self._pause(_LOOK_SECONDS)
        pause = _FIRST_PAUSE
        while True:
            try:
                is_more = self._deliver_some()
            except (OSError, NotArrived) as error:
                self._fails(error)
                wait = error.wait if isinstance(error, NotArrived) and error.wait is not None else pause
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE
                wait = 0.0 if is_more else self._look_seconds()
            # What came since the last look, or waits for more, still goes.
            if self._is_closing and (self._is_failing or (wait and not self._lines)):
                self._idle.set()
                return
            if wait:
                self._pause(wait)

    def _look_seconds(self) -> float:
        since = self._gathering_since
        if since is None:
            return _LOOK_SECONDS
        return min(max(since + self._batch_seconds - time.monotonic(), 0.001), _LOOK_SECONDS)

    def _pause(self, seconds: float) -> None:
        # Not all processes at the same moment, when a server comes back.
        left = seconds * random.uniform(0.5, 1.0) if self._is_failing else seconds  # noqa: S311
        while left > 0 and not self._wake.wait(min(left, _SPILL_SECONDS)):
            left -= _SPILL_SECONDS
            if self._is_failing:
                self._to_disk()
        self._wake.clear()

    def _deliver_some(self) -> bool:
        """Deliver the next lines; return whether there may be more."""
        portion = None if self._in_hand else self.backlog.next(self._batch_size, _MOST_BYTES)
        if portion is not None:
            self._deliver_portion(portion)
            return True
        with self._mutex:
            if not self._in_hand and self._is_gathering():
                return False
            if not self._in_hand:
                self._in_hand = self._taken()
            if not self._in_hand:
                self._idle.set()
                return False
        while self._in_hand:
            done, delivered = self._sent(self._in_hand)
            self._in_hand = self._in_hand[done:]
            self._account.wrote(delivered)
        return True

    def _is_gathering(self) -> bool:
        """Whether what is there waits for more, so that fewer and larger batches go."""
        if not self._lines or len(self._lines) >= self._batch_size or self._is_closing or self._is_flushing:
            self._gathering_since = None
            return False
        now = time.monotonic()
        since = self._gathering_since = now if self._gathering_since is None else self._gathering_since
        if now - since < self._batch_seconds:
            return True
        self._gathering_since = None
        return False

    def _deliver_portion(self, portion: Portion) -> None:
        lines = portion.lines
        while lines:
            done, delivered = self._sent(lines)
            lines = lines[done:]
            if portion.segment.is_own:
                self._account.wrote(delivered)
            else:
                self._account.caught_up += delivered
        self.backlog.done(portion)

    def _taken(self) -> list[bytes]:
        taken: list[bytes] = []
        size = 0
        while (
            self._lines and len(taken) < self._batch_size and size + len(self._lines[0]) <= max(_MOST_BYTES, size + 1)
        ):
            taken.append(self._lines.popleft())
            size += len(taken[-1])
        self._bytes -= size
        return taken

    def _sent(self, lines: list[bytes]) -> tuple[int, int]:
        """Send *lines*; return how many are done with, and delivered. Raises what is worth another try."""
        try:
            self._wire.send(lines)
        except NotArrived as error:
            if error.arrived:
                return error.arrived, error.arrived
            if not error.is_final:
                raise
            if len(lines) > 1:
                # One of them is what is refused: fewer at a time show which.
                return self._sent(lines[: len(lines) // 2])
            self._account.drop("refused")
            self._account.say("refused", f"refuses a record for good: {error}")
            return 1, 0
        self.bytes_sent += sum(map(len, lines))
        if self._is_failing:
            self._is_failing = False
            self._account.say("resumed", "delivering again")
        return len(lines), len(lines)

    def _fails(self, error: Exception) -> None:
        self._is_failing = True
        self._account.say("failing", f"cannot deliver ({said(error)}); what comes waits in {self.backlog.folder}")
        with self._mutex:
            if self._in_hand:
                self._lines.extendleft(reversed(self._in_hand))
                self._in_hand = []
        self._to_disk()

    # ── the end ───────────────────────────────────────────────────────────────────────────────────

    def flush(self) -> bool:
        """Leave it to the thread that delivers."""
        return True

    def settle(self, timeout: float | None) -> bool:
        """Wait until everything is delivered, or it is clear that it cannot be; return which."""
        if self._thread is None:
            return not self._lines
        deadline = None if timeout is None else time.monotonic() + timeout
        self._is_flushing = True
        try:
            return self._is_idle_by(deadline)
        finally:
            self._is_flushing = False

    def _is_idle_by(self, deadline: float | None) -> bool:
        while not self._idle.is_set():
            self._wake.set()
            if self._is_failing or (deadline is not None and time.monotonic() >= deadline):
                return False
            self._idle.wait(0.05 if deadline is None else max(min(0.05, deadline - time.monotonic()), 0.0))
        return True

    def close(self, timeout: float | None) -> bool:
        """Deliver what can be delivered; the rest stays on the disk, for the next process."""
        limit = _CLOSE_SECONDS if timeout is None else min(timeout, _CLOSE_SECONDS)
        self._start_if_waiting()
        self._is_closing = True
        self._wake.set()
        thread = self._thread
        if thread is not None:
            thread.join(limit)
        if thread is None or not thread.is_alive():
            self._keep()
            self._wire.close()
        else:
            # It is in the middle of something that takes long. What it has in hand may arrive twice, and is not lost.
            self._keep()
        return True

    def _start_if_waiting(self) -> None:
        if self._lines and self._thread is None:
            self._start()

    def _keep(self) -> None:
        with self._mutex:
            self._lines.extendleft(reversed(self._in_hand))
            self._in_hand = []
        self._to_disk()
        left = self.backlog.own_lines
        if left:
            self._account.kept = left
            self._account.say("kept", f"{left:,} record(s) wait in {self.backlog.folder} for the next process")
        self.backlog.close()


def backlog_folder(url: str) -> Path:
    """Return where lines for *url* wait: the same folder in each process that is started in the same place."""
    place = re.sub(r"[^A-Za-z0-9_.-]+", "-", without_secrets(url).partition("://")[2]).strip("-.")[:60]
    known = hashlib.sha256(url.encode()).hexdigest()[:12]
    directory = Path(os.environ.get("BRANCHLINE_DIR") or ".branchline").absolute()
    return directory / "backlog" / f"{urlsplit(url).scheme}-{place}-{known}"
