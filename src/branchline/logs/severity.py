"""How severe a log record is: the levels of the logging module, in OpenTelemetry's numbers and words."""

from __future__ import annotations

import logging
from typing import Final

from .. import names


_NUMBERS: Final = {
    **{word: 4 * place + 1 for place, word in enumerate(names.SEVERITIES[1:])},
    **{f"{word}{step}": 4 * place + step for place, word in enumerate(names.SEVERITIES[1:]) for step in (2, 3, 4)},
    "WARNING": 13,
    "CRITICAL": 21,
}


def number_of(level: int) -> int:
    """Return OpenTelemetry's number for a *level* of the logging module: 9 for INFO, 10 for the one above it."""
    if level < logging.DEBUG:
        return 1 if level > 0 else 0
    tens, rest = divmod(min(level, 59), 10)
    return 4 * tens + 1 + min(rest, 3)


def word_of(number: int) -> str:
    """Return what OpenTelemetry calls the severity with this *number*; nothing for none."""
    return names.SEVERITIES[(number + 3) // 4]


def named(severity: object) -> int | None:
    """Return the number of a *severity*: one of OpenTelemetry's names or of the logging module's, or its number."""
    # By the type alone: some objects raise when they are asked for their class.
    kind = type(severity)
    if issubclass(kind, int):
        return number_of(int(severity))  # type: ignore[call-overload]  # it is one
    return _NUMBERS.get(str.strip(severity).upper()) if issubclass(kind, str) else None  # type: ignore[arg-type]  # it is
