"""Sources of data: a file, a folder or all files of a pattern, and what was in them."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .checksums import file_checksum, listing_checksum


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """What a run has read, as it was when it was named."""

    path: str
    """As the user wrote it."""
    kind: str = "file"
    """``file``, ``directory`` or ``glob``; ``missing`` where there is nothing, or nothing that can be read."""
    files: int = 1
    size_bytes: int = 0
    tokens: int = 0
    checksum: str = ""
    """``sha256:…`` of the content; of several files, of the list of their checksums and names."""
    modified: str = ""
    """When the newest of its files was changed, as ISO 8601 in UTC."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def data_source(path: str | os.PathLike[str], *, is_hashed: bool = True) -> DataSource:
    """Return what is at *path*: a file, a folder with all below it, or all that a pattern such as ``*.csv`` names.

    Files are read piece by piece, to be hashed. Links to folders are not followed. Never raises: what cannot be read
    is ``missing``.
    """
    named = os.fsdecode(path)
    try:
        kind, found = _found(named)
        return _described(named, kind, found, is_hashed=is_hashed) if kind else DataSource(path=named, kind="missing")
    except (OSError, ValueError):
        return DataSource(path=named, kind="missing")


def _found(named: str) -> tuple[str, dict[str, Path]]:
    """Return what *named* is, and the files there by the names that they go by."""
    place = Path(named)
    if place.is_file():
        return "file", {place.name: place}
    if place.is_dir():
        return "directory", {path.relative_to(place).as_posix(): path for path in _below(place)}
    if glob.has_magic(named):
        matches = [Path(match) for match in glob.glob(named, recursive=True)]  # noqa: PTH207  # also of absolute paths
        files = {path.as_posix(): path for path in matches if path.is_file()}
        return ("glob" if files else ""), files
    return "", {}


def _below(place: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(place):
        for name in names:
            path = Path(folder, name)
            # A pipe would be read for ever.
            if path.is_file():
                yield path


def _described(named: str, kind: str, found: dict[str, Path], *, is_hashed: bool) -> DataSource:
    checksums = {name: file_checksum(path) for name, path in found.items()} if is_hashed else {}
    states = [path.stat() for path in found.values()]
    newest = max((state.st_mtime for state in states), default=0.0)
    if kind == "file":
        checksum = next(iter(checksums.values()), "")
    else:
        checksum = listing_checksum(checksums.items()) if is_hashed else ""
    return DataSource(
        path=named,
        kind=kind,
        files=len(found),
        size_bytes=sum(state.st_size for state in states if stat.S_ISREG(state.st_mode)),
        checksum=checksum,
        modified=datetime.fromtimestamp(newest, UTC).isoformat() if states else "",
    )
