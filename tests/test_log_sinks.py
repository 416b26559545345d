"""Handlers and the sinks of a logger: what is said is where it belongs, once, or counted."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import branchline as bl
from branchline import errors
from branchline._files.compression import unpacked
from branchline._files.rotated import rotated_files
from branchline.logs.handlers import Handlers, registry, reports
from branchline.logs.records import Record
from branchline.logs.reports import SinkReport
from branchline.read import open_runs
from branchline.telemetry.sink_reports import metrics_of
from surplus import Surplus


@pytest.fixture
def handlers():
    found = Handlers()
    yield found
    found.close(5)


def record(message: object = "hello", level: int = logging.INFO, name: str = "app", args: Any = None) -> Record:
    """
    Return a record as a logger makes it.
    """
    return Record.of(logging.LogRecord(name, level, __file__, 1, message, args, None))


def said(path) -> list[str]:
    """
    Return the messages in the file at *path* and all that was rotated away from it, oldest first.
    """
    found = []
    for place in [*(file.path for file in rotated_files(path)), path]:
        with unpacked(place) as file:
            found += [line.decode().rstrip().rpartition("| ")[2] for line in file]
    return found


def only(handlers: Handlers):
    [handler] = handlers._handlers
    return handler


# ── which ones ────────────────────────────────────────────────────────────────────────────────────


def test_ids_are_never_reused(handlers):
    """
    An id is an integer that no other handler of the process gets, of another logger or after its removal.
    """
    other = Handlers()
    first = handlers.add({"sink": io.StringIO()})
    second = other.add({"sink": io.StringIO()})
    handlers.remove(first)
    third = handlers.add({"sink": io.StringIO()})
    other.close()

    assert first < second < third


def test_a_removed_handler_gets_nothing_more(handlers):
    """
    Removing a handler writes what waits, and ends it; an id that there is not is no error.
    """
    kept: list[Any] = []
    gone: list[Any] = []
    handlers.add({"sink": kept.append, "format": "{message}"})
    number = handlers.add({"sink": gone.append, "enqueue": True})
    handlers.handle(record("one"))
    handlers.remove(number)
    handlers.remove(number)
    handlers.handle(record("two"))

    assert [line.record.message for line in kept] == ["one", "two"]
    assert [line.record.message for line in gone] == ["one"]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"sink": "x.log", "rotatoin": 5}, "'rotatoin' is no key of a handler; did you mean 'rotation'?"),
        ({}, "a handler needs a sink"),
        ({"sink": 5}, "sink=5 is not accepted"),
        ({"sink": "."}, "it is a folder"),
        ({"sink": print, "rotation": 5}, "rotation=5 is for files, and print is none"),
        ({"sink": print, "level": "LOUD"}, "level='LOUD' is not accepted"),
        ({"sink": print, "overflow": "explode"}, "overflow='explode' is not accepted; accepted: block, drop_newest"),
        (None, "config=None is not accepted; accepted: a mapping"),
        ("app.log", "config='app.log' is not accepted; accepted: a mapping"),
        ({"sink": "x.log", "buffer": "much"}, "buffer='much' is not accepted"),
        ({"sink": print, "buffer": 5}, "buffer=5 is for files, and print is none"),
        ({"sink": print, "queue_size": 0}, "queue_size=0 is not accepted"),
        ({"sink": print, "rate_limit": "fast"}, "rate_limit='fast' is not accepted"),
        ({"sink": print, "deduplicate": "0 s"}, "deduplicate='0 s' is not accepted"),
        ({"sink": print, "filter": 5}, "filter=5 is not accepted"),
        ({"sink": print, "enqueue": "yes"}, "enqueue='yes' is not accepted; accepted: True, False"),
        ({"sink": "x.log", "rotation": "often"}, "Cannot parse rotation from: 'often'"),
        ({"sink": "x.log", "retention": 0}, "Cannot parse retention from: 0"),
        ({"sink": "x.log", "compression": "rar"}, "compression='rar' is not accepted"),
        ({"sink": "x.log", "mode": 0o444}, "mode=292 is not accepted"),
        ({"sink": "x.log", "archive": {"after": "1 day"}}, "archive={'after': '1 day'} is not accepted"),
        ({"sink": "x\0.log"}, "is not accepted"),
    ],
)
def test_what_is_not_accepted_is_refused_at_once(handlers, config, told, tmp_path, monkeypatch):
    """
    A key or a value that is not accepted is an error that names it, and makes no file and no handler.
    """
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.ConfigError, match=re.escape(told)):
        handlers.add(config)

    assert (len(handlers), list(tmp_path.iterdir())) == (0, [])


def test_a_symbolic_link_is_not_followed(handlers, tmp_path):
    """
    A file sink writes through no symbolic link: not when it is added, and not when one is put there later.
    """
    (tmp_path / "link.log").symlink_to(tmp_path / "target")
    with pytest.raises(errors.ConfigError, match="symbolic link"):
        handlers.add({"sink": tmp_path / "link.log"})
    handlers.add({"sink": tmp_path / "app.log"})
    (tmp_path / "app.log").unlink()
    (tmp_path / "app.log").symlink_to(tmp_path / "target")
    handlers.handle(record())

    assert not (tmp_path / "target").exists()
    assert only(handlers).account.written == 0


# ── sinks ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_is_private(handlers, tmp_path):
    """
    A log file can be read by its owner alone, and so can the folders that are made for it.
    """
    handlers.add({"sink": tmp_path / "a" / "b" / "app.log"})
    handlers.handle(record())
    modes = [(tmp_path / place).stat().st_mode & 0o777 for place in ("a", "a/b", "a/b/app.log", "a/b/.app.log.lock")]

    assert [oct(mode) for mode in modes] == ["0o700", "0o700", "0o600", "0o600"]


def test_a_file_is_opened_late_if_asked(handlers, tmp_path):
    """
    With ``delay`` there is no file before there is a line for it.
    """
    handlers.add({"sink": tmp_path / "now.log"})
    handlers.add({"sink": tmp_path / "later.log", "delay": True})
    before = {path.name for path in tmp_path.glob("*.log")}
    handlers.handle(record())

    assert before == {"now.log"}
    assert said(tmp_path / "later.log") == ["hello"]


def test_standard_streams_are_those_of_the_moment(handlers, capsys):
    """
    "stdout" and "stderr" mean what is there when a line is written.
    """
    handlers.add({"sink": "stdout"})
    handlers.add({"sink": "stderr", "level": "ERROR"})
    handlers.handle(record("plain"))
    handlers.handle(record("bad", logging.ERROR))
    found = capsys.readouterr()

    assert [line.rpartition("| ")[2] for line in found.out.splitlines()] == ["plain", "bad"]
    assert [line.rpartition("| ")[2] for line in found.err.splitlines()] == ["bad"]


def test_streams_of_text_and_of_bytes(handlers):
    """
    Whatever has a ``write`` is a stream, one of bytes as well.
    """
    text, data = io.StringIO(), io.BytesIO()
    handlers.add({"sink": text})
    handlers.add({"sink": data})
    handlers.handle(record("grün"))

    assert text.getvalue().endswith("| grün\n")
    assert data.getvalue() == text.getvalue().encode()


def test_a_callable_gets_lines_with_their_record(handlers):
    """
    A callable sink gets the line, without its end, as a text that has the record.
    """
    got: list[Any] = []
    handlers.add({"sink": got.append})
    handlers.handle(record("%d rows", args=(5,)))

    line: Any = got[0]
    assert (isinstance(line, str), line[-8:]) == (True, "| 5 rows")
    assert (line.record.level, line.record.message, line.record.logger_name) == ("INFO", "5 rows", "app")


def test_a_handler_of_the_logging_module_gets_the_records(handlers):
    """
    A ``logging.Handler`` as sink gets the records from its own level on, and formats them itself.
    """

    class Keeping(logging.Handler):
        def __init__(self):
            super().__init__(logging.WARNING)
            self.got = []

        def emit(self, record):
            self.got.append(self.format(record))

    sink = Keeping()
    handlers.add({"sink": sink})
    handlers.handle(record("quiet"))
    handlers.handle(record("%s!", logging.ERROR, args=("loud",)))

    assert sink.got == ["loud!"]


def test_a_handler_of_the_logging_module_gets_no_secrets(handlers):
    """
    Its record has neither message, arguments, fields nor traceback with a secret; an exception without one stays. What
    *fields* leaves out is not there, and the record that others get is as it was.
    """

    class Keeping(logging.Handler):
        def __init__(self):
            super().__init__()
            self.got = []

        def emit(self, record):
            self.got.append(record)

    def failed(message):
        try:
            raise ValueError(message)
        except ValueError as error:
            made = logging.LogRecord("app", 40, __file__, 1, "password=%s", ("hunter22",), (ValueError, error, None))
        made.__dict__ |= {"token": "abcd1234", "rows": 3, "other": "sk-abcdefghijklmnop1234"}
        return Record.of(made)

    sink, whole = Keeping(), failed("redis://:hunter22@db")
    handlers.add({"sink": sink, "fields": {"exclude": ["other"]}})
    handlers.handle(whole)
    handlers.handle(failed("no such key"))
    first, second = sink.got

    told = ("password=[redacted]", "[redacted]", 3)
    assert [(each.getMessage(), each.token, each.rows) for each in sink.got] == [told, told]
    assert [hasattr(each, "other") for each in sink.got] == [False, False]
    assert (first.exc_info, first.exc_text) == (None, "ValueError: redis://:[redacted]@db\n")
    assert (str(second.exc_info[1]), second.exc_text) == ("no such key", "ValueError: no such key\n")
    assert "hunter22" not in repr(first.__dict__)
    assert (whole.getMessage(), str(whole.exc_info[1])) == ("password=hunter22", "redis://:hunter22@db")


# ── what passes ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("config", "passing"),
    [
        ({}, ["app DEBUG", "app.db INFO", "application ERROR", "app CRITICAL"]),
        ({"level": "INFO"}, ["app.db INFO", "application ERROR", "app CRITICAL"]),
        ({"level": "WARN"}, ["application ERROR", "app CRITICAL"]),
        ({"level": "NONE"}, []),
        ({"filter": "app"}, ["app DEBUG", "app.db INFO", "app CRITICAL"]),
        ({"filter": {"app": "ERROR", "app.db": True, "": False}}, ["app.db INFO", "app CRITICAL"]),
        ({"filter": {"app": "ERROR"}}, ["application ERROR", "app CRITICAL"]),
        ({"filter": lambda record: record.level in ("ERROR", "CRITICAL")}, ["application ERROR", "app CRITICAL"]),
        ({"filter": logging.Filter("app.db")}, ["app.db INFO"]),
    ],
)
def test_levels_and_filters(handlers, config, passing):
    """
    A handler has a level and a filter of its own: a function, the name of a logger, or levels by logger.
    """
    got: list[Any] = []
    handlers.add({"sink": got.append, **config})
    for name, level in (("app", "DEBUG"), ("app.db", "INFO"), ("application", "ERROR"), ("app", "CRITICAL")):
        handlers.handle(record(level=getattr(logging, level), name=name))

    assert [f"{line.record.name} {line.record.level}" for line in got] == passing


def test_a_rate_is_kept_and_counted(handlers):
    """
    Beyond a rate records are dropped and counted; a CRITICAL one never is.
    """
    got: list[Any] = []
    handlers.add({"sink": got.append, "rate_limit": "10/h"})
    for n in range(100):
        handlers.handle(record(n))
    handlers.handle(record("down", logging.CRITICAL))

    assert [line.record.message for line in got] == [*map(str, range(10)), "down"]
    assert only(handlers).account.dropped == {"rate_limit": 90}


def test_repeats_become_one_line(handlers):
    """
    What is said again within the time is held back, and a line says at the end how often that was.
    """
    got: list[Any] = []
    handlers.add({"sink": got.append, "deduplicate": "10 min"})
    for _ in range(5):
        handlers.handle(record("no answer", logging.ERROR))
    handlers.handle(record("something else"))
    account = only(handlers).account
    handlers.close()

    assert [line.record.message for line in got] == ["no answer", "something else", "no answer (repeated 4 times)"]
    assert got[2].record.level == "ERROR"
    assert (account.created, account.written, account.dropped) == (7, 3, {"repeated": 4})


# ── what goes wrong ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("enqueue", [False, True])
@pytest.mark.parametrize("broken", ["sink", "formatter", "filter"])
def test_what_fails_is_caught_counted_and_said_once(handlers, broken, enqueue, capsys):
    """
    A sink, a formatter or a filter that raises costs its own handler the record, and nobody anything else.
    """
    got: list[Any] = []
    config = {"sink": lambda line: None, "enqueue": enqueue}
    handlers.add({**config, broken: lambda what: 1 / 0})
    handlers.add({"sink": got.append})
    for n in range(3):
        handlers.handle(record(n))
    first = handlers._handlers[0]
    handlers.flush(5)

    assert [line.record.message for line in got] == ["0", "1", "2"]
    assert (first.account.created, first.account.written, first.account.lost) == (3, 0, 3)
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("broken", ["sink", "formatter", "filter"])
def test_without_catching_the_failure_is_the_callers(handlers, broken):
    """
    With ``catch=False`` what goes wrong in a sink is raised, after the other sinks have got the record; it is counted
    all the same.
    """
    got: list[Any] = []
    handlers.add({"sink": lambda line: None, broken: lambda what: 1 / 0, "catch": False})
    account = only(handlers).account
    handlers.add({"sink": got.append})
    with pytest.raises(ZeroDivisionError):
        handlers.handle(record())

    assert (len(got), account.created, account.written, account.lost) == (1, 1, 0, 1)


@pytest.mark.parametrize("enqueue", [False, True])
def test_a_sink_that_logs_to_its_own_logger_comes_to_an_end(handlers, enqueue):
    """
    A sink that logs about each line neither waits for itself nor goes on for ever; what is cut off is counted.
    """
    got: list[Any] = []

    def sink(line):
        got.append(line)
        handlers.handle(record("again"))

    handlers.add({"sink": sink, "enqueue": enqueue})
    handlers.handle(record("first"))
    account = only(handlers).account
    handlers.flush(5)

    assert 1 <= len(got) < 100
    assert account.created == account.written + account.lost
    assert account.dropped["recursive"] > 0


# ── queues ────────────────────────────────────────────────────────────────────────────────────────


def test_a_slow_sink_gets_everything_before_the_end(handlers):
    """
    Closing waits for a sink that takes its time: a thousand of a thousand.
    """
    got: list[Any] = []

    def slow(line):
        time.sleep(0.001)
        got.append(line.record.message)

    handlers.add({"sink": slow, "enqueue": True})
    for n in range(1000):
        handlers.handle(record(n))
    is_complete = handlers.close()

    assert (is_complete, got) == (True, [str(n) for n in range(1000)])


def test_closing_in_time_says_what_it_drops(handlers, capsys):
    """
    What a sink does not take within the time of ``close`` is counted, said, and makes it false.
    """
    is_open = threading.Event()
    handlers.add({"sink": lambda line: is_open.wait(), "enqueue": True})
    for n in range(100):
        handlers.handle(record(n))
    account = only(handlers).account
    is_complete = handlers.close(0.2)
    is_open.set()

    # One is in the sink.
    assert (is_complete, account.dropped) == (False, {"closed": 99})
    assert "99 record(s) were dropped: closed 99" in capsys.readouterr().err


def test_blocking_loses_nothing(handlers, tmp_path):
    """
    50,000 records through a queue of 100 that blocks: all of them, in order.
    """
    handlers.add({"sink": tmp_path / "app.log", "enqueue": True, "queue_size": 100, "overflow": "block"})
    for n in range(50_000):
        handlers.handle(record("%d", args=(n,)))
    account = only(handlers).account
    is_complete = handlers.close()

    assert said(tmp_path / "app.log") == [str(n) for n in range(50_000)]
    assert (is_complete, account.written, account.dropped) == (True, 50_000, {})


@pytest.mark.parametrize("overflow", ["drop_newest", "drop_oldest"])
def test_what_is_kept_and_what_is_dropped_is_everything(handlers, overflow):
    """
    50,000 records from 8 threads through a queue of 100 that drops: kept and dropped are 50,000, the CRITICAL ones
    all kept.
    """
    got: list[Any] = []
    handlers.add(
        {"sink": lambda line: got.append(line.record), "enqueue": True, "queue_size": 100, "overflow": overflow}
    )

    def log(start):
        for n in range(start, 50_000, 8):
            handlers.handle(record(n, logging.CRITICAL if n % 1000 == 0 else logging.INFO))

    threads = [threading.Thread(target=log, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    account = only(handlers).account
    handlers.close()

    assert account.dropped["queue_full"] + len(got) == 50_000
    assert account.dropped["queue_full"] > 0
    assert len({one.message for one in got}) == len(got)
    assert sum(one.levelno == logging.CRITICAL for one in got) == 50


def test_a_queue_grows_for_a_while(handlers):
    """
    MX-9: a queue of 10 that may grow takes ten times as many without waiting, makes the next one wait, and loses
    nothing; it is as small as before once it is empty.
    """
    got: list[str] = []
    is_open = threading.Event()

    def slow(line):
        is_open.wait(30)
        got.append(str(line))

    handlers.add({"sink": slow, "enqueue": True, "queue_size": 10, "overflow": "grow", "format": "{message}"})
    handlers.handle(record("first"))
    handler = only(handlers)
    while handler.queue.depth:
        time.sleep(0.001)
    for n in range(100):
        handlers.handle(record("%d", args=(n,)))
    before = (handler.queue.depth, handler.account.waited)
    late = threading.Thread(target=lambda: handlers.handle(record("last")))
    late.start()
    while not handler.account.waited:
        time.sleep(0.001)
    is_open.set()
    late.join()
    is_complete = handlers.close()

    assert before == (100, 0)
    assert (got, is_complete) == (["first", *(str(n) for n in range(100)), "last"], True)
    assert (handler.account.waited, handler.account.dropped) == (1, {})


def test_a_record_says_later_what_it_said_when_it_was_made(handlers):
    """
    What a queued record is made of may change before it is written.
    """
    got: list[str] = []
    rows = [1, 2]
    is_open = threading.Event()

    def sink(line):
        is_open.wait()
        got.append(line.record.message)

    handlers.add({"sink": sink, "enqueue": True})
    handlers.handle(record("%s and %s", args=(rows, "x")))
    handlers.handle(record(rows))
    rows.clear()
    is_open.set()
    handlers.close()

    assert got == ["[1, 2] and x", "[1, 2]"]


def test_a_hundred_handlers_leave_nothing(tmp_path):
    """
    Handlers that were opened and closed leave no thread and no file open.
    """
    surplus = Surplus()
    for n in range(100):
        handlers = Handlers()
        for enqueue in (False, True):
            handlers.add({"sink": tmp_path / f"{n}.log", "rotation": 100, "compression": "gz", "enqueue": enqueue})
        handlers.handle(record("x" * 80))
        handlers.handle(record("x" * 80))
        handlers.close()

    assert (surplus.threads(), surplus.files()) == ([], [])


# ── processes ─────────────────────────────────────────────────────────────────────────────────────

PROGRAM = """
import logging, os, sys
from branchline.logs.handlers import Handlers, registry, reports
from branchline.logs.records import Record
from branchline.logs.reports import SinkReport
from branchline.read import open_runs
from branchline.telemetry.sink_reports import metrics_of

