"""Telling a logging backend of every branch, in the order that backends know."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..logs.accounts import complain, said


if TYPE_CHECKING:
    from .model import Branch
    from .plan import RunLogger


async def begun(logger: RunLogger | None, branch: Branch) -> str | None:
    """Tell that *branch* begins; return the id that the backend has for it."""
    if logger is None:
        return None
    try:
        run_id = await logger.start_run(dict(branch.config))
    except Exception as error:  # a backend that is down is no reason for a branch to fail
        complain(f"{logger!r} was not told of {branch!r}, which runs all the same: {said(error)}")
        return None
    try:
        await logger.log_params(run_id, branch.to_logging_params())
    except Exception as error:  # the same; and what was started is still ended
        complain(f"{logger!r} was not told what {branch!r} is made of: {said(error)}")
    return run_id


async def told(logger: RunLogger | None, run_id: str | None, branch: Branch) -> None:
    """Tell how *branch* ended: first of its exception, then of its status."""
    if logger is not None and run_id is not None:
        # Whoever is cancelled meanwhile does not wait for it, but the run is ended all the same.
        await asyncio.shield(asyncio.ensure_future(_told(logger, run_id, branch)))


async def _told(logger: RunLogger, run_id: str, branch: Branch) -> None:
    info = branch.exception_info
    try:
        if info is not None and branch.status != "skipped":
            await logger.log_exception(run_id, info["type"], info["message"], info["traceback"])
    except Exception as error:  # the same
        complain(f"{logger!r} was not told what {branch!r} raised: {said(error)}")
    ended = branch.start_ts if branch.end_ts is None else branch.end_ts
    try:
        await logger.log_status(run_id, branch.status, branch.start_ts, ended, branch.retries)
    except Exception as error:  # the same
        complain(f"{logger!r} was not told how {branch!r} ended: {said(error)}")
