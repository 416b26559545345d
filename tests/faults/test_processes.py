"""Other processes and pools: they join the run and the trace they were started in, and lose nothing."""

from __future__ import annotations

import pytest
from programs import Disk, attribute, balances, disk, run, states

from branchline import read


pytestmark = pytest.mark.slow

# Started by spawn and forkserver, a child imports the program again: only the first may run it.
MAIN = """
import concurrent.futures as futures, functools, multiprocessing, subprocess

def configure(**options):
    return bl.configure("processes", directory=os.path.join(HOME, "journal"), console=False, **options)

def work(n):
    with bl.step("work", n=n) as step:
        step.stamp("x", n=n)
    return n

def nested(method, n):
    with bl.step("nested", n=n):
        process = multiprocessing.get_context(method).Process(target=work, args=(n,))
        process.start()
        process.join()
    return n

def chained(n):
    with bl.step("nested", n=n):
        with futures.ProcessPoolExecutor(1) as pool:
            return pool.submit(work, n).result()

"""


def parents(found: Disk, name: str) -> dict[object, object]:
    """Return, by number, the name of the step that each step called *name* is in."""
    known = {span["spanId"]: span["name"] for span in found.spans}
    return {attribute(span, "n"): known.get(span.get("parentSpanId")) for span in found.named(name)}


def one_of_each(found: Disk, name: str, count: int) -> None:
    assert found.counts(name) == dict.fromkeys(range(count), 1)
    assert all([event["name"] for event in span["events"]] == ["x"] for span in found.named(name))


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_processes_of_multiprocessing(tmp_path, method):
    """
    A ``multiprocessing.Process`` started inside a step records into the same run, under that step; at its end
    everything is on the disk, without any recovery.
    """
    ended = run(
        tmp_path,
        MAIN
        + f"""
if __name__ == "__main__":
    configure()
    with bl.step("root"):
        running = [multiprocessing.get_context({method!r}).Process(target=work, args=(n,)) for n in range(4)]
        for process in running: process.start()
        for process in running: process.join()
        assert [process.exitcode for process in running] == [0] * 4
""",
    )

    assert (ended.code, ended.err) == (0, "")
    found = disk(tmp_path)
    one_of_each(found, "work", 4)
    assert parents(found, "work") == dict.fromkeys(range(4), "root")
    assert len({span["traceId"] for span in found.spans}) == 1
    assert [state["state"] for state in states(tmp_path)] == ["ended"] * 5
    assert len(list((tmp_path / "journal" / "runs").iterdir())) == 1
    assert balances(tmp_path) == []


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_pools(tmp_path, method):
    """
    Tasks of a ``multiprocessing.Pool`` and of a ``ProcessPoolExecutor`` are under the step that submitted them, also
    when the pool is older than the step.
    """
    ended = run(
        tmp_path,
        MAIN
        + f"""
if __name__ == "__main__":
    configure()
    context = multiprocessing.get_context({method!r})
    with context.Pool(2) as pool, futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        with bl.step("map"):
            pool.map(work, range(0, 4))
        with bl.step("apply"):
            pool.apply(work, (4,))
            pool.apply_async(work, (5,)).get()
        with bl.step("starmap"):
            pool.starmap(work, [(6,), (7,)])
        with bl.step("imap"):
            list(pool.imap(work, [8, 9]))
            list(pool.imap_unordered(work, [10, 11]))
        with bl.step("submit"):
            executor.submit(work, 12).result()
        with bl.step("executor map"):
            list(executor.map(work, [13, 14]))
        pool.close()
        pool.join()
""",
    )

    assert (ended.code, ended.err) == (0, "")
    found = disk(tmp_path)
    one_of_each(found, "work", 15)
    assert parents(found, "work") == {
        **dict.fromkeys(range(4), "map"),
        **dict.fromkeys((4, 5), "apply"),
        **dict.fromkeys((6, 7), "starmap"),
        **dict.fromkeys((8, 9, 10, 11), "imap"),
        12: "submit",
        **dict.fromkeys((13, 14), "executor map"),
    }
    assert len(list((tmp_path / "journal" / "runs").iterdir())) == 1
    assert balances(tmp_path) == []


