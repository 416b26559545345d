"""What a run's files say of the run as a whole: its metadata, as it began and as its processes have added to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from .. import metadata_documents as documents
from . import layout


RUN_FILE: Final = "run.json"
METADATA: Final = "metadata"
# In process.json, where another process has begun the run.
RECORDED: Final = "recorded"


def metadata_of(run: Path) -> dict[str, Any]:
    """Return the metadata of the run in the folder *run*; empty where there is none."""
    return documents.merged(_told(run)) if run.is_dir() else {}


def _told(run: Path) -> Iterator[Mapping[str, Any]]:
    yield _mapping(layout.read_json(run / RUN_FILE), METADATA)
    for process in layout.processes(run):
        yield _mapping(_mapping(layout.read_json(process / "process.json"), METADATA), RECORDED)


def _mapping(known: Mapping[str, Any] | None, key: str) -> Mapping[str, Any]:
    value = (known or {}).get(key)
    return value if isinstance(value, dict) else {}
