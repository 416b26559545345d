"""What reaches the run besides the logging module: warnings, what nobody catches, loguru and structlog."""

from __future__ import annotations

import asyncio
import functools
import logging
import logging.config
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Iterator, MutableMapping
from pathlib import Path

import pytest

import branchline as bl
from branchline.logs import loguru_sink, structlog_processor
from branchline.read import LogLine, open_runs


@pytest.fixture
def run(tmp_path: Path) -> Iterator[bl.Telemetry]:
    options = {"capture_logs": 1, "capture_warnings": True, "capture_uncaught": True}
    with bl.configure("sources", directory=tmp_path, console=False, signals=False, **options) as telemetry:  # type: ignore[arg-type]
        yield telemetry


def lines(run: bl.Telemetry) -> list[LogLine]:
    run.flush()
    return list(open_runs(run.directory)[run.run_id].logs)


def ran(program: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)


# ── warnings ──────────────────────────────────────────────────────────────────────────────────────


def test_a_warning(tmp_path: Path) -> None:
    """
    A warning is shown as before, and is in the run with the place that it warns of, in the step of that moment.
    """
    program = """
    import warnings
    {configure}
    warnings.warn("beware", UserWarning)
    """
    configure = "import branchline as bl; bl.configure('x', console=False, capture_warnings=True)"
    with_us, without = ran(program.format(configure=configure), tmp_path), ran(program.format(configure=""), tmp_path)
    [line] = open_runs(tmp_path / ".branchline").last.logs

    assert (with_us.returncode, with_us.stderr) == (0, without.stderr)
    assert "UserWarning: beware" in without.stderr
    assert (line.message, line.level, line.logger_name) == ("UserWarning: beware", "WARN", "py.warnings")
    assert (line.file, line.line) == ("<string>", 4)


