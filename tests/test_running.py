"""Running branches: in the event loop, threads, processes and executors; each ends as it does, and touches no other."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import pytest

import branchline as bl
from branchline.read import open_runs
from branchline.testing import capture


NUMBERS = [{"n": number} for number in range(6)]
SIDE_EFFECT: contextvars.ContextVar[str] = contextvars.ContextVar("side_effect", default="untouched")


class TwoArguments(Exception):
    """Can be pickled, and not unpickled."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def tenfold(config):
    with bl.step("work", n=config["n"]):
        return config["n"] * 10


async def tenfold_later(config):
    async with bl.step("work", n=config["n"]):
        await asyncio.sleep(0)
        return config["n"] * 10


def here():
    """The branch that this code is in."""
    branch = bl.current_branch()
    assert branch is not None
    return branch


def info(branch):
    """What the branch says about its exception."""
    assert branch.exception_info is not None
    return branch.exception_info


def moody(config):
    """Ends as its configuration says."""
    match config["mood"]:
        case "fails":
            msg = "bad mood"
            raise ValueError(msg)
        case "odd failure":
            raise TwoArguments(1, 2)
        case "hangs":
            time.sleep(60)
        case "cancels":
            raise asyncio.CancelledError
        case "exits":
            sys.exit(3)
        case "skips":
            here().skip("nothing to do")
        case "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        case "unpicklable":
            return threading.Lock()
    return config["mood"]


async def moody_later(config):
    await asyncio.sleep(0)
    if config["mood"] == "hangs":
        await asyncio.sleep(60)
    return moody(config)


def moods(*names):
    return [{"mood": name} for name in names]


def told(branches):
    return [
        (branch.status, branch.output, None if branch.exception_info is None else branch.exception_info["type"])
        for branch in branches
    ]


PLACES: dict[str, tuple[Any, dict[str, Any]]] = {
    "loop": (tenfold_later, {}),
    "threads": (tenfold, {}),
    "coroutines in threads": (tenfold_later, {"executor": "thread"}),
    "processes": (tenfold, {"executor": "process", "max_concurrency": 2}),
    "coroutines in processes": (tenfold_later, {"executor": "process", "max_concurrency": 2}),
}
MOODY: dict[str, tuple[Any, dict[str, Any]]] = {
    "loop": (moody_later, {}),
    "threads": (moody, {}),
    "processes": (moody, {"executor": "process", "max_concurrency": 2}),
}


@pytest.mark.parametrize("place", PLACES)
def test_everywhere(place):
    """
    SP-42: wherever they run, the branches come in config order, each with its output, and in the journal each is there
    once, in the experiment, with what it recorded inside.
    """
    function, options = PLACES[place]

    with capture() as captured:
        results = bl.run_branches(function, NUMBERS, **options)

    assert [(branch.config["n"], branch.status, branch.output) for branch in results] == [
        (number, "success", number * 10) for number in range(6)
    ]
    [experiment] = captured.experiments
    assert experiment.name == function.__name__
    assert sorted(
        (branch.config["n"], branch.status, branch.output, [(step.name, step.attributes["n"]) for step in branch.steps])
        for branch in captured.branches
    ) == [(number, "success", number * 10, [("work", number)]) for number in range(6)]
    assert len(experiment.branches) == 6


@pytest.mark.parametrize("place", PLACES)
async def test_everywhere_async(place):
    """
    The same from code that is async.
    """
    function, options = PLACES[place]

    with capture() as captured:
        results = await bl.arun_branches(function, NUMBERS, **options)

    assert [branch.output for branch in results] == [number * 10 for number in range(6)]
    assert sorted((branch.config["n"], len(branch.steps)) for branch in captured.branches) == [(n, 1) for n in range(6)]


