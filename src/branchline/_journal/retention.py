"""How long runs stay: which ones are past their time or over the size, and taking them away, on the record."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import orjson

from ..errors import JournalError
from . import cursors, layout
from .claims import claimed
from .layout import Signal
from .payloads import items_in, without_notes
from .unread import Reader, unread_bytes


# A process that lives writes its state every few seconds, and when idle each minute.
QUIET_SECONDS: Final = 600.0
GAPS_NAME: Final = "gaps.jsonl"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A run on the disk: when somebody last wrote to it, and what it takes."""

    path: Path
    touched: float
    size: int
    is_pending: bool = False
    """Whether a follower has not delivered all of it."""


def expired(runs: Iterable[Kept], *, now: float, retention_seconds: float | None, max_total: int | None) -> list[Kept]:
    """Return the runs to take away: those past their time, then the oldest until the rest fits into *max_total*.

    A run that somebody may still be writing to stays; what a follower has not delivered yet goes last.
    """
    quiet = sorted((run for run in runs if now - run.touched > QUIET_SECONDS), key=lambda run: run.touched)
    past = [run for run in quiet if retention_seconds is not None and now - run.touched > retention_seconds]
    if max_total is None:
        return past
    left = sorted((run for run in quiet if run not in past), key=lambda run: run.is_pending)
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


def enforce(
    directory: Path,
    *,
    retention_seconds: float | None,
    max_total: int | None,
    say: Callable[[str], None] = lambda text: None,
) -> list[Path]:
    """Take the expired runs below *directory* away; return which. *say* is told what was never delivered."""
    if retention_seconds is None and max_total is None:
        return []
    kept = kept_runs(directory)
    if max_total is not None and sum(run.size for run in kept) > max_total:
        kept = [replace(run, is_pending=any(True for _ in _behind(directory, run.path))) for run in kept]
    gone = []
    for run in expired(kept, now=time.time(), retention_seconds=retention_seconds, max_total=max_total):
        if _forgotten(directory, run.path, say):
            shutil.rmtree(run.path, ignore_errors=True)
            gone.append(run.path)
    return gone


# ── what was never delivered ──────────────────────────────────────────────────────────────────────


def _behind(directory: Path, run: Path) -> Iterable[Path]:
    """Yield the folders of the followers that have not delivered all of *run*."""
    for follower in cursors.followers(directory):
        folder = follower / run.name
        try:
            if folder.is_dir() and unread_bytes(run, cursors.load(folder), cursors.signals_of(folder)):
                yield folder
        except JournalError:
            # A later version's: that one knows.
            yield folder


def _forgotten(directory: Path, run: Path, say: Callable[[str], None]) -> bool:
    """Note what of *run* its followers will never deliver, and forget their cursors; not while one delivers it."""
    for folder in _behind(directory, run):
        claim = claimed(folder)
        if claim is None:
            return False
        try:
            lost = _lost(run, folder)
            if any(lost.values()):
                _note_gap(folder, run, lost)
                say(f"run {run.name} was taken away with {sum(lost.values()):,} records that were never delivered")
        except (OSError, JournalError):
            # What cannot be noted stays.
            return False
        finally:
            claim.give_up()
    for follower in cursors.followers(directory):
        shutil.rmtree(follower / run.name, ignore_errors=True)
    return True


def _lost(run: Path, folder: Path) -> dict[Signal, int]:
    cursor = cursors.load(folder)
    reader = Reader(run)
    lost: dict[Signal, int] = {}
    for signal in cursors.signals_of(folder):
        for read in reader.lines(signal, cursor):
            line = without_notes(read.line)[0] if signal == "logs" else read.line
            lost[signal] = lost.get(signal, 0) + (items_in(signal, line) if line else 0)
    return lost


def _note_gap(folder: Path, run: Path, lost: dict[Signal, int]) -> None:
    """Append what is missing at the destination from now on to the file of the follower's gaps."""
    entry = orjson.dumps({"unix_nano": time.time_ns(), "run_id": run.name, "lost": lost}) + b"\n"
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder.parent / GAPS_NAME, flags, 0o600)
    try:
        os.write(descriptor, entry)
    finally:
        os.close(descriptor)
