"""What is said to MLflow about one run: one bad entry costs no other, and what MLflow never takes is buried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from ..._journal.dead_letters import DeadLetter, bury
from ..._mlflow.client import Client, RunStatus
from ..._mlflow.failures import MLflowFailure
from ..._mlflow.limits import Batch, Data, Point
from .points import process_of, signal_of


# Whoever may not do something today may be allowed to tomorrow: this is about us, not about what is said.
_ABOUT_US: Final = frozenset(
    {
        *("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "ENDPOINT_NOT_FOUND"),
        *("FEATURE_DISABLED", "NOT_IMPLEMENTED", "INVALID_STATE"),
    }
)
_DELETED: Final = "must be in the 'active' state"


class GoneError(Exception):
    """MLflow does not take anything for this run any more."""


class Teller:
    """Says things to MLflow, one after the other, and buries what is refused in the follower's *folder* of a run."""

    def __init__(self, client: Client, folder: Path) -> None:
        """Say it to *client*."""
        self.client = client
        self._folder = folder
        self.refused = 0
        """How many entries were refused so far."""
        self.refused_points: Counter[str] = Counter()
        """How many points were, since somebody took these numbers away, by source."""
        self.last_reason = ""

    def log(self, run_id: str, batch: Batch, owners: Mapping[Point, str] | None = None) -> None:
        """Add what *batch* has to a run; *owners* are the sources that points come from.

        Raises:
            GoneError: where there is no such run any more.
            MLflowFailure: where the same may be said later.
        """
        try:
            self.client.log(run_id, batch)
        except MLflowFailure as failure:
            self._raise_if_not_about_entries(failure)
            if len(batch) > 1:
                for half in halves(batch):
                    self.log(run_id, half, owners)
                return
            self._bury(run_id, batch, failure, owners or {})

    def write(self, run_id: str, files: Mapping[str, str]) -> None:
        """Keep *files* with a run. Raises what `log` does."""
        for path, text in files.items():
            try:
                self.client.write_text(run_id, path, text)
            except MLflowFailure as failure:
                self._raise_if_not_about_entries(failure)
                self.bury({"run": run_id, "file": path, "text": text}, failure)

    def name_data(self, run_id: str, data: Sequence[Data]) -> None:
        """Say what a run has read. Raises what `log` does."""
        try:
            self.client.log_data(run_id, data)
        except MLflowFailure as failure:
            self._raise_if_not_about_entries(failure)
            self.bury({"run": run_id, "data": [each.source for each in data]}, failure)

    def end(self, run_id: str, status: RunStatus, end_ms: int) -> None:
        """End a run. Raises what `log` does."""
        try:
            self.client.end_run(run_id, status, end_ms)
        except MLflowFailure as failure:
            self._raise_if_not_about_entries(failure)
            self.bury({"run": run_id, "status": status, "end_ms": end_ms}, failure)

    def _raise_if_not_about_entries(self, failure: MLflowFailure) -> None:
        if is_passing(failure):
            raise failure
        if failure.kind == "missing" or _DELETED in str(failure):
            raise GoneError(str(failure)) from failure

    def _bury(self, run_id: str, batch: Batch, failure: MLflowFailure, owners: Mapping[Point, str]) -> None:
        [source] = [owners.get(point, "") for point in batch.points] or [""]
        self.refused_points[source] += bool(source)
        self.bury({"run": run_id, **as_said(batch)}, failure, source=source)

    def bury(self, said: Mapping[str, Any], failure: Exception, *, source: str = "") -> None:
        """Keep what MLflow never takes, with its reason. Raises OSError."""
        self.refused += 1
        self.last_reason = str(failure)
        letter = DeadLetter(
            process=process_of(source),
            signal=signal_of(source) if source else "traces",
            kind="refused",
            message=str(failure),
            items=int(bool(source)),
            unix_nano=0,
            line=orjson.dumps(said),
        )
        bury(self._folder, [letter])


def is_passing(failure: MLflowFailure) -> bool:
    """Whether the same may be taken another time."""
    return failure.kind == "retry" or failure.code in _ABOUT_US


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """Return the two halves of what is in *batch*."""
    entries = [*batch.singles()]
    middle = len(entries) // 2
    return _joined(entries[:middle]), _joined(entries[middle:])


def _joined(singles: Iterable[Batch]) -> Batch:
    every = list(singles)
    return Batch(
        params=[param for each in every for param in each.params],
        tags=[tag for each in every for tag in each.tags],
        points=[point for each in every for point in each.points],
    )


def as_said(batch: Batch) -> dict[str, Any]:
    """Return what is in *batch* as a dead letter has it."""
    points = [[point.key, point.value, point.timestamp_ms, point.step] for point in batch.points]
    found: dict[str, Sequence[Any]] = {"params": batch.params, "tags": batch.tags, "points": points}
    return {key: [list(entry) for entry in entries] for key, entries in found.items() if entries}


def batch_from(said: Mapping[str, Any]) -> Batch:
    """Return what a dead letter has. Raises ValueError, KeyError or TypeError for what is none."""
    return Batch(
        params=[(str(key), str(text)) for key, text in said.get("params", ())],
        tags=[(str(key), str(text)) for key, text in said.get("tags", ())],
        points=[
            Point(
                key=str(key),
                value=float("nan") if value is None else float(value),
                timestamp_ms=int(ms),
                step=int(step),
            )
            for key, value, ms, step in said.get("points", ())
        ],
    )
