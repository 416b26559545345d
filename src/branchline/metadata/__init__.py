"""Metadata: what a run was told, has read and ran in, so that it can be explained and done again."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .checksums import calculate_checksum
from .runtime import Runtime, detect_runtime


if TYPE_CHECKING:
    from .recorder import MetadataRecorder, record_metadata
    from .sources import DataSource, data_source
    from .values import Costs, DataSources, EnvironmentInfo, GenerationConfig, GenerationMetadata

__all__ = [
    "Costs",
    "DataSource",
    "DataSources",
    "EnvironmentInfo",
    "GenerationConfig",
    "GenerationMetadata",
    "MetadataRecorder",
    "Runtime",
    "calculate_checksum",
    "data_source",
    "detect_runtime",
    "record_metadata",
]

# Every run looks at what it runs in; most have nothing to say of it themselves, and are not to pay for that.
_LATER = {
    "Costs": "values",
    "DataSource": "sources",
    "DataSources": "values",
    "EnvironmentInfo": "values",
    "GenerationConfig": "values",
    "GenerationMetadata": "values",
    "MetadataRecorder": "recorder",
    "data_source": "sources",
    "record_metadata": "recorder",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    found: object = getattr(import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
