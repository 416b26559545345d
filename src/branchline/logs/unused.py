"""Loggers of the logging module that nobody uses any more: it keeps every name for ever."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterator
from typing import Any, Final


# Guards the names of all loggers; it is re-entrant.
_LOCK: Final[Any] = logging._lock  # type: ignore[attr-defined]  # noqa: SLF001  # the logging module has no word for this


def is_known(name: str) -> bool:
    """Whether somebody has asked for the logger called *name*."""
    return isinstance(logging.root.manager.loggerDict.get(name), logging.Logger)


def forget_unused(name: str, logger: weakref.ref[logging.Logger]) -> None:
    """Let the logging module forget a *logger* that it alone has, and that is as it was made."""
    known: dict[str, Any] = logging.root.manager.loggerDict
    with _LOCK:
        found = logger()
        if found is None or found.handlers or found.filters or found.level:
            return
        if known.get(name) is not found:
            return
        del known[name]
        above = list(_placeholders(name, known))
        for _, placeholder in above:
            placeholder.loggerMap.pop(found, None)
        # Nor have we.
        del found
        still = logger()
        if still is not None:
            # Somebody has it, or a logger below it.
            known[name] = still
            for _, placeholder in above:
                placeholder.loggerMap[still] = None
            return
        for prefix, placeholder in above:
            if not placeholder.loggerMap:
                del known[prefix]


def _placeholders(name: str, known: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what stands for the loggers above that nobody has asked for."""
    prefix = name.rpartition(".")[0]
    while prefix:
        if isinstance(known.get(prefix), logging.PlaceHolder):
            yield prefix, known[prefix]
        prefix = prefix.rpartition(".")[0]
