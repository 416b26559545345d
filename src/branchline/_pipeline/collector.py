"""The collector: a thread that looks at all instruments every ten seconds and at the end, beside the writer."""

from __future__ import annotations

import _thread
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from .._journal.snapshots import REPEAT_SECONDS, Metric, Snapshot, many_series
from .measuring import Collecting
from .pipeline import Pipeline
from .waiting import Marker


# Callbacks that take longer are left out; how long the last collection may wait for them, its caller says.
_CALLBACK_SECONDS: Final = 5.0


class Source(Protocol):
    """What the instruments of one provider have measured."""

    def read(self, deadline: Callable[[], float]) -> tuple[Metric, ...]:
        """Return all of it; callbacks may take until the *deadline*, which moves when the end is near."""

    def begin(self, collector: Collecting) -> None:
        """Measure from now on, for *collector*."""

    def renew(self, collector: Collecting) -> None:
        """In a forked child: the same, from zero."""

    def close(self) -> None:
        """Measure nothing any more."""


class Collector:
    """Hands a snapshot of all instruments to the pipeline, again and again, until it is finished."""

    def __init__(self, pipeline: Pipeline, source: Source) -> None:
        """Look at *source*, once it is started."""
        self._pipeline = pipeline
        self._source = source
        self._usual_interval = self._interval = pipeline.options.metrics.interval_seconds
        self._fresh()
        source.begin(self)

    def _fresh(self) -> None:
        self._started_unix_nano = time.time_ns()
        self._claim = _thread.allocate_lock()
        self._signal = _thread.allocate_lock()
        self._signal.acquire()
        self._thread: threading.Thread | None = None
        self._markers: deque[Marker] = deque()
        self._is_over = False
        self._is_abandoned = False
        self._end = float("inf")
        self._said: dict[tuple[Any, ...], tuple[Metric, float]] = {}

    def start(self) -> None:
        """Begin to collect; whoever comes second changes nothing."""
        if self._is_over or not self._claim.acquire(blocking=False):
            return
        self._thread = threading.Thread(target=self._run, name="branchline-metrics", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            # No more threads: what has been measured is looked at once, at the end.
            self._thread = None

    def hurry(self, seconds: float | None) -> None:
        """Collect at least every so many *seconds* from now on; None: as often as usual."""
        self._interval = self._usual_interval if seconds is None else min(self._usual_interval, seconds)
        self._wake()

    def collect(self, timeout: float) -> bool:
        """Collect now; return whether it was done within *timeout* seconds."""
        if self._thread is None or not self._thread.is_alive():
            return True
        marker = Marker()
        self._markers.append(marker)
        self._wake()
        return marker.wait(timeout)

    def finish(self, timeout: float) -> None:
        """Collect for the last time and end, within *timeout* seconds; what hangs then is left out."""
        if self._is_over:
            return
        # Half of it for callbacks: what others have measured must get out as well.
        self._end = time.monotonic() + timeout / 2
        self._is_over = True
        if self._thread is not None and self._thread.is_alive():
            self._wake()
            self._thread.join(timeout)
            # What comes later comes too late.
            self._is_abandoned = self._thread.is_alive()
        elif self._thread is None:
            # Nothing was measured, or there was no thread to be had: here nobody can wait for a callback.
            self._end = 0.0
            self._guarded(self._look)
            self._guarded(self._source.close)

    def after_fork(self) -> None:
        """In a forked child: leave everything to the parent and begin at zero."""
        was_over = self._is_over
        self._fresh()
        self._is_over = was_over
        self._source.renew(self)

    def _wake(self) -> None:
        try:
            self._signal.release()
        except RuntimeError:
            # Somebody else has just woken it.
            return

    # ── the thread ────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        due = time.monotonic() + self._interval
        while not self._is_over:
            due = min(due, time.monotonic() + self._interval)
            self._signal.acquire(timeout=max(due - time.monotonic(), 0.001))
            if self._is_over:
                break
            asked = len(self._markers)
            if asked or time.monotonic() >= due:
                due = time.monotonic() + self._interval
                self._guarded(self._look)
            self._reach_markers(asked)
        self._guarded(self._look)
        self._guarded(self._source.close)
        self._reach_markers(len(self._markers))

    def _reach_markers(self, count: int) -> None:
        for _ in range(count):
            self._markers.popleft().reach()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # the SDK, and the application's callbacks in it
            try:
                self._pipeline.failed("metrics", error)
            except BaseException:  # strict mode raises where somebody can see it; here nobody can
                return

    def _look(self) -> None:
        is_last = self._is_over
        begun = time.monotonic()
        metrics = self._source.read(lambda: min(begun + _CALLBACK_SECONDS, self._end))
        for metric in many_series(metrics):
            self._pipeline.notices.once(f"series_{metric.name}", metric.warning)
        told = tuple(metric for metric in metrics if is_last or self._is_news(metric, begun))
        if not told or self._is_abandoned:
            return
        self._said |= {_key(metric): (metric, begun) for metric in told}
        self._pipeline.submit_snapshot(Snapshot(told, start=self._started_unix_nano, time=time.time_ns()))

    def _is_news(self, metric: Metric, now: float) -> bool:
        """Whether *metric* has changed since it was said, or that is a while ago."""
        known, said_at = self._said.get(_key(metric), (None, 0.0))
        return metric != known or now - said_at >= REPEAT_SECONDS


def _key(metric: Metric) -> tuple[Any, ...]:
    return metric.scope, metric.name, metric.kind, metric.unit