def record(message, level=logging.INFO):
    return Record.of(logging.LogRecord("app", level, "app.py", 1, message, None, None))

def line(record):
    return f"{record.process} {record.message}\\n"

handlers = Handlers()
path = sys.argv[1]
"""


def run(program, *arguments):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM + program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("enqueue", [False, True])
@pytest.mark.parametrize("ending", ["os._exit(0)", "sys.exit()", "handlers.close(); os._exit(0)"])
def test_a_forked_child_is_heard(tmp_path, ending, enqueue):
    """
    What a forked child logs is there with its pid, however it ends, and what waited at the fork is there once.
    """
    ended = run(
        f"""
handlers.add({{"sink": path, "formatter": line, "enqueue": {enqueue}}})
for n in range(500):
    handlers.handle(record(f"parent {{n}}"))
child = os.fork()
if child == 0:
    for n in range(100):
        handlers.handle(record(f"child {{n}}"))
    {ending}
os.waitpid(child, 0)
handlers.handle(record("parent 500"))
print(os.getpid(), child)
""",
        tmp_path / "app.log",
    )
    parent, child = ended.stdout.split()
    lines = (tmp_path / "app.log").read_text().splitlines()

    assert [line for line in lines if line.startswith(child)] == [f"{child} child {n}" for n in range(100)]
    assert [line for line in lines if line.startswith(parent)] == [f"{parent} parent {n}" for n in range(501)]
    assert ended.stderr == ""


def test_a_forked_child_counts_its_own(tmp_path):
    """
    The counts of a forked child begin at nothing, and those of its parent go on.
    """
    ended = run(
        """
