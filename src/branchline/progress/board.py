"""The board: everything that is worked on in this process, who shows it, and the one thread that looks at it."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from ..current import CURRENT
from ..progress_values import Progress
from ..standing_redaction import standing_redactor
from . import stalls
from .work import Display, Shown, Work


_LOOK_SECONDS: Final = 0.1
# A run that begins takes no longer until it says whether it shows progress itself.
_HIDDEN_SECONDS: Final = 1.0
# With nothing to look at for so long, the thread ends: one loop after another does not start one each.
_LINGER_SECONDS: Final = 1.0
# Asked once a second, or a little earlier.
_BEAT_SECONDS: Final = 0.8
# Nobody takes longer from the end of a loop to telling of it, unless he was torn away.
_TORN_SECONDS: Final = 30.0
# What does not move says only that it is still there.
_SLOW_BEAT_SECONDS: Final = 10.0
# Whoever draws looks more often than that, and so sees what has ended since.
_REMEMBERED_SECONDS: Final = 1.0
_MOST_REMEMBERED: Final = 500
# Nobody looks at more bars than fit on a screen; what is beyond is still counted.
_MOST_SHOWN: Final = 100
# A stream that hangs must hold nobody up for longer.
_PATIENCE_SECONDS: Final = 1.0


class Board:
    """Everything that is worked on in one process."""

    def __init__(self) -> None:
        # In a forked child, somebody may hold the lock who is not there: it has a board of its own.
        self.pid = os.getpid()
        # In the order of their beginnings.
        self._works: dict[Work, Display | None] = {}
        self._displays: list[tuple[bool, Display]] = []
        self._ended: deque[tuple[float, Progress]] = deque(maxlen=_MOST_REMEMBERED)
        # Re-entrant: a signal handler, or a finaliser, may work as well.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._announced: str | None = None
        self._hidden_until = 0.0
        self._is_tidy_at_exit = False
        # Not `time.sleep`: tests of others put something else in its place.
        self._pause = threading.Event()

    def __repr__(self) -> str:
        return f"<Board of {len(self._works)} piece(s) of work>"

    # ── what begins and ends ──────────────────────────────────────────────────────────────────────

    def add(self, work: Work) -> None:
        """Take *work*, which has just begun."""
        with self._locked():
            display = None if work.shown.is_quiet or CURRENT.shows_progress is not None else self._display(work.shown)
            self._works[work] = display
            if display is not None or work.stall_after is not None:
                self._watch()
        if work.run != self._announced:
            # The first of a run: nobody looks from time to time before something is recorded.
            self._announced = work.run
            work.record(work.progress(work.began))

    def remove(self, work: Work) -> None:
        """Let *work* go, which has just ended."""
        now = time.monotonic()
        with self._locked():
            if work not in self._works:
                # A forked child has left a loop of its parent's.
                return
            display = self._works.pop(work)
            ended = work.progress(now)
            # What was part of something is over with its end.
            if not work.shown.is_quiet and ended.parent_id is None:
                self._ended.append((now, ended))
            if display is not None and CURRENT.shows_progress is None:
                with suppress(Exception):  # a stream of others is no reason to fail
                    display.end(ended, self._shown_by(display, now))
        work.record(ended)

    def touch(self, work: Work) -> None:
        """Show at once how far *work* is: whoever counts by hand wants to see it."""
        with self._locked():
            display = self._works.get(work)
            if display is not None and display.is_prompt and CURRENT.shows_progress is None:
                with suppress(Exception):  # a stream of others is no reason to fail
                    display.show([work.progress(time.monotonic())])

    # ── who looks ─────────────────────────────────────────────────────────────────────────────────

    def shown(self) -> list[Progress]:
        """Return what goes on, and what has ended a moment ago, for a run that shows it."""
        if self.pid != os.getpid():
            return []
        now = time.monotonic()
        with self._locked():
            ended = [progress for at, progress in list(self._ended) if now - at < _REMEMBERED_SECONDS]
            works = [work for work in list(self._works) if not work.shown.is_quiet][-_MOST_SHOWN:]
            seen = [*ended, *(work.progress(now) for work in works)]
        return [_without_secrets(progress) for progress in seen]

    def beat(self) -> None:
        """Record how far everything is that has gone on for a while, as often as is worth it."""
        if self.pid != os.getpid():
            return
        now = time.monotonic()
        with self._locked():
            due = [*self._torn(now), *(work for work in list(self._works) if _is_due(work, now))]
            found = [(work, work.progress(now)) for work in due]
        for work, progress in found:
            work.record(progress)

    def leave(self, run: str | None) -> None:
        """Record for the last time how far everything is that belongs to a *run* that ends."""
        if self.pid != os.getpid():
            return
        now = time.monotonic()
        with self._locked():
            left = [(work, work.progress(now)) for work in list(self._works) if work.run == run]
        for work, progress in left:
            work.record(progress)
        self._announced = None

    def hide(self) -> None:
        """Give the terminal to a run that begins, or to whoever comes after us."""
        if self.pid != os.getpid():
            return
        with self._locked():
            self._hidden_until = time.monotonic() + _HIDDEN_SECONDS
            # What has ended before is none of the run's.
            self._ended.clear()
            for _, display in self._displays:
                with suppress(Exception):  # a stream of others is no reason to fail
                    display.hide()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        is_locked = self._lock.acquire(timeout=_PATIENCE_SECONDS)
        try:
            yield
        finally:
            if is_locked:
                self._lock.release()

    def _display(self, shown: Shown) -> Display | None:
        # Only who shows something pays for what showing takes.
        from .displays import display_for, stream_of

        try:
            stream = stream_of(shown)
            for is_rich, display in self._displays:
                if display.stream is stream and is_rich == shown.is_rich:
                    return display
            # A stream that is captured is soon another: what shows nothing any more is let go.
            used = set(self._works.values())
            self._displays = [pair for pair in self._displays if pair[1] in used]
            made = display_for(stream, is_rich=shown.is_rich)
        except Exception:  # a stream of others: the work goes on without
            return None
        if not self._is_tidy_at_exit:
            # What is drawn when the program ends in the middle of a loop is not to stay on the terminal.
            self._is_tidy_at_exit = True
            atexit.register(self.hide)
        self._displays.append((shown.is_rich, made))
        return made

    def _shown_by(self, display: Display, now: float) -> list[Progress]:
        works = [work for work, shows in list(self._works.items()) if shows is display]
        return [work.progress(now) for work in works[-_MOST_SHOWN:]]

    def _torn(self, now: float) -> list[Work]:
        """Let go, and return, what has ended, but whose end a KeyboardInterrupt tore off."""
        # Of what has ended just now, its own thread is about to tell.
        found = [work for work in list(self._works) if work.ended is not None and now - work.ended > _TORN_SECONDS]
        for work in found:
            self._works.pop(work, None)
        return found

    def _show(self, display: Display, now: float) -> None:
        if CURRENT.shows_progress is not None:
            display.hide()
        elif now >= self._hidden_until:
            display.show(self._shown_by(display, now))

    # ── the thread ────────────────────────────────────────────────────────────────────────────────

    def _watch(self) -> None:
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._run, name="branchline-progress", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            # No more threads: what has ended is shown all the same.
            self._thread = None

    def _run(self) -> None:
        seen_at = time.monotonic()
        while True:
            self._pause.wait(_LOOK_SECONDS)
            now = time.monotonic()
            with suppress(Exception):  # of whoever shows it
                if self._look(now):
                    seen_at = now
            if now - seen_at > _LINGER_SECONDS and self._rest():
                return

    def _rest(self) -> bool:
        with self._locked():
            if self._has_watched():
                return False
            self._thread = None
            return True

    def _has_watched(self) -> bool:
        return any(display is not None or work.stall_after is not None for work, display in list(self._works.items()))

    def _look(self, now: float) -> bool:
        with self._locked():
            if not self._has_watched():
                return False
            stalled = [
                work for work in list(self._works) if work.stall_after is not None and stalls.has_begun(work, now)
            ]
            for display in {display for display in list(self._works.values()) if display is not None}:
                self._show(display, now)
        for work in stalled:
            stalls.tell(work, now)
        return True


def board() -> Board:
    """Return the board of this process; a forked child has one of its own."""
    found = CURRENT.board
    if not isinstance(found, Board) or found.pid != os.getpid():
        found = CURRENT.board = Board()
    return found


def _without_secrets(progress: Progress) -> Progress:
    clean = standing_redactor().text
    return progress._replace(description=clean(progress.description), message=clean(progress.message))


def _is_due(work: Work, now: float) -> bool:
    waited = now - work.told_at
    return waited >= (_BEAT_SECONDS if work.done != work.told_done else _SLOW_BEAT_SECONDS)
