"""The tracer provider that branchline sets: all that the OpenTelemetry API promises, and what the journal says."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

import branchline as bl
from branchline.errors import ConfigError
from branchline.read import Run, Step, open_runs
from branchline.testing import Captured, capture


REMOTE_TRACE = 0x0AF7651916CD43DD8448EB211C80319C
REMOTE_SPAN = 0xB7AD6B7169203331


@pytest.fixture
def captured() -> Iterator[Captured]:
    with capture() as found:
        yield found


@pytest.fixture
def tracer() -> trace.Tracer:
    return trace.get_tracer("lib", "1.2")


def remote(flags: int = 1, state: TraceState | None = None) -> context.Context:
    """Return a context with a parent in another process."""
    parent = SpanContext(REMOTE_TRACE, REMOTE_SPAN, True, TraceFlags(flags), state)
    return trace.set_span_in_context(NonRecordingSpan(parent))


def only(captured: Captured) -> Step:
    [span] = captured.spans
    return span


def run_in(directory: Path) -> Run:
    [run] = open_runs(directory)
    return run


def counted(directory: Path) -> Any:
    [process] = run_in(directory).processes
    return process.counters["spans"]


def journaled(directory: Path) -> list[dict[str, Any]]:
    """Return the lines of the journal's traces, as they are."""
    files = sorted(directory.glob("runs/*/*/traces-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def journaled_spans(directory: Path) -> dict[str, dict[str, Any]]:
    return {
        span["name"]: span
        for line in journaled(directory)
        for resource in line["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    }


def program(code: str, directory: Path, **env: str) -> str:
    """Run *code* in a new process, configured to write to *directory*; return what it prints."""
    start = f"import branchline as bl\nfrom opentelemetry import trace\nDIRECTORY = {str(directory)!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", start + textwrap.dedent(code)],
        env={"PATH": "", **env},
        capture_output=True,
        text=True,
        check=True,
        cwd=directory,
    )
    return done.stdout


# ── attributes ────────────────────────────────────────────────────────────────────────────────────


def test_attributes(captured: Captured, tracer: trace.Tracer) -> None:
    """
    Attributes have their own types; the last value of a key counts; a list is taken as it is at the moment.
    """
    rows = [1, 2]
    with tracer.start_as_current_span("work", attributes={"at": "start", "same": 1}) as span:
        span.set_attribute("rows", rows)
        rows.append(3)
        span.set_attributes({"same": 2, "on": True, "share": 0.5, "raw": b"\x00"})

    assert only(captured).attributes == {
        "at": "start",
        "same": 2,
        "rows": (1, 2),
        "on": True,
        "share": 0.5,
        "raw": b"\x00",
    }


def test_attributes_without_limit(captured: Captured, tracer: trace.Tracer) -> None:
    """
    Without a variable that says so, the number of attributes, events and links is not limited.
    """
    with tracer.start_as_current_span("work") as span:
        for number in range(300):
            span.set_attribute(f"key {number}", number)
            span.add_event(f"event {number}")
            span.add_link(SpanContext(REMOTE_TRACE, number + 1, False))

    work = only(captured)
    assert (len(work.attributes), len(work.stamps), len(work.links)) == (300, 300, 300)


LIMITS = {
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "3",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "4",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "2",
    "OTEL_SPAN_EVENT_COUNT_LIMIT": "2",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": "1",
    "OTEL_SPAN_LINK_COUNT_LIMIT": "1",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": "1",
}


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The OTEL_SPAN_* variables are honoured by spans and by steps, and the journal says how much was dropped.
    """
    for name, value in LIMITS.items():
        monkeypatch.setenv(name, value)
    with bl.configure("limits", directory=tmp_path, console=False):
        with trace.get_tracer("lib").start_as_current_span("span", attributes={"a": "12345", "b": 2}) as span:
            span.set_attributes({"c": ["12345"], "d": 4, "e": 5})
            for number in range(4):
                span.add_event(f"event {number}", {"x": "12345", "y": 1})
                span.add_link(SpanContext(REMOTE_TRACE, number + 1, False), {"x": "12345", "y": 1})
        with bl.step("step", a="12345", b=2, c=3, d=4) as step:
            for number in range(4):
                step.stamp(f"stamp {number}")

    spans = journaled_spans(tmp_path)
    assert [attribute["key"] for attribute in spans["span"]["attributes"]] == ["a", "b", "c"]
    assert spans["span"]["attributes"][0]["value"] == {"stringValue": "1234"}
    assert spans["span"]["attributes"][2]["value"] == {"arrayValue": {"values": [{"stringValue": "1234"}]}}
    assert [(event["name"], event["droppedAttributesCount"]) for event in spans["span"]["events"]] == [
        ("event 2", 1),
        ("event 3", 1),
    ]
    assert spans["span"]["events"][0]["attributes"] == [{"key": "x", "value": {"stringValue": "12"}}]
    [link] = spans["span"]["links"]
    assert (link["spanId"], link["droppedAttributesCount"]) == (f"{4:016x}", 1)
    assert link["attributes"] == [{"key": "x", "value": {"stringValue": "12"}}]
    dropped = ("droppedAttributesCount", "droppedEventsCount", "droppedLinksCount")
    assert [spans["span"].get(key) for key in dropped] == [2, 2, 3]
    assert [spans["step"].get(key) for key in dropped] == [1, 2, None]


@pytest.mark.parametrize("value", ["many", "-1", "1.5"])
def test_a_limit_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """
    A limit that is no whole number is refused at once, by its name.
    """
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", value)

    with pytest.raises(ConfigError, match=f"OTEL_SPAN_EVENT_COUNT_LIMIT is '{value}'"):
        bl.configure("limits", directory=tmp_path, console=False)


def test_an_empty_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An empty variable is no limit, even where there is a limit for all attributes.
    """
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "")
    monkeypatch.setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "1")
    with bl.configure("limits", directory=tmp_path, console=False), bl.step("step", a=1, b=2) as step:
        step.stamp("stamp", x=1, y=2)

    [recorded] = run_in(tmp_path).steps
    assert (recorded.attributes, [stamp.attributes for stamp in recorded.stamps]) == ({"a": 1, "b": 2}, [{"x": 1}])


