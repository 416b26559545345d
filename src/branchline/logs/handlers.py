"""Handlers: the sinks of one logger, by id."""

from __future__ import annotations

import logging
from collections.abc import Mapping


class Handlers:
    """The sinks of one logger: adds them, gives each record to all, takes them away."""

    def add(self, config: Mapping[str, object]) -> int:
        """Add the sink that *config* describes, and return its id, which no other one ever gets.

        Raises:
            ConfigError: for a key or a value that is not accepted.
        """
        raise NotImplementedError

    def remove(self, handler_id: int) -> None:
        """Write what waits for one sink, and close it."""

    def remove_all(self) -> None:
        """Do the same for every sink."""

    def handle(self, record: logging.LogRecord) -> None:
        """Give *record* to every sink; never raises."""

    def tail(self, n: int) -> list[str]:
        """Return the last lines of the first file among the sinks."""
        return []

    def flush(self, timeout: float | None = None) -> bool:
        """Write what waits; true if all of it is written."""
        return True

    def close(self, timeout: float | None = None) -> bool:
        """Write what waits, and close every sink; true if nothing was dropped."""
        return True
