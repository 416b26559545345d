"""Those who watch a run while it is written: what they are shown of it, and the summary at its end."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from .. import names
from .._journal import layout
from .._journal.log_records import LogRecord
from .._journal.seen import Seen, Summary, error_text
from .._journal.usage_totals import UsageTotals
from ..current import CURRENT
from ..redaction import Redactor
from ..updates import Subscriber
from .broadcast import Broadcast
from .pipeline import Pipeline


_MOST_SHOWN: Final = 1_000
# What is told slowly must not hold up the end for longer.
_SETTLE_SECONDS: Final = 1.0


class Audience:
    """The listeners of one pipeline."""

    def __init__(self, pipeline: Pipeline, guarded: Callable[[Callable[[], None]], None]) -> None:
        """Tell the listeners of *pipeline*, each in its own *guarded* call: none can hurt the writer or another."""
        self.pipeline = pipeline
        self._listeners = pipeline.options.listeners
        self._guarded = guarded
        self._seen: list[Seen] = []
        self._points = 0
        self._levels: Counter[int] = Counter()
        self._broadcast = Broadcast(pipeline)

    def __bool__(self) -> bool:
        return bool(self._listeners or CURRENT.subscribers)

    def take_spans(self, spans: Sequence[Any]) -> None:
        """Keep what is to be shown of *spans* that have ended, and tell who has subscribed."""
        if self._listeners:
            self._seen.extend(map(self._shown, spans))
        self._guarded(functools.partial(self._broadcast.take_spans, spans))

    def take_logs(self, logs: Sequence[LogRecord]) -> None:
        """Count *logs* by level, and the points of metrics among them, and tell who has subscribed."""
        self._points += sum(record.name == names.METRIC_EVENT for record in logs)
        self._levels.update(levels_of(logs))
        self._guarded(functools.partial(self._broadcast.take_logs, logs))

    def show(self) -> None:
        """Tell everybody what has ended since the last time, and what is open."""
        if not self._listeners:
            return
        ended, self._seen = self._seen, []
        open_ = list(map(self._shown, _worth_showing(self.pipeline.all_open())))
        for listener in self._listeners:
            self._guarded(functools.partial(listener.listen, ended, open_))

    def _shown(self, span: Any) -> Seen:
        values = self.pipeline.values
        return seen(span, {} if values is None else values.of(span), self.pipeline.options.redactor)

    def _spent(self, own: UsageTotals) -> UsageTotals:
        """Return what the whole run spent: this process its *own*, and the others as far as they have told."""
        spent = UsageTotals()
        spent.take(own.document())
        for folder in layout.processes(self.pipeline.options.run_directory):
            if folder.name != self.pipeline.process:
                spent.take((layout.read_json(folder / "process.json") or {}).get("usage"))
        return spent

    def close(self, journaled: Mapping[str, int], own: UsageTotals) -> None:
        """Tell everybody how it was: how many records are in the journal, and what this process spent by its *own*."""
        summary = self._summary(journaled, own)
        for listener in self._listeners:
            self._guarded(functools.partial(listener.close, summary))
        for subscriber in CURRENT.subscribers:
            self._guarded(functools.partial(_settle, subscriber))

    def _summary(self, journaled: Mapping[str, int], own: UsageTotals) -> Summary:
        pipeline = self.pipeline
        dropped: dict[str, int] = {}
        for counted in pipeline.dropped.values():
            for reason, count in counted.items():
                dropped[reason] = dropped.get(reason, 0) + count
        return Summary(
            run_id=pipeline.options.run_id,
            directory=str(pipeline.options.run_directory),
            service_name=pipeline.options.service_name,
            spans=journaled["spans"],
            logs=journaled["logs"],
            dropped=dropped,
            oddities=dict(pipeline.notices.counts),
            seconds=(time.time_ns() - pipeline.started_unix_nano) / 1e9,
            points=self._points,
            spent=self._spent(own),
            budgets=pipeline.budgets(),
            levels={names.SEVERITIES[level]: count for level, count in sorted(self._levels.items())},
        )


def _settle(subscriber: Subscriber) -> None:
    subscriber.settle(_SETTLE_SECONDS)


def _worth_showing(spans: list[Any]) -> list[Any]:
    """Return every open experiment and branch, and the newest of the rest: nobody watches thousands."""
    roots = [span for span in spans if span.role not in (None, names.KIND_STEP)]
    others = [span for span in spans if span.role in (None, names.KIND_STEP)]
    return roots + others[-_MOST_SHOWN:]


def levels_of(logs: Iterable[LogRecord]) -> Iterator[int]:
    """Yield the level of each record that a person would read, as its place among the severities."""
    return ((record.severity + 3) // 4 for record in logs if record.name not in names.NO_LOG_LINES)


def seen(span: Any, metrics: Mapping[str, float], redactor: Redactor | None) -> Seen:
    """Return *span*, which has measured *metrics*, as listeners see it: what *redactor* leaves, as in the journal."""
    data = span.data or {}
    identity = span.identity
    clean: Callable[[str], str] = _as_it_is if redactor is None else redactor.text
    # One that was read back from the ring has none: whoever spends is not like most.
    bill = getattr(span, "bill", None)
    error = None
    if span.code == 2:
        error = clean(error_text(data.get(names.ERROR_TYPE), span.note))
    return Seen(
        name=clean(span.title),
        kind=span.role,
        trace_id=span.trace_hex,
        span_id=span.number,
        parent_id=span.parent_number,
        start_unix_nano=span.began,
        end_unix_nano=span.ended,
        outcome=span.outcome,
        error=error,
        stamps=tuple(clean(mark[0]) for mark in list(span.marks or ())[-200:] if mark[0] != names.EXCEPTION),
        branch_name=_cleaned(None if identity is None else identity.branch_name, clean),
        experiment_name=_cleaned(None if identity is None else identity.experiment_name, clean),
        status=data.get(names.BRANCH_STATUS),
        attributes={key: value if redactor is None else redactor.value(key, value) for key, value in data.items()},
        metrics=metrics,
        spent=None if bill is None else bill.total,
    )


def _as_it_is(text: str) -> str:
    return text


def _cleaned(text: str | None, clean: Callable[[str], str]) -> str | None:
    return None if text is None else clean(text)