# ── events, links, names ──────────────────────────────────────────────────────────────────────────


def test_events(captured: Captured, tracer: trace.Tracer) -> None:
    """
    Events keep their order, time and attributes as they were when the event was added.
    """
    said = {"rows": 1}
    with tracer.start_as_current_span("work") as span:
        span.add_event("plain")
        span.add_event("timed", {"rows": 2}, timestamp=1_700_000_000_000_000_000)
        span.add_event("said", said)
        said["rows"] = 3

    work = only(captured)
    assert [(stamp.name, stamp.attributes) for stamp in work.stamps] == [
        ("plain", {}),
        ("timed", {"rows": 2}),
        ("said", {"rows": 1}),
    ]
    assert work.stamps[1].time_unix_nano == 1_700_000_000_000_000_000


def test_links(captured: Captured, tracer: trace.Tracer) -> None:
    """
    Links are recorded, given at the start or later; a link to nowhere only if it says something.
    """
    other = SpanContext(REMOTE_TRACE, REMOTE_SPAN, True)
    nowhere = trace.INVALID_SPAN_CONTEXT
    with tracer.start_as_current_span("work", links=[Link(other, {"why": "retry"}), Link(nowhere)]) as span:
        span.add_link(other)
        span.add_link(nowhere)
        span.add_link(nowhere, {"why": "lost"})

    assert [(link.span_id, link.attributes) for link in only(captured).links] == [
        (f"{REMOTE_SPAN:016x}", {"why": "retry"}),
        (f"{REMOTE_SPAN:016x}", {}),
        ("", {"why": "lost"}),
    ]


