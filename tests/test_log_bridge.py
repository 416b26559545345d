"""The bridge from the logging module: every record once, with its step; logging itself stays as it was."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import logging.config
import logging.handlers
import os
import queue
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context as otel_context

import branchline as bl
from branchline import names
from branchline.read import LogLine, Run, open_runs
from branchline.testing import capture


log = logging.getLogger("app.db")


@pytest.fixture(autouse=True)
def _levels() -> Iterator[None]:
    log.setLevel(logging.DEBUG)
    yield
    log.setLevel(logging.NOTSET)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[bl.Telemetry]:
    with bl.configure("logs", directory=tmp_path, console=False, signals=False) as telemetry:
        yield telemetry


def read(run: bl.Telemetry) -> Run:
    run.flush()
    return open_runs(run.directory)[run.run_id]


def lines(run: bl.Telemetry) -> list[LogLine]:
    # A run that takes the place of another one says so.
    return [line for line in read(run).logs if line.event_name != names.CONFIGURATION_CHANGED]


def records(run: bl.Telemetry) -> list[tuple[str, dict[str, object]]]:
    """Every log record on the disk but those of branchline's own scope: the name of its scope, and the record."""
    run.flush()
    found = []
    for path in run.run_directory.rglob("logs-*.jsonl"):
        for line in path.read_text().splitlines():
            for resource in json.loads(line)["resourceLogs"]:
                for scope in resource["scopeLogs"]:
                    found += [(scope["scope"]["name"], record) for record in scope["logRecords"]]
    return [(name, record) for name, record in found if name != "branchline"]


def attributes(record: dict[str, object]) -> dict[str, object]:
    return {item["key"]: next(iter(item["value"].values())) for item in record["attributes"]}  # type: ignore[attr-defined]


# ── what a record becomes ─────────────────────────────────────────────────────────────────────────


def test_a_record_has_everything(run: bl.Telemetry) -> None:
    """
    A record has its message, level, logger, place in the code and fields, and the step and branch it was written in.
    """
    with bl.experiment("prompts"), bl.branch({"k": 1}, name="small"), bl.step("load"):
        log.warning("slow disk: %d ms", 300, extra={"rows": 3, "path": Path("/data")})
    [line] = lines(run)
    [branch] = read(run).branches
    [step] = read(run).steps

    assert line == LogLine(
        time_unix_nano=line.time_unix_nano,
        level="WARN",
        level_name="WARNING",
        severity_number=13,
        message="slow disk: 300 ms",
        attributes={"rows": 3, "path": "/data"},
        logger_name="app.db",
        trace_id=step.trace_id,
        span_id=step.span_id,
        step_name="load",
        branch_name="small",
        branch_id=branch.config_id,
        experiment_name="prompts",
        file=__file__,
        line=line.line,
        function="test_a_record_has_everything",
    )
    assert "slow disk" in Path(__file__).read_text().splitlines()[(line.line or 0) - 1]
    assert step.start_unix_nano <= line.time_unix_nano <= (step.end_unix_nano or 0)
    assert line.process == read(run).processes[0].name


def test_as_otlp(run: bl.Telemetry) -> None:
    """
    On the disk the logger is the scope, severity is OpenTelemetry's, and what the logger calls it stands beside it.
    """
    log.critical("on fire")
    [(scope, record)] = records(run)

    assert (scope, record["severityNumber"], record["severityText"]) == ("app.db", 21, "FATAL")
    assert record["body"] == {"stringValue": "on fire"}
    assert attributes(record) == {
        "log.record.uid": attributes(record)["log.record.uid"],
        "branchline.level": "CRITICAL",
        "code.file.path": __file__,
        "code.function.name": "test_as_otlp",
        "code.line.number": attributes(record)["code.line.number"],
    }
    assert "traceId" not in record


