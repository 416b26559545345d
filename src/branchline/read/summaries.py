"""What the steps of a run, by their names, and its points come to: how many, how long, how much."""

from __future__ import annotations

from collections.abc import Iterator

from .. import names
from ..spreads import Summary, summary_of
from .run import Run
from .values import SECOND, walk


def summaries(run: Run) -> tuple[Summary, ...]:
    """Return what the finished steps of *run* come to by their duration in seconds, and its points by their names.

    All processes and branches count together; a percentile of more than a thousand is off by one in a hundred at most.
    """
    return tuple(summary for summary in (*_of_steps(run), *_of_points(run)) if summary is not None)


def _of_steps(run: Run) -> Iterator[Summary | None]:
    lengths: dict[str, list[float]] = {}
    for step in walk(run.roots):
        if step.kind == names.KIND_STEP and step.end_unix_nano is not None:
            length = max(step.end_unix_nano - step.start_unix_nano, 0) / SECOND
            lengths.setdefault(step.name, []).append(length)
    for name, each in lengths.items():
        yield summary_of(each, metric=names.STEP_DURATION, attributes={names.STEP_NAME: name}, unit="s")


def _of_points(run: Run) -> Iterator[Summary | None]:
    values: dict[tuple[str, str], list[float]] = {}
    for point in run.points:
        values.setdefault((point.name, point.unit or ""), []).append(point.value)
    for (name, unit), each in values.items():
        yield summary_of(each, metric=name, unit=unit)
