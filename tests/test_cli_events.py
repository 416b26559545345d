"""``branchline events``: by name, level, text and run; for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import branchline as bl
from branchline.cli import main
from branchline.events import EventType, ExperimentLogger, TradeEvent, record_error


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    with bl.configure("svc", directory=tmp_path, run_id="one", console=False):
        ExperimentLogger(experiment_id="e-1").info(EventType.DATA_LOADED, {"rows": 3}, "only three")
        with bl.experiment("prompts"), bl.branch({"k": 1}, name="small"), bl.step("trading"):
            TradeEvent.placed("BTC", "BUY", 1, order_id="o-1").record()
            try:
                try:
                    raise TimeoutError("no answer")
                except TimeoutError as cause:
                    raise ConnectionError("refused") from cause
            except ConnectionError as error:
                record_error("no prices", error, port=5432)
        bl.stamp("loose")
        bl.record_metric("loss", 0.5)
        bl.get_logger("app").warning("a line of the log")
    with bl.configure("svc", directory=tmp_path, run_id="two", console=False):
        bl.event("my.own", severity="WARNING", n=1)
    return tmp_path


def run(journal: Path, *arguments: str) -> str:
    result = CliRunner().invoke(main, ["events", *arguments, "--directory", str(journal)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def named(journal: Path, *arguments: str) -> list[str]:
    return [json.loads(line)["event_name"] for line in run(journal, *arguments, "--json").splitlines()]


def test_for_people(journal: Path) -> None:
    """
    A line for each: when, what, where, what it says; what went wrong stands below it; at the end how many there were.
    """
    day, *lines, total = run(journal, "one").splitlines()
    shown = [line.split(None, 1)[1] if line[0].isdigit() else line.strip() for line in lines]

    assert day.endswith("  run one")
    assert shown[:3] == [
        "data_loaded   branchline       only three  rows=3 experiment_id=e-1",
        "trade.placed  small › trading  BUY 1 BTC  symbol=BTC side=BUY quantity=1 order_id=o-1",
        shown[2],
    ]
    assert shown[2].startswith("error         small › trading  no prices  port=5432 severity=high fingerprint=")
    assert shown[3].startswith("ConnectionError: refused  at ")
    assert shown[3].endswith(" in journal")
    assert shown[4:] == ["cause: TimeoutError: no answer"]
    assert total == "3 events: 1 data_loaded, 1 trade.placed, 1 error"


def test_for_programs(journal: Path) -> None:
    """
    JSON has everything of an event, a line each, with the run it is of.
    """
    placed = json.loads(run(journal, "one", "--name", "trade.placed", "--json"))

    assert (placed["run"], placed["event_name"], placed["step"], placed["branch_name"]) == (
        "one",
        "branchline.trade.placed",
        "trading",
        "small",
    )
    assert placed["attributes"] == {"symbol": "BTC", "side": "BUY", "quantity": "1", "order_id": "o-1"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["one"], ["branchline.event.data_loaded", "branchline.trade.placed", "branchline.error"]),
        ([], ["my.own"]),
        (["--all", "--limit", "2"], ["branchline.error", "my.own"]),
        (["one", "--name", "data_loaded"], ["branchline.event.data_loaded"]),
        (["one", "--name", "event.*"], ["branchline.event.data_loaded"]),
        (["one", "--name", "branchline.*", "--level", "ERROR"], ["branchline.error"]),
        (["one", "--name", "trade.*", "--name", "error"], ["branchline.trade.placed", "branchline.error"]),
        (["one", "--name", "trade"], []),
        (["--all", "--level", "warning"], ["branchline.error", "my.own"]),
        (["one", "--text", "three|5432"], ["branchline.event.data_loaded", "branchline.error"]),
        (["one", "--step", "trading"], ["branchline.trade.placed", "branchline.error"]),
        (["one", "--branch", "small", "--text", "BTC"], ["branchline.trade.placed"]),
    ],
)
def test_filters(journal: Path, arguments: list[str], expected: list[str]) -> None:
    """
    Events are found by run, name, level, text, step and branch; what is no event is none.
    """
    assert named(journal, *arguments) == expected


def test_nothing(journal: Path, tmp_path: Path) -> None:
    """
    Where there is nothing, it is said.
    """
    with bl.configure("svc", directory=tmp_path, run_id="zero", console=False), bl.step("x"):
        pass

    assert run(journal, "one", "--name", "x") == "none of 3 events is like that\n"
    assert run(journal, "zero") == "there are no events\n"
