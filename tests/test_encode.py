"""Encoding: spans as lines of OTLP/JSON, the same by a plan of their shape as one by one."""

from __future__ import annotations

import base64
import json
import math
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline import names
from branchline._journal import log_plans, plans
from branchline._journal.belonging import Scope
from branchline._journal.encode import ATTRIBUTE_BYTES, Encoder
from branchline._journal.fields import clock_of, short_identity, short_marks
from branchline._journal.lines import LINE_BYTES, SPANS_PER_LINE
from branchline._journal.log_records import IDENTITY_AT, SCOPE_AT, LogRecord, log_tuple
from branchline._journal.records import spilled_records
from branchline._journal.span_records import SpanRecord
from branchline.redaction import REDACTED, Redactor
from branchline.values import freeze


RESOURCE = {"service.name": "tests", "process.pid": 7}


# Between the two clocks; a multiple of 256, as a clock has it.
OFFSET = 256 * 10**15


class Common(SpanRecord):
    """
    A span as the recorder leaves it: with no more than every span has, unless a test says otherwise.
    """

    def __init__(self, **fields):
        super().__init__(**fields)
        self.is_common = not self.lane.state and not any(mark[3] for mark in self.marks or ())

    @property
    def fields(self):
        began, ended = self.began - OFFSET, (self.ended or 0) - OFFSET
        return [
            *(1, self.trace_hex, self.number, self.parent_number, self.title, began, ended, self.role, self.outcome),
            *(self.data, short_identity(self.identity), clock_of(OFFSET, self.lane.flags)),
            *short_marks(self.marks or (), OFFSET),
        ]


def span(title="step", *, kind=Common, number=1, **fields):
    given = {
        "trace_hex": "ab" * 16,
        "parent_number": 9,
        "began": 1_700_000_000_000_000_000,
        "ended": 1_700_000_000_000_000_001,
        "role": "step",
        "outcome": "success",
    }
    return kind(title=title, number=number, **{**given, **fields})


def encoder(redactor=None):
    return Encoder(RESOURCE, redactor, version="1")


def by_plan(spans, redactor=None):
    """
    The spans' lines, with the planner on, after it has seen them once.
    """
    used = encoder(redactor)
    used.span_lines(spans)
    return used.span_lines(spans)


def one_by_one(spans, redactor=None):
    """
    The spans' lines, without any plan and any text looked at together with others.
    """
    used = encoder(redactor)
    used._plans = None
    return used.span_lines(spans)


def lines(encoded):
    assert encoded.endswith(b"\n")
    return [json.loads(line) for line in encoded.splitlines()]


def groups(encoded):
    return [group for line in lines(encoded) for group in line["resourceSpans"][0]["scopeSpans"]]


def written(encoded):
    return [found for group in groups(encoded) for found in group["spans"]]


# ── the oracle: OTLP/JSON built from dictionaries ─────────────────────────────────────────────────


def expected(given, redactor=None):
    attributes: dict[str, object] = {}
    if given.role is not None:
        attributes |= {names.KIND: given.role, names.OUTCOME: given.outcome}
    if given.identity is not None:
        attributes |= {
            key: value
            for key, value in (
                (names.EXPERIMENT_NAME, given.identity.experiment_name),
                (names.BRANCH_ID, given.identity.branch_id),
                (names.BRANCH_NAME, given.identity.branch_name),
            )
            if value is not None
        }
    own = [*expected_attributes(attributes, redactor), *expected_attributes(given.data or {}, redactor)]
    message = {
        "traceId": given.trace_hex,
        "spanId": f"{given.number:016x}",
        "flags": given.lane.flags | 0x100,
        "name": expected_text(given.title, redactor),
        "kind": given.span_kind,
        "startTimeUnixNano": str(given.began),
        "endTimeUnixNano": str(given.ended),
        "status": {},
    }
    if given.lane.state:
        message["traceState"] = given.lane.state
    if given.parent_number is not None:
        message["parentSpanId"] = f"{given.parent_number:016x}"
    if own:
        message["attributes"] = own
    if given.marks:
        message["events"] = [expected_event(mark, redactor) for mark in given.marks]
    return message


def expected_event(mark, redactor):
    name, time, attributes, _ = mark
    message = {"timeUnixNano": str(time), "name": expected_text(name, redactor)}
    return message | ({"attributes": expected_attributes(attributes, redactor)} if attributes else {})


def expected_attributes(attributes, redactor):
    found = []
    for key, value in attributes.items():
        if redactor is None:
            shown = value
        elif redactor.is_secret(key):
            shown = REDACTED
        else:
            shown = redactor.value(key, value)
        found.append({"key": expected_text(key, redactor), "value": expected_value(shown)})
    return found


