"""What was recorded as plain JSON values: steps, stamps, log records, points, calls of models, budgets."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from ..limits import BudgetStatus
from ..money import plain
from ..tally import Tally
from ..usage_values import Usage
from .totals import Spending
from .values import Branch, ExceptionInfo, LogLine, Point, ProcessInfo, Stamp, Step, Task


# Deeper than this, nobody reads it, and JSON writers give up.
_DEEPEST: Final = 32


def process_document(process: ProcessInfo) -> dict[str, Any]:
    """Return one process."""
    return {
        "name": process.name,
        "pid": process.pid,
        "parent_pid": process.parent_pid,
        "host": process.host,
        "state": process.state,
        "started": iso(process.started_unix_nano),
        "ended": iso(process.ended_unix_nano),
        "exit": process.exit,
        "metadata": process.metadata,
        "counters": process.counters,
        "oddities": process.oddities,
    }


def step_document(step: Step) -> dict[str, Any]:
    """Return one span, without its children."""
    document: dict[str, Any] = {
        "kind": step.kind,
        "name": step.name,
        "trace_id": step.trace_id,
        "span_id": step.span_id,
        "parent_id": step.parent_id,
        "start": iso(step.start_unix_nano),
        "end": iso(step.end_unix_nano),
        "start_unix_nano": step.start_unix_nano,
        "end_unix_nano": step.end_unix_nano,
        "duration_seconds": step.duration,
        "outcome": step.outcome,
        "status": step.status,
        "status_message": step.status_message,
        "is_open": step.is_open,
        "error": step.error,
        "attributes": step.attributes,
        "stamps": [stamp_document(stamp) for stamp in step.stamps],
        "experiment_name": step.experiment_name,
        "branch_name": step.branch_name,
        "branch_id": step.branch_id,
        "process": step.process,
        "scope": step.scope,
    }
    if step.exception is not None:
        document["exception"] = exception_document(step.exception)
    if step.total_usage:
        document |= {"usage": usage_document(step.usage), "total_usage": usage_document(step.total_usage)}
    if step.links:
        document["links"] = [
            {"trace_id": link.trace_id, "span_id": link.span_id, "attributes": link.attributes} for link in step.links
        ]
    if step.arguments:
        document["arguments"] = step.arguments
    if step.result is not None:
        document["result"] = step.result
    if step.skip_reason is not None:
        document["skip_reason"] = step.skip_reason
    if isinstance(step, Branch):
        document |= {
            "config_id": step.config_id,
            "config": step.config,
            "output": step.output,
            "metrics": step.metrics,
            "retries": step.retries,
            "position": step.position,
            "repeat": step.repeat,
            "order": step.order,
            "is_shadow": step.is_shadow,
        }
    return document


def task_document(task: Task) -> dict[str, Any]:
    """Return one piece of work that said how far it is."""
    return {
        "id": task.id,
        "parent_id": task.parent_id,
        "description": task.description,
        "done": task.done,
        "total": task.total,
        "percent": task.percent,
        "outcome": task.outcome,
        "message": task.message,
        "rate": task.rate,
        "eta_seconds": task.progress.eta_seconds,
        "stalls": task.stalls,
        "start": iso(task.start_unix_nano),
        "time": iso(task.time_unix_nano),
        "trace_id": task.trace_id,
        "span_id": task.span_id,
        "step_name": task.step_name,
        "branch_name": task.branch_name,
        "experiment_name": task.experiment_name,
        "process": task.process,
    }


def stamp_document(stamp: Stamp) -> dict[str, Any]:
    """Return one stamp."""
    document: dict[str, Any] = {"name": stamp.name, "time": iso(stamp.time_unix_nano), "attributes": stamp.attributes}
    if stamp.step is not None:
        document["step"] = stamp.step
    if stamp.id is not None:
        document["id"] = stamp.id
    return document


def point_document(point: Point) -> dict[str, Any]:
    """Return one value of a metric."""
    return {
        "name": point.name,
        "value": point.value,
        "unit": point.unit,
        "step": point.step,
        "time": iso(point.time_unix_nano),
        "attributes": point.attributes,
        "trace_id": point.trace_id,
        "span_id": point.span_id,
        "step_name": point.step_name,
        "branch_name": point.branch_name,
        "branch_id": point.branch_id,
        "experiment_name": point.experiment_name,
    }


def log_document(line: LogLine) -> dict[str, Any]:
    """Return one log record or event."""
    document: dict[str, Any] = {
        "time": iso(line.time_unix_nano),
        "time_unix_nano": line.time_unix_nano,
        "level": line.level,
        "level_name": line.level_name,
        "severity_number": line.severity_number,
        "logger": line.logger_name,
        "message": line.message,
        "event_name": line.event_name,
        "attributes": line.attributes,
        "trace_id": line.trace_id,
        "span_id": line.span_id,
        "step": line.step_name,
        "experiment_name": line.experiment_name,
        "branch_name": line.branch_name,
        "branch_id": line.branch_id,
        "process": line.process,
        "uid": line.uid,
    }
    if line.body is not None:
        document["body"] = line.body
    if line.exception is not None:
        document["exception"] = exception_document(line.exception)
    if line.file is not None:
        document["code"] = {"file": line.file, "line": line.line, "function": line.function}
    return document


def exception_document(exception: ExceptionInfo) -> dict[str, str]:
    """Return one exception."""
    return {"type": exception.type, "message": exception.message, "stacktrace": exception.stacktrace}


def usage_document(spent: Tally | Spending) -> dict[str, Any]:
    """Return what calls came to as JSON values; money as text, which no reader makes a float."""
    return {
        "calls": spent.calls,
        "input_tokens": spent.input_tokens,
        "output_tokens": spent.output_tokens,
        "cached_tokens": spent.cached_tokens,
        "cache_write_tokens": spent.cache_write_tokens,
        "reasoning_tokens": spent.reasoning_tokens,
        "cost": money_text(spent.cost),
        "priced_ratio": spent.priced_ratio,
    }


def call_document(usage: Usage) -> dict[str, Any]:
    """Return one call as JSON values."""
    document = {
        **usage._asdict(),
        "cost": money_text(usage.cost),
        "estimated": money_text(usage.estimated),
        "modalities": dict(usage.modalities),
    }
    if usage.breakdown is not None:
        parts: Sequence[str] = ("system", "data", "instructions", "output", "other")
        document["breakdown"] = {part: getattr(usage.breakdown, part) for part in parts}
    return document


def money_text(amount: Decimal | None) -> str | None:
    """Return an amount with all of its digits."""
    return None if amount is None else plain(amount)


def budget_document(status: BudgetStatus) -> dict[str, object]:
    """Return one limit for a program: amounts as text, because they are exact."""
    return {
        "period": status.period,
        "limit": str(status.limit),
        "used": str(status.used),
        "remaining": str(status.remaining),
        "percent_used": float(status.percent_used),
        "status": status.status,
        "name": status.name,
    }


# ── values ────────────────────────────────────────────────────────────────────────────────────────


def jsonable(value: object, depth: int = 0) -> object:
    """Return *value* with only what JSON has: bytes in base64, what is not finite as text."""
    if isinstance(value, dict) or hasattr(value, "items"):
        items: Iterable[tuple[object, object]] = value.items()
        return {str(key): jsonable(item, depth + 1) for key, item in items} if depth < _DEEPEST else "…"
    if isinstance(value, (list, tuple)):
        return [jsonable(item, depth + 1) for item in value] if depth < _DEEPEST else "…"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def iso(unix_nano: int | None) -> str | None:
    """Return a time as ISO 8601 in UTC; None for none, and for one that no calendar has."""
    try:
        return None if not unix_nano else datetime.fromtimestamp(unix_nano / 1e9, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return None
