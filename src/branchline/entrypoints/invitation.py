"""An invitation: an application that is set up by OpenTelemetry names branchline, and a run begins and joins it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import trace

from .. import telemetry
from ..telemetry import Telemetry


# Said in another way, or by each process of a run for itself.
_OURS: Final = ("service.name", "service.instance.id", "telemetry.")


def hosted() -> Telemetry | None:
    """Return the run of this process, begun if there is none; None where nothing is to be recorded.

    Raises:
        ConfigError: for a variable that is not accepted.
    """
    arguments: dict[str, Any] = {"capture_logs": False, "console": False}
    # What was not asked for: a tree in the terminal, and logs that go to a logger provider only when somebody says so.
    for name in [name for name in arguments if os.environ.get(f"BRANCHLINE_{name.upper()}", "").strip()]:
        del arguments[name]
    resource = getattr(trace.get_tracer_provider(), "resource", None)
    return telemetry.host({**arguments, **_described(getattr(resource, "attributes", None) or {})})


def flushed(seconds: float | None = None) -> bool:
    """Write everything to the disk, in the time that is given, else in that which an exit may take."""
    run = telemetry.current()
    return run is None or run.flush(run.config.exit_timeout if seconds is None else seconds).is_complete


def _described(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an application's *resource* says about it, as options."""
    own = {
        key: value
        for key, value in resource.items()
        if not key.startswith(_OURS) and isinstance(value, str | int | float)
    }
    name = str(resource.get("service.name") or "")
    return {"resource": own} | ({} if not name or name.startswith("unknown_service") else {"service_name": name})
