"""Odd places to record from: signal handlers, finalisers, hooks, the garbage collector, the very end."""

from __future__ import annotations

import orjson
import pytest
from programs import balances, disk, run


pytestmark = pytest.mark.slow


def test_a_step_ended_in_a_handler_that_interrupted_a_steps_end(tmp_path):
    """
    10,000 signals that arrive anywhere, in the middle of recording too, and record steps themselves: no dead-lock,
    no exception, every step exactly once, and those of the handler under whatever was current where it struck.
    """
    ended = run(
        tmp_path,
        """
        import random
        bl.configure("handlers", directory=os.path.join(HOME, "journal"), console=False)
        hits = 0

        def handler(number, frame):
            global hits
            hits += 1
            with bl.step("handler", n=hits) as step:
                step.stamp("struck")
            # Not periodic: on a busy machine one would strike in the handler, again and again, and go ever deeper.
            if hits < 10_000:
                signal.setitimer(signal.ITIMER_REAL, moments.uniform(0.00001, 0.0002))

        moments = random.Random(4)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0001)
        n = 0
        with bl.step("root"):
            while hits < 10_000:
                with bl.step("s", n=n) as step:
                    step.stamp("x", n=n)
                n += 1
        bl.shutdown(60)
        print(n, hits)
        """,
    )

    assert (ended.code, ended.err) == (0, "")
    steps, hits = map(int, ended.out.split())
    found = disk(tmp_path)
    assert found.counts("s") == dict.fromkeys(range(steps), 1)
    assert found.counts("handler") == dict.fromkeys(range(1, hits + 1), 1)
    known = {span["spanId"] for span in found.spans}
    assert [span for span in found.named("handler") if span["parentSpanId"] not in known] == []
    assert balances(tmp_path) == []


def test_finalisers_and_the_garbage_collector(tmp_path):
    """
    Steps recorded in ``__del__``, in weakref callbacks and by the collector, in whatever thread it strikes, the
    writer's too: every one exactly once, and no dead-lock.
    """
    ended = run(
        tmp_path,
        """
        import gc, itertools, weakref
        bl.configure("finalisers", directory=os.path.join(HOME, "journal"), console=False)
        gc.set_threshold(50)
        deleted, dead, made = itertools.count(), itertools.count(), 0

        class Cycle:
            def __init__(self):
                self.itself = self
            def __del__(self):
                with bl.step("del", n=next(deleted)) as step:
                    step.stamp("x")

        class Plain:
            pass

        def gone(_):
            with bl.step("weakref", n=next(dead)):
                pass

        for n in range(3000):
            with bl.step("s", n=n):
                Cycle()
                thing = Plain()
                reference = weakref.ref(thing, gone)
                del thing
        gc.collect()
        bl.shutdown(60)
        print(next(deleted), next(dead))
        """,
    )

    assert (ended.code, ended.err) == (0, "")
    found = disk(tmp_path)
    assert ended.out == "3000 3000\n"
    assert found.counts("s") == dict.fromkeys(range(3000), 1)
    assert found.counts("del") == dict.fromkeys(range(3000), 1)
    assert found.counts("weakref") == dict.fromkeys(range(3000), 1)
    assert balances(tmp_path) == []


def test_the_way_out(tmp_path):
    """
    Steps recorded in ``sys.excepthook``, in atexit callbacks registered before and after ``configure``, and in a
    finaliser at the interpreter's end are in the journal; the counters of process.json know them.
    """
    ended = run(
        tmp_path,
        """
        def record(name):
            with bl.step(name) as step:
                step.stamp("x")
            ledger[0] += 1

        atexit.register(record, "before")
        bl.configure("exit", directory=os.path.join(HOME, "journal"), console=False)
        atexit.register(record, "after")
        before = sys.excepthook
        sys.excepthook = lambda *args: (record("excepthook"), before(*args))

        class Last:
            def __del__(self):
                record("del")

        last = Last()
        raise ValueError("unhandled")
        """,
    )

    assert ended.code == 1
    assert ended.complaints == []
    found = disk(tmp_path)
    names = sorted(span["name"] for span in found.spans)
    # The interpreter takes modules apart before the last objects: that finaliser may not find ``bl`` any more.
    assert names in (["after", "before", "del", "excepthook"], ["after", "before", "excepthook"])
    assert balances(tmp_path) == []


