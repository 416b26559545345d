"""The store for archives in object storage: S3, Google Cloud Storage, Azure, OneLake; by the package obstore."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

from ..errors import ConfigError, missing_extra
from .places import open_to_replace


SCHEMES: Final = ("s3", "gs", "az", "abfs", "abfss")

# An object cannot be appended to: the manifest is one small object for each file.
_MANIFEST: Final = "manifest/"
_BLOCK: Final = 1 << 20
_AT_ONCE: Final = 16
_RETRIES: Final = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}


class ObjectStore:
    """A prefix of a bucket; credentials and endpoint are in the environment, where its own tools look for them."""

    def __init__(self, url: str) -> None:
        """Store below *url*; nobody is asked yet whether that is there.

        Raises:
            ConfigError: for a URL that leads nowhere.
            MissingExtraError: without obstore.
        """
        try:
            import obstore
        except ImportError:
            feature = f"an archive at {url!r}"
            raise missing_extra(feature, extra="object", package="obstore") from None
        parts = urlsplit(url)
        if not parts.netloc or parts.password:
            msg = f"an archive at {parts.scheme}://{parts.hostname or ''} is not accepted: " + (
                "credentials belong into the environment" if parts.password else "it names no bucket"
            )
            raise ConfigError(msg)
        self._package: Any = obstore
        self._url = url.rstrip("/")
        try:
            self._store = obstore.store.from_url(url, retry_config=_RETRIES)  # type: ignore[call-overload]  # any scheme
        except Exception as error:  # of classes of its own
            msg = f"an archive at {url!r} is not accepted: {_first_line(error)}"
            raise ConfigError(msg) from None

    def __repr__(self) -> str:
        return f"<ObjectStore {self._url}>"

    @property
    def name(self) -> str:
        """The URL."""
        return self._url

    def put(self, source: Path, name: str) -> None:
        """Upload *source*; what somebody else has stored under *name* meanwhile stays. Raises FileExistsError then."""
        with self._told():
            self._package.put(self._store, name, source, mode="create")

    def has(self, name: str) -> tuple[str, int] | None:
        """Return the sha256 and the size of the object called *name*, read as a whole."""
        sha256, size = hashlib.sha256(), 0
        try:
            with self._told():
                for block in self._package.get(self._store, name).stream(min_chunk_size=_BLOCK):
                    sha256.update(block)
                    size += len(block)
        except FileNotFoundError:
            return None
        return sha256.hexdigest(), size

    @contextmanager
    def local(self, name: str, size: int) -> Iterator[Path]:
        """Download the object; of one that is larger than *size* no more than shows that it is."""
        with TemporaryDirectory(prefix="branchline-archive-") as folder:
            path = Path(folder) / name
            try:
                with self._told():
                    self._download(name, path, size)
            except FileNotFoundError:
                pass  # and so there is none at the path
            yield path

    def _download(self, name: str, path: Path, size: int) -> None:
        found = self._package.get(self._store, name)
        with os.fdopen(open_to_replace(path), "wb") as file:
            for block in found.stream(min_chunk_size=_BLOCK):
                file.write(block)
                if file.tell() > size:
                    return

    def entries(self) -> list[dict[str, Any]]:
        """Return what the manifest says, by the time of archiving; what is damaged is left out."""
        with self._told(), ThreadPoolExecutor(_AT_ONCE) as pool:
            listed = [item["path"] for page in self._package.list(self._store, prefix=_MANIFEST) for item in page]
            found = [entry for text in pool.map(self._text, listed) if (entry := entry_of(text)) is not None]
        return sorted(found, key=lambda entry: (str(entry.get("archived")), str(entry["name"])))

    def _text(self, path: str) -> bytes:
        return bytes(self._package.get(self._store, path).bytes())

    def note(self, entry: dict[str, Any]) -> None:
        """Add *entry* to the manifest."""
        text = json.dumps(entry, ensure_ascii=False).encode()
        with self._told():
            self._package.put(self._store, f"{_MANIFEST}{entry['name']}.json", text)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Exclude nobody: no object is ever written over."""
        yield

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except self._package.exceptions.AlreadyExistsError as error:
            raise FileExistsError(_first_line(error)) from None
        except self._package.exceptions.BaseError as error:
            msg = f"{self._url}: {_first_line(error)}"
            raise OSError(msg) from None


def entry_of(line: bytes) -> dict[str, Any] | None:
    """Return the entry of a manifest that is written in *line*, or None for what is none."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("name"), str) else None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
