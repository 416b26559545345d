"""What a run's configuration means for its pipeline, and for the processes it starts."""

from __future__ import annotations

import os
import platform
import socket
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from opentelemetry import context as otel_context

from .. import names
from .._journal.seen import Listener
from ..config import Config
from ..context import attached
from ..limits import BudgetConfig
from ..log_api import SUPPRESSION
from ..redaction import Redactor, redactor_from
from .metric_settings import metric_settings
from .pipeline_options import PipelineOptions


def options_of(
    config: Config,
    run_id: str,
    run_directory: Path,
    listeners: tuple[Listener, ...],
    *,
    found: Mapping[str, Any] = MappingProxyType({}),
) -> PipelineOptions:
    """Return what the pipeline of a run is told; *found* is what its process has found out about itself."""
    return PipelineOptions(
        run_id=run_id,
        run_directory=run_directory,
        service_name=config.service_name,
        resource={
            names.SERVICE_NAME: config.service_name,
            # Whoever says something better is right.
            **found,
            **dict(config.resource),
            names.HOST_NAME: socket.gethostname(),
            "host.arch": platform.machine(),
            "os.type": sys.platform,
            "process.runtime.name": sys.implementation.name,
            "process.runtime.version": platform.python_version(),
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": names.SCOPE,
            "telemetry.sdk.version": names.VERSION,
        },
        redactor=_quiet(redactor_from(config.redact)),
        durability=config.durability,
        memory_limit=config.memory_limit,
        max_wait_seconds=config.max_wait,
        listeners=listeners,
        strict=config.strict,
        log_level=config.capture_logs,
        events_on_spans=config.events_on_spans,
        metadata={
            "python": platform.python_version(),
            "branchline": names.VERSION,
            **({} if config.budget is None else {names.BUDGET: config.budget.to_dict()}),
        },
        metrics=metric_settings(os.environ),
    )


def _quiet(redactor: Redactor | None) -> Redactor | None:
    """Return *redactor* with a callback of which nothing is logged: asked about that, it would log again."""
    if redactor is None or redactor.callback is None:
        return redactor
    callback = redactor.callback

    def asked(key: str, value: Any) -> Any:
        with attached(otel_context.set_value(SUPPRESSION, True)):
            return callback(key, value)

    return replace(redactor, callback=asked)


def for_children(config: Config, directory: Path, run_id: str) -> dict[str, Any]:
    """Return what a child process needs to join the run; only what can be pickled."""
    return {
        "service_name": config.service_name,
        "directory": str(directory),
        "run_id": run_id,
        "console": False,
        "verbosity": config.verbosity,
        "log_file": config.log_file if _is_plain(config.log_file) else None,
        "capture_warnings": config.capture_warnings,
        "capture_uncaught": config.capture_uncaught,
        "mlflow": False,
        "capture_logs": False if config.capture_logs is None else config.capture_logs,
        "capture": config.capture,
        "prices": dict(config.prices),
        "events_on_spans": config.events_on_spans,
        "redact": config.redact,
        "durability": config.durability,
        "memory_limit": config.memory_limit,
        "exit_timeout": config.exit_timeout,
        "system_metrics": config.system_metrics or False,
        "budget": False if config.budget is None else _for_a_child(config.budget),
    }


def _for_a_child(budget: BudgetConfig) -> BudgetConfig:
    """Return *budget* as it can be pickled: what is called when it is exceeded may be of this process alone."""
    return replace(budget, on_exceed="inform") if callable(budget.on_exceed) else budget


def _is_plain(value: object) -> bool:
    """Whether a child process can be told of *value*: text and numbers, and no functions or streams."""
    if isinstance(value, Mapping):
        return all(_is_plain(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | Path | timedelta)
