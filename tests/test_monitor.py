"""The monitor: what is sampled under which names, what values come to, timed operations and measured steps."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics as otel_metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import branchline as bl
import measured
from branchline import ConfigError, monitor
from branchline.monitor import PerformanceMetric, PerformanceMonitor, Summary, summary_of
from branchline.monitor.catalogue import CATALOGUE, COUNTER, GAUGE, UP_DOWN
from branchline.monitor.lag import LoopProbe
from branchline.monitor.machine import process_memory
from branchline.read import open_runs
from branchline.spreads import Spread
from branchline.testing import capture
from waiting import wait_for


NO_PSUTIL = "import sys; sys.modules['psutil'] = None"


def configure(home: Path, **options: Any) -> bl.Telemetry:
    return bl.configure("monitor", directory=home, console=False, **options)


def run_python(program: str, home: Path, *paths: Path) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=home,
        env={"PATH": "", "PYTHONPATH": os.pathsep.join(map(str, (Path(__file__).parent, *paths)))},
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.strip()


# ── what is sampled ───────────────────────────────────────────────────────────────────────────────


def test_system_metrics_are_in_the_journal(home):
    """
    With system_metrics, what the process and its machine take is in the journal under OpenTelemetry's names, as the
    kind and with the unit that the conventions have.
    """
    with configure(home, system_metrics=0.1) as run:
        monitor_of_run: Any = run.monitor
        wait_for(lambda: "process.cpu.utilization" in monitor_of_run.readings())

    told = {metric.name: metric for _, scope, metric in measured.metrics(home) if scope == "branchline"}
    expected = set(CATALOGUE) - {"branchline.event_loop.lag"} - {name for name in CATALOGUE if name.startswith("hw.")}
    assert set(told) >= expected - {"system.disk.io", "system.disk.operations"}
    kinds = {
        name: GAUGE if metric.WhichOneof("data") == "gauge" else COUNTER if metric.sum.is_monotonic else UP_DOWN
        for name, metric in told.items()
    }
    assert kinds == {name: CATALOGUE[name].kind for name in told}
    assert {name: metric.unit for name, metric in told.items()} == {name: CATALOGUE[name].unit for name in told}


def test_they_are_told_at_the_interval(home):
    """
    What changes is in the journal once for each interval, and what does not is not said again each time.
    """
    bl_gauge = bl.gauge("still")
    with configure(home, system_metrics=0.1) as run:
        bl_gauge.set(1)
        assert run.monitor is not None
        wait_for(lambda: len(list(named(home, "process.cpu.time"))) > 4)

    assert len(list(named(home, "still"))) == 2
    assert len(list(named(home, "process.cpu.time"))) > 4


def named(home: Path, name: str) -> Iterator[Any]:
    return (metric for _, _, metric in measured.metrics(home) if metric.name == name)


def test_what_is_sampled_is_true(home):
    """
    CPU time, memory, threads, file descriptors and collections are those of this very process.
    """
    before = time.process_time()
    with configure(home, system_metrics=0.1):
        held = bytearray(100_000_000)
        pipes = [os.pipe() for _ in range(20)]
        stop = threading.Event()
        threads = [threading.Thread(target=stop.wait) for _ in range(7)]
        for thread in threads:
            thread.start()
        gc.collect()
        found = PerformanceMonitor(system=False).readings()
        stop.set()
        for pair in pipes:
            os.close(pair[0])
            os.close(pair[1])
    after = time.process_time()

    [(threads_seen, _)] = found["process.thread.count"]
    [(descriptors, _)] = found["process.unix.file_descriptor.count"]
    [(resident, _)] = found["process.memory.usage"]
    [(virtual, _)] = found["process.memory.virtual"]
    collected = {attributes["cpython.gc.generation"]: count for count, attributes in found["cpython.gc.collections"]}
    assert before <= sum(value for value, _ in found["process.cpu.time"]) <= after
    assert len(held) < resident <= virtual
    assert threads_seen >= 8
    assert 40 <= descriptors < 40 + 200
    assert collected[2] == gc.get_stats()[2]["collections"]


def test_psutil_and_linux_agree():
    """
    Where the operating system has no files about it, psutil says the same about the memory of this process.
    """
    [(resident, _)] = PerformanceMonitor(system=False).readings()["process.memory.usage"]
    found = process_memory()

    assert found is not None
    assert found[1] == pytest.approx(resident, rel=0.1)


def test_the_modes_and_directions_of_the_conventions(home):
    """
    Series are told apart by the attributes that the conventions name, with their words.
    """
    found = PerformanceMonitor(system=True).readings()
    told = {metric: [dict(attributes) for _, attributes in series] for metric, series in found.items()}

    assert told["process.cpu.time"] == [{"cpu.mode": "user"}, {"cpu.mode": "system"}]
    assert {"cpu.mode": "idle"} in told["system.cpu.time"]
    assert {"system.memory.state": "used"} in told["system.memory.usage"]
    assert {"network.interface.name": "lo", "network.io.direction": "receive"} in told["system.network.io"]
    assert told["process.paging.faults"] == [
        {"system.paging.fault.type": "major"},
        {"system.paging.fault.type": "minor"},
    ]
    assert told["process.disk.io"] == [{"disk.io.direction": "read"}, {"disk.io.direction": "write"}]
    assert told["process.context_switches"] == [
        {"process.context_switch.type": "voluntary"},
        {"process.context_switch.type": "involuntary"},
    ]


def test_an_application_with_a_provider_of_its_own(home, caplog):
    """
    A meter provider that the application has set gets the same instruments, each once, however many monitors there are
    beside and after each other.
    """
    caplog.set_level("DEBUG")
    reader = InMemoryMetricReader()
    otel_metrics.set_meter_provider(MeterProvider(metric_readers=[reader], shutdown_on_exit=False))
    with PerformanceMonitor(system=False):
        pass
    with PerformanceMonitor(system=False), PerformanceMonitor(system=False):
        data: Any = reader.get_metrics_data()
    found = {
        metric.name: len(metric.data.data_points)
        for resource in data.resource_metrics
        for scoped in resource.scope_metrics
        for metric in scoped.metrics
    }

    assert (found["process.cpu.time"], found["process.memory.usage"], found["cpython.gc.collections"]) == (2, 1, 3)
    assert caplog.messages == []


def test_after_the_monitor_nothing_is_told(home):
    """
    What was sampled for one run is no part of the next one without.
    """
    with configure(home / "one", system_metrics=0.1):
        pass
    with configure(home / "two"):
        bl.gauge("depth").set(1)

    assert list(named(home / "one", "process.cpu.time"))
    assert [metric.name for _, _, metric in measured.metrics(home / "two")] == ["depth"]


def tell(home: Path) -> None:
    """
    Be a process that ends when it has told what it takes.
    """
    mine = f"-{os.getpid()}-"
    wait_for(
        lambda: any(mine in process.name and '"process.cpu.time"' in line for process, line in measured.lines(home))
    )


def test_children_tell_of_themselves(home):
    """
    Every process of a run tells what it takes itself; what the machine takes, the one that began the run.
    """
    with configure(home, system_metrics=0.1):
        for method in ("fork", "spawn"):
            context: Any = multiprocessing.get_context(method)
            child = context.Process(target=tell, args=(home,))
            child.start()
            child.join(120)
            assert child.exitcode == 0

    told: dict[Path, set[str]] = {}
    for process, _, metric in measured.metrics(home):
        told.setdefault(process, set()).add(metric.name)
    assert len([names for names in told.values() if "process.cpu.time" in names]) == 3
    assert len([names for names in told.values() if "system.cpu.time" in names]) == 1


async def test_a_late_event_loop(home):
    """
    A loop that is blocked is late for as long, and is seen to be while it is.
    """
    async with PerformanceMonitor(system=False, interval=0.05) as watching:
        await asyncio.sleep(0.2)
        seen: list[float] = []

        def look() -> None:
            time.sleep(0.4)
            seen.append(watching.readings()["branchline.event_loop.lag"][0][0])

        looking = threading.Thread(target=look)
        looking.start()
        time.sleep(0.6)  # noqa: ASYNC251  # that is the point
        looking.join(30)
        await asyncio.sleep(0.2)
        [worst] = watching.summary("branchline.event_loop.lag")

    assert seen[0] >= 0.2
    assert 0.4 <= worst.max < 30


async def test_a_loop_that_was_late():
    """
    How late a loop was is known after it has caught up, until somebody has asked.
    """
    probe = LoopProbe(asyncio.get_running_loop())
    await asyncio.sleep(0.05)
    time.sleep(0.5)  # noqa: ASYNC251  # that is the point
    await asyncio.sleep(0.05)
    late, later = probe.lag(), probe.lag()
    probe.close()

    assert late is not None
    assert later is not None
    assert 0.3 <= late < 30
    assert later < late


def test_nobody_needs_a_thread_to_ask_what_is_sampled(home, monkeypatch):
    """
    What is sampled is asked for in the collector's own thread: a thread for each would cost more than the sampling.
    """
    asked: set[str] = set()
    readings = PerformanceMonitor.readings

    def noted(self: PerformanceMonitor) -> Any:
        asked.add(threading.current_thread().name)
        return readings(self)

    monkeypatch.setattr(PerformanceMonitor, "readings", noted)
    with configure(home, system_metrics=0.1):
        wait_for(lambda: list(named(home, "process.cpu.time")))

    assert asked == {"branchline-metrics"}


def test_without_psutil(tmp_path):
    """
    Without psutil, who asks for the system gets an error that names the extra, and everything else is there.
    """
    program = f"""
    {NO_PSUTIL}
    import branchline as bl
    from branchline.monitor import PerformanceMonitor, Threshold
    for ask in (
        lambda: bl.configure(system_metrics=True, console=False),
        lambda: PerformanceMonitor(system=True),
        lambda: PerformanceMonitor(Threshold("system.cpu.utilization", above=1)),
    ):
        try:
            ask()
        except bl.MissingExtraError as error:
            print(error)
    with PerformanceMonitor() as monitor:
        print({{"process.memory.usage", "process.cpu.time"}} <= set(monitor.readings()))
    """

    answer = "sampling the system needs 'psutil', which is not installed; try: pip install 'branchline[monitor]'"
    assert run_python(program, tmp_path).splitlines() == [answer, answer, answer, "True"]


NVML = """
from types import SimpleNamespace as Told
asked = 0
def nvmlInit(): pass
def nvmlShutdown(): print("closed")
def nvmlDeviceGetCount(): return 2
def nvmlDeviceGetHandleByIndex(number): return number
def nvmlDeviceGetUUID(handle): return f"GPU-{handle}"
def nvmlDeviceGetName(handle): return b"Tesla"
def nvmlDeviceGetMemoryInfo(handle):
    if asked >= 4: raise OSError("fallen off its bus")
    return Told(used=25, total=100)
