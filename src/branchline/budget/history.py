"""A history of costs in a file of JSON lines, which several processes may append to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

from ..errors import ConfigError
from .records import CostRecord


@dataclass(frozen=True, kw_only=True)
class SkippedLine:
    """A line of a history that is no record."""

    line: int
    """Its number, from 1."""
    reason: str

    def __str__(self) -> str:
        return f"line {self.line:,}: {self.reason}"


class History:
    """The records in one file."""

    def __init__(self, path: str | os.PathLike[str], *, zone: tzinfo | None = None) -> None:
        """Read and append to *path*; a time there without an offset is one of *zone*.

        Raises:
            ConfigError: where that is no file.
        """
        self.path = Path(path).expanduser()
        self.skipped: tuple[SkippedLine, ...] = ()
        self._zone = zone
        self._offset = 0
        self._lines = 0
        if self.path.is_dir():
            msg = f"storage_path={os.fspath(path)!r} is a folder; accepted: the path of a file, which need not exist"
            raise ConfigError(msg)

    def unread(self) -> list[CostRecord]:
        """Return what was appended since the last look, by whomever; raises OSError."""
        try:
            with self.path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < self._offset:
                    # Somebody has cut it off, or put another one there.
                    self._offset = self._lines = 0
                file.seek(self._offset)
                return list(self._records(file.read()))
        except FileNotFoundError:
            return []

    def _records(self, data: bytes) -> Iterator[CostRecord]:
        # What has no end yet is being written just now.
        for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
            start = self._offset
            self._offset += len(line)
            self._lines += 1
            if not line.strip():
                continue
            try:
                record = CostRecord.from_dict(json.loads(line), zone=self._zone)
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
                self.skipped += (SkippedLine(line=self._lines, reason=_reason(error)),)
            else:
                # Its place tells one that was written without an id from all others.
                yield record if record.id else _with_id(record, f"{self.path}:{start}")

    def append(self, record: CostRecord) -> None:
        """Append *record* in one write; raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(record.to_dict()).encode() + b"\n"
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                # After a torn line: what is appended to it would be lost with it.
                line = b"\n" + line
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


def _with_id(record: CostRecord, name: str) -> CostRecord:
    return CostRecord(**{**vars(record), "id": name})


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return "no JSON"
    if isinstance(error, KeyError):
        return f"without {error.args[0]!r}"
    return f"no record of costs ({error})" if str(error) else "no record of costs"
