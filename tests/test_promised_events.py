"""What three systems have promised of their events: acceptance scenarios by their names, and documented examples.

MetaExpert's scenarios T028 to T030 (entries), T038 to T040 (trades) and T048 to T050 (errors), on real files and a real
run; Persona's and Railtracks' examples, each with the result that its documentation tells of.
"""

from __future__ import annotations

import errno
import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import branchline as bl
from branchline.events import (
    ErrorEvent,
    EventType,
    ExperimentLogger,
    RequestCreationAction,
    RequestFailureAction,
    RequestSuccessAction,
    TradeEvent,
    read_log_file,
    record_error,
)
from branchline.logs.registry import LOGGERS
from branchline.read import LogLine, open_runs


@pytest.fixture(autouse=True)
def _afterwards() -> Iterator[None]:
    yield
    LOGGERS.close()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def recorded(journal: Path) -> list[LogLine]:
    return list(open_runs(journal).last.logs)


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# ── MetaExpert: entries, their structure, and what queues do to them ──────────────────────────────


def test_t028_entries_of_every_level_are_in_every_destination_once(tmp_path: Path, journal: Path) -> None:
    """
    T028: entries of every level reach console, file, another machine and the run, without duplication or loss.
    """
    heard: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: heard.append(_all_of(server.accept()[0])))
    thread.start()
    shown: list[str] = []
    with bl.configure("expert", directory=journal, console=False, verbosity="VERBOSE", capture_logs="DEBUG"):
        log = bl.get_logger("expert", {"log_dir": tmp_path, "stdout": False, "level": "DEBUG"})
        log.add_handler({"sink": shown.append, "format": "{level} {message}"})
        log.add_handler({"sink": f"tcp://127.0.0.1:{server.getsockname()[1]}", "format": "{level} {message}"})
        for number in range(20):
            for level in ("debug", "info", "warning", "error", "critical"):
                log.log(level, "entry %d", number)
        assert log.close()
    thread.join(10)
    server.close()
    expected = [
        (level, f"entry {number}")
        for number in range(20)
        for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    ]

    assert [(entry["level"], entry["message"]) for entry in entries(tmp_path / "expert.log")] == expected
    assert [tuple(line.strip().split(" ", 1)) for line in shown] == expected
    assert [tuple(line.split(" ", 1)) for line in heard[0].decode().splitlines()] == expected
    assert [(line.level_name, line.message) for line in recorded(journal)] == expected


def _all_of(connection: socket.socket) -> bytes:
    found = b""
    with connection:
        while data := connection.recv(65_536):
            found += data
    return found


def test_t029_structured_entries_have_the_fields_that_were_chosen(tmp_path: Path, journal: Path) -> None:
    """
    T029: an entry is one JSON object with time, level, logger, place and its own fields; some can be left out or alone.
    """
    with bl.configure("expert", directory=journal, console=False, verbosity="VERBOSE"), bl.step("trading") as step:
        log = bl.get_logger("expert", {"stdout": False, "level": "DEBUG"}).bind(strategy_id="s-1")
        log.add_handler({"sink": tmp_path / "all.log", "serialize": True})
        log.add_handler(
            {"sink": tmp_path / "some.log", "json": True, "fields": {"include": ["level", "message", "symbol"]}}
        )
        log.add_handler({"sink": tmp_path / "rest.log", "json": True, "fields": {"exclude": ["symbol", "hostname"]}})
        log.info("order %s", "o-1", symbol="BTCUSDT", odd={1, 2})
        log.close()
    [whole] = entries(tmp_path / "all.log")
    [some] = entries(tmp_path / "some.log")
    [rest] = entries(tmp_path / "rest.log")

    assert datetime.fromisoformat(whole["timestamp"]).tzinfo == UTC
    assert (whole["level"], whole["logger_name"], whole["message"]) == ("INFO", "expert", "order o-1")
    assert {"module", "function", "line", "thread_id", "thread_name", "process_id", "process_name"} <= whole.keys()
    assert (whole["strategy_id"], whole["symbol"], whole["odd"]) == ("s-1", "BTCUSDT", [1, 2])
    assert (whole["trace_id"], whole["span_id"]) == (step.trace_id, step.span_id)
    assert some == {"level": "INFO", "message": "order o-1", "symbol": "BTCUSDT"}
    assert not {"symbol", "hostname"} & rest.keys()
    assert rest["strategy_id"] == "s-1"


