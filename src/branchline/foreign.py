"""Steps on somebody else's tracer provider: the OpenTelemetry API and nothing more."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, ProxyTracerProvider, SpanContext, Status, StatusCode

from . import names
from .context import detach
from .current import IDENTITY_KEY
from .outcomes import error_type, is_worth_recording
from .recording import Identity, Recording, UsagePlace
from .tracebacks import said, stack_of
from .values import Value, freeze, freeze_key, freeze_name


if TYPE_CHECKING:
    from .foreign_usage import Spent

_RECORDING_KEY = otel_context.create_key("branchline-recording")
# What only a journal of ours wants to know of a span.
_HOUSEKEEPING = "branchline."


@dataclass(slots=True)
class Note:
    """What a span of ours is and was given, whatever its provider makes of it: for a journal that wants to know."""

    role: str
    identity: Identity | None
    is_read: bool
    outcome: str | None = None
    data: dict[str, Value] = field(default_factory=dict)
    marks: list[tuple[str, int, dict[str, Value] | None, int]] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)
    heard: Callable[[str], None] | None = None

    def odd(self, kind: str) -> None:
        """Note that something odd was recorded, until somebody hears of it."""
        if self.heard is not None:
            self.heard(kind)
        else:
            self.oddities.append(kind)

    def put(self, attributes: Mapping[str, object]) -> dict[str, Any]:
        """Keep *attributes*, and return what the provider is told of them."""
        frozen = self._frozen(attributes)
        if self.is_read:
            self.data.update(frozen)
        return self._told(frozen)

    def mark(self, title: str, now: int, attributes: Mapping[str, object]) -> dict[str, Any]:
        """Keep an event, and return what the provider is told of its attributes."""
        frozen = self._frozen(attributes)
        if self.is_read:
            self.marks.append((title, now, frozen, 0))
        return self._told(frozen)

    def _frozen(self, attributes: Mapping[str, object]) -> dict[str, Value]:
        return {freeze_key(key, self.odd): freeze(value, self.odd) for key, value in attributes.items()}

    def _told(self, attributes: Mapping[str, Value]) -> dict[str, Any]:
        """Leave out what is our own business, where a journal has it."""
        return {
            key: _flat(value)
            for key, value in attributes.items()
            if value is not None and not (self.is_read and key.startswith(_HOUSEKEEPING))
        }


class ForeignRecording:
    """One open step, branch or experiment as a span of another provider."""

    def __init__(self, span: trace.Span, note: Note) -> None:
        """Record onto *span*, and what it is and gets onto *note*."""
        self._span = span
        self._note = note
        self._token: Any = None
        self._is_open = True
        self._settled: tuple[str, str | None] | None = None
        # What it took, once anything did.
        self.spent: Spent | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still takes data."""
        return self._is_open

    @property
    def role(self) -> str | None:
        """``experiment``, ``branch`` or ``step``."""
        return self._note.role

    @property
    def identity(self) -> Identity | None:
        """The experiment and branch it belongs to."""
        return self._note.identity

    @property
    def span(self) -> trace.Span:
        """The other provider's span."""
        return self._span

    def put(self, attributes: Mapping[str, object]) -> None:
        """Set attributes."""
        if self._is_open:
            _quietly(lambda: self._span.set_attributes(self._note.put(attributes)))

    def mark(self, name: str, attributes: Mapping[str, object]) -> None:
        """Add a span event, now."""
        if self._is_open:
            _quietly(lambda: self._mark(name, attributes))

    def _mark(self, name: str, attributes: Mapping[str, object]) -> None:
        title = freeze_name(name, self._note.odd)
        # Said, so that the journal knows this event again among those that the provider has kept.
        now = time.time_ns()
        self._span.add_event(title, self._note.mark(title, now, attributes), now)

    def connect(self, other: SpanContext, attributes: Mapping[str, object] | None = None) -> None:
        """Add a link."""
        if self._is_open:
            _quietly(lambda: self._span.add_link(other, _plain(attributes or {})))

    def settle(self, outcome: str, message: str | None = None) -> None:
        """Decide how it will have ended, unless an exception says otherwise."""
        self._settled = (outcome, message)

    def suspend(self) -> Context:
        """Give the caller its own context back; return the one that was current inside."""
        inside = otel_context.get_current()
        self._detach()
        return inside

    def resume(self, inside: Context | None = None) -> None:
        """Make it, or the context it was suspended with, current again."""
        self._token = otel_context.attach(inside if inside is not None else self.within(otel_context.get_current()))

    def within(self, context: Context) -> Context:
        """Return *context* with this recording as what is current."""
        inside = otel_context.set_value(_RECORDING_KEY, self, trace.set_span_in_context(self._span, context))
        if self._note.identity is None:
            return inside
        return otel_context.set_value(IDENTITY_KEY, self._note.identity, inside)

    def leave(self, outcome: str, error: BaseException | None = None, message: str | None = None) -> None:
        """Take it off the current context and end it."""
        self._detach()
        if not self._is_open:
            return
        self._is_open = False
        if self._settled is not None and outcome in (names.SUCCESS, names.CLOSED):
            outcome, message = self._settled
        self._note.outcome = outcome
        _quietly(lambda: self._end(outcome, error, message))

    def _end(self, outcome: str, error: BaseException | None, message: str | None) -> None:
        span = self._span
        try:
            if error is not None and is_worth_recording(error):
                described = {
                    names.EXCEPTION_TYPE: error_type(error),
                    names.EXCEPTION_MESSAGE: str(freeze(said(error))),
                    names.EXCEPTION_STACKTRACE: str(freeze(stack_of(error, error.__traceback__))),
                }
                span.set_attribute(names.ERROR_TYPE, described[names.EXCEPTION_TYPE])
                _quietly(lambda: _record(span, error, described))
                message = message or described[names.EXCEPTION_MESSAGE] or described[names.EXCEPTION_TYPE]
            if outcome in names.ERROR_OUTCOMES:
                span.set_status(Status(StatusCode.ERROR, message))
        finally:
            span.end()

    def _detach(self) -> None:
        if self._token is not None:
            token, self._token = self._token, None
            if not detach(token) and otel_context.get_value(_RECORDING_KEY) is self:
                # Left in another task or thread than entered: what comes after it must not be inside of it.
                before = getattr(token, "old_value", None)
                otel_context.attach(before if isinstance(before, Context) else Context())


