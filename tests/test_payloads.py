"""What is in a line, told without parsing it."""

from __future__ import annotations

import orjson
import pytest

from branchline import names
from branchline._journal.encode import Encoder
from branchline._journal.log_records import LogRecord
from branchline._journal.payloads import halves, items_in, sound, without_notes
from branchline._journal.span_records import SpanRecord
from journals import checkpoint, event, log, logs_line, opened, span, spans_line


def points_line(*kinds: tuple[str, int]) -> bytes:
    metrics = [
        {"name": f"m{n}", kind: {"dataPoints": [{"asInt": "1"}] * count}} for n, (kind, count) in enumerate(kinds)
    ]
    return (
        orjson.dumps({"resourceMetrics": [{"resource": {}, "scopeMetrics": [{"scope": {}, "metrics": metrics}]}]})
        + b"\n"
    )


def spans_in(line: bytes) -> list[str]:
    [resource] = orjson.loads(line)["resourceSpans"]
    return [span["name"] for scope in resource["scopeSpans"] for span in scope["spans"]]


# ── counting ──────────────────────────────────────────────────────────────────────────────────────


def test_items_are_counted_by_signal():
    """
    Spans, log records and data points are counted; links, events, and whatever text looks like a field, are not.
    """
    tricky = {
        "startTimeUnixNano": 1,
        "text": '"startTimeUnixNano":"1"',
        "observedTimeUnixNano": '"observedTimeUnixNano":',
    }
    spans = [span(n, "s", own=tricky, events=[event("startTimeUnixNano")]) for n in (1, 2)]
    spans[0]["links"] = [{"traceId": "0" * 32, "spanId": "0" * 16}]

    assert items_in("traces", spans_line(*spans)) == 2
    assert items_in("logs", logs_line(*[log("hello") | {"observedTimeUnixNano": "1"} for _ in range(3)])) == 3
    assert items_in("metrics", points_line(("sum", 2), ("gauge", 1), ("exponentialHistogram", 4))) == 7


def test_what_the_journal_writes_is_counted():
    """
    The lines of our own encoder are counted right.
    """
    encoder = Encoder({"service.name": "x"}, None, version="1")
    spans = [
        SpanRecord(
            trace_hex="1" * 32, number=n, parent_number=None, title="s", began=1, ended=2, role="step",
            outcome="success", marks=[("stamp", 1, {"startTimeUnixNano": 1}, 0)],
        )
        for n in range(1, 201)
    ]  # fmt: skip
    logs = [LogRecord(name="e", time=1, uid=str(n)) for n in range(300)]

    assert sum(items_in("traces", line) for line in encoder.span_lines(spans).splitlines(keepends=True)) == 200
    assert sum(items_in("logs", line) for line in encoder.log_lines(logs).splitlines(keepends=True)) == 300


def test_lines_of_others_are_counted():
    """
    A line that leaves out times, or is written with blanks, is parsed to be counted.
    """
    line = b'{ "resourceSpans": [ { "scopeSpans": [ { "spans": [ {"name": "a"}, {"name": "b"} ] } ] } ] }\n'

    assert items_in("traces", line) == 2
    assert items_in("logs", b"{}\n") == items_in("metrics", b"[]\n") == items_in("traces", b"{torn\n") == 0


# ── soundness ─────────────────────────────────────────────────────────────────────────────────────


def test_a_line_of_ours_is_passed_on_as_it_is():
    """
    A line that begins and ends as ours do is the very same object; a thorough look changes nothing.
    """
    line = spans_line(span(1, "s"))

    assert sound("traces", line) is line
    assert sound("traces", line, is_thorough=True) is line


@pytest.mark.parametrize(
    "line",
    [
        b"{torn\n",
        b"null\n",
        b"[]\n",
        b'{"resourceSpans": 7}\n',
        logs_line(log("another signal")),
        spans_line(span(1, "s"))[:-20] + b"\n",
        b"\xff\xfe\n",
    ],
)
def test_what_is_no_line_of_the_signal(line):
    """
    Damage, other JSON, and lines of another signal are told from what can be delivered.
    """
    assert sound("traces", line) is None


def test_damage_in_the_middle():
    """
    Only a thorough look finds damage between a good beginning and a good end.
    """
    line = spans_line(span(1, "s")).replace(b'"name"', b'"na\x00me', 1)

    assert sound("traces", line) is line
    assert sound("traces", line, is_thorough=True) is None


def test_lines_of_others_are_made_ours():
    """
    Blanks, line ends of another system and numbers that JSON has not are put right.
    """
    given = b'{ "resourceSpans": [ {"scopeSpans": [ {"spans": [ {"name": "a", "value": NaN} ] } ] } ] }\r\n'

    assert sound("traces", given) == b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a","value":"NaN"}]}]}]}\n'


# ── notes ─────────────────────────────────────────────────────────────────────────────────────────


def test_notes_are_left_out():
    """
    What says only that something has begun is left out; log records, metrics, stamps and events too many for their
    span stay.
    """
    kept = [
        log("hello"),
        log(name="branchline.metric"),
        log(name=names.STAMP_EVENT),
        log(name=names.SPAN_EVENT),
        log(name="mine", own={"eventName": names.STEP_STARTED}),
    ]
    notes = [log(name=names.RUN_STARTED), opened(1, "s"), checkpoint(1, at=1.0), log(name=names.RUN_ENDED)]

    line, withheld = without_notes(logs_line(*notes[:2], *kept, *notes[2:]))

    assert (line, withheld) == (logs_line(*kept), 4)


def test_without_notes_a_line_stays_as_it_is():
    """
    A line with no note in it is not touched, even when a text in it names one.
    """
    line = logs_line(log('"eventName":"branchline.run.started"'), log(name="branchline.metric"))

    assert without_notes(line)[0] is line


def test_a_line_of_notes_alone():
    """
    Of a line that has nothing else, nothing is left.
    """
    assert without_notes(logs_line(log(name=names.RUN_STARTED))) == (b"", 1)


# ── dividing ──────────────────────────────────────────────────────────────────────────────────────


def test_halves():
    """
    A line is divided by its items, each half with resource and scope, none lost; one item cannot be divided.
    """
    halved = halves("traces", spans_line(*[span(n, str(n)) for n in range(1, 6)]))

    assert halved is not None
    assert [spans_in(half) for half in halved] == [["1", "2"], ["3", "4", "5"]]
    assert (
        orjson.loads(halved[0])["resourceSpans"][0]["resource"]
        == orjson.loads(halved[1])["resourceSpans"][0]["resource"]
    )
    assert halves("traces", spans_line(span(1, "one"))) is None
    assert halves("logs", b"{torn\n") is None