def expected_text(text, redactor):
    return freeze(text if redactor is None else redactor.text(text))


def expected_value(value):
    value = freeze(value)
    if value is None:
        return {}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bytes):
        return {"bytesValue": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        items = [{"key": freeze(key), "value": expected_value(item)} for key, item in value.items()]
        return {"kvlistValue": {"values": items}}
    return {"arrayValue": {"values": [expected_value(item) for item in value]}}


# ── any span ──────────────────────────────────────────────────────────────────────────────────────

SECRETS = ("password=hunter22", "sk-ant-api03-AbCdEf-gh_ijKLmnopQRST", "jane@example.com", "Bearer abc123def456")

texts = (
    st.sampled_from(("", "%", "100%s", "%(x)d", '"', "\\", "é😀", "\ud800", "a\nb", "token: x9y8z7w6", *SECRETS))
    | st.text(max_size=8)
    | st.text(alphabet="ab%\n", min_size=100, max_size=400)
)
labels = st.sampled_from(("a", "b", "100%", "%s", "password", "api_key", "é", "k\ud800", *SECRETS)) | st.text(
    min_size=1, max_size=6
)
scalars = (
    texts
    | st.booleans()
    | st.floats()
    | st.integers(-(2**63) - 2, -(2**63) + 2)
    | st.integers(2**63 - 2, 2**63 + 2)
    | st.integers(-5, 5)
)
values = scalars | st.none() | st.binary(max_size=4) | st.lists(scalars, max_size=3).map(tuple)
attributes = st.dictionaries(labels, scalars, max_size=5) | st.dictionaries(labels, values, max_size=5)
marks = st.lists(st.tuples(labels, st.integers(0, 2**63), st.none() | attributes, st.just(0)), max_size=4)
identities = st.builds(
    SimpleNamespace,
    experiment_name=st.none() | labels,
    branch_id=st.none() | st.just("0123"),
    branch_name=st.none() | labels,
)
spans = st.builds(
    span,
    labels,
    number=st.integers(1, 2**64 - 1),
    parent_number=st.none() | st.integers(1, 2**64 - 1),
    outcome=st.sampled_from((names.SUCCESS, names.CLOSED, names.SKIPPED)),
    flags=st.integers(0, 3),
    state=st.sampled_from(("", "", "vendor=x")),
    identity=st.none() | identities,
    data=st.none() | attributes,
    marks=st.none() | marks,
)
redactors = st.sampled_from(
    (
        None,
        Redactor(),
        Redactor(extra_keys=("b",)),
        Redactor(extra_patterns=(r"\A\w+\Z",)),
        Redactor(callback=lambda _, value: f"<{value!r}>"),
    )
)


@settings(max_examples=200, deadline=None)
@given(st.lists(spans, min_size=1, max_size=6), redactors)
def test_a_plan_writes_what_one_by_one_would(some, redactor):
    """
    By plan or not, a span is written the same to the byte, and says what it said.
    """
    encoded = by_plan(some, redactor)

    assert encoded == one_by_one(some, redactor)
    assert written(encoded) == [expected(given, redactor) for given in some]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(labels, scalars, scalars), min_size=2, max_size=8))
def test_a_plan_serves_one_shape_only(rows):
    """
    Spans that differ in their keys, their events or the types of their values do not share a plan.
    """
    some = [
        shaped
        for label, first, second in rows
        for shaped in (
            span(data={label: first}, marks=[("n", 1, {"x": second}, 0)]),
            span(data={label: second}, marks=[("n", 1, None, 0), ("x", 2, {"x": first}, 0)]),
            span(data={label: first, "n": second}),
            span(identity=SimpleNamespace(experiment_name=label, branch_id=None, branch_name=None)),
            span(parent_number=None, marks=[(label, 1, {"n": first, "x": second}, 0)]),
        )
    ]

    assert by_plan(some) == one_by_one(some)


@pytest.mark.parametrize(
    ("fields", "is_planned"),
    [
        ({}, True),
        ({"data": {"a": 1, "b": "x", "c": 0.5, "d": True}, "marks": [("one", 1, {"y": "z"}, 0)]}, True),
        ({"identity": SimpleNamespace(experiment_name="e", branch_id="1", branch_name="b")}, True),
        ({"data": {"password": "x"}}, True),
        ({"data": {"a": None}}, False),
        ({"data": {"a": (1, 2)}}, False),
        ({"data": {"a" * 3_000: 1}}, False),
        ({"data": {str(key): key for key in range(200)}}, False),
        ({"marks": [("many", 1, None, 0)] * 17}, False),
        ({"marks": [("cut", 1, {"a": 1}, 2)]}, False),
        ({"state": "vendor=x"}, False),
        ({"kind": SpanRecord}, False),
    ],
)
def test_which_spans_have_a_plan(fields, is_planned):
    """
    Steps with plain values have one, those of an experiment and with secret keys too; what is rare or large has none.
    """
    given = span(**fields)
    found = encoder(Redactor())._plans.of(given.fields) if given.is_common else None

    assert (found is not None) == is_planned


