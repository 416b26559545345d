"""Steps: a decorated function or a ``with`` block as a span."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, ClassVar, Final, NoReturn, Self, TypeVar, overload

from opentelemetry import trace
from opentelemetry.trace import SpanContext

from . import foreign, names, stamps, step_usage
from .captures import Capture
from .current import CURRENT
from .metrics import record_on
from .outcomes import error_type, left_with
from .recording import Recording
from .values import MAX_NAME, freeze, freeze_key, freeze_name
from .wrappers import Options, traced


F = TypeVar("F", bound=Callable[..., Any])

_NO_LINKS: Final[tuple[()]] = ()


class Step:
    """One step of a pipeline while it runs."""

    __slots__ = ("_attributes", "_links", "_name", "_outer", "_recording")

    _name: str
    _attributes: dict[str, object]
    _links: object
    _recording: Recording | None
    # Where the same step is entered again before it has ended: what it was before.
    _outer: tuple[Recording | None, ...]

    def __enter__(self) -> Self:
        """Start the step."""
        if self._recording is not None:
            self._put_aside(self._recording)
        recorder = CURRENT.recorder or foreign.recorder()
        if recorder is not None:
            if self._links is not _NO_LINKS:
                links = _contexts_of(self._links)
                self._recording = recorder.enter(self._name, names.KIND_STEP, self._attributes, links=links)
            else:
                self._recording = recorder.open_step(self._name, self._attributes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        """End the step."""
        recording = self._taken_back() if self._outer else self._recording
        if recording is None:
            return
        if error is None:
            recording.leave("success")
        else:
            left_with(recording, error)

    def _put_aside(self, recording: Recording) -> None:
        self._name = self.name
        if recording.is_open:
            self._outer = (*self._outer, recording)
        self._recording = None

    def _taken_back(self) -> Recording | None:
        """Return what to end of the several that are open: what is current here, else the one begun last."""
        recorder = CURRENT.recorder or foreign.recorder()
        current = None if recorder is None else recorder.current()
        begun = [*self._outer, self._recording]
        ending = current if any(recording is current for recording in begun) else self._recording
        begun.remove(ending)
        *outer, self._recording = begun
        self._outer = tuple(outer)
        return ending

    async def __aenter__(self) -> Self:
        """Start the step."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        """End the step."""
        self.__exit__(kind, error, stack)

    stamp = stamps.mark_step
    usage = step_usage.usage

    def metric(
        self, name: str, value: float, /, *, unit: str | None = None, step: int | None = None, **attributes: object
    ) -> None:
        """Record one value of a metric of this step; `branchline.record_metric` says what is taken."""
        record_on(self._recording, name, value, unit, step, attributes)

    def set(self, /, **attributes: object) -> None:
        """Set attributes."""
        if self._recording is not None:
            self._recording.put(attributes)

    def link(self, other: Step | trace.Span | trace.Link | SpanContext, /, **attributes: object) -> None:
        """Point to another step or span that this one has to do with."""
        context = _context_of(other)
        if self._recording is not None and context is not None:
            self._recording.connect(context, attributes)

    def fail(self, why: str | BaseException = "", /) -> None:
        """Say that the step has failed, though no exception will leave it."""
        if self._recording is None:
            return
        error = _error_of(why)
        if error is not None:
            self._recording.put({names.ERROR_TYPE: error_type(error)})
            _record(self._recording, error)
        self._recording.settle(names.FAILED, _text(why) or None)

    def skip(self, why: str = "", /) -> None:
        """Say that the step had nothing to do."""
        if self._recording is not None:
            reason = _text(why)
            if reason:
                self._recording.put({names.SKIP_REASON: reason})
            self._recording.settle(names.SKIPPED)

    @property
    def name(self) -> str:
        """What it is called."""
        title = None if self._recording is None else getattr(self._recording.span, "name", None)
        return freeze_name(getattr(self, "_name", "")) if title is None else str(title)

    @property
    def trace_id(self) -> str | None:
        """The id of its trace, in hex; None where nothing records it."""
        return None if self._recording is None else f"{self._recording.span.get_span_context().trace_id:032x}"

    @property
    def span_id(self) -> str | None:
        """The id of its span, in hex; None where nothing records it."""
        return None if self._recording is None else f"{self._recording.span.get_span_context().span_id:016x}"

    def __copy__(self) -> Self:
        # It stands for what goes on: of that there is one.
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        msg = f"{self!r} belongs to the process that it runs in: send branchline.carrier(), and attach() it there"
        raise TypeError(msg)

    def __repr__(self) -> str:
        recording = self._recording
        state = "not recorded" if recording is None else "open" if recording.is_open else "ended"
        return f"<step {self.name!r} {state}>"


class _Found(Step):
    """The step that is running: what it was made from is known to its span alone."""

    __slots__ = ()
    _attributes: ClassVar[dict[str, object]] = {}  # type: ignore[misc]  # for what is found, and never changed
    _links = _NO_LINKS


def step(
    name: str, /, *, links: Iterable[Step | trace.Span | trace.Link | SpanContext] = _NO_LINKS, **attributes: object
) -> Step:
    """Return a step for a ``with`` or ``async with`` block; *links* are steps or spans it has to do with."""
    made = Step()
    # By hand, because this is called in hot loops: a call of the class would cost as much again.
    made._name = name if type(name) is str and len(name) <= MAX_NAME else freeze_name(name)  # noqa: SLF001
    made._attributes = attributes  # noqa: SLF001
    made._links = links  # noqa: SLF001
    made._recording = None  # noqa: SLF001
    made._outer = ()  # noqa: SLF001
    return made


def current_step() -> Step | None:
    """Return the innermost step that is running here, or None."""
    recorder = CURRENT.recorder or foreign.recorder()
    if recorder is None:
        return None
    recording = recorder.current_step()
    if recording is None:
        return None
    found = _Found()
    # By hand, because this is called in hot loops.
    found._recording = recording  # noqa: SLF001  # the same module
    found._outer = ()  # noqa: SLF001  # the same
    return found


def _error_of(why: Any) -> BaseException | None:
    # By its type: an object may raise when it is asked what it is.
    return why if issubclass(type(why), BaseException) else None


def _record(recording: Recording, error: BaseException) -> None:
    try:
        if recording.is_open:
            recording.span.record_exception(error)
    except Exception:  # a provider of others, or the exception's own __str__: recording never raises
        return


def _text(why: object) -> str:
    frozen = freeze(why)
    return frozen if isinstance(frozen, str) else str(frozen)


def _contexts_of(links: Any) -> list[SpanContext]:
    single = _context_of(links)
    if single is not None:
        return [single]
    try:
        return [context for link in links if (context := _context_of(link)) is not None]
    except Exception:  # no iterable at all, or one that raises: recording never does
        return []


def _context_of(link: object) -> SpanContext | None:
    try:
        return _said_context(link)
    except Exception:  # of an object that cannot even say what it is: recording never raises
        return None


def _said_context(link: object) -> SpanContext | None:
    if isinstance(link, SpanContext):
        return link
    if isinstance(link, trace.Span):
        return link.get_span_context()
    if isinstance(link, trace.Link):
        return link.context
    recording = link._recording if isinstance(link, Step) else None  # noqa: SLF001  # the same module
    return None if recording is None else recording.span.get_span_context()


# ── the decorator ─────────────────────────────────────────────────────────────────────────────────


@overload
def traced_step(function: F, /) -> F: ...


@overload
def traced_step(
    name: str | None = None,
    *,
    capture: Capture = None,
    new_trace: bool = False,
    record_exception: bool = True,
    **attributes: object,
) -> Callable[[F], F]: ...


def traced_step(
    name: Any = None,
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
    options = Options(
        name=name if isinstance(name, str) else None,
        capture=capture,
        new_trace=new_trace,
        record_exception=record_exception,
        attributes={freeze_key(key): freeze(value) for key, value in attributes.items()} or None,
    )
    return (
        functools.partial(traced, options=options) if name is None or isinstance(name, str) else traced(name, options)
    )
