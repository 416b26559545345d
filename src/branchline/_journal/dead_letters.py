"""Dead letters: what a destination refuses for good, each line with what it said, for a person to look at."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from . import layout
from .layout import SIGNALS, Signal


# One file of four; the oldest goes when a fifth would be needed.
_FILE_BYTES: Final = 16 * 1024 * 1024
_FILES: Final = 4
_NAME: Final = re.compile(r"^dead-letters-(\d{6,})\.jsonl$")


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """One line of the journal that was refused, wholly or in part."""

    process: str
    signal: Signal
    kind: str  # of the answer: "refused", "partial", "too_large"
    message: str  # what the destination said
    items: int  # how many of the line's count as rejected
    unix_nano: int
    line: bytes


def bury(folder: Path, letters: Sequence[DeadLetter], *, is_apart: bool = False) -> None:
    """Write *letters* to a follower's *folder* of one run; *apart*, to a file that is not there yet.

    Raises OSError, and then none of them counts as written.
    """
    content = b"".join(map(_written, letters))
    layout.private_directory(folder)
    path = _place(folder, len(content) + (_FILE_BYTES if is_apart else 0))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        before = os.fstat(descriptor).st_size
        try:
            _write(descriptor, content)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


def _write(descriptor: int, content: bytes) -> None:
    written = 0
    while written < len(content):
        written += os.write(descriptor, content[written:])


def _written(letter: DeadLetter) -> bytes:
    about = {
        "unix_nano": letter.unix_nano or time.time_ns(),
        "process": letter.process,
        "signal": letter.signal,
        "items": letter.items,
        "answer": {"kind": letter.kind, "message": letter.message},
    }
    # The line as it is, last: whoever wants it back need not write it anew.
    return orjson.dumps(about)[:-1] + b',"line":' + letter.line.rstrip(b"\n") + b"}\n"


def _place(folder: Path, size: int) -> Path:
    """Return the file for *size* more bytes; where it is one too many, the oldest goes."""
    known = files(folder)
    if known and known[-1].stat().st_size + size <= _FILE_BYTES:
        return known[-1]
    number = 0 if not known else _number(known[-1]) + 1
    for oldest in known[: max(len(known) - _FILES + 1, 0)]:
        oldest.unlink(missing_ok=True)
    return folder / f"dead-letters-{number:06d}.jsonl"


def files(folder: Path) -> list[Path]:
    """Return the files of dead letters in a follower's *folder* of one run, oldest first."""
    try:
        found = [entry.name for entry in os.scandir(folder) if _NAME.match(entry.name)]
    except OSError:
        return []
    return sorted((folder / name for name in found), key=_number)


def _number(path: Path) -> int:
    match = _NAME.match(path.name)
    return int(match[1]) if match else 0


def letters_in(path: Path) -> Iterator[DeadLetter]:
    """Yield the dead letters in the file *path*; what cannot be read is passed over."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        for line in file:
            letter = _read(line)
            if letter is not None:
                yield letter


def _read(line: bytes) -> DeadLetter | None:
    try:
        known: dict[str, Any] = orjson.loads(line)
        answer = known["answer"]
        signal = next(signal for signal in SIGNALS if signal == known["signal"])
        return DeadLetter(
            process=str(known["process"]),
            signal=signal,
            kind=str(answer["kind"]),
            message=str(answer["message"]),
            items=int(known["items"]),
            unix_nano=int(known["unix_nano"]),
            line=orjson.dumps(known["line"]) + b"\n",
        )
    except (ValueError, KeyError, TypeError, StopIteration):
        # Torn, or somebody else's.
        return None
