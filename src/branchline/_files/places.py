"""Places on the disk that are ours: private, and never reached through a symbolic link when writing."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import Final


FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600

_NEVER_THROUGH_LINKS: Final = os.O_NOFOLLOW | os.O_CLOEXEC


def private_folder(path: Path) -> Path:
    """Make *path* and the missing folders above it, readable by their owner alone."""
    missing = []
    place = path
    while not place.exists():
        missing.append(place)
        place = place.parent
    for folder in reversed(missing):
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    return path


def open_to_append(path: Path, mode: int = FILE_MODE) -> tuple[int, bool]:
    """Return a descriptor that appends to *path*, and whether the file was made just now."""
    # Somebody may have put a pipe there: to open one waits for whoever reads it.
    flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | _NEVER_THROUGH_LINKS
    try:
        return _of_a_file(os.open(path, flags)), False
    except FileNotFoundError:
        private_folder(path.parent)
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        # Somebody was faster; a link that leads nowhere is refused here as well.
        return _of_a_file(os.open(path, flags)), False
    # What the caller asked for, whatever the umask takes away.
    os.fchmod(descriptor, mode)
    return descriptor, True


def _of_a_file(descriptor: int) -> int:
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is not a file")


def open_to_replace(path: Path, mode: int = FILE_MODE) -> int:
    """Return a descriptor that writes *path* from its beginning."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NEVER_THROUGH_LINKS, mode)


def open_to_lock(path: Path) -> int:
    """Return a descriptor of the small file *path*, which is made where it is missing."""
    return os.open(path, os.O_RDWR | os.O_CREAT | _NEVER_THROUGH_LINKS, FILE_MODE)


def sync_folder(folder: Path) -> None:
    """Force the names in *folder* to the disk: a new file alone could come back without one."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def close_quietly(descriptor: int) -> None:
    """Close *descriptor*, if it is one, and one that is open: in a forked child a thread may have been closing it."""
    if descriptor >= 0:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def remove(path: Path) -> bool:
    """Remove *path*; return whether it is gone."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        # A read-only disk: nothing depends on it.
        return False
    return True
