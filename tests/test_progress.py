"""Tracked loops: they change nothing about a loop, and everybody can see how far it is."""

from __future__ import annotations

import asyncio
import gc
import io
import itertools
import json
import subprocess
import sys
import textwrap
import time
import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import branchline as bl
from branchline._journal.progress_metrics import ProgressMetrics
from branchline.budget import BudgetConfig
from branchline.context import CURRENT
from branchline.progress import Track, track_progress
from branchline.progress.pace import Pace
from branchline.progress_values import Progress, progress_attributes
from branchline.read import Task, open_runs
from branchline.testing import capture


@pytest.fixture
def directory(tmp_path):
    yield tmp_path / "journal"
    bl.shutdown()


def begin(directory, **options):
    return bl.configure("x", directory=directory, **{"console": False, **options})


def done(run):
    """Each piece of work of a run in short: what, how much of how much, and how it ended."""
    return [(task.description, task.done, task.total, task.outcome) for task in run.tasks]


# ── the loop is the loop ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("items", [[], [1, 2, 3], range(5), "text", {"a": 1}, (n for n in range(4)), iter([1, 2])])
def test_items_come_through(capsys, items):
    """
    Every item comes once, in order, with or without a run (PE-49).
    """
    expected = list(items) if not hasattr(items, "__next__") else [0, 1, 2, 3] if "gen" in repr(items) else [1, 2]

    assert list(bl.track(items, "x")) == expected


def test_nothing_is_read_ahead():
    """
    A generator is asked for one item after another, as they are wanted, and never made a list (PE-49).
    """
    asked = []

    def endless():
        for number in itertools.count():
            asked.append(number)
            yield number

    first = list(itertools.islice(bl.track(endless(), "x"), 3))

    assert (first, asked) == ([0, 1, 2], [0, 1, 2])


def test_nothing_is_kept_alive():
    """
    What the loop lets go of is gone before the next item is made.
    """

    class Item:
        pass

    alive = []

    def items():
        for _ in range(3):
            gc.collect()
            alive.append(sum(reference() is not None for reference in references))
            item = Item()
            references.append(weakref.ref(item))
            yield item
            del item

    references: list[weakref.ref[Item]] = []
    for item in bl.track(items(), "x"):
        del item

    assert alive == [0, 0, 0]


def test_what_cannot_be_iterated():
    """
    What is no iterable, a total that is no number and a patience that is none are refused at once, with the value.
    """
    track: Any = bl.track
    for wrong, options, words in (
        (5, {}, "not 5"),
        ([], {"total": "ten"}, "not 'ten'"),
        ([], {"total": -1}, "not -1"),
        ([], {"total": float("nan")}, "not nan"),
        ([], {"stall_after": 0}, "not 0"),
    ):
        with pytest.raises(bl.ConfigError, match=words):
            track(wrong, "x", **options)


def test_an_exception_passes_untouched():
    """
    What the iterable raises is raised by the loop, the very same object, and so is what its body raises.
    """
    own, other = ValueError("mine"), KeyError("theirs")

    def items():
        yield 1
        raise own

    def body():
        for _ in bl.track([1], "x"):
            raise other

    with pytest.raises(ValueError, match="mine") as of_items:
        list(bl.track(items(), "x"))
    with pytest.raises(KeyError) as of_body:
        body()

    assert (of_items.value, of_body.value) == (own, other)


# ── what is recorded ──────────────────────────────────────────────────────────────────────────────


def test_a_loop_in_a_step(directory):
    """
    A tracked loop is recorded with its counts, on the step and the branch that it ran in.
    """
    begin(directory)
    with bl.branch({"model": "small"}), bl.step("embed"):
        for _ in bl.track(range(250), "documents"):
            pass
    bl.shutdown()

    assert open_runs(directory).last.tasks == (
        Task(
            description="documents",
            done=250,
            total=250,
            outcome="success",
            step_name="embed",
            branch_name="model=small",
            branch_id=open_runs(directory).last.branches[0].branch_id,
        ),
    )


