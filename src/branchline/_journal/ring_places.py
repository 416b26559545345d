"""Where crash rings are: in shared memory, or noted beside the runs, under names that say what goes on with them."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from pathlib import Path
from typing import Final


SUFFIX: Final = ".ring"
# While it is being made it has another name: whoever looks for rings finds only whole ones.
UNFINISHED: Final = ".ring.new"
UNFINISHED_SECONDS: Final = 60.0
# While somebody recovers it, it has a third: who comes second knows that it is worth waiting.
RECOVERING: Final = ".recovering"


def ring_folder() -> Path | None:
    """Return the folder for rings in shared memory, or None where there is none that is safe."""
    folder = Path(f"/dev/shm/branchline-{os.getuid()}")  # noqa: S108  # memory, not a temporary file; owner and mode are checked
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = os.lstat(folder)
    except OSError:
        return None
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return folder if is_ours else None


def rings(folder: Path | None) -> list[Path]:
    """Return the rings in *folder*, dead or alive, and those that somebody recovers."""
    try:
        entries = [] if folder is None else list(os.scandir(folder))
    except OSError:
        return []
    return [Path(entry.path) for entry in sorted(entries, key=lambda entry: entry.name) if _is_ring(entry.name)]


def noted_rings(index: Path) -> list[Path]:
    """Return the rings on the disk that are noted in *index*; notes of those that are gone are removed."""
    found: list[Path] = []
    for note in rings(index):
        try:
            path = Path(os.path.normpath(index / os.fsdecode(note.read_bytes())))
            if path.exists() or path.with_suffix(RECOVERING).exists():
                found.append(path)
            elif time.time() - note.stat().st_mtime > UNFINISHED_SECONDS:
                # Not before: it is noted first, and made then.
                note.unlink()
        except (OSError, ValueError):
            continue
    return found


def _is_ring(name: str) -> bool:
    return name.endswith((SUFFIX, RECOVERING))


def remove_unfinished(folder: Path) -> None:
    """Remove what processes left in *folder* that died while they made their ring."""
    for path in folder.glob(f"*{UNFINISHED}"):
        try:
            if time.time() - path.stat().st_mtime < UNFINISHED_SECONDS:
                continue
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except OSError:
            # It is being made after all.
            continue
        finally:
            os.close(descriptor)