@pytest.mark.parametrize("kind", [concurrent.futures.ThreadPoolExecutor, concurrent.futures.ProcessPoolExecutor])
def test_somebodys_executor(kind):
    """
    Any executor of concurrent.futures will do; it is left open, and what its workers record belongs to the branch.
    """
    with capture() as captured, kind(2) as executor:
        results = bl.run_branches(tenfold, NUMBERS, executor=executor)
        still = executor.submit(tenfold, {"n": 9}).result()

    assert ([branch.output for branch in results], still) == ([0, 10, 20, 30, 40, 50], 90)
    assert sorted((branch.config["n"], len(branch.steps)) for branch in captured.branches) == [(n, 1) for n in range(6)]


class AtOnce(concurrent.futures.Executor):
    """Makes every call where it is submitted."""

    def submit(self, fn, /, *args, **kwargs):
        done: concurrent.futures.Future[Any] = concurrent.futures.Future()
        done.set_result(fn(*args, **kwargs))
        return done


def test_executor_of_ones_own_make():
    """
    An executor that stays in this process need not be able to send anything: outputs and exceptions are the very ones.
    """
    lock = threading.Lock()

    def work(config):
        with bl.step("inside"):
            if config["n"]:
                raise TwoArguments(1, 2)
            return lock

    with capture() as captured:
        first, second = bl.run_branches(work, NUMBERS[:2], executor=AtOnce())

    assert first.output is lock
    assert isinstance(second.error, TwoArguments)
    assert [[step.name for step in branch.steps] for branch in captured.branches] == [["inside"]] * 2


@pytest.mark.parametrize("place", MOODY)
def test_ends_as_it_does(place):
    """
    Weakness 5 of 1.3: each kind of end is the branch's own, in the results and in the journal; none costs another.
    """
    function, options = MOODY[place]

    with capture() as captured:
        results = bl.run_branches(
            function, moods("fine", "fails", "cancels", "exits", "skips", "odd failure", "well"), **options
        )

    assert told(results) == [
        ("success", "fine", None),
        ("failed", None, "ValueError"),
        ("cancelled", None, "CancelledError"),
        ("interrupted", None, "SystemExit"),
        ("skipped", "skips", "Skipped"),
        ("failed", None, "TwoArguments"),
        ("success", "well", None),
    ]
    statuses = {branch.config["mood"]: branch.status for branch in results}
    assert {branch.config["mood"]: branch.status for branch in captured.branches} == statuses
    assert len(captured.branches) == 7


@pytest.mark.parametrize("place", MOODY)
def test_original_exceptions(place):
    """
    SP-23, SP-40: the exception itself is kept, with where it was raised; one that cannot leave its process keeps its
    name, what it says and its traceback.
    """
    function, options = MOODY[place]

    plain, odd = bl.run_branches(function, moods("fails", "odd failure"), **options)

    assert (type(plain.error), str(plain.error)) == (ValueError, "bad mood")
    assert (type(odd.error).__name__, str(odd.error)) == ("TwoArguments", "1 and 2")
    assert isinstance(odd.error, TwoArguments) or place == "processes"
    for branch, line in ((plain, "raise ValueError(msg)"), (odd, "raise TwoArguments(1, 2)")):
        assert line in info(branch)["traceback"]


def test_one_exception_event():
    """
    Weakness 6 of 1.3: a failed branch has status failed and its exception once, also when it was run by us.
    """
    with capture() as captured:
        bl.run_branches(moody, moods("fails"))

    [branch] = captured.branches
    assert (branch.status, branch.stamps, branch.error) == ("failed", (), "ValueError: bad mood")


def test_unpicklable_output():
    """
    Weakness 3 of 1.3: an output that cannot leave its process fails its own branch and no other.
    """
    lock, fine = bl.run_branches(moody, moods("unpicklable", "fine"), executor="process", max_concurrency=1)

    assert (lock.status, fine.status, fine.output) == ("failed", "success", "fine")
    assert "pickle" in info(lock)["message"]


