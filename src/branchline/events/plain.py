"""Whatever an application has to say, as plain JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..values import freeze


def plain_payload(payload: object) -> dict[str, Any]:
    """Return *payload* as it is now, with nothing in it but what JSON has; never raises."""
    if payload is None:
        return {}
    made = plain_value(payload if isinstance(payload, Mapping) else {"value": payload})
    return made if isinstance(made, dict) else {"value": made}


def plain_value(value: object) -> Any:  # noqa: ANN401  # JSON
    """Return *value* as plain JSON values; never raises."""
    return _thawed(freeze(value))


def _thawed(value: object) -> Any:  # noqa: ANN401  # JSON
    if isinstance(value, Mapping):
        return {str(key): _thawed(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_thawed(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