def test_recording_for_the_first_time_on_the_way_out(tmp_path):
    """
    A process that records nothing before its exit, where no thread can be started any more, loses nothing either.
    """
    ended = run(
        tmp_path,
        """
        def record():
            for n in range(100):
                with bl.step("s", n=n):
                    pass

        atexit.register(record)
        bl.configure("late", directory=os.path.join(HOME, "journal"), console=False)
        if os.fork() == 0:
            # A child has nothing of its own yet: no ring, no writer.
            sys.exit(0)
        os.wait()
        os._exit(0)
        """,
    )

    assert (ended.code, ended.err) == (0, "")
    assert disk(tmp_path).counts("s") == dict.fromkeys(range(100), 1)
    assert balances(tmp_path) == []


def test_an_interrupt_in_the_middle_of_recording(tmp_path):
    """
    A KeyboardInterrupt that strikes anywhere, in the middle of recording too: every step whose body ran is there,
    once, also the one that it struck while it ended.
    """
    ended = run(
        tmp_path,
        """
        bl.configure("interrupts", directory=os.path.join(HOME, "journal"), console=False)
        struck = 0
        armed = False
        ran = []
        n = 0

        def handler(number, frame):
            global armed
            if armed:
                armed = False
                raise KeyboardInterrupt

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        while struck < 1000:
            try:
                armed = True
                while True:
                    n += 1
                    with bl.step("s", n=n):
                        ran.append(n)
            except KeyboardInterrupt:
                struck += 1
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)
        bl.shutdown(60)
        print(ran)
        """,
    )

    assert (ended.code, ended.complaints) == (0, [])
    ran = orjson.loads(ended.out)
    counts = disk(tmp_path).counts("s")
    # Struck while it began: it is there, but was not told its number any more.
    counts.pop(None, 0)
    assert set(ran) - set(counts) == set()
    assert [n for n, count in counts.items() if count != 1] == []
    assert balances(tmp_path) == []


def test_an_interrupt_between_the_ring_and_the_queue(tmp_path):
    """
    A KeyboardInterrupt that strikes when a step is in the ring and not yet in the queue: the end of the run finds it.
    """
    ended = run(
        tmp_path,
        """
        pipeline = bl.configure("interrupts", directory=os.path.join(HOME, "journal"), console=False).pipeline
        with bl.step("s", n=1):
            pass
        bl.flush(60)
        wake = pipeline.wake

        def interrupted():
            pipeline.wake = wake
            raise KeyboardInterrupt

        pipeline.wake, pipeline.wake_at = interrupted, -1
        try:
            with bl.step("s", n=2):
                pass
        except KeyboardInterrupt:
            print("struck")
        bl.shutdown(60)
        """,
    )

    assert (ended.code, ended.out.split(), ended.err) == (0, ["struck"], "")
    assert disk(tmp_path).counts("s") == {1: 1, 2: 1}
    assert balances(tmp_path) == []


def test_a_listener_that_records_and_raises(tmp_path):
    """
    Code of others that the writer thread runs may record, raise and even try to exit: the writer lives, and the
    process ends as it should.
    """
    ended = run(
        tmp_path,
        """
        from branchline.redaction import Redactor

        def callback(key, value):
            if key == "n" and value % 100 == 0:
                with bl.step("from the writer"):
                    pass
            if key == "n" and value % 100 == 1:
                raise SystemExit(3)
            return value

        bl.configure("listeners", directory=os.path.join(HOME, "journal"), console=False,
                     redact=Redactor(callback=callback))
        for n in range(500):
            with bl.step("s", n=n):
                pass
        bl.flush(60)
        """,
    )

    assert ended.code == 0
    found = disk(tmp_path)
    assert len(found.named("s")) == 500
    assert balances(tmp_path) == []
