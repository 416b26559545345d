"""The current OpenTelemetry context, set as fast as its runtime allows, and given back."""

from __future__ import annotations

from typing import Any

from opentelemetry import context as api
from opentelemetry.context import Context

from ..active import SPAN_KEY, VARIABLE, get_current


__all__ = ["SPAN_KEY", "detach", "get_current", "give_back", "reset_current", "set_current"]

if VARIABLE is not None:
    set_current: Any = VARIABLE.set
    reset_current: Any = VARIABLE.reset
else:
    set_current = api.attach
    reset_current = api.detach


def give_back(token: Any, span: Any) -> None:
    """Leave *span* in another task or thread than the one that entered it and has *token*.

    A generator's body does so with a step that is open at a yield: what comes after it must not be inside of it.
    """
    if get_current().get(SPAN_KEY) is span:
        before = getattr(token, "old_value", None)
        # A token of a first value says so with a marker.
        set_current(before if isinstance(before, dict) else Context())


def detach(token: Any) -> None:
    """Give the previous context back; from a context other than the one that set it, change nothing."""
    try:
        reset_current(token)
    except (ValueError, RuntimeError):
        # Left in another task or thread than entered, or twice: there is nothing of ours to give back here.
        return
