"""Trackers: tasks counted by hand, as those know them who come from elsewhere, without what was wrong there."""

from __future__ import annotations

import gc
import io
import re
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest

import branchline as bl
from branchline.progress import ProgressTracker, TaskProgress, TaskStatus, track_progress
from branchline.read import open_runs


@pytest.fixture
def tracker() -> Any:
    return ProgressTracker("Work", quiet=True)


@pytest.fixture
def directory(tmp_path):
    yield tmp_path / "journal"
    bl.shutdown()


# ── the snippets of the documentation that people come from ───────────────────────────────────────


def test_promised_tracker(capsys):
    """
    The documented program: a task of three, counted and completed, as a block and as lines of text (PE-40…42, PE-46).
    """
    with ProgressTracker() as progress:
        task = progress.add_task("Loading data", total=3)
        for _ in range(3):
            progress.update(task, advance=1)
        progress.complete(task)

    assert task == "task_1"
    assert capsys.readouterr().out.splitlines() == [
        f"[INFO] Loading data... ({done}/3) [00:00 elapsed, ETA 00:00]" for done in (1, 2, 3)
    ]


def test_promised_task():
    """
    A task is a value with the promised fields, defaults and arithmetic (PE-45).
    """
    task = TaskProgress(task_id="task-1", description="Loading data", total=200, completed=100)
    fresh = TaskProgress(task_id="task-1", description="Test")

    assert (task.percent, fresh.total, fresh.completed, fresh.status) == (50.0, 100, 0, "pending")
    assert (fresh.start_time, fresh.end_time, fresh.subtasks, fresh.elapsed_seconds) == (None, None, [], 0.0)
    assert TaskProgress(task_id="a", description="b", total=0).percent == 100.0
    assert (fresh.eta_seconds, TaskProgress("a", "b", start_time=datetime.now(UTC)).eta_seconds) == (None, None)
    assert TaskProgress("a", "b", total=0, completed=5).eta_seconds is None


def test_promised_dictionary():
    """
    A task as a dictionary has nine keys, and its subtasks among them (PE-45).
    """
    part = TaskProgress(task_id="sub-1", description="Subtask")
    task = TaskProgress(task_id="task-1", description="Main task", completed=25, status="running", subtasks=[part])

    assert task.to_dict() == {
        "task_id": "task-1",
        "description": "Main task",
        "total": 100,
        "completed": 25,
        "percent": 25.0,
        "status": "running",
        "elapsed_seconds": 0.0,
        "eta_seconds": None,
        "subtasks": [part.to_dict()],
    }


def test_promised_updates(tracker):
    """
    The first update begins a task; `completed` counts more than `advance`; a description can change (PE-42).
    """
    task_id = tracker.add_task("Initial description", total=10)
    before = tracker.get_task(task_id).status, tracker.get_task(task_id).start_time

    tracker.update(task_id, advance=3)
    tracker.update(task_id, advance=5, completed=7, description="Updated description")

    task = tracker.get_task(task_id)
    assert before == ("pending", None)
    assert (task.completed, task.description, task.status) == (7, "Updated description", "running")
    assert task.start_time is not None


def test_promised_subtasks(tracker):
    """
    A subtask is completed at the end of its block, or fails with an exception, which is raised again (PE-44).
    """
    parent = tracker.add_task("Parent task", total=100)

    with tracker.subtask(parent, "Subtask 1", total=50) as part:
        tracker.update(part, advance=50)
    with pytest.raises(ValueError, match="Test error"), tracker.subtask(parent, "Failing subtask"):
        raise ValueError("Test error")

    parts = tracker.get_task(parent).subtasks
    assert [(task.description, task.status) for task in parts] == [
        ("Subtask 1", "completed"),
        ("Failing subtask", "failed"),
    ]
    assert [task.task_id for task in tracker.get_all_tasks()] == ["task_1", "task_2", "task_3"]


def test_promised_iteration(capsys):
    """
    `track_progress` yields what it is given, with a total or without (PE-49).
    """
    assert list(track_progress([1, 2, 3], description="Processing")) == [1, 2, 3]
    assert list(track_progress((number for number in (1, 2, 3)), total=3)) == [1, 2, 3]
    assert capsys.readouterr().out.splitlines()[0] == "[INFO] Processing... (3/3) [00:00 elapsed, ETA 00:00]"


