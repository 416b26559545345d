"""Trades: what they must say, what becomes of it, and that it reaches the file that is theirs (MX-20…28)."""

from __future__ import annotations

import json
import logging
import math
import pickle
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import branchline as bl
from branchline.events import InvalidTrade, TradeContext, TradeEvent, record_trade
from branchline.logs.registry import LOGGERS
from branchline.read import open_runs
from branchline.testing import capture


@pytest.fixture(autouse=True)
def _afterwards() -> Iterator[None]:
    yield
    LOGGERS.close()


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# ── what it must say ──────────────────────────────────────────────────────────────────────────────


def test_normalised() -> None:
    """
    Numbers are exact, a side is in capitals, a time in UTC, texts have no spaces around them, nothing is None (MX-25).
    """
    trade = TradeEvent.executed(
        " BTCUSDT ",
        "buy",
        0.1,
        price="50000.10",
        order_id=17,
        commission=0.1,
        commission_asset="bnb",
        timestamp=datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))),
        venue=None,
        note="x" * 2000,
        filters={"a", "b"},
    )

    assert (trade.symbol, trade.side, trade.quantity, trade.price) == (
        "BTCUSDT",
        "BUY",
        Decimal("0.1"),
        Decimal("50000.10"),
    )
    assert (trade.order_id, trade.commission, trade.commission_asset) == ("17", Decimal("0.1"), "BNB")
    assert trade.timestamp == datetime(2026, 1, 2, 1, tzinfo=UTC)
    assert trade.timestamp.tzinfo == UTC
    assert dict(trade.extra) == {"note": "x" * 1000 + "...", "filters": ["a", "b"]}


def test_all_errors_at_once() -> None:
    """
    Everything that is wrong is said at once, with the value and what is accepted (MX-24).
    """
    with pytest.raises(InvalidTrade) as caught:
        TradeEvent("order_executed", symbol=5, side="hold", quantity=-1, price=math.nan, commission="much")

    assert caught.value.problems == (
        "symbol=5 is not accepted; accepted: a text such as 'BTCUSDT'",
        "side='hold' is not accepted; accepted: BUY or SELL",
        "quantity=-1 is not accepted; accepted: a number above 0",
        "price='NaN' is not accepted; accepted: a number above 0",
        "commission='much' is not accepted; accepted: a number",
        "order_id is missing",
    )
    assert str(caught.value) == "; ".join(caught.value.problems)
    assert isinstance(caught.value, ValueError)
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems


@pytest.mark.parametrize(
    ("kind", "fields", "problem"),
    [
        ("order_lost", {"symbol": "A", "side": "BUY", "quantity": 1}, "event_type='order_lost' is not accepted"),
        ("order_placed", {"symbol": "A", "side": "BUY"}, "quantity is missing"),
        ("order_placed", {"symbol": "A", "side": "BUY", "quantity": True}, "quantity=True"),
        ("order_placed", {"symbol": " ", "side": "BUY", "quantity": 1}, "symbol=' '"),
        ("order_placed", {"symbol": "A", "side": "BUY", "quantity": "1e999"}, "quantity='1e999'"),
        ("order_placed", {"symbol": "A", "side": "BUY", "quantity": 1, "timestamp": "noon"}, "timestamp='noon'"),
        ("order_cancelled", {"symbol": "A", "side": "BUY", "quantity": 1, "order_id": "1"}, "reason is missing"),
        (
            "order_cancelled",
            {"symbol": "A", "side": "BUY", "quantity": 1, "order_id": "1", "reason": "r", "filled_quantity": 2},
            "filled_quantity=2 is not accepted; accepted: from 0 to the quantity, 1",
        ),
        (
            "order_cancelled",
            {
                "symbol": "A",
                "side": "BUY",
                "quantity": 3,
                "order_id": "1",
                "reason": "r",
                "filled_quantity": 2,
                "remaining_quantity": 2,
            },
            "remaining_quantity=2 is not accepted: 2 of 3 are filled",
        ),
        ("position_changed", {"symbol": "A"}, "position is missing"),
    ],
)
def test_what_cannot_be(kind: str, fields: dict[str, Any], problem: str) -> None:
    """
    A trade that cannot be is refused, and the message says why.
    """
    with pytest.raises(InvalidTrade) as caught:
        TradeEvent(kind, **fields)
    [found] = caught.value.problems

    assert found.startswith(problem)


