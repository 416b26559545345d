"""Subscriptions: told live, in nobody's way, with every loss counted (RT-72…77)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import branchline as bl
from branchline.context import CURRENT
from branchline.errors import ConfigError
from branchline.events import subscribing
from branchline.read import open_runs
from branchline.testing import capture
from branchline.updates import Update


@pytest.fixture(autouse=True)
def _afterwards() -> Iterator[None]:
    yield
    assert CURRENT.subscribers == ()


def said(update: Update) -> tuple[str, str, str]:
    return update.kind, update.what, update.name


# ── what is told ──────────────────────────────────────────────────────────────────────────────────


def test_everything(tmp_path: Path) -> None:
    """
    Whoever subscribes is told what begins, what ends and what is recorded, in the order in which it is written.
    """
    got: list[Update] = []
    kinds = ("step", "branch", "experiment", "log", "metric", "usage")
    with bl.configure("svc", directory=tmp_path, run_id="r", console=False):
        with bl.subscribe(got.append, kinds=kinds) as subscription, bl.experiment("prompts"):
            with bl.branch({"k": 1}, name="small"), bl.step("load", rows=3) as step:
                step.stamp("loaded")
                bl.event("rows.loaded", message="only three", n=3)
                bl.record_metric("loss", 0.5, unit="1")
                bl.record_usage("gpt", input_tokens=3, cost="0.1")
            assert subscription.flush()
        by_name = {update.name: update for update in got if update.what != "started"}

    assert [said(update) for update in got] == [
        ("experiment", "started", "prompts"),
        ("branch", "started", "small"),
        ("log", "recorded", "rows.loaded"),
        ("metric", "recorded", "loss"),
        ("usage", "recorded", "gpt"),
        ("step", "ended", "load"),
        ("branch", "ended", "small"),
        ("experiment", "ended", "prompts"),
    ]
    load, small, event, loss = (by_name[name] for name in ("load", "small", "rows.loaded", "loss"))
    assert (load.span_id, load.parent_id, load.outcome, load.stamps) == (
        step.span_id,
        small.span_id,
        "success",
        ("loaded",),
    )
    assert load.attributes["rows"] == 3
    assert (load.run_id, load.experiment_name, load.branch_name) == ("r", "prompts", "small")
    assert load.duration is not None
    assert (small.status, small.attributes["branchline.config.k"]) == ("success", 1)
    assert (event.level, event.message, dict(event.attributes), event.span_id) == (
        "INFO",
        "only three",
        {"n": 3},
        load.span_id,
    )
    assert (loss.value, loss.unit, loss.attributes) == (0.5, "1", {})
    assert by_name["gpt"].attributes["gen_ai.usage.input_tokens"] == 3
    assert len({update.id for update in got}) == len(got)
    assert (subscription.told, subscription.failed, subscription.dropped) == (8, 0, 0)


def test_an_error_that_says_nothing(tmp_path: Path) -> None:
    """
    An exception with no message is told by its type, once.
    """
    got: list[Update] = []
    with bl.configure("svc", directory=tmp_path, console=False), bl.subscribe(got.append, kinds=("step",)) as told:
        for error in (asyncio.CancelledError(), ValueError("no")):
            with contextlib.suppress(BaseException), bl.step("load"):
                raise error
        assert told.flush()

    assert [update.error for update in got] == ["asyncio.exceptions.CancelledError", "ValueError: no"]


def test_kinds() -> None:
    """
    By default these are steps, branches, log records and metrics; each is told of what it wants to know, and no more.
    """
    default: list[str] = []
    metrics: list[str] = []
    with (
        capture(),
        bl.subscribe(lambda update: default.append(update.kind)),
        bl.subscribe(lambda update: metrics.append(update.name), kinds=["metric"]),
    ):
        with bl.experiment("e"), bl.branch({"k": 1}), bl.step("load"):
            bl.event("x")
            bl.record_metric("loss", 1)
            bl.record_usage("gpt", input_tokens=1, cost=0)

    assert sorted(default) == ["branch", "branch", "log", "metric", "step"]
    assert metrics == ["loss"]


def test_failures_and_texts() -> None:
    """
    A failure says what went wrong; an update is one readable line, and plain JSON values (RT-72, RT-73).
    """
    got: list[Update] = []
    with capture(), bl.subscribe(got.append):
        with pytest.raises(ValueError, match="boom"), bl.step("load", data=b"\xff", nested={"a": [1, float("nan")]}):
            raise ValueError("boom")
        bl.get_logger("app").warning("careful")
        bl.record_metric("loss", float("inf"))
    texts = [str(update) for update in got]
    failed = next(update for update in got if update.kind == "step").to_dict()

    assert sorted(text.split(" ")[0] for text in texts) == ["WARN", "metric", "step"]
    assert "WARN app careful" in texts
    assert "metric loss = inf" in texts
    assert (failed["outcome"], failed["error"]) == ("failed", "ValueError: boom")
    assert (failed["attributes"]["data"], failed["attributes"]["nested"]) == ("\\xff", {"a": [1, "NaN"]})
    assert "stamps" not in failed
    assert all(json.loads(json.dumps(update.to_dict(), allow_nan=False)) == update.to_dict() for update in got)


def test_secrets() -> None:
    """
    What is told has no secrets in it, as the journal has none.
    """
    got: list[Update] = []
    with capture(), bl.subscribe(got.append):
        with (
            pytest.raises(ValueError, match="hunter22"),
            bl.step("load", api_key="hunter22", nested={"password": "hunter22"}),
        ):
            raise ValueError("password=hunter22")
        bl.event("x", message="password=hunter22", token="hunter22", input_tokens=3)
    told = json.dumps([update.to_dict() for update in got])

    assert len(got) == 2
    assert "hunter22" not in told
    assert '"input_tokens": 3' in told


def test_progress() -> None:
    """
    Whoever wants to know is told how far a task is, and how it ended.
    """
    got: list[Update] = []
    with capture(), bl.subscribe(got.append, kinds=["progress"]):
        assert sum(bl.track(range(3), "adding")) == 3
    last = got[-1]

    assert {update.name for update in got} == {"adding"}
    assert (last.kind, last.value, last.outcome, str(last)) == ("progress", 3, "success", "progress adding 3")
    assert last.attributes["branchline.progress.total"] == 3


# ── in nobody's way ───────────────────────────────────────────────────────────────────────────────


def test_a_callback_that_raises(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A callback that raises, even SystemExit, is counted and named once, is told of the rest, and hurts nobody (RT-71).
    """
    got: list[str] = []

    def fails(update: Update) -> None:
        raise SystemExit if update.name == "s0" else ValueError("no")

    with capture() as captured:
        with bl.subscribe(fails) as failing, bl.subscribe(lambda update: got.append(update.name)):
            for number in range(5):
                with bl.step(f"s{number}"):
                    pass

    assert (failing.told, failing.failed, failing.dropped) == (5, 5, 0)
    assert got == [f"s{number}" for number in range(5)]
    assert len(captured.steps) == 5
    [line] = [line for line in capsys.readouterr().err.splitlines() if "subscriber" in line]
    assert line.endswith("fails failed; it is told of the rest: SystemExit: ")


