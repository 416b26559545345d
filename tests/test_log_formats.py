"""Formats: what a record looks like as a line, and what never gets into one."""

from __future__ import annotations

import io
import json
import logging
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import branchline as bl
from branchline import Redactor
from branchline.errors import ConfigError
from branchline.logs.formats import JsonFormat, formatter_of
from branchline.logs.records import Record


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def record(message: str = "read 3 rows", level: str = "INFO", error: BaseException | None = None, **fields) -> Record:
    """
    Return a record of the logger app.db, made at a known moment.
    """
    made = Record.of(
        logging.makeLogRecord(
            {
                "name": "app.db",
                "msg": message,
                "levelno": logging.getLevelNamesMapping()[level],
                "levelname": level,
                "created": 1_700_000_000.25,
                "pathname": "/srv/app/db.py",
                "module": "db",
                "lineno": 7,
                "funcName": "load",
                "exc_info": error and (type(error), error, error.__traceback__),
            }
        )
    )
    made.fields = fields
    return made


def raised() -> BaseException:
    try:
        raise ValueError("no\nrows")
    except ValueError as error:
        return error


# ── text ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_line_of_text():
    """
    A line has the moment with its zone, the level, the logger, the message and the fields.
    """
    line = formatter_of({})(record(table="users", path="a b", empty="", rows=[1, 2]))

    assert re.fullmatch(
        r"2023-11-1\d \d\d:\d\d:20\.250[+-]\d\d:\d\d \| INFO     \| app\.db "
        r'\| read 3 rows \[table=users, path="a b", empty="", rows=\(1, 2\)\]\n',
        line,
    )


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{level}|{message}", "INFO|read 3 rows [user=ann, rows=3]"),
        ("{level:>8}|{message}|{user}", "    INFO|read 3 rows [rows=3]|ann"),
        ("{message}|{extra}|{missing}|", "read 3 rows|user=ann, rows=3||"),
        ("{user!r}: {rows:05d}", "'ann': 00003"),
        ("{user:05d}", "ann"),
        (
            "{timestamp:%Y} {name} {logger_name} {module} {function} {line} {file}",
            "2023 app.db app.db db load 7 /srv/app/db.py",
        ),
        ("{{literally}}\n", "{literally}"),
        ("", ""),
    ],
)
def test_templates(template, expected):
    """
    A template has what it names; a field that it names is not said again behind the message.
    """
    assert formatter_of({"format": template})(record(user="ann", rows=3)) == expected + "\n"


def test_a_traceback_is_indented():
    """
    A traceback stands below its line, indented: no line of it can be taken for a record.
    """
    lines = formatter_of({"format": "{level} {message}"})(record("wrong", "ERROR", raised())).splitlines()

    assert lines[0] == "ERROR wrong"
    assert lines[1] == "  Traceback (most recent call last):"
    assert lines[-2:] == ["  ValueError: no", "  rows"]
    assert [line for line in lines[1:] if not line.startswith("  ")] == []


@given(st.text())
def test_a_message_is_one_line_and_no_command(text):
    """
    Whatever a message or a field has in it, a line is one line, in characters that can be seen and written.
    """
    for key in ("message", "field"):
        made = record(text) if key == "message" else record("x", field=text)
        line = formatter_of({"redact": False})(made)

        assert line.endswith("\n")
        assert [character for character in line[:-1] if ord(character) < 32 or 127 <= ord(character) < 160] == []
        assert len(line.splitlines()) == 1
        line.encode()


def test_what_is_escaped():
    """
    Control characters are written as their escapes, and what a terminal would obey is left out whole.
    """
    made = record("a\nb\r\0c \x1b[31mred\x1b[0m \x1b]0;title\x07 \u202eevil")

    assert formatter_of({"format": "{message}"})(made) == "a\\nb\\r\\x00c red  \\u202eevil\n"
    assert formatter_of({"format": "{message}", "sanitize_messages": False})(record("a\nb")) == "a\nb\n"