@pytest.mark.parametrize("place", MOODY)
def test_timeouts(place):
    """
    A branch that takes too long has failed with a TimeoutError; the others have not.
    """
    function, options = MOODY[place]

    with capture() as captured:
        results = bl.run_branches(function, moods("hangs", "fine"), timeout=1.0, **options)

    assert told(results) == [("failed", None, "TimeoutError"), ("success", "fine", None)]
    assert sorted(branch.status for branch in captured.branches) == ["failed", "success"]


def test_timeout_ends_the_process():
    """
    A process of ours whose branch took too long does not go on.
    """
    bl.run_branches(moody, moods("hangs"), timeout=0.5, executor="process")

    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("executor", ["process", "somebody's"])
def test_lost_worker(executor):
    """
    A worker that is killed loses its branch and no other: the rest goes on in a new pool.
    """
    configs = moods("fine", "dies", "well", "good")
    with capture() as captured, concurrent.futures.ProcessPoolExecutor(2) as pool:
        results = bl.run_branches(
            moody, configs, executor=pool if executor == "somebody's" else "process", max_concurrency=2
        )

    assert told(results) == [
        ("success", "fine", None),
        ("lost", None, "Lost"),
        ("success", "well", None),
        ("success", "good", None),
    ]
    assert sorted((branch.config["mood"], branch.status) for branch in captured.branches) == [
        ("dies", "lost"),
        ("fine", "success"),
        ("good", "success"),
        ("well", "success"),
    ]


class Flaky:
    """Fails the first times."""

    def __init__(self, failures):
        self.failures = failures
        self.calls = {}

    def __call__(self, config):
        calls = self.calls[config["n"]] = self.calls.get(config["n"], 0) + 1
        if calls <= self.failures:
            msg = f"call {calls}"
            raise OSError(msg)
        return calls


def test_retries():
    """
    Weakness 8 of 1.3: a branch that fails is tried again, in the same span, and how often is counted.
    """
    with capture() as captured:
        results = bl.run_branches(Flaky(2), NUMBERS[:2], retries=3)

    assert [(branch.status, branch.output, branch.retries) for branch in results] == [("success", 3, 2)] * 2
    assert [branch.retries for branch in captured.branches] == [2, 2]
    assert [[stamp.attributes["exception.message"] for stamp in branch.stamps] for branch in captured.branches] == [
        ["call 1", "call 2"]
    ] * 2


def test_retries_are_over():
    """
    A branch that fails each time has failed, with its last exception; one that was cancelled is not tried again.
    """
    flaky = Flaky(9)

    [failed] = bl.run_branches(flaky, NUMBERS[:1], retries=2)
    [cancelled] = bl.run_branches(moody, moods("cancels"), retries=2)

    assert (failed.status, str(failed.error), failed.retries, flaky.calls) == ("failed", "call 3", 2, {0: 3})
    assert (cancelled.status, cancelled.retries) == ("cancelled", 0)


class Gauge:
    """Knows how many run at the same time."""

    def __init__(self):
        self.now = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, config):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.01)
        with self.lock:
            self.now -= 1

    async def later(self, config):
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.01)
        self.now -= 1


@pytest.mark.parametrize("kind", ["__call__", "later"])
def test_bounded(kind):
    """
    Weakness 8 of 1.3: no more branches run at the same time than was said.
    """
    gauge = Gauge()

    results = bl.run_branches(getattr(gauge, kind), [{"n": n} for n in range(20)], max_concurrency=3)

    assert (gauge.most, {branch.status for branch in results}) == (3, {"success"})


