"""What a backend is: whatever a runner of experiments tells about its runs."""

from __future__ import annotations

from typing import Protocol, get_args, runtime_checkable

from ..branches.model import Status
from ..errors import BranchlineError


class LoggerError(BranchlineError):
    """A run that could not be started, and why; nothing else of a backend raises."""


@runtime_checkable
class LoggerBackend(Protocol):
    """Takes what a runner says about each of its runs, under the id that `start_run` gave.

    The order of calls is ``start_run``, ``log_params``, the run itself, then ``log_status``; where the run failed,
    ``log_exception`` comes before ``log_status``. `logged_run` keeps to it.
    """

    async def start_run(self, config: dict[str, object]) -> str:
        """Start a run of *config* and return its id, which no other run has or will have.

        Raises:
            LoggerError: when it cannot be started.
        """
        ...

    async def log_params(self, run_id: str, params: dict[str, object]) -> None:
        """Add parameters."""
        ...

    async def log_status(self, run_id: str, status: str, start_ts: float, end_ts: float, retry_count: int = 0) -> None:
        """End the run as *status*: ``success``, ``failed``, ``skipped``, ``cancelled``, ``interrupted``, ``lost``."""
        ...

    async def log_exception(self, run_id: str, exc_type: str, exc_msg: str, traceback_str: str) -> None:
        """Add the exception that it failed with."""
        ...


def known_status(status: str) -> Status:
    """Return *status* as branches have it: one that nobody knows never counts as a success."""
    found: dict[str, Status] = {known: known for known in get_args(Status)}
    return found.get(status, "failed")