def test_colours():
    """
    Terminals get colours, of the level and of a few words; files get none, nor does who says NO_COLOR.
    """
    config = {"format": "{level:<8} {message}"}
    before = os.environ.pop("NO_COLOR", None)
    os.environ["TERM"], term = "xterm", os.environ.get("TERM", "")
    try:
        made = record("It FAILED, done", "DEBUG")
        plain = "DEBUG    It FAILED, done\n"
        painted = (
            "\x1b[36mDEBUG   \x1b[0m \x1b[36mIt \x1b[31mFAILED\x1b[0m\x1b[36m, \x1b[34mdone\x1b[0m\x1b[36m\x1b[0m\n"
        )

        assert formatter_of(config, stream=Terminal())(made) == painted
        assert formatter_of(config | {"colors": True}, stream=io.StringIO())(made) == painted
        assert formatter_of(config, stream=io.StringIO())(made) == plain
        assert formatter_of(config | {"colors": True})(made) == plain
        assert formatter_of(config | {"colors": False}, stream=Terminal())(made) == plain
        os.environ["NO_COLOR"] = "1"
        assert formatter_of(config, stream=Terminal())(made) == plain
        assert (made.msg, made.message) == ("It FAILED, done", "It FAILED, done")
    finally:
        os.environ["TERM"] = term
        os.environ.pop("NO_COLOR", None)
        if before is not None:
            os.environ["NO_COLOR"] = before


# ── JSON ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_line_of_json():
    """
    A line of JSON has the record's own fields and the application's side by side.
    """
    line = formatter_of({"json": True})(record("a\nb", table="users", sizes=[1, 2.5, None], raw=b"\xff"))
    said = json.loads(line)

    assert line.count("\n") == 1
    assert said == {
        "timestamp": "2023-11-14T22:13:20.250000+00:00",
        "level": "INFO",
        "message": "a\nb",
        "logger_name": "app.db",
        "hostname": said["hostname"],
        "pid": os.getpid(),
        "platform": said["platform"],
        "runtime_type": said["runtime_type"],
        "table": "users",
        "sizes": [1, 2.5, None],
        "raw": "\\xff",
    }


def test_reserved_names_are_protected():
    """
    A field that is called what the record has of its own is found under `extra`.
    """
    made = record()
    made.fields = {"message": "mine", "level": 3, "timestamp": 0, "extra": "e", "user": "ann"}
    said = json.loads(formatter_of({"json": True})(made))

    assert (said["message"], said["level"], said["user"]) == ("read 3 rows", "INFO", "ann")
    assert said["extra"] == {"message": "mine", "level": 3, "timestamp": 0, "extra": "e"}


def test_serialize():
    """
    `serialize` has everything that is known of a record.
    """
    said = json.loads(
        formatter_of({"serialize": True, "add_runtime_context": False})(record(level="ERROR", error=raised()))
    )

    assert set(said) == {
        *("timestamp", "level", "level_number", "message", "logger_name", "hostname", "pid"),
        *("file", "module", "function", "line", "elapsed", "thread_id", "thread_name", "process_id", "process_name"),
        "exception",
    }
    assert said["exception"] == {
        "type": "ValueError",
        "message": "no\nrows",
        "value": "no\nrows",
        "traceback": said["exception"]["traceback"],
    }
    assert said["exception"]["traceback"].startswith("Traceback (most recent call last):")


def test_fields_are_chosen():
    """
    `fields` says which keys a line has, or has not.
    """
    made = record(user="ann", rows=3)
    included = formatter_of({"json": True, "fields": {"include": ["message", "user"]}})(made)
    excluded = formatter_of(
        {"json": True, "fields": {"exclude": ["hostname", "pid", "platform", "runtime_type", "rows"]}}
    )(made)

    assert json.loads(included) == {"message": "read 3 rows", "user": "ann"}
    assert set(json.loads(excluded)) == {"timestamp", "level", "message", "logger_name", "user"}
    assert formatter_of({"format": "{message}", "fields": {"exclude": ["user"]}})(made) == "read 3 rows [rows=3]\n"


