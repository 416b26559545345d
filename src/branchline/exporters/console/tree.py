"""The live tree: a run as it happens, redrawn on a terminal a few times a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TextIO

from ..._journal.seen import Seen, Summary
from ...links import NOWHERE, Links
from ...progress_values import Progress
from .frame import Frame
from .picture import Picture
from .screen import Screen, is_at_a_prompt
from .summary import summary_rows
from .text import Row, ansi, for_encoding, glyphs_for


# Eight a second: smooth enough for a spinner, and nothing to the processor.
_REDRAW_NANO = 125_000_000


class LiveTree:
    """Draws the run as a tree; the application's own prints go above it."""

    def __init__(
        self,
        stream: TextIO,
        *,
        levels: int,
        links: Links = NOWHERE,
        is_coloured: bool = True,
        now_unix_nano: Callable[[], int] = time.time_ns,
        works: Callable[[], Sequence[Progress]] = tuple,
    ) -> None:
        encoding = getattr(stream, "encoding", None)
        self._encoding = encoding
        self._glyphs = glyphs_for(encoding)
        self._links = links
        self._is_coloured = is_coloured
        self._now = now_unix_nano
        self._works = works
        self._drawn_at = 0
        self._is_changed = False
        self._picture = Picture(levels=levels)
        self._frame = Frame(self._picture, self._glyphs)
        self._screen = Screen(stream)

    def __repr__(self) -> str:
        return f"<LiveTree of {self._picture!r}>"

    def listen(self, ended: Sequence[Seen], open_: Sequence[Seen]) -> None:
        """Take what happened, and redraw if it is time."""
        if not self._screen.outlet.is_mine:
            return
        self._picture.take(ended, open_)
        now = self._now()
        works = self._works()
        self._is_changed = self._is_changed or bool(ended or open_ or works)
        if not self._is_changed or now - self._drawn_at < _REDRAW_NANO:
            return
        if is_at_a_prompt():
            return
        self._is_changed = bool(open_)
        self._drawn_at = now
        self._picture.settle()
        self._picture.work(works)
        self._screen.draw(self._lines(now))

    def close(self, summary: Summary) -> None:
        """Leave the whole tree, as far as it fits, and the summary below it."""
        if not self._screen.outlet.is_mine:
            self._screen.leave()
            return
        self._picture.settle(is_over=True)
        self._picture.work(self._works())
        rows = summary_rows(summary, self._picture, self._glyphs, self._links, width=self._width())
        # The summary is never drawn over: a path to be copied may wrap, and must not be cut.
        lines = [*self._lines(self._now(), is_final=True), *(self._line(row, 1 << 16) for row in rows)]
        self._screen.close("".join(f"{line}\n" for line in lines))

    def _lines(self, now: int, *, is_final: bool = False) -> list[str]:
        width, height = self._width(), self._screen.outlet.size()[1]
        rows = self._frame.rows(now_unix_nano=now, width=width, height=max(height - 2, 1), is_final=is_final)
        return [self._line(row, width) for row in rows]

    def _width(self) -> int:
        # With its last column taken, a terminal's cursor is neither on this row nor on the next.
        return self._screen.outlet.size()[0] - 1

    def _line(self, row: Row, width: int) -> str:
        return for_encoding(ansi(row, width, is_coloured=self._is_coloured), self._encoding)
