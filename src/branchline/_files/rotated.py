"""Rotated files: ``<file>.<time>[.<n>][.gz]``, each name used once, and nobody else's taken for one."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .encryption import ENCRYPTED


SUFFIXES: Final = {"gz": ".gz", "bz2": ".bz2", "zip": ".zip", "zst": ".zst"}

# How a file may end whose time has come: plain, compressed, encrypted, or both.
ENDS: Final = tuple(f"{packed}{sealed}" for sealed in ("", ENCRYPTED) for packed in ("", *SUFFIXES.values()))

_TAIL: Final = re.compile(r"\.(\d{8}_\d{6})(?:\.([1-9]\d*))?((?:\.(?:gz|bz2|zip|zst))?(?:\.enc)?)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rotated:
    """A rotated file as it is on the disk."""

    path: Path
    stamp: str
    """When it was rotated, in local time: 20260131_235959."""
    number: int
    """Which one of that second; 0 is the first."""
    suffix: str
    """How it is compressed and encrypted: ``.gz``, ``.gz.enc`` and so on, or nothing."""
    size: int
    modified: float
    """When it was last written to, in seconds since 1970."""

    @property
    def plain_name(self) -> str:
        """Its name without what compression added."""
        return self.path.name.removesuffix(self.suffix) if self.suffix else self.path.name


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """What lies beside a file and came of it."""

    rotated: list[Rotated]
    """What was rotated away from it, oldest first."""
    unfinished: list[Path]
    """What somebody has begun to compress or to bring back, and not finished."""


def rotated_files(path: Path) -> list[Rotated]:
    """Return what was rotated away from the file *path*, oldest first; a file both plain and packed counts as plain."""
    return beside(path).rotated


def beside(path: Path) -> Beside:
    """Return what lies beside the file *path* and came of it, in one look at its folder, if there is one."""
    found: dict[str, Rotated] = {}
    unfinished: list[Path] = []
    try:
        entries = sorted(os.scandir(path.parent), key=lambda entry: len(entry.name))
    except OSError:
        entries = []
    begins, hidden = f"{path.name}.", f".{path.name}."
    for entry in entries:
        if entry.name.startswith(begins) and (one := _rotated(path, entry)) is not None:
            # The packed file is whole once the plain one is removed, and not before.
            found.setdefault(one.plain_name, one)
        elif entry.name.startswith(hidden) and entry.name.endswith(".tmp"):
            unfinished.append(Path(entry.path))
    oldest_first = sorted(found.values(), key=lambda one: (one.modified, one.stamp, one.number))
    return Beside(rotated=oldest_first, unfinished=unfinished)


def _rotated(path: Path, entry: os.DirEntry[str]) -> Rotated | None:
    match = _TAIL.fullmatch(entry.name, len(path.name))
    try:
        if match is None or not entry.is_file(follow_symlinks=False):
            return None
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    return Rotated(
        path=Path(entry.path),
        stamp=match[1],
        number=int(match[2] or 0),
        suffix=match[3],
        size=status.st_size,
        modified=status.st_mtime,
    )


def is_rotated_name(name: str) -> bool:
    """Whether *name* is that of a rotated file of anything."""
    return re.fullmatch(f".+{_TAIL.pattern}", name) is not None


def base_name(name: str) -> str:
    """Return the name of the file that the rotated one called *name* was."""
    match = re.fullmatch(f"(.+?){_TAIL.pattern}", name)
    return match[1] if match else name


def renumbered(name: str) -> str:
    """Return the name of a rotated file after the one called *name*: of the same time, and the next number."""
    match = re.fullmatch(f"(.+?){_TAIL.pattern}", name)
    if match is None:
        stem, dot, suffix = name.rpartition(".")
        return f"{stem}-1{dot}{suffix}"
    return f"{match[1]}.{match[2]}.{int(match[3] or 0) + 1}{match[4]}"


def ending_of(name: str) -> str:
    """Return how the file called *name* is compressed and encrypted: ``.gz``, ``.gz.enc`` and so on, or nothing."""
    return max((end for end in ENDS if name.endswith(end)), key=len)


def next_name(path: Path, now: float, last: str) -> str:
    """Return what the file *path* is called once it is rotated *now*; *last* is what came of the rotation before."""
    stamp = time.strftime("%Y%m%d_%H%M%S", time.localtime(now))
    before, _, number = last.partition(".")
    # From the last one on: what was rotated in this second may have been removed since, or be in an archive.
    n = int(number or 0) + 1 if before == stamp else 0
    while True:
        tail = f"{stamp}.{n}" if n else stamp
        target = path.with_name(f"{path.name}.{tail}")
        if not any(os.path.lexists(f"{target}{end}") for end in ENDS):
            return tail
        n += 1
