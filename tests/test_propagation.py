"""Context across threads, pools and processes: what is patched, what is put back, and what is never broken by it."""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import multiprocessing.pool
import multiprocessing.process
import pickle
import subprocess
import sys
import threading
from collections import Counter
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import propagate

import branchline as bl
from branchline._pipeline.propagation import Inherited, Propagation
from branchline.read import open_runs
from branchline.testing import capture


OWNERS = (
    (threading.Thread, "start"),
    (concurrent.futures.ThreadPoolExecutor, "submit"),
    (concurrent.futures.ProcessPoolExecutor, "submit"),
    (multiprocessing.process.BaseProcess, "start"),
    (multiprocessing.process.BaseProcess, "_bootstrap"),
    (multiprocessing.pool.Pool, "apply_async"),
    (multiprocessing.pool.Pool, "_map_async"),
    (multiprocessing.pool.Pool, "imap"),
    (multiprocessing.pool.Pool, "imap_unordered"),
    (subprocess.Popen, "__init__"),
)
SETTINGS = {"run_id": "a-run"}


def patched() -> dict[str, bool]:
    """Return which of the standard library's methods are ours."""
    return {
        f"{owner.__name__}.{name}": hasattr(owner.__dict__[name], "__wrapped__")
        and owner.__dict__[name].__wrapped__.__module__ != __name__
        for owner, name in OWNERS
    }


def in_a_thread(function: Any) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_a_thread_of_somebody_elses(monkeypatch):
    """
    Where another library has put a class of its own into the place of Thread, its threads join the trace, and it is
    put back as it was.
    """

    class Green(threading.Thread):
        pass

    monkeypatch.setattr(threading, "Thread", Green)
    with capture() as captured, bl.step("parent"):
        in_a_thread(lambda: bl.step("child").__enter__().__exit__(None, None, None))

    assert captured.tree() == "step parent  success\n└── step child  success"
    assert "start" not in vars(Green)


def test_everything_is_put_back():
    """
    After a capture, or a run, every method of the standard library is the very object it was.
    """
    before = [owner.__dict__[name] for owner, name in OWNERS], list(sys.meta_path)
    with capture():
        assert all(patched().values())
        with capture():
            assert all(patched().values())
        assert all(patched().values())

    assert ([owner.__dict__[name] for owner, name in OWNERS], list(sys.meta_path)) == before


def test_somebody_who_patched_after_us(monkeypatch):
    """
    Who wraps one of these methods while ours is there keeps the wrapper; ours below it then does nothing.
    """
    original = threading.Thread.start
    with capture():
        ours = threading.Thread.start

        def theirs(thread: threading.Thread) -> None:
            ours(thread)

        monkeypatch.setattr(threading.Thread, "start", theirs)
    assert threading.Thread.start is theirs
    assert in_a_thread(otel_context.get_current) == {}
    monkeypatch.undo()
    assert threading.Thread.start is ours
    threading.Thread.start = original  # type: ignore[method-assign]  # what was there before all of this


def test_a_thread_has_the_context_it_was_started_in():
    """
    A thread's steps are in the step that was current where it was started, and so are those of its own threads.
    """

    def outer() -> None:
        with bl.step("outer"):
            in_a_thread(inner)

    def inner() -> None:
        with bl.step("inner"):
            pass

    with capture() as captured:
        with bl.step("root"):
            in_a_thread(outer)

    steps = {step.name: step for step in captured.steps}
    assert steps["outer"].parent_id == steps["root"].span_id
    assert steps["inner"].parent_id == steps["outer"].span_id


def test_a_thread_whose_run_is_somebodys_own():
    """
    A ``run`` that was set on the thread itself is called, and is still there afterwards.
    """
    called: list[object] = []

    def run() -> None:
        called.append(otel_context.get_current())

    with capture():
        with bl.step("root"):
            thread = threading.Thread()
            thread.run = run  # type: ignore[method-assign]  # what some libraries do
            thread.start()
            thread.join()
            expected = otel_context.get_current()

    assert called == [expected]
    assert thread.run is run


def test_a_pools_worker_forgets_the_last_task():
    """
    A task that is submitted outside of every step is in none, though its worker has just worked for one.
    """
    with capture() as captured:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            with bl.step("root"):
                pool.submit(_step, "first").result()
            pool.submit(_step, "second").result()

    steps = {step.name: step for step in captured.steps}
    assert steps["first"].parent_id == steps["root"].span_id
    assert steps["second"].parent_id is None


def _step(name: str) -> None:
    with bl.step(name):
        pass


class BadPropagator:
    """A propagator of somebody else's, that fails."""

    fields = frozenset[str]()

    def inject(self, *args: object, **kwargs: object) -> None:
        raise RuntimeError("inject")

    def extract(self, *args: object, **kwargs: object) -> None:
        raise RuntimeError("extract")


def test_nothing_is_kept_from_starting():
    """
    When the context cannot be handed on, the thread, the program and the task start all the same.
    """
    before = propagate.get_global_textmap()
    with capture():
        propagate.set_global_textmap(BadPropagator())  # type: ignore[arg-type]  # it looks like one
        try:
            with bl.step("root"):
                assert in_a_thread(lambda: 1) == 1
                assert subprocess.run(["true"], check=False).returncode == 0
                with multiprocessing.pool.ThreadPool(1) as pool:
                    assert pool.apply(len, ("ab",)) == 2
        finally:
            propagate.set_global_textmap(before)


