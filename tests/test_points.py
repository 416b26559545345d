"""Points: every value of a metric is kept, with the step and branch that it belongs to, and read back as a number."""

from __future__ import annotations

import math
import threading
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import branchline as bl
from branchline.read import Follower, Point, open_runs
from branchline.testing import capture


record: Any = bl.record_metric


class Rank(IntEnum):
    FIRST = 1


class Refusing:
    """Whose number nobody gets, nor its text."""

    def __float__(self):
        raise RuntimeError("float")

    def __str__(self):
        raise RuntimeError("str")

    __repr__ = __str__


# ── where they belong ─────────────────────────────────────────────────────────────────────────────


def test_a_point_belongs_to_its_step_and_branch():
    """
    A point knows its value, unit, place in a series and attributes, and the step, branch and experiment it was made in.
    """
    with (
        capture() as captured,
        bl.experiment("search"),
        bl.branch({"k": 1}, name="one", config_id="id"),
        bl.step("score"),
    ):
        bl.record_metric("accuracy", 0.5, unit="1", step=3, split="dev")

    assert captured.points == (
        Point(
            name="accuracy",
            value=0.5,
            unit="1",
            step=3,
            attributes={"split": "dev"},
            step_name="score",
            branch_name="one",
            branch_id="id",
            experiment_name="search",
        ),
    )
    [score] = captured.steps
    [point] = captured.points
    assert (point.trace_id, point.span_id) == (score.trace_id, score.span_id)
    assert score.start_unix_nano <= point.time_unix_nano <= (score.end_unix_nano or 0)


def test_a_point_outside_of_everything():
    """
    Without a step, a point belongs to the run.
    """
    with capture() as captured:
        bl.record_metric("loose", 1)

    assert captured.points == (Point(name="loose", value=1.0),)


def test_points_are_no_log_lines():
    """
    A point is a log record of its own kind: it is among the points, and not among what a person reads as a log.
    """
    with capture() as captured, bl.step("s"):
        bl.record_metric("m", 1)

    assert (len(captured.points), captured.logs) == (1, ())


def test_step_metric_belongs_to_that_step():
    """
    Step.metric records on its own step, though another is current, and on another thread.
    """
    with capture() as captured, bl.step("outer") as outer, bl.step("inner"):
        outer.metric("rows", 10, unit="{row}", step=1, kind="raw")
        thread = threading.Thread(target=outer.metric, args=("rows", 20))
        thread.start()
        thread.join()

    assert [(point.step_name, point.value, point.unit, point.step) for point in captured.points] == [
        ("outer", 10.0, "{row}", 1),
        ("outer", 20.0, None, None),
    ]
    assert captured.points[0].attributes == {"kind": "raw"}


def test_branch_metric_belongs_to_the_branch():
    """
    Branch.metric records on the branch's own span, wherever it is called, also after the branch has ended.
    """
    with capture() as captured, bl.experiment("e"):
        with bl.branch({"k": 1}) as branch, bl.step("s"):
            branch.metric("inside", 1)
        branch.metric("after", 2)

    [read] = captured.branches
    assert [(point.name, point.span_id, point.branch_name, point.step_name) for point in captured.points] == [
        ("inside", read.span_id, "k=1", None),
        ("after", read.span_id, "k=1", None),
    ]
    assert read.metrics == {"inside": 1.0, "after": 2.0}


def test_a_branch_that_nobody_opened():
    """
    A branch that was made by hand has no span: its points belong to where they are recorded.
    """
    with capture() as captured, bl.step("s"):
        bl.Branch.start("id", {}).metric("m", 1)

    assert [(point.name, point.step_name) for point in captured.points] == [("m", "s")]


def test_a_branch_with_points_can_be_copied():
    """
    What a branch is recorded by does not travel with it, nor does it show among its fields.
    """
    import copy
    import dataclasses
    import pickle

    with capture(), bl.branch({"k": 1}) as branch:
        pass

    copied = pickle.loads(pickle.dumps(branch))
    assert copied.__dict__.get("_recording") is None
    assert copy.copy(branch).__dict__.get("_recording") is None
    assert "_recording" not in dataclasses.asdict(branch)


