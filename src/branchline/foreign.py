"""Steps on somebody else's tracer provider: the OpenTelemetry API and nothing more."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, ProxyTracerProvider, SpanContext, Status, StatusCode

from . import names
from .context import IDENTITY_KEY, Identity, Recording
from .outcomes import is_worth_recording
from .values import freeze, freeze_key, freeze_name


_RECORDING_KEY = otel_context.create_key("branchline-recording")


@dataclass(slots=True)
class Note:
    """What a span of ours is, beside what it says: for a journal that wants to know."""

    role: str
    identity: Identity | None
    outcome: str | None = None


class ForeignRecording:
    """One open step, branch or experiment as a span of another provider."""

    def __init__(self, span: trace.Span, note: Note, token: Any) -> None:
        """Record onto *span*, which *token* made current."""
        self._span = span
        self._note = note
        self._token = token
        self._is_open = True
        self._settled: tuple[str, str | None] | None = None

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
        _quietly(lambda: self._span.set_attributes(_plain(attributes)))

    def mark(self, name: str, attributes: Mapping[str, object]) -> None:
        """Add a span event, now."""
        _quietly(lambda: self._span.add_event(freeze_name(name), _plain(attributes)))

    def connect(self, other: SpanContext, attributes: Mapping[str, object] | None = None) -> None:
        """Add a link."""
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
        context = inside if inside is not None else trace.set_span_in_context(self._span)
        self._token = otel_context.attach(context)

    def leave(self, outcome: str, error: BaseException | None = None, message: str | None = None) -> None:
        """Take it off the current context and end it."""
        self._detach()
        if not self._is_open:
            return
        self._is_open = False
        if self._settled is not None and outcome == names.SUCCESS:
            outcome, message = self._settled
        self._note.outcome = outcome
        _quietly(lambda: self._end(outcome, error, message))

    def _end(self, outcome: str, error: BaseException | None, message: str | None) -> None:
        span = self._span
        if error is not None and is_worth_recording(error):
            span.set_attribute(names.ERROR_TYPE, type(error).__qualname__)
            _quietly(lambda: span.record_exception(error))
        if outcome in names.ERROR_OUTCOMES:
            span.set_status(Status(StatusCode.ERROR, message if message is not None else str(freeze(error))))
        span.end()

    def _detach(self) -> None:
        if self._token is not None:
            token, self._token = self._token, None
            otel_context.detach(token)


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
    ) -> None:
        """Record onto *provider*; *noted* hears what each span is, *event* takes log events."""
        self.capture = capture
        self._tracer = trace.get_tracer(names.SCOPE, names.VERSION, tracer_provider=provider)
        self._noted = noted
        self._event = event

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
        belongs_to = identity or _identity_in(context)
        parent = trace.set_span_in_context(trace.INVALID_SPAN, context) if new_trace else context
        note = Note(role, belongs_to)
        try:
            span = self._tracer.start_span(
                freeze_name(name), parent, attributes=_plain(attributes or {}), links=[Link(link) for link in links]
            )
            if self._noted is not None:
                self._noted(span, note)
        except Exception:  # a processor or sampler of the application; the step itself must go on
            span = trace.INVALID_SPAN
        inside = trace.set_span_in_context(span, context)
        if belongs_to is not None:
            inside = otel_context.set_value(IDENTITY_KEY, belongs_to, inside)
        recording = ForeignRecording(span, note, None)
        recording.resume(otel_context.set_value(_RECORDING_KEY, recording, inside))
        return recording

    def current(self) -> Recording | None:
        """Return the innermost open span of ours in this context."""
        found = otel_context.get_value(_RECORDING_KEY)
        return found if isinstance(found, ForeignRecording) else None

    def event(
        self, name: str, attributes: Mapping[str, object], *, severity: str = "INFO", body: object = None
    ) -> None:
        """Record a log event, where somebody takes them."""
        if self._event is not None:
            self._event(
                name, attributes, severity=severity, body=body, identity=_identity_in(otel_context.get_current())
            )


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
    # One recorder is kept with the provider that it was made for, so that a step need not make a tracer.
    kept = getattr(provider, "_branchline_recorder", None)
    if kept is None:
        kept = ForeignRecorder(provider)
        _quietly(lambda: setattr(provider, "_branchline_recorder", kept))
    return kept  # type: ignore[no-any-return]  # only we set the attribute


def _identity_in(context: Context) -> Identity | None:
    found = context.get(IDENTITY_KEY)
    return found if isinstance(found, Identity) else None


def _plain(attributes: Mapping[str, object]) -> dict[str, Any]:
    return {freeze_key(key): _flat(freeze(value)) for key, value in attributes.items()}


def _flat(value: Any) -> Any:
    """Return *value* as every version of the API takes it: scalars, and sequences of one kind of them."""
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (list, tuple)) and len({type(item) for item in value}) <= 1:
        return [_flat(item) for item in value]
    return str(value)


def _quietly(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception:  # another provider's failure must not become the application's
        return
