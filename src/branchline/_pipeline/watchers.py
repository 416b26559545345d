"""Other people's span processors: how our spans reach them, and spans that are recorded for nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanProcessor, SynchronousMultiSpanProcessor

from .pipeline import Pipeline
from .spans import Span
from .taken import mark


class Watchers(SynchronousMultiSpanProcessor):
    """The SDK's list of processors, which says when it changes: some packages replace its contents."""

    def __init__(self, changed: Callable[[tuple[SpanProcessor, ...]], None]) -> None:
        """Start empty; *changed* is called with what there is, now and after every change."""
        self._listed: tuple[SpanProcessor, ...] = ()
        self._changed = changed
        super().__init__()  # type: ignore[no-untyped-call]  # the SDK gives it no types

    @property
    def _span_processors(self) -> tuple[SpanProcessor, ...]:
        return self._listed

    @_span_processors.setter
    def _span_processors(self, processors: tuple[SpanProcessor, ...]) -> None:
        self._listed = tuple(processors)
        self._changed(self._listed)


def show_start(processors: tuple[SpanProcessor, ...], span: Span, parent: Context | None) -> None:
    """Show a span that has begun to the processors of others; what they raise stays here."""
    for processor in processors:
        try:
            processor.on_start(span, parent_context=parent)
        except Exception as error:  # somebody else's code
            span.lane.pipeline.failed("processor", error)


def show_end(processors: tuple[SpanProcessor, ...], span: Span) -> None:
    """Show a span that has ended to the processors of others; what they raise stays here."""
    for processor in processors:
        try:
            # Not part of the interface yet: the SDK calls it so in its own loop.
            ending = getattr(processor, "_on_ending", None)
            if ending is not None:
                ending(span)
        except Exception as error:  # somebody else's code
            span.lane.pipeline.failed("processor", error)
    copy = span.readable()
    mark(copy)
    for processor in processors:
        try:
            processor.on_end(copy)
        except Exception as error:  # somebody else's code
            span.lane.pipeline.failed("processor", error)


class Unkept:
    """The pipeline of a span that a sampler wants recorded but not kept: only the processors of others see it."""

    is_simple = False

    def __init__(self, pipeline: Pipeline) -> None:
        """Keep nothing of what would have gone to *pipeline*."""
        self._pipeline = pipeline
        self.open: set[Span] = set()

    def submit(self, span: Span) -> None:
        """Count a finished span as sampled out."""
        self._pipeline.sampled_out += 1

    submit_common = submit

    def torn(self, span: Span) -> None:
        """Keep nothing of a span whose end was torn off either."""

    def started(self, span: Span) -> None:
        """Write nothing: a span that began in the journal would have to end there."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)
