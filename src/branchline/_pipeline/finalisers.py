"""Steps in finalisers: before Python 3.12 the garbage collector may run them in the middle of anything."""

from __future__ import annotations

import contextvars
import functools
import gc
import sys
from collections import deque
from typing import Any, Final

from . import active


# ``ContextVar.set`` reads the old variables while it allocates, and an allocation may start a collection there. A
# finaliser that sets the same variable then frees what the outer call still reads: the interpreter crashes.
IS_NEEDED: Final = sys.version_info < (3, 12)
_KEPT: Final = 256


class _Collector:
    """The collector's state: ``stop`` is something unless it runs.

    The collector calls its hook with "start" and with "stop". This hook is ``setattr``: a function of Python's own
    could be interrupted by a signal handler that raises, and the collector would swallow a KeyboardInterrupt.
    """

    stop: object = None


# Setting "start" replaces all that the instance has, "stop" with it.
_Collector.start = _Collector.__dict__["__dict__"]  # type: ignore[attr-defined]  # a descriptor under another name

COLLECTOR: Final = _Collector()
COLLECTOR.stop = True

_note: Final = functools.partial(setattr, COLLECTOR)
_variables: Final[deque[contextvars.Context]] = deque(maxlen=_KEPT)


def set_current(context: Any) -> Any:
    """Make *context* current; inside the collector keep the variables of before, which somebody may be reading."""
    if not COLLECTOR.stop:
        _variables.append(contextvars.copy_context())
    return active.set_current(context)


def protect() -> None:
    """Keep steps in finalisers from crashing the interpreter, where it can be crashed so."""
    if IS_NEEDED and _note not in gc.callbacks:
        gc.callbacks.append(_note)


def unprotect() -> None:
    """Take the collector's hook away again."""
    if _note in gc.callbacks:
        gc.callbacks.remove(_note)