def test_what_json_has_no_word_for():
    """
    Half characters, and a message of more than a megabyte, are written as far as a JSON parser can take them: whole.
    """
    line = formatter_of({"json": True})(record("half \ud800", half="\udfff"))
    long = formatter_of({"json": True, "redact": False})(record("x" * 2_000_000))

    assert json.loads(line)["message"] == "half \\ud800"
    assert json.loads(line)["half"] == "\\udfff"
    assert json.loads(long)["message"] == "x" * 2_000_000


# ── secrets ───────────────────────────────────────────────────────────────────────────────────────

SECRETIVE = {"password": "hunter2", "nested": {"api_key": "k-123"}, "input_tokens": 12, "mail": "ann@example.org"}


@pytest.mark.parametrize(
    "config", [{}, {"json": True}, {"formatter": lambda record: f"{record.message} {record.fields}"}]
)
def test_secrets_stay_in_memory(config):
    """
    Secrets are taken out of messages, fields and tracebacks, whatever makes the line; numbers of tokens stay.
    """
    try:
        raise ValueError("token=abc123def456")
    except ValueError as error:
        line = formatter_of(config)(record("login password=hunter2", "ERROR", error, **SECRETIVE))

    assert [secret for secret in ("hunter2", "k-123", "abc123def456", "ann@") if secret in line] == []
    assert "12" in line


def test_redaction_may_be_said():
    """
    `redact` takes what configure() takes; `mask_pii` takes telephone numbers and inner addresses out as well.
    """
    made = record("call +49 170 1234567 at 192.168.1.7", iban="DE02", password="x")
    plain = {"format": "{message}"}

    assert (
        formatter_of({**plain, "redact": False})(made)
        == "call +49 170 1234567 at 192.168.1.7 [iban=DE02, password=x]\n"
    )
    assert "iban=[redacted]" in formatter_of({**plain, "redact": Redactor(extra_keys=["iban"])})(made)
    assert formatter_of({**plain, "mask_pii": True})(made).startswith("call [redacted] at [redacted] [iban=DE02")


# ── the user's own ────────────────────────────────────────────────────────────────────────────────


def test_a_formatter_of_the_users():
    """
    A formatter gets a record that compares as it should, and returns the line; ANSI and secrets stay out all the same.
    """
    made = record("a\nb", "ERROR", user="ann", token="t0ps3cret")
    line = formatter_of(
        {"formatter": lambda r: f"\x1b[1m[{r.level}]\x1b[0m {r.message} {r.name == r.logger_name} {r.extra}"}
    )

    assert line(made) == "[ERROR] a\\nb True {'user': 'ann', 'token': '[redacted]'}\n"


def test_a_formatter_of_the_logging_module():
    """
    A logging.Formatter formats as ever, with the fields as attributes of the record.
    """
    formatter = logging.Formatter("%(levelname)s %(name)s %(user)s %(module)s %(message)s")

    assert formatter_of({"formatter": formatter})(record(user="ann")) == "INFO app.db ann db read 3 rows\n"


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"format": "{"}, "format='{' is not accepted"),
        ({"format": "{a.b}"}, "{a.b} is no name"),
        ({"format": 5}, "format=5 is not accepted"),
        ({"format": "{message!z}"}, "!z is not understood; accepted: {name}, {name!r}, {name:<8}"),
        ({"format": "{level:>{width}}"}, ":>{width} is not understood"),
        ({"formatter": "json"}, "formatter='json' is not accepted; accepted: a function"),
        ({"json": "yes"}, "json='yes' is not accepted; accepted: True or False"),
        ({"serialize": 1}, "serialize=1 is not accepted"),
        ({"fields": ["a"]}, "fields=['a'] is not accepted; accepted: {\"include\""),
        ({"fields": {"only": ["a"]}}, "is not accepted"),
        ({"fields": {"include": "a"}}, "is not accepted"),
        ({"colors": "red"}, "colors='red' is not accepted"),
        ({"redact": "all"}, "redact='all' is not accepted"),
    ],
)
def test_what_is_not_accepted(config, told):
    """
    What is not accepted is refused at once, and named.
    """
    with pytest.raises(ConfigError, match=re.escape(told)):
        formatter_of(config)


