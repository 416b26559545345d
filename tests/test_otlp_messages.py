"""Lines of the journal as protobuf: every field, exactly."""

from __future__ import annotations

import base64
import gzip
import math
from pathlib import Path
from typing import Any

import orjson
import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import branchline as bl
from branchline._journal.layout import Signal, segments
from branchline.exporters.otlp.lines import NotOtlpError
from branchline.exporters.otlp.messages import encoded
from journals import attributes


REQUESTS: dict[Signal, Any] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
VALUES = attributes(
    {
        "text": 'déjà vu\n\u2028"',
        "empty": "",
        "true": True,
        "false": False,
        "small": 0,
        "large": 2**63 - 1,
        "negative": -(2**63),
        "float": 0.1,
        "whole": 3.0,
        "bytes": b"\x00\xff",
        "list": ["a", 1, 2.5, True, [b"x"], {"k": "v"}],
        "none in a list": [None, 1],
        "map": {"a": {"b": [1]}, "c": {}},
        "empty list": [],
    }
)
RESOURCE = {
    "attributes": VALUES,
    "droppedAttributesCount": 4,
    "entityRefs": [{"schemaUrl": "u", "type": "t", "idKeys": ["a"], "descriptionKeys": ["b"]}],
}
SCOPE = {"name": "scope", "version": "1", "attributes": VALUES, "droppedAttributesCount": 3}
EXEMPLAR = {"filteredAttributes": VALUES, "timeUnixNano": "5", "spanId": SPAN, "traceId": TRACE}
POINT = {"attributes": VALUES, "startTimeUnixNano": "1", "timeUnixNano": "2", "flags": 1}
NUMBERS = [{**POINT, "asInt": "-7", "exemplars": [{**EXEMPLAR, "asInt": "3"}]}, {**POINT, "asDouble": 1.5}]
QUANTILES = [{"quantile": 0.5, "value": 1.0}]
BUCKETS = {"offset": -3, "bucketCounts": ["1", "2"]}

SPANS = {
    "resourceSpans": [
        {
            "resource": RESOURCE,
            "schemaUrl": "https://example.org/1",
            "scopeSpans": [
                {
                    "scope": SCOPE,
                    "schemaUrl": "https://example.org/2",
                    "spans": [
                        {
                            "traceId": TRACE,
                            "spanId": SPAN,
                            "traceState": "a=b",
                            "parentSpanId": PARENT,
                            "flags": 769,
                            "name": "a span",
                            "kind": 3,
                            "startTimeUnixNano": "1700000000000000001",
                            "endTimeUnixNano": "18446744073709551615",
                            "attributes": VALUES,
                            "droppedAttributesCount": 1,
                            "events": [
                                {"timeUnixNano": "9", "name": "e", "attributes": VALUES, "droppedAttributesCount": 2}
                            ],
                            "droppedEventsCount": 3,
                            "links": [
                                {
                                    "traceId": TRACE,
                                    "spanId": PARENT,
                                    "traceState": "c=d",
                                    "attributes": VALUES,
                                    "droppedAttributesCount": 5,
                                    "flags": 256,
                                }
                            ],
                            "droppedLinksCount": 6,
                            "status": {"message": "m", "code": 2},
                        },
                        {"traceId": TRACE, "spanId": PARENT, "name": "bare"},
                    ],
                }
            ],
        }
    ]
}
LOGS = {
    "resourceLogs": [
        {
            "resource": RESOURCE,
            "scopeLogs": [
                {
                    "scope": SCOPE,
                    "schemaUrl": "s",
                    "logRecords": [
                        {
                            "timeUnixNano": "1",
                            "observedTimeUnixNano": "2",
                            "severityNumber": 17,
                            "severityText": "ERROR",
                            "body": {"kvlistValue": {"values": VALUES}},
                            "attributes": VALUES,
                            "droppedAttributesCount": 1,
                            "flags": 1,
                            "traceId": TRACE,
                            "spanId": SPAN,
                            "eventName": "e",
                        }
                    ],
                }
            ],
            "schemaUrl": "r",
        }
    ]
}
METRICS = {
    "resourceMetrics": [
        {
            "resource": RESOURCE,
            "schemaUrl": "r",
            "scopeMetrics": [
                {
                    "scope": SCOPE,
                    "schemaUrl": "s",
                    "metrics": [
                        {
                            "name": "g",
                            "description": "d",
                            "unit": "s",
                            "metadata": VALUES,
                            "gauge": {"dataPoints": NUMBERS},
                        },
                        {"name": "s", "sum": {"dataPoints": NUMBERS, "aggregationTemporality": 2, "isMonotonic": True}},
                        {
                            "name": "h",
                            "histogram": {
                                "aggregationTemporality": 2,
                                "dataPoints": [
                                    {
                                        **POINT,
                                        "count": "3",
                                        "sum": 4.5,
                                        "bucketCounts": ["1", "2"],
                                        "explicitBounds": [0.5],
                                        "exemplars": [{**EXEMPLAR, "asDouble": 0.5}],
                                        "min": 0.0,
                                        "max": 3.0,
                                    }
                                ],
                            },
                        },
                        {
                            "name": "x",
                            "exponentialHistogram": {
                                "aggregationTemporality": 1,
                                "dataPoints": [
                                    {
                                        **POINT,
                                        "count": "3",
                                        "sum": -4.5,
                                        "scale": -2,
                                        "zeroCount": "1",
                                        "positive": BUCKETS,
                                        "negative": BUCKETS,
                                        "min": -1.0,
                                        "max": 1.0,
                                        "zeroThreshold": 1e-9,
                                        "exemplars": [EXEMPLAR],
                                    }
                                ],
                            },
                        },
                        {
                            "name": "q",
                            "summary": {
                                "dataPoints": [
                                    {
                                        **POINT,
                                        "count": "1",
                                        "sum": 2.0,
                                        "quantileValues": [{"quantile": 0.5, "value": 1.0}],
                                    }
                                ]
                            },
                        },
                    ],
                }
            ],
        }
    ]
}


