"""Databricks and Fabric: nothing but configuration. What is sent there, seen by a server that stands in for them."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys

from mlflow_servers import WATCHDOG_SECONDS, Proxy
from mlflow_told import NEEDS_MLFLOW, Told

import branchline as bl
from endpoints import HttpEndpoint


pytestmark = NEEDS_MLFLOW

EXPERIMENT = "/Users/someone@example.com/pricing"


def recorded(directory, mlflow):
    """Record two branches and deliver them; return how many of their items did not arrive."""
    with bl.configure("service", directory=directory, console=False, mlflow=mlflow) as telemetry:
        with bl.experiment("prices"):
            for number in range(2):
                with bl.branch({"number": number}) as branch, bl.step("ask"):
                    branch.metric("score", number)
        flushed = telemetry.flush(WATCHDOG_SECONDS)
    return flushed.spooled + flushed.rejected


def runs_of(told):
    return {
        run.info.run_name: (run.info.status, run.data.params, run.data.metrics.get("score"))
        for run in told.runs
        if "mlflow.parentRunId" in run.data.tags
    }


def tokens_at(workspace):
    """Return what came with the requests to MLflow's interface."""
    seen = zip(workspace.paths, workspace.headers, strict=True)
    return {headers.get("Authorization") for path, headers in seen if path.startswith(("/api/", "/v1/"))}


BRANCHES = {f"number={number}": ("FINISHED", {"number": str(number)}, float(number)) for number in range(2)}


def test_databricks(server, tmp_path, monkeypatch):
    """
    With the tracking URI ``databricks`` and the path of an experiment, runs go to the workspace that Databricks' own
    variables name, with their token; traces to Unity Catalog's address, with its headers and no others.
    """
    from mlflow import MlflowClient

    # A platform has a place of its own for artifacts; here it is a folder.
    MlflowClient(server).create_experiment(EXPERIMENT, artifact_location=(tmp_path / "artifacts").as_uri())
    headers = {"Authorization": "Bearer oauth", "X-Databricks-UC-Table-Name": "main.traces.branches"}
    asked = []
    with Proxy(server, lambda path, answered: asked.append(path)) as workspace, HttpEndpoint() as catalog:
        monkeypatch.setenv("DATABRICKS_HOST", workspace.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-secret")
        url = f"{catalog.url}/api/2.0/otel/v1/traces"
        missing = recorded(
            tmp_path / "runs", bl.MLflow("databricks", experiment=EXPERIMENT, traces=url, headers=headers)
        )
        authorized = tokens_at(workspace)
    told = Told(server, EXPERIMENT)
    sent = [request.headers for request in catalog.requests]

    assert (missing, runs_of(told), authorized) == (0, BRANCHES, {"Bearer dapi-secret"})
    assert {request.path for request in catalog.requests} == {"/api/2.0/otel/v1/traces"}
    assert {tuple(seen.get(key.lower()) for key in headers) for seen in sent} == {tuple(headers.values())}
    assert len(catalog.received.spans) == 4
    assert not [path for path in asked if "traces" in path or path == "/health"]


def test_databricks_without_a_catalog(server, tmp_path, monkeypatch, capsys):
    """
    Where nobody has said where Unity Catalog is, runs are told, and it is said once what is missing.
    """
    from mlflow import MlflowClient

    path = f"{EXPERIMENT}-without"
    MlflowClient(server).create_experiment(path, artifact_location=(tmp_path / "artifacts").as_uri())
    with Proxy(server, lambda path, answered: None) as workspace:
        monkeypatch.setenv("DATABRICKS_HOST", workspace.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-secret")
        missing = recorded(tmp_path / "runs", bl.MLflow("databricks", experiment=path))
    said = [line for line in capsys.readouterr().err.splitlines() if "Unity Catalog" in line]

    assert (missing, runs_of(Told(server, path)), len(said)) == (0, BRANCHES, 1)


# Fabric's notebooks have this variable set, and a package that knows what it means.
PLUGIN = """
def store(store_uri, artifact_uri=None, **_):
    from mlflow.store.tracking.rest_store import RestStore
    from mlflow.utils.rest_utils import MlflowHostCreds

    host, _, path = store_uri.removeprefix("sds://").partition("/")
    return RestStore(lambda: MlflowHostCreds(f"http://{host}", token=path))
"""
PROGRAM = """
import branchline as bl

with bl.configure("service", directory="runs", console=False, mlflow=True) as telemetry:
    with bl.experiment("prices of a notebook"):
        for number in range(2):
            with bl.branch({"number": number}) as branch, bl.step("ask"):
                branch.metric("score", number)
    flushed = telemetry.flush(120)
print(flushed.spooled + flushed.rejected)
"""


def test_fabric(server, tmp_path):
    """
    Where ``MLFLOW_TRACKING_URI`` names a place that only a plugin of MLflow's knows, as in Fabric's notebooks, that is
    who everything goes through, runs and traces, with its way of logging in.
    """
    from mlflow import MlflowClient

    MlflowClient(server).create_experiment("prices of a notebook", artifact_location=(tmp_path / "artifacts").as_uri())
    (tmp_path / "fabric_plugin.py").write_text(PLUGIN)
    about = tmp_path / "fabric_plugin-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fabric-plugin\nVersion: 1.0\n")
    entries = configparser.ConfigParser()
    entries["mlflow.tracking_store"] = {"sds": "fabric_plugin:store"}
    with (about / "entry_points.txt").open("w") as file:
        entries.write(file)
    with Proxy(server, lambda path, answered: None) as workspace:
        paths = os.pathsep.join([str(tmp_path), *sys.path])
        uri = f"sds://{workspace.url.removeprefix('http://')}/a-token"
        environment = {**os.environ, "PYTHONPATH": paths, "MLFLOW_TRACKING_URI": uri}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=WATCHDOG_SECONDS,
            check=True,
        )
        authorized = tokens_at(workspace)
    told = Told(server, "prices of a notebook")
    shown = [len(told.traces(run)) for run in told.runs if "mlflow.parentRunId" in run.data.tags]

    assert (done.stdout, runs_of(told), authorized) == ("0\n", BRANCHES, {"Bearer a-token"})
    assert shown == [1, 1]