def test_update_name(captured: Captured, tracer: trace.Tracer) -> None:
    """
    The last name counts.
    """
    with tracer.start_as_current_span("before") as span:
        span.update_name("after")

    assert only(captured).name == "after"


def test_kinds(captured: Captured, tracer: trace.Tracer) -> None:
    """
    Every kind of span keeps its kind, for those who read it while it is open.
    """
    kinds = [tracer.start_span("work", kind=kind).kind for kind in SpanKind]  # type: ignore[attr-defined]  # the SDK's span has it

    assert kinds == list(SpanKind)


# ── status and exceptions ─────────────────────────────────────────────────────────────────────────

OK, ERROR, UNSET = StatusCode.OK, StatusCode.ERROR, StatusCode.UNSET


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], ("UNSET", "")),
        ([(ERROR, "bad")], ("ERROR", "bad")),
        ([(ERROR, "bad"), (ERROR, "worse")], ("ERROR", "worse")),
        ([(ERROR, "bad"), (OK, None)], ("OK", "")),
        ([(OK, None), (ERROR, "bad")], ("OK", "")),
        ([(ERROR, "bad"), (UNSET, None)], ("ERROR", "bad")),
        ([(OK, "fine")], ("OK", "")),
        ([(Status(ERROR, "whole"), None)], ("ERROR", "whole")),
        ([("ERROR", "a text")], ("UNSET", "")),
    ],
)
def test_status(captured: Captured, tracer: trace.Tracer, said: list[Any], expected: tuple[str, str]) -> None:
    """
    OK is final, UNSET changes nothing, the last ERROR counts, and only an ERROR has a description.
    """
    with tracer.start_as_current_span("work") as span:
        for status, description in said:
            span.set_status(status, description)

    work = only(captured)
    assert (work.status, work.status_message) == expected


def test_record_exception(captured: Captured, tracer: trace.Tracer) -> None:
    """
    A recorded exception is an event with type, message, stack, and what is said of it; it is no failure by itself.
    """
    with tracer.start_as_current_span("work") as span:
        try:
            raise ConfigError("no such thing")
        except ConfigError as error:
            span.record_exception(error, {"attempt": 2})

    work = only(captured)
    assert work.exception is not None
    assert (work.status, work.exception.type, work.exception.message) == (
        "UNSET",
        "branchline.errors.ConfigError",
        "no such thing",
    )
    assert 'raise ConfigError("no such thing")' in work.exception.stacktrace


@pytest.mark.parametrize("start", ["start_span", "start_as_current_span"])
def test_exceptions_leave_untouched(captured: Captured, tracer: trace.Tracer, start: str) -> None:
    """
    An exception that leaves a span's block is recorded once, makes it an error, and goes on as it was.
    """
    error = ValueError("bad")
    with pytest.raises(ValueError, match="bad") as raised, getattr(tracer, start)("work"):
        raise error

    work = only(captured)
    assert raised.value is error
    assert (work.status, work.status_message, str(work.exception)) == ("ERROR", "ValueError: bad", "ValueError: bad")


@pytest.mark.parametrize("start", ["start_span", "start_as_current_span"])
def test_exceptions_that_are_not_wanted(captured: Captured, tracer: trace.Tracer, start: str) -> None:
    """
    A span that is told so neither records an exception nor takes it for an error.
    """
    options = {"record_exception": False, "set_status_on_exception": False}
    with pytest.raises(ValueError, match="bad"), getattr(tracer, start)("work", **options):
        raise ValueError("bad")

    work = only(captured)
    assert (work.status, work.exception) == ("UNSET", None)


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_exceptions_without_a_text(captured: Captured, tracer: trace.Tracer) -> None:
    """
    An exception whose text cannot be had is recorded all the same, and is the one that leaves.
    """
    with pytest.raises(UnprintableError), tracer.start_as_current_span("work"):
        raise UnprintableError

    work = only(captured)
    assert work.status_message == "UnprintableError: <unprintable UnprintableError>"


