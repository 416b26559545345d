"""How a run ends: its parts say what is left, one after the other, and each leaves time for those behind it."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass

from .. import names
from .._pipeline.collector import Collector
from .._pipeline.notices import say
from .._pipeline.pipeline import Pipeline
from ..exporters.followers import Followers
from .budgets import Budgeting
from .describing import Describing
from .measures import RunMeasures
from .progress import leave
from .results import FlushResult, counters_of, result_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Parting:
    """What a run that ends is made of."""

    pipeline: Pipeline
    run_id: str
    followers: Followers
    collector: Collector | None
    measures: RunMeasures | None
    describing: Describing | None
    budgeting: Budgeting | None

    def close(self, limit: float) -> FlushResult:
        """Write what is left, deliver it and close everything, within *limit* seconds."""
        pipeline = self.pipeline
        deadline = time.monotonic() + limit
        leave(self.run_id)
        pipeline.close_open()
        self._finish_collecting(limit)
        self._finish_describing(limit)
        if os.getpid() == pipeline.pid and pipeline.writer is not None:
            pipeline.event(names.RUN_ENDED, {names.PROCESS: pipeline.process})
        is_written = pipeline.flush(deadline - time.monotonic())
        self._finish_watching(deadline)
        self._close_books(deadline)
        pipeline.close(max(deadline - time.monotonic(), 0.05), reason="shutdown")
        self._part(deadline)
        self._say_what_waits(limit)
        counters = counters_of(pipeline)
        accounts = self.followers.accounts(pipeline.process, counters)
        return result_of(counters, accounts, is_complete=is_written)

    def go_direct(self, limit: float, *, reason: str) -> None:
        """Do the same because the process ends; what is recorded from now on is written at once."""
        pipeline = self.pipeline
        leave(self.run_id)
        pipeline.close_open()
        if pipeline.writer is not None:
            pipeline.event(names.RUN_ENDED, {names.PROCESS: pipeline.process, "reason": reason})
        deadline = time.monotonic() + limit
        self._finish_collecting(limit)
        self._finish_watching(deadline)
        self._finish_describing(limit)
        self._close_books(deadline)
        pipeline.go_direct(deadline - time.monotonic(), reason=reason)
        self._part(deadline)
        self._say_what_waits(limit)

    def _finish_collecting(self, limit: float) -> None:
        """Collect for the last time; what hangs in it must leave time for the rest."""
        if self.collector is not None:
            self.collector.finish(limit / 2)

    def _finish_watching(self, deadline: float) -> None:
        """Let those who watch this run say what they have seen of it last."""
        pipeline = self.pipeline
        if self.measures is None or not pipeline.observers:
            return
        # What is told is what is written.
        pipeline.flush(max(deadline - time.monotonic(), 0.05) / 4)
        self.measures.finish(max(deadline - time.monotonic(), 0.05) / 2)

    def _finish_describing(self, limit: float) -> None:
        """Wait for what a run that was soon over was too quick for, and leave time for the rest."""
        if self.describing is not None:
            self.describing.finish(limit / 4)

    def _close_books(self, deadline: float) -> None:
        if self.budgeting is not None:
            self.budgeting.finish(max(deadline - time.monotonic(), 0.05) / 2)

    def _part(self, deadline: float) -> None:
        """Give the followers what is left of the time, and say what then still waits."""
        self.followers.close(max(deadline - time.monotonic(), 0))
        for words in self.followers.parting_words():
            say(words)

    def _say_what_waits(self, limit: float) -> None:
        """Say that the writer is not done after *limit* seconds, and what becomes of the rest if nobody waits."""
        writer, ring = self.pipeline.writer, self.pipeline.ring
        if writer is None or not writer.thread.is_alive() or writer.thread is threading.current_thread():
            return
        rest = "is lost" if ring is None else f"is recovered from {ring.path}, but for what no ring has room for (1 MB)"
        say(f"{limit:g} s (exit_timeout) were too short to write all; what is not written when the process ends {rest}")