def test_t030_queued_entries_wait_for_nobody_and_are_all_written_at_the_end(tmp_path: Path) -> None:
    """
    T030: a slow sink with a queue does not hold up who logs; closing writes all of it; what is dropped is counted.
    """
    gate = threading.Event()
    slow: list[str] = []

    def write(line: str) -> None:
        gate.wait(10)
        slow.append(line)

    log = bl.get_logger("expert", {"stdout": False, "log_dir": None})
    log.add_handler({"sink": write, "enqueue": True, "format": "{message}"})
    log.add_handler({"sink": tmp_path / "fast.log", "enqueue": True, "format": "{message}"})
    few = bl.get_logger("few", {"stdout": False, "log_dir": None})
    few.add_handler({"sink": write, "enqueue": True, "queue_size": 5, "overflow": "drop_newest", "format": "{message}"})
    for number in range(1000):
        log.info("%d", number)
        few.info("few %d", number)
    assert slow == []
    gate.set()
    is_whole = log.close()
    is_few_whole = few.close()

    assert is_whole
    assert [line.strip() for line in slow if not line.startswith("few")] == [str(number) for number in range(1000)]
    assert (tmp_path / "fast.log").read_text().split() == [str(number) for number in range(1000)]
    assert not is_few_whole
    assert 5 <= sum(line.startswith("few") for line in slow) <= 7


# ── MetaExpert: trades ────────────────────────────────────────────────────────────────────────────


def traded(tmp_path: Path, journal: Path, trade: TradeEvent) -> tuple[dict[str, Any], LogLine]:
    """
    Record *trade*, and return what is in ``trades.log`` and in the run.
    """
    with bl.configure("expert", directory=journal, console=False):
        bl.get_logger("trades", {"log_dir": tmp_path, "stdout": False})
        trade.record()
    [entry] = entries(tmp_path / "trades.log")
    [line] = recorded(journal)
    return entry, line


def test_t038_a_placed_order_has_its_parameters_a_time_and_an_id(tmp_path: Path, journal: Path) -> None:
    """
    T038: an order that is placed is in the log of trades with all of its parameters, the time, and a unique id.
    """
    before = time.time()
    trade = TradeEvent.placed("BTCUSDT", "BUY", "0.5", price="50000", execution_type="LIMIT", strategy_id="ema")
    other = TradeEvent.placed("BTCUSDT", "BUY", "0.5")
    entry, line = traded(tmp_path, journal, trade)
    parameters = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "quantity": "0.5",
        "price": "50000",
        "execution_type": "LIMIT",
        "strategy_id": "ema",
        "order_id": trade.order_id,
    }

    assert parameters.items() <= entry.items()
    assert dict(line.attributes) == parameters
    assert before <= line.time_unix_nano / 1e9 <= time.time()
    assert datetime.fromisoformat(entry["timestamp"]).timestamp() == pytest.approx(line.time_unix_nano / 1e9, abs=1e-5)
    assert trade.order_id != other.order_id


def test_t039_an_executed_order_has_its_price_quantity_fees_and_times(tmp_path: Path, journal: Path) -> None:
    """
    T039: an order that is executed is there with price, quantity, fees, and the time at which it was.
    """
    moment = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    trade = TradeEvent.executed(
        *("BTCUSDT", "SELL", "0.25"),
        price="50000.5",
        order_id="o-1",
        commission=0.1,
        commission_asset="BNB",
        timestamp=moment,
    )
    entry, line = traded(tmp_path, journal, trade)
    values = {"price": "50000.5", "quantity": "0.25", "commission": "0.1", "commission_asset": "BNB", "order_id": "o-1"}

    assert values.items() <= entry.items()
    assert values.items() <= line.attributes.items()
    assert entry["timestamp"] == "2026-01-02T03:04:05.678000+00:00"
    assert line.time_unix_nano == 1_767_323_045_678_000_000
    assert line.observed_unix_nano > line.time_unix_nano


def test_t040_a_cancelled_order_has_its_reason_a_time_and_what_is_left(tmp_path: Path, journal: Path) -> None:
    """
    T040: an order that is cancelled is there with the reason, the time, and the quantity that is left.
    """
    trade = TradeEvent.cancelled("BTCUSDT", "BUY", "0.3", order_id="o-1", reason="timeout", filled_quantity="0.1")
    entry, line = traded(tmp_path, journal, trade)
    values = {"reason": "timeout", "quantity": "0.3", "filled_quantity": "0.1", "remaining_quantity": "0.2"}

    assert values.items() <= entry.items()
    assert values.items() <= line.attributes.items()
    assert line.event_name == "branchline.trade.cancelled"
    assert line.time_unix_nano == round(trade.timestamp.timestamp() * 1e6) * 1000


