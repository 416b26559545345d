"""Bad input: anything, anywhere; the step still ends, its neighbours arrive, every line stays valid."""

import base64
import json
import logging
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry import _logs, trace
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

import branchline as bl
from branchline.read import open_runs
from branchline.testing import capture


LOG = logging.getLogger("app")


class Boom:
    """An object of which nothing works."""

    def __repr__(self):
        raise RuntimeError("repr")

    def __str__(self):
        raise RuntimeError("str")

    def __eq__(self, other):
        raise RuntimeError("eq")

    def __hash__(self):
        return 7

    def __len__(self):
        raise RuntimeError("len")

    def __bool__(self):
        raise RuntimeError("bool")


class BadMapping(dict[str, object]):
    """A mapping that will not be looked through."""

    def items(self):
        raise RuntimeError("items")

    def __iter__(self):
        raise RuntimeError("iter")


def recursive_list():
    itself: list[object] = []
    itself.append(itself)
    return itself


def recursive_dict():
    itself: dict[str, object] = {}
    itself["itself"] = itself
    return itself


def nested(depth):
    value: object = "leaf"
    for _ in range(depth):
        value = [value]
    return value


VALUES = {
    "None": None,
    "empty": "",
    "10 MB": "x" * 10_000_000,
    "bytes": b"\x00\xff\xfe",
    "10 MB of bytes": bytes(10_000_000),
    "NaN": float("nan"),
    "infinity": float("-inf"),
    "2**80": 2**80,
    "5,000 digits": 10**5_000,
    "2**63": 2**63,
    "-2**63-1": -(2**63) - 1,
    "lone surrogate": "a\ud800b",
    "surrogates in a container": {"k\udfff": ["\ud800"]},
    "NUL and escapes": "\x00\x1b[31m\r\n\u2028",
    "recursive list": recursive_list(),
    "recursive dict": recursive_dict(),
    "nested 60": nested(60),
    "nested 2,000": nested(2_000),
    "object": object(),
    "nothing works": Boom(),
    "list of what does not work": [Boom(), 1],
    "mapping that raises": BadMapping(a=1),
    "odd keys": {None: 1, 2: "two", (3,): 3, Boom(): 4},
    "set": {1, "a"},
    "class": Boom,
    "exception": ValueError("x"),
    "generator": (x for x in range(3)),
    "mixed list": [1, "a", 2.5, None, True, b"x"],
    "complex": 1 + 2j,
    "100,000 elements": list(range(100_000)),
}


def journaled(directory):
    """
    Parse every line below *directory* with the official messages, and return the spans by name.
    """
    found: dict[str, list[Any]] = {}
    for kind, message in (("traces", TracesData), ("logs", LogsData)):
        for path in sorted(directory.rglob(f"{kind}-*.jsonl")):
            for line in path.read_bytes().splitlines():
                assert len(line) < 1024 * 1024
                data = json_format.Parse(json.dumps(with_base64_ids(json.loads(line))), message())
                if kind == "traces":
                    spans = [
                        span
                        for resource in data.resource_spans
                        for scope in resource.scope_spans
                        for span in scope.spans
                    ]
                    for span in spans:
                        found.setdefault(span.name, []).append(span)
    return found


def with_base64_ids(value):
    if isinstance(value, list):
        return [with_base64_ids(item) for item in value]
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode()
            if key in ("traceId", "spanId", "parentSpanId")
            else with_base64_ids(item)
            for key, item in value.items()
        }
    return value


def keys_of(span):
    return {attribute.key for attribute in span.attributes}


