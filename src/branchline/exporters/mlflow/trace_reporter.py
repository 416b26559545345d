"""The reporter of traces: tells MLflow the spans of experiments, branches and bare steps, beside their runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..._mlflow.client import Client
from ..._mlflow.failures import MLflowFailure
from .entries import outcome_of
from .picture import LOOSE, Entity, Picture
from .teller import Teller, is_passing
from .told import Acknowledged
from .told_traces import forget, parts_of
from .traces import Traces, requests_of


class TraceReporter:
    """Tells of the traces of one run of branchline."""

    def __init__(self, run_id: str, make_traces: Callable[[Client], Traces]) -> None:
        """Tell of run *run_id*; where traces go is made when there is one."""
        self._run_id = run_id
        self._make_traces = make_traces
        self._traces: Traces | None = None

    @property
    def reason(self) -> str:
        """Why no traces are kept; empty while nothing is known against it."""
        return "" if self._traces is None else self._traces.reason

    def wants_span(self, key: str, is_new: bool, known: Acknowledged | None) -> bool:
        """Whether a span of the entity *key* is to be told: MLflow may not have it, and keeps traces."""
        return not self.reason and (is_new or known is None or not known.has_trace or key == LOOSE)

    def is_news(self, picture: Picture, entity: Entity, known: Acknowledged) -> bool:
        """Whether MLflow lacks spans of *entity* that it can be told now."""
        is_lacking = not self.reason and any(parts_of(picture, entity, known, self._run_id))
        if not is_lacking and (self.reason or known.has_trace):
            # Nobody takes them, or somebody has them: they need not be kept either.
            forget(picture, entity)
        return is_lacking

    def told(self, teller: Teller, picture: Picture, entity: Entity, known: Acknowledged) -> Acknowledged:
        """Tell what MLflow lacks; what it never takes is buried.

        Raises:
            MLflowFailure: where the same may be told later.
            OSError: where what is refused cannot be kept.
        """
        if self._traces is None:
            self._traces = self._make_traces(teller.client)
        for part in () if self.reason else parts_of(picture, entity, known, self._run_id):
            try:
                self._traces.deliver(part)
            except MLflowFailure as failure:
                if is_passing(failure):
                    raise
                teller.bury(requests_of(part).as_json(), failure)
        forget(picture, entity)
        is_told = not self.reason and (entity.key == LOOSE or outcome_of(entity) is not None)
        return replace(known, has_trace=known.has_trace or is_told)
