"""Generators as steps: the span covers the body, and is never current in whoever consumes it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from . import names
from .context import Recording


@dataclass(frozen=True, slots=True)
class Opened:
    """A generator's step: its recording, and how it ends."""

    recording: Recording
    finish: Callable[[object], None]
    fail: Callable[[BaseException], None]

    def close(self, items: int) -> None:
        """End the step of a generator that its consumer has left early, which is no error."""
        self.recording.put({names.GENERATOR_ITEMS: items})
        self.recording.leave(names.CLOSED)


Open = Callable[[tuple[Any, ...], Mapping[str, Any]], Opened | None]


def traced_generator(function: Callable[..., Generator[Any, Any, Any]], open_step: Open) -> Callable[..., Any]:
    """Return a generator function like *function* whose body, each time it runs, runs inside a step."""

    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        opened = open_step(args, kwargs)
        if opened is None:
            return (yield from function(*args, **kwargs))
        recording = opened.recording
        items = 0
        sent: Any = None
        thrown: BaseException | None = None
        try:
            body = function(*args, **kwargs)
            while True:
                produced = body.send(sent) if thrown is None else body.throw(thrown)
                inside = recording.suspend()
                items += 1
                sent = thrown = None
                try:
                    sent = yield produced
                except GeneratorExit:
                    recording.resume(inside)
                    body.close()
                    opened.close(items)
                    raise
                except BaseException as error:  # the consumer's throw() is for the body
                    thrown = error
                recording.resume(inside)
        except StopIteration as stop:
            recording.put({names.GENERATOR_ITEMS: items})
            opened.finish(stop.value)
            return stop.value
        except BaseException as error:
            if recording.is_open:
                recording.put({names.GENERATOR_ITEMS: items})
                opened.fail(error)
            raise

    return wrapper


def traced_async_generator(function: Callable[..., AsyncGenerator[Any, Any]], open_step: Open) -> Callable[..., Any]:
    """Return an async generator function like *function* whose body, each time it runs, runs inside a step."""

    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        opened = open_step(args, kwargs)
        body = function(*args, **kwargs)
        recording = None if opened is None else opened.recording
        items = 0
        sent: Any = None
        thrown: BaseException | None = None
        try:
            while True:
                produced = await (body.asend(sent) if thrown is None else body.athrow(thrown))
                inside = None if recording is None else recording.suspend()
                items += 1
                sent = thrown = None
                try:
                    sent = yield produced
                except GeneratorExit:
                    if recording is not None:
                        recording.resume(inside)
                    await body.aclose()
                    if opened is not None:
                        opened.close(items)
                    raise
                except BaseException as error:  # the consumer's athrow() is for the body
                    thrown = error
                if recording is not None:
                    recording.resume(inside)
        except StopAsyncIteration:
            if opened is not None:
                opened.recording.put({names.GENERATOR_ITEMS: items})
                opened.finish(None)
        except BaseException as error:
            if opened is not None and opened.recording.is_open:
                opened.recording.put({names.GENERATOR_ITEMS: items})
                opened.fail(error)
            raise

    return wrapper
