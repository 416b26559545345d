"""Recovery: the journal of a dead process gets what its ring still has, once, redacted, and its open spans an end."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from branchline import names
from branchline._journal import layout
from branchline._journal.belonging import Scope
from branchline._journal.compact import dumps, ring_default
from branchline._journal.dead_rings import DeadRing
from branchline._journal.encode import Encoder
from branchline._journal.log_records import LogRecord, log_tuple
from branchline._journal.recovery import home_of, make_room, mounts, recover_run, recover_runs
from branchline._journal.ring import Ring, create_ring
from branchline._journal.ring_layout import MAGIC, Progress
from branchline._journal.ring_places import rings
from branchline._journal.span_records import Bond, SpanRecord, span_tuple
from branchline.redaction import Redactor


SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND
TRACE = "0af7651916cd43dd8448eb211c80319c"
RESOURCE = {names.SERVICE_NAME: "recovered"}


class Process:
    """A process of a run, with a ring in its own folder, until it dies."""

    def __init__(self, directory: Path, name: str = "host-1-1", /, **page: str | int) -> None:
        self.run = layout.runs_directory(directory) / "a-run"
        self.folder = layout.private_directory(self.run / name)
        self.encoder = Encoder(RESOURCE, Redactor(), version="0")
        self.ring: Ring = create_ring(
            self.folder,
            {
                "version": 1,
                "run_directory": str(self.run.resolve()),
                "run_id": "a-run",
                "process": name,
                "pid": 1,
                "service_name": "recovered",
                "started_unix_nano": BEGIN,
                "resource": dumps(RESOURCE).decode(),
                "home": home_of(self.run),
                **page,
            },
            is_shared_memory=False,
            index=layout.private_directory(layout.rings_directory(directory)),
        )

    def put(self, *records: SpanRecord | LogRecord) -> None:
        for record in records:
            compact = log_tuple(record) if isinstance(record, LogRecord) else span_tuple(record)
            assert self.ring.put(dumps(compact, ring_default)) != -1

    def write(self, name: str, *records: SpanRecord | LogRecord) -> int:
        """Write *records* to the file called *name*; return how long it is."""
        spans = [record for record in records if isinstance(record, SpanRecord)]
        logs = [record for record in records if isinstance(record, LogRecord)]
        lines = (self.encoder.span_lines(spans) if spans else b"") + (self.encoder.log_lines(logs) if logs else b"")
        with (self.folder / name).open("ab") as file:
            file.write(lines)
            return file.tell()

    def die(self) -> None:
        self.ring.close(remove=False)


def span(number: int, name: str = "s", at: float = 0, parent: int | None = None, **options: Any) -> SpanRecord:
    return SpanRecord(
        trace_hex=TRACE,
        number=number,
        parent_number=parent,
        title=name,
        began=BEGIN + int(at * SECOND),
        ended=BEGIN + int((at + 1) * SECOND),
        role=options.pop("role", "step"),
        outcome="success",
        **options,
    )


def log(uid: str, name: str = "note", at: float = 0, number: int | None = None, **data: Any) -> LogRecord:
    return LogRecord(
        name=name,
        time=BEGIN + int(at * SECOND),
        uid=uid,
        trace_hex=None if number is None else TRACE,
        span_number=number,
        data=data,
    )


def started(number: int, name: str, at: float = 0, kind: str = "step", **data: Any) -> LogRecord:
    described = {
        names.KIND: kind,
        names.SPAN_NAME: name,
        names.SPAN_START: BEGIN + int(at * SECOND),
        names.SPAN_ATTRIBUTES: data,
    }
    return log(f"start-{number}", names.STARTED_EVENTS[kind], at, number, **described)


def checkpoint(number: int, at: float, events: list[tuple[str, float]], **data: Any) -> LogRecord:
    described = [
        {"name": name, "time_unix_nano": BEGIN + int(when * SECOND), "attributes": {}} for name, when in events
    ]
    uid = f"check-{number}-{at}"
    return log(uid, names.STEP_CHECKPOINT, at, number, **{names.SPAN_ATTRIBUTES: data, names.SPAN_EVENTS: described})


def journal(process: Process) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return all spans and all log records on the disk."""
    spans: list[dict[str, Any]] = []
    logs: list[dict[str, Any]] = []
    for segment in layout.segments(process.folder):
        data = segment.path.read_bytes()
        for line in (gzip.decompress(data) if segment.is_sealed else data).splitlines():
            try:
                parsed = orjson.loads(line)
            except ValueError:
                continue
            for resource in parsed.get("resourceSpans", ()):
                spans += [one for scope in resource["scopeSpans"] for one in scope["spans"]]
            for resource in parsed.get("resourceLogs", ()):
                logs += [one for scope in resource["scopeLogs"] for one in scope["logRecords"]]
    return spans, logs


