"""Alerts: when a threshold is passed, what is said then, and where it goes."""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import logging
import math
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import branchline as bl
import measured
from branchline import ConfigError
from branchline.monitor import Alert, CallbackChannel, LogChannel, PerformanceMonitor, Threshold, WebhookChannel
from branchline.monitor.watch import Watch
from branchline.read import LogLine, open_runs
from branchline.testing import capture
from branchline.watching import Measured
from waiting import wait_for


SECRET = "shared between the two"


def configure(home: Path, **options: Any) -> bl.Telemetry:
    return bl.configure("alerts", directory=home, console=False, **options)


def alerts_in(home: Path) -> list[LogLine]:
    return [line for line in open_runs(home).last.logs if line.event_name == "branchline.alert"]


def alert(**fields: Any) -> Alert:
    known: dict[str, Any] = {"name": "m", "metric": "m", "value": 2.0, "limit": 1.0, "side": "above"}
    return Alert(**{**known, "severity": "CRITICAL", "time": datetime(2026, 1, 31, tzinfo=UTC), **fields})


# ── when ──────────────────────────────────────────────────────────────────────────────────────────

Said = list[tuple[float, float | None]]  # when, and which value; None: nothing new


def raised(threshold: Threshold, said: Said, **attributes: object) -> list[tuple[float, float, int]]:
    """
    Return when alerts are raised, with which values, and how many values they stand for.
    """
    watch = Watch([threshold])
    found = []
    for moment, value in said:
        measured_value = None if value is None else Measured(threshold.metric, value, attributes=attributes)
        alerts = [*([] if measured_value is None else watch.take(measured_value, moment)), *watch.tick(moment)]
        found += [(moment, each.value, each.passed) for each in alerts]
    return found


@pytest.mark.parametrize(
    ("limits", "values", "expected"),
    [
        ({"above": 10}, [9, 10, 10.5], [10.5]),
        ({"below": 10}, [11, 10, 9.5], [9.5]),
        ({"above": 0}, [0, -1, 1], [1]),
        ({"above": 1}, [math.nan, math.inf, 2], [2]),
    ],
)
def test_a_limit_itself_is_fine(limits, values, expected):
    """
    An alert is raised beyond the limit, not at it; what is no number passes none.
    """
    threshold = Threshold("m", **limits, cooldown=0)

    assert [value for _, value, _ in raised(threshold, list(enumerate(values)))] == expected


def test_for_seconds():
    """
    With for_seconds the limit must be passed all the time; one value that is fine begins the time anew.
    """
    threshold = Threshold("m", above=1, for_seconds=10)
    said: Said = [(0, 2), (5, 2), (9, 1), (10, 2), (15, 2), (19, 2), (20, 3), (21, 3)]

    assert raised(threshold, said) == [(20, 3, 6)]


def test_a_value_holds_until_the_next():
    """
    A value that nobody says again is still the value: the time runs on.
    """
    assert raised(Threshold("m", above=1, for_seconds=10), [(0, 2), (5, None), (10, None)]) == [(10, 2, 1)]


def test_cooldown():
    """
    Within the cooldown nothing is said again; the next alert says how many values it stands for.
    """
    threshold = Threshold("m", above=1, cooldown="1 min")
    said: Said = [(0, 2), (10, 3), (30, 1), (40, 4), (61, 5), (90, None), (200, None), (300, 6)]

    assert raised(threshold, said) == [(0, 2, 1), (61, 5, 3), (300, 6, 1)]


def test_series_stand_for_themselves():
    """
    Every series has a cooldown and a time of its own, and attributes choose among them.
    """
    watch = Watch([Threshold("m", above=1), Threshold("m", above=1, attributes={"part": "b"}, name="only b")])
    found = [
        (each.name, each.attributes["part"])
        for part in ("a", "b", "a", "b")
        for each in watch.take(Measured("m", 2, attributes={"part": part}), 0)
    ]

    assert found == [("m", "a"), ("m", "b"), ("only b", "b")]


def test_statistics():
    """
    What the values in the window come to can be held against the limit, once there are enough.
    """
    values: Said = [(float(number), float(number % 2)) for number in range(1, 41)]
    for statistic, limit in (("mean", 0.49), ("max", 0.5), ("p95", 0.9), ("count", 20)):
        threshold = Threshold("m", above=limit, statistic=statistic, window=20, at_least=15)
        assert raised(threshold, values)[0][0] == (21 if statistic == "count" else 15), statistic
    assert raised(Threshold("m", below=1, statistic="min", at_least=3), values)[0] == (3, 0.0, 1)
    assert raised(Threshold("m", below=1, statistic="count", window=5), [(0, 1), (4, None), (6, None)]) == [(6, 0.0, 1)]


