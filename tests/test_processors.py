"""Other people's span processors on the provider that branchline sets: they see ordinary spans, ours included."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import branchline as bl
from branchline.read import Run, open_runs
from branchline.testing import capture


class Recorder(SpanProcessor):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.ending: list[str] = []
        self.ended: list[ReadableSpan] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.started.append({"name": span.name, "parent": span.parent, "attributes": dict(span.attributes)})

    def _on_ending(self, span: Any) -> None:
        self.ending.append(span.name)

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)

    def named(self, name: str) -> ReadableSpan:
        [span] = [span for span in self.ended if span.name == name]
        return span


@pytest.fixture
def run(tmp_path: Path) -> Iterator[bl.Telemetry]:
    with bl.configure("watched", directory=tmp_path, console=False, signals=False) as telemetry:
        yield telemetry
    # OpenTelemetry lets a process set one provider, and it has no word for taking a processor away.
    provider()._active_span_processor._span_processors = ()


def provider() -> Any:
    found = trace.get_tracer_provider()
    assert isinstance(found, TracerProvider)
    return found


def watched_by(*processors: SpanProcessor) -> None:
    for processor in processors:
        provider().add_span_processor(processor)


def journaled(run: bl.Telemetry) -> Run:
    run.flush()
    return open_runs(run.directory)[run.run_id]


# ── what they see ─────────────────────────────────────────────────────────────────────────────────


def test_steps_are_ordinary_spans(run: bl.Telemetry) -> None:
    """
    A processor sees a step as a span like any other: what it was given, what it is to branchline, where it belongs.
    """
    watching = Recorder()
    watched_by(watching)
    with bl.experiment("prompts"), bl.branch({"model": "small"}, name="small", config_id="c1"):
        with bl.step("ask", rows=1) as step:
            step.stamp("asked", words=3)
            step.set(options={"top": 3})

    span, branch = watching.named("ask"), watching.named("small")
    assert span.context is not None
    assert branch.context is not None
    assert type(span) is ReadableSpan
    assert dict(span.attributes or {}) == {
        "branchline.kind": "step",
        "branchline.outcome": "success",
        "branchline.experiment.name": "prompts",
        "branchline.branch.id": (branch.attributes or {})["branchline.branch.id"],
        "branchline.branch.name": "small",
        "rows": 1,
        "options": {"top": 3},
    }
    assert [(event.name, dict(event.attributes or {})) for event in span.events] == [("asked", {"words": 3})]
    assert (span.parent, span.kind, span.status.status_code) == (branch.context, SpanKind.INTERNAL, StatusCode.UNSET)
    assert span.instrumentation_scope is not None
    assert (span.instrumentation_scope.name, span.resource.attributes["service.name"]) == ("branchline", "watched")
    assert (span.context.trace_id, span.context.trace_flags.sampled) == (branch.context.trace_id, True)
    assert (branch.start_time or 0) <= (span.start_time or 0) <= (span.end_time or 0) <= (branch.end_time or 0)


def test_every_span_is_shown(run: bl.Telemetry) -> None:
    """
    A processor sees every span begin and end, plain ones and steps at any depth, in the SDK's order.
    """
    watching = Recorder()
    watched_by(watching)
    with bl.step("one"), trace.get_tracer("lib").start_as_current_span("two"), bl.step("three"), bl.step("four"):
        pass

    names = ["one", "two", "three", "four"]
    assert [start["name"] for start in watching.started] == names
    assert watching.ending == [span.name for span in watching.ended] == names[::-1]


def test_before_redaction(run: bl.Telemetry) -> None:
    """
    A processor sees values as they were given; the journal has them redacted.
    """
    watching = Recorder()
    watched_by(watching)
    with bl.step("login", password="hunter2"):
        pass

    [step] = journaled(run).steps
    assert ((watching.named("login").attributes or {})["password"], step.attributes["password"]) == (
        "hunter2",
        "[redacted]",
    )


def test_copies_do_not_change(run: bl.Telemetry) -> None:
    """
    What a processor keeps of a span cannot be changed, neither by it nor by what happens later.
    """
    watching = Recorder()
    watched_by(watching)
    with bl.step("work", rows=[1]) as step:
        step.stamp("noted", rows=[1])

    span = watching.named("work")
    for attributes in (span.attributes, span.events[0].attributes):
        with pytest.raises(TypeError):
            attributes["rows"] = 2  # type: ignore[index]  # that is the question
    assert json.loads(span.to_json())["attributes"]["rows"] == [1]


def test_failed_steps(run: bl.Telemetry) -> None:
    """
    A processor sees a failed step as an error, with one exception event.
    """
    watching = Recorder()
    watched_by(watching)
    with pytest.raises(KeyError), bl.step("ask"):
        raise KeyError("k")

    span = watching.named("ask")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "'k'")
    [event] = span.events
    assert event.attributes is not None
    assert (event.name, event.attributes["exception.type"]) == ("exception", "KeyError")


def test_what_was_dropped(run: bl.Telemetry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A processor is told what limits have dropped of a span, its events and its links.
    """
    monkeypatch.setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "1")
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "1")
    monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "1")
    watching = Recorder()
    watched_by(watching)
    with bl.configure("limited", directory=tmp_path, console=False):
        with trace.get_tracer("lib").start_as_current_span("work", attributes={"a": 1, "b": 2, "c": 3}) as span:
            for number in range(5):
                span.add_event(f"event {number}", {"a": 1, "b": 2})
                span.add_link(span.get_span_context(), {"a": 1, "b": 2})

    seen = watching.named("work")
    assert (seen.dropped_attributes, seen.dropped_events, seen.dropped_links) == (2, 4, 4)
    assert (seen.events[0].dropped_attributes, seen.links[0].dropped_attributes) == (1, 1)