def test_a_secret_under_a_planned_key_goes():
    """
    The value of a secret key is not in the line, whatever it is: a huge number is not even looked at.
    """
    some = [span(data={"password": value, "n": 1}) for value in ("hunter2", 10**5000, 2.5, True)]

    assert [found["attributes"][2:] for found in written(by_plan(some, Redactor()))] == [
        [{"key": "password", "value": {"stringValue": REDACTED}}, {"key": "n", "value": {"intValue": "1"}}]
    ] * 4


def test_one_secret_among_many_texts_goes_alone():
    """
    One text of a batch with something to redact leaves the others as they are.
    """
    some = [span(data={"note": f"row {n}"}) for n in range(20)] + [span(data={"note": "password=hunter22"})]

    notes = [found["attributes"][2]["value"]["stringValue"] for found in written(by_plan(some, Redactor()))]

    assert notes == [*(f"row {n}" for n in range(20)), "password=[redacted]"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2**63, -(2**63) - 1])
def test_numbers_that_are_none_in_json(value):
    """
    Numbers beyond JSON and 64 bits become text, though others of their shape had a plan.
    """
    *_, last = written(by_plan([span(data={"n": type(value)(1)}), span(data={"n": value})]))

    assert last["attributes"][2] == {"key": "n", "value": {"stringValue": str(freeze(value))}}


def test_what_is_remembered_is_bounded():
    """
    A program that makes up its keys and its texts does not fill the memory.
    """
    used = encoder(Redactor())
    for first in range(0, 6_000, 60):
        used.span_lines([span(f"t{n}", data={f"k{n}": f"v{n}"}) for n in range(first, first + 60)])

    assert len(used._plans._plans) <= plans._MOST_PLANS
    assert max(len(used._texts), len(used._keys)) <= 4_096


# ── lines ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_line_has_so_many_spans():
    """
    A line has at most 64 spans.
    """
    encoded = by_plan([span(number=n + 1) for n in range(2 * SPANS_PER_LINE + 1)])

    assert [len(group["spans"]) for group in groups(encoded)] == [SPANS_PER_LINE, SPANS_PER_LINE, 1]


@pytest.mark.parametrize("letter", ["a", "é"])
def test_a_line_has_so_many_bytes(letter):
    """
    Spans that together exceed a line's bytes go to several, in order and none lost.
    """
    some = [span(number=n + 1, data={"text": letter * 30_000}) for n in range(30)]

    encoded = by_plan(some)

    assert max(map(len, encoded.splitlines())) <= (LINE_BYTES if letter == "a" else 2 * LINE_BYTES)
    assert [found["spanId"] for found in written(encoded)] == [f"{n + 1:016x}" for n in range(30)]
    assert len(lines(encoded)) > 1


def test_events_that_do_not_fit_are_spilled():
    """
    Events beyond a line are counted on their span, and become log records in their order.
    """
    large = span(marks=[("big", n, {"text": "x" * 60_000}, 0) for n in range(10)])
    used = encoder()

    [found] = written(used.span_lines([large]))

    kept = len(found["events"])
    assert 0 < kept < 10
    assert found["droppedEventsCount"] == 10 - kept == len(used.spilled)
    assert [record.time for record in spilled_records(used.spilled)] == list(range(kept, 10))


@pytest.mark.parametrize("kind", [Common, SpanRecord])
def test_attributes_that_do_not_fit_are_cut_and_counted(kind):
    """
    Attributes may fill a line and more, but not without end: the rest is counted as dropped, once for all times.
    """
    [found] = written(by_plan([span(kind=kind, data={f"k{n}": "x" * 60_000 for n in range(20)})]))

    size = len(json.dumps(found["attributes"], separators=(",", ":")))
    assert LINE_BYTES < size <= ATTRIBUTE_BYTES
    assert found["droppedAttributesCount"] == 20 - (len(found["attributes"]) - 2)


