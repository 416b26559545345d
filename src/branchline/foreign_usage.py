"""Usage on the spans of somebody else's provider: what a call took, as attributes of the span that it was made in."""

from __future__ import annotations

import time
from typing import Any

from opentelemetry import trace

from .recording import Identity, Recording, UsagePlace
from .tally import Tally
from .usage_records import Labels, own_attributes
from .usage_values import Usage


class ForeignPlace:
    """Where a usage is recorded while another provider makes the spans; a journal that has joined it comes as well."""

    def __init__(self, recording: Any, identity: Identity | None, journal: UsagePlace | None) -> None:  # noqa: ANN401  # foreign's
        """Record onto the span of *recording*, if there is one, and into *journal*, if there is one."""
        self._recording = recording
        self._journal = journal
        span: trace.Span = trace.get_current_span() if recording is None else recording.span
        context = span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}" if context.is_valid else None
        self.span_id = f"{context.span_id:016x}" if context.is_valid else None
        self.identity = identity if journal is None else journal.identity or identity
        self.step = _name_of(recording) if journal is None or journal.step is None else journal.step
        self.time_unix_nano = time.time_ns() if journal is None else journal.time_unix_nano
        self.usage_id = "" if journal is None else journal.usage_id

    def remark(self, kind: str, text: str, about: str = "") -> None:
        """Let the journal say what is odd, if there is one."""
        if self._journal is not None:
            self._journal.remark(kind, text, about)

    def take(self, usage: Usage) -> Usage:
        """Record *usage*."""
        if self._journal is not None:
            usage = self._journal.take(usage)
            if usage.usage_id != self.usage_id:
                # Another span has told of the same call already.
                return usage
        recording = self._recording
        if recording is not None:
            recording.spent = spent = recording.spent or Spent()
            spent.tally.add(usage)
            spent.labels.add((usage.operation, usage.provider, usage.model))
            recording.put(own_attributes(spent.tally, spent.labels, usage.modalities))
        return usage


class Spent:
    """What one span of another provider took by itself."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.labels: set[Labels] = set()


def _name_of(recording: Recording | None) -> str | None:
    return None if recording is None or recording.role != "step" else getattr(recording.span, "name", None)