# ── MetaExpert: errors ────────────────────────────────────────────────────────────────────────────


def failed(tmp_path: Path, journal: Path, record: Any) -> tuple[dict[str, Any], LogLine]:
    """
    Return what is in ``errors.log`` and in the run, once *record* has recorded.
    """
    with bl.configure("expert", directory=journal, console=False), bl.step("trading"):
        bl.get_logger("errors", {"log_dir": tmp_path, "stdout": False})
        record()
    [entry] = entries(tmp_path / "errors.log")
    [line] = recorded(journal)
    return entry, line


def test_t048_a_failed_connection_has_its_details_a_code_and_the_stack(tmp_path: Path, journal: Path) -> None:
    """
    T048: when a connection fails, the record has the details of the connection, the code of the error and the stack.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    def record() -> None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError as error:
            record_error("no prices", error, error_code=error.errno, component="prices", host="127.0.0.1", port=port)

    entry, line = failed(tmp_path, journal, record)
    details = {"host": "127.0.0.1", "port": port, "component": "prices"}

    assert details.items() <= entry.items()
    assert details.items() <= line.attributes.items()
    assert entry["error_code"] == line.attributes["error_code"] == str(errno.ECONNREFUSED)
    assert "create_connection" in entry["exception"]["traceback"]
    assert line.exception is not None
    assert line.exception.type == "ConnectionRefusedError"
    assert "create_connection" in line.exception.stacktrace


def test_t049_a_failed_validation_has_the_parameter_the_rule_and_the_context(tmp_path: Path, journal: Path) -> None:
    """
    T049: when something is not valid, the record has the parameter, the rule that it breaks, and the context.
    """

    def record() -> None:
        record_error(
            "the order is not valid",
            severity="medium",
            parameter="quantity",
            rule="above 0",
            value=-1,
            symbol="BTCUSDT",
        )

    entry, line = failed(tmp_path, journal, record)
    told = {"parameter": "quantity", "rule": "above 0", "value": -1, "symbol": "BTCUSDT", "severity": "medium"}

    assert told.items() <= entry.items()
    assert told.items() <= line.attributes.items()
    assert (entry["level"], line.level, line.step_name) == ("WARNING", "WARN", "trading")


def test_t050_an_unexpected_error_has_the_stack_the_variables_and_where_it_was(tmp_path: Path, journal: Path) -> None:
    """
    T050: what nobody has expected is recorded with the whole stack, the local variables and what was being done.
    """

    def average(prices: list[float], api_key: str) -> float:
        total = sum(prices)
        return total / len(prices)

    def record() -> None:
        api_key = "hunter2"
        try:
            average([], api_key)
        except ZeroDivisionError as error:
            ErrorEvent.of(error, severity="critical", operation="average", local_variables=True).record()

    entry, line = failed(tmp_path, journal, record)
    variables = line.attributes["local_variables"]
    assert isinstance(variables, dict)
    innermost = next(iter(variables))

    assert line.exception is not None
    assert line.exception.stacktrace.splitlines()[0] == "Traceback (most recent call last):"
    assert "in average" in line.exception.stacktrace
    assert (line.attributes["error_function"], line.attributes["operation"], line.level) == (
        "average",
        "average",
        "FATAL",
    )
    assert innermost.startswith("average (")
    assert variables[innermost] == {"prices": "[]", "api_key": "[redacted]", "total": "0"}
    assert entry["local_variables"] == variables
    assert "hunter2" not in (tmp_path / "errors.log").read_text()
    assert line.step_name == "trading"


# ── Persona ───────────────────────────────────────────────────────────────────────────────────────


def test_an_experiment_is_logged(tmp_path: Path) -> None:
    """
    The first example: a logger in a with-block, its events in the file, found again by level and type.
    """
    with ExperimentLogger(log_dir=tmp_path / "logs", experiment_id="exp-001", run_id="run-001") as experiment:
        experiment.info(EventType.EXPERIMENT_STARTED, {"persona_count": 3})
        experiment.info(EventType.LLM_CALL_COMPLETED, {"model": "claude", "tokens": 1234})
        experiment.error(EventType.GENERATION_FAILED, {"error": "timeout"}, message="Generation failed")
    events = read_log_file(tmp_path / "logs" / "experiment.jsonl")

    assert [event.event for event in events] == [
        EventType.EXPERIMENT_STARTED,
        EventType.LLM_CALL_COMPLETED,
        EventType.GENERATION_FAILED,
    ]
    assert events == experiment.get_events()
    assert experiment.get_events(event_type=EventType.GENERATION_FAILED)[0].message == "Generation failed"
    assert events[1].payload["tokens"] == 1234


def test_an_entry_of_the_documentation(tmp_path: Path) -> None:
    """
    An entry as it is documented, with its event in capitals, is read.
    """
    entry = {
        "timestamp": "2024-12-20T10:30:00Z",
        "level": "INFO",
        "event": "EXPERIMENT_STARTED",
        "experiment_id": "exp-001",
        "run_id": "run-001",
        "payload": {"persona_count": 3},
        "message": "",
    }
    (tmp_path / "experiment.jsonl").write_text(json.dumps(entry) + "\n")
    [event] = read_log_file(tmp_path / "experiment.jsonl")

    assert (event.event, event.level.value, event.payload) == (
        EventType.EXPERIMENT_STARTED,
        "info",
        {"persona_count": 3},
    )


# ── Railtracks ────────────────────────────────────────────────────────────────────────────────────


def test_the_actions_of_a_run(journal: Path) -> None:
    """
    The documented lines of a run are its messages; two nodes of one name are told apart by their spans.
    """
    with bl.configure("agents", directory=journal, console=False):
        RequestCreationAction("START", "Agent", (), {}).record()
        for number in range(2):
            with bl.step("Search"):
                RequestCreationAction("Agent", "Search", (number,), {}).record()
                RequestSuccessAction("Search", number).record()
        RequestFailureAction("Agent", ValueError("no answer")).record()
    lines = recorded(journal)

    assert [line.message for line in lines] == [
        "START CREATED Agent",
        "Agent CREATED Search",
        "Search DONE",
        "Agent CREATED Search",
        "Search DONE",
        "Agent FAILED",
    ]
    assert lines[1].span_id == lines[2].span_id != lines[3].span_id == lines[4].span_id


def test_a_session_is_saved(journal: Path, tmp_path: Path) -> None:
    """
    A session is saved as JSON, whole, with what it had recorded of models; also one that nobody has told to save.
    """
    with bl.configure("flow", directory=journal, run_id="s-1", console=False), bl.step("Agent"):
        with bl.step("Search"):
            bl.record_usage("gpt", input_tokens=10, output_tokens=5, cost="0.01", latency=1.5)
        RequestSuccessAction("Agent", {"answer": 3}).record()
    (tmp_path / "session.json").write_text(json.dumps(open_runs(journal)["s-1"].to_dict()))
    session = json.loads((tmp_path / "session.json").read_text())

    assert (session["id"], session["service_name"], session["state"]) == ("s-1", "flow", "ended")
    assert session["created"] <= session["ended"]
    agent, search = session["spans"]
    assert (search["parent_id"], search["name"]) == (agent["span_id"], "Search")
    assert (search["usage"]["input_tokens"], agent["total_usage"]["cost"]) == (10, "0.01")
    assert session["usages"][0]["latency"] == 1.5
    assert session["logs"][0]["attributes"]["output"] == {"answer": 3}


def test_a_run_is_broadcast(journal: Path) -> None:
    """
    A callback gets a text for what happens, as it happens; nodes, models and failures among it.
    """
    told: list[str] = []

    @bl.traced_step("Agent")
    def agent() -> None:
        bl.record_usage("gpt", input_tokens=10, cost="0.01")
        RequestCreationAction("Agent", "Search").record()
        raise ValueError("no answer")

    with (
        bl.subscribe(lambda update: told.append(str(update)), kinds=["step", "log", "usage"]),
        bl.configure("flow", directory=journal, console=False),
        pytest.raises(ValueError, match="no answer"),
    ):
        agent()

    assert told[:2] == ["usage gpt", "INFO branchline.action.created Agent CREATED Search"]
    assert told[2].startswith("step Agent failed ")
    assert told[2].endswith(" s ValueError: no answer")
