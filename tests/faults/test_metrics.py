"""Metrics through kills, forks and ends: points are all there, instruments lose at most what one interval brought."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from programs import Child, attribute, balances, disk, journal_files, lines, run, states

from branchline import read


pytestmark = pytest.mark.slow

INTERVAL = {"OTEL_METRIC_EXPORT_INTERVAL": "200"}


def points(home: Path) -> Counter[Any]:
    """Return how often each value of the metric called ``m`` is in the journals below *home*."""
    return Counter(
        float(attribute(log, "branchline.metric.value"))
        for log in disk(home).logs
        if log.get("eventName") == "branchline.metric"
    )


def sums(home: Path, name: str) -> dict[str, float]:
    """Return the last of the sum called *name*, all series together, by process."""
    return {process: sum(series.values()) for process, series in _latest(home, name).items()}


def histogram(home: Path, name: str) -> tuple[int, float]:
    """Return the count and sum of the histogram called *name*, all series and processes together."""
    found = [value for series in _latest(home, name).values() for value in series.values()]
    return sum(count for count, _ in found), sum(total for _, total in found)


def data_points(home: Path) -> int:
    """Return how many data points of metrics there are, all looks together."""
    return sum(
        len(data["dataPoints"])
        for path in journal_files(home)
        for line in (lines(path) if path.name.startswith("metrics") else ())
        for resource in orjson.loads(line)["resourceMetrics"]
        for scoped in resource["scopeMetrics"]
        for metric in scoped["metrics"]
        for data in metric.values()
        if isinstance(data, dict)
    )


def _latest(home: Path, name: str) -> dict[str, dict[bytes, Any]]:
    found: dict[str, dict[bytes, Any]] = {}
    for path in journal_files(home):
        for line in lines(path) if path.name.startswith("metrics") else ():
            for resource in orjson.loads(line)["resourceMetrics"]:
                for scoped in resource["scopeMetrics"]:
                    for metric in scoped["metrics"]:
                        if metric["name"] == name:
                            _take(found.setdefault(path.parent.name, {}), metric)
    return found


def _take(series: dict[bytes, Any], metric: dict[str, Any]) -> None:
    [data] = [data for data in metric.values() if isinstance(data, dict)]
    for point in data["dataPoints"]:
        key = orjson.dumps(point.get("attributes", []))
        if "count" in point:
            series[key] = int(point["count"]), point["sum"]
        else:
            series[key] = int(point["asInt"]) if "asInt" in point else point["asDouble"]


# ── kills ─────────────────────────────────────────────────────────────────────────────────────────

MEASURING = """
from opentelemetry import metrics
bl.configure("killed", directory=os.path.join(HOME, "journal"), console=False)
found = metrics.get_meter("third").create_counter("c")
n = 0

def look(options):
    # What a look at the instruments that is now begun will find at the least, and what the one before did.
    ledger[3] = ledger[2]
    ledger[2] = ledger[1]
    return []

metrics.get_meter("third").create_observable_gauge("look", [look])
with bl.experiment("experiment"), bl.branch({"a": 1}, name="branch") as branch:
    while True:
        with bl.step("s", n=n) as step:
            bl.record_metric("m", n)
            ledger[0] = n + 1
        ledger[4] = n + 1
        found.add(1)
        ledger[1] = n + 1
        n += 1
        time.sleep(0.0002)
