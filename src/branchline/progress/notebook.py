"""Bars in a notebook: below the cell, redrawn in place."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from ..exporters.console.bars import bar_rows
from ..exporters.console.text import UNICODE, plain
from ..progress_values import Progress
from ..standing_redaction import standing_redactor


# The colours of a terminal, readable on light and dark pages alike.
_COLOURS = {"cyan": "#0891b2", "green": "#16a34a", "red": "#dc2626", "yellow": "#ca8a04", "magenta": "#a21caf"}


class NotebookBars:
    """Bars as one output of the cell that works; what has ended stays in it."""

    is_prompt = False

    def __init__(self, stream: object) -> None:
        self.stream = stream
        self._ended: list[Progress] = []
        self._handle: Any = None
        self._spin = 0

    def show(self, working: Sequence[Progress]) -> None:
        """Draw what goes on, below what has ended."""
        self._spin += 1
        bars = bar_rows([*self._ended[-10:], *working], UNICODE, self._spin)
        redactor = standing_redactor()
        rows = [[(redactor.text(text), style) for text, style in row] for row in bars]
        markup = "\n".join("".join(_styled(text, style) for text, style in row) for row in rows)
        bundle = {
            "text/plain": "\n".join(plain(row) for row in rows),
            "text/html": f'<pre style="line-height:1.2">{markup}</pre>',
        }
        if self._handle is None:
            # There is no notebook without it.
            from IPython.display import display  # type: ignore[import-not-found,unused-ignore]

            self._handle = display(bundle, raw=True, display_id=True)
        elif self._handle is not None:
            self._handle.update(bundle, raw=True)

    def end(self, ended: Progress, working: Sequence[Progress]) -> None:
        """Keep what has *ended*; with the last of all, the output is finished."""
        if not any(work.task_id == ended.parent_id for work in working):
            self._ended.append(ended)
        self.show(working)
        if not working:
            self._ended.clear()
            self._handle = None

    def hide(self) -> None:
        """Leave what is there as it is."""


def _styled(text: str, style: str) -> str:
    escaped = html.escape(text)
    if style in _COLOURS:
        return f'<span style="color:{_COLOURS[style]}">{escaped}</span>'
    return f'<span style="opacity:.6">{escaped}</span>' if style == "dim" else escaped
