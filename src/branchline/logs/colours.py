"""Colours: of levels and of a few words, for terminals alone."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Final, TextIO


_RESET: Final = "\x1b[0m"
_OF_LEVELS: Final = {
    "TRACE": "\x1b[2m",
    "DEBUG": "\x1b[36m",
    "INFO": "\x1b[37m",
    "SUCCESS": "\x1b[32m",
    "WARNING": "\x1b[33m",
    "ERROR": "\x1b[91m",
    "CRITICAL": "\x1b[31m",
}
_OF_WORDS: Final = {"FAILED": "\x1b[31m", "WARNING": "\x1b[33m", "CREATED": "\x1b[32m", "DONE": "\x1b[34m"}
_WORD: Final = re.compile(rf"\b(?:{'|'.join(_OF_WORDS)})\b", re.IGNORECASE)

Painter = Callable[[str, str], str]


def is_coloured(wish: object, stream: TextIO | None) -> bool:
    """Whether lines on *stream* have colours: True and False decide; else it is a terminal, and nobody objects."""
    if stream is None or wish is False:
        return False
    if wish is True:
        return True
    try:
        is_terminal = stream.isatty()
    except (AttributeError, ValueError):
        return False
    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted_level(text: str, level: str) -> str:
    """Return *text* in the colour of *level*."""
    colour = _OF_LEVELS.get(level)
    return text if colour is None else f"{colour}{text}{_RESET}"


def painted_message(text: str, level: str) -> str:
    """Return *text* in the colour of *level*, with the words that have a colour of their own in that."""
    after = _RESET + _OF_LEVELS.get(level, "")
    return painted_level(_WORD.sub(lambda found: f"{_OF_WORDS[found[0].upper()]}{found[0]}{after}", text), level)
