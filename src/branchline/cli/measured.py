"""What a run has measured outside of its branches: one line for each metric."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text

from ..exporters.console.text import figure, plural
from ..read import Point
from ..read.tree import printable
from .paint import table


_MOST_ROWS = 30
_LONGEST_NAME = 40


def loose_metrics(points: Iterable[Point], *, is_whole: bool = False) -> RenderableType | None:
    """Return the metrics of *points* that belong to no branch as a table; None where there are none."""
    found: dict[str, list[Point]] = {}
    for point in points:
        if point.branch_id is None and point.branch_name is None:
            found.setdefault(point.name, []).append(point)
    if not found:
        return None
    drawn = table()
    drawn.add_column("metric", no_wrap=True, overflow="ellipsis", max_width=_LONGEST_NAME)
    for name in ("points", "last", "least", "most"):
        drawn.add_column(name, justify="right", no_wrap=True)
    drawn.add_column("unit", no_wrap=True)
    shown = list(found.items()) if is_whole else list(found.items())[:_MOST_ROWS]
    for name, points_ in shown:
        drawn.add_row(*_cells(name, points_))
    hidden = len(found) - len(shown)
    more = [Text(f"… {plural(hidden, 'more metric')}; --all shows them", "dim")] if hidden else []
    return Group(drawn, *more)


def _cells(name: str, points: list[Point]) -> list[Text]:
    numbers = [point.value for point in points if not math.isnan(point.value)]
    return [
        Text(printable(name), "bold"),
        Text(f"{len(points):,}"),
        Text(figure(points[-1].value), "cyan"),
        Text(figure(min(numbers)) if numbers else ""),
        Text(figure(max(numbers)) if numbers else ""),
        Text(printable(points[-1].unit or ""), "dim"),
    ]
