"""Setting a whole logging up: what MetaExpert's and Persona's users have been promised (MX-2 to MX-5, MX-12, PE-28)."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import branchline as bl
from branchline._files.rotated import rotated_files
from branchline.errors import ConfigError
from branchline.logs import (
    LogContext,
    LoggerConfig,
    OutputFormat,
    configure_logging,
    get_structured_logger,
    setup_logging,
)
from branchline.logs.handlers import reports
from branchline.logs.registry import LOGGERS


@pytest.fixture(autouse=True)
def _afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    LOGGERS.close()


def say_all(name: str = "expert") -> None:
    log = bl.get_logger(name)
    log.debug("state")
    log.info("begun", step=1)
    log.error("refused")
    bl.get_logger(f"{name}.trade").info("bought", symbol="EURUSD")
    LOGGERS.close()


def messages(place: str) -> list[str]:
    lines = (Path("logs") / place).read_text().splitlines()
    return [json.loads(line)["message"] if line.startswith("{") else line.rpartition("| ")[2] for line in lines]


# ── what is said ──────────────────────────────────────────────────────────────────────────────────


def test_a_configuration_is_a_value() -> None:
    """
    MX-3, MX-4: it is frozen, equal to one that says the same, and has the defaults that were promised.
    """
    config = LoggerConfig()

    assert (config, config.digest) == (LoggerConfig(), LoggerConfig().digest)
    assert config.digest != LoggerConfig(log_level="DEBUG").digest
    assert (config.log_file, config.log_trade_file, config.log_error_file) == ("expert.log", "trades.log", "errors.log")
    assert (config.log_dir, config.max_bytes, config.backup_count) == ("logs", 10_485_760, 5)
    assert (config.async_logging, config.async_queue_size, config.overflow_strategy) == (False, 10_000, "block")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.log_level = "DEBUG"  # type: ignore[misc]  # that is the question


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"log_level": "LOUD"}, "log_level='LOUD' is not accepted; accepted: TRACE"),
        ({"console_log_level": True}, "console_log_level=True is not accepted"),
        ({"max_bytes": 0}, "max_bytes=0 is not accepted; accepted: a positive whole number up to 1,073,741,824"),
        ({"max_bytes": 2**30 + 1}, "max_bytes=1073741825 is not accepted"),
        ({"backup_count": -1}, "backup_count=-1 is not accepted; accepted: a positive whole number"),
        ({"retention_days": 0}, "retention_days=0 is not accepted"),
        ({"async_queue_size": 1.5}, "async_queue_size=1.5 is not accepted"),
        ({"max_logs_per_second": True}, "max_logs_per_second=True is not accepted"),
        ({"overflow_strategy": "explode"}, "accepted: block, drop_newest, drop_oldest, grow"),
        ({"buffer_size": 0}, "buffer_size=0 is not accepted; accepted: a positive whole number"),
        ({"contextual_logging": 1}, "contextual_logging=1 is not accepted; accepted: True, False"),
        ({"use_colors": "yes"}, "use_colors='yes' is not accepted; accepted: True, False"),
        ({"file_format": "xml"}, "file_format='xml' is not accepted; accepted: text, json"),
        ({"enable_encryption": True}, "enable_encryption needs encryption_key"),
        ({"enable_encryption": True, "encryption_key": "short"}, "encryption is not accepted; accepted: a secret"),
        ({"log_to_console": False, "log_to_file": False}, "a logger needs an output"),
    ],
)
def test_what_makes_no_sense_is_refused(said: dict[str, Any], told: str) -> None:
    """
    MX-3, MX-4, T026: a value that cannot be is refused at once, with what can be; it is a ValueError, too.
    """
    with pytest.raises(ValueError, match=re.escape(told)):
        LoggerConfig(**said)


def test_presets() -> None:
    """
    MX-3: development says everything, in colours, on the console and in files; production and backtesting say less,
    as JSON, in files alone; what is said beside them counts more.
    """
    told = [
        (each.log_level, each.json_logging, each.log_to_console, each.log_to_file)
        for each in (
            LoggerConfig.for_development(),
            LoggerConfig.for_production(),
            LoggerConfig.for_backtesting(),
            LoggerConfig.for_production(log_level="ERROR", log_to_console=True),
        )
    ]

    assert told == [
        ("DEBUG", False, True, True),
        ("WARNING", True, False, True),
        ("INFO", True, False, True),
        ("ERROR", True, True, True),
    ]


def test_other_words() -> None:
    """
    MX-4: a mapping may say it in the words of the specification; one that there is not is named.
    """
    said = {
        "max_file_size": 1000,
        "structured_logging": True,
        "remote_destinations": ["tcp://127.0.0.1:9"],
        "trade_log_file": "t.log",
        "error_log_file": "e.log",
        "buffer_size": 8192,
    }

    assert LoggerConfig.of(said) == LoggerConfig(
        max_bytes=1000,
        json_logging=True,
        remote_destinations=("tcp://127.0.0.1:9",),
        log_trade_file="t.log",
        log_error_file="e.log",
        buffer_size=8192,
    )
    with pytest.raises(ConfigError, match="unknown key 'log_levle'"):
        LoggerConfig.of({"log_levle": "INFO"})


def test_variables() -> None:
    """
    MX-5: every variable says what its field says, arguments count more, and an empty one says nothing.
    """
    env = {
        "LOG_LEVEL": "DEBUG",
        "LOG_DIRECTORY": "/var/log/x",
        "EXPERT_LOG_FILE": "e.log",
        "TRADES_LOG_FILE": "t.log",
        "ERRORS_LOG_FILE": "r.log",
        "ENABLE_ASYNC": "yes",
        "MAX_FILE_SIZE_MB": "7",
        "BACKUP_COUNT": "9",
        "ENABLE_STRUCTURED_LOGGING": "ON",
        "ENABLE_CONTEXTUAL_LOGGING": "off",
        "MASK_SENSITIVE_DATA": "0",
        "CONSOLE_LOG_FORMAT": "TEXT",
        "FILE_LOG_FORMAT": "json",
        "DISK_SPACE_CHECK": "true",
        "DISK_SPACE_LOW_THRESHOLD_MB": "50",
    }
    expected = LoggerConfig(
        log_level="DEBUG",
        log_dir="/var/log/x",
        log_file="e.log",
        log_trade_file="t.log",
        log_error_file="r.log",
        async_logging=True,
        max_bytes=7 * 1024 * 1024,
        backup_count=9,
        json_logging=True,
        contextual_logging=False,
        mask_sensitive_data=False,
        console_format="text",
        file_format="json",
        disk_space_check=True,
        disk_space_low_threshold_mb=50,
    )

    assert LoggerConfig.from_env(env) == expected
    assert LoggerConfig.from_env(env, log_level="ERROR", backup_count=1) == dataclasses.replace(
        expected, log_level="ERROR", backup_count=1
    )
    assert LoggerConfig.from_env(dict.fromkeys(env, " ")) == LoggerConfig()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(
            ("MAX_FILE_SIZE_MB", "0"),
            ("MAX_FILE_SIZE_MB", "1001"),
            ("MAX_FILE_SIZE_MB", "ten"),
            ("BACKUP_COUNT", "101"),
        ),
        *(("ENABLE_ASYNC", "maybe"), ("LOG_LEVEL", "LOUD"), ("FILE_LOG_FORMAT", "xml")),
    ],
)
def test_variables_that_cannot_be(variable: str, value: str) -> None:
    """
    MX-5: a variable out of its bounds, or with a word that is none, is refused.
    """
    with pytest.raises(ConfigError, match="is not accepted"):
        LoggerConfig.from_env({variable: value})


# ── what comes of it ──────────────────────────────────────────────────────────────────────────────


def test_everything_goes_where_it_belongs(capsys: pytest.CaptureFixture[str]) -> None:
    """
    MX-2, MX-12: one file has everything, one what the trade logger says, one the errors; the console has everything
    from its own level on; and the result says so.
    """
    result = setup_logging(LoggerConfig(file_log_level="DEBUG", console_log_level="ERROR"))
    say_all()

    assert messages("expert.log") == ["state", "begun [step=1]", "refused", "bought [symbol=EURUSD]"]
    assert messages("trades.log") == ["bought [symbol=EURUSD]"]
    assert messages("errors.log") == ["refused"]
    assert [line.rpartition("| ")[2] for line in capsys.readouterr().err.splitlines()] == ["refused"]
    assert (result.success, result.handlers_created, result.handlers) == (
        True,
        4,
        ("stderr", "logs/expert.log", "logs/errors.log", "logs/trades.log"),
    )
    assert (result.loggers, result.processors) == (("expert", "expert.trade"), ("context", "redaction", "rotation"))
    assert (result.processors_configured, result.warnings, result.errors) == (3, (), ())
    assert result.config_hash == LoggerConfig(file_log_level="DEBUG", console_log_level="ERROR").digest
    assert result.setup_duration_ms > 0
    assert result.to_dict() == {
        "status": "success",
        "message": "logging goes to stderr, logs/expert.log, logs/errors.log, logs/trades.log",
        "handlers": ["stderr", "logs/expert.log", "logs/errors.log", "logs/trades.log"],
        "loggers": ["expert", "expert.trade"],
    }
    summary = json.loads(json.dumps(result.get_summary()))
    assert summary["handlers_created"] == 4
    assert result.to_string() == result.to_dict()["message"]


def test_setting_up_twice_doubles_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """
    MX-12: what is set up again takes the place of what was there; each line is written once.
    """
    setup_logging(LoggerConfig.for_development())
    setup_logging(LoggerConfig.for_backtesting())
    setup_logging(LoggerConfig.for_backtesting())
    say_all()

    assert [messages(name) for name in ("expert.log", "trades.log", "errors.log")] == [
        ["begun", "refused", "bought"],
        ["bought"],
        ["refused"],
    ]
    assert capsys.readouterr().err == ""


def test_every_option_reaches_the_files() -> None:
    """
    MX-4: a queue, a rate, sizes, compression and masks of secrets are in force in every file.
    """
    setup_logging(
        LoggerConfig(
            log_to_console=False,
            json_logging=True,
            max_bytes=400,
            backup_count=3,
            enable_compression=True,
            async_logging=True,
            overflow_strategy="drop",
            rate_limit_enabled=True,
            max_logs_per_second=50,
        )
    )
    log = bl.get_logger("expert")
    for number in range(200):
        log.info("password=hunter2", number=number)
    LOGGERS.close()
    rotated = rotated_files(Path("logs/expert.log"))
    files = [path.name for path in Path("logs").iterdir() if not path.name.startswith(".")]

    assert (len(rotated), {file.suffix for file in rotated}) == (3, {".gz"})
    assert "hunter2" not in Path("logs/expert.log").read_text()
    assert sorted({name.partition(".log")[0] for name in files}) == ["errors", "expert", "trades"]


def test_remote_destinations() -> None:
    """
    MX-4, MX-10: a destination is a URL, or a mapping in the words of the specification; what is not enabled is none.
    """
    config = LoggerConfig(
        log_to_file=False,
        log_to_console=False,
        log_level="WARNING",
        remote_destinations=(
            "tcp://127.0.0.1:9",
            {
                "url": "http://127.0.0.1:9/in",
                "tls_enabled": True,
                "tls_verify": False,
                "authentication": "t-1",
                "compression_enabled": True,
                "batch_size": 10,
                "batch_timeout": 2,
                "level": "DEBUG",
            },
            {"url": "tcp://127.0.0.1:9", "tls_enabled": True, "format_name": "text"},
            {"url": "udp://127.0.0.1:9", "enabled": False},
        ),
    )
    shared = {"level": "WARNING", "redact": True}

    assert config.sinks() == {
        "expert": [
            {**shared, "sink": "tcp://127.0.0.1:9", "json": True},
            {
                **shared,
                "sink": "https://127.0.0.1:9/in",
                "json": True,
                "level": "DEBUG",
                "tls_verify": False,
                "compression": "gz",
                "batch_size": 10,
                "batch_timeout": 2,
                "headers": {"Authorization": "Bearer t-1"},
            },
            {**shared, "sink": "tcp+tls://127.0.0.1:9", "json": False},
        ]
    }
    assert config.lowest_level() == logging.DEBUG
    assert "t-1" not in repr(config)
    assert setup_logging(config).success


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"host": "x"}, "a remote destination is a URL, or a mapping with one"),
        ({"url": "https://x", "batch_sice": 1}, "did you mean 'batch_size'?"),
        ({"url": "https://x", "enabled": "yes"}, "enabled='yes' is not accepted"),
        ({"url": "https://x", "format_name": "xml"}, "format_name='xml' is not accepted; accepted: json, text"),
        ({"url": "udp://x:1", "tls_enabled": True}, "tls_enabled is for tcp"),
        ({"url": "https://x", "authentication": "a\nsecret"}, "authentication is not accepted"),
    ],
)
def test_remote_destinations_that_are_none(said: dict[str, Any], told: str) -> None:
    """
    MX-10: what a destination cannot be is refused when it is said, and no secret is in the message.
    """
    with pytest.raises(ConfigError, match=re.escape(told)) as refused:
        LoggerConfig(remote_destinations=(said,))

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(("is_contextual", "expected"), [(True, {"user": "ann", "rows": 3}), (False, {"rows": 3})])
def test_fields_of_blocks_are_left_out_if_asked(is_contextual: bool, expected: dict[str, object]) -> None:
    """
    MX-5: without contextual logging no record of the Logger, or of one below it, has the fields of the block that it
    was made in; those of the call and those that are bound stay, and setting up again brings them back.
    """
    config = LoggerConfig(name="bot", log_to_console=False, contextual_logging=is_contextual, json_logging=True)
    result = setup_logging(config)
    loggers = [bl.get_logger(name).bind(rows=3) for name in ("bot", "bot.trade", "bot.db")]
    with bl.get_logger("bot").contextualize(user="ann"):
        for log in loggers:
            log.info("x")
    entries = [json.loads(line) for line in Path("logs/expert.log").read_text().splitlines()]
    setup_logging(LoggerConfig(name="bot", log_to_console=False, json_logging=True))
    with bl.get_logger("bot").contextualize(user="ann"):
        loggers[2].info("again")

    assert [{key: each[key] for key in ("user", "rows") if key in each} for each in entries] == [expected] * 3
    assert ("context" in result.processors) is is_contextual
    assert '"user":"ann"' in Path("logs/expert.log").read_text().splitlines()[-1]


def test_so_much_waits_while_a_file_cannot_be_written() -> None:
    """
    MX-4: `buffer_size` bytes wait while the disk refuses, and what is more is counted; the oldest is kept.
    """
    setup_logging(LoggerConfig(name="bot", log_to_console=False, log_error_file="", log_trade_file="", buffer_size=600))
    log = bl.get_logger("bot")
    Path("logs/expert.log").unlink()
    Path("logs/expert.log").mkdir()
    for number in range(100):
        log.info("%d", number)
    Path("logs/expert.log").rmdir()
    assert log.flush()
    log.close()
    sink = reports()[-1]
    lines = Path("logs/expert.log").read_text().splitlines()

    assert [line.rpartition("| ")[2] for line in lines] == [str(number) for number in range(len(lines))]
    assert (0 < len(lines) <= 600 // len(lines[0]), sink.created, sink.written) == (True, 100, len(lines))
    assert dict(sink.dropped) == {"disk": 100 - len(lines)}


def test_what_cannot_be_set_up_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """
    MX-2: where a place cannot be one, the result says why, nobody is interrupted, and the console has everything.
    """
    Path("elsewhere").mkdir()
    Path("logs").mkdir()
    Path("logs/errors.log").symlink_to("elsewhere")
    result = setup_logging(LoggerConfig())
    bl.get_logger("expert").info("heard")
    bl.get_logger("expert.trade").info("heard too")
    told = result.to_dict()

    assert (result.success, result.handlers, len(result.errors)) == (False, ("stderr",), 1)
    assert (told["status"], "it is a symbolic link" in str(told["message"])) == ("error", True)
    assert [line.rpartition("| ")[2] for line in capsys.readouterr().err.splitlines()] == ["heard", "heard too"]


def test_a_folder_that_nobody_may_write_to_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """
    MX-12: where nothing can be written, a warning for each file says so, and why; what was set up before is not told.
    """
    Path("logs").write_text("no folder")
    result = setup_logging(LoggerConfig(log_to_console=False, log_trade_file=""))
    again = setup_logging(LoggerConfig(log_to_console=False, log_dir="others"))

    assert (result.success, len(result.warnings), again.warnings) == (True, 2, ())
    assert result.warnings[0].endswith("logs/expert.log: Not a directory; keeping what comes")
    assert "cannot write to" in result.to_string()


def test_without_arguments_the_environment_counts(tmp_path: Path) -> None:
    """
    MX-5: a program that only sets logging up is configured from outside; importing has opened nothing before.
    """
    program = """
