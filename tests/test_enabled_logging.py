"""What Railtracks' users have been promised of logging: RT-1 to RT-19, each row by its id."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

import branchline as bl
from branchline.config import Config
from branchline.errors import ConfigError
from branchline.logs import enable_logging, get_rt_logger, prepare_logger, thread_level
from branchline.logs.colours import painted_message
from branchline.logs.registry import LOGGERS
from branchline.read import open_runs


@pytest.fixture(autouse=True)
def _afterwards() -> Iterator[None]:
    yield
    LOGGERS.close()


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """
    What is on stderr, which is no terminal here, without the seconds.
    """
    return lambda: re.sub(r"\[\+\d+\.\d{3} s\] ", "", capsys.readouterr().err).splitlines()


def levels(lines: list[str]) -> list[str]:
    return [line.partition(": ")[2].split()[0] for line in lines]


def say_all(name: str = "node") -> None:
    for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        get_rt_logger(name).log(level, "x")


# ── sessions ──────────────────────────────────────────────────────────────────────────────────────


def test_the_same_options_twice_are_two_runs(tmp_path: Path) -> None:
    """
    RT-1: what one configuration says, how much is logged and into which file, serves any number of runs; each has an
    id of its own, and none writes over another.
    """
    options = {"verbosity": "REGULAR", "log_file": tmp_path / "x.log", "directory": tmp_path / "bl", "console": False}
    ids = []
    for _ in range(2):
        with bl.configure("flow", **options) as run:  # type: ignore[arg-type]  # of several types
            bl.get_logger("RT").info("once")
            ids.append(run.run_id)

    assert len(set(ids)) == 2
    assert [[line.message for line in open_runs(tmp_path / "bl")[each].logs] for each in ids] == [["once"], ["once"]]
    assert (tmp_path / "x.log").read_text().count("once") == 2


def test_what_is_said_last_counts_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    RT-8: arguments count before the environment, that before a file, that before the default; what a session sets is
    gone at its end.
    """
    monkeypatch.chdir(tmp_path)
    found = [Config.__dataclass_fields__["verbosity"].default]
    (tmp_path / "pyproject.toml").write_text('[tool.branchline]\nverbosity = "QUIET"\n')
    with bl.configure("x", console=False) as run:
        found.append(run.config.verbosity)
    monkeypatch.setenv("BRANCHLINE_VERBOSITY", "VERBOSE")
    with bl.configure("x", console=False) as run:
        found.append(run.config.verbosity)
    with bl.configure("x", console=False, verbosity="NONE") as run:
        found.append(run.config.verbosity)
        inside = get_rt_logger().getEffectiveLevel()

    assert found == ["REGULAR", "QUIET", "VERBOSE", "NONE"]
    assert (inside > logging.CRITICAL, get_rt_logger().getEffectiveLevel()) == (True, logging.INFO)


# ── terminals ─────────────────────────────────────────────────────────────────────────────────────


def test_a_line_says_how_long_it_has_run(capsys: pytest.CaptureFixture[str]) -> None:
    """
    RT-3: a line on stderr has the seconds since the program began, the logger, the level and the message.
    """
    prepare_logger(setting="REGULAR")
    get_rt_logger("Main").info("hello")

    assert re.fullmatch(r"\[\+\d+\.\d{3} s\] RT\.Main : INFO     - hello\n", capsys.readouterr().err)


class Terminal(io.StringIO):
    """
    A stream that says that it is a terminal.
    """

    def isatty(self) -> bool:
        return True


def test_levels_and_words_have_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    RT-4: on a terminal, and only there, levels and whole words such as FAILED and CREATED have colours; the record,
    and the words inside of words, have none.
    """
    for name in ("NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream, plain = Terminal(), io.StringIO()
    records: list[logging.LogRecord] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    seen = Keeping()
    log = get_rt_logger("Main")
    for target in (stream, plain):
        log.add_handler({"sink": target, "format": "{level} {message}"})
    log.addHandler(seen)
    log.error("node Failed, recreated")
    log.removeHandler(seen)

    assert "\x1b[" in stream.getvalue()
    assert plain.getvalue() == "ERROR node Failed, recreated\n"
    assert [record.getMessage() for record in records] == ["node Failed, recreated"]
    assert painted_message("recreated", "INFO") == painted_message("x", "INFO").replace("x", "recreated")
    assert painted_message("created", "INFO") != painted_message("x", "INFO").replace("x", "created")


def test_any_handler_can_be_added_and_changed(terminal: Callable[[], list[str]]) -> None:
    """
    RT-10: handlers of the logging module may be added after the start, and have their formatter replaced while they
    are there; those that come from elsewhere get the whole record.
    """
    prepare_logger(setting="REGULAR")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    get_rt_logger().addHandler(handler)
    get_rt_logger("a").info("first %d", 1)
    handler.setFormatter(logging.Formatter("%(levelname)s|%(name)s|%(message)s"))
    get_rt_logger("a").info("second", extra={"customer": 7})
    get_rt_logger().removeHandler(handler)

    assert stream.getvalue() == "first 1\nINFO|RT.a|second\n"
    assert terminal() == ["RT.a : INFO     - first 1", "RT.a : INFO     - second [customer=7]"]


# ── switching it on ───────────────────────────────────────────────────────────────────────────────


def test_a_library_is_silent_until_it_is_enabled(tmp_path: Path) -> None:
    """
    RT-15: importing and logging show nothing, not even errors; the application switches it on, at INFO.
    """
    program = """
