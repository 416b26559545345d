"""Levels: the names that people have for how much a record matters, and the numbers of the logging module."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from ..errors import ConfigError


TRACE: Final = 5
SUCCESS: Final = 25

# Above every level there is: what has it lets nothing through, and can be given another one.
NOTHING: Final = 1_000

LEVELS: Final[Mapping[str, int]] = {
    "TRACE": TRACE,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "SUCCESS": SUCCESS,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
    "CRITICAL": logging.CRITICAL,
}
VERBOSITIES: Final[Mapping[str, int]] = {
    "VERBOSE": logging.DEBUG,
    "REGULAR": logging.INFO,
    "QUIET": logging.WARNING,
    "NONE": NOTHING,
}
_ALIASES: Final = {"WARN": logging.WARNING, "FATAL": logging.CRITICAL, "NOTSET": logging.NOTSET}

A_LEVEL: Final = f"{', '.join(LEVELS)}, WARN, FATAL, {', '.join(VERBOSITIES)}, or a number of the logging module"


def level_number(said: object, described: str = "level") -> int:
    """Return the logging module's number for a level: one of our names, in any case, one that was added, or a number.

    Raises:
        ConfigError: for anything else; *described* is what the setting is called.
    """
    if isinstance(said, str):
        name = said.strip().upper()
        for known in (LEVELS, VERBOSITIES, _ALIASES, logging.getLevelNamesMapping()):
            if name in known:
                return known[name]
    elif isinstance(said, int) and not isinstance(said, bool) and said >= 0:
        return said
    msg = f"{described}={said!r} is not accepted; accepted: {A_LEVEL}"
    raise ConfigError(msg)


def level_name(number: int) -> str:
    """Return what a level is called; the names that an application has added count more than ours."""
    name = logging.getLevelName(number)
    return _OURS.get(number, name) if name == f"Level {number}" else name


_OURS: Final = {TRACE: "TRACE", SUCCESS: "SUCCESS", NOTHING: "NONE"}
