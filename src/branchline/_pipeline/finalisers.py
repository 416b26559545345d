"""Steps in finalisers: before Python 3.12 the garbage collector may run them in the middle of anything."""

from __future__ import annotations

import contextvars
import functools
import gc
import sys
from collections import deque
from typing import Any, ClassVar, Final

from .active import set_current


# ``ContextVar.set`` reads the old variables while it allocates, and an allocation may start a collection there. A
# finaliser that sets the same variable then frees what the outer call still reads: the interpreter crashes.
IS_NEEDED: Final = sys.version_info < (3, 12)
_SETTERS: Final = ("recorder", "spans", "current")
_KEPT: Final = 256


class _Collection:
    """The collector's state: ``start`` is something while it runs.

    The collector calls its hook with "start" and with "stop". This hook is ``setattr``: a function of Python's own
    could be interrupted by a signal handler that raises, and the collector would swallow a KeyboardInterrupt.
    """

    start: ClassVar[object] = None


# Setting "stop" replaces all that the instance has, "start" with it.
_Collection.stop = _Collection.__dict__["__dict__"]  # type: ignore[attr-defined]  # a descriptor under another name

_collection: Final = _Collection()
_note: Final = functools.partial(setattr, _collection)
_variables: Final[deque[contextvars.Context]] = deque(maxlen=_KEPT)
_set_current: Final = set_current


def _set_carefully(context: Any) -> Any:
    """Make *context* current; inside the collector keep the variables of before, which somebody may be reading."""
    if _collection.start is not None:
        _variables.append(contextvars.copy_context())
    return _set_current(context)


def protect() -> None:
    """Keep steps in finalisers from crashing the interpreter, where it can be crashed so."""
    if IS_NEEDED and _note not in gc.callbacks:
        gc.callbacks.append(_note)
        _use(_set_carefully)


def unprotect() -> None:
    """Take the collector's hook away again."""
    if _note in gc.callbacks:
        gc.callbacks.remove(_note)
        _use(_set_current)


def _use(setter: Any) -> None:
    package = __name__.rpartition(".")[0]
    for name in _SETTERS:
        module = sys.modules.get(f"{package}.{name}")
        if module is not None and hasattr(module, "set_current"):
            # Swapped there, so that nobody pays for it on a Python that does not need it.
            vars(module)["set_current"] = setter
