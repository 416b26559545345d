"""Steps: a decorated function or a ``with`` block as a span."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar, cast, overload

from opentelemetry import trace
from opentelemetry.trace import SpanContext

from . import foreign, generators, names, stamps
from .context import CURRENT, Recorder, Recording
from .outcomes import is_worth_recording, outcome_of
from .values import freeze, freeze_name


P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

Capture = bool | Literal["args", "result"] | None


_new = object.__new__


class Step:
    """One step of a pipeline while it runs."""

    __slots__ = ("_attributes", "_links", "_name", "_recording")

    def __init__(
        self,
        name: str,
        attributes: Mapping[str, object],
        links: Sequence[object] = (),
        recording: Recording | None = None,
    ) -> None:
        """Made by ``step`` and ``current_step``."""
        self._name = name
        self._attributes = attributes
        self._links = links
        self._recording = recording

    def __enter__(self) -> Self:
        """Start the step."""
        recorder = CURRENT.recorder or foreign.recorder()
        if recorder is not None:
            if self._links:
                links = [context for link in self._links if (context := _context_of(link)) is not None]
                self._recording = recorder.enter(self._name, names.KIND_STEP, self._attributes, links=links)
            else:
                self._recording = recorder.enter(self._name, names.KIND_STEP, self._attributes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        """End the step."""
        recording = self._recording
        if recording is None:
            return
        if error is None:
            recording.leave("success")
        else:
            left_with(recording, error)

    async def __aenter__(self) -> Self:
        """Start the step."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        """End the step."""
        self.__exit__(kind, error, stack)

    stamp = stamps.mark_step

    def set(self, **attributes: object) -> None:
        """Set attributes."""
        if self._recording is not None:
            self._recording.put(attributes)

    def link(self, other: Step | trace.Span | SpanContext, /, **attributes: object) -> None:
        """Point to another step or span that this one has to do with."""
        context = _context_of(other)
        if self._recording is not None and context is not None:
            self._recording.connect(context, attributes)

    def fail(self, why: str | BaseException = "", /) -> None:
        """Say that the step has failed, though no exception will leave it."""
        if self._recording is None:
            return
        if isinstance(why, BaseException):
            self._recording.put({names.ERROR_TYPE: type(why).__qualname__})
            self._recording.settle(names.FAILED, str(freeze(why)))
        else:
            self._recording.settle(names.FAILED, freeze_name(why) if why else None)

    def skip(self, why: str = "", /) -> None:
        """Say that the step had nothing to do."""
        if self._recording is not None:
            if why:
                self._recording.put({names.SKIP_REASON: why})
            self._recording.settle(names.SKIPPED)

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name if self._recording is None else getattr(self._recording.span, "name", "")

    @property
    def trace_id(self) -> str | None:
        """The id of its trace, in hex; None where nothing records it."""
        return None if self._recording is None else f"{self._recording.span.get_span_context().trace_id:032x}"

    @property
    def span_id(self) -> str | None:
        """The id of its span, in hex; None where nothing records it."""
        return None if self._recording is None else f"{self._recording.span.get_span_context().span_id:016x}"

    def __repr__(self) -> str:
        recording = self._recording
        state = "not recorded" if recording is None else "open" if recording.is_open else "ended"
        return f"<step {self.name!r} {state}>"


def step(name: str, /, *, links: Sequence[object] = (), **attributes: object) -> Step:
    """Return a step for a ``with`` or ``async with`` block; *links* are steps or spans it has to do with."""
    return Step(name, attributes, links)


def current_step() -> Step | None:
    """Return the innermost step that is running here, or None."""
    recorder = CURRENT.recorder or foreign.recorder()
    if recorder is None:
        return None
    recording = recorder.current()
    if recording is None or recording.role != "step":
        return None
    found = _new(Step)
    found._recording = recording  # noqa: SLF001  # the same module; by hand, because this is called in hot loops
    return found


def left_with(recording: Recording, error: BaseException, *, record_exception: bool = True) -> None:
    """End *recording* with the exception that left its block or function."""
    outcome = outcome_of(error)
    if not is_worth_recording(error):
        recording.leave(outcome)
    elif record_exception:
        recording.leave(outcome, error=error)
    else:
        recording.put({names.ERROR_TYPE: type(error).__qualname__})
        recording.leave(outcome, message=str(freeze(error)))


def _context_of(link: object) -> SpanContext | None:
    if isinstance(link, SpanContext):
        return link
    if isinstance(link, trace.Span):
        return link.get_span_context()
    recording = getattr(link, "_recording", None)
    return None if recording is None else recording.span.get_span_context()


# ── the decorator ─────────────────────────────────────────────────────────────────────────────────


@overload
def traced_step(function: F, /) -> F: ...


@overload
def traced_step(
    name: str | None = None,
    /,
    *,
    capture: Capture = None,
    new_trace: bool = False,
    record_exception: bool = True,
    **attributes: object,
) -> Callable[[F], F]: ...


def traced_step(
    name: Any = None,
    /,
    *,
    capture: Capture = None,
    new_trace: bool = False,
    record_exception: bool = True,
    **attributes: object,
) -> Any:
    """Make every call of a function a step: bare, or with a name and attributes.

    Plain and async functions, generators of both kinds, methods, class and static methods, callable objects.

    Args:
        name: what the step is called; the function's qualified name if None.
        capture: record the arguments, the result or both (True); None: as ``configure`` says.
        new_trace: start a trace of its own, linked to the step it was called from.
        record_exception: record a failing call's traceback, not only its type and message.
        attributes: set on every call.
    """
    if name is not None and not isinstance(name, str):
        return _traced(name, _Options(name=None))
    if "name" in attributes:
        name = attributes.pop("name")
    options = _Options(
        name=name,
        capture=capture,
        new_trace=new_trace,
        record_exception=record_exception,
        attributes={key: freeze(value) for key, value in attributes.items()} or None,
    )
    return functools.partial(_traced, options=options)


class _Options:
    """What a decorator was told."""

    __slots__ = ("attributes", "capture", "name", "new_trace", "record_exception")

    def __init__(
        self,
        *,
        name: Any,
        capture: Capture = None,
        new_trace: bool = False,
        record_exception: bool = True,
        attributes: Mapping[str, object] | None = None,
    ) -> None:
        if name is not None and not isinstance(name, str):
            msg = f"a step's name is a text, not {name!r}"
            raise TypeError(msg)
        if capture not in (None, False, True, "args", "result"):
            msg = f"unknown capture {capture!r}; choose from None, False, True, 'args', 'result'"
            raise ValueError(msg)
        self.name = name
        self.capture = _CAPTURES.get(capture)
        self.new_trace = new_trace
        self.record_exception = record_exception
        self.attributes = attributes


_CAPTURES: Mapping[object, str] = {False: "", True: "all", "args": "args", "result": "result"}


def _traced(function: Any, options: _Options) -> Any:
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(_traced(function.__func__, options))
    if inspect.isclass(function) or not callable(function):
        msg = f"traced_step decorates functions, methods and callable objects, not {function!r}"
        raise TypeError(msg)
    title = options.name or _default_name(function)
    called = function if inspect.isroutine(function) or _is_partial(function) else type(function).__call__
    if inspect.isasyncgenfunction(called):
        wrapper = generators.traced_async_generator(function, functools.partial(_entered, title, options, function))
    elif inspect.isgeneratorfunction(called):
        wrapper = generators.traced_generator(function, functools.partial(_entered, title, options, function))
    elif inspect.iscoroutinefunction(called):
        wrapper = _traced_coroutine(function, title, options)
    else:
        wrapper = _traced_call(function, title, options)
    return functools.update_wrapper(wrapper, function)


def _is_partial(function: object) -> bool:
    return isinstance(function, functools.partial)


def _default_name(function: Any) -> str:
    while _is_partial(function):
        function = function.func
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name).replace(".<locals>", "")


def _traced_call(function: Callable[..., Any], title: str, options: _Options) -> Callable[..., Any]:
    attributes = options.attributes
    capture = options.capture
    new_trace = options.new_trace
    record_exception = options.record_exception

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        recorder = CURRENT.recorder
        if recorder is None:
            recorder = foreign.recorder()
            if recorder is None:
                return function(*args, **kwargs)
        if new_trace:
            recording = recorder.enter(title, "step", attributes, new_trace=True)
        else:
            recording = recorder.enter(title, "step", attributes)
        captured = recorder.capture if capture is None else capture
        if captured:
            _capture_arguments(recording, captured, function, args, kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            left_with(recording, error, record_exception=record_exception)
            raise
        if captured:
            _capture_result(recording, captured, result)
        recording.leave("success")
        return result

    return wrapper


def _traced_coroutine(function: Callable[..., Any], title: str, options: _Options) -> Callable[..., Any]:
    attributes = options.attributes
    capture = options.capture
    new_trace = options.new_trace
    record_exception = options.record_exception

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        recorder = CURRENT.recorder
        if recorder is None:
            recorder = foreign.recorder()
            if recorder is None:
                return await function(*args, **kwargs)
        if new_trace:
            recording = recorder.enter(title, "step", attributes, new_trace=True)
        else:
            recording = recorder.enter(title, "step", attributes)
        captured = recorder.capture if capture is None else capture
        if captured:
            _capture_arguments(recording, captured, function, args, kwargs)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            left_with(recording, error, record_exception=record_exception)
            raise
        if captured:
            _capture_result(recording, captured, result)
        recording.leave("success")
        return result

    return wrapper


def _entered(
    title: str, options: _Options, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> generators.Opened | None:
    """Start the step of a generator, or return None where nothing records it."""
    recorder: Recorder | None = CURRENT.recorder or foreign.recorder()
    if recorder is None:
        return None
    recording = recorder.enter(title, names.KIND_STEP, options.attributes, new_trace=options.new_trace)
    captured = recorder.capture if options.capture is None else options.capture
    if captured:
        _capture_arguments(recording, captured, function, args, kwargs)

    def fail(error: BaseException) -> None:
        left_with(recording, error, record_exception=options.record_exception)

    def finish(result: object) -> None:
        if captured:
            _capture_result(recording, captured, result)
        recording.leave(names.SUCCESS)

    return generators.Opened(recording, finish, fail)


# ── arguments and results ─────────────────────────────────────────────────────────────────────────


def _capture_arguments(
    recording: Recording, captured: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    if captured == "result":
        return
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except (TypeError, ValueError):
        # The call itself will say what is wrong with it.
        return
    shown = {
        f"{names.ARGUMENTS_PREFIX}{name}": _shown(value)
        for name, value in bound.arguments.items()
        if name not in ("self", "cls")
    }
    recording.put(shown)


def _capture_result(recording: Recording, captured: str, result: object) -> None:
    if captured != "args":
        recording.put({names.RESULT: _shown(result)})


_SHOWN_LENGTH = 4096


def _shown(value: object) -> object:
    frozen = freeze(value)
    if isinstance(frozen, (str, bytes)) and len(frozen) > _SHOWN_LENGTH:
        return f"{frozen[:_SHOWN_LENGTH]!r}… [cut: {len(frozen):,}]"
    return cast("object", frozen)
