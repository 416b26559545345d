"""Joining a tracer provider that the application has set: its spans, written to the journal."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import SpanContext, StatusCode

from .. import names
from .._journal.span_records import SpanRecord
from ..current import IDENTITY_KEY, PIPELINE_KEY
from ..recording import Identity, Recording
from ..values import freeze, freeze_key, freeze_name
from .active import get_current
from .bills import Bill
from .pipeline import Pipeline
from .points import record_point
from .readable import otlp_kind
from .taken import is_marked, mark
from .usages import Spot, settle


_CODES = {StatusCode.UNSET: 0, StatusCode.OK: 1, StatusCode.ERROR: 2}
# Characters of one text beyond which it counts against the memory limit by itself.
_LONG = 2048


class _Lane:
    """Where a span of the application's goes, and what its trace has to say."""

    __slots__ = ("flags", "pipeline", "state")

    def __init__(self, context: SpanContext, pipeline: Pipeline) -> None:
        self.flags = int(context.trace_flags)
        self.state = context.trace_state.to_header() if context.trace_state else ""
        self.pipeline = pipeline

    def now(self) -> int:
        """Return the time, in nanoseconds since 1970."""
        return time.time_ns()


class GuestSpan(SpanRecord):
    """A span of the application's provider, open or ended, as the pipeline wants it."""

    slots: int | tuple[int, ...] = -1
    weight = 0
    checkpoint: Any = None
    bill: Bill | None = None

    def __init__(self, span: Any, pipeline: Pipeline, identity: Identity | None) -> None:
        """Show *span*, which belongs to the experiment and branch of *identity*."""
        self._source = span
        # What it is to branchline and was given through it (a foreign.Note), when it is one of ours.
        self._ours: Any = None
        context = span.get_span_context()
        parent = span.parent
        super().__init__(
            trace_hex=f"{context.trace_id:032x}",
            number=context.span_id,
            parent_number=None if parent is None else parent.span_id,
            title=freeze_name(span.name, pipeline.odd),
            began=span.start_time or time.time_ns(),
            ended=0,
            role=None,
            outcome=None,
            span_kind=otlp_kind(span.kind),
            identity=identity,
            scope=span.instrumentation_scope,
            has_remote_parent=parent is not None and parent.is_remote,
        )
        self.lane: Any = _Lane(context, pipeline)
        self.ended = None

    def is_ours(self, note: Any) -> None:
        """Learn that it is a step, a branch or an experiment."""
        self._ours = note
        self.role = note.role
        self.identity = note.identity
        self.scope = None
        note.heard = self.lane.pipeline.odd
        for kind in note.oddities:
            note.heard(kind)

    # An open span is read when it is asked for: its provider does not tell of changes.

    @property
    def data(self) -> Mapping[str, Any] | None:
        """Its attributes: with their own types and our housekeeping where it is ours."""
        if self._data is not None:
            return self._data
        theirs = self._attributes(self._source)
        ours: Mapping[str, Any] = {} if self._ours is None else dict(self._ours.data)
        return {**theirs, **{key: value for key, value in ours.items() if key not in theirs or not _is_scalar(value)}}

    @data.setter
    def data(self, value: Mapping[str, Any] | None) -> None:
        self._data = value

    @property
    def marks(self) -> Any:
        """Its events: all of them where it is ours, though the provider may have kept only the last ones."""
        if self._marks is not None:
            return self._marks
        ours = [] if self._ours is None else list(self._ours.marks)
        known = {mark[:2] for mark in ours}
        theirs = [
            (freeze_name(event.name), event.timestamp, self._attributes(event), event.dropped_attributes)
            for event in self._source.events
            if (event.name, event.timestamp) not in known
        ]
        return sorted([*ours, *theirs], key=lambda mark: mark[1])

    @marks.setter
    def marks(self, value: Any) -> None:
        self._marks = value

    def _attributes(self, source: Any) -> dict[str, Any]:
        odd = self.lane.pipeline.odd
        return {freeze_key(key, odd): freeze(value, odd) for key, value in (source.attributes or {}).items()}

    def end(self, span: ReadableSpan) -> None:
        """Take what the ended *span* says."""
        self._source = span
        self.title = freeze_name(span.name, self.lane.pipeline.odd)
        self.ended = span.end_time or time.time_ns()
        self.code = _CODES.get(span.status.status_code, 0)
        self.note = span.status.description
        self.outcome = None if self._ours is None else self._ours.outcome
        self._keep()
        settle(self, self.ended)

    def leave(self, outcome: str) -> None:
        """Write what is known of it: the run ends before the span does."""
        self.ended = time.time_ns()
        self.code = 2
        self.outcome = outcome if self.role is not None else None
        self._keep()
        settle(self, self.ended)
        pipeline = self.lane.pipeline
        if pipeline.guests.pop(self.number, None) is not None:
            pipeline.submit(self)

    def _keep(self) -> None:
        """Hold on to what it has got: nothing is added any more."""
        span = self._source
        self.data = self.data
        self.marks = self.marks
        self.bonds = [self._bond(link) for link in span.links]
        kept = len(span.attributes or {}) + span.dropped_attributes
        self.dropped_attributes = max(kept - len(self.data or {}), 0)
        self.dropped_events = max(len(span.events) + span.dropped_events - len(self.marks), 0)
        self.dropped_links = span.dropped_links
        self._source = None
        self.weight = sum(len(value) for value in (self.data or {}).values() if _is_long(value))

    def _bond(self, link: Any) -> Any:
        context = link.context
        return (
            f"{context.trace_id:032x}",
            f"{context.span_id:016x}",
            context.trace_state.to_header() if context.trace_state else "",
            self._attributes(link),
            int(context.trace_flags) | (0x300 if context.is_remote else 0x100),
            link.dropped_attributes,
        )