@pytest.mark.parametrize(
    ("order", "begun"),
    [("interleaved", [0, 1, 2, 0, 1, 2]), ("blocked", [0, 0, 1, 1, 2, 2])],
)
def test_repeats(order, begun):
    """
    Each configuration runs so many times, as branches of its own, in the order that is asked for, which is recorded.
    """
    seen = []

    with capture() as captured:
        results = bl.run_branches(
            lambda config: seen.append(config["n"]), NUMBERS[:3], repeats=2, order=order, max_concurrency=1
        )

    assert seen == begun
    assert [branch.config["n"] for branch in results] == [0, 0, 1, 1, 2, 2]
    recorded = sorted(captured.branches, key=lambda branch: branch.position or 0)
    assert [branch.config["n"] for branch in recorded] == begun
    assert {branch.order for branch in recorded} == {order}
    assert sorted(branch.repeat for branch in recorded) == [0, 0, 0, 1, 1, 1]


def test_as_they_finish():
    """
    Weakness 8 of 1.3: branches are given as they end, and all of them are there in config order besides.
    """
    gates = [threading.Event() for _ in range(3)]
    gates[2].set()

    def wait(config):
        assert gates[config["n"]].wait(30)
        return config["n"]

    stream = bl.iter_branches(wait, NUMBERS[:3])
    seen: list[Any] = []
    for branch in stream:
        seen.append(branch.output)
        gates[seen[-1] - 1].set()

    assert seen == [2, 1, 0]
    assert [branch.output for branch in stream.branches] == [0, 1, 2]


async def test_as_they_finish_async():
    """
    The same for async for.
    """
    gates = [asyncio.Event() for _ in range(3)]
    gates[2].set()

    async def wait(config):
        await gates[config["n"]].wait()
        return config["n"]

    seen: list[Any] = []
    async for branch in bl.iter_branches(wait, NUMBERS[:3]):
        seen.append(branch.output)
        gates[seen[-1] - 1].set()

    assert seen == [2, 1, 0]


def test_left_early():
    """
    Who leaves early has the rest cancelled, and what has not begun is skipped: each is in the journal once.
    """
    with capture() as captured:
        stream = bl.iter_branches(moody, moods("fine", "hangs", "well"), max_concurrency=2)
        for branch in stream:
            if branch.output == "fine":
                break
        stream.close()

    assert len(captured.branches) == 3
    statuses = {branch.config["mood"]: branch.status for branch in captured.branches}
    assert (statuses["fine"], statuses["hangs"]) == ("success", "cancelled")
    assert statuses["well"] in {"skipped", "success", "cancelled"}


def test_cancel_one():
    """
    A branch that runs can be cancelled from elsewhere, with a reason; the others go on.
    """
    begun = threading.Event()
    found = {}

    def work(config):
        found[config["n"]] = here()
        if config["n"] == 0:
            begun.set()
            time.sleep(60)
        assert begun.wait(30)
        found[0].cancel("enough")
        return config["n"]

    first, second = bl.run_branches(work, NUMBERS[:2])

    assert (first.status, info(first)["message"], second.status) == ("cancelled", "enough", "success")
    assert first.cancel() is False


async def test_cancel_all():
    """
    Weakness 5 of 1.3: cancelled as a whole, what runs is cancelled, what has not begun is skipped; nothing is pending.
    """
    begun = asyncio.Event()

    async def work(config):
        begun.set()
        await asyncio.sleep(60)

    with capture() as captured:
        running = asyncio.create_task(bl.arun_branches(work, NUMBERS, max_concurrency=2))
        await begun.wait()
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    assert sorted(branch.status for branch in captured.branches) == ["cancelled"] * 2 + ["skipped"] * 4


async def test_the_loop_is_not_blocked():
    """
    While functions block in threads and processes, the event loop goes on.
    """
    released = threading.Event()

    def blocks(config):
        assert released.wait(30)

    running = asyncio.create_task(bl.arun_branches(blocks, NUMBERS))
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert not running.done()
    released.set()
    assert len((await running).successful()) == 6


async def test_async_code_that_catches_everything():
    """
    A coroutine that does not want to be cancelled is left alone after a while: its branch has ended.
    """
    stubborn = asyncio.Event()

    async def work(config):
        while not stubborn.is_set():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    [branch] = await bl.arun_branches(work, NUMBERS[:1], timeout=0.05)

    assert told([branch]) == [("failed", None, "TimeoutError")]
    stubborn.set()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


