"""The one thread that writes: takes from the queue, redacts, encodes once, appends to the journal."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .. import names
from .._journal import layout
from .._journal.encode import SPANS_PER_LINE, Encoder
from .._journal.records import (
    LOG_RECORD,
    LogRecord,
    from_tuple,
    loads,
    log_record,
    spilled_records,
)
from .._journal.ring import Progress
from .._journal.segments import Appender
from .._journal.snapshots import Snapshot
from .._journal.stored import log_forms, short_forms, span_record
from .audience import Audience
from .checkpoints import Checkpoints
from .metric_lines import MetricLines
from .pipeline import Pipeline
from .run_file import RunFile
from .waiting import Marker


_BATCH: Final = 512
# The longest that a record may wait in memory: what a kill can cost with durability="batch".
_POLL_SECONDS: Final = 0.1
_IDLE_AFTER_SECONDS: Final = 1.0
# No longer: a step may have begun meanwhile, and one that takes a second is to be seen.
_IDLE_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 0.25
_CHECKPOINT_SECONDS: Final = 1.0
_STATE_SECONDS: Final = 5.0
_LISTEN_SECONDS: Final = 0.12
_SEALING_SECONDS: Final = 10.0
_MOST_SHOWN: Final = 1_000
_SIGNALS: Final = ("spans", "logs", "metrics")


@dataclass(slots=True)
class _Unwritten:
    """Encoded lines that the disk has not taken yet, and the ring slots they hold."""

    appender: Appender
    lines: bytes
    slots: list[int | tuple[int, ...]]
    signal: str
    count: int
    notes: int = 0
    """Of branchline's own, among the log records."""


