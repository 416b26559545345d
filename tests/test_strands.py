"""Strands: calls made in a few threads, those of one key in their order."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections import defaultdict
from concurrent.futures import wait
from functools import partial

import pytest
from opentelemetry.context import set_value

import branchline as bl
from branchline.backends import strands
from branchline.backends.strands import FullError, Strands
from branchline.context import attached
from branchline.testing import capture


WATCHDOG_SECONDS = 60.0


def test_order():
    """
    Calls with one key are made in the order in which they came, never two at once, whatever else goes on.
    """
    made: dict[int, list[int]] = defaultdict(list)
    running: set[int] = set()
    most, at_once = [], []
    lock = threading.Lock()

    def call(key, number):
        with lock:
            at_once.append(key in running)
            running.add(key)
            most.append(len(running))
        made[key].append(number)
        with lock:
            running.remove(key)

    several = Strands(threads=4)
    futures = [several.submit(str(n % 40), partial(call, n % 40, n)) for n in range(4_000)]
    wait(futures, WATCHDOG_SECONDS)

    assert dict(made) == {key: list(range(key, 4_000, 40)) for key in range(40)}
    assert (any(at_once), max(most) <= 4) == (False, True)


def test_answers():
    """
    What a call returns or raises is its future's; the next is made all the same.
    """
    one = Strands(threads=1)
    good, bad, after = one.submit("a", lambda: 1), one.submit("a", lambda: 1 / 0), one.submit("a", lambda: 3)

    assert (good.result(WATCHDOG_SECONDS), after.result(WATCHDOG_SECONDS)) == (1, 3)
    with pytest.raises(ZeroDivisionError):
        bad.result(WATCHDOG_SECONDS)


def test_a_slow_call_holds_up_nobody_else():
    """
    While one call waits, those of other keys are made, and those of its own are not.
    """
    several, may_go = Strands(threads=2), threading.Event()
    slow = several.submit("slow", lambda: may_go.wait(WATCHDOG_SECONDS))
    behind = several.submit("slow", lambda: "behind")
    others = [several.submit(str(n), partial(int, n)) for n in range(10)]
    seen = [other.result(WATCHDOG_SECONDS) for other in others]
    early = behind.done()
    may_go.set()

    assert (seen, early, slow.result(WATCHDOG_SECONDS), behind.result(WATCHDOG_SECONDS)) == (
        *(list(range(10)), False, True, "behind"),
    )


def test_cancelled():
    """
    A call that is cancelled before it is made is never made.
    """
    one, may_go, made = Strands(threads=1), threading.Event(), []
    one.submit("a", lambda: may_go.wait(WATCHDOG_SECONDS))
    unwanted = one.submit("a", lambda: made.append("unwanted"))
    wanted = one.submit("a", lambda: made.append("wanted"))
    was_cancelled = unwanted.cancel()
    may_go.set()
    wanted.result(WATCHDOG_SECONDS)

    assert (was_cancelled, made) == (True, ["wanted"])


def test_full():
    """
    Beyond its bound no call is taken; once there is room, calls are taken again.
    """
    one, may_go = Strands(threads=1, most_waiting=2), threading.Event()
    one.submit("a", lambda: may_go.wait(WATCHDOG_SECONDS))
    one.submit("b", lambda: None)
    with pytest.raises(FullError):
        one.submit("c", lambda: None)
    early = one.wait(0.01)
    may_go.set()

    assert (early, one.wait(WATCHDOG_SECONDS), one.submit("c", lambda: 3).result(WATCHDOG_SECONDS)) == (False, True, 3)
    assert repr(Strands(threads=1)) == "<Strands with 0 waiting call(s)>"


def test_threads_end(monkeypatch):
    """
    Threads that have nothing to do end, and begin again when they are needed.
    """
    monkeypatch.setattr(strands, "_IDLE_SECONDS", 0.01)
    one = Strands(threads=2)
    first = one.submit("a", threading.current_thread).result(WATCHDOG_SECONDS)
    first.join(WATCHDOG_SECONDS)
    second = one.submit("a", threading.current_thread).result(WATCHDOG_SECONDS)

    assert (first.is_alive(), first is second, first.daemon) == (False, False, True)


class Held:
    pass


def test_nothing_is_kept_alive():
    """
    Neither the context of who asked nor the call itself outlives it; what the call does is not below their step.
    """
    one, held = Strands(threads=1), Held()
    alive = weakref.ref(held)
    with capture() as captured:
        with bl.step("theirs"), attached(set_value("held", held)):
            one.submit("a", partial(id, held)).result(WATCHDOG_SECONDS)
            found = one.submit("b", bl.current_step).result(WATCHDOG_SECONDS)
    del held
    gc.collect()

    assert (found, alive(), [step.children for step in captured.steps]) == (None, None, [()])


def test_after_a_fork():
    """
    A forked child has nothing of what waits in its parent, and makes its own calls.
    """
    one, may_go = Strands(threads=1), threading.Event()
    one.submit("a", lambda: may_go.wait(WATCHDOG_SECONDS))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if one.wait(0) and one.submit("a", lambda: 7).result(WATCHDOG_SECONDS) == 7 else 2
        finally:
            os._exit(code)
    may_go.set()

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


AT_EXIT = """
import time
from branchline.backends.strands import Strands

one = Strands(threads=1)
one.submit("a", lambda: (time.sleep(0.2), print("made", flush=True)))
print("left", flush=True)
"""
NEVER = AT_EXIT.replace("0.2", "3600")


@pytest.mark.parametrize(("program", "printed"), [(AT_EXIT, "left\nmade\n"), (NEVER, "left\n")], ids=["made", "never"])
def test_at_exit(program, printed):
    """
    A process that ends waits a moment for what has not been done, and no longer.
    """
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)

    assert (ran.stdout, ran.stderr) == (printed, "")
