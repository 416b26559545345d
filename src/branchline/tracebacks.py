"""An exception as text: its type, its message, its traceback without our own frames."""

from __future__ import annotations

import os
import traceback
from types import TracebackType
from typing import Final


def qualified_name(kind: type) -> str:
    """Return ``module.Class``, or just the name of a built-in."""
    module = kind.__module__
    return kind.__qualname__ if module in ("builtins", None) else f"{module}.{kind.__qualname__}"


def said(error: BaseException) -> str:
    """Return an exception's message, whatever its ``__str__`` does."""
    try:
        return str(error)
    except Exception:  # user code
        return f"<unprintable {type(error).__name__}>"


_HERE: Final = os.path.dirname(__file__)  # noqa: PTH120  # pathlib is not loaded for those who only decorate
# What enters and leaves steps and branches, and calls what a user wrote. Whole paths: users may have modules of these
# names, too.
_OURS: Final = (
    *(f"{_HERE}{os.sep}{module}.py" for module in ("steps", "wrappers", "generators", "callables", "context")),
    *(f"{_HERE}{os.sep}{room}{os.sep}" for room in ("branches", "monitor")),
)

# Of one exception, the innermost. Where a function calls itself for ever, each of a thousand steps records its own.
_MOST_FRAMES: Final = 128


def stack_of(error: BaseException, stack: TracebackType | None, *, is_whole: bool = False) -> str:
    """Return the traceback as text; unless *is_whole*, without the frames of ours that the exception came through.

    Of a very deep one, the end.
    """
    try:
        innermost, above = _end_of(stack)
        described = traceback.TracebackException(type(error), error, innermost, limit=-_MOST_FRAMES)
        if not is_whole:
            _leave_out_ours(described)
        title = f"[the outermost {above:,} frames are left out]\n" if above else ""
        return title + "".join(described.format())
    except Exception:  # user code: a __str__ in the chain, or a source that cannot be read
        return f"{qualified_name(type(error))}: {said(error)}\n"


def _end_of(stack: TracebackType | None) -> tuple[TracebackType | None, int]:
    """Return what there is to be said of *stack*, and how many frames are above."""
    # Not left to ``limit``: that looks up where in its line each frame is, also of those that it leaves out.
    end, above = stack, -_MOST_FRAMES
    while stack is not None:
        above += 1
        stack = stack.tb_next
        if above > 0 and end is not None:
            end = end.tb_next
    return end, max(above, 0)


def _leave_out_ours(described: traceback.TracebackException) -> None:
    pending = [described]
    while pending:
        found = pending.pop()
        theirs = [frame for frame in found.stack if not frame.filename.startswith(_OURS)]
        if len(theirs) < len(found.stack):
            found.stack = traceback.StackSummary.from_list(theirs)
        pending += [linked for linked in (found.__cause__, found.__context__, *(found.exceptions or ())) if linked]
