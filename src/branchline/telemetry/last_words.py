"""Last words: what a run says of what it has not come to when its time is over."""

from __future__ import annotations

import threading

from .._pipeline.notices import say
from .._pipeline.pipeline import Pipeline


def say_what_waits(pipeline: Pipeline, limit: float) -> None:
    """Say that the writer is not done after *limit* seconds, and what becomes of the rest if nobody waits."""
    writer, ring = pipeline.writer, pipeline.ring
    if writer is None or not writer.thread.is_alive() or writer.thread is threading.current_thread():
        return
    rest = "is lost" if ring is None else f"is recovered from {ring.path}, but for what no ring has room for (1 MB)"
    say(f"{limit:g} s (exit_timeout) were too short to write all; what is not written when the process ends {rest}")