# ── beginning and end ─────────────────────────────────────────────────────────────────────────────


def test_is_recording(tracer: trace.Tracer) -> None:
    """
    A span records until it has ended; without a run it records nothing.
    """
    with capture():
        span = trace.get_tracer("lib").start_span("work")
        before = span.is_recording()
        span.end()

    assert (before, span.is_recording(), tracer.start_span("unheard").is_recording()) == (True, False, False)


def test_explicit_times(captured: Captured, tracer: trace.Tracer) -> None:
    """
    Explicit start and end times are kept as they are.
    """
    tracer.start_span("work", start_time=1_000).end(2_500)

    work = only(captured)
    assert (work.start_unix_nano, work.end_unix_nano) == (1_000, 2_500)


@pytest.mark.parametrize("odd", [-1, 2**64, float("nan"), datetime(2026, 1, 1), "yesterday"])  # noqa: DTZ001  # as users have them
def test_times_that_are_none(captured: Captured, tracer: trace.Tracer, odd: Any) -> None:
    """
    A time that OTLP cannot carry becomes now; the span, its event and everything else arrive.
    """
    span = tracer.start_span("work", start_time=odd)
    span.add_event("event", timestamp=odd)
    span.end(odd)
    with tracer.start_as_current_span("next"):
        pass

    work, after = captured.spans
    assert work.end_unix_nano is not None
    assert 0 < work.start_unix_nano <= work.stamps[0].time_unix_nano <= work.end_unix_nano <= after.start_unix_nano


def test_ending_twice(captured: Captured, tracer: trace.Tracer, caplog: pytest.LogCaptureFixture) -> None:
    """
    The first end counts; a second one is only warned of.
    """
    span = tracer.start_span("work")
    span.end(5_000_000_000_000_000_000)
    with caplog.at_level(logging.WARNING):
        span.end(6_000_000_000_000_000_000)

    assert (only(captured).end_unix_nano, caplog.messages) == (
        5_000_000_000_000_000_000,
        ["Calling end() on an ended span."],
    )


def test_use_after_end(captured: Captured, tracer: trace.Tracer, caplog: pytest.LogCaptureFixture) -> None:
    """
    After its end nothing changes a span, and every attempt is warned of.
    """
    span = tracer.start_span("work")
    span.end()
    with caplog.at_level(logging.WARNING):
        span.set_attribute("late", 1)
        span.set_attributes({"late": 1})
        span.add_event("late")
        span.add_link(SpanContext(REMOTE_TRACE, REMOTE_SPAN, True))
        span.set_status(StatusCode.ERROR)
        span.update_name("late")
        span.record_exception(ValueError("late"))

    work = only(captured)
    assert (work.name, work.attributes, work.stamps, work.links, work.status, work.exception, len(caplog.messages)) == (
        "work",
        {},
        (),
        (),
        "UNSET",
        None,
        7,
    )


# ── context ───────────────────────────────────────────────────────────────────────────────────────


def test_explicit_context(captured: Captured, tracer: trace.Tracer) -> None:
    """
    A span's parent is the one in the context that it is given, not the current one; an empty context has none.
    """
    with tracer.start_as_current_span("other") as other:
        pass
    with tracer.start_as_current_span("current"):
        tracer.start_span("child", trace.set_span_in_context(other)).end()
        tracer.start_span("root", context.Context()).end()

    by_id = {span.span_id: span.name for span in captured.spans}
    assert {span.name: by_id.get(span.parent_id or "") for span in captured.spans} == {
        "other": None,
        "current": None,
        "child": "other",
        "root": None,
    }


