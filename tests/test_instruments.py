"""Instruments: OpenTelemetry's own, and third parties', measured into the journal as cumulative OTLP."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

import branchline as bl
import measured
from branchline import ConfigError
from branchline.boundaries import SECONDS
from branchline.read import open_runs


counter: Any = bl.counter
histogram: Any = bl.histogram


def configure(home: Path, **options: Any) -> bl.Telemetry:
    return bl.configure("instruments", directory=home, console=False, **options)


def run_python(program: str, home: Path, **variables: str) -> str:
    """Run *program* in a Python of its own; return what it printed, and on stderr it says nothing."""
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=home,
        env={"PYTHONPATH": str(Path(__file__).parent), "PATH": "", **variables},
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.strip()


def kind(home: Path, name: str) -> Any:
    """Return the last of the metrics called *name*, as the official message has it."""
    return [metric for _, _, metric in measured.metrics(home) if metric.name == name][-1]


# ── what is measured ──────────────────────────────────────────────────────────────────────────────


def test_instruments_of_ours(home):
    """
    A counter adds up, a gauge keeps its last value, a histogram its distribution; each with its unit and words.
    """
    with configure(home):
        requests = bl.counter("requests", unit="{request}", description="How many came.")
        requests.add(1, {"path": "/"})
        requests.add(2, {"path": "/"})
        requests.add(0.5, {"path": "/half"})
        bl.gauge("depth").set(3)
        bl.gauge("depth").set(2)
        sizes = bl.histogram("sizes", unit="By", boundaries=[1, 10])
        for size in (0.5, 1, 5, 100):
            sizes.record(size)

    sums, depth, distribution = kind(home, "requests"), kind(home, "depth"), kind(home, "sizes")
    assert (sums.unit, sums.description, sums.sum.is_monotonic) == ("{request}", "How many came.", True)
    assert measured.of(home, "requests") == {(("path", "/"),): 3, (("path", "/half"),): 0.5}
    assert measured.of(home, "depth") == {(): 2}
    assert depth.WhichOneof("data") == "gauge"
    [point] = distribution.histogram.data_points
    assert (list(point.explicit_bounds), list(point.bucket_counts)) == ([1.0, 10.0], [2, 1, 1])
    assert (point.count, point.sum, point.min, point.max) == (4, 106.5, 0.5, 100.0)


def test_instruments_of_others(home):
    """
    Whatever kind a third party uses, made before or after configure(), is measured under its own scope.
    """
    meter = metrics.get_meter("third.party", "1.2")
    before = meter.create_up_down_counter("before")
    seen: list[CallbackOptions] = []

    def observe(options: CallbackOptions) -> list[Observation]:
        seen.append(options)
        return [Observation(7, {"a": 1}), Observation(8, {"a": 2})]

    def generate() -> Any:
        yield
        while True:
            yield [Observation(0.25)]

    meter.create_observable_gauge("observed.before", [observe])
    with configure(home):
        before.add(5)
        before.add(-2)
        meter.create_histogram("h").record(3)
        meter.create_observable_counter("observed", [observe])
        meter.create_observable_up_down_counter("generated", [generate()])

    assert {(scope, metric.name) for _, scope, metric in measured.metrics(home)} == {
        ("third.party", name) for name in ("before", "observed.before", "h", "observed", "generated")
    }
    assert measured.of(home, "before") == {(): 3}
    assert not kind(home, "before").sum.is_monotonic
    assert measured.of(home, "observed") == {(("a", 1),): 7, (("a", 2),): 8}
    assert measured.of(home, "observed.before") == {(("a", 1),): 7, (("a", 2),): 8}
    assert measured.of(home, "generated") == {(): 0.25}
    assert len(seen) == 2
    assert 0 < seen[0].timeout_millis <= 5000


def test_everything_is_cumulative_from_the_start(home):
    """
    Sums and histograms are cumulative, begin when the process did, and end when they were looked at; gauges just are.
    """
    began = time.time_ns()
    with configure(home) as run:
        bl.counter("c").add(1)
        bl.histogram("h").record(1)
        bl.gauge("g").set(1)
        time.sleep(0.01)

    [process] = [path for path in run.run_directory.iterdir() if path.is_dir()]
    started = json.loads((process / "process.json").read_text())["started_unix_nano"]
    for name in ("c", "h"):
        metric = kind(home, name)
        data = getattr(metric, metric.WhichOneof("data"))
        [point] = data.data_points
        assert data.aggregation_temporality == 2
        assert began <= point.start_time_unix_nano
        assert abs(point.start_time_unix_nano - started) < 1e9
        assert point.start_time_unix_nano < point.time_unix_nano <= time.time_ns()
    [now] = kind(home, "g").gauge.data_points
    assert (now.start_time_unix_nano, now.time_unix_nano > began) == (0, True)


def test_flush_collects(home):
    """
    What was measured is in the journal when flush() returns.
    """
    with configure(home):
        bl.counter("c").add(2)
        assert bl.flush()
        assert measured.of(home, "c") == {(): 2}
        bl.counter("c").add(3)
        assert metrics.get_meter_provider().force_flush()  # type: ignore[attr-defined]  # as the SDK's has it
        bl.flush()
        assert measured.of(home, "c") == {(): 5}


def test_each_run_begins_at_zero(home):
    """
    Instruments serve one run after another; what is measured between them is nobody's, and each begins at zero.
    """
    found = bl.counter("c")
    with configure(home / "a"):
        found.add(1)
    found.add(10)
    with configure(home / "b"):
        found.add(100)

    assert (measured.of(home / "a", "c"), measured.of(home / "b", "c")) == ({(): 1}, {(): 100})


def test_nothing_measured_writes_nothing(home):
    """
    A run in which nothing is measured, and no step ends, has no file of metrics.
    """
    with configure(home):
        bl.counter("c")
        bl.stamp("x")

    assert list(home.rglob("metrics-*")) == []


def test_what_has_not_changed_is_not_said_again(home, monkeypatch):
    """
    A look that finds nothing new writes nothing, until the last one, which says it all once more.
    """
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "20")
    with configure(home):
        found = bl.counter("c")
        found.add(1)
        bl.flush()
        time.sleep(0.3)
        bl.flush()
        assert len(list(measured.lines(home))) == 1
        found.add(1)
        bl.flush()
        assert len(list(measured.lines(home))) == 2

    assert [measured.value(measured.points(metric)[0]) for _, _, metric in measured.metrics(home)] == [1, 2, 2]


def test_it_is_collected_meanwhile(home, monkeypatch):
    """
    Every interval, whether anybody flushes or not.
    """
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "20")
    with configure(home):
        found = bl.counter("c")
        for _ in range(500):
            found.add(1)
            if len(list(measured.lines(home))) > 2:
                break
            time.sleep(0.02)
        assert len(list(measured.lines(home))) > 2


def test_configure_alone_loads_no_sdk_of_metrics(home):
    """
    Who measures nothing pays for nothing: the SDK's metrics are loaded by the first measurement.
    """
    program = """
    import sys
    import branchline as bl
    from opentelemetry import metrics
    with bl.configure("x", console=False):
        made = bl.counter("c"), metrics.get_meter("third").create_histogram("h")
        with bl.step("s"):
            bl.record_metric("m", 1)
        print("opentelemetry.sdk.metrics" in sys.modules)
        made[0].add(1)
        print("opentelemetry.sdk.metrics" in sys.modules)
    """

    assert run_python(program, home).split() == ["False", "True"]


def test_exact_in_many_threads(home):
    """
    No measurement is lost or doubled between threads and collections.
    """
    with configure(home):
        found, distribution = bl.counter("c"), bl.histogram("h")

        def work(thread: int) -> None:
            for number in range(2000):
                found.add(1, {"thread": thread % 2})
                distribution.record(number)

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            bl.flush()
        for thread in threads:
            thread.join()

    assert measured.of(home, "c") == {(("thread", 0),): 4000, (("thread", 1),): 4000}
    assert measured.of(home, "h") == {(): (8000, 4.0 * sum(range(2000)))}


# ── buckets ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "unit", "bounds"),
    [
        ("http.server.duration", "s", SECONDS),
        ("gen_ai.client.operation.duration", "s", tuple(0.01 * 2**power for power in range(14))),
        ("gen_ai.client.token.usage", "{token}", tuple(4.0**power for power in range(14))),
        ("gen_ai.invoke_agent.duration", "s", tuple(0.1 * 2**power for power in range(13))),
    ],
)
def test_boundaries_of_the_conventions(home, name, unit, bounds):
    """
    A histogram has the buckets of the conventions, by its name or for seconds, where who made it says nothing.
    """
    with configure(home):
        metrics.get_meter("third").create_histogram(name, unit).record(1)
        meter = metrics.get_meter("fourth")
        meter.create_histogram(f"{name}.own", unit, explicit_bucket_boundaries_advisory=[1.0, 2.0]).record(1)

    [point] = kind(home, name).histogram.data_points
    assert tuple(point.explicit_bounds) == bounds
    [point] = kind(home, f"{name}.own").histogram.data_points
    assert tuple(point.explicit_bounds) == (1.0, 2.0)


def test_exponential_histograms_on_request(home, monkeypatch):
    """
    OpenTelemetry's variable makes all histograms exponential, buckets of both signs and zeros included.
    """
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram")
    with configure(home):
        found = bl.histogram("h", unit="s")
        for number in (0, 1, 2, 4, 1000):
            found.record(number)

    metric = kind(home, "h")
    [point] = metric.exponential_histogram.data_points
    assert metric.exponential_histogram.aggregation_temporality == 2
    assert (point.count, point.sum, point.zero_count, point.min, point.max) == (5, 1007.0, 1, 0.0, 1000.0)
    assert sum(point.positive.bucket_counts) == 4
    base = 2.0 ** (2.0**-point.scale)
    lowest = base**point.positive.offset
    highest = base ** (point.positive.offset + len(point.positive.bucket_counts))
    assert lowest <= 1
    assert highest * 1.000001 >= 1000


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "buckets"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "soon"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "-1"),
    ],
)
def test_variables_that_cannot_be(home, monkeypatch, variable, value):
    """
    A variable of OpenTelemetry's that says nonsense is refused at set-up, by name and value.
    """
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigError, match=f"{variable} is '{value}'"):
        configure(home)


# ── whatever is given ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("boundaries", [[2, 1], [1, 1], [math.nan], [1, math.inf], "ab", 3, [None]])
def test_boundaries_that_cannot_be(boundaries):
    """
    Boundaries that do not grow are refused when the instrument is made, not when it measures.
    """
    with pytest.raises(ConfigError, match="each larger than the one before"):
        histogram("h", boundaries=boundaries)


@pytest.mark.parametrize("name", ["", "1st", "with space", "x" * 300, None, 7])
@pytest.mark.parametrize("make", [bl.counter, bl.gauge, bl.histogram])
def test_names_that_cannot_be(make, name):
    """
    So are names that OpenTelemetry does not take.
    """
    with pytest.raises(ConfigError, match="an instrument cannot be called"):
        make(name)


@pytest.mark.parametrize("unit", ["x" * 64, "ü", 3])
def test_units_that_cannot_be(unit):
    """
    And units.
    """
    with pytest.raises(ConfigError, match="is no unit for c"):
        counter("c", unit=unit)


class Refusing:
    """What is no number, and does not even say so."""

    def __str__(self):
        raise RuntimeError("str")

    __repr__ = __float__ = __index__ = __str__


ODD: list[object] = [math.nan, math.inf, -math.inf, None, "many", [], Refusing(), 10**400]


def test_odd_amounts(home, capfd):
    """
    What an instrument cannot take is left out and counted, said once, never raised; its neighbours are measured.
    """
    with configure(home):
        found: Any = bl.counter("c")
        distribution: Any = bl.histogram("h", boundaries=[1])
        gauge: Any = bl.gauge("g")
        for odd in (*ODD, -1):
            found.add(odd)
            distribution.record(odd)
        for odd in ODD:
            gauge.set(odd)
        for amount in (np.int64(1), True, np.float32(0.5)):
            found.add(amount)
            distribution.record(amount)
        gauge.set(np.int8(-4))

    assert measured.of(home, "c") == {(): 2.5}
    assert measured.of(home, "h") == {(): (3, 2.5)}
    assert measured.of(home, "g") == {(): -4}
    [process] = open_runs(home).last.processes
    assert process.oddities["left_out"] == 3 * len(ODD) + 2
    said = capfd.readouterr().err.splitlines()
    assert len([line for line in said if "takes no" in line]) == 1


def test_odd_attributes(home):
    """
    Attributes that no metric can have are written as those of steps are.
    """
    with configure(home):
        found: Any = bl.counter("c")
        found.add(1, {"plain": 1, 7: np.int64(2), "nested": {"a": [1]}, "secret": "hush", "long": "x" * 100_000})
        found.add(1, "no mapping")
        found.add(1)

    series = measured.of(home, "c")
    assert series.pop(()) == 2
    [(with_attributes, value)] = series.items()
    assert value == 1
    assert [key for key, _ in with_attributes] == ["7", "long", "nested", "plain", "secret"]
    assert dict(with_attributes)["secret"] == "[redacted]"


def test_large_integers(home):
    """
    A sum beyond 64 bits is written as a float; it takes nothing with it.
    """
    with configure(home):
        bl.counter("small").add(2**63 - 1)
        bl.counter("large").add(2**63)
        bl.counter("larger").add(2**70)
        bl.gauge("least").set(-(2**63))

    assert measured.of(home, "small") == {(): 2**63 - 1}
    assert measured.of(home, "large") == {(): 2.0**63}
    assert measured.of(home, "larger") == {(): 2.0**70}
    assert measured.of(home, "least") == {(): -(2**63)}


def test_a_sum_that_has_become_infinite(home):
    """
    What is not finite is written as protobuf's JSON has it, and read by the official parser.
    """
    with configure(home):
        found = bl.histogram("h", boundaries=[1])
        found.record(1e308)
        found.record(1e308)

    assert measured.of(home, "h") == {(): (2, math.inf)}


def test_a_foreign_instrument_that_cannot_be(home, capfd):
    """
    A third party's instrument with a name that OpenTelemetry does not take measures nothing, and breaks nothing.
    """
    with configure(home):
        meter = metrics.get_meter("third")
        meter.create_counter("no good").add(1)
        meter.create_observable_gauge("no good either", [lambda options: [Observation(1)]])
        meter.create_counter("good").add(1)

    assert measured.latest(home).popitem()[1] == {("good", ()): 1}
    assert "an instrument measures nothing" in capfd.readouterr().err


# ── callbacks of others ───────────────────────────────────────────────────────────────────────────


def test_callbacks_that_fail(home, capfd):
    """
    A callback that raises, or says what cannot be, costs its own observation and nothing else.
    """

    def fail(options: CallbackOptions) -> list[Observation]:
        raise ValueError("no answer")

    def nonsense(options: CallbackOptions) -> Any:
        return [Observation(math.nan), Observation("x"), Observation(2, {"fine": True})]  # type: ignore[arg-type]

    with configure(home):
        meter = metrics.get_meter("third")
        meter.create_observable_counter("o", [fail, lambda options: [Observation(1)]])
        meter.create_observable_gauge("n", [nonsense])
        bl.counter("c").add(1)

    assert measured.of(home, "o") == {(): 1}
    assert measured.of(home, "n") == {(("fine", True),): 2}
    assert measured.of(home, "c") == {(): 1}
    assert "a callback of o failed: ValueError: no answer" in capfd.readouterr().err


def test_a_callback_that_takes_its_time(home):
    """
    A callback that answers soon enough is waited for, and several of them at once.
    """

    def late(options: CallbackOptions) -> list[Observation]:
        time.sleep(0.2)
        return [Observation(1)]

    with configure(home):
        meter = metrics.get_meter("third")
        for name in ("a", "b", "c"):
            meter.create_observable_gauge(name, [late])
        bl.flush(60)
        assert {name for series in measured.latest(home).values() for name, _ in series} == {"a", "b", "c"}


def test_a_callback_that_hangs(home):
    """
    A callback that does not answer is left out: all else is measured, and the end of the run does not wait for it.
    """
    release = threading.Event()

    def hang(options: CallbackOptions) -> list[Observation]:
        release.wait(600)
        return [Observation(1)]

    try:
        with configure(home, exit_timeout=2.0):
            meter = metrics.get_meter("third")
            meter.create_observable_gauge("hangs", [hang])
            meter.create_observable_gauge("answers", [lambda options: [Observation(3)]])
            bl.counter("c").add(2)
            began = time.monotonic()
        took = time.monotonic() - began
    finally:
        release.set()

    assert measured.of(home, "c") == {(): 2}
    assert measured.of(home, "answers") == {(): 3}
    assert measured.of(home, "hangs") == {}
    # A hang would be ten minutes.
    assert took < 60


# ── how many series there may be ──────────────────────────────────────────────────────────────────


def test_cardinality(home, capfd):
    """
    A metric has at most 2,000 series and one for all the rest, whose sum is exact; at 1,600 that is said, once.
    """
    with configure(home):
        found = bl.counter("c")
        for number in range(1500):
            found.add(1, {"n": number})
        bl.flush()
        assert "sets of attributes" not in capfd.readouterr().err
        for number in range(1700):
            found.add(1, {"n": number})
        bl.flush()
        assert capfd.readouterr().err.count("the metric c has 1,700 sets of attributes") == 1
        for number in range(5000):
            found.add(1, {"n": number})

    series = measured.of(home, "c")
    overflow = series.pop((("otel.metric.overflow", True),))
    assert len(series) == 2000
    assert overflow == 3000
    assert overflow + sum(series.values()) == 1500 + 1700 + 5000
    assert "sets of attributes" not in capfd.readouterr().err
    longest = max(len(line) for _, line in measured.lines(home))
    assert longest <= 256 * 1024


# ── the application's own provider ────────────────────────────────────────────────────────────────

JOINING = """
import sys
from pathlib import Path
import measured
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.metrics import Observation
import branchline as bl

