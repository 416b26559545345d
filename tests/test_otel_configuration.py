"""OpenTelemetry's own configuration names branchline: stock applications in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from branchline.read import Run, open_runs
from branchline.read.tree import tree


TREE = "span outer  success\n· loaded\n└── span inner  success"
AUTO = "from opentelemetry.instrumentation.auto_instrumentation import initialize; initialize()\n"
EVERYTHING = {f"OTEL_{signal}_EXPORTER": "branchline" for signal in ("TRACES", "METRICS", "LOGS")}
RECORDS = """
import time
from opentelemetry import _logs, metrics, trace
with trace.get_tracer("app").start_as_current_span("outer", attributes={"rows": 3}) as span:
    span.add_event("loaded")
    with trace.get_tracer("app").start_as_current_span("inner"):
        _logs.get_logger("app").emit(_logs.LogRecord(timestamp=time.time_ns(), body="hello"))
    metrics.get_meter("app").create_counter("hits").add(3)
"""


def ran(
    tmp_path: Path, program: str, variables: Mapping[str, str] | None = None, *, code: int = 0
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BRANCHLINE_DIR": str(tmp_path), **(variables or {})}
    command = [sys.executable, "-W", "ignore", "-c", program]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == code, finished.stderr
    return finished


def only_run(tmp_path: Path) -> Run:
    [run] = open_runs(tmp_path)
    return run


def logged(run: Run) -> list[str]:
    return [str(line.message) for line in run.logs]


def all_kept(count: int) -> dict[str, object]:
    """
    What process.json says of spans, of which none was dropped and none came twice.
    """
    return {"recorded": count, "journaled": count, "sampled_out": 0, "dropped": {}}


# ── exporters ─────────────────────────────────────────────────────────────────────────────────────


def test_a_stock_application_has_a_journal(tmp_path):
    """
    Named as the exporter of all signals, branchline has everything once, under the application's own name.
    """
    finished = ran(tmp_path, AUTO + RECORDS, {**EVERYTHING, "OTEL_SERVICE_NAME": "shop"})
    run = only_run(tmp_path)

    [process] = run.processes
    assert (run.service_name, finished.stderr) == ("shop", "")
    assert tree(run) == TREE
    assert (logged(run), process.counters["spans"]) == (["hello"], all_kept(2))
    assert b'"name":"hits","sum":{"dataPoints":[{' in metric_lines(run)
    assert b'"asInt":"3"' in metric_lines(run)


def metric_lines(run: Run) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(run.directory.rglob("metrics-*.jsonl")))


def test_what_has_ended_survives_a_kill(tmp_path):
    """
    Spans are in the journal when they end, not when a batch is full: SIGKILL takes none, and shows what was open.
    """
    program = f"{AUTO}{RECORDS}\nspan = trace.get_tracer('app').start_span('open')\nimport os; os.kill(os.getpid(), 9)"

    ran(tmp_path, program, EVERYTHING, code=-signal.SIGKILL)

    run = only_run(tmp_path)
    assert "span outer  success" in tree(run)
    assert "span inner  success" in tree(run)
    assert logged(run) == ["hello"]


def test_other_exporters_go_on(tmp_path):
    """
    branchline is one exporter among others, which get what they would have got; what it is not named for, it leaves.
    """
    chosen = {
        "OTEL_TRACES_EXPORTER": "console,branchline",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }

    finished = ran(tmp_path, f"{AUTO}{RECORDS}import logging; logging.getLogger('app').warning('hm')", chosen)

    assert finished.stdout.count('"name": "outer"') == 1
    assert tree(only_run(tmp_path)) == TREE
    assert logged(only_run(tmp_path)) == []


def test_spans_of_a_provider_that_nobody_has_set(tmp_path):
    """
    An exporter writes what comes to it from any provider, joined by the run or not, and all of it once.
    """
    program = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from branchline.entrypoints.span_exporter import BranchlineSpanExporter
apart, told = TracerProvider(), TracerProvider()
for provider in (apart, told):
    provider.add_span_processor(BatchSpanProcessor(BranchlineSpanExporter()))
early = told.get_tracer("app").start_span("before")
trace.set_tracer_provider(told)
apart.get_tracer("app").start_span("apart").end()
apart.force_flush()
early.end()
told.get_tracer("app").start_span("after").end()
"""

    ran(tmp_path, program)

    [process] = only_run(tmp_path).processes
    assert sorted(step.name for step in only_run(tmp_path).roots) == ["after", "apart", "before"]
    assert process.counters["spans"] == all_kept(3)


def test_records_of_a_logger_provider_that_nobody_has_set(tmp_path):
    """
    The same holds for log records.
    """
    program = """
import time
from opentelemetry import _logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from branchline.entrypoints.log_exporter import BranchlineLogExporter
apart, told = LoggerProvider(), LoggerProvider()
_logs.set_logger_provider(told)
for provider in (apart, told):
    provider.add_log_record_processor(BatchLogRecordProcessor(BranchlineLogExporter()))
for name, provider in (("apart", apart), ("told", told)):
    provider.get_logger("app").emit(_logs.LogRecord(timestamp=time.time_ns(), body=name))
"""

    ran(tmp_path, program)

    assert sorted(logged(only_run(tmp_path))) == ["apart", "told"]