def ids(process: Process) -> list[int]:
    return sorted(int(one["spanId"], 16) for one in journal(process)[0])


def state(process: Process) -> dict[str, Any]:
    known = layout.read_json(process.folder / "process.json")
    assert known is not None
    return known


def attributes(one: dict[str, Any]) -> dict[str, Any]:
    return {item["key"]: next(iter(item["value"].values()), None) for item in one.get("attributes", ())}


def test_what_the_journal_lacks_is_written(tmp_path):
    """
    Spans and records that are in the ring and not in the journal go to it; those that are there stay alone.
    """
    process = Process(tmp_path)
    process.ring.note(Progress())
    process.write("traces-000000.jsonl", span(1), span(2))
    process.write("logs-000000.jsonl", log("a"))
    process.put(span(2), span(3), log("a"), log("b"))
    process.die()

    [sentence] = recover_runs(tmp_path)
    assert sentence == ("recovered host-1-1: 1 span(s) and 1 log record(s) from its ring, 0 closed as interrupted")
    assert ids(process) == [1, 2, 3]
    assert sorted(attributes(one)[names.LOG_UID] for one in journal(process)[1]) == ["a", "b"]
    assert rings(process.folder) == []
    assert recover_runs(tmp_path) == []


def test_nothing_is_said_where_nothing_was_missing(tmp_path):
    """
    A process whose journal has all that its ring has leaves its ring behind, and nobody has to hear of it.
    """
    process = Process(tmp_path)
    process.put(span(1))
    process.write("traces-000000.jsonl", span(1))
    process.die()

    assert recover_runs(tmp_path) == []
    assert rings(process.folder) == []


def test_nothing_is_written_behind_a_torn_line(tmp_path):
    """
    What is recovered goes to new files: the last line of the old ones may be half a line.
    """
    process = Process(tmp_path)
    process.write("traces-000000.jsonl", span(1))
    with (process.folder / "traces-000000.jsonl").open("ab") as file:
        file.write(b'{"resourceSpans":[{"res')
    process.put(span(2))
    process.die()
    recover_runs(tmp_path)

    assert ids(process) == [1, 2]
    assert [segment.number for segment in layout.segments(process.folder, "traces")] == [0, 1]


