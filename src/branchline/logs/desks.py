"""Desks: what all Loggers of one name share, the logger of the logging module and the sinks."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from .. import names
from . import changes
from .configured import Wish
from .handlers import Handlers
from .levels import level_name, level_number
from .records import Record
from .unused import forget_unused


_NEVER: Final = 1 << 30


class Desk(logging.Handler):
    """The sinks of one name, as a handler of its logger: whoever logs under that name, or below it, gets there."""

    def __init__(
        self,
        under: logging.Logger,
        *,
        left: Callable[[], None],
        again: Callable[[str, Mapping[str, Any]], object],
        is_ours: bool,
    ) -> None:
        """Have no sinks yet; *under* is the logger of the logging module, which had none before us if it *is_ours*.

        *left* is called when all is over; *again* is what makes a Logger of a name and its fields, in any process.
        """
        super().__init__()
        self.under = under
        self._left = left
        self.again = again
        self._is_ours = is_ours
        # Those that have said no level take what the logger lets through. Those that have one may want more, as
        # long as nobody has decided on the logger's.
        self._levelless: Handlers | None = None
        self._levelled: Handlers | None = None
        # By id; None for those that have said none.
        self._levels: dict[int, int | None] = {}
        self.deepest = _NEVER
        self.has_sinks = False
        self.default_level: int | None = None
        # What was decided, and what has to get through all the same.
        self._decided: int | None = None
        self._let_through: list[int] = []
        self._wish: Wish | None = None
        self._wished: list[int] = []
        # Whether records have the fields of the blocks that they are made in, as somebody says, and as it is.
        self.says_context: bool | None = None
        self.is_contextual = True

    def __del__(self) -> None:
        # The last Logger of this name is gone. At the end of the interpreter there may be nothing left to do it with.
        if self.__dict__.get("_is_ours"):
            under = self.__dict__.pop("under")
            logger, name = weakref.ref(under), under.name
            del under
            with suppress(Exception):
                forget_unused(name, logger)

    def createLock(self) -> None:  # noqa: N802  # the logging module's name for it
        """Have none: the sinks look after themselves, and a signal handler that logs must not wait for itself."""
        self.lock = None

    # ── the level ─────────────────────────────────────────────────────────────────────────────────

    @property
    def is_open(self) -> bool:
        """Whether nobody has decided on the level: neither here nor with the logging module."""
        level = self.under.level
        return level in (logging.NOTSET, self.default_level)

    def set_default_level(self, level: int) -> None:
        """Let *level* and above through, until somebody decides."""
        if self.is_open:
            self.under.setLevel(level)
            self.default_level = level
        self._settle()

    def set_level(self, level: int) -> None:
        """Let *level* and above through, whatever the default is; 0 is what the logger above says."""
        self.default_level = None
        self._decided = level
        self.under.setLevel(min([level, *self._let_through]))
        self._settle()

    def decide_level(self, level: int) -> None:
        """Do the same because somebody says so, and note it in the run."""
        before = self.under.getEffectiveLevel()
        self.set_level(level)
        after = self.under.getEffectiveLevel()
        if after != before:
            told = {f"{names.BEFORE_PREFIX}level": level_name(before), f"{names.AFTER_PREFIX}level": level_name(after)}
            words = " to ".join(told.values())
            changes.tell(f"level of {self.under.name} changed from {words}", {names.LOGGER: self.under.name, **told})

    def let_through(self, level: int) -> None:
        """Let *level* and above through as well, whatever is decided, until ``hold_back``."""
        if self._decided is None:
            self._decided = self.under.level
        self._let_through.append(level)
        self.set_level(self._decided)

    def hold_back(self, level: int) -> None:
        """End one call of ``let_through``."""
        self._let_through.remove(level)
        self.set_level(self._decided or logging.NOTSET)

    def inherit_level(self) -> None:
        """Let through what the logger above does, until somebody decides."""
        if self.is_open:
            self.set_level(logging.NOTSET)

    # ── sinks ─────────────────────────────────────────────────────────────────────────────────────

    def add(self, config: Mapping[str, object]) -> int:
        """Add a sink, and return its id."""
        said = config.get("level") if isinstance(config, Mapping) else None  # type: ignore[redundant-expr]  # or it is not
        level = None if said is None else level_number(said)
        if level is None:
            self._levelless = handlers = self._levelless or Handlers()
        else:
            self._levelled = handlers = self._levelled or Handlers()
        added = handlers.add(config)
        self._levels[added] = level
        self._settle()
        return added

    def fulfil(self, wish: Wish) -> None:
        """Have the level and the sinks that somebody wishes for, in place of those of the wish before.

        Raises:
            ConfigError: for a sink that cannot be; then there are those that were there before.
        """
        if self._wish is not None and self._wish.said == wish.said:
            return
        before, added = self._wished, []
        # What is wished for first is no change.
        use_level = self.set_level if self._wish is None else self.decide_level
        try:
            for sink in wish.sinks:
                added.append(self.add(sink))  # noqa: PERF401  # what was added is taken away when the next one fails
        except Exception:
            for handler_id in added:
                self.remove(handler_id)
            raise
        for handler_id in before:
            self.remove(handler_id)
        self._wish, self._wished = wish, added
        self.says_context = wish.is_contextual
        if wish.level is not None:
            use_level(wish.level)

    def remove(self, handler_id: int) -> None:
        """Close one sink; one that is not there is none."""
        if handler_id in self._levels:
            for handlers in self._both():
                handlers.remove(handler_id)
            del self._levels[handler_id]
            self._settle()

    def remove_all(self) -> None:
        """Close every sink."""
        for handler_id in sorted(self._levels):
            self.remove(handler_id)

    def _settle(self) -> None:
        """See what a sink wants that the logger does not let through, and whether there are sinks at all."""
        wanted = [level for level in self._levels.values() if level is not None]
        self.deepest = min(wanted, default=_NEVER) if self.default_level == self.under.level else _NEVER
        self.has_sinks = bool(self._levels)
        if not self.has_sinks:
            self.under.removeHandler(self)
        elif self not in self.under.handlers:
            self.under.addHandler(self)

    def _both(self) -> list[Handlers]:
        return [handlers for handlers in (self._levelless, self._levelled) if handlers is not None]

    # ── records ───────────────────────────────────────────────────────────────────────────────────

    def handle(self, record: logging.LogRecord) -> bool:
        """Give *record* to the sinks; raises for one that has ``catch=False``, and then at last."""
        seen = record if record.__class__ is Record else Record.of(record)
        try:
            if self._levelless is not None:
                self._levelless.give(seen)
        finally:
            if self._levelled is not None:
                self._levelled.give(seen)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Give *record* to the sinks."""
        self.handle(record)

    def handle_below(self, record: logging.LogRecord) -> None:
        """Give *record*, which is below the logger's level, to the sinks that want it all the same."""
        if self._levelled is not None:
            self._levelled.handle(Record.of(record))

    def tail(self, n: int) -> list[str]:
        """Return the last *n* lines of the first file."""
        return next((lines for handlers in self._both() if (lines := handlers.tail(n))), [])

    # ── and their end ─────────────────────────────────────────────────────────────────────────────

    def flush(self, timeout: float | None = None) -> bool:  # type: ignore[override]  # nobody asks a handler
        """Write what waits; true if all of it is written."""
        return sum(not handlers.flush(timeout) for handlers in self._both()) == 0

    def leave(self, timeout: float | None) -> bool:
        """Write what waits, and close every sink; true if nothing was dropped. Logging is as it was."""
        is_whole = sum(not handlers.close(timeout) for handlers in self._both()) == 0
        self._levelless = self._levelled = self._wish = None
        self.says_context, self.is_contextual = None, True
        self._levels.clear()
        self._wished.clear()
        self._let_through.clear()
        self.set_level(logging.NOTSET)
        self.close()
        self._left()
        return is_whole
