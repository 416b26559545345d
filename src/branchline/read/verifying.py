"""Verifying: whether log files and the sealed files of a run are as they were written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .._files.archive import is_plain_name
from .._files.compression import digest, unpacked
from .._files.encryption import Key
from .._files.rotated import base_name, is_rotated_name
from .._files.seals import Seals
from .._journal import layout
from ..errors import ArchiveError


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One file that was looked at."""

    name: str
    lines: int = 0
    wrong: tuple[str, ...] = ()
    """What is not as it was written."""


def checked_files(files: Iterable[Path], key: Key | None = None, *, seal_key: bytes | None = None) -> Iterator[Checked]:
    """Look whether each of *files*, oldest first, can be read to its end, and whether its seals are whole.

    *key* is what they were encrypted with, and *seal_key* what the sink's ``integrity`` was.
    """
    seals: Seals | None = None
    base = Path()
    for path in files:
        before, base = base, path.with_name(base_name(path.name)) if is_rotated_name(path.name) else path
        if seals is None or base != before:
            # What one process has sealed goes on from file to file.
            seals = Seals(seal_key)
        yield _checked(path, key, seals)


def _checked(path: Path, key: Key | None, seals: Seals) -> Checked:
    count, wrong = 0, []
    altered, missing = len(seals.altered), seals.missing
    try:
        with unpacked(path, key) as file:
            for count, line in enumerate(file, start=1):
                seals.take(line.decode("utf-8", "backslashreplace").rstrip("\n"), str(count))
    except ArchiveError as error:
        # It says by itself which file.
        wrong.append(str(error).removeprefix(f"{path.name} "))
    except Exception as error:  # damaged, cut off, or not to be read: each package has errors of its own for that
        wrong.append(f"cannot be read after line {count:,}: {type(error).__name__}: {error}")
    changed = seals.altered[altered:]
    if changed:
        hint = "" if seals.sealed else "; were they sealed with another key?"
        wrong.append(f"{len(changed):,} of {count:,} lines changed or moved, the first is line {changed[0]}{hint}")
    if seals.missing > missing:
        wrong.append(f"{seals.missing - missing:,} lines gone, in it or before it")
    return Checked(name=path.name, lines=count, wrong=tuple(wrong))


def checked_segments(run: Path) -> Iterator[Checked]:
    """Look whether the sealed files in the folder of a *run* have the sha256 that was noted when they were sealed.

    Of those that are still written to there is nothing to compare with.
    """
    yield from (Checked(name=f"{path.parent.name}/{path.name}") for path in sorted(run.glob("*/*.jsonl")))
    for notes in sorted(run.glob("*/segments.json")):
        noted = (layout.read_json(notes) or {}).get("sealed")
        if not isinstance(noted, list):
            yield Checked(name=f"{notes.parent.name}/{notes.name}", wrong=("cannot be understood",))
            continue
        yield from (_checked_segment(notes.parent, entry) for entry in noted if isinstance(entry, dict))


def _checked_segment(process: Path, entry: dict[str, object]) -> Checked:
    name = str(entry.get("name"))
    shown = f"{process.name}/{name}"
    if not is_plain_name(name):
        return Checked(name=shown, wrong=("is no name of a file",))
    try:
        there = digest(process / name)
    except OSError as error:
        return Checked(name=shown, wrong=(f"cannot be read: {error.strerror}",))
    if there != (entry.get("sha256"), entry.get("bytes")):
        return Checked(name=shown, wrong=("is not what was sealed: its sha256 is another one",))
    return Checked(name=shown)
