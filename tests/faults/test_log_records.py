"""Log records under faults: all that were taken are in the journal, once, each with the step it was written in."""

from __future__ import annotations

import collections
import random
import time
from pathlib import Path
from typing import Any

import pytest
from programs import Child, attribute, balances, disk, run

from branchline import read


pytestmark = pytest.mark.slow

LOGGING = """
import logging
from opentelemetry._logs import LogRecord, get_logger

log = logging.getLogger("app.db")
log.setLevel(logging.INFO)
log.addHandler(logging.NullHandler())
logger = get_logger("third.party")

def everything(n):
    with bl.step("s", n=n):
        log.info("number %d", n, extra={"n": n})
        logger.emit(LogRecord(body="number", event_name="emitted", attributes={"n": n}))
        bl.event("said", n=n)
"""

ONE_BY_ONE = """
rate = float(sys.argv[2])
bl.configure("killed", directory=os.path.join(HOME, "journal"), console=False)
n = 0
began = time.perf_counter()
while True:
    everything(n)
    n += 1
    ledger[0] = n
    ahead = began + n / rate - time.perf_counter() if rate else 0
    if ahead > 0:
        time.sleep(ahead)
"""

KINDS = ("logged", "emitted", "said")


def damage(home: Path, finished: int) -> dict[str, Any]:
    """Return what is wrong with the log records on the disk: nothing is what must be."""
    found = disk(home)
    spans = {attribute(span, "n"): (span["traceId"], span["spanId"]) for span in found.named("s")}
    wrong: dict[str, Any] = {}
    ours = [record for record in found.logs if not record.get("eventName", "").startswith("branchline.")]
    for kind in KINDS:
        records = [record for record in ours if record.get("eventName", "logged") == kind]
        counts = collections.Counter(attribute(record, "n") for record in records)
        wrong[kind] = {
            "lost": sorted(set(range(finished)) - set(counts)),
            "twice": [n for n, count in counts.items() if count > 1],
            # Those of the last step may have got into the ring without its end having returned.
            "unknown": sorted(set(counts) - set(range(finished + 1))),
            "in no step of theirs": [
                attribute(record, "n")
                for record in records
                if attribute(record, "n") in spans
                and (record.get("traceId"), record.get("spanId")) != spans[attribute(record, "n")]
            ],
        }
    uids = [attribute(record, "log.record.uid") for record in found.logs]
    wrong["ids"] = len(uids) - len(set(uids))
    return wrong


NOTHING: dict[str, Any] = {kind: {"lost": [], "twice": [], "unknown": [], "in no step of theirs": []} for kind in KINDS}
NOTHING["ids"] = 0


@pytest.mark.parametrize(("rate", "kills"), [(100.0, 6), (1000.0, 7), (0.0, 7)])
def test_a_kill_loses_no_log_record(tmp_path, rate, kills):
    """
    After a SIGKILL at any moment, and recovery, every record whose call had returned is in the journal exactly once,
    whichever way it came, with the ids of its step.
    """
    moments = random.Random(f"logs at {rate}")
    for kill in range(kills):
        home = tmp_path / str(kill)
        home.mkdir()
        with Child(home, ONE_BY_ONE, rate, prelude=LOGGING) as child:
            child.wait_until(0, 1)
            time.sleep(moments.uniform(0, 0.9))
            child.kill()
            finished = child.ledger[0]
        read.open_runs(home / "journal")

        assert damage(home, finished) == NOTHING
        assert balances(home) == []


