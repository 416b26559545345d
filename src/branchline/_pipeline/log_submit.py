"""Taking a log record into the ring and the queue, in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .._journal.compact import dumps, ring_default
from .._journal.log_records import IDENTITY_AT, SCOPE_AT, LogRecord, log_record
from .._journal.ring import NOWHERE, Ring


Fields = list[Any]

# What the writer takes twice: with more than this waiting, whoever logs is faster than it.
_FEW: Final = 1024


def made_submit_fields(pipeline: Any, ring: Ring) -> Callable[[Fields, Any, Any, int], None]:
    """Return what takes log records that come as lists, for *pipeline* and into *ring*.

    A closure, because this runs for every record: what it uses is looked up once.
    """
    queue, append, put = pipeline.queue, pipeline.queue.append, ring.put
    encoded: Callable[..., bytes] = dumps
    memory, take, checksum, writers = ring.inside

    def submit(fields: Fields, identity: Any, scope: Any, weight: int) -> None:
        """Take the compact form of a log record, whose *identity* and *scope* it has as plain values."""
        slots: int | tuple[int, ...]
        try:
            data = encoded(fields)
            write, described = writers[len(data)]
            slots = take()
            write(memory, slots, described, checksum(data), slots, data)
        except IndexError:  # it is long, or must wait for room
            slots = put(data)
            if slots == -1:
                submit_fields_as_record(pipeline, fields, identity, scope, weight)
                return
        except Exception:  # bytes, a value that JSON cannot take, or a ring that was closed meanwhile
            submit_fields_as_record(pipeline, fields, identity, scope, weight)
            return
        # As with spans, the slot says it all. A few lists that wait are cheaper than to read them back; thousands would
        # cost the garbage collector, and so whoever logs, more time than that takes. No call between the last question
        # and the answer: nobody lets go of the ring there.
        if not weight and _FEW < len(queue) <= pipeline.wake_at and slots.__class__ is int and pipeline.reads_ring:
            append(-slots)
            return
        fields[IDENTITY_AT] = identity
        fields[SCOPE_AT] = scope
        fields.append(slots)
        if weight or len(queue) > pipeline.wake_at:
            record = log_record(fields)
            record.weight = weight
            pipeline.submit_placed_log(record)
            return
        append(fields)
        if pipeline.is_direct:
            pipeline.write_here()

    return submit


def submit_fields_as_record(pipeline: Any, fields: Fields, identity: Any, scope: Any, weight: int) -> None:
    """Take the same the long way."""
    fields[IDENTITY_AT] = identity
    fields[SCOPE_AT] = scope
    fields.append(-1)
    record = log_record(fields)
    record.weight = weight
    pipeline.submit_log(record)


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
