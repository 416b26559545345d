"""Being a guest: an application that has set a tracer provider of its own keeps it, and branchline joins."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, Sampler, SamplingResult
from opentelemetry.trace import StatusCode

import branchline as bl
from branchline.read import Run, open_runs
from branchline.read.tree import tree
from branchline.testing import capture


@dataclass(frozen=True, kw_only=True)
class Application:
    """An application with telemetry of its own."""

    provider: TracerProvider
    exporter: InMemorySpanExporter
    directory: Path

    def configure(self, **options) -> bl.Telemetry:
        return bl.configure("app", directory=self.directory, console=False, signals=False, **options)

    def tracer(self) -> trace.Tracer:
        return trace.get_tracer("app.own")

    def exported(self) -> list[str]:
        return [span.name for span in self.exporter.get_finished_spans()]

    def run(self) -> Run:
        [run] = open_runs(self.directory)
        return run

    def counted(self) -> dict[str, object]:
        [process] = self.run().processes
        return process.counters["spans"]  # type: ignore[return-value]  # as process.json has it


def set_provider(provider: TracerProvider | None) -> None:
    """Tell OpenTelemetry of *provider*, though it has been told of another: the API lets nobody do so."""
    trace._TRACER_PROVIDER = provider
    trace._TRACER_PROVIDER_SET_ONCE._done = provider is not None


@contextmanager
def application(directory: Path, **options) -> Iterator[Application]:
    before = trace._TRACER_PROVIDER
    provider = TracerProvider(shutdown_on_exit=False, **options)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    set_provider(provider)
    try:
        yield Application(provider=provider, exporter=exporter, directory=directory)
    finally:
        bl.shutdown()
        set_provider(before)  # type: ignore[arg-type]  # the API types it by the interface


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Application]:
    with application(tmp_path) as app:
        yield app


# ── joining ───────────────────────────────────────────────────────────────────────────────────────


def test_the_provider_stays(app: Application) -> None:
    """
    The application's provider is replaced by nothing, neither while branchline records nor after.
    """
    with app.configure():
        during = trace.get_tracer_provider()

    assert (during, trace.get_tracer_provider()) == (app.provider, app.provider)


def test_everything_is_in_the_journal(app: Application) -> None:
    """
    The journal has our steps and branches and the application's spans, each below its parent, with outcomes.
    """
    with app.configure(), bl.experiment("prompts"):
        with bl.branch({"model": "small"}, name="small"):
            with bl.step("ask") as step:
                step.stamp("asked", words=3)
                with app.tracer().start_as_current_span("GET /answer"):
                    with bl.step("parse"):
                        pass
            with pytest.raises(ValueError, match="no"), bl.step("judge"):
                raise ValueError("no")

    expected = """\
