"""``branchline archive``: rotated log files, moved to where they stay."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.text import Text

from .._files.archive import Archiving, age_of
from .._files.encryption import Key
from .._files.rotated import base_name, ending_of, is_rotated_name, rotated_files
from .._files.stores import store_of
from .._files.tidying import alone_with
from ..errors import BranchlineError
from ..exporters.console.text import plural
from ..read.log_files import log_files
from .keys import key_from, key_option
from .options import CommandError, print_json, terminal


@click.command()
@click.argument("logs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--to", required=True, metavar="PLACE", help="A folder, or a URL such as s3://bucket/archive.")
@click.option("--older-than", default="0 s", metavar="AGE", help='Only those of this age, such as "90 days".')
@key_option
@click.option("--json", "is_json", is_flag=True, help="Print JSON, for programs.")
def archive(logs: tuple[Path, ...], *, to: str, older_than: str, key_file: Path | None, is_json: bool) -> None:
    """Move what was rotated away from LOGS (log files, or folders of them) to a place where it stays, compressed.

    A manifest there says what each file is, with its sha256. Files that are written to stay where they are. With a key,
    what is not encrypted yet is encrypted.
    """
    try:
        archiving = Archiving(after_seconds=age_of(older_than), store=store_of(to))
    except BranchlineError as error:
        raise CommandError(str(error)) from None
    key = key_from(key_file)
    now = time.time()
    try:
        moved = [
            name for place in logs for base in _bases(place) for name in _moved(base, place, archiving, key, now=now)
        ]
    except BranchlineError as error:
        raise CommandError(str(error)) from None
    if is_json:
        print_json({"archive": archiving.store.name, "archived": moved})
        return
    console = terminal()
    for name in moved:
        console.print(Text(name))
    console.print(Text(f"{plural(len(moved), 'file')} moved to {archiving.store.name}", "dim"))


def _bases(place: Path) -> list[Path]:
    """Return the log files of *place*, each of which has others that were rotated away from it."""
    if not place.exists() and not log_files(place):
        msg = f"there is no {place}"
        raise CommandError(msg)
    rotated = [path for path in log_files(place) if is_rotated_name(path.name)]
    return list(dict.fromkeys(path.with_name(base_name(path.name)) for path in rotated))


def _moved(base: Path, place: Path, archiving: Archiving, key: Key | None, *, now: float) -> list[str]:
    only = place.name.removesuffix(ending_of(place.name)) if is_rotated_name(place.name) else None
    # Whoever writes to it may be compressing the same files just now.
    with alone_with(base):
        files = [file.path for file in rotated_files(base) if only in (None, file.plain_name)]
        return archiving.move_all(files, now=now, key=key)
