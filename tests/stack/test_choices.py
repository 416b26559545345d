"""What may be put behind the gateway's configuration, and its second line of redaction."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from applications import branchline, run
from servers import Gateway, eventually
from told import Item, contents, logs_in, spans_in

from endpoints import HttpEndpoint, certificates


pytestmark = pytest.mark.stack

ARCHIVE = {f"GATEWAY_{signal.upper()}_TO": f"[file/{signal}]" for signal in ("traces", "metrics", "logs")}

FEW = """\
import logging
import sys

import branchline as bl

with bl.configure("few", run_id=sys.argv[1], console=False, exit_timeout=60), bl.experiment("few"):
    for name in ("a", "b"):
        with bl.branch({"name": name}), bl.step("work"):
            logging.getLogger("few").warning("%s is done", name)
    print(bool(bl.flush(timeout=60)))
"""

# One trace a branch: errors, slow ones, and many of two branches of which one is rare.
BRANCHES = """\
import sys

import branchline as bl

def one(name, number, fails=False, seconds=0):
    try:
        with bl.branch({"name": name}, new_trace=True), bl.step("work", number=number) as step:
            if seconds:
                import time
                time.sleep(seconds)
            if fails:
                raise ValueError("no good")
    except ValueError:
        pass

with bl.configure("sampled", run_id=sys.argv[1], console=False, exit_timeout=60):
    for number in range(400):
        one("common", number)
    for number in range(40):
        one("rare", number)
    for number in range(7):
        one("common", number, fails=True)
    for number in range(3):
        one("rare", number, seconds=0.25)
"""

SECRETS = """\
import logging
import sys

import branchline as bl

with bl.configure("careless", run_id=sys.argv[1], console=False, exit_timeout=60, redact=False):
    with bl.step("call", api_key="abcdef", tokens=7, note="Bearer abcdefghijklmnopqrstuvwxyz") as step:
        step.stamp("asked", password="hunter2", input_tokens=3)
        logging.getLogger("careless").warning("with %s", "sk-abcdefghijklmnopqrstuvwxyz012345")
    bl.counter("calls").add(1, {"authorization": "abcdef", "kind": "a"})
"""


@pytest.fixture
def made(tmp_path):
    """A certificate for loopback, its authority, and a client's."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    return certificates(folder)


def secure(home, made, **env):
    """A gateway with TLS that takes two tokens."""
    home.mkdir()
    (home / "tokens").write_text("the-old-token\nthe-new-token\n")
    places = {"GATEWAY_TOKENS": home / "tokens", "GATEWAY_CERTIFICATE": made.server, "GATEWAY_KEY": made.server_key}
    return Gateway(home, "gateway-secure.yaml", **ARCHIVE, **places, **env)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "http/json"])
@pytest.mark.parametrize("token", ["the-old-token", "the-new-token"])
def test_tls_and_a_token(tmp_path, made, protocol, token):
    """
    Whoever knows a token and the authority delivers everything, over each protocol.
    """
    home = tmp_path / "application"
    with secure(tmp_path / "gateway", made) as gateway:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": gateway.endpoint(protocol).replace("http:", "https:"),
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(made.authority),
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {token}",
        }
        run(home, FEW, "secure", env=env)

        assert eventually(lambda: spans_in(gateway.archive), lambda spans: len(spans) >= 5) == spans_in(home)
        assert eventually(lambda: logs_in(gateway.archive), lambda logs: len(logs) >= 2) == logs_in(home)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "http/json"])
