"""OTLP/JSON lines become records, whoever wrote them and whatever has happened to the file since."""

from __future__ import annotations

import base64
import gzip
import json
import math
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from branchline._journal.anyvalue import any_value
from branchline._journal.decode import (
    BAD_RECORD,
    CUT_FILE,
    DAMAGED,
    NO_FILE,
    NO_IDS,
    NOT_OTLP,
    NOT_STRICT,
    TOO_LONG,
    TORN,
    DecodedEvent,
    DecodedLink,
    DecodedLog,
    DecodedSpan,
    Line,
    Skipped,
    Skips,
    decode_line,
    read_file,
)
from journals import BEGIN, TRACE, attributes, event, log, logs_line, span, spans_line, value


def decoded(line: bytes) -> tuple[Line, list[str]]:
    """Return what *line* holds and what was noted."""
    notes: list[str] = []
    return decode_line(line, notes.append), notes


def names_in(path: Path) -> tuple[list[str], tuple[Skipped, ...]]:
    """Return the names of the spans in *path* and what was skipped."""
    skips = Skips()
    found = [one.name for line in read_file(path, skips) for one in line.spans]
    return found, skips.found()


def test_span_line() -> None:
    """
    A span's fields arrive with their types: times as numbers, attributes as plain values, sequences as tuples.
    """
    written = span(1, "load", parent=2, events=[event("loaded", 0.5, rows=3)], own={"x": 1.5, "l": ["a", 2]}, code=2)
    written["links"] = [{"traceId": TRACE, "spanId": "00000000000000ff", "attributes": attributes({"why": "retry"})}]

    line, notes = decoded(spans_line(written, resource={"service.name": "demo"}))

    assert notes == []
    assert line == Line(
        [
            DecodedSpan(
                trace_id=TRACE,
                span_id="0000000000000001",
                parent_id="0000000000000002",
                name="load",
                start_unix_nano=BEGIN,
                end_unix_nano=BEGIN + 1_000_000_000,
                status=2,
                status_message="",
                attributes={"x": 1.5, "l": ("a", 2)},
                ours={"branchline.kind": "step", "branchline.outcome": "success"},
                events=[DecodedEvent("loaded", BEGIN + 500_000_000, {"rows": 3})],
                links=[DecodedLink(TRACE, "00000000000000ff", {"why": "retry"})],
                scope="branchline",
                resource={"service.name": "demo"},
            )
        ],
        [],
    )


def test_log_line() -> None:
    """
    A log record's fields arrive with their types; its body may be any value.
    """
    written = log("hello", name="greeting", at=2, number=7, own={"n": 1}, uid="u", severity=(17, "ERROR"))

    line, notes = decoded(logs_line(written, resource={}))

    assert notes == []
    assert line == Line(
        [],
        [
            DecodedLog(
                time_unix_nano=BEGIN + 2_000_000_000,
                severity_number=17,
                severity_text="ERROR",
                event_name="greeting",
                body="hello",
                attributes={"log.record.uid": "u", "n": 1},
                trace_id=TRACE,
                span_id="0000000000000007",
                scope="branchline",
                resource={"service.name": "demo"},
            )
        ],
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"stringValue": "x"}, "x"),
        ({"intValue": "9223372036854775807"}, 2**63 - 1),
        ({"intValue": 3}, 3),
        ({"intValue": "three"}, "three"),
        ({"boolValue": False}, False),
        ({"doubleValue": 0.5}, 0.5),
        ({"doubleValue": "-Infinity"}, -math.inf),
        ({"bytesValue": base64.b64encode(b"\x00\xff").decode()}, b"\x00\xff"),
        ({"bytesValue": "!"}, "!"),
        ({"arrayValue": {"values": [{"intValue": "1"}, {}]}}, (1, None)),
        ({"arrayValue": {}}, ()),
        ({"kvlistValue": {"values": attributes({"a": {"b": [1]}})}}, {"a": {"b": (1,)}}),
        ({}, None),
        ({"futureValue": 1}, None),
        ("bare", "bare"),
    ],
)
def test_any_value(written: object, read: object) -> None:
    """
    Every OTLP value becomes a plain one; what is no number though it should be stays as text.
    """
    assert any_value(written) == read


