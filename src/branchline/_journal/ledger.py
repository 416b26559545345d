"""The ledger: what every call of a model took, in all runs of a directory, in one file that all processes share.

It holds nothing that the journals do not have: whoever finds none, or one that is damaged, makes it of those.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..errors import JournalError
from ..money import money, plain
from ..totals import Spent
from ..usage_values import TokenBreakdown, Usage
from . import layout
from .claims import claimed


VERSION: Final = 1

_LOCK_NAME: Final = ".ledger.lock"
# Of whoever makes one of the journals: seconds in a large directory.
_PATIENCE_SECONDS: Final = 10.0
_BUSY_SECONDS: Final = 5.0
_BESIDE: Final = ("-wal", "-shm")
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS spent (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    unix_nano INTEGER NOT NULL,
    run TEXT NOT NULL,
    process TEXT NOT NULL,
    experiment TEXT, branch TEXT, branch_id TEXT, step TEXT, trace_id TEXT, span_id TEXT,
    model TEXT NOT NULL, provider TEXT,
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, calls INTEGER NOT NULL,
    cost TEXT, estimated TEXT, latency REAL, breakdown TEXT, labels TEXT
);
CREATE INDEX IF NOT EXISTS spent_by_time ON spent (unix_nano);
CREATE INDEX IF NOT EXISTS spent_by_run ON spent (run);
CREATE TABLE IF NOT EXISTS taken (
    run TEXT NOT NULL, process TEXT NOT NULL, segment INTEGER NOT NULL, offset INTEGER NOT NULL,
    PRIMARY KEY (run, process)
);
"""
_COLUMNS: Final = (
    *("id", "unix_nano", "run", "process", "experiment", "branch", "branch_id", "step", "trace_id", "span_id"),
    *("model", "provider", "input_tokens", "output_tokens", "calls", "cost", "estimated", "latency", "breakdown"),
    "labels",
)
_INSERT: Final = f"INSERT OR IGNORE INTO spent ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608  # our own words
_SELECT: Final = f"SELECT number, {', '.join(_COLUMNS)} FROM spent"  # noqa: S608  # the same

Places = Mapping[str, tuple[int, int]]
"""How far the journal of each process of a run was read: segment and offset."""


class Bookmark(NamedTuple):
    """How far somebody has read in which file."""

    identity: tuple[int, int] | None
    last: int


