"""Between recording threads and the journal: what is recorded is safe in the ring before the call returns."""

from __future__ import annotations

import _thread
import contextlib
import itertools
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from opentelemetry.trace import SpanContext

from .. import names
from .._journal import layout
from .._journal.ring import Ring
from .._journal.seen import Follows
from .._journal.snapshots import Metric
from ..errors import BranchlineError
from ..limits import BudgetStatus
from ..usage_values import Usage
from . import ids
from .branch_values import BranchValues
from .disk_rings import redacted
from .endings import unwatch_forks
from .intake import Intake
from .log_submit import made_submit_fields, made_submit_log
from .neighbours import Described, Forkable, Undescribed, WriterLike
from .notices import Notices
from .observers import Observers
from .pipeline_options import PipelineOptions
from .rare_records import Place, beginning_of, event_record
from .ring_opening import Origin, opened_ring
from .span_submit import made_queueing, made_submit
from .waiting import Marker, Turn


_NEVER: Final = 1 << 60
_START_SECONDS: Final = 2.0


class Pipeline(Intake):
    """The way of a process's records to its journal: opened by the first, flushed, ended, begun anew in a fork."""

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
        super()._fresh()
        self.pid = os.getpid()
        self.started_unix_nano = time.time_ns()
        self.process = layout.process_name(self.pid, self.started_unix_nano)
        self.directory = self.options.run_directory / self.process
        # Spans of our own, and the application's by their numbers. A set: what is soon gone again costs half of what it
        # would in a dictionary.
        self.open: set[Any] = set()
        self.guests: dict[int, Any] = {}
        # Only where somebody watches.
        self.values = BranchValues(self.guests) if self.options.listeners else None
        self.is_simple = False
        self._starting = _thread.allocate_lock()
        self._starter = 0
        self._goes_direct = False
        self.turn = Turn(self.failed)
        self.sampled_out = 0
        # Of log records: one text for the process, a number for each record.
        self.uid = f"{ids.bits(64) | 1 << 63:016x}"
        self.uids = itertools.count()

    # ── what branchline itself tells ───────────────────────────────────────────────────────────────

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

    def _put_redacted(self, data: bytes) -> int | tuple[int, ...]:
        """Put *data* into a ring that lies on the disk: what must not leave memory is taken out first."""
        redactor = self.options.redactor
        if redactor is not None and self.ring is not None:
            data = redacted(redactor, data)
        return -1 if self.ring is None else self.ring.put(data)

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
