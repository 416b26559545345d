"""How a process may end or split: exit, SIGTERM, fork. What is hooked here is unhooked again."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from . import ids
from .finalisers import protect, unprotect


# The first process of a container: by default, no signal ends it.
_INIT: Final = 1

_forkable: weakref.WeakSet[Any] = weakref.WeakSet()
_endings: weakref.WeakSet[Endings] = weakref.WeakSet()
_is_hooked: list[bool] = []


def watch_forks(pipeline: Any) -> None:
    """Tell *pipeline* when it finds itself in a forked child."""
    if not _is_hooked:
        # Python has no way to take such a hook back; with nothing to tell, it does nothing.
        os.register_at_fork(before=_hold_sigterm, after_in_parent=_let_sigterm_through, after_in_child=_in_child)
        _is_hooked.append(True)
    _forkable.add(pipeline)
    protect()


def unwatch_forks(pipeline: Any) -> None:
    """Tell *pipeline* no more: it is closed."""
    _forkable.discard(pipeline)
    if not _forkable:
        unprotect()


# The threads that are forking just now, and had let SIGTERM through before.
_forking: set[int] = set()


def _hold_sigterm() -> None:
    """Before a fork, keep SIGTERM waiting until the child has the default handler back.

    A handler in Python is no good to a forked child: a signal that comes in early is forgotten, and whoever terminates
    the child, as a pool does with its workers, waits for it for ever. What the child has recorded is in its ring.
    """
    if _forkable and signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}):
        _forking.add(threading.get_ident())


def _let_sigterm_through() -> None:
    if threading.get_ident() in _forking:
        _forking.discard(threading.get_ident())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _in_child() -> None:
    ids.reseed()
    for pipeline in list(_forkable):
        pipeline.after_fork()
    for endings in list(_endings):
        endings.leave_sigterm()
    _let_sigterm_through()
    _forking.clear()


class Endings:
    """Calls *end* with a reason when the process ends, and leaves everything else as it was."""

    def __init__(self, end: Callable[[str], None], *, signals: bool) -> None:
        """Watch the exit of the interpreter, and SIGTERM where nobody else does and it would end the process."""
        self._end = end
        self._handles_sigterm = False
        atexit.register(self._at_exit)
        if signals and threading.current_thread() is threading.main_thread():
            self._handle_sigterm()

    def _handle_sigterm(self) -> None:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and os.getpid() != _INIT:
            signal.signal(signal.SIGTERM, self._on_sigterm)
            self._handles_sigterm = True
            _endings.add(self)

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        # First give the default back: a second SIGTERM ends us at once, and so do we ourselves in a moment.
        signal.signal(number, signal.SIG_DFL)
        with contextlib.suppress(Exception):
            self._end("SIGTERM")
        os.kill(os.getpid(), number)

    def _at_exit(self) -> None:
        self._end("exit")

    def unhook(self) -> None:
        """Give back what was there before."""
        atexit.unregister(self._at_exit)
        self.leave_sigterm()

    def leave_sigterm(self) -> None:
        """Give SIGTERM its default handler back, where ours is still in force."""
        if (
            self._handles_sigterm
            and threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGTERM) == self._on_sigterm
        ):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._handles_sigterm = False
