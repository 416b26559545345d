"""The traces exporter ``branchline``: the spans of a stock OpenTelemetry application, in the journal."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from .. import telemetry
from .invitation import flushed, hosted


class BranchlineSpanExporter(SpanExporter):
    """Begins a run, which joins the application's provider and so has every span as soon as it ends.

    What is exported without having come that way is written then.
    """

    def __init__(self) -> None:
        """Begin a run, unless there is one."""
        hosted()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write those of *spans* that the journal does not have yet."""
        run = telemetry.current()
        if run is None:
            return SpanExportResult.FAILURE
        run.join()
        run.take_spans(spans)
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Write everything to the disk."""
        return flushed(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Write everything to the disk; the run ends with the process, or by ``branchline.shutdown``."""
        flushed()
