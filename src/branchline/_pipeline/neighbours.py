"""Who a pipeline works with: its writer, who describes the run, and who begins anew with it in a forked child."""

from __future__ import annotations

import threading
from typing import Any, Protocol


class WriterLike(Protocol):
    """The thread at the other end of the queue."""

    thread: threading.Thread

    def start(self) -> None:
        """Begin."""

    def write_here(self) -> None:
        """Write what is in the queue, in the calling thread."""

    def stop(self, timeout: float, reason: str) -> None:
        """Write what is left and end."""

    def abandon(self) -> None:
        """In a forked child: let go of the parent's files."""


class Described(Protocol):
    """What is known of the run as a whole."""

    changes: int
    """How often something became known; 0: nothing is."""

    def document(self, *, is_ended: bool) -> dict[str, Any]:
        """Return the metadata of the run."""

    def recorded(self) -> dict[str, Any]:
        """Return what was said of it in this process."""


class Undescribed:
    """What is known of a run of which nothing is to be known."""

    changes = 0

    def document(self, *, is_ended: bool) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def recorded(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


class Forkable(Protocol):
    """What begins anew in a forked child."""

    def after_fork(self) -> None:
        """Leave everything to the parent."""
