"""Setting up and ending: one run at a time, everything undone, and nothing at all without ``configure()``."""

from __future__ import annotations

import json
import os
import pickle
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased

import branchline as bl
from branchline import FlushResult
from branchline._journal.layout import new_run_id
from branchline.context import CURRENT
from branchline.read import open_runs
from branchline.read.tree import tree
from surplus import Surplus
from waiting import wait_for


configure: Any = bl.configure
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    """A folder of its own to work in, and no run left behind."""
    monkeypatch.chdir(tmp_path)
    yield
    bl.shutdown()


def mark(name="x"):
    with bl.step(name):
        pass


def recorded(directory=".branchline"):
    """The trees of all runs in *directory*, oldest first."""
    return [tree(run) for run in sorted(open_runs(directory), key=lambda run: run.id)]


def environment(**variables):
    """What a program gets that is started from a clean shell."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("BRANCHLINE_", "OTEL_"))}
    return clean | variables


def run_python(program, *, code=0, cwd=None, **variables):
    """Run *program*; return what it printed and what it said on stderr."""
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        env=environment(**variables),
    )
    assert ran.returncode == code, ran.stderr
    return ran.stdout.strip(), ran.stderr.strip()


# ── one run ───────────────────────────────────────────────────────────────────────────────────────


def test_run():
    """
    What is recorded after configure() is in the run's folder; shutdown() ends it.
    """
    run = bl.configure("test")
    mark()
    result = bl.shutdown()

    assert run.run_directory == Path.cwd() / ".branchline" / "runs" / run.run_id
    assert recorded() == ["step x  success"]
    assert (result, bool(result)) == (FlushResult(journaled=3), True)


def test_same_options():
    """
    Called again with the same options, it goes on with the same run.
    """
    first = bl.configure("test", directory="here", console=False, resource={"a": 1})
    with bl.step("x"):
        second = bl.configure("test", directory=Path("here"), console=False, resource={"a": 1})
        mark("inside")
    bl.shutdown()

    assert first is second
    assert recorded("here") == ["step x  success\n└── step inside  success"]


def test_other_options():
    """
    Called again with other options, it ends the run that there was and begins another one.
    """
    first = bl.configure("test", directory="here")
    mark("first")
    second = bl.configure("test", directory="here", capture=True)
    mark("second")
    bl.shutdown()

    assert first.run_id != second.run_id
    assert repr(first) == f"<run {first.run_id} ended in {first.run_directory}>"
    assert [(run.state, tree(run)) for run in sorted(open_runs("here"), key=lambda run: run.id)] == [
        ("ended", "step first  success"),
        ("ended", "step second  success"),
    ]


def test_after_shutdown():
    """
    After shutdown() the same options begin a new run.
    """
    first = bl.configure("test")
    first.shutdown()
    second = bl.configure("test")

    assert first.run_id != second.run_id


def test_a_step_open_at_another_configure():
    """
    A step that is open when another run begins is interrupted in the one it belongs to; what follows is the other's.
    """
    bl.configure("first")
    with bl.step("open"):
        bl.configure("second")
        mark("inside")
    mark("after")
    bl.shutdown()

    assert recorded() == ["step open  interrupted", "step inside  success\nstep after  success"]


def state(surplus):
    """
    Return what a run may change.
    """
    return (
        dict(os.environ),
        CURRENT.recorder,
        CURRENT.run_id,
        CURRENT.directory,
        otel_context.get_current(),
        threading.Thread.start,
        ThreadPoolExecutor.submit,
        subprocess.Popen.__init__,
        list(sys.meta_path),
        signal.getsignal(signal.SIGTERM),
        surplus.threads(),
        surplus.files(),
    )


def settled(*thread_names):
    for thread in threading.enumerate():
        if thread.name in (thread_names or ("branchline-tidy", "branchline-metadata")):
            thread.join()


def test_twenty_times():
    """
    Twenty runs after each other leave threads, files, handlers and patches as they were, and nothing is recorded twice.
    """
    bl.configure("test").shutdown()
    settled()
    surplus = Surplus()
    before = state(surplus)
    for number in range(20):
        bl.configure(f"test {number}")
        mark(f"step {number}")
        with trace.get_tracer("app").start_as_current_span("span"):
            pass
    bl.shutdown()
    settled()

    assert state(surplus) == before
    assert recorded()[1:] == [f"step step {number}  success\nspan span  success" for number in range(20)]


def test_no_more_while_it_runs():
    """
    The twentieth run has no more threads and files open than the first one.
    """
    surplus = Surplus()
    sizes = []
    for number in range(20):
        bl.configure(f"test {number}")
        mark()
        bl.flush()
        settled()
        sizes.append((len(surplus.threads()), len(surplus.files())))
    threads, files = sizes[0]

    assert {threads for threads, _ in sizes} == {threads}
    # One more is open for a moment while a file takes the place of another: what is left open stays.
    wait_for(lambda: len(surplus.files()) <= files)


def test_context_manager():
    """
    It is a context manager that shuts down at its end, with an exception too.
    """
    run = bl.configure("test")
    mark()
    with pytest.raises(ZeroDivisionError), run:
        _ = 1 / 0

    assert repr(run).startswith(f"<run {run.run_id} ended")
    assert CURRENT.recorder is None
    assert recorded() == ["step x  success"]


def test_shutdown_twice():
    """
    Ending what has ended does nothing.
    """
    run = bl.configure("test")
    mark()
    run.shutdown()

    assert (run.shutdown(), bl.shutdown(), run.flush(), bool(bl.flush())) == (
        FlushResult(),
        FlushResult(),
        run.flush(),
        True,
    )
    assert recorded() == ["step x  success"]


def test_use_after_shutdown():
    """
    After the end nothing is recorded, nothing is current, and nothing is raised.
    """
    run = bl.configure("test")
    with bl.step("open") as step:
        run.shutdown()
        step.set(late=True)
        step.stamp("late")
        mark("inside")
        bl.stamp("late")
        inside = bl.current_step()
    mark("after")
    with trace.get_tracer("app").start_as_current_span("span") as span:
        after = bl.current_step()

    assert (inside, after, span.is_recording()) == (None, None, False)
    assert recorded() == ["step open  interrupted"]


def test_an_old_run_is_ended_for_good():
    """
    Shutting down a run that another one has replaced does nothing to that one.
    """
    first = bl.configure("first")
    bl.configure("second")
    first.shutdown()
    mark()
    bl.shutdown()

    assert recorded() == ["", "step x  success"]


# ── flush ─────────────────────────────────────────────────────────────────────────────────────────


def test_flush():
    """
    flush() is true when everything is on the disk, where everybody can read it.
    """
    run = bl.configure("test", directory="here")
    mark()
    result = bl.flush()

    assert (bool(result), result.dropped, result.is_complete) == (True, 0, True)
    assert tree(open_runs("here")[run.run_id]) == "step x  success"


def test_flush_of_nothing():
    """
    With nothing to write it is true, with a run and without.
    """
    without = bl.flush()
    bl.configure("test")

    assert (bool(without), bool(bl.flush())) == (True, True)


@pytest.mark.parametrize(
    ("result", "is_true"),
    [
        (FlushResult(), True),
        (FlushResult(journaled=5, delivered=5), True),
        (FlushResult(journaled=5, dropped=1), False),
        (FlushResult(journaled=5, rejected=1), False),
        (FlushResult(journaled=5, spooled=1), False),
        (FlushResult(journaled=5, is_complete=False), False),
    ],
)
def test_flush_result(result, is_true):
    """
    A result is true only if nothing was dropped or rejected and nothing is still waiting.
    """
    assert bool(result) is is_true


def test_flush_of_what_cannot_be_written(capfd):
    """
    Where nothing can be written flush() says so, the program goes on, and one line on stderr says why.
    """
    Path("file").write_text("in the way")
    bl.configure("test", directory="file/below")
    mark()
    flushed = bl.flush(0.5)
    mark()
    ended = bl.shutdown(0.5)

    assert (bool(flushed), bool(ended)) == (False, False)
    assert [line for line in capfd.readouterr().err.splitlines() if "file/below" in line] != []


# ── what is refused ───────────────────────────────────────────────────────────────────────────────


def test_config_error():
    """
    A wrong option fails at once, names what is accepted, and leaves the run that there is alone.
    """
    run = bl.configure("test")
    with pytest.raises(bl.ConfigError, match="VERBOSE, REGULAR, QUIET"):
        configure("test", verbosity="LOUD")
    with pytest.raises(TypeError, match="directorry"):
        configure("test", directorry="x")
    mark()

    assert repr(run).startswith(f"<run {run.run_id} recording")


@pytest.mark.parametrize("name", ["../../up", "/absolute", "a\0b", "..", ".", "CON", "x" * 5000, "a/b", "", "\ud800"])
def test_hostile_run_ids(name):
    """
    A run id that could leave the directory, or that no file system takes, is refused.
    """
    with pytest.raises(bl.ConfigError):
        bl.configure("test", run_id=name)


@pytest.mark.parametrize("name", ["../../up", "/absolute", "a\0b", "..", "CON", "x" * 5000, "line\nbreak", "\x1b[31m"])
def test_hostile_names(tmp_path, name):
    """
    No name of a service, experiment, branch or step leaves the directory, or keeps anything from being recorded.
    """
    inside = tmp_path / "inside"
    with bl.configure(name, directory=inside / "here"):
        with bl.experiment(name), bl.branch({"a": name}, name=name, config_id=name), bl.step(name):
            bl.stamp(name)

    [run] = open_runs(inside / "here")
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]
    assert [path.name for path in inside.iterdir()] == ["here"]
    assert [len(run.experiments), len(run.branches), len(run.steps)] == [1, 1, 1]


# ── files ─────────────────────────────────────────────────────────────────────────────────────────


def test_modes(monkeypatch):
    """
    Files are for their owner alone, whatever the umask.
    """
    before = os.umask(0o000)
    try:
        with bl.configure("test"):
            mark()
    finally:
        os.umask(before)

    modes = {
        (path.is_dir(), oct(stat.S_IMODE(path.lstat().st_mode)))
        for path in [Path(".branchline"), *Path(".branchline").rglob("*")]
    }
    assert modes == {(True, "0o700"), (False, "0o600")}


def test_run_json():
    """
    run.json says what the run is, who began it, and what it ran in.
    """
    run = bl.configure("test", run_id="my-run")
    mark()
    bl.shutdown()

    said = json.loads((run.run_directory / "run.json").read_text())
    assert (said["version"], said["run_id"], said["service_name"], set(said)) == (
        1,
        "my-run",
        "test",
        {"version", "run_id", "created_unix_nano", "service_name", "process", "metadata"},
    )
    assert said["process"] in [folder.name for folder in run.run_directory.iterdir()]


def test_run_json_is_created_once():
    """
    Of several processes of one run the first writes run.json; whoever comes later leaves it alone.
    """
    program = (
        "import branchline as bl; bl.configure({name!r}, run_id='shared', directory='here')\nwith bl.step('x'): pass"
    )
    run_python(program.format(name="first"))
    file = Path("here/runs/shared/run.json")
    first = file.read_text(), file.stat().st_mtime_ns, file.stat().st_ino
    for name in ("second", "third"):
        run_python(program.format(name=name))

    assert (file.read_text(), file.stat().st_mtime_ns, file.stat().st_ino) == first
    assert recorded("here") == ["step x  success\nstep x  success\nstep x  success"]


def test_run_ids_sort_by_time():
    """
    Sorted by name, runs are sorted by time, down to the millisecond.
    """
    moments = [0.0, 1.5, 1_700_000_000.0, 1_700_000_000.001, 1_700_000_000.002, 1_700_000_001.0, 1_900_000_000.25]

    ids = [new_run_id(moment) for moment in moments]

    assert sorted(ids) == ids


def test_run_ids_are_unique():
    """
    Runs that begin in the same moment have different ids.
    """
    assert len({new_run_id(5.0) for _ in range(1000)}) == 1000


def test_nothing_recorded_nothing_lost():
    """
    A run in which nothing happens is there all the same: it was begun, and it ended.
    """
    with bl.configure("test") as run:
        pass

    assert (open_runs(".branchline")[run.run_id].state, recorded()) == ("ended", [""])


# ── environment and files ─────────────────────────────────────────────────────────────────────────

OURS = ("BRANCHLINE_RUN_ID", "BRANCHLINE_DIR", "BRANCHLINE_OWNER")


def exported():
    return {name: os.environ[name] for name in OURS if name in os.environ}


def test_export():
    """
    The environment tells children of the run while it lasts, and not a moment longer.
    """
    with bl.configure("test", directory="here") as run:
        during = exported()

    assert during == {
        "BRANCHLINE_RUN_ID": run.run_id,
        "BRANCHLINE_DIR": str(Path.cwd() / "here"),
        "BRANCHLINE_OWNER": str(os.getpid()),
    }
    assert exported() == {}


def test_export_gives_back(monkeypatch):
    """
    What stood there before stands there afterwards, and so does what somebody has set in between.
    """
    monkeypatch.setenv("BRANCHLINE_DIR", "before")
    with bl.configure("test"):
        os.environ["BRANCHLINE_RUN_ID"] = "theirs"

    left = exported()
    del os.environ["BRANCHLINE_RUN_ID"]
    assert left == {"BRANCHLINE_DIR": "before", "BRANCHLINE_RUN_ID": "theirs"}


def test_own_export_is_ignored():
    """
    A process does not take its own export for an instruction: its next run is a new one, and in its own directory.
    """
    first = bl.configure("test", directory="first")
    second = bl.configure("test")

    assert first.run_id != second.run_id
    assert second.directory == Path.cwd() / ".branchline"


def test_inherited_run(monkeypatch):
    """
    A process whose parent runs joins that run, as often as it configures.
    """
    monkeypatch.setenv("BRANCHLINE_RUN_ID", "parents")
    monkeypatch.setenv("BRANCHLINE_DIR", str(Path.cwd() / "there"))
    monkeypatch.setenv("BRANCHLINE_OWNER", "1")

    first = bl.configure("test")
    again = bl.configure("test")
    other = bl.configure("test", capture=True)
    mark()
    bl.shutdown()
    after = bl.configure("test")

    assert first is again
    assert [run.run_id for run in (first, other, after)] == ["parents"] * 3
    assert {run.directory for run in (first, other, after)} == {Path.cwd() / "there"}


def test_forked_child_configures():
    """
    A forked child that configures itself, with the same options or others, belongs to its parent's run.
    """
    program = """
        import os, branchline as bl
        run = bl.configure("test", directory="here")
        with bl.step("parent"):
            for options in ({}, {"capture": True}):
                if os.fork() == 0:
                    with bl.configure("test", directory="here", **options) as child, bl.step("child"):
                        assert child.run_id == run.run_id
                    os._exit(0)
                os.wait()
    """
    run_python(program)

    assert recorded("here") == ["step parent  success\n├── step child  success\n└── step child  success"]


def test_main_without_guard(tmp_path):
    """
    A program that configures itself at its top, and so once more in each of its spawned children, has one run.
    """
    (tmp_path / "main.py").write_text(
        textwrap.dedent(
            """
            import multiprocessing, branchline as bl
            bl.configure("main", directory="here")

            @bl.traced_step
            def work(): pass

            if __name__ == "__main__":
                with bl.step("parent"):
                    child = multiprocessing.get_context("spawn").Process(target=work)
                    child.start()
                    child.join()
            """
        )
    )
    ran = subprocess.run(
        [sys.executable, "main.py"], capture_output=True, text=True, timeout=120, check=False, env=environment()
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert recorded("here") == ["step parent  success\n└── step work  success"]


def test_traceparent(monkeypatch):
    """
    A process that is started with TRACEPARENT continues that trace until its run ends, and in its next run again.
    """
    monkeypatch.setenv("TRACEPARENT", f"00-{TRACE}-{SPAN}-01")
    for _ in range(2):
        with bl.configure("test"), bl.step("x"):
            assert bl.configure("test").run_id
        assert not trace.get_current_span().get_span_context().is_valid

    steps = [step for run in open_runs(".branchline") for step in run.steps]
    assert [(step.trace_id, step.parent_id) for step in steps] == [(TRACE, SPAN)] * 2


@pytest.mark.parametrize("value", ["", "nonsense", "00-0-0-00", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_bad_traceparent(value):
    """
    A TRACEPARENT that is none begins a trace of its own.
    """
    run_python("import branchline as bl\nwith bl.configure('test'), bl.step('x'): pass", TRACEPARENT=value)

    assert [step.parent_id for run in open_runs(".branchline") for step in run.steps] == [None]


def test_unsampled_traceparent():
    """
    A parent that does not want to be sampled is believed.
    """
    run_python(
        "import branchline as bl\nwith bl.configure('test'), bl.step('x'): pass", TRACEPARENT=f"00-{TRACE}-{SPAN}-00"
    )

    [run] = open_runs(".branchline")
    assert (tree(run), run.processes[0].counters["spans"]) == (
        "",
        {"recorded": 1, "journaled": 0, "sampled_out": 1, "dropped": {}},
    )


def test_propagate():
    """
    With propagate=False threads and processes know nothing of the step they are started in, unless one carries it.
    """
    with bl.configure("test", propagate=False), bl.step("outer"):
        patched = [threading.Thread.start, ThreadPoolExecutor.submit, subprocess.Popen.__init__]
        for target in (mark, bl.carry(lambda: mark("carried"))):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()

    assert [function.__module__ for function in patched] == ["threading", "concurrent.futures.thread", "subprocess"]
    assert recorded() == ["step outer  success\n└── step carried  success\nstep x  success"]


def test_file():
    """
    [tool.branchline] in pyproject.toml, here or above, says what nobody else says.
    """
    Path("pyproject.toml").write_text('[tool.branchline]\nservice_name = "from file"\ndirectory = "filed"\n')
    below = Path("below")
    below.mkdir()
    os.chdir(below)
    run = bl.configure()

    assert (run.config.service_name, run.directory) == ("from file", Path.cwd().parent / "filed")


def test_disabled(monkeypatch):
    """
    OTEL_SDK_DISABLED: configure() does nothing, steps cost nothing, and there is a run to ask all the same.
    """
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    surplus = Surplus()
    before = state(surplus)
    with bl.configure("test") as run:
        mark()
        during = state(surplus)

    assert during == before
    assert (bool(run.flush()), bl.current_step(), list(Path.cwd().iterdir())) == (True, None, [])


def test_disabled_ends_what_there_was(monkeypatch):
    """
    Switched off between two configure(), the run that there was ends.
    """
    bl.configure("test")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    bl.configure("test")
    mark()

    assert recorded() == [""]


# ── sampler, resource ─────────────────────────────────────────────────────────────────────────────


def counted(run):
    return run.processes[0].counters["spans"]


@pytest.mark.parametrize(
    "sampler", [ALWAYS_OFF, TraceIdRatioBased(0), ParentBased(ALWAYS_OFF)], ids=["off", "ratio", "parent"]
)
def test_sampler(sampler):
    """
    What the sampler leaves out is not recorded, and counted; logs are recorded all the same.
    """
    with bl.configure("test", sampler=sampler):
        with bl.step("outer") as step:
            step.set(a=1)
            mark("inner")
        bl.stamp("kept")

    [run] = open_runs(".branchline")
    assert tree(run) == "· kept"
    assert counted(run) == {"recorded": 2, "journaled": 0, "sampled_out": 2, "dropped": {}}


def test_sampler_from_the_environment():
    """
    OTEL_TRACES_SAMPLER is honoured.
    """
    run_python(
        "import branchline as bl\nwith bl.configure('test'), bl.step('x'): pass", OTEL_TRACES_SAMPLER="always_off"
    )

    [run] = open_runs(".branchline")
    assert counted(run)["sampled_out"] == 1


class Failing:
    def should_sample(self, *args, **kwargs):
        raise ZeroDivisionError

    def get_description(self):
        return "failing"


def test_failing_sampler(capfd):
    """
    A sampler that raises harms nobody: the step runs, and one line says what went wrong.
    """
    sampler: Any = Failing()
    with bl.configure("test", sampler=sampler):
        for _ in range(3):
            mark()
            with trace.get_tracer("app").start_as_current_span("span"):
                pass

    assert "ZeroDivisionError" in capfd.readouterr().err


def test_the_next_run_has_its_own_sampler():
    """
    A run's sampler and resource end with it.
    """
    with bl.configure("test", sampler=ALWAYS_OFF, resource={"team": "blue"}):
        mark()
    with bl.configure("test"):
        mark()

    assert recorded() == ["", "step x  success"]


def resource_of(run):
    [file] = run.directory.glob("*/traces-*.jsonl*")
    line = json.loads(file.read_text().splitlines()[0])
    attributes = line["resourceSpans"][0]["resource"]["attributes"]
    return {attribute["key"]: next(iter(attribute["value"].values())) for attribute in attributes}


def test_resource(monkeypatch):
    """
    The resource says who recorded it, in which process and run, and what was asked for.
    """
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=blue,place=here")
    with bl.configure("test", resource={"place": "there", "size": 3, "tags": ["a", "b"]}) as run:
        mark()
        bl.flush()
        found = resource_of(open_runs(".branchline")[run.run_id])

    expected = {
        "service.name": "test",
        "team": "blue",
        "place": "there",
        "size": "3",
        "process.pid": str(os.getpid()),
        "branchline.run.id": run.run_id,
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "branchline",
    }
    assert {key: found.get(key) for key in expected} == expected
    assert {"tags", "service.instance.id", "host.name", "telemetry.sdk.version"} <= set(found)


# ── without configure(), and quietly ──────────────────────────────────────────────────────────────


def test_not_configured():
    """
    Without configure() nothing happens: nothing written, no SDK, no thread, no environment.
    """
    printed, said = run_python(
        """
        import os, sys, threading
        before = dict(os.environ)
        import branchline as bl
        @bl.traced_step
        def work(): bl.stamp("x")
        work()
        with bl.experiment("sweep"), bl.branch({"a": 1}), bl.step("y") as step:
            step.set(a=1)
        bl.flush(), bl.shutdown()
        print(dict(os.environ) == before, threading.active_count(), os.listdir("."))
        """
    )

    assert (printed, said) == ("True 1 []", "")


def test_recording_loads_no_sdk():
    """
    Recording without configure() loads no SDK.
    """
    printed, _ = run_python(
        """
        import sys, branchline as bl
        with bl.experiment("sweep"), bl.branch({"a": 1}), bl.step("y"): bl.stamp("x")
        bl.carrier(), bl.current_step()
        print([name for name in ("opentelemetry.sdk", "rich", "orjson", "click") if name in sys.modules])
        """
    )

    assert printed == "[]"


def test_quiet():
    """
    With no terminal there is nothing on stderr or stdout, exit included, and no summary unless asked for.
    """
    program = "import branchline as bl; bl.configure('test'{})\nwith bl.step('x'): pass"
    silent = [run_python(program.format("")), run_python(program.format(", console=False"))]
    asked = run_python(program.format(", console=True"))

    assert silent == [("", ""), ("", "")]
    assert "x" in asked[1]


def test_exit_with_open_steps():
    """
    A program that ends with steps open has them as interrupted, and all that was said of them.
    """
    run_python(
        """
        import sys, branchline as bl
        bl.configure("test")
        step = bl.step("open")
        step.__enter__()
        step.set(a=1)
        inner = bl.step("inner").__enter__()
        inner.stamp("there", rows=3)
        sys.exit(0)
        """
    )

    [run] = open_runs(".branchline")
    assert tree(run) == "step open  interrupted\n└── step inner  interrupted\n    · there rows=3"
    assert (run.state, run.steps[0].attributes, run.steps[0].status) == ("ended", {"a": 1}, "ERROR")


@pytest.mark.parametrize(
    ("ending", "code", "outcome"),
    [
        ("sys.exit(3)", 3, "interrupted  SystemExit: 3"),
        ("sys.exit(0)", 0, "success"),
        ("raise KeyboardInterrupt", -signal.SIGINT, "interrupted  KeyboardInterrupt"),
        ("raise ValueError('boom')", 1, "failed  ValueError: boom"),
    ],
)
def test_exit_out_of_a_step(ending, code, outcome):
    """
    SP 1.3 (5): a program that ends by an exception has it in its steps.
    """
    run_python(f"import sys, branchline as bl\nbl.configure('test')\nwith bl.step('x'):\n    {ending}", code=code)

    assert recorded() == [f"step x  {outcome}"]


STRICT = """
    import branchline as bl
    class Failing:
        def should_sample(self, *args, **kwargs): 1 / 0
        def get_description(self): return "failing"
    bl.configure("test", sampler=Failing())
    with bl.step("x"):
        print("inside")
"""


def test_strict():
    """
    BRANCHLINE_STRICT turns what would be counted into an exception, for tests; otherwise the program goes on.
    """
    tolerant, _ = run_python(STRICT)
    _, said = run_python(STRICT, code=1, BRANCHLINE_STRICT="1")

    assert tolerant == "inside"
    assert "ZeroDivisionError" in said


def test_flush_result_can_be_pickled():
    """
    What flush() said can be sent to another process.
    """
    result = bl.configure("test").flush()

    assert pickle.loads(pickle.dumps(result)) == result
