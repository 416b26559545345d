"""What five logging systems have promised their users, each example with the result that its documentation tells of.

LakeTrace's loggers and their keys, Railtracks' levels and terminal lines, Persona's structured logger, MetaExpert's
files and contexts.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

import branchline as bl
from branchline._files.rotated import rotated_files
from branchline.errors import ConfigError
from branchline.logs import (
    LogContext,
    Logger,
    OutputFormat,
    StructuredLogger,
    bind_contextvars,
    clear_contextvars,
    create_logger,
    get_laketrace_logger,
    get_logger,
    get_rt_logger,
    iterate_with_context,
    prepare_logger,
    unbind_contextvars,
)
from branchline.logs.registry import LOGGERS
from branchline.read import LogLine, open_runs


@pytest.fixture(autouse=True)
def _afterwards() -> Iterator[None]:
    yield
    LOGGERS.close()


def entries(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def messages(path: Path) -> list[object]:
    return [entry["message"] for entry in entries(path)]


# ── LakeTrace ─────────────────────────────────────────────────────────────────────────────────────


def test_the_first_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A filter on `record.level in ("ERROR", "CRITICAL")` is for the disk only; info goes to stdout only.
    """
    log = get_logger(
        "pipeline",
        {
            "log_dir": str(tmp_path),
            "json": False,
            "filter": lambda record: record.level in ("ERROR", "CRITICAL"),
            "formatter": lambda record: f"[{record.level}] {record.message}\n",
        },
    )
    log.info("fine")
    log.error("boom")
    log.critical("worse")
    log.close()

    assert (tmp_path / "pipeline.log").read_text() == "[ERROR] boom\n[CRITICAL] worse\n"
    assert capsys.readouterr().out == "[INFO] fine\n[ERROR] boom\n[CRITICAL] worse\n"


