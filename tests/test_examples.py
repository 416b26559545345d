"""The examples and the demo run as they are, and what they recorded can be read back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from branchline.read import open_runs


EXAMPLES = Path(__file__).parent.parent / "examples"

# Of another run than the one that a test runs in.
OWN_ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("BRANCHLINE_", "OTEL_", "TRACEPARENT", "TRACESTATE", "BAGGAGE"))
}

RECORDED = {
    "quickstart": {"load": 1, "clean up": 1, "report": 1},
    "branches": {"generate": 2},
    "async_steps": {"warm up": 1, "crawl": 1, "fetch": 20},
    "generators": {"pipeline": 1, "read_rows": 2, "even": 1, "store": 5},
    "usage": {"answer": 6},
    "multi_branch": {"primes": 4},
    "round_robin": {"write": 4},
    "shadow": {"ask": 3},
    "subprocesses": {"pool": 1, "square": 4, "start a child": 1, "in the child": 1},
}


def ran(tmp_path, *command):
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=tmp_path,
        env=OWN_ENVIRONMENT | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_every_example_is_tried():
    """
    No example is without a line here.
    """
    assert {path.stem for path in EXAMPLES.glob("*.py")} == RECORDED.keys()


@pytest.mark.parametrize("name", RECORDED)
def test_example(tmp_path, name):
    """
    An example runs as it is, writes nothing to stderr, and all of its steps are in one run.
    """
    done = ran(tmp_path, EXAMPLES / f"{name}.py")

    [run] = open_runs(tmp_path / ".branchline")
    assert (done.stderr, Counter(step.name for step in run.steps)) == ("", RECORDED[name])


def test_branches_example(tmp_path):
    """
    Of three branches, one was skipped, one went well, one failed.
    """
    ran(tmp_path, EXAMPLES / "branches.py")

    [run] = open_runs(tmp_path / ".branchline")
    assert [branch.status for branch in run.branches] == ["skipped", "success", "failed"]


@pytest.mark.parametrize(
    ("name", "printed", "branches"),
    [
        (
            "multi_branch",
            [
                "limit=1000: 168",
                "limit=5000: 669",
                "limit=20000: 2262",
                "limit=-1: ValueError('there are no primes below zero')",
            ],
            [("limit=-1", "failed"), ("limit=1000", "success"), ("limit=20000", "success"), ("limit=5000", "success")],
        ),
        (
            "round_robin",
            ["Hello, Ada!", "Good morning, Grace!", "Hello, Edsger!", "Good morning, Barbara!"],
            [("long", "success")] * 2 + [("short", "success")] * 2,
        ),
        (
            "shadow",
            ["proven says: 26"],
            [("model=broken", "failed"), ("model=new", "success"), ("model=proven", "success")],
        ),
    ],
)
def test_strategy_examples(tmp_path, name, printed, branches):
    """
    The examples of the strategies print what their callers are given, and record every branch with its own end.
    """
    done = ran(tmp_path, EXAMPLES / f"{name}.py")

    [run] = open_runs(tmp_path / ".branchline")
    assert done.stdout.splitlines() == printed
    assert sorted((branch.name, branch.status) for branch in run.branches) == branches


def test_async_example(tmp_path):
    """
    All twenty fetches are below the crawl.
    """
    ran(tmp_path, EXAMPLES / "async_steps.py")

    [run] = open_runs(tmp_path / ".branchline")
    assert [(root.name, len(root.children)) for root in run.roots] == [("warm up", 0), ("crawl", 20)]


def test_generators_example(tmp_path):
    """
    Generators and their consumer are side by side, and the one that was left early is closed.
    """
    ran(tmp_path, EXAMPLES / "generators.py")

    [run] = open_runs(tmp_path / ".branchline")
    [pipeline] = run.roots
    below = Counter((step.name, step.outcome) for step in pipeline.children)
    assert below[("store", "success")] == 5
    assert below[("read_rows", "closed")] == 1


def test_subprocesses_example(tmp_path):
    """
    What pool workers and a child process recorded is below the steps that started them.
    """
    ran(tmp_path, EXAMPLES / "subprocesses.py")

    [run] = open_runs(tmp_path / ".branchline")
    assert [(root.name, sorted({step.name for step in root.children})) for root in run.roots] == [
        ("pool", ["square"]),
        ("start a child", ["in the child"]),
    ]


def test_demo(tmp_path):
    """
    The demo compares three branches, one of which failed, as they are read back from the files.
    """
    done = ran(tmp_path, "-m", "branchline", "demo", "--fast")

    [run] = open_runs(tmp_path / ".branchline")
    assert [(branch.name, branch.status) for branch in run.branches] == [
        ("small chunks", "success"),
        ("small chunks, reranked", "success"),
        ("large chunks", "failed"),
    ]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["branch", "status", "duration", "steps", "tokens", "cost", "accuracy"] in lines
    assert [line[:1] + line[-4:] for line in lines if line[:2] == ["small", "chunks,"]] == [
        ["small", "45", "18,786", "$0.002392", "92%"]
    ]
    assert max(map(len, done.stdout.splitlines())) < 120, "a pipe is no terminal of 400 columns"
    assert [line[1] for line in lines if line[:1] == ["branchline"]] == ["show", "cost", "logs", "runs", "tail"]


def test_demo_is_the_same_every_time(tmp_path):
    """
    Two runs of the demo have the same steps, stamps and outputs.
    """
    for _ in range(2):
        ran(tmp_path, "-m", "branchline", "demo", "--fast")

    first, second = open_runs(tmp_path / ".branchline")
    assert [branch.output for branch in first.branches] == [branch.output for branch in second.branches]
    assert Counter(map(repr, first.steps)) == Counter(map(repr, second.steps))
