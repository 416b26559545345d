"""``branchline run``: real commands, with a journal of what their Python processes do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from branchline.read import Run, open_runs
from branchline.read.tree import tree
from branchline.scripts import default_service_name, script_of
from endpoints import HttpEndpoint


TREE = "span outer  success\n└── span inner  success"
SPANS = """
with tracer.start_as_current_span("outer"):
    with trace.get_tracer("later").start_as_current_span("inner"):
        pass
"""
API_ONLY = f"from opentelemetry import trace\ntracer = trace.get_tracer('early')\n{SPANS}"
OWN_PROVIDERS = f"""
import time
from opentelemetry import _logs, metrics, trace
tracer = trace.get_tracer("early")
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
provider, reader = TracerProvider(), InMemoryMetricReader()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: span.name + "\\n")))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))
_logs.set_logger_provider(LoggerProvider())
metrics.get_meter("app").create_counter("hits").add(3)
_logs.get_logger("app").emit(_logs.LogRecord(timestamp=time.time_ns(), body="hello"))
{SPANS}
assert reader.get_metrics_data().resource_metrics
"""


def started(tmp_path: Path, *command: str, **options) -> subprocess.Popen[str]:
    environment = {**os.environ, "BRANCHLINE_DIR": str(tmp_path), **options.pop("variables", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "branchline", "run", *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def ran(
    tmp_path: Path, program: str, *arguments: str, code: int = 0, variables: Mapping[str, str] | None = None
) -> tuple[str, str]:
    script = tmp_path / "app.py"
    script.write_text(program)
    with started(
        tmp_path / "journal", "--", sys.executable, str(script), *arguments, variables=variables or {}
    ) as process:
        said, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    return said, errors


def only_run(tmp_path: Path) -> Run:
    [run] = open_runs(tmp_path / "journal")
    return run


def metric_lines(run: Run) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(run.directory.rglob("metrics-*.jsonl")))


# ── an application that knows nothing of branchline ───────────────────────────────────────────────


def test_an_application_without_providers(tmp_path):
    """
    What an application tells the API of traces is recorded, though it has set up nothing.
    """
    _, errors = ran(tmp_path, API_ONLY)
    run = only_run(tmp_path)

    assert (run.service_name, run.state, tree(run)) == ("app", "ended", TREE)
    assert errors == f"branchline: run {run.id} of 1 process; `branchline show {run.id}` shows it\n"


def test_an_application_with_providers_of_its_own(tmp_path):
    """
    It keeps its providers and exports as before, and all its signals are in the journal, those of early tracers too.
    """
    said, errors = ran(tmp_path, OWN_PROVIDERS)
    run = only_run(tmp_path)

    assert (said, len(errors.splitlines())) == ("inner\nouter\n", 1)
    assert tree(run) == TREE
    assert [line.message for line in run.logs] == ["hello"]
    assert metric_lines(run).count(b'"asInt":"3"') >= 1


def test_an_application_that_says_where_to_export_to(tmp_path):
    """
    Where the environment names an exporter, OpenTelemetry sets its SDK up as ever, and the journal has the spans too.
    """
    with HttpEndpoint() as endpoint:
        variables = {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint.url,
        }
        ran(tmp_path, API_ONLY, variables=variables)

        assert (len(endpoint.received.spans), endpoint.received.duplicates()) == (2, 0)
    assert tree(only_run(tmp_path)) == TREE


def test_an_application_that_is_instrumented_already(tmp_path):
    """
    `opentelemetry-instrument` may stand in between: it finds branchline among the exporters.
    """
    script = tmp_path / "app.py"
    script.write_text(API_ONLY)
    instrument = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    with started(tmp_path / "journal", "--", instrument, sys.executable, str(script)) as process:
        process.communicate(timeout=60)

    assert tree(only_run(tmp_path)) == TREE


def test_logs_of_an_application(tmp_path):
    """
    What it logs is in the journal and on stderr as before.
    """
    _, errors = ran(tmp_path, "import logging\nlogging.getLogger('app').warning('hm %s', 1)")

    assert errors.startswith("hm 1\nbranchline: ")
    assert [line.message for line in only_run(tmp_path).logs] == ["hm 1"]


def test_a_kill(tmp_path):
    """
    A killed application loses nothing that had ended, and its end is the command's.
    """
    ran(tmp_path, f"{API_ONLY}\nopen_one = tracer.start_span('open')\nimport os; os.kill(os.getpid(), 9)", code=137)

    assert TREE in tree(only_run(tmp_path))


# ── an application that uses branchline ───────────────────────────────────────────────────────────


def test_an_application_that_configures_branchline(tmp_path):
    """
    It joins the run, with the service name that it gives itself.
    """
    program = """
import branchline as bl
with bl.configure("mine", console=False), bl.branch({"a": 1}), bl.step("load"):
    bl.stamp("half")
