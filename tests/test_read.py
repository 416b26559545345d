"""Runs read from disk: frozen values, each span once, open and interrupted ones as far as they are known."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from branchline._journal.decode import TORN
from branchline._journal.nested import unflattened
from branchline.read import (
    ExceptionInfo,
    Follower,
    Happening,
    Link,
    LogLine,
    ProcessInfo,
    Run,
    Skipped,
    Stamp,
    Step,
    follow,
    open_runs,
    tree,
)
from journals import (
    BEGIN,
    SECOND,
    TRACE,
    Journal,
    attributes,
    checkpoint,
    event,
    journal,
    log,
    logs_line,
    opened,
    raised,
    span,
    spans_line,
)


def only(directory: Path) -> Run:
    """Return the one run of *directory*."""
    [run] = open_runs(directory, recover=False)
    return run


def identity(branch: str, experiment: str = "search") -> dict[str, object]:
    """Return the attributes that say which branch a span belongs to."""
    return {
        "branchline.experiment.name": experiment,
        "branchline.branch.id": f"id-{branch}",
        "branchline.branch.name": branch,
    }


# ── one span ──────────────────────────────────────────────────────────────────────────────────────
def test_step(tmp_path: Path) -> None:
    """
    A step has all that was recorded of it; branchline's own attributes are fields, the user's are attributes (SP-62).
    """
    mine = {"rows": 3, "branchline.argument.path": "x.csv", "branchline.result": 7, "branchline.cost.usd": 0.5}
    written = span(
        2,
        "load",
        parent=1,
        outcome="failed",
        code=2,
        message="no rows",
        start=1,
        end=3.5,
        own=mine | identity("a"),
        events=[
            event("loaded", 2, rows=3, **{"branchline.stamp.step": 4, "branchline.stamp.id": "s-4"}),
            raised("ValueError", "no rows", 3),
        ],
    )
    written["links"] = [{"traceId": TRACE, "spanId": f"{9:016x}", "attributes": attributes({"why": "retry"})}]
    journal(tmp_path).spans(written)

    [step] = only(tmp_path).steps

    assert step == Step(
        name="load",
        kind="step",
        trace_id=TRACE,
        span_id=f"{2:016x}",
        parent_id=f"{1:016x}",
        start_unix_nano=BEGIN + SECOND,
        end_unix_nano=BEGIN + 3 * SECOND + SECOND // 2,
        outcome="failed",
        status="ERROR",
        status_message="no rows",
        attributes={"rows": 3},
        arguments={"path": "x.csv"},
        result=7,
        stamps=(Stamp("loaded", {"rows": 3}, step=4),),
        exception=ExceptionInfo(type="ValueError", message="no rows"),
        links=(Link(trace_id=TRACE, span_id=f"{9:016x}", attributes={"why": "retry"}),),
        branch_name="a",
        branch_id="id-a",
        experiment_name="search",
        process="host-1-a",
        scope="branchline",
    )
    assert (step.duration, step.error, step.stamps[0].id) == (2.5, "ValueError: no rows", "s-4")


@pytest.mark.parametrize(("code", "outcome"), [(0, "success"), (1, "success"), (2, "failed")])
def test_foreign_span(tmp_path: Path, code: int, outcome: str) -> None:
    """
    A plain OpenTelemetry span is a step of kind span; its status tells its outcome.
    """
    journal(tmp_path).spans(span(1, "GET", kind=None, outcome=None, code=code))

    [step] = only(tmp_path).steps

    assert (step.kind, step.outcome, step.status) == ("span", outcome, ("UNSET", "OK", "ERROR")[code])


def test_stamps_compare_without_time() -> None:
    """
    Two stamps are equal when what they say is equal, whenever it was said (RT-50).
    """
    assert Stamp("loaded", {"rows": 3}, time_unix_nano=1, id="x") == Stamp("loaded", {"rows": 3})
    assert Stamp("loaded", {"rows": 3}) != Stamp("loaded", {"rows": 4})
    assert repr(Stamp("loaded", {"rows": 3}, step=1)) == "Stamp('loaded', {'rows': 3}, step=1)"


def test_values_are_frozen(tmp_path: Path) -> None:
    """
    Nothing that was read can be changed.
    """
    journal(tmp_path).spans(span(1, "a"))
    run = only(tmp_path)

    for found in (run, run.steps[0], Stamp("x")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(found, dataclasses.fields(found)[0].name, "other")


# ── experiments and branches ──────────────────────────────────────────────────────────────────────
def test_branch(tmp_path: Path) -> None:
    """
    A branch has its own status, its configuration nested as it was, its output, and the steps at any depth below it.
    """
    own = identity("a") | {
        "branchline.branch.status": "success",
        "branchline.branch.output": 0.9,
        "branchline.config.model.name": "small",
        "branchline.config.model.layers": 3,
        "branchline.config.lr": 0.1,
        "note": "mine",
    }
    journal(tmp_path).spans(
        span(3, "inner", parent=2, start=0.2),
        span(2, "outer", parent=1, start=0.1),
        span(1, "a", kind="branch", own=own),
        span(4, "elsewhere", start=5, end=6),
    )

    [branch] = only(tmp_path).branches

    assert (branch.name, branch.config_id, branch.status, branch.output) == ("a", "id-a", "success", 0.9)
    assert branch.config == {"model": {"name": "small", "layers": 3}, "lr": 0.1}
    assert (branch.attributes, branch.metrics) == ({"note": "mine"}, {})
    assert [step.name for step in branch.steps] == ["outer", "inner"]


def test_skipped_branch(tmp_path: Path) -> None:
    """
    A branch that was skipped says why.
    """
    own = {"branchline.branch.status": "skipped", "branchline.skip_reason": "no GPU"}
    journal(tmp_path).spans(span(1, "a", kind="branch", outcome="skipped", own=own))

    [branch] = only(tmp_path).branches

    assert (branch.status, branch.skip_reason, tree(branch)) == ("skipped", "no GPU", "branch a  skipped  no GPU")


@pytest.mark.parametrize(
    ("flat", "nested"),
    [
        ({"a.b": 1, "a.c": 2}, {"a": {"b": 1, "c": 2}}),
        ({"a": 1, "a.b": 2}, {"a": 1, "a.b": 2}),
        ({"a.b": 2, "a": 1}, {"a.b": 2, "a": 1}),
        ({"": 1, "a..b": 2}, {"": 1, "a": {"": {"b": 2}}}),
    ],
)
def test_unflattened(flat: Mapping[str, int], nested: Mapping[str, object]) -> None:
    """
    Dotted keys become nested mappings, unless that would hide a value.
    """
    assert unflattened(flat) == nested


def test_experiment_has_its_branches(tmp_path: Path) -> None:
    """
    An experiment's branches are those below it, and those that name it but have a trace of their own.
    """
    journal(tmp_path).spans(
        span(1, "search", kind="experiment"),
        span(2, "a", kind="branch", parent=1, start=0.1, own=identity("a")),
        span(3, "b", kind="branch", start=0.2, own=identity("b"), trace="b" * 32),
        span(4, "c", kind="branch", start=0.3, own=identity("c", experiment="another"), trace="c" * 32),
    )

    [experiment] = only(tmp_path).experiments

    assert [branch.name for branch in experiment.branches] == ["a", "b"]


# ── the tree ──────────────────────────────────────────────────────────────────────────────────────
def test_tree(tmp_path: Path) -> None:
    """
    A run is a tree of text, without times: outcomes, errors and stamps in place, siblings in order of start.
    """
    run = journal(tmp_path)
    run.spans(
        span(5, "train", parent=2, start=0.5, outcome="failed", code=2, events=[raised("ValueError", "boom\nbang", 1)]),
        span(4, "load", parent=2, start=0.3, end=0.4, events=[event("loaded", 0.3, rows=3, why="not much", x=0.5)]),
        span(6, "tokenize", parent=4, start=0.3),
        span(2, "a", kind="branch", parent=1, own={"branchline.branch.status": "success"}, start=0.2),
        span(3, "b", kind="branch", parent=1, own={"branchline.branch.status": "cancelled"}, start=0.6),
        span(1, "search", kind="experiment"),
        span(7, "GET /\x1b[31m", kind=None, outcome=None, start=3, code=2, message="refused"),
    )
    run.logs(log(name="branchline.stamp", at=2, own={"branchline.stamp.name": "between", "n": 1}))

    assert (
        tree(only(tmp_path))
        == """\