def test_inside_a_running_loop():
    """
    Code that is not async can run branches of async functions where a loop runs already, as notebooks have it.
    """

    async def notebook():
        return bl.run_branches(tenfold_later, NUMBERS)

    assert [branch.output for branch in asyncio.run(notebook())] == [0, 10, 20, 30, 40, 50]


def test_nested():
    """
    SP-45, SP-47, SP-61: branches that run branches give a tree of spans, each below the one that ran it.
    """

    def inner(config):
        return config["temperature"]

    def outer(config):
        return bl.run_branches(inner, [{"temperature": 0}, {"temperature": 1}]).successful()

    with capture() as captured, bl.experiment("grid"):
        small: Any
        large: Any
        [small, large] = bl.run_branches(outer, [{"model": "small"}, {"model": "large"}], max_concurrency=1)

    assert [[each.output for each in found.output] for found in (small, large)] == [[0, 1]] * 2
    assert captured.tree() == textwrap.dedent(
        """\
        experiment grid
        ├── branch model=small  success
        │   ├── branch temperature=0  success
        │   └── branch temperature=1  success
        └── branch model=large  success
            ├── branch temperature=0  success
            └── branch temperature=1  success"""
    )


def family(config):
    return [branch.output for branch in bl.run_branches(tenfold, NUMBERS[:2], executor="process", max_concurrency=2)]


def test_nested_processes():
    """
    A branch in another process may run branches in processes of its own.
    """
    with capture() as captured:
        results = bl.run_branches(family, [{"model": "small"}, {"model": "large"}], executor="process")

    assert [branch.output for branch in results] == [[0, 10]] * 2
    assert len(captured.run.roots) == 1
    assert sorted(branch.name for branch in captured.branches) == [
        *["model=large", "model=small"],
        *["n=0", "n=0", "n=1", "n=1"],
    ]
    assert {branch.name for branch in captured.branches if branch.steps} >= {"n=0", "n=1"}


def test_parent_span():
    """
    Weakness 6 of 1.3, SP-60, SP-61: the caller's span is the parent, whatever thread the function runs in; attributes
    keep their types, and branches are found again by their id.
    """
    with capture() as captured, bl.step("caller"):
        results = bl.run_branches(tenfold, [{"n": 5}])

    [root] = captured.run.roots
    assert (root.name, [child.name for child in root.children]) == ("caller", ["tenfold"])
    [branch] = [each for each in captured.branches if each.config_id == results[0].config_id]
    assert (branch.config, branch.output) == ({"n": 5}, 50)


def test_one_failure_costs_no_result():
    """
    Weakness 7 of 1.3: one that fails throws away neither the first result nor any other.
    """
    results = bl.run_branches(moody, moods("fine", "fails", "well"))

    assert [branch.output for branch in results] == ["fine", None, "well"]


def test_context_variables():
    """
    SP-46: a branch sees the context variables of whoever runs it; what it sets is its own.
    """

    def work(config):
        seen = SIDE_EFFECT.get()
        SIDE_EFFECT.set(str(config["n"]))
        return seen

    SIDE_EFFECT.set("the caller's")
    results = bl.run_branches(work, NUMBERS)

    assert ({branch.output for branch in results}, SIDE_EFFECT.get()) == ({"the caller's"}, "the caller's")
    SIDE_EFFECT.set("untouched")


def test_current_branch_in_a_process():
    """
    In another process too the branch is the current one: what it measures and says is the branch's.
    """
    with capture() as captured:
        results = bl.run_branches(measures, NUMBERS[:2], executor="process", max_concurrency=1)

    assert [(branch.status, info(branch)["message"]) for branch in results] == [
        ("skipped", "as n=0"),
        ("skipped", "as n=1"),
    ]
    assert sorted((point.name, point.value, point.branch_name) for point in captured.points) == [
        ("quality", 0.0, "n=0"),
        ("quality", 1.0, "n=1"),
    ]


