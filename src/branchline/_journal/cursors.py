"""Cursors: how far each follower got in each run, and what has become of what it read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from ..errors import JournalError
from . import layout
from .layout import SIGNALS, Signal


VERSION: Final = 1
CURSOR_NAME: Final = "cursor.json"
DESTINATION_NAME: Final = "destination.json"

Settings = Mapping[str, Any]
"""What makes a destination, and is no secret."""

Key = tuple[str, Signal]
"""The name of a process and a signal: each has a place of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """How far a follower got in one signal of one process.

    The numbers are of spans, log records or data points; they say what became of those before the place.
    """

    segment: int = 0
    offset: int = 0  # in the segment as it was written, whether or not it is compressed by now
    delivered: int = 0  # the destination has said that it has them
    rejected: int = 0  # the destination has said that it never takes them
    withheld: int = 0  # branchline's own notes, which the destination does not get
    damaged: int = 0  # lines that nobody can read

    @property
    def position(self) -> tuple[int, int]:
        """Where it is: places of one file are in order of this."""
        return self.segment, self.offset


_START: Final = Place()
_FIELDS: Final = tuple(entry.name for entry in fields(Place))


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What has become of what a follower read, over all processes."""

    delivered: int = 0
    rejected: int = 0
    withheld: int = 0
    damaged: int = 0


@dataclass(frozen=True)
class Cursor:
    """How far one follower got in one run."""

    places: Mapping[Key, Place] = field(default_factory=dict)

    def place(self, process: str, signal: Signal) -> Place:
        """Return the place in one signal of one *process*: the beginning, where nothing was read yet."""
        return self.places.get((process, signal), _START)

    def moved(self, places: Mapping[Key, Place]) -> Cursor:
        """Return the cursor with new *places*."""
        return Cursor({**self.places, **places})

    def totals(self, *, signal: Signal | None = None, process: str | None = None) -> Totals:
        """Return what has become of everything read, or of one *signal* or *process* alone."""
        chosen = [
            place for (name, kind), place in self.places.items() if signal in (None, kind) and process in (None, name)
        ]
        return Totals(
            delivered=sum(place.delivered for place in chosen),
            rejected=sum(place.rejected for place in chosen),
            withheld=sum(place.withheld for place in chosen),
            damaged=sum(place.damaged for place in chosen),
        )


# ── where they are ────────────────────────────────────────────────────────────────────────────────


def cursors_directory(directory: str | os.PathLike[str]) -> Path:
    """Return the folder of all followers below the configured *directory*."""
    return Path(directory) / "cursors"


def follower_folder(directory: str | os.PathLike[str], name: str) -> Path:
    """Return the folder of the follower *name*; in it is one for each run."""
    return cursors_directory(directory) / name


def run_folders(follower: Path) -> list[Path]:
    """Return the folders of the runs that a *follower* knows, oldest first: ids of runs sort by time."""
    return layout.processes(follower)


def followers(directory: str | os.PathLike[str]) -> list[Path]:
    """Return the folders of all followers below *directory*."""
    return layout.processes(cursors_directory(directory))


def describe(follower: Path, kind: str, settings: Settings) -> None:
    """Note in the folder of a *follower* where it delivers to, so that others can go on; once. Raises OSError."""
    if settings:
        layout.private_directory(follower)
        layout.create_json_once(follower / DESTINATION_NAME, {"version": VERSION, "kind": kind, "settings": settings})


def described(follower: Path) -> tuple[str, Settings] | None:
    """Return the kind and the settings of a *follower*'s destination, or None where nobody has noted them."""
    known = layout.read_json(follower / DESTINATION_NAME) or {}
    kind, settings = known.get("kind"), known.get("settings")
    return (kind, settings) if isinstance(kind, str) and isinstance(settings, dict) else None


# ── saving and loading ────────────────────────────────────────────────────────────────────────────


def save(
    folder: Path,
    cursor: Cursor,
    *,
    signals: tuple[Signal, ...] = SIGNALS,
    sync: bool = False,
    told: Mapping[str, Any] | None = None,
) -> None:
    """Write *cursor* to a follower's *folder* of one run in one step; *signals* are those that it follows at all.

    *told* is what else a follower has to know of what it delivered. Raises OSError. With *sync* it is on the disk
    afterwards, whatever happens to the machine.
    """
    processes: dict[str, dict[str, dict[str, int]]] = {}
    for (process, signal), place in cursor.places.items():
        processes.setdefault(process, {})[signal] = asdict(place)
    layout.private_directory(folder)
    value: dict[str, Any] = {"version": VERSION, "run_id": folder.name, "signals": list(signals)}
    value["processes"] = processes
    if told is not None:
        value["told"] = told
    layout.replace_json(folder / CURSOR_NAME, value, sync=sync)


def load(folder: Path) -> Cursor:
    """Return the cursor in *folder*: at the beginning where there is none, or where nobody can read it any more.

    Raises:
        JournalError: for one that a later version has written, which is not ours to move.
    """
    known = layout.read_json(folder / CURSOR_NAME)
    if known is None:
        return Cursor()
    version = known.get("version")
    if isinstance(version, int) and version > VERSION:
        msg = f"{folder / CURSOR_NAME} was written by a later version of branchline: deliver with that one"
        raise JournalError(msg)
    return Cursor(dict(_places(known.get("processes"))))


def told_in(folder: Path) -> Mapping[str, Any]:
    """Return what a follower has kept with the cursor in *folder*; nothing where it has not."""
    known = (layout.read_json(folder / CURSOR_NAME) or {}).get("told")
    return known if isinstance(known, dict) else {}


def signals_of(folder: Path) -> tuple[Signal, ...]:
    """Return the signals that the follower of *folder* delivers: all of them, where it has not said so."""
    said = (layout.read_json(folder / CURSOR_NAME) or {}).get("signals")
    chosen = tuple(signal for signal in SIGNALS if isinstance(said, list) and signal in said)
    return chosen or SIGNALS


def _places(processes: object) -> Iterator[tuple[Key, Place]]:
    for process, signals in processes.items() if isinstance(processes, dict) else ():
        for signal in SIGNALS:
            found = signals.get(signal) if isinstance(signals, dict) else None
            if isinstance(found, dict):
                yield (process, signal), _place(found)


def _place(found: Mapping[str, Any]) -> Place:
    numbers = {name: found.get(name, 0) for name in _FIELDS}
    if all(isinstance(number, int) and number >= 0 for number in numbers.values()):
        return Place(**numbers)
    # Half of a place is none: what it stands for is delivered once more, rather than never.
    return _START
