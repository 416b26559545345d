"""Values that were recorded as JSON has them: lists, mappings with texts as keys, texts and finite numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def json_value(value: object) -> Any:  # noqa: ANN401  # JSON
    """Return a frozen *value* with nothing in it but what JSON has."""
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [json_value(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
