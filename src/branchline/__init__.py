"""branchline: OpenTelemetry-native observability for experiments in branches and pipelines in steps.

Importing it configures nothing, opens nothing and loads no SDK: ``configure`` does, when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .branches import Branch, BranchContainer, Experiment, branch, current_branch, experiment
from .context import attach, carrier, carry
from .errors import BranchlineError, ConfigError, JournalError, MissingExtraError
from .events import event
from .later import later as _later
from .metrics import counter, gauge, histogram, record_metric
from .names import VERSION
from .stamps import Stamp, StampManager, stamp
from .steps import Step, current_step, step, traced_step


__version__ = VERSION

if TYPE_CHECKING:
    from .branches.running import arun_branches, iter_branches, run_branches, traced_experiment
    from .destinations import OTLP, MLflow
    from .events.subscribing import Subscription, subscribe
    from .limits import BudgetConfig, BudgetExceeded
    from .logs.registry import get_logger
    from .progress import track
    from .redaction import Redactor
    from .telemetry import FlushResult, Telemetry, configure, flush, shutdown
    from .usage import record_usage

__all__ = [
    "OTLP",
    "Branch",
    "BranchContainer",
    "BranchlineError",
    "BudgetConfig",
    "BudgetExceeded",
    "ConfigError",
    "Experiment",
    "FlushResult",
    "JournalError",
    "MLflow",
    "MissingExtraError",
    "Redactor",
    "Stamp",
    "StampManager",
    "Step",
    "Subscription",
    "Telemetry",
    "__version__",
    "arun_branches",
    "attach",
    "branch",
    "carrier",
    "carry",
    "configure",
    "counter",
    "current_branch",
    "current_step",
    "event",
    "experiment",
    "flush",
    "gauge",
    "get_logger",
    "histogram",
    "iter_branches",
    "record_metric",
    "record_usage",
    "run_branches",
    "shutdown",
    "stamp",
    "step",
    "subscribe",
    "traced_experiment",
    "traced_step",
    "track",
]

# Whoever only decorates functions must not pay for the OpenTelemetry SDK, for patterns of secrets, for exact decimals,
# for having branches run.
__getattr__ = _later(
    __name__,
    {
        "BudgetConfig": "limits",
        "BudgetExceeded": "limits",
        "OTLP": "destinations",
        "FlushResult": "telemetry",
        "MLflow": "destinations",
        "Redactor": "redaction",
        "Subscription": "events.subscribing",
        "Telemetry": "telemetry",
        "arun_branches": "branches.running",
        "configure": "telemetry",
        "get_logger": "logs.registry",
        "flush": "telemetry",
        "iter_branches": "branches.running",
        "record_usage": "usage",
        "run_branches": "branches.running",
        "shutdown": "telemetry",
        "subscribe": "events.subscribing",
        "track": "progress",
        "traced_experiment": "branches.running",
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)