@pytest.mark.parametrize(
    ("level", "number", "text", "name"),
    [
        (3, 1, "TRACE", "Level 3"),
        (10, 5, "DEBUG", "DEBUG"),
        (20, 9, "INFO", "INFO"),
        (25, 12, "INFO", "SUCCESS"),
        (30, 13, "WARN", "WARNING"),
        (31, 14, "WARN", "Level 31"),
        (40, 17, "ERROR", "ERROR"),
        (50, 21, "FATAL", "CRITICAL"),
        (99, 24, "FATAL", "Level 99"),
    ],
)
def test_levels(tmp_path: Path, level: int, number: int, text: str, name: str) -> None:
    """
    Every level has OpenTelemetry's number and word, those between the named ones and an application's own too.
    """
    logging.addLevelName(25, "SUCCESS")
    log.setLevel(1)
    with bl.configure("levels", directory=tmp_path, console=False, capture_logs=1) as run:
        log.log(level, "x")
        [line] = lines(run)

    assert (line.severity_number, line.level, line.level_name) == (number, text, name)


def test_an_exception(run: bl.Telemetry) -> None:
    """
    An exception has its type with its module, its whole message, and a traceback that keeps no secret.
    """

    class Refused(Exception):
        pass

    def connect(password: str) -> None:
        raise Refused("no", "password=hunter2 for bob")

    try:
        connect("x")
    except Refused:
        log.exception("cannot connect")
    [line] = lines(run)

    assert line.exception is not None
    assert line.exception.type == f"{__name__}.test_an_exception.<locals>.Refused"
    assert line.exception.message == "('no', 'password=[redacted] for bob')"
    assert line.exception.stacktrace.startswith("Traceback (most recent call last):")
    assert "in connect" in line.exception.stacktrace
    assert "hunter2" not in "".join(path.read_text() for path in run.run_directory.rglob("*.jsonl"))


def test_no_exception(run: bl.Telemetry) -> None:
    """
    log.exception() where nothing was raised is a record like any other; a stack that was asked for is there.
    """
    log.exception("nothing happened")  # noqa: LOG004  # that is the question
    log.info("where am I", stack_info=True)
    first, second = lines(run)

    assert (first.exception, first.level) == (None, "ERROR")
    assert "test_no_exception" in str(second.attributes["code.stacktrace"])


def test_an_exception_as_text(run: bl.Telemetry) -> None:
    """
    A record from another process has only the text of its exception.
    """
    record = log.makeRecord("app.db", logging.ERROR, "x.py", 1, "bad", (), None)
    record.exc_text = "Traceback\nValueError: boom"
    log.handle(record)
    [line] = lines(run)

    assert line.exception is not None
    assert line.exception.stacktrace == "Traceback\nValueError: boom"


def test_an_event(run: bl.Telemetry) -> None:
    """
    A record whose extra names an event is that event.
    """
    log.info("three", extra={"otel.event.name": "rows.loaded", "rows": 3})
    [line] = lines(run)

    assert (line.event_name, dict(line.attributes)) == ("rows.loaded", {"rows": 3})


def test_what_others_put_into_a_record(run: bl.Telemetry) -> None:
    """
    What formatters and OpenTelemetry's instrumentation leave in a record are no fields of the application's.
    """
    record = log.makeRecord("app.db", logging.INFO, "x.py", 1, "%s", ("x",), None, extra={"mine": 1})
    logging.Formatter("%(asctime)s %(message)s").format(record)
    vars(record).update(otelTraceID="0", otelSpanID="0", otelTraceSampled=False, otelServiceName="app")
    log.handle(record)
    [line] = lines(run)

    assert dict(line.attributes) == {"mine": 1}


def test_records_of_an_own_class(run: bl.Telemetry) -> None:
    """
    A class of records of the application's own may have its fields in any order.
    """

    class Own(logging.LogRecord):
        def __init__(self, *args, **kwargs):
            self.tenant = "t1"
            super().__init__(*args, **kwargs)

    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(Own)
    try:
        log.info("x", extra={"rows": 3})
    finally:
        logging.setLogRecordFactory(before)
    [line] = lines(run)

    assert dict(line.attributes) == {"tenant": "t1", "rows": 3}


