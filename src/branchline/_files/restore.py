"""Restoring: archived files, back as they were, and nothing else: the manifest says what is to come, and no more comes.

Whoever can write to an archive could put anything there. So a name leads nowhere else, a file is what the manifest
says by its sha256 and its size, and what unpacks to more than that is not unpacked any further.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from ..errors import ArchiveError
from .archive import is_plain_name
from .compression import digest, unpacked
from .encryption import Key
from .places import open_to_replace, private_folder, remove
from .rotated import ending_of
from .stores import Store


MOST_BYTES: Final = 16 * 1024 * 1024 * 1024

_BLOCK: Final = 1 << 20
# No log file shrinks to less, and up to this size it does not matter.
_MOST_RATIO: Final = 1000
_HARMLESS_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which archived files somebody wants back; None is any."""

    since: datetime | None = None
    until: datetime | None = None
    run: str | None = None
    is_level: Callable[[str], bool] | None = None


def chosen(entries: Iterable[Mapping[str, Any]], wanted: Wanted) -> list[Mapping[str, Any]]:
    """Return those of the manifest's *entries* that have something of what is *wanted* in them."""
    return [entry for entry in entries if _is_wanted(entry, wanted)]


def _is_wanted(entry: Mapping[str, Any], wanted: Wanted) -> bool:
    first, last = moment(entry.get("first")), moment(entry.get("last"))
    # What has no time in it, may be of any.
    if wanted.since is not None and last is not None and last < wanted.since:
        return False
    if wanted.until is not None and first is not None and first > wanted.until:
        return False
    runs, levels = entry.get("runs"), entry.get("levels")
    if wanted.run is not None and not (isinstance(runs, list) and wanted.run in runs):
        return False
    if wanted.is_level is not None:
        return isinstance(levels, dict) and any(wanted.is_level(str(level)) for level in levels)
    return True


def moment(said: object) -> datetime | None:
    """Return the time that is *said*; one without a zone is local; None for none."""
    if not isinstance(said, str):
        return None
    try:
        return datetime.fromisoformat(said).astimezone()
    except (ValueError, OverflowError):
        return None


def restore(
    store: Store, entry: Mapping[str, Any], folder: Path, *, most_bytes: int = MOST_BYTES, key: Key | None = None
) -> Path:
    """Put the file that *entry* tells of into *folder*, unpacked and decrypted with *key*; return where it is.

    Raises:
        ArchiveError: for what is not as the manifest says, is too large, would replace something else, or was encrypted
            with another key.
    """
    name = str(entry.get("name"))
    if not is_plain_name(name):
        msg = f"{name!r} is no name of a file in an archive"
        raise ArchiveError(msg)
    with store.local(name, _bytes(entry)) as source:
        _check(source, entry, most_bytes)
        return _restored(source, entry, folder, key)


def _bytes(entry: Mapping[str, Any]) -> int:
    size = entry.get("bytes")
    return size if isinstance(size, int) else 0


def _restored(source: Path, entry: Mapping[str, Any], folder: Path, key: Key | None) -> Path:
    target = private_folder(folder) / source.name.removesuffix(ending_of(source.name))
    temporary = folder / f".{target.name}.restoring.tmp"
    try:
        _unpack(source, temporary, int(entry["plain_bytes"]), key)
        said = entry.get("modified")
        modified = said if isinstance(said, float) else source.stat().st_mtime
        os.utime(temporary, (modified, modified))
        _put(temporary, target)
    finally:
        remove(temporary)
    return target


def _check(source: Path, entry: Mapping[str, Any], most_bytes: int) -> None:
    plain = entry.get("plain_bytes")
    if not isinstance(plain, int) or isinstance(plain, bool) or plain < 0:
        msg = f"the manifest does not say how large {source.name} is"
        raise ArchiveError(msg)
    if source.is_symlink() or not source.is_file():
        msg = f"{source.name} is not in the archive"
        raise ArchiveError(msg)
    sha256, size = digest(source)
    if (sha256, size) != (entry.get("sha256"), entry.get("bytes")):
        msg = f"{source.name} is not what was archived: its sha256 or its size is another one"
        raise ArchiveError(msg)
    if plain > most_bytes or (plain > _HARMLESS_BYTES and plain > size * _MOST_RATIO):
        msg = f"{source.name} would unpack to {plain:,} bytes, and has {size:,}: that is refused"
        raise ArchiveError(msg)


def _unpack(source: Path, target: Path, expected: int, key: Key | None) -> None:
    written = 0
    try:
        with unpacked(source, key) as packed, os.fdopen(open_to_replace(target), "wb") as file:
            while block := packed.read(min(_BLOCK, expected - written + 1)):
                written += len(block)
                if written > expected:
                    break
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
    except ArchiveError:
        raise
    except (EOFError, ValueError) as error:
        msg = f"{source.name} is damaged: {error}"
        raise ArchiveError(msg) from error
    except Exception as error:  # each package has errors of its own for what is damaged
        if isinstance(error, OSError) and error.errno is not None:
            raise
        msg = f"{source.name} is damaged: {error}"
        raise ArchiveError(msg) from error
    if written != expected:
        msg = f"{source.name} unpacks to {'more' if written > expected else 'less'} than the manifest says"
        raise ArchiveError(msg)


def _put(temporary: Path, target: Path) -> None:
    """Give the file its name; the same one may be there already, another one is not replaced."""
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        if target.is_symlink() or not target.is_file() or digest(target) != digest(temporary):
            msg = f"{target} is there already, and is another one"
            raise ArchiveError(msg) from None