def test_log_dir(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    `log_dir` is where `<name>.log` is; without one there is no file. Files are for their owner alone.
    """
    get_logger("a", {"log_dir": tmp_path, "stdout": False}).info("x")
    get_logger("b", {"log_dir": None}).info("only on stdout")
    get_logger("c", {"log_dir": tmp_path, "stdout": False, "secure_file_permissions": False}).info("x")

    assert sorted(path.name for path in tmp_path.glob("*.log")) == ["a.log", "c.log"]
    assert (tmp_path / "a.log").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "c.log").stat().st_mode & 0o777 == 0o644
    assert json.loads(capsys.readouterr().out)["message"] == "only on stdout"


@pytest.mark.parametrize(
    "config",
    [
        {"rotation_mb": 10, "retention_files": 5},
        {"rotation_mb": 1, "retention_files": 3, "compression": "none"},
        {"rotation": "500 MB", "retention": "7 days", "compression": "gz"},
        {"rotation": timedelta(hours=2), "retention": timedelta(days=7), "compression": "zip"},
        {"rotation": ["10 MB", "monday 12:00", "1 week"], "retention": "3 files", "compression": "bz2"},
        {"rotation": "hourly", "retention": None, "compression": None, "enqueue": True, "catch": False},
        {"level": "SUCCESS", "json": True, "serialize": True, "add_runtime_context": False},
        {
            "json": False,
            "format": "{timestamp} {level} {logger_name} {message}",
            "sanitize_messages": True,
            "mask_pii": True,
        },
    ],
)
def test_every_key_of_a_configuration(tmp_path: Path, config: dict[str, object]) -> None:
    """
    Configurations of version 1.0 work as they are.
    """
    log = get_logger("job", {"log_dir": str(tmp_path), "stdout": False, **config})
    log.success("done", rows=3)
    assert log.flush()
    assert "done" in (tmp_path / "job.log").read_text()
    assert log.close()


@pytest.mark.parametrize("rotation", ["1 month", "2 years", "1 week", "2 hours", "hourly"])
def test_intervals(tmp_path: Path, rotation: str) -> None:
    """
    LT-23, LT-24: months of 30 days and years of 365 are intervals like others, for rotation and for retention.
    """
    log = get_logger("job", {"log_dir": tmp_path, "stdout": False, "rotation": rotation, "retention": "6 months"})
    log.info("x")

    assert log.close()


def test_what_loggers_are_called_there(tmp_path: Path) -> None:
    """
    LT-14, LT-15: `create_logger` and `get_laketrace_logger` give the same Loggers.
    """
    log = create_logger("job", {"log_dir": tmp_path, "stdout": False}, run_id="r-1")

    assert get_laketrace_logger("job") is get_logger("job") is log


def test_structured_messages(tmp_path: Path) -> None:
    """
    LT-16: `log_structured` logs its data as fields; masked, secrets are in no sink, whatever that shows.
    """
    log = get_logger("job", {"log_dir": tmp_path, "stdout": False, "redact": False})
    log.log_structured("a", "WARNING", {"rows": 3, "password": "hunter2"})
    log.log_structured("b", data={"password": "hunter2"}, mask_sensitive=False)
    first, second = entries(tmp_path / "job.log")

    assert (first["level"], first["rows"], first["password"]) == ("WARNING", 3, "[redacted]")
    assert (second["level"], second["password"]) == ("INFO", "hunter2")


def test_a_slip_in_a_key(tmp_path: Path) -> None:
    """
    A key that nobody knows is an error that names the nearest one.
    """
    with pytest.raises(ValueError, match=r"unknown key 'rotatoin'.*did you mean 'rotation'"):
        get_logger("job", {"log_dir": tmp_path, "rotatoin": "x"})
    with pytest.raises(ValueError, match=r"LOUD.*accepted: TRACE, DEBUG, INFO, SUCCESS, WARNING, ERROR, CRITICAL"):
        get_logger("job", {"level": "LOUD"})


def test_a_run_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The run id is in every line: as given, else as LAKEHOUSE_CONTEXT_RUN_ID says.
    """
    get_logger("given", {"log_dir": tmp_path, "stdout": False}, run_id="r-1").info("x")
    monkeypatch.setenv("LAKEHOUSE_CONTEXT_RUN_ID", "r-2")
    get_logger("told", {"log_dir": tmp_path, "stdout": False}).info("x")

    assert entries(tmp_path / "given.log")[0]["run_id"] == "r-1"
    assert entries(tmp_path / "told.log")[0]["run_id"] == "r-2"


def test_handlers(tmp_path: Path) -> None:
    """
    add_handler gives ids that are never used again; a removed handler gets no more; after the last there is silence.
    """
    log = get_logger("job", {"stdout": False, "log_dir": None})
    ids = [log.add_handler({"sink": tmp_path / f"{name}.log", "format": "{message}"}) for name in "abc"]
    log.info("one")
    log.remove_handler(ids[0])
    log.remove_handler(ids[0])
    log.remove_handler(999_999)
    again = log.add_handler({"sink": tmp_path / "d.log", "level": "ERROR", "format": "{message}"})
    log.info("two")
    log.error("three")
    log.remove_all_handlers()
    log.critical("four")

    assert sorted({*ids, again}) == [*ids, again]
    assert {path.stem: path.read_text().split() for path in tmp_path.glob("*.log")} == {
        "a": ["one"],
        "b": ["one", "two", "three"],
        "c": ["one", "two", "three"],
        "d": ["three"],
    }


def test_tail_and_close(tmp_path: Path) -> None:
    """
    tail() gives the last lines; after close() the name gives a new logger, that appends.
    """
    config = {"log_dir": tmp_path, "stdout": False, "json": False, "format": "{message}"}
    log = get_logger("job", config)
    for number in range(10):
        log.info("line %d", number)
    assert log.tail(3) == ["line 7", "line 8", "line 9"]
    assert log.close()
    assert log.close()
    get_logger("job", config).info("again")

    assert (tmp_path / "job.log").read_text().splitlines()[-2:] == ["line 9", "again"]


def test_a_line_of_json_and_serialize(tmp_path: Path) -> None:
    """
    A JSON line has the documented keys with bound and call fields beside them; serialize has twelve and more.
    """
    log = get_logger("job", {"log_dir": tmp_path, "stdout": False}, run_id="r-1").bind(user="ann")
    log.info("x", rows=3)
    many = get_logger("many", {"log_dir": tmp_path, "stdout": False, "serialize": True})
    try:
        raise ValueError("no rows")
    except ValueError:
        many.exception("wrong")
    [line] = entries(tmp_path / "job.log")
    [all_of_it] = entries(tmp_path / "many.log")

    assert {
        "timestamp",
        "level",
        "message",
        "logger_name",
        "hostname",
        "pid",
        "platform",
        "runtime_type",
        "run_id",
    } < set(line)
    assert (line["level"], line["user"], line["rows"]) == ("INFO", "ann", 3)
    assert datetime.fromisoformat(str(line["timestamp"])).tzinfo == UTC
    assert len(all_of_it) >= 12
    assert {"thread_id", "process_id"} < set(all_of_it)
    exception = all_of_it["exception"]
    assert isinstance(exception, dict)
    assert {"type", "value", "traceback"} <= set(exception)


def test_reserved_keys(tmp_path: Path) -> None:
    """
    A field cannot overwrite what the line is about.
    """
    get_logger("job", {"log_dir": tmp_path, "stdout": False}).info("mine", message="theirs", level="x", hostname="y")
    [line] = entries(tmp_path / "job.log")

    assert (line["message"], line["level"], line["extra"]) == (
        "mine",
        "INFO",
        {"message": "theirs", "level": "x", "hostname": "y"},
    )


def test_a_line_of_text_has_all_fields(tmp_path: Path) -> None:
    """
    A line of text shows bound fields and those of the call; a template has them behind the message.
    """
    log = get_logger("job", {"log_dir": tmp_path, "stdout": False, "json": False}).bind(user="ann")
    log.info("x", rows=3)
    get_logger("t", {"log_dir": tmp_path, "stdout": False, "json": False, "format": "{level}: {message}"}).info(
        "y", rows=3
    )

    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S* \| INFO     \| job \| x \[user=ann, rows=3\]\n",
        (tmp_path / "job.log").read_text(),
    )
    assert (tmp_path / "t.log").read_text() == "INFO: y [rows=3]\n"


