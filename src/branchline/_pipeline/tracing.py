"""The OpenTelemetry tracer provider of a branchline process, and its tracers."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from time import perf_counter_ns
from typing import Any, cast

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON, Decision, Sampler, SamplingResult
from opentelemetry.sdk.util.instrumentation import InstrumentationInfo, InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState

from .. import names
from .._journal.fields import short_identity
from .._journal.span_records import SPAN_RECORD
from ..current import IDENTITY_KEY, PIPELINE_KEY
from ..recording import Identity
from ..values import freeze_name
from . import ids
from .active import SPAN_KEY, get_current
from .current import CurrentSpan
from .lanes import Lane, moment
from .limits import limits_from
from .pipeline import Pipeline
from .readable import otlp_kind
from .spans import Span
from .watchers import Unkept, Watchers, show_end, show_start


_log = logging.getLogger(__name__)

SAMPLED = 0x01
# The W3C flag that says of a trace id that all of its bytes are random; older releases know nothing of it.
_RANDOM = 0x02 if hasattr(TraceFlags, "RANDOM_TRACE_ID") else 0


class Provider(TracerProvider):
    """The SDK's provider with lean tracers and spans; what else it can do stays as the SDK has it."""

    # For branchline.foreign: where no run is going on, steps have nothing to record onto.
    _branchline_recorder = False

    def __init__(
        self,
        pipeline: Pipeline | None = None,
        *,
        sampler: Sampler | None = None,
        resource: Resource | None = None,
        id_generator: IdGenerator | None = None,
        span_limits: SpanLimits | None = None,
        active_span_processor: Any = None,
        **others: Any,
    ) -> None:
        """Make spans for *pipeline*; with None, or once that is closed, spans that record nothing."""
        self.pipeline: Pipeline | None = None
        self.watchers: tuple[SpanProcessor, ...] = () if active_span_processor is None else (active_span_processor,)
        self.is_own_ids = id_generator is None
        self.limits = limits_from(span_limits, os.environ)
        self.own_scope = InstrumentationScope(names.SCOPE, names.VERSION)
        self._is_resource_stale = False
        super().__init__(
            sampler=sampler,
            resource=resource,
            id_generator=id_generator or ids.PrivateIdGenerator(),
            span_limits=span_limits or SpanLimits(),
            active_span_processor=active_span_processor or Watchers(self._watch),
            **others,
        )
        is_random = getattr(self.id_generator, "is_trace_id_random", None)
        self.root_flags = _RANDOM if is_random is not None and is_random() else 0
        self._tracers: dict[InstrumentationScope, SdkTracer] = {}
        self.tracer = Tracer(self, None)
        self.use(pipeline)

    @property
    def asks_sampler(self) -> bool:
        """Whether somebody else decides what is recorded; else everything is, and nobody needs to be asked."""
        return self.sampler is not DEFAULT_ON and self.sampler is not ALWAYS_ON

    @property
    def resource(self) -> Resource:
        """Where the spans come from."""
        if self._is_resource_stale:
            self._is_resource_stale = False
            super()._handle_fork()
        return self._resource

    def _handle_fork(self) -> None:
        # The SDK runs its detectors at once, in a pool of threads: a cost to every fork, for what is rarely read.
        self._is_resource_stale = hasattr(super(), "_handle_fork")

    def adopt(self, other: Provider) -> None:
        """Take over what *other* was told: sampler, resource, limits."""
        self.sampler = other.sampler
        self._resource = other.resource
        self.limits = other.limits
        self._disabled = other._disabled
        # It was made to be asked: nobody must find it at the end of the process.
        other.shutdown()

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> api.Tracer:
        """Return the tracer for one instrumentation."""
        if self._disabled:
            return api.NoOpTracer()
        name = instrumenting_module_name
        if not name:
            name = ""
            _log.error("get_tracer called with missing module name.")
        scope = InstrumentationScope(name, instrumenting_library_version or "", schema_url, attributes)
        # Without a lock: a signal handler may ask for a tracer in the middle of this.
        return self._tracers.get(scope) or self._tracers.setdefault(scope, Tracer(self, scope))

    def _watch(self, watchers: tuple[SpanProcessor, ...]) -> None:
        """Show spans to these processors of others from now on."""
        self.watchers = watchers
        self.use(self.pipeline)

    def use(self, pipeline: Pipeline | None) -> None:
        """Make spans for *pipeline* from now on."""
        self.pipeline = pipeline
        if pipeline is not None:
            self._tell(pipeline)

    def _tell(self, pipeline: Pipeline) -> None:
        """Tell *pipeline* who watches, and whether its steps may be made the short way."""
        pipeline.watchers = self.watchers
        pipeline.is_simple = not (
            self.watchers or self.asks_sampler or not self.is_own_ids or self.limits is not None or pipeline.is_closed
        )

    def pipeline_in(self, context: Context) -> Pipeline | None:
        """Return where a span of *context* goes, or None where it is not recorded."""
        pipeline = cast("Pipeline | None", context.get(PIPELINE_KEY)) or self.pipeline
        if pipeline is None or pipeline.is_closed:
            return None
        if pipeline.watchers is not self.watchers:
            self._tell(pipeline)
        return pipeline

    def ended(self, span: Span) -> None:
        """Show a span that has ended to the processors of others."""
        show_end(self.watchers, span)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Write everything to the journal, and flush the processors of others."""
        is_written = self.pipeline is None or self.pipeline.flush(timeout_millis / 1000)
        return super().force_flush(timeout_millis) and is_written


class Tracer(SdkTracer):
    """Makes spans for one instrumentation scope; what the SDK's has as fields are questions to the provider."""

    def __init__(self, provider: Provider, scope: InstrumentationScope | None) -> None:
        """Make spans of *provider* with *scope*; None is branchline's own."""
        self._provider = provider
        self._scope = scope
        self._instrumentation_scope = scope if scope is not None else provider.own_scope
        self._span_limits = provider._span_limits  # noqa: SLF001  # a field of the SDK's tracer, too
        self._is_off = False
        configure = getattr(provider, "_apply_tracer_configurator", None)
        if configure is not None and scope is not None:
            self._set_tracer_config(configure(scope))

    def _set_tracer_config(self, tracer_config: Any) -> None:
        self._tracer_config = tracer_config
        self._is_off = not tracer_config.is_enabled

    def _is_enabled(self) -> bool:
        return not self._is_off

    def _set_resource(self, resource: Resource) -> None:
        """Do nothing: the provider is asked."""

    @property
    def instrumentation_scope(self) -> InstrumentationScope:
        """Whose spans it makes."""
        return self._instrumentation_scope

    @property
    def instrumentation_info(self) -> InstrumentationInfo:  # type: ignore[override]  # read-only
        """Whose spans it makes, under the older name."""
        scope = self._instrumentation_scope
        return InstrumentationInfo(scope.name, scope.version or "", scope.schema_url)

    @property
    def sampler(self) -> Sampler:  # type: ignore[override]  # read-only
        """Who decides what is recorded."""
        return self._provider.sampler

    @property
    def resource(self) -> Resource:  # type: ignore[override]  # read-only
        """Where the spans come from."""
        return self._provider.resource

    @property
    def id_generator(self) -> IdGenerator:  # type: ignore[override]  # read-only
        """Where the ids come from."""
        return self._provider.id_generator

    @property
    def span_processor(self) -> Any:  # type: ignore[override]  # read-only
        """Who else is told of the spans."""
        return self._provider._active_span_processor  # noqa: SLF001  # the SDK's tracer shows it as well

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
        span = self.begin(
            name, get_current() if context is None else context, kind, attributes, links or (), start_time
        )
        if span.__class__ is Span and not (record_exception and set_status_on_exception):
            span.records_exception = record_exception  # type: ignore[attr-defined]  # its class is known
            span.sets_status = set_status_on_exception  # type: ignore[attr-defined]  # the same
        return span

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
        start_time: Any = None,
        *,
        role: str | None = None,
        identity: Identity | None = None,
    ) -> api.Span:
        """Start a span the complete way: any parent, any sampler, limits, processors of others."""
        provider = self._provider
        parent = context.get(SPAN_KEY)
        origin = parent_context(parent)
        pipeline = provider.pipeline_in(context)
        if pipeline is None or self._is_off:
            return NonRecordingSpan(origin) if origin is not None else api.INVALID_SPAN

        lane, trace_hex, is_recorded, started_with = self._sampled(
            name, context, parent, origin, kind, attributes, links, pipeline
        )
        number = ids.bits(64) or 1 if provider.is_own_ids else provider.id_generator.generate_span_id()
        if not is_recorded:
            pipeline.sampled_out += 1
            state = TraceState.from_header([lane.state]) if lane.state else TraceState()
            return NonRecordingSpan(SpanContext(int(trace_hex, 16), number, False, TraceFlags(lane.flags), state))

        span: Span = Span()
        span.up = span.token = None
        span.is_common = True
        span.slots = -1
        span.lane = lane
        span.scope = self._scope
        title = name if type(name) is str and len(name) < 512 else freeze_name(name, pipeline.odd)
        began = perf_counter_ns() if start_time is None else moment(start_time, lane) - lane.offset
        span.fields = [
            SPAN_RECORD, trace_hex, number, None, title, began, None, role, None, None,
            short_identity(identity or inherited_identity(parent, context)), lane.clock,
        ]  # fmt: skip
        if origin is not None:
            span.parent_number = origin.span_id
            span._parent_context = origin  # noqa: SLF001  # a friend: this is where spans are made
            span.has_remote_parent = origin.is_remote
            if parent.__class__ is Span:
                span.up = cast("Span", parent)
        if kind is not SpanKind.INTERNAL:
            span.span_kind = otlp_kind(kind)
        is_rare = span.span_kind != 1 or span.has_remote_parent or lane.limits is not None
        if self._scope is not None or lane.state or is_rare:
            span.is_common = False
        lane.pipeline.open.add(span)
        if started_with:
            span.put(dict(started_with))
        for link in links:
            if link is not None:
                span.connect(link.context, link.attributes)
        if provider.watchers:
            show_start(provider.watchers, span, context)
        return span

    def _sampled(
        self,
        name: Any,
        context: Context,
        parent: Any,
        origin: SpanContext | None,
        kind: SpanKind,
        attributes: Mapping[str, Any] | None,
        links: Sequence[Any],
        pipeline: Pipeline,
    ) -> tuple[Lane, str, bool, Mapping[str, Any] | None]:
        """Return the lane and the trace to belong to, whether to record, and the attributes to start with."""
        provider = self._provider
        if not provider.asks_sampler:
            if parent.__class__ is Span and parent.lane.pipeline is pipeline:
                return parent.lane, parent.trace_hex, True, attributes
            if origin is None:
                lane = Lane(provider, pipeline, SAMPLED | provider.root_flags)
                return lane, f"{self._new_trace_id():032x}", True, attributes
            is_sampled = bool(origin.trace_flags & SAMPLED) or provider.sampler is ALWAYS_ON
            state = origin.trace_state.to_header() if origin.trace_state else ""
            flags = is_sampled | (int(origin.trace_flags) & _RANDOM)
            return Lane(provider, pipeline, flags, state), f"{origin.trace_id:032x}", is_sampled, attributes
        trace_id = self._new_trace_id() if origin is None else origin.trace_id
        try:
            result = provider.sampler.should_sample(context, trace_id, name, kind, attributes, links)
        except Exception as error:  # the application's own: it must not keep the application from working
            pipeline.failed("sampler", error)
            result = SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        is_sampled = result.decision is Decision.RECORD_AND_SAMPLE
        flags = is_sampled | (provider.root_flags if origin is None else int(origin.trace_flags) & _RANDOM)
        lane = Lane(
            provider,
            pipeline if is_sampled else cast("Pipeline", Unkept(pipeline)),
            flags,
            result.trace_state.to_header() if result.trace_state else "",
            # One clock for the whole trace.
            offset=parent.lane.offset if parent.__class__ is Span else None,
        )
        return lane, f"{trace_id:032x}", result.decision is not Decision.DROP, result.attributes

    def _new_trace_id(self) -> int:
        return ids.bits(128) or 1 if self._provider.is_own_ids else self._provider.id_generator.generate_trace_id()


