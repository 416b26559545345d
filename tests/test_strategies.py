"""Strategies: what Spearmint's users know, with what they were promised; and strategies of one's own."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import subprocess
import sys
import threading
from collections import Counter

import pytest

import branchline as bl
from branchline.backends import InMemoryLogger
from branchline.branches import (
    BranchContainer,
    MultiBranchStrategy,
    RoundRobinStrategy,
    Selection,
    ShadowStrategy,
    get_strategy,
    list_strategies,
    register_strategy,
    reset_strategies,
)
from branchline.read import open_runs
from branchline.testing import capture


CONFIGS = [{"delta": 0}, {"delta": 10}, {"delta": 20}]


@pytest.fixture(autouse=True)
def _no_strategies_left():
    yield
    reset_strategies()


async def add(x, config):
    await asyncio.sleep(0)
    if config.get("fails"):
        msg = f"delta {config['delta']}"
        raise KeyError(msg)
    return x + config["delta"]


class Backend:
    """What a LoggerBackend is, remembering its calls."""

    def __init__(self):
        self.calls = []

    async def start_run(self, config):
        self.calls.append(("start_run", config))
        return f"run {len(self.calls)}"

    async def log_params(self, run_id, params):
        self.calls.append(("log_params", params))

    async def log_status(self, run_id, status, start_ts, end_ts, retry_count=0):
        self.calls.append(("log_status", status, start_ts <= end_ts, retry_count))

    async def log_exception(self, run_id, exc_type, exc_msg, traceback_str):
        self.calls.append(("log_exception", exc_type, exc_msg, "raise KeyError(msg)" in traceback_str))


async def test_round_robin():
    """
    SP-40: one configuration a call, one after another, and its output; also after one that failed.
    """
    strategy = RoundRobinStrategy()
    configs = [CONFIGS[0], {"delta": 1, "fails": True}, CONFIGS[2]]

    assert await strategy.run(add, configs, 1) == 1
    with pytest.raises(KeyError, match="delta 1"):
        await strategy.run(add, configs, 1)
    assert [await strategy.run(add, configs, 1), await strategy.run(add, configs, 1)] == [21, 1]


async def test_round_robin_raises_the_original():
    """
    SP-40: what a branch raised is raised as it is, with its own type and traceback.
    """
    with pytest.raises(KeyError) as caught:
        await RoundRobinStrategy().run(add, [{"delta": 1, "fails": True}], 1)

    assert (type(caught.value), caught.traceback[-1].name) == (KeyError, "add")


@pytest.mark.parametrize("strategy", [RoundRobinStrategy, ShadowStrategy, MultiBranchStrategy])
async def test_nothing_to_run(strategy):
    """
    SP-40, SP-41, SP-42: no configurations is a ValueError.
    """
    with pytest.raises(ValueError, match="no configs"):
        await strategy().run(add, [], 1)


async def test_round_robin_runs_are_told_apart():
    """
    SP-40: every call is a run of its own for a logging backend, and a branch of its own in the journal.
    """
    strategy, backend = RoundRobinStrategy(), Backend()

    with capture() as captured:
        for _ in range(4):
            await strategy.run(add, CONFIGS[:2], 1, logger=backend)

    assert [call[0] for call in backend.calls].count("start_run") == 4
    assert [branch.config["delta"] for branch in captured.branches] == [0, 10, 0, 10]
    assert len({branch.span_id for branch in captured.branches}) == 4


async def test_shadow():
    """
    SP-41: the primary's output is there while its shadows still run; they are gathered, however they ended.
    """
    gate = asyncio.Event()

    async def work(x, config):
        if config["delta"]:
            await gate.wait()
        return await add(x, config)

    strategy = ShadowStrategy()
    with capture() as captured:
        assert await strategy.run(work, [*CONFIGS[:2], {"delta": 20, "fails": True}], 1) == 1
        assert [branch.status for branch in captured.branches] == ["success", "pending", "pending"]
        gate.set()
        shadows = await strategy.gather_shadows()

    assert [(branch.status, branch.output) for branch in shadows] == [("success", 11), ("failed", None)]
    assert isinstance(shadows[1].error, KeyError)
    assert [(branch.status, branch.is_shadow) for branch in captured.branches] == [
        ("success", False),
        ("success", True),
        ("failed", True),
    ]
    assert await strategy.gather_shadows() == []


async def test_shadows_of_all_calls():
    """
    SP-41: the shadows of every call since the last time are gathered, not those of the last call alone.
    """
    strategy = ShadowStrategy(primary_index=1)

    assert [await strategy.run(add, CONFIGS, x) for x in (1, 2)] == [11, 12]

    assert [branch.output for branch in await strategy.gather_shadows()] == [1, 21, 2, 22]


@pytest.mark.parametrize("index", [3, -1])
async def test_shadow_index(index):
    """
    SP-41: a primary that is not there is a ValueError.
    """
    with pytest.raises(ValueError, match=f"primary_index {index} is out of range: there are 3 configs"):
        await ShadowStrategy(index).run(add, CONFIGS, 1)


async def test_shadow_primary_fails():
    """
    SP-41, weakness 7 of 1.3: when the primary fails its exception is raised, and its shadows are there all the same.
    """
    strategy = ShadowStrategy()

    with pytest.raises(KeyError):
        await strategy.run(add, [{"delta": 1, "fails": True}, *CONFIGS[1:]], 1)

    assert [branch.output for branch in await strategy.gather_shadows()] == [11, 21]


async def test_multi_branch():
    """
    SP-42: all branches, in config order, failures among them as failed branches.
    """
    result = await MultiBranchStrategy().run(add, [*CONFIGS[:2], {"delta": 20, "fails": True}], 1)

    assert isinstance(result, BranchContainer)
    assert [(branch.status, branch.output) for branch in result] == [("success", 1), ("success", 11), ("failed", None)]
    assert (len(result.successful()), len(result.failed())) == (2, 1)


async def test_order_of_calls():
    """
    SP-3, SP-4: a backend is told start, parameters, then the exception before the status of a failed branch.
    """
    backend = Backend()
    config = {"delta": 1, "fails": True, "model": {"name": "small"}}

    await MultiBranchStrategy().run(add, [config], 1, logger=backend)
    await MultiBranchStrategy().run(add, CONFIGS[:1], 1, logger=backend)

    assert backend.calls == [
        ("start_run", config),
        ("log_params", {"delta": 1, "fails": True, "model.name": "small"}),
        ("log_exception", "KeyError", "'delta 1'", True),
        ("log_status", "failed", True, 0),
        ("start_run", {"delta": 0}),
        ("log_params", {"delta": 0}),
        ("log_status", "success", True, 0),
    ]


async def test_broken_backend(capsys):
    """
    Weakness 3 of 1.3: a logging backend that raises costs no branch its result; it is said.
    """

    class Broken(Backend):
        def __repr__(self):
            return "<Broken>"

        async def start_run(self, config):
            msg = "is down"
            raise ConnectionError(msg)

    result = await MultiBranchStrategy().run(add, CONFIGS[:1], 1, logger=Broken())

    assert [branch.status for branch in result] == ["success"]
    assert (
        "<Broken> was not told of <Branch 'delta=0' pending>, which runs all the same: ConnectionError: is down"
        in capsys.readouterr().err
    )


async def test_in_memory_logger():
    """
    SP-1, SP-5, SP-40: the backends of branchline are told of every branch, each as a run of its own, with its retries.
    """
    backend = InMemoryLogger()
    calls = Counter[int]()

    def flaky(config):
        calls[config["delta"]] += 1
        if config["delta"] == 10 or calls[config["delta"]] == 1:
            raise OSError(config["delta"])
        return config["delta"]

    for _ in range(2):
        bl.run_branches(flaky, CONFIGS[:2], retries=1, logger=backend)

    assert [(run["config"], run["status"], run["retry_count"]) for run in backend.runs.values()] == [
        ({"delta": 0}, "success", 1),
        ({"delta": 10}, "failed", 1),
        ({"delta": 0}, "success", 0),
        ({"delta": 10}, "failed", 1),
    ]


def test_registry():
    """
    SP-43: names are registered once, and give a new strategy each time; what is unknown says what there is.
    """
    assert list_strategies() == ["multi_branch", "round_robin", "shadow"]
    register_strategy("mine", RoundRobinStrategy)

    assert isinstance(get_strategy("mine"), RoundRobinStrategy)
    assert get_strategy("mine") is not get_strategy("mine")
    with pytest.raises(ValueError, match="'mine' is already registered"):
        register_strategy("mine", ShadowStrategy)
    with pytest.raises(ValueError, match="unknown strategy 'yours'; there are: mine, multi_branch"):
        get_strategy("yours")


def test_registry_is_reset():
    """
    Weakness 8 of 1.3: the registry can be put back.
    """
    register_strategy("mine", RoundRobinStrategy)

    reset_strategies()

    assert list_strategies() == ["multi_branch", "round_robin", "shadow"]


async def test_decorator():
    """
    SP-44: a decorated function takes its configurations at the call, and stays what it was otherwise.
    """

    @bl.traced_experiment(strategy=MultiBranchStrategy())
    async def shifted(x, config):
        """Shift."""
        return await add(x, config)

    result = await shifted(1, configs=CONFIGS)

    assert [branch.output for branch in result] == [1, 11, 21]
    assert (shifted.__name__, shifted.__doc__, inspect.iscoroutinefunction(shifted)) == ("shifted", "Shift.", True)
    with pytest.raises(ValueError, match=r"shifted\(\) is an experiment: it needs configs="):
        await shifted(1)


def test_decorator_of_plain_functions():
    """
    SP-44: functions that are not async can be decorated too, bare or named, and whatever their argument is called.
    """

    @bl.traced_experiment
    def doubled(setting):
        return setting["delta"] * 2

    @bl.traced_experiment("named", strategy="round_robin")
    def chosen(x, *, config):
        return x + config["delta"]

    with capture() as captured:
        results = doubled(configs=CONFIGS)
        turns = [chosen(1, configs=CONFIGS) for _ in range(4)]

    assert ([branch.output for branch in results], turns) == ([0, 20, 40], [1, 11, 21, 1])
    assert [experiment.name for experiment in captured.experiments] == [
        "test_decorator_of_plain_functions.doubled",
        *["named"] * 4,
    ]


async def test_decorator_tells_a_logger():
    """
    SP-44: the call may name a logging backend.
    """
    backend = Backend()

    @bl.traced_experiment(strategy="shadow")
    async def shifted(x, config):
        return await add(x, config)

    assert await shifted(1, configs=CONFIGS[:1], logger=backend) == 1
    assert [call[0] for call in backend.calls] == ["start_run", "log_params", "log_status"]


def test_by_name():
    """
    SP-43: a name stands for the same strategy at each call with the same function; another function begins anew.
    """

    def one(config):
        return config["delta"]

    def other(config):
        return -config["delta"]

    outputs = [[branch.output for branch in bl.run_branches(one, CONFIGS, strategy="round_robin")] for _ in range(4)]

    assert outputs == [[0], [10], [20], [0]]
    assert [branch.output for branch in bl.run_branches(other, CONFIGS, strategy="round_robin")] == [0]


def test_shadow_of_run_branches():
    """
    SP-41: run_branches returns when the primary has ended, with all branches in config order; shadows may be pending.
    """
    gate = threading.Event()

    def work(config):
        assert config["delta"] == 0 or gate.wait(30)
        return config["delta"]

    with capture() as captured:
        results = bl.run_branches(work, CONFIGS, strategy="shadow")
        before = [branch.status for branch in results]
        gate.set()

    assert before == ["success", "pending", "pending"]
    assert [(branch.status, branch.output) for branch in results] == [("success", 0), ("success", 10), ("success", 20)]
    assert [branch.status for branch in captured.branches] == ["success"] * 3


class Best:
    """Runs all but the last, and gives the best."""

    def select(self, configs):
        return Selection(awaited=tuple(range(len(configs) - 1)))

    def result(self, awaited):
        return max(branch.output for branch in awaited)


def test_ones_own_selection():
    """
    SP-43: a strategy of one's own says which configurations run, and what a call gives.
    """
    register_strategy("best", Best)

    @bl.traced_experiment(strategy="best")
    def work(config):
        return config["delta"]

    assert (work(configs=CONFIGS), len(bl.run_branches(lambda config: config, CONFIGS, strategy="best"))) == (10, 2)


class FirstThatWorks:
    """Calls the function itself, as Spearmint's strategies do."""

    async def run(self, func, configs, *args, **kwargs):
        for config in configs:
            try:
                return await func(*args, config=config, **kwargs)
            except KeyError:
                continue
        return None