def test_the_rate_of_errors():
    """
    Of what is 1 or 0 the mean counts: the rate of errors.
    """
    failed: Said = [(float(number), float(number % 4 == 0)) for number in range(1, 21)]

    assert Threshold("branchline.step.failed", above=0.2).statistic == "mean"
    assert raised(Threshold("branchline.step.failed", above=0.2, at_least=20), failed) == [(20, 0.25, 1)]
    assert raised(Threshold("branchline.step.failed", above=0.25, at_least=20), failed) == []


WRONG = [
    ({"metric": ""}, "the metric is the name of one"),
    ({"above": None}, "above=None, below=None; accepted: one of them"),
    ({"below": 1}, "above=1, below=1; accepted: one of them"),
    ({"above": math.nan}, "the limit is nan; accepted: a finite number"),
    ({"above": "1"}, "the limit is '1'; accepted: a finite number"),
    ({"for_seconds": "soon"}, "for_seconds='soon'; accepted: seconds, "),
    ({"cooldown": -1}, "cooldown=-1; accepted: seconds, "),
    ({"severity": "LOUD"}, "severity='LOUD'; accepted: INFO, WARNING, ERROR, CRITICAL"),
    ({"statistic": "median"}, "statistic='median'; accepted: last, mean, min, max, p50, p95, p99, count"),
    ({"attributes": 5}, "attributes=5; accepted: a mapping"),
    ({"step": "load"}, "step='load'; accepted with branchline.step.duration and branchline.step.failed"),
    ({"at_least": 0}, "at_least=0; accepted: a whole number from 1 on"),
]


@pytest.mark.parametrize(("fields", "message"), WRONG)
def test_a_threshold_that_cannot_be(fields, message):
    """
    A threshold that cannot be is refused at once, with the value and what is accepted.
    """
    known: dict[str, Any] = {"metric": "m", "above": 1}
    with pytest.raises(ConfigError) as refused:
        Threshold(**{**known, **fields})

    assert message in str(refused.value)


def test_all_that_is_wrong_is_said_at_once():
    """
    Whoever has made three mistakes hears of three.
    """
    with pytest.raises(ConfigError) as refused:
        Threshold("m", severity="LOUD", cooldown="soon")

    assert str(refused.value).count("; accepted: ") == 3


# ── what is said ──────────────────────────────────────────────────────────────────────────────────


def test_message():
    """
    The message says the metric and its series, the value and the limit with their unit, and for how long.
    """
    told = alert(metric="process.memory.usage", value=2_100_000_000, limit=2e9, unit="By", held_seconds=30.0)

    assert told.message == ("process.memory.usage is 2,100,000,000 By, above the limit of 2,000,000,000 By for 30 s")
    assert alert(statistic="p95", attributes={"branchline.step.name": "load"}, value=1.23456).message == (
        "the p95 of m (name=load) is 1.235, above the limit of 1"
    )


def test_a_slow_step(home):
    """
    A step that takes too long is a warning on that very step, with its value and the limit, and is counted.
    """
    with configure(home):
        with PerformanceMonitor(
            Threshold("branchline.step.duration", above=0.05, step="slow"), system=False
        ) as watching:
            with bl.step("fast"):
                pass
            with bl.step("slow"), bl.step("fast"):
                time.sleep(0.1)
            wait_for(lambda: watching.alerts)
    run = open_runs(home).last
    [line] = alerts_in(home)
    [slow] = [step for step in run.steps if step.name == "slow"]

    assert (line.level, line.span_id, line.step_name) == ("WARN", slow.span_id, "slow")
    assert line.attributes == {
        "alert.name": "branchline.step.duration",
        "alert.metric": "branchline.step.duration",
        "alert.value": slow.duration,
        "alert.limit": 0.05,
        "alert.side": "above",
        "alert.severity": "WARNING",
        "alert.statistic": "last",
        "alert.unit": "s",
        "alert.held_seconds": 0.0,
    }
    assert line.message == (
        f"branchline.step.duration (name=slow) is {slow.duration:,.4g} s, above the limit of 0.05 s"
    )
    counted = {(("alert.metric", "branchline.step.duration"), ("alert.severity", "WARNING")): 1}
    assert measured.of(home, "branchline.alerts") == counted


