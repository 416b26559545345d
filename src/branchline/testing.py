"""For tests: what a block of code recorded, as the values that a reader of the run would see."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import names, telemetry
from .read import Branch, Experiment, LogLine, Point, Run, Step, Usage, open_runs
from .read.tree import tree


class Captured:
    """What was recorded inside a ``capture`` block; complete when the block ends, up to date at each look before."""

    def __init__(self, capturing: telemetry.Capturing) -> None:
        """Made by ``capture``."""
        self._capturing = capturing
        self._run: Run | None = None

    @property
    def run(self) -> Run:
        """The run, with all of its processes."""
        if self._run is not None:
            return self._run
        self._capturing.flush()
        return open_runs(self._capturing.directory, recover=False)[self._capturing.run_id]

    def _keep(self) -> None:
        run = open_runs(self._capturing.directory, recover=True)[self._capturing.run_id]
        # Runs read their files when they are first asked: these are about to go.
        assert run.steps is not None
        self._run = run

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps, in order of their start."""
        return tuple(step for step in self.run.steps if step.kind == "step")

    @property
    def spans(self) -> tuple[Step, ...]:
        """The plain OpenTelemetry spans, in order of their start."""
        return tuple(step for step in self.run.steps if step.kind == "span")

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The branches, in order of their start."""
        return tuple(self.run.branches)

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """The experiments, in order of their start."""
        return tuple(self.run.experiments)

    @property
    def logs(self) -> tuple[LogLine, ...]:
        """The log records and events that are not branchline's own housekeeping."""
        return tuple(line for line in self.run.logs if line.event_name not in names.HOUSEKEEPING)

    @property
    def points(self) -> tuple[Point, ...]:
        """The metric points."""
        return tuple(self.run.points)

    @property
    def usages(self) -> tuple[Usage, ...]:
        """The calls of models."""
        return tuple(self.run.usages)

    def one(self, name: str) -> Step:
        """Return the one step, branch, experiment or span of that *name*.

        Raises:
            LookupError: when there is none or more than one, naming what there is.
        """
        everything = [*self.run.experiments, *self.run.branches, *self.run.steps]
        found = [item for item in everything if item.name == name]
        if len(found) != 1:
            there = ", ".join(sorted({item.name for item in everything})) or "nothing"
            msg = f"{len(found)} recorded with the name {name!r}; there is: {there}"
            raise LookupError(msg)
        return found[0]

    def tree(self) -> str:
        """Return everything as a text, without times: made to be compared whole."""
        return tree(self.run)


@contextmanager
def capture() -> Iterator[Captured]:
    """Capture what is recorded inside the block; nothing of it outlives the block, nor does anything it set up.

    Captures nest, and may run side by side in threads: each has what was recorded in its own context.
    """
    with tempfile.TemporaryDirectory(prefix="branchline-") as folder, telemetry.capturing(Path(folder)) as capturing:
        captured = Captured(capturing)
        try:
            yield captured
            capturing.wait()
        finally:
            capturing.close()
            captured._keep()  # noqa: SLF001 - the same module
