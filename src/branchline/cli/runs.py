"""``branchline runs``: what has been recorded here, newest last."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..exporters.console.text import plural
from ..read import Run, Runs
from ..read.document import iso
from ..read.tree import ending_of, printable
from ..read.values import errors_in
from .options import common_options, found_runs, print_json, terminal
from .paint import STYLES, ago, seconds, sign, table


# A larger run takes seconds to parse: its own counters have to do.
_PARSED_BYTES = 32 * 1024 * 1024
_GZIP_RATIO = 10
# In a terminal with fewer columns than this, ids are shortened: their beginnings work as well.
_NARROW = 100
# With fewer than this, what is left out is less than what would be cut: an id that is cut names no run.
_TIGHT = 76


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What a line of the list says about what is in a run; None where it was not counted."""

    steps: int | None
    errors: int | None = None
    branches: Mapping[str, int] | None = None


@click.command()
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(min=1), help="The newest so many.")
@click.option("--all", "is_whole", is_flag=True, help="All of them.")
@common_options
def runs(directory: Path, *, limit: int, is_whole: bool, is_json: bool) -> None:
    """List the runs, newest last."""
    found = found_runs(directory)
    listed = found[:] if is_whole else found[-limit:]
    if is_json:
        print_json([_document(run, totals(run)) for run in listed])
        return
    console = terminal()
    if not listed:
        console.print(Text(f"no runs in {directory}", "dim"))
        return
    _print_table(console, listed, now=time.time())
    _print_rest(console, found, len(found) - len(listed))


def totals(run: Run) -> Totals:
    """Return what is in *run*: counted, or for a large one what its processes counted."""
    if _parse_bytes(run.directory) > _PARSED_BYTES:
        return Totals(steps=_journaled(run))
    return Totals(
        steps=len(run.steps),
        errors=errors_in(run.roots),
        branches=Counter(ending_of(branch) for branch in run.branches),
    )


def _parse_bytes(directory: Path) -> int:
    files = [directory] if directory.is_file() else directory.rglob("*.jsonl*")
    total = 0
    for path in files:
        try:
            total += path.stat().st_size * (_GZIP_RATIO if path.suffix == ".gz" else 1)
        except OSError:
            continue
    return total


def _journaled(run: Run) -> int | None:
    counts = []
    for process in run.processes:
        spans = process.counters.get("spans")
        count = spans.get("journaled") if isinstance(spans, dict) else None
        counts += [count] if isinstance(count, int) else []
    return sum(counts) if counts else None


def _print_table(console: Console, listed: tuple[Run, ...], *, now: float) -> None:
    is_narrow, is_tight = console.width < _NARROW, console.width < _TIGHT
    short = _short_ids(listed) if is_narrow else {run.id: run.id for run in listed}
    drawn = _titles(max(map(len, short.values())), is_narrow=is_narrow, is_tight=is_tight)
    for run in listed:
        counted = totals(run)
        end = run.ended_unix_nano or int(now * 1e9)
        took = Text(seconds(max(end - run.created_unix_nano, 0) / 1e9))
        branches = _branches(console, counted.branches, gap=" " if is_narrow else "  ")
        drawn.add_row(
            Text(printable(short[run.id])),
            Text(printable(run.service_name), "bold"),
            Text(ago(run.created_unix_nano, now), "dim"),
            *(() if is_tight else (took,)),
            Text(run.state, STYLES.get(run.state, "")),
            *(() if is_tight else (branches,)),
            _count(counted.steps),
            _count(counted.errors, "red"),
        )
    console.print(drawn)


def _titles(id_width: int, *, is_narrow: bool, is_tight: bool) -> Table:
    drawn = table()
    drawn.add_column("run", no_wrap=True, min_width=id_width)
    drawn.add_column("service", no_wrap=True, overflow="ellipsis")
    drawn.add_column("started", no_wrap=True)
    if not is_tight:
        drawn.add_column("took" if is_narrow else "duration", justify="right", no_wrap=True)
    drawn.add_column("state", no_wrap=True)
    if not is_tight:
        drawn.add_column("branches", no_wrap=True)
    drawn.add_column("steps", justify="right", no_wrap=True)
    drawn.add_column("errors", justify="right", no_wrap=True)
    return drawn


def _short_ids(listed: tuple[Run, ...]) -> dict[str, str]:
    """Return the beginnings of ids that are enough to tell the runs apart."""
    ids = [run.id for run in listed]
    length = next((length for length in range(15, 64) if len({name[:length] for name in ids}) == len(set(ids))), 64)
    return {name: name[:length] for name in ids}


def _branches(console: Console, branches: Mapping[str, int] | None, *, gap: str) -> Text:
    parts = [sign(console, ending).append(f" {count:,}") for ending, count in (branches or {}).items()]
    return Text(gap).join(parts) if parts else Text("")


def _count(count: int | None, style: str = "") -> Text:
    return Text("…" if count is None else f"{count:,}", style if count else "dim")


def _print_rest(console: Console, found: Runs, hidden: int) -> None:
    if hidden:
        console.print(Text(f"{plural(hidden, 'older run')}; --all shows them", "dim"))
    if found.unreadable:
        listed = ", ".join(map(printable, found.unreadable[:3]))
        more = len(found.unreadable) - 3
        named = f"{listed} and {more:,} more" if more > 0 else listed
        told = f"{plural(len(found.unreadable), 'run')} may not be read by this user: {named}"
        console.print(Text(told, "dim"), soft_wrap=True)
    for sentence in found.recovered:
        console.print(Text(printable(sentence), "dim"), soft_wrap=True)


def _document(run: Run, counted: Totals) -> dict[str, Any]:
    return {
        "id": run.id,
        "directory": str(run.directory),
        "service_name": run.service_name,
        "state": run.state,
        "created": iso(run.created_unix_nano),
        "ended": iso(run.ended_unix_nano),
        "steps": counted.steps,
        "errors": counted.errors,
        "branches": counted.branches,
    }