"""
    ran(tmp_path, program)
    run = only_run(tmp_path)

    assert [(branch.name, branch.status) for branch in run.branches] == [("a=1", "success")]
    assert len(run.processes) == 2


def test_an_application_that_leaves_it_at_steps(tmp_path):
    """
    Steps are recorded without a `configure()`, in child processes too; all belong to the run.
    """
    program = """
import subprocess, sys
import branchline as bl
with bl.step("parent"):
    subprocess.run([sys.executable, "-c", "import branchline as bl\\nwith bl.step('child'): pass"], check=True)
"""
    ran(tmp_path, program)
    run = only_run(tmp_path)

    assert {step.name for step in run.contents.steps} == {"parent", "child"}
    assert len(run.processes) == 3


# ── the command ───────────────────────────────────────────────────────────────────────────────────


def test_arguments_and_exit_code_are_the_commands(tmp_path):
    """
    The command gets its arguments as they are, and its exit code is ours.
    """
    said, _ = ran(tmp_path, "import sys; print(sys.argv[1:]); sys.exit(3)", "--json", "-d", "x", code=3)

    assert said == "['--json', '-d', 'x']\n"


def test_any_command(tmp_path):
    """
    A command that is no Python program runs as well, and gets no more than the environment.
    """
    with started(tmp_path / "journal", "--name", "shell", "--", "sh", "-c", "echo $BRANCHLINE_RUN_ID") as process:
        said, errors = process.communicate(timeout=60)

    assert (said.strip(), only_run(tmp_path).service_name) == (only_run(tmp_path).id, "shell")
    assert "of no Python process" in errors


@pytest.mark.parametrize("command", ["no-such-command", "."])
def test_a_command_that_cannot_be_run(tmp_path, command):
    """
    What cannot be run is told in one line.
    """
    with started(tmp_path / "journal", "--", command) as process:
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert repr(command) in errors.splitlines()[0]
    assert "Traceback" not in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_the_commands(tmp_path, number):
    """
    Who ends the command is the command itself: a signal reaches it, and what it does then is recorded and counts.
    """
    program = """
import signal, sys, time
from opentelemetry import trace
def stop(*_):
    with trace.get_tracer("app").start_as_current_span("stopping"):
        sys.exit(5)
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, stop)
print("ready", flush=True)
time.sleep(60)
"""
    script = tmp_path / "app.py"
    script.write_text(program)
    with started(tmp_path / "journal", "--", sys.executable, str(script), start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        if number == signal.SIGINT:
            # As the terminal does: to the whole group.
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        process.communicate(timeout=60)

    assert process.returncode == 5
    assert [step.name for step in only_run(tmp_path).roots] == ["stopping"]


def test_another_sitecustomize_is_run(tmp_path):
    """
    The one that ours hides is run as it would have been, and PYTHONPATH still has what was there.
    """
    (tmp_path / "sitecustomize.py").write_text("import builtins; builtins.CUSTOM = 7")
    program = "import os, json; print(json.dumps([CUSTOM, os.environ['PYTHONPATH'].split(os.pathsep)[1:]]))"

    said, _ = ran(tmp_path, program, variables={"PYTHONPATH": str(tmp_path)})

    assert json.loads(said) == [7, [str(tmp_path)]]


def test_a_wrong_setting_does_not_stop_the_application(tmp_path):
    """
    What is wrong with our settings in a process of the application's is told; the application runs all the same.
    """
    program = """
import os, subprocess, sys
environment = {**os.environ, "BRANCHLINE_VERBOSITY": "LOUD"}
subprocess.run([sys.executable, "-c", "print('works')"], env=environment, check=True)
"""
    said, errors = ran(tmp_path, program)

    assert said == "works\n"
    assert "branchline: nothing is recorded: verbosity='LOUD'" in errors


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["python", "app.py", "-x"], "app"),
        (["/usr/bin/python3.11", "-u", "dir/app.py"], "app"),
        (["python", "-W", "ignore", "-X", "dev", "app.py"], "app"),
        (["python", "-m", "pkg.tool", "x"], "tool"),
        (["python", "-c", "pass"], "python"),
        (["python"], "python"),
        (["./train.sh", "python"], "train"),
    ],
)
def test_names(command, name):
    """
    A run, and each process in it, is called what the program is called.
    """
    assert default_service_name(script_of(command), {}) == name


def test_a_python_without_branchline(tmp_path):
    """
    A Python that has no branchline runs as it would have, without a word.
    """
    program = """
import os, subprocess, sys
environment = {**os.environ, "PYTHONNOUSERSITE": "1"}
subprocess.run([sys.executable, "-S", "-c", "import sys; sys.path.insert(0, sys.argv[1]); import sitecustomize",
    os.environ["PYTHONPATH"].split(os.pathsep)[0]], env=environment, check=True)
"""
    _, errors = ran(tmp_path, program)

    assert len(errors.splitlines()) == 1
