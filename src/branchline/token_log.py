"""A log of what calls of models took, step by step: to sum up, and to take away as JSON lines, CSV or a table."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from .limits import amount, as_number
from .money import CONTEXT, ZERO, money, plain
from .spending import record_on
from .usage_values import TokenBreakdown


EXPERIMENT: Final = "experiment_id"
RUN: Final = "run_id"
STEP: Final = "step"

_PARTS: Final = ("system", "data", "instructions", "output", "other")
_COLUMNS: Final = (
    *("timestamp", "run_id", "step", "model", "provider", "input_tokens", "output_tokens", "cost_usd", "latency_ms"),
)
_MOST: Final = 2**63
_NO_BREAKDOWN: Final = TokenBreakdown()


@dataclass(frozen=True, kw_only=True)
class TokenUsage:
    """What one call of a model took."""

    timestamp: datetime
    run_id: str = ""
    step: str = ""
    model: str = ""
    provider: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = ZERO
    """As it was said; zero where nothing was. The journal has what the tokens cost, where a price is known."""
    latency_ms: float = 0.0
    breakdown: TokenBreakdown = _NO_BREAKDOWN
    trace_id: str | None = None
    """In hex; with ``span_id`` the step of the run that it was recorded in."""
    span_id: str | None = None
    usage_id: str = ""
    """Of the record in the journal; empty where nothing records."""

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values that JSON has."""
        return {
            "timestamp": self.timestamp.isoformat(),
            "event": "llm_call",
            "run_id": self.run_id,
            "step": self.step,
            "model": self.model,
            "provider": self.provider,
            "tokens": {"input": self.input_tokens, "output": self.output_tokens, "total": self.total_tokens},
            "prompt_breakdown": _described(self.breakdown),
            "cost_usd": as_number(self.cost_usd),
            "latency_ms": self.latency_ms,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
        }