handlers.add({"sink": path, "formatter": line, "enqueue": True})
[handler] = handlers
for n in range(50):
    handlers.handle(record("parent"))
child = os.fork()
for n in range(7):
    handlers.handle(record("both"))
handlers.flush()
if child:
    os.waitpid(child, 0)
print(handler.account.created, handler.account.written, flush=True)
if not child:
    os._exit(0)
""",
        tmp_path / "app.log",
    )

    assert (ended.stdout.split("\n"), ended.stderr) == (["7 7", "57 57", ""], "")


def test_a_fork_in_the_middle_of_writing_waits_for_nothing(tmp_path):
    """
    Forks while other threads write: no child waits for a lock that a thread of its parent had, and all are heard.
    """
    ended = run(
        """
import threading, signal, time
handlers.add({"sink": path, "formatter": line, "rotation": 2000})
handlers.add({"sink": path + ".queued", "formatter": line, "rotation": 2000, "enqueue": True})
is_over = threading.Event()
def log():
    while not is_over.is_set():
        handlers.handle(record("parent"))
        # Who holds a lock nearly all the time starves the others: that is not what this is about.
        time.sleep(0.0001)
threads = [threading.Thread(target=log) for _ in range(4)]
for thread in threads:
    thread.start()
children = []
for n in range(50):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        for k in range(10):
            handlers.handle(record(f"child {n} {k}"))
        handlers.close(60)
        os._exit(0)
    children.append(os.waitpid(child, 0)[1])