def measures(config):
    branch = here()
    branch.metric("quality", config["n"])
    branch.skip(f"as {branch.name}")


def test_open_experiment():
    """
    ``exp.run`` runs branches in the experiment that is open, below the step that it is called in.
    """
    with capture() as captured, bl.experiment("mine") as exp:
        with bl.step("stage"):
            exp.run(tenfold, NUMBERS[:1])
        results = exp.run(tenfold, NUMBERS[1:2])

    assert (len(results), len(exp.branches)) == (1, 2)
    assert captured.tree() == textwrap.dedent(
        """\
        experiment mine
        ├── step stage
        │   └── branch n=0  success
        │       └── step work  success
        └── branch n=1  success
            └── step work  success"""
    ).replace("step stage", "step stage  success")


async def test_open_experiment_async():
    """
    ``exp.arun`` and ``exp.iterate`` do the same.
    """
    with capture() as captured:
        async with bl.experiment("mine") as exp:
            await exp.arun(tenfold_later, NUMBERS[:2])
            seen = [branch.output async for branch in exp.iterate(tenfold_later, NUMBERS[2:3])]

    assert (seen, [len(each.branches) for each in captured.experiments]) == ([20], [3])


def test_closed_experiment():
    """
    An experiment that is not open says so.
    """
    with pytest.raises(bl.ConfigError, match="not open"):
        bl.experiment("mine").run(tenfold, NUMBERS)


def test_budget_asked_before_each():
    """
    What the budget says between branches stops the beginning of more, which are skipped with that reason.
    """
    answers = iter([None, "", "spent"])

    with capture() as captured:
        results = bl.run_branches(tenfold, NUMBERS, budget=lambda: next(answers), max_concurrency=1)

    assert [branch.status for branch in results] == ["success"] * 2 + ["skipped"] * 4
    assert {info(branch)["message"] for branch in results[2:]} == {"not begun: spent"}
    assert sorted(branch.status for branch in captured.branches) == ["skipped"] * 4 + ["success"] * 2


def spend(config):
    with bl.step("ask"):
        bl.record_usage("model", input_tokens=1, cost="0.02")


def test_budget_config(tmp_path):
    """
    A budget may be given to the call: once it is used up, no more branches begin.
    """
    with bl.configure("spending", directory=tmp_path, console=False, verbosity="NONE"):
        results = bl.run_branches(spend, NUMBERS, max_concurrency=1, budget=bl.BudgetConfig(run="0.05"))

    assert [branch.status for branch in results] == ["success"] * 3 + ["skipped"] * 3
    assert info(results[3])["message"] == "not begun: $0.06 of $0.05 of the run budget used"


def test_budget_of_the_run(tmp_path):
    """
    When a branch finds out that nothing is left of the run's budget, it has failed, and no more begin.
    """
    with bl.configure(
        "spending",
        directory=tmp_path,
        console=False,
        verbosity="NONE",
        budget=bl.BudgetConfig(run="0.03", on_exceed="raise"),
    ):
        results = bl.run_branches(spend, NUMBERS, max_concurrency=1, retries=2)

    assert [branch.status for branch in results] == ["success"] * 2 + ["failed"] + ["skipped"] * 3
    assert isinstance(results[2].error, bl.BudgetExceeded)
    assert results[2].retries == 0
    assert info(results[3])["message"] == f"not begun: {results[2].error}"


def test_budget_of_a_branch(tmp_path):
    """
    A branch that has used up its own share is held back alone.
    """

    def spends(config):
        for _ in range(3):
            spend(config)

    budget = bl.BudgetConfig(branch="0.03", on_exceed="raise")
    with bl.configure("spending", directory=tmp_path, console=False, verbosity="NONE", budget=budget):
        results = bl.run_branches(spends, NUMBERS[:3], max_concurrency=1)

    assert [branch.status for branch in results] == ["failed"] * 3


