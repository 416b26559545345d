"""Branches as traces of the real MLflow: in a database file and on a server, read back by MLflow's own client."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any

import environment
import pytest
from mlflow_parts import parts_of
from mlflow_servers import WATCHDOG_SECONDS, Proxy, mlflow_server
from mlflow_told import NEEDS_MLFLOW, Told, spending, tree

import branchline as bl
from branchline import names
from branchline._mlflow.client import Client
from branchline._mlflow.failures import MLflowFailure
from branchline.exporters.mlflow.destination import MlflowDestination
from branchline.exporters.mlflow.trace_parts import trace_id_of
from branchline.exporters.mlflow.traces import requests_of, traces_for


pytestmark = NEEDS_MLFLOW


# ── what is recorded ──────────────────────────────────────────────────────────────────────────────


@bl.traced_step(capture=True)
def ask(question: str, tokens: int) -> str:
    bl.record_usage("private-1", input_tokens=tokens, output_tokens=1, provider="us", cost="0.25")
    bl.stamp("asked", words=len(question.split()))
    return question.upper()


@bl.traced_step
def agent(number: int) -> str:
    bl.record_usage("private-2", input_tokens=1_000, output_tokens=number, cost="0.5")
    return ask(f"question {number}", tokens=number)


def work(number: int) -> str:
    if number % 10 == 9:
        msg = f"boom {number}"
        raise ValueError(msg)
    return agent(number)


def branch(number: int) -> None:
    try:
        with bl.branch({"number": number, "optimizer": {"lr": number / 8}}) as open_branch:
            open_branch.output = {"said": work(number)}
    except ValueError:
        return


def in_threads(count: int) -> None:
    threads = [threading.Thread(target=branch, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# ── what MLflow tells ─────────────────────────────────────────────────────────────────────────────


class Kept:
    """An experiment of MLflow's with a run for each branch, and the traces of a run of branchline's in it."""

    def __init__(self, uri, directory, run_id):
        from mlflow import MlflowClient

        self.client = MlflowClient(uri)
        self.experiment = self.client.create_experiment(f"traces of {run_id}")
        self.runs: dict[str, str] = {}
        self.parts = parts_of(directory, run_id, experiment_id=self.experiment, mlflow_run_of=self._run_of)
        self.traces = traces_for(Client(uri))

    def _run_of(self, span):
        number = span.ours[f"{names.BRANCH_CONFIG_PREFIX}number"]
        return self.runs.setdefault(number, self.client.create_run(self.experiment).info.run_id)

    def deliver(self):
        for part in self.parts:
            self.traces.deliver(part)
        return self

    def all(self):
        """Every trace of the experiment, and by the number of the branch those that its run shows."""
        found = self.client.search_traces(locations=[self.experiment], max_results=500)
        linked = {
            number: self.client.search_traces(locations=[self.experiment], run_id=run_id)
            for number, run_id in self.runs.items()
        }
        return found, linked


def expected(number):
    """What the trace of a branch has to be: state, tree, tokens and cost, what went in and what came out."""
    name = f"number={number} optimizer.lr={number / 8}"
    went_in = {"number": number, "optimizer": {"lr": number / 8}}
    if number % 10 == 9:
        return "ERROR", {name: {}}, {}, None, went_in, None
    inside: dict[str, Any] = {name: {"agent": {"ask": {}, "chat private-2": {}}}}
    tokens = {"input_tokens": 1_000 + number, "output_tokens": number + 1, "total_tokens": 1_001 + 2 * number}
    return "OK", inside, tokens, 0.75, went_in, {"said": f"QUESTION {number}"}


def said(trace):
    root = next(span for span in trace.data.spans if span.parent_id is None)
    return trace.info.state.value, tree(trace), *spending(trace), root.inputs, root.outputs


@pytest.mark.parametrize("uri", ["store", "server"])
def test_every_branch_is_a_trace(request, tmp_path, uri):
    """
    Of branches side by side, each is one trace with its own tree, tokens, cost, what went in and out, linked to its own
    run alone; sent again, all stays as it is.
    """
    place, count = request.getfixturevalue(uri), 20
    with bl.configure("service", directory=tmp_path / "runs", console=False) as telemetry:
        in_threads(count)
    kept = Kept(place, tmp_path / "runs", telemetry.run_id).deliver()
    found, linked = kept.deliver().all()

    assert (kept.traces.reason, len(found), sorted(linked)) == ("", count, list(range(count)))
    assert {number: [said(trace) for trace in traces] for number, traces in linked.items()} == {
        number: [expected(number)] for number in range(count)
    }
    assert {trace.info.trace_id for trace in found} == {f"tr-{trace_id_of(part.root)}" for part in kept.parts}


@pytest.mark.parametrize("uri", ["store", "server"])
def test_found_by_its_tags(request, tmp_path, uri):
    """
    SP-64: the trace of a configuration is found by MLflow's own search: by its id, its outcome, the run of branchline.
    """
    place = request.getfixturevalue(uri)
    with bl.configure("service", directory=tmp_path / "runs", console=False) as telemetry:
        for number in (8, 9):
            branch(number)
    kept = Kept(place, tmp_path / "runs", telemetry.run_id).deliver()
    one = kept.parts[0]
    wanted = {
        "branchline.branch.id": one.spans[-1].ours[names.BRANCH_ID],
        "branchline.run.id": telemetry.run_id,
        "branchline.outcome": "success",
        "service.name": "service",
        "branchline.trace.id": one.root[0],
    }
    condition = " AND ".join(f"tags.`{key}` = '{value}'" for key, value in wanted.items())
    [found] = kept.client.search_traces(locations=[kept.experiment], filter_string=condition)

    assert found.info.trace_id == f"tr-{trace_id_of(one.root)}"
    assert {key: found.info.tags[key] for key in wanted} == wanted
    assert not [key for key in found.info.tags if key.startswith(("process.", "host.", "telemetry."))]


@pytest.mark.parametrize("uri", ["store", "server"])
def test_odd_values(request, tmp_path, uri):
    """
    Values of every kind arrive, and none keeps a trace from being shown.
    """
    place = request.getfixturevalue(uri)
    odd: dict[str, object] = {
        "bytes": b"\0\xff",
        "none": None,
        "nan": float("nan"),
        "big": 2**70,
        "deep": {"a": [1, {"b": (2.5, None)}]},
    }
    odd |= {"": "nothing", "json": '{"a": 1}', "text": "\U0001f600 \x00 \ud800", "many": ["x" * 1_000] * 50}
    with bl.configure("service", directory=tmp_path / "runs", console=False) as telemetry:
        with bl.branch({"number": 1, "odd": odd}) as open_branch, bl.step("odd \x00 name", odd=odd) as step:
            step.stamp("odd", odd=odd)
            open_branch.output = odd
    kept = Kept(place, tmp_path / "runs", telemetry.run_id).deliver()
    [[found]] = kept.all()[1].values()
    [root] = [span for span in found.data.spans if span.parent_id is None]
    went_in = root.inputs["odd"]

    assert (went_in["deep"], went_in["json"], len(went_in["many"])) == ({"a": [1, {"b": [2.5, None]}]}, '{"a": 1}', 50)
    assert (root.outputs is None, len(found.data.spans)) == (False, 2)


@pytest.mark.parametrize("uri", ["store", "server"])
def test_stragglers(request, tmp_path, uri):
    """
    What ends after its branch, or comes from another process later, is added to the trace, each span once.
    """
    place = request.getfixturevalue(uri)
    with bl.configure("service", directory=tmp_path / "runs", console=False) as telemetry:
        branch(3)
    kept = Kept(place, tmp_path / "runs", telemetry.run_id)
    [whole] = kept.parts
    [late] = [span for span in whole.spans if span.name == "ask"]
    others = [span for span in whole.spans if span is not late]
    first = replace(whole, spans=others)
    rest = replace(whole, spans=[late], is_late=True, parents={late.span_id: late.parent_id or ""})
    # Twice each: the answer may have been lost.
    for part in (first, first, rest, rest):
        kept.traces.deliver(part)
    [[found]] = kept.all()[1].values()

    assert tree(found) == {"number=3 optimizer.lr=0.375": {"agent": {"ask": {}}}}
    assert found.info.state.value == "OK"


def test_a_server_that_fails(server, tmp_path, monkeypatch):
    """
    What a server cannot take now is for later; what belongs nowhere is not; the same trace arrives once it works.
    """
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with bl.configure("service", directory=tmp_path / "runs", console=False) as telemetry:
        branch(1)
    kept = Kept(server, tmp_path / "runs", telemetry.run_id)
    [part] = kept.parts
    is_down: list[bool] = []

    def look(path, is_answered):
        if is_down and path == "/v1/traces":
            raise OSError

    with Proxy(server, look) as proxy:
        traces = traces_for(Client(proxy.url))
        failures = []
        for is_away, given in ((True, part), (False, replace(part, experiment_id="999999")), (False, part)):
            is_down[:] = [True] * is_away
            try:
                traces.deliver(given)
            except MLflowFailure as failure:
                failures.append(failure.kind)

    assert (failures, traces.reason) == (["retry", "missing"], "")
    assert [len(found) for found in kept.all()[1].values()] == [1]


def test_a_place_without_traces(tmp_path, monkeypatch):
    """
    Files take no traces: that is said, and costs nothing more.
    """
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with bl.configure("service", directory=tmp_path / "runs", console=False) as telemetry:
        branch(1)
    place = f"file:{tmp_path / 'mlruns'}"
    kept = Kept(place, tmp_path / "runs", telemetry.run_id).deliver().deliver()

    assert kept.traces.reason == "MLflow keeps no traces in this place: in a database it does"


def test_what_was_refused(store, tmp_path):
    """
    A trace that was refused is kept whole, so that it can be sent again: it is then as if it had been taken at once.
    """
    with bl.configure("service", directory=tmp_path / "runs", console=False) as telemetry:
        branch(3)
    kept = Kept(store, tmp_path / "runs", telemetry.run_id)
    letters = [json.dumps(requests_of(part).as_json()).encode() for part in kept.parts]
    answer = MlflowDestination(bl.MLflow(store), {}).deliver("traces", letters)
    [[found]] = kept.all()[1].values()

    assert (answer.kind, said(found)) == ("accepted", expected(3))


def test_a_server_of_an_older_release(tmp_path, capsys):
    """
    Where the server is older than the client, and keeps no traces, runs are told, and it is said once why not more.
    """
    with mlflow_server(tmp_path, python=str(environment.python_of("middle"))) as url:
        with bl.configure("service", directory=tmp_path / "runs", console=False, mlflow=url) as telemetry:
            with bl.experiment("older"):
                for number in range(3):
                    branch(number)
            flushed = telemetry.flush(WATCHDOG_SECONDS)
        runs = Told(url, "older").runs
    complaints = [line for line in capsys.readouterr().err.splitlines() if "keeps no traces" in line]

    assert (flushed.spooled, flushed.rejected, {run.info.status for run in runs}) == (0, 0, {"FINISHED"})
    assert (len(runs), len(complaints)) == (4, 1)
