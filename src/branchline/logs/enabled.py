"""Logging that an application switches on for a library, with another level in some threads where it wants that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from opentelemetry import context as otel_context

from ..context import attached
from ..errors import ConfigError
from .configured import Wish
from .levels import LEVELS, level_number
from .logger import Logger
from .prepared import IN_FILES, ROOT, get_rt_logger
from .records import Record
from .registry import LOGGERS


LEVEL_VARIABLE: Final = "RT_LOG_LEVEL"
FILE_VARIABLE: Final = "RT_LOG_FILE"

# In OpenTelemetry's context, which goes wherever the current step goes.
_LEVEL_KEY: Final = otel_context.create_key("branchline-log-level")
_ON_TERMINALS: Final = {
    "short": "[+{elapsed:.3f} s] {short_name:<12}: {level:<8} - {message}",
    "full": "[+{elapsed:.3f} s] {logger_name:<12}: {level:<8} - {message}",
}
_LOWEST: Final = min(LEVELS.values())


def enable_logging(
    level: str | int | None = None,
    log_file: str | os.PathLike[str] | None = None,
    *,
    name_style: Literal["short", "full"] = "short",
) -> Logger:
    """Show what ``RT`` and all below it log on stderr, from *level* on, and append it to *log_file*; return ``RT``.

    What is left out is what ``RT_LOG_LEVEL`` and ``RT_LOG_FILE`` say, and without these ``INFO`` and no file. ``NONE``
    shows nothing. Enabling it again replaces all that was said before. ``thread_level`` is for some of the threads.

    Raises:
        ConfigError: for a level or a style that there is not.
    """
    if name_style not in _ON_TERMINALS:
        msg = f"name_style={name_style!r} is not accepted; accepted: {', '.join(_ON_TERMINALS)}"
        raise ConfigError(msg)
    lowest = _said_level(level)
    said_file = os.environ.get(FILE_VARIABLE) or None if log_file is None else log_file
    place = None if said_file is None else Path(said_file)
    # Whichever level the logger has, a thread may have another one: each sink looks at the one that counts.
    shared: dict[str, object] = {"level": _LOWEST, "filter": lambda record: _passes(record, lowest)}
    sinks = [{"sink": "stderr", "format": _ON_TERMINALS[name_style], **shared}]
    if place is not None:
        sinks.append({"sink": place, "format": IN_FILES, **shared})
    get_rt_logger()
    said = {"level": lowest, "log_file": place, "name_style": name_style}
    return LOGGERS.logger(ROOT, Wish(said=said, level=lowest, sinks=tuple(sinks)), {})


@contextmanager
def thread_level(level: str | int) -> Iterator[None]:
    """Let ``enable_logging`` show *level* and above for what is logged inside of the block, in its tasks too.

    Other threads are heard as before: those that have no level of their own have the one that was enabled.

    Raises:
        ConfigError: for a level that there is not.
    """
    number = level_number(level)
    with LOGGERS.letting_through(ROOT, number), attached(otel_context.set_value(_LEVEL_KEY, number)):
        yield


def _said_level(level: str | int | None) -> int:
    if level is not None:
        return level_number(level)
    variable = os.environ.get(LEVEL_VARIABLE, "").strip()
    return level_number(variable or "INFO", f"environment variable {LEVEL_VARIABLE}")


def _passes(record: Record, lowest: int) -> bool:
    # Asked in the thread that logs.
    own = otel_context.get_value(_LEVEL_KEY)
    return record.levelno >= (own if isinstance(own, int) else lowest)
