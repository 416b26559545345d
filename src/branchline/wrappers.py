"""Wrappers: a function with a step around each of its calls, of the kind that the function is."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any

from . import foreign, generators
from .callables import TracedObject, TracedPartial
from .captures import Call, Capture, wanted
from .current import CURRENT
from .outcomes import left_with
from .recording import Recording
from .values import freeze_name


class Options:
    """What a decorator was told."""

    __slots__ = ("attributes", "capture", "is_short", "name", "new_trace", "record_exception")

    def __init__(
        self,
        *,
        name: str | None,
        capture: Capture,
        new_trace: bool,
        record_exception: bool,
        attributes: dict[str, object] | None,
    ) -> None:
        """Take what was told.

        Raises:
            TypeError: for a switch that is neither True nor False.
            ValueError: for an unknown *capture*.
        """
        for option, value in (("new_trace", new_trace), ("record_exception", record_exception)):
            if not isinstance(value, bool):
                msg = f"{option} is True or False, not {value!r}"
                raise TypeError(msg)
        self.name = name
        self.capture = wanted(capture)
        self.new_trace = new_trace
        self.record_exception = record_exception
        self.attributes = attributes
        # Whether a call needs no more than a step, unless ``configure`` says so.
        self.is_short = not (self.capture or new_trace)


def traced(function: Any, options: Options) -> Any:
    """Return *function* such that every call of it is a step.

    Raises:
        TypeError: for a class, and for what cannot be called.
    """
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(traced(function.__func__, options))
    if inspect.isclass(function) or not callable(function):
        msg = f"traced_step takes a name, or a function, method or callable object to decorate; not {function!r}"
        if isinstance(function, (property, functools.cached_property)):
            msg += ": put it below the decorator that makes the property"
        raise TypeError(msg)
    again = functools.partial(traced, options=options)
    if isinstance(function, functools.partial):
        return TracedPartial.of(function, again)
    if isinstance(function, MethodType):
        return MethodType(again(function.__func__), function.__self__)
    wrapper = _wrapped(function, options)
    if inspect.isfunction(function):
        return functools.update_wrapper(wrapper, function)
    return TracedObject(function, wrapper, again)


def _wrapped(function: Any, options: Options) -> Callable[..., Any]:
    """Return *function* with a step around, of the kind that it is."""
    calls = _Calls(function, options)
    kinds = (function, type(function).__call__)
    if any(map(inspect.isasyncgenfunction, kinds)):
        return generators.traced_async_generator(function, calls.generator)
    if any(map(inspect.isgeneratorfunction, kinds)):
        return generators.traced_generator(function, calls.generator)
    if any(map(inspect.iscoroutinefunction, kinds)):
        return _short_coroutine(function, calls) if options.is_short else _traced_coroutine(function, calls)
    return _short_call(function, calls) if options.is_short else _traced_call(function, calls)


def _default_name(function: Any) -> str:
    name = getattr(function, "__qualname__", None)
    return freeze_name(name if isinstance(name, str) else type(function).__qualname__).replace(".<locals>", "")


# ── all that a call can need ──────────────────────────────────────────────────────────────────────


class _Calls:
    """What the calls of one function have in common."""

    __slots__ = ("call", "options", "title")

    def __init__(self, function: Any, options: Options) -> None:
        self.options = options
        self.title = freeze_name(options.name) if options.name else _default_name(function)
        self.call = Call(function)

    def opened(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Opened | None:
        """Start the step of one call, or return None where nothing records it."""
        recorder = CURRENT.recorder or foreign.recorder()
        if recorder is None:
            return None
        options = self.options
        if options.new_trace:
            recording = recorder.enter(self.title, "step", options.attributes, new_trace=True)
        else:
            recording = recorder.open_step(self.title, options.attributes)
        captured = recorder.capture if options.capture is None else options.capture
        if captured:
            self.call.arguments(recording, captured, args, kwargs)
        return _Opened(self, recording, captured)

    def generator(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> generators.Opened | None:
        """Start the step of a generator, or return None where nothing records it."""
        opened = self.opened(args, kwargs)
        return None if opened is None else generators.Opened(opened.recording, opened.finish, opened.fail)


class _Opened:
    """The step of one call."""

    __slots__ = ("_calls", "_captured", "recording")

    def __init__(self, calls: _Calls, recording: Recording, captured: str) -> None:
        self._calls = calls
        self._captured = captured
        self.recording = recording

    def finish(self, result: object) -> None:
        """End the step of a call that has returned."""
        if self._captured:
            self._calls.call.result(self.recording, self._captured, result)
        self.recording.leave("success")

    def fail(self, error: BaseException) -> None:
        """End the step of a call that an exception has left."""
        left_with(self.recording, error, record_exception=self._calls.options.record_exception)


def _traced_call(function: Callable[..., Any], calls: _Calls) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        opened = calls.opened(args, kwargs)
        if opened is None:
            return function(*args, **kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            opened.fail(error)
            raise
        opened.finish(result)
        return result

    return wrapper


def _traced_coroutine(function: Callable[..., Any], calls: _Calls) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        opened = calls.opened(args, kwargs)
        if opened is None:
            return await function(*args, **kwargs)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            opened.fail(error)
            raise
        opened.finish(result)
        return result

    return wrapper


# ── the short way: most calls are a step and no more ──────────────────────────────────────────────


def _short_call(function: Callable[..., Any], calls: _Calls) -> Callable[..., Any]:
    title, attributes = calls.title, calls.options.attributes
    record_exception = calls.options.record_exception
    thoroughly = _traced_call(function, calls)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        recorder = CURRENT.recorder
        if recorder is None:
            recorder = foreign.recorder()
            if recorder is None:
                return function(*args, **kwargs)
        if recorder.capture:
            return thoroughly(*args, **kwargs)
        recording = recorder.open_step(title, attributes)
        try:
            # Most calls have no keywords, and taking none apart is not for free.
            result = function(*args, **kwargs) if kwargs else function(*args)
        except BaseException as error:
            left_with(recording, error, record_exception=record_exception)
            raise
        recording.leave("success")
        return result

    return wrapper


def _short_coroutine(function: Callable[..., Any], calls: _Calls) -> Callable[..., Any]:
    title, attributes = calls.title, calls.options.attributes
    record_exception = calls.options.record_exception
    thoroughly = _traced_coroutine(function, calls)

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        recorder = CURRENT.recorder
        if recorder is None:
            recorder = foreign.recorder()
            if recorder is None:
                return await function(*args, **kwargs)
        if recorder.capture:
            return await thoroughly(*args, **kwargs)
        recording = recorder.open_step(title, attributes)
        try:
            result = await (function(*args, **kwargs) if kwargs else function(*args))
        except BaseException as error:
            left_with(recording, error, record_exception=record_exception)
            raise
        recording.leave("success")
        return result

    return wrapper
