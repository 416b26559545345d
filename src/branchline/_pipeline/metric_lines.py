"""Lines of metrics: what finished spans, calls of models and the instruments come to, as the journal has them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import names
from .._journal.encode_metrics import MetricsEncoder
from .._journal.log_records import LogRecord
from .._journal.snapshots import MOST_SERIES, REPEAT_SECONDS, Metric, Snapshot, many_series
from .._journal.stored import span_record
from .._journal.usage_metrics import UsageMetrics
from .._journal.usage_totals import UsageTotals
from ..usage_records import usage_of
from ..usage_values import Usage
from .pipeline import Pipeline
from .span_metrics import SpanMetrics


if TYPE_CHECKING:
    from .._journal.progress_metrics import ProgressMetrics


class MetricLines:
    """Makes the lines of metrics of one process; the writer alone uses it."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Make lines for *pipeline*'s journal."""
        self._pipeline = pipeline
        self._interval = pipeline.options.metrics.interval_seconds
        self._spans = SpanMetrics()
        self._usage = UsageMetrics(most_series=MOST_SERIES)
        # Of calls that instrumentations tell of by spans: some of these have instruments for them as well.
        self._picked_up = UsageMetrics(most_series=MOST_SERIES)
        self._measured_by_others: set[str] = set()
        self._progress: ProgressMetrics | None = None
        self._has_news = False
        self.spent = UsageTotals()
        self._due_at = time.monotonic() + self._interval
        self._said_at = 0.0
        self._encoder: MetricsEncoder | None = None

    def add(self, spans: Sequence[Any]) -> None:
        """Take finished *spans*, which may come as their short forms."""
        self._spans.add(spans)
        if self._pipeline.observers:
            self._pipeline.observers.spans(map(span_record, spans))

    def add_logs(self, logs: Sequence[LogRecord]) -> None:
        """Take what calls of models took, and how far work is, as far as *logs* tell of any."""
        for record in logs:
            if record.name == names.USAGE_EVENT:
                usage = usage_of_record(record)
                (self._picked_up if record.data.get(names.USAGE_PICKED_UP) else self._usage).add(usage)
                self.spent.add(usage)
                self._has_news = True
            elif record.name == names.PROGRESS_EVENT:
                self._add_progress(record)
        if self._pipeline.observers:
            self._pipeline.observers.logs(logs)

    def _add_progress(self, record: LogRecord) -> None:
        # Only a run in which somebody works in loops pays for it.
        from .._journal.progress_metrics import ProgressMetrics
        from ..progress_values import progress_of

        if self._progress is None:
            self._progress = ProgressMetrics(most_series=MOST_SERIES)
        identity = record.identity
        place = (None, None) if identity is None else (identity.experiment_name, identity.branch_name)
        self._progress.add(progress_of(record.data, time_unix_nano=record.time), *place)
        self._has_news = True

    @property
    def is_changed(self) -> bool:
        """Whether any span has ended, any model was called, or any work went on since that was last said."""
        return self._spans.is_changed or self._has_news

    def due(self, now: float) -> list[Snapshot]:
        """Return what spans come to, if it is time to say it and there is something to say."""
        if now < self._due_at:
            return []
        self._due_at = now + self._interval
        return self.latest(now) if self.is_changed or now - self._said_at >= REPEAT_SECONDS else []

    def latest(self, now: float) -> list[Snapshot]:
        """Return what spans come to, and we ourselves; nothing where no step or branch has ended, and nobody asks."""
        self._said_at = now
        self._has_news = False
        worked = () if self._progress is None else self._progress.metrics()
        metrics = (*self._spans.metrics(), *self._usage_metrics(), *worked, *self._pipeline.measured())
        for metric in many_series(metrics):
            self._pipeline.notices.once(f"series_{metric.name}", metric.warning)
        started = self._pipeline.started_unix_nano
        return [Snapshot(metrics, start=started, time=time.time_ns())] if metrics else []

    def _usage_metrics(self) -> tuple[Metric, ...]:
        whole = UsageMetrics(most_series=MOST_SERIES)
        whole.take(self._usage)
        whole.take(self._picked_up, but=self._measured_by_others)
        return whole.metrics()

    def encoded(self, snapshots: Sequence[Snapshot]) -> bytes:
        """Return *snapshots* as whole lines."""
        for snapshot in snapshots:
            self._measured_by_others.update(metric.name for metric in snapshot.metrics if metric.scope is not None)
        if self._pipeline.observers:
            self._pipeline.observers.snapshots(snapshots)
        if self._encoder is None:
            # A run is no resource: each would begin a thousand series that never end.
            resource = {key: value for key, value in self._pipeline.resource.items() if key != names.RUN_ID}
            self._encoder = MetricsEncoder(resource, self._pipeline.options.redactor, version=names.VERSION)
        return b"".join([self._encoder.metric_lines(snapshot) for snapshot in snapshots])


def usage_of_record(record: LogRecord) -> Usage:
    """Return the usage that a *record* keeps."""
    usage = usage_of(
        record.data,
        usage_id=record.uid,
        time_unix_nano=record.time,
        trace_id=record.trace_hex,
        span_id=None if record.span_number is None else f"{record.span_number:016x}",
    )
    identity = record.identity
    if identity is None:
        return usage
    return usage._replace(
        experiment=identity.experiment_name, branch=identity.branch_name, branch_id=identity.branch_id
    )
