"""The backend that keeps everything in memory, for tests and notebooks."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from typing import Final

from ..branches.model import Branch
from ..errors import ConfigError


# A run of which nothing is known but its id.
_UNKNOWN: Final[Mapping[str, object]] = {
    "config": {},
    "started": False,
    "ended": False,
    "status": "pending",
    "start_ts": None,
    "end_ts": None,
    "retry_count": 0,
    "exception": None,
}


class InMemoryLogger:
    """Keeps runs as plain dictionaries by run id: `runs`, `params`, `metrics` and `branches`.

    Any number of tasks and threads may use it. Beyond *max_runs* the oldest runs are forgotten, and counted.
    """

    def __init__(self, *, max_runs: int = 10_000) -> None:
        if max_runs < 1:
            msg = f"max_runs={max_runs!r}; accepted: a whole number from 1"
            raise ConfigError(msg)
        self.runs: dict[str, dict[str, object]] = {}
        """Of each run: ``config``, ``started``, ``ended``, ``status``, ``start_ts``, ``end_ts``, ``retry_count``,
        ``exception``."""
        self.params: dict[str, dict[str, object]] = {}
        self.metrics: dict[str, dict[str, float]] = {}
        self.branches: dict[str, list[Branch]] = {}
        self.forgotten = 0
        """How many runs there was no room for any more."""
        self._max_runs = max_runs
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<InMemoryLogger with {len(self.runs)} run(s)>"

    # ── the protocol ──────────────────────────────────────────────────────────────────────────────

    async def start_run(self, config: Mapping[str, object]) -> str:
        """Keep a new run and return its id, 32 hex digits that no other run has."""
        run_id = uuid.uuid4().hex
        with self._lock:
            self._run(run_id).update(config=dict(config), started=True)
        return run_id

    async def log_params(self, run_id: str, params: Mapping[str, object]) -> None:
        """Add parameters to those that the run has."""
        with self._lock:
            self._run(run_id)
            self.params[run_id].update(params)

    async def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Add metrics to those that the run has."""
        with self._lock:
            self._run(run_id)
            self.metrics[run_id].update(metrics)

    async def log_branch(self, run_id: str, branch: Branch) -> None:
        """Keep *branch* with the run."""
        with self._lock:
            self._run(run_id)
            self.branches[run_id].append(branch)

    async def log_exception(self, run_id: str, exc_type: str, exc_msg: str, traceback_str: str) -> None:
        """Keep what went wrong."""
        with self._lock:
            self._run(run_id)["exception"] = {"type": exc_type, "message": exc_msg, "traceback": traceback_str}

    async def log_status(self, run_id: str, status: str, start_ts: float, end_ts: float, retry_count: int = 0) -> None:
        """End the run."""
        with self._lock:
            self._run(run_id).update(
                ended=True, status=status, start_ts=start_ts, end_ts=end_ts, retry_count=retry_count
            )

    # ── what a test asks ──────────────────────────────────────────────────────────────────────────

    def get_run(self, run_id: str) -> dict[str, object]:
        """Return all that is known of a run: what `runs` has, with its ``params`` and ``metrics``.

        Raises:
            KeyError: when there is none of that id.
        """
        with self._lock:
            return self._whole(run_id)

    def list_runs(self) -> list[dict[str, object]]:
        """Return all that is known of every run, in order of their start."""
        with self._lock:
            return [self._whole(run_id) for run_id in self.runs]

    def get_run_count(self) -> int:
        """Return how many runs there are."""
        return len(self.runs)

    def get_branch_count(self, run_id: str | None = None) -> int:
        """Return how many branches there are, of one run or of all."""
        with self._lock:
            of = self.branches.values() if run_id is None else [self.branches.get(run_id, [])]
            return sum(len(branches) for branches in of)

    def _whole(self, run_id: str) -> dict[str, object]:
        return {
            "run_id": run_id,
            **self.runs[run_id],
            "params": dict(self.params[run_id]),
            "metrics": dict(self.metrics[run_id]),
        }

    def _run(self, run_id: str) -> dict[str, object]:
        """Return the entry of a run: one that nobody has started gets one too, which says so."""
        if run_id not in self.runs:
            self.runs[run_id] = dict(_UNKNOWN)
            self.params[run_id], self.metrics[run_id], self.branches[run_id] = {}, {}, []
            while len(self.runs) > self._max_runs:
                self._forget(next(iter(self.runs)))
        return self.runs[run_id]

    def _forget(self, run_id: str) -> None:
        self.forgotten += 1
        for kept in (self.runs, self.params, self.metrics, self.branches):
            kept.pop(run_id)