def test_a_sealed_file_is_not_covered_by_a_plain_one(tmp_path):
    """
    A process that rotated has only compressed files of its first numbers: what is recovered must not take their
    names, for a plain file is in force before a compressed one.
    """
    process = Process(tmp_path)
    process.write("traces-000000.jsonl", span(1))
    plain = process.folder / "traces-000000.jsonl"
    plain.with_name("traces-000000.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    process.put(span(2))
    process.die()
    recover_runs(tmp_path)

    assert ids(process) == [1, 2]


def test_only_what_comes_after_the_noted_place_is_read(tmp_path):
    """
    Spans before the place that the ring names are not looked at again, but they are counted.
    """
    process = Process(tmp_path)
    offset = process.write("traces-000000.jsonl", span(1), span(2))
    process.ring.note(Progress(traces_offset=offset, spans=2))
    process.write("traces-000000.jsonl", span(3))
    process.put(span(3), span(4))
    process.die()
    recover_runs(tmp_path)

    assert ids(process) == [1, 2, 3, 4]
    assert state(process)["counters"]["spans"] == {"recorded": 4, "journaled": 4, "sampled_out": 0, "dropped": {}}


def test_what_was_open_is_closed_as_interrupted(tmp_path):
    """
    A span that had begun and has no end gets one: interrupted, when the process was last known to live, with what its
    start and its checkpoints said of it, in the journal or in the ring.
    """
    process = Process(tmp_path)
    process.write(
        "logs-000000.jsonl",
        started(1, "experiment", kind="experiment", a=1),
        started(2, "long", at=1, a=1, b=b"\x00"),
        checkpoint(2, 2, [("first", 1.5)], a=2),
        started(3, "ended", at=1),
    )
    process.write("traces-000000.jsonl", span(3, "ended"))
    process.put(checkpoint(2, 4, [("third", 3.5)], c=3), checkpoint(2, 3, [("second", 2.5)], c=2))
    process.put(started(4, "in the ring", at=3))
    process.ring.note(Progress(heartbeat_unix_nano=BEGIN + 5 * SECOND))
    process.die()
    [sentence] = recover_runs(tmp_path)

    assert sentence.endswith("3 closed as interrupted")
    found = {one["name"]: one for one in journal(process)[0]}
    assert set(found) == {"experiment", "long", "ended", "in the ring"}
    assert [attributes(one).get(names.OUTCOME) for one in found.values()].count("interrupted") == 3
    long = found["long"]
    assert (long["startTimeUnixNano"], long["endTimeUnixNano"]) == (str(BEGIN + SECOND), str(BEGIN + 5 * SECOND))
    assert [event["name"] for event in long["events"]] == ["first", "second", "third"]
    assert attributes(long) == {
        names.KIND: "step",
        names.OUTCOME: "interrupted",
        "a": "2",
        "b": "AA==",
        "c": "3",
    }
    assert long["status"] == {"message": "the process died", "code": 2}
    assert state(process)["recovered"]["interrupted"] == ["experiment", "long", "in the ring"]


def test_a_link_to_an_open_span_does_not_end_it(tmp_path):
    """
    That an ended span names an open one, as its parent or in a link, does not mean that the open one has ended.
    """
    process = Process(tmp_path)
    process.write("logs-000000.jsonl", started(1, "open"))
    bond: Bond = (TRACE, f"{1:016x}", "", {}, 0x101, 0)
    process.write("traces-000000.jsonl", span(2, "child", parent=1, bonds=[bond]))
    process.die()
    recover_runs(tmp_path)

    assert sorted(one["name"] for one in journal(process)[0]) == ["child", "open"]


def test_an_interrupted_branch(tmp_path):
    """
    A branch that was open has the status interrupted.
    """
    process = Process(tmp_path)
    process.write("logs-000000.jsonl", started(1, "branch", 0, "branch", **{names.BRANCH_STATUS: "pending"}))
    process.die()
    recover_runs(tmp_path)

    [branch] = journal(process)[0]
    assert attributes(branch)[names.BRANCH_STATUS] == "interrupted"


def test_spans_too_large_for_one_line(tmp_path):
    """
    Events for which a span's line has no room are written beside it, before it; a recovery that died after them does
    not have them twice.
    """
    marks = [(f"mark{n}", BEGIN + n, {"text": "x" * 1000}, 0) for n in range(600)]
    process = Process(tmp_path)
    process.put(span(1, marks=marks))
    process.die()
    ring = process.ring.path.read_bytes()
    recover_runs(tmp_path)
    spans, logs = journal(process)
    assert len(spans[0]["events"]) + len(logs) == 600

    for segment in layout.segments(process.folder, "traces"):
        segment.path.unlink()
    process.ring.path.write_bytes(ring)
    recover_runs(tmp_path)
    again, more = journal(process)
    assert again == spans
    assert more == logs
    assert state(process)["counters"]["logs"]["journaled"] == len(logs)


def test_what_comes_out_is_redacted(tmp_path):
    """
    What was in memory is redacted before it is written, also by the keys and patterns that its process was told.
    """
    told = dumps({"keys": ["customer"], "patterns": [("zzz[0-9]+", 0)]}).decode()
    process = Process(tmp_path, redact=told)
    process.put(span(1, data={"password": "hunter2", "customer": "me", "text": "a zzz12 b", "safe": "yes"}))
    process.die()
    recover_runs(tmp_path)

    [one] = journal(process)[0]
    found = attributes(one)
    assert (found["password"], found["customer"], found["text"], found["safe"]) == (
        "[redacted]",
        "[redacted]",
        "a [redacted] b",
        "yes",
    )


def test_values_come_back_as_they_were(tmp_path):
    """
    Every type that the ring takes comes out as the journal would have had it.
    """
    data = {
        "bytes": b"\x00\xff",
        "like bytes": {"$bytes": "no base64!"},
        "nested": {"list": [1, 2.5, None, True], "bytes": [b"x"]},
        "big": 2**63 - 1,
    }
    process = Process(tmp_path)
    record = span(1, data=data, scope=Scope("somebody", "1"), state="a=b", flags=3, has_remote_parent=True, parent=9)
    process.put(record)
    process.die()
    recover_runs(tmp_path)

    lines = [segment.path.read_bytes() for segment in layout.segments(process.folder, "traces")]
    assert lines == [process.encoder.span_lines([record])]


def test_log_records_come_back_as_they_were(tmp_path):
    """
    A log record comes out of the ring with its scope, its message of any type, its times and its place in the code.
    """
    theirs = Scope("app.db", "1", "https://example.com/1", {"team": "a"})
    common: dict[str, Any] = {"name": "", "severity": 13, "severity_text": "WARN"}
    records = [
        LogRecord(**common, time=BEGIN, uid="1", scope=Scope("app.db", None), origin=("x.py", "main", 3, "WARNING")),
        LogRecord(**common, time=BEGIN + 1, uid="2", scope=Scope("app.db", None), body={"raw": b"\xff", "rows": [1]}),
        LogRecord(**common, time=BEGIN + 2, uid="3", scope=theirs, observed=BEGIN + 9, flags=1, data={"a": b"x"}),
    ]
    process = Process(tmp_path)
    process.put(*records)
    process.die()
    recover_runs(tmp_path)

    lines = [segment.path.read_bytes() for segment in layout.segments(process.folder, "logs")]
    # One scope for the first two: they are written together.
    records[1].scope = records[0].scope
    assert lines == [process.encoder.log_lines(records)]


@pytest.mark.parametrize("is_written", [False, True])
def test_a_log_record_of_the_future_prolongs_nothing(tmp_path, is_written):
    """
    What is open is interrupted when the process was last heard of, whatever time somebody has put on a log record.
    """
    process = Process(tmp_path)
    future = log("u-1", at=10**9)
    future.observed = BEGIN + 3 * SECOND
    process.put(started(1, "open", at=1))
    if is_written:
        process.write("logs-000000.jsonl", future)
    else:
        process.put(future)
    process.die()
    recover_runs(tmp_path)

    [found] = journal(process)[0]
    assert found["endTimeUnixNano"] == str(BEGIN + 3 * SECOND)


def test_a_living_process_is_left_alone(tmp_path):
    """
    The ring of a process that lives is not touched; that of another process of the same run is.
    """
    living, dead = Process(tmp_path), Process(tmp_path, "host-2-2")
    living.put(span(1))
    dead.put(span(2))
    dead.die()

    assert len(recover_runs(tmp_path)) == 1
    assert (ids(living), ids(dead)) == ([], [2])
    living.ring.close()


def test_one_run_and_one_directory_at_a_time(tmp_path):
    """
    Recovering one run or one directory leaves the others to their own readers.
    """
    here, there = Process(tmp_path / "here"), Process(tmp_path / "there")
    for process in (here, there):
        process.put(span(1))
        process.die()
    assert len(recover_run(here.run)) == 1
    assert recover_run(here.run) == []
    assert recover_runs(tmp_path / "here") == []

    assert (ids(here), ids(there)) == ([1], [])


def test_a_disk_without_room_keeps_the_ring(tmp_path, monkeypatch):
    """
    A recovery that cannot write says so and leaves everything for the next one.
    """
    process = Process(tmp_path)
    process.put(span(1))
    process.die()
    with monkeypatch.context() as failing:

        def refuse(descriptor: int, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        failing.setattr(os, "write", refuse)
        assert recover_runs(tmp_path) == ["could not recover host-1-1: [Errno 28] No space left on device"]
    assert len(recover_runs(tmp_path)) == 1

    assert ids(process) == [1]


def test_a_process_that_ended_but_could_not_write(tmp_path):
    """
    What was left by a process that ended in order does not make it a killed one.
    """
    process = Process(tmp_path)
    layout.replace_json(process.folder / "process.json", {"state": "ended", "exit": "exit", "counters": {}})
    process.put(span(1))
    process.die()
    recover_runs(tmp_path)

    assert (state(process)["state"], state(process)["exit"]) == ("ended", "exit")
    assert state(process)["counters"]["spans"]["journaled"] == 1


def test_what_was_dropped_stays_counted(tmp_path):
    """
    What the process had given up before its death is still counted after its recovery.
    """
    process = Process(tmp_path)
    last = {"spans": {"recorded": 5, "journaled": 1, "sampled_out": 2, "dropped": {"queue_full": 2}}}
    layout.replace_json(process.folder / "process.json", {"state": "running", "counters": last})
    process.put(span(1), span(2))
    process.die()
    recover_runs(tmp_path)

    assert state(process)["counters"] == {
        "spans": {"recorded": 6, "journaled": 2, "sampled_out": 2, "dropped": {"queue_full": 2}},
        "logs": {"recorded": 0, "journaled": 0, "sampled_out": 0, "dropped": {}, "notes": 0},
    }


def test_metrics_that_were_on_their_way_are_counted(tmp_path):
    """
    What a disk did not take of metrics, which are in no ring, is counted as not written.
    """
    process = Process(tmp_path)
    last = {"metrics": {"recorded": 5, "journaled": 0, "sampled_out": 0, "dropped": {"disk_error": 2}}}
    layout.replace_json(process.folder / "process.json", {"state": "ended", "counters": last})
    process.put(span(1))
    process.die()
    recover_runs(tmp_path)

    dropped = {"disk_error": 2, "not_written": 3}
    assert state(process)["counters"]["metrics"] == {
        "recorded": 5,
        "journaled": 0,
        "sampled_out": 0,
        "dropped": dropped,
    }


@pytest.mark.parametrize("damage", ["page", "resource", "version", "cut", "blank"])
def test_rings_that_cannot_be_read(tmp_path, damage):
    """
    A damaged ring, or one of another version, raises nothing and costs no other process anything; only one in which
    there never was anything is removed.
    """
    process, good = Process(tmp_path), Process(tmp_path, "host-2-2")
    for each in (process, good):
        each.put(span(1))
        each.die()
    path = process.ring.path
    data = path.read_bytes()
    path.write_bytes(
        {
            "page": data.replace(b'"run_directory"', b'"run_directorx"', 1),
            "resource": data.replace(b'"resource":"{', b'"resource":"[', 1),
            "version": data.replace(MAGIC, b"branchline-ring9", 1),
            "cut": data[:9000],
            "blank": bytes(len(data)),
        }[damage]
    )
    recover_runs(tmp_path)
    recover_runs(tmp_path)

    assert ids(good) == [1]
    assert path.exists() == (damage != "blank")


def test_records_of_a_later_version_are_left_out(tmp_path):
    """
    A record that we do not know is no reason to lose the others.
    """
    process = Process(tmp_path)
    process.ring.put(dumps([9, "what", "is", "this"]))
    process.ring.put(b"not even JSON")
    process.put(span(1))
    process.die()
    recover_runs(tmp_path)

    assert ids(process) == [1]


def test_a_ring_that_is_given_back(tmp_path, monkeypatch):
    """
    A ring that somebody has at hand while it is listed, and gives back because he cannot recover it, is recovered.
    """
    folder = tmp_path / "shared"
    folder.mkdir()
    process = Process(tmp_path)
    process.put(span(1))
    process.die()
    path = folder / "host.ring"
    process.ring.path.rename(path)
    held = DeadRing.open(path)
    assert held is not None

    def listed(folder):
        found = rings(folder)
        if path.with_suffix(".recovering") in found:
            held.close(remove=False)
        return found

    monkeypatch.setattr("branchline._journal.recovery.ring_folder", lambda: folder)
    monkeypatch.setattr("branchline._journal.recovery.rings", listed)
    recover_runs(tmp_path)

    assert (ids(process), list(folder.iterdir())) == ([1], [])


def test_making_room(tmp_path, monkeypatch):
    """
    Who needs room recovers the dead of any directory, as many as it is told. A ring whose runs are gone, or other runs
    are there, goes; one of another container waits, as its disk may be that one's, for a day, and is in nobody's way.
    """
    folder = tmp_path / "shared"
    folder.mkdir()
    monkeypatch.setattr("branchline._journal.recovery.ring_folder", lambda: folder)
    processes = [Process(tmp_path / name, **page) for name, page in PLACES.items()]
    for process in processes:
        process.put(span(1))
        process.die()
        process.ring.path.rename(folder / f"{process.run.parent.parent.name}.ring")
    for gone in ("3 gone", "4 elsewhere", "5 forgotten"):
        shutil.rmtree(tmp_path / gone)
    for replaced in ("6 replaced", "7 elsewhere"):
        shutil.move(tmp_path / replaced, tmp_path / f"moved {replaced}")
        (tmp_path / replaced / "runs").mkdir(parents=True)

    make_room(2)
    assert sorted(path.name for path in folder.iterdir()) == [
        "2 here.ring",
        "3 gone.ring",
        "4 elsewhere.ring",
        "5 forgotten.ring",
        "6 replaced.ring",
        "7 elsewhere.ring",
    ]
    make_room(3)
    assert sorted(path.name for path in folder.iterdir()) == ["4 elsewhere.ring", "6 replaced.ring", "7 elsewhere.ring"]
    make_room(100)
    assert sorted(path.name for path in folder.iterdir()) == ["4 elsewhere.ring", "7 elsewhere.ring"]
    assert [ids(process) for process in processes] == [[1], [1], [1], [], [], [], [], []]
    assert not (tmp_path / "3 gone").exists()


NOW: dict[str, str | int] = {"started_unix_nano": time.time_ns(), "mounts": mounts()}
PLACES: dict[str, dict[str, str | int]] = {
    "0 here": NOW,
    "1 here": NOW,
    "2 here": NOW,
    "3 gone": NOW,
    "4 elsewhere": {**NOW, "mounts": "another container's"},
    "5 forgotten": {"mounts": "another container's"},
    "6 replaced": NOW,
    "7 elsewhere": {**NOW, "mounts": "another container's"},
}
