"""The benchmarks run, measure every contender, and judge by medians over the rounds; no figure is asserted."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console


ROOT = Path(__file__).parent.parent

CONTENDERS = {"bare", "api", "unconfigured", "sdk", "sdk+otlp", "crash", "batch"}


@pytest.fixture(name="benchmarks")
def _benchmarks(monkeypatch):
    # They are no part of the package: they are found from the folder they stand in, as `make bench` finds them.
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.mark.slow
def test_every_contender_is_measured():
    """
    They run: every cost has a figure for every contender, and nobody lost a span.
    """
    pytest.importorskip("opentelemetry.exporter.otlp.proto.common")

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--smoke", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    costs = {
        answer["measure"]: set(answer["verdicts"])
        for answer in document["answers"]
        if answer["section"].startswith(("calling thread", "total CPU", "not configured"))
    }
    assert document["lost"] == {}
    assert len(costs) == 23
    assert costs == dict.fromkeys(costs, CONTENDERS)


@pytest.mark.slow
def test_every_way_to_log_is_measured():
    """
    The log table has a figure for every contender and mode; branchline has lost nothing, nor said anything twice.
    """
    for package in ("loguru", "structlog", "opentelemetry.exporter.otlp.proto.common"):
        pytest.importorskip(package)

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.logs", "--count", "200", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    modes = json.loads(done.stdout)["modes"]
    assert list(modes) == ["1 thread", "8 threads", "4 processes"]
    assert {len(contenders) for contenders in modes.values()} == {10}
    ours = [figures["lost"] for mode in modes.values() for name, figures in mode.items() if "branchline" in name]
    assert ours == [0] * 9


@pytest.mark.slow
def test_sampling_is_measured():
    """
    What sampling takes has a figure for every way, and what it adds for each but the one without.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sampling", "--rounds", "1", "--seconds", "0.5", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    percent, added = document["percent"], document["added"]
    assert len(percent) == 3
    assert all(figure > 0 for figure in percent.values())
    assert added == {way: percent[way] - percent["a run"] for way in added}
    assert set(percent) - set(added) == {"a run"}


@pytest.mark.slow
def test_every_way_to_track_is_measured():
    """
    The table of tracked loops has a figure for every contender, without a run and within one.
    """
    pytest.importorskip("tqdm")

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.progress", "--count", "2000", "--rounds", "1", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert list(json.loads(done.stdout)["added_ns"]) == [
        "tqdm",
        "rich",
        "branchline",
        "branchline, stall_after",
        "branchline, in a run",
        "branchline, stall_after, in a run",
    ]


def test_table(benchmarks):
    """
    The reference shows what it cost, the others their ratio to it, and a bound whether it is kept.
    """
    from benchmarks.judge import answers
    from benchmarks.table import show

    samples = {"step: thread": {"bare": [152.0], "sdk": [15_200.0], "crash": [2_000.0], "batch": [1_800.0]}}
    printed = io.StringIO()
    show(Console(width=132, file=printed), answers(samples), {"sdk": 7})

    lines = [" ".join(line.split()) for line in printed.getvalue().splitlines()]
    assert "a step with nothing on it 0.010 15.2 µs 0.132 ✓ ≤1/6 0.118 ✗ ≤1/9" in lines
    assert lines[-2:] == [
        "sdk lost 7 spans: its figures are too good",
        "1 bounds kept, 0 missed, 1 missed by less than 10 %",
    ]


def test_ratio_is_the_median_of_the_rounds(benchmarks):
    """
    A ratio is taken within each round, and then their median: a slow round slows both, and does not count twice.
    """
    from benchmarks.judge import answers

    [answer] = answers({"step: thread": {"sdk": [100.0, 400.0, 100.0], "crash": [10.0, 40.0, 90.0]}})

    verdict = answer.verdicts["crash"]
    assert (verdict.value, verdict.compared, verdict.quartiles) == (0.04, 0.1, (0.1, 0.5))


@pytest.mark.parametrize(
    ("cost", "is_kept", "is_missed_clearly"), [(16.0, True, False), (17.0, False, False), (19.0, False, True)]
)
def test_bound(benchmarks, cost, is_kept, is_missed_clearly):
    """
    A sixth is allowed; up to a tenth more is missed, but not clearly.
    """
    from benchmarks.judge import answers

    [answer] = answers({"step: thread": {"sdk": [100.0], "crash": [cost]}})

    verdict = answer.verdicts["crash"]
    assert (verdict.is_kept, verdict.is_missed_clearly) == (is_kept, is_missed_clearly)


def test_what_is_added_leaves_the_work_itself_out(benchmarks):
    """
    Where the question is what a decorator adds, the bare function's cost counts for nobody.
    """
    from benchmarks.judge import answers

    found = answers({"step: thread": {"sdk": [900.0], "bare": [50.0], "api": [250.0], "unconfigured": [60.0]}})

    [added] = [answer.verdicts["unconfigured"] for answer in found if answer.question.way == "added"]
    assert (added.compared, added.bound, added.is_kept) == (0.05, 0.1, True)


def test_lost_spans_are_named(benchmarks):
    """
    Whoever lost spans is named: doing less is not being faster.
    """
    from benchmarks.judge import lost

    assert lost({"end: lost": {"sdk": [0.0], "crash": [3.0]}}) == {"crash": 3}