def test_what_follows() -> None:
    """
    What is left of an order follows from what is filled, and the other way; a change from two positions; an id is made.
    """
    order = {"symbol": "A", "side": "SELL", "quantity": "0.3", "order_id": "1", "reason": "timeout"}
    nothing, some, left = (
        TradeEvent("order_cancelled", **order, **more)
        for more in ({}, {"filled_quantity": 0.1}, {"remaining_quantity": "0.2"})
    )
    position = TradeEvent.position_changed("A", "-0.5", previous_position=1)
    one, two = TradeEvent.placed("A", "BUY", 1), TradeEvent.placed("A", "BUY", 1)

    assert (nothing.filled_quantity, nothing.remaining_quantity) == (Decimal(0), Decimal("0.3"))
    assert (some.filled_quantity, some.remaining_quantity) == (Decimal("0.1"), Decimal("0.2"))
    assert (left.filled_quantity, left.remaining_quantity) == (Decimal("0.1"), Decimal("0.2"))
    assert (position.side, position.quantity, position.position) == ("SELL", Decimal("1.5"), Decimal("-0.5"))
    assert one.order_id != two.order_id


def test_round_trip() -> None:
    """
    The documented schema has camel case and exact texts, and what it tells of comes back (MX-22).
    """
    trade = TradeEvent.executed(
        "BTCUSDT", "BUY", "0.001", price=50000, order_id="o-1", execution_type="limit", strategy_id="s", venue="X"
    )
    told = trade.to_dict()

    assert told == {
        "eventType": "order_executed",
        "timestamp": trade.timestamp.isoformat(),
        "tradeData": {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "quantity": "0.001",
            "price": "50000",
            "orderId": "o-1",
            "executionType": "LIMIT",
            "strategyId": "s",
            "venue": "X",
        },
    }
    assert TradeEvent.from_dict(json.loads(trade.to_json())) == trade


# ── where it goes ─────────────────────────────────────────────────────────────────────────────────


def test_in_the_run() -> None:
    """
    A trade is an event of the step it happened in, at the time that it says, with each of its values as a field.
    """
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    with capture() as captured, bl.step("trading") as step:
        TradeEvent.placed("BTCUSDT", "BUY", 1, price=50000, order_id="o-1", timestamp=moment).record()
    [line] = captured.logs

    assert (line.event_name, line.level, line.message) == ("branchline.trade.placed", "INFO", "BUY 1 BTCUSDT @ 50000")
    assert (line.span_id, line.step_name) == (step.span_id, "trading")
    assert line.time_unix_nano == int(moment.timestamp()) * 10**9 + 678_901_000
    assert dict(line.attributes) == {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "quantity": "1",
        "price": "50000",
        "order_id": "o-1",
    }


def test_messages() -> None:
    """
    A message says what a person wants to know, without exponents (MX-28).
    """
    order = {"order_id": "1", "reason": "timeout"}

    assert TradeEvent.placed("BTC", "BUY", "1E+2").message == "BUY 100 BTC"
    assert TradeEvent.placed("BTC", "SELL", "0.00000001", price="1.50").message == "SELL 0.00000001 BTC @ 1.5"
    assert (
        TradeEvent.cancelled("BTC", "BUY", 3, filled_quantity=1, **order).message == "BUY 3 BTC, 2 not filled: timeout"
    )
    assert TradeEvent.position_changed("BTC", 3, previous_position=-1).message == "BTC -1 → 3"