class Writer:
    """Writes one pipeline's records until it is stopped."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Write what *pipeline*'s queue has."""
        options = pipeline.options
        self.pipeline = pipeline
        self.thread = threading.Thread(target=self._run, name="branchline-writer", daemon=True)
        sync = options.durability == "power"
        self._encoder = Encoder(pipeline.resource, options.redactor, version=names.VERSION)
        self._traces = Appender(pipeline.directory, "traces", rotate_bytes=options.rotate_bytes, sync=sync)
        self._logs = Appender(pipeline.directory, "logs", rotate_bytes=options.rotate_bytes, sync=sync)
        self._metrics = Appender(pipeline.directory, "metrics", rotate_bytes=options.rotate_bytes, sync=sync)
        self._metric_lines = MetricLines(pipeline)
        self._unwritten: list[_Unwritten] = []
        self._markers: list[Marker] = []
        self._stopping = False
        self._reason: str | None = None
        self._retry_at = 0.0
        self._checkpoint_at = time.monotonic() + _CHECKPOINT_SECONDS
        self._state_at = 0.0
        self._listen_at = 0.0
        self._audience = Audience(pipeline, self._guarded)
        self._checkpoints = Checkpoints(pipeline)
        self._run_file = RunFile(pipeline)
        self._rescued: set[int | str] = set()
        self._busy_until = time.monotonic() + _IDLE_AFTER_SECONDS
        self.recorded = dict.fromkeys(_SIGNALS, 0)
        self.journaled = dict.fromkeys(_SIGNALS, 0)
        self._notes = 0

    def start(self) -> None:
        """Begin."""
        self.thread.start()

    def stop(self, timeout: float, reason: str) -> None:
        """Write what is left, say how the process ended, and end the thread."""
        self._reason = reason
        self._stopping = True
        self.pipeline.wake()
        if self.thread is not threading.current_thread():
            self.thread.join(timeout)

    def abandon(self) -> None:
        """In a forked child: close the parent's files here; they go on there."""
        self._close_files()

    def _close_files(self) -> None:
        for appender in (self._traces, self._logs, self._metrics):
            appender.close()

    # ── the loop ──────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        pipeline = self.pipeline
        while not self._stopping:
            pipeline.signal.acquire(timeout=self._patience())
            self._guarded(self._turn)
        self._guarded(self._last_turn)
        for appender in (self._traces, self._logs, self._metrics):
            appender.finish_sealing(_SEALING_SECONDS)

    def _patience(self) -> float:
        pipeline = self.pipeline
        if self._unwritten or pipeline.queue or self._markers:
            return _RETRY_SECONDS if pipeline.is_failing else 0
        if time.monotonic() < self._busy_until or self._audience:
            return _POLL_SECONDS
        if pipeline.wake_at >= 0:
            # From now on the next record wakes us. One that is on its way to the queue has not seen this: look again.
            pipeline.wake_at = -1
            return _POLL_SECONDS
        return _IDLE_SECONDS

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # even a SystemExit: the writer has everybody's data
            try:
                self.pipeline.failed("writing", error)
            except BaseException:  # strict mode raises where somebody can see it; here nobody can
                return

    def _turn(self) -> None:
        queue = self.pipeline.queue
        # A look at the instruments comes by the clock: whoever samples once a second is no busier for it.
        if queue and (len(queue) > 1 or queue[0].__class__ is not Snapshot):
            self._busy_until = time.monotonic() + _IDLE_AFTER_SECONDS
        now = time.monotonic()
        # Before the first line: a reader that finds lines must find out whose they are, and that the process lives.
        if now >= self._state_at or self._run_file.is_due:
            self._state_at = now + _STATE_SECONDS
            self._write_state("running")
        if not self.pipeline.is_failing:
            # What a full disk would not take, the next look says as well.
            self._encode([], [], self._metric_lines.due(now))
        self.drain()
        if now >= self._checkpoint_at:
            self._checkpoint_at = now + _CHECKPOINT_SECONDS
            self._checkpoints.note()
            self._guarded(self.pipeline.beat)
            self._note_progress()
            self.drain()
        if self._audience and now >= self._listen_at:
            self._listen_at = now + _LISTEN_SECONDS
            self._audience.show()

    def _last_turn(self) -> None:
        pipeline = self.pipeline
        # What is there now: others may go on recording for ever.
        self.drain(True, most=len(pipeline.queue))
        # From here on nothing goes through the ring: what others still record is written by themselves, after this.
        pipeline.let_go()
        with pipeline.turn.taken() as is_ours:
            if not is_ours:
                # Somebody else hangs in a write: what there is waits in the ring.
                return
            self.drain(True)
            self._guarded(self._rescue)
            self._guarded(self._write_metrics)
            self._close_files()
            left = self._give_up()
            self._write_state("ended")
            if pipeline.ring is not None:
                # What could not be written stays in the ring, for whoever opens the directory next.
                pipeline.ring.close(remove=not left)
                pipeline.ring = None
        pipeline.write_here()
        # Last, because a terminal that has stopped can hold them for a second.
        if self._audience:
            self._audience.show()
            self._audience.close(self.journaled, self._metric_lines.spent)

    def _rescue(self) -> None:
        """Write what is in the ring and in no queue: a KeyboardInterrupt can tear a recording call off half-way."""
        ring = self.pipeline.ring
        if ring is None or self._unwritten:
            return
        records = [from_tuple(loads(data)) for data in ring.left()]
        unplaced = self.pipeline.unplaced
        spans = [record for record in records if not isinstance(record, LogRecord) and record.number not in unplaced]
        logs = [record for record in records if isinstance(record, LogRecord)]
        self._encode(spans, logs)
        # Its call may also just be slow, in another thread, and then the record comes once more.
        self._rescued = {span.number for span in spans} | {record.uid for record in logs}
        self._write_unwritten(force=True)

    def _write_metrics(self) -> None:
        """Write what spans have come to at the end; where nothing can be written, whoever reads them can tell."""
        if self.pipeline.is_failing:
            return
        self._encode([], [], self._metric_lines.latest(time.monotonic()))
        self._write_unwritten(force=True)

    def _give_up(self) -> int:
        """Count what will never be written as dropped, and return how many records wait in the ring."""
        pipeline = self.pipeline
        if not self._unwritten:
            # What is in the queue came meanwhile, and is written by those who brought it.
            return 0
        waiting: list[tuple[str, int | tuple[int, ...]]] = [
            (item.signal, slots) for item in self._unwritten for slots in item.slots
        ]
        lost = sum(item.count for item in self._unwritten if item.signal == "metrics")
        self.recorded["metrics"] -= lost
        lost += sum(record.points for record in pipeline.queue if record.__class__ is Snapshot)
        if lost:
            # They are in no ring.
            pipeline.drop("metrics", "disk_error", lost)
        for record in pipeline.queue:
            if record.__class__ is not Marker and record.__class__ is not Snapshot:
                signal = "logs" if _is_log(record) else "spans"
                self.recorded[signal] += 1
                slots = abs(record) if record.__class__ is int else getattr(record, "slots", -1)
                waiting.append((signal, record[-1] if signal == "logs" and record.__class__ is list else slots))
        pipeline.queue.clear()
        self._unwritten.clear()
        kept = 0
        for signal, slots in waiting:
            self.recorded[signal] -= 1
            if slots == -1 or pipeline.ring is None:
                pipeline.drop(signal, "disk_error")
            else:
                kept += 1
        if kept and pipeline.ring is not None:
            where = f"{pipeline.ring.path}, and are recovered when there is room"
            pipeline.notices.once("unwritten", f"{kept:,} records could not be written: they wait in {where}")
        return kept

    # ── queue to disk ─────────────────────────────────────────────────────────────────────────────

    def drain(self, is_last: bool = False, *, most: int | None = None) -> None:
        """Write all that is in the queue, or about *most* of it, unless the disk refuses."""
        pipeline = self.pipeline
        queue = pipeline.queue
        was_idle = not queue
        while True:
            if self._unwritten and not self._write_unwritten(force=is_last):
                return
            self._reach_markers()
            if not queue or (most is not None and most <= 0) or (self._stopping and not is_last):
                break
            most = None if most is None else most - _BATCH
            spans, logs, snapshots = self._sorted([queue.popleft() for _ in range(min(len(queue), _BATCH))])
            self._encode(spans, logs, snapshots)
        if was_idle:
            return
        pipeline.heavy = 0
        if not pipeline.is_closed and not pipeline.is_direct:
            pipeline.wake_at = _BATCH

    def _sorted(self, taken: list[Any]) -> tuple[list[Any], list[Any], list[Snapshot]]:
        """Return the spans, the log records and the snapshots among what was *taken* from the queue."""
        if _are_all(int, taken):
            # All spans, or all log records, nearly always.
            if min(taken) > 0:
                return taken, [], []
            if max(taken) < 0:
                return [], taken, []
        spans: list[Any] = []
        logs: list[Any] = []
        snapshots: list[Snapshot] = []
        for record in taken:
            if _is_log(record):
                logs.append(record)
            elif record.__class__ is Marker:
                self._markers.append(record)
            elif record.__class__ is Snapshot:
                snapshots.append(record)
            else:
                spans.append(record)
        return spans, logs, snapshots

    def _read_back(self, queued: list[Any]) -> tuple[list[Any], list[int | tuple[int, ...]]]:
        """Return the spans that were *queued*, as short forms where they can be, and what they hold of the ring.

        Of most, only the short form was, or where in the ring that is.
        """
        ring = self.pipeline.ring
        if ring is not None and _are_all(int, queued):
            return short_forms(ring.read(queued)), queued
        in_ring = [span for span in queued if span.__class__ is int]
        stored = iter(short_forms(ring.read(in_ring)) if in_ring and ring is not None else ())
        return (
            [next(stored) if span.__class__ is int else span for span in queued],
            [span if span.__class__ is int else -1 if span.__class__ is list else span.slots for span in queued],
        )

    def write_here(self) -> None:
        """Write what is in the queue in the thread that recorded it, after the end of our own."""
        if self.pipeline.queue or self._unwritten:
            self.drain(True)
            if self._metric_lines.is_changed:
                self._write_metrics()
            self._write_state("ended")

    def _encode(self, spans: list[Any], logs: list[Any], snapshots: Sequence[Snapshot] = ()) -> None:
        if snapshots:
            self._encode_metrics(snapshots)
        self._encode_logs(logs)
        encoder = self._encoder
        span_lines: list[bytes] = []
        slots: list[int | tuple[int, ...]] = []
        # A line at a time: what was read back for one is gone again, and its memory at hand, for the next.
        for start in range(0, len(spans), SPANS_PER_LINE):
            some, places = self._read_back(spans[start : start + SPANS_PER_LINE])
            if self._rescued:
                kept = [n for n, span in enumerate(some) if span_record(span).number not in self._rescued]
                some, places = [some[n] for n in kept], [places[n] for n in kept]
            span_lines.append(self._encoded(encoder.span_lines, some, "spans", places))
            slots += places if len(some) == len(places) else [span.slots for span in some]
            self._guarded(functools.partial(self._metric_lines.add, some))
            if self._audience:
                self._audience.take_spans(list(map(span_record, some)))
        if encoder.spilled:
            # Before the spans: a span that is in the journal is whole, and its place in the ring is free.
            spilled, encoder.spilled = spilled_records(encoder.spilled), []
            self._encode_logs(spilled, is_heard=False)
        self._keep(_Unwritten(self._traces, b"".join(span_lines), slots, "spans", len(slots)))

    def _encode_logs(self, logs: list[Any], *, is_heard: bool = True) -> None:
        lines: list[bytes] = []
        slots: list[int | tuple[int, ...]] = []
        notes = 0
        # As with spans.
        for start in range(0, len(logs), SPANS_PER_LINE):
            some, places = self._logs_of(logs[start : start + SPANS_PER_LINE])
            if self._audience and is_heard:
                some = [log_record(record) for record in some]
                self._audience.take_logs(some)
            lines.append(self._encoded(self._encoder.log_lines, some, "logs"))
            slots += places if len(some) == len(places) else list(map(_slots_of, some))
            # Of those that come as lists, none is of ours.
            own = [record for record in some if record.__class__ is not list]
            if own:
                notes += sum(record.name in names.LIFECYCLE for record in own)
                self._guarded(functools.partial(self._metric_lines.add_logs, own))
        self._keep(_Unwritten(self._logs, b"".join(lines), slots, "logs", len(slots), notes))

    def _logs_of(self, queued: list[Any]) -> tuple[list[Any], list[int | tuple[int, ...]]]:
        """Return the log records that were *queued*, of most only their place in the ring, and what they hold of it."""
        in_ring = [-record for record in queued if record.__class__ is int]
        ring = self.pipeline.ring
        some = log_forms(ring.read(in_ring), in_ring) if in_ring and ring is not None else []
        places: list[Any] = in_ring
        if len(some) < len(queued):
            stored = iter(some)
            some = [next(stored) if record.__class__ is int else record for record in queued]
            places = list(map(_slots_of, some))
        if self._rescued:
            some = [record for record in map(log_record, some) if record.uid not in self._rescued]
            places = list(map(_slots_of, some))
        return some, places

    def _keep(self, unwritten: _Unwritten) -> None:
        if unwritten.count:
            self.recorded[unwritten.signal] += unwritten.count
            self._unwritten.append(unwritten)

    def _encode_metrics(self, snapshots: Sequence[Snapshot]) -> None:
        points = sum(snapshot.points for snapshot in snapshots)
        try:
            lines = self._metric_lines.encoded(snapshots)
        except Exception as error:  # counted, said once
            self.pipeline.drop("metrics", "unencodable", points)
            self.pipeline.failed("encoding", error)
            return
        self.recorded["metrics"] += points
        self._unwritten.append(_Unwritten(self._metrics, lines, [], "metrics", points))

    def _encoded(
        self,
        encode: Callable[[Any], bytes],
        records: list[Any],
        signal: str,
        slots: Sequence[int | tuple[int, ...]] = (),
    ) -> bytes:
        """Return *records* as lines; one that cannot be encoded is taken out of them, and counted.

        *slots* is what spans hold of the ring.
        """
        if not records:
            return b""
        already = list(self._encoder.spilled)
        try:
            return encode(records)
        except BaseException:  # one record is to blame: the others must not go with it
            self._encoder.spilled = already
        if signal == "logs":
            records[:] = map(log_record, records)
        else:
            records[:] = map(span_record, records, slots)
        parts: list[bytes] = []
        for record in list(records):
            spilled = list(self._encoder.spilled)
            try:
                parts.append(encode([record]))
            except BaseException as error:  # counted, said once
                self._encoder.spilled = spilled
                records.remove(record)
                self.pipeline.give_back(record)
                self.pipeline.drop(signal, "unencodable")
                self._guarded(functools.partial(self.pipeline.failed, "encoding", error))
        return b"".join(parts)

    def _write_unwritten(self, *, force: bool) -> bool:
        pipeline = self.pipeline
        now = time.monotonic()
        if pipeline.is_failing and now < self._retry_at and not force:
            return False
        self._note_progress()
        while self._unwritten:
            item = self._unwritten[0]
            try:
                item.appender.append(item.lines)
            except OSError as error:
                self._retry_at = now + _RETRY_SECONDS
                pipeline.is_failing = True
                pipeline.notices.at_most_each_minute(
                    "disk", f"cannot write to {pipeline.directory}: {error}; telemetry waits in memory"
                )
                return False
            self._free(item)
            pipeline.batches += 1
            self.journaled[item.signal] += item.count
            self._notes += item.notes
            self._unwritten.pop(0)
        if pipeline.is_failing:
            pipeline.is_failing = False
            pipeline.notices.once("disk_back", f"writing to {pipeline.directory} again")
        for follower in pipeline.followers:
            follower.wake()
        return True

    def _free(self, item: _Unwritten) -> None:
        ring = self.pipeline.ring
        if ring is not None:
            ring.free_all(item.slots)

    def _reach_markers(self) -> None:
        for marker in self._markers:
            marker.reach()
        self._markers.clear()

    def _note_progress(self) -> None:
        ring = self.pipeline.ring
        if ring is not None:
            ring.note(
                Progress(
                    traces_segment=self._traces.segment,
                    traces_offset=self._traces.offset,
                    logs_segment=self._logs.segment,
                    logs_offset=self._logs.offset,
                    heartbeat_unix_nano=time.time_ns(),
                    spans=self.journaled["spans"],
                    logs=self.journaled["logs"],
                )
            )

    # ── state ─────────────────────────────────────────────────────────────────────────────────────

    def counters(self) -> dict[str, dict[str, Any]]:
        """Return what was recorded, journaled, dropped and sampled out, by signal."""
        pipeline = self.pipeline
        found: dict[str, dict[str, Any]] = {}
        for signal in _SIGNALS:
            dropped = dict(pipeline.dropped[signal])
            sampled_out = pipeline.sampled_out if signal == "spans" else 0
            found[signal] = {
                "recorded": self.recorded[signal] + sum(dropped.values()) + sampled_out,
                "journaled": self.journaled[signal],
                "sampled_out": sampled_out,
                "dropped": dropped,
            }
        # What begins is noted for readers; followers leave it out, and nobody is to miss it there.
        found["logs"]["notes"] = self._notes
        return found

    def _write_state(self, state: str) -> None:
        pipeline = self.pipeline
        try:
            layout.private_directory(pipeline.directory)
            self._run_file.begin()
            layout.replace_json(pipeline.directory / "process.json", self._state(state))
            self._run_file.write(is_ended=state == "ended")
        except OSError as error:
            pipeline.notices.at_most_each_minute("disk", f"cannot write to {pipeline.directory}: {error}")

    def _state(self, state: str) -> dict[str, Any]:
        pipeline = self.pipeline
        now = time.time_ns()
        return {
            "version": layout.VERSION,
            "run_id": pipeline.options.run_id,
            "process": pipeline.process,
            "pid": pipeline.pid,
            "parent_pid": os.getppid(),
            "host": pipeline.options.resource.get(names.HOST_NAME, ""),
            "state": state,
            "started_unix_nano": pipeline.started_unix_nano,
            "ended_unix_nano": now if state == "ended" else None,
            "heartbeat_unix_nano": now,
            "exit": self._reason,
            "ring": str(pipeline.ring.path) if pipeline.ring is not None and state == "running" else None,
            "metadata": {**pipeline.options.metadata, **self._run_file.told()},
            "counters": self.counters(),
            "usage": self._metric_lines.spent.document(),
            "oddities": dict(pipeline.notices.counts),
            **pipeline.told(),
        }


def _is_log(record: Any) -> bool:
    """Whether what was queued is a log record: itself, a list, or its place in the ring, which is negative."""
    kind = record.__class__
    return kind is LogRecord or (kind is list and record[0] == LOG_RECORD) or (kind is int and record < 0)


def _slots_of(record: Any) -> int | tuple[int, ...]:
    """Return what a log *record* holds of the ring."""
    slots: int | tuple[int, ...] = record[-1] if record.__class__ is list else record.slots
    return slots


def _are_all(kind: type, records: list[Any]) -> bool:
    return set(map(type, records)) == {kind}
