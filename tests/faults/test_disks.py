"""Disks that are full, read-only or gone: the application goes on, what is lost is counted, and writing resumes."""

from __future__ import annotations

import pytest
from programs import attribute, balances, disk, mounting, run, states

from branchline import read


pytestmark = pytest.mark.slow
needs_mounts = pytest.mark.skipif(mounting() is not None, reason=str(mounting()))

STEPS = """
import shutil
directory = os.path.join(HOME, "journal")

def record(numbers, **attributes):
    for n in numbers:
        with bl.step("s", n=n, **attributes) as step:
            step.stamp("x", n=n)

def settle(seconds=20):
    # Until everything is in the journal.
    deadline = time.monotonic() + seconds
    while not bl.flush(0.5).is_complete and time.monotonic() < deadline:
        pass

def keep():
    # Its disk is gone with this program's view of the file system.
    shutil.copytree(directory, os.path.join(HOME, "copied"), ignore=shutil.ignore_patterns("ballast"))

"""


@needs_mounts
def test_a_disk_that_is_full_for_a_while(tmp_path):
    """
    A disk that fills up in the middle costs nothing but memory: one line on stderr, and when there is room again
    everything is written, once, within a second.
    """
    ended = run(
        tmp_path,
        STEPS
        + """
bl.configure("disks", directory=directory, console=False)
record(range(0, 2000))
settle()
with open(os.path.join(directory, "ballast"), "wb", buffering=0) as ballast:
    try:
        while True:
            ballast.write(bytes(4096))
    except OSError:
        pass
record(range(2000, 10_000))
print(bool(bl.flush(0.3)))
os.unlink(os.path.join(directory, "ballast"))
began = time.monotonic()
print(bool(bl.flush(20)))
print(time.monotonic() - began < 5)
record(range(10_000, 12_000))
bl.shutdown()
keep()
""",
        mounts="mkdir journal; mount -t tmpfs -o size=16m tmpfs journal",
    )

    assert (ended.code, ended.out.split()) == (0, ["False", "True", "True"])
    assert len(ended.complaints) == 2  # that it is full, and that it is not any more
    assert "No space left on device" in ended.complaints[0]
    found = disk(tmp_path / "copied")
    assert found.counts("s") == dict.fromkeys(range(12_000), 1)
    assert found.torn == 0
    assert balances(tmp_path / "copied") == []


@needs_mounts
def test_a_disk_that_is_full_until_the_memory_is_full_too(tmp_path):
    """
    Beyond the memory limit the newest is dropped and counted: what is in the journal and what is counted as dropped
    are together what was recorded, and the call never waits for a disk that refuses.
    """
    ended = run(
        tmp_path,
        STEPS
        + """
bl.configure("disks", directory=directory, console=False, memory_limit="4 MiB")
record(range(0, 100))
settle()
ballast = open(os.path.join(directory, "ballast"), "wb", buffering=0)
try:
    while True:
        ballast.write(bytes(4096))
except OSError:
    pass
record(range(100, 30_000))
ballast.close()
os.unlink(ballast.name)
settle()
record(range(30_000, 30_100))
bl.shutdown()
keep()
""",
        mounts="mkdir journal; mount -t tmpfs -o size=16m tmpfs journal",
    )

    assert ended.code == 0
    assert len(ended.complaints) == 3  # full, dropping, and writing again
    found = disk(tmp_path / "copied")
    counts = found.counts("s")
    [state] = states(tmp_path / "copied")
    spans = state["counters"]["spans"]
    assert [n for n, count in counts.items() if count > 1] == []
    assert set(range(100)) | set(range(30_000, 30_100)) <= set(counts)
    assert spans["recorded"] == 30_100
    assert spans["journaled"] == len(counts) > 4096
    assert spans["dropped"] == {"disk_error": 30_100 - len(counts)}
    assert found.torn == 0