def test_a_wrong_token(tmp_path, made, protocol):
    """
    Nothing comes in with another token, the application is told so, and what was refused is delivered once it has one.
    """
    home = tmp_path / "application"
    with secure(tmp_path / "gateway", made) as gateway:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": gateway.endpoint(protocol).replace("http:", "https:"),
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(made.authority),
        }
        wrong = env | {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer not-the-token"}
        right = env | {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer the-new-token"}
        said = run(home, FEW, "refused", env=wrong)
        refused = list(contents(gateway.archive, "traces*"))
        branchline(home, "ship", "last", "--refused", env=right)

        assert said == "False"
        assert refused == []
        assert eventually(lambda: spans_in(gateway.archive), lambda spans: len(spans) >= 5) == spans_in(home)
        assert eventually(lambda: logs_in(gateway.archive), lambda logs: len(logs) >= 2) == logs_in(home)


@pytest.mark.parametrize("protocol", ["grpc", "http/json"])
def test_mutual_tls(tmp_path, made, protocol):
    """
    With an authority for clients, only those with a certificate of it get through, and nothing is lost meanwhile.
    """
    home = tmp_path / "application"
    with secure(tmp_path / "gateway", made, GATEWAY_CLIENT_CA=made.authority) as gateway:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": gateway.endpoint(protocol).replace("http:", "https:"),
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(made.authority),
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer the-new-token",
        }
        client = {
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(made.client),
            "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(made.client_key),
        }
        run(home, FEW.replace("timeout=60", "timeout=2"), "mutual", env=env)
        without = list(contents(gateway.archive, "traces*"))
        branchline(home, "ship", "last", env=env | client)

        assert without == []
        assert eventually(lambda: spans_in(gateway.archive), lambda spans: len(spans) >= 5) == spans_in(home)


def kept_by_chance(trace_id, percent):
    """
    Whether the collector keeps a trace by its share: FNV-1a over the salt and the id, against the share of all numbers.
    """
    number = 0xCBF29CE484222325
    for byte in b"default-hash-seed" + bytes.fromhex(trace_id):
        number = (number ^ byte) * 0x100000001B3 % 2**64
    return number <= int(percent / 100 * (2**64 - 1))


def test_a_part_of_the_traces(tmp_path):
    """
    All errors and all slow traces are kept, and of each branch the share that the ids decide; metrics see every span.
    """
    home = tmp_path / "application"
    env = {"GATEWAY_DECISION_WAIT": "2s", "GATEWAY_SLOW_MS": 200, "GATEWAY_SHARE_PERCENT": 20}
    with Gateway(tmp_path / "gateway", "gateway-sampling.yaml", **ARCHIVE, **env) as gateway:
        protocol = {"OTEL_EXPORTER_OTLP_ENDPOINT": gateway.endpoint("http/protobuf")}
        run(home, BRANCHES, "sampled", env=protocol)
        journal = spans_in(home)
        expected = expected_of(journal)

        found = eventually(lambda: set(spans_in(gateway.archive)), lambda spans: spans >= expected)
        calls = eventually(lambda: calls_in(gateway.archive), lambda count: count == len(journal))

        assert found == expected
        assert calls == len(journal) == 900
    kept = Counter(
        span["attributes"]["branchline.branch.name"] for span_id, span in journal.items() if span_id in found
    )
    assert len(kept) == 2
    print(f"kept of {len(journal)} spans: {dict(kept)}")


def expected_of(journal):
    """
    The spans that have to be kept.
    """
    traces: dict[str, dict[str, Item]] = {}
    for span_id, span in journal.items():
        traces.setdefault(span["trace"], {})[span_id] = span
    return {
        span_id
        for trace, spans in traces.items()
        for span_id in spans
        if kept_by_chance(trace, 20)
        or any(span["status"][0] == 2 for span in spans.values())
        or any(int(span["times"][1]) - int(span["times"][0]) > 200_000_000 for span in spans.values())
    }


def calls_in(archive):
    """
    How many spans the gateway has counted, by what it said last.
    """
    last = {}
    for line in contents(archive, "metrics*"):
        for resource in line.get("resourceMetrics", ()):
            for scope in resource["scopeMetrics"]:
                for metric in scope["metrics"]:
                    if metric["name"] == "traces.span.metrics.calls":
                        for point in metric["sum"]["dataPoints"]:
                            last[json.dumps(point["attributes"])] = int(point["asInt"])
    return sum(last.values())


def test_the_second_line_of_redaction(tmp_path):
    """
    What an application sends unredacted is masked before it goes on: by key and by shape, in all signals.
    """
    home = tmp_path / "application"
    with Gateway(tmp_path / "gateway", **ARCHIVE) as gateway:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": gateway.endpoint("http/protobuf")}
        run(home, SECRETS, "careless", env=env)
        [span] = eventually(lambda: spans_in(gateway.archive), bool).values()
        [log] = eventually(lambda: logs_in(gateway.archive), bool).values()
        points = eventually(lambda: points_of(gateway.archive, "calls"), bool)

    [(_, _, stamp)] = span["events"]
    own = span["attributes"]
    assert (own["api_key"], own["tokens"], own["note"]) == ("****", 7, "****")
    assert (stamp["password"], stamp["input_tokens"]) == ("****", 3)
    assert log["body"] == "with ****"
    assert points == [{"authorization": "****", "kind": "a"}]


def points_of(archive, name):
    """
    The attributes of the last points of the metric called *name*, without what the collector notes of its masking.
    """
    found = []
    for line in contents(archive, "metrics*"):
        for resource in line.get("resourceMetrics", ()):
            for scope in resource["scopeMetrics"]:
                for metric in scope["metrics"]:
                    if metric["name"] == name:
                        found = [
                            {
                                entry["key"]: entry["value"].get("stringValue")
                                for entry in point["attributes"]
                                if not entry["key"].startswith("redaction.")
                            }
                            for point in metric["sum"]["dataPoints"]
                        ]
    return found


@pytest.mark.parametrize("experiment", ["7", None])
def test_traces_for_mlflow(tmp_path, experiment):
    """
    MLflow gets traces when it is named, each request with the experiment that the application says, else the default.
    """
    home = tmp_path / "application"
    with HttpEndpoint() as mlflow:
        to = {"GATEWAY_TRACES_TO": "[file/traces, otlp_http/mlflow]", "MLFLOW_OTLP": f"{mlflow.url}/v1/traces"}
        with Gateway(tmp_path / "gateway", **ARCHIVE | to, MLFLOW_EXPERIMENT_ID=3) as gateway:
            env = {"OTEL_EXPORTER_OTLP_ENDPOINT": gateway.endpoint("http/protobuf")}
            if experiment is not None:
                env["OTEL_EXPORTER_OTLP_HEADERS"] = f"x-mlflow-experiment-id={experiment}"
            run(home, FEW, "mlflow", env=env)
            found = eventually(lambda: Counter(mlflow.received.spans), lambda spans: len(spans) >= 5)

    assert sorted(found.values()) == [1] * 5
    assert {request.headers["x-mlflow-experiment-id"] for request in mlflow.requests} == {experiment or "3"}
    assert {request.path for request in mlflow.requests} == {"/v1/traces"}
