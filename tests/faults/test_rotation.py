"""Rotation, sealing and clocks: files change under the writer, times under everybody."""

from __future__ import annotations

import hashlib
import random
import time
from pathlib import Path

import orjson
import pytest
from programs import Child, attribute, balances, disk, run, states

from branchline import read


pytestmark = pytest.mark.slow

# Rotation is an option of the pipeline; 32 MiB would make slow tests.
ROTATING = """
import branchline._pipeline.pipeline_options as pipeline, dataclasses
real = pipeline.PipelineOptions.__init__
def small(self, **options):
    real(self, **{**options, "rotate_bytes": 200_000})
pipeline.PipelineOptions.__init__ = small
directory = os.path.join(HOME, "journal")
bl.configure("rotation", directory=directory, console=False)

"""


def sealed(home: Path) -> dict[str, bool]:
    """Return, for each sealed file that segments.json names, whether it is what was sealed."""
    found = {}
    for notes in home.rglob("segments.json"):
        for entry in orjson.loads(notes.read_bytes())["sealed"]:
            content = (notes.parent / entry["name"]).read_bytes()
            is_it = hashlib.sha256(content).hexdigest() == entry["sha256"] and len(content) == entry["bytes"]
            found[entry["name"]] = is_it
    return found


def test_rotation_while_eight_threads_record(tmp_path):
    """
    Files that reach their size are sealed while others are written: nothing is lost or twice, names are never used
    again, and every sealed file is noted with its checksum and size.
    """
    ended = run(
        tmp_path,
        ROTATING
        + """
def work(thread):
    for n in range(2500):
        with bl.step("s", n=thread * 2500 + n) as step:
            step.stamp("x")

threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
bl.shutdown(30)
""",
    )

    assert (ended.code, ended.err) == (0, "")
    assert disk(tmp_path).counts("s") == dict.fromkeys(range(20_000), 1)
    names = {path.name for path in tmp_path.rglob("traces-*")}
    plain = {name for name in names if name.endswith(".jsonl")}
    compressed = {name for name in names if name.endswith(".jsonl.gz")}
    assert len(plain) == 1
    assert len(compressed) > 10
    assert {name.removesuffix(".gz") for name in compressed} & plain == set()
    assert sealed(tmp_path) == dict.fromkeys(compressed, True)
    assert list(tmp_path.rglob("*.tmp")) == []
    assert balances(tmp_path) == []
    assert read.open_runs(tmp_path / "journal").last.skipped == ()


def test_kills_in_the_middle_of_sealing(tmp_path):
    """
    A kill at any moment of rotating and compressing loses nothing and leaves nothing half-made behind: a file is in
    force plain until its compressed one is whole.
    """
    moments = random.Random("sealing")
    for kill in range(10):
        home = tmp_path / str(kill)
        home.mkdir()
        program = """
        n = 0
        while True:
            with bl.step("s", n=n) as step:
                step.stamp("x", text="y" * 2000)
            n += 1
            ledger[0] = n
        """
        with Child(home, program, prelude=ROTATING) as child:
            child.wait_until(0, 500)
            time.sleep(moments.uniform(0, 0.3))
            child.kill()
            finished = child.ledger[0]
        before = disk(home).counts("s")
        read.open_runs(home / "journal")

        counts = disk(home).counts("s")
        assert set(before) <= set(counts)
        assert set(range(finished)) - set(counts) == set()
        assert [n for n, count in counts.items() if count > 1] == []
        assert list(home.rglob("*.tmp")) == []
        plain = {path.name for path in home.rglob("*.jsonl")}
        assert {path.name.removesuffix(".gz") for path in home.rglob("*.jsonl.gz")} & plain == set()
        assert all(sealed(home).values())
        assert balances(home) == []


def test_a_torn_tail_is_not_written_behind(tmp_path):
    """
    After a torn tail a new file is begun: the torn line is skipped, and nothing that comes after it is.
    """
    program = """
    bl.configure("torn", directory=os.path.join(HOME, "journal"), console=False)
    for n in range(100):
        with bl.step("s", n=n):
            pass
    bl.flush()
    with bl.step("s", n=100):
        pass
    ledger[0] = 1
    time.sleep(60)
    """
    with Child(tmp_path, program) as child:
        child.wait_until(0, 1)
        child.kill()
    [traces] = tmp_path.rglob("traces-000000.jsonl")
    with traces.open("ab") as file:
        file.write(b'{"resourceSpans":[{"resource":{"attributes":[')
    torn = traces.read_bytes()
    read.open_runs(tmp_path / "journal")

    found = disk(tmp_path)
    assert found.counts("s") == dict.fromkeys(range(101), 1)
    assert traces.read_bytes() == torn
    assert found.torn == 1
    assert balances(tmp_path) == []


def test_clocks_that_jump(tmp_path):
    """
    When somebody sets the clock, forward and back, no duration is negative or wrong, and a long step still gets its
    start record within its second.
    """
    ended = run(
        tmp_path,
        """
        # Before anybody imports it by name.
        real, shift = time.time_ns, [0]
        time.time_ns = lambda: real() + shift[0]
        bl.configure("clocks", directory=os.path.join(HOME, "journal"), console=False)
        hour = 3_600_000_000_000
        with bl.step("long") as long:
            for n, jump in enumerate([0, hour, -hour, 5 * hour, 0]):
                shift[0] = jump
                with bl.step("s", n=n) as step:
                    time.sleep(0.02)
                    step.stamp("x")
                with bl.step("s", n=n + 100):
                    pass
            shift[0] = -hour
            time.sleep(2.5)
        """,
    )

    assert (ended.code, ended.err) == (0, "")
    found = disk(tmp_path)
    seconds = {
        attribute(span, "n"): (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9
        for span in found.named("s")
    }
    assert [n for n, duration in seconds.items() if not (0.02 if n < 100 else 0) <= duration < 10] == []
    for span in found.named("s"):
        for event in span.get("events", ()):
            assert span["startTimeUnixNano"] <= event["timeUnixNano"] <= span["endTimeUnixNano"]
    started = [log for log in found.logs if log.get("eventName") == "branchline.step.started"]
    assert [attribute(log, "branchline.span.name") for log in started] == ["long"]


def test_a_step_that_begins_after_a_pause(tmp_path):
    """
    A step that takes longer than a second is seen while it runs, also when nothing was recorded for a while before.
    """
    program = """
    bl.configure("pause", directory=os.path.join(HOME, "journal"), console=False)
    bl.flush()
    time.sleep(3)
    with bl.step("long"):
        ledger[0] = 1
        time.sleep(60)
    """
    with Child(tmp_path, program) as child:
        child.wait_until(0, 1)
        deadline = time.monotonic() + 20
        started: list[str] = []
        while not started and time.monotonic() < deadline:
            time.sleep(0.05)
            started = [
                attribute(log, "branchline.span.name")
                for log in disk(tmp_path).logs
                if log.get("eventName") == "branchline.step.started"
            ]
        child.kill()
    read.open_runs(tmp_path / "journal")

    assert started == ["long"]
    assert disk(tmp_path).outcome("long") == ["interrupted"]
    assert [state["state"] for state in states(tmp_path)] == ["recovered"]
