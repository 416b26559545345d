"""Runs logged to the real MLflow: to a database file, to a server, to a server that is slow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from mlflow_servers import WATCHDOG_SECONDS, Proxy, free_port
from mlflow_told import NEEDS_MLFLOW, Told

import branchline as bl
from branchline.backends import LoggerError, MLflowLogger, get_logger, logged_run
from branchline.errors import ConfigError


pytestmark = NEEDS_MLFLOW

DOCS = Path(__file__).parent.parent.parent / "docs" / "backends.md"
CONFIG: dict[str, object] = {"model": "gpt", "optimizer": {"lr": 0.01}}


# ── one run ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_run(store, capsys):
    """
    SP-3, SP-8, SP-9: a run is one of MLflow's, under MLflow's own id, with its parameters, metrics, tags and times;
    nothing is printed, and nothing of the process is set.
    """
    import mlflow

    before = (mlflow.get_tracking_uri(), dict(os.environ), time.time_ns() // 1_000_000)
    backend = get_logger("mlflow", tracking_uri=store, experiment_name="pricing")
    assert isinstance(backend, MLflowLogger)
    with bl.branch(CONFIG) as branch:
        async with logged_run(backend, branch, retry_count=2) as run:
            await backend.log_metrics(run.run_id, {"accuracy": 0.92})
            await backend.log_params(run.run_id, {"model": "gpt", "seed": 1})
    after = (mlflow.get_tracking_uri(), dict(os.environ), time.time_ns() // 1_000_000)

    told = Told(store, "pricing")
    found = told.only
    assert (found.info.run_id, found.info.status, found.info.run_name) == (run.run_id, "FINISHED", branch.name)
    assert found.data.params == {"model": "gpt", "optimizer.lr": "0.01", "seed": "1"}
    assert found.data.metrics == {"accuracy": 0.92, "duration": branch.duration, "retry_count": 2.0}
    assert {**told.tags(found), "branchline.mlflow.token": ""} == {
        "branchline.branch.id": branch.config_id,
        "branchline.branch.status": "success",
        "branchline.mlflow.token": "",
    }
    assert before[2] <= found.info.start_time <= found.info.end_time <= after[2]
    assert (before[:2], mlflow.active_run(), told.artifacts(found)) == (after[:2], None, {})
    assert (capsys.readouterr().out, backend.dropped, backend.flush()) == ("", {}, True)


async def test_found_again(store):
    """
    SP-64: the run of a configuration is found by MLflow's own search, by its id, its status and the run of branchline.
    """
    with bl.configure("service", directory="runs", console=False) as telemetry:
        backend = MLflowLogger("pricing", tracking_uri=store)
        for number in range(3):
            with bl.branch({"number": number}) as branch:
                async with logged_run(backend, branch):
                    pass
    client = Told(store, "pricing").client
    wanted = f"tags.`branchline.branch.id` = '{branch.config_id}' and tags.`branchline.branch.status` = 'success'"
    [found] = client.search_runs([client.get_experiment_by_name("pricing").experiment_id], wanted)

    assert (found.data.params, found.data.tags["branchline.run.id"]) == ({"number": "2"}, telemetry.run_id)


@pytest.mark.parametrize(
    ("status", "ended_as"),
    [
        *[("success", "FINISHED"), ("skipped", "FINISHED"), ("failed", "FAILED"), ("cancelled", "KILLED")],
        *[("interrupted", "KILLED"), ("lost", "KILLED"), ("pending", "RUNNING"), ("no such status", "FAILED")],
    ],
)
async def test_statuses(store, status, ended_as):
    """
    SP-4, SP 1.3 (2): a run that failed is FAILED, one that was stopped is KILLED; the tag has the very word.
    """
    backend = MLflowLogger("pricing", tracking_uri=store)
    await backend.log_status(await backend.start_run({}), status, 1.0, 3.5)
    found = Told(store, "pricing").only

    assert (found.info.status, found.data.tags["branchline.branch.status"]) == (ended_as, status)
    assert found.data.metrics == ({} if status == "pending" else {"duration": 2.5, "retry_count": 0.0})


async def test_exceptions(store):
    """
    SP-8, SP 1.3 (4): what went wrong is in tags; a traceback that is too long is whole in an artifact, without secrets.
    """
    backend = MLflowLogger("pricing", tracking_uri=store)
    for trace in ("short", f"password=hunter2 {'x' * 9_000}"):
        run_id = await backend.start_run({})
        await backend.log_exception(run_id, "ValueError", "boom", trace)
        await backend.log_status(run_id, "failed", 1.0, 2.0)
    told = Told(store, "pricing")
    found = {run.data.tags["traceback"][:5]: run for run in told.runs}

    assert [(run.data.tags["exception.type"], run.data.tags["exception.message"]) for run in told.runs] == [
        ("ValueError", "boom"),
        ("ValueError", "boom"),
    ]
    assert (found["short"].data.tags["traceback"], told.artifacts(found["short"])) == ("short", {})
    assert len(found["passw"].data.tags["traceback"]) == 5_000
    assert told.artifacts(found["passw"]) == {
        "traceback.txt": f"ValueError\n\nboom\n\npassword=[redacted] {'x' * 9_000}"
    }


async def test_parameters_that_mlflow_refuses(store):
    """
    SP 1.3 (4): names and values that MLflow does not take are made to fit, and are whole in an artifact.
    """
    backend = MLflowLogger("pricing", tracking_uri=store)
    run_id = await backend.start_run({})
    params = {"layers[0]": 1, "layers=0": 2, "prompt": "x" * 7_000, "api_key": "secret", "none": None, "many": [1, 2]}
    await backend.log_params(run_id, params)
    told = Told(store, "pricing")
    found, [(path, text)] = told.only.data.params, told.artifacts(told.only).items()

    assert {key: text for key, text in found.items() if key != "prompt"} == {
        "layers_0_": "1",
        "layers_0": "2",
        "api_key": "[redacted]",
        "none": "None",
        "many": "[1, 2]",
    }
    assert (len(found["prompt"]), re.fullmatch(r"params-[0-9a-f]{8}\.json", path) is not None) == (6_000, True)
    assert json.loads(text) == {
        "layers[0]": "1",
        "layers=0": "2",
        "prompt": "x" * 7_000,
        "api_key": "[redacted]",
        "none": "None",
        "many": "[1, 2]",
    }
    assert backend.dropped == {}


async def test_a_parameter_that_changes(store, capsys):
    """
    SP 1.3 (4): a parameter that has another value already keeps it; those beside it arrive, and it is counted and said.
    """
    backend = MLflowLogger("pricing", tracking_uri=store)
    run_id = await backend.start_run({})
    await backend.log_params(run_id, {"a": 1})
    await backend.log_params(run_id, {"a": 2, "b": 3})

    assert Told(store, "pricing").only.data.params == {"a": "1", "b": "3"}
    assert backend.dropped == {"refused": 1}
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("branchline: ")]
    assert line.startswith(f"branchline: MLflow: 1 of what was logged to run {run_id} did not arrive: ")


async def test_metrics(store):
    """
    Numbers of any kind are metrics, and so is what is none.
    """
    backend = MLflowLogger("pricing", tracking_uri=store)
    run_id = await backend.start_run({})
    values = {"int": 3, "true": True, "inf": float("inf"), "a[b]": 0.5, "text": "none"}
    await backend.log_metrics(run_id, values)  # type: ignore[arg-type]
    found = Told(store, "pricing").only.data.metrics

    assert {**found, "text": str(found["text"])} == {
        "int": 3.0,
        "true": 1.0,
        "inf": 1.7976931348623157e308,
        "a_b_": 0.5,
        "text": "nan",
    }


class Odd:
    def __repr__(self):
        return "<odd>"


async def test_a_branch(store):
    """
    SP-10, SP 1.3 (3): a branch is an artifact with all of its fields, whatever its output is made of.
    """
    backend = MLflowLogger("pricing", tracking_uri=store)
    run_id = await backend.start_run({})
    branch = bl.Branch.start("cfg1", {"delta": 1, "token": "secret"})
    branch.mark_success(output={"odd": Odd(), "number": 42})
    await backend.log_branch(run_id, branch)
    told = Told(store, "pricing")
    [(path, text)] = told.artifacts(told.only).items()

    assert (path, json.loads(text)) == (
        "branch_cfg1.json",
        {
            "config_id": "cfg1",
            "config": {"delta": 1, "token": "[redacted]"},
            "start_ts": branch.start_ts,
            "end_ts": branch.end_ts,
            "status": "success",
            "output": {"odd": "<odd>", "number": 42},
            "exception_info": None,
            "duration": branch.duration,
        },
    )
    assert told.only.data.params == {"branch_cfg1_status": "success", "branch_cfg1_duration": str(branch.duration)}


async def test_an_unknown_run(store, capsys):
    """
    SP-9: what is said about a run that MLflow does not know raises nothing; it is counted, and said once.
    """
    backend = MLflowLogger("pricing", tracking_uri=store)
    unknown = "0" * 32
    await backend.log_params(unknown, {"a": 1, "b": 2})
    await backend.log_status(unknown, "success", 1.0, 2.0)

    assert backend.dropped == {"missing": 2 + 1 + 2 + 1}
    assert len([line for line in capsys.readouterr().err.splitlines() if line.startswith("branchline: ")]) == 1


async def test_below_another_run(store):
    """
    Runs can be shown below another; the experiment is the one that MLflow's variables name, unless one is named.
    """
    above = await MLflowLogger("pricing", tracking_uri=store).start_run({})
    backend = MLflowLogger("pricing", tracking_uri=store, parent_run_id=above)
    below = await backend.start_run({})
    tags = {run.info.run_id: run.data.tags for run in Told(store, "pricing").runs}

    assert (tags[below]["mlflow.parentRunId"], "mlflow.parentRunId" in tags[above]) == (above, False)


@pytest.mark.parametrize("variable", ["MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", None])
async def test_experiments(store, monkeypatch, variable):
    """
    Where no experiment is named, it is the one that MLflow's own variables name, or MLflow's default.
    """
    from mlflow import MlflowClient

    made = MlflowClient(store).create_experiment("theirs")
    if variable is not None:
        monkeypatch.setenv(variable, "theirs" if variable.endswith("NAME") else made)
    await MLflowLogger(tracking_uri=store).start_run({})

    assert [len(Told(store, name).runs) for name in ("theirs", "Default")] == ([0, 1] if variable is None else [1, 0])


def test_set_up_refuses(store):
    """
    What cannot be a name or a time is refused at once.
    """
    with pytest.raises(ConfigError) as raised:
        MLflowLogger("sqlite:///x")
    assert str(raised.value) == (
        "experiment_name='sqlite:///x'; accepted: a text of 1 to 500 characters; a place is said as tracking_uri"
    )
    with pytest.raises(ConfigError, match="timeout=0; accepted: a number of seconds above 0"):
        MLflowLogger(tracking_uri=store, timeout=0)
    assert repr(MLflowLogger(tracking_uri="http://me:hunter2@localhost:1")).startswith("<MLflowLogger at http://")
    assert "hunter2" not in repr(MLflowLogger(tracking_uri="http://me:hunter2@localhost:1"))


# ── MLflow that does not answer ───────────────────────────────────────────────────────────────────


async def test_a_store_that_mlflow_refuses(tmp_path):
    """
    SP-8, SP 1.3 (4): a place that MLflow does not want is a LoggerError with MLflow's reason, from `start_run` alone.
    """
    if tuple(map(int, version("mlflow").split(".")[:2])) < (3, 13):
        pytest.skip("before 3.13 MLflow takes files")
    backend = MLflowLogger("demo", tracking_uri=f"file:{tmp_path / 'mlruns'}")
    with pytest.raises(LoggerError) as raised:
        await backend.start_run({})
    await backend.log_params("run", {"a": 1})

    assert "maintenance mode" in str(raised.value)
    assert backend.dropped == {"refused": 1}


async def test_nobody_there():
    """
    SP-8: where nobody answers in time, `start_run` raises a LoggerError, and the rest only counts.
    """
    backend = MLflowLogger("demo", tracking_uri=f"http://127.0.0.1:{free_port()}", timeout=0.2)
    for _ in range(3):
        with pytest.raises(LoggerError, match=r"no run was started in MLflow at http://127.0.0.1:[0-9]+: no answer"):
            await backend.start_run({})
    await backend.log_params("run", {"a": 1})

    assert backend.flush(0.01) is False


async def test_an_answer_that_is_lost(server, monkeypatch):
    """
    A run whose creation was not answered is found again, and not created twice.
    """
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    lost = threading.Event()

    def lose(path, answered):
        if answered and path.endswith("/runs/create") and not lost.is_set():
            lost.set()
            raise ConnectionResetError

    with Proxy(server, lose) as proxy:
        backend = MLflowLogger("lost answers", tracking_uri=proxy.url)
        run_id = await backend.start_run({})
        creations = [path for path in proxy.paths if path.endswith("/runs/create")]

    assert (Told(server, "lost answers").only.info.run_id, len(creations)) == (run_id, 1)


@pytest.mark.parametrize("when", ["before MLflow was asked", "while MLflow answers"])
async def test_cancelled_while_it_starts(server, when):
    """
    SP 1.3 (5): a run whose task was cancelled while it was started does not stay open.
    """
    asked, may_answer = threading.Event(), threading.Event()

    def hold(path, answered):
        if path.endswith("/runs/create") and answered == (when == "while MLflow answers"):
            asked.set()
            assert may_answer.wait(WATCHDOG_SECONDS)

    with Proxy(server, hold) as proxy:
        backend = MLflowLogger(f"cancelled {when}", tracking_uri=proxy.url)
        task = asyncio.create_task(backend.start_run({}))
        assert await asyncio.to_thread(asked.wait, WATCHDOG_SECONDS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        may_answer.set()
        assert await asyncio.to_thread(backend.flush, WATCHDOG_SECONDS)

    assert [run.info.status for run in Told(server, f"cancelled {when}").runs] == ["KILLED"]


async def test_a_server_that_is_late(server):
    """
    Nobody waits longer for MLflow than was asked for, and everything arrives all the same, in its order.
    """
    may_answer = threading.Event()

    def hold(path, answered):
        if path.endswith("/runs/log-batch") and not answered:
            assert may_answer.wait(WATCHDOG_SECONDS)

    with Proxy(server, hold) as proxy:
        started = MLflowLogger("late", tracking_uri=proxy.url)
        run_id = await started.start_run({})
        backend = MLflowLogger("late", tracking_uri=proxy.url, timeout=0.1)
        for number in range(3):
            await backend.log_params(run_id, {f"p{number}": number})
        await backend.log_status(run_id, "success", 1.0, 2.0)
        early = (backend.flush(0.01), Told(server, "late").only.data.params)
        may_answer.set()
        late = await asyncio.to_thread(backend.flush, WATCHDOG_SECONDS)
    found = Told(server, "late").only

    assert (early, late, backend.dropped) == ((False, {}), True, {})
    assert (found.info.status, found.data.params) == ("FINISHED", {"p0": "0", "p1": "1", "p2": "2"})


async def test_much_at_once(server):
    """
    More than one request of a server takes is told in several: parameters, metrics, and bytes.
    """
    backend = MLflowLogger("much", tracking_uri=server)
    run_id = await backend.start_run({})
    params = {f"p{number}": "ü" * 6_000 for number in range(150)}
    metrics = {f"m{number}": float(number) for number in range(1_500)}
    await backend.log_params(run_id, params)
    await backend.log_metrics(run_id, metrics)
    found = Told(server, "much").only

    assert (found.data.params == params, found.data.metrics == metrics, backend.dropped) == (True, True, {})


# ── many at once ──────────────────────────────────────────────────────────────────────────────────


class Boom(Exception):
    pass


@pytest.mark.parametrize("place", ["store", "server"])
def test_tasks_and_threads(request, place):
    """
    SP-9, SP 1.3 (1), (2): of forty tasks of one event loop and forty threads, each with a loop, each run has its own
    parameters, metrics and status and nothing else, and all are runs of one experiment.
    """
    uri = request.getfixturevalue(place)
    backend, ids = MLflowLogger("many at once", tracking_uri=uri), {}

    async def one(kind, number):
        with bl.branch({"kind": kind, "number": number}) as branch:
            async with logged_run(backend, branch) as run:
                ids[kind, number] = run.run_id
                for step in range(3):
                    await backend.log_metrics(run.run_id, {f"m{step}": number * 10 + step})
                    await asyncio.sleep(0)
                if number % 4 == 3:
                    raise Boom(f"{kind} {number}")

    async def tasks():
        await asyncio.gather(*(one("task", number) for number in range(40)), return_exceptions=True)

    def thread(number):
        with contextlib.suppress(Boom):
            asyncio.run(one("thread", number))

    threads = [threading.Thread(target=thread, args=(number,)) for number in range(40)]
    threads.append(threading.Thread(target=lambda: asyncio.run(tasks())))
    for each in threads:
        each.start()
    for each in threads:
        each.join(WATCHDOG_SECONDS)
    found = {
        run.info.run_id: (
            run.info.status,
            run.data.params,
            {key: value for key, value in run.data.metrics.items() if key.startswith("m")},
            run.data.tags.get("exception.message"),
        )
        for run in Told(uri, "many at once").runs
    }

    assert found == {
        ids[kind, number]: (
            "FAILED" if number % 4 == 3 else "FINISHED",
            {"kind": kind, "number": str(number)},
            {f"m{step}": number * 10.0 + step for step in range(3)},
            f"{kind} {number}" if number % 4 == 3 else None,
        )
        for kind in ("task", "thread")
        for number in range(40)
    }
    assert (len(set(ids.values())), backend.dropped) == (80, {})


@pytest.mark.parametrize("place", ["store", "server"])
def test_run_branches(request, place):
    """
    SP-42, SP-44, SP 1.3 (1), (2): branches that are run for somebody are told to MLflow, each as a run of its own that
    ended as its branch did.
    """
    uri = request.getfixturevalue(place)

    def work(config):
        if config["number"] == 2:
            raise Boom("no")
        return config["number"]

    backend = MLflowLogger("run branches", tracking_uri=uri)
    branches = bl.run_branches(work, [{"number": number} for number in range(8)], logger=backend)
    found = sorted((run.data.params["number"], run.info.status) for run in Told(uri, "run branches").runs)

    assert [branch.output for branch in branches] == [0, 1, None, 3, 4, 5, 6, 7]
    assert found == [(str(number), "FAILED" if number == 2 else "FINISHED") for number in range(8)]


def test_after_a_fork(store):
    """
    A forked child logs with the logger that it has from its parent, and neither disturbs the other.
    """
    backend = MLflowLogger("forked", tracking_uri=store)

    async def one(who):
        run_id = await backend.start_run({"who": who})
        await backend.log_params(run_id, {"who": who})
        await backend.log_status(run_id, "success", 1.0, 2.0)

    asyncio.run(one("before"))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            asyncio.run(one("child"))
            code = 0
        finally:
            os._exit(code)
    asyncio.run(one("parent"))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found = sorted((run.data.params["who"], run.info.status) for run in Told(store, "forked").runs)

    assert (code, found) == (0, [("before", "FINISHED"), ("child", "FINISHED"), ("parent", "FINISHED")])


HEARTBEAT = """
import asyncio, pathlib, sys, time
import branchline as bl
from branchline.backends import get_logger, logged_run

