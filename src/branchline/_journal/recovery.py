"""Recovery: dead processes are found by their rings, each of which one recoverer takes, and takes away when done."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

from . import layout
from .dead_rings import DeadRing
from .ring_layout import SLOTS_AT, page_in
from .ring_places import RECOVERING, SUFFIX, noted_rings, remove_unfinished, ring_folder, rings
from .salvage import salvage


# Somebody else's recovery takes milliseconds; a huge journal takes seconds.
_PATIENCE_SECONDS: Final = 5.0
# Containers may share their memory and not their disks: for so long a ring waits for one who has the disk it is of.
_HOMELESS_SECONDS: Final = 24 * 3600.0


def recover_runs(directory: str | os.PathLike[str]) -> list[str]:
    """Recover every dead process of the runs below *directory*; return a sentence for each."""
    folder = layout.runs_directory(directory)
    return [sentence for path in _ring_paths(folder) for sentence in _recovered(path, folder)]


def recover_run(run: Path) -> list[str]:
    """Recover the dead processes of one *run*; return a sentence for each."""
    return [sentence for path in _ring_paths(run.parent) for sentence in _recovered(path, run.parent, run)]


def make_room(most: int) -> None:
    """Recover up to *most* dead processes of any run: their rings fill the memory that another one needs."""
    folder = ring_folder()
    if folder is None:
        return
    remove_unfinished(folder)
    done = 0
    for path in rings(folder):
        if done >= most:
            return
        ring = DeadRing.open(path) if path.suffix == SUFFIX and _may_go(path) else None
        if ring is None:
            continue
        done += 1
        page = ring.page
        if page is None or _is_home(page):
            _finished(ring)
        else:
            # All of its runs are gone.
            ring.close(remove=True)


def home_of(run: Path) -> str:
    """Return what tells the folder of all runs that *run* is in from one of the same name on another disk."""
    try:
        found = run.parent.stat()
    except OSError:
        return ""
    return f"{found.st_dev}:{found.st_ino}"


def mounts() -> str:
    """Return what tells this container from those that see other disks; nothing where there are no containers."""
    try:
        return str(Path("/proc/self/ns/mnt").stat().st_ino)
    except OSError:
        return ""


def _is_home(page: dict[str, Any]) -> bool:
    run = Path(str(page.get("run_directory", "")))
    return run.parent.is_dir() and page.get("home") in ("", home_of(run))


def _age_seconds(page: dict[str, Any]) -> float:
    return time.time() - int(page.get("started_unix_nano", 0)) / 1e9


def _ring_paths(runs: Path) -> list[Path]:
    shared = ring_folder()
    if shared is not None:
        remove_unfinished(shared)
    # Only rings that found no room in shared memory lie with their process, and are noted beside the runs.
    return [*rings(shared), *noted_rings(layout.rings_directory(runs.parent))]


def _recovered(path: Path, runs: Path, run: Path | None = None) -> list[str]:
    if not _is_of(path, runs, run):
        return []
    ring = _opened(path)
    return [] if ring is None else _finished(ring)


def _opened(path: Path) -> DeadRing | None:
    """Return the ring at *path* if its owner is dead, or wait for another process that recovers it just now."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    # Whoever had it when it was listed may have given it back since.
    given_back, recovering = path.with_suffix(SUFFIX), path.with_suffix(RECOVERING)
    while True:
        ring = DeadRing.open(recovering if recovering.exists() else given_back)
        if ring is not None or not recovering.exists() or time.monotonic() > deadline:
            return ring
        time.sleep(0.005)


def _finished(ring: DeadRing) -> list[str]:
    """Recover *ring* and remove it; where that cannot be done, it stays for the next one."""
    page = ring.page
    if page is None:
        # One that another version made is that version's to read.
        ring.close(remove=ring.is_blank)
        return []
    is_done = False
    try:
        sentence = salvage(ring, page)
        is_done = True
    except Exception as error:  # no room, no right to write, or a damage that nobody thought of
        return [f"could not recover {page.get('process')}: {error}"]
    finally:
        ring.close(remove=is_done)
    return [] if sentence is None else [sentence]


def _is_of(path: Path, runs: Path, run: Path | None) -> bool:
    """Whether the ring at *path* belongs here; read without its lock, which its owner may hold."""
    head = _head(path) or _head(path.with_suffix(RECOVERING)) or _head(path.with_suffix(SUFFIX))
    if head is None:
        return False
    page = page_in(head)
    if page is None:
        return not any(head)
    belongs_to = Path(str(page.get("run_directory", "")))
    is_named = belongs_to == run.resolve() if run is not None else belongs_to.parent == runs.resolve()
    return is_named and _is_home(page)


def _may_go(path: Path) -> bool:
    """Whether we may take away the ring at *path* when its owner is dead; looking at its head costs next to nothing."""
    head = _head(path)
    if head is None:
        return False
    page = page_in(head)
    if page is None:
        # One that another version made is that version's to read.
        return not any(head)
    # Otherwise its runs are on a disk that this container does not see, and wait for one that does.
    return _is_home(page) or page.get("mounts") == mounts() or _age_seconds(page) > _HOMELESS_SECONDS


def _head(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(SLOTS_AT)
    except OSError:
        return None
