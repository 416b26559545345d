"""What a server said to a delivery, and who delivers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from ..._journal.layout import Signal


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of one delivery.

    ``accepted``: the server has it. ``partial``: it has all but *rejected* items, which it will never take. ``retry``:
    the same may be sent again later. ``too_large``: half of it may be sent. ``refused``: it never takes this.
    ``unsupported``: it does not speak the protocol, and we have no other to offer.
    """

    kind: Literal["accepted", "partial", "retry", "too_large", "refused", "unsupported"]
    rejected: int = 0  # items the server refused out of those sent ("partial")
    message: str = ""  # what the server said, bounded, redacted
    retry_after_seconds: float | None = None


INTERRUPTED: Final = Answer(kind="retry", message="interrupted")


class Transport(Protocol):
    """Delivers lines of the journal to one destination. One thread sends; any thread may interrupt."""

    def send(self, signal: Signal, lines: Sequence[bytes], *, timeout_seconds: float) -> Answer:
        """Deliver whole journal *lines* of one *signal*, at most about 4 MB together; never raises."""

    def close(self) -> None:
        """Give up connections; nothing is sent afterwards."""

    def interrupt(self) -> None:
        """From another thread: a send that is under way returns soon, with ``retry``."""
