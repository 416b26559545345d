"""Taking a log record into the ring and the queue, in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._journal.records import LogRecord, dumps, ring_default
from .._journal.ring import NOWHERE, Ring


def made_submit_log(
    pipeline: Any, put: Callable[[bytes], int | tuple[int, ...]], ring: Ring | None
) -> Callable[[LogRecord], None]:
    """Return what takes log records for *pipeline*, whose ring takes bytes by *put*.

    A closure, because this runs for every record: what it uses is looked up once. Into *ring* it writes by itself;
    everything else, and what does not fit there at once, goes through *put*.
    """
    # A friend: it was a method of the pipeline's, but for the speed.
    clean, admit, attend = pipeline._put_cleaned, pipeline._admit, pipeline._attend  # noqa: SLF001
    default, queue, append = ring_default, pipeline.queue, pipeline.queue.append
    encoded: Callable[..., bytes] = dumps
    memory, take, checksum, writers = NOWHERE if ring is None else ring.inside

    def submit(record: LogRecord) -> None:
        """Take a log record: into the ring, then into the queue."""
        try:
            identity = record.identity
            scope = record.scope
            data = encoded(
                # As `log_tuple` has it.
                (
                    2,
                    record.uid,
                    record.name,
                    record.time,
                    record.severity,
                    record.severity_text,
                    record.body,
                    record.trace_hex,
                    record.span_number,
                    record.flags,
                    identity and (identity.experiment_name, identity.branch_id, identity.branch_name),
                    record.data,
                    scope and scope.compact,
                    record.observed,
                    record.origin,
                ),
                default,
            )
        except Exception:  # a value that JSON cannot take
            slots = clean(record)
        else:
            try:
                write, described = writers[len(data)]
                slots = take()
                write(memory, slots, described, checksum(data), slots, data)
            except IndexError:
                slots = put(data)
            except ValueError:  # the ring was closed meanwhile
                slots = -1
            record.slots = slots
        if slots == -1 and not admit(record, "logs"):
            return
        if (len(queue) > pipeline.wake_at or record.weight) and not attend(record, "logs"):
            return
        append(record)
        if pipeline.is_direct:
            pipeline.write_here()

    return submit
