"""The logger of an experiment: its events in memory, in its files and in the run (PE-1…11)."""

from __future__ import annotations

import gzip
import json
import math
import multiprocessing
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

import branchline as bl
from branchline.errors import ConfigError
from branchline.events import EventType, ExperimentLogger, LogEvent, LogLevel, log_event, read_log_file
from branchline.testing import capture


SEVENTEEN = (
    *("experiment_started", "experiment_completed", "experiment_failed", "data_loaded", "data_validated"),
    *("generation_started", "generation_completed", "generation_failed", "persona_created", "persona_validated"),
    *("output_written", "config_loaded", "provider_initialised"),
    *("llm_call_started", "llm_call_completed", "llm_call_failed", "custom"),
)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# ── types and levels ──────────────────────────────────────────────────────────────────────────────


def test_event_types() -> None:
    """
    There are seventeen types of events, each found by its value in either case (PE-4).
    """
    assert tuple(kind.value for kind in EventType) == SEVENTEEN
    assert [EventType(kind.upper()) for kind in SEVENTEEN] == list(EventType)
    assert EventType("provider_initialized") is EventType.PROVIDER_INITIALISED
    with pytest.raises(ValueError, match="'something' is not a valid EventType"):
        EventType("something")


def test_levels() -> None:
    """
    There are four levels, found in either case (PE-3).
    """
    assert [level.value for level in LogLevel] == ["debug", "info", "warn", "error"]
    assert (LogLevel("WARNING"), LogLevel("Error")) == (LogLevel.WARN, LogLevel.ERROR)


def test_log_event() -> None:
    """
    An event has seven keys, nulls included, and comes back from them; in capitals as well (PE-5, PE-11).
    """
    event = log_event(EventType.DATA_LOADED, {"rows": 3, "files": ["a", "b"]}, level="WARN", experiment_id="e-1")
    told = event.to_dict()

    assert told == {
        "timestamp": event.timestamp,
        "level": "warn",
        "event": "data_loaded",
        "experiment_id": "e-1",
        "run_id": None,
        "payload": {"rows": 3, "files": ["a", "b"]},
        "message": "",
    }
    assert datetime.fromisoformat(event.timestamp).tzinfo == UTC
    assert event.timestamp.endswith("+00:00")
    assert json.loads(event.to_json()) == told
    assert LogEvent.from_dict(told) == event
    assert LogEvent.from_dict({**told, "event": "DATA_LOADED", "level": "WARN"}) == event


# ── the logger ────────────────────────────────────────────────────────────────────────────────────


def test_files(tmp_path: Path) -> None:
    """
    Every event is a line of its file at once, with parents made; DEBUG ones are in a second file too (PE-1, PE-2).
    """
    place = tmp_path / "deep" / "logs"
    with ExperimentLogger(place, "e-1", "r-1", enable_debug_log=True) as log:
        first = log.info(EventType.EXPERIMENT_STARTED, {"seed": 3}, "begun")
        log.debug(EventType.CONFIG_LOADED)
        assert lines(place / "experiment.jsonl")[0] == first.to_dict()
        log.warning(EventType.DATA_VALIDATED)
        log.error(EventType.GENERATION_FAILED, {"reason": "no data"})

    assert [line["level"] for line in lines(place / "experiment.jsonl")] == ["info", "debug", "warn", "error"]
    assert [line["event"] for line in lines(place / "debug.jsonl")] == ["config_loaded"]
    assert {(line["experiment_id"], line["run_id"]) for line in lines(place / "experiment.jsonl")} == {("e-1", "r-1")}


def test_memory_only() -> None:
    """
    Without a folder there are no files; what was logged is found by level and by type (PE-1, PE-8).
    """
    log = ExperimentLogger(experiment_id="e-1")
    log.info(EventType.DATA_LOADED)
    log.error(EventType.DATA_LOADED)
    log.error("LLM_CALL_FAILED")

    assert log.event_count == 3
    assert [event.level.value for event in log.get_events(event_type="data_loaded")] == ["info", "error"]
    assert [event.event for event in log.get_events(LogLevel.ERROR)] == ["data_loaded", "llm_call_failed"]
    assert [event.event for event in log.get_events("error", EventType.DATA_LOADED)] == [EventType.DATA_LOADED]