def parent_context(parent: Any) -> SpanContext | None:
    """Return what a new span needs to know of its parent, or None where it starts a trace.

    Raises:
        TypeError: for a span of somebody else's that gives something else than a span context.
    """
    if not isinstance(parent, api.Span):
        return None
    found: Any = parent.get_span_context()
    if found is None or not found.is_valid:
        return None
    if not isinstance(found, SpanContext):
        msg = "parent_span_context must be a SpanContext or None."
        raise TypeError(msg)
    return found


def inherited_identity(parent: Any, context: Context) -> Any:
    """Return the experiment and branch of a span's parent, or of the context where the parent knows none."""
    if parent.__class__ is Span and parent.identity is not None:
        return parent.identity
    return context.get(IDENTITY_KEY)


def forget_provider(provider: Provider) -> None:
    """Let OpenTelemetry be told of a provider again, where *provider* is the one it was told of.

    The API has no word for this; where its private names have changed, the provider stays, and records nothing.
    """
    provider._active_span_processor._span_processors = ()  # noqa: SLF001  # the SDK can only add processors
    once: Any = getattr(api, "_TRACER_PROVIDER_SET_ONCE", None)
    if getattr(api, "_TRACER_PROVIDER", None) is provider and hasattr(once, "_done"):
        api._TRACER_PROVIDER = None  # noqa: SLF001
        once._done = False  # noqa: SLF001
