"""Being a guest among logs: an application that has set a logger provider of its own keeps it, and branchline joins."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import _logs as api
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import branchline as bl
from branchline.read import LogLine, Run, open_runs
from branchline.testing import capture


class Exporting:
    """A processor of the application's, which keeps what it would export; of no class, for each release has its own."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def on_emit(self, log_record: Any) -> None:
        self.records.append(log_record.log_record)

    def enabled(self, **_: Any) -> bool:
        return True

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class Application:
    """An application with logs of its own, and with traces of its own or without."""

    provider: LoggerProvider
    exporter: Exporting
    spans: InMemorySpanExporter
    directory: Path

    def configure(self, **options: Any) -> bl.Telemetry:
        return bl.configure("app", directory=self.directory, console=False, signals=False, **options)

    def exported(self) -> list[Any]:
        return self.exporter.records

    def run(self) -> Run:
        bl.flush()
        return open_runs(self.directory).last

    def lines(self) -> list[LogLine]:
        return list(self.run().logs)


@contextmanager
def set_providers(**providers: object) -> Iterator[None]:
    """Tell OpenTelemetry of providers, though it has been told of others: the API lets nobody do so."""
    places: list[tuple[Any, str]] = [(trace, "_TRACER_PROVIDER"), (api._internal, "_LOGGER_PROVIDER")]
    before = [getattr(module, name) for module, name in places]
    for (module, name), provider in zip(places, (providers.get("traces"), providers.get("logs")), strict=True):
        setattr(module, name, provider)
        getattr(module, f"{name}_SET_ONCE")._done = provider is not None
    try:
        yield
    finally:
        for (module, name), provider in zip(places, before, strict=True):
            setattr(module, name, provider)
            getattr(module, f"{name}_SET_ONCE")._done = provider is not None


@pytest.fixture(params=["with traces of its own", "with logs alone"])
def app(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Application]:
    exporter, spans = Exporting(), InMemorySpanExporter()
    logs: Any = LoggerProvider(shutdown_on_exit=False)
    logs.add_log_record_processor(exporter)
    traces = None
    if request.param == "with traces of its own":
        traces = TracerProvider(shutdown_on_exit=False)
        traces.add_span_processor(SimpleSpanProcessor(spans))
    with set_providers(traces=traces, logs=logs):
        try:
            yield Application(provider=logs, exporter=exporter, spans=spans, directory=tmp_path)
        finally:
            bl.shutdown()


def test_the_provider_stays(app: Application) -> None:
    """
    The application's provider is replaced by nothing, neither while branchline records nor after.
    """
    with app.configure():
        during = api.get_logger_provider()

    assert (during, api.get_logger_provider()) == (app.provider, app.provider)


def test_its_records_are_in_the_journal(app: Application) -> None:
    """
    The journal has the application's records, each with its step and branch; the application exports what it did.
    """
    with app.configure():
        with bl.experiment("prompts"), bl.branch({}, name="small"), bl.step("ask"):
            api.get_logger("app.own", "1.0").emit(
                LogRecord(body={"n": 1}, severity_number=SeverityNumber.WARN, attributes={"a": 1}, event_name="asked")
            )
        [step] = app.run().steps
        [line] = app.lines()

    [exported] = app.exported()
    assert (line.body, line.severity_number, dict(line.attributes), line.event_name) == (
        {"n": 1},
        13,
        {"a": 1},
        "asked",
    )
    assert (line.logger_name, line.step_name, line.branch_name) == ("app.own", "ask", "small")
    assert (line.trace_id, line.span_id) == (step.trace_id, step.span_id)
    assert dict(exported.attributes) == {"a": 1}
    assert (f"{exported.trace_id:032x}", f"{exported.span_id:016x}") == (step.trace_id, step.span_id)


def test_events_go_where_its_own_do(app: Application) -> None:
    """
    event() is exported by the application as its own events are, without what branchline adds; the journal has it.
    """
    with app.configure():
        with bl.branch({}, name="small"), bl.step("ask"):
            bl.event("rows.loaded", severity="WARNING", message="three", rows=3)
        [line] = app.lines()

    [exported] = app.exported()
    assert (exported.event_name, exported.body, dict(exported.attributes)) == ("rows.loaded", "three", {"rows": 3})
    assert (exported.severity_number, exported.severity_text) == (SeverityNumber.WARN, "WARN")
    assert (line.event_name, line.message, dict(line.attributes)) == ("rows.loaded", "three", {"rows": 3})
    assert (line.step_name, line.branch_name, line.logger_name) == ("ask", "small", "branchline")


