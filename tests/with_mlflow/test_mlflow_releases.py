"""What every release of MLflow can do, from the oldest to the newest, and the one without a store of its own."""

from __future__ import annotations

import importlib.util
import json

import pytest
from mlflow_parts import parts_of
from mlflow_told import NEEDS_MLFLOW, Told

import branchline as bl
from branchline._mlflow.client import Client
from branchline.backends import MLflowLogger, logged_run
from branchline.exporters.mlflow.trace_parts import trace_id_of
from branchline.exporters.mlflow.traces import traces_for


pytestmark = NEEDS_MLFLOW

# Without SQLAlchemy, as in mlflow-skinny, there are servers alone.
HAS_STORE = importlib.util.find_spec("sqlalchemy") is not None
PLACES = [
    pytest.param("store", marks=pytest.mark.skipif(not HAS_STORE, reason="mlflow-skinny has no store of its own")),
    "server",
]
LONG = "x" * 9_000


@pytest.fixture(params=PLACES)
def place(request, tmp_path, monkeypatch):
    """The URI of a database file, and that of a server."""
    uri = request.getfixturevalue(request.param)
    monkeypatch.chdir(tmp_path)
    # Releases before 3 find artifacts by way of the variable alone.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


async def test_a_run_of_the_backend(place, capsys):
    """
    A run has its parameters, metrics, tags, status and artifacts in every release; long texts are cut in all of them.
    """
    backend = MLflowLogger("releases", tracking_uri=place)
    with bl.branch({"model": "gpt", "optimizer": {"lr": 0.01}, "prompt": LONG}) as branch:
        async with logged_run(backend, branch) as run:
            await backend.log_metrics(run.run_id, {"accuracy": 0.92})
            await backend.log_branch(run.run_id, branch)
    told = Told(place, "releases")
    found = told.client.get_run(run.run_id)
    [kept] = [text for path, text in told.artifacts(found).items() if path.startswith("branch_")]

    assert (found.info.status, found.info.run_name, backend.dropped) == ("FINISHED", branch.name, {})
    assert {key: found.data.params[key] for key in ("model", "optimizer.lr")} == {
        "model": "gpt",
        "optimizer.lr": "0.01",
    }
    assert found.data.params["prompt"].endswith("… [cut: 9,000 characters]")
    assert found.data.metrics == {"accuracy": 0.92, "duration": branch.duration, "retry_count": 0.0}
    assert found.data.tags["branchline.branch.id"] == branch.config_id
    assert json.loads(kept)["config_id"] == branch.config_id
    assert capsys.readouterr().out == ""


def release():
    """The release that is tested, as two numbers."""
    import mlflow

    return tuple(map(int, mlflow.__version__.split(".")[:2]))


def test_traces(place, tmp_path):
    """
    From 3.6 on a branch is a trace with its tree, tokens and cost, shown with its run; before, it is said why not.
    """
    from mlflow import MlflowClient

    with bl.configure("service", directory=tmp_path / "runs", console=False) as telemetry, bl.branch({"a": 1}):
        with bl.step("ask") as step:
            step.usage("private", input_tokens=70, output_tokens=30, cost="0.25")
    client = MlflowClient(place)
    experiment = client.create_experiment(f"traces of {telemetry.run_id}")
    run_id = client.create_run(experiment).info.run_id
    [part] = parts_of(
        tmp_path / "runs", telemetry.run_id, experiment_id=experiment, mlflow_run_of=lambda branch: run_id
    )
    traces = traces_for(Client(place))
    traces.deliver(part)

    if release() < (3, 6):
        assert (traces.reason.startswith("MLflow 2."), "from 3.6 on" in traces.reason) == (True, True)
        return
    [found] = client.search_traces(locations=[experiment], run_id=run_id)
    assert (traces.reason, found.info.trace_id) == ("", f"tr-{trace_id_of(part.root)}")
    assert {span.name: span.parent_id is None for span in found.data.spans} == {"ask": False, "a=1": True}
    assert (found.info.token_usage["total_tokens"], found.info.state.value) == (100, "OK")
    # The first of these releases have no cost.
    assert getattr(found.info, "cost", {"total_cost": 0.25})["total_cost"] == 0.25
