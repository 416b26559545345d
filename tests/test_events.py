"""Events: named log records of the current step, or of the run; also as events of their span, where that is wanted."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import _logs as api
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import branchline as bl
from branchline.read import LogLine, Step, open_runs
from branchline.testing import capture


def test_event() -> None:
    """
    An event has its name, message, severity and fields, and the step and branch it happened in.
    """
    with capture() as captured, bl.experiment("prompts"), bl.branch({"k": 1}, name="small"), bl.step("load"):
        bl.event("rows.loaded", severity="ERROR", message="only three", rows=3, path=Path("/data"))
    [line] = captured.logs
    step = captured.one("load")

    assert line == LogLine(
        time_unix_nano=line.time_unix_nano,
        level="ERROR",
        level_name="ERROR",
        severity_number=17,
        message="only three",
        event_name="rows.loaded",
        attributes={"rows": 3, "path": "/data"},
        logger_name="branchline",
        trace_id=step.trace_id,
        span_id=step.span_id,
        step_name="load",
        branch_name="small",
        branch_id=captured.branches[0].branch_id,
        experiment_name="prompts",
    )
    assert step.stamps == ()


def test_event_of_the_run() -> None:
    """
    Outside of all steps an event belongs to the run; it needs nothing but a name.
    """
    with capture() as captured:
        bl.event("began")
    [line] = captured.logs

    assert (line.event_name, line.message, line.level, dict(line.attributes)) == ("began", "", "INFO", {})
    assert (line.trace_id, line.step_name) == (None, None)


@pytest.mark.parametrize(
    ("severity", "number", "level"),
    [
        ("TRACE", 1, "TRACE"),
        ("debug", 5, "DEBUG"),
        ("INFO", 9, "INFO"),
        ("INFO3", 11, "INFO"),
        ("WARN", 13, "WARN"),
        ("WARNING", 13, "WARN"),
        ("ERROR", 17, "ERROR"),
        ("CRITICAL", 21, "FATAL"),
        ("FATAL4", 24, "FATAL"),
        (logging.WARNING, 13, "WARN"),
        ("loud", 9, "loud"),
    ],
)
def test_severity(severity: Any, number: int, level: str) -> None:
    """
    Severities go by OpenTelemetry's names and the logging module's; one that nobody knows costs no event.
    """
    with capture() as captured:
        bl.event("x", severity=severity)
    [line] = captured.logs

    assert (line.severity_number, line.level) == (number, level)


def test_fields_may_have_any_name() -> None:
    """
    A field may be called as the arguments of anything are.
    """
    with capture() as captured:
        bl.event("x", name=1, attributes=2, self=3, body=4)

    assert dict(captured.logs[0].attributes) == {"name": 1, "attributes": 2, "self": 3, "body": 4}


def test_without_configure(tmp_path: Path) -> None:
    """
    Without configure() an event does nothing, and loads nothing.
    """
    program = """
    import branchline as bl, sys
    before = set(sys.modules)
    bl.event("x", severity="ERROR", message="y", n=1)
    print(set(sys.modules) - before)
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path,
    )  # fmt: skip

    assert (ran.stdout, ran.stderr) == ("set()\n", "")


# ── events on spans ───────────────────────────────────────────────────────────────────────────────


def stamps(run: bl.Telemetry, name: str) -> list[tuple[str, dict[str, object]]]:
    run.flush()
    [step] = [step for step in every_step(run) if step.name == name]
    return [(stamp.name, dict(stamp.attributes)) for stamp in step.stamps]


def every_step(run: bl.Telemetry) -> list[Step]:
    return list(open_runs(run.directory)[run.run_id].steps)


def test_events_are_not_on_spans_by_default(tmp_path: Path) -> None:
    """
    An event is a log record and nothing else, unless somebody asks for more.
    """
    with bl.configure("x", directory=tmp_path, console=False) as run:
        with bl.step("load"):
            bl.event("rows.loaded")
        found = stamps(run, "load")

    assert found == []


@pytest.mark.parametrize("switch", ["argument", "environment"])
def test_events_on_spans(tmp_path: Path, switch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Asked for, an event is also an event of its span: its name, its time, all of its attributes; a plain record is not.
    """
    options: dict[str, Any] = {"events_on_spans": True} if switch == "argument" else {}
    if switch == "environment":
        monkeypatch.setenv("BRANCHLINE_EVENTS_ON_SPANS", "true")
    with bl.configure("x", directory=tmp_path, console=False, **options) as run:
        logger = api.get_logger("app")
        with bl.step("load"):
            bl.event("one", n=1)
            logger.emit(event_name="two", timestamp=1_700_000_000_000_000_000, attributes={"score": 0.5})
            logger.emit(event_name="three", observed_timestamp=1_700_000_000_000_000_001)
            logging.getLogger("app").warning("x", extra={"otel.event.name": "four", "n": 4})
            logger.emit(body="no event")
            logging.getLogger("app").warning("no event")
        run.flush()
        [step] = every_step(run)
        lines = open_runs(tmp_path).last.logs

    events = {stamp.name: stamp for stamp in step.stamps}
    assert [stamp.name for stamp in step.stamps] == ["one", "two", "three", "four"]
    assert dict(events["one"].attributes) == {"n": 1}
    assert dict(events["two"].attributes) == {"score": 0.5}
    assert events["two"].time_unix_nano == 1_700_000_000_000_000_000
    assert events["three"].time_unix_nano == 1_700_000_000_000_000_001
    assert {"n": 4, "code.function.name": "test_events_on_spans"}.items() <= events["four"].attributes.items()
    assert {line.event_name for line in lines} == {"one", "two", "three", "four", None}


def test_only_the_span_that_it_was_written_in(tmp_path: Path) -> None:
    """
    An event is put on no span but the current one of its context, while that records, and only if the ids are its own.
    """
    with bl.configure("x", directory=tmp_path, console=False, events_on_spans=True) as run:
        logger: Any = api.get_logger("app")
        with bl.step("ended"):
            inside = trace.set_span_in_context(trace.get_current_span())
        logger.emit(event_name="late", context=inside)
        remote = trace.NonRecordingSpan(trace.SpanContext(0xABC, 0xDEF, is_remote=True))
        with bl.step("outer"):
            logger.emit(event_name="elsewhere", context=trace.set_span_in_context(remote))
            with bl.step("inner"):
                logger.emit(event_name="here", severity_number=SeverityNumber.INFO)
            record = api.LogRecord(event_name="of another")
            record.span_id = 0xDEF
            logger.emit(record)
        found = {name: stamps(run, name) for name in ("ended", "outer", "inner")}
        lines = [line.event_name for line in open_runs(tmp_path).last.logs]

    assert found == {"ended": [], "outer": [], "inner": [("here", {})]}
    assert sorted(str(name) for name in lines) == ["elsewhere", "here", "late", "of another"]


def test_sampled_out(tmp_path: Path) -> None:
    """
    An event in a step that is not recorded is recorded all the same.
    """
    with bl.configure("x", directory=tmp_path, console=False, sampler=ALWAYS_OFF, events_on_spans=True) as run:
        with bl.step("unwanted"):
            bl.event("kept")
            logging.getLogger("app").warning("kept too")
        run.flush()
        found = [line.event_name or line.message for line in open_runs(tmp_path).last.logs]

    assert found == ["kept", "kept too"]
