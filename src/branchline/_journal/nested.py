"""Values that were flattened on their way to the journal, nested again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from .anyvalue import Value


# A key with more dots than this was not made by flattening.
_DEEPEST: Final = 16


def unflattened(flat: Mapping[str, Value]) -> dict[str, Value]:
    """Return ``{"model.name": 1}`` as ``{"model": {"name": 1}}``; a key below another key's value stays as it is."""
    nested: dict[str, Value] = {}
    for key, value in flat.items():
        *path, last = key.split(".", _DEEPEST)
        if any(".".join(path[:length]) in flat for length in range(1, len(path) + 1)):
            nested[key] = value
            continue
        place = nested
        for part in path:
            place = cast("dict[str, Value]", place.setdefault(part, {}))
        place[last] = value
    return nested
