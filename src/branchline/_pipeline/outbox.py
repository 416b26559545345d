"""What is on its way from the queue to the disk: read back, encoded once, and kept until the disk has it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .. import names
from .._journal.compact import loads
from .._journal.encode import Encoder
from .._journal.lines import SPANS_PER_LINE
from .._journal.log_records import LOG_RECORD, LogRecord, log_record
from .._journal.records import from_tuple, spilled_records
from .._journal.ring_layout import Progress
from .._journal.segments import Appender
from .._journal.snapshots import Snapshot
from .._journal.stored import log_forms, short_forms, span_record
from .audience import Audience
from .metric_lines import MetricLines
from .pipeline import Pipeline
from .waiting import Marker


RETRY_SECONDS: Final = 0.25
SIGNALS: Final = ("spans", "logs", "metrics")
_SEALING_SECONDS: Final = 10.0


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


class Outbox:
    """Encodes what is taken from one pipeline's queue, and writes it to its journal. The writer alone uses it."""

    def __init__(
        self,
        pipeline: Pipeline,
        metric_lines: MetricLines,
        audience: Audience,
        guarded: Callable[[Callable[[], None]], None],
    ) -> None:
        """Write to *pipeline*'s files; *metric_lines* and *audience* hear of it, each call *guarded*."""
        options = pipeline.options
        self.pipeline = pipeline
        sync = options.durability == "power"
        self._encoder = Encoder(pipeline.resource, options.redactor, version=names.VERSION)
        self._traces = Appender(pipeline.directory, "traces", rotate_bytes=options.rotate_bytes, sync=sync)
        self._logs = Appender(pipeline.directory, "logs", rotate_bytes=options.rotate_bytes, sync=sync)
        self._metrics = Appender(pipeline.directory, "metrics", rotate_bytes=options.rotate_bytes, sync=sync)
        self._metric_lines = metric_lines
        self._audience = audience
        self._guarded = guarded
        self._unwritten: list[_Unwritten] = []
        self._retry_at = 0.0
        self._rescued: set[int | str] = set()
        self.recorded = dict.fromkeys(SIGNALS, 0)
        self.journaled = dict.fromkeys(SIGNALS, 0)
        self.notes = 0
        """Of branchline's own, among the log records in the journal."""

    def __bool__(self) -> bool:
        return bool(self._unwritten)

    # ── from the queue ────────────────────────────────────────────────────────────────────────────

    def take(self, taken: list[Any], markers: list[Marker]) -> None:
        """Encode what was *taken* from the queue; the markers among it come to *markers*."""
        self._encode(*_sorted(taken, markers))

    def take_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        """Encode what metrics have come to."""
        self._encode([], [], snapshots)

    def _encode(self, spans: list[Any], logs: list[Any], snapshots: Sequence[Snapshot] = ()) -> None:
        if snapshots:
            self._encode_metrics(snapshots)
        # Each on its own: what is wrong with some must not cost the others.
        for encode, queued, signal in ((self._encode_logs, logs, "logs"), (self._encode_spans, spans, "spans")):
            try:
                encode(queued)
            except BaseException as error:  # counted, said once
                if self.pipeline.ring is None:
                    # With one, they are still in it, and written at the end.
                    self.pipeline.drop(signal, "unencodable", len(queued))
                self._guarded(functools.partial(self.pipeline.failed, "encoding", error))

    def _encode_spans(self, spans: list[Any]) -> None:
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

    # ── to the disk ───────────────────────────────────────────────────────────────────────────────

    def write(self, *, force: bool) -> bool:
        """Write what is encoded; return whether the disk has taken it. Where it refuses, it is asked again later."""
        pipeline = self.pipeline
        now = time.monotonic()
        if pipeline.is_failing and now < self._retry_at and not force:
            return False
        self.note_progress()
        while self._unwritten:
            item = self._unwritten[0]
            try:
                item.appender.append(item.lines)
            except OSError as error:
                self._retry_at = now + RETRY_SECONDS
                pipeline.is_failing = True
                pipeline.notices.at_most_each_minute(
                    "disk", f"cannot write to {pipeline.directory}: {error}; telemetry waits in memory"
                )
                return False
            self._free(item)
            pipeline.batches += 1
            self.journaled[item.signal] += item.count
            self.notes += item.notes
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

    def note_progress(self) -> None:
        """Say in the ring how far the journal got."""
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

    def rescue(self) -> None:
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
        self.write(force=True)

    def give_up(self) -> int:
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

    def close(self) -> None:
        """Close the files; what comes after that opens them again."""
        for appender in (self._traces, self._logs, self._metrics):
            appender.close()

    def finish_sealing(self) -> None:
        """Wait until files that are full are sealed."""
        for appender in (self._traces, self._logs, self._metrics):
            appender.finish_sealing(_SEALING_SECONDS)


def _sorted(taken: list[Any], markers: list[Marker]) -> tuple[list[Any], list[Any], list[Snapshot]]:
    """Return the spans, the log records and the snapshots among what was *taken* from the queue; keep its *markers*."""
    if _are_all(int, taken):
        # Of most, only where in the ring they are was queued.
        return [place for place in taken if place > 0], [place for place in taken if place < 0], []
    spans: list[Any] = []
    logs: list[Any] = []
    snapshots: list[Snapshot] = []
    for record in taken:
        if _is_log(record):
            logs.append(record)
        elif record.__class__ is Marker:
            markers.append(record)
        elif record.__class__ is Snapshot:
            snapshots.append(record)
        else:
            spans.append(record)
    return spans, logs, snapshots


def _are_all(kind: type, records: list[Any]) -> bool:
    return set(map(type, records)) == {kind}


def _is_log(record: Any) -> bool:
    """Whether what was queued is a log record: itself, a list, or its place in the ring, which is negative."""
    kind = record.__class__
    return kind is LogRecord or (kind is list and record[0] == LOG_RECORD) or (kind is int and record < 0)


def _slots_of(record: Any) -> int | tuple[int, ...]:
    """Return what a log *record* holds of the ring."""
    slots: int | tuple[int, ...] = record[-1] if record.__class__ is list else record.slots
    return slots