def test_every_method_is_sanitised(tmp_path: Path) -> None:
    """
    A newline in a message makes no second line, whichever method it came by, bound or not.
    """
    log = get_logger(
        "job", {"log_dir": tmp_path, "stdout": False, "json": False, "level": "TRACE", "format": "{message}"}
    )
    for method in ("trace", "debug", "info", "success", "warning", "error", "critical", "exception"):
        getattr(log, method)("a\nb\0\r")
        getattr(log.bind(user="x\ny"), method)("a\nb")

    found = (tmp_path / "job.log").read_text().splitlines()
    assert found == ["a\\nb\\x00\\r", "a\\nb [user=x\\ny]"] * 8


def test_catch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A sink that raises is told of on stderr and harms nobody; with catch=False whoever logs gets the error.
    """

    def broken(line: str) -> None:
        raise RuntimeError("no sink")

    log = get_logger("job", {"log_dir": tmp_path, "stdout": False})
    handler_id = log.add_handler({"sink": broken})
    log.info("one")
    log.remove_handler(handler_id)
    log.add_handler({"sink": broken, "catch": False})
    with pytest.raises(RuntimeError, match="no sink"):
        log.info("two")

    assert messages(tmp_path / "job.log") == ["one", "two"]
    assert "no sink" in capsys.readouterr().err


def test_non_json_values(tmp_path: Path) -> None:
    """
    What JSON has no word for is written as text, and the record is there.
    """
    get_logger("job", {"log_dir": tmp_path, "stdout": False}).info(
        "x", path=Path("/a"), when=datetime(2026, 1, 1, tzinfo=UTC), kind={1}
    )
    [line] = entries(tmp_path / "job.log")

    assert (line["path"], line["when"], line["kind"]) == ("/a", "2026-01-01T00:00:00+00:00", [1])


def test_secrets_by_name_and_value(tmp_path: Path) -> None:
    """
    Secrets are masked by their names and by their looks, nested and bound ones too; numbers of tokens are none.
    """
    log = get_logger("job", {"log_dir": tmp_path, "stdout": False, "mask_pii": True}).bind(api_key="k-1")
    log.info("from 10.1.2.3 by ann@example.org", password="hunter2", deep={"password": "p"}, input_tokens=12)
    text = (tmp_path / "job.log").read_text()

    assert [secret for secret in ("k-1", "hunter2", '"p"', "ann@", "10.1.2.3") if secret in text] == []
    assert json.loads(text)["input_tokens"] == 12


def test_the_numbers(tmp_path: Path) -> None:
    """
    LT-80: five threads with 100 messages each, five handlers, and a message of a megabyte: all is there, and JSON.
    """
    log = get_logger("job", {"log_dir": tmp_path, "stdout": False, "redact": False})
    for number in range(5):
        log.add_handler({"sink": tmp_path / f"extra-{number}.log", "json": True})

    def work(thread: int) -> None:
        for number in range(100):
            log.info("message", thread=thread, number=number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.info("x" * 1_200_000)
    log.close()

    for path in tmp_path.glob("*.log"):
        found = entries(path)
        assert sorted((entry["thread"], entry["number"]) for entry in found[:-1]) == [
            (thread, number) for thread in range(5) for number in range(100)
        ]
        assert len(str(found[-1]["message"])) == 1_200_000


def test_the_numbers_of_rotation(tmp_path: Path) -> None:
    """
    LT-80: of 1,000 messages, and of 500 that are rotated away every few lines, each is there once, whole, in order.
    """
    plain = get_logger("plain", {"log_dir": tmp_path, "stdout": False})
    rotated = get_logger("rotated", {"log_dir": tmp_path, "stdout": False, "rotation": 2_000, "retention": None})
    for number in range(1_000):
        plain.info("message", number=number)
    for number in range(500):
        rotated.info("message", number=number)
    plain.close()
    rotated.close()
    parts = [*rotated_files(tmp_path / "rotated.log"), None]
    found = [entries(tmp_path / "rotated.log" if part is None else part.path) for part in parts]

    assert [entry["number"] for entry in entries(tmp_path / "plain.log")] == list(range(1_000))
    assert len(found) > 20
    assert sorted(cast("int", entry["number"]) for part in found for entry in part) == list(range(500))
    assert [[entry["number"] for entry in part] for part in found] == [
        list(range(cast("int", part[0]["number"]), cast("int", part[-1]["number"]) + 1)) for part in found
    ]


def test_a_forked_child(tmp_path: Path) -> None:
    """
    A child's records, also of a queueing handler, are there with the child's pid.
    """
    program = """
    import os
    from branchline.logs import get_logger
    log = get_logger("job", {"log_dir": ".", "stdout": False, "enqueue": True})
    log.info("parent")
    pid = os.fork()
    log.info("child" if not pid else "parent again", own=os.getpid())
    log.flush()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, check=True, timeout=60)
    found = entries(tmp_path / "job.log")

    assert sorted(str(entry["message"]) for entry in found) == ["child", "parent", "parent again"]
    assert [entry["pid"] == entry["own"] for entry in found if "own" in entry] == [True, True]


