"""Describing a run: its metadata, gathered beside the application, and what recorders add to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from .. import metadata_documents as documents
from .._pipeline.pipeline import Pipeline
from ..metadata.gathering import Facts, Gathering, Origin, origin
from ..redaction import Redactor


class Describing:
    """The metadata of one run, as one of its processes knows it."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Know nothing yet of the run that *pipeline* writes."""
        self._pipeline = pipeline
        # What a run is found by is for everybody to see: secrets are taken out of it whatever else is wanted.
        self._redactor = pipeline.options.redactor or Redactor()
        self._gathering: Gathering | None = None
        self._facts: Facts = {}
        # By recorder. Asked when it is written, so that a thousand things to say are heard once.
        self._unheard: dict[int, Callable[[], Mapping[str, Any]]] = {}
        self._heard: dict[int, Mapping[str, Any]] = {}
        self.changes = 0

    def begin(self, found: Origin) -> None:
        """Gather what there is to know of this process, in a thread."""
        self._gathering = Gathering(found, self._redactor, self._hear)

    def _hear(self, facts: Facts) -> None:
        self._facts = facts
        self._change()

    def _change(self) -> None:
        self.changes += 1
        self._pipeline.wake()

    def finish(self, timeout: float) -> None:
        """Wait for what is being gathered, for *timeout* seconds."""
        if self._gathering is not None:
            self._gathering.facts(timeout)

    def after_fork(self) -> None:
        """Know nothing of a child but what is said in it."""
        self._gathering = None
        self._facts = {}
        self._unheard = {}
        self._heard = {}
        self.changes = 0

    # ── for recorders ─────────────────────────────────────────────────────────────────────────────

    def facts(self, timeout: float) -> Facts:
        """Return what this process runs in, all of it or after *timeout* seconds what is known."""
        if self._gathering is None:
            # A process that joins a run gathers nothing unless it is asked.
            self._gathering = Gathering(origin(), self._redactor)
        return self._gathering.facts(timeout)

    def take(self, number: int, said: Callable[[], Mapping[str, Any]]) -> None:
        """Take note that recorder *number* has something new to say."""
        self._unheard[number] = said
        self._change()

    # ── for the writer ────────────────────────────────────────────────────────────────────────────

    def recorded(self) -> dict[str, Any]:
        """Return what recorders have said in this process."""
        for number in sorted(self._unheard):
            said = self._unheard.pop(number)
            try:
                self._heard[number] = documents.redacted(said(), self._redactor)
            except Exception as error:  # one recorder must not cost the others
                self._pipeline.failed("metadata", error)
        return documents.merged(self._heard[number] for number in sorted(self._heard))

    def document(self, *, is_ended: bool) -> dict[str, Any]:
        """Return the metadata of the run, in schema 1.0."""
        began, now = self._pipeline.started_unix_nano, time.time_ns()
        generation = {
            "experiment_id": "",
            "run_id": self._pipeline.options.run_id,
            "timestamp_start": _iso(began),
            "timestamp_end": _iso(now) if is_ended else "",
            "duration_seconds": max(now - began, 0) / 1e9 if is_ended else 0.0,
        }
        known = documents.empty() | {documents.GENERATION: generation}
        return documents.merged((known, self._facts, self.recorded()))


def _iso(unix_nano: int) -> str:
    return datetime.fromtimestamp(unix_nano / 1e9, UTC).isoformat()
