"""Usage: what calls of models took, kept call by call, and added up on all that they are inside of."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from opentelemetry import trace

import branchline as bl
from branchline import names
from branchline._journal.decode import Skips, read_file
from branchline.read import Run, Spending, TokenBreakdown, Usage, open_runs, usage_metrics
from branchline.read.load import files_of
from branchline.testing import capture
from measured import latest


record: Any = bl.record_usage
# A price list of our own: what the tests say does not depend on what anybody charges.
PRICES: dict[str, Any] = {"small": {"input": "1", "output": "10", "cached": "0.1"}, "large": {"input": 5, "output": 50}}


class Recorded:
    """What was recorded below a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def run(self) -> Run:
        return open_runs(self.directory).last

    @property
    def said(self) -> dict[str, dict[str, Any]]:
        """What every span says of usage, by its name, as a backend gets it."""
        return {
            span.name: {key: value for key, value in {**span.attributes, **span.ours}.items() if key.startswith(SAID)}
            for _, path in files_of(self.run.directory)
            for line in read_file(path, Skips(), name=path.name)
            for span in line.spans
        }


SAID = ("gen_ai.", "branchline.usage", "branchline.cost")


@contextmanager
def recording(directory: Path, **options: Any) -> Iterator[Recorded]:
    """Record into a directory that stays."""
    with bl.configure("usage", directory=directory, console=False, **options):
        yield Recorded(directory)


# ── one call ──────────────────────────────────────────────────────────────────────────────────────


def test_a_call_with_everything_said():
    """
    A usage is kept as it was said, with its cost to the last digit, and with the step and branch it was recorded in.
    """
    breakdown = TokenBreakdown(system=100, data=700, instructions=150, output=200, other=50)
    with (
        capture() as captured,
        bl.experiment("search"),
        bl.branch({"k": 1}, name="one", config_id="id"),
        bl.step("ask") as step,
    ):
        usage = bl.record_usage(
            "large",
            input_tokens=1000,
            output_tokens=200,
            cached_tokens=400,
            cache_write_tokens=50,
            reasoning_tokens=64,
            provider="openai",
            breakdown=breakdown,
            cost="0.0123456789012345",
            estimated=Decimal("0.02"),
            latency=timedelta(milliseconds=1500),
        )

    assert captured.usages == (usage,)
    assert usage == Usage(
        model="large",
        provider="openai",
        input_tokens=1000,
        output_tokens=200,
        cached_tokens=400,
        cache_write_tokens=50,
        reasoning_tokens=64,
        cost=Decimal("0.0123456789012345"),
        cost_source="given",
        latency=1.5,
        breakdown=breakdown,
        estimated=Decimal("0.02"),
        usage_id=usage.usage_id,
        time_unix_nano=usage.time_unix_nano,
        trace_id=step.trace_id,
        span_id=step.span_id,
        experiment="search",
        branch="one",
        branch_id="id",
        step="ask",
    )


def test_attributes_of_the_step(tmp_path):
    """
    The step says in OpenTelemetry's names what it took itself, and in ours what it took with all inside.
    """
    with recording(tmp_path) as recorded, bl.step("outer"), bl.step("ask"):
        bl.record_usage("m", provider="p", input_tokens=1000, output_tokens=200, cached_tokens=300, cost=0.25)

    total = {
        "branchline.usage.input_tokens": 1000,
        "branchline.usage.output_tokens": 200,
        "branchline.usage.cost_usd": 0.25,
        "branchline.usage.priced_ratio": 1.0,
    }
    assert recorded.said == {
        "ask": {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "p",
            "gen_ai.request.model": "m",
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 200,
            "gen_ai.usage.cache_read.input_tokens": 300,
            "branchline.cost.usd": 0.25,
            "branchline.cost.priced_ratio": 1.0,
            **total,
        },
        "outer": total,
    }


