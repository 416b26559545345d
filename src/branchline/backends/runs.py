"""One run from start to end: what a backend is told, in the order that it can rely on."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from ..branches.model import Branch
from ..branches.run_logs import begun, told
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
        self.run_id = await begun(self._backend, self._branch) or ""
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._branch.retries = max(self._branch.retries, self.retry_count)
        self._branch.finish(exc)
        await told(self._backend, self.run_id or None, self._branch)


def logged_run(backend: LoggerBackend, branch: Branch, *, retry_count: int = 0) -> LoggedRun:
    """Return what tells *backend* about *branch*, to be opened by ``async with`` around the code of the branch.

    The branch gets the status that the block ended with, unless it has one. Nothing that the backend raises reaches
    the block or goes beyond it.
    """
    return LoggedRun(backend, branch, retry_count)
