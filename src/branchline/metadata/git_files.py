"""What the files of a git repository say by themselves: which commit is checked out, of which branch."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, NamedTuple


_COMMIT: Final = r"[0-9a-f]{40}(?:[0-9a-f]{24})?"
_BRANCH: Final = "refs/heads/"
# A file of ours is never larger; `packed-refs` of a huge repository is.
_MOST_BYTES: Final = 4096
_MOST_REFS_BYTES: Final = 8 * 1024 * 1024


class Head(NamedTuple):
    """What is checked out."""

    root: Path
    """The working tree."""
    commit: str | None = None
    branch: str | None = None
    """None for a commit that is checked out by itself."""


def head_of(start: Path) -> Head | None:
    """Return what is checked out at *start* or above it; None outside of any repository. Runs no program."""
    for root in (start, *start.parents):
        folder = _git_folder(root)
        if folder is not None:
            return _head(root, folder)
    return None


def _git_folder(root: Path) -> Path | None:
    place = root / ".git"
    # Of a submodule, and of a further working tree: a file that says where.
    text = _text(place)
    folder = root / text.removeprefix("gitdir:").strip() if text.startswith("gitdir:") else place
    # Not asked of the path, which raises where nobody may look.
    return folder if os.path.isfile(folder / "HEAD") else None  # noqa: PTH113


def _head(root: Path, folder: Path) -> Head:
    text = _text(folder / "HEAD")
    if not text.startswith("ref:"):
        return Head(root=root, commit=text if re.fullmatch(_COMMIT, text) else None)
    ref = text.removeprefix("ref:").strip()
    shared = folder / (_text(folder / "commondir") or ".")
    commit = _loose(folder, ref) or _loose(shared, ref) or _packed(shared, ref)
    branch = ref.removeprefix(_BRANCH) if ref.startswith(_BRANCH) and ref != f"{_BRANCH}.invalid" else None
    return Head(root=root, commit=commit, branch=branch)


def _loose(folder: Path, ref: str) -> str | None:
    if ".." in ref or not ref.startswith("refs/"):
        return None
    text = _text(folder / ref)
    return text if re.fullmatch(_COMMIT, text) else None


def _packed(folder: Path, ref: str) -> str | None:
    for line in _text(folder / "packed-refs", _MOST_REFS_BYTES).splitlines():
        commit, _, name = line.partition(" ")
        if name == ref and re.fullmatch(_COMMIT, commit):
            return commit
    return None


def _text(path: Path, most: int = _MOST_BYTES) -> str:
    try:
        with path.open("rb") as file:
            return file.read(most).decode("utf-8", "replace").strip()
    except (OSError, ValueError):
        return ""
