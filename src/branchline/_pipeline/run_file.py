"""The file ``run.json``: which run this is, written once; and its metadata, by the process that began it."""

from __future__ import annotations

import time
from typing import Any, Final

from .._journal import layout
from .._journal.described import METADATA, RECORDED, RUN_FILE
from .pipeline import Pipeline


# Who says a thousand things one by one has them written together.
_LEAST_SECONDS: Final = 0.2


class RunFile:
    """The file of one run, as one of its processes writes it."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Write what *pipeline* knows of its run."""
        self._pipeline = pipeline
        self._path = pipeline.options.run_directory / RUN_FILE
        self._written = 0
        self._written_at = -_LEAST_SECONDS
        self._is_ours: bool | None = None

    @property
    def is_due(self) -> bool:
        """Whether something is known that is not written."""
        is_known = self._pipeline.described.changes == self._written
        return not is_known and time.monotonic() - self._written_at >= _LEAST_SECONDS

    def write(self, *, is_ended: bool) -> None:
        """Write what is known; to another process's file, nothing.

        Raises:
            OSError: where it cannot be written; it is due then as it was.
        """
        pipeline = self._pipeline
        identity = {
            "version": layout.VERSION,
            "run_id": pipeline.options.run_id,
            "created_unix_nano": pipeline.started_unix_nano,
            "service_name": pipeline.options.service_name,
            "process": pipeline.process,
        }
        layout.create_json_once(self._path, identity)
        if self._is_ours is None:
            self._is_ours = (layout.read_json(self._path) or {}).get("process") == pipeline.process
        changes = pipeline.described.changes
        if self._is_ours and changes and (is_ended or changes != self._written):
            document = pipeline.described.document(is_ended=is_ended)
            layout.replace_json(self._path, identity | {METADATA: document})
        self._written, self._written_at = changes, time.monotonic()

    def told(self) -> dict[str, Any]:
        """Return what this process's own file is to say, because the run's is another's."""
        described = self._pipeline.described
        return {RECORDED: described.recorded()} if self._is_ours is False and described.changes else {}
