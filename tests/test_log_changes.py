"""Changes of the configuration are records themselves (T027, MX-11)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import branchline as bl
from branchline import names
from branchline.logs import enable_logging, prepare_logger
from branchline.logs.registry import LOGGERS
from branchline.read import open_runs


@pytest.fixture(autouse=True)
def _afterwards() -> Iterator[None]:
    yield
    LOGGERS.close()


def changes(directory: Path, run_id: str = "run") -> list[tuple[str, str]]:
    """Return the message and the level of each record that tells of a change."""
    told = (names.LOGGING_CHANGED, names.CONFIGURATION_CHANGED)
    return [(str(line.message), line.level) for line in open_runs(directory)[run_id].logs if line.event_name in told]


def test_t027_a_change_of_level(tmp_path: Path) -> None:
    """
    T027: whoever gives a Logger another level finds that in the run: which Logger, from what, to what. What it is
    given at first, and what is the same as before, is no change.
    """
    with bl.configure("x", directory=tmp_path, run_id="run", console=False, capture_logs="DEBUG"):
        log = bl.get_logger("app", {"level": "INFO", "stdout": False})
        log.setLevel("DEBUG")
        log.setLevel("DEBUG")
        log.setLevel(logging.WARNING)
        bl.get_logger("app", {"level": "NONE", "stdout": False})
    run = open_runs(tmp_path)["run"]

    assert changes(tmp_path) == [
        ("level of app changed from INFO to DEBUG", "DEBUG"),
        ("level of app changed from DEBUG to WARNING", "DEBUG"),
        ("level of app changed from WARNING to NONE", "DEBUG"),
    ]
    assert dict(run.logs[0].attributes) == {
        "before.level": "INFO",
        "after.level": "DEBUG",
    }


def test_keys_are_in_no_record_of_a_change(tmp_path: Path) -> None:
    """
    T027: that a sink was added is a record with its settings, and without its keys.
    """
    with bl.configure("x", directory=tmp_path, run_id="run", console=False, capture_logs="DEBUG"):
        log = bl.get_logger("app", {"log_dir": tmp_path, "stdout": False})
        log.info("begun")
        log.add_handler({"sink": tmp_path / "b.log", "json": True, "integrity": "a key of some length"})
    [change] = [line for line in open_runs(tmp_path)["run"].logs if line.event_name == names.LOGGING_CHANGED]

    assert dict(change.attributes) == {"set.json": True}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"a key of some" in path.read_bytes()]


def test_t027_a_change_of_what_is_shown(tmp_path: Path) -> None:
    """
    T027: preparing or enabling logging again, with another level, is such a change; so is a sink that comes or goes
    once something was logged.
    """
    with bl.configure("x", directory=tmp_path, run_id="run", console=False):
        prepare_logger(setting="QUIET")
        prepare_logger(setting="REGULAR")
        rt = enable_logging("ERROR")
        rt.error("heard")
        added = rt.add_handler({"sink": print, "level": "CRITICAL"})
        rt.remove_handler(added)
    found = [message for message, _ in changes(tmp_path)]

    assert found[:2] == ["level of RT changed from WARNING to INFO", "level of RT changed from INFO to ERROR"]
    assert [message.partition(" ")[2].partition(" ")[2] for message in found[2:]] == ["added: print"]


def test_t027_a_change_of_the_configuration(tmp_path: Path) -> None:
    """
    T027: a run that takes the place of another one says what is not as it was, without secrets; one that begins after
    the end of another does not, nor does a call that changes nothing.
    """
    first = bl.configure("x", directory=tmp_path, run_id="first", console=False)
    again = bl.configure("x", directory=tmp_path, run_id="first", console=False)
    sink = {"sink": "http://ann:hunter2@127.0.0.1:9/x?token=abcd1234", "level": "ERROR"}
    with bl.configure("x", directory=tmp_path, run_id="second", console=False, capture_logs="ERROR", log_file=sink):
        pass
    with bl.configure("x", directory=tmp_path, run_id="third", console=False):
        pass
    [line] = [line for line in open_runs(tmp_path)["second"].logs if line.event_name == names.CONFIGURATION_CHANGED]
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*.jsonl"))

    assert again is first
    assert line.message == "configuration changed: run_id, log_file, capture_logs"
    assert {key: value for key, value in line.attributes.items() if "log_file" not in key} == {
        "before.run_id": "first",
        "after.run_id": "second",
        "before.capture_logs": "20",
        "after.capture_logs": "40",
    }
    assert (changes(tmp_path, "first"), changes(tmp_path, "third")) == ([], [])
    assert (b"hunter2" in files, b"abcd1234" in files) == (False, False)


def test_t027_nobody_is_told_where_nothing_is_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    """
    T027: without a run, a change is just made.
    """
    bl.get_logger("app").setLevel("DEBUG")

    assert capsys.readouterr() == ("", "")