def test_plain_protobuf_json() -> None:
    """
    A file in protobuf's own JSON is read too: snake case, ids in base64, enums as words.
    """
    line, notes = decoded(
        orjson.dumps(
            {
                "resource_spans": [
                    {
                        "scope_spans": [
                            {
                                "spans": [
                                    {
                                        "trace_id": base64.b64encode(bytes.fromhex(TRACE)).decode(),
                                        "span_id": base64.b64encode(b"\0" * 7 + b"\1").decode(),
                                        "name": "GET",
                                        "start_time_unix_nano": str(BEGIN),
                                        "status": {"code": "STATUS_CODE_ERROR", "message": "no"},
                                        "attributes": [{"key": "some_key", "value": {"string_value": "some_text"}}],
                                    }
                                ]
                            }
                        ]
                    }
                ]
            }
        )
    )

    [found] = line.spans
    assert notes == []
    assert (found.trace_id, found.span_id, found.start_unix_nano) == (TRACE, "0000000000000001", BEGIN)
    assert (found.status, found.status_message, found.attributes) == (2, "no", {"some_key": "some_text"})


def test_one_bad_span_of_a_line() -> None:
    """
    Of a line's spans only the damaged ones are lost.
    """
    no_ids = span(1, "no ids") | {"spanId": "0" * 16}
    bad: Any = span(2, "bad") | {"events": [17]}

    line, notes = decoded(spans_line(no_ids, span(3, "good"), bad, 5))  # type: ignore[arg-type]  # damage

    assert [found.name for found in line.spans] == ["good"]
    assert notes == [NO_IDS, BAD_RECORD, BAD_RECORD]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (spans_line(span(1, "x"))[:-40], TORN),
        (spans_line(span(1, "x"))[:-40] + b"\n", DAMAGED),
        (b"\xff\xfe\x00\n", DAMAGED),
        (b"[1, 2]\n", NOT_OTLP),
        (b'"text"\n', NOT_OTLP),
        (b"null", NOT_OTLP),
        (b'{"level": "info"}\n', NOT_OTLP),
        (b"[" * 5000 + b"\n", DAMAGED),
    ],
)
def test_bad_line(raw: bytes, reason: str) -> None:
    """
    A line that cannot be read is nothing, and its reason is noted once.
    """
    assert decoded(raw) == (Line([], []), [reason])


def test_nothing_is_legal() -> None:
    """
    A message of nothing, which the Collector's file exporter writes, is no damage.
    """
    assert decoded(b"{}\n") == (Line([], []), [])


def test_metrics_are_legal() -> None:
    """
    A line of metrics is no damage.
    """
    assert decoded(b'{"resourceMetrics":[{"scopeMetrics":[]}]}\n') == (Line([], []), [])


def test_damaged_text_is_kept() -> None:
    """
    Bytes that are no UTF-8 cost the character, not the line.
    """
    line, notes = decoded(spans_line(span(1, "caf!")).replace(b"caf!", b"caf\xff"))

    assert [found.name for found in line.spans] == ["caf�"]
    assert notes == [NOT_STRICT]


def test_lone_surrogates_and_bare_nan() -> None:
    """
    What other encoders write though JSON has no word for it is read: lone surrogates, NaN.
    """
    raw = spans_line(span(1, "caf!", own={"x": 0.25}))

    line, _ = decoded(raw.replace(b"caf!", b"caf\\ud800").replace(b"0.25", b"NaN"))

    [found] = line.spans
    x = found.attributes["x"]
    assert found.name == "caf?"
    assert isinstance(x, float)
    assert math.isnan(x)


def test_line_after_a_torn_line() -> None:
    """
    Where somebody appended after a torn line, what follows the tear is read.
    """
    raw = spans_line(span(1, "torn"))[:120] + spans_line(span(2, "whole"))

    line, notes = decoded(raw)

    assert ([found.name for found in line.spans], notes) == (["whole"], [TORN])


# ── files ─────────────────────────────────────────────────────────────────────────────────────────
def test_file_with_damage(tmp_path: Path) -> None:
    """
    Only damaged lines are skipped; a thousand of one kind are one entry that says where the first one is.
    """
    path = tmp_path / "traces.jsonl"
    good = spans_line(span(1, "good"))
    path.write_bytes(good + b"{bad}\n" * 1000 + b"\n\0\0\0\n" + good + good[:50])

    assert names_in(path) == (
        ["good", "good"],
        (
            Skipped(file="traces.jsonl", line=2, reason=DAMAGED, count=1000),
            Skipped(file="traces.jsonl", line=1005, reason=TORN),
        ),
    )


def test_last_line_without_its_newline(tmp_path: Path) -> None:
    """
    A last line that is whole but for its newline counts.
    """
    path = tmp_path / "traces.jsonl"
    path.write_bytes(spans_line(span(1, "a")) + spans_line(span(2, "b")).rstrip())

    assert names_in(path) == (["a", "b"], ())


