"""The watch: holds what is measured against thresholds, and tells when one is passed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ..spreads import Spread
from ..watching import Measured
from .alerts import Alert, alert_of
from .thresholds import Threshold


# Of one threshold; whoever has more has forgotten that an id is no attribute of a metric.
_MOST_SERIES: Final = 1000
_MOST_IN_WINDOW: Final = 10_000

Series = tuple[tuple[str, object], ...]


class Watch:
    """Some thresholds and how each series stands to them; one thread uses it."""

    def __init__(self, thresholds: Iterable[Threshold]) -> None:
        """Watch for *thresholds*."""
        self.thresholds = tuple(thresholds)
        self._by_metric: dict[str, list[_Held]] = {}
        for threshold in self.thresholds:
            self._by_metric.setdefault(threshold.metric, []).append(_Held(threshold))
        self.metrics = frozenset(self._by_metric)
        """Those that thresholds are about."""

    def take(self, measured: Measured, now: float) -> Iterator[Alert]:
        """Take one value at the moment *now*, in seconds; yield the alerts that it raises."""
        if not math.isfinite(measured.value):
            return
        for held in self._by_metric.get(measured.metric, ()):
            alert = held.take(measured, now)
            if alert is not None:
                yield alert

    def tick(self, now: float) -> Iterator[Alert]:
        """Yield the alerts that are due at the moment *now* although nothing new was measured."""
        for each in self._by_metric.values():
            for held in each:
                yield from held.tick(now)


class _Held:
    """How the series of one metric stand to one threshold."""

    def __init__(self, threshold: Threshold) -> None:
        self._threshold = threshold
        self._standings: dict[Series, _Standing] = {}

    def take(self, measured: Measured, now: float) -> Alert | None:
        if not self._threshold.is_about(measured.attributes):
            return None
        standing = self._standing(measured.attributes)
        return None if standing is None else standing.take(measured, now)

    def tick(self, now: float) -> Iterator[Alert]:
        for standing in self._standings.values():
            alert = standing.tick(now)
            if alert is not None:
                yield alert

    def _standing(self, attributes: Mapping[str, object]) -> _Standing | None:
        series = series_of(attributes)
        standing = self._standings.get(series)
        if standing is None and len(self._standings) < _MOST_SERIES:
            standing = self._standings[series] = _Standing(self._threshold)
        return standing


def series_of(attributes: Mapping[str, object]) -> Series:
    """Return what tells series apart."""
    # What cannot be hashed is told apart by how it looks.
    return tuple(sorted((str(key), value if _is_plain(value) else repr(value)) for key, value in attributes.items()))


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)


class _Standing:
    """How one series stands to its threshold."""

    __slots__ = ("_last", "_news", "_passed", "_quiet_until", "_since", "_threshold", "_window")

    def __init__(self, threshold: Threshold) -> None:
        self._threshold = threshold
        self._window: deque[tuple[float, float]] = deque(maxlen=_MOST_IN_WINDOW)
        self._last: Measured | None = None
        # How many values have come since this was judged.
        self._news = 0
        self._since: float | None = None
        self._quiet_until = -math.inf
        self._passed = 0

    def take(self, measured: Measured, now: float) -> Alert | None:
        self._last = measured
        self._news += 1
        if self._threshold.statistic == "last":
            return self._judged(measured, measured.value, now)
        # Many values are looked at together, once for all that come until the next tick.
        self._window.append((now, measured.value))
        return None

    def tick(self, now: float) -> Alert | None:
        if self._last is None:
            return None
        # A value that nobody has said again is still the value.
        value = self._last.value if self._threshold.statistic == "last" else self._looked_at(now)
        return self._judged(self._last, value, now)

    def _judged(self, measured: Measured, value: float | None, now: float) -> Alert | None:
        news, self._news = self._news, 0
        if value is None or not self._threshold.is_passed_by(value):
            self._since = None
            return None
        if self._since is None:
            self._since = now
            news = news or 1
        self._passed += news
        held = now - self._since
        # Where nothing has come since the last alert, that one has said it.
        if not self._passed or held < self._threshold.hold_seconds or now < self._quiet_until:
            return None
        alert = alert_of(self._threshold, measured, value, held=held, passed=self._passed)
        self._passed = 0
        self._quiet_until = now + self._threshold.cooldown_seconds
        return alert

    def _looked_at(self, now: float) -> float | None:
        """Return what the values in the window come to; None for too few to say anything."""
        while self._window and self._window[0][0] < now - self._threshold.window_seconds:
            self._window.popleft()
        statistic, count = self._threshold.statistic, len(self._window)
        if statistic == "count":
            return float(count)
        if count < self._threshold.at_least:
            return None
        spread = Spread()
        for _, value in self._window:
            spread.add(value)
        if statistic.startswith("p"):
            return spread.percentile(float(statistic[1:]))
        return {"mean": spread.total / count, "min": spread.smallest, "max": spread.largest}[statistic]