def test_an_application_that_uses_branchline_too(tmp_path):
    """
    Steps of an application that OpenTelemetry has set up are steps of the same run, inside the application's spans.
    """
    program = f"""{AUTO}
import branchline as bl
from opentelemetry import trace
with trace.get_tracer("app").start_as_current_span("outer"):
    with bl.branch({{"a": 1}}), bl.step("load"):
        bl.stamp("half")
"""

    ran(tmp_path, program, EVERYTHING)

    run = only_run(tmp_path)
    assert [branch.status for branch in run.branches] == ["success"]
    assert "load" in tree(run)
    assert run.processes[0].counters["spans"] == all_kept(3)


def test_a_run_that_was_ended_stays_ended(tmp_path):
    """
    After `shutdown()` the exporter writes nothing more, and begins nothing.
    """
    program = f"""{AUTO}{RECORDS}
import branchline as bl
bl.shutdown()
trace.get_tracer("app").start_span("late").end()
print(trace.get_tracer_provider().force_flush())
"""

    ran(tmp_path, program, EVERYTHING)

    assert [step.name for step in only_run(tmp_path).roots] == ["outer"]


def test_a_wrong_setting_is_told_to_whoever_sets_up(tmp_path):
    """
    What cannot be is an error at set-up, which OpenTelemetry reports.
    """
    program = "from branchline.entrypoints.span_exporter import BranchlineSpanExporter\nBranchlineSpanExporter()"

    finished = ran(tmp_path, program, {"BRANCHLINE_VERBOSITY": "LOUD"}, code=1)

    assert "VERBOSE, REGULAR, QUIET, NONE" in finished.stderr


def test_switched_off(tmp_path):
    """
    OTEL_SDK_DISABLED holds for the exporter as well.
    """
    ran(tmp_path, AUTO + RECORDS, {**EVERYTHING, "OTEL_SDK_DISABLED": "true"})

    assert list(tmp_path.iterdir()) == []


# ── providers ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("configures", [False, True])
def test_providers_by_name(tmp_path, configures):
    """
    Named as provider of all signals, branchline records what an application tells the API, configured or not.
    """
    program = f"import branchline as bl\nbl.configure('own', console=False)\n{RECORDS}" if configures else RECORDS
    named = {f"OTEL_PYTHON_{signal}_PROVIDER": "branchline" for signal in ("TRACER", "METER", "LOGGER")}

    finished = ran(tmp_path, program, {**named, "OTEL_SERVICE_NAME": "shop"})
    run = only_run(tmp_path)

    assert (run.service_name, finished.stderr) == ("own" if configures else "shop", "")
    assert tree(run) == TREE
    assert logged(run) == ["hello"]
    assert b'"name":"hits"' in metric_lines(run)


def test_a_capture_is_not_a_run(tmp_path):
    """
    A test that captures does not begin a run because a provider is named.
    """
    program = """
from branchline.testing import capture
from opentelemetry import metrics, trace
with capture() as captured:
    with trace.get_tracer("app").start_as_current_span("work"):
        metrics.get_meter("app").create_counter("hits").add(3)
assert [step.name for step in captured.run.roots] == ["work"], captured.run.roots
"""

    ran(tmp_path, program, {f"OTEL_PYTHON_{signal}_PROVIDER": "branchline" for signal in ("TRACER", "METER")})

    assert list(tmp_path.iterdir()) == []


# ── ids and resources ─────────────────────────────────────────────────────────────────────────────


def test_ids_leave_random_alone(tmp_path):
    """
    Ids of the named generator follow no seed, do not disturb `random`, and are other ones in a forked child.
    """
    program = f"""{AUTO}
import os, random
from opentelemetry import trace
random.seed(42)
first = random.random()
random.seed(42)
make = lambda: trace.get_tracer("app").start_span("x").get_span_context().trace_id
ids = [make(), make()]
assert random.random() == first
random.seed(42)
assert make() not in ids
read, write = os.pipe()
if not os.fork():
    os.write(write, b"%032x" % make())
    os._exit(0)
assert os.read(read, 32) != b"%032x" % make()
"""

    chosen = {
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_PYTHON_ID_GENERATOR": "branchline",
    }

    ran(tmp_path, program, chosen)


@pytest.mark.parametrize("first", ["sdk._logs", "sdk.trace", "sdk.metrics"])
def test_the_detector_can_be_loaded_while_the_sdk_is(tmp_path, first):
    """
    The resource names the run, and detecting it works in the middle of the SDK's own import.
    """
    program = f"""
import opentelemetry.{first}
from opentelemetry.sdk.resources import Resource
print(Resource.create().attributes.get("branchline.run.id"))
"""
    detectors = {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "branchline,otel"}

    without = ran(tmp_path, program, detectors)
    within = ran(tmp_path, program, {**detectors, "BRANCHLINE_RUN_ID": "nightly-7"})

    assert [(found.stdout, found.stderr) for found in (without, within)] == [("None\n", ""), ("nightly-7\n", "")]
