"""A run as plain JSON values: what ``--json`` prints."""

from __future__ import annotations

from typing import Any

from ..read import Branch, ExceptionInfo, LogLine, Point, ProcessInfo, Run, Stamp, Step
from ..read.budgets import budget_statuses
from ..read.values import walk
from .budgets import budget_document
from .options import iso
from .spent import call_document, usage_document


def run_document(run: Run) -> dict[str, Any]:
    """Return *run* with everything in it; the spans are flat, in order of the tree, each with its parent's id."""
    return {
        "id": run.id,
        "directory": str(run.directory),
        "service_name": run.service_name,
        "state": run.state,
        "created": iso(run.created_unix_nano),
        "ended": iso(run.ended_unix_nano),
        "processes": [process_document(process) for process in run.processes],
        "spans": [step_document(step) for step in walk(run.roots)],
        "stamps": [stamp_document(stamp) for stamp in run.stamps],
        "logs": [log_document(line) for line in run.logs],
        "points": [point_document(point) for point in run.points],
        "usages": [call_document(usage) for usage in run.usages],
        "usage": usage_document(run.usage),
        "budgets": [budget_document(status) for status in budget_statuses(run)],
        "dropped": dict(run.dropped),
        "skipped": [
            {"file": skip.file, "line": skip.line, "reason": skip.reason, "count": skip.count} for skip in run.skipped
        ],
    }


def process_document(process: ProcessInfo) -> dict[str, Any]:
    """Return one process."""
    return {
        "name": process.name,
        "pid": process.pid,
        "host": process.host,
        "state": process.state,
        "started": iso(process.started_unix_nano),
        "ended": iso(process.ended_unix_nano),
        "exit": process.exit,
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
        document["exception"] = _exception_document(step.exception)
    if step.total_usage:
        document |= {"usage": usage_document(step.usage), "total_usage": usage_document(step.total_usage)}
    if step.links:
        document["links"] = [{"trace_id": link.trace_id, "span_id": link.span_id} for link in step.links]
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
        }
    return document


def stamp_document(stamp: Stamp) -> dict[str, Any]:
    """Return one stamp."""
    document: dict[str, Any] = {"name": stamp.name, "time": iso(stamp.time_unix_nano), "attributes": stamp.attributes}
    if stamp.step is not None:
        document["step"] = stamp.step
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
        document["exception"] = _exception_document(line.exception)
    if line.file is not None:
        document["code"] = {"file": line.file, "line": line.line, "function": line.function}
    return document


def _exception_document(exception: ExceptionInfo) -> dict[str, str]:
    return {"type": exception.type, "message": exception.message, "stacktrace": exception.stacktrace}