@pytest.fixture(params=["crash", "batch"])
def run(tmp_path, request):
    """
    A run in a directory of its own, with the ring and without.
    """
    with bl.configure("bad", directory=tmp_path, console=False, durability=request.param) as run:
        yield run


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_any_value_anywhere(run, value):
    """
    A bad value costs neither its step nor what stands beside it, wherever it is given.
    """
    with bl.step("attributes", first=1, odd=value, last=2) as step:
        step.set(more=value, good="yes")
        step.stamp("stamp", odd=value, good="yes")
        bl.stamp("module stamp", odd=value)
    with bl.experiment("experiment", odd=value), bl.branch({"odd": value, "good": 1}, name="branch") as branch:
        branch.output = value
    with trace.get_tracer("other").start_as_current_span("api", attributes={"odd": value, "good": 1}) as span:
        span.set_attribute("more", value)
        span.add_event("event", {"odd": value, "good": 1})
    bl.stamp("loose", odd=value)
    with bl.step("neighbour"):
        pass
    run.shutdown()

    spans = journaled(run.run_directory)
    assert {name: len(found) for name, found in spans.items()} == dict.fromkeys(
        ["attributes", "experiment", "branch", "api", "neighbour"], 1
    )
    assert {"first", "odd", "last", "more", "good"} <= keys_of(spans["attributes"][0])
    # Read back, because events that are too large for their span's line are kept beside it.
    [read] = [step for step in open_runs(run.directory).last.steps if step.name == "attributes"]
    assert [stamp.name for stamp in read.stamps] == ["stamp", "module stamp"]
    assert [set(stamp.attributes) for stamp in read.stamps] == [{"odd", "good"}, {"odd"}]
    assert "branchline.config.good" in keys_of(spans["branch"][0])
    assert {"odd", "good", "more"} <= keys_of(spans["api"][0])


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_any_value_in_a_usage(run, value):
    """
    Whatever is said of a call of a model, the rest of it is kept.
    """
    record: Any = bl.record_usage
    others = ("provider", "breakdown", "cost", "estimated", "latency", "response")
    counts = ("input_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
    with bl.step("ask") as step:
        for name in (*others, *counts):
            record("m", output_tokens=7, **{name: value})
        record(value, output_tokens=7)
        step.usage(value, output_tokens=7, response={"usage": value})
    run.shutdown()

    journaled(run.run_directory)
    calls = open_runs(run.directory).last.usages
    assert [usage.output_tokens for usage in calls] == [7] * 12


@pytest.mark.parametrize("name", VALUES.values(), ids=VALUES.keys())
def test_any_name(run, name):
    """
    Whatever a step, a stamp, a branch, an experiment or a span is called, it is recorded under some name.
    """
    with bl.step(name) as step:
        step.stamp(name, good=1)
        bl.stamp(name)
    with bl.experiment(name), bl.branch({"good": 1}, name=name):
        pass
    with trace.get_tracer("other").start_as_current_span(name) as span:
        span.add_event(name)
        span.update_name(name)
    bl.stamp(name)
    with bl.step("neighbour"):
        pass
    run.shutdown()

    spans = [span for found in journaled(run.run_directory).values() for span in found]
    assert len(spans) == 5
    assert sorted(len(span.events) for span in spans) == [0, 0, 0, 1, 2]


@pytest.mark.parametrize("key", VALUES.values(), ids=VALUES.keys())
def test_any_key(run, key):
    """
    Whatever an attribute is called, it and its neighbours are recorded.
    """
    try:
        attributes = {key: 1, "good": 2}
    except TypeError:
        pytest.skip("Python itself takes no such key")
    with trace.get_tracer("other").start_as_current_span("api") as span:
        span.set_attributes(attributes)
        span.set_attribute(key, 1)
        span.add_event("event", attributes)
    with bl.branch(attributes, name="branch"):
        pass
    run.shutdown()

    spans = journaled(run.run_directory)
    assert "good" in keys_of(spans["api"][0])
    assert len(keys_of(spans["api"][0])) == 2
    assert len(spans["api"][0].events[0].attributes) == 2
    assert "branchline.config.good" in keys_of(spans["branch"][0])


@pytest.mark.parametrize("other", [None, "x", 7, Boom(), trace.INVALID_SPAN, object()], ids=lambda o: type(o).__name__)
def test_any_link(run, other):
    """
    A link to nothing is left out; the step is there.
    """
    with bl.step("step", links=[other]) as step:
        step.link(other)
    run.shutdown()

    [span] = journaled(run.run_directory)["step"]
    assert list(span.links) == []


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_any_value_in_a_log_record(run, value):
    """
    A bad value costs neither its log record nor what stands beside it, wherever it is given.
    """
    logger: Any = _logs.get_logger("other")
    with bl.step("logging"):
        without_other_handlers(
            lambda: LOG.warning("as an argument %s", value),
            lambda: LOG.warning("as a field", extra={"odd": value, "good": "yes"}),
            lambda: LOG.warning(value, extra={"is": "the message"}),
        )
        bl.event("as a field of an event", odd=value, good="yes")
        logger.emit(body="as an attribute", attributes={"odd": value, "good": "yes"})
        logger.emit(body=value, attributes={"is": "the body"})
        for name in ("attributes", "timestamp", "severity_number", "severity_text", "event_name", "context"):
            logger.emit(**{"body": f"as {name}", name: value})
        logger.emit(body="neighbour")
    run.shutdown()
    journaled(run.run_directory)

    lines = open_runs(run.directory).last.logs
    assert [line.step_name for line in lines] == ["logging"] * 13
    assert sum(line.attributes.get("good") == "yes" for line in lines) == 3
    assert [line.attributes["is"] for line in lines if "is" in line.attributes] == ["the message", "the body"]
    assert [line.message for line in lines].count("neighbour") == 1


def without_other_handlers(*works):
    """
    Do *works* with no handlers but ours: pytest's raise where they cannot format a record.
    """
    handlers, logging.root.handlers = logging.root.handlers, [logging.NullHandler()]
    try:
        for work in works:
            work()
    finally:
        logging.root.handlers = handlers


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_any_value_of_an_event_or_a_skipped_branch(run, value):
    """
    Whatever an event is called, says and weighs, and why ever a branch was skipped, it is recorded.
    """
    event: Any = bl.event
    event(value)
    event("message", message=value)
    event("severity", severity=value)
    with bl.branch({"good": 1}) as branch:
        branch.skip(value)
    bl.event("neighbour")
    run.shutdown()
    journaled(run.run_directory)

    read = open_runs(run.directory).last
    assert [line.event_name for line in read.logs][1:] == ["message", "severity", "neighbour"]
    assert [branch.status for branch in read.branches] == ["skipped"]


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_any_value_measured(run, value):
    """
    Whatever an instrument is given, the others' values are kept.
    """
    counter: Any = bl.counter("odd")
    counter.add(value)
    counter.add(1, value)
    counter.add(1, {"odd": value})
    bl.counter("good").add(1)
    result = run.shutdown()

    assert not result.dropped
    [file] = run.run_directory.rglob("metrics-*.jsonl")
    measured = [
        (metric["name"], metric["sum"]["dataPoints"][-1]["asInt"])
        for line in file.read_bytes().splitlines()
        for scope in json.loads(line)["resourceMetrics"][0]["scopeMetrics"]
        for metric in scope["metrics"]
    ]
    assert ("good", "1") in measured


def test_ten_thousand_attributes(run):
    """
    A span may have ten thousand attributes.
    """
    with bl.step("many") as step:
        step.set(**{f"attribute {number}": number for number in range(10_000)})
    run.shutdown()

    [span] = journaled(run.run_directory)["many"]
    attributes = {attribute.key: attribute.value.int_value for attribute in span.attributes}
    kept = {name: value for name, value in attributes.items() if name.startswith("attribute ")}
    assert len(kept) + span.dropped_attributes_count == 10_000
    assert kept == {f"attribute {number}": number for number in range(len(kept))}


def test_a_hundred_thousand_stamps():
    """
    A step may have a hundred thousand stamps: what its line has no room for is kept beside it, and read back in order.
    """
    with capture() as captured, bl.step("many") as step:
        for number in range(100_000):
            step.stamp("stamp", number=number)

    assert [stamp.attributes["number"] for stamp in captured.one("many").stamps] == list(range(100_000))


def test_odd_things_are_counted_and_named_once(tmp_path):
    """
    Each kind of oddity is counted in process.json, and named on stderr once however often it comes.
    """
    program = f"""
    import branchline as bl
    with bl.configure("odd", directory={str(tmp_path)!r}, console=False):
        for _ in range(3):
            with bl.step("s", big=2**80, nan=float("nan")):
                pass
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=True
    )
    [state] = tmp_path.rglob("process.json")
    oddities = json.loads(state.read_text())["oddities"]

    assert oddities == {"big_int": 3, "non_finite": 3}
    assert sorted(line.split("(")[1].split(")")[0] for line in ran.stderr.splitlines()) == ["big_int", "non_finite"]
    assert len(open_runs(tmp_path).last.steps) == 3


class Silent:
    """An object that does not even say what it is, as proxies of nothing do."""

    def __getattribute__(self, name):
        raise RuntimeError(name)


def test_what_does_not_say_what_it_is_costs_its_neighbours_nothing():
    """
    An object that raises when it is asked for its class is taken anywhere, and what stands beside it arrives.
    """
    silent: Any = Silent()
    with capture() as run:
        with bl.step("work", before=1, odd=silent, after=2) as step:
            step.set(odd_too=silent, set=3)
            step.stamp("mark", odd=silent, stamped=4)
            step.link(silent)
            step.fail(silent)
        with bl.step(silent), bl.step("linked", links=[silent]), bl.step("one link", links=silent):
            pass
        bl.event("event", severity=silent, message=silent, good=5)
        bl.record_usage("m", input_tokens=silent, output_tokens=6)
        with bl.branch({"odd": silent}, experiment=silent):
            pass
    assert [line.attributes["good"] for line in run.logs] == [5]
    assert [usage.output_tokens for usage in run.run.usages] == [6]
    assert [branch.status for branch in run.branches] == ["success"]
    work, named, linked, single = run.steps
    assert {key: work.attributes[key] for key in ("before", "after", "set")} == {"before": 1, "after": 2, "set": 3}
    assert (work.outcome, work.stamps[0].attributes["stamped"]) == ("failed", 4)
    assert (linked.name, single.name, linked.links, single.links) == ("linked", "one link", (), ())
    assert named.name == "<unprintable>"
