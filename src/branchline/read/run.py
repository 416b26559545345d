"""A run, as a reader gets it: a frozen value whose contents are parsed when somebody asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from .._journal.decode import Skipped
from .._journal.described import metadata_of
from ..redaction import Redactor, redactor_from
from ..usage_values import Usage
from .totals import NOTHING, Spending
from .values import (
    Branch,
    Experiment,
    LogLine,
    Point,
    ProcessInfo,
    Stamp,
    Step,
    Task,
    walk,
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Contents:
    """What the files of a run hold, once they are parsed."""

    roots: tuple[Step, ...] = ()
    experiments: tuple[Experiment, ...] = ()
    branches: tuple[Branch, ...] = ()
    steps: tuple[Step, ...] = ()
    stamps: tuple[Stamp, ...] = ()
    logs: tuple[LogLine, ...] = ()
    points: tuple[Point, ...] = ()
    tasks: tuple[Task, ...] = ()
    usages: tuple[Usage, ...] = ()
    usage: Spending = NOTHING
    skipped: tuple[Skipped, ...] = ()


class Source(Protocol):
    """Where the contents of a run come from."""

    def processes(self) -> tuple[ProcessInfo, ...]:
        """Return the processes that took part, in order of start."""

    def contents(self, processes: tuple[ProcessInfo, ...]) -> Contents:
        """Return what was recorded; which of the *processes* still run decides what an open step is."""

    def document(self, run: Run, redactor: Redactor | None) -> dict[str, Any]:
        """Return *run* as plain JSON values, without what *redactor* takes out."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Run:
    """One run: a `configure()` and everything under it. Its files are parsed when something of them is asked for."""

    id: str
    directory: Path
    created_unix_nano: int = 0
    service_name: str = ""
    source: Source = field(compare=False, repr=False)

    @cached_property
    def processes(self) -> tuple[ProcessInfo, ...]:
        """The processes that took part, in order of start."""
        return self.source.processes()

    @cached_property
    def metadata(self) -> Mapping[str, object]:
        """What it ran in, was told and has read, in schema 1.0; empty where nobody has written that down."""
        return metadata_of(self.directory)

    @cached_property
    def contents(self) -> Contents:
        """Everything recorded, as it was when first asked for."""
        return self.source.contents(self.processes)

    @property
    def state(self) -> str:
        """``running`` while any process runs; else how the first process went: ``ended`` or ``killed``."""
        states = [process.state for process in self.processes]
        if "running" in states:
            return "running"
        # Pools kill their workers as a matter of course: the process that began the run speaks for it.
        return states[0] if states else "ended"

    @property
    def roots(self) -> tuple[Step, ...]:
        """The top-level steps, branches and experiments of all processes, in order of start."""
        return self.contents.roots

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """All experiments, in order of start."""
        return self.contents.experiments

    @property
    def branches(self) -> tuple[Branch, ...]:
        """All branches, in order of start."""
        return self.contents.branches

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps and foreign spans, at any depth, in order of start."""
        return self.contents.steps

    @property
    def stamps(self) -> tuple[Stamp, ...]:
        """The stamps that were put outside of any step, in order of time."""
        return self.contents.stamps

    @property
    def logs(self) -> tuple[LogLine, ...]:
        """All log records and events, in order of time; the journal's own bookkeeping is left out."""
        return self.contents.logs

    @property
    def points(self) -> tuple[Point, ...]:
        """All values of recorded metrics, in order of time."""
        return self.contents.points

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All work that said how far it is, in order of start."""
        return self.contents.tasks

    @property
    def usages(self) -> tuple[Usage, ...]:
        """All calls of models, in order of time."""
        return self.contents.usages

    @property
    def usage(self) -> Spending:
        """What all calls of models took, in all processes."""
        return self.contents.usage

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What in the files could not be read."""
        return self.contents.skipped

    @property
    def dropped(self) -> Mapping[str, int]:
        """How much was recorded but never reached the journal, by reason; empty when nothing was lost."""
        totals: dict[str, int] = {}
        for process in self.processes:
            for signal in process.counters.values():
                dropped = signal.get("dropped") if isinstance(signal, dict) else None
                for reason, count in dropped.items() if isinstance(dropped, dict) else ():
                    if isinstance(count, int) and count:
                        totals[reason] = totals.get(reason, 0) + count
        return totals

    @property
    def ended_unix_nano(self) -> int | None:
        """When the last of it happened; None while it runs."""
        if self.state == "running":
            return None
        ends = [process.ended_unix_nano or 0 for process in self.processes]
        if not self.processes or not all(ends):
            # Who was killed could not write down when: the last thing that it recorded says.
            for step in walk(self.roots):
                ends += [step.end_unix_nano or step.start_unix_nano, *(stamp.time_unix_nano for stamp in step.stamps)]
            ends += [line.observed_unix_nano or line.time_unix_nano for line in self.logs]
        return max(ends, default=0) or None

    def to_dict(self, *, redact: bool | Redactor = True) -> dict[str, Any]:
        """Return all of it as plain JSON values: what a program saves or sends.

        Spans are in one list, in order of the tree, each with its parent's id. Secrets that are in the files all the
        same, because somebody else has written them, are taken out unless *redact* is False.
        """
        return self.source.document(self, redactor_from(redact))

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.state}>"
