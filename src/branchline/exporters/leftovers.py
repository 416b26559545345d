"""Leftovers: what earlier runs in the directory could not deliver to the same destination."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .._journal import cursors, layout
from .._journal.recovery import recover_run
from .._journal.unread import unread_bytes
from ..errors import JournalError
from .deliveries import begin, is_unfinished
from .underway import NOTHING, DeliveryOptions, Destination, Step, Tell, Underway


# What an application delivers beside its own work; `branchline ship` does the rest.
MOST_AGE_SECONDS: Final = 86_400.0
MOST_BYTES: Final = 256 * 1024 * 1024
_LOOK_AGAIN_SECONDS: Final = 300.0


class Leftovers:
    """Delivers, one step at a time, what other runs left; no more than so old and so much of it."""

    def __init__(
        self,
        directory: Path,
        destination: Destination,
        tell: Tell,
        *,
        most_age_seconds: float = MOST_AGE_SECONDS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """Look for runs below *directory* that were to go to *destination*."""
        self._directory = directory
        self._destination = destination
        self._tell = tell
        self._most_age_seconds = most_age_seconds
        self._left_bytes = most_bytes
        self._waiting: list[str] = []
        self._delivery: Underway | None = None
        self._look_at = 0.0

    def step(self, own_run_id: str) -> Step:
        """Deliver one batch of another run than *own_run_id*, or find that there is nothing."""
        if self._left_bytes <= 0:
            return NOTHING
        now = time.monotonic()
        if self._delivery is None and not self._waiting and now >= self._look_at:
            self._look_at = now + _LOOK_AGAIN_SECONDS
            self._waiting = [name for name in self._runs() if name != own_run_id]
        while self._delivery is not None or self._waiting:
            if self._delivery is None:
                self._delivery = self._begun(self._waiting.pop(0))
                continue
            step = self._delivery.step()
            self._left_bytes -= step.size
            if step.kind in {"moved", "wait"}:
                return step
            self.give_up()
        return NOTHING

    def give_up(self) -> None:
        """Let somebody else deliver them."""
        delivery, self._delivery = self._delivery, None
        if delivery is not None:
            delivery.give_up()

    def _runs(self) -> Iterator[str]:
        """Yield the runs that were to go to this destination, did not wholly, and are not too old."""
        follower = cursors.follower_folder(self._directory, self._destination.name)
        for folder in cursors.run_folders(follower):
            run = layout.runs_directory(self._directory) / folder.name
            if time.time() - _touched(run) > self._most_age_seconds:
                continue
            try:
                cursor = cursors.load(folder)
            except JournalError:
                continue
            is_left = unread_bytes(run, cursor, self._destination.signals) or is_unfinished(folder, self._destination)
            if is_left:
                yield folder.name

    def _begun(self, run_id: str) -> Underway | None:
        # What a process that was killed had finished, but not written, first comes into its journal.
        recover_run(layout.runs_directory(self._directory) / run_id)
        try:
            return begin(self._directory, run_id, self._destination, tell=self._tell, options=DeliveryOptions())
        except (OSError, JournalError):
            # For `branchline doctor` to tell.
            return None


def _touched(run: Path) -> float:
    """Return when a process of *run* last said how it is; never, for one that is gone."""
    moments = [0.0]
    for folder in layout.processes(run):
        try:
            moments.append((folder / "process.json").stat().st_mtime)
        except OSError:
            continue
    return max(moments)