class ForeignRecorder:
    """Records onto whatever provider the application has set."""

    capture = ""

    def __init__(
        self,
        provider: trace.TracerProvider | None = None,
        *,
        capture: str = "",
        noted: Callable[[trace.Span, Note], None] | None = None,
        event: Callable[..., None] | None = None,
        point: Callable[..., None] | None = None,
        usage_place: Callable[[Recording | None], UsagePlace | None] | None = None,
    ) -> None:
        """Record onto *provider*; *noted* hears what each span is, the others take what no span has a place for."""
        self.capture = capture
        self._tracer = trace.get_tracer(names.SCOPE, names.VERSION, tracer_provider=provider)
        self._noted = noted
        self._event = event
        self._point = point
        self._usage_place = usage_place

    def enter(
        self,
        name: str,
        role: str,
        attributes: Mapping[str, object] | None = None,
        links: Sequence[SpanContext] = (),
        identity: Identity | None = None,
        new_trace: bool = False,
    ) -> Recording:
        """Start a span and make it current."""
        context = otel_context.get_current()
        note = Note(role, identity or _identity_in(context), is_read=self._noted is not None)
        span = self._started(name, note, context, attributes or {}, links, new_trace=new_trace)
        if self._noted is not None:
            noted = self._noted
            _quietly(lambda: noted(span, note))
        recording = ForeignRecording(span, note)
        recording.resume(recording.within(context))
        return recording

    def _started(
        self,
        name: str,
        note: Note,
        context: Context,
        attributes: Mapping[str, object],
        links: Sequence[SpanContext],
        *,
        new_trace: bool,
    ) -> trace.Span:
        linked = [Link(link) for link in links]
        parent = context
        if new_trace:
            parent = trace.set_span_in_context(trace.INVALID_SPAN, context)
            origin = trace.get_current_span(context).get_span_context()
            linked += [Link(origin)] if origin.is_valid else []
        try:
            title = freeze_name(name, note.odd)
            return self._tracer.start_span(title, parent, attributes=note.put(attributes), links=linked)
        except Exception:  # a processor or sampler of the application; the step itself must go on
            return trace.INVALID_SPAN

    def open_step(self, name: str, attributes: dict[str, object] | None) -> Recording:
        """Start a plain step and make it current."""
        return self.enter(name, names.KIND_STEP, attributes)

    def current(self) -> Recording | None:
        """Return the innermost open span of ours in this context."""
        found = otel_context.get_value(_RECORDING_KEY)
        return found if isinstance(found, ForeignRecording) else None

    def current_step(self) -> Recording | None:
        """Return what ``current`` does, if that is a step that is open."""
        found = self.current()
        return found if found is not None and found.role == names.KIND_STEP and found.is_open else None

    def event(
        self, name: str, attributes: Mapping[str, object], *, severity: str = "INFO", body: object = None
    ) -> None:
        """Record a log event, where somebody takes them."""
        if self._event is not None:
            self._event(name, attributes, severity=severity, body=body)

    def point(
        self,
        name: object,
        value: object,
        unit: object,
        step: object,
        attributes: Mapping[str, object],
        recording: Recording | None = None,
    ) -> None:
        """Record one value of a metric, where somebody takes them."""
        if self._point is not None:
            self._point(name, value, unit, step, attributes, recording)

    def usage_place(self, recording: Recording | None = None) -> UsagePlace:
        """Return where a usage is recorded: on the span, and where somebody else takes them."""
        # Whoever calls no models must not pay for exact decimals.
        from .foreign_usage import ForeignPlace

        journal = None if self._usage_place is None else self._usage_place(recording)
        place = self.current() if recording is None else recording
        identity = _identity_in(otel_context.get_current()) if place is None else place.identity
        return ForeignPlace(place, identity, journal)


