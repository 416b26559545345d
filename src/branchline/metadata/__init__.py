"""Metadata: what a run was told, has read and ran in, so that it can be explained and done again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..later import later as _later
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
__getattr__ = _later(
    __name__,
    {
        "Costs": "values",
        "DataSource": "sources",
        "DataSources": "values",
        "EnvironmentInfo": "values",
        "GenerationConfig": "values",
        "GenerationMetadata": "values",
        "MetadataRecorder": "recorder",
        "data_source": "sources",
        "record_metadata": "recorder",
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)
