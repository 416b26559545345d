"""Displays: work as bars on a terminal and in a notebook, as lines elsewhere, where no run shows it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final, TextIO

from ..exporters.console.bars import bar_rows
from ..exporters.console.listener import choose
from ..exporters.console.screen import Outlet, Screen, behind, is_at_a_prompt
from ..exporters.console.text import ansi, for_encoding, glyphs_for
from ..exporters.console.told import Told
from ..progress_values import Progress, clock
from ..standing_redaction import standing_redactor
from .work import Display, Shown


# What takes no longer is seen at its end.
_SOON_SECONDS: Final = 0.1


def stream_of(shown: Shown) -> TextIO | None:
    """Return the stream that something is to be *shown* on, itself, whatever stands in for it now."""
    stream: TextIO | None = shown.other or getattr(sys, shown.stream, None)
    if shown.is_rich and shown.other is None and _is_terminal(stream) and _is_terminal(sys.stderr):
        # There, the application's own prints are known to go above the bars.
        stream = sys.stderr
    return None if stream is None else behind(stream)


def display_for(stream: TextIO | None, *, is_rich: bool) -> Display:
    """Return what shows work on *stream*: with bars, where it can and *is_rich* says that it may."""
    if is_rich and is_notebook() and stream in (sys.stdout, sys.stderr):
        # IPython is where it is, and nowhere else.
        from .notebook import NotebookBars

        return NotebookBars(stream)
    if is_rich and stream is not None and _is_terminal(stream):
        return Bars(stream)
    return Lines(stream)


def is_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    return "ipykernel" in sys.modules and "IPython" in sys.modules


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        is_terminal = stream is not None and stream.isatty()
    except Exception:  # a closed stream, or something that only looks like one
        return False
    kind = choose("auto", verbosity="REGULAR", is_terminal=is_terminal, is_notebook=False, environ=os.environ)
    return kind == "tree"


class Bars:
    """Bars below the cursor of a terminal; what has ended stays above them."""

    is_prompt = False

    def __init__(self, stream: TextIO) -> None:
        self.stream: TextIO = stream
        self._encoding = getattr(stream, "encoding", None)
        self._glyphs = glyphs_for(self._encoding)
        self._is_coloured = not os.environ.get("NO_COLOR")
        self._screen: Screen | None = None
        self._told = Told()
        self._spin = 0

    def show(self, working: Sequence[Progress]) -> None:
        """Draw what has gone on for a moment."""
        seen = [work for work in working if work.elapsed_seconds >= _SOON_SECONDS]
        if (not seen and self._screen is None) or is_at_a_prompt():
            return
        if self._screen is None:
            self._screen = Screen(self.stream)
        self._spin += 1
        columns, height = self._screen.outlet.size()
        rows = [self._line(row, columns - 1) for row in bar_rows(seen, self._glyphs, self._spin)]
        self._screen.draw(rows[-max(height - 2, 1) :])

    def end(self, ended: Progress, working: Sequence[Progress]) -> None:
        """Leave a line of what has *ended*, unless it was part of something, or one of many."""
        text = ""
        is_top = not any(work.task_id == ended.parent_id for work in working)
        if is_top and self._told.is_news(ended):
            [row] = bar_rows([ended], self._glyphs, 0)
            text = self._line(row, 1 << 16) + "\n"
        screen = self._screen
        if working and screen is not None:
            if text:
                screen.pass_through(self.stream, text)
            self.show(working)
        elif screen is not None:
            screen.close(text)
            self._screen = None
        elif text:
            Outlet(self.stream).write(text, timeout_seconds=1.0)

    def hide(self) -> None:
        """Take the bars away."""
        if self._screen is not None:
            self._screen.close("")
            self._screen = None

    def _line(self, row: Sequence[tuple[str, str]], width: int) -> str:
        redactor = standing_redactor()
        clean = [(redactor.text(text), style) for text, style in row]
        return for_encoding(ansi(clean, width, is_coloured=self._is_coloured), self._encoding)


class Lines:
    """One line for each change in per cent, as `[INFO] load... (3/10) [00:02 elapsed, ETA 00:05]`."""

    is_prompt = True

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        self._outlet = None if stream is None else Outlet(stream)
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._told = Told()

    def show(self, working: Sequence[Progress]) -> None:
        """Write what has changed."""
        for work in working:
            if self._told.is_news(work):
                self._write(_line(work))

    def end(self, ended: Progress, working: Sequence[Progress]) -> None:
        """Write how far it came, if that is not known yet; of a failure, why."""
        is_news = self._told.is_news(ended)
        if ended.outcome == "failed" and ended.message:
            self._write(f"[ERROR] {ended.message} ({ended.description}, {_counted(ended)})")
        elif is_news:
            self._write(_line(ended))

    def hide(self) -> None:
        """Write nothing."""

    def _write(self, line: str) -> None:
        if self._outlet is not None and self._outlet.is_mine:
            printable = "".join(char if char.isprintable() else " " for char in standing_redactor().text(line))
            self._outlet.write(for_encoding(printable, self._encoding) + "\n", timeout_seconds=0.5)


def _line(work: Progress) -> str:
    took, eta = clock(work.elapsed_seconds), 0.0 if work.outcome == "success" else work.eta_seconds
    return f"[INFO] {work.description}... ({_counted(work)}) [{took} elapsed, ETA {clock(eta)}]"


def _counted(work: Progress) -> str:
    """Return how much is done in plain digits, which another program may read."""
    return _plain(work.done) if work.total is None else f"{_plain(work.done)}/{_plain(work.total)}"


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"
