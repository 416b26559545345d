"""The metrics exporter ``branchline``: what a stock OpenTelemetry application measures, in the journal."""

from __future__ import annotations

from .._pipeline.sdk_metrics import Reader
from .invitation import flushed, hosted


class BranchlineMetricReader(Reader):
    """Begins a run, which reads everything cumulative, as often as it reads its own instruments."""

    def __init__(self) -> None:
        """Begin a run, unless there is one."""
        run = hosted()
        super().__init__(is_exponential=run is not None and run.has_exponential_histograms)
        if run is not None:
            run.read_from(self)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        """Look once more before the provider ends."""
        flushed()