def test_a_file_of_their_own(tmp_path: Path) -> None:
    """
    The logger ``trades`` brings trades, and nothing else, to ``trades.log``; the run has each of them once (MX-27).
    """
    with bl.configure("expert", directory=tmp_path / "journal", run_id="r", console=False):
        bl.get_logger("trades", {"log_dir": tmp_path, "stdout": False})
        TradeEvent.placed("BTC", "BUY", 1, order_id="o-1").record()
        bl.get_logger("app").info("an order at the border, to buy or to sell")
        logging.getLogger().warning("trade")
        TradeEvent.executed("BTC", "BUY", 1, price=2, order_id="o-1").record()
    found = entries(tmp_path / "trades.log")
    lines = open_runs(tmp_path / "journal")["r"].logs

    assert [(entry["event_name"], entry["message"], entry["order_id"]) for entry in found] == [
        ("branchline.trade.placed", "BUY 1 BTC", "o-1"),
        ("branchline.trade.executed", "BUY 1 BTC @ 2", "o-1"),
    ]
    assert [line.event_name for line in lines if line.event_name] == [
        "branchline.trade.placed",
        "branchline.trade.executed",
    ]


def test_without_a_run(tmp_path: Path) -> None:
    """
    Without ``configure`` trades reach their file all the same.
    """
    bl.get_logger("trades", {"log_dir": tmp_path, "stdout": False, "json": False, "format": "[TRADE] {message}"})
    TradeEvent.placed("BTC", "BUY", 1, order_id="o-1", price=50000).record()
    [line] = (tmp_path / "trades.log").read_text().splitlines()

    assert line.startswith("[TRADE] BUY 1 BTC @ 50000 [")


def test_the_file_of_the_run(tmp_path: Path) -> None:
    """
    What has everything that is logged has trades too, and the run has them once.
    """
    with bl.configure("x", directory=tmp_path / "journal", run_id="r", console=False, log_file=tmp_path / "all.log"):
        TradeEvent.placed("BTC", "BUY", 1, order_id="o-1").record()
        bl.get_logger("app").info("hello")

    assert ["BUY 1 BTC" in line for line in (tmp_path / "all.log").read_text().splitlines()] == [True, False]
    assert [line.event_name for line in open_runs(tmp_path / "journal")["r"].logs] == ["branchline.trade.placed", None]


ALONE = """
import sys
import branchline as bl
from branchline.events import TradeEvent, record_error
with bl.configure("x", directory="journal", console=False, log_file="all.log"):
    TradeEvent.placed("BTC", "BUY", 1, order_id="o-1").record()
    record_error("broken")
"""


def test_the_file_of_a_program(tmp_path: Path) -> None:
    """
    In a program that has no handlers, nothing is printed, and the file of the run has each event once.
    """
    ran = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path
    )

    assert (ran.stdout, ran.stderr) == ("", "")
    lines = (tmp_path / "all.log").read_text().splitlines()
    assert ["BUY 1 BTC" in lines[0], "broken" in lines[1], len(lines)] == [True, True, 2]
    assert len(open_runs(tmp_path / "journal").last.logs) == 2


def test_handlers_of_the_logging_module(caplog: pytest.LogCaptureFixture) -> None:
    """
    Handlers of others on the logger, or above it, get a record with the fields where they look for extra.
    """
    with capture() as captured:
        TradeEvent.placed("BTC", "BUY", 1, order_id="o-1").record()
    [record] = caplog.records

    assert (record.name, record.levelname, record.getMessage()) == ("trades", "INFO", "BUY 1 BTC")
    assert (record.symbol, record.order_id) == ("BTC", "o-1")  # type: ignore[attr-defined]
    assert (record.filename, record.funcName) == ("test_trades.py", "test_handlers_of_the_logging_module")
    assert len(captured.logs) == 1