@needs_mounts
@pytest.mark.parametrize("end", ["bl.shutdown()", "os.kill(os.getpid(), signal.SIGKILL)", ""])
def test_the_end_on_a_full_disk(tmp_path, end):
    """
    What a process could not write before its end waits in the ring, and is written by whoever comes when there is
    room; what found no place in the ring is counted.
    """
    ended = run(
        tmp_path,
        STEPS
        + f"""
bl.configure("disks", directory=directory, console=False)
record(range(0, 100))
settle()
pid = os.fork()
if pid:
    # Somebody tidies up when it is over.
    os.waitpid(pid, 0)
    os.unlink(os.path.join(directory, "ballast"))
    from branchline import read
    read.open_runs(directory)
    keep()
    os._exit(0)
# Otherwise the first lines in this child's new files would find room in what is left of a page.
record(range(100, 200))
settle()
ballast = open(os.path.join(directory, "ballast"), "wb", buffering=0)
try:
    while True:
        ballast.write(bytes(4096))
except OSError:
    pass
record(range(200, 5000))
{end}
""",
        mounts="mkdir journal; mount -t tmpfs -o size=16m tmpfs journal",
    )

    assert ended.code == 0
    found = disk(tmp_path / "copied")
    assert found.counts("s") == dict.fromkeys(range(5000), 1)
    assert balances(tmp_path / "copied") == []


@needs_mounts
def test_a_read_only_disk(tmp_path):
    """
    A directory on a read-only disk: one line on stderr, the application goes on, and everything is counted.
    """
    ended = run(
        tmp_path,
        STEPS
        + """
telemetry = bl.configure("disks", directory=directory, console=False, memory_limit="1 MiB")
record(range(20_000))
result = bl.shutdown()
print(bool(result), result.journaled, result.dropped)
""",
        mounts="mkdir journal; mount -t tmpfs -o ro tmpfs journal",
    )

    assert ended.code == 0
    said, journaled, dropped = ended.out.split()
    assert (said, journaled) == ("False", "0")
    assert 0 < int(dropped) < 20_002
    assert len(ended.complaints) <= 3


def test_a_disk_that_answers_with_errors(tmp_path):
    """
    Input/output errors for a while: one line on stderr, and nothing is lost.
    """
    ended = run(
        tmp_path,
        STEPS
        + """
bl.configure("disks", directory=directory, console=False)
record(range(0, 1000))
settle()
real = os.write
def refuse(descriptor, data):
    if descriptor > 2:
        raise OSError(5, "Input/output error")
    return real(descriptor, data)
os.write = refuse
record(range(1000, 4000))
print(bool(bl.flush(0.3)))
os.write = real
settle()
""",
    )

    assert (ended.code, ended.out) == (0, "False\n")
    assert len(ended.complaints) == 2
    assert "Input/output error" in ended.complaints[0]
    assert disk(tmp_path).counts("s") == dict.fromkeys(range(4000), 1)


def test_a_sync_that_fails(tmp_path):
    """
    Lines that were written but not synced are written again, and are not there twice.
    """
    ended = run(
        tmp_path,
        STEPS
        + """
bl.configure("disks", directory=directory, console=False, durability="power")
real, failing = os.fsync, [False]
def sync(descriptor):
    if failing[0]:
        raise OSError(5, "Input/output error")
    real(descriptor)
os.fsync = sync
record(range(0, 1000))
settle()
failing[0] = True
record(range(1000, 2000))
print(bool(bl.flush(0.6)))
failing[0] = False
settle()
""",
    )

    assert (ended.code, ended.out) == (0, "False\n")
    found = disk(tmp_path)
    assert found.counts("s") == dict.fromkeys(range(2000), 1)
    assert balances(tmp_path) == []


def test_files_that_may_not_grow(tmp_path):
    """
    Under ``ulimit -f`` a file that has reached the limit is followed by another; nothing is lost, no line is torn.
    """
    ended = run(
        tmp_path,
        STEPS
        + """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
bl.configure("disks", directory=directory, console=False)
for start in range(0, 10_000, 200):
    record(range(start, start + 200))
    settle()
""",
    )

    assert ended.code == 0
    found = disk(tmp_path)
    assert found.counts("s") == dict.fromkeys(range(10_000), 1)
    assert found.torn == 0
    assert balances(tmp_path) == []
    assert all(path.stat().st_size <= 400_000 for path in tmp_path.rglob("*.jsonl"))


