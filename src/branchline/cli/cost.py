"""``branchline cost``: what the calls of models took, by step, branch, model or day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from rich.text import Text

from ..exporters.console.text import plural
from ..limits import BudgetStatus
from ..read import Run, Usage
from ..read.budgets import budget_statuses
from ..read.document import budget_document, usage_document
from ..read.spending import spending_in
from ..read.tree import printable
from .budgets import budget_bar
from .options import common_options, found_run, found_runs, print_json, terminal
from .spent import dearest_first, tallied, usage_cells, usage_table


_MOST_ROWS: Final = 60
_NONE: Final = "(none)"


def _day(usage: Usage) -> str:
    try:
        return datetime.fromtimestamp(usage.time_unix_nano / 1e9, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return _NONE


def _branch(usage: Usage) -> str:
    return " / ".join(part for part in (usage.experiment, usage.branch) if part) or _NONE


_KEYS: Final[Mapping[str, Callable[[Usage], str]]] = {
    "step": lambda usage: usage.step or _NONE,
    "branch": _branch,
    "model": lambda usage: usage.model or _NONE,
    "day": _day,
}


@click.command()
@click.argument("run", default="last")
@click.option("--by", type=click.Choice(list(_KEYS)), default="step", show_default=True, help="What a row is.")
@click.option("--all", "is_whole", is_flag=True, help="Of all runs, and every row.")
@common_options
def cost(run: str, directory: Path, *, by: str, is_whole: bool, is_json: bool) -> None:
    """Say what the calls of models in RUN (an id, the beginning of one, or `last`) took and cost.

    Sums are of the calls themselves, over all processes. Days are those of UTC.
    """
    runs = found_runs(directory)
    chosen = list(runs) if is_whole else [found_run(runs, run)]
    usages = [usage for each in chosen for usage in each.usages]
    found = tallied((_KEYS[by](usage), usage) for usage in usages)
    rows = sorted(found.items()) if by == "day" else dearest_first(found)
    total = spending_in(usages)
    if is_json:
        print_json(
            {
                "runs": [each.id for each in chosen],
                "by": by,
                "rows": [{by: key, **usage_document(tally)} for key, tally in rows],
                "total": usage_document(total),
                "budgets": [budget_document(status) for each in chosen for status in _statuses(each, is_whole)],
            }
        )
        return
    if not usages:
        terminal().print(Text(f"no calls of models in {_said(chosen)}", "dim"))
        return
    drawn = usage_table(by)
    shown = rows if is_whole else rows[:_MOST_ROWS]
    for key, tally in shown:
        drawn.add_row(Text(printable(key), "bold"), *usage_cells(tally))
    if len(shown) < len(rows):
        drawn.add_row(Text(f"… {plural(len(rows) - len(shown), 'more row')}; --json has them", "dim"))
    drawn.add_section()
    drawn.add_row(Text("total", "bold"), *usage_cells(total))
    console = terminal()
    console.print(drawn)
    bars = [budget_bar(console, status) for each in chosen for status in _statuses(each, is_whole)]
    if bars:
        console.print(Text(), *bars, sep="\n")


def _statuses(run: Run, is_one_of_many: bool) -> tuple[BudgetStatus, ...]:
    # Of all runs, each would say the same of a day once more.
    return () if is_one_of_many else budget_statuses(run)


def _said(chosen: list[Run]) -> str:
    return f"run {printable(chosen[0].id)}" if len(chosen) == 1 else plural(len(chosen), "run")
