"""Metrics made of finished spans: exact, low in cardinality, and the same from the writer and from a reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import branchline as bl
import measured
from branchline._journal.belonging import Scope
from branchline._journal.durations import Durations
from branchline._journal.span_records import SpanRecord
from branchline._pipeline.span_metrics import SpanMetrics
from branchline.boundaries import STEP_SECONDS
from branchline.context import Identity
from branchline.read import Distribution, Metric, Series, open_runs, span_metrics


SECOND = 1_000_000_000


@pytest.fixture(name="home")
def _home(tmp_path, monkeypatch):
    """
    A folder for a run, and no run left behind.
    """
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    bl.shutdown()


def some_work() -> None:
    """Record steps and branches of every outcome."""
    with bl.step("alone"):
        pass
    with bl.experiment("e"):
        for name in ("a", "b"):
            with bl.branch({"name": name}, name=name) as branch:
                for _ in range(3):
                    with bl.step("load"):
                        pass
                with bl.step("check") as step:
                    step.skip("nothing to do")
                if name == "b":
                    branch.skip("not wanted")
        with pytest.raises(ValueError, match="boom"), bl.branch({"name": "c"}, name="c"), bl.step("load"):
            raise ValueError("boom")
    with bl.step("odd") as step:
        step.set(**{"error.type": "no error"})


def written(home: Path) -> dict[str, dict[tuple[tuple[str, object], ...], Any]]:
    """Return what the journal has of them: by name and attributes, the last of it."""
    found: dict[str, dict[tuple[tuple[str, object], ...], Any]] = {}
    for _, scope, metric in measured.metrics(home):
        if scope == "branchline" and metric.name.startswith("branchline."):
            found[metric.name] = {measured.attributes(point): seen(point) for point in measured.points(metric)}
    return found


def seen(point: Any) -> Any:
    if hasattr(point, "as_int"):
        return point.as_int
    return (point.count, point.sum, tuple(point.explicit_bounds), tuple(point.bucket_counts), point.min, point.max)


def again(metrics: tuple[Metric, ...]) -> dict[str, dict[tuple[tuple[str, object], ...], Any]]:
    """Return the *metrics* of a reader in the same form."""
    return {
        metric.name: {
            tuple(sorted(series.attributes.items())): (
                tuple(series.value) if isinstance(series.value, Distribution) else series.value
            )
            for series in metric.series
        }
        for metric in metrics
    }


def test_writer_and_reader_agree(home):
    """
    What the writer has added up while it wrote the spans is exactly what a reader makes of them again.
    """
    with bl.configure("spans", directory=home, console=False):
        some_work()

    found = again(span_metrics(open_runs(home).last))
    assert set(found) == {"branchline.step.duration", "branchline.branch.duration", "branchline.branches"}
    assert written(home) == found


def test_series(home):
    """
    Steps are told apart by name, place, outcome and error; branches by name and outcome, and counted by status.
    """
    with bl.configure("spans", directory=home, console=False):
        some_work()

    found = written(home)
    place = (("branchline.experiment.name", "e"),)
    assert {tuple(text for _, text in own): point[0] for own, point in found["branchline.step.duration"].items()} == {
        ("success", "alone"): 1,
        ("success", "odd"): 1,
        ("a", "e", "success", "load"): 3,
        ("a", "e", "skipped", "check"): 1,
        ("b", "e", "success", "load"): 3,
        ("b", "e", "skipped", "check"): 1,
        ("c", "e", "failed", "load", "ValueError"): 1,
    }
    assert {key for own in found["branchline.step.duration"] for key, _ in own} == {
        *("branchline.step.name", "branchline.branch.name", "branchline.experiment.name"),
        *("branchline.outcome", "error.type"),
    }
    assert {own: point[0] for own, point in found["branchline.branch.duration"].items()} == {
        (("branchline.branch.name", "a"), *place, ("branchline.outcome", "success")): 1,
        (("branchline.branch.name", "b"), *place, ("branchline.outcome", "skipped")): 1,
        (("branchline.branch.name", "c"), *place, ("branchline.outcome", "failed"), ("error.type", "ValueError")): 1,
    }
    assert found["branchline.branches"] == {
        (("branchline.branch.status", status), *place): 1 for status in ("success", "skipped", "failed")
    }


def test_sums_are_exact(home):
    """
    Count, sum, least and most are those of the spans, to the nanosecond.
    """
    with bl.configure("spans", directory=home, console=False):
        for _ in range(2000):
            with bl.step("s"):
                pass

    steps = open_runs(home).last.steps
    lengths = [(step.end_unix_nano or 0) - step.start_unix_nano for step in steps]
    [point] = written(home)["branchline.step.duration"].values()
    assert (point[0], point[1]) == (2000, sum(lengths) / SECOND)
    assert (point[4], point[5]) == (min(lengths) / SECOND, max(lengths) / SECOND)


def test_buckets():
    """
    A length at a boundary counts below it, one beyond all of them in the last bucket; however many come at once.
    """
    durations = Durations()
    series = durations.of_steps("s", None, None, "success", None)
    for _ in range(700):
        for boundary in STEP_SECONDS:
            series.add(round(boundary * SECOND))
            series.add(round(boundary * SECOND) + 1)

    [metric] = durations.metrics()
    [found] = metric.series
    assert isinstance(found.value, Distribution)
    assert found.value.counts == (700, *[1400] * (len(STEP_SECONDS) - 1), 700)
    assert found.value.values == 1400 * len(STEP_SECONDS)
    assert found.value.total == 700 * sum(2 * round(boundary * SECOND) + 1 for boundary in STEP_SECONDS) / SECOND


def test_spans_of_others_do_not_count(home):
    """
    Neither plain OpenTelemetry spans nor experiments are steps.
    """
    from opentelemetry import trace

    with bl.configure("spans", directory=home, console=False):
        with trace.get_tracer("third").start_as_current_span("plain"), bl.experiment("e"):
            pass

    assert written(home) == {}
    assert span_metrics(open_runs(home).last) == ()


def test_no_ids_and_no_run(home):
    """
    Neither the run nor any span or branch has its id on a metric, or on the resource of metrics.
    """
    with bl.configure("spans", directory=home, console=False) as run:
        some_work()
        bl.counter("c").add(1)

    [step, *_] = open_runs(home).last.steps
    [branch, *_] = open_runs(home).last.branches
    [process] = open_runs(home).last.processes
    for _, message in measured.messages(home):
        [resource] = message.resource_metrics
        keys = {item.key: item.value.string_value for item in resource.resource.attributes}
        assert keys["service.instance.id"] == process.name
        assert "branchline.run.id" not in keys
        text = str(message)
        assert not any(
            identity in text for identity in (run.run_id, step.trace_id, step.span_id, branch.config_id or "")
        )


def span(number: int, name: str, outcome: str = "success", identity: Identity | None = None) -> SpanRecord:
    return SpanRecord(
        trace_hex="1" * 32,
        number=number,
        parent_number=None,
        title=name,
        began=0,
        ended=SECOND,
        role="step",
        outcome=outcome,
        identity=identity,
        scope=Scope("branchline", None),
    )


def test_names_without_end():
    """
    Beyond the limit, new names are added up in one series that says so; those that were there go on.
    """
    metrics = SpanMetrics(most_series=3)
    metrics.add([span(number, f"step {number % 5}") for number in range(10)])
    metrics.add([span(number, "step 0") for number in range(10)])

    [metric] = metrics.metrics()
    assert [(dict(series.attributes), count(series)) for series in metric.series] == [
        ({"branchline.step.name": "step 0", "branchline.outcome": "success"}, 12),
        ({"branchline.step.name": "step 1", "branchline.outcome": "success"}, 2),
        ({"branchline.step.name": "step 2", "branchline.outcome": "success"}, 2),
        ({"otel.metric.overflow": True}, 4),
    ]


def count(series: Series) -> int:
    assert isinstance(series.value, Distribution)
    return series.value.values


def test_two_ways_to_fail(home):
    """
    Steps of one name that fail one after the other in two ways are two series.
    """
    with bl.configure("spans", directory=home, console=False):
        for error in (ValueError, ValueError, KeyError, ValueError):
            with pytest.raises(error), bl.step("s"):
                raise error

    assert {dict(own)["error.type"]: point[0] for own, point in written(home)["branchline.step.duration"].items()} == {
        "ValueError": 3,
        "KeyError": 1,
    }


def test_places_come_and_go():
    """
    Two places that say the same are one series, though each has an object of its own, and memory is used again.
    """
    metrics = SpanMetrics()
    for _ in range(10_000):
        metrics.add([span(1, "s", identity=Identity(experiment_name="e"))])
        metrics.add([span(1, "s", identity=Identity(experiment_name="f"))])

    [metric] = metrics.metrics()
    assert [(series.attributes["branchline.experiment.name"], count(series)) for series in metric.series] == [
        ("e", 10_000),
        ("f", 10_000),
    ]


def test_points_are_counted(home):
    """
    The points of metrics are counted by themselves: recorded is journaled and dropped.
    """
    with bl.configure("spans", directory=home, console=False):
        with bl.step("s"):
            pass
        bl.counter("c").add(1, {"a": 1})
        bl.counter("c").add(1, {"a": 2})

    [process] = open_runs(home).last.processes
    assert process.counters["metrics"] == {"recorded": 3, "journaled": 3, "sampled_out": 0, "dropped": {}}


def test_as_a_guest(tmp_path):
    """
    On the application's tracer provider, steps and branches are measured all the same.
    """
    import subprocess
    import sys

    program = """
import branchline as bl
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
with bl.configure("guest", directory="j", console=False):
    with bl.experiment("e"), bl.branch({"k": 1}, name="b"), bl.step("s"):
        bl.record_metric("m", 3)
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=120)

    run = open_runs(tmp_path / "j").last
    assert written(tmp_path) == again(span_metrics(run))
    assert [(point.name, point.value, point.step_name, point.branch_name) for point in run.points] == [
        ("m", 3.0, "s", "b")
    ]
    assert [branch.metrics for branch in run.branches] == [{"m": 3.0}]
