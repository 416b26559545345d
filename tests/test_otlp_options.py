"""Where each signal goes and how: from arguments and variables, without a network."""

from __future__ import annotations

import copy
import pickle
from datetime import timedelta
from pathlib import Path

import pytest

import branchline as bl
from branchline.exporters.otlp import transport_for
from branchline.exporters.otlp.endpoints import Endpoint, endpoints_for, is_configured
from branchline.exporters.otlp.proxies import proxy_for


def endpoint(options: bl.OTLP | None = None, signal: str = "traces", /, **variables: str) -> Endpoint:
    environment = {f"OTEL_EXPORTER_OTLP_{name}": text for name, text in variables.items()}
    return dict(endpoints_for(options or bl.OTLP(), environment))[signal]  # type: ignore[index]


def where(options: bl.OTLP | None = None, signal: str = "traces", /, **variables: str) -> str:
    found = endpoint(options, signal, **variables)
    return f"{found.protocol} {found.place}{found.path}"


# ── the option value ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "accepted"),
    [
        ({"endpoint": "localhost:4318/path"}, "a URL such as"),
        ({"endpoint": "ftp://localhost"}, "a URL such as"),
        ({"endpoint": "http://"}, "a URL such as"),
        ({"endpoint": "http://host:99999"}, "a URL such as"),
        ({"endpoint": "http://ho st"}, "a URL such as"),
        ({"endpoint": ""}, "a URL such as"),
        ({"endpoint": 4318}, "a URL such as"),
        ({"protocol": "http"}, "one of http/json, http/protobuf, grpc"),
        ({"headers": "a=b"}, "a mapping of header names"),
        ({"headers": {"a": "b\r\nc: d"}}, "a mapping of header names"),
        ({"headers": {"a b": "c"}}, "a mapping of header names"),
        ({"headers": {"a": "ü"}}, "a mapping of header names"),
        ({"headers": {"a": None}}, "a mapping of header names"),
        ({"timeout": 0}, "a positive number of seconds"),
        ({"timeout": "10"}, "a positive number of seconds"),
        ({"timeout": float("nan")}, "a positive number of seconds"),
        ({"compression": "zstd"}, "one of gzip, none"),
        ({"certificate": ""}, "the path of a PEM file"),
        ({"client_key": "/key.pem"}, "without client_certificate"),
        ({"insecure": "yes"}, "True or False"),
        ({"signals": "traces"}, "one or more of traces, logs, metrics"),
        ({"signals": []}, "one or more of traces, logs, metrics"),
        ({"signals": ["spans"]}, "one or more of traces, logs, metrics"),
        ({"lifecycle": 1}, "True or False"),
    ],
)
def test_a_wrong_option_says_what_is_right(options, accepted):
    """
    What cannot be is refused when it is said, with the option's name and what is accepted.
    """
    with pytest.raises(bl.ConfigError, match=accepted) as caught:
        bl.OTLP(**options)

    assert str(caught.value).startswith(f"OTLP({next(iter(options))}=")


def test_an_option_value_is_a_value():
    """
    Equal options are equal values, whatever types they were said in; they can be hashed, copied and sent elsewhere.
    """
    one = bl.OTLP(
        "http://h:1", timeout=timedelta(seconds=2), headers={"X-A": " b "}, certificate="/ca", signals={"logs"}
    )
    other = bl.OTLP("http://h:1", timeout=2, headers={"x-a": "b"}, certificate=Path("/ca"), signals=("logs",))

    assert one == other
    assert hash(one) == hash(other)
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one
    assert one != bl.OTLP("http://h:1")


def test_nothing_secret_is_shown():
    """
    Neither the value nor an error shows values of headers, users and passwords of URLs, and keys in their queries.
    """
    said = bl.OTLP("https://me:pw1@host:1/x?api_key=pw2&sig=pw3&a=b", headers={"X-Api-Key": "pw4"}, timeout=3)
    errors = []
    for options in ({"endpoint": "ftp://me:pw1@host"}, {"headers": {"a": "pw4\n"}}):
        with pytest.raises(bl.ConfigError) as caught:
            bl.OTLP(**options)
        errors.append(str(caught.value))
    for variable, text in (("ENDPOINT", "ftp://me:pw1@host"), ("HEADERS", "a=pw4\n,b"), ("HEADERS", "pw4")):
        with pytest.raises(bl.ConfigError) as caught:
            endpoint(**{variable: text})
        errors.append(str(caught.value))

    assert repr(said) == (
        "OTLP(endpoint='https://[redacted]@host:1/x?api_key=[redacted]&sig=[redacted]&a=b', "
        "headers={'x-api-key': '[redacted]'}, timeout=3.0)"
    )
    assert "pw" not in repr(said) + "".join(errors)
    assert "pw" not in repr(endpoints_for(said, {})) + repr(transport_for(said, {}))


# ── where it goes ─────────────────────────────────────────────────────────────────────────────────