def test_the_logging_module_is_not_exported(app: Application) -> None:
    """
    Records of the logging module go to the journal alone: whether they are exported is the application's to say.
    """
    with app.configure():
        with bl.step("ask"):
            logging.getLogger("app").warning("slow")
        [line] = app.lines()

    assert (line.message, line.step_name) == ("slow", "ask")
    assert app.exported() == []


@pytest.mark.parametrize("level", [logging.NOTSET, logging.ERROR])
def test_its_handler(app: Application, level: int) -> None:
    """
    Where the application has OpenTelemetry's handler, nothing is in the journal twice, and what that leaves out is.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        handler = LoggingHandler(level=level, logger_provider=app.provider)
    logging.getLogger().addHandler(handler)
    try:
        with app.configure():
            for number in range(3):
                logging.getLogger("app").warning("w%d", number)
            logging.getLogger("app").error("e")
            found = [line.message for line in app.lines()]
    finally:
        logging.getLogger().removeHandler(handler)

    assert found == ["w0", "w1", "w2", "e"]
    assert [record.body for record in app.exported()] == (["w0", "w1", "w2", "e"] if not level else ["e"])


def test_one_run_after_another(app: Application) -> None:
    """
    Each record is in the run of its time, once; between runs the application is alone.
    """
    logger = api.get_logger("app")
    found = []
    for name in ("one", "two"):
        with app.configure(run_id=name):
            logger.emit(LogRecord(body=name))
            found.append([line.message for line in app.lines()])
        logger.emit(LogRecord(body="between"))

    assert found == [["one"], ["two"]]
    assert [record.body for record in app.exported()] == ["one", "between", "two", "between"]


def test_capture(app: Application) -> None:
    """
    A capture sees the application's records and events of its own context.
    """
    with capture() as captured, bl.step("load"):
        api.get_logger("app").emit(LogRecord(body="theirs"))
        bl.event("ours")
        logging.getLogger("app").warning("logged")
    api.get_logger("app").emit(LogRecord(body="after"))

    assert [(line.message or line.event_name, line.step_name) for line in captured.logs] == [
        ("theirs", "load"),
        ("ours", "load"),
        ("logged", "load"),
    ]


def test_events_on_spans(app: Application) -> None:
    """
    With events_on_spans an event of the application's is also an event of the span it was emitted in.
    """
    with app.configure(events_on_spans=True), bl.step("ask"):
        api.get_logger("app").emit(LogRecord(event_name="gen_ai.evaluation.result", attributes={"score": 1}))
        api.get_logger("app").emit(LogRecord(body="no event"))
    [step] = app.run().steps

    assert [(stamp.name, dict(stamp.attributes)) for stamp in step.stamps] == [
        ("gen_ai.evaluation.result", {"score": 1})
    ]
    for span in app.spans.get_finished_spans():
        assert [(event.name, dict(event.attributes or {})) for event in span.events] == [
            ("gen_ai.evaluation.result", {"score": 1})
        ]


def test_without_configure(app: Application) -> None:
    """
    Without configure() an event goes to the application's provider, as any OpenTelemetry user's would.
    """
    bl.event("rows.loaded", message="three", rows=3)

    [exported] = app.exported()
    assert (exported.event_name, exported.body, dict(exported.attributes)) == ("rows.loaded", "three", {"rows": 3})


def test_a_provider_set_by_the_environment(tmp_path: Path) -> None:
    """
    A provider that OpenTelemetry loads by its name in the environment is the application's, too.
    """
    program = """
    import os
    os.environ["OTEL_PYTHON_LOGGER_PROVIDER"] = "sdk_logger_provider"
    import branchline as bl
    from opentelemetry import _logs as api
    from opentelemetry.sdk._logs import LoggerProvider
    with bl.configure("x", console=False, directory="."):
        assert isinstance(api.get_logger_provider(), LoggerProvider)
        api.get_logger("app").emit(api.LogRecord(body="hello"))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], timeout=60, check=True, cwd=tmp_path)

    assert [line.message for line in open_runs(tmp_path).last.logs] == ["hello"]


def test_a_provider_that_is_none_of_the_sdks(tmp_path: Path) -> None:
    """
    A provider of which nobody knows how to join it stays, and events go to the journal all the same.
    """

    class Own(api.LoggerProvider):
        def get_logger(self, *args: Any, **kwargs: Any) -> Any:
            return api.NoOpLogger("own")

    with set_providers(logs=Own()), bl.configure("x", directory=tmp_path, console=False) as run:
        bl.event("ours")
        logging.getLogger("app").warning("logged")
        run.flush()
        found = [line.message or line.event_name for line in open_runs(tmp_path).last.logs]

    assert found == ["ours", "logged"]
