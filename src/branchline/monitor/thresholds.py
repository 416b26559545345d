"""Thresholds: which value of which metric is too much, and for how long it may be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from .. import names
from ..errors import ConfigError
from ..quantities import A_DURATION, seconds


SEVERITIES: Final = ("INFO", "WARNING", "ERROR", "CRITICAL")
_WORDS: Final[Mapping[str, str]] = {"WARN": "WARNING", "FATAL": "CRITICAL"}
STATISTICS: Final = ("last", "mean", "min", "max", "p50", "p95", "p99", "count")
# Of these a single value says nothing: it is 1 or 0.
_RATES: Final = frozenset({names.STEP_FAILED, names.BRANCH_FAILED})
_OF_STEPS: Final = frozenset({names.STEP_DURATION, names.STEP_FAILED})

Duration = float | str | timedelta


@dataclass(frozen=True)
class Threshold:
    """A limit for a metric: an alert is raised when it is passed for long enough, and not again within the cooldown.

    Args:
        metric: its name: one that is sampled, ``branchline.step.duration``, ``branchline.step.failed``, one of
            ``branchline.budget.*`` or ``branchline.self.*``, an instrument or a point of one's own.
        above: the largest value that is fine; or
        below: the smallest one.
        for_seconds: for how long the limit must be passed.
        cooldown: for how long nothing more is said then about the same series.
        severity: ``INFO``, ``WARNING``, ``ERROR`` or ``CRITICAL``.
        step: the only step it is about; None: every one, each for itself.
        attributes: what series must have to count.
        statistic: what is held against the limit: the ``last`` value, or of those in the window their ``mean``,
            ``min``, ``max``, ``p50``, ``p95``, ``p99`` or ``count``. Of what is 1 or 0, the mean.
        window: how far back these go.
        at_least: how many values there must be in the window.
        name: what the alert is called; the metric's name if None.
    """

    metric: str
    above: float | None = None
    below: float | None = None
    for_seconds: Duration = field(default=0.0, kw_only=True)
    cooldown: Duration = field(default=60.0, kw_only=True)
    severity: str = field(default="WARNING", kw_only=True)
    step: str | None = field(default=None, kw_only=True)
    attributes: Mapping[str, object] = field(default_factory=dict, hash=False, kw_only=True)
    statistic: str = field(default="", kw_only=True)
    window: Duration = field(default=60.0, kw_only=True)
    at_least: int = field(default=1, kw_only=True)
    name: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        wrong = list(_wrong(self))
        if wrong:
            msg = f"Threshold({self.metric!r}): {'; '.join(wrong)}"
            raise ConfigError(msg)
        statistic = self.statistic or ("mean" if self.metric in _RATES else "last")
        known = {} if self.step is None else {names.STEP_NAME: self.step}
        for name, value in (
            *((name, seconds(getattr(self, name))) for name in ("for_seconds", "cooldown", "window")),
            ("severity", severity_of(self.severity)),
            ("statistic", statistic),
            ("attributes", {**self.attributes, **known}),
        ):
            object.__setattr__(self, name, value)

    @property
    def title(self) -> str:
        """What its alerts are called."""
        return self.name or self.metric

    @property
    def limit(self) -> float:
        """The last value that is fine."""
        return self.above if self.above is not None else self.below  # type: ignore[return-value]  # there is one

    @property
    def side(self) -> str:
        """``above`` or ``below``: where a value is too much."""
        return "above" if self.above is not None else "below"

    @property
    def hold_seconds(self) -> float:
        """For how long the limit must be passed."""
        return seconds(self.for_seconds)

    @property
    def cooldown_seconds(self) -> float:
        """For how long nothing more is said."""
        return seconds(self.cooldown)

    @property
    def window_seconds(self) -> float:
        """How far back values count."""
        return seconds(self.window)

    def is_passed_by(self, value: float) -> bool:
        """Whether *value* is too much."""
        return value > self.limit if self.above is not None else value < self.limit

    def is_about(self, attributes: Mapping[str, object]) -> bool:
        """Whether a series with these *attributes* counts."""
        return all(attributes.get(key) == value for key, value in self.attributes.items())


def severity_of(said: object) -> str | None:
    """Return one of ``SEVERITIES`` for what was *said*; None for what is none."""
    word = said.strip().upper() if isinstance(said, str) else ""
    word = _WORDS.get(word, word)
    return word if word in SEVERITIES else None


def checked_milliseconds(said: float | None) -> float | None:
    """Return *said* as a limit in milliseconds; None for none.

    Raises:
        ConfigError: for what is no number above zero.
    """
    if said is None or (_is_number(said) and said > 0):
        return said
    msg = f"threshold_ms={said!r}; accepted: milliseconds above zero, or None"
    raise ConfigError(msg)


def _wrong(threshold: Threshold) -> Iterable[str]:
    metric: object = threshold.metric
    if not isinstance(metric, str) or not metric:
        yield "the metric is the name of one"
    limits = [limit for limit in (threshold.above, threshold.below) if limit is not None]
    if len(limits) != 1:
        yield f"above={threshold.above!r}, below={threshold.below!r}; accepted: one of them"
    if not all(_is_number(limit) for limit in limits):
        yield f"the limit is {limits[0]!r}; accepted: a finite number"
    for name in ("for_seconds", "cooldown", "window"):
        if not _is_duration(getattr(threshold, name)):
            yield f"{name}={getattr(threshold, name)!r}; accepted: {A_DURATION}"
    if severity_of(threshold.severity) is None:
        yield f"severity={threshold.severity!r}; accepted: {', '.join(SEVERITIES)}"
    if threshold.statistic and threshold.statistic not in STATISTICS:
        yield f"statistic={threshold.statistic!r}; accepted: {', '.join(STATISTICS)}"
    if not isinstance(threshold.attributes, Mapping):
        yield f"attributes={threshold.attributes!r}; accepted: a mapping"
    if threshold.step is not None and threshold.metric not in _OF_STEPS:
        yield f"step={threshold.step!r}; accepted with {' and '.join(sorted(_OF_STEPS))}, for others say attributes"
    least: object = threshold.at_least
    if not isinstance(least, int) or isinstance(least, bool) or least < 1:
        yield f"at_least={least!r}; accepted: a whole number from 1 on"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_duration(value: object) -> bool:
    try:
        seconds(value)
    except (ValueError, KeyError, TypeError):
        return False
    return True
