"""The Loggers of this process, by name."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from ..errors import ConfigError
from ..values import Value, freeze
from .configured import Wish, wish_of
from .desks import Desk
from .levels import SUCCESS, TRACE
from .logger import Logger
from .unused import is_known


RUN_ID_VARIABLE: Final = "LAKEHOUSE_CONTEXT_RUN_ID"


class Registry:
    """The Loggers that there are, and the level of those that nobody has decided on."""

    def __init__(self) -> None:
        self.default_level = logging.INFO
        self._loggers: dict[str, Logger] = {}
        self._desks: dict[str, Desk] = {}
        self._lock = threading.RLock()
        # Structured loggers by name, and what makes one that there is not yet.
        self.structured: dict[str, Any] = {}
        self.structured_maker: Callable[[str], Any] | None = None

    def logger(self, name: str, wish: Wish | None, bound: Mapping[str, Value]) -> Logger:
        """Return the Logger called *name*; a *wish* replaces what was wished for before."""
        with self._lock:
            desk = self._desks.get(name)
            if desk is None:
                _name_levels()
                desk = self._desks[name] = self._made_desk(name)
                # A name that was closed and is asked for again.
                self._loggers.pop(name, None)
            if wish is not None:
                desk.fulfil(wish)
            self.settle()
            logger = self._loggers.get(name)
            if logger is None or (bound and logger.bound != bound):
                logger = self._loggers[name] = Logger(desk, bound)
            return logger

    def _made_desk(self, name: str) -> Desk:
        is_ours = not is_known(name)
        return Desk(logging.getLogger(name), left=lambda: self._forget(name), again=_again, is_ours=is_ours)

    def settle(self) -> None:
        """Give every Logger the default level, but where a logger above it has one that somebody has decided on."""
        with self._lock:
            for desk in list(self._desks.values()):
                desk.is_contextual = self._is_contextual(desk)
                if desk.under is logging.root:
                    continue
                if self._is_decided_above(desk.under):
                    desk.inherit_level()
                else:
                    desk.set_default_level(self.default_level)

    def set_default_level(self, level: int) -> None:
        """Let *level* and above through wherever nobody has decided otherwise."""
        self.default_level = level
        self.settle()

    @contextmanager
    def letting_through(self, name: str, level: int) -> Iterator[None]:
        """Let *level* and above through at the Logger called *name*, for those of its sinks that want it."""
        with self._lock:
            desk = self._desks.get(name)
            if desk is not None:
                desk.let_through(level)
        try:
            yield
        finally:
            with self._lock:
                if desk is not None and self._desks.get(name) is desk:
                    desk.hold_back(level)

    def close(self) -> None:
        """Close every Logger, and be as if there had been none."""
        for desk in list(self._desks.values()):
            desk.leave(None)
        self.default_level = logging.INFO
        self.structured.clear()
        self.structured_maker = None

    def _is_decided_above(self, logger: logging.Logger) -> bool:
        above = logger.parent
        while above is not None and above is not logging.root:
            if above.level != logging.NOTSET:
                desk = self._desks.get(above.name)
                return desk is None or not desk.is_open
            above = above.parent
        return False

    def _is_contextual(self, desk: Desk) -> bool:
        found: Desk | None = desk
        name = desk.under.name
        while found is None or found.says_context is None:
            if not name:
                return True
            name = name.rpartition(".")[0]
            found = self._desks.get(name)
        return found.says_context

    def _forget(self, name: str) -> None:
        with self._lock:
            self._desks.pop(name, None)
            self._loggers.pop(name, None)


LOGGERS: Final = Registry()


def get_logger(name: str, config: Mapping[str, object] | None = None, *, run_id: str | None = None) -> Logger:
    """Return the Logger called *name*: one for each name, on top of the logging module's.

    *config* says where its records go besides, and from which level on: ``log_dir``, ``stdout``, ``level``, and
    whatever a sink takes. Asked for again with another one, that replaces the first; without, it stays. *run_id*, else
    the variable ``LAKEHOUSE_CONTEXT_RUN_ID``, is a field of every record.

    Raises:
        ConfigError: for a name, a key or a value that is not accepted.
    """
    if not isinstance(name, str) or not name or "\0" in name:  # type: ignore[redundant-expr]  # or it is none
        msg = f"name={name!r} is not accepted; accepted: a text that is not empty"
        raise ConfigError(msg)
    said = run_id or os.environ.get(RUN_ID_VARIABLE)
    bound: dict[str, Value] = {"run_id": freeze(said)} if said else {}
    return LOGGERS.logger(name, None if config is None else wish_of(name, config), bound)


# What LakeTrace's users call it.
create_logger = get_logger
get_laketrace_logger = get_logger


def _again(name: str, bound: Mapping[str, Value]) -> Logger:
    """Return a Logger that was taken to another process."""
    return get_logger(name).bind(**bound)


def _name_levels() -> None:
    """Tell the logging module what our levels are called, unless somebody has told it before."""
    for number, name in ((TRACE, "TRACE"), (SUCCESS, "SUCCESS")):
        if logging.getLevelName(number) == f"Level {number}":
            logging.addLevelName(number, name)
