"""The public API as a user's type checker sees it; ``test_typing.py`` has mypy read it, nobody runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, assert_type

from opentelemetry import trace
from opentelemetry.trace import SpanContext

import branchline as bl
from branchline import metadata, monitor, progress
from branchline.events import ErrorEvent, EventType, ExperimentLogger, LogEvent, TradeEvent
from branchline.read import Branch as ReadBranch
from branchline.read import Experiment as ReadExperiment
from branchline.read import Run
from branchline.read import Step as ReadStep
from branchline.testing import Captured, capture
from branchline.updates import Update


# ── traced_step: whatever is decorated keeps its signature ────────────────────────────────────────


@bl.traced_step
def bare(x: int, *, y: str = "") -> float:
    return x + len(y)


@bl.traced_step()
def called(x: int) -> float:
    return x


@bl.traced_step("named", capture="args", new_trace=True, record_exception=False, model="small", retries=3)
def named(x: int) -> float:
    return x


@bl.traced_step(name="named", capture=None)
async def coroutine(x: int) -> list[str]:
    return [str(x)]


@bl.traced_step(capture=True)
def generator(n: int) -> Generator[int, str, float]:
    yield n
    return 0.5


@bl.traced_step
async def async_generator(n: int) -> AsyncIterator[int]:
    yield n


class Model:
    @bl.traced_step
    def method(self, x: int) -> str:
        return str(x)

    @bl.traced_step("ask", model="small")
    async def ask(self, prompt: str) -> str:
        return prompt

    @classmethod
    @bl.traced_step
    def make(cls, x: int) -> Model:
        return cls() if x else Model()

    @staticmethod
    @bl.traced_step
    def static(x: int) -> int:
        return x

    @property
    @bl.traced_step
    def size(self) -> int:
        return 3

    def __call__(self, x: int) -> bool:
        return bool(x)


def functions() -> None:
    assert_type(bare(1, y="two"), float)
    assert_type(called(1), float)
    assert_type(named(1), float)
    assert_type(generator(1), Generator[int, str, float])
    assert_type(async_generator(1), AsyncIterator[int])
    bare("1")  # type: ignore[arg-type]
    bare(1, z=2)  # type: ignore[call-arg]
    named()  # type: ignore[call-arg]


def methods(model: Model) -> None:
    assert_type(model.method(1), str)
    assert_type(Model.make(1), Model)
    assert_type(Model.static(1), int)
    assert_type(model.size, int)
    assert_type(bl.traced_step(model), Model)
    assert_type(bl.traced_step("name")(model), Model)


async def coroutines(model: Model) -> None:
    assert_type(await coroutine(1), list[str])
    assert_type(await model.ask("why"), str)
    assert_type(await bl.carry(coroutine)(1), list[str])
    with bl.step("load") as step:
        async for number in async_generator(1):
            step.set(number=assert_type(number, int))


def passed_on(function: Callable[[int], str]) -> None:
    assert_type(bl.traced_step(function), Callable[[int], str])
    assert_type(bl.traced_step(function)(1), str)


def refused() -> None:
    bl.traced_step(5)  # type: ignore[call-overload]
    bl.traced_step(capture="everything")  # type: ignore[call-overload]
    bl.traced_step(new_trace="yes")  # type: ignore[call-overload]
    bl.traced_step("one", "two")  # type: ignore[call-overload]


# ── steps, branches, experiments ──────────────────────────────────────────────────────────────────


def steps(span: trace.Span, context: SpanContext) -> None:
    with bl.step("load", rows=3, anything=object()) as step:
        assert_type(step, bl.Step)
        assert_type(step.name, str)
        assert_type(step.trace_id, str | None)
        assert_type(step.span_id, str | None)
        step.stamp("loaded", rows=3)
        step.set(rows=4)
        step.link(span)
        step.link(context, why="retry")
        step.fail("why")
        step.fail(ValueError("why"))
        step.skip("nothing to do")
    with bl.step("next", links=[step, span, context, trace.Link(context)]):
        pass
    assert_type(bl.current_step(), bl.Step | None)
    assert_type(bl.current_branch(), bl.Branch | None)
    assert_type(bl.stamp("moment", rows=3), None)
    assert_type(bl.record_usage("m", input_tokens=3, cost="0.1", breakdown={"system": 3}).cost, Decimal | None)
    bl.step()  # type: ignore[call-arg]
    bl.step("x", links=5)  # type: ignore[arg-type]


async def async_blocks() -> None:
    async with bl.step("load") as step:
        assert_type(step, bl.Step)
    async with bl.experiment("sweep") as experiment, bl.branch({"a": 1}) as branch:
        assert_type(experiment, bl.Experiment)
        assert_type(branch, bl.Branch)


def branches() -> None:
    with bl.experiment("sweep", seed=3) as experiment:
        assert_type(experiment, bl.Experiment)
        assert_type(experiment.run(bare, [1], retries=2), bl.BranchContainer)
    assert_type(bl.run_branches(coroutine, [{"x": 1}], strategy="shadow", timeout=2), bl.BranchContainer)
    for each in bl.iter_branches(bare, [1], executor="process", max_concurrency=2):
        assert_type(each, bl.Branch)
        assert_type(experiment.name, str)
        with experiment.branch({"a": 1}, name="small") as branch:
            assert_type(branch, bl.Branch)
            branch.output = {"accuracy": 0.9}
        with bl.branch({"a": 2}, name="large", config_id="mine", experiment=experiment, new_trace=True) as branch:
            assert_type(branch, bl.Branch)
            assert_type(branch.duration, float | None)


# ── set-up ────────────────────────────────────────────────────────────────────────────────────────


def set_up() -> None:
    run = bl.configure("service", directory="here", capture="args", verbosity="QUIET", redact=bl.Redactor())
    assert_type(run, bl.Telemetry)
    assert_type(run.run_id, str)
    assert_type(bl.flush(1.0), bl.FlushResult)
    assert_type(bl.shutdown(timeout=1.0), bl.FlushResult)
    assert_type(bl.flush().dropped, int)
    with bl.configure() as same:
        assert_type(same, bl.Telemetry)
    bl.configure(verbosity="LOUD")  # type: ignore[arg-type]
    bl.configure(directorry="here")  # type: ignore[call-arg]


def live(update: Update) -> None:
    with bl.subscribe(live, kinds=["step"]) as subscription:
        assert_type(subscription, bl.Subscription)
        assert_type(subscription.flush(1.0), bool)
        assert_type(subscription.dropped, int)
    assert_type(update.to_dict(), dict[str, Any])


def events() -> None:
    trade = TradeEvent.placed("BTC", "BUY", 1, price="2")
    assert_type(trade.record(), TradeEvent)
    assert_type(trade.quantity, Decimal | None)
    assert_type(ErrorEvent.of(ValueError()).record().fingerprint, str)
    with ExperimentLogger() as experiment:
        assert_type(experiment.info(EventType.DATA_LOADED, {"rows": 3}), LogEvent)


def context() -> None:
    assert_type(bl.carrier(), dict[str, str])
    assert_type(bl.carrier(environ=True), dict[str, str])
    with bl.attach({"traceparent": "…"}) as nothing:
        assert_type(nothing, None)
    assert_type(bl.carry(bare)(1, y="two"), float)
    bl.carry(bare)("1")  # type: ignore[arg-type]


# ── performance ───────────────────────────────────────────────────────────────────────────────────


@monitor.timed_operation("double", threshold_ms=5, exchange="binance")
def double(number: int) -> float:
    return 2.0 * number


@monitor.measured_step("wait")
async def wait(number: int) -> str:
    return str(number)


def watched() -> None:
    threshold = monitor.Threshold("loss", above=1, for_seconds="1 min", severity="ERROR")
    webhook = monitor.WebhookChannel("https://example.org/", secret="x")
    with monitor.PerformanceMonitor(threshold, channels=[webhook, print], interval=0.5) as watching:
        assert_type(watching, monitor.PerformanceMonitor)
        assert_type(watching.summary("loss"), tuple[monitor.Summary, ...])
    assert_type(double(1), float)
    waiting: Callable[[int], Coroutine[Any, Any, str]] = wait
    assert waiting is wait
    double("1")  # type: ignore[arg-type]
    monitor.Threshold("loss", over=1)  # type: ignore[call-arg]


# ── progress ──────────────────────────────────────────────────────────────────────────────────────


async def tracked(rows: AsyncIterator[bytes]) -> None:
    for number in bl.track([1, 2, 3], "numbers", total=3, stall_after=10):
        assert_type(number, int)
    async for row in bl.track(rows, "rows"):
        assert_type(row, bytes)
    for word in progress.track_progress(["a", "b"]):
        assert_type(word, str)
    with progress.ProgressTracker("work", quiet=True) as tracker:
        assert_type(tracker, progress.ProgressTracker)
        task_id = tracker.add_task("load", total=None)
        assert_type(tracker.get_task(task_id), progress.TaskProgress | None)
    bl.track(5, "no iterable")  # type: ignore[call-overload]
    bl.track([], "no total", total="ten")  # type: ignore[call-overload]


# ── metadata ──────────────────────────────────────────────────────────────────────────────────────


def described(run: Run) -> None:
    with metadata.MetadataRecorder("sweep") as recorder:
        recorder.set_config(model="m", top_k=5)
        recorder.add_data_source(Path("data.csv"), tokens=3)
        recorder.record_seed("numpy", 7)
    assert_type(recorder.finish(), metadata.GenerationMetadata)
    assert_type(recorder.finish().to_dict(), dict[str, Any])
    assert_type(metadata.calculate_checksum(b"x"), str)
    assert_type(metadata.detect_runtime(), metadata.Runtime)
    assert_type("ci" in metadata.detect_runtime(), bool)
    assert_type(metadata.GenerationMetadata.from_dict(run.metadata).environment.python_version, str)
    recorder.add_data_source(3)  # type: ignore[arg-type]


# ── tests ─────────────────────────────────────────────────────────────────────────────────────────


def captured_values() -> None:
    with capture() as captured:
        assert_type(captured, Captured)
    assert_type(captured.steps, tuple[ReadStep, ...])
    assert_type(captured.branches, tuple[ReadBranch, ...])
    assert_type(captured.experiments, tuple[ReadExperiment, ...])
    assert_type(captured.one("load"), ReadStep)
    assert_type(captured.tree(), str)
    assert_type(captured.run, Run)


def fixture(telemetry: Captured) -> Iterator[str]:
    yield from (step.name for step in telemetry.steps)