def test_how_loops_end(directory):
    """
    A loop that is left, fails or is interrupted keeps its count; one of nothing is done; who does not know, does not.
    """

    def failing():
        yield from range(3)
        msg = "no more"
        raise OSError(msg)

    def interrupted():
        yield 1
        raise KeyboardInterrupt

    begin(directory)
    for number in bl.track(range(10), "left"):
        if number == 4:
            break
    with pytest.raises(OSError, match="no more"):
        list(bl.track(failing(), "failed", total=10))
    with pytest.raises(KeyboardInterrupt):
        list(bl.track(interrupted(), "interrupted"))
    list(bl.track([], "nothing"))
    list(bl.track((number for number in range(7)), "unknown"))
    list(bl.track(range(30), "more than said", total=20))
    list(bl.track(range(10), "less than said", total=20))
    bl.shutdown()

    run = open_runs(directory).last
    assert done(run) == [
        ("left", 4, 10, "closed"),
        ("failed", 3, 10, "failed"),
        ("interrupted", 1, None, "interrupted"),
        ("nothing", 0, 0, "success"),
        ("unknown", 7, None, "success"),
        ("more than said", 30, 20, "success"),
        ("less than said", 10, 20, "success"),
    ]
    assert [task.percent for task in run.tasks] == [40, 30, None, 100, None, 100, 50]
    assert [task.message for task in run.tasks if task.message] == ["no more"]


def test_loops_in_loops(directory):
    """
    A loop in a loop is part of it, whatever steps are between; one that comes after it is not.
    """
    begin(directory)
    for _ in bl.track(range(2), "outer"):
        with bl.step("between"):
            list(bl.track(range(3), "inner"))
    list(bl.track(range(1), "after"))
    bl.shutdown()

    tasks = open_runs(directory).last.tasks
    names = {task.id: task.description for task in tasks}
    assert Counter((task.description, names.get(task.parent_id or "")) for task in tasks) == {
        ("outer", None): 1,
        ("inner", "outer"): 2,
        ("after", None): 1,
    }


def test_async_loops(directory):
    """
    An async iterable is tracked by ``async for``, and tasks that run side by side do not mix.
    """

    async def items(count):
        for number in range(count):
            await asyncio.sleep(0)
            yield number

    async def work(name, count):
        return [number async for number in bl.track(items(count), name, total=count)]

    async def main():
        return await asyncio.gather(work("a", 3), work("b", 5))

    begin(directory)
    found = asyncio.run(main())
    bl.shutdown()

    assert found == [[0, 1, 2], [0, 1, 2, 3, 4]]
    assert sorted(done(open_runs(directory).last)) == [("a", 3, 3, "success"), ("b", 5, 5, "success")]


def test_threads(directory):
    """
    Loops in threads are counted each for itself, and are part of what started the threads.
    """

    def work(_):
        return sum(1 for _ in bl.track(range(1000), "in a thread"))

    begin(directory)
    with bl.step("pool"), ThreadPoolExecutor(8) as pool:
        counts = list(bl.track(pool.map(work, range(16)), "jobs", total=16))
    bl.shutdown()

    assert counts == [1000] * 16
    assert Counter(done(open_runs(directory).last)) == {
        ("in a thread", 1000, 1000, "success"): 16,
        ("jobs", 16, 16, "success"): 1,
    }


def test_a_loop_that_is_forgotten(directory):
    """
    A tracked loop inside a generator that nobody finishes ends when the generator is collected.
    """

    def pages():
        yield from bl.track(range(10), "pages")

    begin(directory)
    half = pages()
    next(half), next(half)
    del half
    gc.collect()
    bl.shutdown()

    assert done(open_runs(directory).last) == [("pages", 1, 10, "closed")]


def test_a_loop_that_outlives_its_run(directory):
    """
    What still goes on at the end of a run is recorded as far as it was, and later in no other run.
    """
    begin(directory)
    loose = iter(bl.track(range(10), "loose"))
    next(loose)
    with bl.step("outer"):
        pages = iter(bl.track(range(10), "pages"))
        next(pages), next(pages), next(pages)
    bl.shutdown()
    first = open_runs(directory).last
    begin(directory)
    list(pages), list(loose)
    bl.stamp("something")
    bl.shutdown()

    second = open_runs(directory).last
    assert done(first) == [("loose", 0, 10, "interrupted"), ("pages", 2, 10, "interrupted")]
    assert (second.id != first.id, done(second), dict(second.dropped)) == (True, [], {})


