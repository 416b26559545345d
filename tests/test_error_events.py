"""Errors as events: one record with everything, there and back, and the same name for the same fault (MX-40…45)."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import branchline as bl
from branchline.events import ErrorEvent, RestoredError, record_error
from branchline.logs.registry import LOGGERS
from branchline.testing import capture


@pytest.fixture(autouse=True)
def _afterwards() -> Iterator[None]:
    yield
    LOGGERS.close()


def raised(function: Callable[[], object]) -> Exception:
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError


class OutOfStock(Exception):
    def __init__(self, item: str, left: int) -> None:
        super().__init__(f"{item}: {left} left")


def load(host: str = "db", password: str = "hunter2") -> None:
    rows = [1, 2, 3]
    try:
        os.environ["A_TOKEN_THAT_IS_NOT_THERE"]
    except KeyError as cause:
        error = ConnectionError(f"refused after {len(rows)} rows")
        error.add_note("the second time today")
        raise error from cause


# ── one record ────────────────────────────────────────────────────────────────────────────────────


def test_one_record() -> None:
    """
    What went wrong, how bad, where and with what is one event of its step; the exception is the given one (MX-40).
    """
    error = raised(load)
    with capture() as captured, bl.step("load") as step:
        try:
            raise ValueError("another one")
        except ValueError:
            record_error("no prices", error, component="db", operation="load", error_code=111, host="db", port=5432)
    [line] = captured.logs
    told = dict(line.attributes)

    assert (line.event_name, line.level, line.message, line.span_id) == (
        "branchline.error",
        "ERROR",
        "no prices",
        step.span_id,
    )
    assert line.exception is not None
    assert (line.exception.type, line.exception.message) == ("ConnectionError", "refused after 3 rows")
    assert "KeyError: 'A_TOKEN_THAT_IS_NOT_THERE'" in line.exception.stacktrace
    assert "another one" not in line.exception.stacktrace
    assert told.pop("error_location") == f"{__file__}:{load.__code__.co_firstlineno + 7}"
    assert len(str(told.pop("fingerprint"))) == 16
    assert told == {
        "host": "db",
        "port": 5432,
        "error_code": "111",
        "component": "db",
        "operation": "load",
        "severity": "high",
        "error.type": "ConnectionError",
        "error_module": "builtins",
        "error_function": "load",
        "notes": ("the second time today",),
        "causes": ("KeyError: 'A_TOKEN_THAT_IS_NOT_THERE'",),
    }


@pytest.mark.parametrize(
    ("said", "severity", "level"),
    [
        ("critical", "critical", "FATAL"),
        ("HIGH", "high", "ERROR"),
        ("ERROR", "high", "ERROR"),
        ("medium", "medium", "WARN"),
        ("WARNING", "medium", "WARN"),
        ("low", "low", "INFO"),
        ("terrible", "high", "ERROR"),
        (None, "high", "ERROR"),
    ],
)
def test_severity(said: Any, severity: str, level: str) -> None:
    """
    Four severities, or levels of logging; one that nobody knows costs no error (MX-41).
    """
    with capture() as captured:
        event = record_error("x", severity=said)

    assert (event.severity, captured.logs[0].level) == (severity, level)


def test_without_an_exception() -> None:
    """
    A message alone is an error, and so is an exception alone (MX-42).
    """
    alone = ErrorEvent.of(message="disk is slow")

    assert (alone.message, alone.exception, alone.to_exception()) == ("disk is slow", None, None)
    assert ErrorEvent.of(ValueError("x")).message == "ValueError: x"
    assert ErrorEvent.of(KeyError()).message == "KeyError"


def test_a_file_of_their_own(tmp_path: Path) -> None:
    """
    The logger ``errors`` brings errors to ``errors.log``: one line each, with the fields and the exception in it.
    """
    bl.get_logger("errors", {"log_dir": tmp_path, "stdout": False})
    record_error("no prices", raised(load), component="db", host="db")
    [line] = map(json.loads, (tmp_path / "errors.log").read_text().splitlines())

    assert (line["level"], line["event_name"], line["component"]) == ("ERROR", "branchline.error", "db")
    assert (line["exception"]["type"], line["exception"]["message"]) == ("ConnectionError", "refused after 3 rows")
    assert line["host"] == "db"


# ── what is not in it ─────────────────────────────────────────────────────────────────────────────


def test_local_variables() -> None:
    """
    The variables are there where that was asked for, at each place; secrets among them are not (MX-43).
    """

    class Client:
        def __repr__(self) -> str:
            return "Client(api_key=sk-proj-abcdefghijklmnop1234)"

    def ask() -> None:
        client = Client()
        settings: dict[str, Any] = {"user": "ann", "nested": {"password": "hunter2"}}
        text = "Bearer abcdefghijklmnopqrstuvwxyz0123456789"
        load(password=text[:3] + settings["nested"]["password"] + str(client)[:0])

    error = raised(ask)
    without = ErrorEvent.of(error)
    event = ErrorEvent.of(error, local_variables=True)
    assert event.exception is not None
    assert without.exception is not None
    places = {frame.function: dict(frame.locals) for frame in event.exception.frames}

    assert [frame.locals for frame in without.exception.frames if frame.locals] == []
    assert places["load"] == {
        "host": "'db'",
        "password": "[redacted]",
        "rows": "[1, 2, 3]",
        "error": "ConnectionError: refused after 3 rows",
    }
    assert places["ask"]["settings"] == "{'user': 'ann', 'nested': {'password': '[redacted]'}}"
    assert "sk-proj" not in event.to_json()
    assert "abcdefghijklmnopqrstuvwxyz" not in event.to_json()
    assert "hunter2" not in event.to_json()


def test_sizes() -> None:
    """
    Many variables, long ones, deep stacks, long chains, large groups and odd ones are bounded, and none raises.
    """

    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

        @property  # type: ignore[misc]  # as anybody may have it
        def __class__(self) -> type:
            raise RuntimeError

    def many() -> None:
        exec("\n".join(f"v{number} = {number}" for number in range(1000)) + "\nraise ValueError('many')")

    def long() -> None:
        large, odd = "x" * 1_000_000, Odd()
        raise ValueError(len(large) + id(odd) * 0)

    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        raise ValueError("deep")

    def chained() -> None:
        error = ValueError(0)
        first = error
        for number in range(1, 1000):
            above = ValueError(number)
            above.__cause__ = error
            error = above
        first.__cause__ = error
        raise error

    def grouped() -> None:
        raise ExceptionGroup("many", [ValueError(number) for number in range(1000)])

    events = [
        ErrorEvent.of(raised(function), local_variables=True)
        for function in (many, long, lambda: deep(500), chained, grouped)
    ]

    assert max(len(event.to_json()) for event in events) < 250_000
    assert [ErrorEvent.from_json(event.to_json()) == event for event in events] == [True] * 5


# ── there and back ────────────────────────────────────────────────────────────────────────────────


def test_round_trip() -> None:
    """
    What an error says comes back whole from JSON, with chain, notes, group and variables (MX-44).
    """

    def group() -> None:
        raise ExceptionGroup("two", [raised(load), ExceptionGroup("inner", [OutOfStock("tea", 3)])])

    error = raised(group)
    event = ErrorEvent.of(
        error,
        severity="critical",
        parameter="quantity",
        rule="above 0",
        value=-1,
        local_variables=True,
        nested={"a": [1]},
    )
    back = ErrorEvent.from_json(event.to_json())

    assert back == event
    assert back.exception is not None
    assert [str(each) for each in back.exception.exceptions] == [
        "ConnectionError: refused after 3 rows",
        "ExceptionGroup: inner",
    ]
    assert [str(each) for each in back.exception.exceptions[0].chain()] == ["KeyError: 'A_TOKEN_THAT_IS_NOT_THERE'"]
    assert back.exception.exceptions[0].notes == ("the second time today",)


def test_the_documented_schema() -> None:
    """
    The keys are those of the schema; what is not known is left out (MX-42).
    """
    told = ErrorEvent.of(ValueError("x"), "bad", component="db").to_dict()

    assert {"message", "timestamp", "exception", "context"} <= told.keys()
    assert {"type", "message", "stackTrace"} <= told["exception"].keys()
    assert told["context"] == {"component": "db"}
    assert datetime.fromisoformat(told["timestamp"]).tzinfo == UTC
    assert ErrorEvent.from_dict({"message": "only this"}).message == "only this"
    with pytest.raises(ValueError, match="is no error: it needs a message"):
        ErrorEvent.from_dict({"exception": {}})
    with pytest.raises(ValueError, match="is no exception: it needs a type"):
        ErrorEvent.from_dict({"message": "x", "exception": {"message": "y"}})


def test_an_exception_again() -> None:
    """
    Built-in exceptions come back as what they were, with cause, notes and group; others as one that names its class.
    """
    back = ErrorEvent.from_json(ErrorEvent.of(raised(load)).to_json()).to_exception()
    group = ErrorEvent.of(ExceptionGroup("two", [ValueError("a"), OutOfStock("tea", 3)])).to_exception()

    assert isinstance(back, ConnectionError)
    assert (str(back), back.__notes__) == ("refused after 3 rows", ["the second time today"])
    assert isinstance(back.__cause__, RestoredError)
    assert (back.__cause__.type_name, str(back.__cause__)) == ("KeyError", "'A_TOKEN_THAT_IS_NOT_THERE'")
    assert isinstance(group, ExceptionGroup)
    assert [type(each) for each in group.exceptions] == [ValueError, RestoredError]
    assert str(group.exceptions[1]) == "tea: 3 left"


def test_exceptions_that_are_linked_to_each_other() -> None:
    """
    What is linked to itself is described once.
    """
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__, two.__context__ = two, one, two
    exception = ErrorEvent.of(one).exception
    assert exception is not None

    assert [str(each) for each in exception.chain()] == ["ValueError: two"]


@pytest.mark.parametrize("name", ["os.system", "exit", "print", "__import__", "type", "UnicodeDecodeError"])
def test_nothing_is_run(name: str) -> None:
    """
    Whatever somebody has written for the type of an exception: nothing is imported, called or made of it.
    """
    event = ErrorEvent.from_dict({"message": "x", "exception": {"type": name, "message": "<class 'str'>"}})

    assert isinstance(event.to_exception(), RestoredError)


# ── the same fault ────────────────────────────────────────────────────────────────────────────────


def fails(number: int) -> None:
    raise ValueError(f"no row {number}")


def recurses(levels: int) -> None:
    if levels:
        recurses(levels - 1)
    raise ValueError("too deep")


def test_fingerprint() -> None:
    """
    The same fault has the same fingerprint, whatever its values, lines and depth are; another fault has another.
    """

    def print_of(function: Callable[[], object]) -> str:
        return ErrorEvent.of(raised(function)).fingerprint

    moved = compile("\n\n\n" + "def fails(number):\n    raise ValueError(number)", __file__, "exec")
    names: dict[str, Any] = {}
    exec(moved, names)

    assert print_of(lambda: fails(1)) == print_of(lambda: fails(2)) == print_of(lambda: names["fails"](3))
    assert print_of(lambda: recurses(3)) == print_of(lambda: recurses(9))
    assert len({print_of(lambda: fails(1)), print_of(lambda: recurses(1)), print_of(load)}) == 3
    assert (
        ErrorEvent.of(message="no row 'a' at 0x7f12").fingerprint
        == ErrorEvent.of(message="no row 'b' at 0x9").fingerprint
    )
    assert ErrorEvent.of(message="no row").fingerprint != ErrorEvent.of(message="no column").fingerprint


# ── never in the way ──────────────────────────────────────────────────────────────────────────────


def test_never_raises() -> None:
    """
    Whatever is said of an error, and whatever the error does when it is looked at, nobody is interrupted.
    """

    class Awkward(Exception):
        def __str__(self) -> str:
            raise RuntimeError

        __notes__: Any = (3, "note")

    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    with capture() as captured:
        for error in (Awkward(), ExceptionGroup("g", [Awkward()]), KeyboardInterrupt(), SystemExit(3)):
            record_error(None, error, component=Odd(), value=Odd(), parameter=Odd(), more=Odd(), error_code=b"\xff")

    assert [line.event_name for line in captured.logs] == ["branchline.error"] * 4


def test_nobody_says_it_twice(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """
    An event is no line on stderr, with a run or without one, where nobody has asked for any.
    """
    handlers = list(logging.root.handlers)
    logging.root.handlers[:] = []
    try:
        record_error("one", ValueError("x"))
        with bl.configure("x", directory=tmp_path, console=False):
            record_error("two", ValueError("x"))
    finally:
        logging.root.handlers[:] = handlers

    assert capsys.readouterr() == ("", "")
    assert sys.exc_info() == (None, None, None)