is_over.set()
for thread in threads:
    thread.join()
print(children.count(0))
""",
        tmp_path / "app.log",
    )
    expected = {f"child {n} {k}" for n in range(50) for k in range(10)}

    assert (ended.stdout.strip(), ended.stderr) == ("50", "")
    for name in ("app.log", "app.log.queued"):
        found = [line.partition(" ")[2] for line in all_lines(tmp_path / name) if " child" in line]
        assert (len(found), set(found)) == (500, expected)


@pytest.mark.parametrize("enqueue", [False, True])
def test_a_fork_in_the_middle_of_a_message_waits_for_nothing(tmp_path, enqueue):
    """
    A fork while another thread makes the message of a record: nothing that has to do with messages is locked for ever.
    """
    ended = run(
        f"""
import threading, signal
handlers.add({{"sink": path, "format": "{{message}}", "enqueue": {enqueue}}})
is_inside, is_over = threading.Event(), threading.Event()
class Slow:
    def __str__(self):
        is_inside.set()
        is_over.wait(60)
        return "parent"
thread = threading.Thread(target=lambda: handlers.handle(record(Slow())))
thread.start()
is_inside.wait(60)
child = os.fork()
if child == 0:
    signal.alarm(30)
    handlers.handle(record("child"))
    handlers.close(20)
    os._exit(0)