def test_an_attribute_larger_than_a_line_is_cut():
    """
    One list that is too much for any line is dropped and counted; what is left is still a line.
    """
    [found] = written(by_plan([span(data={"all": ("x" * 60_000,) * 12})]))

    assert [attribute["key"] for attribute in found["attributes"]] == [names.KIND, names.OUTCOME]
    assert found["droppedAttributesCount"] == 1


def test_spans_are_grouped_by_scope():
    """
    The spans of one scope stand together, those of no scope under our own.
    """
    theirs = Scope("theirs", "2")
    scoped = [span(kind=SpanRecord, scope=theirs, number=n) for n in (2, 4)]

    found = groups(by_plan([span(number=1), scoped[0], span(number=3), scoped[1]]))

    assert [(group["scope"], [each["spanId"][-1] for each in group["spans"]]) for group in found] == [
        ({"name": "branchline", "version": "1"}, ["1", "3"]),
        ({"name": "theirs", "version": "2"}, ["2", "4"]),
    ]


def test_no_spans_are_no_lines():
    """
    Nothing is written of nothing.
    """
    assert encoder().span_lines([]) == encoder().log_lines([]) == b""


def test_log_records_share_lines():
    """
    Log records are written under our scope, at most as many to a line as spans.
    """
    encoded = encoder().log_lines([LogRecord(name="event", time=n, uid=f"{n}") for n in range(SPANS_PER_LINE + 1)])

    scopes = [line["resourceLogs"][0]["scopeLogs"] for line in lines(encoded)]
    assert [[len(group["logRecords"]) for group in line] for line in scopes] == [[SPANS_PER_LINE], [1]]


def logged(encoded):
    return [
        (group["scope"], group.get("schemaUrl"), group["logRecords"])
        for line in lines(encoded)
        for group in line["resourceLogs"][0]["scopeLogs"]
    ]


def record(n=1, **fields):
    return LogRecord(**{"name": "", "time": n, "uid": f"{n:032x}", **fields})


def test_log_records_are_grouped_by_scope():
    """
    The log records of one scope stand together, with its schema and attributes; those of no scope under our own.
    """
    theirs = Scope("theirs", "2", "https://example.com/1", {"team": "a"})
    found = logged(encoder().log_lines([record(1), record(2, scope=theirs), record(3), record(4, scope=theirs)]))

    assert [(scope, schema, [each["timeUnixNano"] for each in records]) for scope, schema, records in found] == [
        ({"name": "branchline", "version": "1"}, None, ["1", "3"]),
        (
            {
                "name": "theirs",
                "version": "2",
                "attributes": [{"key": "team", "value": {"stringValue": "a"}}],
            },
            "https://example.com/1",
            ["2", "4"],
        ),
    ]


def test_a_log_record():
    """
    A log record has what it says and no more: what it was given of, when it was seen, where it was made.
    """
    full = record(
        1,
        observed=7,
        severity=13,
        severity_text="WARN",
        body={"rows": 3},
        trace_hex="ab" * 16,
        span_number=9,
        flags=1,
        data={"a": 1},
        origin=("x.py", "main", 3, "WARNING"),
    )
    [(_, _, [found, bare])] = logged(encoder().log_lines([full, record(2, severity=0, severity_text="")]))

    assert found == {
        "timeUnixNano": "1",
        "observedTimeUnixNano": "7",
        "severityNumber": 13,
        "severityText": "WARN",
        "body": {"kvlistValue": {"values": [{"key": "rows", "value": {"intValue": "3"}}]}},
        "attributes": [
            {"key": "log.record.uid", "value": {"stringValue": f"{1:032x}"}},
            {"key": "code.file.path", "value": {"stringValue": "x.py"}},
            {"key": "code.function.name", "value": {"stringValue": "main"}},
            {"key": "code.line.number", "value": {"intValue": "3"}},
            {"key": "branchline.level", "value": {"stringValue": "WARNING"}},
            {"key": "a", "value": {"intValue": "1"}},
        ],
        "traceId": "ab" * 16,
        "spanId": f"{9:016x}",
        "flags": 1,
    }
    assert bare == {
        "timeUnixNano": "2",
        "observedTimeUnixNano": "2",
        "severityNumber": 0,
        "attributes": [{"key": "log.record.uid", "value": {"stringValue": f"{2:032x}"}}],
    }


def listed(given):
    """
    A log record as it goes through the queue: see `log_record`.
    """
    fields = list(log_tuple(given))
    fields[IDENTITY_AT], fields[SCOPE_AT] = given.identity, given.scope
    return [*fields, -1]