def test_remote_parent(captured: Captured, tracer: trace.Tracer) -> None:
    """
    A remote parent gives trace, state and flags to its child.
    """
    with tracer.start_as_current_span("work", remote(state=TraceState([("vendor", "x")]))) as span:
        own = span.get_span_context()

    work = only(captured)
    assert (work.trace_id, work.parent_id) == (f"{REMOTE_TRACE:032x}", f"{REMOTE_SPAN:016x}")
    assert (own.trace_state.to_header(), int(own.trace_flags), own.is_remote) == ("vendor=x", 1, False)


def test_decorator(captured: Captured, tracer: trace.Tracer) -> None:
    """
    As a decorator it makes a span of each call, of plain and async functions, overlapping ones too.
    """

    @tracer.start_as_current_span("plain")
    def plain(depth: int) -> None:
        if depth:
            plain(depth - 1)

    @tracer.start_as_current_span("async")
    async def later() -> None:
        await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(later(), later())

    plain(1)
    asyncio.run(both())

    by_id = {span.span_id: span.name for span in captured.spans}
    assert [(span.name, by_id.get(span.parent_id or "")) for span in captured.spans] == [
        ("plain", None),
        ("plain", "plain"),
        ("async", None),
        ("async", None),
    ]


def test_steps_and_spans_nest(captured: Captured, tracer: trace.Tracer) -> None:
    """
    Steps and plain spans are each other's parents; a stamp goes to the step around the span.
    """
    with bl.step("outer"), tracer.start_as_current_span("span"):
        bl.stamp("noted")
        with bl.step("inner"):
            pass

    assert captured.tree() == ("step outer  success\n· noted\n└── span span  success\n    └── step inner  success")


def test_not_ended_by_its_block(captured: Captured, tracer: trace.Tracer) -> None:
    """
    A span that is not to end with its block is current in it and goes on after it.
    """
    with tracer.start_as_current_span("work", end_on_exit=False) as span:
        assert trace.get_current_span() is span
    span.set_attribute("after", True)
    span.end()

    assert only(captured).attributes == {"after": True}


# ── sampling ──────────────────────────────────────────────────────────────────────────────────────


class ByName(Sampler):
    """Decides by the name of the span."""

    def __init__(self, decisions: Mapping[str, Decision]) -> None:
        self.decisions = decisions
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def should_sample(
        self, parent_context, trace_id, name, kind=None, attributes=None, links=None, trace_state=None
    ) -> SamplingResult:
        self.asked.append((name, dict(attributes or {})))
        decision = self.decisions.get(name, Decision.RECORD_AND_SAMPLE)
        return SamplingResult(decision, {**(attributes or {}), "by": "sampler"}, TraceState([("s", "1")]))

    def get_description(self) -> str:
        return "ByName"


class OnlyRecorded(ByName):
    """Has every span recorded and none kept, and gives it nothing: else it is like most."""

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        return SamplingResult(Decision.RECORD_ONLY)


class Recorder(SpanProcessor):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.ended: list[Any] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.started.append(span.name)

    def on_end(self, span: Any) -> None:
        self.ended.append(span)


def test_sampler_decisions(tmp_path: Path) -> None:
    """
    What a sampler drops is no span at all; what it only wants recorded, processors see; only the rest is journaled,
    and everything is counted.
    """
    sampler = ByName({"dropped": Decision.DROP, "seen": Decision.RECORD_ONLY})
    watching = Recorder()
    with bl.configure("sampled", directory=tmp_path, console=False, sampler=sampler):
        provider: Any = trace.get_tracer_provider()
        provider.add_span_processor(watching)
        tracer = trace.get_tracer("lib")
        found = {}
        for name in ("dropped", "seen", "kept"):
            with tracer.start_as_current_span(name, attributes={"own": 1}) as span:
                found[name] = (span.is_recording(), span.get_span_context().trace_flags.sampled)
    provider._active_span_processor._span_processors = ()

    assert found == {"dropped": (False, False), "seen": (True, False), "kept": (True, True)}
    assert [span.name for span in watching.ended] == ["seen", "kept"]
    assert counted(tmp_path) == {"recorded": 3, "journaled": 1, "sampled_out": 2, "dropped": {}}
    [kept] = run_in(tmp_path).steps
    assert (kept.name, kept.attributes) == ("kept", {"own": 1, "by": "sampler"})
    assert journaled_spans(tmp_path)["kept"]["traceState"] == "s=1"