def test_promised_display(tracker):
    """
    All tasks as text: title, rule, sign, bar of twenty, per cent, rest; what is part of a task below it (PE-48).
    """
    half, whole = tracker.add_task("Half", total=100), tracker.add_task("Whole", total=3)
    failed, unknown = tracker.add_task("Failed", total=10), tracker.add_task("Unknown", total=None)
    tracker.add_task("Waiting")
    tracker.update(half, completed=50)
    with tracker.subtask(half, "Part", total=2):
        pass
    tracker.complete(whole)
    tracker.update(failed, 3)
    tracker.fail(failed, "no")
    tracker.update(unknown, 1234)

    assert re.sub(r"ETA: 00:0\d", "ETA: 00:00", tracker.to_display()).splitlines() == [
        "Work",
        "=" * 50,
        "",
        "→ Half ━━━━━━━━━━────────── 50% ETA: 00:00",
        "  └─ ✓ Part ━━━━━━━━━━━━━━━━━━━━ 100% ETA: 00:00",
        "✓ Whole ━━━━━━━━━━━━━━━━━━━━ 100% ETA: 00:00",
        "✗ Failed ━━━━━━────────────── 30% ETA: --:--",
        "→ Unknown ──────────────────── 1,234 ETA: --:--",
        "○ Waiting ──────────────────── 0% ETA: --:--",
    ]


# ── what was wrong there ──────────────────────────────────────────────────────────────────────────


def test_a_failed_task_keeps_its_count(tracker):
    """
    A task that fails at 3 of 10 is at 3 of 10, and nobody knows how long the rest would take (PE-43).
    """
    task_id = tracker.add_task("Test", total=10)
    tracker.update(task_id, advance=3)
    tracker.fail(task_id, message="Something went wrong")

    task = tracker.get_task(task_id)
    assert (task.status, task.completed, task.percent, task.eta_seconds) == ("failed", 3, 30.0, None)
    assert (task.message, task.end_time is not None) == ("Something went wrong", True)


def test_complete_as_failed(tracker):
    """
    Completing with the status of a failure is a failure (PE-43).
    """
    task_id = tracker.add_task("Test", total=10)
    tracker.update(task_id, advance=3)
    tracker.complete(task_id, status="failed")

    assert (tracker.get_task(task_id).completed, tracker.get_task(task_id).status) == (3, TaskStatus.FAILED)


def test_more_than_the_total(tracker):
    """
    A count above the total is kept, and is 100 %, with nothing left and no negative rest (PE-42).
    """
    task_id = tracker.add_task("Test", total=10)
    tracker.update(task_id, advance=20)

    task = tracker.get_task(task_id)
    assert (task.completed, task.percent, task.eta_seconds) == (20, 100.0, 0.0)


@pytest.mark.parametrize("total", [None, -5, float("nan"), "ten"])
def test_unknown_totals(tracker, total):
    """
    Where nobody knows how much there is, there is a count and no per cent; completed, it was what was counted.
    """
    task_id = tracker.add_task("Test", total=total)
    tracker.update(task_id, advance=7)
    task = tracker.get_task(task_id)
    before = task.percent, task.eta_seconds, task.total

    tracker.complete(task_id)

    assert (before, (task.completed, task.total, task.percent)) == ((None, None, None), (7, 7, 100.0))


@pytest.mark.parametrize(
    ("advance", "completed"), [(-3, 2), (-50, 0), (float("nan"), 5), ("x", 5), (True, 6), (0.5, 5.5)]
)
def test_odd_updates(tracker, advance, completed):
    """
    A count goes back but never below nothing; what is no number changes nothing, and raises nothing.
    """
    task_id = tracker.add_task("Test", total=10)
    tracker.update(task_id, 5)
    tracker.update(task_id, advance)

    assert tracker.get_task(task_id).completed == completed


def test_unknown_tasks(tracker):
    """
    An id that nobody has is let be (PE-42).
    """
    tracker.update("nobody", 1)
    tracker.complete("nobody")
    tracker.fail("nobody", "why")
    with tracker.subtask("nobody", "Part"):
        pass

    assert (tracker.get_task("nobody"), len(tracker.get_all_tasks())) == (None, 1)


def test_a_task_ends_once(tracker):
    """
    What has ended is not counted on, and does not end in another way.
    """
    task_id = tracker.add_task("Test", total=10)
    tracker.update(task_id, 4)
    tracker.fail(task_id, "first")
    tracker.update(task_id, 3)
    tracker.complete(task_id)
    tracker.fail(task_id, "second")

    task = tracker.get_task(task_id)
    assert (task.completed, task.status, task.message) == (4, "failed", "first")


def test_two_tasks_of_one_id(tracker):
    """
    An id that is taken is refused by name, and ids that are made never meet one that was given.
    """
    tracker.add_task("Given", task_id="task_1")

    assert tracker.add_task("Made") == "task_2"
    with pytest.raises(ValueError, match="'task_1' already"):
        tracker.add_task("Again", task_id="task_1")


