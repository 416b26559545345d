"""Work that said how far it is, read back: each piece as it was last heard of."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from operator import attrgetter

from .. import names
from .._journal.anyvalue import Value
from .._journal.decode import DecodedLog
from ..progress_values import progress_of
from .values import Step, Task


Key = tuple[str, str]


class Latest:
    """Of each piece of work, the log record that says the most, with the process that wrote it."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[DecodedLog, str]] = {}

    def add(self, log: DecodedLog, process: str) -> None:
        """Take one more *log* record of a *process*."""
        task_id = str(log.attributes.get(names.PROGRESS_ID) or "")
        known = self._found.get(task_id)
        if known is None or _says(log) >= _says(known[0]):
            self._found[task_id] = (log, process)

    def tasks(self, steps: Mapping[Key, Step], *, alive: Container[str]) -> tuple[Task, ...]:
        """Return them all; what goes on in a process that is not *alive* was interrupted."""
        made = [task_of(log, steps, process, is_alive=process in alive) for log, process in self._found.values()]
        return tuple(sorted(made, key=attrgetter("start_unix_nano")))


def task_of(log: DecodedLog, steps: Mapping[Key, Step], process: str, *, is_alive: bool) -> Task:
    """Return the work that a *log* record tells of, which belongs to one of the *steps*."""
    progress = progress_of(log.attributes, time_unix_nano=log.time_unix_nano)
    step = steps.get((log.trace_id or "", log.span_id or ""))
    return Task(
        description=progress.description,
        done=progress.done,
        total=progress.total,
        outcome=progress.outcome or (None if is_alive else names.INTERRUPTED),
        message=progress.message,
        stalls=progress.stalls,
        step_name=step.name if step is not None and step.kind not in {"branch", "experiment"} else None,
        branch_name=_text(log.attributes.get(names.BRANCH_NAME)),
        branch_id=_text(log.attributes.get(names.BRANCH_ID)),
        experiment_name=_text(log.attributes.get(names.EXPERIMENT_NAME)),
        id=progress.task_id,
        parent_id=progress.parent_id,
        rate=progress.rate,
        eta_seconds=progress.eta_seconds,
        stalled_seconds=progress.stalled_seconds,
        start_unix_nano=progress.start_unix_nano,
        time_unix_nano=log.time_unix_nano,
        trace_id=log.trace_id,
        span_id=log.span_id,
        process=process,
    )


def tops_of(tasks: Iterable[Task]) -> list[Task]:
    """Return those of *tasks* that are part of no other among them."""
    found = list(tasks)
    known = {task.id for task in found}
    return [task for task in found if task.parent_id not in known]


def _says(log: DecodedLog) -> tuple[bool, int]:
    return (names.OUTCOME in log.attributes, log.time_unix_nano)


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) else None
