"""The environment: what the process that started this one has told us, and what we tell our children."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import trace

from .. import context
from ..context import DIRECTORY_VARIABLE, OWNER_VARIABLE, RUN_ID_VARIABLE


# By the variable: what it was before, if it was, and what we have made of it.
Exported = Mapping[str, tuple[str | None, str]]

_EXPORTED: Final = (RUN_ID_VARIABLE, DIRECTORY_VARIABLE, OWNER_VARIABLE)


def export(run_id: str, directory: Path, *, leaves_place: bool) -> Exported:
    """Tell our children of the run; return what ``take_back`` undoes."""
    exported = dict(zip(_EXPORTED, (run_id, str(directory), str(os.getpid())), strict=True))
    told = {name: os.environ.get(name) for name in exported}
    if leaves_place and all(told[name] == exported[name] for name in (RUN_ID_VARIABLE, DIRECTORY_VARIABLE)):
        # As our parent has put it; the application may yet become another program in this very process.
        return {}
    os.environ.update(exported)
    return {name: (told[name], value) for name, value in exported.items()}


def take_back(exported: Exported) -> None:
    """Put the environment back to what it was before ``export``."""
    for name, (before, value) in exported.items():
        if os.environ.get(name) != value:
            # Somebody else has set it meanwhile, and means it.
            continue
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


def inherited(exported: Exported) -> Mapping[str, str]:
    """Return the environment as it was before we told our children of the run: what our parent has told us."""
    env = dict(os.environ)
    if env.get(OWNER_VARIABLE) != str(os.getpid()):
        return env
    for name, (before, value) in exported.items():
        if env.get(name) == value:
            del env[name]
            env |= {} if before is None else {name: before}
    return env


def is_child(env: Mapping[str, str]) -> bool:
    """Whether another process of the same run has started this one: that one shows what there is to see."""
    return env.get(OWNER_VARIABLE) not in (None, str(os.getpid())) and RUN_ID_VARIABLE in env


def join_trace(env: Mapping[str, str]) -> object:
    """Continue the trace that whoever started this process put into the environment; return what undoes it."""
    fields = {
        key: env[key] for key in ("TRACEPARENT", "TRACESTATE", "BAGGAGE", context.CARRIER_KEY.upper()) if env.get(key)
    }
    if fields and not trace.get_current_span().get_span_context().is_valid:
        return otel_context.attach(context.extracted(fields))
    return None
