"""Branches side by side: what they took, what they measured, and the settings in which they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.text import Text

from ..exporters.console.text import figure, plural
from ..read import Branch, Run, Value
from ..read.tree import printable, shown
from ..read.values import errors_in
from .paint import STYLES, seconds, step_sign, table
from .spent import money_cell


# More metrics, or settings, than this are no help in a table.
_MOST_COLUMNS = 8
# What there is of each branch, with the air around it. Where a terminal is narrow, the last is left out first.
_FIGURES = {"status": 11, "duration": 10, "errors": 8, "steps": 7, "stamps": 8}
_AIR = 2
_SHOWN = ("status", "duration", "steps", "errors", "stamps")
# What a name is cut down to before a figure is left out.
_NARROWEST_NAME = 18
_BRANCH_ROWS = 60
_LONGEST_VALUE = 24


@dataclass(frozen=True, kw_only=True)
class Column:
    """What there is to say about each branch under one title."""

    title: str
    cells: Mapping[Branch, str]

    @property
    def width(self) -> int:
        """How many columns of the terminal it takes, with some air."""
        return min(max(map(cell_len, (self.title, *self.cells.values()))), _LONGEST_VALUE) + 2


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
    """Return *branches* as a table; *is_whole* leaves no row and no column out."""
    metrics, settings = (*_spent(branches), *_metrics(branches)), _settings(branches)
    figures = list(_FIGURES) if is_whole else _figures_within(console.width - _NARROWEST_NAME)
    taken = sum(_FIGURES.values()) + _AIR + max(cell_len(printable(branch.name)) for branch in branches)
    room = console.width - taken
    measured = metrics if is_whole else metrics[: _fitting(room, metrics)]
    set_ = settings if is_whole else settings[: _fitting(room - sum(column.width for column in measured), settings)]
    drawn = table()
    longest = None if is_whole else max(console.width - sum(map(_FIGURES.__getitem__, figures)), _NARROWEST_NAME)
    drawn.add_column("branch", overflow="ellipsis", no_wrap=True, max_width=longest)
    for name in _SHOWN:
        if name in figures:
            justify: JustifyMethod = "left" if name == "status" else "right"
            drawn.add_column(name, justify=justify, no_wrap=True, min_width=_FIGURES[name] - _AIR)
    for column in (*measured, *set_):
        is_figure = column in measured
        drawn.add_column(
            Text(column.title),
            justify="right" if is_figure else "left",
            no_wrap=True,
            overflow="ellipsis",
            max_width=_LONGEST_VALUE,
            style="bold" if is_figure else "cyan",
        )
    rows = branches if is_whole else branches[:_BRANCH_ROWS]
    for branch in rows:
        drawn.add_row(
            Text(printable(branch.name), "bold"),
            *(text for name, text in zip(_SHOWN, _figures(console, branch), strict=True) if name in figures),
            *(Text(column.cells.get(branch, "")) for column in (*measured, *set_)),
        )
    more = _left_out(len(branches) - len(rows), len(metrics) - len(measured), len(settings) - len(set_))
    heading = [Text(title, "bold")] if title else []
    return Group(*heading, drawn, *([Text(more, "dim")] if more else []))


def _fitting(room: int, columns: Sequence[Column]) -> int:
    """Return how many of the *columns* have their place in the *room* that is left."""
    for count, column in enumerate(columns):
        room -= column.width
        if room < 0:
            return count
    return min(len(columns), _MOST_COLUMNS)


def _figures_within(width: int) -> list[str]:
    """Return the names of the figures for which there is room beside a name that is cut."""
    names = list(_FIGURES)
    while len(names) > 1 and sum(_FIGURES[name] for name in names) > width:
        names.pop()
    return names


def _figures(console: Console, branch: Branch) -> Iterator[Text]:
    errors = errors_in([branch])
    stamps = len(branch.stamps) + sum(len(step.stamps) for step in branch.steps)
    yield step_sign(console, branch).append(f" {printable(branch.status)}", STYLES.get(branch.status, ""))
    yield Text(seconds(branch.duration))
    yield Text(f"{len(branch.steps):,}")
    yield Text(f"{errors:,}", "red" if errors else "dim")
    yield Text(f"{stamps:,}", "" if stamps else "dim")


def _left_out(rows: int, metrics: int, settings: int) -> str:
    left_out = ((rows, "more branch"), (metrics, "more metric"), (settings, "more setting"))
    parts = [plural(count, noun) for count, noun in left_out if count]
    return f"… {', '.join(parts)}; --all shows them" if parts else ""


# ── what they took and measured ────────────────────────────────────────────────────────────────────────────
def _spent(branches: Sequence[Branch]) -> list[Column]:
    """Return what the calls of models in the branches took, where there are any."""
    spending = {branch: branch.total_usage for branch in branches if branch.total_usage}
    if not spending:
        return []
    tokens = {branch: f"{spent.total_tokens:,}" for branch, spent in spending.items()}
    return [
        Column(title="tokens", cells=tokens),
        Column(title="cost", cells={branch: money_cell(spent.cost).plain for branch, spent in spending.items()}),
    ]


def _metrics(branches: Sequence[Branch]) -> list[Column]:
    """Return the last values of all metrics, in the order of their first appearance."""
    names = dict.fromkeys(name for branch in branches for name in branch.metrics)
    return [
        Column(
            title=printable(name),
            cells={branch: figure(branch.metrics[name]) for branch in branches if name in branch.metrics},
        )
        for name in names
    ]


# ── how they differ ───────────────────────────────────────────────────────────────────────────────
def _settings(branches: Sequence[Branch]) -> list[Column]:
    """Return the settings, in the order of their first appearance, that are not the same in all *branches*."""
    configs = {branch: dict(_flat(branch.config)) for branch in branches}
    return [
        Column(
            title=printable(key),
            cells={branch: _cell(config[key]) for branch, config in configs.items() if key in config},
        )
        for key in _differing(list(configs.values()))
        if not _is_name(key, configs)
    ]


def _flat(config: Mapping[str, Value], prefix: str = "") -> Iterator[tuple[str, Value]]:
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _differing(configs: Sequence[Mapping[str, Value]]) -> list[str]:
    keys = dict.fromkeys(key for config in configs for key in config)
    return [key for key in keys if any(_setting(config, key) != _setting(configs[0], key) for config in configs)]


def _is_name(key: str, configs: Mapping[Branch, Mapping[str, Value]]) -> bool:
    """Whether the setting says what the first column says already."""
    return all(config.get(key) == branch.name for branch, config in configs.items())


def _cell(value: Value) -> str:
    return printable(value) if isinstance(value, str) else shown(value)


def _setting(config: Mapping[str, Value], key: str) -> tuple[bool, Value]:
    return key in config, config.get(key)