def test_a_notebook_that_runs_a_cell_again(tmp_path: Path) -> None:
    """
    Asking for the same logger again makes no second line.
    """
    for _ in range(3):
        log = get_logger("job", {"log_dir": tmp_path, "stdout": False})
    log.info("once")

    assert messages(tmp_path / "job.log") == ["once"]


def test_where_it_runs() -> None:
    """
    Platform and kind of runtime are what the environment says.
    """
    from branchline.logs.runtimes import platform_of, runtime_of

    assert platform_of({"FABRIC_WORKSPACE_ID": "x"}) == "fabric"
    assert platform_of({"DATABRICKS_RUNTIME_VERSION": "15"}) == "databricks"
    assert platform_of({"SPARK_HOME": "/opt/spark"}) == "spark"
    assert platform_of({}) == "local"
    assert runtime_of({"DB_JOB_RUN_ID": "1"}, is_notebook=False) == "job"
    assert runtime_of({}, is_notebook=True) == "notebook"
    assert runtime_of({}, is_notebook=False) == "script"


# ── Railtracks ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """
    What is on stderr, which is no terminal here, without the seconds.
    """
    return lambda: re.sub(r"\[\+\d+\.\d{3} s\]", "[+0.000 s]", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("VERBOSE", "DEBUG INFO WARNING ERROR"),
        ("REGULAR", "INFO WARNING ERROR"),
        ("QUIET", "WARNING ERROR"),
        ("NONE", ""),
    ],
)
def test_settings(terminal: Callable[[], str], setting: str, expected: str) -> None:
    """
    RT-2: four words say how much is on the terminal; NONE is nothing at all.
    """
    prepare_logger(setting=setting)
    for level in ("DEBUG", "INFO", "WARNING", "ERROR"):
        get_rt_logger("node").log(level, "x")

    assert re.findall(r": (\w+) ", terminal()) == expected.split()


def test_none_can_be_undone(terminal: Callable[[], str]) -> None:
    """
    RT-2, RT-7: after NONE another word is heard, on the logger itself and on those below; preparing it twice doubles
    nothing.
    """
    prepare_logger(setting="NONE")
    get_rt_logger().critical("not heard")
    prepare_logger(setting="REGULAR")
    prepare_logger(setting="REGULAR")
    get_rt_logger().info("heard")
    get_rt_logger("node").info("heard too")

    assert terminal() == "[+0.000 s] RT : INFO     - heard\n[+0.000 s] RT.node : INFO     - heard too\n"


@pytest.mark.parametrize("setting", ["LOUD", "verbose", "", None])
def test_settings_that_are_none(setting: object) -> None:
    """
    RT-11: any other word fails at once, and names the four.
    """
    with pytest.raises(ValueError, match=r"Invalid log level setting.*VERBOSE, REGULAR, QUIET, NONE"):
        prepare_logger(setting=setting)  # type: ignore[arg-type]  # that is the question


def test_positional_arguments(terminal: Callable[[], str]) -> None:
    """
    RT-3: log.info("state=%s", value) prints the state, and the record stays as it is for every other handler.
    """
    prepare_logger(setting="REGULAR")
    log = get_rt_logger("Main")
    seen: list[logging.LogRecord] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    handler = Keeping()
    log.addHandler(handler)
    log.info("state=%s", 5)
    log.removeHandler(handler)

    assert terminal() == "[+0.000 s] RT.Main : INFO     - state=5\n"
    assert (seen[0].msg, seen[0].args, seen[0].getMessage()) == ("state=%s", (5,), "state=5")


def test_the_log_file(tmp_path: Path, terminal: Callable[[], str]) -> None:
    """
    RT-5: the file has INFO and above with the time of day, appended, and no colours.
    """
    for _ in range(2):
        prepare_logger(setting="VERBOSE", path=tmp_path / "rt.log")
        log = get_rt_logger("Main")
        log.debug("not in the file")
        log.info("\x1b[31mCREATED\x1b[0m state=%s", 5)
        get_rt_logger().close()

    assert re.fullmatch(
        r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO - CREATED state=5\n){2}", (tmp_path / "rt.log").read_text()
    )


def test_loggers_below_one_name() -> None:
    """
    RT-6: get_rt_logger gives RT, or RT.name: loggers of the logging module, that propagate.
    """
    assert (get_rt_logger().name, get_rt_logger("a").name) == ("RT", "RT.a")
    assert isinstance(get_rt_logger("a"), logging.Logger)
    assert get_rt_logger("a").propagate
    assert logging.getLogger("RT.a").parent is logging.getLogger("RT")


def test_ids_on_every_line(tmp_path: Path) -> None:
    """
    RT-18: a line says the run, the trace and the span that it was written in.
    """
    with bl.configure("x", directory=tmp_path, console=False) as run, bl.step("node"):
        get_logger("RT.job", {"log_dir": tmp_path, "stdout": False}).info("x")
    [line] = entries(tmp_path / "RT.job.log")
    [step] = open_runs(tmp_path)[run.run_id].steps

    assert (line["run_id"], line["trace_id"], line["span_id"]) == (run.run_id, step.trace_id, step.span_id)


def test_scopes(tmp_path: Path) -> None:
    """
    RT-8: two sessions at once do not share handlers: closing one leaves the other as it is.
    """
    first = get_logger("one", {"log_dir": tmp_path, "stdout": False})
    second = get_logger("two", {"log_dir": tmp_path, "stdout": False})
    first.close()
    second.info("still here")

    assert messages(tmp_path / "two.log") == ["still here"]


# ── Persona ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def said() -> list[str]:
    return []


def test_the_console_form(said: list[str]) -> None:
    """
    An entry on the console is the moment, the level, the event, and what belongs to it.
    """
    entry = StructuredLogger(output_handler=said.append).info("experiment started", model="gpt", note="two words", n=3)
    StructuredLogger(output_handler=said.append).error("failed")

    assert re.fullmatch(
        r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[info \] experiment started model=gpt note="two words" n=3', said[0]
    )
    assert said[1].endswith("[error] failed")
    assert (entry.level, entry.event, entry.data) == (
        "info",
        "experiment started",
        {"model": "gpt", "note": "two words", "n": 3},
    )


def test_the_json_form(said: list[str]) -> None:
    """
    As JSON it is one object; data may not overwrite the moment, the level or the event.
    """
    context = LogContext(experiment_id="e", run_id="r")
    StructuredLogger("p", OutputFormat.JSON, context, said.append).warn("slow", seconds=3, timestamp="never", level="x")
    entry = json.loads(said[0])

    assert datetime.fromisoformat(entry.pop("timestamp")).tzinfo == UTC
    assert entry == {
        "level": "warn",
        "event": "slow",
        "experiment_id": "e",
        "run_id": "r",
        "seconds": 3,
        "data": {"timestamp": "never", "level": "x"},
    }


def test_both_forms(said: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """
    BOTH is two lines, JSON first; without a handler lines go to stderr, and never twice.
    """
    StructuredLogger("p", OutputFormat.BOTH, output_handler=said.append).debug("x")
    StructuredLogger("p").warning("on stderr")

    assert [line[0] for line in said] == ["{", "2"]
    assert [line[20:] for line in capsys.readouterr().err.splitlines()] == ["[warn ] on stderr"]


def test_contexts() -> None:
    """
    A context tells what is known of it; of two the second counts more, and can clear a field.
    """
    context = LogContext(experiment_id="e", step="load", extra={"a": 1, "b": 1})
    other = LogContext(step="", model="m", extra={"b": 2})

    assert context.to_dict() == {"experiment_id": "e", "step": "load", "a": 1, "b": 1}
    assert context.merge(other).to_dict() == {"experiment_id": "e", "model": "m", "a": 1, "b": 2}
    assert context.to_dict() == {"experiment_id": "e", "step": "load", "a": 1, "b": 1}


def test_binding(said: list[str]) -> None:
    """
    bind() gives a logger about more; nested ones keep what came before, and nobody's entries are another's.
    """
    parent = StructuredLogger("p", OutputFormat.JSON, output_handler=said.append)
    child = parent.bind(run_id="r", user="ann").bind(step="load")
    child.info("child")
    parent.error("parent")
    found = json.loads(said[0])

    assert {key: found[key] for key in ("run_id", "user", "step")} == {"run_id": "r", "user": "ann", "step": "load"}
    assert [entry.event for entry in parent.get_entries()] == ["parent"]
    assert [entry.event for entry in child.get_entries()] == ["child"]
    assert [entry.event for entry in parent.get_entries("error")] == ["parent"]
    assert parent.get_entries("info") == []


def test_entries_are_records_of_the_run(tmp_path: Path, said: list[str]) -> None:
    """
    An entry is in the run as well, with its data, in its step, with the place it was written at.
    """
    with bl.configure("x", directory=tmp_path, console=False) as run, bl.step("evaluate"):
        StructuredLogger("persona", output_handler=said.append).bind(model="m").info("asked", tokens=12, password="p")
    [line] = open_runs(tmp_path)[run.run_id].logs

    assert isinstance(line, LogLine)
    assert (line.message, line.level, line.logger_name, line.step_name) == ("asked", "INFO", "persona", "evaluate")
    assert dict(line.attributes) == {"model": "m", "tokens": 12, "password": "[redacted]"}
    assert line.function == "test_entries_are_records_of_the_run"


def test_a_structured_logger_is_bounded(said: list[str]) -> None:
    """
    PE-20, PE-27: it remembers the newest entries, however many there were; a format that there is not is refused.
    """
    logger = StructuredLogger("p", "json", output_handler=said.append)  # type: ignore[arg-type]  # its name will do
    for number in range(10_010):
        logger.info("%d", n=number)
    kept = logger.get_entries()

    assert (len(said), len(kept), kept[0].data, kept[-1].data) == (10_010, 10_000, {"n": 10}, {"n": 10_009})
    with pytest.raises(ConfigError, match="output_format='xml' is not accepted; accepted: json, console, both"):
        StructuredLogger("p", "xml")  # type: ignore[arg-type]  # that is the question


def test_a_payload_that_is_no_json(said: list[str]) -> None:
    """
    What JSON has no word for, and a handler that raises, are nobody's problem.
    """
    StructuredLogger("p", OutputFormat.JSON, output_handler=said.append).info("x", path=Path("/a"), thing={1, 2})

    def broken(line: str) -> None:
        raise RuntimeError

    StructuredLogger("p", output_handler=broken).info("x")

    assert json.loads(said[0])["path"] == "/a"


# ── MetaExpert ────────────────────────────────────────────────────────────────────────────────────


def test_three_files(tmp_path: Path) -> None:
    """
    Everything, trades and errors have a file each, by level and by logger; calling the logger itself reaches them.
    """
    log = get_logger(
        "expert", {"level": "DEBUG", "stdout": False, "log_dir": tmp_path, "rotation": 10_485_760, "retention": 5}
    )
    log.add_handler({"sink": tmp_path / "trades.log", "json": True, "level": "INFO", "filter": "expert.trades"})
    log.add_handler({"sink": tmp_path / "errors.log", "json": True, "level": "ERROR"})
    log.debug("border crossed")
    get_logger("expert.trades").info("bought", symbol="EURUSD", price=1.1)
    log.error("refused", order_id=7)

    assert messages(tmp_path / "expert.log") == ["border crossed", "bought", "refused"]
    assert [(entry["message"], entry["symbol"]) for entry in entries(tmp_path / "trades.log")] == [("bought", "EURUSD")]
    assert messages(tmp_path / "errors.log") == ["refused"]


def test_everything_of_a_record(tmp_path: Path) -> None:
    """
    An entry has its place, thread, process, exception and stack; the moment has a zone.
    """
    log = get_logger("job", {"log_dir": tmp_path, "stdout": False, "serialize": True})
    try:
        raise KeyError("k")
    except KeyError:
        log.exception("wrong", stack_info=True, odd=object)
    [entry] = entries(tmp_path / "job.log")

    assert (entry["module"], entry["function"]) == ("test_promised_logging", "test_everything_of_a_record")
    assert (entry["thread_name"], entry["process_id"]) == (threading.current_thread().name, os.getpid())
    assert "test_everything_of_a_record" in str(entry["stack_info"])
    assert str(entry["timestamp"]).endswith("+00:00")
    assert entry["odd"] == "<class 'object'>"


def test_slow_sinks_and_their_end() -> None:
    """
    Of 1,000 records for a slow sink all have come when close() returns; dropped ones are counted.
    """
    found: list[str] = []
    log = get_logger("job", {"stdout": False, "log_dir": None})
    log.add_handler({"sink": found.append, "enqueue": True, "format": "{message}"})
    for number in range(1_000):
        log.info("%d", number)
    assert log.close(30)

    assert found == [str(number) for number in range(1_000)]


def test_contexts_of_blocks_and_tasks() -> None:
    """
    A nested block with the same key gives the outer value back; tasks and threads have their own.
    """
    found: list[object] = []
    log = get_logger("job", {"stdout": False, "log_dir": None})
    log.add_handler({"sink": lambda line: found.append(dict(line.record.fields)), "format": "{message}"})

    async def work(number: int) -> None:
        with log.contextualize(task=number):
            await asyncio.sleep(0)
            log.info("x")

    async def both() -> None:
        await asyncio.gather(work(1), work(2))

    with log.contextualize(user="ann"):
        with log.contextualize(user="bob"):
            log.info("x")
        log.info("x")
    asyncio.run(both())

    assert found == [{"user": "bob"}, {"user": "ann"}, {"task": 1}, {"task": 2}]


def test_contextual_fields_without_a_block() -> None:
    """
    MX-91: what is bound to the context is on every record of this task and of what it starts, until it is unbound; the
    end of a block, a step or a task ends it, too.
    """
    found: list[object] = []
    log = get_logger("job", {"stdout": False, "log_dir": None})
    log.add_handler({"sink": lambda line: found.append(dict(line.record.fields)), "format": "{message}"})

    async def child() -> None:
        bind_contextvars(user="bob", task=1)
        log.info("in a task")

    async def work() -> None:
        bind_contextvars(user="ann", rows=3)
        await asyncio.create_task(child())
        log.info("after it")
        with log.contextualize(block=1):
            bind_contextvars(more=2)
            log.info("in a block")
        unbind_contextvars("rows", "unknown")
        log.info("without one")
        clear_contextvars()
        log.info("without any")

    asyncio.run(work())
    log.info("outside")

    assert found == [
        {"user": "bob", "rows": 3, "task": 1},
        {"user": "ann", "rows": 3},
        {"user": "ann", "rows": 3, "block": 1, "more": 2},
        {"user": "ann"},
        {},
        {},
    ]


def test_contextual_fields_of_a_loop() -> None:
    """
    MX-91: what is logged in a loop over items has the fields, until it ends or is left early.
    """
    found: list[object] = []
    log = get_logger("job", {"stdout": False, "log_dir": None})
    log.add_handler({"sink": lambda line: found.append(dict(line.record.fields)), "format": "{message}"})
    for item in iterate_with_context([1, 2], batch=7):
        log.info("x", item=item)
    log.info("after")
    items = iterate_with_context([1, 2], batch=8)
    log.info("left early", item=next(items))
    items.close()
    log.info("after")

    assert found == [{"batch": 7, "item": 1}, {"batch": 7, "item": 2}, {}, {"batch": 8, "item": 1}, {}]


def test_importing_and_setting_up_twice(tmp_path: Path) -> None:
    """
    Importing opens no file and configures nothing; setting up twice writes no line twice.
    """
    program = """
    import logging, os
    before = (list(logging.root.handlers), logging.root.level)
    import branchline as bl
    from branchline.logs import get_logger
    print((list(logging.root.handlers), logging.root.level) == before, os.listdir("."))
    for _ in range(2):
        bl.configure("x", console=False, log_file="app.log")
    get_logger("app").info("once")
    bl.shutdown()
    print(open("app.log").read().count("once"))
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    )

    assert ran.stdout.splitlines() == ["True []", "1"]


def test_a_configuration_is_checked() -> None:
    """
    Numbers that make no sense are refused when they are said.
    """
    for config in (
        {"rotation_mb": -1},
        {"retention_files": 0},
        {"queue_size": 0, "enqueue": True},
        {"overflow": "increase"},
        {"retention_files": 1.5},
    ):
        with pytest.raises(ConfigError):
            get_logger("job", config)


def test_the_logger_is_what_it_says() -> None:
    """
    Every documented method is there.
    """
    log = get_logger("job")

    assert isinstance(log, Logger)
    for name in (
        *(
            "trace",
            "debug",
            "info",
            "success",
            "warning",
            "warn",
            "error",
            "critical",
            "exception",
            "log",
            "log_structured",
        ),
        *("bind", "unbind", "contextualize", "opt", "add_handler", "remove_handler", "remove_all_handlers"),
        *("tail", "flush", "close", "addHandler", "removeHandler", "setLevel", "isEnabledFor"),
    ):
        assert callable(getattr(log, name))
