"""The two halves of the way to ClickHouse: OTLP through Kafka, and the tables that it ends in."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from applications import EXPERIMENT, run
from build import program
from servers import CONFIGS, WATCHDOG_SECONDS, Collector, eventually, free_port
from told import logs_in, spans_in

from endpoints import GrpcEndpoint


pytestmark = pytest.mark.stack

# There is no ClickHouse server here: what the sink would write there, an endpoint of ours counts.
COUNTED = """\
exporters:
  otlp_grpc/counted:
    endpoint: ${env:COUNTED}
    tls:
      insecure: true
    sending_queue:
      wait_for_result: true
service:
  pipelines:
    traces: {exporters: [otlp_grpc/counted]}
    metrics: {exporters: [otlp_grpc/counted]}
    logs: {exporters: [otlp_grpc/counted]}
"""

MANY = """\
import logging
import sys

import branchline as bl

logging.getLogger("many").setLevel(logging.INFO)

with bl.configure("many", run_id=sys.argv[1], console=False, exit_timeout=60):
    for number in range(1000):
        with bl.branch({"part": number % 3}, new_trace=True), bl.step("work", number=number):
            logging.getLogger("many").info("line %d", number)
"""


@contextmanager
def kafka(*topics: str) -> Iterator[int]:
    """
    A Kafka in memory, with these *topics*.
    """
    port = free_port()
    with subprocess.Popen([program("kafka", "kafka"), str(port), *topics], stdout=subprocess.PIPE) as broker:
        try:
            assert broker.stdout is not None
            assert str(port) in broker.stdout.readline().decode()
            yield port
        finally:
            broker.kill()


def ingest(home, broker):
    """
    The first half as it is shipped, and where it takes OTLP over HTTP.
    """
    grpc, http, health, metrics = (free_port() for _ in range(4))
    env = {
        "INGEST_GRPC": f"127.0.0.1:{grpc}",
        "INGEST_HTTP": f"127.0.0.1:{http}",
        "INGEST_HEALTH": f"127.0.0.1:{health}",
        "INGEST_METRICS_PORT": metrics,
        "KAFKA_BROKER": f"127.0.0.1:{broker}",
    }
    return Collector(home, "scale-ingest.yaml", health=health, env=env), f"http://127.0.0.1:{http}"


def sink(home, broker, counted):
    """
    The second half as it is shipped, with an endpoint that counts in the place of ClickHouse.
    """
    home.mkdir()
    overlay = home / "counted.yaml"
    overlay.write_text(COUNTED)
    health, metrics = free_port(), free_port()
    env = {
        "SINK_HEALTH": f"127.0.0.1:{health}",
        "SINK_METRICS_PORT": metrics,
        "KAFKA_BROKER": f"127.0.0.1:{broker}",
        "CLICKHOUSE_USER": "nobody",
        "CLICKHOUSE_PASSWORD": "nothing",
        "COUNTED": f"127.0.0.1:{counted.port}",
    }
    return Collector(home, "scale-sink.yaml", overlay, health=health, env=env)


def received(endpoint):
    """
    How often each span and log record has come, by its id.
    """
    spans = Counter({name.partition("-")[2]: count for name, count in endpoint.received.spans.items()})
    return spans, Counter(endpoint.received.logs)


def test_through_kafka(tmp_path):
    """
    A run goes through Kafka whole, each item once, before anything that reads it is there.
    """
    with kafka("otlp_spans", "otlp_metrics", "otlp_logs") as broker, GrpcEndpoint() as counted:
        first, url = ingest(tmp_path / "ingest", broker)
        with first:
            home = tmp_path / "application"
            run(home, EXPERIMENT, "scaled", env={"OTEL_EXPORTER_OTLP_ENDPOINT": url, "BRANCHLINE_EXIT_TIMEOUT": "60"})
        expected = Counter(dict.fromkeys(spans_in(home), 1)), Counter(dict.fromkeys(logs_in(home), 1))
        with sink(tmp_path / "sink", broker, counted):
            found = eventually(lambda: received(counted), lambda found: found == expected)

    assert found == expected
    assert (len(found[0]), len(found[1])) == (22, 23)


def test_a_sink_is_killed(tmp_path):
    """
    Kafka keeps what a killed sink has not passed on: the next one goes on there, and nothing is lost.
    """
    home = tmp_path / "application"
    home.mkdir()
    (home / "program.py").write_text(MANY)
    with kafka("otlp_spans", "otlp_metrics", "otlp_logs") as broker, GrpcEndpoint() as counted:
        first, url = ingest(tmp_path / "ingest", broker)
        with first, sink(tmp_path / "sink", broker, counted) as second:
            run(home, MANY, "killed", env={"OTEL_EXPORTER_OTLP_ENDPOINT": url})
            eventually(lambda: len(counted.received.spans), bool)
            second.kill()
            counted.behave("status", status=503)
            second.start()
            time.sleep(1)
            second.kill()
            counted.behave("healthy")
            second.start()
            spans, logs = set(spans_in(home)), set(logs_in(home))
            found = eventually(lambda: received(counted), lambda found: (spans, logs) == (set(found[0]), set(found[1])))

    assert (set(found[0]), set(found[1])) == (spans, logs)
    assert (len(spans), len(logs)) == (2000, 1000)
    twice = found[0].total() - len(spans), found[1].total() - len(logs)
    print(f"sink killed twice: {len(spans)} spans and {len(logs)} log records, none lost; {twice} came twice")


# ── the tables ────────────────────────────────────────────────────────────────────────────────────

# What the exporter inserts, of the version that is built: its column lists.
EXPORTED = {
    "otel_traces": "Timestamp TraceId SpanId ParentSpanId TraceState SpanName SpanKind ServiceName ResourceAttributes"
    " ScopeName ScopeVersion SpanAttributes Duration StatusCode StatusMessage Events.Timestamp Events.Name"
    " Events.Attributes Links.TraceId Links.SpanId Links.TraceState Links.Attributes",
    "otel_logs": "Timestamp TraceId SpanId TraceFlags SeverityText SeverityNumber ServiceName Body ResourceSchemaUrl"
    " ResourceAttributes ScopeSchemaUrl ScopeName ScopeVersion ScopeAttributes LogAttributes EventName",
} | {
    f"otel_metrics_{kind}": "ResourceAttributes ResourceSchemaUrl ScopeName ScopeVersion ScopeAttributes"
    " ScopeDroppedAttrCount ScopeSchemaUrl ServiceName MetricName MetricDescription MetricUnit Attributes StartTimeUnix"
    f" TimeUnix Flags {own}"
    for kind, own in {
        "gauge": "Value {exemplars}",
        "sum": "Value {exemplars} AggregationTemporality IsMonotonic",
        "histogram": "Count Sum BucketCounts ExplicitBounds {exemplars} Min Max AggregationTemporality",
        "exponential_histogram": "Count Sum Scale ZeroCount PositiveOffset PositiveBucketCounts NegativeOffset"
        " NegativeBucketCounts {exemplars} Min Max AggregationTemporality",
        "summary": "Count Sum ValueAtQuantiles.Quantile ValueAtQuantiles.Value",
    }.items()
}
EXEMPLARS = "Exemplars.FilteredAttributes Exemplars.TimeUnix Exemplars.Value Exemplars.SpanId Exemplars.TraceId"

TABLES = '''\
"""Makes the tables and asks them; chdb wants a process of its own."""

import json
import sys
from pathlib import Path

from chdb.session import Session

session = Session(sys.argv[1])
for path in sorted(Path(sys.argv[2]).glob("*.sql")):
    text = "\\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("--"))
    for statement in filter(str.strip, text.split(";")):
        session.query(statement)
answers = [
    [json.loads(line) for line in str(session.query(query, "JSONEachRow")).splitlines()]
    for query in json.loads(sys.argv[3])
]
print(json.dumps(answers))
'''


def asked(tmp_path, *queries):
    """
    What ClickHouse answers to *queries*, with the tables that are shipped.
    """
    pytest.importorskip("chdb", reason="needs ClickHouse's engine: `make test-stack` installs it")
    command = [sys.executable, "-c", TABLES, str(tmp_path / "db"), str(CONFIGS / "clickhouse"), json.dumps(queries)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=WATCHDOG_SECONDS, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_the_tables_take_what_the_exporter_writes(tmp_path):
    """
    ClickHouse's own engine makes the tables, and each has the columns that the collector's exporter fills.
    """
    [columns] = asked(tmp_path, "SELECT table, name, default_kind AS made FROM system.columns WHERE database = 'otel'")
    filled = {
        table: {column["name"] for column in columns if column["table"] == table and column["made"] == ""}
        for table in EXPORTED
    }

    assert filled == {table: set(names.format(exemplars=EXEMPLARS).split()) for table, names in EXPORTED.items()}


def test_experiment_and_branch_are_in_the_order(tmp_path):
    """
    Every table of items is sorted by service, experiment and branch before anything else that differs.
    """
    [tables] = asked(
        tmp_path,
        "SELECT name, sorting_key FROM system.tables WHERE database = 'otel' AND has_own_data AND name LIKE 'otel%'"
        " AND name NOT LIKE '%_ts' ORDER BY name",
    )

    assert {row["name"]: "Experiment, Branch" in row["sorting_key"] for row in tables} == dict.fromkeys(EXPORTED, True)


def test_branches_compare_in_clickhouse(tmp_path):
    """
    Spans as the exporter writes them compare by branch, and one that came twice is one.
    """
    attributes = (
        "map('branchline.experiment.name', 'e', 'branchline.branch.name', {branch}, 'branchline.kind', 'step',"
        " 'gen_ai.usage.input_tokens', '100', 'gen_ai.usage.output_tokens', '10', 'branchline.cost.usd', '0.25')"
    )
    insert = (
        (
            "INSERT INTO otel.otel_traces (Timestamp, TraceId, SpanId, SpanName, ServiceName, ResourceAttributes,"
            " SpanAttributes, Duration, StatusCode) SELECT now64(9), 't', toString(number), 'work', 'shop',"
            f" map('branchline.run.id', 'r1'), {attributes.format(branch='if(number % 2 = 0, {a}, {b})')},"
            " 1000000 * number, 'Unset' FROM numbers(10)"
        )
        .replace("{a}", "'a'")
        .replace("{b}", "'b'")
    )

    *_, branches, traces = asked(
        tmp_path,
        insert,
        insert,
        "SELECT Branch, toInt32(count()) AS spans, toInt32(sum(InputTokens)) AS tokens, round(sum(CostUsd), 6) AS cost,"
        " any(Run) AS run FROM otel.otel_traces FINAL WHERE Experiment = 'e' GROUP BY Branch ORDER BY Branch",
        "SELECT TraceId FROM otel.otel_traces_trace_id_ts GROUP BY TraceId",
    )

    assert branches == [
        {"Branch": branch, "spans": 5, "tokens": 500, "cost": 1.25, "run": "r1"} for branch in ("a", "b")
    ]
    assert traces == [{"TraceId": "t"}]
