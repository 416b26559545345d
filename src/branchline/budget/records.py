"""Records of what something was expected to cost and what it did, and what many of them come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any, Self

from ..limits import BudgetStatus, amount, as_number, bar, percent
from ..money import CONTEXT, ZERO, money


_NANO = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class CostRecord:
    """What something was expected to cost, and what it did, in US dollars."""

    timestamp: datetime
    experiment_id: str = ""
    run_id: str = ""
    estimated: Decimal | None = None
    """None where nobody had said so before."""
    actual: Decimal | None = None
    """None where nobody knows."""
    model: str = ""
    provider: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    breakdown: Mapping[str, Decimal] = field(default_factory=dict)
    """What it was spent on."""
    id: str = field(default="", compare=False)

    @property
    def variance(self) -> Decimal:
        """How much more it cost than was expected; below zero, how much less."""
        if self.estimated is None or self.actual is None:
            return ZERO
        return CONTEXT.subtract(self.actual, self.estimated)

    @property
    def variance_percent(self) -> Decimal:
        """The same as a part of what was expected; zero where nothing was."""
        if not self.estimated:
            return ZERO
        return percent(self.variance, self.estimated)

    @property
    def unix_nano(self) -> int:
        """When that was, in nanoseconds since 1970."""
        return round(self.timestamp.timestamp() * 1_000_000) * 1000

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values that JSON has."""
        return {
            "timestamp": self.timestamp.isoformat(),
            "experiment_id": self.experiment_id,
            "run_id": self.run_id,
            "costs": {
                "estimated_before": _plain(self.estimated),
                "actual": _plain(self.actual),
                "variance": as_number(self.variance),
                "variance_percent": as_number(self.variance_percent),
                "breakdown": {name: as_number(value) for name, value in self.breakdown.items()},
            },
            "model": self.model,
            "provider": self.provider,
            "tokens": {"input": self.input_tokens, "output": self.output_tokens},
            "id": self.id,
        }

    @classmethod
    def from_dict(cls, known: Mapping[str, Any], *, zone: tzinfo | None = None) -> Self:
        """Return the record that *known* says, as ``to_dict`` has it; a time without an offset is one of *zone*.

        Raises:
            ValueError, TypeError, KeyError: for what is none; the message says why.
        """
        timestamp = datetime.fromisoformat(known["timestamp"])
        if timestamp.tzinfo is None:
            timestamp = timestamp.replace(tzinfo=zone) if zone is not None else timestamp.astimezone()
        # What no calendar has is found here, and not when it is looked for.
        timestamp.timestamp()
        costs, tokens = known["costs"], known.get("tokens") or {}
        return cls(
            timestamp=timestamp,
            experiment_id=str(known.get("experiment_id", "")),
            run_id=str(known.get("run_id", "")),
            estimated=_money(costs.get("estimated_before")),
            actual=_money(costs["actual"]),
            model=str(known.get("model", "")),
            provider=str(known.get("provider", "")),
            input_tokens=int(tokens.get("input", 0)),
            output_tokens=int(tokens.get("output", 0)),
            breakdown={str(name): money(value) for name, value in (costs.get("breakdown") or {}).items()},
            id=str(known.get("id", "")),
        )


@dataclass(frozen=True, kw_only=True)
class CostSummary:
    """What many records come to."""

    total_runs: int = 0
    """How many records."""
    total_estimated: Decimal = ZERO
    total_actual: Decimal = ZERO
    total_variance: Decimal = ZERO
    """Of those whose cost was expected by somebody."""
    average_per_run: Decimal = ZERO
    """Of those whose cost is known."""
    by_model: Mapping[str, Decimal] = field(default_factory=dict)
    unpriced: int = 0
    """How many records there are of which nobody knows what they cost."""
    budget_status: tuple[BudgetStatus, ...] = ()

    def to_display(self) -> str:
        """Return it as text for a person."""
        lines = [
            f"records    {self.total_runs:,}" + (f", {self.unpriced:,} of no known cost" if self.unpriced else ""),
            f"estimated  {amount(self.total_estimated, 'USD')}",
            f"actual     {amount(self.total_actual, 'USD')}",
            f"variance   {signed(self.total_variance)}",
            f"average    {amount(self.average_per_run, 'USD')}",
        ]
        width = max(map(len, self.by_model), default=0)
        lines += [f"  {model:<{width}}  {amount(cost, 'USD')}" for model, cost in self.by_model.items()]
        lines += [budget_line(status) for status in self.budget_status]
        return "\n".join(lines)


def summary(records: Iterable[CostRecord], statuses: Iterable[BudgetStatus] = ()) -> CostSummary:
    """Return what *records* come to."""
    count = priced = 0
    estimated = actual = variance = ZERO
    by_model: dict[str, Decimal] = {}
    for record in records:
        count += 1
        estimated = CONTEXT.add(estimated, record.estimated or ZERO)
        variance = CONTEXT.add(variance, record.variance)
        if record.actual is None:
            continue
        priced += 1
        actual = CONTEXT.add(actual, record.actual)
        if record.model:
            by_model[record.model] = CONTEXT.add(by_model.get(record.model, ZERO), record.actual)
    return CostSummary(
        total_runs=count,
        total_estimated=estimated,
        total_actual=actual,
        total_variance=variance,
        average_per_run=CONTEXT.divide(actual, Decimal(priced)) if priced else ZERO,
        by_model=by_model,
        unpriced=count - priced,
        budget_status=tuple(statuses),
    )


def budget_line(status: BudgetStatus) -> str:
    """Return how much of one limit is used, as a row with a bar."""
    return f"{status.period:<9}  {bar(status)}  {status.percent_used:6.1f} %  {status.spent}  {status.status}"


def signed(value: Decimal) -> str:
    """Return dollars with their sign."""
    return f"-{amount(CONTEXT.abs(value), 'USD')}" if value < 0 else f"+{amount(value, 'USD')}"


def moment(unix_nano: int) -> datetime:
    """Return a time in nanoseconds since 1970 as one with an offset, to the microsecond."""
    seconds, rest = divmod(unix_nano, _NANO)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def _plain(value: Decimal | None) -> float | str | None:
    return None if value is None else as_number(value)


def _money(value: object) -> Decimal | None:
    return None if value is None else money(value)
