"""Escapes: text that cannot steer a terminal, nor look like more lines than it is."""

from __future__ import annotations

import re
from typing import Final


# Colours, cursor movements, titles of windows: what a terminal would obey, whole.
_ANSI: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[@-Z\\-_])"
)
# Control characters, separators of lines, what turns the direction of writing, and halves of characters.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROL_IN_LINES: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def without_ansi(text: str) -> str:
    """Return *text* without what a terminal would obey."""
    return _ANSI.sub("", text) if "\x1b" in text else text


def on_one_line(text: str) -> str:
    """Return *text* on one line: what is no character to be seen is written as its escape."""
    return text if text.isprintable() else _CONTROL.sub(_escape, without_ansi(text))


def on_lines(text: str) -> str:
    """Return the same, where several lines are meant: they and tabs stay."""
    return text if text.isprintable() else _CONTROL_IN_LINES.sub(_escape, without_ansi(text))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