def test_any_payload(tmp_path: Path) -> None:
    """
    Nothing in a payload raises; what JSON has not is there as text, and later changes to it are not (PE-6).
    """

    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    rows = [1]
    payload = {"odd": Odd(), "set": {1}, "when": datetime(2026, 1, 2, tzinfo=UTC), "nan": math.nan, "rows": rows}
    with ExperimentLogger(tmp_path) as experiment:
        event = experiment.info("my.event", payload)
        rows.append(2)

    assert event.payload == {
        "odd": "<unprintable Odd>",
        "set": [1],
        "when": "2026-01-02T00:00:00+00:00",
        "nan": "NaN",
        "rows": [1],
    }
    assert read_log_file(tmp_path / "experiment.jsonl") == [event]


def test_secrets(tmp_path: Path) -> None:
    """
    Secrets in payloads and messages reach neither file nor memory; numbers of tokens do.
    """
    payload = {"api_key": "hunter2", "nested": {"password": "hunter2"}, "input_tokens": 12}
    with ExperimentLogger(tmp_path) as log:
        event = log.info(EventType.CONFIG_LOADED, payload, "password=hunter2")

    assert event.payload == {"api_key": "[redacted]", "nested": {"password": "[redacted]"}, "input_tokens": 12}
    assert "hunter2" not in (tmp_path / "experiment.jsonl").read_text() + event.message


def test_bind(tmp_path: Path) -> None:
    """
    A bound logger has another run and no events yet, and writes to the same file (PE-7).
    """
    with ExperimentLogger(tmp_path, "e-1", "r-1") as log:
        log.info(EventType.DATA_LOADED)
        with log.bind(run_id="r-2") as bound:
            bound.info(EventType.DATA_VALIDATED)
        log.info(EventType.OUTPUT_WRITTEN)

    assert [event.event for event in bound.get_events()] == ["data_validated"]
    assert log.event_count == 2
    assert [
        (line["experiment_id"], line["run_id"], line["event"]) for line in lines(tmp_path / "experiment.jsonl")
    ] == [
        ("e-1", "r-1", "data_loaded"),
        ("e-1", "r-2", "data_validated"),
        ("e-1", "r-1", "output_written"),
    ]


def test_rotation_loses_nothing(tmp_path: Path) -> None:
    """
    A hundred events through files of 500 bytes, within a second, by a logger and one bound from it: all are kept.
    """
    with ExperimentLogger(tmp_path, "e-1", max_file_size=500) as log, log.bind(run_id="r-2") as bound:
        for number in range(50):
            log.info(EventType.CUSTOM, {"number": number})
            bound.info(EventType.CUSTOM, {"number": number})
    found = read_log_file(tmp_path / "experiment.jsonl", with_rotated=True)

    assert len(list(tmp_path.glob("experiment.jsonl.*"))) > 10
    assert all(path.stat().st_size <= 500 for path in tmp_path.glob("experiment.jsonl*"))
    assert sorted((event.run_id or "", event.payload["number"]) for event in found) == sorted(
        (run_id, number) for run_id in ("", "r-2") for number in range(50)
    )
    assert found.skipped == 0