def test_the_end_of_the_block():
    """
    At the end of the block, what is done is complete, what is not stays as it is; with an exception it has failed.
    """
    good: Any = ProgressTracker(quiet=True)
    with good:
        whole, half = good.add_task("Whole", total=2), good.add_task("Half", total=2)
        waiting = good.add_task("Waiting")
        good.update(whole, 2)
        good.update(half, 1)
    bad: Any = ProgressTracker(quiet=True)
    cut = bad.add_task("Cut", total=2)
    bad.update(cut, 1)
    with pytest.raises(ValueError, match="boom"), bad:
        raise ValueError("boom")

    statuses = [good.get_task(task_id).status for task_id in (whole, half, waiting)]
    assert (statuses, bad.get_task(cut).status) == (["completed", "running", "pending"], "failed")


def test_quiet_on_any_stream(capfd):
    """
    A quiet tracker writes nothing, failures included (PE-47).
    """
    stream = io.StringIO()
    for options in ({}, {"stream": stream}, {"use_rich": False}):
        with ProgressTracker(quiet=True, **options) as tracker:
            task_id = tracker.add_task("Test", total=2)
            tracker.update(task_id)
            tracker.fail(task_id, "loud")

    assert (stream.getvalue(), capfd.readouterr()) == ("", ("", ""))


def test_lines_only_for_a_change_in_per_cent(capsys):
    """
    A thousand updates of a million are a line for each per cent; of an unknown total, one each time it has doubled.
    """
    tracker = ProgressTracker()
    known, unknown = tracker.add_task("Known", total=100_000), tracker.add_task("Unknown", total=None)
    for _ in range(1000):
        tracker.update(known, 100)
        tracker.update(unknown, 1)

    lines = capsys.readouterr().out.splitlines()
    assert [sum(name in line for line in lines) for name in ("Known", "Unknown")] == [101, 10]


def test_a_failure_is_said(capsys):
    """
    A task that fails says why, and how far it was.
    """
    tracker = ProgressTracker()
    task_id = tracker.add_task("Loading", total=10)
    tracker.update(task_id, 3)
    tracker.fail(task_id, "Something went wrong")

    assert capsys.readouterr().out.splitlines()[1:] == ["[ERROR] Something went wrong (Loading, 3/10)"]


def test_many_threads(tracker):
    """
    Counts from many threads add up exactly.
    """
    task_id = tracker.add_task("Shared", total=8_000)
    threads = [
        threading.Thread(target=lambda: [tracker.update(task_id) for _ in range(1_000)], daemon=True) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert tracker.get_task(task_id).completed == 8_000


def test_the_clock_is_set_back(tracker, monkeypatch):
    """
    How long a task took is told by a clock that nobody sets.
    """
    task_id = tracker.add_task("Test", total=2)
    tracker.update(task_id)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    tracker.update(task_id)
    tracker.complete(task_id)

    assert 0 < tracker.get_task(task_id).elapsed_seconds < 60


def test_a_tracker_that_is_forgotten(directory):
    """
    Tasks of a tracker that nobody has any more are over, as far as they came.
    """
    bl.configure("x", directory=directory, console=False)
    tracker = ProgressTracker()
    tracker.update(tracker.add_task("forgotten", total=5), 2)
    del tracker
    gc.collect()
    list(bl.track([1], "after"))
    bl.shutdown()

    tasks = open_runs(directory).last.tasks
    assert [(task.description, task.done, task.outcome) for task in tasks] == [
        ("forgotten", 2, "closed"),
        ("after", 1, "success"),
    ]


def test_tasks_in_the_journal(directory):
    """
    Tasks are recorded as loops are: on their step, with their parents, as they ended.
    """
    bl.configure("x", directory=directory, console=False)
    with bl.step("prepare"), ProgressTracker(quiet=True) as tracker:
        load = tracker.add_task("load", total=10)
        tracker.update(load, 4)
        with tracker.subtask(load, "read", total=3) as part:
            tracker.update(part, 3)
        tracker.fail(load, "no more")
        tracker.update(tracker.add_task("left", total=5), 2)
        tracker.add_task("never begun")
    bl.shutdown()

    tasks = open_runs(directory).last.tasks
    assert [
        (task.description, task.done, task.total, task.outcome, task.message, task.step_name) for task in tasks
    ] == [
        ("load", 4, 10, "failed", "no more", "prepare"),
        ("read", 3, 3, "success", "", "prepare"),
        ("left", 2, 5, "closed", "", "prepare"),
    ]
    assert [task.parent_id for task in tasks] == [None, tasks[0].id, None]
