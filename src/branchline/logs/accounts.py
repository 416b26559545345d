"""Accounts: what became of the records that a handler was given, and what is said about it on stderr."""

from __future__ import annotations

import sys
import threading
import time
from typing import Final

from ..standing_redaction import standing_redactor


_REPEAT_AFTER_SECONDS: Final = 60.0
_ASKED_FOR: Final = ("rate_limit", "repeated")
_ERRORS: Final = frozenset({"filter", "formatter", "sink", "refused", "failing", "tidying", "backlog"})


class Account:
    """Counts the records of one handler: created = written + dropped by reason + kept for later + waiting."""

    def __init__(self, name: str) -> None:
        """Count for the handler that people call *name*."""
        self.name = name
        self.reset()

    def reset(self) -> None:
        """Begin anew: a forked child counts its own."""
        self._mutex = threading.RLock()
        self.created = 0
        self.written = 0
        self.kept = 0
        """Left on the disk for the next process."""
        self.caught_up = 0
        """Written for a process before this one; among none of the others."""
        self.waited = 0
        """How often somebody waited for room in the queue."""
        self.seconds = 0.0
        """Spent making lines and writing them."""
        self.dropped: dict[str, int] = {}
        self.errors = 0
        """How often something went wrong, whether a record was lost by it or not."""
        self.last_error = ""
        self._said: dict[str, float] = {}

    @property
    def lost(self) -> int:
        """How many were dropped, for whatever reason."""
        return sum(self.dropped.values())

    @property
    def unintended(self) -> int:
        """How many were dropped though nobody has asked for that."""
        return sum(count for reason, count in self.dropped.items() if reason not in _ASKED_FOR)

    def wrote(self, count: int = 1) -> None:
        """Count records that are where they belong."""
        with self._mutex:
            self.written += count

    def drop(self, reason: str, count: int = 1) -> None:
        """Count records that nobody will find."""
        if count:
            with self._mutex:
                self.dropped[reason] = self.dropped.get(reason, 0) + count

    def say(self, kind: str, text: str) -> None:
        """Say *text* on stderr, unless something of the same *kind* was said within the last minute."""
        if kind in _ERRORS:
            self.errors += 1
            self.last_error = text
        now = time.monotonic()
        if now - self._said.get(kind, -_REPEAT_AFTER_SECONDS) >= _REPEAT_AFTER_SECONDS:
            self._said[kind] = now
            complain(f"{self.name}: {text}")


def complain(text: str) -> None:
    """Print one line on stderr, if there is one, without what looks like a secret: it may quote somebody."""
    try:
        clean = standing_redactor().text(f"branchline: {text}")
        line = "".join(character if character.isprintable() else " " for character in clean)
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except Exception:  # closed, missing, or replaced by something odd
        return


def said(error: BaseException) -> str:
    """Return what *error* is and says, whatever its ``__str__`` does."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # user code
        return type(error).__name__
