"""One run from start to end: what a backend is told, in the order that it can rely on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from types import TracebackType
from typing import Self

from ..branch_model import Branch
from ..logs.accounts import complain, said
from .protocol import LoggerBackend


class LoggedRun:
    """Tells a backend about one branch, while the ``async with`` block runs it; made by `logged_run`."""

    def __init__(self, backend: LoggerBackend, branch: Branch, retry_count: int) -> None:
        self.run_id = ""
        """The run's id; empty where the backend could not start one: then it is told nothing more."""
        self.retry_count = retry_count
        self._backend = backend
        self._branch = branch

    def __repr__(self) -> str:
        return f"<LoggedRun {self.run_id!r} of {self._branch!r}>"

    async def __aenter__(self) -> Self:
        params = self._branch.to_logging_params()
        try:
            self.run_id = await self._backend.start_run(dict(self._branch.config))
        except Exception as error:  # a backend is no reason for a branch to fail
            complain(f"{self._backend!r} could not start a run; the branch runs all the same: {said(error)}")
        else:
            await _told(self._backend.log_params(self.run_id, params))
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._branch.finish(exc)
        if self.run_id:
            # Whoever is cancelled a second time does not wait for it, but the run is ended all the same.
            await asyncio.shield(asyncio.ensure_future(self._end(self.run_id)))

    async def _end(self, run_id: str) -> None:
        branch, backend = self._branch, self._backend
        info = branch.exception_info
        if info is not None and branch.status != "skipped":
            await _told(backend.log_exception(run_id, info["type"], info["message"], info["traceback"]))
        ended = time.time() if branch.end_ts is None else branch.end_ts
        await _told(backend.log_status(run_id, branch.status, branch.start_ts, ended, self.retry_count))


def logged_run(backend: LoggerBackend, branch: Branch, *, retry_count: int = 0) -> LoggedRun:
    """Return what tells *backend* about *branch*, to be opened by ``async with`` around the code of the branch.

    The branch gets the status that the block ended with, unless it has one. Nothing that the backend raises reaches
    the block or goes beyond it.
    """
    return LoggedRun(backend, branch, retry_count)


async def _told(call: Awaitable[None]) -> None:
    try:
        await call
    except Exception as error:  # a backend of others
        complain(f"a backend failed, and the branch goes on: {said(error)}")
