"""``capture()`` and the fixture: a test sees what it recorded, all of it and nothing else, and leaves no trace."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace

import branchline as bl
from branchline.context import CURRENT
from branchline.read import open_runs
from branchline.testing import capture


@bl.traced_step("load")
def load(rows=3):
    bl.stamp("loaded", rows=rows)
    return rows


def mark(name):
    with bl.step(name):
        pass


def run_python(program, *arguments, cwd=None):
    """Run *program* in a Python of its own; return what it printed, once it went well and said nothing else."""
    ran = subprocess.run(
        [sys.executable, *arguments, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        env={key: value for key, value in os.environ.items() if not key.startswith(("BRANCHLINE_", "OTEL_"))},
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.strip()


# ── what it shows ─────────────────────────────────────────────────────────────────────────────────


def test_values():
    """
    Steps, branches, experiments and spans of others each have their place, in order of start.
    """
    with capture() as captured, bl.experiment("sweep") as experiment, experiment.branch({"a": 1}, name="small"):
        load()
        with trace.get_tracer("app").start_as_current_span("theirs"):
            mark("inside")

    assert [step.name for step in captured.steps] == ["load", "inside"]
    assert [span.name for span in captured.spans] == ["theirs"]
    assert [branch.name for branch in captured.branches] == ["small"]
    assert [experiment.name for experiment in captured.experiments] == ["sweep"]
    assert captured.one("load").stamps[0].attributes == {"rows": 3}


def test_tree():
    """
    tree() shows everything without times and ids, in order.
    """
    with capture() as captured:
        bl.stamp("begun")
        with bl.experiment("sweep") as experiment, experiment.branch({"a": 1}, name="small"):
            load()
            with bl.step("rest") as rest:
                rest.skip("nothing left")
        mark("end")

    assert captured.tree() == textwrap.dedent(
        """\
        · begun
        experiment sweep
        └── branch small  success
            ├── step load  success
            │   · loaded rows=3
            └── step rest  skipped  nothing left
        step end  success"""
    )


def test_nothing():
    """
    A block that records nothing shows nothing.
    """
    with capture() as captured:
        pass

    assert (captured.tree(), captured.steps, captured.branches, captured.logs, captured.points) == ("", (), (), (), ())


def test_while_it_runs():
    """
    Inside of the block each look shows what there is so far; open steps come with their end.
    """
    with capture() as captured:
        with bl.step("outer"):
            load()
            during = captured.tree()

    assert during == "step load  success\n· loaded rows=3"
    assert captured.tree() == "step outer  success\n└── step load  success\n    · loaded rows=3"


def test_stays():
    """
    What was captured can be looked at for ever: as often as one likes, and also what was not looked at before.
    """
    with capture() as captured:
        load()

    assert captured.run is captured.run
    assert (captured.run.state, [process.pid for process in captured.run.processes]) == ("ended", [os.getpid()])
    assert captured.tree() == captured.tree() == "step load  success\n· loaded rows=3"


def test_events():
    """
    Stamps without a step are among the logs; what branchline notes for itself is not.
    """
    with capture() as captured:
        bl.stamp("begun", rows=1)
        load()

    assert [line.event_name for line in captured.logs] == ["branchline.stamp"]


def test_one():
    """
    one() finds a step, span, branch or experiment by its name.
    """
    with capture() as captured, bl.experiment("sweep"), bl.branch({"a": 1}, name="small"):
        load()

    assert [captured.one(name).kind for name in ("sweep", "small", "load")] == ["experiment", "branch", "step"]


def test_one_of_none():
    """
    With nothing of that name, one() says what there is.
    """
    with capture() as captured:
        load()
        mark("end")

    with pytest.raises(LookupError, match=r"0 recorded with the name 'lode'; there is: end, load"):
        captured.one("lode")


def test_one_of_nothing():
    """
    With nothing at all, one() says that.
    """
    with capture() as captured:
        pass

    with pytest.raises(LookupError, match="0 recorded with the name 'load'; there is: nothing"):
        captured.one("load")


def test_one_of_two():
    """
    With two of that name, one() says how many.
    """
    with capture() as captured:
        load()
        load()

    with pytest.raises(LookupError, match="2 recorded with the name 'load'"):
        captured.one("load")


def test_plain_opentelemetry():
    """
    Tracers that libraries got before the capture record into it, into the next one as well.
    """
    tracer = trace.get_tracer("library")
    trees = []
    for _ in range(2):
        with capture() as captured:
            with tracer.start_as_current_span("theirs"):
                mark("mine")
        trees.append(captured.tree())

    assert trees == ["span theirs  success\n└── step mine  success"] * 2


def test_exception():
    """
    An exception leaves the block as it is, and what was recorded until then is there.
    """
    error = ValueError("boom")

    def fails():
        load()
        raise error

    with pytest.raises(ValueError, match="boom") as caught, capture() as captured, bl.step("outer"):
        fails()

    assert caught.value is error
    assert captured.tree() == ("step outer  failed  ValueError: boom\n└── step load  success\n    · loaded rows=3")


def test_open_at_the_end():
    """
    A step that is still open when the block ends is interrupted.
    """
    with capture() as captured:
        step = bl.step("open")
        step.__enter__()
    step.__exit__(None, None, None)

    assert captured.tree() == "step open  interrupted"


def test_recorded_too_late():
    """
    What goes on after the block's end is not recorded, and raises nothing.
    """
    started, release = threading.Event(), threading.Event()

    def work():
        started.set()
        release.wait()
        load()

    with capture() as captured:
        thread = threading.Thread(target=work)
        thread.start()
        started.wait()
    release.set()
    thread.join()

    assert captured.tree() == ""


# ── what it leaves behind ─────────────────────────────────────────────────────────────────────────


def state():
    """Everything that a capture sets, as far as anybody outside can tell."""
    return (
        dict(os.environ),
        CURRENT.recorder,
        CURRENT.run_id,
        CURRENT.directory,
        otel_context.get_current(),
        trace.get_tracer_provider(),
        threading.Thread.start,
        ThreadPoolExecutor.submit,
        ProcessPoolExecutor.submit,
        multiprocessing.process.BaseProcess.start,
        subprocess.Popen.__init__,
        list(sys.meta_path),
        bl.current_step(),
    )


def test_undoes_everything(tmp_path, monkeypatch):
    """
    After the block everything is as before: environment, provider, context, patches, threads; and no file is left.
    """
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path)
    with capture():  # what is set once and for all is set now
        load()
    before, threads = state(), set(threading.enumerate())

    with capture(), bl.step("x"):
        load()
        during = state()

    assert state() == before
    assert set(threading.enumerate()) - threads == set()
    assert during[1] is not None
    assert list(tmp_path.iterdir()) == []


def test_undoes_everything_after_an_exception():
    """
    The same when an exception leaves it.
    """
    before = state()

    with pytest.raises(ZeroDivisionError), capture(), bl.step("x"):
        _ = 1 / 0

    assert state() == before


def test_provider_can_be_set_afterwards():
    """
    An application may set its own provider after a capture, as it may before.
    """
    printed = run_python(
        """
        import branchline as bl
        from branchline.testing import capture
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        with capture() as captured, bl.step("x"):
            pass
        mine = TracerProvider()
        trace.set_tracer_provider(mine)
        print(captured.tree(), trace.get_tracer_provider() is mine)
        """
    )

    assert printed == "step x  success True"


def test_application_with_a_provider():
    """
    In an application with a provider of its own a capture shows the same, and the application's exporter sees it too.
    """
    printed = run_python(
        """
        import branchline as bl
        from branchline.testing import capture
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        exporter = InMemorySpanExporter()
        mine = TracerProvider()
        mine.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(mine)
        for _ in range(2):
            with capture() as captured:
                with bl.branch({"a": 1}, name="small"), trace.get_tracer("app").start_as_current_span("theirs"):
                    with bl.step("x"):
                        bl.stamp("here", rows=3)
                        assert bl.current_step().name == "x"
            print(captured.tree())
            print(captured.one("theirs").branch_name)
        with bl.step("after"):
            pass
        print([span.name for span in exporter.get_finished_spans()], trace.get_tracer_provider() is mine)
        """
    )

    shown = "branch small  success\n└── span theirs  success\n    └── step x  success\n        · here rows=3\nsmall\n"
    assert printed == shown * 2 + "['x', 'theirs', 'small', 'x', 'theirs', 'small', 'after'] True"


def test_environment_says_nothing():
    """
    A capture records everything, whatever the environment says of sampling or switching off.
    """
    printed = run_python(
        """
        import os
        os.environ |= {"OTEL_TRACES_SAMPLER": "always_off", "OTEL_SDK_DISABLED": "true"}
        import branchline as bl
        from branchline.testing import capture
        with capture() as captured, bl.step("x"):
            pass
        print(captured.tree())
        """
    )

    assert printed == "step x  success"


# ── beside each other, inside each other ──────────────────────────────────────────────────────────


def test_nested():
    """
    What the inner block records is the inner one's; the outer one goes on afterwards where it was.
    """
    with capture() as outer, bl.step("outer"):
        with capture() as inner:
            assert bl.current_step() is None
            load()
        mark("after")

    assert inner.tree() == "step load  success\n· loaded rows=3"
    assert outer.tree() == "step outer  success\n└── step after  success"


def test_overlapping():
    """
    Blocks that do not end in the order in which they began still have each its own.
    """
    contexts = []

    async def block(name, begun, end):
        with capture() as captured:
            begun.set()
            mark(f"{name} 1")
            await end.wait()
            mark(f"{name} 2")
            with trace.get_tracer("app").start_as_current_span(f"{name} 3"):
                pass
        contexts.append(otel_context.get_current())
        return captured.tree()

    async def main():
        events = [asyncio.Event() for _ in range(4)]
        first = asyncio.create_task(block("first", events[0], events[1]))
        await events[0].wait()
        second = asyncio.create_task(block("second", events[2], events[3]))
        await events[2].wait()
        events[1].set()
        trees = [await first]
        events[3].set()
        return [*trees, await second]

    assert asyncio.run(main()) == [
        f"step {name} 1  success\nstep {name} 2  success\nspan {name} 3  success" for name in ("first", "second")
    ]
    assert contexts == [{}, {}]
    assert CURRENT.recorder is None


def test_side_by_side_in_threads():
    """
    Eight threads capture side by side, again and again: each sees its own steps, spans, stamps and threads.
    """
    barrier = threading.Barrier(8)
    wrong = []

    def work(number):
        barrier.wait()
        for turn in range(5):
            name = f"{number}.{turn}"
            with capture() as captured:
                with bl.branch({"n": number}, name=name), trace.get_tracer("app").start_as_current_span(f"span {name}"):
                    mark(f"step {name}")
                    inner = threading.Thread(target=mark, args=(f"thread {name}",))
                    inner.start()
                    inner.join()
                bl.stamp(f"stamp {name}")
            expected = (
                f"branch {name}  success\n"
                f"└── span span {name}  success\n"
                f"    ├── step step {name}  success\n"
                f"    └── step thread {name}  success\n"
                f"· stamp {name}"
            )
            if captured.tree() != expected:
                wrong.append(captured.tree())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert CURRENT.recorder is None


async def test_in_a_coroutine():
    """
    In a coroutine the tasks that it starts are captured, and those beside it are not.
    """
    begun, end = asyncio.Event(), asyncio.Event()

    async def beside():
        begun.set()
        await end.wait()
        mark("beside")

    other = asyncio.create_task(beside())
    await begun.wait()
    with capture() as captured, bl.step("outer"):
        await asyncio.gather(asyncio.to_thread(mark, "thread"), asyncio.create_task(asyncio.sleep(0)))
        await asyncio.create_task(step_in_a_task())
    end.set()
    await other

    assert captured.tree() == "step outer  success\n├── step thread  success\n└── step task  success"


async def step_in_a_task():
    mark("task")


# ── inside a run ──────────────────────────────────────────────────────────────────────────────────


def test_inside_a_run(tmp_path):
    """
    Inside a configured run the run gets nothing of the block, and goes on afterwards where it was.
    """
    with bl.configure("test", directory=tmp_path, console=False) as run:
        with bl.step("before"):
            with capture() as captured:
                load()
                with trace.get_tracer("app").start_as_current_span("theirs"):
                    bl.stamp("there")
            mark("after")
        with trace.get_tracer("app").start_as_current_span("span"):
            bl.stamp("here")

    assert captured.tree() == "step load  success\n· loaded rows=3\nspan theirs  success\n· there"
    from branchline.read.tree import tree

    assert tree(open_runs(tmp_path)[run.run_id]) == (
        "step before  success\n└── step after  success\nspan span  success\n· here"
    )


def test_beside_a_run(tmp_path):
    """
    Another thread of the run goes on recording into the run, sampled as the run says, while a block captures.
    """
    captures, recorded = threading.Event(), threading.Event()

    def work():
        with bl.step("beside"):
            captures.wait()
            bl.stamp("during")
            mark("inside")
            bl.stamp("later")
        mark("another")
        recorded.set()

    with bl.configure("test", directory=tmp_path, console=False, resource={"team": "blue"}) as run:
        thread = threading.Thread(target=work)
        thread.start()
        with capture() as captured:
            load()
            captures.set()
            recorded.wait()
        thread.join()
        provider = trace.get_tracer_provider()
        assert getattr(provider, "resource").attributes["team"] == "blue"  # noqa: B009 - the API does not know of it

    from branchline.read.tree import tree

    assert captured.tree() == "step load  success\n· loaded rows=3"
    assert tree(open_runs(tmp_path)[run.run_id]) == (
        "step beside  success\n· during\n· later\n└── step inside  success\nstep another  success"
    )


def test_configure_inside(tmp_path):
    """
    A program that configures itself inside the block is captured all the same, and its run goes on after it.
    """
    from branchline.read.tree import tree

    with capture() as captured:
        run = bl.configure("test", directory=tmp_path, console=False)
        load()
    mark("after")
    bl.shutdown()

    assert captured.tree() == "step load  success\n· loaded rows=3"
    assert tree(open_runs(tmp_path)[run.run_id]) == "step after  success"
    assert CURRENT.recorder is None


def test_shutdown_inside(tmp_path):
    """
    A program that configures and shuts itself down inside the block is captured to the end of the block.
    """
    with capture() as captured:
        with bl.configure("test", directory=tmp_path, console=False):
            load()
        mark("after")

    assert captured.tree() == "step load  success\n· loaded rows=3\nstep after  success"


def test_run_ends_inside(tmp_path):
    """
    A run that ends while a block captures ends; the block goes on.
    """
    run = bl.configure("test", directory=tmp_path, console=False)
    with capture() as captured:
        run.shutdown()
        load()

    assert captured.tree() == "step load  success\n· loaded rows=3"
    assert CURRENT.recorder is None


# ── processes ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_child_processes(method):
    """
    What child processes of the standard library record is captured, below the step that started them.
    """
    with capture() as captured, bl.step("start"):
        child = multiprocessing.get_context(method).Process(target=mark, args=("child",))
        child.start()
        child.join()
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
            pool.submit(mark, "pool").result()

    assert captured.tree() == "step start  success\n├── step child  success\n└── step pool  success"


PROGRAM = "import branchline as bl; bl.configure('child')\nwith bl.step('child'): pass"


def test_subprocess():
    """
    A program that is started and configures itself belongs to the capture.
    """
    with capture() as captured, bl.step("start"):
        subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)

    assert captured.tree() == "step start  success\n└── step child  success"


def test_processes_side_by_side():
    """
    Threads that capture side by side each see the processes that they have started.
    """
    wrong = []
    barrier = threading.Barrier(2)

    def work(number):
        name = f"child {number}"
        barrier.wait()
        with capture() as captured, bl.step("start"):
            barrier.wait()
            subprocess.run([sys.executable, "-c", PROGRAM.replace("'child'", repr(name))], check=True, timeout=60)
            child = multiprocessing.get_context("spawn").Process(target=mark, args=(name,))
            child.start()
            child.join()
            barrier.wait()
        if captured.tree() != f"step start  success\n├── step {name}  success\n└── step {name}  success":
            wrong.append(captured.tree())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_forked_child():
    """
    A forked child that leaves by ``os._exit`` has recorded what it has recorded.
    """
    with capture() as captured, bl.step("start"):
        if os.fork() == 0:
            mark("child")
            os._exit(0)
        os.wait()

    assert captured.tree() == "step start  success\n└── step child  success"


def test_killed_child():
    """
    A child that is killed shows what it had begun, as interrupted.
    """
    program = (
        "import branchline as bl, os, signal; bl.configure('child')\n"
        "with bl.experiment('sweep'):\n    with bl.step('done'): pass\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    with capture() as captured:
        subprocess.run([sys.executable, "-c", program], check=False, timeout=60)

    assert captured.tree() == "experiment sweep  interrupted  the process died\n└── step done  success"


# ── the fixture ───────────────────────────────────────────────────────────────────────────────────

SUITE = """\
import asyncio
import branchline as bl
import pytest
from opentelemetry import trace


