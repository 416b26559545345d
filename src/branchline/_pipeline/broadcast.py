"""What subscribers are told of what a pipeline writes: spans and log records as updates, without secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, Final

from .. import names
from .._journal.log_records import LogRecord
from .._journal.seen import error_text
from ..current import CURRENT
from ..updates import ENDED, RECORDED, STARTED, Update
from .notices import said
from .pipeline import Pipeline


_STARTED_EVENTS: Final = frozenset(names.STARTED_EVENTS.values())
_MOST_STAMPS: Final = 1_000


class Broadcast:
    """Tells everybody who has subscribed; called by the writer thread alone."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Tell what *pipeline* writes."""
        self._pipeline = pipeline
        self._numbers = count()

    def take_spans(self, spans: Sequence[Any]) -> None:
        """Tell of *spans* that have ended."""
        self._tell(spans, lambda span: span.role or "span", self._ended)

    def take_logs(self, logs: Sequence[LogRecord]) -> None:
        """Tell of log records, points of metrics and calls of models, and of what has begun."""
        self._tell(logs, _kind_of, self._logged)

    def _tell(self, records: Sequence[Any], kind_of: Callable[[Any], str], made: Callable[[Any, str], Update]) -> None:
        subscribers = CURRENT.subscribers
        if not subscribers:
            return
        wanted = {kind for subscriber in subscribers for kind in subscriber.kinds}
        updates: list[Update] = []
        for record in records:
            try:
                if (kind := kind_of(record)) in wanted:
                    updates.append(made(record, kind))
            except Exception as error:  # somebody else's record under one of our names
                text = f"could not tell subscribers of a record: {type(error).__name__}: {said(error)}"
                self._pipeline.notices.noted("untold", text)
        for subscriber in subscribers if updates else ():
            subscriber.offer([update for update in updates if update.kind in subscriber.kinds])

    def _ended(self, span: Any, kind: str) -> Update:
        data = span.data or {}
        error = None
        if span.code == 2:
            error = error_text(data.get(names.ERROR_TYPE), span.note)
        marks = [mark[0] for mark in list(span.marks or ()) if mark[0] != names.EXCEPTION]
        return Update(
            kind=kind,
            what=ENDED,
            name=self._clean(span.title),
            time_unix_nano=span.ended or span.began,
            parent_id=None if span.parent_number is None else f"{span.parent_number:016x}",
            outcome=span.outcome,
            status=data.get(names.BRANCH_STATUS),
            error=None if error is None else self._clean(error),
            duration=max((span.ended or span.began) - span.began, 0) / 1e9,
            stamps=tuple(map(self._clean, marks[-_MOST_STAMPS:])),
            attributes=self._attributes(data),
            **self._place(span.trace_hex, span.number, span.identity),
        )

    def _logged(self, record: LogRecord, kind: str) -> Update:
        data = record.data
        place = self._place(record.trace_hex, record.span_number, record.identity)
        if record.name in _STARTED_EVENTS:
            return Update(
                kind=kind,
                what=STARTED,
                name=self._clean(str(data.get(names.SPAN_NAME, ""))),
                time_unix_nano=record.time,
                parent_id=data.get(names.SPAN_PARENT_ID),
                attributes=self._attributes(data.get(names.SPAN_ATTRIBUTES) or {}),
                **place,
            )
        name, value, unit = record.name or ("" if record.scope is None else record.scope.name), None, None
        if kind == "metric":
            name, value, unit = data[names.METRIC_NAME], float(data[names.METRIC_VALUE]), data.get(names.METRIC_UNIT)
        elif kind == "usage":
            name = str(data.get(names.MODEL, ""))
        elif kind == "progress":
            name, value = str(data.get(names.PROGRESS_DESCRIPTION, "")), float(data.get(names.PROGRESS_DONE, 0))
        body = record.body
        return Update(
            kind=kind,
            what=RECORDED,
            name=self._clean(name),
            time_unix_nano=record.time,
            level=record.severity_text if kind == "log" else None,
            message="" if body is None else self._clean(body) if isinstance(body, str) else self._shown(body),
            outcome=data.get(names.OUTCOME) if kind == "progress" else None,
            value=value,
            unit=unit,
            attributes=self._attributes({key: item for key, item in data.items() if key not in _OF_A_POINT}),
            **place,
        )

    def _place(self, trace_hex: str | None, number: int | None, identity: Any) -> dict[str, Any]:
        pipeline = self._pipeline
        return {
            "run_id": pipeline.options.run_id,
            "process": pipeline.process,
            "id": f"{pipeline.process}-{next(self._numbers)}",
            "trace_id": trace_hex,
            "span_id": None if number is None else f"{number:016x}",
            "experiment_name": self._clean_name(None if identity is None else identity.experiment_name),
            "branch_name": self._clean_name(None if identity is None else identity.branch_name),
            "branch_id": None if identity is None else identity.branch_id,
        }

    def _clean(self, text: str) -> str:
        redactor = self._pipeline.options.redactor
        return text if redactor is None else redactor.text(text)

    def _clean_name(self, name: str | None) -> str | None:
        return None if name is None else self._clean(name)

    def _shown(self, body: Any) -> str:
        # By its keys, which as text it has no more.
        redactor = self._pipeline.options.redactor
        return str(body if redactor is None else redactor.value("body", body))

    def _attributes(self, data: Mapping[str, Any]) -> dict[str, Any]:
        redactor = self._pipeline.options.redactor
        if redactor is None:
            return dict(data)
        return {redactor.text(key): redactor.value(key, value) for key, value in data.items()}


_OF_A_POINT: Final = frozenset({names.METRIC_NAME, names.METRIC_VALUE, names.METRIC_UNIT})
_KINDS: Final[Mapping[str, str]] = {
    names.METRIC_EVENT: "metric",
    names.USAGE_EVENT: "usage",
    names.PROGRESS_EVENT: "progress",
}


def _kind_of(record: LogRecord) -> str:
    if record.name in _STARTED_EVENTS:
        return str(record.data.get(names.KIND) or "span")
    kind = _KINDS.get(record.name)
    return kind or ("" if record.name in names.HOUSEKEEPING else "log")
