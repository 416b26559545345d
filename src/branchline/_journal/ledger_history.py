"""The ledger follows the journals: what these have and it lacks, after a kill or before there was one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from .. import names
from ..totals import Spent
from ..usage_records import usage_of
from ..usage_values import Usage
from . import layout
from .cursors import Cursor, Place
from .decode import DecodedLog, decode_line
from .ledger import Bookmark, Ledger, is_damage, opening, set_aside
from .unread import Reader


# Most lines have none.
_MARK: Final = f'"{names.USAGE_EVENT}"'.encode()


def open_ledger(directory: Path, say: Callable[[str], None], *, bookmark: Bookmark | None = None) -> Ledger:
    """Return the ledger of *directory*, with all that the journals have by now; one that is damaged is made anew.

    Where a *bookmark* is of this very file, it is opened there, and nothing else is done.

    Raises:
        sqlite3.Error, OSError, JournalError: where it cannot be opened.
    """
    with opening(directory):
        path = layout.ledger_path(directory)
        try:
            ledger = Ledger(path, bookmark=bookmark)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            say(set_aside_text(path, set_aside(path), error))
            ledger = Ledger(path)
        try:
            if not ledger.is_resumed:
                catch_up(ledger, directory)
                ledger.skip()
        except BaseException:
            ledger.close()
            raise
        return ledger


def set_aside_text(path: Path, aside: Path, error: BaseException) -> str:
    """Return what is said when the ledger at *path* was damaged, as *error* says, and is now *aside*."""
    return f"{path} is damaged ({error}): it is set aside as {aside.name}, and made anew from the journals"


def catch_up(ledger: Ledger, directory: Path) -> None:
    """Put into *ledger* what the journals below *directory* have come to since it was last done."""
    known = ledger.places()
    for run in layout.processes(layout.runs_directory(directory)):
        places = known.get(run.name, {})
        moved: dict[str, tuple[int, int]] = {}
        spent = list(spent_in(run, places, moved))
        if any(places.get(process) != place for process, place in moved.items()):
            ledger.take(run.name, spent, moved)


def spent_in(
    run: Path, places: dict[str, tuple[int, int]] | None = None, moved: dict[str, tuple[int, int]] | None = None
) -> Iterator[Spent]:
    """Yield what was spent in *run* behind *places*; *moved* is told how far each process was read."""
    cursor = Cursor(
        {(process, "logs"): Place(segment=at[0], offset=at[1]) for process, at in (places or {}).items()},
    )
    for read in Reader(run).lines("logs", cursor):
        if moved is not None:
            moved[read.process] = (read.segment, read.offset)
        if _MARK in read.line:
            for log in decode_line(read.line, lambda _: None).logs:
                if log.event_name == names.USAGE_EVENT:
                    yield Spent(_usage(log, read.process), run.name, read.process)


def _usage(log: DecodedLog, process: str) -> Usage:
    uid = log.attributes.get(names.LOG_UID)
    return usage_of(
        log.attributes,
        # Where somebody has written one without, it is told by where and when it was.
        usage_id=uid if isinstance(uid, str) else f"{process}:{log.time_unix_nano}:{log.span_id}",
        time_unix_nano=log.time_unix_nano,
        trace_id=log.trace_id,
        span_id=log.span_id,
    )