# Looked at on every step of a program without configure(): the public function asks the environment each time.
_API = vars(trace)
_PROVIDER_NAME = "_TRACER_PROVIDER"
_IS_UNSET = _PROVIDER_NAME in _API and "OTEL_PYTHON_TRACER_PROVIDER" not in os.environ


def recorder() -> ForeignRecorder | None:
    """Return a recorder onto the provider that the application has set, or None where there is none."""
    if _IS_UNSET and _API[_PROVIDER_NAME] is None:
        return None
    provider = trace.get_tracer_provider()
    if provider.__class__ is ProxyTracerProvider or provider.__class__ is trace.NoOpTracerProvider:
        return None
    # One recorder is kept with the provider that it was made for, so that a step need not make a tracer; False is
    # what branchline's own has, which nothing but a run records onto.
    kept: ForeignRecorder | Literal[False] | None = getattr(provider, "_branchline_recorder", None)
    if kept is None:
        try:
            kept = ForeignRecorder(provider)
        except Exception:  # a provider that makes no tracers: the step itself must go on
            return None
        _quietly(lambda: setattr(provider, "_branchline_recorder", kept))
    return kept or None


def _identity_in(context: Context) -> Identity | None:
    found = context.get(IDENTITY_KEY)
    return found if isinstance(found, Identity) else None


def _plain(attributes: Mapping[str, object]) -> dict[str, Any]:
    return {freeze_key(key): _flat(freeze(value)) for key, value in attributes.items()}


def _flat(value: Any) -> Any:
    """Return *value* as every version of the API takes it: scalars, and sequences of one kind of them; else JSON."""
    if isinstance(value, (str, bool, int, float, bytes)):
        return value
    if isinstance(value, tuple):
        kinds = {type(item) for item in value}
        if len(kinds) <= 1 and kinds <= {str, bool, int, float}:
            return list(value)
    # For the few values that are no plain ones: importing branchline must not pay for it.
    import json

    return json.dumps(value, default=str, ensure_ascii=False)


def _record(span: trace.Span, error: BaseException, described: Mapping[str, str]) -> None:
    try:
        # Some providers make more of it than an event.
        span.record_exception(error, described)
    except Exception:  # the user's __str__, which the SDK asks whatever it is told
        span.add_event(names.EXCEPTION, described)


def _quietly(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception:  # another provider's failure must not become the application's
        return
