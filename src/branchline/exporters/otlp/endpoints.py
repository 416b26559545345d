"""Endpoints: where each signal goes and how, decided from the options and the environment alone."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from ... import destinations
from ...destinations import OTLP, Compression, OtlpProtocol, Signal
from ...errors import ConfigError
from .proxies import proxy_for


_T = TypeVar("_T")

DEFAULT_SECONDS: Final = 10.0
_HTTP_PORT: Final = 4318
_GRPC_PORT: Final = 4317
_TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, kw_only=True)
class Place:
    """A server, and how a connection to it is made: what connections may be shared for."""

    host: str
    port: int
    is_secure: bool
    certificate: Path | None = None  # who signs the server's; None: whom the system trusts
    client_certificate: Path | None = None
    client_key: Path | None = None
    proxy: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.is_secure else 'http'}://{host}:{self.port}"

    @property
    def address(self) -> str:
        """Host and port as gRPC takes them."""
        return str(self).partition("://")[2]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where one signal goes, and how."""

    place: Place
    protocol: OtlpProtocol
    path: str = field(default="", repr=False)  # with the query: there may be a key in it
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_seconds: float = DEFAULT_SECONDS
    compression: Compression = "none"


def endpoints_for(options: OTLP, environment: Mapping[str, str]) -> dict[Signal, Endpoint]:
    """Return the endpoint of every signal that is to be delivered.

    Raises:
        ConfigError: for a variable that is not accepted.
    """
    wanted = options.signals
    if wanted is None:
        wanted = [signal for signal in destinations.SIGNALS if not _is_switched_off(signal, environment)]
    return {signal: _endpoint(options, _Variables(environment=environment, signal=signal)) for signal in wanted}


def is_configured(environment: Mapping[str, str]) -> bool:
    """Whether *environment* names an endpoint, for all signals or for one."""
    names = ["ENDPOINT", *(f"{signal.upper()}_ENDPOINT" for signal in destinations.SIGNALS)]
    return any(environment.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip() for name in names)


def hidden_in(endpoint: Endpoint) -> tuple[str, ...]:
    """Return what must not be seen in a message: the values of headers, the words behind them, and the query."""
    values = [value for name, value in endpoint.headers.items()]
    words = [value.rpartition(" ")[2] for value in values]
    return (*values, *words, endpoint.path.partition("?")[2])


def _is_switched_off(signal: Signal, environment: Mapping[str, str]) -> bool:
    return environment.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower() == "none"


@dataclass(frozen=True, kw_only=True)
class _Variables:
    """What the environment says for one signal: a variable of its own counts before the one for all."""

    environment: Mapping[str, str]
    signal: Signal

    def read(self, option: str, accepted: str, reader: Callable[[str], _T]) -> tuple[_T, bool] | None:
        """Return what is said about *option*, and whether for this signal alone; None for nothing."""
        for name in (f"{self.signal.upper()}_{option}", option):
            variable = f"OTEL_EXPORTER_OTLP_{name}"
            text = self.environment.get(variable, "").strip()
            if not text:
                # An empty variable counts as not set, as everywhere in OpenTelemetry.
                continue
            try:
                return reader(text), name != option
            except (ValueError, TypeError, KeyError):
                msg = f"environment variable {variable}={_shown(option, text)} is not accepted; accepted: {accepted}"
                raise ConfigError(msg) from None
        return None

    def value(self, option: str, accepted: str, reader: Callable[[str], _T]) -> _T | None:
        """Return what is said about *option*, or None."""
        found = self.read(option, accepted, reader)
        return None if found is None else found[0]


def _endpoint(options: OTLP, variables: _Variables) -> Endpoint:
    said = _said(options, variables)
    url, is_whole = (options.endpoint, False) if options.endpoint is not None else _url_of(variables)
    protocol: OtlpProtocol | None = said["protocol"]
    if protocol is None:
        protocol = "grpc" if url is not None and _split(url).port == _GRPC_PORT else "http/json"
    if url is None:
        url = f"http://localhost:{_GRPC_PORT if protocol == 'grpc' else _HTTP_PORT}"
    parts = _split(url)
    if not parts.scheme and protocol != "grpc":
        msg = f"OTLP endpoint {destinations.shown_url(url)!r} is not accepted for {protocol}; accepted: {_A_URL}"
        raise ConfigError(msg)
    place = _place(parts, said, protocol, variables.environment)
    path = "" if protocol == "grpc" else _path(parts, None if is_whole else variables.signal)
    compression: Compression = said["compression"] or ("none" if is_loopback(place.host) else "gzip")
    return Endpoint(
        place=place,
        protocol=protocol,
        path=path,
        headers=_with_user(said["headers"] or {}, parts),
        timeout_seconds=said["timeout"] or DEFAULT_SECONDS,
        compression=compression,
    )