from branchline.logs import enable_logging, get_rt_logger
log = get_rt_logger("node")
log.error("not heard")
enable_logging()
log.debug("not heard")
log.info("heard")
"""
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert re.sub(r"\[\+\d+\.\d{3} s\] ", "", ran.stderr) == "RT.Node     : INFO     - heard\n"
    assert (ran.stdout, list(tmp_path.iterdir())) == ("", [])


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("DEBUG", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]),
        ("info", ["INFO", "WARNING", "ERROR", "CRITICAL"]),
        ("WARNING", ["WARNING", "ERROR", "CRITICAL"]),
        ("QUIET", ["WARNING", "ERROR", "CRITICAL"]),
        (logging.ERROR, ["ERROR", "CRITICAL"]),
        ("CRITICAL", ["CRITICAL"]),
        ("NONE", []),
    ],
)
def test_levels(terminal: Callable[[], list[str]], level: str, expected: list[str]) -> None:
    """
    RT-2, RT-15, RT-17: every level is taken, NONE among them, which shows nothing at all, on any logger.
    """
    enable_logging(level)
    say_all()

    assert levels(terminal()) == expected


def test_none_can_be_taken_back(terminal: Callable[[], list[str]]) -> None:
    """
    RT-17: after NONE, another level is heard again.
    """
    enable_logging("NONE")
    say_all()
    enable_logging("ERROR")
    say_all()

    assert levels(terminal()) == ["ERROR", "CRITICAL"]


def test_names_are_short_or_full(terminal: Callable[[], list[str]]) -> None:
    """
    RT-15: a short name is the first part and the last one, without what is no letter before it; a full one is whole.
    """
    styles: tuple[Literal["short", "full"], ...] = ("short", "full")
    for style in styles:
        enable_logging(name_style=style)
        for name in (None, "nodes._runner", "llm", "a.__1"):
            get_rt_logger(name).info("x")

    assert [line.partition(":")[0].strip() for line in terminal()] == [
        *("RT", "RT.Runner", "RT.Llm", "RT.__1"),
        *("RT", "RT.nodes._runner", "RT.llm", "RT.a.__1"),
    ]


def test_enabling_again_replaces_everything(tmp_path: Path, terminal: Callable[[], list[str]]) -> None:
    """
    RT-16: a second call changes the level, the file and the style of names, and doubles nothing.
    """
    enable_logging("INFO", tmp_path / "first.log")
    get_rt_logger("a").info("one")
    enable_logging("DEBUG", tmp_path / "second.log", name_style="full")
    get_rt_logger("a").debug("two")
    enable_logging("DEBUG")
    get_rt_logger("a").debug("three")
    LOGGERS.close()

    assert terminal() == [
        "RT.A        : INFO     - one",
        "RT.a        : DEBUG    - two",
        "RT.A        : DEBUG    - three",
    ]
    files = {path.name: path.read_text().rpartition(" - ")[2] for path in tmp_path.glob("*.log")}
    assert files == {"first.log": "one\n", "second.log": "two\n"}


@pytest.mark.parametrize(
    ("variables", "arguments", "expected", "files"),
    [
        ({}, {}, ["INFO", "WARNING"], []),
        ({"RT_LOG_LEVEL": "debug"}, {}, ["DEBUG", "INFO", "WARNING"], []),
        ({"RT_LOG_LEVEL": " WARNING "}, {}, ["WARNING"], []),
        ({"RT_LOG_LEVEL": ""}, {}, ["INFO", "WARNING"], []),
        ({"RT_LOG_LEVEL": "ERROR"}, {"level": "INFO"}, ["INFO", "WARNING"], []),
        ({"RT_LOG_FILE": "env.log"}, {}, ["INFO", "WARNING"], ["env.log"]),
        ({"RT_LOG_FILE": "env.log"}, {"log_file": "said.log"}, ["INFO", "WARNING"], ["said.log"]),
        ({"RT_LOG_FILE": ""}, {}, ["INFO", "WARNING"], []),
    ],
)
def test_variables(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    terminal: Callable[[], list[str]],
    variables: dict[str, str],
    arguments: dict[str, str],
    expected: list[str],
    files: list[str],
) -> None:
    """
    RT-9: RT_LOG_LEVEL and RT_LOG_FILE say what no argument says; an empty one says nothing.
    """
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    enable_logging(**arguments)  # type: ignore[arg-type]  # one of each
    for level in ("DEBUG", "INFO", "WARNING"):
        get_rt_logger("a").log(level, "x")
    LOGGERS.close()

    assert levels(terminal()) == expected
    assert [(path.name, len(path.read_text().splitlines())) for path in tmp_path.glob("*.log")] == [
        (name, len(expected)) for name in files
    ]


@pytest.mark.parametrize(
    ("variables", "arguments", "told"),
    [
        ({}, {"level": "LOUD"}, r"level='LOUD' is not accepted; accepted: .*NONE"),
        ({}, {"level": True}, r"level=True is not accepted"),
        ({"RT_LOG_LEVEL": "LOUD"}, {}, r"environment variable RT_LOG_LEVEL='LOUD' is not accepted"),
        ({}, {"name_style": "long"}, r"name_style='long' is not accepted; accepted: short, full"),
    ],
)
def test_what_is_wrong_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], arguments: dict[str, object], told: str
) -> None:
    """
    RT-11: what is no level, and no style, fails at once and says what there is.
    """
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=told):
        enable_logging(**arguments)  # type: ignore[arg-type]  # that is the question


# ── threads ───────────────────────────────────────────────────────────────────────────────────────


def test_a_thread_may_have_a_level_of_its_own(terminal: Callable[[], list[str]]) -> None:
    """
    RT-19: two threads at the same time are heard from different levels on, one from a lower one and one from a higher
    one than what was enabled; a thread that has said nothing has that.
    """
    enable_logging("INFO")
    both = threading.Barrier(3)

    def work(name: str, level: str | None) -> None:
        if level is None:
            both.wait()
            say_all(name)
            both.wait()
            return
        with thread_level(level):
            both.wait()
            say_all(name)
            both.wait()

    wanted = {"loud": "DEBUG", "quiet": "ERROR", "plain": None}
    threads = [threading.Thread(target=work, args=each) for each in wanted.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    say_all("after")
    lines = terminal()

    assert {name: levels([line for line in lines if name in line.lower()]) for name in (*wanted, "after")} == {
        "loud": ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        "quiet": ["ERROR", "CRITICAL"],
        "plain": ["INFO", "WARNING", "ERROR", "CRITICAL"],
        "after": ["INFO", "WARNING", "ERROR", "CRITICAL"],
    }
    assert get_rt_logger().level == logging.INFO


def test_levels_of_blocks(tmp_path: Path, terminal: Callable[[], list[str]]) -> None:
    """
    RT-19: blocks nest, and each gives back what was there before; what starts inside of a step has its level too, in
    threads and files as well; after NONE a thread can be heard all the same.
    """
    enable_logging("NONE", tmp_path / "x.log")
    with bl.configure("x", directory=tmp_path / "bl", console=False):
        with thread_level("WARNING"), bl.step("outer"):
            with thread_level("DEBUG"):
                thread = threading.Thread(target=get_rt_logger("a").debug, args=("in a thread",))
                thread.start()
                thread.join()
            get_rt_logger("a").info("not heard")
            get_rt_logger("a").warning("heard")
        get_rt_logger("a").critical("not heard")
    LOGGERS.close()

    assert terminal() == ["RT.A        : DEBUG    - in a thread", "RT.A        : WARNING  - heard"]
    assert [line.rpartition(" - ")[2] for line in (tmp_path / "x.log").read_text().splitlines()] == [
        "in a thread",
        "heard",
    ]


def test_a_level_of_a_thread_that_is_none() -> None:
    """
    RT-19: a level that there is not is refused before the block begins.
    """
    enable_logging()
    with pytest.raises(ConfigError, match="level='LOUD' is not accepted"), thread_level("LOUD"):
        pass
    assert get_rt_logger().level == logging.INFO
