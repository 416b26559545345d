"""Handlers: the sinks of one logger, by id."""

from __future__ import annotations

import atexit
import itertools
import logging
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .accounts import complain, said
from .handler import Handler, Until
from .handler_config import handler_of
from .records import Record
from .sinks.files import FileSink


# What is not written at the end of the process within this time is counted, and given up.
EXIT_SECONDS: Final = 2.0

_BLOCK: Final = 64 * 1024


class _Registry:
    """The ids of all handlers of the process, and who has some to be closed at its end."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin with the first id again; for tests."""
        self.ids = itertools.count(1)
        self.owners: weakref.WeakSet[Handlers] = weakref.WeakSet()


registry: Final = _Registry()


class Handlers:
    """The sinks of one logger: adds them, gives each record to all, takes them away."""

    def __init__(self) -> None:
        """Begin without any."""
        self._mutex = threading.RLock()
        # Replaced as a whole: whoever logs looks through it without a lock.
        self._handlers: tuple[Handler, ...] = ()
        self._lowest = 0
        registry.owners.add(self)

    def __repr__(self) -> str:
        return f"<Handlers {', '.join(str(handler.id) for handler in self._handlers) or 'none'}>"

    def __len__(self) -> int:
        return len(self._handlers)

    def __bool__(self) -> bool:
        return True

    # ── which ones ────────────────────────────────────────────────────────────────────────────────

    def add(self, config: Mapping[str, object]) -> int:
        """Add the sink that *config* describes, and return its id, which no other one ever gets.

        Raises:
            ConfigError: for a key or a value that is not accepted.
        """
        handler = handler_of(config, next(registry.ids))
        with self._mutex:
            self._use((*self._handlers, handler))
        return handler.id

    def remove(self, handler_id: int) -> None:
        """Write what waits for one sink, and close it; an id that there is not is no error."""
        with self._mutex:
            gone = [handler for handler in self._handlers if handler.id == handler_id]
            self._use(tuple(handler for handler in self._handlers if handler.id != handler_id))
        for handler in gone:
            handler.close()

    def remove_all(self) -> None:
        """Do the same for every sink."""
        self.close()

    def _use(self, handlers: tuple[Handler, ...]) -> None:
        self._handlers = handlers
        self._lowest = min((handler.level for handler in handlers), default=0)

    # ── records ───────────────────────────────────────────────────────────────────────────────────

    def handle(self, record: logging.LogRecord) -> None:
        """Give *record* to every sink; raises only for one that has ``catch=False``, and then at last."""
        level = record.levelno
        handlers = self._handlers
        if level < self._lowest or not handlers:
            return
        failure: Exception | None = None
        try:
            ours = Record.of(record)
        except Exception as error:  # a record that somebody has made something odd of
            complain(f"could not take a log record: {said(error)}")
            return
        for handler in handlers:
            if level >= handler.level:
                try:
                    handler.take(ours)
                except Exception as error:  # it is not to catch it
                    failure = error
        if failure is not None:
            raise failure

    # ── what was written ──────────────────────────────────────────────────────────────────────────

    def tail(self, n: int = 50) -> list[str]:
        """Return the last *n* lines of the first file among the sinks."""
        self.flush(1.0)
        for handler in self._handlers:
            if isinstance(handler.sink, FileSink):
                return last_lines(handler.sink.path, n)
        return []

    def flush(self, timeout: float | None = None) -> bool:
        """Write what waits; return whether all of it is written."""
        until = Until(timeout)
        return not [handler for handler in self._handlers if not handler.flush(until.left())]

    def close(self, timeout: float | None = None) -> bool:
        """Write what waits, and close every sink; return whether nothing was dropped."""
        with self._mutex:
            gone = self._handlers
            self._use(())
        until = Until(timeout)
        return not [handler for handler in gone if not handler.close(until.left())]


def last_lines(path: Path, n: int) -> list[str]:
    """Return the last *n* lines of the file at *path*, without reading all of it."""
    if n <= 0:
        return []
    try:
        with path.open("rb") as file:
            at = file.seek(0, 2)
            found = b""
            # One more newline than lines: the first of the lines may be cut.
            while at > 0 and found.count(b"\n") <= n:
                step = min(_BLOCK, at)
                at -= step
                file.seek(at)
                found = file.read(step) + found
    except OSError:
        return []
    return found.decode("utf-8", "replace").splitlines()[-n:]


def close_all(timeout: float | None = EXIT_SECONDS) -> None:
    """Close the sinks of all loggers, as at the end of the process."""
    until = Until(timeout)
    for handlers in list(registry.owners):
        handlers.close(until.left())


atexit.register(close_all)
