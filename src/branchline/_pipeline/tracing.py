"""The OpenTelemetry tracer provider of a branchline process, and its tracers."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ContextDecorator
from functools import wraps
from types import TracebackType
from typing import Any, cast

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON, Sampler
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState

from .. import names
from ..context import IDENTITY_KEY, PIPELINE_KEY, Identity
from ..values import freeze_name
from . import ids
from .active import SPAN_KEY, detach, get_current, set_current
from .limits import limits_from
from .pipeline import Pipeline
from .spans import Span, Trace, otlp_kind


# Both bits of the W3C flags: sampled, and a trace id that is random in all its bytes.
_SAMPLED = 0x03
_new = object.__new__


class Provider(TracerProvider):
    """The SDK's provider with lean tracers and spans; what else it can do stays as the SDK has it."""

    def __init__(
        self,
        pipeline: Pipeline | None = None,
        *,
        sampler: Sampler | None = None,
        resource: Resource | None = None,
        id_generator: IdGenerator | None = None,
        span_limits: SpanLimits | None = None,
        **others: Any,
    ) -> None:
        """Make spans for *pipeline*; with None, or once that is closed, spans that record nothing."""
        others.setdefault("shutdown_on_exit", False)
        super().__init__(
            sampler=sampler,
            resource=resource,
            id_generator=id_generator or ids.PrivateIdGenerator(),
            span_limits=span_limits or SpanLimits(),
            **others,
        )
        self.pipeline = pipeline
        self.limits = limits_from(span_limits, os.environ)
        self.own_scope = InstrumentationScope(names.SCOPE, names.VERSION)
        self.is_own_ids = id_generator is None
        self.tracer = Tracer(self, None)
        self.watchers: tuple[SpanProcessor, ...] = ()

    @property
    def asks_sampler(self) -> bool:
        """Whether somebody else decides what is recorded; else everything is, and nobody needs to be asked."""
        return self.sampler is not DEFAULT_ON and self.sampler is not ALWAYS_ON

    def adopt(self, other: Provider) -> None:
        """Take over what *other* was told: sampler, resource, limits."""
        self.sampler = other.sampler
        self._resource = other.resource
        self.limits = other.limits
        self._disabled = other._disabled

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> api.Tracer:
        """Return a tracer for one instrumentation."""
        if self._disabled:
            return api.NoOpTracer()
        name = instrumenting_module_name or ""
        scope = InstrumentationScope(name, instrumenting_library_version, schema_url, attributes)
        return Tracer(self, scope)

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Let somebody else's processor see every span."""
        super().add_span_processor(span_processor)
        self.watchers = (*self.watchers, span_processor)
        self.use(self.pipeline)

    def use(self, pipeline: Pipeline | None) -> None:
        """Make spans for *pipeline* from now on."""
        self.pipeline = pipeline
        if pipeline is not None:
            pipeline.watchers = self.watchers
            pipeline.is_simple = not (
                self.watchers
                or self.asks_sampler
                or not self.is_own_ids
                or self.limits is not None
                or pipeline.is_closed
            )

    def began(self, span: Span, parent: Context | None) -> None:
        """Show a span that has begun to the processors of others; what they raise stays here."""
        for processor in self.watchers:
            try:
                processor.on_start(span, parent_context=parent)
            except Exception as error:  # somebody else's code
                span.trace.pipeline.failed("processor", error)

    def ended(self, span: Span) -> None:
        """Show a span that has ended to the processors of others; what they raise stays here."""
        copy = span.readable()
        for processor in self.watchers:
            try:
                ending = getattr(processor, "_on_ending", None)
                if ending is not None:
                    ending(span)
                processor.on_end(copy)
            except Exception as error:  # somebody else's code
                span.trace.pipeline.failed("processor", error)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Write everything to the journal, and flush the processors of others."""
        is_written = self.pipeline is None or self.pipeline.flush(timeout_millis / 1000)
        return super().force_flush(timeout_millis) and is_written


class Tracer(api.Tracer):
    """Makes spans for one instrumentation scope."""

    def __init__(self, provider: Provider, scope: InstrumentationScope | None) -> None:
        """Make spans of *provider* with *scope*; None is branchline's own."""
        self._provider = provider
        self._scope = scope

    @property
    def instrumentation_scope(self) -> InstrumentationScope:
        """Whose spans it makes."""
        return self._scope if self._scope is not None else self._provider.own_scope

    @property
    def sampler(self) -> Sampler:
        """Who decides what is recorded."""
        return self._provider.sampler

    @property
    def resource(self) -> Resource:
        """Where the spans come from."""
        return self._provider.resource

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Any = None,
        links: Sequence[api.Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> api.Span:
        """Start a span without making it current."""
        return self.begin(
            name, get_current() if context is None else context, kind, attributes, links or (), start_time
        )

    def start_as_current_span(  # type: ignore[override]  # the API's private decorator class; this does what it does
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Any = None,
        links: Sequence[api.Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> CurrentSpan:
        """Start a span and make it current for a ``with`` block or a decorated function."""
        return CurrentSpan(
            lambda: self.start_span(name, context, kind, attributes, links, start_time),
            record_exception=record_exception,
            set_status_on_exception=set_status_on_exception,
            end_on_exit=end_on_exit,
        )

    def begin(
        self,
        name: Any,
        context: Context,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Any] = (),
        start_time: int | None = None,
        *,
        role: str | None = None,
        identity: Identity | None = None,
    ) -> api.Span:
        """Start a span the complete way: any parent, any sampler, limits, processors of others."""
        provider = self._provider
        if context is not None and not isinstance(context, dict):
            context = get_current()
        parent = context.get(SPAN_KEY)
        parent_context = parent.get_span_context() if isinstance(parent, api.Span) else None
        if parent_context is not None and not isinstance(parent_context, SpanContext):
            msg = "parent_span_context must be a SpanContext or None."
            raise TypeError(msg)
        if parent_context is not None and not parent_context.is_valid:
            parent_context = None
        pipeline = cast("Pipeline | None", context.get(PIPELINE_KEY)) or provider.pipeline
        if pipeline is None or pipeline.is_closed:
            return NonRecordingSpan(parent_context) if parent_context is not None else api.INVALID_SPAN

        trace, allowed, extra = self._sampled(name, context, parent_context, kind, attributes, links, pipeline, parent)
        number = ids.bits(64) or 1 if provider.is_own_ids else provider.id_generator.generate_span_id()
        if not allowed:
            pipeline.sampled_out += 1
            state = TraceState.from_header([trace.state]) if trace.state else TraceState()
            return NonRecordingSpan(SpanContext(trace.id, number, False, TraceFlags(trace.flags), state))

        span = _new(Span)
        span.trace = trace
        span.number = number
        span.provider = provider
        span.title = name if name.__class__ is str and len(name) < 512 else freeze_name(name, pipeline.odd)
        span.scope = self._scope
        span.role = role
        span.identity = identity or inherited_identity(parent, context)
        span.limits = provider.limits
        if parent_context is not None:
            span.parent_number = parent_context.span_id
            span._parent_context = parent_context  # noqa: SLF001  # a friend: this is where spans are made
            span.has_remote_parent = parent_context.is_remote
            if parent.__class__ is Span:
                span.up = cast("Span", parent)
        if kind is not SpanKind.INTERNAL:
            span.span_kind = otlp_kind(kind)
        if self._scope is not None or trace.state or span.span_kind != 1 or span.has_remote_parent:
            span.is_common = False
        span.began = trace.now() if start_time is None else start_time
        pipeline.open[number] = span
        if extra:
            span.put(extra)
        for link in links:
            span.connect(link.context, link.attributes)
        if provider.watchers:
            provider.began(span, context)
        return span

    def _sampled(
        self,
        name: Any,
        context: Context,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: Mapping[str, Any] | None,
        links: Sequence[Any],
        pipeline: Pipeline,
        parent_span: Any,
    ) -> tuple[Trace, bool, Mapping[str, Any] | None]:
        """Return the trace to belong to, whether to record, and the attributes to start with."""
        provider = self._provider
        state = parent.trace_state.to_header() if parent is not None and parent.trace_state else ""
        if not provider.asks_sampler:
            if parent_span.__class__ is Span and parent_span.trace.pipeline is pipeline:
                return parent_span.trace, True, attributes
            if parent is None:
                return Trace(pipeline, self._new_trace_id(), _SAMPLED, ""), True, attributes
            is_sampled = bool(parent.trace_flags & 1) or provider.sampler is ALWAYS_ON
            flags = int(parent.trace_flags) & 0xFE | is_sampled
            return Trace(pipeline, parent.trace_id, flags, state), is_sampled, attributes
        trace_id = self._new_trace_id() if parent is None else parent.trace_id
        result = provider.sampler.should_sample(context, trace_id, name, kind, attributes, links)
        flags = int(result.decision.is_sampled()) | (2 if parent is None else int(parent.trace_flags) & 2)
        trace = Trace(pipeline, trace_id, flags, result.trace_state.to_header() if result.trace_state else "")
        if parent_span.__class__ is Span:
            # One clock for the whole trace.
            trace.offset = parent_span.trace.offset
        return trace, result.decision.is_recording(), result.attributes

    def _new_trace_id(self) -> int:
        return ids.bits(128) or 1 if self._provider.is_own_ids else self._provider.id_generator.generate_trace_id()


def inherited_identity(parent: Any, context: Context) -> Any:
    """Return the experiment and branch of a span's parent, or of the context where the parent knows none."""
    if parent.__class__ is Span and parent.identity is not None:
        return parent.identity
    return context.get(IDENTITY_KEY)


class CurrentSpan(ContextDecorator):
    """A span that is current for a ``with`` block, or for each call of a decorated function."""

    def __init__(
        self,
        start: Callable[[], api.Span],
        *,
        record_exception: bool,
        set_status_on_exception: bool,
        end_on_exit: bool,
    ) -> None:
        """Make the span with *start* when the block is entered."""
        self._start = start
        self._record_exception = record_exception
        self._set_status = set_status_on_exception
        self._end_on_exit = end_on_exit
        self._entered: list[tuple[api.Span, Any]] = []

    def __enter__(self) -> api.Span:
        """Start the span and make it current."""
        span = self._start()
        context = Context(get_current())
        dict.__setitem__(context, SPAN_KEY, span)
        self._entered.append((span, set_current(context)))
        return span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        """End the span, with the exception that left the block."""
        span, token = self._entered.pop()
        detach(token)
        if isinstance(error, Exception) and span.is_recording():
            if self._record_exception:
                span.record_exception(error)
            if self._set_status:
                span.set_status(api.Status(api.StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        if self._end_on_exit:
            span.end()

    def _recreate_cm(self) -> CurrentSpan:
        """Return a fresh one: calls of a decorated function may overlap."""
        return CurrentSpan(
            self._start,
            record_exception=self._record_exception,
            set_status_on_exception=self._set_status,
            end_on_exit=self._end_on_exit,
        )

    def __call__(self, function: Any) -> Any:
        """Decorate *function*, async ones included."""
        if not inspect.iscoroutinefunction(function):
            return super().__call__(function)

        @wraps(function)
        async def traced(*args: Any, **kwargs: Any) -> Any:
            with self._recreate_cm():
                return await function(*args, **kwargs)

        return traced


def forget_provider(provider: Provider) -> None:
    """Let OpenTelemetry be told of a provider again, where *provider* is the one it was told of.

    The API has no word for this; where its private names have changed, the provider stays, and records nothing.
    """
    once = getattr(api, "_TRACER_PROVIDER_SET_ONCE", None)
    if getattr(api, "_TRACER_PROVIDER", None) is provider and hasattr(once, "_done"):
        api._TRACER_PROVIDER = None  # noqa: SLF001
        once._done = False  # noqa: SLF001
