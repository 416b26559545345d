"""The summary: what a person wants to know when a run is over, in a few calm rows."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..._journal.seen import Summary
from ..._journal.usage_totals import UsageTotals
from ...limits import BudgetStatus, bar
from ...links import NOWHERE, Links, Trace
from ...tally import Tally
from .columns import COST, DURATION, ERRORS, METRIC, NAME, STATUS, STEPS, TOKENS, Column, fitting, table_rows
from .picture import Node, Picture
from .text import Glyphs, Piece, Row, cells, dollars, duration, figure, plural, safe, spending


# More rows than this say less than their number.
_MAX_BRANCHES = 30
# More columns than these break the rows of a narrow terminal.
_MAX_METRICS = 4

_STATUS_STYLES = {
    "success": "green",
    "failed": "red",
    "lost": "red",
    "skipped": "yellow",
    "cancelled": "yellow",
    "interrupted": "magenta",
}


LEVEL_STYLES = {"WARN": "yellow", "ERROR": "red", "FATAL": "red"}


def summary_rows(
    summary: Summary, picture: Picture, glyphs: Glyphs, links: Links = NOWHERE, *, width: int | None = None
) -> list[Row]:
    """Return the summary of a run, an empty row before it and each of its parts.

    With a *width*, its headline and its table keep to so many columns; what is there to be copied is never cut.
    """
    rows: list[Row] = [(), *_headline(summary, picture, glyphs, width)]
    branches = sorted(picture.branches(), key=_start_unix_nano)
    if branches:
        rows += [(), *_branch_table(branches, picture.unkept(), summary.spent, width)]
    if summary.budgets:
        rows += [(), *_budget_rows(summary.budgets, glyphs)]
    return [*rows, (), *_facts(summary), *_viewers(picture, links)]


def _headline(summary: Summary, picture: Picture, glyphs: Glyphs, width: int | None) -> Iterator[Row]:
    parts = [safe(summary.service_name), duration(round(summary.seconds * 1e9))]
    if summary.spans:
        parts.append(plural(summary.spans, "span"))
    if summary.points:
        parts.append(plural(summary.points, "metric point"))
    if summary.spent is not None and not summary.spent.whole.is_empty:
        parts.append(spending(summary.spent.whole))
    if not summary.spans and not summary.logs:
        parts.append("nothing was recorded")
    said: list[Piece] = [(part, "") for part in parts]
    if picture.root.errors:
        said.append((plural(picture.root.errors, "error"), "red"))
    row: list[Piece] = [glyphs.outcome(picture.outcome()), (" ", ""), (f"run {summary.run_id}", "bold")]
    for part in said:
        more: list[Piece] = [(f" {glyphs.dot} ", "dim"), part]
        if width is not None and cells((*row, *more)) > width:
            yield tuple(row)
            row, more = [("  ", "")], [part]
        row += more
    yield tuple(row)


def _start_unix_nano(branch: tuple[Node, str | None]) -> int:
    seen = branch[0].seen
    return 0 if seen is None else seen.start_unix_nano


def _branch_table(
    branches: list[tuple[Node, str | None]],
    unkept: Mapping[str, int],
    spent: UsageTotals | None,
    width: int | None,
) -> Iterator[Row]:
    shown = _most_telling(branches)
    names = list(dict.fromkeys(name for node, _ in shown for name in _metrics(node)))
    # With several experiments, the name of a branch alone does not tell which one it is.
    is_prefixed = len({experiment for _, experiment in branches}) > 1
    whole = [
        *_branch_columns([(node, experiment if is_prefixed else None) for node, experiment in shown]),
        *_spent_columns([_spent_by(node, spent) for node, _ in shown]),
        *_metric_columns([_metrics(node) for node, _ in shown], names[:_MAX_METRICS]),
    ]
    columns, gap = fitting(whole, width)
    yield from table_rows(columns, gap)
    hidden = len(branches) - len(shown) + sum(unkept.values())
    if hidden:
        yield ("  ", ""), (f"and {plural(hidden, 'branch')} more", "dim")
    unsaid = len(names) - sum(column.rank == METRIC for column in columns)
    if unsaid:
        yield ("  ", ""), (f"and {plural(unsaid, 'metric')} more", "dim")


def _most_telling(branches: list[tuple[Node, str | None]]) -> list[tuple[Node, str | None]]:
    if len(branches) <= _MAX_BRANCHES:
        return branches
    troubled = [index for index, (node, _) in enumerate(branches) if node.errors]
    others = [index for index, (node, _) in enumerate(branches) if not node.errors]
    return [branches[index] for index in sorted((troubled + others)[:_MAX_BRANCHES])]


def _branch_columns(branches: Sequence[tuple[Node, str | None]]) -> Iterator[Column]:
    rows = [_branch_cells(node, experiment) for node, experiment in branches]
    heads = (("branch", NAME), ("status", STATUS), ("duration", DURATION), ("steps", STEPS), ("errors", ERRORS))
    for place, (title, rank) in enumerate(heads):
        yield Column(title=title, cells=tuple(row[place] for row in rows), rank=rank)


def _branch_cells(node: Node, experiment: str | None) -> tuple[Piece, ...]:
    seen = node.seen
    assert seen is not None  # Only what has ended is kept.
    status = seen.status or seen.outcome or "success"
    name = safe(seen.branch_name or seen.name, 48)
    return (
        (f"{safe(experiment, 32)} / {name}" if experiment else name, ""),
        (status, _STATUS_STYLES.get(status, "")),
        (duration((seen.end_unix_nano or seen.start_unix_nano) - seen.start_unix_nano), ""),
        (f"{node.steps:,}", ""),
        (f"{node.errors:,}", "red" if node.errors else "dim"),
    )


def _spent_by(node: Node, spent: UsageTotals | None) -> Tally | None:
    """Return what a branch took in all processes; of several of one name, all of them together."""
    seen = node.seen
    return None if seen is None or spent is None else spent.of(seen.experiment_name, seen.branch_name)


def _spent_columns(bills: Sequence[Tally | None]) -> Iterator[Column]:
    if any(bills):
        tokens = tuple(("" if bill is None else f"{bill.total_tokens:,}", "") for bill in bills)
        yield Column(title="tokens", cells=tokens, rank=TOKENS)
        yield Column(title="cost", cells=tuple(map(_cost, bills)), rank=COST)


def _cost(bill: Tally | None) -> Piece:
    if bill is None:
        return "", ""
    cost = "unpriced" if bill.cost is None else dollars(bill.cost)
    is_partly = bill.cost is not None and bill.priced_ratio < 1
    return f"{cost} +" if is_partly else cost, "cyan"


def _metrics(node: Node) -> Mapping[str, float]:
    return {} if node.seen is None else node.seen.metrics


def _metric_columns(measured: Sequence[Mapping[str, float]], names: Sequence[str]) -> Iterator[Column]:
    for name in names:
        found = tuple((figure(metrics[name]), "cyan") if name in metrics else ("", "") for metrics in measured)
        yield Column(title=safe(name, 24), cells=found, rank=METRIC)


_BUDGET_STYLES = {"ok": "green", "warning": "yellow", "exceeded": "red"}


def _budget_rows(budgets: Sequence[BudgetStatus], glyphs: Glyphs) -> Iterator[Row]:
    """Yield a bar for each limit: how much of it is used."""
    signs = {} if glyphs.success == "✓" else {"full": "#", "empty": "-"}
    for status in budgets:
        style = _BUDGET_STYLES[status.status]
        percent = f"  {status.percent_used:5.1f} %  "
        name = f"  {safe(status.name, 32)}" if status.name else ""
        yield (
            *(("  ", ""), (f"{status.period:<8}  ", "dim"), (bar(status, **signs), style), (percent, style)),
            *((status.spent, ""), (name, "dim")),
        )


def _facts(summary: Summary) -> Iterator[Row]:
    if summary.levels:
        yield ("  ", ""), (f"{'logs':<8}  ", "dim"), *_levels(summary.levels)
    yield _fact("files", _shortest(summary.directory))
    if summary.dropped:
        yield _fact("dropped", _numbers(summary.dropped), "red")
    if summary.oddities:
        yield _fact("oddities", _numbers(summary.oddities), "yellow")
    yield _fact("next", _next_command(summary), "cyan")


def _viewers(picture: Picture, links: Links) -> Iterator[Row]:
    """Yield where the run's trace can be looked at, and of several, where they are compared."""
    seen = [node.seen for node in picture.root.kept if node.seen is not None]
    traces = {one.trace_id: Trace(one.trace_id, one.start_unix_nano, one.end_unix_nano) for one in reversed(seen)}
    if len(traces) == 1:
        [trace] = traces.values()
        for viewer, url in links.to(trace).items():
            yield _fact(viewer, url, "cyan")
    compared = links.compared(reversed(traces.values()))
    if compared is not None:
        yield _fact("compare", compared, "cyan")


def _levels(levels: Mapping[str, int]) -> Iterator[Piece]:
    for number, (level, count) in enumerate(levels.items()):
        if number:
            yield ", ", ""
        yield f"{count:,} {level or 'of no level'}", LEVEL_STYLES.get(level, "")


def _fact(title: str, text: str, style: str = "") -> Row:
    return ("  ", ""), (f"{title:<8}  ", "dim"), (text, style)


def _numbers(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {safe(name).replace('_', ' ')}" for name, number in sorted(numbers.items()))


def _next_command(summary: Summary) -> str:
    directory = Path(summary.directory).parent.parent
    where = _shortest(str(directory))
    elsewhere = "" if where == ".branchline" else f" --directory {shlex.quote(where)}"
    return f"branchline show {shlex.quote(summary.run_id)}{elsewhere}"


def _shortest(path: str) -> str:
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):  # The working directory is gone.
        return safe(path, 4096)
    return safe(path if relative.startswith("..") else relative, 4096)