@pytest.mark.parametrize(
    ("message", "body", "shown"),
    [
        ({"rows": 3, "ok": True}, {"rows": 3, "ok": True}, '{"rows": 3, "ok": true}'),
        ([1, "a"], (1, "a"), '[1, "a"]'),
        (3, 3, "3"),
        (ValueError("boom"), None, "boom"),
        (None, None, "None"),
    ],
)
def test_messages_that_are_no_text(run: bl.Telemetry, message: object, body: object, shown: str) -> None:
    """
    A mapping, a list or a number stays one; of anything else the message is what the logging module would print.
    """
    log.info(message)
    [line] = lines(run)

    assert (line.body, line.message) == (body, shown)


def test_secrets(run: bl.Telemetry) -> None:
    """
    No secret reaches the disk: not in a message, a field, a structured message.
    """
    log.info("using sk-proj-%s", "a1B2" * 10)
    log.info("login", extra={"password": "hunter2"})
    log.info({"api_key": "hunter2", "user": "bob"})
    run.flush()
    written = "".join(path.read_text() for path in run.run_directory.rglob("*.jsonl"))

    assert [word for word in ("a1B2", "hunter2") if word in written] == []
    assert "bob" in written


# ── what is taken ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("level", "taken"),
    [("DEBUG", "diwe"), ("INFO", "iwe"), (30, "we"), ("ERROR", "e"), (False, "")],
)
def test_level(tmp_path: Path, level: Any, taken: str) -> None:
    """
    capture_logs is the lowest level that is taken, as a name or a number; False takes none.
    """
    with bl.configure("level", directory=tmp_path, console=False, capture_logs=level) as run:
        for name in ("debug", "info", "warning", "error"):
            getattr(log, name)(name[0])
        found = "".join(line.message for line in lines(run))

    assert found == taken


def test_the_root_loggers_level_is_not_lowered(run: bl.Telemetry) -> None:
    """
    What the root logger's own level leaves out is left out: nothing is logged more than before.
    """
    logging.getLogger("quiet").info("nobody asked for it")
    logging.getLogger("quiet").warning("this one")

    assert [line.message for line in lines(run)] == ["this one"]
    assert logging.getLogger().level == logging.WARNING


def test_threads_and_tasks(run: bl.Telemetry) -> None:
    """
    A record carries the step of its own thread and task.
    """

    async def work(name: str) -> None:
        with bl.step(name):
            await asyncio.sleep(0.001)
            log.info(name)

    async def main() -> None:
        await asyncio.gather(*(work(f"task {number}") for number in range(5)))

    def thread(name: str) -> None:
        with bl.step(name):
            log.info(name)

    threads = [threading.Thread(target=thread, args=(f"thread {number}",)) for number in range(5)]
    for each in threads:
        each.start()
    asyncio.run(main())
    for each in threads:
        each.join()

    found = lines(run)
    assert sorted(line.message for line in found) == sorted(
        f"{kind} {n}" for kind in ("task", "thread") for n in range(5)
    )
    assert [line for line in found if line.step_name != line.message] == []


def test_a_signal_handler_may_log(run: bl.Telemetry) -> None:
    """
    A handler that logs in the middle of a record being taken neither hangs nor loses one.
    """
    hits = 0

    def handler(number: int, frame: object) -> None:
        nonlocal hits
        hits += 1
        log.info("signal")

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for _ in range(5_000):
            log.info("main")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    found = [line.message for line in lines(run)]
    assert hits > 5
    assert (found.count("main"), found.count("signal")) == (5_000, hits)


def test_by_way_of_a_queue(run: bl.Telemetry) -> None:
    """
    A record that a listener handles later, in another thread, keeps its time.
    """
    waiting: queue.Queue[logging.LogRecord] = queue.Queue()
    record = log.makeRecord("app.db", logging.INFO, "x.py", 1, "later", (), None)
    record.created -= 3_600
    logging.handlers.QueueHandler(waiting).handle(record)
    handled = threading.Thread(target=lambda: log.handle(waiting.get()))
    handled.start()
    handled.join()
    [line] = lines(run)

    assert line.time_unix_nano == int(record.created * 1e9)