def test_whatever_a_run_measures(home):
    """
    Points, gauges, budgets, errors, what branchline measures of itself, and what is sampled can be watched.
    """
    thresholds = [
        Threshold("loss", above=1, severity="ERROR"),
        Threshold("depth", above=5),
        Threshold("sizes", above=5),
        Threshold("branchline.budget.used_ratio", above=0.5, severity="CRITICAL"),
        Threshold("branchline.step.failed", above=0.4, at_least=2),
        Threshold("branchline.self.recorded", above=1),
        Threshold("process.memory.usage", above=1, severity="INFO"),
    ]
    budget = bl.BudgetConfig(run=1)
    with (
        configure(home, budget=budget, verbosity="NONE"),
        PerformanceMonitor(*thresholds, system=False, interval=0.1) as watching,
    ):
        with bl.step("a"):
            bl.record_metric("loss", 2)
            bl.record_usage("m", input_tokens=1, cost=0.75)
        with pytest.raises(ValueError, match="x"), bl.step("a"):
            raise ValueError("x")
        bl.gauge("depth").set(7)
        bl.histogram("sizes").record(9)
        wait_for(lambda: len({line.attributes["alert.metric"] for line in alerts_in(home)}) == 7)
        assert watching.alerts >= 7
    found = {
        str(line.attributes["alert.metric"]): (line.level, line.attributes["alert.value"]) for line in alerts_in(home)
    }

    assert found["loss"] == ("ERROR", 2)
    assert found["depth"] == ("WARN", 7)
    assert found["sizes"] == ("WARN", 9)
    assert found["branchline.budget.used_ratio"] == ("FATAL", 0.75)
    assert found["branchline.step.failed"] == ("WARN", 0.5)
    assert found["branchline.self.recorded"][0] == "WARN"
    assert found["process.memory.usage"][0] == "INFO"


def test_instruments_are_looked_at_more_often(home, monkeypatch):
    """
    While somebody watches, instruments are looked at as often as that one wants to know, and afterwards as before.
    """
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "600000")
    with configure(home) as run:
        bl.gauge("depth").set(7)
        with PerformanceMonitor(Threshold("depth", above=5), system=False, interval=0.1) as watching:
            wait_for(lambda: watching.alerts)
        assert run._collector is not None
        assert run._collector._interval == 600

    assert [line.attributes["alert.value"] for line in alerts_in(home)] == [7]


def test_what_happens_last_counts(home):
    """
    What passes a threshold right before the end of the run is an alert all the same.
    """
    told: list[Alert] = []
    watching = PerformanceMonitor(Threshold("last", above=1), system=False, interval=60, channels=[told.append])
    with configure(home):
        watching.start()
        bl.record_metric("last", 2)
    watching.stop()

    assert [line.attributes["alert.value"] for line in alerts_in(home)] == [2]
    assert [each.value for each in told] == [2]


def test_what_happens_right_before_the_monitor_ends(home):
    """
    What was recorded before the end of the monitor counts, though the run goes on.
    """
    with configure(home):
        with PerformanceMonitor(Threshold("m", above=1), Threshold("depth", above=1), system=False, interval=60):
            bl.record_metric("m", 2)
            bl.gauge("depth").set(3)
        bl.record_metric("m", 4)

    assert {line.attributes["alert.value"] for line in alerts_in(home)} == {2, 3}


ENDS = """
import sys
import branchline as bl
from branchline.monitor import PerformanceMonitor, Threshold

bl.configure("ends", directory=sys.argv[1], console=False)
PerformanceMonitor(Threshold("branchline.step.duration", above=0), interval=60, system=False).start()
with bl.step("last"):
    pass
"""


