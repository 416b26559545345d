"""Running branches for code that is not async: an event loop in a thread of its own, for as long as they run."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Generator
from contextlib import suppress

from . import shadows
from .model import Branch
from .own_way import OwnWay
from .runner import Runner


# How long a thread may take from its start to its first line.
START_SECONDS = 5.0


class _Background:
    """The thread of one runner, and what it has to say."""

    def __init__(self, runner: Runner | OwnWay) -> None:
        self._runner = runner
        self._loop: asyncio.AbstractEventLoop | None = None
        self._why: BaseException | None = None
        self._is_there = threading.Event()
        self.said: queue.SimpleQueue[Branch | BaseException | None] = queue.SimpleQueue()
        """Branches that have ended; then None, or what all ended with."""
        # No daemon: shadows are somebody's work too.
        self._thread = threading.Thread(target=contextvars.copy_context().run, args=(self._work,), name="branches")

    def start(self) -> None:
        """Begin."""
        _drain_at_exit()
        self._thread.start()

    def _work(self) -> None:
        shadows.keep(self._thread)
        self._is_there.set()
        try:
            asyncio.run(self._run())
        finally:
            shadows.leave(self._thread)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._why is not None:
            self._runner.stop(self._why)
        try:
            async for branch in self._runner.finished():
                self.said.put(branch)
        except BaseException as error:  # it is for whoever waits for the branches
            self.said.put(error)
        else:
            self.said.put(None)
        await self._runner.ended()

    def stop(self, why: BaseException) -> None:
        """Cancel what runs, and wait until all is closed."""
        # First this, then a look at the loop: the thread does it the other way round, so that one of the two sees it.
        self._why = why
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended meanwhile
                self._loop.call_soon_threadsafe(self._runner.stop, why)
        # An interrupt may come while the thread starts, and then it is there in a moment.
        if self._is_there.wait(START_SECONDS):
            self._thread.join()


def finished(runner: Runner | OwnWay) -> Generator[Branch, None, None]:
    """Yield the branches of *runner* that are waited for as they end; left early, what still runs is cancelled."""
    background = _Background(runner)
    try:
        background.start()
        while (said := background.said.get()) is not None:
            if isinstance(said, BaseException):
                raise said
            yield said
    except BaseException as error:  # whoever leaves early, too: what runs behind ends first
        background.stop(error)
        raise


def _drain_at_exit() -> None:
    # Before the pools of concurrent.futures are shut, which is before threads are waited for: a shadow may use one.
    register = getattr(threading, "_register_atexit", None)
    if register is not None and not _registered:
        import concurrent.futures.thread  # noqa: F401  # registers its own, which is then called after ours

        with suppress(RuntimeError):  # at exit already
            register(shadows.drain)
        _registered.append(True)


_registered: list[bool] = []
