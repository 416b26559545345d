"""Where a run's files are, what they are called, and how the small ones are written."""

from __future__ import annotations

import os
import re
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from .._files.places import private_folder


VERSION: Final = 1
Signal = Literal["traces", "logs", "metrics"]
SIGNALS: Final[tuple[Signal, ...]] = ("traces", "logs", "metrics")

_SEGMENT = re.compile(r"^(traces|logs|metrics)-(\d{6,})\.jsonl(\.gz)?$")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def runs_directory(directory: str | os.PathLike[str]) -> Path:
    """Return the folder of all runs below the configured *directory*."""
    return Path(directory) / "runs"


def rings_directory(directory: str | os.PathLike[str]) -> Path:
    """Return the folder below *directory* that says where crash rings lie which found no room in shared memory."""
    return Path(directory) / "rings"


def ledger_path(directory: str | os.PathLike[str]) -> Path:
    """Return where the ledger of all runs below the configured *directory* is."""
    return Path(directory) / "ledger.sqlite"


def new_run_id(now: float | None = None) -> str:
    """Return a fresh run id; ids sort by time."""
    seconds, milliseconds = divmod(round((time.time() if now is None else now) * 1000), 1000)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(seconds))
    return f"{stamp}-{milliseconds:03d}-{os.urandom(5).hex()}"


def process_name(pid: int, started_unix_nano: int) -> str:
    """Return the name of a process's folder: unique, since one host never reuses a pid within a nanosecond."""
    host = _UNSAFE.sub("-", socket.gethostname())[:48].strip("-") or "host"
    return f"{host}-{pid}-{started_unix_nano:x}"


def private_directory(path: Path) -> Path:
    """Make *path* and the missing folders above it, readable by their owner alone."""
    return private_folder(path)


def segment_name(signal: Signal, number: int) -> str:
    """Return the file name of a segment that is being written."""
    return f"{signal}-{number:06d}.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """One file of a process's journal."""

    signal: Signal
    number: int
    path: Path
    is_sealed: bool


def segments(process: Path, signal: Signal | None = None) -> list[Segment]:
    """Return the segments in a *process*'s folder, oldest first; one both plain and compressed counts once."""
    found: dict[tuple[str, int], Segment] = {}
    try:
        entries = sorted(os.scandir(process), key=lambda entry: entry.name)
    except OSError:
        return []
    for entry in entries:
        match = _SEGMENT.match(entry.name)
        if match is None or (signal is not None and match[1] != signal):
            continue
        kind = next(known for known in SIGNALS if known == match[1])
        segment = Segment(signal=kind, number=int(match[2]), path=Path(entry.path), is_sealed=match[3] is not None)
        # The plain file is removed only after the compressed one is whole: while both are there, the plain one counts.
        if not segment.is_sealed or (kind, segment.number) not in found:
            found[kind, segment.number] = segment
    return [found[key] for key in sorted(found)]


def processes(run: Path) -> list[Path]:
    """Return the folders of a *run*'s processes, in order of name."""
    try:
        return sorted(Path(entry.path) for entry in os.scandir(run) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in *path*, or None when there is none or it is damaged."""
    try:
        value = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def is_there(path: Path) -> bool:
    """Whether *path* exists and may be asked for; in a folder that somebody else has locked, nothing is."""
    # ``Path.exists`` raises there.
    return os.access(path, os.F_OK)


def is_readable(folder: Path) -> bool:
    """Whether this user may look into *folder*."""
    return os.access(folder, os.R_OK | os.X_OK)


def create_json(path: Path, value: dict[str, Any]) -> bool:
    """Write *value* to *path* unless it exists; return whether it was written. Whoever comes second sees it whole."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(value))
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        return True
    finally:
        Path(temporary).unlink()


def replace_json(path: Path, value: dict[str, Any], *, sync: bool = False) -> None:
    """Write *value* to *path* in one step: a reader sees the old or the new, never half.

    With *sync* it is on the disk before it takes the place of the old one.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    # Not a file object: in the finalisers that the end of the interpreter runs, there is none to be had any more.
    try:
        left = memoryview(orjson.dumps(value, option=orjson.OPT_INDENT_2))
        while left:
            left = left[os.write(descriptor, left) :]
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)


def create_json_once(path: Path, value: dict[str, Any]) -> None:
    """Write *value* to *path* unless somebody already has."""
    if not path.exists():
        create_json(path, value)