def test_defaults():
    """
    Without a word, everything goes as JSON to the usual port of this machine, and uncompressed.
    """
    found = endpoints_for(bl.OTLP(), {})

    assert {signal: where(None, signal) for signal in found} == {
        "traces": "http/json http://localhost:4318/v1/traces",
        "logs": "http/json http://localhost:4318/v1/logs",
        "metrics": "http/json http://localhost:4318/v1/metrics",
    }
    assert {(one.timeout_seconds, one.compression, tuple(one.headers)) for one in found.values()} == {
        (10.0, "none", ())
    }


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"ENDPOINT": "http://h:4318"}, "http/json http://h:4318/v1/traces"),
        ({"ENDPOINT": "http://h:4318/"}, "http/json http://h:4318/v1/traces"),
        ({"ENDPOINT": "https://h/otlp/"}, "http/json https://h:443/otlp/v1/traces"),
        ({"ENDPOINT": "http://h"}, "http/json http://h:80/v1/traces"),
        ({"ENDPOINT": "http://h:4318/p?k=v"}, "http/json http://h:4318/p/v1/traces?k=v"),
        ({"ENDPOINT": "http://[::1]:4318"}, "http/json http://[::1]:4318/v1/traces"),
        ({"TRACES_ENDPOINT": "http://h:4318"}, "http/json http://h:4318/"),
        ({"TRACES_ENDPOINT": "http://h:4318/in?k=v", "ENDPOINT": "http://x"}, "http/json http://h:4318/in?k=v"),
        ({"LOGS_ENDPOINT": "http://h:4318"}, "http/json http://localhost:4318/v1/traces"),
        ({"ENDPOINT": "http://h:4317"}, "grpc http://h:4317"),
        ({"ENDPOINT": "http://h:4317", "PROTOCOL": "http/json"}, "http/json http://h:4317/v1/traces"),
        ({"ENDPOINT": "http://h:4318", "PROTOCOL": "grpc"}, "grpc http://h:4318"),
        ({"PROTOCOL": "grpc"}, "grpc http://localhost:4317"),
        ({"PROTOCOL": "http/protobuf"}, "http/protobuf http://localhost:4318/v1/traces"),
        ({"PROTOCOL": "grpc", "TRACES_PROTOCOL": "http/protobuf"}, "http/protobuf http://localhost:4318/v1/traces"),
        ({"PROTOCOL": "grpc", "ENDPOINT": "https://h/ignored"}, "grpc https://h:443"),
        ({"PROTOCOL": "grpc", "ENDPOINT": "http://h"}, "grpc http://h:4317"),
        ({"ENDPOINT": "h:4317"}, "grpc https://h:4317"),
        ({"ENDPOINT": "h:4317", "INSECURE": "true"}, "grpc http://h:4317"),
        ({"ENDPOINT": "h:4317", "INSECURE": "true", "TRACES_INSECURE": "false"}, "grpc https://h:4317"),
        ({"ENDPOINT": "https://h:4317", "INSECURE": "true"}, "grpc https://h:4317"),
        ({"ENDPOINT": "  ", "PROTOCOL": ""}, "http/json http://localhost:4318/v1/traces"),
    ],
)
def test_urls(variables, expected):
    """
    A base URL gets the signal's path, a URL of one signal is used as it is, the scheme decides about TLS.
    """
    assert where(**variables) == expected


def test_arguments_count_more_than_variables():
    """
    What is said as an argument holds for every signal, whatever the variables say of one.
    """
    options = bl.OTLP("http://mine:1", protocol="http/json", headers={"a": "1"}, timeout=1, compression="gzip")
    variables = {
        "TRACES_ENDPOINT": "http://other:2/x",
        "TRACES_PROTOCOL": "grpc",
        "HEADERS": "b=2",
        "TRACES_TIMEOUT": "500",
        "TRACES_COMPRESSION": "none",
    }

    found = endpoint(options, **variables)

    assert where(options, **variables) == "http/json http://mine:1/v1/traces"
    assert (found.headers, found.timeout_seconds, found.compression) == ({"a": "1"}, 1.0, "gzip")


def test_variables_of_one_signal_count_more():
    """
    Every variable exists for one signal too, and that one counts.
    """
    both = {
        "HEADERS": "a=1",
        "LOGS_HEADERS": "b=2",
        "TIMEOUT": "1000",
        "LOGS_TIMEOUT": "250",
        "COMPRESSION": "gzip",
        "LOGS_COMPRESSION": "none",
        "ENDPOINT": "https://h",
        "CERTIFICATE": "/ca",
        "LOGS_CERTIFICATE": "/logs-ca",
        "CLIENT_CERTIFICATE": "/c",
        "LOGS_CLIENT_CERTIFICATE": "/logs-c",
        "CLIENT_KEY": "/k",
        "LOGS_CLIENT_KEY": "/logs-k",
    }
    traces, logs = endpoint(**both), endpoint(None, "logs", **both)

    assert (traces.headers, traces.timeout_seconds, traces.compression) == ({"a": "1"}, 1.0, "gzip")
    assert (logs.headers, logs.timeout_seconds, logs.compression) == ({"b": "2"}, 0.25, "none")
    assert [str(path) for path in (traces.place.certificate, traces.place.client_certificate)] == ["/ca", "/c"]
    assert str(traces.place.client_key) == "/k"
    assert [str(path) for path in (logs.place.certificate, logs.place.client_certificate)] == ["/logs-ca", "/logs-c"]
    assert str(logs.place.client_key) == "/logs-k"


