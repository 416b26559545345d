"""What takes records in: the queue, and what holds recording threads back when more comes than can be written."""

from __future__ import annotations

import _thread
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from .._journal.compact import dumps, ring_default
from .._journal.lines import SPANS_PER_LINE
from .._journal.log_records import IDENTITY_AT, SCOPE_AT, LogRecord
from .._journal.ring import Ring
from .._journal.snapshots import Snapshot
from .._journal.span_records import span_tuple
from .log_submit import submit_fields_as_record
from .neighbours import WriterLike
from .notices import Notices
from .pipeline_options import PipelineOptions
from .rare_records import thoroughly_frozen
from .waiting import Marker, Wait, waited_ns


_WAKE_EVERY: Final = 512
_RECORD_BYTES: Final = 1024
# A record of a megabyte behind a full queue takes a tenth of this.
_AT_ONCE_SECONDS: Final = 1.0
# Without a ring, a kill may cost 100 ms: more than the first waits no longer than the second before it is the writer's
# turn, which is as long again for every time that writing takes longer than recording.
_MOST_UNSAFE: Final = SPANS_PER_LINE
_UNSAFE_NS: Final = 20_000_000
_POLL_SECONDS: Final = 0.001


class Intake:
    """Takes finished spans and log records from any thread, signal handler or finaliser; never raises, never locks."""

    options: PipelineOptions
    notices: Notices
    odd: Callable[[str], None]
    failed: Callable[[str, BaseException], None]

    def _fresh(self) -> None:
        self.queue: deque[Any] = deque()
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
        self.is_direct = False
        self.signal = _thread.allocate_lock()
        self.signal.acquire()
        self.writer: WriterLike | None = None
        self.unplaced: set[int] = set()
        self.dropped: dict[str, dict[str, int]] = {"spans": {}, "logs": {}, "metrics": {}}

    def _start(self, first: Any) -> None:
        """Open what *first*, a record, is to go through."""
        raise NotImplementedError

    def write_here(self) -> None:
        """Write what is in the queue in this thread."""
        raise NotImplementedError

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
        if self.is_failing:
            self._weigh(record)
        if (self.is_closed or len(self.queue) > self.wake_at or record.weight) and not self._attend(record, "spans"):
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
        if (self.is_closed or len(self.queue) > self.wake_at or record.weight) and not self._attend(record, "logs"):
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

    def _admit(self, record: Any, signal: str) -> bool:
        """Take a record for which the ring has no room; return whether the queue is still to get it."""
        if self.is_failing:
            if signal == "spans":
                self._weigh(record)
            if self.queue_bytes + record.weight > self.options.memory_limit:
                self.drop(signal, "disk_error")
                return False
        elif self.ring is not None and self.ring.has_room and not self.is_writer():
            self._write_at_once(record)
            return False
        else:
            self.wake()
        return True

    def _weigh(self, record: Any) -> None:
        """Have a span weigh what it holds: while nothing is written, many wait, and some hold more than is counted."""
        with contextlib.suppress(Exception):  # a value that JSON cannot take: it weighs what is known
            held = len(dumps((record.title, record.data, record.marks), ring_default))
            record.weight = max(record.weight, held - _RECORD_BYTES)

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
            # While nothing can be written, each is looked at: what waits is to keep its limit.
            self.wake_at = len(self.queue) + (0 if self.is_failing else _WAKE_EVERY)
            self.wake()
        if self.ring is None and self._is_behind():
            self._wait_for_writer()
        return True

    def _is_behind(self) -> bool:
        """Whether, without a ring, a kill would cost more than it may before the writer has written what waits."""
        return len(self.queue) > _MOST_UNSAFE and waited_ns(self.queue) > _UNSAFE_NS

    def _wait_for_writer(self) -> None:
        """Let the writer come near, as long as it gets on; until it has, every record that comes waits."""
        if self.is_failing or self.is_direct or self.is_writer():
            return
        batches = self.batches
        self.wake_at = -1
        wait = Wait(self.options.max_wait_seconds)
        while self._is_behind() and wait.nap(_POLL_SECONDS) and not self.is_failing:
            pass
        if (self.batches == batches or not self._is_behind()) and not (self.is_closed or self.is_direct):
            self.wake_at = len(self.queue) + _WAKE_EVERY

    def _wait_for_room(self) -> bool:
        wait = Wait(self.options.max_wait_seconds)
        while self.queue_bytes > self.options.memory_limit:
            if self.is_failing or self.is_writer():
                return False
            self.wake()
            if not wait.nap(0.0005):
                return False
        return True

    def _wait_for_slot(self, ring: Ring) -> int:
        """Return a slot of the full *ring* that came free in time, or -1."""
        wait, batches = Wait(self.options.max_wait_seconds), self.batches
        while (slot := ring.take()) < 0:
            if self.is_failing or self.is_direct or self.is_writer():
                return -1
            self.wake()
            if not wait.nap(0.0002):
                if self.batches == batches:
                    return -1
                # It is written, and only others were faster: a while longer is better than to be unprotected.
                wait, batches = Wait(self.options.max_wait_seconds), self.batches
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