def test_metrics_of_a_branch_are_the_last_by_name():
    """
    What a branch's steps record at any depth is the branch's, the last value of each name; nested branches have theirs.
    """
    with capture() as captured, bl.experiment("e"):
        for repeat in (1, 2):
            with bl.branch({"k": 1}, name="same", config_id="same"):
                with bl.step("outer"), bl.step("inner"):
                    for value in (0.1, 0.2 * repeat):
                        bl.record_metric("loss", value)
                with bl.branch({"n": repeat}, name="nested"):
                    bl.record_metric("loss", -repeat)

    assert [(branch.name, branch.metrics) for branch in captured.branches] == [
        ("same", {"loss": 0.2}),
        ("nested", {"loss": -1.0}),
        ("same", {"loss": 0.4}),
        ("nested", {"loss": -2.0}),
    ]


def test_a_step_with_a_trace_of_its_own_still_belongs_to_its_branch():
    """
    Where a point's trace does not lead to the branch, the branch that it names does, as it was at that time.
    """

    @bl.traced_step(new_trace=True)
    def apart(value: float) -> None:
        bl.record_metric("m", value)

    with capture() as captured, bl.experiment("e"):
        for value in (1, 2):
            with bl.branch({"k": 1}, name="b"):
                apart(value)

    assert [branch.metrics for branch in captured.branches] == [{"m": 1.0}, {"m": 2.0}]


def test_the_series_is_the_users():
    """
    A step number is there when the user gives one; nobody counts for them.
    """
    with capture() as captured:
        for epoch in (None, None, 0, 7):
            bl.record_metric("loss", 1, step=epoch)

    assert [point.step for point in captured.points] == [None, None, 0, 7]


# ── whatever is given ─────────────────────────────────────────────────────────────────────────────

VALUES: list[tuple[object, float]] = [
    (1, 1.0),
    (0.1, 0.1),
    (-0.0, 0.0),
    (True, 1.0),
    (False, 0.0),
    (2**53 + 1, float(2**53 + 1)),
    (2**63 - 1, float(2**63 - 1)),
    (2**63, float(2**63)),
    (-(2**70), -float(2**70)),
    (10**400, math.inf),
    (-(10**400), -math.inf),
    (math.nan, math.nan),
    (math.inf, math.inf),
    (-math.inf, -math.inf),
    (Decimal("0.1"), 0.1),
    (Decimal("NaN"), math.nan),
    (Fraction(1, 4), 0.25),
    (Rank.FIRST, 1.0),
    (np.float32(0.5), 0.5),
    (np.float64(0.1), 0.1),
    (np.int64(-3), -3.0),
    (np.uint8(255), 255.0),
    (np.bool_(1), 1.0),
    (np.array(2.5), 2.5),
    (np.float64("inf"), math.inf),
    ("0.25", 0.25),
    ("many", math.nan),
    (None, math.nan),
    ([], math.nan),
    (1j, math.nan),
    (np.array([1, 2]), math.nan),
    (Refusing(), math.nan),
]


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=lambda value: type(value).__name__)
def test_values(value, expected):
    """
    Whatever the value is, it is read back as the float that it stands for; what stands for none is not a number.
    """
    with capture() as captured:
        record("m", value)

    [point] = captured.points
    assert isinstance(point.value, float)
    assert point.value == expected or (math.isnan(point.value) and math.isnan(expected))
    assert not captured.run.dropped


STEPS: list[tuple[object, int | None]] = [
    (5, 5),
    (-1, -1),
    (True, 1),
    (2.0, 2),
    (np.int32(4), 4),
    ("6", 6),
    (2**63 - 1, 2**63 - 1),
    (2**64, None),
    (2.5, None),
    (math.nan, None),
    ("last", None),
    (Refusing(), None),
]


@pytest.mark.parametrize(("step", "expected"), STEPS, ids=lambda step: type(step).__name__)
def test_steps(step, expected):
    """
    A place in a series is a whole number; for anything else the point is kept without one, and that is counted.
    """
    with capture() as captured:
        record("m", 1, step=step)

    [point] = captured.points
    assert (point.value, point.step) == (1.0, expected)
    [process] = captured.run.processes
    assert process.oddities == ({} if expected is not None else {"metric_step": 1})


@pytest.mark.parametrize("name", ["plain", "with space", "ünïcode", "x" * 5000, "\ud800", "", 7, None, Refusing()])
def test_names(name):
    """
    Any name is recorded as text.
    """
    with capture() as captured:
        record(name, 1)

    [point] = captured.points
    assert point.name
    assert (point.name == name) == (isinstance(name, str) and name in ("plain", "with space", "ünïcode"))


