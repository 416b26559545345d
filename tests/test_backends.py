"""Backends: what a runner of experiments says about its runs, and where it goes; no MLflow is needed here."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import subprocess
import sys
import threading
import typing

import pytest

import branchline as bl
from branchline import backends
from branchline.backends import (
    InMemoryLogger,
    LoggerBackend,
    LoggerError,
    MLflowLogger,
    NoOpLogger,
    OTelLogger,
    get_logger,
    logged_run,
)
from branchline.errors import BranchlineError, ConfigError, MissingExtraError
from branchline.read.values import ExceptionInfo
from branchline.testing import capture


CONFIG: dict[str, object] = {"model": "small", "optimizer": {"lr": 0.1}}
MEMBERS = {
    "start_run": ["self", "config"],
    "log_params": ["self", "run_id", "params"],
    "log_status": ["self", "run_id", "status", "start_ts", "end_ts", "retry_count"],
    "log_exception": ["self", "run_id", "exc_type", "exc_msg", "traceback_str"],
}
KINDS = [InMemoryLogger, NoOpLogger, MLflowLogger, OTelLogger]


class Recorder:
    """A backend of a user's: notes every call, and raises where it is told to."""

    def __init__(self, *raises):
        self.calls = []
        self.raises = raises

    def note(self, *call):
        self.calls.append(call)
        if call[0] in self.raises:
            raise OSError("no")

    async def start_run(self, config):
        self.note("start_run", config)
        return "run"

    async def log_params(self, run_id, params):
        self.note("log_params", run_id, params)

    async def log_status(self, run_id, status, start_ts, end_ts, retry_count=0):
        self.note("log_status", run_id, status, retry_count)

    async def log_exception(self, run_id, exc_type, exc_msg, traceback_str):
        self.note("log_exception", run_id, exc_type, exc_msg)


# ── the protocol ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [LoggerBackend, *KINDS])
def test_members(kind):
    """
    SP-1, SP-2: the protocol is four coroutines with these parameters, and every backend has them.
    """
    found = {name: inspect.signature(getattr(kind, name)) for name in MEMBERS}

    assert {name: list(signature.parameters) for name, signature in found.items()} == MEMBERS
    assert all(inspect.iscoroutinefunction(getattr(kind, name)) for name in MEMBERS)
    assert found["log_status"].parameters["retry_count"].default == 0


def test_members_are_all_there_are():
    """
    SP-1: a user's class with these four methods is a backend; one that lacks one is none.
    """

    class Lacking:
        start_run = log_params = log_status = Recorder.log_params

    assert issubclass(LoggerBackend, typing.Protocol)
    assert isinstance(Recorder(), LoggerBackend)
    assert not isinstance(Lacking(), LoggerBackend)


def test_exports():
    """
    SP-12: the module offers these names, and its class of errors is one of branchline's.
    """
    assert set(backends.__all__) == {
        *("InMemoryLogger", "LoggedRun", "LoggerBackend", "LoggerError", "MLflowLogger", "NoOpLogger", "OTelLogger"),
        *("get_logger", "logged_run"),
    }
    assert issubclass(LoggerError, BranchlineError)


# ── which one ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("name", "kind"), [("memory", InMemoryLogger), ("noop", NoOpLogger), ("otel", OTelLogger)])
def test_get_logger(name, kind):
    """
    SP-11: a backend is had by its name.
    """
    assert type(get_logger(name)) is kind


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("mlfow",), {}, "unknown backend 'mlfow'; choose from mlflow, memory, noop, otel; did you mean 'mlflow'?"),
        (("x",), {}, "unknown backend 'x'; choose from mlflow, memory, noop, otel"),
        (("otel",), {"tracking_uri": "y"}, "tracking_uri='y' is for the backend 'mlflow'; 'otel' has none"),
        (
            ("noop",),
            {"experiment_name": "y"},
            "experiment_name='y' is for the backends 'mlflow' and 'otel'; 'noop' has none",
        ),
    ],
)
def test_get_logger_refuses(arguments, options, message):
    """
    SP-11: another name, and an option that the kind does not have, are refused with what is accepted.
    """
    with pytest.raises(ConfigError) as raised:
        get_logger(*arguments, **options)

    assert str(raised.value) == message


