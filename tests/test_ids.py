"""Randomness: tracing leaves the user's random numbers alone, and its own ids never repeat."""

from __future__ import annotations

import os
import random
from pathlib import Path

from opentelemetry import trace

import branchline as bl
from branchline.read import Run, open_runs
from branchline.testing import capture


def traced_work() -> list[float]:
    """Draw random numbers, inside steps and spans and between them."""
    drawn = []
    for number in range(20):
        with bl.step(f"step {number}") as step:
            drawn.append(random.random())
            step.stamp("drawn", number=number)
            with trace.get_tracer("lib").start_as_current_span("span"):
                drawn.append(random.random())
        bl.stamp("between")
        drawn.append(random.random())
    return drawn


def all_ids(run: Run) -> list[str]:
    return [step.span_id for step in run.steps] + sorted({step.trace_id for step in run.steps})


def test_the_users_random_numbers(tmp_path: Path) -> None:
    """
    ``random.seed(1)`` gives the same numbers with and without tracing.
    """
    random.seed(1)
    untraced = traced_work()
    random.seed(1)
    with bl.configure("ids", directory=tmp_path, console=False):
        traced = traced_work()
    random.seed(1)
    with capture():
        captured = traced_work()

    assert (untraced, untraced) == (traced, captured)


def test_ids_after_the_same_seed() -> None:
    """
    Seeding ``random`` twice the same way does not make ids repeat.
    """
    ids: list[str] = []
    for _ in range(2):
        random.seed(1)
        with capture() as captured:
            traced_work()
        ids += all_ids(captured.run)

    assert len(set(ids)) == len(ids) == 2 * (40 + 20)


def test_ids_of_a_forked_child(tmp_path: Path) -> None:
    """
    A forked child, and another one forked right after it, have ids of their own, whatever is seeded before.
    """
    with bl.configure("ids", directory=tmp_path, console=False):
        for _ in range(2):
            random.seed(1)
            child = os.fork()
            if child == 0:
                traced_work()
                bl.shutdown()
                os._exit(0)
            os.waitpid(child, 0)
        random.seed(1)
        traced_work()

    [run] = open_runs(tmp_path)
    ids = all_ids(run)
    assert len(set(ids)) == len(ids) == 3 * (40 + 20)