def test_several_calls_in_one_step(tmp_path):
    """
    A step with several calls says what they come to, and no model where they were of several.
    """
    with recording(tmp_path) as recorded, bl.step("ask") as step:
        step.usage("a", provider="p", input_tokens=10, output_tokens=1, cost="0.1")
        step.usage("b", provider="p", input_tokens=20, output_tokens=2, cost="0.2")
        step.usage("c", provider="p", input_tokens=70)

    said = recorded.said["ask"]
    assert (names.MODEL in said, said[names.PROVIDER]) == (False, "p")
    assert (said[names.INPUT_TOKENS], said[names.OUTPUT_TOKENS]) == (100, 3)
    assert (said[names.COST_USD], said[names.PRICED_RATIO]) == (0.3, 33 / 103)
    [read] = recorded.run.steps
    assert read.usage == Spending(
        calls=3, input_tokens=100, output_tokens=3, cost=Decimal("0.3"), priced_ratio=33 / 103
    )


def test_unknown_is_unknown(tmp_path):
    """
    Without a price the cost is None, not nothing, and the tokens count as unpriced.
    """
    with recording(tmp_path) as recorded, bl.step("ask"):
        usage = bl.record_usage("no such model", input_tokens=10)

    assert (usage.cost, usage.cost_source, usage.priced_ratio) == (None, None, 0.0)
    assert recorded.run.usage == Spending(calls=1, input_tokens=10, cost=None, priced_ratio=0.0)
    assert names.COST_USD not in recorded.said["ask"]
    assert recorded.said["ask"][names.TOTAL_PRICED_RATIO] == 0.0


def test_outside_of_everything():
    """
    A call outside of any step is the run's.
    """
    with capture() as captured:
        bl.record_usage("m", input_tokens=1, cost=1)

    [usage] = captured.usages
    assert (usage.trace_id, usage.span_id, usage.step, usage.branch) == (None, None, None, None)
    assert captured.run.usage == Spending(calls=1, input_tokens=1, cost=Decimal(1))


def test_without_configure():
    """
    Where nothing is recorded, a usage is still worth its price.
    """
    usage = bl.record_usage("gpt-4o", provider="openai", input_tokens=1_000_000)

    assert (usage.cost is not None, usage.usage_id, usage.span_id) == (True, "", None)


def test_no_log_lines():
    """
    Calls are no log lines: a person who reads the log sees none of them.
    """
    with capture() as captured:
        bl.record_usage("m", cost=1)

    assert (len(captured.usages), captured.logs) == (1, ())


# ── totals ────────────────────────────────────────────────────────────────────────────────────────


def test_totals_of_threads_and_tasks(tmp_path):
    """
    What threads and tasks inside a branch take is added up on all that is around them, none of it twice.
    """

    async def ask(number: int) -> None:
        async with bl.step("task"):
            await asyncio.sleep(0)
            bl.record_usage("m", input_tokens=number, cost="0.01")

    async def all_of_them() -> None:
        await asyncio.gather(*(ask(number) for number in range(100)))

    def work(number: int) -> None:
        with bl.step("thread") as step:
            step.usage("m", output_tokens=number, cost="0.001")

    with recording(tmp_path) as recorded, bl.experiment("e"), bl.branch("b"), bl.step("outer"):
        asyncio.run(all_of_them())
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(1000)))

    total = Spending(calls=1100, input_tokens=4950, output_tokens=499_500, cost=Decimal(2))
    assert recorded.run.usage == total
    assert [step.total_usage for step in (*recorded.run.experiments, *recorded.run.branches)] == [total, total]
    for name in ("e", "b", "outer"):
        said = recorded.said[name]
        assert (said[names.TOTAL_INPUT_TOKENS], said[names.TOTAL_OUTPUT_TOKENS]) == (4950, 499_500)
        assert said[names.TOTAL_COST_USD] == 2.0


def test_many_threads_on_one_step(tmp_path):
    """
    Threads that record on the same step at the same time lose nothing.
    """
    with recording(tmp_path) as recorded, bl.step("shared") as step:

        def work() -> None:
            for _ in range(500):
                step.usage("m", input_tokens=3, cost="0.000001")

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert recorded.said["shared"][names.INPUT_TOKENS] == 12_000
    assert recorded.run.usage == Spending(calls=4000, input_tokens=12_000, cost=Decimal("0.004"))