def test_processes_of_processes(tmp_path):
    """
    A child's own children, whatever they are started with, are under the child's step, and so on.
    """
    ended = run(
        tmp_path,
        MAIN
        + """
if __name__ == "__main__":
    configure()
    with bl.step("root"):
        for n, (outer, inner) in enumerate([("fork", "spawn"), ("spawn", "fork"), ("forkserver", "spawn")]):
            process = multiprocessing.get_context(outer).Process(target=nested, args=(inner, n))
            process.start()
            process.join()
        with futures.ProcessPoolExecutor(1) as pool:
            pool.submit(chained, 3).result()
""",
    )

    assert (ended.code, ended.err) == (0, "")
    found = disk(tmp_path)
    one_of_each(found, "work", 4)
    assert parents(found, "work") == dict.fromkeys(range(4), "nested")
    assert parents(found, "nested") == dict.fromkeys(range(4), "root")
    assert len({span["traceId"] for span in found.spans}) == 1
    assert balances(tmp_path) == []


def test_a_pool_that_is_terminated(tmp_path):
    """
    The workers of a pool that is terminated, as the end of its ``with`` block does, lose nothing that had finished.
    """
    ended = run(
        tmp_path,
        MAIN
        + """
if __name__ == "__main__":
    configure()
    for n in range(0, 40, 4):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(work, range(n, n + 4))
""",
    )
    read.open_runs(tmp_path / "journal")

    assert (ended.code, ended.err) == (0, "")
    one_of_each(disk(tmp_path), "work", 40)


def test_programs_started_with_subprocess(tmp_path):
    """
    A program that is started with ``subprocess`` and configures itself joins the run and the trace, with an
    environment of its own too; one that does not know branchline is started as it always was.
    """
    ended = run(
        tmp_path,
        """
import subprocess
child = '''
import sys, branchline as bl
bl.configure("child", console=False)
with bl.step("work", n=int(sys.argv[1])) as step:
    step.stamp("x")
'''
bl.configure("parent", directory=os.path.join(HOME, "journal"), console=False)
with bl.experiment("experiment"), bl.branch({"a": 1}, name="branch"):
    subprocess.run([sys.executable, "-c", child, "0"], check=True)
    subprocess.run([sys.executable, "-c", child, "1"], check=True, env={"PYTHONPATH": os.environ["PYTHONPATH"]})
    subprocess.Popen(args=[sys.executable, "-c", child, "2"]).wait()
    subprocess.check_call([sys.executable, "-c", child, "3"], cwd="/")
    subprocess.check_output([sys.executable, "-c", "import os; print(os.environ)"])
os.system(f"{sys.executable} -c '{child}' 4")
bl.shutdown()
print("BRANCHLINE_RUN_ID" in os.environ, "TRACEPARENT" in os.environ)
""",
    )

    assert (ended.code, ended.out, ended.err) == (0, "False False\n", "")
    found = disk(tmp_path)
    assert found.counts("work") == dict.fromkeys(range(5), 1)
    assert parents(found, "work") == {0: "branch", 1: "branch", 2: "branch", 3: "branch", 4: None}
    assert [attribute(span, "branchline.branch.name") for span in found.named("work")].count("branch") == 4
    assert len(list((tmp_path / "journal" / "runs").iterdir())) == 1