def test_sampled_steps(tmp_path: Path) -> None:
    """
    Steps and branches ask the sampler, too: nothing of those that are not wanted is in the journal, and the function
    runs all the same; what is inside of them and wanted is there.
    """
    decisions = {"dropped": Decision.DROP, "seen": Decision.RECORD_ONLY, "hidden": Decision.RECORD_ONLY}
    ran = []
    with bl.configure("sampled", directory=tmp_path, console=False, sampler=ByName(decisions)):
        with bl.step("dropped") as step, bl.branch({}, name="hidden"):
            step.stamp("unheard")
            with bl.step("seen") as seen:
                seen.stamp("unheard")
                with bl.step("kept"):
                    ran.append("work")

    run = run_in(tmp_path)
    assert ran == ["work"]
    assert ([step.name for step in run.steps], run.branches) == (["kept"], ())
    assert counted(tmp_path) == {"recorded": 4, "journaled": 1, "sampled_out": 3, "dropped": {}}


def test_steps_that_are_only_recorded(tmp_path: Path) -> None:
    """
    A plain step that the sampler wants recorded and not kept is counted as sampled out; processors see it.
    """
    watching = Recorder()
    with bl.configure("sampled", directory=tmp_path, console=False, sampler=OnlyRecorded({})):
        provider: Any = trace.get_tracer_provider()
        provider.add_span_processor(watching)
        with bl.step("seen"):
            pass
        bl.traced_step("seen")(print)()
    provider._active_span_processor._span_processors = ()

    assert [span.name for span in watching.ended] == ["seen", "seen"]
    assert counted(tmp_path) == {"recorded": 2, "journaled": 0, "sampled_out": 2, "dropped": {}}


def test_a_stamp_in_an_unsampled_step(tmp_path: Path) -> None:
    """
    Events of the run that are no spans are recorded although nothing is sampled.
    """
    with bl.configure("sampled", directory=tmp_path, console=False, sampler=ByName({"seen": Decision.RECORD_ONLY})):
        with trace.get_tracer("lib").start_as_current_span("seen"):
            bl.stamp("noted")

    assert [stamp.name for stamp in run_in(tmp_path).stamps] == ["noted"]


def test_what_a_limit_has_dropped_is_said_after_an_odd_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An event that cannot be taken changes nothing about the one before it, nor about how much of that was dropped.
    """
    monkeypatch.setenv("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "1")
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "5")

    class Odd(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError("items")

        def __iter__(self) -> Any:
            raise RuntimeError("iter")

    with bl.configure("limits", directory=tmp_path, console=False), bl.step("step") as step:
        step.stamp("one", a="abcdefg", b=2, c=3)
        recording: Any = step._recording
        recording.mark("two", Odd(a=1))

    [event] = journaled_spans(tmp_path)["step"]["events"]
    assert (event["name"], event["droppedAttributesCount"]) == ("one", 2)


@pytest.mark.parametrize(
    ("name", "argument", "recorded"),
    [
        ("always_off", "", 0),
        ("always_on", "", 20),
        ("parentbased_always_off", "", 0),
        ("traceidratio", "0.0", 0),
        ("parentbased_traceidratio", "1.0", 20),
    ],
)
def test_sampler_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, argument: str, recorded: int
) -> None:
    """
    OTEL_TRACES_SAMPLER and its argument say what is sampled; what is not is counted.
    """
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    with bl.configure("sampled", directory=tmp_path, console=False):
        for _ in range(10):
            with bl.step("outer"), bl.step("inner"):
                pass

    assert counted(tmp_path) == {"recorded": 20, "journaled": recorded, "sampled_out": 20 - recorded, "dropped": {}}


def test_a_part_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A ratio takes whole traces: every step that is there has its parent.
    """
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    with bl.configure("sampled", directory=tmp_path, console=False):
        for _ in range(200):
            with bl.step("outer"), bl.step("inner"):
                pass

    run = run_in(tmp_path)
    assert 20 < len(run.roots) < 180
    assert {(root.name, tuple(child.name for child in root.children)) for root in run.roots} == {("outer", ("inner",))}
    assert counted(tmp_path)["sampled_out"] == 400 - len(run.steps)