def test_a_callback_that_hangs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A callback that hangs costs nobody anything: the oldest of what waits are dropped, counted and said once (RT-74).
    """
    monkeypatch.setattr(subscribing, "MOST_WAITING", 100)
    gate, got = threading.Event(), []

    def hangs(update: Update) -> None:
        gate.wait(20)
        got.append(update.name)

    with capture() as captured:
        subscription = bl.subscribe(hangs, kinds=["metric"])
        bl.record_metric("first", 0)
        captured.run  # noqa: B018  # everything is written, and the first update is with the callback
        while subscription._waiting:
            time.sleep(0.001)
        for number in range(1000):
            bl.record_metric(f"m{number}", number)
        assert len(captured.points) == 1001
        assert not subscription.flush(0.01)
        gate.set()
        assert not subscription.close()

    assert got == ["first", *(f"m{number}" for number in range(900, 1000))]
    assert (subscription.told, subscription.dropped) == (101, 900)
    assert capsys.readouterr().err.count("too slow: the oldest updates are being dropped") == 1


def test_what_a_callback_logs(tmp_path: Path) -> None:
    """
    What a callback logs is not told again: there would be no end to it.
    """
    log = bl.get_logger("subscriber")
    with bl.configure("x", directory=tmp_path, console=False):
        with bl.subscribe(lambda update: log.info("told of %s", update.name)) as subscription:
            bl.event("one")
            assert subscription.flush()
            assert subscription.flush()

    assert subscription.told == 1
    assert [line.event_name for line in open_runs(tmp_path).last.logs] == ["one"]


def test_closing_in_the_callback() -> None:
    """
    A callback may close its own subscription, and is told nothing more than what waited.
    """
    got: list[str] = []

    def once(update: Update) -> None:
        got.append(update.name)
        subscription.close()

    with capture() as captured:
        subscription = bl.subscribe(once, kinds=["metric"])
        bl.record_metric("one", 1)
        captured.run  # noqa: B018  # it is written
        assert subscription.flush()
        bl.record_metric("two", 1)

    assert got == ["one"]


# ── event loops ───────────────────────────────────────────────────────────────────────────────────


def test_a_coroutine_in_the_loop_that_subscribes() -> None:
    """
    A coroutine function runs in the event loop that it was subscribed in, one update after the other (RT-72, RT-76).
    """

    async def program() -> list[tuple[str, bool]]:
        here, got = asyncio.get_running_loop(), []

        async def tell(update: Update) -> None:
            await asyncio.sleep(0)
            got.append((update.name, asyncio.get_running_loop() is here))

        async with bl.subscribe(tell, kinds=["step"]) as subscription:
            for number in range(3):
                with bl.step(f"s{number}"):
                    await asyncio.sleep(0)
        assert subscription.told == 3
        return got

    with capture():
        got = asyncio.run(program())

    assert got == [("s0", True), ("s1", True), ("s2", True)]


def test_a_coroutine_without_a_loop() -> None:
    """
    Without an event loop a coroutine function has one of its own; so it has when its loop is gone.
    """
    got: list[str] = []

    async def tell(update: Update) -> None:
        await asyncio.sleep(0)
        got.append(update.name)

    async def begin() -> bl.Subscription:
        return bl.subscribe(tell, kinds=["metric"])

    with capture():
        with bl.subscribe(tell, kinds=["step"]), bl.step("one"):
            pass
        subscription = asyncio.run(begin())
        bl.record_metric("two", 2)
        assert subscription.close()

    assert got == ["one", "two"]


def test_waiting_for_oneself() -> None:
    """
    Who flushes or closes in the event loop that the callback needs does not wait, and nothing hangs or is lost.
    """
    got: list[str] = []

    async def tell(update: Update) -> None:
        got.append(update.name)

    async def program() -> None:
        subscription = bl.subscribe(tell, kinds=["metric"])
        bl.record_metric("one", 1)
        subscription.flush(30)
        await asyncio.to_thread(subscription.flush)
        subscription.close(30)

    with capture():
        asyncio.run(program())

    assert got == ["one"]


# ── runs, processes, and their ends ───────────────────────────────────────────────────────────────


def test_runs_to_come(tmp_path: Path) -> None:
    """
    A subscription made before ``configure`` is told of that run and of the next; without a run there is nothing.
    """
    got: list[tuple[str, str]] = []
    with bl.subscribe(lambda update: got.append((update.run_id, update.name))):
        with bl.step("nowhere"):
            pass
        for run_id in ("one", "two"):
            with bl.configure("x", directory=tmp_path, run_id=run_id, console=False), bl.step("load"):
                pass
            assert got[-1] == (run_id, "load")

    assert got == [("one", "load"), ("two", "load")]


PROGRAM = """
import sys, time
import branchline as bl
def tell(update):
    time.sleep(0.003)
    print(update.name, flush=True)