def test_warnings_that_are_logged_come_once(run: bl.Telemetry) -> None:
    """
    With logging.captureWarnings, before or after, a warning is there once.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        try:
            warnings.warn("beware", UserWarning, stacklevel=1)
        finally:
            logging.captureWarnings(False)

    [line] = lines(run)
    assert "UserWarning: beware" in line.message


def test_nothing_without_being_asked(tmp_path: Path) -> None:
    """
    Unless somebody asks for it, hooks stay as they are; after shutdown they are as they were.
    """
    before = (warnings.showwarning, sys.excepthook, threading.excepthook)
    with bl.configure("x", directory=tmp_path, console=False):
        assert (warnings.showwarning, sys.excepthook, threading.excepthook) == before
    with bl.configure("y", directory=tmp_path, console=False, capture_warnings=True, capture_uncaught=True):
        during = (warnings.showwarning, sys.excepthook, threading.excepthook)

    assert [now == then for now, then in zip(during, before, strict=True)] == [False, False, False]
    assert (warnings.showwarning, sys.excepthook, threading.excepthook) == before


def test_a_hook_of_somebody_elses_stays(tmp_path: Path) -> None:
    """
    Whoever puts a hook before ours keeps it after shutdown, and ours behind it does nothing any more.
    """
    before = sys.excepthook
    try:
        with bl.configure("x", directory=tmp_path, console=False, capture_uncaught=True) as run:
            ours = sys.excepthook
            theirs = functools.partial(ours)
            sys.excepthook = theirs
        assert sys.excepthook is theirs
        assert lines(run) == []
    finally:
        sys.excepthook = before


# ── what nobody catches ───────────────────────────────────────────────────────────────────────────


def test_the_end_of_a_program(tmp_path: Path) -> None:
    """
    The exception that ends a program is printed as before, and is in the run with its place; Ctrl-C is none.
    """
    program = """
    {configure}
    def work():
        raise ValueError("no rows")
    work()
    """
    configure = "import branchline as bl; bl.configure('x', console=False, capture_uncaught=True)"
    with_us, without = ran(program.format(configure=configure), tmp_path), ran(program.format(configure=""), tmp_path)
    ran(f"{configure}\nraise KeyboardInterrupt", tmp_path)
    first, second = open_runs(tmp_path / ".branchline")
    found = [line for run in (first, second) for line in run.logs]

    assert (with_us.returncode, with_us.stderr) == (without.returncode, without.stderr)
    [line] = found
    assert (line.message, line.level_name) == ("ValueError ends the program", "CRITICAL")
    assert line.exception is not None
    assert (line.exception.type, line.exception.message, line.function) == ("ValueError", "no rows", "work")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_end_of_a_thread(run: bl.Telemetry) -> None:
    """
    So is the exception that ends a thread.
    """
    thread = threading.Thread(target=lambda: 1 / 0, name="worker")
    thread.start()
    thread.join()
    [line] = lines(run)

    assert line.message == "ZeroDivisionError ends the thread worker"
    assert line.exception is not None


def test_what_asyncio_says_of_a_task(run: bl.Telemetry) -> None:
    """
    What asyncio's own handler says of an exception that nobody has asked for is in the run, with its traceback.
    """

    async def main() -> None:
        async def work() -> None:
            raise ValueError("nobody asks")

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task

    asyncio.run(main())
    [line] = [line for line in lines(run) if line.logger_name == "asyncio" and line.level == "ERROR"]

    assert line.message.startswith("Task exception was never retrieved")
    assert line.exception is not None
    assert line.exception.message == "nobody asks"


# ── other logging libraries ───────────────────────────────────────────────────────────────────────


def test_loguru(run: bl.Telemetry) -> None:
    """
    Three lines bring loguru's records into the run: level, fields, exception, place, and the step they were made in.
    """
    from loguru import logger

    logger.remove()
    sink = logger.add(loguru_sink, level="TRACE")
    try:
        with bl.step("load"):
            logger.bind(rows=3).success("read {}", "users")
        try:
            raise ValueError("no rows")
        except ValueError:
            logger.exception("wrong")
    finally:
        logger.remove(sink)
    first, second = lines(run)

    assert (first.message, first.level_name, first.step_name) == ("read users", "SUCCESS", "load")
    assert (dict(first.attributes), first.logger_name) == ({"rows": 3}, __name__)
    assert (first.file, first.function) == (__file__, "test_loguru")
    assert (second.level, second.exception and second.exception.message) == ("ERROR", "no rows")


def test_structlog(run: bl.Telemetry) -> None:
    """
    One processor brings structlog's events into the run, and leaves them as they are for those that come after it.
    """
    import structlog

    written: list[object] = []

    def keep(logger: object, name: str, event: MutableMapping[str, object]) -> str:
        written.append(dict(event))
        raise structlog.DropEvent

    log = structlog.wrap_logger(
        structlog.PrintLogger(), processors=[structlog.processors.add_log_level, structlog_processor, keep]
    )
    with bl.step("load"):
        log.bind(user="ann").warning("slow", rows=3)
    try:
        raise ValueError("no rows")
    except ValueError:
        log.exception("wrong")
    first, second = lines(run)

    assert (first.message, first.level_name, first.step_name) == ("slow", "WARNING", "load")
    assert (dict(first.attributes), first.logger_name) == ({"user": "ann", "rows": 3}, "structlog")
    assert (first.file, first.function) == (__file__, "test_structlog")
    assert (second.level, second.exception and second.exception.message) == ("ERROR", "no rows")
    assert written[0] == {"user": "ann", "rows": 3, "event": "slow", "level": "warning"}


def test_structlog_by_way_of_the_logging_module(run: bl.Telemetry) -> None:
    """
    What structlog hands on to the logging module comes from there, and once.
    """
    import structlog

    log = structlog.wrap_logger(
        logging.getLogger("app"),
        processors=[structlog_processor, structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    log.warning("once", rows=3)

    assert [(line.message, dict(line.attributes)) for line in lines(run)] == [("once", {"rows": 3})]


def test_others_without_a_run() -> None:
    """
    Without a run, and with whatever an event has in it, nothing happens to other libraries.
    """
    event = {"event": "x", "level": object()}

    assert structlog_processor(None, "info", event) is event


def test_an_event_that_cannot_be_taken(run: bl.Telemetry) -> None:
    """
    An event of structlog's that makes no sense is not lost for structlog, and raises nothing.
    """
    event = {"event": "x", "level": object()}

    assert structlog_processor(None, "info", event) is event


# ── what OpenTelemetry's own handler gets wrong ───────────────────────────────────────────────────


def test_no_function_of_the_logging_module_is_replaced(run: bl.Telemetry) -> None:
    """
    basicConfig, dictConfig, fileConfig and the classes of the logging module are its own while a run goes on.
    """
    ours = [
        *(logging.basicConfig, logging.config.dictConfig, logging.config.fileConfig, logging.getLogger),
        *(
            logging.Logger.callHandlers,
            logging.Logger.makeRecord,
            logging.getLoggerClass(),
            logging.getLogRecordFactory(),
        ),
    ]

    assert {found.__module__ for found in ours} == {"logging", "logging.config"}


def test_an_extra_that_is_no_attribute(run: bl.Telemetry, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A field that OpenTelemetry has no type for is written as text: no warning, no record about the record.
    """
    log = logging.getLogger("app")
    log.warning("once", extra={"thing": object, "pair": {"one": {2}}})

    assert [(line.message, dict(line.attributes)) for line in lines(run)] == [
        ("once", {"thing": str(object), "pair": {"one": (2,)}})
    ]
    assert capsys.readouterr().err == ""
