"""Whatever an application has to say, as plain JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..json_values import json_value
from ..values import freeze


def plain_payload(payload: object) -> dict[str, Any]:
    """Return *payload* as it is now, with nothing in it but what JSON has; never raises."""
    if payload is None:
        return {}
    made = plain_value(payload if isinstance(payload, Mapping) else {"value": payload})
    return made if isinstance(made, dict) else {"value": made}


def plain_value(value: object) -> Any:  # noqa: ANN401  # JSON
    """Return *value* as plain JSON values; never raises."""
    return json_value(freeze(value))
