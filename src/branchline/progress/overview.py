"""The overview: all tasks of a tracker as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ..progress_values import clock, counted
from .tasks import TaskProgress


_SIGNS: Final = {"pending": "○", "running": "→", "completed": "✓", "failed": "✗"}
_RULE: Final = "=" * 50
_CELLS: Final = 20


def overview(title: str, tasks: Iterable[TaskProgress]) -> str:
    """Return *tasks*, and what is part of them, below a *title*."""
    return "\n".join([title, _RULE, "", *(line for task in tasks for line in _lines(task, 0))])


def _lines(task: TaskProgress, depth: int) -> Iterator[str]:
    lead = f"{'  ' * depth}└─ " if depth else ""
    yield f"{lead}{_SIGNS.get(task.status, '?')} {task.description} {_far(task)} ETA: {clock(task.eta_seconds)}"
    for part in task.subtasks:
        yield from _lines(part, depth + 1)


def _far(task: TaskProgress) -> str:
    if task.percent is None:
        return f"{'─' * _CELLS} {counted(task.completed)}"
    done = int(task.percent * _CELLS / 100)
    # Rounded down: 100 % means that nothing is left.
    return f"{'━' * done}{'─' * (_CELLS - done)} {int(task.percent)}%"
