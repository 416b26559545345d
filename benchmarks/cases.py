"""The work that is traced: one function per case, called in a loop whose CPU time is measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from .contenders import LOG, Contender


# A turn is this many spans: few enough that neither a queue nor the crash ring is full within it.
TURN: Final = 2_000

Loop = Callable[[list[str]], None]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind of work, done once for each of a list of texts."""

    loop: Loop
    spans_a_call: int = 1
    more_spans: int = 0
    """Recorded by the loop itself."""


class Stopwatch:
    """Adds up the CPU time that one thread spends in its with-blocks."""

    def __init__(self) -> None:
        self.nanoseconds = 0

    def __enter__(self) -> None:
        self.nanoseconds -= time.thread_time_ns()

    def __exit__(self, *_: object) -> None:
        self.nanoseconds += time.thread_time_ns()


class Texts:
    """Texts that are never the same twice: what is remembered of one span must not help with the next."""

    def __init__(self) -> None:
        self._made = 0

    def take(self, count: int) -> list[str]:
        """Return *count* new ones."""
        self._made += count
        return [f"s3://bucket/shard-{number}" for number in range(self._made - count, self._made)]


def cases(contender: Contender, stopwatch: Stopwatch) -> dict[str, Case]:
    """Return every case, as *contender* records it; loops run on *stopwatch*."""
    step, annotated = step_of(contender), annotated_of(contender)
    traced = contender.traced
    return {
        "step": Case(loop=_calling(step, stopwatch)),
        "child step": Case(loop=traced("parent")(_calling(step, stopwatch)), more_spans=1),
        "nested steps": Case(loop=_calling(_nested_of(contender), stopwatch), spans_a_call=3),
        "annotated": Case(loop=_calling(annotated, stopwatch)),
        "annotated child": Case(loop=traced("parent")(_calling(annotated, stopwatch)), more_spans=1),
        "annotated block": Case(loop=_calling(contender.block, stopwatch)),
        "async step": Case(loop=_awaiting(_async_step_of(contender), stopwatch)),
        "async annotated": Case(loop=_awaiting(_async_annotated_of(contender), stopwatch)),
        "point": Case(loop=traced("parent")(_calling(contender.point, stopwatch)), more_spans=1),
        "usage": Case(loop=traced("parent")(_calling(contender.usage, stopwatch)), more_spans=1),
        "log record": Case(loop=traced("parent")(_calling(_log, stopwatch)), more_spans=1),
    }


def _log(index: int, text: str) -> None:
    LOG.info("loaded %d rows of %s", index, text)


def _calling(function: Callable[[int, str], None], stopwatch: Stopwatch) -> Loop:
    def loop(texts: list[str]) -> None:
        with stopwatch:
            for index, text in enumerate(texts):
                function(index, text)

    return loop


def _awaiting(function: Callable[[int, str], Any], stopwatch: Stopwatch) -> Loop:
    async def loop(texts: list[str]) -> None:
        with stopwatch:
            for index, text in enumerate(texts):
                await function(index, text)

    return lambda texts: asyncio.run(loop(texts))


def step_of(contender: Contender) -> Callable[[int, str], None]:
    """Return a traced function that does nothing."""

    @contender.traced("step")
    def step(index: int, text: str) -> None:
        pass

    return step


def annotated_of(contender: Contender) -> Callable[[int, str], None]:
    """Return a traced function that sets six attributes and adds two events."""
    annotate = contender.annotate

    @contender.traced("annotated")
    def annotated(index: int, text: str) -> None:
        annotate(index, text)

    return annotated


def _nested_of(contender: Contender) -> Callable[[int, str], None]:
    inner = step_of(contender)

    @contender.traced("middle")
    def middle(index: int, text: str) -> None:
        inner(index, text)

    @contender.traced("outer")
    def outer(index: int, text: str) -> None:
        middle(index, text)

    return outer


def _async_step_of(contender: Contender) -> Callable[[int, str], Any]:
    @contender.traced("step")
    async def step(index: int, text: str) -> None:
        pass

    return step


def _async_annotated_of(contender: Contender) -> Callable[[int, str], Any]:
    annotate = contender.annotate

    @contender.traced("annotated")
    async def annotated(index: int, text: str) -> None:
        annotate(index, text)

    return annotated
