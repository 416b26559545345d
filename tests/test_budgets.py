"""Budgets of a run: what is said and done when a threshold is reached, and when."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import branchline as bl
from branchline._journal import layout
from branchline._journal.ledger import Ledger
from branchline.budget import BudgetConfig, BudgetExceeded, BudgetStatus, CostTracker, progressed, statuses
from branchline.context import CURRENT
from branchline.read import open_runs


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "journal"
    bl.shutdown()


def begin(directory: Path, **limits: Any) -> bl.Telemetry:
    return bl.configure("x", directory=directory, console=False, verbosity="NONE", budget=BudgetConfig(**limits))


def spend(cost: str | None = "0.10", **more: Any) -> None:
    bl.record_usage("m", cost=cost, **more)


def used() -> dict[str, Decimal]:
    return {status.period: status.used for status in statuses()}


def told(directory: Path) -> list[tuple[str | None, str, str | None]]:
    """Return the events about budgets: what, in which words, and in which step."""
    lines = [line for line in open_runs(directory).last.logs if (line.event_name or "").startswith("branchline.budget")]
    return [((line.event_name or "").rpartition(".")[2], line.message, line.step_name) for line in lines]


def test_what_is_recorded_counts_at_once(directory):
    """
    A usage counts from the moment that the call that recorded it returns, in every limit that it belongs to.
    """
    begin(directory, daily=1, run=2, branch=3, step=4, tokens=1000, calls=10)

    with bl.branch({"model": "a"}), bl.step("ask"), bl.step("try"):
        spend("0.10", input_tokens=100, output_tokens=20)
        spend("0.05")

    assert used() == {
        **dict.fromkeys(["daily", "run", "branch", "step"], Decimal("0.15")),
        "tokens": Decimal(120),
        "calls": Decimal(2),
    }


def test_a_warning_once_per_threshold(directory):
    """
    A limit is told of twice, once when it is nearly used and once when it is used up, on the step that did it.
    """
    begin(directory, run="1.00")
    for number in range(12):
        with bl.step(f"step {number}"):
            spend("0.10")
    bl.shutdown()

    assert told(directory) == [
        ("warning", "80 % of the run budget is used: $0.80 of $1.00", "step 7"),
        ("exceeded", "the run budget is used up: $1.00 of $1.00", "step 9"),
    ]


def test_said_on_the_console(directory, capfd):
    """
    A person is told in one line on stderr each, also without the live tree.
    """
    bl.configure("x", directory=directory, console=False, budget=BudgetConfig(calls=5))
    for _ in range(6):
        spend(None)

    assert [line for line in capfd.readouterr().err.splitlines() if "budget" in line] == [
        "branchline: 80 % of the calls budget is used: 4 of 5 calls",
        "branchline: the calls budget is used up: 5 of 5 calls",
    ]


def test_no_step_is_entered(directory):
    """
    With `raise`, the call that uses a budget up returns, the step goes on to its end, and the next one is not entered.
    """
    begin(directory, run="0.10", on_exceed="raise")
    reached = []

    with bl.step("first") as first:
        spend("0.10")
        reached.append("after the call")
        first.stamp("still recorded")
        bl.record_metric("m", 1)
    reached.append("after the step")
    with pytest.raises(BudgetExceeded) as raised, bl.step("second"):
        reached.append("never")
    bl.shutdown()

    [step] = open_runs(directory).last.steps
    assert reached == ["after the call", "after the step"]
    assert (step.name, step.outcome, [stamp.name for stamp in step.stamps]) == ("first", "success", ["still recorded"])
    assert raised.value.status == BudgetConfig(run="0.10").status("run", Decimal("0.10"))


def kinds_of_steps() -> dict[str, Any]:
    @bl.traced_step
    def plain() -> None:
        """Do nothing."""

    @bl.traced_step
    async def coroutine() -> None:
        """Do nothing."""

    @bl.traced_step
    def generator() -> Iterator[int]:
        yield 1

    def in_a_loop() -> None:
        import asyncio

        asyncio.run(coroutine())

    def block() -> None:
        with bl.step("block", links=[]):
            pass

    return {"plain": plain, "coroutine": in_a_loop, "generator": lambda: list(generator()), "block": block}


@pytest.mark.parametrize("kind", ["plain", "coroutine", "generator", "block"])
def test_every_kind_of_step(directory, kind):
    """
    Every kind of step is held back: functions, coroutines, generators at their first item, and blocks.
    """
    step = kinds_of_steps()[kind]
    begin(directory, run="0.10", on_exceed="raise")
    step()
    spend("0.10")

    with pytest.raises(BudgetExceeded):
        step()


def test_zero_lets_no_step_in(directory):
    """
    A limit of zero lets no step in, not even the first.
    """
    begin(directory, daily=0, on_exceed="raise")

    with pytest.raises(BudgetExceeded), bl.step("first"):
        pass


def test_branches_and_steps_have_their_own(directory):
    """
    A branch or step that has used up its own is held back, and its neighbours are not.
    """
    begin(directory, branch="0.20", step="0.15", on_exceed="raise")
    entered: dict[str, int] = {}
    stopped: list[tuple[str, str | None]] = []

    def turn(name: str) -> list[tuple[str, str | None]]:
        try:
            with bl.step("turn"):
                entered[name] = entered.get(name, 0) + 1
                spend("0.10")
        except BudgetExceeded as error:
            return [(error.status.period, error.status.name)]
        return []

    for name in ("a", "b"):
        with bl.branch({"name": name}):
            for _ in range(5):
                stopped += turn(name)
    with bl.step("loop"):
        for _ in range(5):
            stopped += turn("loop")
    with bl.step("after"):
        entered["after"] = 1

    assert entered == {"a": 2, "b": 2, "loop": 2, "after": 1}
    assert stopped == [("branch", "a")] * 3 + [("branch", "b")] * 3 + [("step", "loop")] * 3


def test_seconds(directory):
    """
    A run that has lasted too long is told of, and lets no step in, though nothing was spent.
    """
    begin(directory, seconds=0.2, on_exceed="raise")
    deadline = time.monotonic() + 20

    def wait() -> None:
        while time.monotonic() < deadline:
            with bl.step("wait"):
                time.sleep(0.01)

    with pytest.raises(BudgetExceeded, match=r"0\.2 seconds of the seconds budget used"):
        wait()


def test_another_day(directory, monkeypatch):
    """
    On another day steps are entered again, at no cost: nothing looks at the budget until it is used up again.
    """
    begin(directory, daily="0.10", timezone="UTC", on_exceed="raise")
    before = CURRENT.recorder
    spend("0.10")
    with pytest.raises(BudgetExceeded), bl.step("today"):
        pass

    tomorrow = time.time_ns() + 86_400 * 10**9
    monkeypatch.setattr("branchline.telemetry.budgets.time.time_ns", lambda: tomorrow)
    with bl.step("tomorrow"):
        pass

    assert CURRENT.recorder is before


def test_who_has_no_budget_pays_nothing(directory):
    """
    Without a budget the recorder is the same as ever, nothing hears of usage, and no ledger is made.
    """
    telemetry = bl.configure("x", directory=directory, console=False)
    with bl.step("s"):
        spend()
    hears = None if telemetry.pipeline is None else telemetry.pipeline.usage_heard
    bl.shutdown()

    assert hears is None
    assert sorted(path.name for path in directory.iterdir()) == ["runs"]


def test_a_budget_is_no_burden_before_it_is_used_up(directory):
    """
    Until something is used up, the recorder of a run with a budget is the one of a run without.
    """
    begin(directory, run=1, on_exceed="raise")
    before = type(CURRENT.recorder).__name__
    spend("0.99")

    assert (before, type(CURRENT.recorder).__name__) == ("NativeRecorder", "NativeRecorder")


def test_a_function_is_called(directory):
    """
    A function as `on_exceed` gets the status, once for each limit; what it raises stays inside.
    """
    called: list[BudgetStatus] = []

    def on_exceed(status: BudgetStatus) -> None:
        called.append(status)
        raise RuntimeError(status)

    begin(directory, run="0.20", calls=3, on_exceed=on_exceed)
    for _ in range(5):
        with bl.step("s"):
            spend("0.10")
    bl.shutdown()

    assert [(status.period, status.used, status.status) for status in called] == [
        ("run", Decimal("0.20"), "exceeded"),
        ("calls", Decimal(3), "exceeded"),
    ]
    [process] = open_runs(directory).last.processes
    assert process.oddities["on_exceed"] == 2


def test_threads(directory):
    """
    Eight threads that spend at the same time use up what they spend, to the last digit, and tell of it once.
    """
    begin(directory, run="4.00")

    def work() -> None:
        for _ in range(500):
            with bl.step("s"):
                spend("0.001")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = used()["run"]
    bl.shutdown()

    assert counted == Decimal("4.000")
    assert [kind for kind, _, _ in told(directory)] == ["warning", "exceeded"]
    assert len(Ledger(layout.ledger_path(directory)).history()) == 4000


def test_the_tracker_of_a_run(directory):
    """
    A tracker without a file counts everything that is recorded, and what it records is in the journal with its labels.
    """
    begin(directory, run=10)
    tracker = CostTracker(BudgetConfig(daily=2))
    with bl.step("ask"):
        spend("0.50")
        tracker.record("exp", "run-7", "1.00", "0.75", model="gpt", breakdown={"input": "0.25"})

    assert [(status.used, status.status) for status in tracker.check_budget()] == [(Decimal("1.25"), "ok")]
    assert used() == {"run": Decimal("1.25")}
    [found] = tracker.get_records("exp")
    assert (found.run_id, found.estimated, found.actual, found.variance_percent, found.model) == (
        *("run-7", Decimal("1.00"), Decimal("0.75"), Decimal(-25), "gpt"),
    )
    assert tracker.get_summary().total_runs == 2

    bl.shutdown()
    usages = open_runs(directory).last.usages
    assert [(usage.cost, usage.step, usage.labels.get("experiment_id")) for usage in usages] == [
        (Decimal("0.50"), "ask", None),
        (Decimal("0.75"), "ask", "exp"),
    ]


def test_earlier_runs_count(directory):
    """
    A day's budget counts what earlier runs of the directory have spent, also before there was any budget.
    """
    for _ in range(2):
        with bl.configure("x", directory=directory, console=False):
            spend("0.40")
    begin(directory, daily=1, run=1)
    spend("0.10")

    assert used() == {"daily": Decimal("0.90"), "run": Decimal("0.10")}


def test_metrics(directory):
    """
    How much is used and what is left are metrics, one series for each limit.
    """
    telemetry = begin(directory, run="2.00", calls=10)
    spend("0.50")
    measured = () if telemetry.pipeline is None else telemetry.pipeline.measured()

    assert [
        (metric.name, [(series.attributes["branchline.budget.period"], series.value) for series in metric.series])
        for metric in measured
    ] == [
        ("branchline.budget.used_ratio", [("run", 0.25), ("calls", 0.1)]),
        ("branchline.budget.remaining", [("run", 1.5)]),
    ]


def test_forecast(directory):
    """
    Once, and while there is something left, it is told where a piece of work will end that goes on like this.
    """
    begin(directory, run="5.00")
    spend("0.10")
    for item in range(1, 101):
        progressed("translate", item, 200)
        if item == 1:
            progressed("nothing to see", 1, 1)
        spend("0.0449")
    bl.shutdown()

    [first, *_] = told(directory)
    assert first == ("warning", "at item 3 of 200 of translate this run ends at $6.09 of $5.00", None)
    assert [kind for kind, text, _ in told(directory) if "ends at" in text] == ["warning"]


def test_a_capture_is_not_held_back(directory):
    """
    What is captured for a test is another run's: the budget of the run around it holds nothing back there.
    """
    from branchline.testing import capture

    begin(directory, run="0.10", on_exceed="raise")
    spend("0.10")
    with capture() as captured, bl.step("captured"):
        pass

    assert [step.name for step in captured.steps] == ["captured"]


CHILD = """
import sys, multiprocessing
import branchline as bl

def work(count):
    for _ in range(count):
        with bl.step("s"):
            bl.record_usage("m", cost="0.001")

if __name__ == "__main__":
    bl.configure("x", directory=sys.argv[1], console=False, budget=bl.BudgetConfig(run=10))
    context = multiprocessing.get_context(sys.argv[2])
    bl.record_usage("m", cost="1")
    children = [context.Process(target=work, args=(100,)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    bl.record_usage("m", cost="1")
    import time
    from branchline.budget import statuses
    deadline = time.monotonic() + 20
    while statuses()[0].used < 2.3 and time.monotonic() < deadline:
        time.sleep(0.05)
    print(statuses()[0].used)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_child_processes(tmp_path, method):
    """
    What children spend counts in the run of their parent, each of it once, however they were started.
    """
    script = tmp_path / "program.py"
    script.write_text(CHILD)
    ran = subprocess.run(
        [sys.executable, script, tmp_path / "j", method], capture_output=True, text=True, timeout=120, check=False
    )

    assert (ran.stdout, ran.stderr) == ("2.3\n", "")
    history = Ledger(layout.ledger_path(tmp_path / "j")).history()
    assert (len(history), len({each.process for each in history})) == (302, 4)