experiment prompts
└── branch small  success
    ├── step ask  success
    │   · asked words=3
    │   └── span GET /answer  success
    │       └── step parse  success
    └── step judge  failed  ValueError: no"""
    assert expected == tree(app.run())


def test_identity_of_the_applications_spans(app: Application) -> None:
    """
    A span of the application's that starts inside a branch belongs to it, in the journal.
    """
    with app.configure(), bl.experiment("prompts"), bl.branch({}, name="small"):
        with app.tracer().start_as_current_span("GET /answer"):
            pass

    [span] = [span for span in app.run().steps if span.kind == "span"]
    assert (span.experiment_name, span.branch_name, span.scope) == ("prompts", "small", "app.own")


def test_the_application_sees_its_spans_once(app: Application) -> None:
    """
    The application's exporter has every span, its own and our steps, exactly once.
    """
    with app.configure(), bl.step("ask"), app.tracer().start_as_current_span("GET /answer"):
        pass

    assert app.exported() == ["GET /answer", "ask"]


def test_no_housekeeping_for_the_application(app: Application) -> None:
    """
    What we say of a span only for the journal, its attributes and those of its events, the application's exporter
    does not see.
    """
    with app.configure(), bl.experiment("prompts"), bl.branch({"model": "small"}), bl.step("ask", rows=1) as step:
        step.stamp("asked", words=3)

    seen = [
        {
            "attributes": dict(span.attributes or {}),
            "events": {event.name: dict(event.attributes or {}) for event in span.events},
        }
        for span in app.exporter.get_finished_spans()
    ]
    nothing: dict[str, object] = {"attributes": {}, "events": {}}
    assert [{"attributes": {"rows": 1}, "events": {"asked": {"words": 3}}}, nothing, nothing] == seen


def test_the_journal_has_the_housekeeping(app: Application) -> None:
    """
    The configuration of a branch is in the journal with its types, though the application's provider never saw it.
    """
    with app.configure(), bl.branch({"model": "small", "search": {"top": 3, "deep": True}}):
        pass

    [branch] = app.run().branches
    assert branch.config == {"model": "small", "search": {"top": 3, "deep": True}}


def test_types_are_kept(app: Application) -> None:
    """
    A value that the provider takes only as text has its own type in the journal.
    """
    with app.configure(), bl.step("ask", options={"top": 3, "names": ["a", 1]}, raw=b"\xff"):
        pass

    [step] = app.run().steps
    [exported] = app.exporter.get_finished_spans()
    assert step.attributes == {"options": {"top": 3, "names": ("a", 1)}, "raw": b"\xff"}
    assert (exported.attributes or {})["options"] == '{"top": 3, "names": ["a", 1]}'


def test_what_the_application_says_later_counts(app: Application) -> None:
    """
    An attribute of a step that somebody sets again through OpenTelemetry has its last value in the journal.
    """
    with app.configure(), bl.step("ask", rows=1, by="us"):
        trace.get_current_span().set_attributes({"rows": 2, "more": True})

    [step] = app.run().steps
    assert step.attributes == {"rows": 2, "by": "us", "more": True}


def test_failures_for_the_application(app: Application) -> None:
    """
    A failed step is an error for the application's exporter too: status, error.type and one exception event.
    """
    with app.configure(), pytest.raises(KeyError), bl.step("ask"):
        raise KeyError("k")

    [span] = app.exporter.get_finished_spans()
    assert (
        span.status.status_code,
        span.status.description,
        dict(span.attributes or {}),
        [event.name for event in span.events],
    ) == (StatusCode.ERROR, "'k'", {"error.type": "KeyError"}, ["exception"])


def test_failing_without_a_reason(app: Application) -> None:
    """
    A step that is said to have failed, with no reason given, is an error without a description.
    """
    with app.configure(), bl.step("ask") as step:
        step.fail()

    [span] = app.exporter.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)


def test_outcomes(app: Application) -> None:
    """
    Outcomes in the journal are right for steps that fail, are skipped, cancelled, or said to have failed.
    """
    with app.configure():
        with bl.step("good"):
            pass
        with bl.step("skipped") as step:
            step.skip("nothing to do")
        with bl.step("said") as step:
            step.fail("bad answer")
        with pytest.raises(asyncio.CancelledError), bl.step("cancelled"):
            raise asyncio.CancelledError
        with pytest.raises(KeyboardInterrupt), bl.step("interrupted"):
            raise KeyboardInterrupt

    assert {step.name: step.outcome for step in app.run().steps} == {
        "good": "success",
        "skipped": "skipped",
        "said": "failed",
        "cancelled": "cancelled",
        "interrupted": "interrupted",
    }


def test_new_trace(app: Application) -> None:
    """
    A step with a trace of its own has another trace id, no parent, and a link to where it was called from.
    """

    @bl.traced_step(new_trace=True)
    def job() -> None:
        pass

    with app.configure(), bl.step("caller"):
        job()

    by_name = {step.name: step for step in app.run().steps}
    own = by_name["test_new_trace.job"]
    assert own.trace_id != by_name["caller"].trace_id
    assert (None, [by_name["caller"].span_id]) == (own.parent_id, [link.span_id for link in own.links])


# ── generators, tasks ─────────────────────────────────────────────────────────────────────────────


def test_generator_steps(app: Application) -> None:
    """
    A generator's step covers its body and is not current in its consumer; left early, it is closed.
    """

    @bl.traced_step("rows")
    def rows() -> Iterator[int]:
        for number in range(3):
            with bl.step(f"row {number}"):
                pass
            yield number

    with app.configure(), bl.step("consumer"):
        for number in rows():
            with bl.step(f"use {number}"):
                pass
            if number == 1:
                break

    expected = """\
