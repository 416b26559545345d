"""Handlers: the sinks of one logger, by id."""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from .. import names
from . import changes
from .accounts import Account, complain, said
from .handler import Handler, Until
from .handler_config import handler_of
from .records import Record
from .reports import SinkReport, brought_up_to_date, report_of
from .sinks.files import FileSink


# What is not written at the end of the process within this time is counted, and given up.
EXIT_SECONDS: Final = 2.0

_TOLD: Final = (str, int, float, bool)
# A URL may have a password in it, and these are keys, or may be.
_UNTOLD: Final = ("sink", "integrity", "encryption", "headers")
_BLOCK: Final = 64 * 1024
# Whose reports are kept though they are closed.
_MOST_ENDED: Final = 100


class _Registry:
    """The ids of all handlers of the process, and who has some to be closed at its end."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin with the first id again; for tests."""
        self.ids = itertools.count(1)
        self.owners: weakref.WeakSet[Handlers] = weakref.WeakSet()
        # With what is counted after the end: whoever had a record in hand then comes too late with it.
        self.ended: deque[tuple[SinkReport, Account]] = deque(maxlen=_MOST_ENDED)


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

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._handlers)

    # ── which ones ────────────────────────────────────────────────────────────────────────────────

    def add(self, config: Mapping[str, object]) -> int:
        """Add the sink that *config* describes, and return its id, which no other one ever gets.

        Raises:
            ConfigError: for a key or a value that is not accepted.
        """
        handler = handler_of(config, next(registry.ids))
        with self._mutex:
            # What is set up before anything is logged is no change.
            is_change = any(other.account.created for other in self._handlers)
            self._use((*self._handlers, handler))
        if is_change:
            _tell("added", handler, config)
        return handler.id

    def remove(self, handler_id: int) -> None:
        """Write what waits for one sink, and close it; an id that there is not is no error."""
        with self._mutex:
            gone = [handler for handler in self._handlers if handler.id == handler_id]
            self._use(tuple(handler for handler in self._handlers if handler.id != handler_id))
        for handler in gone:
            _end(handler, None)
            if handler.account.created:
                _tell("removed", handler, {})

    def remove_all(self) -> None:
        """Do the same for every sink."""
        for handler in self._handlers:
            self.remove(handler.id)

    def _use(self, handlers: tuple[Handler, ...]) -> None:
        self._handlers = handlers
        self._lowest = min((handler.level for handler in handlers), default=0)

    # ── records ───────────────────────────────────────────────────────────────────────────────────

    def handle(self, record: logging.LogRecord) -> None:
        """Give *record* to every sink; raises only for one that has ``catch=False``, and then at last."""
        if record.levelno < self._lowest or not self._handlers:
            return
        try:
            ours = Record.of(record)
        except Exception as error:  # a record that somebody has made something odd of
            complain(f"could not take a log record: {said(error)}")
            return
        self.give(ours)

    def give(self, record: Record) -> None:
        """Do the same with a *record* of ours that knows where it was made."""
        level = record.levelno
        failure: Exception | None = None
        for handler in self._handlers:
            if level >= handler.level:
                try:
                    handler.take(record)
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
        return not [handler for handler in gone if not _end(handler, until.left())]


def _end(handler: Handler, timeout: float | None) -> bool:
    is_complete = handler.close(timeout)
    registry.ended.append((report_of(handler, is_closed=True), handler.account))
    return is_complete


def _tell(what: str, handler: Handler, config: Mapping[str, object]) -> None:
    """Note in the run that is being recorded that a sink was added or removed, and how it was set up."""
    # What is no text or number says little.
    told = {f"set.{key}": value for key, value in config.items() if key not in _UNTOLD and isinstance(value, _TOLD)}
    name = handler.account.name
    changes.tell(f"sink {handler.id} {what}: {name}", {names.SINK: name, **told})


def reports() -> tuple[SinkReport, ...]:
    """Return what became of the records of every sink of the process, those that are closed first."""
    found = [report_of(handler) for handlers in list(registry.owners) for handler in handlers]
    ended = [brought_up_to_date(report, account) for report, account in list(registry.ended)]
    return (*ended, *sorted(found, key=lambda report: report.handler_id))


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


def empty_queues(timeout: float) -> None:
    """Have lines made, within *timeout* seconds, of all that waits in queues, as is right for them now."""
    until = Until(timeout)
    for handlers in list(registry.owners):
        for handler in handlers:
            if handler.queue is not None:
                handler.queue.flush(until.left())


def close_all(timeout: float | None = EXIT_SECONDS) -> None:
    """Close the sinks of all loggers, as at the end of the process."""
    until = Until(timeout)
    for handlers in list(registry.owners):
        handlers.close(until.left())


atexit.register(close_all)


def _forget_ended() -> None:
    registry.ended.clear()


# A forked child counts its own.
os.register_at_fork(after_in_child=_forget_ended)
