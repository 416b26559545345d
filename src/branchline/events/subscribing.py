"""Subscriptions: callbacks that are told live of what is recorded, in a thread of their own."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Self

from opentelemetry import context as otel_context

from ..context import attached
from ..current import CURRENT, PIPELINE_KEY
from ..errors import ConfigError
from ..log_api import SUPPRESSION
from ..logs.accounts import complain, said
from ..updates import KINDS, Update


# As many as wait for one subscriber; a slow one loses the oldest.
MOST_WAITING: Final = 10_000

_LOOK_SECONDS: Final = 0.2

Callback = Callable[[Update], object]


class Subscription:
    """A callback that is told of what happens, until ``close``; also a context manager.

    Whatever the callback does, nobody else notices: it is called in a thread of its own, or in the event loop that it
    was subscribed in; what it raises is counted, and said once; if it is too slow, the oldest are dropped and counted.
    """

    def __init__(self, callback: Callback, kinds: Iterable[str], loop: asyncio.AbstractEventLoop | None) -> None:
        """Made by ``subscribe``."""
        self.kinds: Collection[str] = frozenset(kinds)
        self.told = 0
        """How many updates the callback has had, those included that it failed for."""
        self.failed = 0
        """For how many of them it has raised."""
        self.dropped = 0
        """How many it never had, because it was too slow."""
        self._callback = callback
        self._loop = loop
        self._own_loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[Update] = deque()
        self._changed = threading.Condition()
        self._is_telling = False
        self._is_closed = False
        self._thread: threading.Thread | None = None
        _subscriptions.add(self)

    def __repr__(self) -> str:
        return f"<Subscription to {', '.join(sorted(self.kinds))}: {self.told} told, {self.dropped} dropped>"

    # ── what the writer calls ─────────────────────────────────────────────────────────────────────

    def offer(self, updates: Sequence[Update]) -> None:
        """Take *updates*, and tell them soon; of too many the oldest are dropped."""
        with self._changed:
            if self._is_closed:
                return
            self._waiting.extend(updates)
            surplus = len(self._waiting) - MOST_WAITING
            for _ in range(surplus):
                self._waiting.popleft()
            is_first = surplus > 0 and not self.dropped
            self.dropped += max(surplus, 0)
            self._changed.notify_all()
            if self._thread is None and self._waiting:
                self._start()
        if is_first:
            complain(f"the subscriber {_called(self._callback)} is too slow: the oldest updates are being dropped")

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="branchline-subscription", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            # No more threads, as at the interpreter's exit.
            self._thread = None

    def settle(self, timeout: float) -> bool:
        """Wait until everything that was offered is told, *timeout* seconds at most; return whether it is."""
        if self._is_own_thread():
            # Whoever waits for itself waits for nothing.
            return not self._waiting
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._waiting or self._is_telling:
                left = deadline - time.monotonic()
                if left <= 0 or self._thread is None:
                    return False
                self._changed.wait(left)
        return True

    def _is_own_thread(self) -> bool:
        if self._thread is threading.current_thread():
            return True
        try:
            return self._loop is not None and asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    # ── what the application calls ────────────────────────────────────────────────────────────────

    def flush(self, timeout: float = 5.0) -> bool:
        """Tell everything that was recorded until now, within *timeout* seconds; true if it is told.

        Called in the callback, or in the event loop that it runs in, it does not wait.
        """
        if self._is_own_thread():
            return not self._waiting
        deadline = time.monotonic() + timeout
        unwritten = [flush for flush in _writing() if not flush(max(deadline - time.monotonic(), 0))]
        return self.settle(max(deadline - time.monotonic(), 0)) and not unwritten

    def close(self, timeout: float = 5.0) -> bool:
        """Be told nothing more, but what was recorded until now; true if all of it was told.

        Called in the callback, or in the event loop that it runs in, it does not wait.
        """
        is_told = self._is_closed or self.flush(timeout)
        CURRENT.subscribers = tuple(each for each in CURRENT.subscribers if each is not self)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        return is_told and not self.dropped

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    # ── its thread ────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        # What a callback logs is not recorded, else it would be told of that as well, without end.
        with attached(otel_context.set_value(SUPPRESSION, True)):
            while (update := self._next()) is not None:
                try:
                    self._tell(update)
                except BaseException as error:  # even a SystemExit: it is the callback's business alone
                    self._note_failure(error)
                self.told += 1
        if self._own_loop is not None:
            self._own_loop.close()

    def _next(self) -> Update | None:
        with self._changed:
            self._is_telling = False
            self._changed.notify_all()
            while not self._waiting:
                if self._is_closed:
                    return None
                self._changed.wait()
            self._is_telling = True
            return self._waiting.popleft()

    def _tell(self, update: Update) -> None:
        answer = self._callback(update)
        if inspect.isawaitable(answer):
            self._await(_coroutine(answer))

    def _await(self, answer: Coroutine[Any, Any, object]) -> None:
        loop = self._loop
        if loop is not None and loop.is_running():
            _wait(asyncio.run_coroutine_threadsafe(answer, loop), loop)
            return
        if self._own_loop is None:
            self._own_loop = asyncio.new_event_loop()
        self._own_loop.run_until_complete(answer)

    def _note_failure(self, error: BaseException) -> None:
        self.failed += 1
        if self.failed == 1:
            complain(f"the subscriber {_called(self._callback)} failed; it is told of the rest: {said(error)}")

    def forget_threads(self) -> None:
        """Be closed in a forked child: the parent goes on with it."""
        self._changed = threading.Condition()
        self._waiting.clear()
        self._is_closed, self._is_telling, self._thread = True, False, None


def _writing() -> list[Callable[[float], bool]]:
    """Return what brings everything that was recorded until now to the journal: of the run, and of a capture."""
    captured = getattr(otel_context.get_value(PIPELINE_KEY), "flush", None)
    return [flush for flush in (captured, CURRENT.flush) if flush is not None]


def _wait(future: Future[object], loop: asyncio.AbstractEventLoop) -> None:
    while True:
        try:
            future.result(_LOOK_SECONDS)
        except TimeoutError:
            if future.done():
                # It was the callback's own.
                raise
            if not loop.is_running():
                future.cancel()
                raise
        else:
            return


async def _coroutine(answer: Awaitable[object]) -> object:
    return await answer


def _called(callback: Callback) -> str:
    return str(getattr(callback, "__qualname__", None) or type(callback).__qualname__)


def subscribe(callback: Callback, *, kinds: Collection[str] = ("step", "branch", "log", "metric")) -> Subscription:
    """Call *callback* with an ``Update`` for whatever is recorded in this process from now on, in this run or later.

    *kinds* are ``step``, ``span``, ``branch``, ``experiment``, ``log``, ``metric``, ``usage`` and ``progress``. A
    coroutine function runs in the event loop in which this is called, if it is called in one.

    Raises:
        ConfigError: for what cannot be called, or a kind that there is not.
    """
    if not callable(callback):
        msg = f"callback={callback!r} is not accepted; accepted: a function of one update, or a coroutine function"
        raise ConfigError(msg)
    chosen = [kinds] if isinstance(kinds, str) else list(kinds)
    for kind in chosen:
        if kind not in KINDS:
            msg = f"kinds={kinds!r} is not accepted: there is no {kind!r}; there are: {', '.join(KINDS)}"
            raise ConfigError(msg)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = None
    subscription = Subscription(callback, chosen, loop)
    CURRENT.subscribers = (*CURRENT.subscribers, subscription)
    return subscription


_subscriptions: Final[weakref.WeakSet[Subscription]] = weakref.WeakSet()


def _begin_anew() -> None:
    CURRENT.subscribers = ()
    for subscription in list(_subscriptions):
        subscription.forget_threads()


os.register_at_fork(after_in_child=_begin_anew)
