"""Capturing: the process is borrowed for a test, and everything is put back at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opentelemetry import context as otel_context

from .. import foreign, names
from .._pipeline.active import detach
from .._pipeline.endings import watch_forks
from .._pipeline.propagation import PROPAGATION
from .._pipeline.recorder import NativeRecorder
from ..recording import Recorder
from .captures import CAPTURED_LEVEL, Capturing
from .providers import foreign_tracers
from .state import STATE


@contextmanager
def capturing(directory: Path) -> Iterator[Capturing]:
    """Record what happens in this context into *directory*, and put everything back at the end."""
    made = Capturing(directory)
    made.pipeline.event(names.RUN_STARTED, {names.PROCESS: made.pipeline.process})
    watch_forks(made.pipeline)
    with STATE.lock:
        STATE.is_wiring = True
        try:
            made.recorder = _recorder_for(made)
            made.events = STATE.providers.borrow_event_taker(is_recording=STATE.is_recording)
        finally:
            STATE.is_wiring = False
        STATE.providers.bridge.attach(CAPTURED_LEVEL)
        STATE.captures.append(made)
        STATE.point()
        PROPAGATION.acquire(made.settings)
    token = otel_context.attach(made.context)
    try:
        yield made
    finally:
        detach(token)
        with STATE.lock:
            PROPAGATION.release(made.settings)
            STATE.providers.bridge.detach(CAPTURED_LEVEL)
            STATE.captures.remove(made)
            STATE.point()
            if not STATE.captures:
                STATE.providers.give_back()
        made.close()


def _recorder_for(made: Capturing) -> Recorder:
    """Return what records for a capture where no run does: onto the application's provider, if it has one."""
    existing = foreign_tracers()
    if existing is not None:
        processor = STATE.providers.processor_of(existing)
        return foreign.ForeignRecorder(
            existing,
            noted=processor.noted,
            event=processor.event,
            point=processor.point,
            usage_place=processor.usage_place,
        )
    provider = STATE.providers.borrow_tracers(made.config, is_recording=STATE.is_recording)
    return NativeRecorder(provider, made.pipeline, capture="")
