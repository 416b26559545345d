"""``branchline show``: one run as a tree, and its branches side by side."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.text import Text

from ..exporters.console.text import plural
from ..read import Branch, Run, Stamp, Value
from ..read.load import uncollected
from ..read.tree import ending_of, items_of, printable, shown, stamp_line
from ..read.values import errors_in, walk
from .document import run_document
from .logs import lines_of
from .options import common_options, found_run, found_runs, print_json, terminal
from .paint import STYLES, ago, level_style, moment, seconds, sign, step_sign, table
from .tree import tree_text, warnings_in


# Beside the outcome that needs no word.
_TOLD = ("failed", "interrupted", "cancelled", "skipped", "open")
# More settings than this are no help in a table.
_CONFIG_COLUMNS = 8
# Status, duration, steps, errors and stamps, and the air around them.
_FIGURES_WIDTH = 46
_BRANCH_ROWS = 60
_LONGEST_VALUE = 24


@click.command()
@click.argument("run", default="last")
@click.option("--all", "is_whole", is_flag=True, help="Every step and stamp, nothing folded or left out.")
@common_options
def show(run: str, directory: Path, *, is_whole: bool, is_json: bool) -> None:
    """Show RUN (an id, the beginning of one, or `last`) as a tree; compare its branches."""
    runs = found_runs(directory)
    found = found_run(runs, run)
    with uncollected():
        if is_json:
            print_json(run_document(found))
            return
        _print_run(found, is_whole=is_whole)
    for sentence in runs.recovered:
        terminal().print(Text(printable(sentence), "dim"), soft_wrap=True)


def _print_run(run: Run, *, is_whole: bool) -> None:
    console = terminal()
    for part in run_picture(console, run, now=time.time(), is_whole=is_whole):
        # Cut to the terminal's width, where there is one: a broken tree is hard to read.
        console.print(part, soft_wrap=not console.is_terminal or is_whole, no_wrap=True, overflow="ellipsis")


def run_picture(console: Console, run: Run, *, now: float, is_whole: bool = False) -> Iterator[RenderableType]:
    """Yield the parts of the picture of *run*, with *now* in seconds."""
    yield header(console, run, now=now)
    yield from logged(run)
    yield from (Text(f"  {line}", STYLES["killed"]) for line in killed_lines(run))
    items = items_of(run)
    yield Text()
    yield (
        tree_text(console, items, warnings_in(run), is_whole=is_whole) if items else Text("nothing was recorded", "dim")
    )
    for comparison in comparisons(console, run, is_whole=is_whole):
        yield Text()
        yield comparison
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
        yield f"{who}: in {step.kind} {printable(step.name)} since {moment(step.start_unix_nano)}{_last(last)}"


def _last(stamp: Stamp | None) -> str:
    if stamp is None:
        return ""
    return f", last stamp {stamp_line(stamp).removeprefix('· ')} at {moment(stamp.time_unix_nano)}"


# ── branches side by side ─────────────────────────────────────────────────────────────────────────
def comparisons(console: Console, run: Run, *, is_whole: bool = False) -> Iterator[RenderableType]:
    """Yield one table of branches for each experiment, and one for those that belong to none."""
    taken: set[Branch] = set()
    for experiment in run.experiments:
        branches = [branch for branch in experiment.branches if branch not in taken]
        taken.update(branches)
        if branches:
            title = printable(experiment.name) if len(run.experiments) > 1 else None
            yield comparison(console, branches, title=title, is_whole=is_whole)
    rest = [branch for branch in run.branches if branch not in taken]
    if rest:
        yield comparison(console, rest, is_whole=is_whole)


def comparison(
    console: Console, branches: Sequence[Branch], *, title: str | None = None, is_whole: bool = False
) -> RenderableType:
    """Return *branches* as a table, with the settings in which they differ."""
    configs = {branch: dict(_flat(branch.config)) for branch in branches}
    differing = [key for key in _differing(list(configs.values())) if not _is_name(key, configs)]
    columns = differing if is_whole else differing[: _fitting(console.width, branches, configs, differing)]
    drawn = table()
    drawn.add_column("branch", overflow="ellipsis", no_wrap=True)
    drawn.add_column("status", no_wrap=True)
    for name in ("duration", "steps", "errors", "stamps"):
        drawn.add_column(name, justify="right", no_wrap=True)
    for key in columns:
        drawn.add_column(
            Text(printable(key)), no_wrap=True, overflow="ellipsis", max_width=_LONGEST_VALUE, style="cyan"
        )
    rows = branches if is_whole else branches[:_BRANCH_ROWS]
    for branch in rows:
        settings = [_cell(configs[branch][key]) if key in configs[branch] else "" for key in columns]
        drawn.add_row(*_figures(console, branch), *(Text(setting) for setting in settings))
    more = _left_out(len(branches) - len(rows), len(differing) - len(columns))
    heading = [Text(title, "bold")] if title else []
    return Group(*heading, drawn, *([Text(more, "dim")] if more else []))


def _fitting(
    width: int, branches: Sequence[Branch], configs: Mapping[Branch, Mapping[str, Value]], keys: Sequence[str]
) -> int:
    """Return how many of the *keys* have room beside the figures of the *branches*."""
    room = width - _FIGURES_WIDTH - max(cell_len(printable(branch.name)) for branch in branches)
    for number, key in enumerate(keys):
        values = [_cell(config[key]) for config in configs.values() if key in config]
        room -= min(max(cell_len(text) for text in (printable(key), *values)), _LONGEST_VALUE) + 2
        if room < 0:
            return number
    return min(len(keys), _CONFIG_COLUMNS)


def _figures(console: Console, branch: Branch) -> Iterator[Text]:
    errors = errors_in([branch])
    stamps = len(branch.stamps) + sum(len(step.stamps) for step in branch.steps)
    yield Text(printable(branch.name), "bold")
    yield step_sign(console, branch).append(f" {printable(branch.status)}", STYLES.get(branch.status, ""))
    yield Text(seconds(branch.duration))
    yield Text(f"{len(branch.steps):,}")
    yield Text(f"{errors:,}", "red" if errors else "dim")
    yield Text(f"{stamps:,}", "" if stamps else "dim")


def _left_out(rows: int, columns: int) -> str:
    parts = [plural(rows, "more branch")] if rows else []
    parts += [plural(columns, "more setting")] if columns else []
    return f"… {', '.join(parts)}; --all shows them" if parts else ""


def _flat(config: Mapping[str, Value], prefix: str = "") -> Iterator[tuple[str, Value]]:
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _differing(configs: Sequence[Mapping[str, Value]]) -> list[str]:
    """Return the keys, in the order of their first appearance, that do not mean the same in all *configs*."""
    keys = dict.fromkeys(key for config in configs for key in config)
    return [key for key in keys if any(_setting(config, key) != _setting(configs[0], key) for config in configs)]


def _is_name(key: str, configs: Mapping[Branch, Mapping[str, Value]]) -> bool:
    """Whether the setting says what the first column says already."""
    return all(config.get(key) == branch.name for branch, config in configs.items())


def _cell(value: Value) -> str:
    return printable(value) if isinstance(value, str) else shown(value)


def _setting(config: Mapping[str, Value], key: str) -> tuple[bool, Value]:
    return key in config, config.get(key)


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
