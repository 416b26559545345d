"""The journal's lines are OTLP: official messages read them, with nothing unknown and nothing missing."""

import base64
import json
import logging
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry import _logs, metrics, trace
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.trace import Link, SpanKind

import branchline as bl


MESSAGES: dict[str, Any] = {"traces": TracesData, "logs": LogsData, "metrics": MetricsData}
IDS = ("traceId", "spanId", "parentSpanId")


@pytest.fixture
def journal(tmp_path):
    """
    The lines that one program with a bit of everything leaves, by signal.
    """
    with bl.configure("format", directory=tmp_path, console=False) as run:
        tracer = trace.get_tracer("third.party", "1.2.3", attributes={"scope": "own"})
        with bl.experiment("search", size=3):
            for config in ({"k": 1}, {"k": 2, "nested": {"deep": [1, 2.5, "x", None, True]}}):
                with bl.branch(config) as branch:
                    meter = metrics.get_meter("third.party", "1.2.3", attributes={"scope": "own"})
                    meter.create_counter("c", "1", "A count.").add(2**62, {"a": 1.5, "b": [True, "x"]})
                    meter.create_up_down_counter("u").add(-1)
                    meter.create_histogram("h", "s").record(0.25, {"ü": "\ud800"})
                    meter.create_gauge("g").set(-0.5)
                    bl.record_metric("accuracy", float("-inf"), unit="1", step=7, split="dev")
                    with bl.step("load", path="/data", blob=b"\x00\xff", big=2**80, nothing=None) as step:
                        step.stamp("loaded", rows=3, ratio=0.5, names=["a", "b"], nan=float("nan"))
                        step.link(branch_context(step), why="itself")
                    link = Link(trace.get_current_span().get_span_context(), {"to": "branch"})
                    with tracer.start_as_current_span("query", kind=SpanKind.CLIENT, links=[link]) as span:
                        span.add_event("sent", {"bytes": 10})
                        span.set_status(trace.StatusCode.OK)
                    branch.output = {"score": 1.0}
        with pytest.raises(ValueError, match="boom"), bl.step("fails \ud800 here"):
            raise ValueError("boom")
        bl.event("failing", severity="ERROR", message="soon", reason={"deep": [1, None]})
        bl.stamp("loose", at="top")
        logs = _logs.get_logger(
            "third.party", "1.2.3", schema_url="https://example.com/schema", attributes={"scope": "own"}
        )
        logs.emit(
            _logs.LogRecord(
                timestamp=1,
                observed_timestamp=2,
                severity_number=_logs.SeverityNumber.WARN3,
                severity_text="careful",
                body={"nested": [1, 2.5, None, True, b"\x00"]},
                attributes={"blob": b"\xff", "nan": float("nan"), "big": 2**80, "nothing": None},
                event_name="odd \ud800 name",
            )
        )
        logs.emit(_logs.LogRecord())
        try:
            raise ValueError("boom")
        except ValueError:
            logging.getLogger("app.db").exception("bad %s", "état", extra={"rows": 3, "otel.event.name": "app.bad"})
        logging.getLogger("app.db").warning({"structured": [1, {"a": b"x"}]})
    [process] = [path for path in run.run_directory.iterdir() if path.is_dir()]
    return {signal: (process / f"{signal}-000000.jsonl").read_text().splitlines() for signal in MESSAGES}


def branch_context(step):
    return step._recording.span.get_span_context()


def parsed(signal, line):
    """
    Return *line* as the official message; ids are hex in OTLP/JSON, and base64 in protobuf's own JSON.
    """
    return json_format.Parse(json.dumps(with_base64_ids(json.loads(line))), MESSAGES[signal]())


def with_base64_ids(value):
    if isinstance(value, list):
        return [with_base64_ids(item) for item in value]
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode() if key in IDS else with_base64_ids(item)
            for key, item in value.items()
        }
    return value


