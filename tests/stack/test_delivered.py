"""What an application delivers arrives, through the real collector, whole: in Jaeger, in Prometheus and in files."""

from __future__ import annotations

import time

import pytest
from applications import EXPERIMENT, run
from series import of_journal, of_prometheus
from servers import Gateway, Jaeger, Prometheus, eventually, get
from told import LIFECYCLE, as_jaeger_tells, logs_in, spans_in, told, tree, uids_in

from endpoints import GrpcEndpoint, HttpEndpoint


pytestmark = pytest.mark.stack
PROTOCOLS = ("grpc", "http/protobuf", "http/json")


@pytest.fixture(scope="module")
def backends(tmp_path_factory):
    """Jaeger and Prometheus as they are, and endpoints that count in the places of Tempo and Loki."""
    home = tmp_path_factory.mktemp("backends")
    with (
        Prometheus(home / "prometheus") as prometheus,
        Jaeger(home / "jaeger", prometheus.url) as jaeger,
        GrpcEndpoint() as tempo,
        HttpEndpoint() as loki,
    ):
        yield jaeger, prometheus, tempo, loki


@pytest.fixture(scope="module")
def gateway(backends, tmp_path_factory):
    """The gateway as it is shipped, with its archive of logs switched on."""
    jaeger, prometheus, tempo, loki = backends
    home = tmp_path_factory.mktemp("gateway")
    to = {
        "JAEGER_OTLP": jaeger.otlp,
        "PROMETHEUS_OTLP": prometheus.otlp,
        "TEMPO_OTLP": f"127.0.0.1:{tempo.port}",
        "LOKI_OTLP": f"{loki.url}/otlp",
        "GATEWAY_LOGS_TO": "[otlp_http/loki, file/logs]",
    }
    with Gateway(home, **to) as gateway:
        yield gateway
        assert gateway.refused_or_dropped() == {}


@pytest.fixture(scope="module", params=PROTOCOLS)
def home(request, gateway, tmp_path_factory):
    """The journal of a run that was delivered over each of the protocols."""
    home = tmp_path_factory.mktemp(request.param.replace("/", "-"))
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": gateway.endpoint(request.param),
        "OTEL_EXPORTER_OTLP_PROTOCOL": request.param,
        "BRANCHLINE_EXIT_TIMEOUT": "60",
    }
    run(home, EXPERIMENT, home.name, env=env)
    return home


def test_the_tree_is_in_jaeger(backends, home):
    """
    Jaeger's API tells every span as the journal has it: names, parents, times, attributes, stamps, statuses, resource.
    """
    jaeger, *_ = backends
    journal = spans_in(home)
    [trace] = {span["trace"] for span in journal.values()}

    answered = eventually(lambda: jaeger.spans(trace), lambda spans: len(spans) >= len(journal))

    expected = {span_id: as_jaeger_tells(span) for span_id, span in journal.items()}
    assert {span["spanId"]: told(span, resource) for span, resource in answered} == expected
    assert len(answered) == len(journal) == 22
    assert tree(journal) == ["threshold", *_branches(journal)]


def _branches(journal):
    branch = ["    load", "      split", *["    answer"] * 4]
    names = sorted(
        (span["times"][0], span["name"])
        for span in journal.values()
        if span["attributes"]["branchline.kind"] == "branch"
    )
    return [line for _, name in names for line in (f"  {name}", *branch)]


def test_logs_are_in_the_archive(gateway, home):
    """
    The collector's file exporter has every log record once, as the journal has it, with its trace and span.
    """
    journal = logs_in(home)
    ours = {"branchline.run.id": home.name}

    def archived():
        return {uid: log for uid, log in logs_in(gateway.archive).items() if ours.items() <= log["resource"].items()}

    found = eventually(archived, lambda logs: len(logs) >= len(journal))

    assert found == journal
    assert {log["span"] for log in found.values() if not log["name"].startswith("branchline.")} <= set(spans_in(home))
    assert [uid for uid in uids_in(gateway.archive) if uid in journal] == sorted(journal)
    assert not LIFECYCLE & {log["name"] for log in found.values()}


def test_metrics_are_in_prometheus(backends, home):
    """
    Prometheus has every series of the journal with its last value: durations by branch, counters, histograms, gauges.
    """
    _, prometheus, *_ = backends
    journal = of_journal(home)
    [instance] = {span["resource"]["service.instance.id"] for span in spans_in(home).values()}

    found = eventually(lambda: of_prometheus(prometheus, instance), lambda series: series == journal)

    assert found == journal