experiment search
├── branch a  success
│   ├── step load  success
│   │   · loaded rows=3 why='not much' x=0.5
│   │   └── step tokenize  success
│   └── step train  failed  ValueError: boom …
└── branch b  cancelled
· between n=1
span GET /\\x1b[31m  failed  refused"""
    )


def test_tree_over_processes(tmp_path: Path) -> None:
    """
    A child process's spans hang below the parent's; a span whose parent nobody knows is at the top.
    """
    journal(tmp_path, process="host-1-a").spans(span(1, "parent", end=9))
    journal(tmp_path, process="host-2-b", start=1).spans(
        span(2, "child", parent=1, start=2), span(3, "orphan", parent=77, start=3)
    )

    run = only(tmp_path)

    assert tree(run) == "step parent  success\n└── step child  success\nstep orphan  success"
    assert [step.process for step in run.steps] == ["host-1-a", "host-2-b", "host-2-b"]
    assert [process.name for process in run.processes] == ["host-1-a", "host-2-b"]


def test_deep_tree(tmp_path: Path) -> None:
    """
    A tree may be deeper than Python's stack.
    """
    journal(tmp_path).spans(*[span(number, "s", parent=number - 1 or None, start=number) for number in range(1, 3001)])

    run = only(tmp_path)

    assert len(run.roots[0].steps) == 2999
    assert len(tree(run).splitlines()) == 3000


def test_ring_of_parents(tmp_path: Path) -> None:
    """
    Where damaged ids make spans each other's parents, every one is still there once.
    """
    journal(tmp_path).spans(
        span(1, "own parent", parent=1), span(2, "a", parent=3, start=1), span(3, "b", parent=2, start=2)
    )

    assert tree(only(tmp_path)) == "step own parent  success\nstep a  success\n└── step b  success"


# ── exactly once ──────────────────────────────────────────────────────────────────────────────────
def test_repeats(tmp_path: Path) -> None:
    """
    A span or log record that was written twice, by a recoverer or another process, is read once.
    """
    first = journal(tmp_path, process="host-1-a").spans(span(1, "a"))
    first.logs(log("hello", uid="u-1"), log("hello", uid="u-2"))
    journal(tmp_path, process="host-2-b").spans(span(1, "a"), span(2, "b")).logs(log("hello", uid="u-1"))

    run = only(tmp_path)

    assert [step.name for step in run.steps] == ["a", "b"]
    assert [line.message for line in run.logs] == ["hello", "hello"]


def test_real_end_wins(tmp_path: Path) -> None:
    """
    A span closed as interrupted by a recoverer, and then ended after all, has ended.
    """
    journal(tmp_path).spans(span(1, "a", outcome="interrupted", code=2), span(1, "a"))

    assert tree(only(tmp_path)) == "step a  success"


def test_spilled_events(tmp_path: Path) -> None:
    """
    Events that were too many for their span's line are back in their place, once.
    """
    run = journal(tmp_path).spans(span(1, "a", events=[event("first", 1), event("third", 3)]))
    spilled = {"branchline.event.name": "second", "n": 2, "branchline.stamp.step": 1} | identity("a")
    broken = {"branchline.event.name": "exception", "exception.type": "ValueError", "exception.message": "boom"}
    record = log(name="branchline.span.event", at=2, number=1, own=spilled)
    run.logs(record, record, log(name="branchline.span.event", at=4, number=1, own=broken))

    run_ = only(tmp_path)
    [step] = run_.steps

    assert step.stamps == (Stamp("first"), Stamp("second", {"n": 2}, step=1), Stamp("third"))
    assert step.exception == ExceptionInfo(type="ValueError", message="boom")
    assert run_.logs == ()


# ── open and interrupted ──────────────────────────────────────────────────────────────────────────
def started_run(directory: Path, **process: object) -> Journal:
    """Write a run whose branch and step are open: the step has checkpoints."""
    run = journal(directory, state="running", **process)  # type: ignore[arg-type]  # keywords of the journal
    run.spans(span(3, "load", parent=1, start=1))
    return run.logs(
        log(name="branchline.run.started"),
        opened(1, "a", kind="branch", own={"branchline.config.lr": 0.1}, identity=identity("a")),
        opened(2, "train", parent=1, start=2, own={"rows": 1}, identity=identity("a")),
        opened(3, "load", parent=1, start=1),
        checkpoint(2, at=3, own={"rows": 2}, events=[("epoch", 2.5, {"n": 1})]),
        checkpoint(2, at=4, events=[("epoch", 3.5, {"n": 2})]),
    )


def test_open_in_a_living_process(tmp_path: Path) -> None:
    """
    A span of which only the start is known is open, with the attributes and stamps of its checkpoints.
    """
    started_run(tmp_path, pid=os.getpid(), started_unix_nano=time.time_ns())

    run = only(tmp_path)
    [_, train] = run.steps

    assert run.state == "running"
    assert (
        tree(run)
        == """\
branch a  open
├── step load  success
└── step train  open
    · epoch n=1
    · epoch n=2"""
    )
    assert (train.is_open, train.outcome, train.end_unix_nano, train.duration) == (True, None, None, None)
    assert (train.attributes, train.branch_name, train.status) == ({"rows": 2}, "a", "UNSET")
    assert run.branches[0].config == {"lr": 0.1}


def test_interrupted_in_a_dead_process(tmp_path: Path) -> None:
    """
    In a process that has died, what was open is interrupted, and still knows its last stamps.
    """
    started_run(tmp_path)

    run = only(tmp_path)
    [_, train] = run.steps

    assert run.state == "killed"
    assert (
        tree(run)
        == """\
branch a  interrupted
├── step load  success
└── step train  interrupted
    · epoch n=1
    · epoch n=2"""
    )
    assert (train.is_open, train.outcome, train.status) == (True, "interrupted", "ERROR")
    assert run.ended_unix_nano == BEGIN + 3 * SECOND + SECOND // 2


def test_checkpoint_without_its_start(tmp_path: Path) -> None:
    """
    Stamps are not lost with the line that said where they belong.
    """
    journal(tmp_path).logs(checkpoint(2, at=3, events=[("epoch", 2.5, {"n": 1})]))

    [step] = only(tmp_path).steps

    assert (step.name, step.stamps, step.outcome) == ("", (Stamp("epoch", {"n": 1}),), "interrupted")


def test_open_foreign_span(tmp_path: Path) -> None:
    """
    The start of a plain OpenTelemetry span opens a span, not a step.
    """
    record = opened(1, "GET")
    record["attributes"] = [item for item in record["attributes"] if item["key"] != "branchline.kind"]
    journal(tmp_path).logs(record)

    assert tree(only(tmp_path)) == "span GET  interrupted"


@pytest.mark.parametrize(
    ("process", "state"),
    [
        ({"state": "ended"}, "ended"),
        ({"state": "recovered"}, "killed"),
        ({"state": "running", "pid": 0}, "killed"),
        ({"state": "running", "pid": 2**62}, "killed"),
        ({"state": "running", "pid": os.getpid(), "started_unix_nano": 1}, "killed"),
        ({"state": "running", "host": "elsewhere"}, "killed"),
        ({"state": "running", "host": "elsewhere", "heartbeat_unix_nano": 2**62}, "running"),
        ({"state": "running", "pid": 2**22 + 1, "pid_space": "elsewhere", "heartbeat_unix_nano": 2**62}, "running"),
        ({"state": "running", "pid": os.getpid(), "pid_space": "elsewhere"}, "killed"),
    ],
)
def test_state(tmp_path: Path, process: Mapping[str, object], state: str) -> None:
    """
    A run whose process says that it runs is believed only as far as that can be checked: a pid may have been reused.
    """
    journal(tmp_path, **process)  # type: ignore[arg-type]  # keywords of the journal

    assert only(tmp_path).state == state


def test_state_by_lock(tmp_path: Path) -> None:
    """
    Whoever holds the lock of its ring lives, whatever its pid is over there; without the lock it is dead.
    """
    fcntl = pytest.importorskip("fcntl")
    ring = tmp_path / "a.ring"
    ring.write_bytes(b"")
    journal(tmp_path, state="running", ring=str(ring))

    with ring.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        held = only(tmp_path).state

    assert (held, only(tmp_path).state) == ("running", "killed")


def test_killed_worker(tmp_path: Path) -> None:
    """
    How a run went is what its first process says: pools kill their workers as a matter of course.
    """
    journal(tmp_path, process="host-2-worker", state="recovered", start=1)
    journal(tmp_path, process="host-3-main", state="ended")

    assert only(tmp_path).state == "ended"


# ── logs, processes, losses ───────────────────────────────────────────────────────────────────────
def test_logs(tmp_path: Path) -> None:
    """
    Log records come in order of time with the step that they were written in; bookkeeping is left out.
    """
    run = journal(tmp_path).spans(span(1, "load"))
    run.logs(
        log("later", at=2, severity=(17, "")),
        log("sooner", at=1, number=1, name="app.hello", own={"n": 1} | identity("a")),
        log(name="branchline.run.started"),
        opened(1, "load"),
    )

    assert only(tmp_path).logs == (
        LogLine(
            time_unix_nano=BEGIN + SECOND,
            level="INFO",
            message="sooner",
            event_name="app.hello",
            attributes={"n": 1},
            level_name="INFO",
            severity_number=9,
            logger_name="branchline",
            trace_id=TRACE,
            span_id=f"{1:016x}",
            step_name="load",
            branch_name="a",
            branch_id="id-a",
            experiment_name="search",
        ),
        LogLine(
            time_unix_nano=BEGIN + 2 * SECOND,
            level="ERROR",
            message="later",
            level_name="ERROR",
            severity_number=17,
            logger_name="branchline",
        ),
    )


def test_dropped(tmp_path: Path) -> None:
    """
    What was dropped is added up over processes and signals, by reason.
    """
    spans = {"recorded": 9, "dropped": {"queue_full": 2, "disk": 0}}
    journal(tmp_path, process="host-1-a", counters={"spans": spans, "logs": {"dropped": {"queue_full": 1}}})
    journal(tmp_path, process="host-2-b", counters={"spans": {"dropped": {"disk": 4}}, "odd": 7})

    assert only(tmp_path).dropped == {"queue_full": 3, "disk": 4}


def test_process(tmp_path: Path) -> None:
    """
    A process is what its folder says; fields of the wrong type count as missing.
    """
    journal(tmp_path, host="h", parent_pid=7, exit="SIGTERM", oddities={"big_int": 2, "x": "y"}, metadata=[1])

    assert only(tmp_path).processes == (
        ProcessInfo(
            name="host-1-a",
            pid=999_999_999,
            parent_pid=7,
            host="h",
            started_unix_nano=BEGIN,
            ended_unix_nano=BEGIN + 10 * SECOND,
            exit="SIGTERM",
            oddities={"big_int": 2},
        ),
    )


def test_skipped(tmp_path: Path) -> None:
    """
    What could not be read is said, and the rest is there (PE-11).
    """
    journal(tmp_path).spans(span(1, "a")).raw(b'{"resourceSpans":[{"sco')

    run = only(tmp_path)

    assert [step.name for step in run.steps] == ["a"]
    assert run.skipped == (Skipped(file="host-1-a/traces-000000.jsonl", line=2, reason=TORN),)


def test_half_a_line_of_a_living_process(tmp_path: Path) -> None:
    """
    The line that a living process is just writing is no damage.
    """
    run = journal(tmp_path, state="running", pid=os.getpid(), started_unix_nano=time.time_ns())
    run.spans(span(1, "a")).raw(b'{"resourceSpans":[{"sco')

    assert only(tmp_path).skipped == ()


# ── files ─────────────────────────────────────────────────────────────────────────────────────────
def test_sealed_segments(tmp_path: Path) -> None:
    """
    Sealed and growing segments are one journal; of one that is there twice the plain file counts; others are ignored.
    """
    folder = journal(tmp_path).spans(span(1, "plain")).folder
    (folder / "traces-000000.jsonl.gz").write_bytes(b"half written")
    (folder / "traces-000001.jsonl.gz").write_bytes(gzip.compress(spans_line(span(2, "sealed", start=1))))
    (folder / ".traces-000002.jsonl.gz.tmp").write_bytes(spans_line(span(3, "temporary")))
    (folder / "metrics-000000.jsonl").write_bytes(b'{"resourceMetrics":[]}\n')

    run = only(tmp_path)

    assert (tree(run), run.skipped) == ("step plain  success\nstep sealed  success", ())


def test_collector_files(tmp_path: Path) -> None:
    """
    A folder of files by the Collector's file exporter is one run: mixed signals, several services, no run.json.
    """
    place = tmp_path / "exported"
    place.mkdir()
    resource = {"service.name": "shop", "host.name": "web", "process.pid": 7}
    lines = [
        spans_line(span(1, "GET", kind=None, outcome=None, start=1), resource=resource),
        logs_line(log("sold", at=2, number=1), resource=resource),
        b'{"resourceMetrics":[]}\n',
    ]
    (place / "telemetry.jsonl").write_bytes(b"".join(lines))

    run = only(place)

    assert (run.id, run.service_name, run.state, run.created_unix_nano) == ("exported", "shop", "ended", BEGIN + SECOND)
    assert (tree(run), run.steps[0].process, run.skipped) == ("span GET  success", "web-7", ())
    assert [line.step_name for line in run.logs] == ["GET"]


def test_places_of_one_run(tmp_path: Path) -> None:
    """
    The folder of one run opens as that run, and so does a copy of it elsewhere or one of its files.
    """
    folder = journal(tmp_path, run="one").spans(span(1, "a")).folder
    journal(tmp_path, run="two")
    copied = tmp_path / "copied"
    shutil.copytree(folder.parent, copied)

    places = [folder.parent, copied, folder, folder / "traces-000000.jsonl"]

    assert [(run.id, tree(run)) for place in places for run in open_runs(place, recover=False)] == [
        ("one", "step a  success"),
        ("one", "step a  success"),
        ("host-1-a", "step a  success"),
        ("traces-000000", "step a  success"),
    ]


def test_run_without_its_identity(tmp_path: Path) -> None:
    """
    A run whose run.json is gone or damaged is still there, under the name of its folder.
    """
    run = journal(tmp_path, run="one").spans(span(1, "a", start=5))
    (run.folder.parent / "run.json").write_bytes(b"{")
    (run.folder / "process.json").write_bytes(b"[]")

    found = only(tmp_path)

    assert (found.id, found.service_name, found.created_unix_nano) == ("one", "demo", BEGIN + 5 * SECOND)


# ── finding runs ──────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def three(tmp_path: Path) -> Path:
    for number, name in enumerate(["20260101-b", "20260101-a", "20260102-c"]):
        journal(tmp_path, run=name, start=number)
    return tmp_path


def test_runs_by_id(three: Path) -> None:
    """
    Runs are in order of creation; one is found by id, by the unique beginning of one, by position, or as the last.
    """
    runs = open_runs(three, recover=False)

    assert runs.ids == ("20260101-b", "20260101-a", "20260102-c")
    assert [run.id for run in runs] == list(runs.ids)
    assert {runs["20260102-c"].id, runs["20260102"].id, runs[-1].id, runs.last.id, runs["last"].id} == {"20260102-c"}
    assert [run.id for run in runs[:2]] == ["20260101-b", "20260101-a"]
    assert [which in runs for which in ("20260101-b", runs[0], "x")] == [True, True, False]
    assert repr(runs) == f"<Runs 3 in {three}>"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("20260101", "'20260101' is the beginning of 2 runs: 20260101-a, 20260101-b"),
        ("x", "no run 'x' in {}; there are 20260102-c, 20260101-a, 20260101-b"),
        ("", "no run '' in {}; there are 20260102-c, 20260101-a, 20260101-b"),
    ],
)
def test_no_such_run(three: Path, name: str, said: str) -> None:
    """
    A name that means no run, or several, is an error that names those there are.
    """
    with pytest.raises(KeyError) as caught:
        open_runs(three, recover=False)[name]

    assert caught.value.args == (said.format(three),)


@pytest.mark.parametrize(
    "make", [lambda path: None, Path.mkdir, lambda path: (path / "runs" / "junk").mkdir(parents=True)]
)
def test_no_runs(tmp_path: Path, make: object) -> None:
    """
    A place without runs, or that does not exist, holds none.
    """
    assert callable(make)
    make(tmp_path / "x")
    runs = open_runs(tmp_path / "x", recover=False)

    assert list(runs) == []
    with pytest.raises(LookupError, match="no runs in"):
        _ = runs.last


def test_listing_parses_nothing(tmp_path: Path) -> None:
    """
    To list a thousand runs, and their states, no span is parsed: their files might as well be unreadable.
    """
    for number in range(30):
        run = journal(tmp_path, run=f"run-{number:02}", start=number)
        (run.folder / "traces-000000.jsonl").symlink_to(tmp_path / "nowhere")

    runs = open_runs(tmp_path, recover=False)

    assert [(run.id, run.service_name, run.state) for run in runs] == [
        (f"run-{number:02}", "demo", "ended") for number in range(30)
    ]
    assert runs[0].skipped != ()


def test_recovery_comes_first(tmp_path: Path) -> None:
    """
    Opening runs recovers what dead processes left; there is nothing to say when none did.
    """
    journal(tmp_path).spans(span(1, "a"))

    assert open_runs(tmp_path).recovered == ()


# ── following ─────────────────────────────────────────────────────────────────────────────────────
def told(happenings: list[Happening]) -> list[str]:
    """Return *happenings* as text."""
    return [
        f"{happening.what} {(happening.stamp or happening.step or happening.log)!r}"
        if happening.log is None
        else f"log {happening.log.message}"
        for happening in happenings
    ]


def test_follow(tmp_path: Path) -> None:
    """
    A follower tells each thing once, when it has happened: also across a seal, a half-written line, and a repeat.
    """
    run = journal(tmp_path, state="running", pid=os.getpid(), started_unix_nano=time.time_ns())
    follower = Follower(only(tmp_path))
    nothing = follower.poll()

    run.logs(opened(1, "train"), checkpoint(1, at=1, events=[("epoch", 0.5, {"n": 1})]), log("hello", at=0.7))
    first = told(follower.poll())
    whole = spans_line(span(1, "train", end=3, events=[event("epoch", 0.5, n=1), event("epoch", 2, n=2)]))
    run.raw(whole[:70])
    second = told(follower.poll())
    run.raw(whole[70:])
    third = told(follower.poll())
    plain = run.folder / "traces-000000.jsonl"
    (run.folder / "traces-000000.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes() + spans_line(span(2, "late"))))
    plain.unlink()
    fourth = told(follower.poll())
    run.raw(whole + spans_line(span(3, "next")), file="traces-000001.jsonl")
    fifth = told(follower.poll())

    assert nothing == []
    assert first == ["started <step train open>", "stamp Stamp('epoch', {'n': 1})", "log hello"]
    assert second == []
    assert third == ["stamp Stamp('epoch', {'n': 2})", "ended <step train success>"]
    assert fourth == ["ended <step late success>"]
    assert fifth == ["ended <step next success>"]
    assert not follower.is_over


def test_follow_a_run_that_is_over(tmp_path: Path) -> None:
    """
    A run none of whose processes lives is over.
    """
    journal(tmp_path, state="running")

    assert Follower(only(tmp_path)).is_over


def test_follow_a_run_to_its_end(tmp_path: Path) -> None:
    """
    Following a run goes on as long as its process lives, and gives what that died with as well.
    """
    program = f"""
import os, signal
import branchline as bl
bl.configure("followed", directory={str(tmp_path)!r}, console=False)
with bl.step("first"):
    pass
bl.flush()
print("ready", flush=True)
input()
with bl.step("last"):
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        happening = follow(only(tmp_path), interval=0.01)
        first = next(happening)
        process.stdin.write("\n")
        process.stdin.flush()
        process.wait()
        rest = list(happening)

    assert told([first]) == ["ended <step first success>"]
    assert told(rest) == ["ended <step last success>"]


# ── fuzzing ───────────────────────────────────────────────────────────────────────────────────────
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from([TRACE, f"{1:016x}", "step"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
OWN = [
    *("branchline.kind", "branchline.outcome", "branchline.span.name", "branchline.span.parent_id"),
    *(
        "branchline.span.start_unix_nano",
        "branchline.span.attributes",
        "branchline.span.events",
        "branchline.stamp.step",
    ),
    *("branchline.branch.status", "branchline.event.name", "log.record.uid", "branchline.stamp.name", "exception.type"),
]
EVENTS = [
    *("branchline.step.started", "branchline.branch.started", "branchline.step.checkpoint", "branchline.span.event"),
    *("branchline.stamp", "branchline.run.started", ""),
]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    own=st.dictionaries(st.sampled_from(OWN), anything, max_size=5),
    name=st.sampled_from(EVENTS),
    parent=st.integers(1, 3),
    process=st.dictionaries(
        st.sampled_from(["state", "pid", "host", "ring", "counters", "started_unix_nano"]), anything
    ),
)
def test_wrong_bookkeeping_never_crashes(
    tmp_path_factory: pytest.TempPathFactory,
    own: dict[str, object],
    name: str,
    parent: int,
    process: dict[str, object],
) -> None:
    """
    Whatever our own attributes hold, the run opens, is shown, and is followed.
    """
    place = tmp_path_factory.mktemp("fuzzed")
    run = journal(place)
    (run.folder / "process.json").write_bytes(json.dumps(process).encode())
    run.spans(span(1, "a", parent=parent, own=own, events=[event("x", **own), event("exception", **own)]))
    run.logs(log(name=name, number=1, own=own), log(name=name, number=2, own=own), log(name=name, own=own))

    found = only(place)

    assert tree(found).count("\n") >= found.contents.roots.__len__() - 1
    assert found.state in {"running", "ended", "killed"}
    assert found.dropped is not None
    Follower(found).poll()
    shutil.rmtree(place)