backend = get_logger("mlflow", tracking_uri=sys.argv[1], experiment_name=sys.argv[2])


def kept_off():
    # How long threads of ours were ready to run, and the machine did something else.
    delays = [path.read_text().split()[1] for path in pathlib.Path("/proc/self/task").glob("*/schedstat")]
    return sum(map(int, delays)) / 1e9


async def branch(number):
    with bl.branch({"number": number, "prompt": "x" * 2_000}) as opened:
        async with logged_run(backend, opened) as run:
            await asyncio.sleep(0.01)
            await backend.log_metrics(run.run_id, {"accuracy": number / 200})


async def main():
    late, ours, done = 0.0, 0.0, False

    async def heartbeat():
        nonlocal late, ours
        while not done:
            due, before = time.perf_counter() + 0.01, kept_off()
            await asyncio.sleep(0.01)
            lag = time.perf_counter() - due
            late, ours = max(late, lag), max(ours, lag - max(kept_off() - before, 0.0))

    beating = asyncio.create_task(heartbeat())
    await asyncio.sleep(0)
    await asyncio.gather(*(branch(number) for number in range(200)))
    done = True
    await beating
    return late, ours


print(*asyncio.run(main()), backend.dropped)
"""


def test_heartbeat(server):
    """
    SP-8: an event loop with a heartbeat of 10 ms is never 50 ms late while 200 branches log to a slow server.

    What the machine did meanwhile for others is taken off, as the kernel counts it; what is left of that does not come
    in each of three runs. A call that blocks the loop does.
    """
    seen: list[tuple[float, float]] = []

    def late(path, answered):
        if not answered:
            time.sleep(0.05)

    while len(seen) < 3 and (not seen or min(ours for _, ours in seen) > 0.05):
        name = f"heartbeat {len(seen)}"
        with Proxy(server, late) as proxy:
            ran = subprocess.run(
                [sys.executable, "-c", HEARTBEAT, proxy.url, name],
                capture_output=True,
                text=True,
                timeout=WATCHDOG_SECONDS,
                check=True,
            )
        wall, ours, dropped = ran.stdout.split(maxsplit=2)
        seen.append((float(wall), float(ours)))
        told = sorted((run.info.status, int(run.data.params["number"])) for run in Told(server, name).runs)
        assert (dropped, told) == ("{}\n", [("FINISHED", number) for number in range(200)]), ran.stderr
    print("latest heartbeat, and ours of it:", *(f"{wall * 1e3:.1f} ms, {ours * 1e3:.1f} ms" for wall, ours in seen))

    assert min(ours for _, ours in seen) <= 0.05


# ── as it is documented ───────────────────────────────────────────────────────────────────────────


def test_documented(store, tmp_path):
    """
    The program that the page on backends shows logs to MLflow what the page says.
    """
    [program] = [
        found for found in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL) if '"mlflow"' in found
    ]
    environment = os.environ | {"MLFLOW_TRACKING_URI": store}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, timeout=WATCHDOG_SECONDS, check=True)
    told = Told(store, "demo")
    found = told.only

    assert (found.info.status, found.data.params["model"], found.data.params["lr"]) == ("FINISHED", "gpt", "0.01")
    assert (found.data.metrics["accuracy"], list(told.artifacts(found))) == (0.92, ["branch_cfg1.json"])
