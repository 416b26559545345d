"""Leaks: what is secret in log files that somebody has written already."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .._files.compression import unpacked
from .._files.encryption import key_of
from .._files.rotated import rotated_files
from ..redaction import Redactor


@dataclass(frozen=True, kw_only=True)
class Leak:
    """One line with something secret in it."""

    file: str
    line: int
    text: str
    """The line, without what is secret."""


def find_leaks(
    path: str | os.PathLike[str], redactor: Redactor | None = None, *, encryption: bytes | str | None = None
) -> Iterator[Leak]:
    """Yield the lines of the file at *path*, and of what was rotated away from it, that should not say what they do.

    *encryption* is what the sink's was.

    Raises:
        OSError: for a file that cannot be read.
        ArchiveError: for one that was encrypted with another key.
    """
    chosen = Redactor() if redactor is None else redactor
    place = Path(path)
    for file in [*(each.path for each in rotated_files(place)), place]:
        with unpacked(file, key_of(encryption)) as lines:
            for number, line in enumerate(lines, start=1):
                text = line.decode("utf-8", "backslashreplace").rstrip("\n")
                clean = chosen.text(text)
                if clean != text:
                    yield Leak(file=file.name, line=number, text=clean)
