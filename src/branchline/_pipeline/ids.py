"""Trace and span ids, from a generator of our own: ``random`` and its seed stay the user's."""

from __future__ import annotations

import os
import random

from opentelemetry.sdk.trace.id_generator import IdGenerator


_random = random.Random(os.urandom(32))  # noqa: S311  # ids must be unique, not secret

# One C call, so that threads and signal handlers need no lock.
bits = _random.getrandbits


def reseed() -> None:
    """Start another sequence, in a forked child that would repeat its parent's."""
    _random.seed(os.urandom(32))


class PrivateIdGenerator(IdGenerator):
    """OpenTelemetry's interface to the same ids."""

    def generate_span_id(self) -> int:
        """Return a new span id."""
        return bits(64) or 1

    def generate_trace_id(self) -> int:
        """Return a new trace id."""
        return bits(128) or 1

    def is_trace_id_random(self) -> bool:
        """Say that the whole id is random, as the trace flags tell others."""
        return True