@pytest.mark.parametrize(("flags", "is_recorded"), [(0, False), (1, True)])
def test_remote_parent_decides(tmp_path: Path, flags: int, is_recorded: bool) -> None:
    """
    By default a remote parent's decision holds for everything below it.
    """
    with bl.configure("sampled", directory=tmp_path, console=False):
        token = context.attach(remote(flags))
        with bl.step("outer"), trace.get_tracer("lib").start_as_current_span("inner") as span:
            sampled = span.get_span_context().trace_flags.sampled
        context.detach(token)

    assert (sampled, counted(tmp_path)["journaled"]) == (is_recorded, 2 if is_recorded else 0)


# ── what the environment says ─────────────────────────────────────────────────────────────────────


def test_resource_of_the_environment(tmp_path: Path) -> None:
    """
    OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are in every line of the journal, and with every processor.
    """
    said = program(
        """
        with bl.configure(directory=DIRECTORY, console=False), bl.step("work"):
            print(trace.get_tracer_provider().resource.attributes["team"])
        """,
        tmp_path,
        OTEL_SERVICE_NAME="named",
        OTEL_RESOURCE_ATTRIBUTES="team=blue,service.name=unheard",
    )

    [line] = journaled(tmp_path)
    attributes = line["resourceSpans"][0]["resource"]["attributes"]
    found = {attribute["key"]: attribute["value"].get("stringValue") for attribute in attributes}
    assert (said, found["service.name"], found["team"]) == ("blue\n", "named", "blue")


def test_disabled(tmp_path: Path) -> None:
    """
    With OTEL_SDK_DISABLED everything can be called, nothing is recorded and nothing is written.
    """
    said = program(
        """
        with bl.configure(directory=DIRECTORY, console=False), bl.step("work") as step:
            step.stamp("unheard")
            with trace.get_tracer("lib").start_as_current_span("span") as span:
                print(span.is_recording())
        """,
        tmp_path,
        OTEL_SDK_DISABLED="true",
    )

    assert (said, list(tmp_path.iterdir())) == ("False\n", [])


@pytest.mark.parametrize(
    ("propagators", "fields"),
    [("tracecontext", ["branchline", "traceparent"]), ("baggage", ["baggage", "branchline"]), ("none", ["branchline"])],
)
def test_propagators(tmp_path: Path, propagators: str, fields: list[str]) -> None:
    """
    OTEL_PROPAGATORS says what a carrier carries for others.
    """
    said = program(
        """
        from opentelemetry import baggage, context
        context.attach(baggage.set_baggage("user", "1"))
        with bl.configure(directory=DIRECTORY, console=False), bl.step("work"):
            print(*sorted(bl.carrier()))
        """,
        tmp_path,
        OTEL_PROPAGATORS=propagators,
    )

    assert said.split() == fields


# ── scopes ────────────────────────────────────────────────────────────────────────────────────────


def test_scopes(tmp_path: Path) -> None:
    """
    In the journal's lines spans stand under the scope of the tracer that made them: name, version, attributes.
    """
    with bl.configure("scopes", directory=tmp_path, console=False), bl.step("ours"):
        tracer = trace.get_tracer("lib", "1.2", attributes={"tier": 1})
        with tracer.start_as_current_span("theirs"):
            pass

    scopes = {
        scope["spans"][0]["name"]: scope["scope"]
        for line in journaled(tmp_path)
        for scope in line["resourceSpans"][0]["scopeSpans"]
    }
    assert scopes == {
        "ours": {"name": "branchline", "version": bl.__version__},
        "theirs": {"name": "lib", "version": "1.2", "attributes": [{"key": "tier", "value": {"intValue": "1"}}]},
    }