bl.subscribe(tell, kinds=["step"])
bl.configure("x", directory=sys.argv[1], console=False)
for number in range(100):
    with bl.step(f"s{number}"):
        pass
"""


def test_the_end_of_the_program(tmp_path: Path) -> None:
    """
    A program that ends without a word has told everything, though the callback takes its time.
    """
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path
    )

    assert (ran.stdout.split(), ran.stderr) == ([f"s{number}" for number in range(100)], "")


FORKING = """
import os, sys
import branchline as bl
subscription = bl.subscribe(lambda update: print(update.name, flush=True), kinds=["step"])
bl.configure("x", directory=sys.argv[1], console=False)
with bl.step("parent"):
    pass
subscription.flush()
if not os.fork():
    with bl.step("child"):
        pass
    assert subscription.close()
    sys.exit()
os.wait()
with bl.step("after"):
    pass
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked_children(tmp_path: Path) -> None:
    """
    A forked child is another process: the parent's callback is told of the parent's steps alone.
    """
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING, tmp_path],
        capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path,
    )  # fmt: skip

    assert (ran.stdout.split(), ran.stderr) == (["parent", "after"], "")


@pytest.mark.parametrize(
    ("callback", "kinds", "message"),
    [
        (5, ["step"], "callback=5 is not accepted"),
        (
            print,
            ["steps"],
            "there is no 'steps'; there are: step, span, branch, experiment, log, metric, usage, progress",
        ),
        (print, "everything", "there is no 'everything'"),
    ],
)
def test_what_cannot_be(callback: Any, kinds: Any, message: str) -> None:
    """
    What cannot be called, and a kind that there is not, are refused at once.
    """
    with pytest.raises(ConfigError, match=message):
        bl.subscribe(callback, kinds=kinds)


def test_a_record_that_is_not_ours(tmp_path: Path) -> None:
    """
    A record of somebody else's that only bears one of our names costs no other its update.
    """
    got: list[str] = []
    with bl.configure("x", directory=tmp_path, console=False) as run:
        with bl.subscribe(lambda update: got.append(update.name), kinds=["metric"]):
            bl.event("branchline.metric", odd=True)
            bl.record_metric("loss", 1)
        run.flush()

    assert got == ["loss"]
    assert open_runs(tmp_path).last.processes[0].oddities == {"untold": 1}


def test_nothing_is_lost_of_many() -> None:
    """
    Eight threads record five thousand points: each is told once.
    """
    got: list[float | None] = []
    with capture(), bl.subscribe(lambda update: got.append(update.value), kinds=["metric"]) as subscription:
        threads = [threading.Thread(target=_record, args=(number * 625,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert subscription.flush(30)

    assert sorted(value for value in got if value is not None) == list(range(5000))
    assert subscription.dropped == 0


def _record(first: int) -> None:
    for number in range(first, first + 625):
        bl.record_metric("n", number)
