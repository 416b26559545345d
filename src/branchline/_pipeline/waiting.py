"""What threads wait for, and how long: a place in the queue, room in it, a turn at writing; how old what waits is."""

from __future__ import annotations

import _thread
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, perf_counter_ns, sleep, time_ns
from typing import Any, Final

from .._journal.fields import ENDED
from .._journal.log_records import LOG_RECORD, TIME_AT, LogRecord


_TURN_SECONDS: Final = 2.0
# Threads that want to run have their turn within this, unless the machine is busy elsewhere.
_LONGEST_NAP: Final = 0.005


class Wait:
    """What is left of the time that a recording call waits for the writer.

    What it has spent asleep counts no more than a little of the time each time: where the whole process was not run, by
    a busy machine or a container that had used up its share, the writer could not get on either.
    """

    __slots__ = ("_left", "_looked")

    def __init__(self, seconds: float) -> None:
        """Wait for *seconds*, in all."""
        self._left = seconds
        self._looked = monotonic()

    def nap(self, seconds: float) -> bool:
        """Sleep for *seconds*; return whether there is time left."""
        if self._left <= 0:
            return False
        sleep(seconds)
        now = monotonic()
        self._left -= min(now - self._looked, max(seconds, _LONGEST_NAP))
        self._looked = now
        return True


class Marker:
    """A place in the queue: reached when everything before it is in the journal."""

    __slots__ = ("_reached",)

    def __init__(self) -> None:
        self._reached = _thread.allocate_lock()
        self._reached.acquire()

    def reach(self) -> None:
        """Let whoever waits go on."""
        self._reached.release()

    def wait(self, timeout: float) -> bool:
        """Return whether the marker was reached within *timeout* seconds."""
        return self._reached.acquire(timeout=max(timeout, 0))


class Turn:
    """Who may write, once the writer thread has ended: one at a time."""

    def __init__(self, failed: Callable[[str, Exception], None]) -> None:
        """Begin with nobody; what goes wrong in a turn, *failed* is told."""
        self._failed = failed
        self._lock = _thread.allocate_lock()
        self._owner = 0

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """Be the only one; tell whether we are.

        We are not where this very thread was interrupted at it, by a signal handler or a finaliser.
        """
        me = _thread.get_ident()
        # A thread that is stopped for good by the interpreter's end keeps the lock, and nobody else runs any more.
        is_alone = sys.is_finalizing()
        if self._owner == me or not (is_alone or self._lock.acquire(timeout=_TURN_SECONDS)):
            yield False
            return
        self._owner = me
        try:
            yield True
        except Exception as error:  # recording never raises
            self._failed("exit", error)
        finally:
            self._owner = 0
            if not is_alone:
                self._lock.release()


def waited_ns(queue: deque[Any]) -> int:
    """Return for how long the first in *queue* has waited: since it ended or happened, where it says so."""
    try:
        first = queue[0]
    except IndexError:
        return 0
    if first.__class__ is LogRecord:
        return time_ns() - int(first.time)
    fields = first if first.__class__ is list else getattr(first, "fields", None)
    if fields is None:
        return 0
    return int(time_ns() - fields[TIME_AT] if fields[0] == LOG_RECORD else perf_counter_ns() - fields[ENDED])
