"""``branchline why``: what differs between two runs, beside what has moved."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..exporters.console.text import ASCII, dollars, figure, plural
from ..read import Run, Runs
from ..read.differences import Difference, differences, undescribed
from ..read.document import iso
from ..read.load import uncollected
from ..read.movements import COST, METRIC, OUTCOME, TIME, TOKENS, Movement, movements
from ..read.tree import printable, shown
from .options import CommandError, common_options, found_run, found_runs, print_json, terminal
from .paint import STYLES, ago, glyphs, seconds, sign, styled


# Of one section; who wants to see forty packages asks for them.
_MOST_ROWS: Final = 6
_LONGEST_VALUE: Final = 44
_LONGEST_TITLE: Final = 13
_LEAST_WIDTH: Final = 10
_GAP: Final = 4
_CHECKSUM_CHARACTERS: Final = 12
_SIDE_BY_SIDE: Final = 170
_ARROWS: Final = {False: " → ", True: " -> "}

_TITLES: Final = {
    "configuration": "configuration",
    "data_sources": "data",
    "checksums": "data",
    "process": "arguments",
}
_NOUNS: Final = {"configuration": "setting", "packages": "package", "process": "argument", "models": "step"}


@click.command()
@click.argument("before", required=False)
@click.argument("after", default="last")
@click.option("--all", "is_whole", is_flag=True, help="Everything that differs and that has moved.")
@common_options
def why(before: str | None, after: str, directory: Path, *, is_whole: bool, is_json: bool) -> None:
    """Say what differs between the runs BEFORE and AFTER, and what has moved.

    A run is an id, the beginning of one, or `last`. Without AFTER it is the last run; without BEFORE the one before
    that, of the same service.
    """
    runs = found_runs(directory)
    later = found_run(runs, after)
    earlier = _previous(runs, later) if before is None else found_run(runs, before)
    with uncollected():
        differing, moved = differences(earlier, later), movements(earlier, later)
        if is_json:
            print_json(_document(earlier, later, differing, moved))
            return
        console = terminal()
        console.print(_picture(console, (earlier, later), differing, moved, is_whole=is_whole))


def _previous(runs: Runs, run: Run) -> Run:
    earlier = [each for each in runs if each.created_unix_nano < run.created_unix_nano and each.id != run.id]
    same = [each for each in earlier if each.service_name == run.service_name]
    if not earlier:
        msg = f"there is no run before {run.id} to compare it with: say which two"
        raise CommandError(msg)
    return (same or earlier)[-1]


# ── in a terminal ─────────────────────────────────────────────────────────────────────────────────

Row = tuple[Text, Text, Text, Text]


def _picture(
    console: Console,
    runs: tuple[Run, Run],
    differing: Sequence[Difference],
    moved: Sequence[Movement],
    *,
    is_whole: bool,
) -> RenderableType:
    is_wide = console.is_terminal and console.width >= _SIDE_BY_SIDE
    width = (console.width - _GAP) // 2 if is_wide else console.width
    left = Group(Text("what differs", "bold"), _differing(console, runs, differing, width, is_whole=is_whole))
    right = Group(Text("what moved", "bold"), _moved(console, moved, width, is_whole=is_whole))
    if is_wide:
        beside = Table.grid(padding=(0, _GAP, 0, 0))
        beside.add_row(left, right)
        return Group(*_heads(console, runs), Text(), beside)
    return Group(*_heads(console, runs), Text(), left, Text(), right)


def _heads(console: Console, runs: tuple[Run, Run]) -> Iterator[Text]:
    now = time.time()
    for word, run in zip(("before", "after "), runs, strict=True):
        line = styled((f"{word} ", "dim"))
        line.append_text(sign(console, {"ended": "success", "killed": "failed"}.get(run.state, "open")))
        line.append(f" {printable(run.service_name) or 'run'}", "bold").append(f"  {printable(run.id)}", "dim")
        line.append(f"  {ago(run.created_unix_nano, now)} · {plural(len(run.steps), 'step')}", "dim")
        yield line


def _differing(
    console: Console, runs: tuple[Run, Run], differing: Sequence[Difference], width: int, *, is_whole: bool
) -> RenderableType:
    rows: list[Row] = []
    for title, group in groupby(differing, key=_title):
        of_section = list(group)
        told = of_section if is_whole else of_section[:_MOST_ROWS]
        for place, each in enumerate(told):
            rows.append(
                (
                    Text("" if place else title, "dim"),
                    Text(printable(each.name), "bold"),
                    _change(console, _value(each.before), _value(each.after)),
                    Text(_where(each.where), "dim"),
                )
            )
        rows += _left_out(len(of_section) - len(told), _NOUNS.get(of_section[0].section, "difference"))
    parts: list[RenderableType] = [
        _laid_out(rows, width, shrinking=(3, 1, 2)) if rows else Text("  nothing that was recorded", "dim")
    ]
    for run in undescribed(*runs):
        sentence = f"! nobody has written down what {printable(run.id)} ran in: only branches and models are compared"
        parts.append(Text(sentence, "yellow"))
    return Group(*parts)


def _moved(console: Console, moved: Sequence[Movement], width: int, *, is_whole: bool) -> RenderableType:
    rows: list[Row] = []
    for kind, group in groupby(moved, key=lambda each: each.kind):
        every = list(group)
        of_kind = every if is_whole else _alike(every)
        told = of_kind if is_whole else of_kind[:_MOST_ROWS]
        for place, each in enumerate(told):
            rows.append(
                (
                    Text("" if place else kind, "dim"),
                    _subject(each),
                    _change(console, _figure(each.kind, each.before), _figure(each.kind, each.after)),
                    _trend(console, each),
                )
            )
        rows += _left_out(len(of_kind) - len(told), "movement")
    return _laid_out(rows, width, shrinking=(1, 3, 2)) if rows else Text("  nothing worth mentioning", "dim")


def _alike(movements: Iterable[Movement]) -> list[Movement]:
    """Return *movements* with one for all branches of which there is the same to say."""
    found: dict[tuple[object, ...], list[Movement]] = {}
    for each in movements:
        of = "" if each.level == "branch" else each.of
        found.setdefault((each.level, each.name, each.before, each.after, of), []).append(each)
    return [
        some[0] if len(some) == 1 else replace(some[0], level="branches", of=f"{len(some):,} branches")
        for some in found.values()
    ]


def _laid_out(rows: Sequence[Row], width: int, *, shrinking: Sequence[int]) -> Table:
    """Return *rows* as columns in *width*; what has too little room is cut, the columns *shrinking* in this order."""
    widths = [max(row[place].cell_len for row in rows) for place in range(4)]
    widths[0] = max(widths[0], _LONGEST_TITLE)
    excess = sum(widths) + 2 * 3 - width
    for place in shrinking:
        cut = min(max(excess, 0), max(widths[place] - _LEAST_WIDTH, 0))
        widths[place] -= cut
        excess -= cut
    drawn = Table.grid(padding=(0, 2, 0, 0))
    for column in widths:
        drawn.add_column(no_wrap=True, overflow="ellipsis", width=column)
    for row in rows:
        drawn.add_row(*row)
    return drawn


def _left_out(count: int, noun: str) -> list[Row]:
    return [(Text(), Text(f"… {plural(count, f'more {noun}')}; --all", "dim"), Text(), Text())] if count else []


def _title(each: Difference) -> str:
    return _TITLES.get(each.section, each.section)


def _change(console: Console, before: str | None, after: str | None) -> Text:
    is_plain = glyphs(console) is ASCII
    if before is None:
        return Text(f"+ {after or ''}", "green")
    if after is None:
        return styled(("- ", "red"), (before, "red strike"))
    return styled((before, "dim"), (_ARROWS[is_plain], "dim"), (after, STYLES.get(after, "cyan")))


def _value(value: object) -> str | None:
    """Return a *value* as it is shown; checksums by their beginnings, which tell them apart as well."""
    if value is None or value is True:
        return None if value is None else "yes"
    if isinstance(value, tuple | list):
        return _cut(", ".join(filter(None, map(_value, value))), _LONGEST_VALUE)
    text = printable(value) if isinstance(value, str) else shown(value)  # type: ignore[arg-type]  # of a document
    if text.startswith("sha256:"):
        return text.removeprefix("sha256:")[:_CHECKSUM_CHARACTERS]
    is_commit = len(text) in {40, 64} and all(character in "0123456789abcdef" for character in text)
    return text[:_CHECKSUM_CHARACTERS] if is_commit else _cut(text, _LONGEST_VALUE)


def _where(where: Sequence[str]) -> str:
    return "" if not where else f"in {', '.join(map(printable, where))}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


# ── what moved ────────────────────────────────────────────────────────────────────────────────────


def _subject(each: Movement) -> Text:
    text = Text()
    if each.kind in {METRIC, TOKENS}:
        text.append(printable(each.name), "bold").append("  " if each.level != "run" else "")
    elif each.level == "run":
        text.append("run" if each.kind in {TIME, COST} else each.name, "bold")
    if each.level in {"branch", "step"}:
        text.append(f"{each.level} ", "dim")
    return text.append(printable(each.of), "" if each.kind in {METRIC, TOKENS} else "bold")


def _figure(kind: str, value: float | str | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if kind == TIME:
        return seconds(value)
    return dollars(Decimal(str(value))) if kind == COST else figure(value)


def _trend(console: Console, each: Movement) -> Text:
    """Return how much it is, in words; more time, tokens or money is nothing that anybody wants."""
    if each.kind == OUTCOME:
        return Text(each.name if each.name == "failed" else "", STYLES["failed"])
    ratio = each.ratio
    if ratio is None or ratio < 0 or not math.isfinite(ratio):
        return Text()
    words = f"{glyphs(console).times}{ratio:.1f}" if ratio >= 2 else f"{(ratio - 1) * 100:+.3g} %"
    style = "cyan" if each.kind == METRIC else "red" if ratio > 1 else "green"
    samples = f"  median of {each.samples:,}" if each.samples > 1 else ""
    return styled((words, style), (samples, "dim"))


# ── as JSON ───────────────────────────────────────────────────────────────────────────────────────


def _document(before: Run, after: Run, differing: Sequence[Difference], moved: Sequence[Movement]) -> dict[str, Any]:
    return {
        "before": _run_document(before),
        "after": _run_document(after),
        "differs": [asdict(each) for each in differing],
        "moved": [asdict(each) | {"ratio": each.ratio} for each in moved],
        "undescribed": [run.id for run in undescribed(before, after)],
    }


def _run_document(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "service_name": run.service_name,
        "state": run.state,
        "created": iso(run.created_unix_nano),
        "ended": iso(run.ended_unix_nano),
    }
