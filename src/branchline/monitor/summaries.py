"""Summaries of everything that is measured, one for each series."""

from __future__ import annotations

from typing import Final

from ..spreads import Spread, Summary
from ..watching import Measured
from .watch import Series, series_of


# Of all metrics together: what comes on top is left out.
_MOST_SERIES: Final = 2000


class Summaries:
    """What the values of each series come to."""

    def __init__(self) -> None:
        self._spreads: dict[tuple[str, Series], tuple[Measured, Spread]] = {}

    def take(self, measured: Measured) -> None:
        """Take one value more, unless it belongs to what only grows: of that, the last one says it all."""
        if measured.is_total:
            return
        key = (measured.metric, series_of(measured.attributes))
        known = self._spreads.get(key)
        if known is None:
            if len(self._spreads) >= _MOST_SERIES:
                return
            known = self._spreads[key] = (measured, Spread())
        known[1].add(measured.value)

    def all(self, metric: str | None) -> tuple[Summary, ...]:
        """Return them, of *metric* or of all, in the order in which they were first heard of."""
        found = [
            spread.summary(first.metric, dict(first.attributes), first.unit)
            for first, spread in list(self._spreads.values())
            if metric is None or first.metric == metric
        ]
        return tuple(summary for summary in found if summary is not None)
