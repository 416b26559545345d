"""Stalls: work of which no item has ended for far longer than usual, and what every thread was doing meanwhile."""

from __future__ import annotations

import gc
import sys
import threading
import traceback
from types import AsyncGeneratorType, FrameType
from typing import TYPE_CHECKING, Any, Final

from .. import names
from ..progress_values import counted
from .work import Work


if TYPE_CHECKING:
    from asyncio import Task

# The clock of whoever looks, several times: what takes no longer is nobody's business.
_SHORTEST_SECONDS: Final = 0.5
_A_LOOK_SECONDS: Final = 0.2
_MOST_FRAMES: Final = 40
_MOST_THREADS: Final = 64
_OURS: Final = "branchline-"


def has_begun(work: Work, now: float) -> bool:
    """Return whether *work* has stalled since the last look; once for each stall."""
    assert work.stall_after is not None
    done = work.done
    work.pace.look(now, done, is_stall=work.stall is not None)
    if work.stall is not None and work.stall_done != done:
        work.stall = None
    usual = work.pace.usual_seconds()
    if usual is None or work.stall is not None:
        return False
    if work.pace.waited(now) < max(work.stall_after * usual, _SHORTEST_SECONDS):
        return False
    rate = work.pace.rate
    # Of items that take less than a look, the looks say nothing.
    work.stall = 1 / rate if usual < _A_LOOK_SECONDS and rate else usual
    work.stall_done = done
    work.stalls += 1
    return True


def tell(work: Work, now: float) -> None:
    """Stamp the step of *work*, which has stalled, and record what all threads are doing."""
    waited, usual = work.pace.waited(now), work.stall or 0.0
    stamp: dict[str, object] = {
        "work": work.description,
        "done": work.done,
        "seconds": round(waited, 3),
        "usual_seconds": round(usual, 6),
    }
    if work.step is not None and work.step.is_open:
        work.step.mark(names.STALL_EVENT, stamp)
    far = counted(work.done, work.total)
    text = f"{work.description}: no item has ended for {waited:.1f} s, usually {_seconds(usual)} ({far} done)"
    described: dict[str, object] = {
        names.PROGRESS_ID: work.task_id,
        names.PROGRESS_DESCRIPTION: work.description,
        names.PROGRESS_DONE: work.done,
        names.STALL_SECONDS: waited,
        names.STALL_USUAL_SECONDS: usual,
        names.CODE_STACKTRACE: stacks_of_task(work.task) + stacks_of_all(work.thread_id),
    }
    work.event(names.STALL_EVENT, described, severity="WARN", body=text)
    work.record(work.progress(now))


def stacks_of_all(first: int) -> str:
    """Return what every thread is doing, the thread *first* before the others; our own threads are left out."""
    known = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames()  # noqa: SLF001  # documented, "for debuggers"
    ours = {ident for ident, name in known.items() if name.startswith(_OURS)}
    order = sorted((ident for ident in frames if ident not in ours), key=lambda ident: (ident != first, ident))
    parts = [_stack_of(known.get(ident, "unknown"), ident, frames[ident]) for ident in order[:_MOST_THREADS]]
    if len(order) > _MOST_THREADS:
        parts.append(f"and {len(order) - _MOST_THREADS:,} more threads")
    return "\n".join(parts)


def stacks_of_task(task: Task[Any] | None) -> str:
    """Return where an asyncio *task* waits: its thread only says that the event loop does. Empty for None."""
    if task is None:
        return ""
    lines: list[str] = []
    waiting: Any = task.get_coro()
    while waiting is not None and len(lines) < _MOST_FRAMES:
        frame: Any = _first(waiting, ("cr_frame", "ag_frame", "gi_frame"))
        if frame is not None:
            lines += traceback.format_list(traceback.StackSummary.extract([(frame, frame.f_lineno)]))
        waiting = _first(waiting, ("cr_await", "ag_await", "gi_yieldfrom")) or _generator_behind(waiting)
    return f"Task {task.get_name()}, most recent call last:\n{''.join(lines)}\n"


def _first(waiting: object, names_of: tuple[str, ...]) -> object:
    return next((found for name in names_of if (found := getattr(waiting, name, None)) is not None), None)


def _generator_behind(waiting: object) -> object:
    """Return the async generator that somebody *waiting* has asked for its next item."""
    if type(waiting).__name__ not in {"async_generator_asend", "async_generator_athrow"}:
        return None
    return next((found for found in gc.get_referents(waiting) if isinstance(found, AsyncGeneratorType)), None)


def _stack_of(name: str, ident: int, frame: FrameType) -> str:
    lines = traceback.format_list(traceback.extract_stack(frame)[-_MOST_FRAMES:])
    return f"Thread {name} ({ident:#x}), most recent call last:\n{''.join(lines)}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
