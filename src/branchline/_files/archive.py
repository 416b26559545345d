"""Archiving: rotated files that are old enough move to another place, with a manifest that proves what is there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from .. import quantities
from ..errors import ConfigError
from .compression import digest, pack, unpacked
from .encryption import ENCRYPTED, Key, encrypt
from .places import remove
from .rotated import Rotated, ending_of, renumbered
from .stores import Store, store_of


AN_ARCHIVE: Final = '{"after": an age such as "90 days", "to": a folder or a URL such as "s3://bucket/archive"}'

_MOST_RUNS: Final = 100
_MOST_TRIES: Final = 10
_TIMES: Final = ("timestamp", "time", "ts", "asctime")
_RUNS: Final = ("run_id", "branchline.run.id")
_LEVELS: Final = ("level", "levelname", "severity")


@dataclass(frozen=True, kw_only=True)
class Archiving:
    """After which age rotated files go where."""

    after_seconds: float
    store: Store

    def move(self, files: Iterable[Rotated], *, now: float | None = None, key: Key | None = None) -> int:
        """Move those of *files* that are old enough; return how many."""
        return len(self.move_all([file.path for file in files], now=now, key=key))

    def move_all(self, paths: Iterable[Path], *, now: float | None = None, key: Key | None = None) -> list[str]:
        """Move those files that are old enough, encrypted with *key*; return what they are called now.

        Each is removed once it is there for certain.
        """
        moment = time.time() if now is None else now
        due = [path for path in paths if moment - path.stat().st_mtime >= self.after_seconds]
        return archive(due, self.store, now=moment, key=key)


def archiving_of(said: object) -> Archiving | None:
    """Return the archiving that somebody *said*; None is none.

    Raises:
        ConfigError: for what cannot be one.
    """
    if said is None:
        return None
    if not isinstance(said, Mapping) or set(said) != {"after", "to"}:
        msg = f"archive={said!r} is not accepted; accepted: {AN_ARCHIVE}"
        raise ConfigError(msg)
    return Archiving(after_seconds=age_of(said["after"]), store=store_of(said["to"]))


def age_of(said: object) -> float:
    """Return the seconds of an age.

    Raises:
        ConfigError: for what cannot be one.
    """
    try:
        return quantities.seconds(said.total_seconds() if isinstance(said, timedelta) else said)
    except (ValueError, KeyError):
        msg = f"archive after {said!r} is not accepted; accepted: {quantities.A_DURATION}"
        raise ConfigError(msg) from None


def archive(paths: Iterable[Path], store: Store, *, now: float, key: Key | None = None) -> list[str]:
    """Move the files at *paths* to *store*, compressed, and encrypted with *key*; return what they are called there.

    A death in the middle leaves a file where it was, and nothing twice: what is there already is recognised.

    Raises:
        ArchiveError: for a file that is encrypted with another key: what is in it could not be noted.
    """
    made: list[str] = []
    with store.locked():
        # Once for all of them: it becomes longer and longer.
        noted = _noted(store)
        for path in paths:
            packed = _packed(path, key)
            for _ in range(_MOST_TRIES):
                try:
                    made.append(_stored(packed, store, noted, now=now, key=key))
                except FileExistsError:
                    # Somebody else has taken that name meanwhile.
                    noted = _noted(store)
                    continue
                remove(packed)
                break
            else:
                msg = f"{store.name}: no name is free for {packed.name}"
                raise OSError(msg)
    return made


def _packed(path: Path, key: Key | None) -> Path:
    if not ending_of(path.name):
        path = pack(path, "gz").path
    return encrypt(path, key) if key is not None and path.suffix != ENCRYPTED else path


def _noted(store: Store) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in store.entries()}


def _stored(path: Path, store: Store, noted: dict[str, dict[str, Any]], *, now: float, key: Key | None) -> str:
    sha256, size = digest(path)
    name = _free_name(path.name, sha256, noted, store)
    if name not in noted:
        entry = {"name": name, **_entry(path, sha256=sha256, size=size, now=now, key=key)}
    if store.has(name) != (sha256, size):
        store.put(path, name)
        if store.has(name) != (sha256, size):
            msg = f"{store.name}/{name} is not what was written there"
            raise OSError(msg)
    if name not in noted:
        store.note(entry)
        noted[name] = entry
    return name


def _free_name(name: str, sha256: str, noted: Mapping[str, Any], store: Store) -> str:
    """Return *name*, or another one where the store has something else by that name."""
    while True:
        there = noted[name].get("sha256") if name in noted else (store.has(name) or (None,))[0]
        if there in (None, sha256):
            return name
        name = renumbered(name)


def _entry(path: Path, *, sha256: str, size: int, now: float, key: Key | None) -> dict[str, Any]:
    status = path.stat()
    return {
        "source": str(path.parent.absolute() / path.name.removesuffix(ending_of(path.name))),
        "sha256": sha256,
        "bytes": size,
        "modified": status.st_mtime,
        "archived": _iso(now),
        **described(path, modified=status.st_mtime, key=key),
    }


def described(path: Path, *, modified: float, key: Key | None = None) -> dict[str, Any]:
    """Return what is in the log file at *path*: how much, from when to when, of which runs and levels."""
    plain_bytes, lines = 0, 0
    first = last = ""
    runs: dict[str, None] = {}
    levels: dict[str, int] = {}
    with unpacked(path, key) as file:
        for line in file:
            plain_bytes += len(line)
            lines += 1
            said = _object(line)
            moment = _said(said, _TIMES)
            first, last = first or moment, moment or last
            level = _said(said, _LEVELS)
            if level:
                levels[level] = levels.get(level, 0) + 1
            run = _said(said, _RUNS)
            if run and len(runs) < _MOST_RUNS:
                runs[run] = None
    return {
        "plain_bytes": plain_bytes,
        "lines": lines,
        "first": first or None,
        "last": last or _iso(modified),
        "runs": list(runs),
        "levels": levels,
    }


def _object(line: bytes) -> dict[str, Any]:
    if not line.startswith(b"{"):
        return {}
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _said(record: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((value for name in names if isinstance(value := record.get(name), str)), "")


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def verified(store: Store) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Yield each entry of the manifest with what is wrong with its file, or None."""
    for entry in store.entries():
        there = store.has(entry["name"]) if is_plain_name(entry["name"]) else None
        if there is None:
            yield entry, "is not there"
        elif there[0] != entry.get("sha256"):
            yield entry, "is not what was archived: its sha256 is another one"
        else:
            yield entry, None


def is_plain_name(name: str) -> bool:
    """Whether *name* is that of a file in the folder itself, and leads nowhere else."""
    return name not in ("", ".", "..") and not any(character in name for character in ("/", "\\", "\0"))