def line(content: object) -> bytes:
    return orjson.dumps(content) + b"\n"


def made_of(signal: Signal, lines: list[bytes]) -> Any:
    return REQUESTS[signal].FromString(encoded(signal, lines))


def officially(signal: Signal, content: dict[str, Any]) -> Any:
    """Return what protobuf's own reader of JSON makes of *content*, which has ids in base64."""
    return ParseDict(base64_ids(content), REQUESTS[signal](), ignore_unknown_fields=True)


def base64_ids(content: Any) -> Any:
    if isinstance(content, dict):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode()
            if key in {"traceId", "spanId", "parentSpanId"}
            else base64_ids(item)
            for key, item in content.items()
        }
    return [base64_ids(item) for item in content] if isinstance(content, list) else content


@pytest.mark.parametrize(("signal", "content"), [("traces", SPANS), ("logs", LOGS), ("metrics", METRICS)])
def test_every_field_is_what_it_was(signal, content):
    """
    Every field of every message is what protobuf's own reader of JSON makes of it.
    """
    twice = REQUESTS[signal]()
    twice.MergeFrom(officially(signal, content))
    twice.MergeFrom(officially(signal, content))

    assert made_of(signal, [line(content)]) == officially(signal, content)
    assert made_of(signal, [line(content)] * 2) == twice


@pytest.mark.parametrize(("signal", "content"), [("traces", SPANS), ("logs", LOGS), ("metrics", METRICS)])
def test_every_field_was_tried(signal, content):
    """
    The content that the tests above compare has every field that the messages have, so that none is forgotten.
    """
    made = made_of(signal, [line(content)])
    tried: set[str] = set()
    known: dict[str, Any] = {}

    def walk(message: Any) -> None:
        known[message.DESCRIPTOR.full_name] = message.DESCRIPTOR
        for field, value in message.ListFields():
            tried.add(field.full_name)
            if field.message_type is not None:
                for one in value if hasattr(value, "__len__") else [value]:
                    walk(one)

    walk(made)
    # Fields for profiles, which other signals must not use.
    missing = {field.full_name for descriptor in known.values() for field in descriptor.fields} - tried
    assert {name for name in missing if not name.endswith("strindex")} == set()


def test_what_we_write_is_understood(tmp_path):
    """
    What branchline itself records is the same message either way.
    """
    with bl.configure("messages", directory=tmp_path, console=False, durability="batch"):
        with bl.branch({"a": 1, "b": [1.5, None]}), bl.step("load", rows=3) as step:
            step.stamp("loaded", data=b"\x00", nested={"x": [1, "y"]})
    [process] = [path.parent for path in tmp_path.glob("runs/*/*/process.json")]
    written = {
        signal: [line for segment in segments(process, signal) for line in lines_of(segment.path)]
        for signal in REQUESTS
    }

    assert [bool(written[signal]) for signal in ("traces", "logs")] == [True, True]
    for signal, lines in written.items():
        for one in lines:
            assert made_of(signal, [one]) == officially(signal, orjson.loads(one))


def lines_of(path: Path) -> list[bytes]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return content.splitlines(keepends=True)


def test_other_spellings():
    """
    Enums by name, numbers as numbers, ids in capitals or base64, numbers that JSON does not have: all are read.
    """
    span = {
        "traceId": TRACE.upper(),
        "spanId": base64.b64encode(bytes.fromhex(SPAN)).decode(),
        "kind": "SPAN_KIND_CLIENT",
        "startTimeUnixNano": 5,
        "status": {"code": "STATUS_CODE_ERROR", "newer": {"unknown": 1}},
        "attributes": [{"key": "n", "value": {"doubleValue": "NaN"}}, {"key": "none"}, {"key": "null", "value": None}],
        "links": None,
    }
    content = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}], "unknown": 1}], "more": True}

    [made] = made_of("traces", [line(content)]).resource_spans[0].scope_spans[0].spans

    assert (made.trace_id.hex(), made.span_id.hex(), made.kind, made.start_time_unix_nano) == (TRACE, SPAN, 3, 5)
    assert (made.status.code, [item.key for item in made.attributes]) == (2, ["n", "none", "null"])
    assert math.isnan(made.attributes[0].value.double_value)


@pytest.mark.parametrize(
    "span",
    [
        {"traceId": "xyz"},
        {"traceId": 5},
        {"startTimeUnixNano": "soon"},
        {"startTimeUnixNano": str(2**64)},
        {"attributes": 3},
        {"attributes": [3]},
        {"attributes": [{"key": 1, "value": {"stringValue": "x"}}]},
        {"attributes": [{"key": "k", "value": {"stringValue": 3}}]},
        {"status": []},
        {"kind": "SPAN_KIND_NEW"},
    ],
)
def test_what_is_no_otlp(span):
    """
    A line that protobuf has no place for is one kind of error.
    """
    content = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}

    with pytest.raises(NotOtlpError, match="a line of traces is no OTLP"):
        made_of("traces", [line(content)])