def test_a_child_that_outlives_its_parent(tmp_path):
    """
    What ends after its parent counts for what is around the parent and still open.
    """
    with recording(tmp_path) as recorded, bl.branch("b"):
        begin, end = threading.Event(), threading.Event()

        def late() -> None:
            with bl.step("late") as step:
                begin.set()
                end.wait(10)
                step.usage("m", input_tokens=5)

        with bl.step("parent") as parent:
            thread = threading.Thread(target=late)
            thread.start()
            begin.wait(10)
        parent.usage("m", input_tokens=2)
        end.set()
        thread.join()

    said = recorded.said
    assert (names.TOTAL_INPUT_TOKENS in said["parent"], said["b"][names.TOTAL_INPUT_TOKENS]) == (False, 7)
    [branch] = recorded.run.branches
    assert {step.name: step.total_usage.input_tokens for step in branch.steps} == {"parent": 7, "late": 5}


def test_a_branch_with_a_trace_of_its_own():
    """
    An experiment's total has the branches that lie in other traces.
    """
    with capture() as captured, bl.experiment("e") as experiment:
        with experiment.branch({"k": 1}, new_trace=True):
            bl.record_usage("m", input_tokens=5)
        with experiment.branch({"k": 2}):
            bl.record_usage("m", input_tokens=7)

    [read] = captured.experiments
    assert (read.total_usage.input_tokens, read.usage.input_tokens) == (12, 0)


def test_sampled_out(tmp_path):
    """
    Of a step that is sampled out nothing is written but what it took, which counts for the run.
    """
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    with (
        bl.configure("s", directory=tmp_path, console=False, sampler=ALWAYS_OFF),
        bl.branch("b", name="b"),
        bl.step("s") as step,
    ):
        bl.record_usage("m", input_tokens=5, cost="0.5")
        step.usage("m", input_tokens=6)

    run = open_runs(tmp_path).last
    assert (run.steps, run.branches) == ((), ())
    assert [(usage.input_tokens, usage.branch) for usage in run.usages] == [(5, "b"), (6, "b")]


# ── instrumentations ──────────────────────────────────────────────────────────────────────────────

OLDER: dict[str, Any] = {
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.prompt_tokens": 100,
    "gen_ai.usage.completion_tokens": 20,
}
NEWER: dict[str, Any] = {
    "gen_ai.provider.name": "openai",
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
}
OPENINFERENCE: dict[str, Any] = {
    "llm.provider": "openai",
    "llm.model_name": "gpt-4o",
    "llm.token_count.prompt": 100,
    "llm.token_count.completion": 20,
}
TAKEN = Spending(calls=1, input_tokens=100, output_tokens=20, cost=Decimal("0.00045"))


@pytest.mark.parametrize("attributes", [OLDER, NEWER, OPENINFERENCE], ids=["older", "newer", "openinference"])
def test_an_instrumentations_span_is_picked_up(attributes, tmp_path):
    """
    A span that says what a call took, in any spelling, counts as if it had been recorded, once.
    """
    with recording(tmp_path) as recorded, bl.branch("b"), bl.step("ask"):
        with trace.get_tracer("genai").start_as_current_span("chat gpt-4o") as span:
            span.set_attributes(attributes)

    assert recorded.run.usage == TAKEN
    [usage] = recorded.run.usages
    assert (usage.model, usage.provider, usage.step, usage.span_id) == (
        "gpt-4o",
        "openai",
        "ask",
        f"{span.get_span_context().span_id:016x}",
    )
    assert usage.latency is not None
    said = recorded.said
    assert said["ask"] == {
        names.TOTAL_INPUT_TOKENS: 100,
        names.TOTAL_OUTPUT_TOKENS: 20,
        names.TOTAL_COST_USD: 0.00045,
        names.TOTAL_PRICED_RATIO: 1.0,
    }
    assert (said["chat gpt-4o"][names.COST_USD], said["b"][names.TOTAL_INPUT_TOKENS]) == (0.00045, 100)


@pytest.mark.parametrize("when", ["inside", "after", "nested"])
def test_a_call_told_of_twice_counts_once(when, tmp_path):
    """
    Who records the usage of a call that an instrumentation tells of as well, before or after it, counts it once.
    """
    response = {"model": "gpt-4o-2024-08-06", "usage": {"prompt_tokens": 100, "completion_tokens": 20}}
    with recording(tmp_path) as recorded, bl.step("ask"):
        with trace.get_tracer("genai").start_as_current_span("chat gpt-4o", attributes=NEWER):
            if when == "inside":
                bl.record_usage("gpt-4o", response=response)
        if when == "after":
            bl.record_usage("gpt-4o", response=response)
        if when == "nested":
            with bl.step("book"):
                bl.record_usage("gpt-4o", response=response)

    assert recorded.run.usage == TAKEN
    assert recorded.said["ask"][names.TOTAL_INPUT_TOKENS] == 100