print(os.waitpid(child, 0)[1])
is_over.set()
thread.join()
handlers.close(20)
""",
        tmp_path / "app.log",
    )

    assert (ended.stdout.strip(), ended.stderr) == ("0", "")
    assert sorted(all_lines(tmp_path / "app.log")) == ["child", "parent"]


def all_lines(path):
    found = []
    for place in [*(file.path for file in rotated_files(path)), path]:
        with unpacked(place) as file:
            found += file.read().decode().splitlines()
    return found


@pytest.mark.parametrize("compression", [None, "gz"])
@pytest.mark.parametrize("enqueue", [False, True])
def test_four_processes_share_a_file(tmp_path, enqueue, compression):
    """
    Four processes write to one file that is rotated all the time: 2,000 of 2,000.
    """
    ended = run(
        f"""
import multiprocessing
def work(k):
    mine = Handlers()
    mine.add({{"sink": path, "formatter": line, "rotation": "5 KiB", "enqueue": {enqueue},
              "compression": {compression!r}}})
    for n in range(500):
        mine.handle(record(f"{{k}} {{n}}"))
context = multiprocessing.get_context("fork")
processes = [context.Process(target=work, args=(k,)) for k in range(4)]
for process in processes:
    process.start()
for process in processes:
    process.join()
print([process.exitcode for process in processes])
last = Handlers()
last.add({{"sink": path, "compression": {compression!r}}})
last.close()
""",
        tmp_path / "app.log",
    )
    found = [line.partition(" ")[2] for line in all_lines(tmp_path / "app.log")]

    assert (ended.stdout.strip(), ended.stderr) == ("[0, 0, 0, 0]", "")
    assert (len(found), set(found)) == (2000, {f"{k} {n}" for k in range(4) for n in range(500)})
    assert len(rotated_files(tmp_path / "app.log")) > 1


def test_at_the_end_of_the_process_everything_is_written(tmp_path):
    """
    A program that ends without closing anything loses nothing of what waits.
    """
    ended = run(
        """