async def test_ones_own_run():
    """
    SP-43: a strategy may call the function itself: each of its calls is a branch, however it ended.
    """
    configs = [{"delta": 1, "fails": True}, {"delta": 2}, {"delta": 3}]

    @bl.traced_experiment(strategy=FirstThatWorks())
    async def shifted(x, config):
        return await add(x, config)

    with capture() as captured:
        assert await shifted(5, configs=configs) == 7
        results = bl.run_branches(lambda config: config["delta"], configs, strategy=FirstThatWorks())

    assert [(branch.config["delta"], branch.output) for branch in results] == [(1, 1)]
    assert [(branch.config["delta"], branch.status) for branch in captured.branches] == [
        (1, "failed"),
        (2, "success"),
        (1, "success"),
    ]
    assert [len(experiment.branches) for experiment in captured.experiments] == [2, 1]


def test_no_strategy():
    """
    What is no strategy is an error at once.
    """
    with pytest.raises(bl.ConfigError, match="a strategy is a name or has select"):
        bl.run_branches(print, CONFIGS, strategy=5)


def module_level(x, config):
    return x + config["delta"]


decorated = bl.traced_experiment(executor="process", max_concurrency=2)(module_level)


def test_decorated_in_processes():
    """
    SP-44: a decorated function's own arguments travel to processes with it.
    """
    from branchline.branches.calls import bound

    call = bound(module_level, (5,), {})
    assert pickle.loads(pickle.dumps(call))({"delta": 2}) == 7
    assert [branch.output for branch in decorated(5, configs=CONFIGS)] == [5, 15, 25]


