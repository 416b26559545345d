"""What MLflow tells, asked by its own client: the other end of what branchline logs there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest


NEEDS_MLFLOW = [
    pytest.mark.skipif(
        importlib.util.find_spec("mlflow") is None,
        reason="needs MLflow, which is not installed: `make test-mlflow` makes an environment with it",
    ),
    # Its code and that of its ninety packages warns of many things.
    pytest.mark.filterwarnings("default"),
]


class Told:
    """What MLflow tells about the runs of an experiment."""

    def __init__(self, uri, experiment):
        from mlflow import MlflowClient

        self.client = MlflowClient(uri)
        found = self.client.get_experiment_by_name(experiment)
        self.runs = self.client.search_runs([found.experiment_id], max_results=1000) if found is not None else []

    @property
    def only(self):
        [run] = self.runs
        return run

    def artifacts(self, run):
        return {
            each.path: Path(self.client.download_artifacts(run.info.run_id, each.path)).read_text()
            for each in self.client.list_artifacts(run.info.run_id)
        }

    def tags(self, run):
        return {key: text for key, text in run.data.tags.items() if not key.startswith("mlflow.")}

    def traces(self, run):
        """Return the traces that are shown with a run."""
        return self.client.search_traces(locations=[run.info.experiment_id], run_id=run.info.run_id)


def tree(trace):
    """Return the names of a trace's spans below each other, each once."""
    below: dict[str | None, list[Any]] = {}
    for span in trace.data.spans:
        below.setdefault(span.parent_id, []).append(span)

    def shown(parent):
        return {span.name: shown(span.span_id) for span in sorted(below.get(parent, ()), key=lambda span: span.name)}

    return shown(None)


def spending(trace):
    """Return the tokens and the cost of a trace."""
    return trace.info.token_usage or {}, (trace.info.cost or {}).get("total_cost")
