"""Stores: where archived files go, a folder or object storage."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from ..errors import ConfigError
from .compression import digest
from .locks import FileLock
from .object_store import SCHEMES, ObjectStore, entry_of
from .places import open_to_append, open_to_replace, private_folder, remove, sync_folder


MANIFEST: Final = "manifest.jsonl"
A_STORE: Final = f'a folder, or a URL such as "file:///var/archive" or "s3://bucket/archive" ({", ".join(SCHEMES)})'


class Store(Protocol):
    """A place for files that do not change any more, and for a manifest of them."""

    @property
    def name(self) -> str:
        """What a person calls it."""

    def put(self, source: Path, name: str) -> None:
        """Store the content of *source* under *name*; it is there whole, or not at all.

        Raises:
            FileExistsError: where somebody else has stored something there meanwhile, if that can be.
        """

    def has(self, name: str) -> tuple[str, int] | None:
        """Return the sha256 and the size of what is stored under *name*, or None for nothing."""

    def local(self, name: str, size: int) -> AbstractContextManager[Path]:
        """Have a file with what is stored under *name*, of which *size* bytes are expected; it may not be there."""

    def entries(self) -> list[dict[str, Any]]:
        """Return what the manifest says."""

    def note(self, entry: dict[str, Any]) -> None:
        """Add *entry* to the manifest."""

    def locked(self) -> AbstractContextManager[None]:
        """Keep others from storing something under the same name meanwhile, where they could."""


def store_of(said: object) -> Store:
    """Return the store that somebody *said*.

    Raises:
        ConfigError: for what is none.
    """
    if isinstance(said, str) and "://" in said:
        url = urlsplit(said)
        if url.scheme in SCHEMES:
            return ObjectStore(said)
        if url.scheme != "file" or url.netloc not in ("", "localhost") or not url.path:
            # Without the user, the password, and what is asked for.
            shown = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
            msg = f"an archive at {shown!r} is not accepted; accepted: {A_STORE}"
            raise ConfigError(msg)
        return FolderStore(Path(unquote(url.path)))
    if isinstance(said, str | os.PathLike) and str(said):
        return FolderStore(Path(said))
    msg = f"an archive at {said!r} is not accepted; accepted: {A_STORE}"
    raise ConfigError(msg)


class FolderStore:
    """A folder, on any disk."""

    def __init__(self, folder: Path) -> None:
        """Store in *folder*, which is made when something is put there."""
        self.folder = folder

    def __repr__(self) -> str:
        return f"<FolderStore {self.folder}>"

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.folder)

    def put(self, source: Path, name: str) -> None:
        """Copy *source*, force it to the disk, and only then give it its *name*."""
        private_folder(self.folder)
        temporary = self.folder / f".{name}.tmp"
        try:
            with source.open("rb") as plain, os.fdopen(open_to_replace(temporary), "wb") as copy:
                shutil.copyfileobj(plain, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())
            status = source.stat()
            os.utime(temporary, ns=(status.st_mtime_ns, status.st_mtime_ns))
            temporary.replace(self.folder / name)
            sync_folder(self.folder)
        except BaseException:
            remove(temporary)
            raise

    def has(self, name: str) -> tuple[str, int] | None:
        """Return the sha256 and the size of the file called *name*."""
        try:
            return digest(self.folder / name)
        except OSError:
            return None

    @contextmanager
    def local(self, name: str, size: int) -> Iterator[Path]:
        """Have the file itself."""
        yield self.folder / name

    def entries(self) -> list[dict[str, Any]]:
        """Return what the manifest says; a line that is damaged is left out."""
        try:
            lines = (self.folder / MANIFEST).read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return [entry for line in lines if (entry := entry_of(line)) is not None]

    def note(self, entry: dict[str, Any]) -> None:
        """Append *entry* to the manifest, and force it to the disk."""
        descriptor, _ = open_to_append(self.folder / MANIFEST)
        try:
            # A line that was cut off by the death of whoever wrote it stays by itself.
            is_torn = _ends_torn(self.folder / MANIFEST)
            os.write(descriptor, b"\n" * is_torn + json.dumps(entry, ensure_ascii=False).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one that puts something there."""
        private_folder(self.folder)
        lock = FileLock(self.folder / f".{MANIFEST}.lock")
        lock.take()
        try:
            yield
        finally:
            lock.close()


def _ends_torn(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if not size:
            return False
        file.seek(size - 1)
        return file.read(1) != b"\n"
