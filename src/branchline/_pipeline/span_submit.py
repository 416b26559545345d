"""Taking a finished span into the ring and the queue, in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from .._journal.compact import dumps
from .._journal.ring import NOWHERE, Ring


Put: TypeAlias = Callable[[bytes], int | tuple[int, ...]]


def made_submit(pipeline: Any, put: Put, ring: Ring | None) -> Callable[[Any], None]:
    """Return what takes finished spans that are like most, for *pipeline*, whose ring takes bytes by *put*.

    A closure, because this runs at the end of every step: what it uses is looked up once. Into *ring* it writes by
    itself; everything else, and what does not fit there at once, goes through *put*.
    """
    queue, append = pipeline.queue, pipeline.queue.append
    # Friends: they were methods of the pipeline's, but for the speed.
    submit_slowly, submit_rare = pipeline.submit_slowly, pipeline.submit_rare
    admit, attend = pipeline._admit, pipeline._attend  # noqa: SLF001
    encoded: Callable[[Any], bytes] = dumps
    memory, take, checksum, writers = NOWHERE if ring is None else ring.inside

    def submit(record: Any) -> None:
        """Take a finished span: into the ring, then into the queue."""
        try:
            data = encoded(record.fields)
        except Exception:  # bytes, or a value that JSON cannot take
            submit_rare(record)
            return
        try:
            write, described = writers[len(data)]
            slots = take()
            write(memory, slots, described, checksum(data), slots, data)
        except ValueError:  # the ring was closed meanwhile
            submit_slowly(record)
            return
        except IndexError:
            record.slots = put(data)
            if record.slots != -1 or admit(record, "spans"):
                submit_slowly(record)
            return
        record.slots = slots
        if len(queue) > pipeline.wake_at and not attend(record, "spans"):
            return
        # The slot says it all, and the span can go: thousands that wait would cost more time to keep than to read
        # back. No call between the two: nobody lets go of the ring there.
        if pipeline.reads_ring:
            append(slots)
            return
        append(record)
        if pipeline.is_direct:
            pipeline.write_here()

    return submit


def made_queueing(pipeline: Any) -> Callable[[Any], None]:
    """Return what takes finished spans that are like most into the queue of *pipeline*, where there is no ring."""
    queue, append = pipeline.queue, pipeline.queue.append
    submit_slowly = pipeline.submit_slowly

    def submit(record: Any) -> None:
        """Take a finished span into the queue."""
        if len(queue) > pipeline.wake_at:
            submit_slowly(record)
            return
        append(record.fields)
        if pipeline.is_direct:
            pipeline.write_here()

    return submit
