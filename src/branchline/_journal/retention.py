"""How long runs stay: which ones are past their time or over the size, and taking them away."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import layout


# A process that lives writes its state every few seconds, and when idle each minute.
QUIET_SECONDS: Final = 600.0


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A run on the disk: when somebody last wrote to it, and what it takes."""

    path: Path
    touched: float
    size: int


def expired(runs: Iterable[Kept], *, now: float, retention_seconds: float | None, max_total: int | None) -> list[Kept]:
    """Return the runs to take away: those past their time, then the oldest until the rest fits into *max_total*.

    A run that somebody may still be writing to stays.
    """
    quiet = sorted((run for run in runs if now - run.touched > QUIET_SECONDS), key=lambda run: run.touched)
    past = [run for run in quiet if retention_seconds is not None and now - run.touched > retention_seconds]
    if max_total is None:
        return past
    left = [run for run in quiet if run not in past]
    over = sum(run.size for run in left) - max_total
    for run in left:
        if over <= 0:
            break
        past.append(run)
        over -= run.size
    return past


def kept_runs(directory: Path) -> list[Kept]:
    """Return the runs below the configured *directory*."""
    runs = layout.runs_directory(directory)
    try:
        entries = [entry for entry in os.scandir(runs) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [_kept(Path(entry.path)) for entry in entries]


def _kept(path: Path) -> Kept:
    touched, size = 0.0, 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                found = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - thousands of files, and Path is slow
            except OSError:
                continue
            touched = max(touched, found.st_mtime)
            size += found.st_size
    return Kept(path=path, touched=touched or time.time(), size=size)


def enforce(directory: Path, *, retention_seconds: float | None, max_total: int | None) -> list[Path]:
    """Take the expired runs below *directory* away; return which."""
    if retention_seconds is None and max_total is None:
        return []
    gone = expired(kept_runs(directory), now=time.time(), retention_seconds=retention_seconds, max_total=max_total)
    for run in gone:
        shutil.rmtree(run.path, ignore_errors=True)
    return [run.path for run in gone]