def test_branches_compare_in_prometheus(backends, home):
    """
    Tokens, costs and durations of each branch are what the program used: asked for as a dashboard asks.
    """
    _, prometheus, *_ = backends
    [instance] = {span["resource"]["service.instance.id"] for span in spans_in(home).values()}

    def by_branch(metric):
        found = prometheus.query(f'sum by (branchline_branch_name) ({metric}{{service_instance_id="{instance}"}})')
        return {series["metric"]["branchline_branch_name"]: round(float(series["value"][1]), 9) for series in found}

    branches = [f"threshold={threshold} model.name=tiny model.layers=2" for threshold in (10, 50, 90)]
    tokens = eventually(lambda: by_branch("gen_ai_client_token_usage_sum"), lambda found: len(found) == 3)

    assert tokens == dict.fromkeys(branches, 406 + 40)
    assert by_branch("branchline_cost_total") == dict.fromkeys(branches, 0.004)
    assert by_branch("branchline_branch_duration_seconds_count") == dict.fromkeys(branches, 1)
    # load, split and four answers
    assert {name: count for name, count in by_branch("branchline_step_duration_seconds_count").items() if name} == (
        dict.fromkeys(branches, 6)
    )


def test_spans_are_counted_by_branch(backends, home):
    """
    The gateway counts the spans of whoever sends them, by branch, kind and outcome, and for no process of its own.
    """
    _, prometheus, *_ = backends
    labels = "branchline_branch_name, branchline_kind, branchline_outcome, service_name, service_instance_id"
    query = f"sum by ({labels}) (traces_span_metrics_calls_total)"
    branches = [f"threshold={threshold} model.name=tiny model.layers=2" for threshold in (10, 50, 90)]

    def counted():
        return {
            tuple(series["metric"].get(label, "") for label in labels.split(", ")): float(series["value"][1])
            for series in prometheus.query(query)
        }

    def is_right(found):
        # Every run so far has added the same.
        runs = found.get(("", "experiment", "success", "shop", ""), 0)
        return runs > 0 and found == {
            ("", "experiment", "success", "shop", ""): runs,
            **{(name, "step", "success", "shop", ""): 6 * runs for name in branches},
            **{(name, "branch", "success", "shop", ""): runs for name in branches[:2]},
            (branches[2], "branch", "failed", "shop", ""): runs,
        }

    assert is_right(eventually(counted, is_right))


def test_a_measured_span_leads_to_its_trace(backends, home):
    """
    Among the exemplars of the durations of spans are spans of this run, which Jaeger has.
    """
    _, prometheus, *_ = backends
    journal = spans_in(home)
    [trace] = {span["trace"] for span in journal.values()}

    def exemplars():
        query, end = "traces_span_metrics_duration_milliseconds_bucket", time.time()
        found = get(
            f"{prometheus.url}/api/v1/query_exemplars", query=query, start=f"{end - 600:.0f}", end=f"{end + 60:.0f}"
        )
        return {
            (exemplar["labels"]["trace_id"], exemplar["labels"]["span_id"])
            for series in found["data"]
            for exemplar in series["exemplars"]
        }

    found = eventually(exemplars, lambda pairs: any(of == trace for of, _ in pairs))

    assert {span for of, span in found if of == trace} <= set(journal)
    assert any(of == trace for of, _ in found)


def test_jaeger_shows_durations(backends, home):
    """
    Jaeger's Monitor tab finds the calls of the service, which it asks Prometheus for.
    """
    jaeger, *_ = backends

    found = eventually(
        lambda: get(f"{jaeger.page}/api/metrics/calls", service="shop", spanKind="internal", groupByOperation="true"),
        lambda answer: bool(answer["metrics"]),
    )

    labels = [{label["name"]: label["value"] for label in metric["labels"]} for metric in found["metrics"]]
    assert {"shop"} == {label["service_name"] for label in labels}
    assert {"load", "split", "answer", "threshold"} <= {label["operation"] for label in labels}


def test_all_backends_get_the_same(backends, gateway, home):
    """
    Whatever Jaeger gets, Tempo's place gets, and Loki's every log record: each once.
    """
    _, _, tempo, loki = backends
    spans = {f"{span['trace']}-{span_id}" for span_id, span in spans_in(home).items()}
    logs = set(logs_in(home))

    eventually(lambda: set(tempo.received.spans), lambda ids: spans <= ids)
    eventually(lambda: set(loki.received.logs), lambda ids: logs <= ids)

    assert {span: tempo.received.spans[span] for span in spans} == dict.fromkeys(spans, 1)
    assert {log: loki.received.logs[log] for log in logs} == dict.fromkeys(logs, 1)
