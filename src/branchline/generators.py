"""Generators as steps: the span covers the body, and is never current in whoever consumes it."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from typing import Any

from . import names
from .outcomes import outcome_of
from .recording import Recording


class Opened:
    """A generator's step: its recording, and how it ends."""

    __slots__ = ("_fail", "_finish", "items", "recording")

    def __init__(
        self, recording: Recording, finish: Callable[[object], None], fail: Callable[[BaseException], None]
    ) -> None:
        """End *recording* with *finish* when the body returns, with *fail* when an exception leaves it."""
        self.recording = recording
        self.items = 0
        self._finish = finish
        self._fail = fail

    def finish(self, result: object) -> None:
        """End the step of a generator whose body has returned."""
        self.recording.put({names.GENERATOR_ITEMS: self.items})
        self._finish(result)

    def fail(self, error: BaseException) -> None:
        """End the step of a generator that an exception has left."""
        self.recording.put({names.GENERATOR_ITEMS: self.items})
        self._fail(error)

    def close(self) -> None:
        """End the step of a generator that its consumer has left early, which is no error."""
        self.recording.put({names.GENERATOR_ITEMS: self.items})
        self.recording.leave(names.CLOSED)


Open = Callable[[tuple[Any, ...], Mapping[str, Any]], Opened | None]

# Both wrappers below are generators themselves, so that whoever asks what kind of function this is gets the same
# answer, and hand everything to the body that Python would: next, send, throw and close. What they must not do is keep
# anything alive that a bare generator would not: the arguments, the item just yielded (one more of what may be large),
# and the exception thrown in, whose traceback refers to this very frame.


def traced_generator(function: Callable[..., Generator[Any, Any, Any]], open_step: Open) -> Callable[..., Any]:
    """Return a generator function like *function* whose body, each time it runs, runs inside a step."""

    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        opened = open_step(args, kwargs)
        if opened is None:
            body = function(*args, **kwargs)
            del args, kwargs
            return (yield from body)
        recording = opened.recording
        sent: Any = None
        thrown: BaseException | None = None
        is_closing = False
        produced: list[Any] = []
        try:
            body = function(*args, **kwargs)
            del args, kwargs
            while True:
                try:
                    produced.append(body.send(sent) if thrown is None else body.throw(thrown))
                finally:
                    sent = thrown = None
                inside = recording.suspend()
                opened.items += 1
                is_closing = False
                try:
                    sent = yield produced.pop()
                except BaseException as error:  # the consumer's throw() and close() are for the body
                    thrown = error
                    is_closing = isinstance(error, GeneratorExit)
                recording.resume(inside)
        except StopIteration as stop:
            if is_closing:
                opened.close()
            else:
                opened.finish(stop.value)
            return stop.value
        except BaseException as error:
            opened.fail(error)
            raise

    return wrapper


def traced_async_generator(function: Callable[..., AsyncGenerator[Any, Any]], open_step: Open) -> Callable[..., Any]:
    """Return an async generator function like *function* whose body, each time it runs, runs inside a step."""

    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        opened = open_step(args, kwargs)
        recording = None if opened is None else opened.recording
        sent: Any = None
        thrown: BaseException | None = None
        is_closing = is_abandoned = False
        produced: list[Any] = []
        try:
            body = function(*args, **kwargs)
            del args, kwargs
            coming = _first(body)
            while True:
                try:
                    produced.append(await coming)
                finally:
                    del coming
                    sent = thrown = None
                if opened is not None and recording is not None:
                    inside = recording.suspend()
                    opened.items += 1
                is_closing = False
                try:
                    sent = yield produced.pop()
                except BaseException as error:  # the consumer's athrow() and aclose() are for the body
                    thrown = error
                    is_closing = isinstance(error, GeneratorExit)
                    is_abandoned = not isinstance(error, Exception) and _is_being_closed()
                if recording is not None:
                    recording.resume(inside)
                coming = body.asend(sent) if thrown is None else body.athrow(thrown)
        except StopAsyncIteration:
            if opened is not None and is_closing:
                opened.close()
            elif opened is not None:
                opened.finish(None)
        except BaseException as error:
            if opened is not None and is_abandoned and outcome_of(error) == names.CANCELLED:
                opened.close()
            elif opened is not None:
                opened.fail(error)
            raise

    return wrapper


def _is_being_closed() -> bool:
    """Whether all that this task does is to close a generator, which is what asyncio makes of one that was left."""
    # A loop that ends meanwhile cancels the task before it has begun: the body is told of that, nobody was cancelled.
    asyncio = sys.modules.get("asyncio")
    try:
        task = None if asyncio is None else asyncio.current_task()
    except RuntimeError:  # of another library
        return False
    return task is not None and type(task.get_coro()).__name__ == "async_generator_athrow"


def _first(body: AsyncGenerator[Any, Any]) -> Awaitable[Any]:
    """Ask for the first item without the event loop noticing *body*: at its end it closes all generators it knows."""
    # The wrapper closes its body; a second one doing so at the same time would be told that it is already running.
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return body.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)
