"""How a process may end: whichever way, nothing that had finished is lost, and nobody's own handlers are."""

from __future__ import annotations

import time

import pytest
from ledger import Ledger
from programs import Child, balances, disk, run, states

from branchline import read


pytestmark = pytest.mark.slow

RECORD = """
def record(count=500):
    for n in range(count):
        with bl.step("s", n=n) as step:
            step.stamp("x", n=n)
        ledger[0] = n + 1

"""
CONFIGURE = 'bl.configure("exit", directory=os.path.join(HOME, "journal"), console=False)\n'

WAYS = {
    "normal": ("", 0, "ended"),
    "sys.exit": ("sys.exit(3)", 3, "ended"),
    "exception": ("raise ValueError('unhandled')", 1, "ended"),
    "os._exit": ("os._exit(4)", 4, "recovered"),
    "abort": ("os.abort()", -6, "recovered"),
    "segfault": ("import ctypes; ctypes.string_at(0)", -11, "recovered"),
    "sigterm": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", -15, "ended"),
    "sigint": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", -2, "ended"),
    "sighup": ("os.kill(os.getpid(), signal.SIGHUP); time.sleep(60)", -1, "recovered"),
    "shutdown": ("bl.shutdown()", 0, "ended"),
    "thread killed the main one": (
        "threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGTERM)).start(); time.sleep(60)",
        -15,
        "ended",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_end(tmp_path, way):
    """
    However a process ends, every step that had finished is in the journal once, with its stamp; what was open is
    there too; and the process's exit code is what it would be without branchline.
    """
    source, code, state = WAYS[way]
    inside = f'with bl.experiment("experiment"), bl.step("open"):\n    record()\n    {source or "pass"}\n'
    ended = run(tmp_path, RECORD + CONFIGURE + inside)
    read.open_runs(tmp_path / "journal")

    found = disk(tmp_path)
    assert ended.code == code
    assert ended.complaints == []
    assert found.counts("s") == dict.fromkeys(range(500), 1)
    assert all([event["name"] for event in span["events"]] == ["x"] for span in found.named("s"))
    assert len(found.named("experiment")) == 1
    assert [known["state"] for known in states(tmp_path)] == [state]
    assert balances(tmp_path) == []
    assert ended.seconds < 30


OUTCOMES = {
    "sys.exit": "interrupted",
    "exception": "failed",
    "sigterm": "interrupted",
    "sigint": "interrupted",
    "os._exit": "interrupted",
}


@pytest.mark.parametrize("way", OUTCOMES)
def test_what_was_open_at_the_end(tmp_path, way):
    """
    An experiment that was open when the process ended says how that was.
    """
    source, _, _ = WAYS[way]
    run(tmp_path, CONFIGURE + f'with bl.experiment("experiment"):\n    {source}\n')
    read.open_runs(tmp_path / "journal")

    assert disk(tmp_path).outcome("experiment") == [OUTCOMES[way]]


def test_threads_that_still_record_at_the_end(tmp_path):
    """
    Daemon threads may record until the interpreter stops them: each step whose end returned is there exactly once,
    and the process ends in time.
    """
    ended = run(
        tmp_path,
        CONFIGURE
        + """
def work(thread):
    n = 0
    while True:
        with bl.step("s", n=thread * 1_000_000 + n):
            pass
        n += 1
        ledger[thread] = n

for thread in range(4):
    threading.Thread(target=work, args=(thread,), daemon=True).start()
time.sleep(0.3)
""",
    )
    read.open_runs(tmp_path / "journal")

    ledger = Ledger(tmp_path / "ledger")
    counts = disk(tmp_path).counts("s")
    finished = {thread * 1_000_000 + n for thread in range(4) for n in range(ledger[thread])}
    assert (ended.code, ended.complaints) == (0, [])
    # Those that were just beginning when the end came were closed as interrupted before they were told their number.
    assert len(finished - set(counts)) <= counts.pop(None, 0)
    assert [n for n, count in counts.items() if count > 1] == []
    assert balances(tmp_path) == []
    assert ended.seconds < 30


def test_what_the_last_finaliser_records(tmp_path):
    """
    What the finaliser of an object records that only the end of the interpreter collects is there; nothing complains.
    """
    late = """
class Late:
    def __del__(self):
        record()
late = Late()
late.itself = late
"""
    ended = run(tmp_path, RECORD + CONFIGURE + late)

    assert (ended.code, ended.complaints) == (0, [])
    assert disk(tmp_path).counts("s") == dict.fromkeys(range(500), 1)
    assert balances(tmp_path) == []


def test_a_sigterm_handler_of_the_applications_own(tmp_path):
    """
    A SIGTERM handler that was there before, or came after, is kept: only the default is replaced, and given back.
    """
    ended = run(
        tmp_path,
        """
        def mine(number, frame):
            with bl.step("handler"):
                pass
            print("mine")
            sys.exit(7)

        default = signal.getsignal(signal.SIGTERM)
        with bl.configure("exit", directory=os.path.join(HOME, "journal"), console=False):
            print(signal.getsignal(signal.SIGTERM) is default)
        print(signal.getsignal(signal.SIGTERM) is default)
        with bl.configure("exit", directory=os.path.join(HOME, "journal"), console=False, signals=False):
            print(signal.getsignal(signal.SIGTERM) is default)
        signal.signal(signal.SIGTERM, mine)
        with bl.configure("exit", directory=os.path.join(HOME, "journal"), console=False):
            print(signal.getsignal(signal.SIGTERM) is mine)
        print(signal.getsignal(signal.SIGTERM) is mine)
        bl.configure("exit", directory=os.path.join(HOME, "journal"), console=False)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        """,
    )

    assert (ended.code, ended.err) == (7, "")
    assert ended.out.split() == ["False", "True", "True", "True", "True", "mine"]
    assert len(disk(tmp_path).named("handler")) == 1


def test_a_second_sigterm_ends_at_once(tmp_path):
    """
    Who is impatient and sends SIGTERM again does not wait for anything of ours; and nothing is lost.
    """
    source = """
import branchline._pipeline.writer as writer
# A disk that answers to nothing.
real = os.write
def write(descriptor, data):
    if ledger[1]:
        ledger[2] = 1
        time.sleep(600)
    return real(descriptor, data)
bl.configure("exit", directory=os.path.join(HOME, "journal"), console=False, exit_timeout=600)
record(10)
bl.flush()
os.write = write
ledger[1] = 1
record(100)
ledger[3] = 1
time.sleep(600)
"""
    with Child(tmp_path, RECORD + source) as child:
        child.wait_until(3, 1)
        child.wait_until(2, 1)
        deadline = time.monotonic() + 30
        # The same signal twice at once would be one.
        while child.process.poll() is None and time.monotonic() < deadline:
            child.process.terminate()
            time.sleep(0.05)
        ended = child.wait(1)
    read.open_runs(tmp_path / "journal")

    assert ended.code == -15
    assert disk(tmp_path).counts("s") == {n: 2 if n < 10 else 1 for n in range(100)}


def test_configured_in_another_thread_than_the_main_one(tmp_path):
    """
    ``configure`` in a thread installs no signal handler, and the exit of the interpreter still loses nothing.
    """
    ended = run(
        tmp_path,
        RECORD
        + """
def set_up():
    bl.configure("exit", directory=os.path.join(HOME, "journal"), console=False)
    record()

thread = threading.Thread(target=set_up)
thread.start()
thread.join()
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
""",
    )

    assert (ended.code, ended.out, ended.err) == (0, "True\n", "")
    assert disk(tmp_path).counts("s") == dict.fromkeys(range(500), 1)
    assert [known["state"] for known in states(tmp_path)] == ["ended"]


@pytest.mark.parametrize("end", ["", "bl.shutdown()", "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)"])
def test_the_exit_is_bounded(tmp_path, end):
    """
    A disk that does not answer costs the exit no more than ``exit_timeout``; the rest is in the ring, and said to be.
    """
    source = f"""
real = os.write
def write(descriptor, data):
    if ledger[1]:
        time.sleep(600)
    return real(descriptor, data)
bl.configure("exit", directory=os.path.join(HOME, "journal"), console=False, exit_timeout=0.5)
record(10)
bl.flush()
os.write = write
ledger[1] = 1
record(100)
ledger[2] = 1
{end}
"""
    with Child(tmp_path, RECORD + source) as child:
        child.wait_until(2, 1)
        began = time.monotonic()
        ended = child.wait()
    read.open_runs(tmp_path / "journal")

    assert (ended.code in (0, -15), ended.err.count("0.5 s (exit_timeout) were too short")) == (True, 1)
    assert disk(tmp_path).counts("s") == {n: 2 if n < 10 else 1 for n in range(100)}
    # The bound, and what a busy machine needs for the rest of an interpreter's end.
    assert time.monotonic() - began < 0.5 + 4
