"""Our provider in the place of the SDK's, in every interpreter that is started with this folder on its path."""

from __future__ import annotations

import atexit
import importlib
import os
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import SpanLimits

from branchline._pipeline.endings import watch_forks
from branchline._pipeline.pipeline import Pipeline
from branchline._pipeline.pipeline_options import PipelineOptions
from branchline._pipeline.tracing import Provider
from branchline._pipeline.writer import Writer


def _pipeline() -> Pipeline:
    """Return the one that all providers of this interpreter write to."""
    folder = os.environ.get("CONFORMANCE_JOURNAL") or tempfile.mkdtemp(prefix="branchline-conformance-")
    options = PipelineOptions(
        run_id="conformance",
        run_directory=Path(folder) / "runs" / "conformance",
        service_name="conformance",
        resource={"service.name": "conformance"},
        durability="batch",
    )
    made = Pipeline(options, Writer)
    watch_forks(made)
    atexit.register(lambda: made.close(5.0, reason="exit"))
    return made


class TracerProvider(Provider):
    """Ours, called as the SDK's is called, with the limits that the SDK sets and we lift."""

    def __init__(
        self,
        sampler: Any = None,
        resource: Any = None,
        shutdown_on_exit: bool = True,
        active_span_processor: Any = None,
        id_generator: Any = None,
        span_limits: Any = None,
        **others: Any,
    ) -> None:
        super().__init__(
            PIPELINE,
            sampler=sampler,
            resource=resource,
            shutdown_on_exit=shutdown_on_exit,
            active_span_processor=active_span_processor,
            id_generator=id_generator,
            span_limits=span_limits or SpanLimits(),
            **others,
        )


def _reload(module: ModuleType, really: Any = importlib.reload) -> ModuleType:
    # The tests reload the SDK after each change of the environment: it would be the SDK's provider again.
    return module if module is sdk else really(module)


PIPELINE = _pipeline()
sdk.TracerProvider = TracerProvider  # type: ignore[misc]  # this is what the module is for
importlib.reload = _reload