def test_a_handler_that_raises(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A filter of somebody's that raises costs nobody's trade: it is in the run.
    """

    def refuse(record: logging.LogRecord) -> bool:
        raise RuntimeError

    logger = logging.getLogger("trades")
    handler = logging.NullHandler()
    logger.addHandler(handler)
    logger.addFilter(refuse)
    logger.setLevel("INFO")
    try:
        with capture() as captured:
            TradeEvent.placed("BTC", "BUY", 1).record()
    finally:
        logger.removeFilter(refuse)
        logger.removeHandler(handler)
        logger.setLevel("NOTSET")

    assert len(captured.logs) == 1
    assert "could not hand the event branchline.trade.placed to the logger trades" in capsys.readouterr().err


def test_record_trade() -> None:
    """
    ``record_trade`` never raises: what cannot be is an event with all that is wrong, and all that was said.
    """
    with capture() as captured:
        good = record_trade("placed", symbol="BTC", side="BUY", quantity=1)
        bad = record_trade("order_placed", symbol="BTC", side="up", quantity=0)
    placed, invalid = captured.logs

    assert good is not None
    assert (placed.event_name, placed.attributes["order_id"]) == ("branchline.trade.placed", good.order_id)
    assert bad is None
    assert (invalid.event_name, invalid.level) == ("branchline.trade.invalid", "WARN")
    assert dict(invalid.attributes) == {
        "event_type": "order_placed",
        "symbol": "BTC",
        "side": "up",
        "quantity": 0,
        "problems": (
            "side='up' is not accepted; accepted: BUY or SELL",
            "quantity=0 is not accepted; accepted: a number above 0",
        ),
    }


# ── a trade while it happens ──────────────────────────────────────────────────────────────────────


def test_a_trade_that_takes_a_while(tmp_path: Path) -> None:
    """
    It is a step, whose beginning, notes, result and end are events in the run and in ``trades.log`` (MX-26).
    """
    bl.get_logger("trades", {"log_dir": tmp_path, "stdout": False})
    with capture() as captured, TradeContext("BTC", "buy", "0.10", strategy_id="s", symbol_class="coin") as trade:
        trade.add_note("waiting", attempt=1)
        trade.set_result(price=3, symbol="theirs")
    started, note, result, completed = captured.logs
    step = captured.one("trade")
    own = {"symbol": "BTC", "side": "BUY", "quantity": "0.1", "strategy_id": "s", "symbol_class": "coin"}

    assert dict(step.attributes) == own
    assert {line.span_id for line in captured.logs} == {step.span_id}
    assert [(line.event_name, line.level, line.message) for line in captured.logs] == [
        ("branchline.trade.started", "DEBUG", "BUY 0.1 BTC: started"),
        ("branchline.trade.note", "INFO", "BUY 0.1 BTC: waiting"),
        ("branchline.trade.result", "INFO", "BUY 0.1 BTC: result"),
        ("branchline.trade.completed", "INFO", "BUY 0.1 BTC: completed"),
    ]
    assert dict(started.attributes) == own
    assert dict(note.attributes) == own | {"attempt": 1}
    assert dict(result.attributes) == own | {"price": 3, "more.symbol": "theirs"}
    assert completed.attributes["success"] is True
    assert completed.attributes["duration_ms"] == trade.duration_ms
    assert [entry["event_name"] for entry in entries(tmp_path / "trades.log")] == [
        "branchline.trade.note",
        "branchline.trade.result",
        "branchline.trade.completed",
    ]


def test_a_trade_that_fails() -> None:
    """
    What the block raises is raised, and recorded with its traceback; what cannot be a trade is refused at once (MX-26).
    """

    def fail() -> None:
        with TradeContext("BTC", "SELL", 1) as trade:
            trade.set_result(attempts=3)
            raise TimeoutError("no answer")

    with capture() as captured, pytest.raises(TimeoutError):
        fail()
    failed = captured.logs[-1]

    assert (failed.event_name, failed.level, failed.attributes["success"]) == (
        "branchline.trade.failed",
        "ERROR",
        False,
    )
    assert failed.attributes["attempts"] == 3
    assert failed.exception is not None
    assert (failed.exception.type, failed.exception.message) == ("TimeoutError", "no answer")
    assert captured.one("trade").outcome == "failed"
    with pytest.raises(InvalidTrade, match="side='up' is not accepted"):
        TradeContext("BTC", "up", 1)
