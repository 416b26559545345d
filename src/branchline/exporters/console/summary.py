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


def summary_rows(summary: Summary, picture: Picture, glyphs: Glyphs, links: Links = NOWHERE) -> list[Row]:
    """Return the summary of a run, an empty row before it and each of its parts."""
    rows: list[Row] = [(), _headline(summary, picture, glyphs)]
    branches = list(picture.branches())
    if branches:
        rows += [(), *_branch_table(branches, picture.unkept(), summary.spent)]
    if summary.budgets:
        rows += [(), *_budget_rows(summary.budgets, glyphs)]
    return [*rows, (), *_facts(summary), *_viewers(picture, links)]


def _headline(summary: Summary, picture: Picture, glyphs: Glyphs) -> Row:
    parts = [f"run {summary.run_id}", safe(summary.service_name), duration(round(summary.seconds * 1e9))]
    if summary.spans:
        parts.append(plural(summary.spans, "span"))
    if summary.points:
        parts.append(plural(summary.points, "metric point"))
    if summary.spent is not None and not summary.spent.whole.is_empty:
        parts.append(spending(summary.spent.whole))
    if not summary.spans and not summary.logs:
        parts.append("nothing was recorded")
    head, *rest = parts
    row: list[Piece] = [glyphs.outcome(picture.outcome()), (" ", ""), (head, "bold")]
    for part in rest:
        row += [(f" {glyphs.dot} ", "dim"), (part, "")]
    if picture.root.errors:
        row += [(f" {glyphs.dot} ", "dim"), (plural(picture.root.errors, "error"), "red")]
    return tuple(row)


def _branch_table(
    branches: list[tuple[Node, str | None]], unkept: Mapping[str, int], spent: UsageTotals | None
) -> Iterator[Row]:
    # With several experiments, the name of a branch alone does not tell which one it is.
    is_prefixed = len({experiment for _, experiment in branches}) > 1
    shown = _most_telling(branches)
    names = list(dict.fromkeys(name for node, _ in shown for name in _metrics(node)))
    measured = names[:_MAX_METRICS]
    bills = [_spent_by(node, spent) for node, _ in shown]
    has_bills = any(bills)
    body = [
        (
            *_branch_cells(node, experiment if is_prefixed else None),
            *(_spent_cells(bill) if has_bills else ()),
            *_metric_cells(node, measured),
        )
        for (node, experiment), bill in zip(shown, bills, strict=True)
    ]
    titles = (
        *("branch", "status", "duration", "steps", "errors"),
        *(("tokens", "cost") if has_bills else ()),
        *(safe(name, 24) for name in measured),
    )
    heads = tuple((title, "dim") for title in titles)
    widths = [max(cells((row[column],)) for row in (heads, *body)) for column in range(len(heads))]
    for row in (heads, *body):
        yield ("  ", ""), *_table_row(row, widths)
    hidden = len(branches) - len(shown) + sum(unkept.values())
    if hidden:
        yield ("  ", ""), (f"and {plural(hidden, 'branch')} more", "dim")
    if len(names) > len(measured):
        yield ("  ", ""), (f"and {plural(len(names) - len(measured), 'metric')} more", "dim")


def _most_telling(branches: list[tuple[Node, str | None]]) -> list[tuple[Node, str | None]]:
    if len(branches) <= _MAX_BRANCHES:
        return branches
    troubled = [index for index, (node, _) in enumerate(branches) if node.errors]
    others = [index for index, (node, _) in enumerate(branches) if not node.errors]
    return [branches[index] for index in sorted((troubled + others)[:_MAX_BRANCHES])]


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


def _spent_cells(bill: Tally | None) -> tuple[Piece, ...]:
    if bill is None:
        return ("", ""), ("", "")
    cost = "unpriced" if bill.cost is None else dollars(bill.cost)
    is_partly = bill.cost is not None and bill.priced_ratio < 1
    return (f"{bill.total_tokens:,}", ""), (f"{cost} +" if is_partly else cost, "cyan")


def _metrics(node: Node) -> Mapping[str, float]:
    return {} if node.seen is None else node.seen.metrics


def _metric_cells(node: Node, names: list[str]) -> tuple[Piece, ...]:
    metrics = _metrics(node)
    return tuple((figure(metrics[name]), "cyan") if name in metrics else ("", "") for name in names)


def _table_row(row: tuple[Piece, ...], widths: list[int]) -> Iterator[Piece]:
    for column, (piece, width) in enumerate(zip(row, widths, strict=True)):
        gap = " " * (width - cells((piece,)))
        if column:
            yield "   ", ""
        if column < 2:
            yield piece
            yield gap, ""
        else:
            yield gap, ""
            yield piece


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
