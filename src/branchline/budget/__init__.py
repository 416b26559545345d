"""Budgets: what may be spent, what is, and what happens when there is nothing left."""

from __future__ import annotations

from ..current import CURRENT
from ..limits import BudgetConfig, BudgetExceeded, BudgetStatus
from .forecast import Forecast
from .history import SkippedLine
from .records import CostRecord, CostSummary
from .tracker import CostTracker


__all__ = [
    "BudgetConfig",
    "BudgetExceeded",
    "BudgetStatus",
    "CostRecord",
    "CostSummary",
    "CostTracker",
    "Forecast",
    "SkippedLine",
    "progressed",
    "statuses",
]


def statuses() -> tuple[BudgetStatus, ...]:
    """Return how much of each limit of the run that is going on is used."""
    return () if CURRENT.purse is None else CURRENT.purse.statuses()


def progressed(work: str, done: int, total: int) -> None:
    """Say how far a piece of *work* is, in items: whoever waits for it is warned of a budget that will not do."""
    if CURRENT.purse is not None:
        CURRENT.purse.progressed(work, done, total)
