"""Joining a logger provider that the application has set: its log records, written to the journal."""

from __future__ import annotations

from typing import Any

from .._journal.belonging import Scope
from ..log_api import said_in
from ..values import freeze
from .log_taker import LogTaker
from .taken import is_marked, mark


_MOST_SCOPES = 10_000


class JournalLogProcessor:
    """A log record processor for the application's provider; while nothing is recorded, it does nothing.

    It has what the SDK asks of a processor, and not its class: nobody who has no such provider loads it.
    """

    def __init__(self, taker: LogTaker) -> None:
        """Give what it is shown to *taker*."""
        self._taker = taker
        self._scopes: dict[int, tuple[Any, Scope]] = {}

    def on_emit(self, log_record: Any) -> None:
        """Take a log record."""
        try:
            # What a processor copies is the record inside.
            record = getattr(log_record, "log_record", log_record)
            if not is_marked(record):
                mark(record)
                self._taker.emit(self._scope_of(log_record.instrumentation_scope), said_in(log_record))
        except Exception as error:  # an exception here would reach the application
            self._taker.failed(error)

    def _scope_of(self, theirs: Any) -> Scope:
        """Return the scope that stands for *theirs*, the same every time."""
        known = self._scopes.get(id(theirs))
        if known is not None and known[0] is theirs:
            return known[1]
        if len(self._scopes) >= _MOST_SCOPES:
            self._scopes.clear()
        attributes = {str(key): freeze(value) for key, value in (theirs.attributes or {}).items()}
        made = Scope(theirs.name or "", theirs.version or None, theirs.schema_url or None, attributes)
        self._scopes[id(theirs)] = (theirs, made)
        return made

    def enabled(self, *, context: Any = None, **_: Any) -> bool:
        """Whether it would take such a record."""
        return self._taker.is_taking(context)

    def shutdown(self) -> None:
        """Do nothing: the journal has an end of its own."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Write everything to the journal."""
        pipeline = self._taker.pipeline
        return pipeline is None or pipeline.flush(timeout_millis / 1000)
