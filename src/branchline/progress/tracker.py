"""The tracker: several tasks that are counted by hand, with tasks below tasks."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Self, TextIO

from .. import names
from ..outcomes import outcome_of
from .board import board
from .overview import overview
from .tasks import TaskProgress, TaskStatus
from .work import NEVER, Shown, Work


class ProgressTracker:
    """Tasks, each with a bar on a terminal, and lines elsewhere; safe to use from any number of threads.

    Args:
        title: What it is all about.
        use_rich: Draw bars where stdout is a terminal or a notebook; else, or without, lines of text.
        quiet: Show nothing at all.
        stream: Where to show it, in place of stdout.
    """

    def __init__(
        self, title: str = "Progress", use_rich: bool = True, quiet: bool = False, *, stream: TextIO | None = None
    ) -> None:
        self.title = title
        self.use_rich = use_rich
        self.quiet = quiet
        self._shown = Shown(stream="stdout", is_rich=use_rich, is_quiet=quiet, other=stream)
        self._tasks: dict[str, TaskProgress] = {}
        self._parents: dict[str, str] = {}
        # Re-entrant: a signal handler may count as well.
        self._lock = threading.RLock()
        self._made = 0
        # A tracker that nobody has any more counts nothing.
        weakref.finalize(self, _leave, self._tasks).atexit = False

    def __repr__(self) -> str:
        return f"<ProgressTracker {self.title!r} of {len(self._tasks)} task(s)>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        """End what still goes on: with an exception as failed, else as far as it is."""
        for task in self.get_all_tasks():
            if task.work is not None and task.end_time is None:
                self._left(task, error)

    def _left(self, task: TaskProgress, error: BaseException | None) -> None:
        outcome = names.CLOSED if error is None else outcome_of(error)
        if error is None and task.total is not None and task.completed >= task.total:
            self.complete(task.task_id)
        elif outcome == names.FAILED:
            self.fail(task.task_id, message=type(error).__name__)
        else:
            self._end(task, outcome)

    # ── tasks ─────────────────────────────────────────────────────────────────────────────────────

    def add_task(self, description: str, total: float | None = 100, task_id: str | None = None) -> str:
        """Add a task, and return its id; it begins with its first update. A *total* of None: nobody knows.

        Raises:
            ValueError: for a *task_id* that another task has.
        """
        return self._added(description, total, task_id).task_id

    def _added(self, description: str, total: float | None, task_id: str | None) -> TaskProgress:
        with self._lock:
            while task_id is None:
                self._made += 1
                made = f"task_{self._made}"
                task_id = None if made in self._tasks else made
            if task_id in self._tasks:
                msg = f"there is a task {task_id!r} already; known are {', '.join(self._tasks)}"
                raise ValueError(msg)
            task = TaskProgress(task_id, description, total=_total(total))
            self._tasks[task_id] = task
            return task

    def update(
        self, task_id: str, advance: float = 1, description: str | None = None, completed: float | None = None
    ) -> None:
        """Count *advance* more, or that so many are *completed*; an unknown task, or one that has ended, is let be."""
        with self._lock:
            task = self._tasks.get(task_id)
            if task is None or task.end_time is not None:
                return
            work = task.work or self._begun(task)
            number = _number(advance) if completed is None else _number(completed)
            if number is not None:
                task.completed = work.done = max(number if completed is not None else task.completed + number, 0)
            if description:
                task.description = description
                work.rename(description)
            if work.mark != NEVER and work.done >= work.mark:
                work.passed()
        board().touch(work)

    def complete(self, task_id: str, status: str = TaskStatus.COMPLETED) -> None:
        """End a task: all of it is done, unless *status* is ``failed``."""
        if status == TaskStatus.FAILED:
            self.fail(task_id)
            return
        with self._lock:
            task = self._tasks.get(task_id)
            if task is None or task.end_time is not None:
                return
            work = task.work or self._begun(task)
            if task.total is None:
                task.total = work.total = task.completed
            task.completed = work.done = task.total
            task.status = status
        self._end(task, names.SUCCESS)

    def fail(self, task_id: str, message: str = "") -> None:
        """End a task as failed; what it has counted stays as it is."""
        with self._lock:
            task = self._tasks.get(task_id)
            if task is None or task.end_time is not None:
                return
            if task.work is None:
                self._begun(task)
            task.status = TaskStatus.FAILED
            task.message = message
        self._end(task, names.FAILED)

    @contextmanager
    def subtask(self, parent_id: str, description: str, total: float | None = 100) -> Iterator[str]:
        """Add a task that is part of another, and complete it at the end of the block, or fail it with an exception."""
        task = self._added(description, total, None)
        with self._lock:
            parent = self._tasks.get(parent_id)
            if parent is not None:
                parent.subtasks.append(task)
                self._parents[task.task_id] = parent_id
        try:
            yield task.task_id
        except BaseException as error:  # noted and raised again, an interrupt as well
            if task.end_time is None:
                self._left(task, error)
            raise
        self.complete(task.task_id)

    def get_task(self, task_id: str) -> TaskProgress | None:
        """Return a task, which goes on changing; None for an unknown id."""
        return self._tasks.get(task_id)

    def get_all_tasks(self) -> list[TaskProgress]:
        """Return all tasks in the order in which they were added, those that are part of others among them."""
        with self._lock:
            return list(self._tasks.values())

    def to_display(self) -> str:
        """Return all tasks as text."""
        tasks = self.get_all_tasks()
        return overview(self.title, [task for task in tasks if task.task_id not in self._parents])

    # ── what records them ─────────────────────────────────────────────────────────────────────────

    def _begun(self, task: TaskProgress) -> Work:
        above = self._tasks.get(self._parents.get(task.task_id, ""))
        parent = None if above is None else above.work or self._begun(above)
        work = Work(task.description, task.total, shown=self._shown, parent=parent)
        work.begin()
        task.work = work
        task.status = TaskStatus.RUNNING
        task.start_time = datetime.now()  # noqa: DTZ005  # a time of day here, as it always was
        board().add(work)
        return work

    def _end(self, task: TaskProgress, outcome: str) -> None:
        task.end_time = datetime.now()  # noqa: DTZ005  # the same
        if task.work is not None and task.work.close(outcome, message=task.message):
            board().remove(task.work)


def _leave(tasks: dict[str, TaskProgress]) -> None:
    for task in tasks.values():
        if task.work is not None and task.work.close(names.CLOSED):
            board().remove(task.work)


def _number(value: object) -> float | None:
    """Return *value* if it can be counted with, else None."""
    if not isinstance(value, (int, float)) or value - value:
        return None
    return int(value) if isinstance(value, bool) else value


def _total(total: object) -> float | None:
    number = _number(total)
    return None if number is None or number < 0 else number
