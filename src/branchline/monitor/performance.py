"""The performance monitor: samples at an interval, hears what the run measures, sums up, and raises alerts."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from .. import names
from ..context import attached
from ..current import CURRENT, PIPELINE_KEY, RUN_KEY, SETTINGS_KEY
from ..errors import ConfigError
from ..logs.accounts import complain
from ..quantities import A_DURATION, seconds
from ..spreads import Summary
from ..watching import Measured, Measures
from .alerts import LOG, Alert, record_alert, record_not_taken
from .catalogue import CATALOGUE, COUNTER, Readings
from .channels import Channel, channel_of
from .instruments import offer
from .machine import has_psutil
from .sampler import Sampler
from .summaries import Summaries
from .thresholds import Threshold, checked_milliseconds
from .values import PerformanceMetric
from .watch import Watch


if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

# How soon an alert is raised that needs no new value, and one about a budget.
_TICK_SECONDS: Final = 0.5
_LEAST_INTERVAL: Final = 0.05
# So many values may wait for this thread.
_MOST_HEARD: Final = 100_000
_SYSTEM: Final = ("system.", "hw.")
_OF_THE_RUN: Final = ("branchline.budget.", "branchline.self.")
_FINISH_SECONDS: Final = 2.0
# What was recorded a moment ago is in a summary, unless the disk is slower than this.
_CATCH_UP_SECONDS: Final = 0.5


class PerformanceMonitor:
    """Samples this process and its machine, sums up what is measured, and raises alerts, in a thread of its own.

    It begins with ``start`` and ends with ``stop``, or is a context manager for both; as ``async with`` it also
    measures how late the event loop is.
    """

    def __init__(
        self,
        *thresholds: Threshold,
        interval: float | str | timedelta = 1.0,
        channels: Iterable[Channel | Callable[[Alert], object]] = (),
        system: bool | None = None,
        threshold_ms: float | None = None,
    ) -> None:
        """Sample every *interval*, and tell *channels* of the alerts that *thresholds* raise.

        Args:
            thresholds: what is too much.
            interval: seconds, or text such as "500 ms".
            channels: where alerts go, beside the journal: channels, or functions that take an ``Alert``.
            system: whether to sample the machine, too, which takes psutil; None: where that is installed.
            threshold_ms: of every step: a warning when one takes longer.

        Raises:
            ConfigError: for what is not accepted.
            MissingExtraError: where the machine is to be sampled, and psutil is not installed.
        """
        self.interval = _interval(interval)
        all_thresholds = (*thresholds, *_of_steps(threshold_ms))
        for threshold in all_thresholds:
            if not isinstance(threshold, Threshold):
                msg = f"{threshold!r} is no Threshold"
                raise ConfigError(msg)
        self._channels = tuple(channel_of(channel) for channel in channels)
        self._watch = Watch(all_thresholds)
        is_asked = any(metric.startswith(_SYSTEM) for metric in self._watch.metrics)
        self._is_asking = any(metric.startswith(_OF_THE_RUN) for metric in self._watch.metrics)
        has_system = (is_asked or has_psutil()) if system is None else system
        self._sampler = Sampler(interval=self.interval, has_system=has_system)
        self._summaries = Summaries()
        self.alerts = 0
        """How many were raised."""
        self.missed = 0
        """How many values came faster than they could be looked at: they are in no summary, and raised no alert."""
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._heard: deque[Measured] = deque()
        # What is summed up already, and to be held against thresholds.
        self._unjudged: deque[Measured] = deque(maxlen=_MOST_HEARD)
        self._inside = Context()
        self._wake = threading.Event()
        # Re-entrant: a signal handler that ends the run may come in the middle of it.
        self._turn = threading.RLock()
        self._joined: Measures | None = None
        self._thread: threading.Thread | None = None
        self._is_over = False

    # ── beginning and end ─────────────────────────────────────────────────────────────────────────

    @property
    def is_running(self) -> bool:
        """Whether it has begun and not ended."""
        return self._thread is not None and not self._is_over

    def start(self) -> Self:
        """Begin; whoever is second changes nothing."""
        if self.is_running:
            return self
        self._is_over = False
        self._wake.clear()
        self._guarded(self._settle_in)
        # Whichever step this is called in: it belongs to the run, or to the capture.
        current = otel_context.get_current()
        self._inside = Context({key: current[key] for key in (PIPELINE_KEY, RUN_KEY, SETTINGS_KEY) if key in current})
        self._thread = threading.Thread(target=self._run, name="branchline-monitor", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # no more threads, as at the interpreter's end: nobody fails for that
            self._thread = None
            LOG.warning("nothing is monitored: %s", error)
        return self

    def stop(self, timeout: float = _FINISH_SECONDS) -> None:
        """Look for the last time, deliver what alerts there are within *timeout* seconds, and end."""
        if not self.is_running:
            return
        deadline = time.monotonic() + timeout
        if self._joined is not None:
            # What came right before counts as well.
            self._joined.catch_up(timeout / 2)
        self._is_over = True
        self._wake.set()
        thread = self._thread
        if thread is not None:
            thread.join(max(deadline - time.monotonic(), 0.0))
        self._leave()
        self._close_channels(deadline)
        if CURRENT.monitoring is self:
            CURRENT.monitoring = None
        self._sampler.close()

    def finish(self, timeout: float) -> None:
        """Say what there is to say before a run ends; the monitor goes on."""
        deadline = time.monotonic() + timeout
        # It may be in the middle of a look, in its own thread.
        if self._turn.acquire(timeout=timeout):
            try:
                with attached(self._inside):
                    self._guarded(self._look)
            finally:
                self._turn.release()
        self._close_channels(deadline)

    def _close_channels(self, deadline: float) -> None:
        """Let the channels deliver what waits until the *deadline*, and say what then still does."""
        for channel in self._channels:
            # One of the user's own may not say anything.
            if channel.close(max(deadline - time.monotonic(), 0.0)) is False:
                count = getattr(channel, "waiting", None)
                alerts = "alerts" if count is None else f"{count:,} alert(s)"
                complain(f"{alerts} still wait for {channel}: recorded, but delivered only while the program goes on")

    def after_fork(self) -> None:
        """In a forked child: go on there with the process alone, for the machine is the parent's to tell."""
        was_running = self.is_running
        self._begin_anew()
        self._summaries = Summaries()
        self._watch = Watch(self._watch.thresholds)
        self.alerts = self.missed = 0
        self._sampler.forget_system()
        self._sampler.begin_anew()
        for channel in self._channels:
            begin_anew = getattr(channel, "begin_anew", None)
            if begin_anew is not None:
                begin_anew()
        if was_running:
            self.start()

    def watch_loop(self, loop: AbstractEventLoop | None = None) -> None:
        """Measure how late *loop* is from now on, by default the one that is running here, as ``event_loop.lag``."""
        if loop is None:
            # Whoever has a loop has loaded it.
            from asyncio import get_running_loop

            loop = get_running_loop()
        self._sampler.watch(loop)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self.watch_loop()
        return self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        # Joining the thread would make the loop late, which it looks at for the last time.
        from asyncio import to_thread

        await to_thread(self.stop)

    def __repr__(self) -> str:
        state = "running" if self.is_running else "not running"
        return f"<monitor every {self.interval:g} s, {len(self._watch.thresholds)} threshold(s), {state}>"

    # ── what is measured ──────────────────────────────────────────────────────────────────────────

    def readings(self) -> Readings:
        """Return the newest values of what is sampled, by the names of their metrics."""
        return self._sampler.read()

    def current(self) -> tuple[PerformanceMetric, ...]:
        """Return the newest values of what is sampled."""
        return tuple(
            PerformanceMetric(metric, value, CATALOGUE[metric].unit, tags)
            for metric, series in self._sampler.read().items()
            for value, tags in series
        )

    def summary(self, metric: str | None = None) -> tuple[Summary, ...]:
        """Return what the values of each series came to so far, of *metric* or of all.

        There is one for every step and branch by its duration, for every point, for every instrument that does not only
        grow, and for everything that is sampled and does not only grow.
        """
        if self._joined is not None:
            self._joined.catch_up(_CATCH_UP_SECONDS)
        with self._turn:
            self._sum_up(self._taken())
            return self._summaries.all(metric)

    def hear(self, measured: Sequence[Measured]) -> None:
        """Take what the run has *measured*."""
        self._heard.extend(measured)
        self.missed += self._overflow()

    def _overflow(self) -> int:
        count = max(len(self._heard) - _MOST_HEARD, 0)
        for _ in range(count):
            self._heard.popleft()
        return count

    # ── the thread ────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        with attached(self._inside):
            due = time.monotonic()
            while not self._is_over:
                if time.monotonic() >= due:
                    due = max(due + self.interval, time.monotonic())
                    self._guarded(self._sample)
                self._guarded(self._look)
                self._wake.wait(min(max(due - time.monotonic(), 0.001), _TICK_SECONDS))
            self._guarded(self._sample)
            self._guarded(self._look)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:  # it must go on watching
            LOG.exception("the monitor failed, and goes on")

    def _settle_in(self) -> None:
        """Be where samples are asked for, unless somebody is there, and hear what the run measures now."""
        if CURRENT.monitoring is None:
            CURRENT.monitoring = self
        if CURRENT.monitoring is self:
            offer()
        measures = CURRENT.measures
        if measures is not self._joined:
            self._leave()
            self._joined = measures
            if measures is not None:
                # What is sampled here comes back as instruments.
                measures.join(self, every=self.interval, but=CATALOGUE)

    def _leave(self) -> None:
        joined, self._joined = self._joined, None
        if joined is not None:
            joined.leave(self)

    def _sample(self) -> None:
        self._settle_in()
        now = time.time_ns()
        found = [
            Measured(metric, value, CATALOGUE[metric].unit, attributes, now, is_total=CATALOGUE[metric].kind == COUNTER)
            for metric, series in self._sampler.read().items()
            for value, attributes in series
        ]
        with self._turn:
            self._sum_up(found)

    def _look(self) -> None:
        asked = self._joined.look() if self._is_asking and self._joined is not None else ()
        with self._turn:
            self._sum_up([*self._taken(), *asked])
            now = time.monotonic()
            while self._unjudged:
                self._raise(self._watch.take(self._unjudged.popleft(), now))
            self._raise(self._watch.tick(now))

    def _taken(self) -> Iterable[Measured]:
        for _ in range(len(self._heard)):
            try:
                measured = self._heard.popleft()
            except IndexError:  # too much came meanwhile, and the oldest were dropped
                return
            # Whoever else watches may want to hear of what is sampled here.
            if measured.metric not in CATALOGUE:
                yield measured

    def _sum_up(self, found: Iterable[Measured]) -> None:
        for measured in found:
            self._summaries.take(measured)
            if measured.metric in self._watch.metrics:
                self._unjudged.append(measured)

    def _raise(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            self.alerts += 1
            record_alert(alert)
            for channel in self._channels:
                try:
                    channel.send(alert)
                except Exception as error:  # a channel of the user's
                    record_not_taken(channel, alert, error)


def summary(metric: str | None = None) -> tuple[Summary, ...]:
    """Return what the monitor of this process has summed up so far, of *metric* or of all; nothing without one."""
    monitoring = CURRENT.monitoring
    return monitoring.summary(metric) if isinstance(monitoring, PerformanceMonitor) else ()


def watch_loop(loop: AbstractEventLoop | None = None) -> None:
    """Let the monitor of this process measure how late *loop* is, by default the one that is running here."""
    monitoring = CURRENT.monitoring
    if isinstance(monitoring, PerformanceMonitor):
        monitoring.watch_loop(loop)


def _of_steps(threshold_ms: float | None) -> tuple[Threshold, ...]:
    limit = checked_milliseconds(threshold_ms)
    return () if limit is None else (Threshold(names.STEP_DURATION, above=limit / 1000),)


def _interval(said: object) -> float:
    try:
        found = seconds(said)
    except (ValueError, KeyError, TypeError):
        found = 0.0
    if found < _LEAST_INTERVAL:
        msg = f"interval={said!r}; accepted: {A_DURATION}, at least {_LEAST_INTERVAL} s"
        raise ConfigError(msg)
    return found
