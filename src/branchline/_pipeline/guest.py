"""Joining a tracer provider that the application has set: its ended spans, written to the journal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import SpanContext, StatusCode

from .. import names
from .._journal.records import SpanRecord
from ..context import IDENTITY_KEY, PIPELINE_KEY, Identity
from ..values import freeze, freeze_key, freeze_name
from .pipeline import Pipeline
from .spans import otlp_kind


_CODES = {StatusCode.UNSET: 0, StatusCode.OK: 1, StatusCode.ERROR: 2}


class _Trace:
    """What the journal asks of a span's trace."""

    __slots__ = ("flags", "hex", "pipeline", "state")

    def __init__(self, context: SpanContext, pipeline: Pipeline) -> None:
        self.hex = f"{context.trace_id:032x}"
        self.flags = int(context.trace_flags)
        self.state = context.trace_state.to_header() if context.trace_state else ""
        self.pipeline = pipeline


class GuestSpan(SpanRecord):
    """A span of the application's provider, open or ended, as the pipeline wants it."""

    slots: int | tuple[int, ...] = -1
    weight = 0
    checkpoint: Any = None

    def __init__(self, span: Any, pipeline: Pipeline, note: Any, identity: Any) -> None:
        """Show *span*; *note* says what it is to branchline, when it is one of ours."""
        self._span = span
        self._note = note
        context = span.get_span_context()
        parent = span.parent
        super().__init__(
            trace_hex="",
            number=context.span_id,
            parent_number=None if parent is None else parent.span_id,
            title=freeze_name(span.name, pipeline.odd),
            began=span.start_time or time.time_ns(),
            ended=0,
            role=None if note is None else note.role,
            outcome=None,
            span_kind=otlp_kind(span.kind),
            identity=identity if note is None else note.identity,
            scope=None if note is not None else span.instrumentation_scope,
            has_remote_parent=parent is not None and parent.is_remote,
        )
        self.trace: Any = _Trace(context, pipeline)
        self.ended = None
        self._read(span)

    def _read(self, span: Any) -> None:
        odd = self.trace.pipeline.odd
        self.data = {freeze_key(key, odd): freeze(value, odd) for key, value in (span.attributes or {}).items()}
        self.marks = [
            (
                freeze_name(event.name, odd),
                event.timestamp,
                {freeze_key(key, odd): freeze(value, odd) for key, value in (event.attributes or {}).items()},
                0,
            )
            for event in span.events
        ]

    def end(self, span: ReadableSpan) -> None:
        """Take what the ended *span* says."""
        self._read(span)
        self.title = freeze_name(span.name, self.trace.pipeline.odd)
        self.ended = span.end_time or time.time_ns()
        self.code = _CODES.get(span.status.status_code, 0)
        self.note = span.status.description
        self.outcome = None if self._note is None else self._note.outcome
        self.bonds = [
            (
                f"{link.context.trace_id:032x}",
                f"{link.context.span_id:016x}",
                link.context.trace_state.to_header() if link.context.trace_state else "",
                {freeze_key(key): freeze(value) for key, value in (link.attributes or {}).items()},
                int(link.context.trace_flags) | (0x300 if link.context.is_remote else 0x100),
                0,
            )
            for link in span.links
        ]

    def leave(self, outcome: str) -> None:
        """Write what is known of it: the run ends before the span does."""
        self._read(self._span)
        self.ended = time.time_ns()
        self.outcome = outcome if self.role is not None else None
        pipeline = self.trace.pipeline
        if pipeline.open.pop(self.number, None) is not None:
            pipeline.submit(self)


class JournalProcessor(SpanProcessor):
    """A span processor for the application's provider; switched off, it stays there and does nothing."""

    def __init__(self) -> None:
        """Do nothing until ``use``."""
        self._pipeline: Pipeline | None = None

    def use(self, pipeline: Pipeline | None) -> None:
        """Write to *pipeline* from now on; None: to nothing."""
        self._pipeline = pipeline

    def noted(self, span: ApiSpan, note: Any) -> None:
        """Hear that *span*, just started, is a step, a branch or an experiment."""
        number = span.get_span_context().span_id
        shown = None if self._pipeline is None else self._pipeline.open.get(number)
        if shown is not None and self._pipeline is not None:
            shown.role = note.role
            shown.identity = note.identity
            shown.scope = None
            shown._note = note  # noqa: SLF001  # ours: it is made by this class alone
            if note.role != names.KIND_STEP:
                self._pipeline.started(shown)

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Take note of an open span."""
        try:
            context = parent_context if parent_context is not None else {}
            pipeline = context.get(PIPELINE_KEY) or self._pipeline
            if isinstance(pipeline, Pipeline) and not pipeline.is_closed:
                identity = context.get(IDENTITY_KEY)
                shown = GuestSpan(span, pipeline, None, identity if isinstance(identity, Identity) else None)
                pipeline.open[shown.number] = shown
        except Exception as error:  # an exception here would reach the application
            self._failed(error)

    def on_end(self, span: ReadableSpan) -> None:
        """Write an ended span."""
        try:
            pipeline = self._pipeline
            context = span.get_span_context()
            if pipeline is None or pipeline.is_closed or context is None:
                return
            shown = pipeline.open.pop(context.span_id, None)
            if shown is None:
                return
            shown.end(span)
            shown.trace.pipeline.submit(shown)
        except Exception as error:  # an exception here would reach the application
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        if self._pipeline is not None:
            self._pipeline.failed("span", error)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Write everything to the journal."""
        return self._pipeline is None or self._pipeline.flush(timeout_millis / 1000)

    def event(
        self,
        name: str,
        attributes: Mapping[str, object],
        *,
        severity: str = "INFO",
        body: object = None,
        identity: Identity | None = None,
    ) -> None:
        """Record a log event."""
        if self._pipeline is not None:
            self._pipeline.event(name, attributes, severity=severity, body=body)