reader = InMemoryMetricReader()
provider = MeterProvider([reader])
metrics.set_meter_provider(provider)
found = metrics.get_meter("app").create_counter("c")
found.add(100)
with bl.configure("app", directory="j", console=False):
    found.add(1)
    bl.counter("ours").add(2)
    with bl.step("s"):
        pass
    assert metrics.get_meter_provider() is provider
found.add(1000)
home = Path("j")
print(measured.of(home, "c"), measured.of(home, "ours"), len(measured.of(home, "branchline.step.duration")))
data = reader.get_metrics_data()
print({
    metric.name: metric.data.data_points[0].value
    for scoped in data.resource_metrics[0].scope_metrics
    for metric in scoped.metrics
})
print(len(provider._measurement_consumer._reader_storages))
"""


def test_the_applications_own_provider_is_joined(home):
    """
    Where the application has a provider, it stays and goes on as before; ours reads what it measures during the run.
    """
    assert run_python(JOINING, home).splitlines() == [
        "{(): 1} {(): 2} 1",
        "{'c': 1101, 'ours': 2}",
        "1",
    ]


def test_a_provider_that_takes_no_reader(home):
    """
    Where the application's provider cannot be read, that is said once, and what is ours is written all the same.
    """
    program = """
    import contextlib, io, sys
    from pathlib import Path
    from opentelemetry import metrics
    import measured
    import branchline as bl
    metrics.set_meter_provider(metrics.NoOpMeterProvider())
    with contextlib.redirect_stderr(io.StringIO()) as said:
        for _ in range(2):
            bl.configure("app", directory="j", console=False)
            bl.counter("c").add(1)
            with bl.step("s"):
                pass
        bl.shutdown()
    print(said.getvalue().strip())
    print(sorted({name for series in measured.latest(Path("j")).values() for name, _ in series}))
    """

    said, written = run_python(program, home).splitlines()
    assert said.startswith("branchline: NoOpMeterProvider, which the application has set, takes no reader: ")
    assert written == "['branchline.step.duration']"
