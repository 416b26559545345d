"""Measured steps: what the whole process took while a step was open, as attributes of that step."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Final, Self

from .. import names
from ..steps import Step, step
from .around import Around
from .process import ProcessTotals, resident_bytes, totals


# How often memory is looked at while such a step is open: a peak that is shorter may be missed.
_LOOK_SECONDS: Final = 0.02


class MeasuredStep(Around):
    """A step with the CPU time, the peak of memory and the I/O of the process meanwhile.

    The operating system counts them for the process: what other threads and tasks took is in them.
    """

    def __init__(self, name: str, /, **attributes: object) -> None:
        """Measure a step called *name*, which has *attributes*."""
        self._name = name
        self._attributes = attributes
        self._before: ProcessTotals | None = None
        self._peak = _Peak()
        self.step: Step = step(name)
        """The step itself."""

    def again(self) -> Self:
        """Return one of the same kind, for another call."""
        return type(self)(self._name, **self._attributes)

    def begin(self) -> None:
        """Begin the step."""
        self.step.__enter__()
        self.step.set(**self._attributes)
        self._peak.begin()
        self._before = totals()

    def end(self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None) -> None:
        """Say what was taken, and end the step."""
        before, after = self._before, totals()
        peak = self._peak.end()
        if before is not None:
            self.step.set(**_taken(before, after, peak))
        self.step.__exit__(kind, error, stack)


def measured_step(name: str, /, **attributes: object) -> MeasuredStep:
    """Return a step for a ``with`` or ``async with`` block, or to decorate a function with, that says what it took.

    It has the attributes ``process.cpu.time`` in seconds, ``process.memory.peak``, ``process.disk.io.read`` and
    ``process.disk.io.write`` in bytes, and ``measured.scope``, which is ``process``: whatever else ran meanwhile is in
    them. What nobody tells here is left out. Other steps pay nothing for it.
    """
    return MeasuredStep(name, **attributes)


def _taken(before: ProcessTotals, after: ProcessTotals, peak: int | None) -> dict[str, object]:
    found: dict[str, object] = {
        names.MEASURED_SCOPE: names.MEASURED_PROCESS,
        names.STEP_CPU_TIME: round(max(after.cpu_seconds - before.cpu_seconds, 0.0), 6),
    }
    # One that never was as high is this step's, to the byte; else what was seen of it.
    highest = after.peak_bytes if after.peak_bytes > before.peak_bytes else peak
    if highest is not None:
        found[names.STEP_PEAK_MEMORY] = highest
    for name, then, now in (
        (names.STEP_DISK_READ, before.read_bytes, after.read_bytes),
        (names.STEP_DISK_WRITE, before.written_bytes, after.written_bytes),
    ):
        if then is not None and now is not None:
            found[name] = max(now - then, 0)
    return found


class _Peak:
    """The most memory that was seen between two moments, by a thread that looks."""

    def __init__(self) -> None:
        self._highest = 0
        self._is_over = threading.Event()

    def begin(self) -> None:
        self._see()
        thread = threading.Thread(target=self._run, name="branchline-peak", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads: what is seen at the beginning and the end has to do
            return

    def end(self) -> int | None:
        self._is_over.set()
        self._see()
        return self._highest or None

    def _see(self) -> None:
        seen = resident_bytes()
        if seen is not None:
            self._highest = max(self._highest, seen)

    def _run(self) -> None:
        while not self._is_over.wait(_LOOK_SECONDS):
            self._see()
