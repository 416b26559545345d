"""What is delivered arrives through kills, outages and delays, and what came twice is counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter

import pytest
from applications import branchline, run
from series import of_journal, of_prometheus
from servers import WATCHDOG_SECONDS, Gateway, Jaeger, Prometheus, eventually
from told import as_jaeger_tells, contents, logs_in, spans_in, told, uids_in

from endpoints import GrpcEndpoint, HttpEndpoint


pytestmark = pytest.mark.stack

MANY = '''\
"""Steps one after the other, each with a log line, until a file says that it is enough."""

import logging
import pathlib
import sys
import time

import branchline as bl

log = logging.getLogger("many")
log.setLevel(logging.INFO)
enough = pathlib.Path("enough")
done = pathlib.Path("done")

with bl.configure("many", run_id=sys.argv[1], console=False, exit_timeout=90), bl.experiment("many"):
    number = 0
    while not enough.exists():
        with bl.branch({"part": number}):
            for _ in range(100):
                with bl.step("work", number=number):
                    log.info("line %d", number)
                number += 1
        done.write_text(str(number))
        time.sleep(0.02)
'''

HOUR_AGO = '''\
"""An experiment as it would have been recorded an hour ago: the clock is put back before anything looks at it."""

import datetime
import sys
import time

real, real_ns = time.time, time.time_ns
time.time = lambda: real() - 3600
time.time_ns = lambda: real_ns() - 3600 * 10**9

import logging

import branchline as bl

with bl.configure("late", run_id=sys.argv[1], console=False, otlp=False), bl.experiment("late"):
    for name in ("a", "b"):
        with bl.branch({"name": name}) as branch:
            with bl.step("work"):
                bl.stamp("half", of=name)
                bl.counter("things").add(2)
                logging.getLogger("late").warning("done with %s", name)
            branch.metric("score", 0.5)
'''


@pytest.fixture
def tempo():
    """An endpoint in the place of Tempo, which counts."""
    with GrpcEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def places(tempo):
    """What stands in the places of Prometheus, Tempo and Loki."""
    with HttpEndpoint() as prometheus, HttpEndpoint() as loki:
        yield {
            "PROMETHEUS_OTLP": f"{prometheus.url}/api/v1/otlp",
            "TEMPO_OTLP": f"127.0.0.1:{tempo.port}",
            "LOKI_OTLP": f"{loki.url}/otlp",
        }


def wait_for(application, place, count):
    """
    Return when the *application* has done *count* steps.
    """
    deadline = time.monotonic() + WATCHDOG_SECONDS
    while not (place / "done").exists() or int((place / "done").read_text() or 0) < count:
        assert application.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_collector_is_killed_in_mid_run(tmp_path, places):
    """
    A gateway that is killed twice while an application delivers, and started again, loses no span and no log record.
    """
    home = tmp_path / "application"
    home.mkdir()
    (home / "program.py").write_text(MANY)
    with Jaeger(tmp_path / "jaeger") as jaeger, HttpEndpoint() as loki:
        to = places | {"JAEGER_OTLP": jaeger.otlp, "LOKI_OTLP": f"{loki.url}/otlp"}
        with Gateway(tmp_path / "gateway", **to) as gateway:
            command = [sys.executable, "program.py", "killed"]
            env = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": gateway.endpoint("http/protobuf")}
            with subprocess.Popen(command, cwd=home, env=env) as application:
                try:
                    for count in (500, 1500):
                        wait_for(application, home, count)
                        gateway.kill()
                        wait_for(application, home, count + 300)
                        gateway.start()
                    wait_for(application, home, 2500)
                finally:
                    (home / "enough").touch()
                assert application.wait(WATCHDOG_SECONDS) == 0

            journal, logs = spans_in(home), logs_in(home)
            [trace] = {span["trace"] for span in journal.values()}
            arrived = eventually(lambda: Counter(jaeger.ids(trace)), lambda ids: len(ids) >= len(journal))
            eventually(lambda: len(loki.received.logs), lambda count: count >= len(logs))

            assert set(arrived) == set(journal)
            assert set(loki.received.logs) == set(logs)
            assert len(logs) >= 2500
            print(
                f"killed twice: {len(journal)} spans and {len(logs)} log records, none lost;"
                f" {arrived.total() - len(arrived)} and {loki.received.duplicates()} came twice"
            )


def test_jaeger_is_away(tmp_path, places, tempo):
    """
    What is delivered while Jaeger is away waits on the gateway's disk, through a kill of that too, and comes once; the
    other backends get it meanwhile.
    """
    home = tmp_path / "application"
    jaeger = Jaeger(tmp_path / "jaeger")
    with jaeger, Gateway(tmp_path / "gateway", JAEGER_OTLP=jaeger.otlp, **places) as gateway:
        jaeger.stop()
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": gateway.endpoint("http/protobuf"), "BRANCHLINE_EXIT_TIMEOUT": "60"}
        (tmp_path / "application").mkdir()
        (home / "enough").touch()
        run(home, MANY.replace("while not enough.exists()", "while number < 1000"), "away", env=env)
        left = branchline(home, "ship", "--dry-run", env=env)
        journal = spans_in(home)
        meanwhile = eventually(lambda: Counter(tempo.received.spans), lambda ids: len(ids) >= len(journal))
        gateway.kill()
        gateway.start()
        jaeger.start()
        [trace] = {span["trace"] for span in journal.values()}

        arrived = eventually(lambda: Counter(jaeger.ids(trace)), lambda ids: len(ids) >= len(journal))

        assert "nothing" in left.lower()
        assert sorted(meanwhile.values()) == [1] * len(journal)
        assert arrived == Counter(dict.fromkeys(journal, 1))
        assert len(journal) == 1011


def test_a_queue_is_full(tmp_path, places):
    """
    When as much waits for Jaeger as may, the gateway takes no more, the journal keeps it, and `ship` brings it later.
    """
    home = tmp_path / "application"
    home.mkdir()
    (home / "enough").touch()
    jaeger = Jaeger(tmp_path / "jaeger")
    to = places | {
        "JAEGER_OTLP": jaeger.otlp,
        "GATEWAY_TRACES_TO": "[otlp_grpc/jaeger]",
        "GATEWAY_QUEUE_BYTES": 5_000_000,
    }
    with Gateway(tmp_path / "gateway", **to) as gateway:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": gateway.endpoint("http/protobuf"),
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2000",
            "BRANCHLINE_EXIT_TIMEOUT": "3",
        }
        program = MANY.replace("while not enough.exists()", "while number < 5000").replace(", exit_timeout=90", "")
        program = program.replace("number=number)", "number=number, text='x' * 2000)")
        run(home, program, "full", env=env)
        left = json.loads(branchline(home, "ship", "--dry-run", "--json", env=env))
        with jaeger:
            branchline(home, "ship", env=env)
            journal = spans_in(home)
            [trace] = {span["trace"] for span in journal.values()}
            arrived = eventually(lambda: Counter(jaeger.ids(trace)), lambda ids: len(ids) >= len(journal))

    [waiting] = left["runs"]
    assert waiting["waiting"]["traces"] > 0
    assert set(arrived) == set(journal)
    print(f"queue full: {len(journal)} spans, none lost; {arrived.total() - len(arrived)} came twice")


def test_an_hour_late(tmp_path, places):
    """
    A run of an hour ago that is shipped now is in Jaeger, in Prometheus at its own time, and in the archive of logs.
    """
    home = tmp_path / "application"
    run(home, HOUR_AGO, "late")
    journal = spans_in(home)
    [trace] = {span["trace"] for span in journal.values()}
    [instance] = {span["resource"]["service.instance.id"] for span in journal.values()}
    ended = max(int(span["times"][1]) for span in journal.values()) / 1e9
    with Prometheus(tmp_path / "prometheus") as prometheus, Jaeger(tmp_path / "jaeger") as jaeger:
        to = places | {
            "JAEGER_OTLP": jaeger.otlp,
            "PROMETHEUS_OTLP": prometheus.otlp,
            "GATEWAY_LOGS_TO": "[otlp_http/loki, file/logs]",
        }
        with Gateway(tmp_path / "gateway", **to) as gateway:
            # Something of now first, so that what comes is out of order.
            run(tmp_path / "now", HOUR_AGO.replace("3600", "0"), "now")
            branchline(tmp_path / "now", "ship", "last", "--to", gateway.endpoint("http/protobuf"))
            branchline(home, "ship", "last", "--to", gateway.endpoint("http/protobuf"))

            spans = eventually(lambda: jaeger.spans(trace), lambda found: len(found) >= len(journal))
            expected = of_journal(home)
            series = eventually(
                lambda: of_prometheus(prometheus, instance, ended + 60), lambda found: found == expected
            )
            logs = eventually(lambda: logs_in(gateway.archive), lambda found: logs_in(home).keys() <= found.keys())

    told_now = {span["spanId"]: told(span, resource) for span, resource in spans}
    assert told_now == {span_id: as_jaeger_tells(span) for span_id, span in journal.items()}
    assert series == expected
    assert {uid: logs[uid] for uid in logs_in(home)} == logs_in(home)
    assert 3500 < time.time() - ended < 3600 + WATCHDOG_SECONDS


def test_an_archive_opens(tmp_path, places):
    """
    The folder of the collector's file exporters opens in `branchline show`, with all that the journal has.
    """
    home = tmp_path / "application"
    to = {
        name: f"[file/{name.split('_')[1].lower()}]"
        for name in ("GATEWAY_TRACES_TO", "GATEWAY_LOGS_TO", "GATEWAY_METRICS_TO")
    }
    with Gateway(tmp_path / "gateway", **places, **to) as gateway:
        run(home, HOUR_AGO.replace("3600", "0"), "archived")
        branchline(home, "ship", "last", "--to", gateway.endpoint("http/json"))
        eventually(lambda: spans_in(gateway.archive), lambda spans: len(spans) >= 5)
        eventually(lambda: logs_in(gateway.archive), lambda logs: len(logs) >= 4)
        # The durations of spans come a second later.
        eventually(lambda: len(list(contents(gateway.archive, "metrics*"))), lambda lines: lines >= 3)

    shown = branchline(tmp_path, "show", "--directory", str(gateway.archive))
    own = branchline(home, "show", "last")

    assert [line for line in shown.splitlines() if "skipped" in line or line.startswith("!")] == []
    assert shown.splitlines()[3:] == own.splitlines()[3:]
    assert spans_in(gateway.archive) == spans_in(home)
    assert uids_in(gateway.archive) == sorted(logs_in(home))