def test_a_program_that_just_ends(home):
    """
    A program that ends without a word has the alerts about its last step in its journal.
    """
    ran = subprocess.run(
        [sys.executable, "-c", ENDS, home], capture_output=True, text=True, timeout=60, check=False, cwd=home
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert [line.step_name for line in alerts_in(home)] == ["last"]


def test_nobody_who_records_or_looks_raises_alerts(home):
    """
    Thresholds are judged in the monitor's own thread, also when somebody else asks for a summary; an alert that is
    about no step belongs to none.
    """
    told: list[str] = []
    own = Own(lambda each: told.append(threading.current_thread().name))
    watching = PerformanceMonitor(
        Threshold("process.uptime", above=0), Threshold("m", above=1), channels=[own], system=False
    )
    with configure(home), bl.step("asks"):
        with watching:
            bl.record_metric("m", 2)
            bl.flush()
            assert watching.summary("m")
            wait_for(lambda: len(told) == 2)

    assert told == ["branchline-monitor"] * 2
    assert {(line.attributes["alert.metric"], line.step_name) for line in alerts_in(home)} == {
        ("m", "asks"),
        ("process.uptime", None),
    }


class Own:
    """A channel of somebody's own, which tells a function at once."""

    def __init__(self, function: Callable[[Alert], object]) -> None:
        self.send = function

    def close(self, timeout: float) -> bool:
        return True


def is_watched(watching: PerformanceMonitor, run: bl.Telemetry) -> bool:
    return watching._joined is run.measures


def test_a_monitor_that_was_there_before(home):
    """
    A monitor watches whatever run is going on: one that begins after it, and the next one.
    """
    with PerformanceMonitor(Threshold("m", above=1, cooldown=0), system=False, interval=0.05) as watching:
        for number in (1, 2):
            with configure(home / str(number)) as run:
                wait_for(functools.partial(is_watched, watching, run))
                bl.record_metric("m", 1 + number)

    assert [[line.attributes["alert.value"] for line in alerts_in(home / str(number))] for number in (1, 2)] == [
        [2],
        [3],
    ]


def test_in_a_capture():
    """
    A test sees the alerts of what it captures.
    """
    with capture() as captured, PerformanceMonitor(Threshold("m", below=1), system=False, interval=0.05) as watching:
        bl.record_metric("m", 0.5)
        wait_for(lambda: watching.alerts)
    [line] = [line for line in captured.logs if line.event_name == "branchline.alert"]

    assert line.message == "m is 0.5, below the limit of 1"


def test_of_every_step(home):
    """
    MX-67: threshold_ms is a limit for every step.
    """
    with configure(home), PerformanceMonitor(threshold_ms=20, system=False) as watching:
        with bl.step("slow"):
            time.sleep(0.05)
        with bl.step("fast"):
            pass
        wait_for(lambda: watching.alerts)

    assert [line.step_name for line in alerts_in(home)] == ["slow"]


# ── where it goes ─────────────────────────────────────────────────────────────────────────────────


class Server:
    """A webhook on loopback that answers what it is told to, one status after the other, and keeps what it got."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.got: list[tuple[dict[str, str], bytes]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.got.append((dict(self.headers), body))
                self.send_response(server.statuses.pop(0) if server.statuses else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook/T0K3N?key=value"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def webhook(*statuses: int) -> Iterator[Server]:
    server = Server(*statuses)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(name="said")
def _said(caplog) -> Any:
    caplog.set_level(logging.INFO)
    return caplog


def test_webhook():
    """
    MX-65: a critical alert is posted as JSON, signed with the shared secret.
    """
    with webhook() as server:
        channel = WebhookChannel(server.url, secret=SECRET, headers={"X-Team": "quant"})
        channel.send(alert(value=2.5, attributes={"symbol": "BTC"}, unit="s", run_id="r1"))
        assert channel.close(30)
    [(headers, body)] = server.got

    assert headers["X-Branchline-Signature"] == f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}"
    assert (headers["Content-Type"], headers["X-Team"]) == ("application/json", "quant")
    document = json.loads(body)
    assert len(document.pop("id")) == 32
    assert document == {
        "event": "branchline.alert",
        "message": "m (symbol=BTC) is 2.5 s, above the limit of 1 s",
        "name": "m",
        "metric": "m",
        "value": 2.5,
        "limit": 1.0,
        "side": "above",
        "severity": "CRITICAL",
        "statistic": "last",
        "unit": "s",
        "attributes": {"symbol": "BTC"},
        "time": "2026-01-31T00:00:00+00:00",
        "held_seconds": 0.0,
        "passed": 1,
        "run_id": "r1",
        "trace_id": None,
        "span_id": None,
    }


def test_without_a_secret():
    """
    Without a shared secret nothing is signed.
    """
    with webhook() as server:
        channel = WebhookChannel(server.url)
        channel.send(alert())
        assert channel.close(30)

    assert "X-Branchline-Signature" not in server.got[0][0]


def test_errors_are_not_posted():
    """
    MX-65: below CRITICAL nothing is posted, unless the webhook was told so.
    """
    with webhook() as server, webhook() as other:
        channels = [WebhookChannel(server.url), WebhookChannel(other.url, severity="ERROR")]
        for channel in channels:
            for severity in ("INFO", "WARNING", "ERROR", "CRITICAL"):
                channel.send(alert(severity=severity))
            assert channel.close(30)

    assert [json.loads(body)["severity"] for _, body in server.got] == ["CRITICAL"]
    assert [json.loads(body)["severity"] for _, body in other.got] == ["ERROR", "CRITICAL"]


def test_a_webhook_that_is_ill_gets_it_again(said):
    """
    MX-65: what is answered with 503 or 429 is posted again, the same alert, until it is taken; then nobody is told.
    """
    with webhook(503, 429, 500) as server:
        channel = WebhookChannel(server.url, secret=SECRET)
        channel.send(alert())
        assert channel.close(60)

    assert len(server.got) == 4
    assert len({body for _, body in server.got}) == 1
    assert (channel.delivered, channel.failed, said.messages) == (1, 0, [])


@pytest.mark.parametrize(("status", "posts"), [(400, 1), (401, 1), (302, 1), (500, 2)])
def test_a_webhook_that_does_not_take_it(said, status, posts):
    """
    MX-65: what it does not want, or never takes, is logged with the place, not with what may be secret in the URL.
    """
    with webhook(*[status] * 9) as server:
        channel = WebhookChannel(server.url, attempts=2)
        channel.send(alert(name="too hot"))
        assert channel.close(60)

    place = server.url.partition("/hook")[0]
    assert said.messages == [f"the webhook {place} did not take the alert too hot: NotTaken: it answers {status}"]
    assert (len(server.got), channel.delivered, channel.failed) == (posts, 0, 1)
    assert "T0K3N" not in repr(channel)


def test_a_webhook_that_is_down(home, said):
    """
    MX-65: a webhook that is down costs the application nothing: the alert is in the journal, and so is what went wrong.
    """
    with webhook() as server:
        pass
    channel = WebhookChannel(server.url, attempts=1)
    with configure(home):
        threshold = Threshold("m", above=1, severity="CRITICAL")
        with PerformanceMonitor(threshold, channels=[channel], system=False, interval=0.05):
            bl.record_metric("m", 2)
            wait_for(lambda: channel.failed)
    lines = open_runs(home).last.logs

    assert [line.event_name for line in lines] == ["branchline.alert", "branchline.alert.not_taken"]
    failure = lines[1]
    assert (failure.level, failure.attributes) == ("ERROR", {"alert.name": "m"})
    assert failure.message.startswith(f"the webhook {server.url.partition('/hook')[0]} did not take the alert m: ")
    assert "T0K3N" not in str(lines)


def test_what_waits_is_tried_once_more_at_the_end(monkeypatch):
    """
    Whoever closes a webhook sees one more try at once, however long it would have waited for that.
    """
    monkeypatch.setattr("branchline.monitor.webhook._FIRST_PAUSE", 1000.0)
    monkeypatch.setattr("branchline.monitor.webhook._LONGEST_PAUSE", 1000.0)
    with webhook(503, 503) as server:
        channel = WebhookChannel(server.url)
        channel.send(alert())
        channel.send(alert())
        wait_for(lambda: server.got)
        are_delivered = [channel.close(0.0), wait_for(lambda: len(server.got) == 2) and channel.close(30)]

    assert (are_delivered, channel.waiting, channel.delivered, len(server.got)) == ([False, True], 0, 2, 4)


def test_alerts_that_nobody_takes_before_the_end(tmp_path):
    """
    What a webhook has not taken when the program ends is counted on stderr, and is in the journal.
    """
    program = """
    import sys
    import branchline as bl
    from branchline.monitor import PerformanceMonitor, Threshold, WebhookChannel
    bl.configure("alerts", directory=".", console=False, exit_timeout=0.5)
    channel = WebhookChannel(sys.argv[1], attempts=1000)
    threshold = Threshold("m", above=1, severity="CRITICAL", cooldown=0)
    PerformanceMonitor(threshold, channels=[channel], system=False, interval=0.05).start()
    for value in (2, 3, 4):
        bl.record_metric("m", value)
    """
    with webhook(*[503] * 1000) as server:
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), server.url],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=60,
            check=True,
        )

    place = server.url.partition("/hook")[0]
    assert ran.stderr == (
        f"branchline: 3 alert(s) still wait for the webhook {place}: "
        "recorded, but delivered only while the program goes on\n"
    )
    assert [line.attributes["alert.value"] for line in alerts_in(tmp_path)] == [2, 3, 4]


def test_what_is_posted_is_redacted():
    """
    Secrets among the attributes of a metric do not leave, unless redaction is off.
    """
    told = alert(
        attributes={"api_key": "abc", "header": "Bearer abcdefghijklmnopqrstuvwxyz0123456789", "input_tokens": 5}
    )

    assert json.loads(WebhookChannel("http://h/").body(told))["attributes"] == {
        "api_key": "[redacted]",
        "header": "Bearer [redacted]",
        "input_tokens": 5,
    }
    assert json.loads(WebhookChannel("http://h/", redact=False).body(told))["attributes"] == told.attributes


@pytest.mark.parametrize("url", ["", "ftp://h/x", "hooks.example/T0K3N", "http://", "http://h:99999/T0K3N", 5, None])
def test_a_url_that_is_none(url):
    """
    What is no URL of HTTP is refused at once, and not shown: it may be a secret.
    """
    with pytest.raises(ConfigError, match="accepted: http://host/path") as refused:
        WebhookChannel(url)

    assert "T0K3N" not in str(refused.value)


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": "1"}, {"attempts": 0}, {"severity": "LOUD"}])
def test_options_that_cannot_be(options):
    """
    What is wrong with a channel is said when it is made.
    """
    with pytest.raises(ConfigError, match="accepted: "):
        WebhookChannel("http://h/", **options)


def test_callback(said):
    """
    A function is called with each alert, in another thread; one that raises is logged and called again next time.
    """
    told: list[tuple[str, bool]] = []

    def tell(each: Alert) -> None:
        told.append((each.name, threading.current_thread() is threading.main_thread()))
        if each.name == "first":
            raise RuntimeError("not today")
        if each.name == "second":
            raise SystemExit

    channel = CallbackChannel(tell)
    for name in ("first", "second", "third"):
        channel.send(alert(name=name))
    assert channel.close(30)

    assert told == [("first", False), ("second", False), ("third", False)]
    assert (channel.delivered, channel.failed) == (1, 2)
    assert [message.partition("tell did not take the alert ")[2] for message in said.messages] == [
        "first: RuntimeError: not today",
        "second: SystemExit: ",
    ]


def test_async_callback():
    """
    A coroutine function is awaited.
    """
    told: list[str] = []

    async def tell(each: Alert) -> None:
        told.append(each.name)

    channel = CallbackChannel(tell)
    channel.send(alert())
    assert channel.close(30)

    assert told == ["m"]


def test_a_callback_that_hangs(home):
    """
    A callback that hangs delays neither other channels nor the end of the run; what waits too long is dropped, counted.
    """
    release, told = threading.Event(), []
    slow = CallbackChannel(lambda each: release.wait(60))
    with configure(home, exit_timeout=0.2):
        monitor = PerformanceMonitor(
            Threshold("m", above=0, cooldown=0), channels=[slow, lambda each: told.append(each.value)], system=False
        ).start()
        for number in range(1, 1101):
            bl.record_metric("m", number)
        wait_for(lambda: len(told) == 1100)
    monitor.stop(0.1)
    release.set()

    assert told == list(range(1, 1101))
    assert slow.dropped == 99


def test_log_channel(home, said):
    """
    A log channel says alerts to a logger; in the journal they are once, as the event that they are.
    """
    with (
        configure(home),
        PerformanceMonitor(
            Threshold("m", above=1, severity="ERROR"), channels=[LogChannel("ops.alerts")], system=False, interval=0.05
        ),
    ):
        bl.record_metric("m", 2)
        wait_for(lambda: said.records)
    [record] = said.records

    assert (record.name, record.levelname, record.message) == ("ops.alerts", "ERROR", "m is 2, above the limit of 1")
    assert record.alert["metric"] == "m"
    assert [line.event_name for line in open_runs(home).last.logs] == ["branchline.alert"]


def test_a_channel_of_ones_own():
    """
    Whatever has send() and close() is a channel; what is neither that nor a function is refused.
    """
    told: list[Alert] = []
    with capture(), PerformanceMonitor(Threshold("m", above=1), channels=[Own(told.append)], system=False):
        bl.record_metric("m", 2)
        wait_for(lambda: told)

    with pytest.raises(ConfigError, match="5 is no channel"):
        PerformanceMonitor(channels=[5])  # type: ignore[list-item]  # that is the point
    with pytest.raises(ConfigError, match="'m' is no Threshold"):
        PerformanceMonitor("m")  # type: ignore[arg-type]  # the same
