"""A run, with everything in it, as plain JSON values: what a program keeps of it, or sends away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..metadata_documents import redacted
from ..redaction import Redactor
from .budgets import budget_statuses
from .document import (
    budget_document,
    call_document,
    iso,
    jsonable,
    log_document,
    point_document,
    process_document,
    stamp_document,
    step_document,
    task_document,
    usage_document,
)
from .run import Run
from .summaries import summaries
from .values import walk


# What people have said. The rest is ours, or numbers: an id must not be taken for a payment card.
_SAID: Final = frozenset(
    {
        *("attributes", "arguments", "result", "config", "output", "metadata", "message", "body", "exception"),
        *("error", "status_message", "skip_reason", "description"),
        *("name", "event_name", "step_name", "branch_name", "experiment_name"),
    }
)


def run_document(run: Run) -> dict[str, Any]:
    """Return *run* with everything in it; the spans are flat, in order of the tree, each with its parent's id."""
    return {
        "id": run.id,
        "directory": str(run.directory),
        "service_name": run.service_name,
        "state": run.state,
        "created": iso(run.created_unix_nano),
        "ended": iso(run.ended_unix_nano),
        "metadata": dict(run.metadata),
        "processes": [process_document(process) for process in run.processes],
        "spans": [step_document(step) for step in walk(run.roots)],
        "stamps": [stamp_document(stamp) for stamp in run.stamps],
        "logs": [log_document(line) for line in run.logs],
        "points": [point_document(point) for point in run.points],
        "tasks": [task_document(task) for task in run.tasks],
        "summaries": [summary.to_dict() for summary in summaries(run)],
        "usages": [call_document(usage) for usage in run.usages],
        "usage": usage_document(run.usage),
        "budgets": [budget_document(status) for status in budget_statuses(run)],
        "dropped": dict(run.dropped),
        "skipped": [
            {"file": skip.file, "line": skip.line, "reason": skip.reason, "count": skip.count} for skip in run.skipped
        ],
    }


def whole_run(run: Run, redactor: Redactor | None) -> dict[str, Any]:
    """Return the same with nothing in it but what JSON has, and without what *redactor* takes out."""
    document = run_document(run)
    if redactor is not None:
        # Names of packages would be taken for keys: what the metadata holds, its own room knows.
        document = _clean(document, redactor) | {"metadata": redacted(run.metadata, redactor)}
    made: Any = jsonable(document)
    return dict(made)


def _clean(value: Any, redactor: Redactor) -> Any:  # noqa: ANN401  # JSON
    if isinstance(value, Mapping):
        return {
            key: redactor.value(key, item) if key in _SAID else _clean(item, redactor) for key, item in value.items()
        }
    return [_clean(item, redactor) for item in value] if isinstance(value, list) else value