def test_a_capture_has_its_own(directory):
    """
    A capture shows what was worked on in it, and the run beside it does not.
    """
    begin(directory)
    with capture() as captured:
        list(bl.track(range(3), "in the capture"))
    list(bl.track(range(2), "in the run"))
    bl.shutdown()

    assert (done(captured.run), done(open_runs(directory).last)) == (
        [("in the capture", 3, 3, "success")],
        [("in the run", 2, 2, "success")],
    )


def test_ten_thousand_loops(directory):
    """
    However many loops there are, each is recorded once, and none is left behind.
    """
    begin(directory)
    for number in range(10_000):
        for _ in bl.track((number,), "one of many"):
            pass
    bl.shutdown()

    run = open_runs(directory).last
    assert Counter(done(run)) == {("one of many", 1, 1, "success"): 10_000}
    assert dict(run.dropped) == {}


PROGRAM = """
    import os, sys, time
    import branchline as bl

    bl.configure("x", directory=sys.argv[1], console=False)
    with bl.step("work"):
        {body}
    bl.shutdown()
"""


def run_program(directory, body):
    program = textwrap.dedent(PROGRAM).format(body=textwrap.indent(textwrap.dedent(body), "    ").lstrip())
    return subprocess.run(
        [sys.executable, "-c", program, str(directory)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_kill_in_the_middle(directory):
    """
    After a kill, what went on is there as it was last heard of, as interrupted.
    """
    body = """
        from pathlib import Path

        def is_written():
            return any(b'"intValue":"120"' in path.read_bytes() for path in Path(sys.argv[1]).rglob("logs*"))

        for number in bl.track(range(1000), "long"):
            if number == 120:
                while not is_written():
                    time.sleep(0.01)
                os.kill(os.getpid(), 9)
    """
    ran = run_program(directory, body)

    [task] = open_runs(directory).last.tasks
    assert (ran.returncode, task.description, task.done, task.total, task.outcome) == (
        -9,
        "long",
        120,
        1000,
        "interrupted",
    )


def test_a_fork_in_the_middle(directory):
    """
    A child that is forked inside a loop says nothing of its parent's, and its own loops are its own.
    """
    body = """
        children = []
        for number in bl.track(range(3), "parent"):
            child = os.fork()
            if not child:
                for _ in bl.track(range(number + 1), "child"):
                    pass
                bl.flush()
                os._exit(0)
            children.append(child)
        [os.waitpid(child, 0) for child in children]
    """
    ran = run_program(directory, body)

    run = open_runs(directory).last
    assert (ran.returncode, ran.stderr) == (0, "")
    assert sorted(done(run)) == [
        ("child", 1, 1, "success"),
        ("child", 2, 2, "success"),
        ("child", 3, 3, "success"),
        ("parent", 3, 3, "success"),
    ]
    assert len({task.process for task in run.tasks}) == 4


def test_a_child_process_shows_nothing(directory):
    """
    The terminal is the parent's: a child that joins a run by its environment leaves it alone.
    """
    child = "import branchline as bl; bl.configure(); list(bl.track(range(3), 'in the child')); bl.shutdown()"
    body = f"""
        import subprocess
        ran = subprocess.run([sys.executable, "-c", {child!r}], capture_output=True, text=True)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", ""), ran
    """
    ran = run_program(directory, body)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert done(open_runs(directory).last) == [("in the child", 3, 3, "success")]


# ── metrics ───────────────────────────────────────────────────────────────────────────────────────


def test_metrics(directory):
    """
    What was done is counted by what it is called, in each branch, once however often it was told.
    """
    begin(directory)
    for model in ("small", "large"):
        with bl.branch({"model": model}):
            list(bl.track(range(10), "documents"))
            list(bl.track(range(5), "documents"))
    pages = iter(bl.track(range(10), "pages"))
    next(pages), next(pages)
    bl.shutdown()

    assert metric_series(directory, "branchline.progress.items") == {
        ("documents", "model=small"): 15,
        ("documents", "model=large"): 15,
        ("pages", None): 1,
    }
    assert metric_series(directory, "branchline.progress.ratio") == {("pages", None): 0.1}


def test_metrics_of_work_that_is_told_of_often():
    """
    However often work is told of, an item is counted once; what goes on side by side is as far as all of it together.
    """
    metrics = ProgressMetrics(most_series=2)
    for done, total, eta, outcome in ((5, 10, 9.0, None), (8, 10, 4.0, None), (10, 10, None, "success")):
        metrics.add(Progress("1", "load", done, total, eta_seconds=eta, outcome=outcome), "e", None)
        metrics.add(Progress("2", "load", done + 1, 20, eta_seconds=3.0, stalls=1), "e", None)
    metrics.add(Progress("1", "load", 9, 10), "e", None)
    for name in ("read", "write", "send"):
        metrics.add(Progress(name, name, 3), None, None)

    load = {"branchline.progress.description": "load", "branchline.experiment.name": "e"}
    found = {metric.name.rpartition(".")[2]: dict(enumerate(metric.series)) for metric in metrics.metrics()}
    assert [tuple(series) for series in found["items"].values()] == [
        (load, 21),
        ({"branchline.progress.description": "read"}, 3),
        ({"otel.metric.overflow": True}, 6),
    ]
    assert [[tuple(series) for series in found[name].values()] for name in ("ratio", "eta", "stalls")] == [
        [(load, 0.55)],
        [(load, 3.0)],
        [(load, 1)],
    ]


def metric_series(directory, name):
    """Return what a metric came to at last, by description and branch."""
    found = {}
    for path in sorted(directory.rglob("metrics*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            for scope in json.loads(line)["resourceMetrics"][0]["scopeMetrics"]:
                for metric in scope["metrics"]:
                    if metric["name"] == name:
                        found = {_place(point): _value(point) for point in _points(metric)}
    return found


def _points(metric):
    return (metric.get("sum") or metric["gauge"])["dataPoints"]


def _place(point):
    known = {each["key"]: each["value"]["stringValue"] for each in point["attributes"]}
    return known["branchline.progress.description"], known.get("branchline.branch.name")


def _value(point):
    return float(point["asInt"]) if "asInt" in point else point["asDouble"]


# ── budgets ───────────────────────────────────────────────────────────────────────────────────────


def test_a_budget_that_will_not_do(directory):
    """
    A loop whose items will cost more than there is says so long before the money is gone.
    """
    begin(directory, verbosity="NONE", budget=BudgetConfig(run="5.00"))
    for number in bl.track(range(200), "answers"):
        bl.record_usage("m", cost="0.05")
        if number == 20:
            break
    bl.shutdown()

    [line] = [line for line in open_runs(directory).last.logs if line.event_name == "branchline.budget.warning"]
    assert line.message.startswith("at item 4 of 200 of answers this run ends at $")


def test_a_loop_that_was_left(directory):
    """
    What a loop cost that was left early is no part of the forecast for the next one of its name.
    """
    begin(directory, verbosity="NONE", budget=BudgetConfig(run="5.00"))
    for number in bl.track(range(200), "answers"):
        bl.record_usage("m", cost="1.00")
        if number == 1:
            break
    for _ in bl.track(range(200), "answers"):
        bl.record_usage("m", cost="0.001")
    bl.shutdown()

    assert [line.message for line in open_runs(directory).last.logs if line.event_name] == []


def test_a_look_that_comes_late(directory):
    """
    What somebody saw before the end of a loop, and tells of after it, changes nothing.
    """
    begin(directory)
    pages = iter(bl.track(range(3), "pages"))
    next(pages), next(pages)
    board: Any = CURRENT.board
    [work] = board._works
    late = work.progress(work.began + 1)
    list(pages)
    work.event("branchline.progress", progress_attributes(late))
    bl.shutdown()

    assert done(open_runs(directory).last) == [("pages", 3, 3, "success")]
    assert metric_series(directory, "branchline.progress.items") == {("pages", None): 3}


# ── what is shown where no run shows it ───────────────────────────────────────────────────────────


def lines_of(text):
    """Return the counts that lines of progress tell."""
    return [line.partition("(")[2].partition(")")[0] for line in text.splitlines()]


def test_lines(capsys):
    """
    Without a terminal there is a line for each change in per cent, at most, and one for the end.
    """
    for _ in bl.track(range(1000), "load"):
        pass
    text = capsys.readouterr().err

    assert text.splitlines()[-1] == "[INFO] load... (1000/1000) [00:00 elapsed, ETA 00:00]"
    assert len(lines_of(text)) == len(set(lines_of(text))) <= 101


def test_lines_of_a_slow_loop(capsys):
    """
    While it goes on, a line says how far it is.
    """
    told = io.StringIO()
    for number in Track(range(3), "load", shown=_shown(told)):
        while number == 1 and not told.getvalue():
            time.sleep(0.01)

    assert lines_of(told.getvalue()) == ["1/3", "3/3"]


def _shown(stream):
    from branchline.progress.work import Shown

    return Shown(other=stream)


@pytest.mark.parametrize(
    "options",
    [{"verbosity": "QUIET", "console": "auto"}, {"verbosity": "NONE", "console": "auto"}, {"console": False}],
)
def test_quiet_is_quiet(directory, capfd, options):
    """
    A run that is told to be quiet shows no progress either, of loops and trackers alike (PE-47).
    """
    begin(directory, **options)
    list(bl.track(range(10), "load"))
    list(track_progress(range(10), "load"))
    with bl.progress.ProgressTracker() as tracker:
        tracker.update(tracker.add_task("load"), 50)
    bl.shutdown()

    assert capfd.readouterr() == ("", "")


def test_many_short_loops_say_little(capsys):
    """
    Of a thousand loops that are over at once, not each has a line.
    """
    for _ in range(1000):
        list(bl.track(range(3), "again"))

    assert 1 <= len(capsys.readouterr().err.splitlines()) < 100


def test_a_broken_stream_costs_nothing(monkeypatch):
    """
    Whatever stderr is, the loop goes on.
    """

    class Broken(io.StringIO):
        def write(self, text):
            raise OSError

        def isatty(self):
            raise RuntimeError

    for stream in (Broken(), None, io.StringIO()):
        if stream is not None and not isinstance(stream, Broken):
            stream.close()
        monkeypatch.setattr(sys, "stderr", stream)
        assert list(bl.track(range(5), "load")) == [0, 1, 2, 3, 4]


# ── pace ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_steady_pace():
    """
    At a steady pace the rest takes as long as it should; it grows shorter while an item is under way.
    """
    pace = Pace(100.0)
    for second in range(1, 11):
        pace.look(100.0 + second, second * 2)

    assert (pace.rate, pace.eta_seconds(110.0, 100)) == (2.0, 40.0)
    assert [pace.eta_seconds(110.0 + later, 100) for later in (0.25, 0.5, 60)] == [39.75, 39.5, 39.5]


def test_a_pace_that_changes():
    """
    What was long ago counts less: after a minute at another pace, it is that pace.
    """
    pace = Pace(0.0)
    for second in range(1, 101):
        pace.look(float(second), second * 10)
    for second in range(101, 401):
        pace.look(float(second), 1000 + (second - 100))

    assert pace.rate == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize(
    ("done", "total", "eta"), [(0, 10, None), (5, None, None), (10, 10, 0.0), (12, 10, 0.0), (5, 0, 0.0)]
)
def test_a_rest_that_nobody_knows(done, total, eta):
    """
    Before the first item, and without a total, there is no estimate; beyond the total it is nothing, never negative.
    """
    pace = Pace(0.0)
    pace.look(1.0, done)

    assert pace.eta_seconds(1.0, total) == eta


def test_a_count_that_is_set_back():
    """
    A count that goes back makes no negative pace, and no negative rest.
    """
    pace = Pace(0.0)
    pace.look(1.0, 10)
    pace.look(2.0, 3)
    pace.look(3.0, 5)

    assert pace.rate == pytest.approx(6.0, rel=0.05)
    assert pace.eta_seconds(3.0, 5) == 0.0


def test_what_is_usual():
    """
    Items that come in batches are as slow as the batches: the wait between two of these is no stall.
    """
    even, batches = Pace(0.0), Pace(0.0)
    for number in range(1, 21):
        even.look(number * 0.1, number * 100)
        batches.look(number * 2.0, number * 50)
        batches.look(number * 2.0 + 0.1, number * 50 + 10)

    assert even.usual_seconds() == pytest.approx(0.1)
    assert batches.usual_seconds() == pytest.approx(1.9)
