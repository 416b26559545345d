"""The file ``run.json``: which run this is, written once; and its metadata, by the process that began it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from .._journal import layout
from .._journal.described import METADATA, RECORDED, RUN_FILE
from .pipeline import Pipeline


# Who says a thousand things one by one has them written together; and of the writer's time, this is a small part.
_LEAST_SECONDS: Final = 0.2
_REST_FACTOR: Final = 30


class RunFile:
    """The file of one run, as one of its processes writes it."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Write what *pipeline* knows of its run."""
        self._pipeline = pipeline
        self._path = pipeline.options.run_directory / RUN_FILE
        self._written = 0
        self._due_at = 0.0
        self._is_ours: bool | None = None

    @property
    def is_due(self) -> bool:
        """Whether something is known that is not written."""
        is_known = self._pipeline.described.changes == self._written
        return not is_known and time.monotonic() >= self._due_at

    def begin(self) -> None:
        """Write which run this is, unless somebody has.

        Raises:
            OSError: where it cannot be written.
        """
        layout.create_json_once(self._path, self._identity())
        if self._is_ours is None:
            self._is_ours = (layout.read_json(self._path) or {}).get("process") == self._pipeline.process

    def _identity(self) -> dict[str, Any]:
        pipeline = self._pipeline
        return {
            "version": layout.VERSION,
            "run_id": pipeline.options.run_id,
            "created_unix_nano": pipeline.started_unix_nano,
            "service_name": pipeline.options.service_name,
            "process": pipeline.process,
        }

    def write(self, *, is_ended: bool) -> None:
        """Write what is known; to another process's file, nothing.

        Raises:
            OSError: where it cannot be written; it is due then as it was, a little later.
        """
        described = self._pipeline.described
        changes = described.changes
        if self._is_ours and changes and (is_ended or changes != self._written):
            with self._resting():
                layout.replace_json(self._path, self._identity() | {METADATA: described.document(is_ended=is_ended)})
        self._written = changes

    def told(self) -> dict[str, Any]:
        """Return what this process's own file is to say, because the run's is another's."""
        described = self._pipeline.described
        if self._is_ours is not False or not described.changes:
            return {}
        with self._resting():
            return {RECORDED: described.recorded()}

    @contextmanager
    def _resting(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            now = time.monotonic()
            self._due_at = now + _LEAST_SECONDS + (now - began) * _REST_FACTOR
