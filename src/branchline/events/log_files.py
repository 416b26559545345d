"""The files of an experiment's events, read back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .._files.compression import unpacked
from .._files.rotated import rotated_files
from .experiment_event import LogEvent


class LogEvents(list[LogEvent]):
    """The events of a log file, in its order, and how many of its lines were none."""

    def __init__(self, events: Iterable[LogEvent] = (), *, skipped: int = 0) -> None:
        """Hold *events*."""
        super().__init__(events)
        self.skipped = skipped


def read_log_file(path: str | os.PathLike[str], *, with_rotated: bool = False) -> LogEvents:
    """Return the events in the file at *path*; with those that were rotated away from it, if wanted.

    A torn or damaged line costs that line alone: ``skipped`` of what is returned says how many there were.

    Raises:
        OSError: for a file that cannot be read.
    """
    place = Path(path)
    places = [file.path for file in rotated_files(place)] if with_rotated else []
    found = LogEvents()
    for each in [*places, place]:
        try:
            with unpacked(each) as lines:
                for line in lines:
                    _take(line, found)
        except (EOFError, ValueError):
            # Compressed, and cut off.
            found.skipped += 1
    return found


def _take(line: bytes, found: LogEvents) -> None:
    if not line.strip():
        return
    try:
        said: Any = json.loads(line)
        found.append(LogEvent.from_dict(said))
    except (ValueError, AttributeError, TypeError):
        found.skipped += 1