@bl.traced_step
def load():
    bl.stamp("loaded", rows=3)


@pytest.mark.parametrize("number", range(6))
def test_sync(telemetry, number):
    load()
    assert telemetry.tree() == "step load  success\\n· loaded rows=3"


@pytest.fixture
def prepared(telemetry):
    with bl.step("prepared"):
        yield


def test_with_another_fixture(prepared, telemetry):
    load()
    assert bl.current_step().name == "prepared"
    assert [step.name for step in telemetry.steps] == ["load"]


async def test_async(telemetry):
    async with bl.step("outer"):
        await asyncio.to_thread(load)
    assert telemetry.tree() == "step outer  success\\n└── step load  success\\n    · loaded rows=3"


def test_without():
    load()
    assert bl.current_step() is None
"""


INI = """\
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
addopts = -p no:cacheprovider -W error
"""


@pytest.mark.parametrize("workers", [["-p", "no:xdist"], ["-n", "2"]], ids=["alone", "xdist"])
def test_fixture(tmp_path, workers):
    """
    The fixture ``telemetry`` gives sync and async tests, alone and in parallel workers, what they recorded.
    """
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text(INI)

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *workers],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "BRANCHLINE_"))},
    )

    assert (ran.returncode, "9 passed" in ran.stdout) == (0, True), ran.stdout + ran.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == [
        "pytest.ini",
        "test_suite.py",
    ]


def test_fixture_costs_nothing(tmp_path):
    """
    The plugin loads neither the SDK nor branchline's recording for tests that do not ask for it.
    """
    (tmp_path / "test_suite.py").write_text(
        "import sys\ndef test():\n"
        "    assert [name for name in ('opentelemetry.sdk', 'branchline.telemetry') if name in sys.modules] == []\n"
    )

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert "1 passed" in ran.stdout, ran.stdout


def test_directories_are_private(tmp_path, monkeypatch):
    """
    What is captured lies, for the time being, where nobody else can read it.
    """
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with capture():
        load()
        [folder] = tmp_path.iterdir()
        mode = Path(folder).stat().st_mode & 0o777

    assert mode == 0o700
