"""The agent forwards the journal of an application that sends nothing: every line of it, and each once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter

import pytest
from applications import EXPERIMENT, run
from servers import WATCHDOG_SECONDS, Collector, Gateway, eventually, free_port
from told import logs_in, spans_in

import measured
from endpoints import GrpcEndpoint, certificates


pytestmark = pytest.mark.stack

# Files of 64 KiB instead of 32 MiB, so that a short run has hot and sealed ones.
ROTATING = '''\
"""Many steps with a log line and a metric each, in many small files, while somebody reads them."""

import logging
import sys
import time

import branchline as bl
from branchline._pipeline import pipeline_options as pipeline

real = pipeline.PipelineOptions.__init__
pipeline.PipelineOptions.__init__ = lambda self, **options: real(self, **options | {"rotate_bytes": 64 * 1024})

log = logging.getLogger("many")
log.setLevel(logging.INFO)

with bl.configure("rotating", run_id=sys.argv[1], console=False), bl.experiment("many"):
    for number in range(int(sys.argv[2])):
        with bl.branch({"part": number % 3}), bl.step("work", number=number, text="x" * 200):
            log.info("line %d", number)
            bl.counter("things").add(1)
        if number % 50 == 0:
            time.sleep(0.05)
'''


def agent(home, journal, port, **more):
    """The agent as it is shipped, which reads the *journal* and forwards to *port*."""
    health = free_port()
    env = {
        "BRANCHLINE_DIR": journal,
        "AGENT_GATEWAY": f"127.0.0.1:{port}",
        "AGENT_STATE": home / "state",
        "AGENT_HEALTH": f"127.0.0.1:{health}",
        "AGENT_METRICS_PORT": free_port(),
        "AGENT_POLL": "200ms",
    }
    return Collector(home, "agent.yaml", health=health, env=env | more)


def everything(gateway):
    """
    How often each span and log record has come, by its id.
    """
    spans = Counter({name.partition("-")[2]: count for name, count in gateway.received.spans.items()})
    return spans, Counter(gateway.received.logs)


def points_of(journal):
    """
    How many points of metrics the files of a *journal* hold.
    """
    return sum(len(measured.points(metric)) for _, _, metric in measured.metrics(journal))


def once(names):
    """
    Each of *names* once.
    """
    return Counter(dict.fromkeys(names, 1))


def test_a_journal_that_is_there(tmp_path):
    """
    A journal that was written before the agent started comes from its beginning, whole, and each item once.
    """
    run(tmp_path, EXPERIMENT, "before")
    journal = tmp_path / ".branchline"
    with GrpcEndpoint() as gateway, agent(tmp_path / "agent", journal, gateway.port):
        expected = once(spans_in(journal)), once(logs_in(journal))

        found = eventually(lambda: everything(gateway), lambda found: found == expected)

        assert found == expected
        assert (len(found[0]), len(found[1])) == (22, 23)
        points = eventually(gateway.received.points.total, lambda count: count >= points_of(journal))
        assert points == points_of(journal) > 0


def test_hot_and_sealed_files(tmp_path):
    """
    Files that are written, sealed and compressed while the agent reads them come whole, and each item once.
    """
    journal = tmp_path / ".branchline"
    (tmp_path / "program.py").write_text(ROTATING)
    with GrpcEndpoint() as gateway, agent(tmp_path / "agent", journal, gateway.port) as collector:
        command = [sys.executable, "program.py", "rotating", "3000"]
        with subprocess.Popen(command, cwd=tmp_path) as application:
            assert application.wait(WATCHDOG_SECONDS) == 0
        expected = once(spans_in(journal)), once(logs_in(journal))

        found = eventually(lambda: everything(gateway), lambda found: found == expected)

        assert found == expected
        assert len(found[0]) == 6001
        assert len(list(journal.rglob("traces-*.jsonl.gz"))) > 10
        # What was sealed between looking and opening is read as what it has become.
        assert [line for line in collector.said('"level":"error"') if "Failed to open file" not in line] == []


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_an_agent_that_is_ended(tmp_path, how):
    """
    An agent that is ended or killed while the application goes on, twice, reads on: nothing is lost.
    """
    journal = tmp_path / ".branchline"
    (tmp_path / "program.py").write_text(ROTATING)
    with GrpcEndpoint() as gateway, agent(tmp_path / "agent", journal, gateway.port) as collector:
        command = [sys.executable, "program.py", "ended", "4000"]
        with subprocess.Popen(command, cwd=tmp_path) as application:
            for more in (1000, 3000):
                eventually(lambda: len(gateway.received.spans), more.__lt__)
                getattr(collector, how)()
                time.sleep(0.5)
                collector.start()
            assert application.wait(WATCHDOG_SECONDS) == 0
        spans, logs = set(spans_in(journal)), set(logs_in(journal))

        found = eventually(lambda: everything(gateway), lambda found: spans <= set(found[0]) and logs <= set(found[1]))

        assert (set(found[0]), set(found[1])) == (spans, logs)
        twice = found[0].total() - len(spans), found[1].total() - len(logs)
        print(f"agent, {how}: {len(spans)} spans and {len(logs)} log records, none lost; {twice} came twice")


def test_through_a_secure_gateway(tmp_path):
    """
    With the authority and a token the agent forwards to a gateway that wants both; without, nothing comes in.
    """
    certificates_folder = tmp_path / "certificates"
    certificates_folder.mkdir()
    made = certificates(certificates_folder)
    (tmp_path / "tokens").write_text("the-token\n")
    secure = {
        "GATEWAY_TOKENS": tmp_path / "tokens",
        "GATEWAY_CERTIFICATE": made.server,
        "GATEWAY_KEY": made.server_key,
        **{f"GATEWAY_{signal.upper()}_TO": f"[file/{signal}]" for signal in ("traces", "metrics", "logs")},
    }
    run(tmp_path, EXPERIMENT, "secure")
    journal = tmp_path / ".branchline"
    with Gateway(tmp_path / "gateway", "gateway-secure.yaml", **secure) as gateway:
        known = {"AGENT_INSECURE": "false", "AGENT_CA": made.authority}
        with agent(tmp_path / "stranger", journal, gateway.grpc, **known) as stranger:
            eventually(lambda: stranger.said("unauthenticated"), bool)
            before = spans_in(gateway.archive)
        token = {"AGENT_AUTHORIZATION": "Bearer the-token"}
        with agent(tmp_path / "agent", journal, gateway.grpc, **known, **token):
            found = eventually(lambda: spans_in(gateway.archive), lambda spans: len(spans) >= 22)
            logs = eventually(lambda: logs_in(gateway.archive), lambda logs: len(logs) >= 23)

    assert before == {}
    assert found == spans_in(journal)
    assert logs == logs_in(journal)