import os
from branchline.logs import get_logger, setup_logging
before = os.listdir(".")
result = setup_logging()
get_logger("expert").info("hello")
print(before, result.handlers)
"""
    env = {**os.environ, "LOG_DIRECTORY": "mine", "TRADES_LOG_FILE": "t.log", "CONSOLE_LOG_FORMAT": "json"}
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )

    assert ran.stdout == "[] ('stderr', 'mine/expert.log', 'mine/errors.log', 'mine/t.log')\n"
    assert json.loads(ran.stderr)["message"] == "hello"
    assert (tmp_path / "mine" / "expert.log").read_text().endswith("| hello\n")


# ── structured loggers ────────────────────────────────────────────────────────────────────────────


def test_one_structured_logger_for_each_name() -> None:
    """
    PE-28: what is configured is what every structured logger has that is asked for afterwards, one for each name, and
    names count; configuring again takes the place of that.
    """
    said: list[str] = []
    first = configure_logging(OutputFormat.JSON, LogContext(experiment_id="e-1"), output_handler=said.append)
    get_structured_logger("load").info("read", rows=3)
    again = configure_logging(OutputFormat.CONSOLE, output_handler=said.append)
    again.info("plain")
    entry, line = said

    assert first is not again
    assert (get_structured_logger(), get_structured_logger("a").name) == (again, "a")
    assert get_structured_logger("a") is get_structured_logger("a")
    assert {key: value for key, value in json.loads(entry).items() if key != "timestamp"} == {
        "level": "info",
        "event": "read",
        "experiment_id": "e-1",
        "rows": 3,
    }
    assert line.endswith("[info ] plain")
    assert logging.getLogger("load").name == "load"


def test_without_configuring_there_is_one_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    """
    PE-28: a structured logger that nobody has configured writes to the console.
    """
    get_structured_logger("a").info("hello")

    assert capsys.readouterr().err.endswith("[info ] hello\n")