def nvmlDeviceGetUtilizationRates(handle):
    global asked
    asked += 1
    if asked > 2: raise OSError("not supported")
    return Told(gpu=50)
"""


def test_gpus(tmp_path):
    """
    GPUs are told of where nvidia-ml-py finds any, each with what it tells; once none tells anything, nobody asks more.
    """
    (tmp_path / "stand-in").mkdir()
    (tmp_path / "stand-in" / "pynvml.py").write_text(NVML)
    program = """
    from branchline.monitor import PerformanceMonitor
    from branchline.monitor.gpu import GpuReader
    reader = GpuReader()
    for metric, series in reader.read().items():
        print(metric, series)
    print(sorted(reader.read()), reader.read(), reader.read())
    import pynvml
    print(pynvml.asked)
    """
    tags = [f"{{'hw.id': 'GPU-{number}', 'hw.name': 'Tesla'}}" for number in (0, 1)]

    assert run_python(program, tmp_path, tmp_path / "stand-in").splitlines() == [
        f"{metric} [({value}, {tags[0]}), ({value}, {tags[1]})]"
        for metric, value in (
            ("hw.gpu.memory.usage", 25),
            ("hw.gpu.memory.limit", 100),
            ("hw.gpu.memory.utilization", 0.25),
            ("hw.gpu.utilization", 0.5),
        )
    ] + ["['hw.gpu.memory.limit', 'hw.gpu.memory.usage', 'hw.gpu.memory.utilization'] {} {}", "6"]


@pytest.mark.parametrize("interval", [0, 0.01, -1, "soon", True, None, float("nan")])
def test_an_interval_that_cannot_be(interval):
    """
    An interval that is too short, or none at all, is refused.
    """
    with pytest.raises(ConfigError, match=r"interval=.*; accepted: .*at least 0.05 s"):
        PerformanceMonitor(interval=interval)


def test_importing_loads_little(tmp_path):
    """
    The monitor loads psutil, urllib3 and OpenTelemetry's metrics only for those who use them.
    """
    program = """
    import sys
    import branchline.monitor
    print([name for name in ("psutil", "pynvml", "urllib3", "opentelemetry.sdk") if name in sys.modules])
    import branchline
    """

    assert run_python(program, tmp_path) == "[]"


# ── what values come to ───────────────────────────────────────────────────────────────────────────


def test_summary():
    """
    A summary has count, least, most, mean and percentiles, exactly; what is no number does not count.
    """
    found = summary_of([*range(1, 101), float("nan"), float("inf")], metric="m", attributes={"a": 1}, unit="s")

    assert found == Summary(
        metric="m", attributes={"a": 1}, unit="s", count=100, min=1, max=100, mean=50.5, p50=50.5, p95=95.05, p99=99.01
    )
    assert summary_of([], metric="m") is None


def test_summary_of_many():
    """
    Of a hundred thousand values the sums are exact, percentiles are off by at most one in a hundred, and the memory
    does not grow with them.
    """
    spread = Spread()
    values = [(number - 50_000) * 0.001 for number in range(100_001)]
    for value in values:
        spread.add(value)

    assert (spread.count, spread.smallest, spread.largest, round(spread.total, 6)) == (100_001, -50.0, 50.0, 0.0)
    assert spread.percentile(50) == pytest.approx(0.0, abs=0.001)
    for percent in (1, 5, 25, 75, 95, 99):
        assert spread.percentile(percent) == pytest.approx(values[percent * 1000], rel=0.01)
    assert spread._kept is None
    assert len(spread._buckets) < 2000


def test_what_a_run_measures_is_summed_up(home):
    """
    The summary of a run has its steps by name, its points by their attributes and its instruments.
    """
    with configure(home, system_metrics=0.1):
        for number in range(4):
            with bl.step("load"):
                bl.record_metric("rows", number, unit="{row}", part="a")
        with pytest.raises(ValueError, match="no"), bl.step("score"):
            raise ValueError("no")
        bl.gauge("depth").set(7)
        bl.counter("only.grows").add(7)
        bl.flush()
        wait_for(lambda: monitor.summary("depth"))
        found = {(each.metric, *each.attributes.values()): each for each in monitor.summary()}

    assert found["rows", "a"] == Summary(
        metric="rows",
        attributes={"part": "a"},
        unit="{row}",
        count=4,
        min=0,
        max=3,
        mean=1.5,
        p50=1.5,
        p95=2.85,
        p99=2.97,
    )
    assert (found["branchline.step.duration", "load"].count, found["branchline.step.duration", "score"].count) == (4, 1)
    assert (found["branchline.step.failed", "load"].mean, found["branchline.step.failed", "score"].mean) == (0, 1)
    assert found["depth",].max == 7
    assert ("only.grows",) not in found
    assert monitor.summary() == ()


def test_summary_as_plain_values():
    """
    A summary says the same as a dictionary.
    """
    [found] = [each for each in [summary_of([1.0, 3.0], metric="m", unit="s")] if each is not None]

    assert found.to_dict() == {
        "metric": "m",
        "attributes": {},
        "unit": "s",
        "count": 2,
        "min": 1.0,
        "max": 3.0,
        "mean": 2.0,
        "p50": 2.0,
        "p95": 2.9,
        "p99": 2.98,
    }


def test_more_than_can_be_looked_at_is_counted():
    """
    What comes faster than it can be looked at is dropped, the oldest first, and counted.
    """
    from branchline.watching import Measured

    watching = PerformanceMonitor(system=False)
    watching.hear([Measured("m", float(number)) for number in range(100_010)])

    assert watching.missed == 10
    [found] = watching.summary("m")
    assert (found.count, found.min, found.max) == (100_000, 10.0, 100_009.0)


# ── performance metrics ───────────────────────────────────────────────────────────────────────────

SAMPLE: dict[str, Any] = {
    "metricName": "order_execution_time",
    "value": 150,
    "unit": "milliseconds",
    "timestamp": "2026-01-31T12:00:00+00:00",
    "tags": {"exchange": "binance", "symbol": "BTC/USDT", "operation": "place", "step": "x", "unit": "y"},
}


def test_performance_metric_round_trip():
    """
    MX-62: a performance metric is read from the names of its schema and written with them again.
    """
    metric = PerformanceMetric.from_dict(SAMPLE)

    assert metric.timestamp == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert metric == PerformanceMetric("order_execution_time", 150, "milliseconds", SAMPLE["tags"])
    assert metric.to_dict() == SAMPLE


def test_performance_metric_is_recorded():
    """
    MX-62: a performance metric is a point of the step it is recorded in, its tags are attributes whatever their names.
    """
    with capture() as captured, bl.step("place"):
        PerformanceMetric.from_dict(SAMPLE).record()
    [point] = captured.points

    assert (point.name, point.value, point.unit, point.step_name) == (
        "order_execution_time",
        150,
        "milliseconds",
        "place",
    )
    assert point.attributes == SAMPLE["tags"]


def test_all_that_is_wrong_with_a_performance_metric():
    """
    MX-62: everything that is wrong is said at once.
    """
    said = {"value": "fast", "unit": 5, "tags": [], "timestamp": "noon", "colour": "red"}

    with pytest.raises(ConfigError) as refused:
        PerformanceMetric.from_dict(said)

    assert str(refused.value) == (
        "no performance metric: unknown colour; timestamp='noon', which is no time of ISO 8601; "
        "metric_name=None, which is no name; value='fast', which is no number; unit=5, which is no text; "
        "tags=[], which is no mapping"
    )


# ── timed operations ──────────────────────────────────────────────────────────────────────────────


def told(captured: Any) -> list[tuple[str | None, str, str, dict[str, Any]]]:
    """
    Return what was logged: event, message, level, and the fields but for durations.
    """
    for line in captured.logs:
        assert ("duration_ms" in line.attributes) is (line.event_name != "branchline.operation.started")
    return [
        (line.event_name, line.message, line.level, {k: v for k, v in line.attributes.items() if k != "duration_ms"})
        for line in captured.logs
    ]


def test_timed_operation():
    """
    MX-66: an operation is a step, whose beginning is said at DEBUG and whose end at INFO, with its milliseconds.
    """
    with capture() as captured, monitor.timed_operation("place_order", threshold_ms=60_000, symbol="BTC") as operation:
        pass
    step = captured.one("place_order")

    assert told(captured) == [
        (
            "branchline.operation.started",
            "place_order_started",
            "DEBUG",
            {"symbol": "BTC", "operation": "place_order"},
        ),
        (
            "branchline.operation.completed",
            "place_order_completed",
            "INFO",
            {"symbol": "BTC", "operation": "place_order", "threshold_ms": 60_000},
        ),
    ]
    assert [line.span_id for line in captured.logs] == [step.span_id] * 2
    assert (step.outcome, step.attributes) == ("success", {"symbol": "BTC"})
    duration: Any = captured.logs[1].attributes["duration_ms"]
    assert duration == operation.duration_ms == round(duration, 2)


def test_slow_operation():
    """
    MX-66: what takes longer than its threshold is a warning, with both numbers.
    """
    with capture() as captured, monitor.timed_operation("fetch", threshold_ms=1):
        time.sleep(0.01)
    line: Any = captured.logs[-1]

    assert (line.event_name, line.message, line.level) == ("branchline.operation.slow", "fetch_completed_slow", "WARN")
    assert line.attributes["duration_ms"] > line.attributes["threshold_ms"] == 1


def test_failed_operation():
    """
    MX-66: what fails is an error with the exception's class and message, and the exception goes on.
    """
    with capture() as captured, pytest.raises(KeyError), monitor.timed_operation("fetch", threshold_ms=1):
        raise KeyError("BTC")
    line = captured.logs[-1]

    assert (line.event_name, line.message, line.level) == ("branchline.operation.failed", "fetch_failed", "ERROR")
    assert (line.attributes["error.type"], line.attributes["error"], line.attributes["outcome"]) == (
        "KeyError",
        "'BTC'",
        "failed",
    )
    assert captured.one("fetch").outcome == "failed"


async def test_timed_functions():
    """
    MX-66: decorated functions and coroutines are operations at every call, side by side too, and keep what they are.
    """

    @monitor.timed_operation("double")
    def double(number: int) -> int:
        """Return twice as much."""
        return 2 * number

    @monitor.timed_operation("wait")
    async def wait(number: int) -> int:
        await asyncio.sleep(0.01)
        return number

    with capture() as captured:
        assert double(2) == 4
        async with monitor.timed_operation("both"):
            assert list(await asyncio.gather(wait(1), wait(2))) == [1, 2]
    messages = sorted(line.message for line in captured.logs)

    assert messages == sorted(
        f"{name}_{what}" for name in ("double", "wait", "wait", "both") for what in ("started", "completed")
    )
    assert [child.name for child in captured.one("both").children] == ["wait", "wait"]
    assert (double.__name__, double.__doc__) == ("double", "Return twice as much.")


def test_what_cannot_be_timed():
    """
    A generator goes on after its call, and a threshold is a number above zero: both are said at once.
    """

    def generate() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="TimedOperation goes around functions and coroutines"):
        monitor.timed_operation("x")(generate)
    for threshold in (0, -1, "1", True):
        with pytest.raises(ConfigError, match="threshold_ms="):
            monitor.timed_operation("x", threshold_ms=threshold)  # type: ignore[arg-type]  # that is the point
        with pytest.raises(ConfigError, match="threshold_ms="):
            PerformanceMonitor(threshold_ms=threshold)  # type: ignore[arg-type]  # the same


def test_without_a_run_an_operation_is_its_body():
    """
    Where nothing records, an operation is timed and nothing else happens.
    """
    with monitor.timed_operation("x", links=1) as operation:
        pass

    assert operation.duration_ms is not None


# ── measured steps ────────────────────────────────────────────────────────────────────────────────


def test_measured_step():
    """
    A measured step has CPU time, peak memory and I/O of the process meanwhile, and says that it is the process's.
    """
    with capture() as captured:
        with monitor.measured_step("train", epochs=3, links=1):
            held = bytearray(os.urandom(1)) * 200_000_000
            began = time.process_time()
            while time.process_time() - began < 0.05:
                pass
        largest = len(held)
        del held
        with monitor.measured_step("rest"):
            pass
        with bl.step("plain"):
            pass
    attributes: Any = captured.one("train").attributes
    rest: Any = captured.one("rest").attributes

    assert (attributes["epochs"], attributes["links"], attributes["measured.scope"]) == (3, 1, "process")
    assert 0.05 <= attributes["process.cpu.time"] < 60
    assert largest < attributes["process.memory.peak"]
    assert rest["process.memory.peak"] < attributes["process.memory.peak"]
    assert {"process.disk.io.read", "process.disk.io.write"} <= set(attributes)
    assert captured.one("plain").attributes == {}


def test_measured_peak_between_beginning_and_end():
    """
    Memory that is given back before the end of the step is in its peak, also where the process had more before.
    """
    earlier = bytearray(b"1") * 400_000_000
    del earlier
    with capture() as captured, monitor.measured_step("peak"):
        held = bytearray(b"1") * 150_000_000
        time.sleep(0.2)
        del held
        gc.collect()
    [(now, _)] = PerformanceMonitor(system=False).readings()["process.memory.usage"]
    attributes: Any = captured.one("peak").attributes

    assert attributes["process.memory.peak"] > now + 100_000_000


async def test_measured_functions():
    """
    Decorated functions and coroutines are measured at every call, and what they raise goes on.
    """

    @monitor.measured_step("one")
    async def one() -> int:
        return 1

    @monitor.measured_step("two")
    def two() -> None:
        raise ValueError("two")

    with capture() as captured:
        assert await one() == 1
        assert await one() == 1
        with pytest.raises(ValueError, match="two"):
            two()

    assert [(step.name, step.outcome, step.attributes["measured.scope"]) for step in captured.steps] == [
        ("one", "success", "process"),
        ("one", "success", "process"),
        ("two", "failed", "process"),
    ]


def test_the_run_has_the_files(home):
    """
    What was sampled disturbs no reader: the run has its steps and nothing it did not record.
    """
    with configure(home, system_metrics=0.1), bl.step("only"):
        pass
    run = open_runs(home).last

    assert [step.name for step in run.steps] == ["only"]
    assert (run.logs, run.points, run.skipped) == ((), (), ())