AT_EXIT = """
import asyncio, os, sys, time
import concurrent.futures
import branchline as bl

def slow(config):
    if config["n"]:
        time.sleep(0.3)
    if config["n"] == 2:
        raise ValueError("a shadow's own")
    return config["n"]

async def slow_later(config):
    if config["n"]:
        await asyncio.sleep(0.3)
    return await asyncio.to_thread(slow, config)

CONFIGS = [{"n": n} for n in range(4)]
def main():
    bl.configure("shadows", directory="journal", console=False)
    {call}
    print("primary is done", flush=True)
if __name__ == "__main__":
    main()
"""
CALLS = {
    "threads": 'bl.run_branches(slow, CONFIGS, strategy="shadow")',
    "processes": 'bl.run_branches(slow, CONFIGS, strategy="shadow", executor="process")',
    "loop": 'bl.run_branches(slow_later, CONFIGS, strategy="shadow")',
    "own loop": 'asyncio.run(bl.arun_branches(slow_later, CONFIGS, strategy="shadow"))',
    "own loop, threads": 'asyncio.run(bl.arun_branches(slow, CONFIGS, strategy="shadow"))',
    "own loop, processes": 'asyncio.run(bl.arun_branches(slow, CONFIGS, strategy="shadow", executor="process"))',
    "bounded": 'bl.run_branches(slow, CONFIGS, strategy="shadow", max_concurrency=1)',
    "in a block": 'with bl.experiment("x") as exp: exp.run(slow, CONFIGS, strategy="shadow")\n    bl.shutdown()',
}


@pytest.mark.parametrize("place", CALLS)
def test_drained_at_exit(tmp_path, place):
    """
    Weakness 7 of 1.3: shadows come to their own end when the process ends, and what they raise is recorded.
    """
    (tmp_path / "program.py").write_text(AT_EXIT.replace("{call}", CALLS[place]), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "program.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (0, "primary is done\n", "")
    [run] = open_runs(tmp_path / "journal")
    assert [(branch.config["n"], branch.status, branch.error) for branch in sorted(run.branches, key=number_of)] == [
        (0, "success", None),
        (1, "success", None),
        (2, "failed", "ValueError: a shadow's own"),
        (3, "success", None),
    ]


def number_of(branch):
    return branch.config["n"]
