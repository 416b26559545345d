"""``branchline show``: one run as a tree, and its branches side by side."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console, Group, RenderableType
from rich.text import Text

from ..config import find_pyproject, load_links
from ..exporters.console.text import plural, spending
from ..links import Links
from ..progress_values import counted
from ..read import Run, Stamp, summaries
from ..read.load import uncollected
from ..read.run_document import run_document
from ..read.tree import ending_of, items_of, printable, stamp_line
from ..read.values import walk
from .budgets import budget_bars
from .comparison import comparisons
from .logs import lines_of
from .measured import loose_metrics
from .options import common_options, found_run, found_runs, print_json, terminal
from .paint import STYLES, ago, level_style, moment, seconds, sign
from .spread_table import spread_table
from .tasks import loose_tasks, tasks_by_step
from .tree import tree_text, warnings_in
from .viewers import viewer_documents, viewer_lines


# Beside the outcome that needs no word.
_TOLD = ("failed", "interrupted", "cancelled", "skipped", "open")


@click.command()
@click.argument("run", default="last")
@click.option("--all", "is_whole", is_flag=True, help="Every step and stamp, nothing folded or left out.")
@common_options
def show(run: str, directory: Path, *, is_whole: bool, is_json: bool) -> None:
    """Show RUN (an id, the beginning of one, or `last`) as a tree; compare its branches."""
    runs = found_runs(directory)
    found = found_run(runs, run)
    links = load_links(env=os.environ, pyproject=find_pyproject(Path.cwd()))
    with uncollected():
        if is_json:
            print_json(run_document(found) | {"viewers": viewer_documents(found, links)})
            return
        _print_run(found, links, is_whole=is_whole)
    for sentence in runs.recovered:
        terminal().print(Text(printable(sentence), "dim"), soft_wrap=True)


def _print_run(run: Run, links: Links, *, is_whole: bool) -> None:
    console = terminal()
    for part in run_picture(console, run, now=time.time(), is_whole=is_whole):
        # Cut to the terminal's width, where there is one: a broken tree is hard to read.
        console.print(part, soft_wrap=not console.is_terminal or is_whole, no_wrap=True, overflow="ellipsis")
    lines = list(viewer_lines(run, links, is_whole=is_whole))
    if lines:
        # Never cut: a URL is of use as a whole only.
        console.print(Group(Text(), *lines), soft_wrap=True)


def run_picture(console: Console, run: Run, *, now: float, is_whole: bool = False) -> Iterator[RenderableType]:
    """Yield the parts of the picture of *run*, with *now* in seconds."""
    yield header(console, run, now=now)
    yield from logged(run)
    yield from code_lines(run)
    yield from (Text(f"  {line}", STYLES["killed"]) for line in killed_lines(run))
    items = items_of(run)
    yield Text()
    yield (
        tree_text(console, items, warnings_in(run), tasks_by_step(run), is_whole=is_whole)
        if items
        else Text("nothing was recorded", "dim")
    )
    worked = loose_tasks(console, run)
    if worked is not None:
        yield Group(Text(), worked)
    for comparison in comparisons(console, run, is_whole=is_whole):
        yield Text()
        yield comparison
    bars = list(budget_bars(console, run))
    if bars:
        yield Group(Text(), *bars)
    spread = spread_table(summaries(run), is_whole=is_whole)
    if spread is not None:
        yield Group(Text(), spread)
    measured = loose_metrics(run.points, is_whole=is_whole)
    if measured is not None:
        yield Group(Text(), measured)
    notes = list(note_lines(run))
    if notes:
        yield Group(Text(), *notes)


def header(console: Console, run: Run, *, now: float) -> Text:
    """Return what there is to say about *run* as a whole."""
    end = run.ended_unix_nano or int(now * 1e9)
    endings = Counter(ending_of(step) for step in run.steps)
    parts = [
        Text(run.state, STYLES.get(run.state, "")),
        Text(f"{moment(run.created_unix_nano, '%Y-%m-%d %H:%M:%S')} ({ago(run.created_unix_nano, now)})"),
        Text(seconds(max(end - run.created_unix_nano, 0) / 1e9)),
        Text(plural(len(run.steps), "step")),
    ]
    if run.usage:
        parts.append(Text(spending(run.usage), "cyan"))
    parts += [Text(f"{endings[ending]:,} {ending}", STYLES[ending]) for ending in _TOLD if endings[ending]]
    if len(run.processes) > 1:
        parts.append(Text(plural(len(run.processes), "process")))
    title = sign(console, {"ended": "success", "killed": "failed"}.get(run.state, "open"))
    title.append(" ").append(printable(run.service_name) or "run", "bold").append(f"  {printable(run.id)}", "dim")
    title.append("\n ")
    for number, part in enumerate(parts):
        title.append(" · " if number else " ", "dim").append_text(part)
    return title


def logged(run: Run) -> Iterator[Text]:
    """Yield how many log records of which level there are; nothing where there are none for a person to read."""
    lines = sorted(lines_of(run), key=lambda line: line.severity_number)
    counts = Counter((line.level, level_style(line)) for line in lines)
    if counts:
        levels = [Text(f"{count:,} {printable(level) or 'none'}", style) for (level, style), count in counts.items()]
        yield Text(f"  {plural(len(lines), 'log record')}: ").append_text(Text(", ").join(levels))


def code_lines(run: Run) -> Iterator[Text]:
    """Yield which code ran, where it is known."""
    code = run.metadata.get("code")
    if isinstance(code, dict) and code.get("commit"):
        branch = f" on {printable(str(code['branch']))}" if code.get("branch") else ""
        changes = ", with changes that are not committed" if code.get("is_dirty") else ""
        yield Text(f"  code {printable(str(code['commit']))[:12]}{branch}{changes}", "dim")


def killed_lines(run: Run) -> Iterator[str]:
    """Yield, for each process that was killed in the middle of something, what it was doing."""
    for process in run.processes:
        if process.state != "killed":
            continue
        who = "killed" if len(run.processes) == 1 else f"{printable(process.name)} was killed"
        cut = [step for step in walk(run.roots) if step.process == process.name and step.outcome == "interrupted"]
        if not cut:
            yield f"{who}, with no step open"
            continue
        step = max(cut, key=lambda step: step.start_unix_nano)
        stamps = [stamp for other in cut for stamp in other.stamps]
        last = max(stamps, key=lambda stamp: stamp.time_unix_nano, default=None)
        place = f"in {step.kind} {printable(step.name)} since {moment(step.start_unix_nano)}"
        yield f"{who}: {place}{_far(run, process.name)}{_last(last)}"


def _far(run: Run, process: str) -> str:
    """Return how far the work was that a *process* was killed in the middle of."""
    cut = [task for task in run.tasks if task.process == process and task.outcome == "interrupted"]
    if not cut:
        return ""
    [*_, task] = cut
    part = "" if task.percent is None else f" ({task.percent} %)"
    return f", {printable(task.description)} at {counted(task.done, task.total)}{part}"


def _last(stamp: Stamp | None) -> str:
    if stamp is None:
        return ""
    return f", last stamp {stamp_line(stamp).removeprefix('· ')} at {moment(stamp.time_unix_nano)}"


# ── what is not there ─────────────────────────────────────────────────────────────────────────────
def note_lines(run: Run) -> Iterator[Text]:
    """Yield what was lost or could not be read; nothing when all is well."""
    for reason, count in run.dropped.items():
        yield Text(
            f"! {plural(count, 'record')} dropped before they reached the journal: {printable(reason)}", "yellow"
        )
    for skip in run.skipped:
        where = f"{printable(skip.file)}, line {skip.line:,}" + (" and later" if skip.count > 1 else "")
        yield Text(f"! {where}: {printable(skip.reason)}" + (f" (×{skip.count:,})" if skip.count > 1 else ""), "yellow")
