"""Compression of a file that nobody writes to any more: a death in the middle leaves the old file or the new one."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Literal, cast

from ..errors import ConfigError, missing_extra
from .encryption import ENCRYPTED, Key, decrypted
from .places import open_to_replace, remove
from .rotated import SUFFIXES


Compression = Literal["gz", "bz2", "zip", "zst"]

_SPELLINGS: Final[dict[str, Compression | None]] = {
    "none": None,
    "gz": "gz",
    "gzip": "gz",
    "bz2": "bz2",
    "bzip2": "bz2",
    "zip": "zip",
    "zst": "zst",
    "zstd": "zst",
}
# Log files shrink to a tenth at any level; higher ones cost several times the time.
_LEVEL: Final = 6
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """A file that was compressed: what became of how much."""

    path: Path
    plain_bytes: int
    packed_bytes: int
    sha256: str


def compression_of(said: object) -> Compression | None:
    """Return the compression that somebody *said*, ready to use.

    Raises:
        ConfigError: for one that there is not.
        MissingExtraError: for one whose package is not installed.
    """
    if said is None:
        return None
    if not isinstance(said, str) or said.lower().lstrip(".") not in _SPELLINGS:
        msg = f'compression={said!r} is not accepted; accepted: "gz", "bz2", "zip", "zst", None'
        raise ConfigError(msg)
    kind = _SPELLINGS[said.lower().lstrip(".")]
    if kind == "zst":
        _zstd()
    return kind


def pack(plain: Path, kind: Compression) -> Packed:
    """Compress *plain*, which goes last: as long as it is there, it is the one that counts."""
    packed = pack_beside(plain, kind)
    plain.unlink()
    return packed


def pack_beside(plain: Path, kind: Compression, *, level: int = _LEVEL) -> Packed:
    """Compress *plain*, which stays; the packed file is there whole, or not at all. Raises OSError."""
    packed = plain.with_name(plain.name + SUFFIXES[kind])
    temporary = plain.with_name(f".{packed.name}.tmp")
    try:
        status = plain.stat()
        with plain.open("rb") as source, os.fdopen(open_to_replace(temporary, status.st_mode & 0o777), "wb") as raw:
            with _compressing(raw, kind, plain.name, level) as target:
                shutil.copyfileobj(source, target, _BLOCK)
            raw.flush()
            os.fsync(raw.fileno())
        # It is as old as what is in it.
        os.utime(temporary, ns=(status.st_mtime_ns, status.st_mtime_ns))
        sha256, size = digest(temporary)
        temporary.replace(packed)
    except BaseException:
        remove(temporary)
        raise
    return Packed(path=packed, plain_bytes=status.st_size, packed_bytes=size, sha256=sha256)


def digest(path: Path) -> tuple[str, int]:
    """Return the sha256 of *path*, and how many bytes it has."""
    found, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
            size += len(block)
    return found.hexdigest(), size


@contextmanager
def unpacked(path: Path, key: Key | None = None) -> Iterator[IO[bytes]]:
    """Open what is in *path*, compressed or not, encrypted with *key* or not, to be read block by block.

    Raises:
        ArchiveError: for what was encrypted with another key.
        OSError, EOFError, ValueError: there, or while reading, for what is damaged or cannot be read.
    """
    if path.suffix == ENCRYPTED:
        with decrypted(path, key) as raw, _unpacking(raw, path.with_suffix("")) as file:
            yield file
    else:
        with path.open("rb") as raw, _unpacking(raw, path) as file:
            yield file


@contextmanager
def _unpacking(raw: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    if path.suffix == ".gz":
        with gzip.open(raw, "rb") as zipped:
            yield cast("IO[bytes]", zipped)
    elif path.suffix == ".bz2":
        with _bz2().open(raw, "rb") as file:
            yield file
    elif path.suffix == ".zip":
        with _zipfile().ZipFile(raw) as archive:
            members = archive.infolist()
            if len(members) != 1:
                msg = f"{path.name} has {len(members)} files in it, and not the one that was compressed"
                raise ValueError(msg)
            with archive.open(members[0]) as file:
                yield file
    elif path.suffix == ".zst":
        with _zstd_reader(raw) as file:
            yield file
    else:
        yield raw


@contextmanager
def _compressing(raw: IO[bytes], kind: Compression, name: str, level: int) -> Iterator[Any]:
    if kind == "gz":
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=level, mtime=0) as file:
            yield file
    elif kind == "bz2":
        with _bz2().BZ2File(raw, "wb") as file:
            yield file
    elif kind == "zip":
        with (
            _zipfile().ZipFile(raw, "w", _zipfile().ZIP_DEFLATED, compresslevel=level) as archive,
            archive.open(name, "w", force_zip64=True) as file,
        ):
            yield file
    else:
        with _zstd_writer(raw) as file:
            yield file


# ── what takes long to import, and is seldom asked for ────────────────────────────────────────────


def _bz2() -> Any:
    return importlib.import_module("bz2")


def _zipfile() -> Any:
    return importlib.import_module("zipfile")


# ── zstd: in Python from 3.14 on, before that a package ───────────────────────────────────────────


def _zstd() -> Any:
    for name in ("compression.zstd", "zstandard"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    feature = 'compression="zst" before Python 3.14'
    raise missing_extra(feature, extra="zstd", package="zstandard")


def _zstd_writer(raw: IO[bytes]) -> Any:
    module = _zstd()
    if hasattr(module, "ZstdFile"):
        return module.ZstdFile(raw, "wb")
    return module.ZstdCompressor().stream_writer(raw, closefd=False)


def _zstd_reader(raw: IO[bytes]) -> Any:
    module = _zstd()
    if hasattr(module, "ZstdFile"):
        return module.ZstdFile(raw, "rb")
    # It reads blocks, and no lines.
    return io.BufferedReader(module.ZstdDecompressor().stream_reader(raw, closefd=False, read_across_frames=True))