def test_progress():
    """
    Whoever looks on is told of each branch when it begins and when it has ended, and cannot hurt it.
    """
    seen = []

    def look(branch):
        seen.append((branch.config["n"], branch.status))
        raise RuntimeError

    results = bl.run_branches(tenfold, NUMBERS[:2], max_concurrency=1, progress=look)

    assert seen == [(0, "pending"), (0, "success"), (1, "pending"), (1, "success")]
    assert len(results.successful()) == 2


def test_progress_is_shown(tmp_path):
    """
    Branches can be counted as they end, however they do, as work of their experiment.
    """

    def sometimes(config):
        if config["n"] == 1:
            raise ValueError

    with bl.configure("progress", directory=tmp_path, console=False):
        bl.run_branches(sometimes, NUMBERS[:4], progress=True)
        bl.run_branches(sometimes, NUMBERS[:2], progress=False)

    tasks = open_runs(tmp_path).last.tasks
    assert [(task.description, task.done, task.total, task.outcome) for task in tasks] == [
        ("branches", 4, 4, "success")
    ]
    assert tasks[0].experiment_name is not None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"executor": "rocket"}, "executor is 'thread', 'process' or an Executor of concurrent.futures, not 'rocket'"),
        ({"max_concurrency": 0}, "max_concurrency is a whole number from 1 on, not 0"),
        ({"timeout": 0}, "timeout is a number of seconds above 0, not 0"),
        ({"retries": -1}, "retries is a whole number from 0 on, not -1"),
        ({"repeats": True}, "repeats is a whole number from 1 on, not True"),
        ({"order": "random"}, "order is one of interleaved, blocked, not 'random'"),
        ({"budget": 5}, "budget is a BudgetConfig or a function, not 5"),
        ({"strategy": "best"}, "unknown strategy 'best'; there are: multi_branch, round_robin, shadow"),
    ],
)
def test_set_up_fails_fast(options, says):
    """
    What cannot be is an error before anything runs, and says what can be.
    """
    with pytest.raises(bl.ConfigError) as caught:
        bl.run_branches(tenfold, NUMBERS, **options)

    assert str(caught.value) == says


def test_functions_that_cannot_travel():
    """
    A function that cannot be sent to a process is an error at once.
    """
    with pytest.raises(bl.ConfigError, match="define it at the top of a module"):
        bl.run_branches(lambda config: config, NUMBERS, executor="process")


@pytest.mark.parametrize("configs", [[], "ab", {"n": 1}, 5])
def test_configs(configs):
    """
    SP-42: configurations are a list with at least one.
    """
    with pytest.raises(ValueError, match="configs"):
        bl.run_branches(tenfold, configs)


INTERRUPTED = """
import os, signal, sys, threading, time
import branchline as bl
def work(config):
    if config["n"] == 1:
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
{later}
if __name__ == "__main__":
    bl.configure("interrupted", directory="journal", console=False)
    try:
        bl.run_branches({function}, [{{"n": n}} for n in range(4)], max_concurrency=2)
    except KeyboardInterrupt:
        print("interrupted")
"""
LATER = """
import asyncio
async def later(config):
    if config["n"] == 1:
        os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(60)
"""


@pytest.mark.parametrize("function", ["work", "later"])
def test_interrupted(tmp_path, function):
    """
    Ctrl-C ends the whole: what runs is interrupted, what has not begun is skipped, and nothing hangs.
    """
    (tmp_path / "program.py").write_text(INTERRUPTED.format(function=function, later=LATER), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.stdout, done.stderr) == ("interrupted\n", "")
    [run] = open_runs(tmp_path / "journal")
    assert sorted(branch.status for branch in run.branches) == ["interrupted"] * 2 + ["skipped"] * 2