@pytest.mark.parametrize("unit", ["s", "", 3, Refusing(), "y" * 2000])
def test_units(unit):
    """
    So is any unit.
    """
    with capture() as captured:
        record("m", 1, unit=unit)

    assert [isinstance(point.unit, str) for point in captured.points] == [True]


def test_attributes():
    """
    Attributes are kept as those of steps are, and cannot take the place of what the point itself says.
    """
    with capture() as captured:
        record("m", 1, name="mine", value=[1, 2.5], nested={"a": np.int8(1)}, **{"branchline.metric.value": 9, "": 0})

    [point] = captured.points
    assert (point.name, point.value) == ("m", 1.0)
    assert point.attributes == {"name": "mine", "value": (1, 2.5), "nested": {"a": 1}, "<empty>": 0}


def test_secrets():
    """
    Secrets in the attributes of a point are redacted like everywhere.
    """
    with capture() as captured:
        bl.record_metric("m", 1, api_key="hush")

    assert captured.points[0].attributes == {"api_key": "[redacted]"}


def test_without_configure():
    """
    Without a run, recording a point does nothing and raises nothing.
    """
    bl.record_metric("m", 1)
    with bl.step("s") as step, bl.branch({"k": 1}) as branch:
        step.metric("m", 1)
        branch.metric("m", 1)


# ── what becomes of them ──────────────────────────────────────────────────────────────────────────


def test_points_are_counted_as_log_records(tmp_path):
    """
    Recorded is journaled and dropped: points are counted under logs, each once.
    """
    with bl.configure("points", directory=tmp_path, console=False):
        before = bl.flush().journaled
        for number in range(1000):
            bl.record_metric("m", number)
        result = bl.flush()

    assert result.journaled - before == 1000
    run = open_runs(tmp_path).last
    assert [point.value for point in run.points] == [float(number) for number in range(1000)]
    [process] = run.processes
    counted: Any = process.counters["logs"]
    # With the start and the end of the run, which branchline notes for itself.
    assert (counted["recorded"], counted["journaled"], counted["notes"]) == (1002, 1002, 2)


def test_sampled_out_steps_keep_their_points(tmp_path):
    """
    A step that the sampler does not want takes no point with it.
    """
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    with (
        bl.configure("points", directory=tmp_path, console=False, sampler=ALWAYS_OFF),
        bl.branch({"k": 1}, name="b") as branch,
        bl.step("s") as step,
    ):
        bl.record_metric("a", 1)
        step.metric("b", 2)
        branch.metric("c", 3)

    run = open_runs(tmp_path).last
    assert [(point.name, point.branch_name) for point in run.points] == [("a", "b"), ("b", "b"), ("c", "b")]


def test_a_point_after_the_end_of_the_run(tmp_path):
    """
    What is recorded after shutdown() is recorded nowhere, and does no harm.
    """
    with bl.configure("points", directory=tmp_path, console=False), bl.branch({"k": 1}) as branch:
        pass
    branch.metric("late", 1)

    assert open_runs(tmp_path).last.points == ()


def test_who_watches_sees_them(tmp_path, capfd):
    """
    The console has what a branch has measured last, each time that the same branch is run, also after its end.
    """
    with bl.configure("points", directory=tmp_path, console=True), bl.experiment("e"):
        for value in (1, 2):
            with bl.branch({"k": 1}, name="same") as branch, bl.step("s"):
                bl.record_metric("loss", 9)
                bl.record_metric("loss", value / 8)
            branch.metric("late", value)

    rows = [line.split() for line in capfd.readouterr().err.splitlines()]
    assert [row[-2:] for row in rows if row[:2] == ["same", "success"]] == [["0.125", "1"], ["0.25", "2"]]


def test_follower_tells_of_points(tmp_path):
    """
    Who follows a run hears of its points.
    """
    with bl.configure("points", directory=tmp_path, console=False):
        with bl.step("s"):
            bl.record_metric("m", 1, unit="s")
        bl.flush()
        happened = Follower(open_runs(tmp_path).last).poll()

    [told] = [happening for happening in happened if happening.what == "point"]
    assert told.point is not None
    assert (told.point.name, told.point.value, told.point.unit) == ("m", 1.0, "s")
    assert "log" not in {happening.what for happening in happened}
