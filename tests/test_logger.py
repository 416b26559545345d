"""The Logger: a logger of the logging module with fields, levels and sinks of its own."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import logging.handlers
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from opentelemetry import trace

import branchline as bl
from branchline import names
from branchline.errors import ConfigError
from branchline.logs import Logger, get_logger
from branchline.logs.records import Line, Record
from branchline.logs.registry import LOGGERS
from branchline.read import LogLine, open_runs


@pytest.fixture(autouse=True)
def _afterwards() -> Iterator[None]:
    yield
    LOGGERS.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[bl.Telemetry]:
    with bl.configure("logger", directory=tmp_path, console=False, signals=False, capture_logs=1) as telemetry:
        yield telemetry


def lines(run: bl.Telemetry) -> list[LogLine]:
    run.flush()
    # Each change of a level is a record, too.
    return [line for line in open_runs(run.directory)[run.run_id].logs if line.event_name != names.LOGGING_CHANGED]


@pytest.fixture
def log() -> Logger:
    return get_logger("app.db")


@pytest.fixture
def said(log: Logger) -> list[Line]:
    """
    What a callable sink of the Logger has got.
    """
    found: list[Line] = []
    log.add_handler({"sink": found.append, "format": "{level} {message}"})
    return found


# ── what is logged ────────────────────────────────────────────────────────────────────────────────


def test_a_record_has_fields_and_the_place_of_the_caller(run: bl.Telemetry, log: Logger) -> None:
    """
    Positional arguments go into the message, keyword arguments are fields, and the place in the code is the caller's.
    """
    with bl.step("load"):
        log.info("read %d rows", 3, table="users", sizes=[1, 2])
    [line] = lines(run)

    assert (line.message, line.level, line.logger_name, line.step_name) == ("read 3 rows", "INFO", "app.db", "load")
    assert dict(line.attributes) == {"table": "users", "sizes": (1, 2)}
    assert (line.file, line.function) == (__file__, "test_a_record_has_fields_and_the_place_of_the_caller")
    assert 'log.info("read %d rows"' in Path(__file__).read_text().splitlines()[(line.line or 0) - 1]


@pytest.mark.parametrize(
    ("method", "number", "text", "name"),
    [
        ("trace", 1, "TRACE", "TRACE"),
        ("debug", 5, "DEBUG", "DEBUG"),
        ("info", 9, "INFO", "INFO"),
        ("success", 12, "INFO", "SUCCESS"),
        ("warning", 13, "WARN", "WARNING"),
        ("warn", 13, "WARN", "WARNING"),
        ("error", 17, "ERROR", "ERROR"),
        ("critical", 21, "FATAL", "CRITICAL"),
        ("fatal", 21, "FATAL", "CRITICAL"),
        ("exception", 17, "ERROR", "ERROR"),
    ],
)
def test_methods(run: bl.Telemetry, log: Logger, method: str, number: int, text: str, name: str) -> None:
    """
    Every method logs at its level, which has OpenTelemetry's number and word in the run.
    """
    log.setLevel("TRACE")
    getattr(log, method)("x")
    [line] = lines(run)

    assert (line.severity_number, line.level, line.level_name) == (number, text, name)


def test_any_level(log: Logger, said: list[Line]) -> None:
    """
    log() takes names and numbers; a name that nobody knows costs the level and not the record.
    """
    log.log("error", "by name")
    log.log(25, "by number")
    log.log("LOUD", "by no name")
    log.log_structured("with data", "WARNING", {"rows": 3})

    assert said == ["ERROR by name", "SUCCESS by number", "INFO by no name", "WARNING with data [rows=3]"]


def test_fields_of_any_name_and_value(run: bl.Telemetry, log: Logger, said: list[Line]) -> None:
    """
    A field may be called what an attribute of a record is called, and be anything; nothing of it is an error.
    """

    class Unprintable:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    fields = {"msg": 1, "level": "mine", "name": "bob", "self": 2, "args": 3, "x": Unprintable(), "message": "m"}
    log.info("odd", **fields)
    [line] = lines(run)

    assert dict(line.attributes) == {**fields, "x": "<unprintable Unprintable>"}
    assert dict(said[0].record.fields) == {**fields, "x": "<unprintable Unprintable>"}
    assert (said[0].record.level, said[0].record.name, said[0].record.message) == ("INFO", "app.db", "odd")


def test_fields_are_as_they_were(log: Logger, said: list[Line]) -> None:
    """
    What changes after it was logged has not changed in the record.
    """
    rows = [1]
    log.info("x", rows=rows)
    rows.append(2)

    assert said[0].record.fields == {"rows": (1,)}


def test_what_the_logging_module_takes(log: Logger, said: list[Line]) -> None:
    """
    exc_info, stack_info, stacklevel and extra mean what they mean in the logging module.
    """

    def helper() -> None:
        log.info("from here", stacklevel=2, extra={"rows": 3}, stack_info=True)

    helper()
    try:
        raise KeyError("k")
    except KeyError as error:
        log.warning("one", exc_info=True)
        log.error("two", exc_info=error)
    first, second, third = (line.record for line in said)

    assert (first.funcName, dict(first.fields)) == ("test_what_the_logging_module_takes", {"rows": 3})
    assert first.stack_info is not None
    assert "test_what_the_logging_module_takes" in first.stack_info.splitlines()[-2]
    assert [repr(second.exception), repr(third.exception)] == ["KeyError('k')", "KeyError('k')"]


def test_exceptions(log: Logger, said: list[Line]) -> None:
    """
    exception() tells of what is being handled, and of nothing where nothing is; opt(exception=) of what it is given.
    """
    log.exception("nothing happened")  # noqa: LOG004  # that is the question
    log.opt(exception=ValueError("given")).warning("later")
    try:
        raise KeyError("k")
    except KeyError:
        log.exception("happened")
        log.opt(exception=True).info("too")

    assert [repr(line.record.exception) for line in said] == [
        "None",
        "ValueError('given')",
        "KeyError('k')",
        "KeyError('k')",
    ]
    assert said[0] == "ERROR nothing happened"


def test_lazy_values(log: Logger, said: list[Line]) -> None:
    """
    With opt(lazy=True) functions are called for records that are wanted, once, and may fail.
    """
    called = []

    def value() -> int:
        called.append(1)
        return 42

    log.opt(lazy=True).debug("%d", value, field=value)
    assert called == []
    log.opt(lazy=True).info("%d", value, good=value, bad=lambda: 1 / 0)

    assert said == ['INFO 42 [good=42, bad="<ZeroDivisionError: division by zero>"]']
    assert called == [1, 1]


def test_a_format_that_does_not_fit(run: bl.Telemetry, log: Logger, said: list[Line]) -> None:
    """
    A message that does not go with its arguments is logged as both.
    """
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, [logging.NullHandler()]
    try:
        log.info("%d rows", "three")
    finally:
        root.handlers = handlers

    assert said == ["INFO %d rows ('three',)"]
    assert [line.message for line in lines(run)] == ["%d rows ('three',)"]


def test_a_filter_that_raises(log: Logger, said: list[Line], capsys: pytest.CaptureFixture[str]) -> None:
    """
    A filter of the logging module that raises costs the record and not the application, and is told on stderr.
    """

    def refuse(record: logging.LogRecord) -> bool:
        raise RuntimeError("no filter")

    log.addFilter(refuse)
    try:
        log.info("lost")
    finally:
        log.removeFilter(refuse)
    log.info("there")

    assert said == ["INFO there"]
    assert "RuntimeError: no filter" in capsys.readouterr().err


# ── bound and contextual fields ───────────────────────────────────────────────────────────────────


def test_bind(log: Logger, said: list[Line]) -> None:
    """
    bind() adds fields to a Logger of its own, nested as deep as you like; the one before stays as it is.
    """
    request = log.bind(request=1, user="ann")
    deeper = request.bind(user="bob", table="t")
    deeper.info("a", table="called")
    deeper.unbind("user", "unknown").info("b")
    request.info("c")
    log.info("d")

    assert [dict(line.record.fields) for line in said] == [
        {"request": 1, "user": "bob", "table": "called"},
        {"request": 1, "table": "t"},
        {"request": 1, "user": "ann"},
        {},
    ]
    assert deeper.bound == {"request": 1, "user": "bob", "table": "t"}


def test_contextualize(log: Logger, said: list[Line]) -> None:
    """
    A block's fields are on every record inside, of every Logger; an inner block gives back what it has overridden.
    """
    other = get_logger("app.other")
    other.add_handler({"sink": said.append, "format": "{message}"})
    with log.contextualize(request=1, user="ann"):
        log.info("a")
        with other.contextualize(user="bob"):
            other.info("b")
        log.bind(request=2).info("c")
    log.info("d")

    assert [dict(line.record.fields) for line in said] == [
        {"request": 1, "user": "ann"},
        {"request": 1, "user": "bob"},
        {"request": 2, "user": "ann"},
        {},
    ]


def test_contextual_fields_in_tasks_threads_and_steps(run: bl.Telemetry, log: Logger, said: list[Line]) -> None:
    """
    A block's fields go where the current step goes, and stay apart between tasks.
    """

    async def work(number: int) -> None:
        with log.contextualize(task=number):
            await asyncio.sleep(0)
            log.info("task")

    async def all_of_them() -> None:
        await asyncio.gather(*[work(number) for number in range(3)])

    asyncio.run(all_of_them())
    with log.contextualize(block=1), bl.step("load"), ThreadPoolExecutor(1) as pool:
        pool.submit(log.info, "pool").result()
        thread = threading.Thread(target=log.info, args=("thread",))
        thread.start()
        thread.join()

    assert sorted(str(line.record.fields["task"]) for line in said[:3]) == ["0", "1", "2"]
    assert [dict(line.record.fields) for line in said[3:]] == [{"block": 1}, {"block": 1}]


# ── it is the logging module's ────────────────────────────────────────────────────────────────────


def test_both_faces_are_one(log: Logger, said: list[Line]) -> None:
    """
    Level, handlers, filters and parent are those of the logging module's logger, whoever sets them.
    """
    plain = logging.getLogger("app.db")
    handler = logging.NullHandler()
    plain.addHandler(handler)
    plain.setLevel("ERROR")
    log.warning("not wanted")
    plain.warning("not wanted either")
    log.setLevel("DEBUG")
    plain.debug("wanted", extra={"rows": 1})

    assert isinstance(log, logging.Logger)
    assert handler in log.handlers
    assert (log.level, plain.level, log.parent) == (10, 10, plain.parent)
    assert said == ["DEBUG wanted [rows=1]"]
    plain.removeHandler(handler)


def test_handlers_of_others_see_fields(log: Logger, caplog: pytest.LogCaptureFixture) -> None:
    """
    A handler of the logging module finds fields where `extra` would be; caplog has every record.
    """
    log.bind(user="ann").info("read %d", 3, rows=3)
    [record] = caplog.records

    assert (record.getMessage(), record.user, record.rows) == ("read 3", "ann", 3)  # type: ignore[attr-defined]
    assert logging.Formatter("%(levelname)s:%(user)s:%(message)s").format(record) == "INFO:ann:read 3"


def test_a_record_survives_copies_and_processes(log: Logger, said: list[Line]) -> None:
    """
    A copy of a record has its fields; a pickled one is one of the logging module's, with the fields as attributes.
    """
    log.info("x", rows=3, name="odd")
    record = said[0].record
    again = pickle.loads(pickle.dumps(record))

    assert dict(copy.copy(record).fields) == {"rows": 3, "name": "odd"}
    assert (type(again), again.rows, again.name) == (logging.LogRecord, 3, "app.db")
    assert dict(Record.of(again).fields) == {"rows": 3}


def test_a_factory_of_records_of_others(log: Logger, said: list[Line]) -> None:
    """
    What somebody's own factory adds to every record is a field of it.
    """
    before = logging.getLogRecordFactory()

    def factory(*args: object, **kwargs: object) -> logging.LogRecord:
        record = before(*args, **kwargs)
        record.tenant = "t1"
        return record

    logging.setLogRecordFactory(factory)
    try:
        log.info("x", rows=3)
    finally:
        logging.setLogRecordFactory(before)

    assert dict(said[0].record.fields) == {"tenant": "t1", "rows": 3}


def test_adapters_and_pickles(log: Logger, said: list[Line]) -> None:
    """
    Adapters of the logging module work, with the caller's place; a Logger is itself after it was pickled.
    """
    logging.LoggerAdapter(log, {"user": "ann"}).info("adapted")
    again = pickle.loads(pickle.dumps(log.bind(rows=3)))
    again.info("again")

    assert said == ["INFO adapted [user=ann]", "INFO again [rows=3]"]
    assert said[0].record.funcName == "test_adapters_and_pickles"


# ── levels ────────────────────────────────────────────────────────────────────────────────────────


def test_the_level_without_configure(log: Logger, said: list[Line]) -> None:
    """
    Without configure() and without a word about it, a Logger lets INFO and above through.
    """
    log.debug("no")
    log.info("yes")

    assert said == ["INFO yes"]


@pytest.mark.parametrize(
    ("verbosity", "expected"),
    [
        ("VERBOSE", ["debug", "info", "warning", "critical"]),
        ("REGULAR", ["info", "warning", "critical"]),
        ("QUIET", ["warning", "critical"]),
        ("NONE", []),
    ],
)
def test_verbosity(tmp_path: Path, log: Logger, said: list[Line], verbosity: str, expected: list[str]) -> None:
    """
    configure(verbosity=) is the threshold of every Logger that nobody has decided on, until the run ends.
    """
    decided = get_logger("decided", {"level": "ERROR", "stdout": False})
    with bl.configure("x", directory=tmp_path, console=False, verbosity=verbosity):  # type: ignore[arg-type]
        for level in ("debug", "info", "warning", "critical"):
            log.log(level, level)
        assert decided.level == logging.ERROR
    log.info("after")

    assert [line.record.message for line in said] == [*expected, "after"]


def test_levels_by_name(said: list[Line], log: Logger) -> None:
    """
    A level that was decided on counts for the Loggers below, whichever was made first; closing it gives it back.
    """
    above = get_logger("app")
    above.setLevel("DEBUG")
    LOGGERS.settle()
    log.debug("let through by the one above")
    above.setLevel("NONE")
    log.critical("nothing at all")
    above.setLevel("INFO")
    log.debug("not any more")
    log.info("again")

    assert [line.record.message for line in said] == ["let through by the one above", "again"]


@pytest.mark.parametrize("level", ["LOUD", "", None, -1, True, 3.5])
def test_levels_that_are_none(log: Logger, level: object) -> None:
    """
    A level that is none is refused at once, naming what is accepted.
    """
    with pytest.raises(ConfigError, match=r"is not accepted; accepted: TRACE, DEBUG, INFO, SUCCESS, WARNING, ERROR"):
        log.setLevel(level)  # type: ignore[arg-type]  # that is the question
    with pytest.raises(ConfigError, match=r"is not accepted"):
        get_logger("other", {"level": level if level is not None else "x"})


def test_a_sink_may_want_more_than_the_level(log: Logger, said: list[Line], caplog: pytest.LogCaptureFixture) -> None:
    """
    A sink with a level of its own gets all of it, where nobody has decided on the Logger's; nobody else does.
    """
    deep: list[Line] = []
    handler_id = log.add_handler({"sink": deep.append, "level": "DEBUG", "format": "{message}"})
    log.trace("a")
    log.debug("b")
    log.info("c")
    log.remove_handler(handler_id)
    log.debug("d")
    log.setLevel("INFO")
    log.add_handler({"sink": deep.append, "level": "DEBUG", "format": "{message}"})
    log.debug("e")

    assert deep == ["b", "c"]
    assert said == ["INFO c"]
    assert caplog.messages == ["c"]


# ── one for each name ─────────────────────────────────────────────────────────────────────────────


def test_one_for_each_name(tmp_path: Path) -> None:
    """
    The same name is the same Logger; asked for with another config it has that one's sinks, and no line twice.
    """
    first = get_logger("job", {"log_dir": tmp_path / "a", "stdout": False})
    assert get_logger("job") is first
    assert get_logger("job", {"log_dir": tmp_path / "a", "stdout": False}) is first
    first.info("one")
    assert get_logger("job", {"log_dir": tmp_path / "b", "stdout": False, "level": "DEBUG"}) is first
    first.debug("two")

    assert [json.loads(line)["message"] for line in (tmp_path / "a/job.log").read_text().splitlines()] == ["one"]
    assert [json.loads(line)["message"] for line in (tmp_path / "b/job.log").read_text().splitlines()] == ["two"]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"rotatoin": "x"}, "unknown key 'rotatoin' in the config of a logger; did you mean 'rotation'?"),
        ({"level": "LOUD"}, "level='LOUD' is not accepted"),
        ({"rotation_mb": 0}, "rotation_mb=0 is not accepted; accepted: a number above 0"),
        ({"retention_files": -1}, "retention_files=-1 is not accepted"),
        ({"stdout": "yes"}, "stdout='yes' is not accepted; accepted: True or False"),
        ({"compression": "rar"}, "compression='rar' is not accepted"),
        ({"log_dir": 5}, "log_dir=5 is not accepted"),
        ("x.log", "config='x.log' is not accepted"),
    ],
)
def test_configs_that_are_not_accepted(tmp_path: Path, config: object, told: str) -> None:
    """
    What is not accepted is refused at once and names what is; what was there before goes on.
    """
    log = get_logger("job", {"log_dir": tmp_path, "stdout": False})
    given = {"log_dir": tmp_path / "other", **config} if isinstance(config, dict) else config
    with pytest.raises(ConfigError) as caught:
        get_logger("job", given)  # type: ignore[arg-type]  # that is the question
    log.info("still there")

    assert told in str(caught.value)
    assert len((tmp_path / "job.log").read_text().splitlines()) == 1


@pytest.mark.parametrize("name", ["", None, "a\0b", 7])
def test_names_that_are_none(name: object) -> None:
    """
    A name that is none is refused at once.
    """
    with pytest.raises(ConfigError, match="is not accepted; accepted: a text that is not empty"):
        get_logger(name)  # type: ignore[arg-type]  # that is the question


def test_names_cannot_leave_the_folder(tmp_path: Path) -> None:
    """
    Whatever a Logger is called, its file is in the folder that was said.
    """
    folder = tmp_path / "logs"
    for name in ("../up", "a/b", "..", "con", "x" * 300, "\n"):
        get_logger(name, {"log_dir": folder, "stdout": False}).info("x")

    assert {path.name for path in tmp_path.iterdir()} == {"logs"}
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {
        "_up.log",
        "a_b.log",
        "_.log",
        "_con.log",
        f"{'x' * 128}.log",
    }


def test_closing(log: Logger, said: list[Line]) -> None:
    """
    After close() its sinks are gone, and logging is as it was; the name gives a fresh Logger.
    """
    log.info("one")
    assert log.close()
    log.info("two")
    plain = logging.getLogger("app.db")

    assert said == ["INFO one"]
    assert (plain.handlers, plain.level) == ([], logging.NOTSET)
    assert get_logger("app.db") is not log


def test_a_hundred_loggers_leave_nothing(tmp_path: Path) -> None:
    """
    LT-80: a hundred Loggers that were made and closed leave no memory, no open file and no thread.
    """
    program = """
    import gc, logging, os, re, threading, tracemalloc
    from branchline.logs import get_logger

    def made_and_closed(folder):
        for number in range(100):
            log = get_logger(f"logger-{folder}-{number}", {"log_dir": folder, "stdout": False, "enqueue": True})
            log.info("x", number=number)
            assert log.close()

    def left():
        # Patterns that were used are remembered, some hundred of them.
        re.purge()
        gc.collect()
        return tracemalloc.get_traced_memory()[0], len(os.listdir("/proc/self/fd")), threading.active_count()

    tracemalloc.start()
    made_and_closed("a")
    before = left()
    loggers = len(logging.Logger.manager.loggerDict)
    made_and_closed("b")
    after = left()
    print(after[0] - before[0] < 50_000, after[1:] == before[1:], len(logging.Logger.manager.loggerDict) == loggers)
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        check=True,
    )

    assert (ran.stdout, ran.stderr) == ("True True True\n", "")
    assert len(list((tmp_path / "b").glob("*.log"))) == 100


