"""Checksums: of texts, of files without holding them in memory, and of many files together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Final


_PREFIX: Final = "sha256:"
# Large enough that Python's part of the work is nothing beside hashing.
_CHUNK_BYTES: Final = 1024 * 1024


def calculate_checksum(content: str | bytes) -> str:
    """Return the checksum of a text, in UTF-8, or of bytes: ``sha256:`` and 64 hexadecimal digits."""
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return _PREFIX + hashlib.sha256(data).hexdigest()


def file_checksum(path: Path) -> str:
    """Return the checksum of what the file *path* holds. Raises OSError for one that cannot be read."""
    with path.open("rb") as file:
        return stream_checksum(file)[0]


def stream_checksum(stream: IO[bytes]) -> tuple[str, int]:
    """Return the checksum of all that *stream* still has, and how many bytes that was."""
    digest, length = hashlib.sha256(), 0
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
        length += len(chunk)
    return _PREFIX + digest.hexdigest(), length


def listing_checksum(checksums: Iterable[tuple[str, str]]) -> str:
    """Return one checksum for many files, each with its name: that of the list ``sha256sum`` makes, in byte order."""
    texts = (f"{checksum.removeprefix(_PREFIX)}  {name}\n" for name, checksum in checksums)
    lines = sorted(text.encode("utf-8", "surrogateescape") for text in texts)
    return _PREFIX + hashlib.sha256(b"".join(lines)).hexdigest()