def test_a_forked_child(run: bl.Telemetry) -> None:
    """
    A forked child logs into its own files, each record once and with its step.
    """
    log.info("before")
    with bl.step("forking"):
        pid = os.fork()
        if not pid:
            log.info("child")
            os._exit(0)
        os.waitpid(pid, 0)
        log.info("parent")

    found = lines(run)
    assert sorted((line.message, line.step_name) for line in found) == [
        ("before", None),
        ("child", "forking"),
        ("parent", "forking"),
    ]
    assert len({line.process for line in found}) == 2
    assert len({line.uid for line in found}) == 3


def test_a_non_propagating_logger_keeps_its_records(run: bl.Telemetry) -> None:
    """
    A logger that does not propagate keeps its records to itself, as it does from every handler of the root logger.
    """
    log.propagate = False
    log.warning("for its own handlers")
    log.propagate = True

    assert lines(run) == []


def test_suppressed(run: bl.Telemetry) -> None:
    """
    What an exporter says while it exports is not taken: OpenTelemetry marks its context.
    """
    for key in (otel_context._SUPPRESS_INSTRUMENTATION_KEY, "suppress_instrumentation"):
        token = otel_context.attach(otel_context.set_value(key, True))
        log.error("exporting")
        otel_context.detach(token)
    log.info("after")

    assert [line.message for line in lines(run)] == ["after"]


@pytest.mark.parametrize("name", ["urllib3.connectionpool", "requests", "httpx", "httpcore.http11", "grpc._channel"])
def test_libraries_of_exporters(tmp_path: Path, name: str) -> None:
    """
    Of the libraries that exporters use, what they say of every request is not taken, and a warning is.
    """
    library = logging.getLogger(name)
    library.setLevel(logging.DEBUG)
    with bl.configure("libraries", directory=tmp_path, console=False, capture_logs="DEBUG") as run:
        library.debug("POST /v1/logs")
        library.info("POST /v1/logs")
        library.warning("retrying")
        logging.getLogger(f"{name.partition('.')[0]}_app").warning("mine")
        found = [line.message for line in lines(run)]
    library.setLevel(logging.NOTSET)

    assert found == ["retrying", "mine"]


@pytest.mark.parametrize("name", ["opentelemetry", "opentelemetry.sdk.trace", "branchline", "branchline._pipeline"])
def test_those_who_tell_of_telemetry(run: bl.Telemetry, name: str) -> None:
    """
    What OpenTelemetry and branchline say of themselves is not taken at all.
    """
    logging.getLogger(name).error("could not export")

    assert lines(run) == []


# ── what goes wrong ───────────────────────────────────────────────────────────────────────────────


def test_a_format_that_does_not_fit(run: bl.Telemetry) -> None:
    """
    A record whose arguments do not go with its format is taken as both, and the application goes on.
    """
    without_other_handlers(lambda: log.info("%d rows", "three"))
    run.shutdown()

    assert [line.message for line in lines(run)] == ["%d rows ('three',)"]
    assert read(run).processes[0].oddities == {"log_format": 1}