# ── what is said ──────────────────────────────────────────────────────────────────────────────────

_A_URL: Final = "a URL such as http://localhost:4318 (for grpc also host:port)"
_A_FILE: Final = "the path of a PEM file"


def _said(options: OTLP, variables: _Variables) -> dict[str, Any]:
    """Return what is said: by argument, else by a variable of the signal, else by the one for all."""
    value = variables.value
    found = {
        "protocol": value("PROTOCOL", f"one of {', '.join(destinations.PROTOCOLS)}", destinations.protocol_name),
        "headers": value("HEADERS", "name=value,name=value, percent-encoded", _headers),
        "timeout": value("TIMEOUT", "a positive number of milliseconds", _milliseconds),
        "compression": value("COMPRESSION", "gzip or none", destinations.compression_name),
        "certificate": value("CERTIFICATE", _A_FILE, destinations.file_path),
        "client_certificate": value("CLIENT_CERTIFICATE", _A_FILE, destinations.file_path),
        "client_key": value("CLIENT_KEY", _A_FILE, destinations.file_path),
        "insecure": value("INSECURE", "true or false", lambda text: _TRUTHS[text.lower()]),
    }
    return {name: own if (own := getattr(options, name)) is not None else other for name, other in found.items()}


def _url_of(variables: _Variables) -> tuple[str | None, bool]:
    return variables.read("ENDPOINT", _A_URL, destinations.endpoint_url) or (None, False)


def _headers(text: str) -> Mapping[str, str]:
    # Names and values are percent-encoded, as in W3C baggage; nothing between two commas is nothing.
    pairs = [item.partition("=") for item in text.split(",") if item.strip()]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise ValueError
    return destinations.header_mapping({unquote(name.strip()): unquote(value.strip()) for name, _, value in pairs})


def _milliseconds(text: str) -> float:
    return destinations.seconds(float(text) / 1000)


def _shown(option: str, text: str) -> str:
    if option == "HEADERS":
        return "(not shown)"
    return repr(destinations.shown_url(text) if option == "ENDPOINT" else text)


# ── what follows from it ──────────────────────────────────────────────────────────────────────────


def _split(url: str) -> SplitResult:
    return urlsplit(url if "://" in url else f"//{url}")


def _place(
    parts: SplitResult, said: Mapping[str, Any], protocol: OtlpProtocol, environment: Mapping[str, str]
) -> Place:
    host = parts.hostname or ""
    # The scheme decides about TLS; only where there is none, the option does.
    is_secure = parts.scheme == "https" if parts.scheme else said["insecure"] is not True
    default_port = 443 if is_secure else _GRPC_PORT if protocol == "grpc" else 80
    port = parts.port or default_port
    tls = ("certificate", "client_certificate", "client_key")
    return Place(
        host=host,
        port=port,
        is_secure=is_secure,
        # gRPC finds its proxies by itself.
        proxy=None if protocol == "grpc" or is_loopback(host) else proxy_for(host, port, is_secure, environment),
        **({name: said[name] for name in tls} if is_secure else {}),
    )


def _path(parts: SplitResult, signal: Signal | None) -> str:
    """Return path and query; the base of all signals gets the path of the *signal*."""
    path = parts.path or "/" if signal is None else f"{parts.path.rstrip('/')}/v1/{signal}"
    return f"{path}?{parts.query}" if parts.query else path


def _with_user(headers: Mapping[str, str], parts: SplitResult) -> Mapping[str, str]:
    if parts.username is None or "authorization" in headers:
        return dict(headers)
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {**headers, "authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def is_address(host: str) -> bool:
    """Whether *host* is a number and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine."""
    if is_address(host):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")