def test_threads_and_processes(tmp_path):
    """
    Three threads in each of two processes: every record is there once, with the ids of the step it was written in.
    """
    ended = run(
        tmp_path,
        LOGGING
        + """
def work(first):
    def one(start):
        for n in range(start, start + 500):
            everything(n)
    threads = [threading.Thread(target=one, args=(first + 500 * number,)) for number in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()

bl.configure("many", directory=os.path.join(HOME, "journal"), console=False)
pid = os.fork()
if not pid:
    work(0)
    sys.exit(0)
work(1500)
assert os.waitpid(pid, 0)[1] == 0
""",
    )

    assert (ended.code, ended.complaints) == (0, [])
    assert damage(tmp_path, 3_000) == NOTHING
    assert balances(tmp_path) == []
    [found] = read.open_runs(tmp_path / "journal")
    assert collections.Counter(line.event_name for line in found.logs) == {None: 3_000, "emitted": 3_000, "said": 3_000}
    assert {line.step_name for line in found.logs} == {"s"}


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_pools(tmp_path, method):
    """
    What workers of a pool log is in the run, however they were started, at the level that was asked for.
    """
    (tmp_path / "worker.py").write_text(
        "import logging\n"
        "log = logging.getLogger('app.worker')\n"
        "log.setLevel(logging.DEBUG)\n"
        "log.addHandler(logging.NullHandler())\n"
        "def work(n):\n"
        "    log.debug('task', extra={'n': n})\n"
        "    return n\n"
    )
    ended = run(
        tmp_path,
        """
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        if __name__ == "__main__":
            sys.path.insert(0, HOME)
            import worker
            bl.configure("pool", directory=os.path.join(HOME, "journal"), console=False, capture_logs="DEBUG")
            with bl.step("root"), ProcessPoolExecutor(2, multiprocessing.get_context(sys.argv[2])) as pool:
                assert sorted(pool.map(worker.work, range(40))) == list(range(40))
            bl.shutdown()
        """,
        method,
        env={"PYTHONPATH": f"{Path(__file__).parent}:{tmp_path}"},
    )

    assert (ended.code, ended.complaints) == (0, [])
    [found] = read.open_runs(tmp_path / "journal")
    assert sorted(str(line.attributes["n"]) for line in found.logs) == sorted(map(str, range(40)))
    assert {line.step_name for line in found.logs} == {"root"}
    assert balances(tmp_path) == []


@pytest.mark.parametrize("ending", ["os._exit(0)", "os.abort()", "os.kill(os.getpid(), 15)", "sys.exit(3)"])
def test_every_end(tmp_path, ending):
    """
    However a process ends, what it has logged is in its journal.
    """
    program = f"{LOGGING}\nbl.configure('end', directory=os.path.join(HOME, 'journal'), console=False)\n"
    with Child(tmp_path, f"{program}for n in range(100): everything(n)\n{ending}\n") as child:
        child.process.wait(60)
    read.open_runs(tmp_path / "journal")

    assert damage(tmp_path, 100) == NOTHING
    assert balances(tmp_path) == []


def test_finalisers_and_handlers_may_log(tmp_path):
    """
    Finalisers and a signal handler that log in the middle of records being taken lose none and hang nowhere.
    """
    ended = run(
        tmp_path,
        LOGGING
        + """
import gc
hits = [0, 0]

class Cyclic:
    def __init__(self):
        self.itself = self
    def __del__(self):
        hits[0] += 1
        log.info("finaliser", extra={"otel.event.name": "finalised"})

def handler(number, frame):
    hits[1] += 1
    log.info("handler", extra={"otel.event.name": "handled"})

bl.configure("odd", directory=os.path.join(HOME, "journal"), console=False)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
for n in range(5000):
    Cyclic()
    everything(n)
signal.setitimer(signal.ITIMER_REAL, 0)
deadline = time.monotonic() + 30
# Where another thread collects, gc.collect() returns at once.
while hits[0] < 5000 and time.monotonic() < deadline:
    gc.collect()
    time.sleep(0.01)
print(*hits)
bl.shutdown()
""",
    )

    assert (ended.code, ended.complaints) == (0, [])
    assert damage(tmp_path, 5_000) == NOTHING
    found = collections.Counter(record.get("eventName") for record in disk(tmp_path).logs)
    assert [found["finalised"], found["handled"]] == [int(hits) for hits in ended.out.split()]
    assert (found["finalised"], found["handled"] > 0) == (5_000, True)


def test_what_is_dropped_is_counted(tmp_path):
    """
    Where there is no disk and little memory, records that are given up are counted, every one of them.
    """
    ended = run(
        tmp_path,
        LOGGING
        + """
nowhere = os.path.join(HOME, "out", "journal")
run = bl.configure("full", directory=nowhere, console=False, memory_limit="1 MiB", durability="batch")
for n in range(5000):
    log.info("x" * 100)
result = run.shutdown(1)
print(result.journaled, result.dropped)
""",
    )

    assert ended.code == 0
    # Two more: that the run began, and that it ended.
    assert ended.out == "0 5002\n"