def without_other_handlers(work: Callable[[], object]) -> None:
    """Do *work* with no other handlers on the root logger: pytest's raise where they cannot format a record."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, [logging.NullHandler()]
    try:
        work()
    finally:
        root.handlers = handlers


class Raising:
    def __str__(self) -> str:
        raise RuntimeError("no text for you")

    __repr__ = __str__


class Logging:
    """Logs itself whenever it is printed."""

    def __str__(self) -> str:
        log.info("printing %s", self)
        return "printed"


def test_what_raises_when_it_is_printed(run: bl.Telemetry) -> None:
    """
    What cannot be printed costs neither the record nor its fields nor the application.
    """

    def work() -> None:
        log.info("got %s", Raising(), extra={"good": 1, "bad": Raising()})
        log.info(Raising())

    without_other_handlers(work)
    first, second = lines(run)

    assert dict(first.attributes) == {"good": 1, "bad": "<unprintable Raising>"}
    assert first.message.startswith("got %s")
    assert "<unprintable Raising>" in first.message
    assert "<unprintable Raising>" in second.message


def test_what_logs_itself_when_it_is_printed(run: bl.Telemetry) -> None:
    """
    An object whose text is logged while it is logged comes to an end.
    """
    without_other_handlers(lambda: log.info("printing %s", Logging()))
    run.shutdown()
    found = [line.message for line in lines(run)]

    assert found == ["printing printed"] * len(found)
    assert 1 < len(found) < 20
    assert read(run).processes[0].oddities == {"recursive_log": 1}


def test_a_callback_of_the_redactor_may_log(tmp_path: Path) -> None:
    """
    A redaction callback that logs about every value does not log for ever: what it says is not taken.
    """
    asked = []

    def callback(key: str, value: object) -> object:
        asked.append(key)
        log.warning("looking at %s", key)
        return value

    redactor = bl.Redactor(callback=callback)  # type: ignore[arg-type]  # any value is what it says
    with bl.configure("asked", directory=tmp_path, console=False, redact=redactor) as run:
        log.info("hello")
        found = [line.message for line in lines(run)]

    assert found == ["hello"]
    assert "body" in asked


def test_odd_records(run: bl.Telemetry) -> None:
    """
    Records that the logging module would never make are taken as far as they go.
    """
    made = logging.makeLogRecord({"name": 7, "msg": "made", "levelno": 30, "pathname": ["x"], "exc_info": True})
    without_other_handlers(lambda: logging.getLogger().handle(made))
    [line] = lines(run)

    assert (line.message, line.level, line.logger_name) == ("made", "WARN", "7")


# ── logging stays as it was ───────────────────────────────────────────────────────────────────────


def state() -> tuple[object, ...]:
    root = logging.getLogger()
    return (
        list(root.handlers),
        root.level,
        root.parent,
        root.hasHandlers(),
        logging.lastResort,
    )


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """
    After shutdown, also after set-up was done twice and a capture was in between, logging is as it was.
    """
    before = state()
    bl.configure("one", directory=tmp_path, console=False)
    bl.configure("two", directory=tmp_path, console=False)
    with capture():
        log.info("captured")
    assert [line.message for line in lines(run_of("two"))] == []
    log.info("once")
    found = [line.message for line in lines(run_of("two"))]
    bl.shutdown()

    assert found == ["once"]
    assert state() == before


def run_of(name: str) -> bl.Telemetry:
    from branchline.telemetry import _state

    assert _state.current is not None
    assert _state.current.config.service_name == name
    return _state.current


def test_caplog(run: bl.Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """
    pytest's caplog sees what it sees without us.
    """
    with caplog.at_level(logging.INFO):
        logging.getLogger("other").info("both")

    assert caplog.messages == ["both"]
    assert [line.message for line in lines(run)] == ["both"]


def test_capture_has_its_own(run: bl.Telemetry) -> None:
    """
    A capture has the records of its own context, the run those outside of it, wherever they are logged.
    """
    outside = contextvars.copy_context()
    with capture() as captured:
        log.info("inside")
        thread = threading.Thread(target=lambda: log.info("in a thread"))
        thread.start()
        thread.join()
        outside.run(log.info, "outside")
        with capture() as inner:
            log.info("innermost")

    assert [line.message for line in captured.logs] == ["inside", "in a thread"]
    assert [line.message for line in inner.logs] == ["innermost"]
    assert [line.message for line in lines(run)] == ["outside"]


@pytest.mark.parametrize("level", ["ERROR", False])
def test_a_run_and_a_capture_have_levels_of_their_own(tmp_path: Path, level: Any) -> None:
    """
    A capture has records from INFO on, the run what it asked for, also while both take records.
    """
    with bl.configure("errors", directory=tmp_path, console=False, capture_logs=level) as run:
        outside = contextvars.copy_context()
        with capture() as captured:
            log.debug("debug inside")
            log.info("inside")
            outside.run(log.warning, "outside")
            outside.run(log.error, "wrong")
        found = [line.message for line in lines(run)]

    assert [line.message for line in captured.logs] == ["inside"]
    assert found == (["wrong"] if level else [])


def test_capture_alone() -> None:
    """
    Without a run, a capture has the records of its own context and no other; records have their steps.
    """
    outside = contextvars.copy_context()
    with capture() as captured, bl.step("load"):
        log.info("inside", extra={"rows": 3})
        outside.run(log.info, "outside")
    log.info("after")

    assert [(line.message, line.step_name, dict(line.attributes)) for line in captured.logs] == [
        ("inside", "load", {"rows": 3})
    ]


# ── what a person sees on stderr ──────────────────────────────────────────────────────────────────

UNCONFIGURED = 'log.warning("plain"); logging.getLogger("other").error("%d", 7); log.info("not shown")'
PROGRAMS = {
    "unconfigured": UNCONFIGURED,
    "functions of the module": 'logging.warning("plain"); log.warning("by then it is configured")',
    "configured after": 'logging.basicConfig(level="INFO"); log.info("shown")',
    "configured again": (
        'logging.basicConfig(level="INFO"); logging.basicConfig(force=True, format="-- %(message)s"); log.info("shown")'
    ),
    "by dictionary": (
        'logging.config.dictConfig({"version": 1, "formatters": {"f": {"format": "%(name)s %(message)s"}},'
        '"handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f"}},'
        '"root": {"level": "INFO", "handlers": ["h"]}}); log.info("disabled"); logging.getLogger("new").info("shown")'
    ),
    "handlers of its own": (
        'log.addHandler(logging.StreamHandler()); log.warning("once"); log.propagate = False; log.warning("alone")'
    ),
    "asks for handlers": "print(log.hasHandlers(), logging.root.handlers, file=sys.stderr)",
    "no last resort": 'logging.lastResort = None; logging.raiseExceptions = False; log.warning("nobody sees it")',
    "disabled": 'logging.disable(logging.ERROR); log.error("not shown"); log.critical("shown")',
    "warnings": 'logging.captureWarnings(True); import warnings; warnings.warn("beware")',
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
@pytest.mark.parametrize("options", ['capture_logs="DEBUG"', 'capture_logs="CRITICAL"'])
def test_stderr_is_the_same(tmp_path: Path, program: str, options: str) -> None:
    """
    A program prints the same with branchline and without, however it configures logging, and whatever is taken.
    """
    start = "import logging, logging.config, sys\nlog = logging.getLogger('app')\n"
    with_us = f"import branchline\nbranchline.configure('x', console=False, {options})\n"
    said = [
        subprocess.run(
            [sys.executable, "-c", start + configured + program],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            cwd=tmp_path,
        ).stderr
        for configured in ("", with_us)
    ]

    assert said[0] == said[1]


def test_whoever_configures_logging_later_takes_nothing_away(tmp_path: Path) -> None:
    """
    Records are taken before and after basicConfig and dictConfig; of loggers that those disable there are none.
    """
    program = """
    import logging, logging.config
    import branchline as bl
    early = logging.getLogger("early")
    with bl.configure("x", console=False, directory="."):
        early.warning("one")
        logging.basicConfig(level="INFO", filename="log")
        early.info("two")
        logging.config.dictConfig({"version": 1, "root": {"level": "INFO", "handlers": []}})
        early.info("disabled by that")
        logging.getLogger("late").info("three")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], timeout=60, check=True, cwd=tmp_path)

    assert [line.message for line in open_runs(tmp_path).last.logs] == ["one", "two", "three"]


def test_the_end_of_the_interpreter(tmp_path: Path) -> None:
    """
    Records of functions that run at exit are taken too, and logging.shutdown starts no threads and says nothing.
    """
    program = """
    import atexit, logging, threading
    import branchline as bl
    log = logging.getLogger("app")
    log.setLevel("INFO")
    log.addHandler(logging.NullHandler())
    atexit.register(lambda: log.info("last, with %d thread", threading.active_count()))
    bl.configure("x", console=False, directory=".")
    log.info("first")
    logging.shutdown()
    log.info("second")
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, timeout=60, check=True, cwd=tmp_path
    )

    assert ran.stderr == b""
    assert [line.message for line in open_runs(tmp_path).last.logs] == ["first", "second", "last, with 1 thread"]
