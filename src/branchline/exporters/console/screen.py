"""The part of a terminal that is redrawn, and the application's prints, which go above it."""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
from collections.abc import Iterator
from typing import TextIO, cast


# A pipe that is ready takes so much without waiting (PIPE_BUF, a quarter of it in characters of up to four bytes).
_SLICE = 1024

# What is right of the cursor, then what is below: some terminals keep a copy of a screen that is erased from its very
# first place, hence the step to the right.
_ERASE = "\x1b[K\x1b7\x1b[C\x1b[J\x1b8"

# "Synchronised update": a terminal that knows it shows both ends of a redraw at once; the others ignore it.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"

_NEXT, _REST = "\r\n", "\x1b[K"

_PROMPTS = frozenset({"pdb", "bdb", "cmd", "code", "_pyrepl.readline"})


class Outlet:
    """A stream that is written to by the writer thread and must therefore neither raise nor hold it up.

    What breaks (a closed pipe, a closed file) switches it off; what is not ready (a stopped terminal, a reader that
    does not read) is left out.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._pid = os.getpid()
        self.is_broken = False

    def __repr__(self) -> str:
        return f"<Outlet to {getattr(self._stream, 'name', self._stream)}{', broken' if self.is_broken else ''}>"

    @property
    def is_mine(self) -> bool:
        """Whether this is still the process that opened it: a forked child keeps quiet."""
        return not self.is_broken and self._pid == os.getpid()

    def is_ready(self, timeout_seconds: float = 0.0) -> bool:
        """Whether a write would go through at once."""
        if not self.is_mine:
            return False
        try:
            descriptor = self._stream.fileno()
        except Exception:  # StringIO and the streams of notebooks have none, and never wait.
            return True
        try:
            return bool(select.select([], [descriptor], [], timeout_seconds)[1])
        except Exception:  # A closed file, or a descriptor that cannot be waited for: the write will tell.
            return True

    def write(self, text: str, *, timeout_seconds: float = 0.0) -> int:
        """Write *text* as far as it goes through; return how many characters did."""
        for start in range(0, len(text), _SLICE):
            if not self.is_ready(timeout_seconds) or not self._put(text[start : start + _SLICE]):
                return start
        return len(text)

    def write_whole(self, text: str) -> None:
        """Write *text* in one go, so that a terminal never shows half of it."""
        if self.is_mine:
            self._put(text)

    def size(self) -> tuple[int, int]:
        """Return the columns and rows of the terminal."""
        try:
            columns, rows = os.get_terminal_size(self._stream.fileno())
        except Exception:
            columns, rows = 0, 0
        return columns or 80, rows or 24

    def _put(self, text: str) -> bool:
        try:
            self._stream.write(text)
            self._stream.flush()
        except Exception:
            self.is_broken = True
        return not self.is_broken


class Screen:
    """Rows below the cursor of a terminal, redrawn in place.

    The cursor stays where the application left it, so whatever writes to the terminal writes above the rows and is
    never lost: this program's prints, a progress bar, a debugger's prompt, a child process. Not `rich.live.Live`: its
    cursor is below what it draws, so that what a child process prints is drawn over; it draws again for every line
    that is printed, wraps these lines, and raises from a `flush` of text that looks like its markup.
    """

    def __init__(self, stream: TextIO) -> None:
        self.outlet = Outlet(stream)
        self._lock = threading.RLock()
        self._is_drawn = False
        self._is_line_begun = False
        self._guests = _Guests(self, stream)

    def draw(self, rows: list[str]) -> None:
        """Replace what is drawn by *rows*."""
        self._guests.invite()
        # The application may hold the lock while its own print waits for the terminal: no reason to wait as well.
        if not self._lock.acquire(timeout=0.05):
            return
        try:
            if self.outlet.is_ready():
                # One write, and nothing erased that is not written again: no flicker.
                self.outlet.write_whole(f"{_BEGIN}{_below(rows)}{_END}" if rows else _ERASE)
                self._is_drawn = bool(rows)
        finally:
            self._lock.release()

    def leave(self) -> None:
        """Give the application its streams back."""
        self._guests.dismiss()

    def clear(self) -> None:
        """Take away what is drawn."""
        with self._lock:
            if self._is_drawn:
                self.outlet.write_whole(_ERASE)
                self._is_drawn = False

    def close(self, text: str) -> None:
        """Replace what is drawn by *text*, for good, and give the application its streams back."""
        self.leave()
        if not self._lock.acquire(timeout=1.0):
            return
        try:
            if self.outlet.is_ready(1.0):
                self.clear()
                self.outlet.write_whole(f"\n{text}" if self._is_line_begun else text)
        finally:
            self._lock.release()

    def pass_through(self, stream: TextIO, text: str) -> int:
        """Write the application's *text* to its *stream*, above what is drawn."""
        if not self.outlet.is_mine:
            return stream.write(text)
        with self._lock:
            self.clear()
            written = stream.write(text)
            if text:
                self._is_line_begun = not text.endswith(("\n", "\r"))
                if not self._is_line_begun:
                    # Ours may be another file on the same terminal: the order is that of the writes.
                    stream.flush()
        return written