def test_what_the_interpreter_itself_has_logged(tmp_path: Path) -> None:
    """
    Where no code of anybody's is running, as in a function for the end of the program, a record has no place in it.
    """
    program = """
    import atexit
    import branchline as bl

    run = bl.configure("x", directory="runs", console=False)
    log = bl.get_logger("app")
    log.add_handler({"sink": "app.log", "format": "{message} {function}"})
    atexit.register(bl.get_logger("quiet").info, "only the run", n=1)
    atexit.register(log.info, "bye", n=1)
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=True,
    )
    [found] = open_runs(tmp_path / "runs")

    assert (ran.stderr, (tmp_path / "app.log").read_text()) == ("", "bye [n=1] (unknown function)\n")
    assert {(line.message, line.line) for line in found.logs} == {("only the run", 0), ("bye", 0)}


# ── the log file of a run ─────────────────────────────────────────────────────────────────────────


def test_the_log_file_of_a_run(tmp_path: Path) -> None:
    """
    configure(log_file=) has what Loggers and the logging module log, in lines of text, until the run ends.
    """
    path = tmp_path / "app.log"
    plain = logging.getLogger("library")
    with bl.configure("x", directory=tmp_path, console=False, log_file=path):
        get_logger("app").info("read %d", 3, table="users", password="hunter2")
        plain.warning("beware")
        bl.flush()
        during = [line.partition(" | ")[2] for line in path.read_text().splitlines()]
    plain.warning("after")

    assert during == ["INFO     | app | read 3 [table=users, password=[redacted]]", "WARNING  | library | beware"]
    assert len(path.read_text().splitlines()) == 2


def test_the_log_file_as_a_sink(tmp_path: Path) -> None:
    """
    It may be said as a sink, and then has its own level and format, whatever the run takes.
    """
    sink = {"sink": tmp_path / "app.jsonl", "level": "ERROR", "json": True}
    with bl.configure("x", directory=tmp_path, console=False, log_file=sink, capture_logs=False) as run:
        with bl.step("load"):
            place = trace.get_current_span().get_span_context()
            get_logger("app").error("wrong", rows=3)
            get_logger("app").info("right")
    [line] = [json.loads(line) for line in (tmp_path / "app.jsonl").read_text().splitlines()]

    assert (line["message"], line["rows"], line["run_id"]) == ("wrong", 3, run.run_id)
    assert (line["trace_id"], line["span_id"]) == (f"{place.trace_id:032x}", f"{place.span_id:016x}")


@pytest.mark.parametrize("log_file", [5, {"sink": "x.log", "rotatoin": 5}, {"rotation": 5}])
def test_log_files_that_are_not_accepted(tmp_path: Path, log_file: object) -> None:
    """
    A log file that cannot be is refused before anything of the run before has ended.
    """
    with bl.configure("x", directory=tmp_path, console=False) as run:
        with pytest.raises(ConfigError):
            bl.configure("y", directory=tmp_path, console=False, log_file=log_file)  # type: ignore[arg-type]
        get_logger("app").info("still there")
        assert [line.message for line in lines(run)] == ["still there"]


def test_a_logger_that_somebody_has_is_not_forgotten() -> None:
    """
    Closing a Logger takes nothing from whoever has the logging module's, or one below it.
    """
    for name in ("kept.one", "above"):
        get_logger(name).close()
    plain = logging.getLogger("mine")
    below = logging.getLogger("above.below")
    get_logger("mine").close()
    get_logger("above").close()

    assert logging.getLogger("mine") is plain
    assert below.parent is logging.getLogger("above")
    assert "kept" not in logging.root.manager.loggerDict