def spans(journal):
    return [
        span
        for line in journal["traces"]
        for resource in parsed("traces", line).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


@pytest.mark.parametrize("signal", MESSAGES)
def test_every_line_is_the_official_message(journal, signal):
    """
    The official parser, told to refuse unknown fields, takes every line; each line ends whole.
    """
    assert journal[signal]
    assert all(parsed(signal, line).ByteSize() for line in journal[signal])


def test_nothing_is_lost_between_text_and_message(journal):
    """
    The message written as text again says what the line said: no field was ignored, no enumeration unknown.
    """
    for signal, lines in journal.items():
        for line in lines:
            again = json_format.MessageToDict(parsed(signal, line), use_integers_for_enums=True)

            assert without_defaults(again) == without_defaults(with_base64_ids(json.loads(line)))


def without_defaults(value):
    """
    Return *value* without what protobuf leaves out because it is the default.
    """
    if isinstance(value, list):
        return [without_defaults(item) for item in value]
    if isinstance(value, dict):
        kept = {key: without_defaults(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, "", 0, {}, [], "0")}
    return value


def test_every_span_has_the_mandatory_fields(journal):
    """
    Trace id, span id, name, kind, start and end are there, the end not before the start.
    """
    for span in spans(journal):
        assert len(span.trace_id) == 16
        assert any(span.trace_id)
        assert len(span.span_id) == 8
        assert any(span.span_id)
        assert span.name
        assert span.kind
        assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
        assert len(span.parent_span_id) in (0, 8)
        assert span.flags & 0x100


def test_resource_and_scope_say_who_speaks(journal):
    """
    Every line names its service, its process and its run, and each span the scope that made it.
    """
    scopes = set()
    for line in journal["traces"]:
        for resource in parsed("traces", line).resource_spans:
            attributes = {attribute.key for attribute in resource.resource.attributes}
            assert {"service.name", "service.instance.id", "branchline.run.id", "process.pid"} <= attributes
            for scope in resource.scope_spans:
                scopes |= {(scope.scope.name, span.name) for span in scope.spans}

    assert ("third.party", "query") in scopes
    assert ("branchline", "load") in scopes


def records(journal):
    return [
        (scope, record)
        for line in journal["logs"]
        for resource in parsed("logs", line).resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


def test_log_records_say_who_speaks(journal):
    """
    Each log record stands under the scope that made it, with its version, schema and attributes.
    """
    scopes = {scope.scope.name: scope for scope, _ in records(journal)}

    assert set(scopes) == {"branchline", "third.party", "app.db"}
    assert scopes["third.party"].scope.version == "1.2.3"
    assert scopes["third.party"].schema_url == "https://example.com/schema"
    assert [(item.key, item.value.string_value) for item in scopes["third.party"].scope.attributes] == [
        ("scope", "own")
    ]


def test_times_and_severity_of_log_records(journal):
    """
    A log record has the times and the severity that it was given; a time that nobody gave is that of its recording.
    """
    said, silent = (record for scope, record in records(journal) if scope.scope.name == "third.party")
    logged, _ = (record for scope, record in records(journal) if scope.scope.name == "app.db")

    assert (said.time_unix_nano, said.observed_time_unix_nano) == (1, 2)
    assert (said.severity_number, said.severity_text, said.event_name) == (15, "careful", "odd \\ud800 name")
    assert silent.time_unix_nano == silent.observed_time_unix_nano > 1_600_000_000 * 10**9
    assert (silent.severity_number, silent.severity_text) == (0, "")
    assert (logged.severity_number, logged.severity_text, logged.event_name) == (17, "ERROR", "app.bad")


def test_every_log_record_has_the_mandatory_fields(journal):
    """
    Times, severity and event name are there, and an id that no other record has.
    """
    everything = [record for _, record in records(journal)]
    ours = [record for scope, record in records(journal) if scope.scope.name == "branchline"]
    uids = [
        attribute.value.string_value
        for record in everything
        for attribute in record.attributes
        if attribute.key == "log.record.uid"
    ]

    assert all(record.time_unix_nano and record.observed_time_unix_nano for record in everything)
    assert all(record.severity_number and record.severity_text and record.event_name for record in ours)
    assert len(set(uids)) == len(everything)


def test_every_metric_has_the_mandatory_fields(journal):
    """
    Every data point has its times, every sum and histogram is cumulative, and each keeps the scope that made it.
    """
    scopes = set()
    for line in journal["metrics"]:
        for resource in parsed("metrics", line).resource_metrics:
            for scoped in resource.scope_metrics:
                for metric in scoped.metrics:
                    scopes.add((scoped.scope.name, metric.name))
                    kind = metric.WhichOneof("data")
                    data = getattr(metric, kind)
                    assert data.data_points
                    assert kind == "gauge" or data.aggregation_temporality == 2
                    for point in data.data_points:
                        assert point.time_unix_nano
                        assert kind == "gauge" or 0 < point.start_time_unix_nano < point.time_unix_nano

    assert scopes == {
        *(("third.party", name) for name in ("c", "u", "h", "g")),
        *(("branchline", f"branchline.{name}") for name in ("step.duration", "branch.duration", "branches")),
    }
