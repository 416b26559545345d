"""The tree of a run for the terminal: what is many of the same is one line, durations stand in one column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ..exporters.console.text import figure, plural, safe, spending
from ..read import Branch, LogLine, Run, Stamp, Step, Task
from ..read.spending import summed
from ..read.tree import ending_of, pairs, printable
from .logs import said
from .paint import STYLES, glyphs, level_style, reason_of, seconds, sign, step_sign, styled
from .tasks import task_texts


Key = tuple[str, str]
"""The ids of a trace and of a span in it."""

Warnings = Mapping[Key, Sequence[LogLine]]
_NONE: Warnings = {}
Tasks = Mapping[Key, Sequence[Task]]
_NO_TASKS: Tasks = {}


# More siblings of one name than this say more as one line.
_APART = 12
# Of many siblings with names of their own, and of many stamps, these come first; the rest is a number.
_SIBLINGS = 60
_STAMPS = 8
_WARNINGS = 4
# OpenTelemetry's number for it.
_WARN = 13
# A screenful is 50 lines: nobody scrolls through more than ten without having asked for it.
_LINES = 500
# Of a branch's metrics; the table has more.
_METRICS = 4
_TIME_WIDTH = 9
_WIDEST_NAME = 56
_NARROWEST_NAME = 16
# Before the time; and behind it, for the dots that stand for what is cut there.
_AIR = 2 + 2


@dataclass(frozen=True, kw_only=True)
class Many:
    """Siblings of one name, as one line."""

    steps: Sequence[Step]


@dataclass(frozen=True, kw_only=True)
class More:
    """What is left out, as one line."""

    what: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line to be: what stands left, the time in its column, and what stands right."""

    left: Text
    time: str = ""
    right: Text | None = None


Leaf = Stamp | LogLine | More
Entry = Step | Stamp | Many | More


def warnings_in(run: Run) -> Warnings:
    """Return the log records of *run* that tell of something wrong, by the step that they were written in."""
    found: dict[Key, list[LogLine]] = {}
    for line in run.logs:
        if line.severity_number >= _WARN and line.trace_id is not None and line.span_id is not None:
            found.setdefault((line.trace_id, line.span_id), []).append(line)
    return found


def tree_text(
    console: Console,
    items: Sequence[Step | Stamp],
    warnings: Warnings = _NONE,
    tasks: Tasks = _NO_TASKS,
    *,
    is_whole: bool = False,
) -> Text:
    """Return *items* as a tree, *warnings* and *tasks* at their steps; *is_whole* leaves out and folds nothing."""
    rows = list(_rows(console, items, warnings, tasks, is_whole=is_whole))
    hidden = len(rows) - _LINES
    if hidden > 0 and not is_whole:
        rows = [*rows[:_LINES], Row(left=Text(f"… {hidden:,} more lines; --all shows them", "dim"))]
    times = [cell_len(row.left.plain) for row in rows if row.time]
    # How long something took is worth more than the end of its name.
    room = max(console.width - _TIME_WIDTH - _AIR, _NARROWEST_NAME)
    width = min(max(times), _WIDEST_NAME, room) if times else None
    return Text("\n").join(_joined(row, width, None if is_whole else room) for row in rows)


def _joined(row: Row, width: int | None, room: int | None) -> Text:
    text = row.left
    if width is not None and (row.time or row.right is not None):
        if room is not None:
            text.truncate(room, overflow="ellipsis")
        text.pad_right(max(width - cell_len(text.plain), 0))
        text.append(f"  {row.time:>{_TIME_WIDTH}}", "dim")
    if row.right is not None:
        text.append("  ").append_text(row.right)
    return text


def _rows(
    console: Console, items: Sequence[Step | Stamp], warnings: Warnings, tasks: Tasks, *, is_whole: bool
) -> Iterator[Row]:
    known = glyphs(console)
    stack: list[tuple[Entry, str, str, str]] = [
        (item, "", "", "") for item in reversed(_entries(items, is_whole=is_whole))
    ]
    while stack:
        entry, before, branch, below = stack.pop()
        guide = styled((before + branch, "dim"))
        if not isinstance(entry, Step):
            yield _leaf(console, entry, guide)
            continue
        yield _step_row(console, entry, guide)
        bar = known.bar if entry.children else "   "
        told = warnings.get((entry.trace_id, entry.span_id), ())
        for text in task_texts(console, tasks.get((entry.trace_id, entry.span_id), ())):
            yield Row(left=styled((before + below + bar, "dim")).append_text(text))
        for leaf in (
            *_fewer(entry.stamps, "stamp", _STAMPS, is_whole=is_whole),
            *_fewer(told, "warning", _WARNINGS, is_whole=is_whole),
        ):
            yield _leaf(console, leaf, styled((before + below + bar, "dim")))
        for number, child in enumerate(reversed(_entries(entry.children, is_whole=is_whole))):
            corner, under = (known.tee, known.bar) if number else (known.bend, "   ")
            stack.append((child, before + below, corner, under))


