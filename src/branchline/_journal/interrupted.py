"""What a dead process left open: closed on its behalf, as interrupted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from .. import names
from .belonging import Scope
from .log_records import LogRecord
from .span_records import SpanRecord
from .written import OPENING, Opened, Written


_LIFECYCLE: Final = frozenset({*OPENING, names.STEP_CHECKPOINT})


def interrupted(known: Written, spans: list[SpanRecord], logs: list[LogRecord], last_alive: int) -> list[SpanRecord]:
    """Return the spans that were open, ended when the process was *last_alive*.

    They are told of in what its journal has, which is *known*, and in the *logs* that were in its ring with *spans*.
    """
    for record in logs:
        if record.name in _LIFECYCLE and record.span_number is not None:
            span_id = f"{record.span_number:016x}"
            data = {**_identity_of(record), **record.data}
            if record.name in OPENING:
                known.opened[span_id] = Opened(trace_hex=str(record.trace_hex), data=data)
            else:
                known.checkpoints.setdefault(span_id, []).append(data)
    ended = known.closed | known.spans | {f"{span.number:016x}" for span in spans}
    return [
        _closing(span_id, opened, known.checkpoints.get(span_id, ()), last_alive)
        for span_id, opened in known.opened.items()
        if span_id not in ended
    ]


def _identity_of(record: LogRecord) -> dict[str, Any]:
    identity = record.identity
    if identity is None:
        return {}
    described = {
        names.EXPERIMENT_NAME: identity.experiment_name,
        names.BRANCH_ID: identity.branch_id,
        names.BRANCH_NAME: identity.branch_name,
    }
    return {key: value for key, value in described.items() if value is not None}


def _closing(span_id: str, opened: Opened, checkpoints: Iterable[dict[str, Any]], end: int) -> SpanRecord:
    described = opened.data
    role = described.get(names.KIND)
    data = dict(described.get(names.SPAN_ATTRIBUTES) or {})
    marks: list[Any] = []
    for checkpoint in checkpoints:
        data.update(checkpoint.get(names.SPAN_ATTRIBUTES) or {})
        marks.extend(
            (str(event.get("name", "")), int(event.get("time_unix_nano") or end), event.get("attributes"), 0)
            for event in checkpoint.get(names.SPAN_EVENTS) or ()
        )
    if role == names.KIND_BRANCH:
        data[names.BRANCH_STATUS] = names.INTERRUPTED
    identity: dict[str, Any] = {
        key: described[key] for key in (names.EXPERIMENT_NAME, names.BRANCH_ID, names.BRANCH_NAME) if key in described
    }
    began = int(described.get(names.SPAN_START) or end)
    parent = described.get(names.SPAN_PARENT_ID)
    return SpanRecord(
        trace_hex=opened.trace_hex,
        number=int(span_id, 16),
        parent_number=int(parent, 16) if parent else None,
        title=str(described.get(names.SPAN_NAME, "")),
        began=began,
        ended=max(end, began),
        role=role,
        outcome=names.INTERRUPTED,
        code=2,
        note="the process died",
        data={**identity, **data},
        marks=marks,
        scope=None if role is not None else Scope("unknown", None),
    )
