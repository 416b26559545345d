"""The queue between recording threads and the writer: what is recorded is safe in the ring before the call returns."""

from __future__ import annotations

import _thread
import contextlib
import itertools
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from opentelemetry.trace import SpanContext

from .. import names
from .._journal import layout
from .._journal.records import IDENTITY_AT, SCOPE_AT, LogRecord, dumps, ring_default, span_tuple
from .._journal.ring import Ring
from .._journal.seen import Follows
from .._journal.snapshots import Metric, Snapshot
from ..errors import BranchlineError
from ..limits import BudgetStatus
from ..usage_values import Usage
from . import ids
from .branch_values import BranchValues
from .disk_rings import redacted
from .endings import unwatch_forks
from .log_submit import made_submit_fields, made_submit_log, submit_fields_as_record
from .neighbours import Described, Forkable, Undescribed, WriterLike
from .notices import Notices
from .observers import Observers
from .pipeline_options import PipelineOptions
from .rare_records import Place, beginning_of, event_record, thoroughly_frozen
from .ring_opening import Origin, opened_ring
from .span_submit import made_queueing, made_submit
from .waiting import Marker, Turn, waited_ns


_WAKE_EVERY: Final = 512
_RECORD_BYTES: Final = 1024
_NEVER: Final = 1 << 60
# A record of a megabyte behind a full queue takes a tenth of this.
_AT_ONCE_SECONDS: Final = 1.0
# Without a ring, a kill may cost 100 ms. What waits beyond the first is younger than the second: in the time that is
# left, the writer writes three times what can have come meanwhile.
_MOST_UNSAFE: Final = 1024
_UNSAFE_NS: Final = 20_000_000
_START_SECONDS: Final = 2.0


