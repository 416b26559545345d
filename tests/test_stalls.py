"""Stalls: a loop of which no item ends for far longer than usual says so, once, and what everybody was doing."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from typing import Any

import pytest

import branchline as bl
from branchline._journal import layout
from branchline.context import CURRENT
from branchline.progress import stalls
from branchline.progress.pace import Pace
from branchline.progress.stalls import stacks_of_all
from branchline.progress.work import Shown, Work
from branchline.read import open_runs
from surplus import Surplus


STALL = "branchline.stall"
# Of items of 50 ms: a second, for which no machine is so busy that it would look like a stall.
USUALLY = 20


@pytest.fixture(autouse=True)
def surplus(monkeypatch):
    """What this test starts; work that another one has left undone is on another board."""
    monkeypatch.setattr(CURRENT, "board", None)
    return Surplus()


@pytest.fixture
def directory(tmp_path):
    yield tmp_path / "journal"
    bl.shutdown()


def until(is_so):
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stacks_in(text):
    """The stacks in a text, by the names of their threads."""
    _, *parts = re.split(r"^Thread (\S+) ", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def watching(surplus):
    return len(surplus.threads("branchline-progress"))


def lines_of(directory):
    return [line for line in open_runs(directory).last.logs if line.event_name == STALL]


def until_told(directory, count=1):
    """Stall until the journal says so for the *count*th time: what is counted is told a moment later."""
    until(lambda: bl.flush() and len(lines_of(directory)) == count)


def test_a_stall(directory):
    """
    The step gets a stamp, and a warning has what every thread was doing, the loop's own first; once for each stall.
    """
    bl.configure("x", directory=directory, console=False)
    is_over = threading.Event()

    def wait_for_something():
        is_over.wait()

    thread = threading.Thread(target=wait_for_something, name="somebody")
    thread.start()
    with bl.step("embed"):
        for number in bl.track(range(12), "documents", stall_after=USUALLY):
            time.sleep(0.05)
            if number in (5, 9):
                until_told(directory, (5, 9).index(number) + 1)
    is_over.set()
    thread.join()
    bl.shutdown()

    run = open_runs(directory).last
    [step], [task], [first, second] = run.steps, run.tasks, lines_of(directory)
    assert [(stamp.name, stamp.attributes["work"], stamp.attributes["done"]) for stamp in step.stamps] == [
        (STALL, "documents", 5),
        (STALL, "documents", 9),
    ]
    assert (task.stalls, task.done, task.outcome) == (2, 12, "success")
    assert (first.level, first.step_name, second.level) == ("WARN", "embed", "WARN")
    assert first.message.startswith("documents: no item has ended for ")
    stacks = stacks_in(str(first.attributes["code.stacktrace"]))
    # Threads of other tests may be among them.
    assert (next(iter(stacks)), "somebody" in stacks) == ("MainThread", True)
    assert ("test_a_stall" in stacks["MainThread"], "wait_for_something" in stacks["somebody"]) == (True, True)


@pytest.mark.parametrize("is_in_body", [True, False])
def test_a_stall_of_an_async_loop(directory, is_in_body):
    """
    Of an async loop the stack is that of its task, down to what it waits for, in the loop's body or in its source.
    """

    async def slow_answer():
        # In one await: of a task that runs just now, nobody can say what it waits for.
        await asyncio.to_thread(until_told, directory)

    async def pages():
        for number in range(6):
            await asyncio.sleep(0.05)
            if number == 5 and not is_in_body:
                await slow_answer()
            yield number

    async def crawl():
        async for number in bl.track(pages(), "pages", total=6, stall_after=USUALLY):
            if number == 4 and is_in_body:
                await slow_answer()

    bl.configure("x", directory=directory, console=False)
    asyncio.run(crawl())
    bl.shutdown()

    [line] = lines_of(directory)
    stack = str(line.attributes["code.stacktrace"]).partition("Thread ")[0]
    inside = re.findall(r", in (\w+)", stack)
    assert (stack.startswith("Task Task-"), inside[0], "slow_answer" in inside, "pages" in inside) == (
        True,
        "crawl",
        True,
        not is_in_body,
    )


def test_no_stall_without_being_asked(directory, surplus):
    """
    Whoever does not ask for it is not watched: there is no thread for it.
    """
    bl.configure("x", directory=directory, console=False)
    without = [watching(surplus) for _ in bl.track(range(3), "documents")]
    with_ = [watching(surplus) for _ in bl.track(range(3), "documents", stall_after=10)]

    assert (without, with_) == ([0] * 3, [1] * 3)


def test_the_thread_ends(surplus):
    """
    The thread that watches is gone when there is nothing to watch, and there is one for any number of loops.
    """
    loops: list[Any] = [
        iter(bl.progress.Track(range(3), "x", stall_after=5, shown=Shown(is_quiet=True))) for _ in range(20)
    ]
    for loop in loops:
        next(loop)
    during = watching(surplus)
    for loop in loops:
        loop.close()
    until(lambda: watching(surplus) == 0)

    assert during == 1


def test_no_secret_leaves(directory):
    """
    Stacks show source code, and what looks like a secret in it does not reach the journal.
    """
    bl.configure("x", directory=directory, console=False)
    for number in bl.track(range(5), "documents", stall_after=USUALLY):
        if number == 4:
            _ = until_told(directory), "api_key=sk-proj-Zq8vT2nW5xY7bC1dF3gH6jK9mN0pQ4rS"
        time.sleep(0.05)
    bl.shutdown()

    [line] = lines_of(directory)
    text = "".join(path.read_text(encoding="utf-8") for path in layout.runs_directory(directory).rglob("*.jsonl"))
    assert "test_no_secret_leaves" in str(line.attributes["code.stacktrace"])
    assert "sk-proj-Zq8vT2nW5xY7bC1dF3gH6jK9mN0pQ4rS" not in text


def made(looks, *, now, factor=10.0):
    """A piece of work of which somebody has looked at these moments, with that much done."""
    work = Work("x", None, stall_after=factor)
    work.pace = Pace(0.0)
    for at, done in looks:
        work.pace.look(at, done)
        work.done = done
    return work, stalls.has_begun(work, now)


@pytest.mark.parametrize(
    ("looks", "now", "is_stall"),
    [
        ([(number * 1.0, number) for number in range(1, 6)], 14.9, False),
        ([(number * 1.0, number) for number in range(1, 6)], 15.1, True),
        # Fast items: a breath is no stall, whatever their time is.
        ([(number * 0.1, number * 1000) for number in range(1, 6)], 0.9, False),
        ([(number * 0.1, number * 1000) for number in range(1, 6)], 1.6, True),
        # With two items done, nobody knows what is usual.
        ([(1.0, 1), (2.0, 2)], 500.0, False),
        ([], 500.0, False),
    ],
)
def test_what_a_stall_is(looks, now, is_stall):
    """
    A stall is more than so many times what is usual, and never what a person would not notice.
    """
    _, found = made(looks, now=now)

    assert found is is_stall


def test_a_stall_is_not_usual():
    """
    After a stall, what is usual is what it was before, and the next one is noticed as well.
    """
    work, first = made([(number * 1.0, number) for number in range(1, 6)], now=30.0)
    again = stalls.has_begun(work, 40.0)
    work.done = 6
    moved = stalls.has_begun(work, 50.0)
    second = stalls.has_begun(work, 50.0 + 10 * 1.0 * 10)

    assert (first, again, moved, second, work.stalls) == (True, False, False, True, 2)


def test_stacks_of_all_threads():
    """
    The thread asked for comes first, and those of branchline itself are left out.
    """
    is_over = threading.Event()
    threads = [threading.Thread(target=is_over.wait, name=name) for name in ("branchline-x", "worker")]
    for thread in threads:
        thread.start()
    text = stacks_of_all(threads[1].ident or 0)
    is_over.set()
    for thread in threads:
        thread.join()

    found = list(stacks_in(text))
    assert (found[0], "branchline-x" in found) == ("worker", False)