handlers.add({"sink": path, "formatter": line, "enqueue": True})
for n in range(5000):
    handlers.handle(record(str(n)))
""",
        tmp_path / "app.log",
    )

    assert ended.stderr == ""
    assert len((tmp_path / "app.log").read_text().splitlines()) == 5000


def test_the_end_of_the_process_is_bounded(tmp_path):
    """
    A sink that hangs does not keep the process from ending, and what it never took is said.
    """
    ended = run(
        """
import time
handlers.add({"sink": lambda line: time.sleep(1000), "enqueue": True})
for n in range(10):
    handlers.handle(record(str(n)))
""",
        tmp_path / "app.log",
    )

    assert ended.returncode == 0
    assert "9 record(s) were dropped: closed 9" in ended.stderr


def test_a_signal_handler_may_log(tmp_path):
    """
    A signal handler that logs in the middle of writing neither waits for itself nor loses anything.
    """
    ended = run(
        """
import signal, itertools
numbers = itertools.count()
handlers.add({"sink": path, "formatter": line})
def handler(*_):
    handlers.handle(record(f"signal {next(numbers)}"))
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
for n in range(20_000):
    handlers.handle(record(f"main {n}"))
signal.setitimer(signal.ITIMER_REAL, 0)
account = handlers._handlers[0].account
print(next(numbers), account.lost)
""",
        tmp_path / "app.log",
    )
    signals, lost = map(int, ended.stdout.split())
    lines = [line.partition(" ")[2] for line in (tmp_path / "app.log").read_text().splitlines()]

    assert signals > 10
    assert sorted(lines) == sorted([f"main {n}" for n in range(20_000)] + [f"signal {n}" for n in range(signals)])
    assert (lost, ended.stderr) == (0, "")


def test_the_last_lines_of_a_file(handlers, tmp_path):
    """
    ``tail`` returns the last lines of the first file, whatever still waits for it.
    """
    handlers.add({"sink": print, "level": "NONE"})
    handlers.add({"sink": tmp_path / "app.log", "enqueue": True})
    for n in range(10_000):
        handlers.handle(record(n))
    found = handlers.tail(3)

    assert [line.rpartition("| ")[2] for line in found] == ["9997", "9998", "9999"]
    assert (len(handlers.tail(100_000)), handlers.tail(0)) == (10_000, [])


# ── reports ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def no_reports():
    """
    A registry that knows of no sink that has ended before.
    """
    registry.ended.clear()


def test_a_sink_says_what_became_of_its_records(handlers, tmp_path, no_reports):
    """
    The report of a sink counts what it was given, what it wrote, dropped and rotated; also after it is closed.
    """
    config = {"sink": tmp_path / "app.log", "format": "{message}", "rotation": 100, "compression": "gz"}
    number = handlers.add({**config, "rate_limit": "20/h", "retention": 2})
    for _ in range(50):
        handlers.handle(record("x" * 49))
    handlers.flush(10)
    [before] = reports()
    handlers.remove(number)
    [after] = reports()

    assert (before.created, before.written, before.dropped) == (50, 20, {"rate_limit": 30})
    assert (before.bytes_written, before.rotations, before.removed) == (1000, 9, 7)
    assert before.compression_ratio is not None
    assert before.compression_ratio < 1
    assert before.seconds > 0
    assert (after.handler_id, after.sink, after.created) == (number, str(tmp_path / "app.log"), 50)
    assert set(after.document()) == {
        *("handler_id", "sink", "created", "written", "dropped", "seconds", "state"),
        *("bytes_written", "rotations", "removed", "compression_ratio"),
    }


def test_a_sink_says_how_it_is_doing(handlers, tmp_path, no_reports):
    """
    MX-9, MX-10: a sink is active; degraded once it has lost something; failed while nothing can be written, and active
    again after that; inactive when it is closed. Errors are counted, and the last one is kept without secrets.
    """
    path = tmp_path / "app.log"
    handlers.add({"sink": path, "format": "{message}"})
    handlers.add({"sink": lambda line: int(line) and None, "format": "{message}"})
    handlers.handle(record("1"))
    states = [[report.state for report in reports()]]
    path.unlink()
    path.mkdir()
    handlers.handle(record("password=hunter2"))
    states.append([report.state for report in reports()])
    path.rmdir()
    assert handlers.flush(5)
    states.append([report.state for report in reports()])
    handlers.close()
    states.append([report.state for report in reports()])
    of_file, of_function = reports()

    assert states == [["active", "active"], ["failed", "degraded"], ["active", "degraded"], ["inactive", "inactive"]]
    assert (of_file.errors, of_function.errors, of_file.dropped) == (1, 1, {})
    assert of_file.last_error == f"cannot write to {path}: Is a directory; keeping what comes"
    assert "invalid literal" in of_function.last_error
    assert "hunter2" not in of_function.last_error


def test_reports_become_metrics(no_reports):
    """
    What sinks tell of themselves are metrics, with the sink and the reason, those of one name added up.
    """
    told: dict[str, Any] = {"sink": "a.log", "created": 10, "written": 7, "dropped": {"disk": 3}, "bytes_written": 70}
    found = metrics_of(
        [
            SinkReport(handler_id=1, **told, rotations=1),
            SinkReport(handler_id=2, **told, compression_ratio=0.1),
            SinkReport(handler_id=3, sink="stdout", created=5, written=4, waiting=1, seconds=0.5, errors=2),
        ]
    )
    a, out = {"branchline.sink": "a.log"}, {"branchline.sink": "stdout"}

    assert {metric.name: [(dict(one.attributes), one.value) for one in metric.series] for metric in found} == {
        "branchline.self.sink.created": [(a, 20), (out, 5)],
        "branchline.self.sink.written": [(a, 14), (out, 4)],
        "branchline.self.sink.dropped": [({**a, "branchline.reason": "disk"}, 6)],
        "branchline.self.sink.bytes": [(a, 140)],
        "branchline.self.sink.rotations": [(a, 1)],
        "branchline.self.sink.errors": [(out, 2)],
        "branchline.self.sink.time": [(a, 0.0), (out, 0.5)],
        "branchline.self.sink.waiting": [(a, 0), (out, 1)],
        "branchline.self.sink.compression_ratio": [(a, 0.1)],
    }


@pytest.mark.parametrize("enqueue", [False, True])
def test_whoever_comes_too_late_is_counted(handlers, tmp_path, no_reports, enqueue):
    """
    Sinks are added and removed while others log: each record that a sink was given is in its file or counted, and none
    is written to a sink that is closed.
    """
    before = sys.getswitchinterval()
    is_over = threading.Event()

    def log():
        while not is_over.is_set():
            handlers.handle(record("x"))

    threads = [threading.Thread(target=log) for _ in range(4)]
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for n in range(40):
            number = handlers.add({"sink": tmp_path / f"{n}.log", "format": "{message}", "enqueue": enqueue})
            time.sleep(0.002)
            handlers.remove(number)
    finally:
        sys.setswitchinterval(before)
        is_over.set()
        for thread in threads:
            thread.join()
    found = [
        (report.created - report.written - sum(report.dropped.values()), len(said(Path(report.sink))) - report.written)
        for report in reports()
    ]

    assert found == [(0, 0)] * 40


def test_flushing_takes_no_longer_than_it_may(handlers):
    """
    A sink that hangs holds up whoever flushes for as long as was said, and nobody else.
    """
    is_open = threading.Event()
    handlers.add({"sink": lambda line: is_open.wait(60), "enqueue": True})
    for n in range(3):
        handlers.handle(record(n))
    flushed: list[bool] = []
    thread = threading.Thread(target=lambda: flushed.append(handlers.flush(0.2)), daemon=True)
    thread.start()
    thread.join(20)
    before = list(flushed)
    is_open.set()

    assert before == [False]
    assert handlers.flush(20)


def test_a_run_has_what_its_sinks_did(tmp_path):
    """
    ``process.json`` says of each sink what became of its records, and the run has a record of each change of sinks
    once something was logged, without what may be secret.
    """
    ended = run(
        """
