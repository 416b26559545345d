"""``branchline logs --verify``: whether what was logged is as it was written, in files, in archives and in runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from .._files.encryption import Key
from .._files.stores import MANIFEST
from ..exporters.console.text import plural
from ..read import Run
from ..read.tree import printable
from ..read.verifying import Checked, checked_files, checked_segments
from .archives import store_at, verify_entries
from .options import print_json


def is_archive(place: str) -> bool:
    """Whether a folder, or a URL, is where log files were archived."""
    return "://" in place or (Path(place) / MANIFEST).is_file()


def verify_archive(console: Console, place: str, *, is_json: bool) -> None:
    """Print which files of the archive at *place* are not as they were archived, and fail if there are any."""
    store = store_at(place)
    verify_entries(console, store, store.entries(), is_json=is_json)


def verify_files(
    console: Console, files: Iterable[Path], key: Key | None, *, seal_key: bytes | None, is_json: bool
) -> None:
    """Print what of log *files* is not as it was written, and fail if there is anything."""
    _print(console, list(checked_files(files, key, seal_key=seal_key)), is_json=is_json)


def verify_run(console: Console, run: Run, *, is_json: bool) -> None:
    """Print what of the files of a *run* is not as it was written, and fail if there is anything."""
    _print(console, [*checked_segments(run.directory), *_damaged(run)], is_json=is_json)


def _damaged(run: Run) -> Iterator[Checked]:
    for skipped in run.contents.skipped:
        yield Checked(name=skipped.file, wrong=(f"line {skipped.line:,} cannot be read: {skipped.reason}",))


def _print(console: Console, checked: list[Checked], *, is_json: bool) -> None:
    bad = [each for each in checked if each.wrong]
    if is_json:
        print_json([{"name": each.name, "lines": each.lines, "wrong": list(each.wrong)} for each in checked])
    else:
        for each in bad:
            for wrong in each.wrong:
                console.print(Text(f"{printable(each.name)}: {printable(wrong)}", "red"), soft_wrap=True)
        whole = len({each.name for each in checked} - {each.name for each in bad})
        console.print(Text(f"{plural(len({each.name for each in checked}), 'file')}, {whole:,} as written", "dim"))
    if bad:
        raise click.exceptions.Exit(1)