def _is_scalar(value: object) -> bool:
    """Whether every provider keeps *value* as it is; older ones make text of bytes."""
    return isinstance(value, (str, bool, int, float))


def _is_long(value: object) -> bool:
    return isinstance(value, (str, bytes)) and len(value) > _LONG


def take_ended(span: ReadableSpan, pipeline: Pipeline) -> None:
    """Write an ended *span* of a provider that nobody has joined, or that began before somebody did."""
    if not is_marked(span):
        mark(span)
        shown = GuestSpan(span, pipeline, None)
        shown.end(span)
        pipeline.submit(shown)


class JournalProcessor(SpanProcessor):
    """A span processor for the application's provider; switched off, it stays there and does nothing."""

    def __init__(self) -> None:
        """Do nothing until ``use``."""
        self._pipeline: Pipeline | None = None
        self._captures: weakref.WeakSet[Pipeline] = weakref.WeakSet()

    def use(self, pipeline: Pipeline | None) -> None:
        """Write to *pipeline* from now on; None: to nothing."""
        self._pipeline = pipeline

    def _in(self, context: Context) -> Pipeline | None:
        """Return where a span of *context* goes."""
        found = context.get(PIPELINE_KEY)
        if isinstance(found, Pipeline) and found is not self._pipeline:
            self._captures.add(found)
        pipeline = found if isinstance(found, Pipeline) else self._pipeline
        return None if pipeline is None or pipeline.is_closed else pipeline

    def _open(self, number: int) -> GuestSpan | None:
        """Return the open span of that *number*."""
        for pipeline in (self._pipeline, *self._captures):
            shown = None if pipeline is None else pipeline.guests.get(number)
            if isinstance(shown, GuestSpan):
                return shown
        return None

    def noted(self, span: ApiSpan, note: Any) -> None:
        """Hear that *span*, just started, is a step, a branch or an experiment."""
        shown = self._open(span.get_span_context().span_id)
        if shown is not None:
            shown.is_ours(note)
            if note.role != names.KIND_STEP:
                shown.lane.pipeline.started(shown)
        elif not span.is_recording() and (pipeline := self._in(get_current())) is not None:
            # Of spans that its sampler does not want the provider says nothing; of ours we know.
            pipeline.sampled_out += 1

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Take note of an open span."""
        try:
            context = parent_context if parent_context is not None else get_current()
            pipeline = self._in(context)
            if pipeline is not None and not span.get_span_context().trace_flags.sampled:
                pipeline.sampled_out += 1
            elif pipeline is not None:
                identity = context.get(IDENTITY_KEY)
                shown = GuestSpan(span, pipeline, identity if isinstance(identity, Identity) else None)
                pipeline.guests[shown.number] = shown
        except Exception as error:  # an exception here would reach the application
            self._failed(error)

    def on_end(self, span: ReadableSpan) -> None:
        """Write an ended span."""
        try:
            context = span.get_span_context()
            shown = None if context is None else self._open(context.span_id)
            if shown is None or context is None:
                return
            mark(span)
            pipeline = shown.lane.pipeline
            if pipeline.guests.pop(shown.number, None) is not None:
                shown.end(span)
                pipeline.submit(shown)
        except Exception as error:  # an exception here would reach the application
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        if self._pipeline is not None:
            self._pipeline.failed("span", error)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Write everything to the journal."""
        return self._pipeline is None or self._pipeline.flush(timeout_millis / 1000)

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
        context = get_current()
        pipeline = self._in(context)
        if pipeline is None:
            return
        place = (trace.get_current_span() if recording is None else recording.span).get_span_context()
        identity = context.get(IDENTITY_KEY) if recording is None else recording.identity
        span = self._open(place.span_id)
        record_point(pipeline, name, value, unit, step, attributes, span=span, place=place, identity=identity)

    def usage_place(self, recording: Recording | None = None) -> Spot | None:
        """Return where a usage is recorded that belongs to *recording*, else to the span that is current."""
        context = get_current()
        pipeline = self._in(context)
        if pipeline is None:
            return None
        place = (trace.get_current_span() if recording is None else recording.span).get_span_context()
        identity = context.get(IDENTITY_KEY) if recording is None else recording.identity
        return Spot(pipeline, span=self._open(place.span_id), place=place, identity=identity)

    def event(
        self, name: str, attributes: Mapping[str, object], *, severity: str = "INFO", body: object = None
    ) -> None:
        """Record a log event, belonging to the span that is current."""
        pipeline = self._in(get_current())
        if pipeline is not None:
            span = self._open(trace.get_current_span().get_span_context().span_id)
            pipeline.event(name, attributes, severity=severity, body=body, span=span)
