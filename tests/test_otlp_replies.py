"""What answers of servers mean, decided without any server."""

from __future__ import annotations

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from branchline.exporters.otlp import Answer
from branchline.exporters.otlp.over_grpc import answer_of as answer_of_grpc
from branchline.exporters.otlp.over_grpc import retry_delay
from branchline.exporters.otlp.replies import Reply, answer_of, bounded, fields_in, retry_after_seconds


NOW = 1_700_000_000.0


def answered(status: int = 200, body: bytes = b"", kind: str = "application/json", **headers: str) -> Answer:
    return answer_of(Reply(status=status, headers={"content-type": kind, **headers}, body=body), now=NOW)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", Answer(kind="accepted")),
        (b"{}", Answer(kind="accepted")),
        (b"[]", Answer(kind="accepted")),
        (b'{"partialSuccess":{}}', Answer(kind="accepted")),
        (b'{"partialSuccess":null}', Answer(kind="accepted")),
        (b'{"partialSuccess":{"errorMessage":"old"}}', Answer(kind="accepted", message="old")),
        (b'{"partialSuccess":{"rejectedSpans":"0"}}', Answer(kind="accepted")),
        (b'{"partialSuccess":{"rejectedSpans":-1}}', Answer(kind="accepted")),
        (b'{"partialSuccess":{"rejectedSpans":"x"}}', Answer(kind="accepted")),
        (b'{"partialSuccess":{"rejectedSpans":"3"}}', Answer(kind="partial", rejected=3)),
        (b'{"partialSuccess":{"rejectedLogRecords":4}}', Answer(kind="partial", rejected=4)),
        (
            b'{"partialSuccess":{"rejectedDataPoints":5,"errorMessage":"no"}}',
            Answer(kind="partial", rejected=5, message="no"),
        ),
        (b'{"partialSuccess":{"rejectedSpans":"7","errorMessage":"xxx', Answer(kind="partial", rejected=7)),
    ],
)
def test_success_in_json(body, expected):
    """
    Items are rejected only where the server counts some, also where its answer was too long to be read whole.
    """
    assert answered(body=body) == expected


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (ExportTraceServiceResponse, "rejected_spans"),
        (ExportLogsServiceResponse, "rejected_log_records"),
        (ExportMetricsServiceResponse, "rejected_data_points"),
    ],
)
def test_success_in_protobuf(kind, field):
    """
    A rejection in protobuf is understood without the protobuf package, whole and cut short.
    """
    response = kind()
    setattr(response.partial_success, field, 300)
    response.partial_success.error_message = "too old " * 20
    body = response.SerializeToString()

    whole = answered(body=body, kind="application/x-protobuf")
    cut = answered(body=body[:40], kind="application/x-protobuf; charset=x")

    assert whole == Answer(kind="partial", rejected=300, message=("too old " * 20).strip())
    assert (cut.kind, cut.rejected) == ("partial", 300)
    assert answered(body=kind().SerializeToString(), kind="application/x-protobuf") == Answer(kind="accepted")


def test_retry_info():
    """
    How long to wait stands in one of the details of a status, and in no other.
    """
    info = RetryInfo(retry_delay=Duration(seconds=3, nanos=500_000_000))
    other, meant = AnyMessage(), AnyMessage()
    other.Pack(Duration(seconds=9))
    meant.Pack(info)
    status = Status(code=8, message="quota", details=[other, meant])

    assert retry_delay(status.SerializeToString()) == 3.5
    assert retry_delay(Status(code=8, details=[other]).SerializeToString()) is None
    assert retry_delay(None) is None


@pytest.mark.parametrize("body", [b"", b"\xff" * 30, b"\x0a", b"\x0a\xff\xff\xff\xff", b"\x0b\x0c", bytes(range(256))])
def test_damaged_protobuf(body):
    """
    Whatever bytes come back, reading them ends.
    """
    assert len(list(fields_in(body))) <= len(body)


def test_reasons():
    """
    The reason is taken from a status in JSON or protobuf, from text, or from a page without its markup.
    """
    page = b"<html><style>p{}</style><p>Bad\ngateway</p></html>"
    reasons = [
        answered(400, b'{"code":3,"message":"no name"}'),
        answered(400, Status(code=3, message="no name").SerializeToString(), "application/x-protobuf"),
        answered(400, b"no name", "text/plain"),
        answered(400, b'{"error":"no name"}'),
        answered(400),
        answered(502, page, "text/html; charset=utf-8"),
        answered(599, b"", "text/plain"),
    ]

    assert [answer.message for answer in reasons] == [
        *["400 Bad Request: no name"] * 3,
        '400 Bad Request: {"error":"no name"}',
        "400 Bad Request",
        "502 Bad Gateway: Bad gateway",
        "599",
    ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0.0),
        ("999999999999", 86_400.0),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Tue, 99 Nov 2023 22:13:50 GMT", None),
    ],
)
def test_retry_after(text, seconds):
    """
    A wait is in seconds or until a date, never negative and never longer than a day.
    """
    assert retry_after_seconds(text, NOW) == seconds


def test_messages_are_bounded():
    """
    A message is one line of at most 2000 characters, without secrets, control characters and what is to be hidden.
    """
    text = "\x1b[31mred\x00\n" + "api_key=sk-proj-abcdefghijklmnop1234 " + "mine " + "x" * 5000

    message = bounded(text, ["mine", ""])

    assert message.startswith("[31mred api_key=[redacted] [redacted] xxx")
    assert (len(message), message[-1]) == (2000, "…")


@pytest.mark.parametrize(
    ("code", "details", "wait", "kind"),
    [
        ("UNAVAILABLE", "", None, "retry"),
        ("DEADLINE_EXCEEDED", "", None, "retry"),
        ("CANCELLED", "", None, "retry"),
        ("ABORTED", "", None, "retry"),
        ("OUT_OF_RANGE", "", None, "retry"),
        ("DATA_LOSS", "", None, "retry"),
        ("RESOURCE_EXHAUSTED", "quota", 3.0, "retry"),
        ("RESOURCE_EXHAUSTED", "quota", None, "refused"),
        ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (9 vs. 4)", None, "too_large"),
        ("RESOURCE_EXHAUSTED", "gRPC message exceeds maximum size 4: 9", None, "too_large"),
        ("OUT_OF_RANGE", "Error, decoded message length too large: found 9 bytes", None, "too_large"),
        ("UNIMPLEMENTED", "unknown service", None, "refused"),
        ("INVALID_ARGUMENT", "", None, "refused"),
        ("UNAUTHENTICATED", "", None, "refused"),
        ("PERMISSION_DENIED", "", None, "refused"),
        ("INTERNAL", "", None, "refused"),
        ("UNKNOWN", "", None, "refused"),
    ],
)
def test_codes_of_grpc(code, details, wait, kind):
    """
    Only the codes that OTLP names are sent again; an exhausted server must say when.
    """
    answer = answer_of_grpc(code, details, wait, place="http://h:4317", hidden=())

    assert (answer.kind, answer.retry_after_seconds) == (kind, wait)
    assert answer.message.startswith(f"http://h:4317: {code}")
