"""What a run measures, for those who watch it, and what samples for it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from .. import names
from .._journal.snapshots import SUM, Metric, Series
from .._pipeline.collector import Collector
from .._pipeline.observers import of_metric
from .._pipeline.pipeline import Pipeline
from ..config import Config
from ..watching import Measured, Watching


if TYPE_CHECKING:
    from ..monitor import PerformanceMonitor


class RunMeasures:
    """What one run, or one capture, measures."""

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        collector: Callable[[], Collector | None] = lambda: None,
        look: Callable[[], tuple[Metric, ...]] = tuple,
    ) -> None:
        """Tell what goes through *pipeline*, what the *collector* finds, and what a *look* at the run itself says."""
        self._pipeline = pipeline
        self._collector = collector
        self._look = look
        self._every: dict[int, float] = {}
        self._alerts: Counter[tuple[str, str]] = Counter()

    def join(self, watching: Watching, *, every: float, but: Collection[str] = ()) -> None:
        """Tell *watching* from now on; of instruments, *but* these, at least *every* so many seconds."""
        observers = self._pipeline.observers
        observers.unheard = frozenset(but) & frozenset(observers.unheard) if observers.joined else frozenset(but)
        self._every[id(watching)] = every
        observers.joined = (*observers.joined, watching)
        self.hurry()

    def leave(self, watching: Watching) -> None:
        """Tell *watching* nothing any more."""
        self._every.pop(id(watching), None)
        observers = self._pipeline.observers
        observers.joined = tuple(other for other in observers.joined if other is not watching)
        self.hurry()

    def hurry(self) -> None:
        """Let the instruments be looked at as often as somebody wants to hear of them."""
        collector = self._collector()
        if collector is not None:
            collector.hurry(min(self._every.values(), default=None))

    def after_fork(self) -> None:
        """In a forked child: let everybody begin anew who was told in the parent."""
        observers = self._pipeline.observers
        watching, observers.joined = observers.joined, ()
        self._every.clear()
        self._alerts.clear()
        for each in watching:
            each.after_fork()

    def look(self) -> list[Measured]:
        """Return how budgets stand, and what branchline measures of itself."""
        now = time.time_ns()
        return [measured for metric in self._look() for measured in of_metric(metric, now)]

    def catch_up(self, timeout: float) -> None:
        """Wait until everybody was told of what was recorded so far, for at most *timeout* seconds."""
        deadline = time.monotonic() + timeout
        collector = self._collector()
        if collector is not None:
            collector.collect(timeout / 2)
        self._pipeline.flush(max(deadline - time.monotonic(), 0.0))

    def alerted(self, metric: str, severity: str) -> None:
        """Count an alert about *metric*."""
        self._alerts[metric, severity] += 1

    def metrics(self) -> tuple[Metric, ...]:
        """Return how many alerts there were; nothing where there were none."""
        series = tuple(
            Series({names.ALERT_METRIC: metric, names.ALERT_SEVERITY: severity}, count)
            for (metric, severity), count in list(self._alerts.items())
        )
        if not series:
            return ()
        return (Metric(names.ALERTS, SUM, series, "{alert}", "Thresholds that were passed.", is_monotonic=True),)

    def finish(self, timeout: float) -> None:
        """Let everybody say what there is still to say, within *timeout* seconds."""
        deadline = time.monotonic() + timeout
        for watching in self._pipeline.observers.joined:
            try:
                watching.finish(max(deadline - time.monotonic(), 0.0))
            except Exception as error:  # recording never raises
                self._pipeline.failed("watching", error)


def monitor_of(config: Config, *, is_alone: bool) -> PerformanceMonitor | None:
    """Return what samples for a run with *config*, if anything does; where it *is_alone*, the machine as well.

    Raises:
        MissingExtraError: where that needs a package that is not installed.
    """
    if config.system_metrics is None or config.disabled:
        return None
    # Whoever samples nothing must not pay for loading it.
    from ..monitor import PerformanceMonitor

    return PerformanceMonitor(interval=config.system_metrics, system=is_alone)
