"""The backend that keeps nothing, for where there is nothing to log to."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from ..branches.model import Branch


class NoOpLogger:
    """Takes everything and does nothing; every run has an id of its own all the same."""

    def __repr__(self) -> str:
        return "<NoOpLogger>"

    async def start_run(self, config: Mapping[str, object]) -> str:
        """Return an id that no other run has."""
        return uuid.uuid4().hex

    async def log_params(self, run_id: str, params: Mapping[str, object]) -> None:
        """Do nothing."""

    async def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Do nothing."""

    async def log_branch(self, run_id: str, branch: Branch) -> None:
        """Do nothing."""

    async def log_exception(self, run_id: str, exc_type: str, exc_msg: str, traceback_str: str) -> None:
        """Do nothing."""

    async def log_status(self, run_id: str, status: str, start_ts: float, end_ts: float, retry_count: int = 0) -> None:
        """Do nothing."""