step consumer  success
├── step rows  closed
│   ├── step row 0  success
│   └── step row 1  success
├── step use 0  success
└── step use 1  success"""
    assert expected == tree(app.run())


async def test_parents_in_tasks(app: Application) -> None:
    """
    Steps of concurrent tasks have the step that started the tasks as their parent.
    """

    async def work(number: int) -> None:
        async with bl.step(f"task {number}"):
            await asyncio.sleep(0)
            async with bl.step(f"inner {number}"):
                await asyncio.sleep(0)

    with app.configure():
        async with bl.step("all"):
            await asyncio.gather(*(work(number) for number in range(3)))

    by_id = {step.span_id: step for step in app.run().steps}
    parents = {step.name: by_id[step.parent_id].name for step in by_id.values() if step.parent_id}
    assert {f"task {n}": "all" for n in range(3)} | {f"inner {n}": f"task {n}" for n in range(3)} == parents


async def test_left_in_another_task(app: Application, caplog: pytest.LogCaptureFixture) -> None:
    """
    A block that is entered in one task and left in another is recorded, and nobody is told of an error.
    """
    with app.configure(), caplog.at_level(logging.DEBUG):
        block = bl.step("wide")
        await asyncio.create_task(block.__aenter__())
        await asyncio.create_task(block.__aexit__(None, None, None))

    assert ([(step.name, step.outcome) for step in app.run().steps], caplog.messages) == ([("wide", "success")], [])


# ── limits and sampling ───────────────────────────────────────────────────────────────────────────


def test_every_stamp_is_in_the_journal(tmp_path: Path) -> None:
    """
    1,000 stamps on a step are 1,000 events in the journal, though the application's provider keeps its last 128.
    """
    with application(tmp_path) as app:
        with app.configure(), bl.step("ask") as step:
            for number in range(1000):
                step.stamp("asked", number=number)

        [recorded] = app.run().steps
        [span] = app.exporter.get_finished_spans()
        assert (list(range(1000)), 128) == ([stamp.attributes["number"] for stamp in recorded.stamps], len(span.events))


def test_what_the_provider_has_dropped(tmp_path: Path) -> None:
    """
    What the application's provider drops of the application's own spans is counted in the journal's lines.
    """
    with application(tmp_path, span_limits=SpanLimits(max_events=2, max_links=1)) as app:
        with app.configure(), app.tracer().start_as_current_span("own") as span:
            for number in range(5):
                span.add_event(f"event {number}")
                span.add_link(span.get_span_context())

        lines = b"".join(file.read_bytes() for file in app.directory.glob("runs/*/*/traces-*.jsonl"))
        assert b'"droppedEventsCount":3' in lines
        assert b'"droppedLinksCount":4' in lines


def test_sampled_out(tmp_path: Path) -> None:
    """
    Steps that the application's sampler does not want are counted, not journaled.
    """
    with application(tmp_path, sampler=ALWAYS_OFF) as app:
        with app.configure(), bl.step("ask"), bl.step("parse"):
            pass

        assert app.counted() == {"recorded": 2, "journaled": 0, "sampled_out": 2, "dropped": {}}


class RecordOnly(Sampler):
    """Records, but samples nothing."""

    def should_sample(self, *arguments: object, **options: object) -> SamplingResult:
        return SamplingResult(Decision.RECORD_ONLY)

    def get_description(self) -> str:
        return "RecordOnly"


def test_record_only(tmp_path: Path) -> None:
    """
    Spans that the application's sampler wants recorded but not sampled are counted, not journaled.
    """
    with application(tmp_path, sampler=RecordOnly()) as app:
        with app.configure(), bl.step("ask"), app.tracer().start_as_current_span("own"):
            pass

        assert app.counted() == {"recorded": 2, "journaled": 0, "sampled_out": 2, "dropped": {}}


# ── beginning and end ─────────────────────────────────────────────────────────────────────────────


def test_shutdown_leaves_the_application_its_telemetry(app: Application) -> None:
    """
    After shutdown the application's provider works as before, and the journal takes nothing more.
    """
    with app.configure():
        with app.tracer().start_as_current_span("before"):
            pass
    with app.tracer().start_as_current_span("after"):
        pass

    assert (app.exported(), [step.name for step in app.run().steps]) == (["before", "after"], ["before"])


def test_spans_that_outlive_the_run(app: Application) -> None:
    """
    What is open when the run ends is interrupted in the journal; for the application it ends when it ends.
    """
    with app.configure():
        span = app.tracer().start_span("long")
        step = bl.step("open")
        step.__enter__()
    still_open = app.exported()
    step.__exit__(None, None, None)
    span.end()

    assert (still_open, app.exported()) == ([], ["open", "long"])
    assert {step.name: step.status for step in app.run().steps} == {"long": "ERROR", "open": "ERROR"}


def test_configuring_again(app: Application, tmp_path: Path) -> None:
    """
    Configuring any number of times adds one processor to the application's provider, and every span is written once.
    """
    for number in range(3):
        with app.configure(run_id=f"run-{number}"), bl.step(f"step {number}"):
            pass

    processors = app.provider._active_span_processor._span_processors
    steps = {run.id: [step.name for step in run.steps] for run in open_runs(app.directory)}
    assert (2, {f"run-{n}": [f"step {n}"] for n in range(3)}) == (len(processors), steps)


def test_starts_of_branches(app: Application) -> None:
    """
    That a branch has begun, and with what, is in the journal while it is open: all that is left if the process dies.
    """
    with app.configure() as telemetry, bl.branch({"model": "small"}, name="small"):
        telemetry.flush()
        lines = b"".join(file.read_bytes() for file in app.directory.glob("runs/*/*/logs-*.jsonl"))

    assert lines.count(b'"branchline.branch.started"') == 1
    assert b'{"key":"branchline.config.model","value":{"stringValue":"small"}}' in lines


def test_events_belong_to_the_current_span(app: Application) -> None:
    """
    A stamp outside of every step belongs to the application's span that is current.
    """
    with app.configure(), app.tracer().start_as_current_span("own") as span:
        bl.stamp("noted", rows=1)

    [line] = [line for line in app.run().logs if line.event_name == "branchline.stamp"]
    assert f"{span.get_span_context().span_id:016x}" == line.span_id


# ── without configure, and beside a capture ───────────────────────────────────────────────────────


def test_without_configure(app: Application) -> None:
    """
    Without configure() steps go to the application's provider, with their parents, and nothing is written.
    """
    with bl.step("ask", rows=1) as step:
        step.stamp("asked")
        with app.tracer().start_as_current_span("own"):
            pass

    own, ask = app.exporter.get_finished_spans()
    assert own.parent is not None
    assert ask.context is not None
    assert ("ask", {"rows": 1}, ["asked"], ask.context.span_id, []) == (
        ask.name,
        dict(ask.attributes or {}),
        [event.name for event in ask.events],
        own.parent.span_id,
        list(app.directory.iterdir()),
    )


def test_capture_beside(app: Application) -> None:
    """
    A capture has the steps and the application's spans of its block; the application's provider stays, and sees them.
    """
    with capture() as captured, bl.step("captured"), app.tracer().start_as_current_span("own"):
        pass
    with bl.step("after"):
        pass

    assert (captured.tree(), app.exported(), trace.get_tracer_provider()) == (
        "step captured  success\n└── span own  success",
        ["own", "captured", "after"],
        app.provider,
    )


def test_capture_within_a_run(app: Application) -> None:
    """
    A capture inside a run takes the steps and the application's spans of its block; the run goes on after it.
    """
    with app.configure():
        with capture() as captured, bl.step("captured"), app.tracer().start_as_current_span("own"):
            pass
        with bl.step("after"):
            pass

    assert (
        captured.tree(),
        tree(app.run()),
    ) == ("step captured  success\n└── span own  success", "step after  success")


class Raising(Sampler):
    """Fails for every span."""

    def should_sample(self, *arguments: object, **options: object) -> SamplingResult:
        raise RuntimeError("sampler")

    def get_description(self) -> str:
        return "Raising"


def test_a_provider_that_raises(tmp_path: Path) -> None:
    """
    A step goes on when the application's own telemetry raises.
    """
    with application(tmp_path, sampler=Raising()) as app:
        done = []
        with app.configure(), bl.step("ask") as step:
            step.stamp("asked")
            done.append("work")

        assert done == ["work"]