def test_a_format_that_does_not_fit_its_arguments():
    """
    A message that does not go with its arguments is written as both.
    """
    made = record("%d rows")
    made.args = ("three",)

    assert formatter_of({"format": "{message}"})(made) == "%d rows ('three',)\n"


# ── many at once ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"redact": False},
        {"redact": Redactor(extra_patterns=[r"rows"])},
        {"redact": Redactor(callback=lambda key, value: f"<{key}>")},
        {"fields": {"exclude": ["rows"]}},
        {"serialize": True},
        {"mask_pii": True},
    ],
    ids=lambda config: ",".join(config) or "default",
)
def test_lines_of_many_say_what_each_says(config: dict[str, object]) -> None:
    """
    The bytes of many JSON lines are those of each record on its own, whatever is in one of them.
    """
    ordinary = [record(f"read {n} rows", rows=n, path=f"s3://bucket/{n}", ratio=0.5, done=True) for n in range(70)]
    odd = [
        record("the key is sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEF"),
        record("failed", error=raised()),
        record("login", password="hunter2", user="ada"),
        record("nested", items=(1, 2), sizes={"a": 1}),
        record("reserved", hostname="mine", timestamp=3, run_id="mine"),
        record("half \ud83d of it", text="\ud83d"),
        record("\x1b[31mred\x1b[0m\nand more", "WARNING"),
        record("large", number=1 << 70),
    ]
    made = formatter_of({"json": True, **config})
    assert isinstance(made, JsonFormat)
    for records in (ordinary, [*ordinary, *odd], *([each] for each in odd), []):
        one_by_one = [json.loads(made(each)) for each in records]
        together = made.encoded(records)
        assert [json.loads(line) for line in together] == one_by_one
        assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in together)


def test_sinks_go_by_what_the_run_says_is_secret(tmp_path: Path) -> None:
    """
    While a run with a Redactor of its own goes on, every sink that has not said what is secret goes by that one, made
    before or after, whatever its lines look like; one that has said so keeps to it.
    """
    kept: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(f"{record.getMessage()} {record.__dict__['badge']}")

    log, found = bl.get_logger("run"), dict[str, list[str]]()

    def add(name: str, **config: object) -> None:
        log.add_handler({"sink": found.setdefault(name, []).append, **config})

    mine = bl.Redactor(extra_keys=["badge"], extra_patterns=["berlin"])
    add("json", json=True, fields={"include": ["message", "badge"]})
    add("text", format="{message}")
    add("queue", format="{message}", enqueue=True)
    add("own", format="{message}", redact=True)
    log.add_handler({"sink": Keeping()})
    for _ in range(2):
        log.info("in berlin", badge=7)
        # What waits in a queue becomes a line later.
        log.flush(5)
        with bl.configure("x", directory=tmp_path, console=False, redact=mine):
            add("after", format="{message}")
            log.info("in berlin", badge=7)
    log.info("in berlin", badge=7)
    log.close(5)

    plain, clean = "in berlin [badge=7]", "in [redacted] [badge=[redacted]]"
    plain_json, clean_json = '{"message":"in berlin","badge":7}', '{"message":"in [redacted]","badge":"[redacted]"}'
    assert [str(line) for line in found["json"]] == [plain_json, clean_json, plain_json, clean_json, plain_json]
    assert [str(line) for line in found["text"]] == [plain, clean, plain, clean, plain]
    assert [str(line) for line in found["queue"]] == [plain, clean, plain, clean, plain]
    assert [str(line) for line in found["own"]] == [plain] * 5
    assert kept == ["in berlin 7", "in [redacted] [redacted]", "in berlin 7", "in [redacted] [redacted]", "in berlin 7"]
    assert [str(line) for line in found["after"]][:1] == [clean]
