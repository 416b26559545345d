"""OpenTelemetry's logs API on the provider that branchline sets: every way to emit, and processors of others."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import _logs as api
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context

import branchline as bl
from branchline.read import LogLine, Run, open_runs
from branchline.testing import capture


@pytest.fixture
def run(tmp_path: Path) -> Iterator[bl.Telemetry]:
    with bl.configure("logs", directory=tmp_path, console=False, signals=False) as telemetry:
        yield telemetry
    provider().forget_processors()


def provider() -> Any:
    return api.get_logger_provider()


def read(run: bl.Telemetry) -> Run:
    run.flush()
    return open_runs(run.directory)[run.run_id]


def lines(run: bl.Telemetry) -> list[LogLine]:
    return list(read(run).logs)


# ── what is emitted ───────────────────────────────────────────────────────────────────────────────


def everything() -> dict[str, Any]:
    return {
        "timestamp": 1_700_000_000_000_000_000,
        "observed_timestamp": 1_700_000_000_000_000_007,
        "severity_number": SeverityNumber.WARN2,
        "severity_text": "Careful",
        "body": {"rows": [1, 2], "ok": True, "raw": b"\xff"},
        "attributes": {"score": 0.5, "nested": {"a": [1, "x", None]}},
        "event_name": "rows.loaded",
    }


@pytest.mark.parametrize("as_record", [False, True])
def test_emit(run: bl.Telemetry, as_record: bool) -> None:
    """
    A record has all that was said, in either form, and the step it was emitted in.
    """
    logger = api.get_logger("third.party", "1.2")
    with bl.experiment("prompts"), bl.branch({"k": 1}, name="small"), bl.step("load"):
        if as_record:
            logger.emit(LogRecord(**everything()))
        else:
            logger.emit(**everything())
    [line] = lines(run)
    [step] = read(run).steps

    assert line == LogLine(
        time_unix_nano=1_700_000_000_000_000_000,
        level="Careful",
        level_name="Careful",
        severity_number=14,
        message=line.message,
        body={"rows": (1, 2), "ok": True, "raw": b"\xff"},
        event_name="rows.loaded",
        attributes={"score": 0.5, "nested": {"a": (1, "x", None)}},
        logger_name="third.party",
        trace_id=step.trace_id,
        span_id=step.span_id,
        step_name="load",
        branch_name="small",
        branch_id=line.branch_id,
        experiment_name="prompts",
    )
    assert line.observed_unix_nano == 1_700_000_000_000_000_007
    assert line.uid


def test_a_record_that_says_nothing(run: bl.Telemetry) -> None:
    """
    A record of which nothing is said has the time it was emitted.
    """
    with bl.step("load"):
        api.get_logger("app").emit(LogRecord())
    [line] = lines(run)
    [step] = read(run).steps

    assert step.start_unix_nano <= line.time_unix_nano <= (step.end_unix_nano or 0)
    assert (line.level, line.severity_number, line.message, line.event_name) == ("", 0, "", None)


def test_an_explicit_context(run: bl.Telemetry) -> None:
    """
    A record belongs to the span of the context that is given with it, also one made of ids.
    """
    logger = api.get_logger("app")
    with bl.experiment("prompts"), bl.branch({}, name="small"), bl.step("load") as step:
        inside = trace.set_span_in_context(trace.get_current_span())
        assert step is not None
    logger.emit(context=inside, body="later")
    with warnings.catch_warnings(), bl.step("elsewhere"):
        warnings.simplefilter("ignore")
        logger.emit(LogRecord(trace_id=0xABC, span_id=0xDEF, trace_flags=trace.TraceFlags(1), body="by ids"))
    first, second = lines(run)

    assert (first.step_name, first.branch_name) == ("load", "small")
    assert (second.trace_id, second.span_id) == (f"{0xABC:032x}", f"{0xDEF:016x}")


def test_an_exception(run: bl.Telemetry) -> None:
    """
    An exception becomes its three attributes; what the application says of it counts more.
    """
    logger: Any = api.get_logger("app")
    try:
        raise ValueError("boom", 7)
    except ValueError as error:
        logger.emit(body="one", exception=error)
        record = LogRecord(body="two", attributes={"exception.message": "mine"})
        # Older releases have no word for it.
        record.exception = error
        logger.emit(record)
    first, second = lines(run)

    assert first.exception is not None
    assert second.exception is not None
    assert str(first.exception) == "ValueError: ('boom', 7)"
    assert "test_an_exception" in first.exception.stacktrace
    assert str(second.exception) == "ValueError: mine"


def test_scopes(run: bl.Telemetry) -> None:
    """
    Each logger is a scope with its version, schema and attributes; asking twice gives the same logger.
    """
    api.get_logger("plain").emit(body="1")
    full = api.get_logger("full", "2.0", schema_url="https://example.com/1", attributes={"team": "a", "tags": ["x"]})
    full.emit(body="2")
    api.get_logger("plain").emit(body="3")
    run.flush()
    [path] = run.run_directory.rglob("logs-*.jsonl")
    text = path.read_text()

    assert [(line.logger_name, line.message) for line in lines(run)] == [("plain", "1"), ("full", "2"), ("plain", "3")]
    assert '"scope":{"name":"full","version":"2.0","attributes":[' in text
    assert '"schemaUrl":"https://example.com/1"' in text
    assert provider().get_logger("plain") is provider().get_logger("plain")


def test_enabled(tmp_path: Path) -> None:
    """
    A logger says that it is enabled while somebody takes its records.
    """
    logger: Any = None
    with bl.configure("on", directory=tmp_path, console=False):
        logger = provider().get_logger("app")
        during = logger.enabled(severity_number=SeverityNumber.DEBUG)
    after = logger.enabled()
    with capture():
        captured = logger.enabled(context=None, event_name="x")

    assert (during, after, captured) == (True, False, True)


def test_after_shutdown(run: bl.Telemetry) -> None:
    """
    Loggers that somebody still holds are silent after the end of the run, and log to the next one.
    """
    logger = api.get_logger("app")
    run.shutdown()
    logger.emit(body="nowhere")
    with bl.configure("next", directory=run.directory, console=False) as later:
        logger.emit(body="here")
        found = [line.message for line in lines(later)]

    assert found == ["here"]
    assert lines(run) == []


def test_loggers_from_before(tmp_path: Path) -> None:
    """
    A logger that a library took before configure() logs to the run from then on.
    """
    program = """
    import branchline as bl
    from opentelemetry._logs import LogRecord, get_logger
    logger = get_logger("library")
    with bl.configure("x", console=False, directory="."):
        logger.emit(LogRecord(body="hello"))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], timeout=60, check=True, cwd=tmp_path)

    assert [(line.logger_name, line.message) for line in open_runs(tmp_path).last.logs] == [("library", "hello")]


