"""What went wrong inside: counted by kind, said once on stderr, never raised into user code."""

from __future__ import annotations

import sys
import time
from typing import Final

from ..standing_redaction import standing_redactor


_REPEAT_AFTER_SECONDS: Final = 60.0
# Whoever calls a thousand models by a thousand names has read it by then.
_MOST_SAID: Final = 200


class Notices:
    """Counts oddities of what was recorded and failures of ours."""

    def __init__(self, *, strict: bool) -> None:
        """Count; *strict* raises failures of ours, for tests."""
        self._strict = strict
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.counts: dict[str, int] = {}
        self._said: dict[str, float] = {}

    def odd(self, kind: str) -> None:
        """Count something odd in what was recorded; the rest of the record arrives."""
        self._count(kind)
        if kind not in self._said:
            self.once(kind, f"recorded something odd ({kind}); written in another form, and counted in process.json")

    def failed(self, what: str, error: BaseException) -> None:
        """Count a failure while recording *what*."""
        kind = f"failed_{what}"
        self._count(kind)
        self.once(kind, f"could not record {what}: {type(error).__name__}: {said(error)}")
        if self._strict:
            raise error

    def noted(self, kind: str, text: str, about: str = "") -> None:
        """Count something that is not ours to mend, and say *text* the first time for what it is *about*."""
        self._count(kind)
        if len(self._said) < _MOST_SAID:
            self.once(f"{kind} {about}" if about else kind, text)

    def _count(self, kind: str) -> None:
        if kind not in self.counts:
            self.counts.setdefault(kind, 0)
        # Without a call in it, this is one step for other threads and for signal handlers: nothing is miscounted.
        self.counts[kind] += 1

    def once(self, kind: str, text: str) -> None:
        """Say *text* on stderr, for each *kind* once."""
        now = time.monotonic()
        # Of several threads that come at once, only the one whose time was kept speaks.
        if kind not in self._said and self._said.setdefault(kind, now) is now:
            say(text)

    def at_most_each_minute(self, kind: str, text: str) -> None:
        """Say *text* on stderr unless the same *kind* was said within the last minute."""
        now = time.monotonic()
        if now - self._said.get(kind, -_REPEAT_AFTER_SECONDS) >= _REPEAT_AFTER_SECONDS:
            self._said[kind] = now
            say(text)


def say(text: str) -> None:
    """Print one line on stderr, if there is one, without what looks like a secret: it may quote somebody."""
    try:
        clean = standing_redactor().text(f"branchline: {text}")
        line = "".join(character if character.isprintable() else " " for character in clean)
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except Exception:  # closed, missing, replaced by something odd, or being written to by what a handler interrupted
        return


def said(error: BaseException) -> str:
    """Return what *error* says, whatever its ``__str__`` does."""
    try:
        return str(error)
    except Exception:  # user code
        return "<unprintable>"
