"""Budgets, looked at afterwards: how much of the limits that a run was told was used at its end."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from .. import names
from .._journal import layout
from .._journal.ledger_history import open_ledger, spent_in
from ..errors import BranchlineError
from ..limits import BudgetConfig, BudgetStatus
from ..totals import Spent, Totals, earliest
from .run import Run
from .values import Step


def budget_of(run: Run) -> BudgetConfig | None:
    """Return the budget that *run* was told; None where it had none, or one that this version does not know."""
    for process in run.processes:
        told = process.metadata.get(names.BUDGET)
        if isinstance(told, dict):
            try:
                return BudgetConfig.from_dict(told)
            except BranchlineError:
                return None
    return None


def budget_statuses(run: Run) -> tuple[BudgetStatus, ...]:
    """Return how much of each limit of *run* was used at its end, by all runs of its directory; now, if it goes on."""
    budget = budget_of(run)
    if budget is None or not budget.limits:
        return ()
    at = run.ended_unix_nano or time.time_ns()
    totals = Totals(budget, run_id=run.id, began_unix_nano=run.created_unix_nano)
    steps = _steps_above(run) if totals.has_steps else {}
    for spent in _spent(run, earliest(budget, at)):
        if spent.usage.time_unix_nano <= at:
            totals.add(spent.usage, spent.run_id, steps.get(spent.usage.span_id or "", ()))
    return totals.statuses(at)


def _spent(run: Run, since_unix_nano: int) -> Iterator[Spent]:
    """Yield what counts: of the ledger, or where there is none, of the journals."""
    runs = run.directory.parent
    directory = runs.parent
    if runs.name == "runs" and layout.is_there(layout.ledger_path(directory)):
        try:
            ledger = open_ledger(directory, lambda text: None)
        except (sqlite3.Error, OSError, BranchlineError):
            # The journals have it all.
            ledger = None
        if ledger is not None:
            try:
                yield from ledger.since(since_unix_nano, run.id)
            finally:
                ledger.close()
            return
    folders = layout.processes(runs) if runs.name == "runs" else [run.directory]
    for folder in folders:
        if folder.name == run.directory.name or _is_touched_since(folder, since_unix_nano):
            yield from spent_in(folder)


def _is_touched_since(run: Path, unix_nano: int) -> bool:
    """Whether anybody has written to *run* since."""
    return any(
        segment.path.stat().st_mtime_ns >= unix_nano
        for process in layout.processes(run)
        for segment in layout.segments(process, "logs")
    )


def _steps_above(run: Run) -> dict[str, tuple[tuple[str, str], ...]]:
    """Return for each span the steps that it is in, and itself if it is one: id and name of each."""
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    stack: list[tuple[Step, tuple[tuple[str, str], ...]]] = [(step, ()) for step in run.roots]
    while stack:
        step, above = stack.pop()
        here = ((step.span_id, step.name), *above) if step.kind == names.KIND_STEP else above
        found[step.span_id] = here
        stack += [(child, here) for child in step.children]
    return found
