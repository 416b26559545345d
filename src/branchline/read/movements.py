"""What has moved from one run to another: how things ended, what they measured, took and cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from .pairing import paired
from .run import Run
from .totals import Spending
from .tree import ending_of
from .values import SECOND, Point, Step, errors_in


OUTCOME: Final = "outcome"
METRIC: Final = "metric"
COST: Final = "cost"
TOKENS: Final = "tokens"
TIME: Final = "time"
KINDS: Final = (OUTCOME, METRIC, COST, TOKENS, TIME)

# Less than this is noise, of which every run has some: of a length of time, its own part, the part of the run, and
# what a machine does beside; a whole run begins and ends with work that is nobody's.
_LEAST_TIME_CHANGE: Final = 0.1
_LEAST_TIME_SHARE: Final = 0.01
_LEAST_SECONDS: Final = 0.01
_LEAST_RUN_SECONDS: Final = 0.1
_LEAST_CHANGE: Final = 0.001


@dataclass(frozen=True, kw_only=True)
class Movement:
    """One thing that two runs have both, and that is not as it was; None where nobody knows."""

    kind: str
    """One of ``KINDS``: ``outcome``, ``metric``, ``cost`` (US dollars), ``tokens`` or ``time`` (seconds)."""
    name: str
    """Of the metric; of what is measured else: ``cost``, ``duration``, ``errors``."""
    before: float | str | None = None
    after: float | str | None = None
    level: str = "run"
    """``run``, ``branch`` or ``step``: what it is of."""
    of: str = ""
    """The name of the branch or step."""
    samples: int = 1
    """Of how many each side is the median."""
    weight: float = 0.0
    """How important it is beside others of its kind."""

    @property
    def ratio(self) -> float | None:
        """The later value as a part of the earlier; None where there is no such thing."""
        if isinstance(self.before, int | float) and isinstance(self.after, int | float) and self.before:
            return self.after / self.before
        return None


def movements(before: Run, after: Run) -> tuple[Movement, ...]:
    """Return what has moved from *before* to *after*, the most important first, by kind and then by weight."""
    found = [*_of_runs(before, after), *_of_branches(before, after), *_of_steps(before, after), *_loose(before, after)]
    order = {kind: place for place, kind in enumerate(KINDS)}
    return tuple(sorted(found, key=lambda movement: (order[movement.kind], -movement.weight)))


def _of_runs(before: Run, after: Run) -> Iterator[Movement]:
    if before.state != after.state:
        yield Movement(kind=OUTCOME, name="state", before=before.state, after=after.state, weight=100)
    errors = errors_in(before.roots), errors_in(after.roots)
    if errors[0] != errors[1]:
        yield Movement(kind=OUTCOME, name="errors", before=errors[0], after=errors[1], weight=90)
    yield from _spent(before.usage, after.usage, level="run", of="", weight=10)
    yield from _took(_seconds(before), _seconds(after), level="run", of="", whole=_whole(before, after))


def _of_branches(before: Run, after: Run) -> Iterator[Movement]:
    for one, other in paired(before, after)[0]:
        name = one.name
        yield from _ended(ending_of(one), ending_of(other), of=name)
        yield from _spent(one.total_usage, other.total_usage, level="branch", of=name, weight=5)
        if one.duration is not None and other.duration is not None:
            yield from _took(one.duration, other.duration, level="branch", of=name, whole=_whole(before, after))
        yield from _measured(one.metrics, other.metrics, level="branch", of=name)


def _of_steps(before: Run, after: Run) -> Iterator[Movement]:
    old, new = _grouped(before.steps), _grouped(after.steps)
    for name, some in old.items():
        others = new.get(name)
        if others is None:
            continue
        yield from _failing(name, some, others)
        times, later = _lengths(some), _lengths(others)
        if times and later:
            yield from _took(
                median(times),
                median(later),
                level="step",
                of=name,
                whole=_whole(before, after),
                samples=min(len(times), len(later)),
            )


def _grouped(steps: Iterable[Step]) -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = {}
    for step in steps:
        found.setdefault(step.name, []).append(step)
    return found


def _lengths(steps: Iterable[Step]) -> list[float]:
    return [step.duration for step in steps if step.duration is not None]


def _failing(name: str, some: Sequence[Step], others: Sequence[Step]) -> Iterator[Movement]:
    one, other = (sum(step.is_failed for step in steps) for steps in (some, others))
    if one != other:
        yield Movement(
            kind=OUTCOME, name="failed", before=one, after=other, level="step", of=name, weight=20 + abs(one - other)
        )


def _loose(before: Run, after: Run) -> Iterator[Movement]:
    old, new = (_last(point for point in run.points if point.branch_id is None) for run in (before, after))
    yield from _measured(old, new, level="run", of="")


def _last(points: Iterable[Point]) -> dict[str, float]:
    return {point.name: point.value for point in points}


# ── what is worth saying ──────────────────────────────────────────────────────────────────────────


def _ended(one: str, other: str, *, of: str) -> Iterator[Movement]:
    if one != other:
        yield Movement(kind=OUTCOME, name="ended", before=one, after=other, level="branch", of=of, weight=50)


def _spent(one: Spending, other: Spending, *, level: str, of: str, weight: float) -> Iterator[Movement]:
    """Yield what calls of models took; a cost that nobody knows has not moved."""
    if one.cost is not None and other.cost is not None and _has_moved(float(one.cost), float(other.cost)):
        yield Movement(
            kind=COST, name="cost", before=float(one.cost), after=float(other.cost), level=level, of=of, weight=weight
        )
    for name in ("input_tokens", "output_tokens"):
        tokens = getattr(one, name), getattr(other, name)
        if _has_moved(*tokens):
            yield Movement(
                kind=TOKENS,
                name=name.replace("_", " "),
                before=tokens[0],
                after=tokens[1],
                level=level,
                of=of,
                weight=weight + _distance(*tokens),
            )


def _took(one: float, other: float, *, level: str, of: str, whole: float, samples: int = 1) -> Iterator[Movement]:
    change = abs(other - one)
    least = _LEAST_RUN_SECONDS if level == "run" else _LEAST_SECONDS
    # What takes little each time, but is done often, takes long.
    is_much = change * samples >= least and change >= _LEAST_TIME_CHANGE * min(one, other)
    share = change * samples / whole if whole else 0.0
    if is_much and share >= _LEAST_TIME_SHARE:
        weight = share + (100 if level == "run" else 0)
        yield Movement(
            kind=TIME, name="duration", before=one, after=other, level=level, of=of, samples=samples, weight=weight
        )


def _measured(old: Mapping[str, float], new: Mapping[str, float], *, level: str, of: str) -> Iterator[Movement]:
    for name, one in old.items():
        other = new.get(name, one)
        if _has_moved(one, other):
            weight = _distance(one, other)
            yield Movement(kind=METRIC, name=name, before=one, after=other, level=level, of=of, weight=weight)


def _has_moved(one: float, other: float) -> bool:
    if not math.isfinite(one) or not math.isfinite(other):
        return one != other and not (math.isnan(one) and math.isnan(other))
    return abs(other - one) > _LEAST_CHANGE * max(abs(one), abs(other))


def _distance(one: float, other: float) -> float:
    """Return how far apart two values are, beside how large they are: 0 to 2."""
    change = abs(other - one)
    return change / max(abs(one), abs(other)) if change and math.isfinite(change) else 2.0


def _seconds(run: Run) -> float:
    return max((run.ended_unix_nano or run.created_unix_nano) - run.created_unix_nano, 0) / SECOND


def _whole(before: Run, after: Run) -> float:
    return max(_seconds(before), _seconds(after))
