"""Totals of log records: how many of each level and of each type, from when to when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from .. import names
from ..read import LogLine
from ..read.document import iso
from ..read.tree import printable
from .options import print_json
from .paint import moment, table


# What a record is that is no event.
GENERAL = "general"


@dataclass(kw_only=True)
class Totals:
    """What some log records are, counted."""

    count: int = 0
    levels: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    first: int | None = None
    last: int | None = None
    size: int | None = None
    """Bytes of the files that they are in."""


def totals_of(lines: Iterable[LogLine], size: int | None = None) -> Totals:
    """Return the totals of *lines*, which are in files of so many bytes."""
    found = Totals(size=size)
    for line in lines:
        found.count += 1
        found.levels[line.level_name or line.level or "-"] += 1
        found.types[line.event_name or GENERAL] += 1
        if line.time_unix_nano:
            found.first = min(found.first or line.time_unix_nano, line.time_unix_nano)
            found.last = max(found.last or 0, line.time_unix_nano)
    return found


def print_totals(console: Console, totals: Totals, *, is_json: bool) -> None:
    """Print *totals* for a person or for a program."""
    if is_json:
        print_json(
            {
                "total": totals.count,
                "levels": dict(totals.levels),
                "types": dict(totals.types),
                "first": iso(totals.first),
                "last": iso(totals.last),
                "bytes": totals.size,
            }
        )
        return
    rows = table()
    for title in ("", "records"):
        rows.add_column(title, justify="right" if title else "left")
    for level, count in sorted(totals.levels.items(), key=lambda item: _severity(item[0])):
        rows.add_row(printable(level), f"{count:,}")
    for kind, count in sorted(totals.types.items()):
        rows.add_row(Text(printable(kind), "dim"), f"{count:,}")
    rows.add_row(Text("all", "bold"), f"{totals.count:,}")
    console.print(rows)
    if totals.first is not None and totals.last is not None:
        between = " – ".join(moment(when, "%Y-%m-%d %H:%M:%S") for when in (totals.first, totals.last))
        console.print(Text(between, "dim"))
    if totals.size is not None:
        console.print(Text(f"{totals.size:,} bytes", "dim"))


def _severity(level: str) -> tuple[int, str]:
    word = {"WARNING": "WARN", "CRITICAL": "FATAL"}.get(level, level)
    return (names.SEVERITIES.index(word) if word in names.SEVERITIES else len(names.SEVERITIES), level)