PROGRAM = """
import asyncio, sys
from branchline.backends import MLflowLogger, get_logger
from branchline.errors import MissingExtraError

found = [get_logger("mlflow"), get_logger("mlflow", experiment_name="x")]
print(*(type(each).__name__ for each in found))
print(asyncio.run(found[0].start_run({})) != asyncio.run(found[0].start_run({})))
try:
    MLflowLogger()
except ImportError as error:
    print(type(error).__name__, error)
"""
NEEDS = "logging runs to MLflow needs 'mlflow', which is"
MLFLOWS = {
    "missing": (
        "raise ModuleNotFoundError(\"No module named 'mlflow'\", name='mlflow')",
        f"{NEEDS} not installed; try: pip install 'branchline[mlflow]'",
    ),
    "broken": (
        "import nothing_of_this_name",
        (
            f"{NEEDS} installed but cannot be imported: ModuleNotFoundError: No module named 'nothing_of_this_name'; "
            "try: pip install --upgrade 'branchline[mlflow]'"
        ),
    ),
    "odd": (
        "raise RuntimeError('two releases at once')",
        (
            f"{NEEDS} installed but cannot be imported: RuntimeError: two releases at once; "
            "try: pip install --upgrade 'branchline[mlflow]'"
        ),
    ),
    "without its client": (
        "",
        (
            f"{NEEDS} installed but cannot be imported: ModuleNotFoundError: No module named 'mlflow.entities'; "
            "try: pip install --upgrade 'branchline[mlflow]'"
        ),
    ),
}


@pytest.mark.parametrize(("code", "message"), MLFLOWS.values(), ids=MLFLOWS)
def test_no_mlflow(tmp_path, code, message):
    """
    SP-7, SP-9, SP-11, SP-13: without an MLflow that can be imported, `get_logger` gives the backend that does nothing
    and says once why and what to install; `MLflowLogger` raises the same, an ImportError.
    """
    package = tmp_path / "mlflow"
    package.mkdir()
    (package / "__init__.py").write_text(code)
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=tmp_path,
    )

    assert ran.stdout == f"NoOpLogger NoOpLogger\nTrue\nMissingExtraError {message}\n"
    assert ran.stderr == f"branchline: runs are not logged to MLflow: {message}\n"
    assert issubclass(MissingExtraError, ImportError)


# ── nothing ───────────────────────────────────────────────────────────────────────────────────────


async def test_noop():
    """
    SP-7: whatever it is told, it does nothing and raises nothing; every run has an id of its own.
    """
    backend = NoOpLogger()
    ids = {await backend.start_run({}) for _ in range(100)}
    await backend.log_params("unknown", {"a": object()})
    await backend.log_metrics("unknown", {"a": 1.0})
    await backend.log_branch("unknown", bl.Branch.start("id", {}))
    await backend.log_exception("unknown", "", "", "")
    await backend.log_status("unknown", "no such status", 2.0, 1.0, -1)

    assert len(ids) == 100


# ── in memory ─────────────────────────────────────────────────────────────────────────────────────


async def test_memory():
    """
    SP-5, SP-6: everything that was said about a run is found under its id, parameters and metrics merged.
    """
    backend = InMemoryLogger()
    run_id = await backend.start_run({"a": 1})
    await backend.log_params(run_id, {"a": 1, "b": 2})
    await backend.log_params(run_id, {"b": 3})
    await backend.log_metrics(run_id, {"duration": 0.5})
    await backend.log_metrics(run_id, {"accuracy": 0.9})
    await backend.log_exception(run_id, "Boom", "boom", "Traceback …")
    await backend.log_status(run_id, "failed", 1.0, 3.5, retry_count=2)

    assert backend.get_run(run_id) == {
        "run_id": run_id,
        "config": {"a": 1},
        "started": True,
        "ended": True,
        "status": "failed",
        "start_ts": 1.0,
        "end_ts": 3.5,
        "retry_count": 2,
        "exception": {"type": "Boom", "message": "boom", "traceback": "Traceback …"},
        "params": {"a": 1, "b": 3},
        "metrics": {"duration": 0.5, "accuracy": 0.9},
    }
    assert backend.list_runs() == [backend.get_run(run_id)]
    assert (len(run_id), int(run_id, 16) > 0) == (32, True)


async def test_memory_of_several():
    """
    SP-5, SP-6: a new run takes nothing from those before it, however alike they are; branches are counted by run.
    """
    backend = InMemoryLogger()
    first, second = await backend.start_run(CONFIG), await backend.start_run(CONFIG)
    await backend.log_params(first, {"a": 1})
    await backend.log_branch(first, bl.Branch.start("id", {}))

    assert (backend.params[first], backend.params[second]) == ({"a": 1}, {})
    assert (backend.get_run_count(), backend.get_branch_count()) == (2, 1)
    assert [backend.get_branch_count(run_id) for run_id in (first, second, "unknown")] == [1, 0, 0]


async def test_memory_of_what_nobody_started():
    """
    SP-6: what is said about an unknown run raises nothing, and is found under its id as a run that was never started.
    """
    backend = InMemoryLogger()
    await backend.log_status("unknown", "success", 1.0, 2.0)

    assert {key: backend.runs["unknown"][key] for key in ("started", "ended", "status")} == {
        "started": False,
        "ended": True,
        "status": "success",
    }
    with pytest.raises(KeyError):
        backend.get_run("another")