class _Guest:
    """A stream of the application while a screen is drawn; when it is closed, the stream itself and nothing else."""

    def __init__(self, screen: Screen, stream: TextIO) -> None:
        self._screen = screen
        self._stream = stream

    def __repr__(self) -> str:
        return f"<{self._stream!r} above the live tree>"

    def write(self, text: str) -> int:
        return self._screen.pass_through(self._stream, text)

    def writelines(self, lines: list[str]) -> None:
        self.write("".join(lines))

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)


def behind(stream: TextIO) -> TextIO:
    """Return *stream*, or the one that it stands in for while a screen is drawn."""
    return stream._stream if isinstance(stream, _Guest) else stream  # noqa: SLF001  # the same module


class _Guests:
    """Puts guests where the application writes to the terminal, and takes them away again."""

    def __init__(self, screen: Screen, stream: TextIO) -> None:
        self._guests: dict[str, tuple[TextIO, TextIO]] = {}
        self._handlers: list[tuple[logging.StreamHandler[TextIO], TextIO, TextIO]] = []
        self._are_handlers_found = False
        # Only the real terminal: a stream somebody captures, or a redirected one, is none of the tree's business.
        if stream is sys.stderr:
            for name, own in (("stderr", sys.stderr), ("stdout", sys.stdout)):
                if _is_terminal(own):
                    self._guests[name] = (own, cast("TextIO", _Guest(screen, own)))

    def invite(self) -> None:
        for name, (stream, guest) in self._guests.items():
            if getattr(sys, name) is stream:
                setattr(sys, name, guest)
        if not self._are_handlers_found:
            self._are_handlers_found = True
            self._invite_handlers()

    def dismiss(self) -> None:
        for name, (stream, guest) in self._guests.items():
            if getattr(sys, name) is guest:
                setattr(sys, name, stream)
        for handler, stream, guest in self._handlers:
            if handler.stream is guest:
                handler.setStream(stream)

    def _invite_handlers(self) -> None:
        # Handlers made before hold on to the stream itself; their lines would be drawn over.
        for handler in _stream_handlers():
            for stream, guest in self._guests.values():
                if handler.stream is stream:
                    handler.setStream(guest)
                    self._handlers.append((handler, stream, guest))


def _stream_handlers() -> Iterator[logging.StreamHandler[TextIO]]:
    loggers = [logging.root, *logging.root.manager.loggerDict.copy().values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                yield handler


def _is_terminal(stream: object) -> bool:
    try:
        return bool(stream.isatty())  # type: ignore[attr-defined]  # asked, not known
    except Exception:
        return False


def _below(rows: list[str]) -> str:
    # Going down row by row scrolls where it must and keeps the column: then there is room below, and the place that
    # the cursor returns to does not move. Who wrote around us may have left the cursor on a row of ours.
    room = "\x1b[K" + "\x1bD" * len(rows) + f"\x1b[{len(rows)}A"
    return f"{room}\x1b7{''.join(f'{_NEXT}{row}{_REST}' for row in rows)}\x1b[J\x1b8"


def is_at_a_prompt() -> bool:
    """Whether the main thread waits in a debugger or a console: what moves below it would only distract."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001  # documented, "for debuggers"
    for _ in range(4):
        if frame is None:
            return False
        if frame.f_globals.get("__name__") in _PROMPTS:
            return True
        frame = frame.f_back
    return False