class Pipeline:
    """Takes finished spans and log records from any thread, signal handler or finaliser; never raises, never locks."""

    def __init__(self, options: PipelineOptions, make_writer: Callable[[Pipeline], WriterLike]) -> None:
        """Take records for the run that *options* name; nothing is opened before the first one."""
        self.options = options
        self._make_writer = make_writer
        self.watchers: tuple[Any, ...] = ()
        # What is to begin anew with it in a forked child.
        self.companions: list[Forkable] = []
        self.followers: tuple[Follows, ...] = ()
        # What it comes to itself; asked by the writer, with all other metrics.
        self.measured: Callable[[], tuple[Metric, ...]] = lambda: ()
        self.described: Described = Undescribed()
        # What others have to say of themselves in process.json.
        self.told: Callable[[], dict[str, Any]] = dict
        # Who is told of every usage at once, in the thread that recorded it: a budget. It must not raise.
        self.usage_heard: Callable[[Usage], None] | None = None
        # Asked once a second, by the writer: records how far is what has gone on for a while.
        self.beat: Callable[[], None] = _nothing
        # Of those who are told at the end: how much of each limit is used.
        self.budgets: Callable[[], tuple[BudgetStatus, ...]] = tuple
        # Who watches what is measured, told by the writer.
        self.observers = Observers()
        self.notices = Notices(strict=options.strict)
        self.odd = self.notices.odd
        self.failed = self.notices.failed
        self._fresh()

    def _fresh(self) -> None:
        self.pid = os.getpid()
        self.started_unix_nano = time.time_ns()
        self.process = layout.process_name(self.pid, self.started_unix_nano)
        self.directory = self.options.run_directory / self.process
        self.queue: deque[Any] = deque()
        # Spans of our own, and the application's by their numbers. A set: what is soon gone again costs half of what it
        # would in a dictionary.
        self.open: set[Any] = set()
        self.guests: dict[int, Any] = {}
        # Only where somebody watches.
        self.values = BranchValues(self.guests) if self.options.listeners else None
        self.ring: Ring | None = None
        self._put: Callable[[bytes], int | tuple[int, ...]] | None = None
        # For spans that are like most, and know it.
        self.submit_common: Callable[[Any], None] = self.submit_slowly
        self.submit_log: Callable[[LogRecord], None] = self._submit_log
        self.submit_log_fields: Callable[[list[Any], Any, Any, int], None] = self._submit_log_fields
        # Whether the writer reads the ring: then the queue holds no more of a common span than its slot.
        self.reads_ring = False
        self.wake_at = -1
        self.heavy = 0
        self.batches = 0
        self.is_failing = False
        self.is_closed = False
        self.is_simple = False
        self.is_direct = False
        self.signal = _thread.allocate_lock()
        self.signal.acquire()
        self._starting = _thread.allocate_lock()
        self._starter = 0
        self._goes_direct = False
        self.turn = Turn(self.failed)
        self.writer: WriterLike | None = None
        self.unplaced: set[int] = set()
        self.sampled_out = 0
        self.dropped: dict[str, dict[str, int]] = {"spans": {}, "logs": {}, "metrics": {}}
        # Of log records: one text for the process, a number for each record.
        self.uid = f"{ids.bits(64) | 1 << 63:016x}"
        self.uids = itertools.count()

    # ── recording ─────────────────────────────────────────────────────────────────────────────────

    def submit(self, record: Any) -> None:
        """Take a finished span."""
        if record.is_common:
            self.submit_common(record)
        elif self._put is None:
            self.submit_slowly(record)
        else:
            self.submit_rare(record)

    def submit_slowly(self, record: Any) -> None:
        """Take a finished span, which is in the ring already if it can be."""
        if (len(self.queue) > self.wake_at or record.weight) and not self._attend(record, "spans"):
            return
        self.queue.append(record.fields if record.is_common and record.slots == -1 else record)
        if self.is_direct:
            self.write_here()

    def submit_rare(self, record: Any) -> None:
        """Take a finished span that is not like most."""
        try:
            slots = record.slots = -1 if self._put is None else self._put(dumps(span_tuple(record), ring_default))
        except Exception:  # a value that JSON cannot take: see below
            slots = self._put_cleaned(record)
        if slots != -1 or self._admit(record, "spans"):
            self.submit_slowly(record)

    def submit_placed_log(self, record: LogRecord) -> None:
        """Take a log record, which is in the ring already if it can be."""
        if (len(self.queue) > self.wake_at or record.weight) and not self._attend(record, "logs"):
            return
        self.queue.append(record)
        if self.is_direct:
            self.write_here()

    # Where there is no ring, or not yet.
    _submit_log = submit_placed_log

    def _submit_log_fields(self, fields: list[Any], identity: Any, scope: Any, weight: int) -> None:
        # As what `made_submit_fields` makes, where there is no ring or not yet.
        if self.is_closed or weight or len(self.queue) > self.wake_at or self.is_direct:
            submit_fields_as_record(self, fields, identity, scope, weight)
            return
        fields[IDENTITY_AT] = identity
        fields[SCOPE_AT] = scope
        fields.append(-1)
        self.queue.append(fields)

    def submit_snapshot(self, snapshot: Snapshot) -> None:
        """Take a look at all metrics; it is counted by its data points."""
        if self._attend(snapshot, "metrics", snapshot.points):
            self.queue.append(snapshot)
            if self.is_direct:
                self.write_here()

    def event(
        self,
        name: str,
        attributes: Mapping[str, Any],
        *,
        severity: str = "INFO",
        body: Any = None,
        span: Any = None,
        place: SpanContext | None = None,
        identity: object = None,
        time_unix_nano: int | None = None,
    ) -> None:
        """Record a log event, belonging to *span* (ours) if given, else to *place* and *identity*."""
        try:
            spot = Place.of(span, place, identity)
            record = event_record(name, attributes, self.odd, spot, severity=severity, body=body, moment=time_unix_nano)
            self.submit_log(record)
        except Exception as error:  # recording never raises
            self.failed("event", error)

    def started(self, span: Any) -> None:
        """Record that *span* has begun: what is left of it when the process dies."""
        span.checkpoint = (dict(span.data or {}), 0)
        name = names.STARTED_EVENTS.get(span.role or "", names.STEP_STARTED)
        self.event(name, beginning_of(span), span=span, time_unix_nano=span.began)

    # ── the slow turns ────────────────────────────────────────────────────────────────────────────

    def _put_cleaned(self, record: Any) -> int | tuple[int, ...]:
        """Freeze every field of *record* again, the thorough way, and put that."""
        try:
            data = thoroughly_frozen(record, self.odd)
            record.slots = -1 if self._put is None else self._put(data)
        except Exception as error:  # recording never raises
            record.slots = -1
            self.failed("ring", error)
        return record.slots  # type: ignore[no-any-return]

    def _put_redacted(self, data: bytes) -> int | tuple[int, ...]:
        """Put *data* into a ring that lies on the disk: what must not leave memory is taken out first."""
        redactor = self.options.redactor
        if redactor is not None and self.ring is not None:
            data = redacted(redactor, data)
        return -1 if self.ring is None else self.ring.put(data)

    def _admit(self, record: Any, signal: str) -> bool:
        """Take a record for which the ring has no room; return whether the queue is still to get it."""
        if self.is_failing:
            if self.queue_bytes + record.weight > self.options.memory_limit:
                self.drop(signal, "disk_error")
                return False
        elif self.ring is not None and self.ring.has_room and not self.is_writer():
            self._write_at_once(record)
            return False
        else:
            self.wake()
        return True

    def _write_at_once(self, record: Any) -> None:
        """Take a record that is too large for any ring, and wait until it is in the journal."""
        marker = Marker()
        self.heavy += record.weight
        self.queue.append(record)
        self.queue.append(marker)
        self.wake()
        marker.wait(_AT_ONCE_SECONDS)

    def torn(self, record: Any) -> None:
        """Take a record whose ``submit`` was torn off, by a KeyboardInterrupt: it is in the queue once, or rescued."""
        if record.slots == -1 and not any(other is record or other is record.fields for other in list(self.queue)):
            # It may be in the ring all the same, but no longer knows where.
            self.unplaced.add(record.number)
            self.queue.append(record)

    def give_back(self, record: Any) -> None:
        """Free a record's place in the ring: it is given up."""
        ring = self.ring
        if ring is not None and record.slots != -1:
            ring.free(record.slots)
            record.slots = -1

    def _attend(self, record: Any, signal: str, count: int = 1) -> bool:
        """Wake or start the writer, and hold the memory limit; return whether the record is taken."""
        if self.is_closed:
            self.give_back(record)
            self.drop(signal, "after_shutdown", count)
            return False
        if self.writer is None and not self.is_direct:
            self._start(record)
        self.heavy += record.weight
        if self.queue_bytes > self.options.memory_limit and not self._wait_for_room():
            self.heavy -= record.weight
            self.give_back(record)
            self.drop(signal, "disk_error" if self.is_failing else "queue_full", count)
            return False
        if len(self.queue) > self.wake_at:
            self.wake_at = len(self.queue) + _WAKE_EVERY
            self.wake()
        if len(self.queue) > _MOST_UNSAFE and self.ring is None:
            self._wait_for_writer()
        return True

    def _wait_for_writer(self) -> None:
        """Without a ring, what waits is lost in a kill: let the writer come near."""
        deadline = time.monotonic() + self.options.max_wait_seconds
        while len(self.queue) > _MOST_UNSAFE and waited_ns(self.queue) > _UNSAFE_NS and time.monotonic() < deadline:
            if self.is_failing or self.is_direct or self.is_writer():
                return
            time.sleep(0.0005)

    def _wait_for_room(self) -> bool:
        deadline = time.monotonic() + self.options.max_wait_seconds
        while self.queue_bytes > self.options.memory_limit:
            if self.is_failing or time.monotonic() > deadline or self.is_writer():
                return False
            self.wake()
            time.sleep(0.0005)
        return True

    def _wait_for_slot(self, ring: Ring) -> int:
        """Return a slot of the full *ring* that came free in time, or -1."""
        began = time.monotonic()
        batches = self.batches
        while (slot := ring.take()) < 0:
            if self.is_failing or self.is_direct or self.is_writer():
                return -1
            if time.monotonic() > began + self.options.max_wait_seconds:
                if self.batches == batches:
                    return -1
                # It is written, and only others were faster: a while longer is better than to be unprotected.
                began, batches = time.monotonic(), self.batches
            self.wake()
            time.sleep(0.0002)
        return slot

    @property
    def queue_bytes(self) -> int:
        """Roughly the memory of what is not in the journal yet."""
        return len(self.queue) * _RECORD_BYTES + self.heavy

    def is_writer(self) -> bool:
        """Whether this is the writer's own thread: it must not wait for itself."""
        return self.writer is not None and self.writer.thread is threading.current_thread()

    def drop(self, signal: str, reason: str, count: int = 1) -> None:
        """Count a record that is given up."""
        counted = self.dropped[signal]
        if reason not in counted:
            counted.setdefault(reason, 0)
        # Without a call in it, this is one step for other threads and for signal handlers: nothing is miscounted.
        counted[reason] += count
        self.notices.once(f"dropped_{reason}", f"telemetry is being dropped ({reason}); counts are in process.json")

    def wake(self) -> None:
        """Let the writer look at the queue now; safe at any moment, in any thread or handler."""
        try:
            self.signal.release()
        except RuntimeError:
            # Somebody else has just woken it.
            return

    # ── start, flush, end ─────────────────────────────────────────────────────────────────────────

    def _start(self, first: Any) -> None:
        """Open the ring and start the writer, before the first record is taken."""
        if not self._starting.acquire(blocking=False):
            self._await_start(first)
            return
        self._starter = _thread.get_ident()
        try:
            if self.writer is None:
                self._open_ring()
                if self._put is None:
                    self.submit_common = made_queueing(self)
                elif first.slots == -1:
                    self._put_cleaned(first)
                writer = self._make_writer(self)
                try:
                    writer.start()
                except RuntimeError:
                    # No more threads, as at the interpreter's exit: whoever records writes.
                    self._write_without_thread(first)
                self.writer = writer
        except Exception as error:  # recording never raises
            self.failed("start", error)
        finally:
            self._starter = 0
            self._starting.release()

    def _await_start(self, first: Any) -> None:
        """Wait for the thread that opens the ring, so that *first* is in it; not for ourselves, interrupted at it."""
        deadline = time.monotonic() + _START_SECONDS
        while self._starting.locked() and self._starter != _thread.get_ident() and time.monotonic() < deadline:
            time.sleep(0.0005)
        if self._put is not None and first.slots == -1:
            self._put_cleaned(first)

    def _write_without_thread(self, first: Any) -> None:
        self.let_go(is_direct=True)
        first.slots = -1
        if self.ring is not None:
            self.ring.close()
            self.ring = None

    def _open_ring(self) -> None:
        if self.options.durability == "batch":
            return
        # Through this, whoever looks for runs finds the ring, however soon we die. If it cannot be, the writer says so.
        with contextlib.suppress(OSError):
            layout.private_directory(self.options.run_directory)
        origin = Origin(
            process=self.process,
            pid=self.pid,
            started_unix_nano=self.started_unix_nano,
            resource=self.resource,
            directory=self.directory,
        )
        try:
            self._use(opened_ring(self.options, origin))
        except (OSError, BranchlineError) as error:
            self.notices.once("no_ring", f"no room for the crash ring ({error}); a kill may lose the last 100 ms")

    def _use(self, ring: Ring) -> None:
        ring.wait = self._wait_for_slot
        self.ring = ring
        redactor = self.options.redactor
        # Nobody but this process can ask a callback: what a recoverer could not take out is not put in.
        is_recoverable = ring.is_shared_memory and (redactor is None or redactor.callback is None)
        self._put = ring.put if is_recoverable else self._put_redacted
        # Without a global lock, others could let go of the ring in the middle of anything.
        self.reads_ring = is_recoverable and getattr(sys, "_is_gil_enabled", lambda: True)()
        self.submit_common = made_submit(self, self._put, ring if is_recoverable else None)
        self.submit_log = made_submit_log(self, self._put, ring if is_recoverable else None)
        if is_recoverable:
            self.submit_log_fields = made_submit_fields(self, ring)

    @property
    def resource(self) -> Mapping[str, Any]:
        """Where this process's records come from."""
        return {
            **self.options.resource,
            names.PROCESS_PID: self.pid,
            names.SERVICE_INSTANCE_ID: self.process,
            names.RUN_ID: self.options.run_id,
        }

    def flush(self, timeout: float) -> bool:
        """Return whether everything recorded before this call is in the journal within *timeout* seconds."""
        if self.writer is None or self.is_closed:
            return not self.queue
        if self.is_direct:
            self.write_here()
            return not self.queue
        marker = Marker()
        self.queue.append(marker)
        self.wake()
        return marker.wait(timeout)

    def all_open(self) -> list[Any]:
        """Return the spans that are open, the oldest first."""
        return sorted([*self.open, *self.guests.values()], key=lambda span: span.began)

    def forget(self, span: Any) -> bool:
        """Take *span* off those that are open; tell whether it was one."""
        if self.guests.pop(span.number, None) is not None:
            return True
        try:
            self.open.remove(span)
        except KeyError:
            return False
        return True

    def close_open(self) -> None:
        """End what is still open as interrupted: the process or the run ends before it did."""
        for span in reversed(self.all_open()):
            if span.ended is None:
                span.leave(names.INTERRUPTED)
            elif self.forget(span):
                # A KeyboardInterrupt tore its end off before it was recorded.
                self.submit(span)

    def close(self, timeout: float, *, reason: str) -> None:
        """Write what is left and say that this process has ended, within *timeout* seconds."""
        if self.is_closed:
            return
        self._end(timeout, reason)
        unwatch_forks(self)
        if self.writer is None or not self.writer.thread.is_alive():
            self.let_go(is_direct=False)
            self.write_here()

    def go_direct(self, timeout: float, *, reason: str) -> None:
        """At the interpreter's exit: write what is left, and from now on in the recording thread itself."""
        if self.is_closed or self.is_direct:
            return
        self._goes_direct = True
        if self.writer is None:
            self.writer = self._make_writer(self)
            self.let_go(is_direct=True)
            return
        self._end(timeout, reason)
        self.write_here()

    def _end(self, timeout: float, reason: str) -> None:
        if self.writer is not None and not self.is_direct:
            deadline = time.monotonic() + timeout
            self.flush(deadline - time.monotonic())
            self.writer.stop(max(deadline - time.monotonic(), 0.05), reason)

    def let_go(self, *, is_direct: bool | None = None) -> None:
        """Take no more for the ring: from now on who records writes, or after a shutdown, nobody."""
        self._put = None
        self.submit_common = self.submit_slowly
        self.submit_log = self._submit_log
        self.submit_log_fields = self._submit_log_fields
        self.reads_ring = False
        self.is_simple = False
        self.is_direct = self._goes_direct if is_direct is None else is_direct
        self.is_closed = not self.is_direct
        self.wake_at = _NEVER if self.is_direct else -1

    def write_here(self) -> None:
        """Write what is in the queue in this thread, after the writer's end."""
        # Once at least: another thread may have taken our record and not have written it yet. And once more for
        # whatever came meanwhile: a handler that interrupted us left it to us.
        is_waiting = True
        while is_waiting and self.writer is not None and (self.is_direct or self.is_closed):
            with self.turn.taken() as is_ours:
                if not is_ours:
                    return
                self.writer.write_here()
            is_waiting = bool(self.queue) and not self.is_failing

    def after_fork(self) -> None:
        """In a forked child: leave everything to the parent and begin anew, at the child's first record."""
        ring, writer, open_, was_closed = self.ring, self.writer, self.all_open(), self.is_closed
        self.options = replace(self.options, listeners=())
        self.notices.reset()
        self._fresh()
        if was_closed:
            self.let_go(is_direct=False)
        for span in open_:
            # The parent ends and records it; here it only serves as a parent to what the child records.
            span.ended = span.began
        if ring is not None:
            ring.abandon()
        if writer is not None:
            writer.abandon()
        for companion in self.companions:
            companion.after_fork()
        for follower in self.followers:
            follower.after_fork()


def _nothing() -> None:
    """Do nothing: nobody has anything to say."""