async def test_memory_is_bounded():
    """
    Beyond its bound the oldest runs are forgotten, and counted.
    """
    backend = InMemoryLogger(max_runs=2)
    ids = [await backend.start_run({"n": n}) for n in range(5)]

    assert ([run["run_id"] for run in backend.list_runs()], backend.forgotten) == (ids[3:], 3)
    with pytest.raises(ConfigError, match="max_runs=0; accepted: a whole number from 1"):
        InMemoryLogger(max_runs=0)


# ── the order of calls ────────────────────────────────────────────────────────────────────────────


class Boom(Exception):
    pass


async def test_order_of_a_success():
    """
    SP-3: a run that succeeds is started, given its parameters, and ended, in this order.
    """
    backend, seen = Recorder(), []
    with bl.branch(CONFIG) as branch:
        async with logged_run(backend, branch, retry_count=2) as run:
            seen += [run.run_id, *backend.calls]

    assert seen == ["run", ("start_run", CONFIG), ("log_params", "run", {"model": "small", "optimizer.lr": 0.1})]
    assert backend.calls[2:] == [("log_status", "run", "success", 2)]


@pytest.mark.parametrize(
    ("error", "status"),
    [(Boom("boom"), "failed"), (asyncio.CancelledError(), "cancelled"), (KeyboardInterrupt(), "interrupted")],
    ids=["failed", "cancelled", "interrupted"],
)
async def test_order_of_a_failure(error, status):
    """
    SP-3, SP 1.3 (2), (5): a run that fails says how before it is ended, with the status that its branch has; the very
    exception goes on.
    """
    backend = Recorder()
    with pytest.raises(type(error)) as raised, bl.branch(CONFIG) as branch:
        async with logged_run(backend, branch):
            raise error

    assert raised.value is error
    assert [call[0] for call in backend.calls] == ["start_run", "log_params", "log_exception", "log_status"]
    assert backend.calls[2:] == [
        ("log_exception", "run", type(error).__name__, str(error)),
        ("log_status", "run", status, 0),
    ]
    assert branch.status == status


async def test_order_of_a_skipped_run():
    """
    SP-3, SP-4: a run that is skipped is no failure: no exception is logged.
    """
    backend = Recorder()
    with bl.branch(CONFIG) as branch:
        async with logged_run(backend, branch):
            branch.skip("cached")

    assert backend.calls[2:] == [("log_status", "run", "skipped", 0)]


@pytest.mark.parametrize("call", MEMBERS)
async def test_a_backend_that_fails(call, capsys):
    """
    SP 1.3 (3): whatever a backend raises, the branch goes on, the calls after it are made, and it is said on stderr;
    only where no run was started, nothing more is said about it.
    """
    backend = Recorder(call)
    with contextlib.suppress(Boom):
        with bl.branch(CONFIG) as branch:
            async with logged_run(backend, branch):
                raise Boom

    told = ["start_run"] if call == "start_run" else ["start_run", "log_params", "log_exception", "log_status"]
    assert ([each[0] for each in backend.calls], branch.status) == (told, "failed")
    assert capsys.readouterr().err.count("OSError: no\n") == 1


async def test_cancelled_while_it_ends():
    """
    SP 1.3 (5): a run whose task is cancelled once more while it ends is ended all the same.
    """
    ending, may_end, has_ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Slow(Recorder):
        async def log_status(self, run_id, status, start_ts, end_ts, retry_count=0):
            ending.set()
            await may_end.wait()
            await super().log_status(run_id, status, start_ts, end_ts, retry_count)
            has_ended.set()

    async def work():
        with bl.branch(CONFIG) as branch:
            async with logged_run(backend, branch):
                pass

    backend = Slow()
    task = asyncio.create_task(work())
    await ending.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_end.set()
    await asyncio.wait_for(has_ended.wait(), 60)

    assert backend.calls[2:] == [("log_status", "run", "success", 0)]


# ── as branches ───────────────────────────────────────────────────────────────────────────────────


async def test_otel():
    """
    SP-60, SP-61, SP-63: a run is a branch below what is current, with typed parameters, metrics, output and status.
    """
    with capture() as captured:
        with bl.step("outer"):
            backend = OTelLogger(experiment_name="pricing")
            run_id = await backend.start_run(CONFIG)
            await backend.log_params(run_id, {"n": 5, "optimizer": {"lr": 0.1}})
            await backend.log_metrics(run_id, {"accuracy": 0.9})
            inner = bl.Branch.start("id", {})
            inner.mark_success({"answer": 42})
            await backend.log_branch(run_id, inner)
            await backend.log_status(run_id, "success", 1.0, 2.0, retry_count=1)

    [branch] = captured.branches
    assert (branch.outcome, branch.experiment_name, branch.output) == ("success", "pricing", {"answer": 42})
    assert branch.config == {"model": "small", "optimizer": {"lr": 0.1}, "n": 5}
    assert branch.metrics == {"accuracy": 0.9}
    assert captured.one("outer").span_id == branch.parent_id


