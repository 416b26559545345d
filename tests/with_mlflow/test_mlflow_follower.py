"""Whole runs delivered to the real MLflow: from an application, by ``branchline ship``, and past any kill."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from mlflow_programs import MANY, PROCESSES, SOME, TASKS, THREADS
from mlflow_servers import WATCHDOG_SECONDS, Proxy
from mlflow_told import NEEDS_MLFLOW, Told, spending, tree


pytestmark = NEEDS_MLFLOW

PROGRAMS = Path(__file__).parent / "mlflow_programs.py"


def ran(*words: object) -> subprocess.CompletedProcess[str]:
    """Run one of the programs to its end."""
    command = [sys.executable, str(PROGRAMS), *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=WATCHDOG_SECONDS)


def shipping(directory: Path, *words: object) -> subprocess.Popen[str]:
    """Begin ``branchline ship``."""
    command = [sys.executable, "-m", "branchline", "ship", "--directory", str(directory), *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def shipped(directory: Path, *words: object) -> str:
    """Return what ``branchline ship`` prints, once it has delivered everything."""
    with shipping(directory, *words) as process:
        output, errors = process.communicate(timeout=WATCHDOG_SECONDS)
    assert process.returncode == 0, output + errors
    return output


def rows(store: str, table: str) -> int:
    """Return how many rows there are in a table of the database, which MLflow itself takes too long for."""
    with contextlib.closing(sqlite3.connect(store.removeprefix("sqlite:///"), timeout=60)) as database:
        return int(database.execute(f"select count(*) from {table}").fetchone()[0])


def histories(told: Told, run: object, *keys: str) -> dict[str, list[tuple[int, float]]]:
    """Return the steps and values of some metrics of a run, in order of their steps."""
    run_id = run.info.run_id  # type: ignore[attr-defined]
    return {key: sorted((at.step, at.value) for at in told.client.get_metric_history(run_id, key)) for key in keys}


def as_told(told: Told) -> dict[object, object]:
    """Return all that MLflow has of each branch in an experiment, by its number."""
    [parent] = [run for run in told.runs if "mlflow.parentRunId" not in run.data.tags]
    return {
        run.data.params["number"]: (
            run.info.status,
            run.data.params,
            histories(told, run, "direct", "loss", "score"),
            run.data.tags["branchline.branch.status"],
            run.data.tags.get("exception.message"),
            run.data.tags["mlflow.parentRunId"] == parent.info.run_id,
            json.loads(told.artifacts(run)["config.json"]),
            sorted(told.artifacts(run)),
            [(trace.info.state.value, tree(trace), *spending(trace)) for trace in told.traces(run)],
        )
        for run in told.runs
        if run is not parent
    }


def as_recorded(kind: str, count: int) -> dict[object, object]:
    """Return what MLflow is to have of the branches of an experiment."""
    return {
        str(number): (
            "FAILED" if number % 4 == 3 else "FINISHED",
            {"kind": kind, "number": str(number), "optimizer.lr": str(number / 10)},
            {
                "direct": [(0, number)],
                "loss": [(epoch, number * 10 + epoch) for epoch in range(3)],
                "score": [(0, number / 4), (1, number / 2)],
            },
            "failed" if number % 4 == 3 else "success",
            f"number {number}" if number % 4 == 3 else None,
            True,
            {"kind": kind, "number": number, "optimizer": {"lr": number / 10}},
            ["config.json", "traceback.txt"] if number % 4 == 3 else ["config.json"],
            [trace_as_recorded(kind, number)],
        )
        for number in range(count)
    }


def trace_as_recorded(kind: str, number: int) -> tuple[object, ...]:
    """Return what the trace of a branch is to be: its state, its tree, its tokens and what they cost."""
    name = f"kind={kind} number={number} optimizer.lr={number / 10}"
    tokens = {"input_tokens": 100 + number, "output_tokens": number, "total_tokens": 100 + 2 * number}
    return "ERROR" if number % 4 == 3 else "OK", {name: {"train": {"score": {}}}}, tokens, 0.25


def is_everything_there(uri: str) -> None:
    for experiment, kind, count in (
        ("tasks", "task", TASKS),
        ("threads", "thread", THREADS),
        ("processes", "process", PROCESSES),
    ):
        told = Told(uri, experiment)
        assert len(told.runs) == count + 1
        assert as_told(told) == as_recorded(kind, count)
        [parent] = [run for run in told.runs if "mlflow.parentRunId" not in run.data.tags]
        assert (parent.info.run_name, parent.info.status, parent.data.params) == (
            experiment,
            "FINISHED",
            {"data": "v1"},
        )


# ── from an application ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("place", ["store", "server"])
def test_tasks_threads_and_processes(request, tmp_path, place):
    """
    Of forty tasks, forty threads and eight processes, each branch is a run below that of its experiment, with exactly
    its own parameters, points with their steps, tags, status, files and trace; what failed is FAILED.
    """
    uri = request.getfixturevalue(place)
    done = ran("everything", tmp_path / "journal", uri, WATCHDOG_SECONDS)

    assert done.stderr == ""
    is_everything_there(uri)


# ── from outside ──────────────────────────────────────────────────────────────────────────────────


def test_a_server_that_was_down(server, tmp_path, monkeypatch):
    """
    Where the server was down for all of a run, the run ends as it would; ``branchline ship`` then delivers everything,
    once, and finds nothing to do the second time.
    """
    is_down = True

    def look(path: str, answered: bool) -> None:
        if is_down:
            raise ConnectionResetError

    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "was down")
    with Proxy(server, look) as proxy:
        done = ran("some", tmp_path / "journal", proxy.url)
        asked = set(proxy.paths)
        is_down = False
        first = shipped(tmp_path / "journal", "--to", "mlflow")
        second = shipped(tmp_path / "journal", "--to", "mlflow")

    told = Told(server, "was down")
    assert "`branchline ship --directory" in done.stderr
    assert asked <= {"/health"}
    assert "delivered" in first
    assert second.startswith("nothing is left to deliver to http://127.0.0.1:")
    is_replayed(told, SOME)


def is_replayed(told: Told, count: int) -> None:
    """Assert that MLflow has all branches of that program, each once and whole."""
    numbers = Counter(run.data.params.get("number", "parent") for run in told.runs)
    assert numbers == {"parent": 1, **{str(number): 1 for number in range(count)}}
    assert {run.info.status for run in told.runs} == {"FINISHED"}
    found = {run.data.params["number"]: histories(told, run, "loss")["loss"] for run in told.runs if run.data.params}
    assert found == {str(number): [(epoch, number + epoch / 10) for epoch in range(5)] for number in range(count)}
    traces = told.client.search_traces(locations=[told.runs[0].info.experiment_id], max_results=500)
    assert {tuple(tree(trace)) for trace in traces} == {(f"number={number} other=x",) for number in range(count)}
    assert len(traces) == count
    shown = {run.info.run_id: [trace.info.trace_id for trace in told.traces(run)] for run in told.runs}
    assert Counter(map(len, shown.values())) == {1: count, 0: 1}
    assert {trace_id for trace_ids in shown.values() for trace_id in trace_ids} == {
        trace.info.trace_id for trace in traces
    }


def test_kills(store, tmp_path):
    """
    Killed ten times while it delivers, ``branchline ship`` has delivered every branch once in the end, and every point.
    """
    ran("many", tmp_path / "journal")
    kills = 0
    for kill in range(10):
        wanted = MANY * (kill + 1) // 11
        with shipping(tmp_path / "journal", "--to", "mlflow", "--tracking-uri", store) as process:
            while process.poll() is None and rows(store, "runs") < wanted:
                time.sleep(random.uniform(0.01, 0.03))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
            process.communicate(timeout=WATCHDOG_SECONDS)
    partly = rows(store, "runs")
    shipped(tmp_path / "journal", "--to", "mlflow", "--tracking-uri", store)

    assert (kills, partly < MANY + 1) == (10, True)
    is_replayed(Told(store, "replayed"), MANY)
    assert (rows(store, "trace_info"), rows(store, "spans")) == (MANY, MANY)


def test_answers_that_are_lost(server, tmp_path, monkeypatch):
    """
    Where every tenth answer is lost, and MLflow's own client asks again by itself, each run is there once in the end.
    """
    asked = 0

    def look(path: str, answered: bool) -> None:
        nonlocal asked
        asked += answered and path.endswith("/runs/create")
        if answered and path.endswith("/runs/create") and asked % 10 == 0:
            raise ConnectionResetError

    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "lost answers of a run")
    ran("some", tmp_path / "journal")
    with Proxy(server, look) as proxy:
        shipped(tmp_path / "journal", "--to", "mlflow", "--tracking-uri", proxy.url)

    assert asked > SOME + 3
    is_replayed(Told(server, "lost answers of a run"), SOME)


def test_a_run_that_was_deleted(store, tmp_path):
    """
    A run that somebody has deleted in MLflow is left alone, and costs no other: what it lacks is kept, and told.
    """
    ran("some", tmp_path / "journal")
    with shipping(tmp_path / "journal", "--to", "mlflow", "--tracking-uri", store) as process:
        while process.poll() is None and rows(store, "runs") < 20:
            time.sleep(0.03)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=WATCHDOG_SECONDS)
    # Begun, and not wholly told: as if the kill had come a little earlier.
    cursor = next((tmp_path / "journal" / "cursors").glob("*/*/cursor.json"))
    known = json.loads(cursor.read_text())
    deleted = next(key for key, run in known["told"]["runs"].items() if run.get("points"))
    told = Told(store, "replayed")
    told.client.delete_run(known["told"]["runs"][deleted]["id"])
    known["told"]["runs"][deleted] = {name: known["told"]["runs"][deleted][name] for name in ("id", "in")}
    cursor.write_text(json.dumps(known))
    with shipping(tmp_path / "journal", "--to", "mlflow", "--tracking-uri", store) as process:
        output, _ = process.communicate(timeout=WATCHDOG_SECONDS)
    looked = subprocess.run(
        [sys.executable, "-m", "branchline", "doctor", "--directory", tmp_path / "journal", "--to", "mlflow"],
        capture_output=True,
        text=True,
        timeout=WATCHDOG_SECONDS,
        env=os.environ | {"MLFLOW_TRACKING_URI": store},
        check=False,
    )

    runs = Told(store, "replayed").runs
    assert (process.returncode, len(runs), {run.info.status for run in runs}) == (1, SOME, {"FINISHED"})
    assert "5 log records refused" in output
    assert "refused: 5 log records" in looked.stdout