origins = st.tuples(st.sampled_from(("a.py", "100%.py", *SECRETS)), labels, st.integers(1, 3), st.just("INFO"))
log_records = st.builds(
    record,
    st.integers(0, 2**63),
    name=st.sampled_from(("", "", "", "event")),
    severity=st.sampled_from((9, 13)),
    severity_text=st.sampled_from(("INFO", "%", "")),
    body=texts | values,
    trace_hex=st.none() | st.just("ab" * 16),
    span_number=st.none() | st.integers(1, 3),
    flags=st.integers(0, 1),
    identity=st.none() | identities,
    data=attributes,
    observed=st.none() | st.integers(1, 9),
    origin=st.none() | origins,
    scope=st.none() | st.sampled_from((Scope("a", None), Scope("b", None))),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(log_records, min_size=1, max_size=6), st.integers(1, 3), redactors)
def test_a_log_record_that_is_written_with_others_says_the_same(some, times, redactor):
    """
    By plan, together with others of its shape or of any, a log record is written as field by field, to the byte.
    """
    some = some * times

    assert encoder(redactor).log_lines([listed(each) for each in some]) == encoder(redactor).log_lines(some)


@pytest.mark.parametrize(
    "column",
    [
        ("a", "b"),
        (1, 2.5),
        (None, "a"),
        (True, False),
        (1.5, math.inf),
        (2**63 - 1, 2**63),
        ((1,), [2]),
        (b"", "é\ud800"),
    ],
    ids=repr,
)
def test_values_of_several_types_under_one_key(column):
    """
    Log records of one place in the code share a plan only as far as their values are of one type.
    """
    some = [record(n, body="same", data={"k": value, "password": value}) for n, value in enumerate(column * 2)]

    assert encoder(Redactor()).log_lines(list(map(listed, some))) == encoder(Redactor()).log_lines(some)


def test_plans_of_log_records_are_bounded():
    """
    Keys that are never the same twice fill no memory, and lose nothing.
    """
    used = encoder()
    for start in range(0, 3 * log_plans.MOST_PLANS, SPANS_PER_LINE):
        some = [record(n, body="same", data={f"k{n}": n}) for n in range(start, start + SPANS_PER_LINE)]
        assert used.log_lines(list(map(listed, some))) == encoder().log_lines(some)

    assert len(used._logs._plans._plans) <= log_plans.MOST_PLANS


SECRETIVE = Redactor(extra_keys=("body", "code.file.path"), extra_patterns=("hunter[0-9]",))


@pytest.mark.parametrize(
    ("redactor", "text"),
    [
        (Redactor(), "password=[redacted] of hunter2"),
        (Redactor(extra_patterns=("hunter[0-9]",)), "password=[redacted] of [redacted]"),
        (SECRETIVE, "[redacted]"),
        (
            Redactor(callback=lambda key, value: f"<{value!s}>" if key == "body" else value),
            "<password=[redacted] of hunter2>",
        ),
        (None, "password=hunter2 of hunter2"),
    ],
    ids=["default", "pattern", "key", "callback", "none"],
)
@pytest.mark.parametrize("count", [1, 3])
def test_messages_are_redacted(redactor, text, count):
    """
    A message is redacted as any value is, alone and among others, however often it comes.
    """
    used = encoder(redactor)
    bodies = ["password=hunter2 of hunter2", "harmless", "password=hunter2 of hunter2"][:count]
    [(_, _, found)] = logged(used.log_lines([record(n, body=body) for n, body in enumerate(bodies)]))

    assert found[0]["body"] == found[-1]["body"] == {"stringValue": text}


def test_where_a_record_was_made_is_redacted_as_well():
    """
    The place in the code is redacted by key and asked about, as every attribute is.
    """
    asked = []

    def callback(key, value):
        asked.append(key)
        return value

    some = [record(n, origin=("x.py", "main", 3, "INFO")) for n in range(2)]
    [(_, _, hidden)] = logged(encoder(SECRETIVE).log_lines(some))
    encoder(Redactor(callback=callback)).log_lines(some)

    assert [each["attributes"][1]["value"] for each in hidden] == [{"stringValue": REDACTED}] * 2
    assert asked.count("code.function.name") == 2


def test_a_message_larger_than_a_line_is_cut():
    """
    A structured message that is too much for any line is its beginning as text; the record's attributes stay.
    """
    body = {f"key {n}": "x" * 60_000 for n in range(12)}
    encoded = encoder().log_lines([record(1, body=body, data={"a": 1})])
    [(_, _, [found])] = logged(encoded)

    assert len(encoded) < LINE_BYTES
    assert found["body"]["stringValue"].startswith('"kvlistValue":')
    assert "cut" in found["body"]["stringValue"][-40:]
    assert found["attributes"][-1]["key"] == "a"