async def test_otel_failure():
    """
    SP-60, SP 1.3 (6): a run that failed has its exception once, with type, message and traceback.
    """
    with capture() as captured:
        backend = OTelLogger()
        run_id = await backend.start_run(CONFIG)
        await backend.log_exception(run_id, "ValueError", "boom", "Traceback …")
        await backend.log_status(run_id, "failed", 1.0, 2.0)

    [branch] = captured.branches
    assert (branch.outcome, branch.status, branch.status_message) == ("failed", "failed", "boom")
    assert branch.exception == ExceptionInfo(type="ValueError", message="boom")
    assert branch.exception.stacktrace == "Traceback …"


@pytest.mark.parametrize(
    ("said", "status"),
    [(name, name) for name in ("success", "failed", "skipped", "cancelled", "interrupted", "lost")]
    + [("no such status", "failed")],
)
async def test_otel_status(said, status):
    """
    SP-4: a branch ends with the status that its run ended with; what nobody knows is no success.
    """
    with capture() as captured:
        backend = OTelLogger()
        run_id = await backend.start_run({})
        await backend.log_status(run_id, "pending", 1.0, 1.0)
        still = repr(backend)
        await backend.log_status(run_id, said, 1.0, 2.0)

    assert ([branch.status for branch in captured.branches], still) == ([status], "<OTelLogger with 1 open run(s)>")


async def test_otel_is_not_current():
    """
    SP 1.3 (1): starting runs changes nothing about what is current, so that none of several at once gets another's
    steps; inside of `inside` it is the run's branch.
    """
    with capture() as captured:
        backend = OTelLogger()
        first, second = await backend.start_run({"name": "a"}), await backend.start_run({"name": "b"})
        with bl.step("outside"):
            pass
        for run_id, name in ((second, "in b"), (first, "in a")):
            with backend.inside(run_id), bl.step(name):
                pass
        for run_id in (first, second):
            await backend.log_status(run_id, "success", 1.0, 2.0)
        with backend.inside(first), bl.step("after"):
            pass

    branches = {branch.name: branch for branch in captured.branches}
    ids = {step.name: step.parent_id for step in captured.steps}
    assert ids == {"outside": None, "in a": branches["a"].span_id, "in b": branches["b"].span_id, "after": None}
    assert [branch.parent_id for branch in branches.values()] == [None, None]


async def test_otel_without_a_recorder():
    """
    SP-7: where nobody records, nothing is recorded, and nothing is raised; neither about a run that nobody knows.
    """
    backend = OTelLogger()
    for run_id in (await backend.start_run(CONFIG), "unknown"):
        await backend.log_params(run_id, {"a": 1})
        await backend.log_metrics(run_id, {"a": 1.0})
        await backend.log_branch(run_id, bl.Branch.start("id", {}))
        await backend.log_exception(run_id, "ValueError", "boom", "")
        await backend.log_status(run_id, "failed", 1.0, 2.0, 3)

    assert repr(backend) == "<OTelLogger with 0 open run(s)>"


# ── many at once ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [40])
def test_tasks_and_threads(number):
    """
    SP 1.3 (1): forty threads, each with forty tasks, log to one backend, and each run has its own and nothing else.
    """
    backend = InMemoryLogger()

    async def one(thread, task):
        with bl.branch({"thread": thread, "task": task}) as branch:
            async with logged_run(backend, branch) as run:
                await asyncio.sleep(0)
                await backend.log_metrics(run.run_id, {"product": thread * task})

    async def all_of(thread):
        await asyncio.gather(*(one(thread, task) for task in range(number)))

    threads = [threading.Thread(target=lambda n=n: asyncio.run(all_of(n))) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = [(run["params"], run["metrics"], run["status"]) for run in backend.list_runs()]
    expected = [
        ({"thread": thread, "task": task}, {"product": thread * task}, "success")
        for thread in range(number)
        for task in range(number)
    ]
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_reprs():
    """
    Backends print what they are.
    """
    assert [repr(InMemoryLogger()), repr(NoOpLogger()), repr(OTelLogger())] == [
        "<InMemoryLogger with 0 run(s)>",
        "<NoOpLogger>",
        "<OTelLogger with 0 open run(s)>",
    ]