def test_the_sdk_of_logs_stays_unloaded(tmp_path: Path) -> None:
    """
    Logging through the API loads nothing of the SDK's logs, which detects resources when it is imported.
    """
    program = """
    import sys, logging
    import branchline as bl
    from opentelemetry._logs import get_logger
    with bl.configure("x", console=False, directory="."):
        get_logger("app").emit(body="hello")
        logging.warning("hello")
        bl.event("hello")
    print([name for name in sys.modules if name.startswith("opentelemetry.sdk._logs")])
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path,
    )  # fmt: skip

    assert ran.stdout == "[]\n"


@pytest.mark.parametrize(
    "odd",
    [
        {"timestamp": -1},
        {"timestamp": "now"},
        {"observed_timestamp": 2**70},
        {"severity_number": 99},
        {"severity_number": "loud"},
        {"severity_text": 7},
        {"event_name": 7},
        {"context": "here"},
        {"context": Context()},
        {"body": object()},
        {"attributes": 7},
        {"attributes": {7: 7, "": None}},
        {"exception": "boom"},
    ],
    ids=lambda odd: " ".join(f"{key} of {type(value).__name__}" for key, value in odd.items()),
)
def test_odd_records(run: bl.Telemetry, odd: dict[str, Any]) -> None:
    """
    What the API has no word for costs what it is said in, and not the record.
    """
    logger: Any = api.get_logger("app")
    with bl.step("load"):
        logger.emit(**{"body": "hello", **odd})
        logger.emit(body="good")
    first, second = lines(run)

    assert first.step_name == "load"
    assert first.time_unix_nano > 1_600_000_000_000_000_000
    assert "body" in odd or first.message == "hello"
    assert second.message == "good"


# ── OpenTelemetry's own handler of the logging module ─────────────────────────────────────────────


@pytest.fixture
def handler() -> Iterator[logging.Handler]:
    from opentelemetry.sdk._logs import LoggingHandler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = LoggingHandler(level=logging.WARNING, logger_provider=provider())
    yield made
    for name in ("", "app"):
        logging.getLogger(name).removeHandler(made)


@pytest.mark.parametrize("place", ["", "app"])
def test_its_handler_on_our_provider(run: bl.Telemetry, handler: logging.Handler, place: str) -> None:
    """
    What OpenTelemetry's handler has taken is not taken twice, wherever it sits; what it has not taken is ours.
    """
    logger = logging.getLogger("app.db")
    logger.setLevel(logging.INFO)
    logging.getLogger(place).addHandler(handler)
    for number in range(3):
        logger.warning("w%d", number)
        logger.info("i%d", number)
    logging.getLogger("other").warning("other")
    logger.setLevel(logging.NOTSET)

    assert [line.message for line in lines(run)] == ["w0", "i0", "w1", "i1", "w2", "i2", "other"]


# ── processors of others ──────────────────────────────────────────────────────────────────────────


class Watching:
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.is_down = False

    def on_emit(self, log_record: Any) -> None:
        self.seen.append(log_record)

    def shutdown(self) -> None:
        self.is_down = True

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return not self.is_down

    def said(self) -> list[object]:
        return [seen.log_record.body or seen.log_record.event_name for seen in self.seen]


def test_processors_see_ordinary_records(run: bl.Telemetry) -> None:
    """
    A processor sees records of loggers, of the logging module and events, each as the SDK would show it.
    """
    watching = Watching()
    provider().add_log_record_processor(watching)
    with bl.experiment("prompts"), bl.branch({"k": 1}, name="small", config_id="c1"), bl.step("load") as step:
        assert step is not None
        span = trace.get_current_span().get_span_context()
        api.get_logger("third.party", "1.2").emit(**everything())
        logging.getLogger("app").warning("slow", extra={"rows": 3})
        bl.event("thing.happened", n=1)

    emitted, logged, event = (seen.log_record for seen in watching.seen)
    assert [seen.instrumentation_scope.name for seen in watching.seen] == ["third.party", "app", "branchline"]
    assert (emitted.timestamp, emitted.observed_timestamp) == (1_700_000_000_000_000_000, 1_700_000_000_000_000_007)
    assert (emitted.severity_number, emitted.severity_text) == (SeverityNumber.WARN2, "Careful")
    assert emitted.body == {"rows": (1, 2), "ok": True, "raw": b"\xff"}
    assert emitted.event_name == "rows.loaded"
    assert {record.trace_id for record in (emitted, logged, event)} == {span.trace_id}
    assert {record.span_id for record in (emitted, logged, event)} == {span.span_id}
    assert (logged.body, logged.severity_text) == ("slow", "WARN")
    assert {"rows": 3, "branchline.branch.name": "small", "branchline.level": "WARNING"}.items() <= dict(
        logged.attributes
    ).items()
    assert (event.event_name, event.attributes["n"]) == ("thing.happened", 1)
    assert [line.uid for line in lines(run)] == sorted(
        (seen.log_record.attributes["log.record.uid"] for seen in watching.seen),
        key=[line.uid for line in lines(run)].index,
    )


def test_what_a_processor_adds_is_in_the_journal(run: bl.Telemetry) -> None:
    """
    Attributes that a processor adds to a record are in the journal as well, as those that it adds to a span are.
    """

    class Adding(Watching):
        def on_emit(self, log_record: Any) -> None:
            log_record.log_record.attributes["tenant"] = "t1"

    provider().add_log_record_processor(Adding())
    logging.getLogger("app").warning("hello", extra={"rows": 3})
    [line] = lines(run)

    assert dict(line.attributes) == {"rows": 3, "tenant": "t1"}


def test_a_processor_that_raises_harms_nobody(run: bl.Telemetry) -> None:
    """
    A processor that raises costs neither the application, nor the record, nor the next processor.
    """

    class Raising(Watching):
        def on_emit(self, log_record: Any) -> None:
            raise RuntimeError("no")

    watching = Watching()
    provider().add_log_record_processor(Raising())
    provider().add_log_record_processor(watching)
    logging.getLogger("app").warning("one")
    api.get_logger("app").emit(body="two")

    assert watching.said() == ["one", "two"]
    assert [line.message for line in lines(run)] == ["one", "two"]


def test_a_processor_that_logs(run: bl.Telemetry) -> None:
    """
    What a processor itself logs is recorded, and not shown to it again.
    """

    class Logging(Watching):
        def on_emit(self, log_record: Any) -> None:
            super().on_emit(log_record)
            logging.getLogger("processor").warning("seen")

    watching = Logging()
    provider().add_log_record_processor(watching)
    logging.getLogger("app").warning("one")

    assert watching.said() == ["one"]
    assert sorted(line.message for line in lines(run)) == ["one", "seen"]


def test_flush_and_shutdown(run: bl.Telemetry) -> None:
    """
    force_flush() and shutdown() of the provider reach the processors; the journal goes on.
    """
    watching = Watching()
    provider().add_log_record_processor(watching)
    flushed = provider().force_flush()
    provider().shutdown()
    logging.getLogger("app").warning("on it goes")

    assert (flushed, watching.is_down, provider().force_flush()) == (True, True, False)
    assert [line.message for line in lines(run)] == ["on it goes"]


def test_an_exporter_never_feeds_itself(tmp_path: Path) -> None:
    """
    With the root logger at DEBUG, and a batch exporter whose own library logs every request, one record stays one.
    """
    program = """
    import logging, threading, time, urllib3
    from http.server import BaseHTTPRequestHandler, HTTPServer
    logging.getLogger().setLevel(logging.DEBUG)
    logging.getLogger().addHandler(logging.NullHandler())

    class Handler(BaseHTTPRequestHandler):
        requests = 0
        def do_POST(self):
            Handler.requests += 1
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
        def log_message(self, *_): pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pool = urllib3.PoolManager()

    import branchline as bl
    run = bl.configure("x", console=False, directory=".", capture_logs="DEBUG")
    from opentelemetry._logs import get_logger_provider
    from opentelemetry.sdk._logs import export

    class Exporter:
        exported = 0
        def export(self, batch):
            Exporter.exported += len(batch)
            logging.getLogger("app.exporter").debug("exporting")
            pool.request("POST", f"http://127.0.0.1:{server.server_port}/v1/logs", body=b"x")
            # As one release or another calls it.
            return (getattr(export, "LogRecordExportResult", None) or export.LogExportResult).SUCCESS
        def shutdown(self): pass
        def force_flush(self, timeout_millis=0): return True

    get_logger_provider().add_log_record_processor(
        export.BatchLogRecordProcessor(Exporter(), schedule_delay_millis=20)
    )
    logging.getLogger("app").debug("one record")
    deadline = time.monotonic() + 20
    while not Handler.requests and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.5)
    print(Handler.requests, Exporter.exported)
    bl.shutdown()
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path,
    )  # fmt: skip

    assert (ran.stdout, ran.stderr) == ("1 1\n", "")
    assert [line.message for line in open_runs(tmp_path).last.logs] == ["one record"]


# ── whose provider it is ──────────────────────────────────────────────────────────────────────────


def test_a_capture_gives_the_provider_back(tmp_path: Path) -> None:
    """
    After a capture the application may set a provider of its own, as before.
    """
    program = """
    from opentelemetry import _logs as api
    from opentelemetry.sdk._logs import LoggerProvider
    from branchline.testing import capture
    with capture() as captured:
        api.get_logger("app").emit(body="hello")
    assert [line.message for line in captured.logs] == ["hello"]
    mine = LoggerProvider(shutdown_on_exit=False)
    api.set_logger_provider(mine)
    assert api.get_logger_provider() is mine
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, timeout=60, check=False, cwd=tmp_path
    )

    assert (ran.returncode, ran.stderr) == (0, b"")
