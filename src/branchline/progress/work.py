"""Work: one piece of it while it goes on, what it counts, and where it is recorded."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TextIO

from opentelemetry import context as otel_context

from .. import foreign, names
from ..context import attached
from ..current import CURRENT, current_run
from ..progress_values import Progress, progress_attributes
from ..recording import Recorder, Recording
from ..tracebacks import said
from ..values import freeze_name
from .pace import Pace


if TYPE_CHECKING:
    from asyncio import Task

NEVER: Final = -1
# Nobody forecasts what a piece of work will cost from more looks than these.
_FORECASTS: Final = 100

_serials = itertools.count(1)
_current: ContextVar[Work | None] = ContextVar("branchline-work", default=None)


class Shown(NamedTuple):
    """How a piece of work wants to be shown, where no run shows it."""

    stream: str = "stderr"
    """``stdout`` or ``stderr``: whatever has that name in `sys` when it begins."""
    is_rich: bool = True
    """Whether bars may be drawn."""
    is_quiet: bool = False
    other: TextIO | None = None
    """A stream in place of that."""


STDERR: Final = Shown()


class Display(Protocol):
    """What shows work where no run does."""

    is_prompt: bool
    """Whether it wants to be told at once, and not only from time to time."""

    @property
    def stream(self) -> object:
        """Where it shows it."""

    def show(self, working: Sequence[Progress]) -> None:
        """Show how far everything is."""

    def end(self, ended: Progress, working: Sequence[Progress]) -> None:
        """Show that one piece of work has *ended*, and what goes on."""

    def hide(self) -> None:
        """Show nothing: a run does."""


class Work:
    """One piece of work: whoever does it counts in `done`, and nobody else; everybody may look at any moment."""

    __slots__ = (
        "began",
        "context",
        "description",
        "done",
        "ended",
        "is_inner",
        "is_open",
        "mark",
        "message",
        "outcome",
        "pace",
        "parent",
        "run",
        "shown",
        "span_id",
        "stall",
        "stall_after",
        "stall_done",
        "stalls",
        "start_unix_nano",
        "step",
        "task",
        "task_id",
        "thread_id",
        "told_at",
        "told_done",
        "total",
    )

    def __init__(
        self,
        description: object,
        total: float | None,
        *,
        shown: Shown = STDERR,
        stall_after: float | None = None,
        parent: Work | None = None,
    ) -> None:
        self.description = freeze_name(description)
        self.total = total
        self.shown = shown
        self.stall_after = stall_after
        self.parent = parent
        self.done: float = 0
        self.mark = NEVER
        self.outcome: str | None = None
        self.message = ""
        self.stalls = 0
        # While it stalls: how long an item usually took, and how many were done.
        self.stall: float | None = None
        self.stall_done: float = 0
        self.ended: float | None = None
        self.is_open = False
        # Of asyncio, for work that goes on in one.
        self.task: Task[Any] | None = None

    def __repr__(self) -> str:
        return f"<work {self.description!r} {self.done}/{self.total} {self.outcome or 'going on'}>"

    def begin(self) -> None:
        """Begin, here and now: what is current is what it belongs to."""
        self.task_id = f"{os.getpid():x}-{time.time_ns():x}-{next(_serials):x}"
        self.start_unix_nano = time.time_ns()
        self.began = self.told_at = time.monotonic()
        self.told_done: float = 0
        self.pace = Pace(self.began)
        self.thread_id = threading.get_ident()
        self.context = otel_context.get_current()
        self.run = current_run()[0]
        self.is_inner = False
        if self.parent is None:
            self.parent = current_work()
            self.is_inner = self.parent is not None
        self.step, self.span_id = _place()
        self.is_open = True
        self._forecast()

    def enter(self) -> None:
        """Be what is worked on here, until ``leave``."""
        _current.set(self)

    def leave(self) -> None:
        """Be no longer what is worked on here, if it still is."""
        if _current.get() is self:
            _current.set(self.parent)

    def close(self, outcome: str, error: BaseException | None = None, message: object = "") -> bool:
        """Be over; return whether it was not before."""
        if not self.is_open:
            return False
        self.is_open = False
        self.outcome = outcome
        self.message = said(error) if error is not None else str(message)
        self.ended = time.monotonic()
        self._forecast()
        return True

    def rename(self, description: object) -> None:
        """Be called something else from now on."""
        self.description = freeze_name(description)

    # ── how far it is ─────────────────────────────────────────────────────────────────────────────

    def progress(self, now: float) -> Progress:
        """Return how far it is *now*, by the monotonic clock."""
        end = now if self.ended is None else self.ended
        done = self.done
        self.pace.look(end, done, is_stall=self.stall is not None)
        is_going = self.ended is None
        elapsed = end - self.began
        return Progress(
            task_id=self.task_id,
            description=self.description,
            done=done,
            total=self.total,
            # Of all of it, once it is over: how it was of late says nothing any more.
            rate=self.pace.rate if is_going else done / elapsed if done and elapsed > 0 else None,
            eta_seconds=self.pace.eta_seconds(end, self.total) if is_going else None,
            outcome=self.outcome,
            start_unix_nano=self.start_unix_nano,
            time_unix_nano=self.start_unix_nano + int(elapsed * 1e9),
            elapsed_seconds=elapsed,
            parent_id=None if self.parent is None else self.parent.task_id,
            is_inner=self.is_inner,
            span_id=self.span_id,
            stalls=self.stalls,
            stalled_seconds=self.pace.waited(end) if is_going and self.stall is not None else None,
            message=self.message,
        )

    @property
    def elapsed_seconds(self) -> float:
        """How long it took, or has taken so far."""
        return (time.monotonic() if self.ended is None else self.ended) - self.began

    @property
    def eta_seconds(self) -> float | None:
        """How long it still takes, as it looks now; None while nobody can say."""
        return self.progress(time.monotonic()).eta_seconds

    # ── who wants to know ─────────────────────────────────────────────────────────────────────────

    def record(self, progress: Progress) -> None:
        """Record *progress* where it belongs: nowhere, once that run is over."""
        if progress.outcome is None and not self.is_open:
            # It has ended since, and that was told.
            return
        self.told_at, self.told_done = time.monotonic(), progress.done
        self.event(names.PROGRESS_EVENT, progress_attributes(progress))

    def event(self, name: str, attributes: dict[str, object], *, severity: str = "INFO", body: object = None) -> None:
        """Record a log event of the step that it belongs to."""
        recorder = _recorder()
        if recorder is not None:
            with attached(self.context):
                if current_run()[0] == self.run:
                    recorder.event(name, attributes, severity=severity, body=body)

    def passed(self) -> None:
        """Let whoever forecasts know how far it is; called when `done` has reached `mark`."""
        self._forecast()

    def _forecast(self) -> None:
        """Tell the budget, and decide at which count it is told again."""
        purse, total = CURRENT.purse, self.total
        self.mark = NEVER
        if purse is None or not total or total < 1:
            return
        # What is left early costs no more: at its end there is nothing to come.
        purse.progressed(self.description, int(self.done) if self.is_open else int(total), int(total))
        if self.is_open and self.done < total:
            self.mark = int(self.done) + max(int(total) // _FORECASTS, 1)


def current_work() -> Work | None:
    """Return the innermost piece of work that goes on here."""
    work = _current.get()
    while work is not None and not work.is_open:
        work = work.parent
    return work


def _recorder() -> Recorder | None:
    return CURRENT.recorder or foreign.recorder()


def _place() -> tuple[Recording | None, int | None]:
    """Return what is current here, and the id of its span."""
    recorder = _recorder()
    try:
        recording = None if recorder is None else recorder.current()
        return recording, None if recording is None else recording.span.get_span_context().span_id
    except Exception:  # a provider of others
        return None, None
