"""``branchline events``: what happened in a run that has a name, a line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import click
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from .. import names
from ..exporters.console.text import plural
from ..read import LogLine, Run
from ..read.document import log_document
from ..read.tree import first_line, pairs, printable
from .logs import LEVELS, lines_of, place, wanted
from .options import common_options, found_run, found_runs, print_json, terminal
from .paint import level_style, moment, styled


_NAME_WIDTH = 32
_PLACE_WIDTH = 32
_MOST_KINDS = 8
# What is not beside the message, but below it, or in it already.
_NOT_BESIDE = frozenset(
    {"local_variables", "causes", "notes", "errors", "problems", "error_location", "error_function", names.ERROR_TYPE}
)


class Happened(NamedTuple):
    """An event, and the run that it happened in."""

    run: Run
    line: LogLine


@click.command()
@click.argument("run", default="last")
@click.option("--name", "called", metavar="NAME", multiple=True, help="Of this name; a * at the end is anything.")
@click.option("--level", type=click.Choice(LEVELS, case_sensitive=False), help="Of this level and above.")
@click.option("--step", metavar="NAME", help="In a step of this name.")
@click.option("--branch", metavar="NAME", help="In this branch: its name or its id.")
@click.option("--text", metavar="REGEX", help="Whose message, name or fields match.")
@click.option("--since", metavar="TIME", help='From this time on: "2026-01-31", "2026-01-31 12:00", or "2 h" ago.')
@click.option("--until", metavar="TIME", help="Up to this time.")
@click.option("--all", "is_all", is_flag=True, help="Of all runs.")
@click.option("--limit", type=click.IntRange(min=0), help="The last so many.")
@common_options
def events(
    run: str,
    directory: Path,
    *,
    called: tuple[str, ...],
    text: str | None,
    is_all: bool,
    limit: int | None,
    is_json: bool,
    **conditions: str | None,
) -> None:
    """Show the events of RUN (an id, the beginning of one, or `last`), oldest first.

    A NAME may be said without `branchline.` or `branchline.event.` before it: `trade.*`, `data_loaded`, `error`.
    """
    is_wanted = wanted(grep=text, **conditions)
    runs = found_runs(directory)
    chosen = list(runs) if is_all else [found_run(runs, run)]
    every = [Happened(each, line) for each in chosen for line in lines_of(each) if line.event_name]
    found = [one for one in every if is_wanted(one.line) and _is_called(one.line, called)]
    found.sort(key=lambda one: one.line.time_unix_nano)
    _print(terminal(), found if limit is None else found[len(found) - min(limit, len(found)) :], len(every), is_json)


def _print(console: Console, found: Sequence[Happened], of: int, is_json: bool) -> None:
    if is_json:
        for one in found:
            print_json({"run": one.run.id, **log_document(one.line)})
        return
    if not found:
        console.print(Text(f"none of {plural(of, 'event')} is like that" if of else "there are no events", "dim"))
        return
    names_width = _widest((short_name(one.line) for one in found), _NAME_WIDTH)
    place_width = _widest((place(one.line) for one in found), _PLACE_WIDTH)
    day, run = "", ""
    for one in found:
        today = moment(one.line.time_unix_nano, "%Y-%m-%d")
        if (today, one.run.id) != (day, run):
            day, run = today, one.run.id
            console.print(styled((f"{day}  ", "dim"), (f"run {printable(run)}", "dim")))
        console.print(_text(one.line, names_width, place_width), soft_wrap=True)
    kinds = Counter(short_name(one.line) for one in found).most_common()
    told = [f"{count:,} {printable(name)}" for name, count in kinds[:_MOST_KINDS]]
    told += [f"{len(kinds) - _MOST_KINDS} more kinds"] if len(kinds) > _MOST_KINDS else []
    console.print(Text(f"{plural(len(found), 'event')}: {', '.join(told)}", "dim"), soft_wrap=True)


def _widest(texts: Iterable[str], most: int) -> int:
    return min(max(map(cell_len, texts), default=0), most)


def _text(line: LogLine, names_width: int, place_width: int) -> Text:
    """Return *line* for the terminal: time, name, where it happened, what it says, and what went wrong below it."""
    text = styled((moment(line.time_unix_nano, "%H:%M:%S.%f")[:-3], "dim"), ("  ", ""))
    name, where = printable(short_name(line)), place(line)
    style = level_style(line)
    text.append(name, "bold" if style == "dim" else f"bold {style}")
    text.append(" " * max(names_width - cell_len(name), 0) + "  ")
    text.append(where, "cyan" if line.step_name or line.branch_name else "dim")
    text.append(" " * max(place_width - cell_len(where), 0) + "  ")
    text.append(first_line(line.message))
    fields = pairs({key: value for key, value in line.attributes.items() if key not in _NOT_BESIDE})
    text.append(f"{'  ' if line.message and fields else ''}{' '.join(fields)}", "dim")
    for below in _lines_below(line):
        text.append(f"\n{' ' * 14}").append_text(below)
    return text


def _lines_below(line: LogLine) -> Iterable[Text]:
    if line.exception is not None:
        told = line.attributes
        where = " in ".join(printable(str(told[key])) for key in ("error_location", "error_function") if told.get(key))
        # What the message says already is not said twice.
        error = "" if str(line.exception) == line.message else first_line(str(line.exception))
        if error or where:
            yield styled((error, "red"), ("  " if error and where else "", ""), (f"at {where}" if where else "", "dim"))
    for key in ("causes", "errors", "notes"):
        for each in _texts(line.attributes.get(key)):
            yield styled((f"{key.removesuffix('s')}: ", "dim"), (first_line(each), ""))


def _texts(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, tuple | list) else []


def short_name(line: LogLine) -> str:
    """Return what people call an event."""
    name = line.event_name or ""
    return name.removeprefix(names.EVENT_PREFIX).removeprefix(f"{names.SCOPE}.")


def _is_called(line: LogLine, called: Sequence[str]) -> bool:
    name = line.event_name or ""
    forms = {name, name.removeprefix(f"{names.SCOPE}."), short_name(line)}
    return not called or any(map(_matching(called), forms))


def _matching(called: Sequence[str]) -> Callable[[str], bool]:
    whole = {name for name in called if not name.endswith("*")}
    beginnings = tuple(name[:-1] for name in called if name.endswith("*"))
    return lambda form: form in whole or form.startswith(beginnings)
