"""Forecasts: what a piece of work will have cost at its end, from what it has cost so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from ..limits import OF_A_RUN, BudgetConfig, BudgetStatus
from ..money import CONTEXT


# Of one or two items, nobody knows whether they are like the others.
_FEWEST_ITEMS = 3
_OF_THE_RUN = frozenset({"run", *OF_A_RUN})


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a limit comes to at the end of a piece of work."""

    work: str
    done: int
    total: int
    status: BudgetStatus
    """Now."""
    at_end: BudgetStatus
    """If the items to come cost as much as those that are done."""

    def __str__(self) -> str:
        what = "this run" if self.at_end.period in _OF_THE_RUN else f"the {self.at_end.title}"
        return f"at item {self.done:,} of {self.total:,} of {self.work} {what} ends at {self.at_end.spent}"


def forecasts(
    budget: BudgetConfig,
    now: Mapping[str, BudgetStatus],
    *,
    before: Mapping[str, Decimal],
    work: str,
    done: int,
    total: int,
) -> tuple[Forecast, ...]:
    """Return for each limit of which it can be told what it comes to at the end.

    *before* is what was used of each when the work began; a limit that is not among it has begun since.
    """
    if done < _FEWEST_ITEMS or total < done:
        return ()
    share = CONTEXT.divide(Decimal(total), Decimal(done))
    found = []
    for period, status in now.items():
        began = before.get(period, Decimal(0))
        # What others spend beside it counts as its own: nobody can tell whether they will go on.
        grown = CONTEXT.multiply(CONTEXT.subtract(status.used, began), share)
        at_end = budget.status(period, CONTEXT.normalize(CONTEXT.add(began, grown)), name=status.name)
        found.append(Forecast(work=work, done=done, total=total, status=status, at_end=at_end))
    return tuple(found)
