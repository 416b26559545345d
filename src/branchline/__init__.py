"""branchline: OpenTelemetry-native observability for experiments in branches and pipelines in steps.

Importing it configures nothing, opens nothing and loads no SDK: ``configure`` does, when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .branches import Branch, BranchContainer, Experiment, branch, current_branch, experiment
from .context import attach, carrier, carry
from .errors import BranchlineError, ConfigError, JournalError, MissingExtraError
from .names import VERSION
from .redaction import Redactor
from .stamps import Stamp, StampManager, stamp
from .steps import Step, current_step, step, traced_step


__version__ = VERSION

if TYPE_CHECKING:
    from .telemetry import FlushResult, Telemetry, configure, flush, shutdown

__all__ = [
    "Branch",
    "BranchContainer",
    "BranchlineError",
    "ConfigError",
    "Experiment",
    "FlushResult",
    "JournalError",
    "MissingExtraError",
    "Redactor",
    "Stamp",
    "StampManager",
    "Step",
    "Telemetry",
    "__version__",
    "attach",
    "branch",
    "carrier",
    "carry",
    "configure",
    "current_branch",
    "current_step",
    "experiment",
    "flush",
    "shutdown",
    "stamp",
    "step",
    "traced_step",
]

# These need the OpenTelemetry SDK, and whoever only decorates functions must not pay for it.
_WIRING = frozenset({"FlushResult", "Telemetry", "configure", "flush", "shutdown"})


def __getattr__(name: str) -> Any:  # noqa: ANN401 - it is whatever the name stands for; type checkers see the imports
    if name not in _WIRING:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from . import telemetry

    return getattr(telemetry, name)


def __dir__() -> list[str]:
    return sorted(__all__)
