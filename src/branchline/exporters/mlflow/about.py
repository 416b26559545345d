"""What is known of a run as a whole: its metadata as a file, and the data that it has read as inputs of MLflow's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..._journal.described import metadata_of
from ..._mlflow.limits import Data


METADATA_FILE: Final = "metadata.json"
_LONGEST_NAME: Final = 500
_LONGEST_DIGEST: Final = 36


@dataclass(frozen=True, kw_only=True)
class About:
    """The metadata of a run."""

    text: str = ""
    """All of it, as JSON; empty where there is none."""
    data: tuple[Data, ...] = ()

    @property
    def digest(self) -> str:
        """Return what tells it from what it was before."""
        return hashlib.blake2b(self.text.encode(), digest_size=8).hexdigest() if self.text else ""


def about(run: Path) -> About:
    """Return what the files of *run* say of it as a whole, as far as it is known now."""
    known = metadata_of(run)
    if not known:
        return About()
    return About(text=json.dumps(known, ensure_ascii=False, indent=2), data=tuple(_data(known)))


def _data(known: Mapping[str, Any]) -> Iterator[Data]:
    section = known.get("data_sources")
    sources = section.get("sources") if isinstance(section, dict) else None
    for source in sources if isinstance(sources, list) else ():
        if isinstance(source, dict) and source.get("path"):
            yield _of_source(source)


def _of_source(source: Mapping[str, Any]) -> Data:
    path, checksum = str(source["path"]), str(source.get("checksum") or "")
    # MLflow takes no data without one.
    digest = checksum.rpartition(":")[2] or hashlib.sha256(path.encode()).hexdigest()
    return Data(
        name=(Path(path).name or path)[:_LONGEST_NAME],
        digest=digest[:_LONGEST_DIGEST],
        source_type="local",
        source=json.dumps({"uri": path}),
        profile=json.dumps({key: value for key, value in source.items() if key != "path"}),
    )
