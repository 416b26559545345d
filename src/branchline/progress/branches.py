"""Branches as work: how many of those that are run for somebody have ended."""

from __future__ import annotations

from contextvars import Context

from .. import names
from ..branches.model import Branch
from .board import board
from .work import Work


class BranchBar:
    """Counts branches that have ended, as one piece of work."""

    def __init__(self, total: int) -> None:
        """Count up to *total*."""
        self._work = Work("branches", total)
        self._ended: set[int] = set()

    def begin(self, context: Context) -> None:
        """Begin: it belongs to the experiment that is current in *context*."""
        context.run(self._work.begin)
        board().add(self._work)

    def __call__(self, branch: Branch) -> None:
        """Count *branch*, if it has ended."""
        if branch.is_final and id(branch) not in self._ended:
            self._ended.add(id(branch))
            self._work.done = len(self._ended)
            if self._work.mark != -1 and self._work.done >= self._work.mark:
                self._work.passed()
            board().touch(self._work)

    def end(self) -> None:
        """Be over, with whatever has ended by now."""
        total = self._work.total or 0
        if self._work.close(names.SUCCESS if self._work.done >= total else names.CLOSED):
            board().remove(self._work)