def _step_row(console: Console, step: Step, guide: Text) -> Row:
    left = guide.append_text(step_sign(console, step)).append(" ")
    if step.kind in {"branch", "experiment"}:
        left.append(f"{step.kind} ", "dim").append(printable(step.name), "bold")
    else:
        left.append(printable(step.name) or "(no name)")
    ending = ending_of(step)
    words: list[tuple[str, str]] = []
    if ending not in {"success", "failed"}:
        words.append((ending, STYLES.get(ending, "")))
    reason = reason_of(step)
    if reason:
        words.append((reason, "red" if step.is_failed else "dim"))
    parts = [Text(text, style) for text, style in words]
    if step.total_usage:
        parts.append(Text(spending(step.total_usage), "cyan"))
    if isinstance(step, Branch):
        parts += [styled((f"{safe(name, 24)} ", "dim"), (figure(value), "cyan")) for name, value in _metrics(step)]
    right = Text("  ").join(parts) if parts else None
    return Row(left=left, time=seconds(step.duration), right=right)


def _metrics(branch: Branch) -> list[tuple[str, float]]:
    return list(branch.metrics.items())[:_METRICS]


def _leaf(console: Console, entry: Leaf | Many, guide: Text) -> Row:
    if isinstance(entry, More):
        return Row(left=guide.append(f"{glyphs(console).more} {entry.what}", "dim"))
    if isinstance(entry, Many):
        return _many_row(console, entry.steps, guide)
    if isinstance(entry, LogLine):
        left = guide.append(f"! {printable(entry.level_name)}", level_style(entry)).append("  ")
        return Row(left=left.append_text(said(entry)))
    dot = glyphs(console).dot
    left = guide.append(f"{dot} ", "cyan").append(printable(entry.name))
    return Row(left=left.append("".join(f" {pair}" for pair in pairs(entry.attributes)), "dim"))


def _many_row(console: Console, steps: Sequence[Step], guide: Text) -> Row:
    endings = Counter(ending_of(step) for step in steps)
    worst = next((ending for ending in ("failed", "interrupted", "open", "cancelled") if endings[ending]), "success")
    times = [step.duration for step in steps if step.duration is not None]
    left = guide.append_text(sign(console, worst)).append(f" {printable(steps[0].name)} ")
    left.append(f"{glyphs(console).times}{len(steps):,}", "bold")
    if times:
        left.append(f"  p50 {seconds(median(times))}  max {seconds(max(times))}", "dim")
    spent = summed(step.total_usage for step in steps)
    if spent:
        left.append(f"  {spending(spent)}", "cyan")
    for ending, count in endings.items():
        if ending not in {"success", "closed"}:
            left.append(f"  {count:,} {ending}", STYLES.get(ending, ""))
    return Row(left=left)


# ── what is shown, and what is counted ────────────────────────────────────────────────────────────
def _entries(items: Sequence[Step | Stamp], *, is_whole: bool) -> list[Entry]:
    if is_whole:
        return list(items)
    folded = _folded(items)
    hidden = folded[_SIBLINGS:]
    if len(hidden) < 2:
        return folded
    failed = sum(1 for entry in hidden if isinstance(entry, Step) and entry.is_failed)
    note = f", {failed:,} of them failed" if failed else ""
    return [*folded[:_SIBLINGS], More(what=f"{len(hidden):,} more{note}")]


def _folded(items: Sequence[Step | Stamp]) -> list[Entry]:
    """Return *items* with the steps of one name, where they are many, in the place of the first of them."""
    if len(items) <= _APART:
        return list(items)
    groups: dict[str, list[Step]] = {}
    for item in items:
        if isinstance(item, Step) and item.kind in {"step", "span"}:
            groups.setdefault(item.name, []).append(item)
    entries: list[Entry] = []
    for item in items:
        group = groups.get(item.name, []) if isinstance(item, Step) and item.kind in {"step", "span"} else []
        if len(group) <= _APART:
            entries.append(item)
        elif group[0] is item:
            entries.append(Many(steps=group))
    return entries


def _fewer(leaves: Sequence[Leaf], noun: str, most: int, *, is_whole: bool) -> list[Leaf]:
    if is_whole or len(leaves) <= most:
        return list(leaves)
    hidden = len(leaves) - most + 2
    # The last one says how far it got.
    return [*leaves[: most - 2], More(what=plural(hidden - 1, f"more {noun}")), leaves[-1]]
