"""What the compact form of a record is written in: JSON, with a word for bytes."""

from __future__ import annotations

import base64
from typing import Any, Final

import orjson


dumps: Final = orjson.dumps
loads: Final = orjson.loads

_BYTES_KEY: Final = "$bytes"


def ring_default(value: object) -> object:
    """Write what JSON has no word for (orjson's ``default``)."""
    if isinstance(value, bytes):
        return {_BYTES_KEY: base64.b64encode(value).decode()}
    msg = f"cannot write {type(value).__name__}"
    raise TypeError(msg)


def restored(value: Any) -> Any:
    """Return *value*, which was read back, as it was before it was written."""
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(value.get(_BYTES_KEY), str):
            return _bytes_from(value)
        return {key: restored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [restored(item) for item in value]
    return value


def _bytes_from(value: dict[str, Any]) -> Any:
    try:
        return base64.b64decode(value[_BYTES_KEY], validate=True)
    except ValueError:
        # A mapping of the user's that looks like ours, or what redaction left of one.
        return value