def test_two_equal_calls_count_twice():
    """
    Two calls that took the same are two calls, each told of twice.
    """
    with capture() as captured, bl.step("ask"):
        for _ in range(2):
            with trace.get_tracer("genai").start_as_current_span("chat", attributes=NEWER):
                pass
            bl.record_usage("gpt-4o", input_tokens=100, output_tokens=20)

    assert (captured.run.usage.calls, captured.run.usage.input_tokens) == (2, 200)


def test_a_cost_that_is_known_better():
    """
    Recorded with a cost of its own, a call that was picked up has that cost.
    """
    with capture() as captured, bl.step("ask"):
        with trace.get_tracer("genai").start_as_current_span("chat", attributes=NEWER):
            pass
        bl.record_usage("gpt-4o", input_tokens=100, output_tokens=20, cost="0.0004")

    assert captured.run.usage == Spending(calls=1, input_tokens=100, output_tokens=20, cost=Decimal("0.0004"))


def test_spans_that_add_up_others_count_nothing(tmp_path):
    """
    The sum that an agent's span tells of is not counted beside the calls inside.
    """
    tracer = trace.get_tracer("genai")
    agent: dict[str, Any] = {**NEWER, "gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 200}
    with (
        recording(tmp_path) as recorded,
        bl.step("ask"),
        tracer.start_as_current_span("invoke_agent", attributes=agent),
    ):
        for _ in range(2):
            with tracer.start_as_current_span("chat", attributes=NEWER):
                pass

    assert (recorded.run.usage.calls, recorded.run.usage.input_tokens) == (2, 200)
    assert recorded.said["ask"][names.TOTAL_INPUT_TOKENS] == 200


def test_attributes_set_by_hand():
    """
    A step on which somebody sets OpenTelemetry's attributes by hand counts like an instrumentation's span.
    """
    with capture() as captured, bl.branch("b"), bl.step("ask") as step:
        step.set(**NEWER)

    assert captured.run.usage == TAKEN


# ── metrics ───────────────────────────────────────────────────────────────────────────────────────


def test_metrics():
    """
    Tokens, lengths and costs of calls are metrics with few attributes, the same for a reader.
    """
    with capture() as captured, bl.experiment("e"), bl.branch("b", name="b"), bl.step("ask"):
        for _ in range(3):
            bl.record_usage("m", provider="p", input_tokens=100, output_tokens=20, cost="0.1", latency=0.25)

    place = {names.STEP_NAME: "ask", names.EXPERIMENT_NAME: "e", names.BRANCH_NAME: "b"}
    call = {names.OPERATION: "chat", names.PROVIDER: "p", names.MODEL: "m", **place}
    found: dict[Any, Any] = {
        (metric.name, series.attributes.get(names.TOKEN_TYPE)): (dict(series.attributes), series.value)
        for metric in usage_metrics(captured.run)
        for series in metric.series
    }
    assert found[names.TOKEN_USAGE, "input"][0] == {**call, names.TOKEN_TYPE: "input"}
    assert found[names.TOKEN_USAGE, "input"][1][:2] == (3, 300)
    assert found[names.TOKEN_USAGE, "output"][1][:2] == (3, 60)
    assert found[names.OPERATION_DURATION, None][1][:2] == (3, 0.75)
    assert found[names.COST, None] == (call, 0.3)


def test_an_instrumentation_that_measures_by_itself(tmp_path):
    """
    Where an instrumentation has instruments for its calls, what its spans tell of is not measured a second time; what
    it cost is, because nobody else does.
    """
    with recording(tmp_path) as recorded, bl.step("ask"):
        measured = bl.histogram("gen_ai.client.token.usage", unit="{token}")
        with trace.get_tracer("genai").start_as_current_span("chat", attributes=NEWER):
            measured.record(100, {names.TOKEN_TYPE: "input"})
            measured.record(20, {names.TOKEN_TYPE: "output"})
        bl.record_usage("m", input_tokens=7, cost="0.001")

    [series] = latest(tmp_path).values()
    tokens = {dict(own)[names.TOKEN_TYPE]: 0.0 for _, own in series if names.TOKEN_TYPE in dict(own)}
    for (name, own), value in series.items():
        if name == names.TOKEN_USAGE:
            tokens[str(dict(own)[names.TOKEN_TYPE])] += value[1]
    assert tokens == {"input": 107, "output": 20}
    costs = [value for (name, _), value in series.items() if name == names.COST]
    assert sorted(costs) == [0.00045, 0.001]
    assert recorded.run.usage.input_tokens == 107


def test_what_is_open_says_so_far(tmp_path):
    """
    A branch that is killed says on its span what it had taken a second before.
    """
    program = f"""
        import os, time
        import branchline as bl
        bl.configure("k", directory={str(tmp_path)!r}, console=False)
        with bl.branch("b", name="b"), bl.step("open"):
            bl.record_usage("m", input_tokens=5, cost="0.5")
            time.sleep(3.5)
            os.kill(os.getpid(), 9)
    """
    subprocess.run([sys.executable, "-c", dedent(program)], check=False, timeout=60)

    said = Recorded(tmp_path).said
    assert (said["open"][names.INPUT_TOKENS], said["open"][names.TOTAL_COST_USD]) == (5, 0.5)
    assert Recorded(tmp_path).run.usage.input_tokens == 5


# ── what was said wrongly ─────────────────────────────────────────────────────────────────────────

NOISE = [None, -1, 1.5, "7x", float("nan"), float("inf"), 2**70, object(), [], True, b"1", {}]


@pytest.mark.parametrize("value", NOISE, ids=lambda value: type(value).__name__)
def test_nothing_raises(value):
    """
    Whatever is said, nothing is raised, and the call is recorded with the rest.
    """
    with capture() as captured, bl.step("ask"):
        for name in ("input_tokens", "cached_tokens", "provider", "breakdown", "cost", "estimated", "latency"):
            record("m", **{"output_tokens": 5, name: value})
        record(value, output_tokens=5)

    assert [usage.output_tokens for usage in captured.usages] == [5] * 8


@pytest.mark.parametrize(
    ("breakdown", "is_odd"),
    [
        (TokenBreakdown(system=60, data=40, output=20), False),
        (TokenBreakdown(output=20), False),
        ({"system": 100}, False),
        (TokenBreakdown(system=60, data=41, output=20), True),
        (TokenBreakdown(system=60, data=40, output=19), True),
    ],
)
def test_a_breakdown_that_does_not_add_up(breakdown, is_odd, tmp_path, capfd):
    """
    A breakdown whose sum is not what went in or came out is told of and counted, and kept as it is.
    """
    with bl.configure("b", directory=tmp_path, console=False):
        usage = bl.record_usage("m", input_tokens=100, output_tokens=20, breakdown=breakdown, cost=0)

    run = open_runs(tmp_path).last
    assert run.usages[0].breakdown == usage.breakdown is not None
    assert run.processes[0].oddities == ({"usage_breakdown_sum": 1} if is_odd else {})
    assert ("a breakdown into" in capfd.readouterr().err) is is_odd


def test_parts_that_are_more_than_the_whole(tmp_path, capfd):
    """
    More cached tokens than went in are told of and counted.
    """
    with bl.configure("b", directory=tmp_path, console=False):
        bl.record_usage("m", input_tokens=100, cached_tokens=101, cost=0)

    assert open_runs(tmp_path).last.processes[0].oddities == {"usage_parts": 1}
    assert "101 + 0 tokens of caches" in capfd.readouterr().err


def test_prices_of_ones_own(tmp_path):
    """
    What configure() is told that models cost is what they cost, also for a provider of that name alone.
    """
    prices: dict[str, Any] = {**PRICES, "acme/small": {"input": "2"}}
    with bl.configure("p", directory=tmp_path, console=False, prices=prices):
        found = [
            bl.record_usage("small", input_tokens=1_000_000, output_tokens=1000, cached_tokens=200_000),
            bl.record_usage("Large", input_tokens=100, output_tokens=10),
            bl.record_usage("small", provider="acme", input_tokens=1),
            bl.record_usage("small", provider="acme", output_tokens=1),
        ]

    assert [(usage.cost, usage.cost_source) for usage in found] == [
        (Decimal("0.83"), "configured"),
        (Decimal("0.001"), "configured"),
        (Decimal("0.000002"), "configured"),
        (None, None),
    ]