@pytest.mark.parametrize("cut", [1, 9, 200])
def test_truncated_gzip(tmp_path: Path, cut: int) -> None:
    """
    A compressed file that was cut short gives all that comes before the cut.
    """
    path = tmp_path / "traces.jsonl.gz"
    lines = [spans_line(span(number, f"step {number}")) for number in range(1, 200)]
    path.write_bytes(gzip.compress(b"".join(lines), compresslevel=1)[:-cut])

    found, skipped = names_in(path)

    assert found == [f"step {number}" for number in range(1, len(found) + 1)]
    assert len(found) >= (199 if cut < 9 else 150)
    assert [skip.reason for skip in skipped] == [CUT_FILE]


@pytest.mark.parametrize("content", [b"", b"not gzip at all", b"\x1f\x8b"])
def test_no_gzip_at_all(tmp_path: Path, content: bytes) -> None:
    """
    A compressed file that is none is reported, unless it is simply empty.
    """
    path = tmp_path / "traces.jsonl.gz"
    path.write_bytes(content)

    found, skipped = names_in(path)

    assert (found, [skip.reason for skip in skipped]) == ([], [CUT_FILE] if content else [])


def test_line_too_long(tmp_path: Path) -> None:
    """
    Damage without an end is passed over in pieces, and what follows it is read.
    """
    path = tmp_path / "traces.jsonl"
    with path.open("wb") as file:
        file.seek(65 * 1024 * 1024)
        file.write(b"\n" + spans_line(span(1, "after")))

    assert names_in(path) == (["after"], (Skipped(file="traces.jsonl", line=1, reason=TOO_LONG),))


def test_missing_file(tmp_path: Path) -> None:
    """
    A file that cannot be opened is reported with the system's reason.
    """
    path = tmp_path / "gone.jsonl"

    assert names_in(path) == ([], (Skipped(file="gone.jsonl", line=1, reason=f"{NO_FILE}: No such file or directory"),))


# ── fuzzing ───────────────────────────────────────────────────────────────────────────────────────
WHOLE = spans_line(
    span(1, "a", events=[event("stamp", rows=3)], own={"deep": {"a": [1, {"b": b"x"}]}}), span(2, "b", parent=1)
) + logs_line(log("hello", number=1), log("there"))
SCRAPS = [b"null", b"-1", b"[]", b"{}", b'""', b"1e999", b"\xff", b"\\ud800", b"\0", b'"traceId"', b"[[[[", b"true"]


@st.composite
def damaged(draw: st.DrawFn, whole: bytes = WHOLE) -> bytes:
    """Return *whole* with bytes flipped, cut out, doubled, or replaced by JSON of another shape."""
    raw = bytearray(whole)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(raw)))
        to = min(len(raw), at + draw(st.integers(0, 40)))
        match draw(st.integers(0, 3)):
            case 0:
                raw[at:to] = b""
            case 1:
                raw[at:at] = raw[at:to]
            case 2:
                raw[at:to] = draw(st.sampled_from(SCRAPS))
            case _:
                raw[at : at + 1] = draw(st.binary(min_size=1, max_size=2))
    return bytes(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["key", "value", "values", "stringValue", "attributes", "name", "x"]), inner)
    ),
    max_leaves=12,
)
FIELDS = [
    *("resourceSpans", "resource", "scopeSpans", "scope", "spans", "traceId", "parentSpanId", "name", "attributes"),
    *("events", "links", "status", "startTimeUnixNano", "resourceLogs", "scopeLogs", "logRecords", "body"),
]


@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(raw=damaged())
def test_damaged_lines_never_crash(raw: bytes) -> None:
    """
    Whatever was done to its bytes, a line is read or noted, and never raises.
    """
    for line in raw.splitlines(keepends=True):
        found, notes = decoded(line)
        assert found.spans or found.logs or notes or line.strip(b"\0 \t\r\n") in {b"", b"{}"} or b"resource" in line


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(field=st.sampled_from(FIELDS), wrong=json_values)
def test_wrong_shapes_never_crash(field: str, wrong: object) -> None:
    """
    Whatever JSON stands in the place of a field, the line is read without raising.
    """
    for line in WHOLE.splitlines():
        decoded(json.dumps(_with(orjson.loads(line), field, wrong)).encode())


def _with(content: Any, field: str, wrong: object) -> Any:
    if isinstance(content, dict):
        return {key: wrong if key == field else _with(item, field, wrong) for key, item in content.items()}
    return [_with(item, field, wrong) for item in content] if isinstance(content, list) else content


def test_value_round_trip() -> None:
    """
    The values that the tests write are the values that are read.
    """
    plain = {"a": (1, 2.5, True, None, b"x", "text", {"b": ()})}

    assert any_value(value(plain)) == plain
