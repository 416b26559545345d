"""Telling a logging backend of every branch, in the order that backends know."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from .branch_model import Branch
    from .branch_plan import RunLogger


async def begun(logger: RunLogger | None, branch: Branch) -> str | None:
    """Tell that *branch* begins; return the id that the backend has for it."""
    if logger is None:
        return None
    try:
        run_id = await logger.start_run(dict(branch.config))
        await logger.log_params(run_id, branch.to_logging_params())
    except Exception as error:  # a backend that is down is no reason for a branch to fail
        _complain(branch, error)
        return None
    return run_id


async def told(logger: RunLogger | None, run_id: str | None, branch: Branch) -> None:
    """Tell how *branch* ended: first of its exception, then of its status."""
    if logger is None or run_id is None:
        return
    info = branch.exception_info
    try:
        if info is not None and branch.error is not None:
            await logger.log_exception(run_id, info["type"], info["message"], info["traceback"])
        ended = branch.start_ts if branch.end_ts is None else branch.end_ts
        await logger.log_status(run_id, branch.status, branch.start_ts, ended, branch.retries)
    except Exception as error:  # the same
        _complain(branch, error)


def _complain(branch: Branch, error: Exception) -> None:
    sys.stderr.write(f"branchline: the logger was not told of {branch!r}: {type(error).__name__}: {error}\n")
