"""Log records, decoded, as the lines that a reader gets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from .. import names
from .._journal.anyvalue import Value, parted
from .._journal.decode import DecodedLog
from .values import ExceptionInfo, LogLine, Step


_EXCEPTION: Final = frozenset({names.EXCEPTION_TYPE, names.EXCEPTION_MESSAGE, names.EXCEPTION_STACKTRACE})
# What a line has in fields of their own.
_IN_FIELDS: Final = _EXCEPTION | {names.LOG_UID, names.CODE_FILE, names.CODE_FUNCTION, names.CODE_LINE}


def log_line(log: DecodedLog, steps: Mapping[tuple[str, str], Step], process: str) -> LogLine:
    """Return a *log* record of a *process* as a value; it names the one of the *steps* that it was written in."""
    step = steps.get((log.trace_id or "", log.span_id or ""))
    told = log.attributes
    own, ours = parted({key: value for key, value in told.items() if key not in _IN_FIELDS})
    level = log.severity_text or names.SEVERITIES[min(max((log.severity_number + 3) // 4, 0), 6)]
    line = told.get(names.CODE_LINE)
    return LogLine(
        time_unix_nano=log.time_unix_nano,
        level=level,
        message=log.body if isinstance(log.body, str) else _shown(log.body),
        event_name=log.event_name or None,
        attributes=own,
        body=None if isinstance(log.body, str) else log.body,
        level_name=_text(ours.get(names.LEVEL)) or level,
        severity_number=log.severity_number,
        logger_name=log.scope,
        exception=exception_of(told) if _EXCEPTION & told.keys() else None,
        trace_id=log.trace_id,
        span_id=log.span_id,
        step_name=None if step is None else step.name,
        branch_name=_said(ours, names.BRANCH_NAME, None if step is None else step.branch_name),
        branch_id=_said(ours, names.BRANCH_ID, None if step is None else step.branch_id),
        experiment_name=_said(ours, names.EXPERIMENT_NAME, None if step is None else step.experiment_name),
        file=_said(told, names.CODE_FILE),
        line=line if isinstance(line, int) else None,
        function=_said(told, names.CODE_FUNCTION),
        observed_unix_nano=log.observed_unix_nano,
        process=process,
        uid=_said(told, names.LOG_UID),
    )


def _said(attributes: Mapping[str, Value], key: str, otherwise: str | None = None) -> str | None:
    value = attributes.get(key)
    return otherwise if value is None else _text(value)


def _shown(body: Value) -> str:
    """Return what a record says that says more, or something else, than a text."""
    return "" if body is None else json.dumps(body, default=str, ensure_ascii=False)


def exception_of(attributes: Mapping[str, Value]) -> ExceptionInfo:
    """Return the exception that *attributes* describe."""
    return ExceptionInfo(
        type=_text(attributes.get(names.EXCEPTION_TYPE)) or "Exception",
        message=_text(attributes.get(names.EXCEPTION_MESSAGE)),
        stacktrace=_text(attributes.get(names.EXCEPTION_STACKTRACE)),
    )


def _text(value: Value) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