class Ledger:
    """An open ledger, of one thread at a time. Every method but ``close`` raises sqlite3.Error."""

    def __init__(self, path: Path, *, bookmark: Bookmark | None = None) -> None:
        """Open the ledger at *path*, or make an empty one; with a *bookmark* of the same file, go on behind it.

        Raises:
            sqlite3.Error, OSError: where that cannot be.
            JournalError: for one that a later version has made.
        """
        _make_private(path)
        self.path = path
        self.last = 0
        """The number of the newest entry that counts as read."""
        self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._identity = _identity(path)
            self.is_resumed = bookmark is not None and bookmark.identity == self._identity
            self._prepare()
            if bookmark is not None and self.is_resumed:
                self.last = bookmark.last
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        execute = self._connection.execute
        [version] = execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            msg = f"{self.path} was made by a later version of branchline ({version}); this one knows {VERSION}"
            raise JournalError(msg)
        execute("PRAGMA journal_mode = WAL")
        # The journals have it all: a power cut may cost the last moments of a copy.
        execute("PRAGMA synchronous = NORMAL")
        if version < VERSION:
            self._connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        if self.is_resumed:
            return
        [verdict] = execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise damage(str(verdict))

    @property
    def is_current(self) -> bool:
        """Whether this is the file that others open: one that is damaged is set aside, and anybody may delete it."""
        return _identity(self.path) == self._identity

    @property
    def bookmark(self) -> Bookmark:
        """Where another one of the same file may go on."""
        return Bookmark(self._identity, self.last)

    def check(self) -> None:
        """Raise the error that says so where somebody has overwritten the file: this connection may not look again."""
        # By another connection, and never by opening the file: closing it would take away all locks of this process.
        other = sqlite3.connect(self.path, timeout=_BUSY_SECONDS)
        try:
            other.execute("SELECT count(*) FROM sqlite_master").fetchone()
        finally:
            other.close()

    def add(self, spent: Iterable[Spent]) -> None:
        """Add what was *spent*; what it has already changes nothing."""
        with self._transaction() as connection:
            connection.executemany(_INSERT, map(_written, spent))

    def take(self, run_id: str, spent: Iterable[Spent], places: Places) -> None:
        """Add what was found in the journals of a run, and note how far these were read: both or neither."""
        with self._transaction() as connection:
            connection.executemany(_INSERT, map(_written, spent))
            connection.executemany(
                "INSERT OR REPLACE INTO taken VALUES (?, ?, ?, ?)",
                [(run_id, process, *place) for process, place in places.items()],
            )

    def places(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Return how far the journals of each run were read."""
        found: dict[str, dict[str, tuple[int, int]]] = {}
        for run, process, segment, offset in self._connection.execute("SELECT * FROM taken"):
            found.setdefault(run, {})[process] = (segment, offset)
        return found

    def skip(self) -> None:
        """Take what is there now as read."""
        [self.last] = self._connection.execute("SELECT coalesce(max(number), 0) FROM spent").fetchone()

    def since(self, unix_nano: int, run_id: str | None = None) -> list[Spent]:
        """Return what was spent from that moment on, and in that run, of what counts as read."""
        query = f"{_SELECT} WHERE number <= ? AND (unix_nano >= ? OR run = ?)"
        return [spent for _, spent in self._read(query, self.last, unix_nano, run_id)]

    def unread(self) -> list[Spent]:
        """Return what was added since the last look, by whomever."""
        found = self._read(f"{_SELECT} WHERE number > ? ORDER BY number", self.last)
        if found:
            self.last = found[-1][0]
        return [spent for _, spent in found]

    def history(self) -> list[Spent]:
        """Return all that was ever spent, in order of time."""
        return [spent for _, spent in self._read(f"{_SELECT} ORDER BY unix_nano, number")]

    def _read(self, query: str, *values: object) -> list[tuple[int, Spent]]:
        try:
            return [(row[0], _spent(row)) for row in self._connection.execute(query, values)]
        except (ValueError, TypeError) as error:
            msg = f"a row that branchline has not written: {error}"
            raise damage(msg) from error

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.execute("COMMIT")

    def __repr__(self) -> str:
        return f"<Ledger {self.path}>"


# ── opening ───────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def opening(directory: Path) -> Iterator[None]:
    """Be the only one who opens the ledger of *directory* and makes one of the journals, if that is soon enough."""
    layout.private_directory(directory)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (claim := claimed(directory, _LOCK_NAME)) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        # Without it, SQLite's own locks hold: at worst the journals are read twice.
        yield
    finally:
        if claim is not None:
            claim.give_up()


def is_damage(error: BaseException) -> bool:
    """Whether *error* says that the file is no ledger any more, and not only that it cannot be used now."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.DatabaseError) and code is not None and code & 0xFF in _DAMAGE


def damage(text: str) -> sqlite3.DatabaseError:
    """Return the error that says that a ledger is damaged, as SQLite would."""
    error = sqlite3.DatabaseError(text)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def set_aside(path: Path) -> Path:
    """Rename the damaged ledger at *path*, with what belongs to it, and return where it is now."""
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    path.rename(aside)
    for suffix in _BESIDE:
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + suffix))
    return aside


def _make_private(path: Path) -> None:
    """Make the file, which SQLite would let everybody read; and refuse a symlink, which SQLite would follow.

    One that is there is not opened: closing it again would take away the locks that this process may have on it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        os.close(os.open(path, flags, 0o600))
    except FileExistsError:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError(errno.ELOOP, "is no file of its own", str(path)) from None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────


def _written(spent: Spent) -> tuple[object, ...]:
    usage = spent.usage
    parts = usage.breakdown
    return (
        *(usage.usage_id, usage.time_unix_nano, spent.run_id, spent.process),
        *(usage.experiment, usage.branch, usage.branch_id, usage.step, usage.trace_id, usage.span_id),
        *(usage.model, usage.provider, usage.input_tokens, usage.output_tokens, usage.calls),
        *(_text(usage.cost), _text(usage.estimated), usage.latency),
        None
        if parts is None
        else json.dumps([parts.system, parts.data, parts.instructions, parts.output, parts.other]),
        json.dumps(dict(usage.labels)) if usage.labels else None,
    )


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)


def _spent(row: tuple[Any, ...]) -> Spent:
    found = dict(zip(_COLUMNS, row[1:], strict=True))
    usage = Usage(
        model=found["model"],
        provider=found["provider"],
        input_tokens=found["input_tokens"],
        output_tokens=found["output_tokens"],
        cost=None if found["cost"] is None else money(found["cost"]),
        estimated=None if found["estimated"] is None else money(found["estimated"]),
        latency=found["latency"],
        breakdown=None if found["breakdown"] is None else TokenBreakdown(*json.loads(found["breakdown"])),
        labels={} if found["labels"] is None else json.loads(found["labels"]),
        calls=found["calls"],
        usage_id=found["id"],
        time_unix_nano=found["unix_nano"],
        trace_id=found["trace_id"],
        span_id=found["span_id"],
        experiment=found["experiment"],
        branch=found["branch"],
        branch_id=found["branch_id"],
        step=found["step"],
    )
    return Spent(usage, found["run"], found["process"])
