"""Integrity: lines of JSON that say which line was before them, so that whoever changes or removes one is found out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .._files.compression import unpacked
from .._files.encryption import Key, key_of
from .._files.rotated import rotated_files
from .._files.seals import FIELD, Seals, seal_of


class Chain:
    """Seals one line after the other; a forked child begins a chain of its own."""

    def __init__(self, key: bytes | None) -> None:
        """Seal with *key*, without which nobody can make a seal; with None, everybody can who knows how."""
        self._key = key
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._id = os.urandom(8).hex()
        self._number, self._last = 0, ""

    def sealed(self, line: str) -> str:
        """Return a *line* of JSON with its seal."""
        if self._pid != os.getpid():
            self._begin()
        text = line.removesuffix("\n").removesuffix("}")
        if text == "{":
            # Nothing is said that anybody could change.
            return line
        self._number += 1
        self._last = seal_of(self._key, self._id, self._number, self._last, text)
        return f'{text},"{FIELD}":"{self._id}:{self._number}:{self._last}"}}\n'


@dataclass(frozen=True, kw_only=True)
class Integrity:
    """What is left of the lines of a file, and of what was rotated away from it."""

    sealed: int
    """Lines that are as they were written, where they were written."""
    altered: tuple[str, ...]
    """Lines that are not, as ``app.log:17``: changed, moved or there twice."""
    missing: int
    """How many are gone between others."""
    removed: int
    """How many are gone before the first of each process: retention does that."""
    unsealed: int
    """Lines that never had a seal."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing was changed, and nothing is gone but at the beginning; of the end nobody can tell."""
        return not self.altered and not self.missing


def verify_lines(
    path: str | os.PathLike[str], *, key: bytes | str | None = None, encryption: bytes | str | None = None
) -> Integrity:
    """Look whether the lines in the file at *path*, and in what was rotated away from it, are as they were written.

    *key* is what the sink's ``integrity`` was, and *encryption* what that was.

    Raises:
        OSError: for a file that cannot be read.
        ArchiveError: for one that was encrypted with another key.
    """
    known = Seals(key.encode() if isinstance(key, str) else key)
    place = Path(path)
    for file in [*(each.path for each in rotated_files(place)), place]:
        for number, line in enumerate(_lines(file, key_of(encryption)), start=1):
            known.take(line, f"{file.name}:{number}")
    return Integrity(
        sealed=known.sealed,
        altered=tuple(known.altered),
        missing=known.missing,
        removed=known.removed,
        unsealed=known.unsealed,
    )


def _lines(path: Path, key: Key | None) -> Iterator[str]:
    with unpacked(path, key) as file:
        for line in file:
            yield line.decode("utf-8", "backslashreplace").rstrip("\n")