def test_otlp_encoder(run: bl.Telemetry) -> None:
    """
    The OTLP exporters' own encoder takes a step with everything on it.
    """
    encoder = pytest.importorskip("opentelemetry.exporter.otlp.proto.common.trace_encoder", reason="no OTLP exporter")
    watching = Recorder()
    watched_by(watching)
    other = trace.get_tracer("lib").start_span("other")
    with bl.step("work", raw=b"\x00", big=2**70, share=0.5, rows=[1, 2], options={"a": {"b": 1}}) as step:
        step.stamp("noted", rows=1)
        step.link(other)
    other.end()

    request = encoder.encode_spans([watching.named("work")])

    [span] = request.resource_spans[0].scope_spans[0].spans
    assert span.name == "work"
    assert {attribute.key: attribute.value.WhichOneof("value") for attribute in span.attributes} == {
        "branchline.kind": "string_value",
        "branchline.outcome": "string_value",
        "raw": "bytes_value",
        "big": "string_value",
        "share": "double_value",
        "rows": "array_value",
        "options": "kvlist_value",
    }
    assert ([event.name for event in span.events], len(span.links)) == (["noted"], 1)


# ── what they do ──────────────────────────────────────────────────────────────────────────────────


class Enriching(SpanProcessor):
    """Sets an attribute on every span that begins."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        span.set_attribute("tenant", "blue")


def test_what_they_add(run: bl.Telemetry) -> None:
    """
    What a processor sets on a span that begins is in the journal, too.
    """
    watched_by(Enriching())
    with bl.step("work", rows=1):
        pass

    [step] = journaled(run).steps
    assert step.attributes == {"tenant": "blue", "rows": 1}


class Failing(SpanProcessor):
    """Raises whenever it is called."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise RuntimeError("start")

    def _on_ending(self, span: Any) -> None:
        raise RuntimeError("ending")

    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("end")


def test_what_they_raise(run: bl.Telemetry) -> None:
    """
    What a processor raises reaches neither the application nor the other processors nor the journal; it is counted.
    """
    watching = Recorder()
    watched_by(Failing(), watching)
    done = []
    with bl.step("work"), trace.get_tracer("lib").start_as_current_span("inner"):
        done.append("work")

    assert (done, [span.name for span in watching.ended]) == (["work"], ["inner", "work"])
    assert [step.name for step in journaled(run).steps] == ["work", "inner"]
    bl.shutdown()
    [process] = open_runs(run.directory)[run.run_id].processes
    assert process.oddities == {"failed_processor": 6}


def test_added_late(run: bl.Telemetry) -> None:
    """
    A processor that is added while spans are open sees them end.
    """
    watching = Recorder()
    with bl.step("outer"):
        with bl.step("inner"):
            watched_by(watching)

    assert (watching.started, [span.name for span in watching.ended]) == ([], ["inner", "outer"])


def test_taken_away(run: bl.Telemetry) -> None:
    """
    A package that empties the provider's list of processors, as some do, is obeyed.
    """
    watching = Recorder()
    watched_by(watching)
    provider()._active_span_processor._span_processors = ()
    with bl.step("work"):
        pass

    assert (watching.started, watching.ended) == ([], [])


