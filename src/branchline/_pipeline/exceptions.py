"""An exception as text: its type, its message, its traceback without our own frames."""

from __future__ import annotations

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


_OUR_FILES: Final = (
    "/branchline/steps.py",
    "/branchline/branches.py",
    "/branchline/generators.py",
    "/branchline/context.py",
)


def stack_of(error: BaseException, stack: TracebackType | None, skip: int = 8) -> str:
    """Return the traceback as text, without the frames of ours that the exception came through first."""
    while stack is not None and skip and stack.tb_next and stack.tb_frame.f_code.co_filename.endswith(_OUR_FILES):
        stack = stack.tb_next
        skip -= 1
    try:
        return "".join(traceback.format_exception(type(error), error, stack))
    except Exception:  # user code: a __str__ in the chain, or a source that cannot be read
        return f"{qualified_name(type(error))}: {said(error)}\n"