def test_tracers_outlive_runs(tmp_path: Path) -> None:
    """
    A tracer that was made in one run serves the next one, and is the same when it is asked for again.
    """
    with bl.configure("first", directory=tmp_path, run_id="1", console=False):
        tracer = trace.get_tracer("lib")
        is_same = tracer is trace.get_tracer("lib")
        tracer.start_span("one").end()
    tracer.start_span("between").end()
    with bl.configure("second", directory=tmp_path, run_id="2", console=False):
        tracer.start_span("two").end()

    assert is_same
    assert {run.id: [step.name for step in run.steps] for run in open_runs(tmp_path)} == {"1": ["one"], "2": ["two"]}


def test_baggage_is_left_alone(captured: Captured, tracer: trace.Tracer) -> None:
    """
    Baggage and other values of the context stay as they are inside spans and steps.
    """
    token = context.attach(baggage.set_baggage("user", "1"))
    with bl.step("outer"), tracer.start_as_current_span("span"):
        inside = baggage.get_all()
    context.detach(token)

    assert inside == {"user": "1"}


def test_after_the_run(tmp_path: Path) -> None:
    """
    After shutdown, though OpenTelemetry still has branchline's provider, steps are as if nothing had been configured.
    """
    with bl.configure("first", directory=tmp_path, console=False):
        pass
    with bl.step("unheard") as step:
        step.stamp("unheard")
        current = bl.current_step()

    assert (current, trace.get_current_span(), run_in(tmp_path).steps) == (None, trace.INVALID_SPAN, ())


def test_samplers_and_processors_see_what_a_step_starts_with(tmp_path):
    """
    The attributes and links of a step are there when a sampler decides and when a processor hears of its start.
    """
    asked = []

    class Asking(Sampler):
        def should_sample(
            self, parent_context, trace_id, name, kind=None, attributes=None, links=None, trace_state=None
        ):
            asked.append((name, dict(attributes or {}), len(links or ())))
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)

        def get_description(self):
            return "asking"

    with bl.configure("asked", directory=tmp_path, console=False, sampler=Asking()):
        with bl.step("first", size=1) as first:
            pass
        with bl.step("second", links=[first], size=2):
            pass

    assert asked == [("first", {"size": 1}, 0), ("second", {"size": 2}, 1)]


def test_scopes_keep_their_schema(tmp_path):
    """
    A tracer's schema URL and attributes stand with its spans, also where they come out of a dead process's ring.
    """
    program = f"""
    import os, branchline as bl
    from opentelemetry import trace
    bl.configure("schema", directory={str(tmp_path)!r}, console=False)
    tracer = trace.get_tracer("third.party", "1.2", None, "https://example.com/schema", {{"own": True}})
    with tracer.start_as_current_span("written"):
        pass
    bl.flush()
    with tracer.start_as_current_span("recovered"):
        pass
    os._exit(0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)
    open_runs(tmp_path)
    lines = [
        json.loads(line) for path in sorted(tmp_path.rglob("traces-*.jsonl")) for line in path.read_text().splitlines()
    ]
    scopes = [scope for line in lines for scope in line["resourceSpans"][0]["scopeSpans"]]

    own = {"key": "own", "value": {"boolValue": True}}
    told = {
        "scope": {"name": "third.party", "version": "1.2", "attributes": [own]},
        "url": "https://example.com/schema",
    }
    assert [{"scope": scope["scope"], "url": scope["schemaUrl"]} for scope in scopes] == [told, told]
    assert [span["name"] for scope in scopes for span in scope["spans"]] == ["written", "recovered"]