class TokenUsageLogger:
    """Records what calls of models took, each in the journal as ``record_usage`` does, and keeps them to sum up."""

    def __init__(self, run_id: str = "", experiment_id: str = "") -> None:
        """Record for a run and an experiment that you call so."""
        self.run_id = run_id
        self.experiment_id = experiment_id
        self._records: list[TokenUsage] = []

    @property
    def records(self) -> tuple[TokenUsage, ...]:
        """All that was recorded, in order."""
        return tuple(self._records)

    def log(
        self,
        step: str,
        model: str,
        provider: str = "",
        input_tokens: int = 0,
        output_tokens: int = 0,
        cost_usd: Decimal | float | str = 0.0,
        latency_ms: float = 0.0,
        breakdown: TokenBreakdown | None = None,
        run_id: str | None = None,
    ) -> TokenUsage:
        """Record one call and return it. Never raises: what cannot be counts as 0.

        Args:
            step: What the call was for, in words of your own.
            model: As it was asked for.
            provider: Whose model it is.
            input_tokens: All that went in.
            output_tokens: All that came out.
            cost_usd: In US dollars; 0: what the tokens cost on this day, where that is known.
            latency_ms: How long it took.
            breakdown: What the tokens were spent on; None: the output, and of the input nothing is known.
            run_id: Another run than that of the logger.
        """
        given, made = _count(input_tokens), _count(output_tokens)
        cost, latency = _cost(cost_usd), _latency(latency_ms)
        run = self.run_id if run_id is None else str(run_id)
        used = record_on(
            None,
            str(model) or None,
            (given, made, 0, 0, 0),
            str(provider) or None,
            breakdown,
            cost or None,
            None,
            latency / 1000 or None,
            None,
            labels={STEP: str(step), RUN: run, EXPERIMENT: self.experiment_id},
        )
        record = TokenUsage(
            timestamp=datetime.fromtimestamp((used.time_unix_nano or time.time_ns()) / 1e9, UTC),
            run_id=run,
            step=str(step),
            model=str(model),
            provider=str(provider),
            input_tokens=given,
            output_tokens=made,
            cost_usd=cost,
            latency_ms=latency,
            breakdown=breakdown if isinstance(breakdown, TokenBreakdown) else TokenBreakdown(output=made),
            trace_id=used.trace_id,
            span_id=used.span_id,
            usage_id=used.usage_id,
        )
        self._records.append(record)
        return record

    def get_summary(self) -> dict[str, Any]:
        """Return what all of it comes to: in total, by step, by model, and by what the tokens were spent on."""
        records = self.records
        given = sum(record.input_tokens for record in records)
        made = sum(record.output_tokens for record in records)
        parts = {name: sum(getattr(record.breakdown, name) for record in records) for name in _PARTS}
        return {
            "total_input": given,
            "total_output": made,
            "total_tokens": given + made,
            "total_cost_usd": _total(records),
            "call_count": len(records),
            "output_input_ratio": made / given if given else 0.0,
            "by_step": _grouped(records, lambda record: record.step),
            "by_model": _grouped(records, lambda record: record.model),
            "breakdown": _described(TokenBreakdown(**parts)),
        }

    def to_jsonl(self) -> str:
        """Return every record as one line of JSON."""
        return "".join(json.dumps(record.to_dict()) + "\n" for record in self.records)

    def to_csv(self) -> str:
        """Return every record as a row below a header; what has a comma, a quote or a line break in it is quoted."""
        written = io.StringIO()
        rows = csv.writer(written, lineterminator="\n")
        rows.writerow(_COLUMNS)
        for record in self.records:
            values = {**vars(record), "timestamp": record.timestamp.isoformat(), "cost_usd": plain(record.cost_usd)}
            rows.writerow([values[column] for column in _COLUMNS])
        return written.getvalue()

    def to_display(self) -> str:
        """Return what each step took, and all of them, as a table for a person."""
        summed = self.get_summary()
        rows = [("step", "input", "output", "cost")]
        rows += [(step, *_cells(group)) for step, group in summed["by_step"].items()]
        total = {"input": summed["total_input"], "output": summed["total_output"], "cost": summed["total_cost_usd"]}
        rows.append(("total", *_cells(total)))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        return "\n".join(
            "  ".join([f"{row[0]:<{widths[0]}}", *(f"{row[n]:>{widths[n]}}" for n in (1, 2, 3))]) for row in rows
        )

    def __repr__(self) -> str:
        return f"<TokenUsageLogger of {len(self._records):,} call(s)>"


def log_token_usage(
    step: str, model: str, input_tokens: int, output_tokens: int, cost_usd: Decimal | float | str = 0.0
) -> TokenUsage:
    """Record one call in the journal and return it."""
    return TokenUsageLogger().log(
        step, model, input_tokens=input_tokens, output_tokens=output_tokens, cost_usd=cost_usd
    )


def _grouped(records: Iterable[TokenUsage], key: Callable[[TokenUsage], str]) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for record in records:
        group = groups.setdefault(key(record), {"input": 0, "output": 0, "cost": ZERO})
        group["input"] += record.input_tokens
        group["output"] += record.output_tokens
        group["cost"] = CONTEXT.add(group["cost"], record.cost_usd)
    return groups


def _total(records: Iterable[TokenUsage]) -> Decimal:
    total = ZERO
    for record in records:
        total = CONTEXT.add(total, record.cost_usd)
    return total


def _cells(group: dict[str, Any]) -> tuple[str, str, str]:
    return f"{group['input']:,}", f"{group['output']:,}", amount(group["cost"], "USD")


def _described(breakdown: TokenBreakdown) -> dict[str, int]:
    parts = {name: getattr(breakdown, name) for name in _PARTS}
    return {**parts, "total_input": breakdown.total_input, "total": breakdown.total}


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else 0


def _cost(value: object) -> Decimal:
    try:
        return money(value)
    except Exception:  # whatever the user gave: recording never raises
        return ZERO


def _latency(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value < _MOST else 0.0
