"""The one thread that writes: takes from the queue, redacts, encodes once, appends to the journal."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from .. import names
from .._journal import layout
from .._journal.lines import SPANS_PER_LINE
from .._journal.machines import pid_space
from .._journal.ring_layout import SLOTS
from .._journal.snapshots import Snapshot
from .audience import Audience
from .checkpoints import Checkpoints
from .metric_lines import MetricLines
from .outbox import RETRY_SECONDS, SIGNALS, Outbox
from .pipeline import Pipeline
from .run_file import RunFile
from .waiting import Marker


_BATCH: Final = 512
# Half of a ring.
_CROWD: Final = SLOTS // 2
# The longest that a record may wait in memory: what a kill can cost with durability="batch".
_POLL_SECONDS: Final = 0.1
_IDLE_AFTER_SECONDS: Final = 1.0
# No longer: a step may have begun meanwhile, and one that takes a second is to be seen.
_IDLE_SECONDS: Final = 1.0
_CHECKPOINT_SECONDS: Final = 1.0
_STATE_SECONDS: Final = 5.0
_LISTEN_SECONDS: Final = 0.12


class Writer:
    """Writes one pipeline's records until it is stopped."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Write what *pipeline*'s queue has."""
        self.pipeline = pipeline
        self.thread = threading.Thread(target=self._run, name="branchline-writer", daemon=True)
        self._metric_lines = MetricLines(pipeline)
        self._markers: list[Marker] = []
        self._stopping = False
        self._reason: str | None = None
        self._checkpoint_at = time.monotonic() + _CHECKPOINT_SECONDS
        self._state_at = 0.0
        self._listen_at = 0.0
        self._audience = Audience(pipeline, self._guarded)
        self._outbox = Outbox(pipeline, self._metric_lines, self._audience, self._guarded)
        self._checkpoints = Checkpoints(pipeline)
        self._run_file = RunFile(pipeline)
        self._busy_until = time.monotonic() + _IDLE_AFTER_SECONDS

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
        self._outbox.close()

    # ── the loop ──────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        pipeline = self.pipeline
        while not self._stopping:
            pipeline.signal.acquire(timeout=self._patience())
            self._guarded(self._turn)
        self._guarded(self._last_turn)
        self._outbox.finish_sealing()

    def _patience(self) -> float:
        pipeline = self.pipeline
        if self._outbox or pipeline.queue or self._markers:
            return RETRY_SECONDS if pipeline.is_failing else 0
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
            self._outbox.take_snapshots(self._metric_lines.due(now))
        self.drain()
        if now >= self._checkpoint_at:
            self._checkpoint_at = now + _CHECKPOINT_SECONDS
            self._checkpoints.note()
            self._guarded(self.pipeline.beat)
            self._outbox.note_progress()
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
            self._guarded(self._outbox.rescue)
            self._guarded(self._write_metrics)
            self._outbox.close()
            left = self._outbox.give_up()
            self._write_state("ended")
            if pipeline.ring is not None:
                # What could not be written stays in the ring, for whoever opens the directory next.
                pipeline.ring.close(remove=not left)
                pipeline.ring = None
        pipeline.write_here()
        # Last, because a terminal that has stopped can hold them for a second.
        if self._audience:
            self._audience.show()
            self._audience.close(self._outbox.journaled, self._metric_lines.spent)

    def _write_metrics(self) -> None:
        """Write what spans have come to at the end; where nothing can be written, whoever reads them can tell."""
        if self.pipeline.is_failing:
            return
        self._outbox.take_snapshots(self._metric_lines.latest(time.monotonic()))
        self._outbox.write(force=True)

    # ── queue to disk ─────────────────────────────────────────────────────────────────────────────

    def drain(self, is_last: bool = False, *, most: int | None = None) -> None:
        """Write all that is in the queue, or about *most* of it, unless the disk refuses."""
        pipeline = self.pipeline
        queue = pipeline.queue
        was_idle = not queue
        while True:
            if self._outbox and not self._outbox.write(force=is_last):
                return
            self._reach_markers()
            if not queue or (most is not None and most <= 0) or (self._stopping and not is_last):
                break
            # Without a ring, what waits for the rest of a batch is lost in a kill; and who waits for room in one that
            # is nearly full, is to see that the writer gets on.
            batch = SPANS_PER_LINE if pipeline.ring is None or len(queue) > _CROWD else _BATCH
            most = None if most is None else most - batch
            self._outbox.take([queue.popleft() for _ in range(min(len(queue), batch))], self._markers)
        if was_idle:
            return
        pipeline.heavy = 0
        if not pipeline.is_closed and not pipeline.is_direct:
            pipeline.wake_at = _BATCH

    def write_here(self) -> None:
        """Write what is in the queue in the thread that recorded it, after the end of our own."""
        if self.pipeline.queue or self._outbox:
            self.drain(True)
            if self._metric_lines.is_changed:
                self._write_metrics()
            self._write_state("ended")

    def _reach_markers(self) -> None:
        for marker in self._markers:
            marker.reach()
        self._markers.clear()

    # ── state ─────────────────────────────────────────────────────────────────────────────────────

    def counters(self) -> dict[str, dict[str, Any]]:
        """Return what was recorded, journaled, dropped and sampled out, by signal."""
        pipeline = self.pipeline
        found: dict[str, dict[str, Any]] = {}
        for signal in SIGNALS:
            dropped = dict(pipeline.dropped[signal])
            sampled_out = pipeline.sampled_out if signal == "spans" else 0
            found[signal] = {
                "recorded": self._outbox.recorded[signal] + sum(dropped.values()) + sampled_out,
                "journaled": self._outbox.journaled[signal],
                "sampled_out": sampled_out,
                "dropped": dropped,
            }
        # What begins is noted for readers; followers leave it out, and nobody is to miss it there.
        found["logs"]["notes"] = self._outbox.notes
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
            "pid_space": pid_space(),
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
