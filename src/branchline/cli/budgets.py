"""How much of the limits of a run was used, as bars."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from ..limits import BudgetStatus, bar
from ..read import Run
from ..read.budgets import budget_statuses
from ..read.tree import printable
from .paint import glyphs, styled


_STYLES = {"ok": "green", "warning": "yellow", "exceeded": "red"}


def budget_bars(console: Console, run: Run) -> Iterator[Text]:
    """Yield a line with a bar for each limit that *run* was told; nothing where it had no budget."""
    for status in budget_statuses(run):
        yield budget_bar(console, status)


def budget_bar(console: Console, status: BudgetStatus) -> Text:
    """Return one limit as a line: its name, a bar, the percentage, and how much of how much."""
    style = _STYLES[status.status]
    drawn = bar(status) if glyphs(console).success == "✓" else bar(status, full="#", empty="-")
    text = styled((f"  {status.period:<8}  ", "dim"), (drawn, style), (f"  {status.percent_used:5.1f} %  ", style))
    text.append(status.spent)
    return text.append(f"  {printable(status.name)}", "dim") if status.name else text
