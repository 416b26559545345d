"""Archives of log files, as several commands look at them: found, listed, verified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from .._files.archive import verified
from .._files.encryption import Key
from .._files.restore import Wanted, chosen, restore
from .._files.stores import Store, store_of
from ..errors import BranchlineError
from ..exporters.console.text import plural
from ..read.log_files import log_files
from ..read.tree import printable
from .options import CommandError, print_json
from .paint import table


def store_at(archive: str) -> Store:
    """Return the archive at a folder or a URL; fail in one line where there is none."""
    try:
        store = store_of(archive)
    except BranchlineError as error:
        raise CommandError(str(error)) from None
    if not store.entries():
        msg = f"{archive} is no archive: there is no manifest with anything in it"
        raise CommandError(msg)
    return store


@contextmanager
def fetched(archive: str, wanted: Wanted, key: Key | None) -> Iterator[list[Path]]:
    """Have the files of an archive that have something of what is *wanted* here for a while, checked and unpacked."""
    store = store_at(archive)
    with TemporaryDirectory(prefix="branchline-logs-") as folder:
        for entry in chosen(store.entries(), wanted):
            try:
                restore(store, entry, Path(folder), key=key)
            except (BranchlineError, OSError) as error:
                raise CommandError(str(error)) from None
        yield log_files(Path(folder))


def list_entries(console: Console, entries: Sequence[Mapping[str, Any]], *, is_json: bool) -> None:
    """Print what the manifest says of *entries*."""
    if is_json:
        print_json(list(entries))
        return
    rows = table()
    for title in ("file", "from", "to", "records", "bytes", "runs"):
        rows.add_column(title, justify="right" if title in ("records", "bytes") else "left")
    for entry in entries:
        runs = entry.get("runs") or ()
        rows.add_row(
            *(printable(str(entry.get(key) or "-")) for key in ("name", "first", "last", "lines", "bytes")),
            printable(", ".join(map(str, runs[:3])) + (" …" if len(runs) > 3 else "")) or "-",
        )
    console.print(rows)


def verify_entries(console: Console, store: Store, entries: Sequence[Mapping[str, Any]], *, is_json: bool) -> None:
    """Print which of *entries* are not as they were archived, and fail if there are any."""
    asked = {entry["name"] for entry in entries}
    found = [(entry["name"], wrong) for entry, wrong in verified(store) if entry["name"] in asked]
    bad = [(name, wrong) for name, wrong in found if wrong is not None]
    if is_json:
        print_json([{"name": name, "wrong": wrong} for name, wrong in found])
    else:
        for name, wrong in bad:
            console.print(Text(f"{printable(name)} {wrong}", "red"))
        console.print(Text(f"{plural(len(found), 'file')}, {len(found) - len(bad):,} as they were archived", "dim"))
    if bad:
        raise click.exceptions.Exit(1)