def test_a_directory_that_is_removed(tmp_path):
    """
    Somebody removes the whole directory while the program runs: what comes after is written to a new one.
    """
    ended = run(
        tmp_path,
        STEPS
        + """
bl.configure("disks", directory=directory, console=False)
record(range(0, 1000))
settle()
shutil.rmtree(directory)
record(range(1000, 2000))
settle()
shutil.rmtree(directory)
record(range(2000, 3000))
""",
    )

    assert (ended.code, ended.err) == (0, "")
    found = disk(tmp_path)
    assert found.counts("s") == dict.fromkeys(range(2000, 3000), 1)
    assert len(read.open_runs(tmp_path / "journal").last.processes) == 1


def test_a_file_where_the_directory_should_be(tmp_path):
    """
    A directory that cannot be made: one line on stderr, and the application goes on.
    """
    (tmp_path / "journal").write_text("in the way")
    ended = run(
        tmp_path,
        STEPS
        + """
bl.configure("disks", directory=directory, console=False)
record(range(100))
result = bl.flush(0.5)
print(bool(result))
bl.shutdown(0.5)
""",
    )

    assert (ended.code, ended.out) == (0, "False\n")
    assert 1 <= len(ended.complaints) <= 2
    assert str(tmp_path / "journal") in ended.complaints[0]


def test_what_is_open_while_the_disk_is_full_is_not_lost_to_a_kill(tmp_path):
    """
    Start records and checkpoints that could not be written wait in the ring too: after a kill the long step is there
    as interrupted, with its stamps.
    """
    ended = run(
        tmp_path,
        STEPS
        + """
bl.configure("disks", directory=directory, console=False)
record(range(0, 10))
settle()
real = os.write
def refuse(descriptor, data):
    if descriptor > 2:
        raise OSError(28, "No space left on device")
    return real(descriptor, data)
os.write = refuse
with bl.step("long", a=1) as step:
    step.stamp("early")
    time.sleep(2.5)
    step.set(b=2)
    step.stamp("late")
    time.sleep(1.5)
    os.kill(os.getpid(), signal.SIGKILL)
""",
    )
    read.open_runs(tmp_path / "journal")

    assert ended.code == -9
    [long] = disk(tmp_path).named("long")
    assert attribute(long, "branchline.outcome") == "interrupted"
    assert (attribute(long, "a"), attribute(long, "b")) == (1, 2)
    assert [event["name"] for event in long["events"]] == ["early", "late"]


@pytest.mark.parametrize("durability", ["batch", "crash"])
@pytest.mark.parametrize(
    "telling",
    [
        "step.set(**{f'k{i}': [float(n + j) for j in range(13)] for i in range(60)})",
        "for i in range(300): step.stamp('e', a=n + i, b=str(n * i))",
        "step.set(**{f'k{i}': str(n + i) * 200 for i in range(60)})",
    ],
)
def test_memory_is_bounded_whatever_spans_hold(tmp_path, durability, telling):
    """
    Where nothing can be written, what waits keeps the limit, be it many small lists, events or texts; the rest is
    counted.
    """
    ended = run(
        tmp_path,
        f"""
nowhere = os.path.join(HOME, "out", "journal")
def size():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
telemetry = bl.configure("full", directory=nowhere, console=False, memory_limit="4 MiB", durability={durability!r})
with bl.step("first"):
    pass
time.sleep(0.5)
before = size()
for n in range(3000):
    with bl.step("s") as step:
        {telling}
grown = size() - before
result = telemetry.shutdown(1)
print(grown < 150 * 2**20, result.journaled, result.dropped > 0)
""",
    )

    assert ended.code == 0
    assert ended.out == "True 0 True\n"
