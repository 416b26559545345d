"""Metrics made of finished spans, by the writer: no step waits for an instrument."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from .. import names
from .._journal.durations import Durations, Lengths
from .._journal.snapshots import MOST_SERIES, Metric


_REMEMBERED: Final = 4096


class SpanMetrics:
    """Adds up the steps and branches that one process has finished."""

    def __init__(self, *, most_series: int = MOST_SERIES) -> None:
        """Add up, for at most so many series of each metric."""
        self._durations = Durations(most_series=most_series)
        self._steps: dict[tuple[str, str | None, int], tuple[Any, Lengths]] = {}
        self.is_changed = False

    def add(self, spans: Iterable[Any]) -> None:
        """Take finished *spans*; only our own steps and branches count."""
        steps = self._steps
        for span in spans:
            role = span.role
            if role == names.KIND_STEP:
                identity = span.identity
                known = steps.get((span.title, span.outcome, id(identity)))
                if known is not None and known[0] is identity:
                    known[1].add(max(span.ended - span.began, 0))
                else:
                    self._add_step(span)
            elif role == names.KIND_BRANCH:
                self._add_branch(span)
        self.is_changed = True

    def _add_step(self, span: Any) -> None:
        identity = span.identity
        experiment, branch = _place(identity)
        error = _error(span)
        lengths = self._durations.of_steps(span.title, experiment, branch, span.outcome, error)
        lengths.add(max(span.ended - span.began, 0))
        if span.outcome not in names.ERROR_OUTCOMES:
            if len(self._steps) >= _REMEMBERED:
                self._steps.clear()
            # With its identity: as long as that is remembered, no other object has its address.
            self._steps[span.title, span.outcome, id(identity)] = identity, lengths

    def _add_branch(self, span: Any) -> None:
        experiment, branch = _place(span.identity)
        length = max(span.ended - span.began, 0)
        status = (span.data or {}).get(names.BRANCH_STATUS)
        self._durations.add_branch(length, experiment, branch, span.outcome, _error(span), _text(status))

    def metrics(self) -> tuple[Metric, ...]:
        """Return what it has come to."""
        self.is_changed = False
        return self._durations.metrics()


def _place(identity: Any) -> tuple[str | None, str | None]:
    return (None, None) if identity is None else (identity.experiment_name, identity.branch_name)


def _error(span: Any) -> str | None:
    return _text((span.data or {}).get(names.ERROR_TYPE)) if span.outcome in names.ERROR_OUTCOMES else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
