"""Forks: a child has files, a ring and counters of its own, and nothing of its parent's is lost or written twice."""

from __future__ import annotations

import pytest
from programs import attribute, balances, disk, run, states

from branchline import read


pytestmark = pytest.mark.slow


def test_a_thousand_forks_under_load(tmp_path):
    """
    1,000 forks while threads record: children record and end by ``os._exit`` or ``sys.exit``; nothing is lost,
    nothing comes twice, nobody hangs, and the counters of a child begin at 0.
    """
    ended = run(
        tmp_path,
        """
        bl.configure("forks", directory=os.path.join(HOME, "journal"), console=False)
        stop = threading.Event()
        done = [0, 0]

        def load(thread):
            while not stop.is_set():
                with bl.step("load", thread=thread, n=done[thread]) as step:
                    step.stamp("x")
                done[thread] += 1
                time.sleep(0.0005)

        threads = [threading.Thread(target=load, args=(n,)) for n in range(2)]
        for thread in threads: thread.start()

        def child(n):
            with bl.step("outer", n=n):
                with bl.step("child", n=n) as step:
                    step.stamp("x", n=n)
            if n % 2:
                os._exit(0)
            sys.exit(0)

        with bl.step("root"):
            running = set()
            for n in range(1000):
                with bl.step("forking", n=n):
                    pid = os.fork()
                    if pid == 0:
                        child(n)
                running.add(pid)
                while len(running) > 3:
                    pid, status = os.wait()
                    assert status == 0, status
                    running.discard(pid)
            for pid in running:
                _, status = os.waitpid(pid, 0)
                assert status == 0, status
        stop.set()
        for thread in threads: thread.join()
        bl.shutdown(60)
        print(*done)
        """,
    )

    assert (ended.code, ended.err) == (0, "")
    runs = read.open_runs(tmp_path / "journal")
    found = disk(tmp_path)
    for name in ("child", "outer", "forking"):
        assert found.counts(name) == dict.fromkeys(range(1000), 1)
    assert found.outcome("root") == ["success"]
    for thread, done in enumerate(map(int, ended.out.split())):
        mine = [attribute(span, "n") for span in found.named("load") if attribute(span, "thread") == thread]
        assert sorted(mine) == list(range(done))
    forking = {attribute(span, "n"): span["spanId"] for span in found.named("forking")}
    assert [span for span in found.named("outer") if span["parentSpanId"] != forking[attribute(span, "n")]] == []
    assert len(runs) == 1
    assert len(states(tmp_path)) == 1001
    assert sorted(state["counters"]["spans"]["recorded"] for state in states(tmp_path))[:1000] == [2] * 1000
    assert balances(tmp_path) == []


def test_a_step_that_is_open_across_a_fork(tmp_path):
    """
    A step, a generator and an experiment that are open while the process forks are recorded once, by the parent;
    what the child records meanwhile belongs to them.
    """
    ended = run(
        tmp_path,
        """
        bl.configure("open", directory=os.path.join(HOME, "journal"), console=False)

        @bl.traced_step
        def numbers():
            yield 1
            yield 2

        with bl.experiment("experiment"), bl.step("step") as step:
            running = numbers()
            next(running)
            pid = os.fork()
            for _ in running:
                pass
            step.stamp("parent" if pid else "child")
            step.set(who="parent" if pid else "child")
            with bl.step("inside", who="parent" if pid else "child"):
                pass
        if pid:
            os.waitpid(pid, 0)
        """,
    )

    assert (ended.code, ended.err) == (0, "")
    found = disk(tmp_path)
    assert [len(found.named(name)) for name in ("experiment", "step", "numbers", "inside")] == [1, 1, 1, 2]
    [step] = found.named("step")
    assert attribute(step, "who") == "parent"
    assert [event["name"] for event in step["events"]] == ["parent"]
    assert {span["parentSpanId"] for span in found.named("inside")} == {step["spanId"]}
    assert balances(tmp_path) == []


def test_a_fork_in_a_thread_and_in_a_handler(tmp_path):
    """
    A child that was forked by a thread, or in a signal handler in the middle of recording, records as any other.
    """
    ended = run(
        tmp_path,
        """
        bl.configure("forks", directory=os.path.join(HOME, "journal"), console=False)

        def child(name, n):
            with bl.step(name, n=n):
                pass
            os._exit(0)

        def from_thread():
            for n in range(50):
                pid = os.fork()
                if pid == 0:
                    child("thread", n)
                os.waitpid(pid, 0)

        forked = 0
        def handler(number, frame):
            global forked
            if forked == 50:
                return
            pid = os.fork()
            if pid == 0:
                child("handler", forked)
            forked += 1
            os.waitpid(pid, 0)
            signal.setitimer(signal.ITIMER_REAL, 0.002)

        signal.signal(signal.SIGALRM, handler)
        thread = threading.Thread(target=from_thread)
        thread.start()
        signal.setitimer(signal.ITIMER_REAL, 0.002)
        n = 0
        while forked < 50:
            with bl.step("s", n=n) as step:
                step.stamp("x")
            n += 1
        thread.join()
        bl.shutdown(60)
        print(n)
        """,
    )

    assert (ended.code, ended.err) == (0, "")
    read.open_runs(tmp_path / "journal")
    found = disk(tmp_path)
    assert found.counts("s") == dict.fromkeys(range(int(ended.out)), 1)
    assert found.counts("thread") == dict.fromkeys(range(50), 1)
    assert found.counts("handler") == dict.fromkeys(range(50), 1)
    assert balances(tmp_path) == []


def test_the_rings_of_dead_children_do_not_pile_up(tmp_path):
    """
    Children that end by ``os._exit`` leave their rings to whoever comes next, not each four megabytes of memory for
    as long as the parent runs.
    """
    ended = run(
        tmp_path,
        """
        from pathlib import Path
        from branchline import read
        from branchline._journal import recovery
        from branchline._pipeline import ring_opening

        # Its own folder: other programs' rings fill the machine's and are taken away there, dead or alive.
        rings = Path(HOME, "rings")
        rings.mkdir()
        recovery.ring_folder = ring_opening.ring_folder = lambda: rings
        bl.configure("rings", directory=os.path.join(HOME, "journal"), console=False)
        most = 0
        for n in range(150):
            pid = os.fork()
            if pid == 0:
                with bl.step("child", n=n):
                    pass
                os._exit(0)
            os.waitpid(pid, 0)
            most = max(most, len(os.listdir(rings)))
        bl.shutdown()
        read.open_runs(os.path.join(HOME, "journal"))
        print(most, len(os.listdir(rings)))
        """,
    )

    assert (ended.code, ended.err) == (0, "")
    most, left = map(int, ended.out.split())
    # The parent's own, the 32 that may lie there, and the one that was just made or two that are taken away at once.
    assert (most <= 36, left) == (True, 0)
    assert disk(tmp_path).counts("child") == dict.fromkeys(range(150), 1)
