"""``branchline restore``: what is in an archive of log files, whether it is whole, and back to where it can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from .. import names
from .._files.encryption import Key
from .._files.restore import Wanted, chosen
from .._files.restore import restore as restored
from .._files.stores import Store
from ..errors import BranchlineError
from ..exporters.console.text import plural
from ..read.tree import printable
from .archives import list_entries, store_at, verify_entries
from .keys import key_from, key_option
from .options import print_json, terminal
from .times import moment_of


_ALIASES = {"WARNING": "WARN", "CRITICAL": "FATAL", "SUCCESS": "INFO"}


@click.command()
@click.argument("archive")
@click.option("--to", type=click.Path(path_type=Path), metavar="FOLDER", help="Where to put the files, unpacked.")
@click.option("--list", "is_list", is_flag=True, help="Show what is there.")
@click.option("--verify", is_flag=True, help="Look whether all of it is as it was archived.")
@click.option("--since", metavar="TIME", help="Files with records from this time on.")
@click.option("--until", metavar="TIME", help="Files with records up to this time.")
@click.option("--run", metavar="ID", help="Files with records of this run.")
@click.option(
    "--level",
    type=click.Choice([*names.SEVERITIES[1:], *_ALIASES], case_sensitive=False),
    help="Files with records of this level and above.",
)
@key_option
@click.option("--json", "is_json", is_flag=True, help="Print JSON, for programs.")
def restore(
    archive: str,
    *,
    to: Path | None,
    is_list: bool,
    verify: bool,
    since: str | None,
    until: str | None,
    run: str | None,
    level: str | None,
    key_file: Path | None,
    is_json: bool,
) -> None:
    """Bring log files back from ARCHIVE (a folder, or a URL such as file:///var/archive).

    A file that is not as it was archived is refused, and so is one that would unpack to more than it was, or would be
    put anywhere but in the folder.
    """
    store = store_at(archive)
    wanted = Wanted(
        since=None if since is None else moment_of(since, "--since"),
        until=None if until is None else moment_of(until, "--until"),
        run=run,
        is_level=None if level is None else lambda name: _number(name) >= _number(str(level)),
    )
    entries = chosen(store.entries(), wanted)
    console = terminal()
    if is_list or not (verify or to):
        list_entries(console, entries, is_json=is_json)
    if verify:
        verify_entries(console, store, entries, is_json=is_json)
    if to is not None:
        _restore(console, store, entries, to, key=key_from(key_file), is_json=is_json)


def _number(level: str) -> int:
    word = level.upper()
    word = _ALIASES.get(word, word)
    return names.SEVERITIES.index(word) if word in names.SEVERITIES else 0


def _restore(
    console: Console,
    store: Store,
    entries: Sequence[Mapping[str, Any]],
    folder: Path,
    *,
    key: Key | None,
    is_json: bool,
) -> None:
    done: list[str] = []
    refused: list[str] = []
    for entry in entries:
        try:
            done.append(str(restored(store, entry, folder, key=key)))
        except (BranchlineError, OSError) as error:
            refused.append(str(error))
    if is_json:
        print_json({"restored": done, "refused": refused})
    else:
        for path in done:
            console.print(Text(printable(path)))
        for why in refused:
            console.print(Text(printable(why), "red"))
        console.print(Text(f"{plural(len(done), 'file')} restored to {folder}", "dim"))
    if refused:
        raise click.exceptions.Exit(1)
