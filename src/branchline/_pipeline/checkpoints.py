"""Spans that stay open: that they have begun, and what they have got so far, in case nobody ever ends them."""

from __future__ import annotations

from typing import Any, Final

from .. import names
from .._journal.compact import dumps, ring_default
from .pipeline import Pipeline
from .usages import described_by


_MOST_OPEN: Final = 100_000
# What one checkpoint record may hold, in bytes; a span with more to say writes several.
_CHECKPOINT_BYTES: Final = 128 * 1024


class Checkpoints:
    """What the journal knows of one pipeline's open spans."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Watch the open spans of *pipeline*."""
        self.pipeline = pipeline
        self._were_open: set[int] = set()

    def note(self) -> None:
        """Note what has been open since the last time, and what open spans have got since."""
        pipeline = self.pipeline
        spans = pipeline.all_open()
        for span in spans[: max(len(spans) - _MOST_OPEN, 0)]:
            # Never ended, and nobody will: instrumentations leak such spans.
            if pipeline.forget(span):
                pipeline.drop("spans", "never_ended")
        # Not by its times: the clock may have been set since.
        were_open, self._were_open = self._were_open, {span.number for span in spans}
        for span in spans:
            if span.checkpoint is not None:
                self._checkpoint(span)
            elif span.number in were_open:
                pipeline.started(span)
                # With what it has noted so far: else a death within the next second would cost all of it.
                self._checkpoint(span)

    def _checkpoint(self, span: Any) -> None:
        known, marks_known = span.checkpoint
        data = dict(span.data or {})
        if span.bill is not None:
            data |= described_by(span.bill, span)
        marks = list(span.marks or ())
        # With those that a limit has dropped since: it keeps the newest.
        noted = span.dropped_events + len(marks)
        if data == known and noted == marks_known:
            return
        span.checkpoint = (data, noted)
        fresh = marks[max(len(marks) - (noted - marks_known), 0) :]
        changed = {key: value for key, value in data.items() if key not in known or known[key] != value}
        for events in _portions(fresh):
            described = {names.SPAN_ATTRIBUTES: changed, names.SPAN_EVENTS: events}
            self.pipeline.event(names.STEP_CHECKPOINT, described, span=span)
            changed = {}


def _portions(marks: list[Any]) -> list[list[dict[str, Any]]]:
    """Return *marks* as a checkpoint holds them, no more at once than fit into one record; at least one portion."""
    portions: list[list[dict[str, Any]]] = [[]]
    room = _CHECKPOINT_BYTES
    for name, moment, attributes, _ in marks:
        event = {"name": name, "time_unix_nano": moment, "attributes": dict(attributes or {})}
        size = len(dumps(event, ring_default))
        if size > room and portions[-1]:
            portions.append([])
            room = _CHECKPOINT_BYTES
        room -= size
        portions[-1].append(event)
    return portions
