"""Lines of metrics: what finished spans come to, and what the instruments say, as the journal has them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from .. import names
from .._journal.encode_metrics import MetricsEncoder
from .._journal.snapshots import REPEAT_SECONDS, Snapshot, many_series
from .pipeline import Pipeline
from .span_metrics import SpanMetrics


class MetricLines:
    """Makes the lines of metrics of one process; the writer alone uses it."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Make lines for *pipeline*'s journal."""
        self._pipeline = pipeline
        self._interval = pipeline.options.metrics.interval_seconds
        self._spans = SpanMetrics()
        self._due_at = time.monotonic() + self._interval
        self._said_at = 0.0
        self._encoder: MetricsEncoder | None = None

    def add(self, spans: Sequence[Any]) -> None:
        """Take finished *spans*."""
        self._spans.add(spans)

    @property
    def is_changed(self) -> bool:
        """Whether any span has ended since that was last said."""
        return self._spans.is_changed

    def due(self, now: float) -> list[Snapshot]:
        """Return what spans come to, if it is time to say it and there is something to say."""
        if now < self._due_at:
            return []
        self._due_at = now + self._interval
        return self.latest(now) if self.is_changed or now - self._said_at >= REPEAT_SECONDS else []

    def latest(self, now: float) -> list[Snapshot]:
        """Return what spans come to, and we ourselves; nothing where no step or branch has ended, and nobody asks."""
        self._said_at = now
        metrics = (*self._spans.metrics(), *self._pipeline.measured())
        for metric in many_series(metrics):
            self._pipeline.notices.once(f"series_{metric.name}", metric.warning)
        started = self._pipeline.started_unix_nano
        return [Snapshot(metrics, start=started, time=time.time_ns())] if metrics else []

    def encoded(self, snapshots: Sequence[Snapshot]) -> bytes:
        """Return *snapshots* as whole lines."""
        if self._encoder is None:
            # A run is no resource: each would begin a thousand series that never end.
            resource = {key: value for key, value in self._pipeline.resource.items() if key != names.RUN_ID}
            self._encoder = MetricsEncoder(resource, self._pipeline.options.redactor, version=names.VERSION)
        return b"".join([self._encoder.metric_lines(snapshot) for snapshot in snapshots])
