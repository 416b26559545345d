"""Tracks: a loop that says how far it is, at next to no cost for each item."""

from __future__ import annotations

import operator
import sys
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, overload

from .. import names
from ..errors import ConfigError
from ..outcomes import outcome_of
from .board import board
from .work import STDERR, Shown, Work


if TYPE_CHECKING:
    from asyncio import Task

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741  # what is iterated

_STDOUT: Final = Shown(stream="stdout")


class _Tracked(Generic[I]):
    def __init__(
        self,
        iterable: I,
        description: object,
        *,
        total: float | None = None,
        stall_after: float | None = None,
        shown: Shown = STDERR,
    ) -> None:
        self._iterable = iterable
        self._description = description
        self._total = total
        self._stall_after = stall_after
        self._shown = shown

    def __repr__(self) -> str:
        return f"<track {self._description!r} of {self._iterable!r}>"

    def _work(self) -> Work:
        total = length_of(self._iterable) if self._total is None else self._total
        return Work(self._description, total, shown=self._shown, stall_after=self._stall_after)


class Track(_Tracked[Iterable[T]], Generic[T]):
    """Items one after another, each counted once the next is asked for; each time it is iterated is work of its own."""

    def __length_hint__(self) -> int:
        found = length_of(self._iterable)
        return NotImplemented if found is None else found

    def __iter__(self) -> Iterator[T]:
        work = self._work()
        done = 0
        try:
            _begin(work)
            for item in self._iterable:
                yield item
                # Nothing is kept alive here that a bare loop would let go.
                del item
                done += 1
                work.done = done
                if done == work.mark:
                    work.passed()
        except BaseException as error:  # its own, or that somebody has left the loop
            _end(work, error)
            raise
        _end(work)


class AsyncTrack(_Tracked[AsyncIterable[T]], Generic[T]):
    """The same for an async iterable, and for ``async for``."""

    async def __aiter__(self) -> AsyncIterator[T]:
        work = self._work()
        work.task = _current_task()
        done = 0
        try:
            _begin(work)
            async for item in self._iterable:
                yield item
                # Nothing is kept alive here that a bare loop would let go.
                del item
                done += 1
                work.done = done
                if done == work.mark:
                    work.passed()
        except BaseException as error:  # its own, or that somebody has left the loop
            _end(work, error)
            raise
        _end(work)


@overload
def track(
    iterable: Iterable[T], description: str = ..., *, total: float | None = ..., stall_after: float | None = ...
) -> Track[T]: ...


@overload
def track(
    iterable: AsyncIterable[T], description: str = ..., *, total: float | None = ..., stall_after: float | None = ...
) -> AsyncTrack[T]: ...


def track(
    iterable: Any,  # the overloads say it
    description: str = "Processing",
    *,
    total: float | None = None,
    stall_after: float | None = None,
) -> Any:  # the same
    """Return *iterable* for a ``for`` or ``async for`` loop that shows, and records, how far it is.

    Args:
        iterable: It is neither copied nor read ahead.
        description: What is done with its items, the same every time.
        total: How many items there are; by default what ``len()`` says of it, if anything.
        stall_after: When no item has ended for so many times as long as one usually takes, the step gets a stamp,
            and what every thread is doing is recorded.

    Raises:
        ConfigError: for what cannot be iterated, and for a *total* or *stall_after* that is no such number.
    """
    _claim(total is None or _is_number(total, 0), f"total is a number from 0 on, or None, not {total!r}")
    is_factor = stall_after is None or (_is_number(stall_after, 0) and stall_after > 0)
    _claim(is_factor, f"stall_after is how many times the usual time, above 0, or None, not {stall_after!r}")
    if hasattr(iterable, "__aiter__") and not hasattr(iterable, "__iter__"):
        return AsyncTrack(iterable, description, total=total, stall_after=stall_after)
    is_iterable = hasattr(iterable, "__iter__") or hasattr(iterable, "__getitem__")
    _claim(is_iterable, f"track takes an iterable or an async iterable, not {iterable!r}")
    return Track(iterable, description, total=total, stall_after=stall_after)


def track_progress(iterable: Iterable[T], description: str = "Processing", total: float | None = None) -> Iterator[T]:
    """Yield the items of *iterable*, and say on stdout how far it is; `track` says it on stderr, beside the output."""
    return iter(Track(iterable, description, total=total, shown=_STDOUT))


def length_of(iterable: object) -> int | None:
    """Return how many items *iterable* says it has; None where it does not say."""
    try:
        found = operator.length_hint(iterable, -1)
    except Exception:  # whatever somebody's __len__ does
        return None
    return found if found >= 0 else None


def _current_task() -> Task[Any] | None:
    # Whoever is in one has it loaded; trio and others have none.
    asyncio = sys.modules.get("asyncio")
    try:
        return None if asyncio is None else asyncio.current_task()
    except RuntimeError:
        return None


def _begin(work: Work) -> None:
    work.begin()
    work.enter()
    board().add(work)


def _end(work: Work, error: BaseException | None = None) -> None:
    outcome = names.SUCCESS if error is None else outcome_of(error)
    work.leave()
    if work.close(outcome, error if outcome == names.FAILED else None):
        board().remove(work)


def _claim(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise ConfigError(otherwise)


def _is_number(value: object, least: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value - value == 0 and value >= least
