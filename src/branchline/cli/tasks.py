"""Work that said how far it is, for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace

from rich.console import Console, Group, RenderableType
from rich.text import Text

from ..exporters.console.bars import bar_rows, figures, summed
from ..exporters.console.bars import sign as bar_sign
from ..exporters.console.text import Row, safe
from ..read import Happening, Run, Task
from ..read.values import walk
from .paint import glyphs, styled


Key = tuple[str, str]

# Of one step; what is beyond is a line for each name.
_APART = 6
_NAMES = 12


def task_texts(console: Console, tasks: Sequence[Task]) -> Iterator[Text]:
    """Yield a line for each of the *tasks* of one place, or where they are many, for each name."""
    known = {task.id for task in tasks}
    tops = [task for task in tasks if task.parent_id not in known]
    parts = [task for task in tasks if task.parent_id in known]
    places: dict[str, list[Task]] = {}
    for task in tops if len(tops) <= _APART else ():
        places[task.id] = [task]
    for task in (*(() if len(tops) <= _APART else tops), *parts):
        places.setdefault(f"name {task.description}", []).append(task)
    shown = list(places.values())
    for some in shown[:_NAMES]:
        yield _text(console, some)
    if len(shown) > _NAMES:
        yield Text(f"{glyphs(console).more} {len(shown) - _NAMES:,} more names of work", "dim")


def _text(console: Console, tasks: Sequence[Task]) -> Text:
    known = glyphs(console)
    progress = summed([task.progress for task in tasks])
    name = safe(progress.description)
    title = name if len(tasks) == 1 else f"{name} {known.times}{len(tasks):,}"
    return styled(bar_sign(progress, known), (f" {title}  ", ""), *figures(progress))


def tasks_by_step(run: Run) -> dict[Key, list[Task]]:
    """Return the work of *run* by the step that it belongs to."""
    steps = {(step.trace_id, step.span_id) for step in walk(run.roots)}
    found: dict[Key, list[Task]] = {}
    for task in run.tasks:
        key = (task.trace_id or "", task.span_id or "")
        found.setdefault(key if key in steps else ("", ""), []).append(task)
    return found


def loose_tasks(console: Console, run: Run) -> RenderableType | None:
    """Return the work of *run* that belongs to no step; None where there is none."""
    tasks = tasks_by_step(run).get(("", ""), [])
    return Group(*task_texts(console, tasks)) if tasks else None


class GoingOn:
    """What goes on in all processes of a run, from what is heard of it."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        # Whoever looked at work before its end may tell of it after that.
        self._ended: set[str] = set()
        self._spin = 0

    def hear(self, happenings: Iterable[Happening]) -> None:
        """Take what has happened."""
        for happening in happenings:
            task = happening.task
            if task is not None and task.outcome is not None:
                self._ended.add(task.id)
                self._tasks.pop(task.id, None)
            elif task is not None and task.id not in self._ended:
                self._tasks[task.id] = task

    def forget(self, alive: Container[str]) -> None:
        """Let go what went on in processes that are not *alive* any more."""
        self._tasks = {key: task for key, task in self._tasks.items() if task.process in alive}

    def bars(self, console: Console) -> Text:
        """Return a bar for each piece of work, with the process that it goes on in where there are several."""
        self._spin += 1
        tasks = list(self._tasks.values())
        is_alone = len({task.process for task in tasks}) <= 1
        rows = list(bar_rows([_named(task, is_alone=is_alone).progress for task in tasks], glyphs(console), self._spin))
        most = max(console.size.height - 4, 1)
        shown = [_line(row, console.width) for row in rows[:most]]
        if len(rows) > most:
            shown.append(Text(f"{glyphs(console).more} {len(rows) - most:,} more", "dim"))
        return Text("\n").join(shown)


def _named(task: Task, *, is_alone: bool) -> Task:
    if is_alone:
        return task
    # The name of a process's folder: host, process, start.
    pid = task.process.rsplit("-", 2)[1] if task.process.count("-") >= 2 else task.process
    return replace(task, description=f"{pid} {task.description}")


def _line(row: Row, width: int) -> Text:
    line = styled(*row)
    line.truncate(max(width - 1, 1), overflow="ellipsis")
    return line
