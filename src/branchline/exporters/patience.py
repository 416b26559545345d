"""How long to wait before the next try."""

from __future__ import annotations

from random import SystemRandom
from typing import Final


FIRST_SECONDS: Final = 1.0
MOST_SECONDS: Final = 30.0
# What a destination asks for beyond this is not believed.
MOST_ASKED_SECONDS: Final = 300.0
# Not all that were refused at the same moment come back at the same moment.
_JITTER: Final = 0.25

# Not the module's own: an application that seeds it gets the same numbers with and without us.
_random: Final = SystemRandom()


class Patience:
    """Waits that grow while it goes on failing."""

    def __init__(self) -> None:
        self.failures = 0

    def reset(self) -> None:
        """Begin anew: something succeeded."""
        self.failures = 0

    def seconds(self, asked_seconds: float | None = None) -> float:
        """Return how long to wait after one more failure; no less than what the destination *asked* for."""
        wait = min(FIRST_SECONDS * 2.0 ** min(self.failures, 16), MOST_SECONDS)
        self.failures += 1
        spread = _random.uniform(1 - _JITTER, 1 + _JITTER)
        if asked_seconds is None:
            return wait * spread
        return max(min(asked_seconds, MOST_ASKED_SECONDS), wait * spread)