"""


def test_kills(tmp_path):
    """
    After a SIGKILL at any moment every point that was recorded is there exactly once, steps are measured again from
    their spans, and an instrument has lost no more than what came since the look before the last.
    """
    moments = random.Random("metrics")
    for kill in range(20):
        home = tmp_path / str(kill)
        home.mkdir()
        with Child(home, MEASURING, env=INTERVAL) as child:
            child.wait_until(1, 1)
            time.sleep(moments.uniform(0, 1.2))
            child.kill()
            recorded, added, before, ended = (child.ledger[place] for place in (0, 1, 3, 4))
        found = read.open_runs(home / "journal").last

        counts = points(home)
        assert sorted(set(range(recorded)) - set(counts)) == []
        # One may have got into the ring without its call having returned.
        assert set(counts) <= set(range(recorded + 1))
        assert set(counts.values()) == {1}
        assert sorted(point.value for point in found.points) == sorted(counts)
        [branch] = found.branches
        assert branch.metrics == {"m": max(counts)}
        [measured] = sums(home, "c").values() or [0]
        assert before <= measured <= added + 1
        again: dict[str, Any] = {metric.name: metric for metric in read.span_metrics(found)}
        steps = sum(series.value.values for series in again["branchline.step.duration"].series)
        assert ended <= steps <= ended + 1
        assert balances(home) == []
        [state] = states(home)
        assert state["counters"].get("metrics", {}).get("journaled", 0) == data_points(home)


ENDS = {
    "normal": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "exception": ("raise ValueError('unhandled')", 1),
    "sigterm": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", -15),
    "shutdown": ("bl.shutdown()", 0),
}


@pytest.mark.parametrize("way", ENDS)
def test_ends(tmp_path, way):
    """
    However a process ends in order, all that its instruments have measured and its steps have taken is written.
    """
    source, code = ENDS[way]
    ended = run(
        tmp_path,
        f"""
        bl.configure("ends", directory=os.path.join(HOME, "journal"), console=False)
        found, sizes = bl.counter("c"), bl.histogram("h", boundaries=[1])
        for n in range(500):
            with bl.step("s"):
                bl.record_metric("m", n)
            found.add(1)
            sizes.record(n)
        {source}
        """,
    )

    assert (ended.code, ended.complaints) == (code, [])
    assert sums(tmp_path, "c").popitem()[1] == 500
    assert histogram(tmp_path, "h") == (500, sum(range(500)))
    assert histogram(tmp_path, "branchline.step.duration")[0] == 500
    assert points(tmp_path) == dict.fromkeys(map(float, range(500)), 1)
    assert balances(tmp_path) == []


@pytest.mark.parametrize("end", ["", "bl.shutdown()", "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)"])
def test_a_callback_that_hangs_does_not_hold_up_the_end(tmp_path, end):
    """
    A callback that never answers costs the end of the process a part of ``exit_timeout``, and no other metric.
    """
    ended = run(
        tmp_path,
        f"""
        from opentelemetry import metrics
        bl.configure("hangs", directory=os.path.join(HOME, "journal"), console=False, exit_timeout=2.0)
        meter = metrics.get_meter("third")
        meter.create_observable_gauge("hangs", [lambda options: time.sleep(600)])
        meter.create_counter("c").add(7)
        with bl.step("s"):
            pass
        {end}
        """,
    )

    assert ended.code in (0, -15)
    assert sums(tmp_path, "c").popitem()[1] == 7
    assert histogram(tmp_path, "branchline.step.duration")[0] == 1
    # A hang would be ten minutes, or the watchdog's two.
    assert ended.seconds < 60


def test_a_disk_that_takes_no_more(tmp_path):
    """
    What instruments measured and the disk did not take is counted as dropped, by its data points; what spans come to
    is no loss, for they wait in the ring.
    """
    ended = run(
        tmp_path,
        """
        bl.configure("full", directory=os.path.join(HOME, "journal"), console=False, exit_timeout=5)
        found = bl.counter("c")
        found.add(1, {"a": 1})
        bl.flush()

        def refuse(descriptor, data, take=os.write):
            # What tells the counts has room: no line of a journal begins so.
            if bytes(data[:2]) == b"{\\n":
                return take(descriptor, data)
            raise OSError(28, "No space left on device")

        os.write = refuse
        found.add(1, {"a": 2})
        bl.record_metric("m", 1)
        with bl.step("s"):
            pass
        print(bool(bl.shutdown()))
        """,
    )

    assert (ended.code, ended.out) == (0, "False\n")
    [state] = states(tmp_path)
    assert state["counters"]["metrics"] == {
        "recorded": 3,
        "journaled": 1,
        "sampled_out": 0,
        "dropped": {"disk_error": 2},
    }
    assert balances(tmp_path) == []
    recovered = read.open_runs(tmp_path / "journal").last
    assert [point.name for point in recovered.points] == ["m"]
    assert len(read.span_metrics(recovered)) == 1
    assert balances(tmp_path) == []


# ── forks and processes ───────────────────────────────────────────────────────────────────────────


def test_a_child_begins_at_zero(tmp_path):
    """
    What the parent has measured is not measured once more by its child: 110 stays 110, also across generations.
    """
    ended = run(
        tmp_path,
        """
        bl.configure("forks", directory=os.path.join(HOME, "journal"), console=False)
        found = bl.counter("c")
        found.add(100)
        bl.flush()
        pid = os.fork()
        if pid == 0:
            found.add(6)
            pid = os.fork()
            if pid == 0:
                found.add(4)
                sys.exit(0)
            os.waitpid(pid, 0)
            sys.exit(0)
        os.waitpid(pid, 0)
        """,
    )

    assert (ended.code, ended.err) == (0, "")
    assert sorted(sums(tmp_path, "c").values()) == [4, 6, 100]
    assert balances(tmp_path) == []


def test_a_child_that_measures_nothing_says_nothing(tmp_path):
    """
    A child that measures nothing has nothing of its parent's to say.
    """
    ended = run(
        tmp_path,
        """
        bl.configure("forks", directory=os.path.join(HOME, "journal"), console=False)
        found = bl.counter("c")
        found.add(100)
        pid = os.fork()
        if pid == 0:
            with bl.step("child"):
                pass
            sys.exit(0)
        os.waitpid(pid, 0)
        """,
    )

    assert (ended.code, ended.err) == (0, "")
    assert list(sums(tmp_path, "c").values()) == [100]
    assert histogram(tmp_path, "branchline.step.duration")[0] == 1


def test_forks_while_others_measure(tmp_path):
    """
    Whatever locks of the SDK's other threads hold at the moment of a fork, no child waits for one, and all adds up.
    """
    ended = run(
        tmp_path,
        """
        from opentelemetry import metrics
        from opentelemetry.metrics import Observation
        bl.configure("forks", directory=os.path.join(HOME, "journal"), console=False)
        meter = metrics.get_meter("third")
        found, sizes = meter.create_counter("c"), meter.create_histogram("h")
        meter.create_observable_gauge("g", [lambda options: [Observation(1)]])
        stop = threading.Event()
        done = [0, 0, 0]

        def load(thread):
            while not stop.is_set():
                found.add(1, {"n": done[thread] % 50})
                sizes.record(1)
                done[thread] += 1

        threads = [threading.Thread(target=load, args=(n,)) for n in range(3)]
        for thread in threads: thread.start()
        for n in range(60):
            pid = os.fork()
            if pid == 0:
                for _ in range(10):
                    found.add(1)
                    sizes.record(1)
                bl.record_metric("m", n)
                sys.exit(0)
            _, status = os.waitpid(pid, 0)
            assert status == 0, status
        stop.set()
        for thread in threads: thread.join()
        bl.shutdown(60)
        print(sum(done))
        """,
        env={"OTEL_METRIC_EXPORT_INTERVAL": "5"},
    )

    assert (ended.code, ended.err) == (0, "")
    all_of_them = int(ended.out) + 60 * 10
    found = sums(tmp_path, "c")
    assert sorted(found.values())[:60] == [10] * 60
    assert sum(found.values()) == all_of_them
    assert histogram(tmp_path, "h") == (all_of_them, all_of_them)
    assert points(tmp_path) == dict.fromkeys(map(float, range(60)), 1)
    assert balances(tmp_path) == []


def test_a_child_of_an_application_with_a_provider_of_its_own(tmp_path):
    """
    Where we read the application's own provider, a child is read from zero as well.
    """
    ended = run(
        tmp_path,
        """
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider
        metrics.set_meter_provider(MeterProvider())
        found = metrics.get_meter("app").create_counter("c")
        found.add(1000)
        bl.configure("forks", directory=os.path.join(HOME, "journal"), console=False)
        found.add(100)
        stop = threading.Event()

        def load():
            while not stop.is_set():
                bl.flush()

        thread = threading.Thread(target=load)
        thread.start()
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                found.add(10)
                sys.exit(0)
            _, status = os.waitpid(pid, 0)
            assert status == 0, status
        stop.set()
        thread.join()
        """,
    )

    assert (ended.code, ended.err) == (0, "")
    assert sorted(sums(tmp_path, "c").values()) == [10] * 20 + [100]


WORK = """
import logging, multiprocessing, threading
import branchline as bl
from opentelemetry import metrics
from opentelemetry._logs import LogRecord, get_logger

