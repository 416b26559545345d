"""What a pipeline is told once, when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._journal.seen import Listener
from ..redaction import Redactor
from .metric_settings import MetricSettings


@dataclass(frozen=True, kw_only=True)
class PipelineOptions:
    """What a pipeline is told once."""

    run_id: str
    run_directory: Path
    service_name: str
    resource: Mapping[str, Any]
    redactor: Redactor | None = None
    durability: str = "crash"
    memory_limit: int = 64 * 1024 * 1024
    max_wait_seconds: float = 0.05
    listeners: tuple[Listener, ...] = ()
    strict: bool = False
    rotate_bytes: int = 32 * 1024 * 1024
    # Of stdlib's levels, the lowest that is recorded; None: none is.
    log_level: int | None = None
    events_on_spans: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    metrics: MetricSettings = field(default_factory=MetricSettings)