def test_in_a_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A processor that is added inside a capture sees the capture's spans, and none of those after it.
    """
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace._TRACER_PROVIDER_SET_ONCE, "_done", False)
    watching = Recorder()
    with capture() as captured:
        watched_by(watching)
        with bl.step("inside"):
            pass
    with capture(), bl.step("after"):
        pass

    assert (captured.tree(), [span.name for span in watching.ended]) == ("step inside  success", ["inside"])


# ── the SDK's own ─────────────────────────────────────────────────────────────────────────────────


def test_simple_processor(run: bl.Telemetry) -> None:
    """
    The SDK's simple processor exports every span when it ends.
    """
    exporter = InMemorySpanExporter()
    watched_by(SimpleSpanProcessor(exporter))
    with bl.step("outer"), bl.step("inner"):
        pass

    assert [span.name for span in exporter.get_finished_spans()] == ["inner", "outer"]


def test_batch_processor(run: bl.Telemetry) -> None:
    """
    The SDK's batch processor exports what it has when the provider is flushed.
    """
    exporter = InMemorySpanExporter()
    processor = BatchSpanProcessor(exporter)
    watched_by(processor)
    for number in range(100):
        with bl.step(f"step {number}"):
            pass
    is_flushed = provider().force_flush()
    processor.shutdown()

    assert (is_flushed, len(exporter.get_finished_spans())) == (True, 100)


def test_batch_processor_at_exit(tmp_path: Path) -> None:
    """
    At the process's end a batch processor exports what it has, open steps included, though nobody has asked it to.
    """
    code = f"""
    import branchline as bl
    from opentelemetry import trace
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Printing(SpanExporter):
        def export(self, spans):
            print(*(f"{{span.name}}={{span.attributes['branchline.outcome']}}" for span in spans))
            return SpanExportResult.SUCCESS

    bl.configure("exit", directory={str(tmp_path)!r}, console=False)
    trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(Printing()))
    bl.step("open").__enter__()
    with bl.step("done"):
        pass
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert done.stdout.split() == ["done=success", "open=interrupted"]


# ── other vendors' ────────────────────────────────────────────────────────────────────────────────


def test_opentelemetry_baggage(run: bl.Telemetry) -> None:
    """
    OpenTelemetry's baggage processor puts baggage on steps.
    """
    package = pytest.importorskip("opentelemetry.processor.baggage", reason="the baggage processor is missing")
    watched_by(package.BaggageSpanProcessor(package.ALLOW_ALL_BAGGAGE_KEYS))
    token = context.attach(baggage.set_baggage("user", "1"))
    with bl.step("outer"), bl.step("inner"):
        pass
    context.detach(token)

    assert {step.name: step.attributes for step in journaled(run).steps} == {
        "outer": {"user": "1"},
        "inner": {"user": "1"},
    }


def test_langfuse(run: bl.Telemetry) -> None:
    """
    Langfuse's processor exports steps, with the attributes that it propagates itself.
    """
    module = pytest.importorskip("langfuse._client.span_processor", reason="langfuse is missing")
    propagate_attributes = pytest.importorskip("langfuse").propagate_attributes
    exporter = InMemorySpanExporter()
    processor = module.LangfuseSpanProcessor(
        public_key="pk",
        secret_key="sk",
        base_url="http://127.0.0.1:1",
        span_exporter=exporter,
        should_export_span=lambda span: True,
    )
    watched_by(processor)
    with propagate_attributes(user_id="u1"), bl.step("ask", rows=1):
        pass
    processor.force_flush()
    processor.shutdown()

    [span] = exporter.get_finished_spans()
    attributes: Mapping[str, Any] = span.attributes or {}
    assert (span.name, attributes["user.id"], attributes["rows"]) == ("ask", "u1", 1)


def test_logfire(run: bl.Telemetry) -> None:
    """
    Logfire's processors, the one that scrubs included, export steps.
    """
    wrapper = pytest.importorskip("logfire._internal.exporters.processor_wrapper", reason="logfire is missing")
    scrubbing = pytest.importorskip("logfire._internal.scrubbing")
    exporter = InMemorySpanExporter()
    watched_by(
        wrapper.CheckSuppressInstrumentationProcessorWrapper(
            wrapper.MainSpanProcessorWrapper(SimpleSpanProcessor(exporter), scrubbing.Scrubber(None))
        )
    )
    with contextlib.suppress(ValueError), bl.step("ask", rows=1) as step:
        step.stamp("asked")
        raise ValueError("bad")

    [span] = exporter.get_finished_spans()
    assert (span.name, (span.attributes or {})["rows"], [event.name for event in span.events]) == (
        "ask",
        1,
        ["asked", "exception"],
    )


def test_openinference(run: bl.Telemetry) -> None:
    """
    OpenInference's tracer wraps ours: its spans are in the journal, below the step, with its kinds.
    """
    package = pytest.importorskip("openinference.instrumentation", reason="openinference-instrumentation is missing")
    tracer = package.OITracer(trace.get_tracer("lib"), config=package.TraceConfig())

    @tracer.chain
    def answer(question: str) -> str:
        return question.upper()

    with bl.step("ask"):
        answer("why")

    [ask] = journaled(run).roots
    [span] = ask.children
    found = [span.name, *(span.attributes[key] for key in ("openinference.span.kind", "input.value", "output.value"))]
    assert found == ["answer", "CHAIN", "why", "WHY"]
