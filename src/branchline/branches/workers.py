"""Where branches run: in the event loop, in threads, in processes of their own, or in somebody's executor."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import os
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from .. import names
from ..errors import ConfigError
from .errands import Ended, Errand, ended_here, understood
from .model import Branch


# How long a worker that was told to stop may take for it, until it is killed.
STOP_SECONDS = 2.0


class _Starting:
    """Held while a process is started.

    A child that is forked while another thread is between a pipe and its fork would keep that pipe open, and nobody
    would hear when the other child dies.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """In a child, which is forked while it is held: let it go."""
        self.lock = threading.Lock()


_starting = _Starting()
os.register_at_fork(after_in_child=_starting.renew)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One call of a function for a branch."""

    function: Callable[..., object]
    config: object
    branch: Branch
    note: Callable[[str, dict[str, object]], None]
    """Takes note of an event of the branch."""


class Workplace(Protocol):
    """Where calls are made."""

    at_once: int | None
    """How many calls it makes at the same time, unless somebody says otherwise; None: any number."""
    raises_here: bool
    """Whether an interrupt that reaches a call is one of this process."""

    async def do(self, job: Job) -> Ended:
        """Make the call, in the context that is current; cancelled, have it stopped if it can be."""

    async def close(self) -> None:
        """Give back what it holds."""


def workplace_for(function: Callable[..., object], executor: Executor | str | None, count: int | None) -> Workplace:
    """Return where *function* is to be called; *count* calls at the same time, if that is said."""
    if executor is None:
        return InLoop() if is_async(function) else InThreads()
    if executor == "thread":
        return InThreads()
    if executor == "process":
        _check_it_travels(function)
        return InProcesses(count or os.cpu_count() or 1)
    if isinstance(executor, ThreadPoolExecutor):
        return InThreadPool(executor)
    if isinstance(executor, ProcessPoolExecutor):
        _check_it_travels(function)
    assert isinstance(executor, Executor) or hasattr(executor, "submit")
    return InExecutor(executor)  # type: ignore[arg-type]  # whatever submits is taken for one


def is_async(function: Callable[..., object]) -> bool:
    """Whether a call of *function* gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  # asked for what it is, not whether it is there
    )


def _check_it_travels(function: Callable[..., object]) -> None:
    try:
        pickle.dumps(function)
    except Exception as error:  # pickling runs code of the user's, which raises anything
        msg = f"{function!r} cannot be sent to another process: {error}; define it at the top of a module"
        raise ConfigError(msg) from error


class InLoop:
    """Calls coroutine functions in the running event loop."""

    at_once: int | None = None
    raises_here = True

    async def do(self, job: Job) -> Ended:
        """Await the call; cancelled, it is cancelled."""
        try:
            made: Any = job.function(job.config)
            return Ended(output=await made)
        except BaseException as error:  # the loop would end for some of them, and they are this branch's alone
            return Ended(error=error)

    async def close(self) -> None:
        """Hold nothing."""


class InThreads:
    """Makes each call in a thread of its own, which nobody waits for once it is cancelled."""

    at_once: int | None = min(32, (os.cpu_count() or 1) + 4)
    raises_here = False

    async def do(self, job: Job) -> Ended:
        """Wait for the call; cancelled, leave its thread alone."""
        done: Future[Ended] = Future()
        done.set_running_or_notify_cancel()
        context = contextvars.copy_context()

        def work() -> None:
            done.set_result(context.run(ended_here, job.function, job.config))

        # A daemon, so that one which is left alone keeps no process from ending.
        threading.Thread(target=work, name=f"branch {job.branch.name}", daemon=True).start()
        return await asyncio.wrap_future(done)

    async def close(self) -> None:
        """Hold nothing: threads end by themselves."""


class InThreadPool:
    """Makes calls in somebody's pool of threads."""

    raises_here = False

    def __init__(self, executor: Executor) -> None:
        """Leave the *executor* open when all is done: it is not ours."""
        self._executor = executor
        self.at_once: int | None = workers_of(executor)

    async def do(self, job: Job) -> Ended:
        """Wait for the call; cancelled, take it back if it has not begun."""
        future = self._executor.submit(contextvars.copy_context().run, ended_here, job.function, job.config)
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        """Hold nothing."""


