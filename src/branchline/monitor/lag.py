"""How late an event loop is: a heartbeat in the loop, which others look at."""

from __future__ import annotations

import contextvars
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle

# What blocks a loop for less hurts nobody, and ten wake-ups a second cost next to nothing.
_PERIOD_SECONDS: Final = 0.1


class LoopProbe:
    """Measures how late one event loop calls what is due; also one that hangs, for it is others who ask."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        """Begin in *loop*, from any thread."""
        self.loop = loop
        self._worst = 0.0
        self._is_over = False
        self._handle: TimerHandle | None = None
        self._due = time.monotonic()
        loop.call_soon_threadsafe(self._beat, context=contextvars.Context())

    def _beat(self) -> None:
        if self._is_over:
            return
        now = time.monotonic()
        self._worst = max(self._worst, now - self._due)
        self._due = now + _PERIOD_SECONDS
        # In no context of anybody: whoever began this may be in a step, which ends.
        self._handle = self.loop.call_later(_PERIOD_SECONDS, self._beat, context=contextvars.Context())

    def lag(self) -> float | None:
        """Return how many seconds late it was at most since this was last asked; None for a loop that has ended."""
        if self.loop.is_closed():
            return None
        worst, self._worst = self._worst, 0.0
        return max(worst, time.monotonic() - self._due, 0.0)

    def close(self) -> None:
        """End."""
        self._is_over = True
        with suppress(RuntimeError):  # the loop has ended before
            self.loop.call_soon_threadsafe(self._cancel, context=contextvars.Context())

    def _cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
