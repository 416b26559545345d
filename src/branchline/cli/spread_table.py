"""What the steps and points of a run come to, one line for each name."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from ..exporters.console.text import figure, plural
from ..names import STEP_DURATION, STEP_NAME
from ..read import Summary
from ..read.tree import printable
from .paint import seconds, table


# Fewer have no 95th percentile; the tree has their median.
_ENOUGH = 20
_MOST_ROWS = 30
_LONGEST_NAME = 40
_FIGURES = ("min", "mean", "p50", "p95", "p99", "max")


def spread_table(summaries: Sequence[Summary], *, is_whole: bool = False) -> RenderableType | None:
    """Return *summaries* of many values as a table, with *is_whole* of more than one; None where there are none."""
    found = [summary for summary in summaries if summary.count >= (2 if is_whole else _ENOUGH)]
    if not found:
        return None
    drawn = table()
    drawn.add_column("of many", no_wrap=True, overflow="ellipsis", max_width=_LONGEST_NAME)
    for name in ("count", *_FIGURES):
        drawn.add_column(name, justify="right", no_wrap=True)
    drawn.add_column("unit", no_wrap=True)
    shown = found if is_whole else found[:_MOST_ROWS]
    for summary in shown:
        drawn.add_row(*_cells(summary))
    hidden = len(found) - len(shown)
    more = [Text(f"… {plural(hidden, 'more line')}; --all shows them", "dim")] if hidden else []
    return Group(drawn, *more)


def _cells(summary: Summary) -> list[Text]:
    is_step = summary.metric == STEP_DURATION
    name = f"step {summary.attributes.get(STEP_NAME)}" if is_step else summary.metric
    figures = [getattr(summary, name) for name in _FIGURES]
    return [
        Text(printable(name), "bold"),
        Text(f"{summary.count:,}"),
        *[Text(seconds(each) if is_step else figure(each)) for each in figures],
        # Of a length of time, each figure has its own.
        Text("" if is_step else printable(summary.unit), "dim"),
    ]