def test_threads_timers_and_executors(tmp_path):
    """
    What is started in a step, in a thread, a timer, an executor, a thread pool or the event loop's, is under it.
    """
    ended = run(
        tmp_path,
        MAIN
        + """
import asyncio, multiprocessing.pool

class Mine(threading.Thread):
    def run(self):
        work(1)

async def main():
    with bl.step("asyncio"):
        await asyncio.to_thread(work, 4)
        await asyncio.get_running_loop().run_in_executor(None, work, 5)
        await asyncio.create_task(asyncio.to_thread(work, 6))

if __name__ == "__main__":
    configure()
    with futures.ThreadPoolExecutor(1) as pool, multiprocessing.pool.ThreadPool(1) as threads:
        pool.submit(work, 100).result()
        threads.apply(work, (101,))
        with bl.step("threads"):
            started = [threading.Thread(target=work, args=(0,)), Mine(), threading.Timer(0, work, (2,))]
            for thread in started: thread.start()
            for thread in started: thread.join()
        with bl.step("pool"):
            pool.submit(work, 3).result()
            list(pool.map(work, [7, 8]))
            threads.map(work, [9, 10])
        pool.submit(work, 102).result()
    asyncio.run(main())
""",
    )

    assert (ended.code, ended.err) == (0, "")
    assert parents(disk(tmp_path), "work") == {
        **dict.fromkeys((0, 1, 2), "threads"),
        **dict.fromkeys((3, 7, 8, 9, 10), "pool"),
        **dict.fromkeys((4, 5, 6), "asyncio"),
        **dict.fromkeys((100, 101, 102), None),
    }


def test_without_propagation(tmp_path):
    """
    With ``propagate=False`` nothing of the standard library is touched; ``carry`` does it by hand.
    """
    ended = run(
        tmp_path,
        MAIN
        + """
if __name__ == "__main__":
    import multiprocessing.pool
    from concurrent.futures.process import ProcessPoolExecutor
    owners = [
        (threading.Thread, "start"),
        (futures.ThreadPoolExecutor, "submit"),
        (ProcessPoolExecutor, "submit"),
        (multiprocessing.Process, "start"),
        (multiprocessing.pool.Pool, "apply_async"),
        (subprocess.Popen, "__init__"),
    ]
    before = [getattr(owner, name) for owner, name in owners], list(sys.meta_path)
    configure(propagate=False)
    assert ([getattr(owner, name) for owner, name in owners], sys.meta_path) == before
    with bl.step("root"):
        threads = [threading.Thread(target=work, args=(0,)), threading.Thread(target=bl.carry(work), args=(1,))]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert "TRACEPARENT" not in subprocess.check_output(["env"], text=True)
        with futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
            pool.submit(bl.carry(work), 2).result()
""",
    )
    read.open_runs(tmp_path / "journal")

    assert (ended.code, ended.err) == (0, "")
    assert parents(disk(tmp_path), "work") == {0: None, 1: "root", 2: "root"}


def test_the_environment_at_the_start(tmp_path):
    """
    A process that is started with TRACEPARENT continues that trace, and with BRANCHLINE_RUN_ID that run.
    """
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    ended = run(
        tmp_path,
        """
        bl.configure("child", console=False)
        with bl.step("work"):
            pass
        """,
        env={
            "TRACEPARENT": f"00-{trace}-{span}-01",
            "BRANCHLINE_RUN_ID": "a-run",
            "BRANCHLINE_DIR": str(tmp_path / "journal"),
            "BRANCHLINE_OWNER": "1",
        },
    )

    assert (ended.code, ended.err) == (0, "")
    [work] = disk(tmp_path).named("work")
    assert (work["traceId"], work["parentSpanId"]) == (trace, span)
    assert [path.name for path in (tmp_path / "journal" / "runs").iterdir()] == ["a-run"]


def test_settings_that_cannot_be_pickled(tmp_path):
    """
    A redaction callback that cannot be pickled keeps no process from starting: spawned ones do not join the run,
    which is said, and record nothing that the callback would have kept in; forked ones join.
    """
    ended = run(
        tmp_path,
        MAIN
        + """
if __name__ == "__main__":
    from branchline.redaction import Redactor
    configure(redact=Redactor(callback=lambda key, value: value))
    with bl.step("root"):
        for n, method in enumerate(["spawn", "fork", "forkserver"]):
            process = multiprocessing.get_context(method).Process(target=work, args=(n,))
            process.start()
            process.join()
            assert process.exitcode == 0
        with futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            assert pool.submit(work, 3).result() == 3
""",
    )

    assert ended.code == 0
    assert len(ended.complaints) == 1
    assert "cannot be pickled" in ended.err
    assert disk(tmp_path).counts("work") == {1: 1}
