"""The cost tracker: what was expected to cost how much, what it did, and how much of a budget is used by it."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from ..current import CURRENT, Purse
from ..limits import BudgetConfig, BudgetStatus
from ..money import A_COST, money, plain
from ..spending import record_on
from ..totals import Spent
from ..usage_values import Usage
from .counting import Counting
from .history import History, SkippedLine
from .records import CostRecord, CostSummary, moment, summary


_log: Final = logging.getLogger("branchline.budget")

EXPERIMENT: Final = "experiment_id"
RUN: Final = "run_id"
_PART: Final = "breakdown."
# What a usage is called whose model nobody has named.
_UNKNOWN: Final = "unknown"
# As what the tracker's own records count that are in a file, or nowhere.
_OWN: Final = "own"


class CostTracker:
    """Keeps records of costs, and says how much of a budget is used.

    Without a *storage_path* it keeps them where everything else is recorded: in the journal and the ledger of the
    configured directory, which all processes share, and of which everything counts that was spent. Where nothing is
    configured, they are in memory. With one they are in a file of JSON lines, and only these count.

    The tracker only says how it stands: ``configure(budget=…)`` is what holds anybody back.
    """

    def __init__(
        self,
        budget: BudgetConfig | Mapping[str, Any] | None = None,
        storage_path: str | os.PathLike[str] | None = None,
    ) -> None:
        """Keep records, and hold them against *budget*.

        Raises:
            ConfigError: for a budget that is none, and a *storage_path* that cannot be.
        """
        self.budget = BudgetConfig.from_dict(budget) if isinstance(budget, Mapping) else budget or BudgetConfig()
        self._purse: Purse | None = CURRENT.purse if storage_path is None else None
        self._history = None if storage_path is None else History(storage_path, zone=self.budget.zone)
        self._records: dict[str, CostRecord] = {}
        self._lock = threading.RLock()
        own_run = _OWN if self._purse is None else CURRENT.run_id
        self._counting = Counting(self.budget, run_id=own_run, began_unix_nano=time.time_ns())
        if self._purse is not None:
            self._purse.join(self._counting)
        self._look()
        if self.skipped:
            some = "; ".join(map(str, self.skipped[:3])) + ("; …" if len(self.skipped) > 3 else "")
            count = len(self.skipped)
            _log.warning("%s: %d lines are no records of costs and are left out: %s", storage_path, count, some)

    @property
    def skipped(self) -> tuple[SkippedLine, ...]:
        """The lines of the file that are no records."""
        return () if self._history is None else self._history.skipped

    def record(
        self,
        experiment_id: str,
        run_id: str,
        estimated: Decimal | float | str | None,
        actual: Decimal | float | str | None,
        model: str = "",
        provider: str = "",
        input_tokens: int = 0,
        output_tokens: int = 0,
        breakdown: Mapping[str, Decimal | float | str] | None = None,
    ) -> CostRecord:
        """Keep what something was *estimated* to cost and what it *actual*ly did, and return that. Never raises.

        A cost that is no amount of money counts as not known.
        """
        record = CostRecord(
            timestamp=moment(time.time_ns()),
            experiment_id=str(experiment_id),
            run_id=str(run_id),
            estimated=_known(estimated, "estimated"),
            actual=_known(actual, "actual"),
            model=str(model),
            provider=str(provider),
            input_tokens=_count(input_tokens),
            output_tokens=_count(output_tokens),
            breakdown=_parts(breakdown),
            id=uuid.uuid4().hex,
        )
        if self._purse is not None:
            _record_usage(record)
        else:
            self._keep(record)
        return record

    def _keep(self, record: CostRecord) -> None:
        with self._lock:
            self._records[record.id] = record
            self._counting.hear(_usage(record))
            if self._history is not None:
                try:
                    self._history.append(record)
                except OSError as error:
                    _log.warning("cannot append to %s: %s; the record is kept in memory", self._history.path, error)

    def check_budget(self) -> list[BudgetStatus]:
        """Return how much of each limit is used, in the order of ``BudgetConfig``."""
        self._look()
        return list(self._counting.statuses(time.time_ns()))

    def should_warn(self) -> bool:
        """Whether any limit is near its end, or at it."""
        return any(status.status != "ok" for status in self.check_budget())

    def should_block(self) -> bool:
        """Whether any limit is used up."""
        return any(status.status == "exceeded" for status in self.check_budget())

    def get_records(self, experiment_id: str | None = None) -> list[CostRecord]:
        """Return all records, or those of one experiment, in order of time."""
        self._look()
        if self._purse is None:
            found = sorted(self._records.values(), key=lambda record: record.timestamp)
        else:
            found = [_record_of(spent) for spent in self._purse.history()]
        return [record for record in found if experiment_id in (None, record.experiment_id)]

    def get_summary(self, experiment_id: str | None = None) -> CostSummary:
        """Return what all records come to, or those of one experiment."""
        return summary(self.get_records(experiment_id), self.check_budget())

    def to_display(self) -> str:
        """Return what all records come to, and a bar for each limit, as text for a person."""
        return self.get_summary().to_display()

    def __repr__(self) -> str:
        where = "the ledger" if self._purse is not None else "memory" if self._history is None else self._history.path
        return f"<CostTracker in {where}>"

    def _look(self) -> None:
        """Take what other processes have appended to the file."""
        if self._history is None:
            return
        with self._lock:
            try:
                unread = self._history.unread()
            except OSError as error:
                _log.warning("cannot read %s: %s", self._history.path, error)
                return
            fresh = [record for record in unread if record.id not in self._records]
            self._records |= {record.id: record for record in fresh}
            # Others' records belong to no run of ours.
            self._counting.catch_up([Spent(_usage(record), "", "") for record in unread])


def _usage(record: CostRecord) -> Usage:
    return Usage(
        model=record.model,
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
        cost=record.actual,
        usage_id=record.id,
        time_unix_nano=record.unix_nano,
    )


def _record_usage(record: CostRecord) -> None:
    labels = {EXPERIMENT: record.experiment_id, RUN: record.run_id}
    labels |= {_PART + name: plain(value) for name, value in record.breakdown.items()}
    record_on(
        None,
        record.model or None,
        (record.input_tokens, record.output_tokens, 0, 0, 0),
        record.provider or None,
        None,
        record.actual,
        record.estimated,
        None,
        None,
        labels=labels,
    )


def _record_of(spent: Spent) -> CostRecord:
    usage, labels = spent.usage, spent.usage.labels
    parts = {name.removeprefix(_PART): value for name, value in labels.items() if name.startswith(_PART)}
    return CostRecord(
        timestamp=moment(usage.time_unix_nano),
        experiment_id=labels.get(EXPERIMENT, usage.experiment or ""),
        run_id=labels.get(RUN, spent.run_id),
        estimated=usage.estimated,
        actual=usage.cost,
        model="" if usage.model == _UNKNOWN else usage.model,
        provider=usage.provider or "",
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        breakdown=_parts(parts),
        id=usage.usage_id,
    )


def _known(value: object, what: str) -> Decimal | None:
    try:
        return None if value is None else money(value)
    except Exception:  # whatever the user gave: recording never raises
        _log.warning("%s=%r is no cost, and counts as not known; accepted: %s", what, value, A_COST)
        return None


def _count(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _parts(breakdown: Mapping[str, Any] | None) -> dict[str, Decimal]:
    try:
        return {str(name): money(value) for name, value in (breakdown or {}).items()}
    except Exception:  # the same
        _log.warning("the breakdown of a cost is left out; accepted: names, and what was spent on each")
        return {}