def _log_many(place: Path, name: str) -> None:
    with ExperimentLogger(place, name, max_file_size=2000) as log:
        threads = [threading.Thread(target=_log_some, args=(log,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _log_some(log: ExperimentLogger) -> None:
    for number in range(25):
        log.info(EventType.CUSTOM, {"number": number})


def test_threads_and_processes_share_a_file(tmp_path: Path) -> None:
    """
    Three processes of four threads each write to one file that rotates: no event is lost, twice or torn.
    """
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_log_many, args=(tmp_path, f"e-{number}")) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    found = read_log_file(tmp_path / "experiment.jsonl", with_rotated=True)

    assert sorted((event.experiment_id, event.payload["number"]) for event in found) == sorted(
        (f"e-{name}", number) for name in range(3) for _ in range(4) for number in range(25)
    )
    assert found.skipped == 0


def _fail(log: ExperimentLogger) -> None:
    with log:
        log.info(EventType.DATA_LOADED)
        raise KeyError


def test_closed_by_an_exception(tmp_path: Path) -> None:
    """
    The files are closed when the block fails, and what it raised is raised; what comes later is in memory (PE-10).
    """
    log = ExperimentLogger(tmp_path)
    with pytest.raises(KeyError):
        _fail(log)
    log.info(EventType.OUTPUT_WRITTEN)

    assert [line["event"] for line in lines(tmp_path / "experiment.jsonl")] == ["data_loaded"]
    assert [event.event for event in log.get_events()] == ["data_loaded", "output_written"]
    assert log.close()


def test_a_place_that_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Where nothing can be written nobody's experiment fails: it is said once, and at the end that something is lost.
    """
    (tmp_path / "file").write_text("")
    with capture() as captured:
        log = ExperimentLogger(tmp_path / "file" / "logs")
        for _ in range(3):
            log.info(EventType.DATA_LOADED)
        is_whole = log.close()

    assert (is_whole, log.event_count, len(captured.logs)) == (False, 3, 3)
    assert [line for line in capsys.readouterr().err.splitlines() if "cannot write" in line][1:] == []


def test_what_cannot_be(tmp_path: Path) -> None:
    """
    A size that is none, and a file that is a folder, are refused at once.
    """
    (tmp_path / "experiment.jsonl").mkdir()
    with pytest.raises(ConfigError, match="rotation"):
        ExperimentLogger(tmp_path / "a", max_file_size="big")
    with pytest.raises(ConfigError, match="a folder"):
        ExperimentLogger(tmp_path)


# ── read back ─────────────────────────────────────────────────────────────────────────────────────


def test_read_log_file(tmp_path: Path) -> None:
    """
    Torn and damaged lines cost themselves alone and are counted; an event that nobody knows keeps its name (PE-11).
    """
    good = log_event("DATA_LOADED", {"rows": 3})
    unknown = {**good.to_dict(), "event": "from.the.future"}
    path = tmp_path / "experiment.jsonl"
    path.write_text(
        "\n".join(
            [
                good.to_json(),
                "",
                '{"timestamp": "2026',
                "[1]",
                "nonsense",
                '{"event": "x"}',
                json.dumps(unknown),
                "\x00",
            ]
        )
        + '\n{"timestamp": "2026-01-0',
        encoding="utf-8",
    )
    found = read_log_file(path)

    assert [event.event for event in found] == [EventType.DATA_LOADED, "from.the.future"]
    assert found.skipped == 6
    with pytest.raises(FileNotFoundError):
        read_log_file(tmp_path / "missing.jsonl")


def test_a_file_that_was_packed_and_cut_off(tmp_path: Path) -> None:
    """
    Of a packed file that is cut off, what is there is read.
    """
    events = [log_event("DATA_LOADED", {"number": number, "noise": os.urandom(50).hex()}) for number in range(1000)]
    packed = gzip.compress("".join(f"{event.to_json()}\n" for event in events).encode())
    (tmp_path / "experiment.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    found = read_log_file(tmp_path / "experiment.jsonl.gz")

    assert 0 < len(found) < 1000
    assert found == events[: len(found)]
    assert found.skipped >= 1


# ── in the run ────────────────────────────────────────────────────────────────────────────────────


def test_in_the_run() -> None:
    """
    Each is an event of the run as well, on the step it happened in, with its ids and its payload side by side.
    """
    with capture() as captured, ExperimentLogger(experiment_id="e-1", run_id="r-1") as log, bl.step("load") as step:
        log.warning(EventType.DATA_LOADED, {"rows": 3, "run_id": "theirs"}, "only three")
        log.log("debug", "my.own", {"rows": 4})
    warned, own = captured.logs

    assert (warned.event_name, warned.level, warned.message, warned.span_id) == (
        "branchline.event.data_loaded",
        "WARN",
        "only three",
        step.span_id,
    )
    assert dict(warned.attributes) == {"rows": 3, "payload.run_id": "theirs", "experiment_id": "e-1", "run_id": "r-1"}
    assert (own.event_name, own.level, own.attributes["rows"]) == ("my.own", "DEBUG", 4)