def test_headers_are_percent_decoded():
    """
    Names and values are percent-decoded, and only the first equals sign separates them.
    """
    assert endpoint(HEADERS="Authorization=Basic%20YTpi==, x%2Dy = 1%2C2 ,,").headers == {
        "authorization": "Basic YTpi==",
        "x-y": "1,2",
    }


@pytest.mark.parametrize(
    ("variable", "text", "accepted"),
    [
        ("ENDPOINT", "h:4318", "a URL such as"),
        ("ENDPOINT", "nonsense", "a URL such as"),
        ("TRACES_ENDPOINT", "http://h:x", "a URL such as"),
        ("PROTOCOL", "http", "one of http/json, http/protobuf, grpc"),
        ("HEADERS", "novalue", "name=value,name=value"),
        ("TIMEOUT", "10s", "a positive number of milliseconds"),
        ("TIMEOUT", "-1", "a positive number of milliseconds"),
        ("COMPRESSION", "deflate", "gzip or none"),
        ("INSECURE", "maybe", "true or false"),
    ],
)
def test_a_wrong_variable_says_what_is_right(variable, text, accepted):
    """
    A variable that cannot be understood is an error at set-up.
    """
    with pytest.raises(bl.ConfigError, match=accepted):
        endpoint(**{variable: text})


def test_signals_can_be_left_out():
    """
    All signals are delivered but those that OpenTelemetry's own switch turns off; an argument decides alone.
    """
    off = {"OTEL_LOGS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "otlp"}

    assert list(endpoints_for(bl.OTLP(), off)) == ["traces", "metrics"]
    assert list(endpoints_for(bl.OTLP(signals=["metrics", "logs"]), off)) == ["logs", "metrics"]


def test_compression_depends_on_the_way():
    """
    What leaves the machine is compressed, unless something else is said.
    """
    hosts = ["localhost", "127.0.0.1", "[::1]", "collector"]

    assert [endpoint(ENDPOINT=f"http://{host}:4318").compression for host in hosts] == ["none"] * 3 + ["gzip"]
    assert endpoint(ENDPOINT="http://collector", COMPRESSION="none").compression == "none"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://h"}, True),
    ],
)
def test_an_endpoint_is_configured_by_its_address(environment, expected):
    """
    Only the address of an endpoint switches delivery on.
    """
    assert is_configured(environment) is expected


def test_temporality_is_said():
    """
    A preference for another temporality is answered with what branchline does.
    """
    said: list[str] = []

    for preference in ("", "cumulative", "delta"):
        environment = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": preference}
        transport_for(bl.OTLP(), environment, say=said.append).close()

    [sentence] = said
    assert "the journal is cumulative" in sentence


# ── proxies ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ({"http_proxy": "http://q:1", "HTTP_PROXY": "http://p:1"}, "http://q:1"),
        ({"HTTPS_PROXY": "http://p:1"}, None),
        ({"ALL_PROXY": "p:1"}, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "x, collector.example.org"}, None),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": ".example.org"}, None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "*.example.org"}, None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "example.org:4318"}, None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "example.org:4319,ample.org,,org:"}, "http://p:1"),
    ],
)
def test_proxies(environment, expected):
    """
    The variables of proxies and their exceptions mean what they mean to other programs.
    """
    assert proxy_for("collector.example.org", 4318, False, environment) == expected


def test_this_machine_needs_no_proxy():
    """
    What goes to loopback goes there directly, and gRPC finds its proxies by itself.
    """
    environment = {"HTTP_PROXY": "http://p:1", "HTTPS_PROXY": "http://p:1"}
    urls = ["http://localhost:4318", "http://127.0.0.1:4318", "http://h:4317", "http://h:4318"]
    found = [endpoints_for(bl.OTLP(url), environment)["traces"].place.proxy for url in urls]

    assert found == [None, None, None, "http://p:1"]


def test_a_proxy_that_is_none():
    """
    A kind of proxy that we cannot use is an error at set-up, without its password.
    """
    with pytest.raises(bl.ConfigError, match="NO_PROXY") as caught:
        endpoints_for(bl.OTLP("http://h:4318"), {"ALL_PROXY": "socks5://me:pw@p:1"})

    assert "pw" not in str(caught.value)
