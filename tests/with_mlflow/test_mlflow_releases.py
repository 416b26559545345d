"""What every release of MLflow can do, from the oldest to the newest, and the one without a store of its own."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from mlflow_servers import WATCHDOG_SECONDS
from mlflow_told import NEEDS_MLFLOW, Told, tree

import branchline as bl
from branchline.backends import MLflowLogger, logged_run


pytestmark = NEEDS_MLFLOW

# Without SQLAlchemy, as in mlflow-skinny, there are servers alone.
HAS_STORE = importlib.util.find_spec("sqlalchemy") is not None
PLACES = [
    pytest.param("store", marks=pytest.mark.skipif(not HAS_STORE, reason="mlflow-skinny has no store of its own")),
    "server",
]
LONG = "x" * 9_000
DOCS = Path(__file__).parent.parent.parent / "docs" / "mlflow.md"


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


def documented():
    """What the documentation says of this release: whether it has runs, traces, and the cost of traces."""
    name = ".".join(map(str, release())) if HAS_STORE else "`mlflow-skinny`, newest"
    rows = [line.strip("|").split("|") for line in DOCS.read_text().splitlines() if line.startswith("| ")]
    table = {row[0].strip(): [cell.strip().startswith("yes") for cell in row[1:]] for row in rows}
    return table.get(name) or table["newest"]


def test_whole_runs(place, tmp_path, capsys):
    """
    Experiments and branches are runs in every release; from 3.6 on branches are traces, too, with tree and tokens,
    later with their cost; before, it is said once why not. So says the documentation.
    """
    from mlflow import MlflowClient

    with bl.configure("service", directory=tmp_path / "runs", console=False, mlflow=place) as telemetry:
        with bl.experiment(f"whole {telemetry.run_id}"), bl.branch({"a": 1, "long": LONG}) as branch:
            branch.metric("score", 0.5, step=3)
            with bl.step("ask") as step:
                step.usage("private", input_tokens=70, output_tokens=30, cost="0.25")
        flushed = telemetry.flush(WATCHDOG_SECONDS)
    told = Told(place, f"whole {telemetry.run_id}")
    [found] = [run for run in told.runs if "mlflow.parentRunId" in run.data.tags]
    has_runs, has_traces, has_cost = documented()

    assert (flushed.spooled, flushed.rejected, len(told.runs), has_runs) == (0, 0, 2, True)
    assert (found.info.status, found.data.params["a"], found.data.metrics["score"]) == ("FINISHED", "1", 0.5)
    assert found.data.params["long"].endswith("… [cut: 9,000 characters]")
    assert json.loads(told.artifacts(found)["config.json"]) == {"a": 1, "long": LONG}
    said = [line for line in capsys.readouterr().err.splitlines() if "keeps no traces" in line]
    assert (has_traces, len(said)) == (release() >= (3, 6), 0 if has_traces else 1)
    if has_traces:
        [trace] = MlflowClient(place).search_traces(**_where(found.info.experiment_id), run_id=found.info.run_id)
        assert (tree(trace), trace.info.state.value) == ({branch.name: {"ask": {}}}, "OK")
        assert trace.info.token_usage["total_tokens"] == 100
        assert (getattr(trace.info, "cost", None) or {}).get("total_cost") == (0.25 if has_cost else None)


def _where(experiment_id):
    return {"locations": [experiment_id]} if release() >= (3, 7) else {"experiment_ids": [experiment_id]}
