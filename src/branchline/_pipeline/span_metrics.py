"""Metrics made of finished spans, by the writer: no step waits for an instrument."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from .. import names
from .._journal.durations import Durations
from .._journal.fields import BEGAN, ENDED, IDENTITY, OUTCOME, ROLE, TITLE, short_identity
from .._journal.snapshots import MOST_SERIES, Metric
from .._journal.stored import span_record


_REMEMBERED: Final = 4096
# Lengths of time that wait to be counted: once sorted, many of them fall into a bucket at once.
_MOST_PUT_BY: Final = 8192
# The place of what belongs to no experiment.
_NOWHERE: Final = (None, None, None)


class SpanMetrics:
    """Adds up the steps and branches that one process has finished."""

    def __init__(self, *, most_series: int = MOST_SERIES) -> None:
        """Add up, for at most so many series of each metric."""
        self._durations = Durations(most_series=most_series)
        # By name, outcome, and where they belong.
        self._steps: dict[tuple[Any, ...], Callable[[int], None]] = {}
        self._put_by = 0
        self.is_changed = False

    def add(self, spans: Sequence[Any]) -> None:
        """Take finished *spans*, which may come as their short forms; only our own steps and branches count."""
        last = None
        add: Callable[[int], None] = _nobodys
        for span in spans:
            # At once: this is done for every step.
            fields = span if span.__class__ is list else span.fields if span.is_common else None
            if fields is not None:
                title, role, outcome, place = fields[TITLE], fields[ROLE], fields[OUTCOME], fields[IDENTITY]
                length = fields[ENDED] - fields[BEGAN]
            else:
                title, role, outcome, place = span.title, span.role, span.outcome, short_identity(span.identity)
                length = span.ended - span.began
            if role == names.KIND_STEP:
                # Most are like the one before: then nothing has to be looked up.
                if (title, outcome, place) != last:
                    # Two that failed may have failed in two ways.
                    last = None if outcome in names.ERROR_OUTCOMES else (title, outcome, place)
                    add = self._taker(span, (title, outcome, *(place or _NOWHERE)))
                add(length)
            elif role == names.KIND_BRANCH:
                self._add_branch(span_record(span))
        self._put_by += len(spans)
        if self._put_by > _MOST_PUT_BY:
            self._put_by = 0
            self._durations.count()
        self.is_changed = self.is_changed or bool(spans)

    def _taker(self, span: Any, like: tuple[Any, ...]) -> Callable[[int], None]:
        """Return what takes the length of a step *like* this *span*, and remember it."""
        known = self._steps.get(like)
        if known is not None:
            return known
        title, outcome, experiment, _, branch = like
        add = self._durations.of_steps(title, experiment, branch, outcome, _error(span_record(span))).add
        if outcome not in names.ERROR_OUTCOMES:
            if len(self._steps) >= _REMEMBERED:
                self._steps.clear()
            self._steps[like] = add
        return add

    def _add_branch(self, span: Any) -> None:
        experiment, branch = _place(span.identity)
        length = span.ended - span.began
        status = (span.data or {}).get(names.BRANCH_STATUS)
        self._durations.add_branch(length, experiment, branch, span.outcome, _error(span), _text(status))

    def metrics(self) -> tuple[Metric, ...]:
        """Return what it has come to."""
        self.is_changed = False
        return self._durations.metrics()


def _nobodys(length: int) -> None:
    """Take the length of no step."""


def _place(identity: Any) -> tuple[str | None, str | None]:
    return (None, None) if identity is None else (identity.experiment_name, identity.branch_name)


def _error(span: Any) -> str | None:
    return _text((span.data or {}).get(names.ERROR_TYPE)) if span.outcome in names.ERROR_OUTCOMES else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