def test_environments_of_others():
    """
    Variables that are given for a program are passed on, ours beside them, and the given mapping is not changed.
    """
    given = {"PATH": "/usr/bin:/bin", "MINE": "1"}
    with capture():
        with bl.step("root"):
            said = subprocess.check_output(["/usr/bin/env"], env=given, text=True)

    assert given == {"PATH": "/usr/bin:/bin", "MINE": "1"}
    names = {line.partition("=")[0] for line in said.splitlines()}
    assert {"PATH", "MINE", "TRACEPARENT", "BRANCHLINE_RUN_ID"} <= names


def test_modules_that_are_imported_later():
    """
    A module that is imported only while a run is on is patched then; one that is imported after it is not; and the
    import system is as it was.
    """
    code = """
import sys
from branchline._pipeline.propagation import PROPAGATION
settings = {"run_id": "a"}
before = list(sys.meta_path)
for name in ("multiprocessing.pool", "concurrent.futures.process"):
    sys.modules.pop(name, None)
PROPAGATION.acquire(settings)
import multiprocessing.pool
assert hasattr(multiprocessing.pool.Pool.apply_async, "__wrapped__")
PROPAGATION.release(settings)
assert not hasattr(multiprocessing.pool.Pool.apply_async, "__wrapped__")
assert sys.meta_path == before
import concurrent.futures.process
assert not hasattr(concurrent.futures.process.ProcessPoolExecutor.submit, "__wrapped__")
PROPAGATION.acquire(settings)
assert hasattr(concurrent.futures.process.ProcessPoolExecutor.submit, "__wrapped__")
PROPAGATION.release(settings)
assert not hasattr(concurrent.futures.process.ProcessPoolExecutor.submit, "__wrapped__")
assert sys.meta_path == before
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stderr) == (0, "")


def test_acquired_twice_is_released_twice():
    """
    Two runs at once patch once, and the last one to end puts everything back.
    """
    first, second = {"run_id": "1"}, {"run_id": "2"}
    propagation = Propagation()
    start = threading.Thread.start
    propagation.acquire(first)
    ours = threading.Thread.start
    propagation.acquire(second)
    assert threading.Thread.start is ours is not start
    propagation.release(first)
    assert threading.Thread.start is ours
    propagation.release(second)

    assert threading.Thread.start is start
    assert not propagation.is_on


def test_settings_that_cannot_be_pickled(capsys):
    """
    What cannot be pickled is left out, which is said once, and the rest can be.
    """
    inherited = Inherited({"run_id": "x", "redact": lambda key, value: value}, {"traceparent": "x"})

    assert pickle.loads(pickle.dumps(inherited)) == Inherited({}, {})
    assert pickle.loads(pickle.dumps(inherited)) == Inherited({}, {})
    assert capsys.readouterr().err.count("cannot be pickled") == 1


def test_nothing_is_on_without_a_run():
    """
    Importing branchline patches nothing.
    """
    code = "import branchline, threading; assert not hasattr(threading.Thread.start, '__wrapped__')"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stderr) == (0, "")


_A_SCRIPT = """
import sys

from joblib import Parallel, delayed

import branchline as bl


@bl.traced_step
def work(number):
    with bl.step("inner", number=number):
        return number


with bl.configure("script", directory=sys.argv[1], run_id="script", console=False), bl.step("home"):
    assert Parallel(n_jobs=2)(delayed(work)(number) for number in range(8)) == list(range(8))
"""


def test_functions_of_a_script_in_a_pool_of_joblib(tmp_path):
    """
    A function that is sent by value, as those of a script or notebook are, records where it comes to.
    """
    ran = subprocess.run(
        [sys.executable, "-c", _A_SCRIPT, tmp_path], capture_output=True, text=True, check=False, timeout=120
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    [home] = open_runs(tmp_path)["script"].roots
    sent = {work.children[0].attributes["number"] for work in home.children}

    assert ([work.name for work in home.children], sent) == (["work"] * 8, set(range(8)))


_BRANCHES_IN_A_SCRIPT = """
import sys

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

import branchline as bl


@bl.traced_step
def work(number):
    return number


for run_id in ("first", "second"):
    with bl.configure("script", directory=sys.argv[1], run_id=run_id, console=False), bl.experiment("search"):
        for size in ("small", "large"):
            with bl.branch({"size": size}, name=size):
                Parallel(n_jobs=2)(delayed(work)(number) for number in range(40))
                with bl.step("home"):
                    Parallel(n_jobs=2, backend=sys.argv[2])([delayed(work)(number) for number in range(20)])
get_reusable_executor().shutdown()
"""


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_workers_of_joblib_are_used_again(tmp_path, backend):
    """
    Workers that live longer than a branch, or a run, record each task where it was given out.
    """
    ran = subprocess.run(
        [sys.executable, "-c", _BRANCHES_IN_A_SCRIPT, tmp_path, backend],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (ran.returncode, ran.stderr) == (0, "")

    for run_id in ("first", "second"):
        run = open_runs(tmp_path)[run_id]
        counted = Counter(
            (branch.name, step.name, inner.branch_name, inner.name)
            for branch in run.branches
            for step in branch.children
            for inner in (step.children or [step])
        )
        assert counted == {
            **{(size, "work", size, "work"): 40 for size in ("small", "large")},
            **{(size, "home", size, "work"): 20 for size in ("small", "large")},
        }