class InProcesses:
    """Makes calls in processes of its own, one pool for each: a worker that dies takes no other with it."""

    raises_here = False

    def __init__(self, count: int, like: ProcessPoolExecutor | None = None) -> None:
        """Have at most *count* processes, made as those of *like* are."""
        self.at_once: int | None = count
        self._options: dict[str, Any] = {
            "mp_context": getattr(like, "_mp_context", None),
            "initializer": getattr(like, "_initializer", None),
            "initargs": getattr(like, "_initargs", ()),
        }
        self._idle: list[ProcessPoolExecutor] = []
        self._ending: list[threading.Thread] = []

    async def do(self, job: Job) -> Ended:
        """Wait for the call; cancelled, end its process. A process that dies has lost its branch."""
        pool = self._idle.pop() if self._idle else ProcessPoolExecutor(1, **self._options)
        try:
            # A fork takes its time, and the loop has other things to do.
            future = await asyncio.to_thread(_submitted, pool, Errand(job.function, job.config, job.branch))
            report = await asyncio.wrap_future(future)
        except BrokenExecutor as error:
            self._end(pool.shutdown)
            return Ended(lost=f"its worker process died: {error}")
        except asyncio.CancelledError:
            self._end(functools.partial(_stop, pool))
            raise
        except Exception as error:  # a configuration that cannot be sent
            self._idle.append(pool)
            return Ended(error=error)
        self._idle.append(pool)
        return understood(report)

    async def close(self) -> None:
        """Let the processes end as they do, with all that they have recorded."""
        for pool in self._idle:
            self._end(pool.shutdown)
        ending, self._idle, self._ending = self._ending, [], []
        await asyncio.to_thread(_joined, ending)

    def _end(self, end: Callable[[], None]) -> None:
        # All of them side by side: each takes as long as its process does to write what it has recorded.
        thread = threading.Thread(target=end, daemon=True)
        thread.start()
        self._ending.append(thread)


def _joined(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


def _submitted(pool: Executor, errand: Errand) -> Future[Any]:
    with _starting.lock:
        return pool.submit(errand)


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the process of *pool*, first with a word and then without."""
    with _starting.lock:
        processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for end in ("terminate", "kill"):
        for process in processes:
            with suppress(ValueError, AttributeError):  # it is closed already
                getattr(process, end)()
                process.join(STOP_SECONDS)


class InExecutor:
    """Makes calls in somebody's executor, wherever that has its workers; once it is broken, in processes of our own."""

    raises_here = False

    def __init__(self, executor: Executor) -> None:
        """Leave the *executor* open when all is done: it is not ours."""
        self._executor = executor
        self.at_once: int | None = workers_of(executor)
        self._ours: InProcesses | None = None

    async def do(self, job: Job) -> Ended:
        """Wait for the call; cancelled, take it back if it has not begun.

        A pool that loses one worker ends all others, and does not say which branch it was. So what was under way is
        begun again, each in a process of its own: whoever loses that as well is the one.
        """
        if self._ours is None:
            try:
                errand = Errand(job.function, job.config, job.branch)
                future = await asyncio.to_thread(_submitted, self._executor, errand)
                return understood(await asyncio.wrap_future(future))
            except BrokenExecutor as error:
                job.note(names.WORKER_LOST_EVENT, {"exception.message": str(error)})
            except Exception as error:  # a configuration that cannot be sent, an executor that is shut down
                return Ended(error=error)
        if self._ours is None:
            like = self._executor if isinstance(self._executor, ProcessPoolExecutor) else None
            self._ours = InProcesses(self.at_once or 1, like)
        return await self._ours.do(job)

    async def close(self) -> None:
        """End the processes that are ours."""
        if self._ours is not None:
            await self._ours.close()


def workers_of(executor: Executor) -> int:
    """Return how many workers *executor* has, as far as it says so."""
    count = getattr(executor, "_max_workers", None)
    return count if isinstance(count, int) and count > 0 else os.cpu_count() or 1
