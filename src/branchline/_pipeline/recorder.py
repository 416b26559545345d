"""The recorder that ``configure`` sets: steps, branches and events onto spans of our own, on the shortest way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter_ns
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext
from opentelemetry.trace import Span as ApiSpan

from .. import names
from .._journal.fields import CLOCK, ENDED, IDENTITY, NUMBER, ROLE, TRACE
from .._journal.span_records import SPAN_RECORD
from ..current import IDENTITY_KEY, PIPELINE_KEY
from ..recording import Identity, Recording
from . import finalisers, ids
from .active import SPAN_KEY, detach, get_current, set_current
from .finalisers import COLLECTOR
from .lanes import Lane
from .pipeline import Pipeline
from .points import record_point
from .spans import Span
from .tracing import SAMPLED, Provider
from .usages import Spot


_bits = ids.bits
_set_item = dict.__setitem__


class NativeRecorder:
    """Records onto the provider that branchline set."""

    def __init__(self, provider: Provider, pipeline: Pipeline, *, capture: str) -> None:
        """Record onto *provider*, into *pipeline* unless a capture in the context says otherwise."""
        self.capture = capture
        self._provider = provider
        self._pipeline = pipeline
        self._root_flags = SAMPLED | provider.root_flags
        self._lane = Lane(provider, pipeline, self._root_flags)

    def open_step(self, name: str, attributes: dict[str, object] | None) -> Recording:
        """Start a plain step and make it current: the short way."""
        context = get_current()
        if context:
            parent: Any = context.get(SPAN_KEY)
            if parent.__class__ is not Span or not parent.lane.pipeline.is_simple:
                return self._entered(name, names.KIND_STEP, context, attributes, (), None, new_trace=False)
            span: Span = Span()
            span.token = None
            span.slots = -1
            lane = span.lane = parent.lane
            span.is_common = lane.has_no_state
            span.up = parent
            known = parent.fields
            number = _bits(64) or 1
            span.fields = [
                SPAN_RECORD, known[TRACE], number, known[NUMBER], name, perf_counter_ns(), None,
                "step", None, None, known[IDENTITY], known[CLOCK],
            ]  # fmt: skip
            # A plain dictionary where the API would make a Context: nobody but us has it before it is current,
            # nobody may change it afterwards, and making a Context costs three times as much.
            inside: Any = context.copy()
            inside[SPAN_KEY] = span
        else:
            # Nothing is current: the root of a new trace.
            pipeline = self._pipeline
            if not pipeline.is_simple:
                return self._entered(name, names.KIND_STEP, context, attributes, (), None, new_trace=False)
            span = Span()
            span.up = span.token = None
            span.is_common = True
            span.slots = -1
            lane = self._lane
            began = perf_counter_ns()
            if began > lane.stale_at:
                lane = self._lane = Lane(self._provider, pipeline, self._root_flags)
            span.lane = lane
            trace: Any = _bits(128)
            if pipeline.ring is not None:
                trace = trace.to_bytes(16, "big").hex()
            number = _bits(64) or 1
            span.fields = [
                SPAN_RECORD, trace, number, None, name, began, None, "step", None, None, None, lane.clock
            ]  # fmt: skip
            inside = {SPAN_KEY: span}
        lane.pipeline.open.add(span)
        span.token = set_current(inside) if COLLECTOR.stop else finalisers.set_current(inside)
        if attributes:
            # A copy: the decorator's own attributes serve every call.
            span.put(attributes.copy())
        return span

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
        return self._entered(name, role, get_current(), attributes, links, identity, new_trace=new_trace)

    def _entered(
        self,
        name: str,
        role: str,
        context: Context,
        attributes: Mapping[str, object] | None,
        links: Sequence[SpanContext],
        identity: Identity | None,
        *,
        new_trace: bool,
    ) -> Recording:
        """Start a span the long way: somebody else has a say in it."""
        made = self._begin(name, role, context, attributes, links, identity, new_trace=new_trace)
        if not isinstance(made, Span):
            return Unsampled(made, context, identity or self._identity(context))
        span: Span = made
        inside: Any = context.copy()
        inside[SPAN_KEY] = span
        span.token = finalisers.set_current(inside)
        if identity is not None:
            _set_item(get_current(), IDENTITY_KEY, identity)
        if role != names.KIND_STEP:
            span.lane.pipeline.started(span)
        return span

    def _begin(
        self,
        name: str,
        role: str,
        context: Context,
        attributes: Mapping[str, object] | None,
        links: Sequence[SpanContext],
        identity: Identity | None,
        *,
        new_trace: bool,
    ) -> ApiSpan:
        all_links = [Link(link) for link in links]
        if new_trace:
            origin = context.get(SPAN_KEY)
            if isinstance(origin, ApiSpan) and origin.get_span_context().is_valid:
                all_links.append(Link(origin.get_span_context(), {names.TRACE_LINK: "started_from"}))
            identity = identity or self._identity(context)
            context = Context({key: value for key, value in context.items() if key != SPAN_KEY})
        return self._provider.tracer.begin(
            name, context, attributes=attributes, links=all_links, role=role, identity=identity
        )

    def _identity(self, context: Context) -> Identity | None:
        parent = context.get(SPAN_KEY)
        found = parent.identity if isinstance(parent, Span) else None
        if found is None:
            found = context.get(IDENTITY_KEY)
        return found if isinstance(found, Identity) else None

    def current(self) -> Recording | None:
        """Return the innermost span of ours in this context."""
        span: Any = get_current().get(SPAN_KEY)
        while span.__class__ is Span:
            if span.fields[ROLE] is not None:
                return span  # type: ignore[no-any-return]  # its class is known
            span = span.up
        return None

    def current_step(self) -> Recording | None:
        """Return what ``current`` does, if that is a step that is open."""
        span: Any = get_current().get(SPAN_KEY)
        while span.__class__ is Span:
            fields = span.fields
            role = fields[ROLE]
            if role is not None:
                return span if role == "step" and fields[ENDED] is None else None
            span = span.up
        return None

    def event(
        self, name: str, attributes: Mapping[str, object], *, severity: str = "INFO", body: object = None
    ) -> None:
        """Record a log event of the run."""
        context = get_current()
        current = context.get(SPAN_KEY)
        captured = context.get(PIPELINE_KEY)
        pipeline = captured if isinstance(captured, Pipeline) else self._pipeline
        if isinstance(current, Span):
            current.lane.pipeline.event(name, attributes, severity=severity, body=body, span=current)
            return
        # No span of this process: perhaps the one that another process or provider is in.
        place = current.get_span_context() if isinstance(current, ApiSpan) else None
        identity = context.get(IDENTITY_KEY)
        pipeline.event(name, attributes, severity=severity, body=body, place=place, identity=identity)

    def point(
        self,
        name: object,
        value: object,
        unit: object,
        step: object,
        attributes: Mapping[str, object],
        recording: Recording | None = None,
    ) -> None:
        """Record one value of a metric, belonging to *recording*, else to the span that is current."""
        if recording.__class__ is Span:
            span: Any = recording
            record_point(span.lane.pipeline, name, value, unit, step, attributes, span=span)
            return
        context = get_current()
        current: Any = context.get(SPAN_KEY) if recording is None else recording.span
        if current.__class__ is Span:
            record_point(current.lane.pipeline, name, value, unit, step, attributes, span=current)
            return
        captured = context.get(PIPELINE_KEY)
        pipeline = captured if isinstance(captured, Pipeline) else self._pipeline
        place = current.get_span_context() if isinstance(current, ApiSpan) else None
        identity = context.get(IDENTITY_KEY) if recording is None else recording.identity
        record_point(pipeline, name, value, unit, step, attributes, place=place, identity=identity)

    def usage_place(self, recording: Recording | None = None) -> Spot:
        """Return where a usage is recorded that belongs to *recording*, else to the innermost span of ours."""
        context = get_current()
        current: Any = recording or self.current() or context.get(SPAN_KEY)
        if current.__class__ is Span:
            return Spot(current.lane.pipeline, span=current)
        captured = context.get(PIPELINE_KEY)
        pipeline = captured if isinstance(captured, Pipeline) else self._pipeline
        span: Any = current if recording is None else recording.span
        place = span.get_span_context() if isinstance(span, ApiSpan) else None
        identity = context.get(IDENTITY_KEY) if recording is None else recording.identity
        return Spot(pipeline, place=place, identity=identity)


class Unsampled:
    """A step that nobody wants recorded: it is current, its children know that they are not wanted either."""

    def __init__(self, span: ApiSpan, context: Context, identity: Identity | None) -> None:
        """Make *span*, which records nothing, current; what else is recorded inside belongs to *identity*."""
        self.span = span
        self.role: str | None = None
        self.identity = identity
        self.is_open = False
        self._token: Any = finalisers.set_current(self._within(context))

    def _within(self, context: Context) -> Context:
        inside = Context(context)
        _set_item(inside, SPAN_KEY, self.span)
        if self.identity is not None:
            _set_item(inside, IDENTITY_KEY, self.identity)
        return inside

    def put(self, attributes: Mapping[str, object]) -> None:
        """Take nothing."""

    def mark(self, name: str, attributes: Mapping[str, object]) -> None:
        """Take nothing."""

    def connect(self, other: SpanContext, attributes: Mapping[str, object] | None = None) -> None:
        """Take nothing."""

    def settle(self, outcome: str, message: str | None = None) -> None:
        """Take nothing."""

    def suspend(self) -> Context:
        """Give the caller its own context back; return the one that was current inside."""
        inside = get_current()
        token, self._token = self._token, None
        detach(token)
        return inside

    def resume(self, inside: Context | None = None) -> None:
        """Make it, or the context it was suspended with, current again."""
        self._token = finalisers.set_current(self._within(get_current()) if inside is None else inside)

    def leave(self, outcome: str, error: BaseException | None = None, message: str | None = None) -> None:
        """Take it off the current context."""
        if self._token is not None:
            detach(self._token)
            self._token = None


__all__ = ["NativeRecorder", "Unsampled"]
