"""Tasks: what a tracker is asked for, as values that say how far each is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from .work import Work


class TaskStatus(StrEnum):
    """How a task is; each is equal to its own text."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass
class TaskProgress:
    """One task of a tracker: what is to be done, and how much of it is.

    Times are those of the calendar, without a zone; how long something took is told by a clock that nobody sets.
    """

    task_id: str
    description: str
    total: float | None = 100
    """None where nobody knows."""
    completed: float = 0
    """As it was counted, also of a task that has failed, and also above the total."""
    status: str = TaskStatus.PENDING
    start_time: datetime | None = None
    end_time: datetime | None = None
    subtasks: list[TaskProgress] = field(default_factory=list)
    message: str = field(default="", kw_only=True)
    """Why it has failed."""
    work: Work | None = field(default=None, kw_only=True, repr=False, compare=False)
    """What records it; None for one that has not begun, or that no tracker has."""

    @property
    def percent(self) -> float | None:
        """How much of it is done, 0 to 100; None where nobody knows of how much."""
        if self.total is None:
            return None
        return min(max(self.completed / self.total * 100, 0.0), 100.0) if self.total > 0 else 100.0

    @property
    def elapsed_seconds(self) -> float:
        """How long it took, or has taken so far; 0 for one that has not begun."""
        if self.work is not None:
            return self.work.elapsed_seconds
        if self.start_time is None:
            return 0.0
        end = self.end_time or datetime.now(self.start_time.tzinfo)
        return max((end - self.start_time).total_seconds(), 0.0)

    @property
    def eta_seconds(self) -> float | None:
        """How long it still takes, as it looks now; None while nobody can say, and of one that has failed."""
        if self.status == TaskStatus.FAILED or not self.total or self.completed <= 0:
            return None
        if self.completed >= self.total:
            return 0.0
        if self.work is not None:
            return self.work.eta_seconds
        elapsed = self.elapsed_seconds
        return (self.total - self.completed) * elapsed / self.completed if elapsed > 0 else None

    def to_dict(self) -> dict[str, Any]:
        """Return it, with all that is part of it, as plain values."""
        return {
            "task_id": self.task_id,
            "description": self.description,
            "total": self.total,
            "completed": self.completed,
            "percent": self.percent,
            "status": str(self.status),
            "elapsed_seconds": self.elapsed_seconds,
            "eta_seconds": self.eta_seconds,
            "subtasks": [task.to_dict() for task in self.subtasks],
        }
