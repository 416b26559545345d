"""Metric points, read back: each with its step and branch, and what the branches make of them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping

from .. import names
from .._journal.anyvalue import Value, parted
from .._journal.decode import DecodedLog, DecodedSpan
from .values import Point, Step


Key = tuple[str, str]


def point_of(log: DecodedLog, steps: Mapping[Key, Step], branch: Step | None = None) -> Point:
    """Return the point that a *log* record stands for, which was recorded in one of the *steps* and in *branch*."""
    own, ours = parted(log.attributes)
    own.pop(names.LOG_UID, None)
    step = steps.get((log.trace_id or "", log.span_id or ""))
    place = ours.get(names.METRIC_STEP)
    return Point(
        name=name_of(log),
        value=number_of(ours.get(names.METRIC_VALUE)),
        unit=_text(ours.get(names.METRIC_UNIT)),
        step=place if isinstance(place, int) else None,
        time_unix_nano=log.time_unix_nano,
        attributes=own,
        trace_id=log.trace_id,
        span_id=log.span_id,
        step_name=step.name if step is not None and step.kind not in {"branch", "experiment"} else None,
        branch_name=_text(ours.get(names.BRANCH_NAME)) or (branch.branch_name or branch.name if branch else None),
        branch_id=_text(ours.get(names.BRANCH_ID)) or (branch.branch_id if branch else None),
        experiment_name=_text(ours.get(names.EXPERIMENT_NAME)) or (branch.experiment_name if branch else None),
    )


def name_of(log: DecodedLog) -> str:
    """Return the name of the metric that a *log* record is a point of."""
    return str(log.attributes.get(names.METRIC_NAME) or "")


def number_of(value: Value) -> float:
    """Return the *value* of a point; what is no number is NaN. Those that JSON has no digits for stand as text."""
    try:
        return float(value)  # type: ignore[arg-type]  # raises as it may
    except (TypeError, ValueError, OverflowError):
        return math.nan


def branches_of(logs: Iterable[DecodedLog], spans: Mapping[Key, DecodedSpan]) -> list[Key | None]:
    """Return, for each point among *logs*, the branch among *spans* that it lies in."""
    places = _Places(spans)
    return [places.branch_of(log) for log in logs]


def metrics_of(points: Iterable[tuple[DecodedLog, Key | None]]) -> dict[Key, dict[str, float]]:
    """Return the last value of each metric, by branch; *points* come with theirs."""
    found: dict[Key, dict[str, float]] = {}
    for log, branch in sorted(points, key=lambda point: point[0].time_unix_nano):
        if branch is not None:
            found.setdefault(branch, {})[name_of(log)] = number_of(log.attributes.get(names.METRIC_VALUE))
    return found


class _Places:
    """Finds the branch that something lies in: above its span, or else by what it says of itself."""

    def __init__(self, spans: Mapping[Key, DecodedSpan]) -> None:
        self._spans = spans
        self._above: dict[Key, Key | None] = {}
        self._named: dict[tuple[Value, Value], list[tuple[int, Key]]] = defaultdict(list)
        for key, span in spans.items():
            if span.ours.get(names.KIND) == names.KIND_BRANCH:
                self._named[_identity(span.ours)].append((span.start_unix_nano, key))

    def branch_of(self, log: DecodedLog) -> Key | None:
        """Return the key of the branch that a *log* record belongs to."""
        return self._climbed((log.trace_id or "", log.span_id or "")) or self._known(log)

    def _climbed(self, key: Key) -> Key | None:
        passed: list[Key] = []
        found: Key | None = None
        # Damaged ids can make a ring of parents.
        while key in self._spans and key not in passed:
            if key in self._above:
                found = self._above[key]
                break
            passed.append(key)
            span = self._spans[key]
            if span.ours.get(names.KIND) == names.KIND_BRANCH:
                found = key
                break
            key = (key[0], span.parent_id or "")
        self._above.update(dict.fromkeys(passed, found))
        return found

    def _known(self, log: DecodedLog) -> Key | None:
        """Return the branch that a record names, which lies in another trace; of several, the one begun last."""
        begun = self._named.get(_identity(log.attributes), [])
        place = bisect_right(begun, log.time_unix_nano, key=lambda start: start[0])
        return begun[place - 1][1] if place else None


def _identity(attributes: Mapping[str, Value]) -> tuple[Value, Value]:
    return attributes.get(names.EXPERIMENT_NAME), attributes.get(names.BRANCH_ID)


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) else None