import branchline as bl, glob, json
bl.configure("app", directory=path, console=False)
first = handlers.add({"sink": path + "/app.log"})
handlers.handle(record("hello"))
second = handlers.add({"sink": "tcp://me:s3cret@127.0.0.1:1", "level": "ERROR", "filter": lambda record: True})
handlers.remove(first)
handlers.remove(second)
bl.shutdown()
[state] = [json.load(open(name)) for name in glob.glob(path + "/runs/*/*/process.json")]
print(json.dumps([{key: sink[key] for key in ("sink", "created", "written")} for sink in state["sinks"]]))
""",
        tmp_path / "bl",
    )
    [found] = open_runs(tmp_path / "bl")
    changes = [line for line in found.logs if line.event_name == "branchline.logging.changed"]

    assert json.loads(ended.stdout) == [
        {"sink": str(tmp_path / "bl" / "app.log"), "created": 1, "written": 1},
        {"sink": "tcp://127.0.0.1:1", "created": 0, "written": 0},
    ]
    assert [re.sub(r"sink \d+ ", "", line.message) for line in changes] == [
        "added: tcp://127.0.0.1:1",
        f"removed: {tmp_path / 'bl' / 'app.log'}",
    ]
    assert changes[0].level == "DEBUG"
    assert "s3cret" not in repr(changes)


def test_a_file_of_any_name_costs_the_run_nothing(tmp_path, no_reports):
    """
    What a run says of itself is whole though the name of a log file is no text.
    """
    path = tmp_path / os.fsdecode(b"odd-\xff.log")
    with bl.configure("odd", directory=tmp_path / "bl", run_id="r", console=False, log_file=path):
        bl.get_logger("app").info("hello")
    [process] = [json.loads(found.read_text()) for found in (tmp_path / "bl").glob("runs/r/*/process.json")]

    assert [(sink["sink"], sink["written"]) for sink in process["sinks"]] == [(f"{tmp_path}/odd-\\udcff.log", 1)]
    assert process["state"] == "ended"


def test_every_destination_gets_everything_once(handlers, tmp_path):
    """
    Six destinations, one of which fails at every third record: each of the others gets every record once, in order,
    and the one that fails gets the rest.
    """
    got: list[str] = []
    half: list[str] = []
    stream = io.StringIO()

    def failing(line):
        if int(line) % 3 == 0:
            raise OSError("no")
        half.append(line)

    handlers.add({"sink": tmp_path / "a.log", "format": "{message}"})
    handlers.add({"sink": failing, "format": "{message}"})
    handlers.add({"sink": tmp_path / "b.log", "format": "{message}", "rotation": 1000, "enqueue": True})
    handlers.add({"sink": got.append, "format": "{message}", "enqueue": True})
    handlers.add({"sink": stream, "format": "{message}"})
    handlers.add({"sink": failing, "format": "{message}", "enqueue": True})
    for n in range(3000):
        handlers.handle(record(n))
    is_complete = handlers.close()
    everything = [str(n) for n in range(3000)]

    assert not is_complete
    assert [said(tmp_path / "a.log"), said(tmp_path / "b.log"), got, stream.getvalue().split()] == [everything] * 4
    assert sorted(half, key=int) == sorted([n for n in everything if int(n) % 3] * 2, key=int)
