"""What is worked on, as far as a run wants to know: asked here, so that nobody loads what only those need who work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..current import CURRENT


if TYPE_CHECKING:
    from ..progress_values import Progress


def beat() -> None:
    """Record how far everything in this process is that has gone on for a while, as often as is worth it."""
    if CURRENT.board is not None:
        CURRENT.board.beat()


def leave(run_id: str) -> None:
    """Record for the last time how far everything in this process is that belongs to a run that ends."""
    if CURRENT.board is not None:
        CURRENT.board.leave(run_id)


def shown() -> Sequence[Progress]:
    """Return what goes on in this process, and what has ended a moment ago."""
    return () if CURRENT.board is None else CURRENT.board.shown()


def hide() -> None:
    """Have the terminal for a run that begins."""
    if CURRENT.board is not None:
        CURRENT.board.hide()