log = logging.getLogger("app")
log.setLevel(logging.INFO)
log.addHandler(logging.NullHandler())

def work(process):
    # With the global meter of whoever is here: in a spawned process it is another.
    meter = metrics.get_meter("third")
    found, sizes = meter.create_counter("c"), meter.create_histogram("h")

    def record(thread):
        with bl.step("work", process=process, thread=thread):
            for n in range(200):
                found.add(n, {"thread": thread})
                sizes.record(n)
                number = process * 10_000 + thread * 1000 + n
                bl.record_metric("m", number, step=n)
                log.info("logged", extra={"number": number})
                get_logger("third").emit(LogRecord(body="emitted", event_name="e", attributes={"number": number}))

    threads = [threading.Thread(target=record, args=(thread,)) for thread in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_threads_and_processes(tmp_path, method):
    """
    Three threads in each of two processes, with third-party instruments, points, records of the logging module and
    OpenTelemetry's events: counts and sums are exact, and every point and log record carries the trace and span of the
    step that it was recorded in.
    """
    (tmp_path / "work.py").write_text(WORK)
    ended = run(
        tmp_path,
        """
        sys.path.insert(0, HOME)
        import multiprocessing
        from work import work

        if __name__ == "__main__":
            with bl.configure("both", directory=os.path.join(HOME, "journal"), console=False), bl.experiment("e"):
                with bl.branch({"k": 1}, name="b"):
                    child = multiprocessing.get_context(sys.argv[2]).Process(target=work, args=(1,))
                    child.start()
                    work(0)
                    child.join()
                    assert child.exitcode == 0
        """,
        method,
    )

    assert (ended.code, ended.err) == (0, "")
    each = 3 * sum(range(200))
    assert sorted(sums(tmp_path, "c").values()) == [each, each]
    assert histogram(tmp_path, "h") == (1200, 2 * each)
    expected = [process * 10_000 + thread * 1000 + n for process in (0, 1) for thread in range(3) for n in range(200)]
    assert points(tmp_path) == dict.fromkeys(map(float, expected), 1)
    found = read.open_runs(tmp_path / "journal").last
    steps = {(step.attributes["process"], step.attributes["thread"]): step for step in found.steps}
    assert len(steps) == 6
    told = [(str(line.attributes.get("number")), line.message) for line in found.logs]
    assert sorted(told) == sorted((str(number), kind) for number in expected for kind in ("logged", "emitted"))
    recorded: list[tuple[Any, Any]] = [(point, point.value) for point in found.points]
    recorded += [(line, line.attributes["number"]) for line in found.logs]
    for record, number in recorded:
        process, thread = divmod(int(number), 10_000)
        step = steps[process, thread // 1000]
        assert (record.trace_id, record.span_id, record.branch_name) == (step.trace_id, step.span_id, "b")
    assert histogram(tmp_path, "branchline.step.duration")[0] == 6
    assert balances(tmp_path) == []
