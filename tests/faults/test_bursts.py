"""Many at once: threads, tasks and tight loops, each step exactly once and under its parent."""

from __future__ import annotations

import pytest
from programs import attribute, balances, disk, run


pytestmark = pytest.mark.slow


def test_a_hundred_thousand_steps_from_eight_threads(tmp_path):
    """
    100,000 steps in a tight loop from 8 threads: every one in the journal exactly once, under its thread's step.
    """
    ended = run(
        tmp_path,
        """
        bl.configure("burst", directory=os.path.join(HOME, "journal"), console=False)

        def work(thread):
            with bl.step("thread", n=thread):
                for n in range(12_500):
                    with bl.step("s", n=thread * 12_500 + n):
                        pass

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        bl.shutdown(60)
        """,
    )

    assert (ended.code, ended.err) == (0, "")
    found = disk(tmp_path)
    assert found.counts("s") == dict.fromkeys(range(100_000), 1)
    parents = {span["spanId"]: attribute(span, "n") for span in found.named("thread")}
    assert [n for n in found.named("s") if parents[n["parentSpanId"]] != attribute(n, "n") // 12_500] == []
    assert balances(tmp_path) == []


def test_two_hundred_threads(tmp_path):
    """
    200 threads of 1,000 steps each: every one in the journal exactly once, nothing dropped, nothing said.
    """
    ended = run(
        tmp_path,
        """
        bl.configure("threads", directory=os.path.join(HOME, "journal"), console=False)

        def work(thread):
            for n in range(1000):
                with bl.step("s", n=thread * 1000 + n) as step:
                    step.stamp("x")

        with bl.step("root"):
            threads = [threading.Thread(target=work, args=(n,)) for n in range(200)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
        bl.shutdown(60)
        """,
    )

    assert (ended.code, ended.err) == (0, "")
    found = disk(tmp_path)
    [root] = found.named("root")
    assert found.counts("s") == dict.fromkeys(range(200_000), 1)
    assert {span["parentSpanId"] for span in found.named("s")} == {root["spanId"]}
    assert balances(tmp_path) == []


def test_five_thousand_tasks(tmp_path):
    """
    5,000 asyncio tasks, all open at the same time: the parents of all are right.
    """
    ended = run(
        tmp_path,
        """
        import asyncio

        async def inner(n):
            async with bl.step("inner", n=n):
                await asyncio.sleep(0)

        async def outer(n):
            async with bl.step("outer", n=n):
                await asyncio.sleep(0.01)
                await asyncio.gather(inner(n), asyncio.to_thread(bl.stamp, "seen") if n % 500 == 0 else inner(n))

        async def main():
            async with bl.step("main"):
                await asyncio.gather(*(outer(n) for n in range(5000)))

        bl.configure("tasks", directory=os.path.join(HOME, "journal"), console=False)
        asyncio.run(main())
        bl.shutdown(60)
        """,
    )

    assert (ended.code, ended.err) == (0, "")
    found = disk(tmp_path)
    [main] = found.named("main")
    outer = {span["spanId"]: attribute(span, "n") for span in found.named("outer")}
    assert sorted(outer.values()) == list(range(5000))
    assert {span["parentSpanId"] for span in found.named("outer")} == {main["spanId"]}
    assert found.counts("inner") == {n: 1 if n % 500 == 0 else 2 for n in range(5000)}
    assert [span for span in found.named("inner") if outer[span["parentSpanId"]] != attribute(span, "n")] == []
    stamped = [attribute(span, "n") for span in found.named("outer") if span.get("events")]
    assert sorted(stamped) == list(range(0, 5000, 500))


def test_the_first_records_of_many_threads_are_safe_at_once(tmp_path):
    """
    What the first threads record while another one opens the ring is in the ring too when their calls return:
    a kill right then loses nothing.
    """
    from programs import Child

    from branchline import read

    for attempt in range(5):
        home = tmp_path / str(attempt)
        home.mkdir()
        program = """
        bl.configure("first", directory=os.path.join(HOME, "journal"), console=False)
        from branchline import telemetry
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            os._exit(0)
        # A forked child: nothing is open yet here.
        gate = threading.Barrier(16)
        done = threading.Semaphore(0)

        def work(n):
            gate.wait()
            with bl.step("s", n=n):
                pass
            ledger[n] = 1
            done.release()
            time.sleep(30)

        for n in range(16):
            threading.Thread(target=work, args=(n,), daemon=True).start()
        done.acquire()
        os.kill(os.getpid(), signal.SIGKILL)
        """
        with Child(home, program) as child:
            child.wait()
            finished = {n for n in range(16) if child.ledger[n]}
        read.open_runs(home / "journal")
        assert finished
        assert finished - set(disk(home).counts("s")) == set()
