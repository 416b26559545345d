"""The logs exporter ``branchline``: the log records of a stock OpenTelemetry application, in the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk._logs import export

from .. import telemetry
from .invitation import flushed, hosted


# Both were called something else before 1.39.
_Exporter: Any = getattr(export, "LogRecordExporter", None) or export.LogExporter
_Result: Any = getattr(export, "LogRecordExportResult", None) or export.LogExportResult


class BranchlineLogExporter(_Exporter):  # type: ignore[misc]  # one of two classes
    """Begins a run, which joins the application's provider and so has every record at once."""

    def __init__(self) -> None:
        """Begin a run, unless there is one."""
        hosted()

    def export(self, batch: Sequence[Any]) -> Any:  # noqa: ANN401  # what the SDK calls it differs from release to release
        """Write those of *batch* that the journal does not have yet."""
        run = telemetry.current()
        if run is None:
            return _Result.FAILURE
        run.join()
        run.take_logs(batch)
        return _Result.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Write everything to the disk."""
        return flushed(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Write everything to the disk; the run ends with the process, or by ``branchline.shutdown``."""
        flushed()
