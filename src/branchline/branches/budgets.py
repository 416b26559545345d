"""Budgets between branches: whether there is anything left to begin another one with."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from ..budget import BudgetConfig, CostTracker
from ..current import CURRENT, Purse


# Whoever adds up what a run spends does so for as long as it lasts: one for each budget, however often it is asked for.
_trackers: weakref.WeakKeyDictionary[Purse, list[CostTracker]] = weakref.WeakKeyDictionary()


def reason_to_stop(budget: BudgetConfig | Callable[[], object]) -> object:
    """Return why no branch should be begun any more; something false where there is no reason."""
    if not isinstance(budget, BudgetConfig):
        return budget()
    purse = CURRENT.purse
    if purse is None:
        # Nothing is recorded, so nothing counts.
        return None
    known = _trackers.setdefault(purse, [])
    tracker = next((each for each in known if each.budget == budget), None)
    if tracker is None:
        tracker = CostTracker(budget)
        known.append(tracker)
    return next((f"{each} used" for each in tracker.check_budget() if each.status == "exceeded"), None)
