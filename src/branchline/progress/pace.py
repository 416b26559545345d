"""Pace: how fast items get done, smoothed, by a clock that nobody can set."""

from __future__ import annotations

from collections import deque
from typing import Final


# What was so long ago counts half: a pace of late, which one odd item does not change much.
_HALF_LIFE_SECONDS: Final = 30.0
# The same in items, where these take long.
_HALF_LIFE_ITEMS: Final = 10.0
# Items that come in batches are seen as one long gap before each: of the latest gaps, one in ten may be longer.
_GAPS: Final = 50
_USUAL: Final = 0.9
# With fewer looks than these that found something new, nobody can say what is usual.
_FEWEST_ITEMS: Final = 3


class Pace:
    """What looks at a count have shown, *now* being any clock in seconds that only goes forward."""

    __slots__ = ("_at", "_began", "_done", "_gaps", "_items", "_seconds")

    def __init__(self, now: float) -> None:
        """Begin *now*, with nothing done."""
        self._began = self._at = now
        self._done: float = 0
        self._items = 0.0
        self._seconds = 0.0
        self._gaps: deque[float] = deque(maxlen=_GAPS)

    def look(self, now: float, done: float, *, is_stall: bool = False) -> None:
        """Take note that *done* items are done *now*; what was waited for in a stall is not usual."""
        more = done - self._done
        if not more:
            return
        passed = now - self._at
        if more > 0 and passed > 0:
            half_life = max(_HALF_LIFE_SECONDS, _HALF_LIFE_ITEMS * (now - self._began) / done)
            kept: float = 0.5 ** (passed / half_life)
            self._items = self._items * kept + more
            self._seconds = self._seconds * kept + passed
            if not is_stall:
                self._gaps.append(passed)
        elif more > 0:
            # Two looks at once: its time is with those before it.
            self._items += more
        # A count that was set back says nothing about how fast it grows.
        self._done, self._at = done, now

    @property
    def rate(self) -> float | None:
        """Items a second; None while nobody can say."""
        return self._items / self._seconds if self._seconds > 0 and self._items > 0 else None

    def eta_seconds(self, now: float, total: float | None) -> float | None:
        """Return how long the rest of *total* will take; None while nobody can say. Never less than nothing."""
        rate = self.rate
        if total is None or rate is None or self._done <= 0:
            return None
        left = total - self._done
        # It grows less while an item is under way, and waits for one that takes longer than usual.
        return max(left / rate - (now - self._at), (left - 1) / rate, 0.0) if left > 0 else 0.0

    def waited(self, now: float) -> float:
        """Return how long nothing has been done."""
        return now - self._at

    def usual_seconds(self) -> float | None:
        """Return how long an item, or a batch of them, usually takes; None while nobody can say."""
        if self._done < _FEWEST_ITEMS or not self._gaps:
            return None
        return sorted(self._gaps)[int(len(self._gaps) * _USUAL)]
