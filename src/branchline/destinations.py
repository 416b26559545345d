"""Destinations: where a run is delivered to, as values that set-up takes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal, cast
from urllib.parse import parse_qsl, quote, urlsplit

from .errors import ConfigError
from .redaction import REDACTED, Redactor


OtlpProtocol = Literal["http/json", "http/protobuf", "grpc"]
Compression = Literal["gzip", "none"]
Signal = Literal["traces", "logs", "metrics"]

PROTOCOLS: Final[tuple[OtlpProtocol, ...]] = ("http/json", "http/protobuf", "grpc")
COMPRESSIONS: Final[tuple[Compression, ...]] = ("gzip", "none")
SIGNALS: Final[tuple[Signal, ...]] = ("traces", "logs", "metrics")

_A_URL: Final = 'a URL such as "http://localhost:4318", or for grpc "host:port"'
_HEADERS: Final = "a mapping of header names to texts in ASCII, each in one line"
_SECONDS: Final = "a positive number of seconds, or a timedelta"
_REDACTOR: Final = Redactor()


@dataclass(frozen=True, repr=False)
class OTLP:
    """An OTLP endpoint; what is None here is what the ``OTEL_EXPORTER_OTLP_*`` variables say, else the default.

    *endpoint* is the base URL, to which ``/v1/traces`` and so on are added. *timeout* is seconds for one request.
    *signals* are those to deliver: all, unless a variable such as ``OTEL_LOGS_EXPORTER`` is ``none``. *lifecycle* also
    delivers the records that branchline writes for itself when something starts.
    """

    endpoint: str | None = None
    _: KW_ONLY
    protocol: OtlpProtocol | None = None
    headers: Mapping[str, str] | None = None
    timeout: float | timedelta | None = None
    compression: Compression | None = None
    certificate: str | os.PathLike[str] | None = None
    client_certificate: str | os.PathLike[str] | None = None
    client_key: str | os.PathLike[str] | None = None
    insecure: bool | None = None
    signals: Iterable[Signal] | None = None
    lifecycle: bool = False

    def __post_init__(self) -> None:
        for name, (accepted, read) in _OPTIONS.items():
            value = getattr(self, name)
            if value is None:
                continue
            try:
                object.__setattr__(self, name, read(value))
            except (ValueError, TypeError):
                shown = shown_url(str(value)) if name == "endpoint" else _shown(name, value)
                msg = f"OTLP({name}={shown!r}) is not accepted; accepted: {accepted}"
                raise ConfigError(msg) from None
        if self.client_key is not None and self.client_certificate is None:
            msg = f"OTLP(client_key={os.fspath(self.client_key)!r}) is not accepted without client_certificate"
            raise ConfigError(msg)

    def __repr__(self) -> str:
        said = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        defaults = {entry.name: entry.default for entry in fields(self)}
        shown = [f"{name}={_shown(name, value)!r}" for name, value in said.items() if value != defaults[name]]
        return f"OTLP({', '.join(shown)})"

    def __hash__(self) -> int:
        return hash((self.endpoint, self.protocol, self.timeout, self.compression, self.lifecycle))


@dataclass(frozen=True, repr=False)
class MLflow:
    """Where MLflow is; what is None here is what its own variables say.

    *uri* is the tracking URI: of a server, of a database file (``sqlite:///mlflow.db``, which it is where nothing else
    is said), or of a platform (``databricks``). *experiment* is the name of MLflow's experiment that all runs go to;
    else ``MLFLOW_EXPERIMENT_NAME`` or ``MLFLOW_EXPERIMENT_ID``; else each goes to the one called as its own experiment.
    *traces* says whether branches become traces as well; a URL is an OTLP endpoint that takes these, with *headers*.
    """

    uri: str | None = None
    _: KW_ONLY
    experiment: str | None = None
    traces: bool | str = True
    headers: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for name, (accepted, read) in _MLFLOW_OPTIONS.items():
            value = getattr(self, name)
            if value is None:
                continue
            try:
                object.__setattr__(self, name, read(value))
            except (ValueError, TypeError):
                shown = shown_url(value) if isinstance(value, str) else _shown(name, value)
                msg = f"MLflow({name}={shown!r}) is not accepted; accepted: {accepted}"
                raise ConfigError(msg) from None

    def __repr__(self) -> str:
        said = {"uri": self.uri and shown_url(self.uri), "experiment": self.experiment}
        shown = [f"{name}={value!r}" for name, value in said.items() if value is not None]
        shown += [] if self.traces is True else [f"traces={self.traces!r}"]
        return f"MLflow({', '.join(shown)})"

    def __hash__(self) -> int:
        return hash((self.uri, self.experiment, self.traces))


def shown_url(url: str) -> str:
    """Return *url* as it may be shown: without user, password and the values of secret-looking parameters."""
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return REDACTED
    user, at, place = parts.netloc.rpartition("@")
    query = "&".join(f"{quote(key)}={_shown_parameter(key, value)}" for key, value in pairs)
    shown = parts._replace(netloc=f"{REDACTED}@{place}" if user and at else place, query=query, fragment="")
    return _REDACTOR.text(shown.geturl())


def _shown_parameter(key: str, value: str) -> str:
    return REDACTED if _REDACTOR.is_secret(key) or "key" in key.lower() else quote(value)


def _shown(name: str, value: object) -> object:
    if name == "headers":
        return {str(key): REDACTED for key in value} if isinstance(value, Mapping) else REDACTED
    if name == "endpoint":
        return shown_url(str(value))
    return os.fspath(value) if isinstance(value, os.PathLike) else value


# ── the values ────────────────────────────────────────────────────────────────────────────────────


def endpoint_url(value: object) -> str:
    """Return *value* if a server may be there; raise ValueError if not."""
    if not isinstance(value, str):
        raise TypeError
    text = value.strip()
    if not text or any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError
    parts = urlsplit(text if "://" in text else f"//{text}")
    # Asking for the port checks it.
    if parts.scheme not in {"http", "https", ""} or not parts.hostname or parts.port == 0:
        raise ValueError
    if not parts.netloc.isascii() or parts.fragment:
        raise ValueError
    if not parts.scheme and (parts.port is None or parts.path or parts.query):
        raise ValueError
    return text


def protocol_name(value: object) -> OtlpProtocol:
    """Return *value* if it is a protocol of OTLP."""
    return cast("OtlpProtocol", _one_of(PROTOCOLS, value))


def compression_name(value: object) -> Compression:
    """Return *value* if it is a compression that every server knows."""
    return cast("Compression", _one_of(COMPRESSIONS, value))


def header_mapping(value: object) -> Mapping[str, str]:
    """Return the headers *value*, their names in lower case."""
    if not isinstance(value, Mapping):
        raise TypeError
    return {_header_name(name): _header_value(text) for name, text in value.items()}


def _header_name(name: object) -> str:
    if not isinstance(name, str) or not name.strip() or not name.strip().isascii():
        raise ValueError
    if any(character in name.strip() for character in ' \t\r\n\0:",;='):
        raise ValueError
    return name.strip().lower()


def _header_value(text: object) -> str:
    if not isinstance(text, str) or not text.isascii() or not text.isprintable():
        raise ValueError
    return text.strip()


def seconds(value: object) -> float:
    """Return *value* as a positive number of seconds."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number) or number <= 0:
        raise ValueError
    return float(number)


def file_path(value: object) -> Path:
    """Return the path *value*; whether there is a file is told when it is read."""
    if not isinstance(value, str | os.PathLike) or not (text := os.fsdecode(value).strip()) or "\0" in text:
        raise ValueError
    return Path(text).expanduser()


def _one_of(words: tuple[str, ...], value: object) -> str:
    if isinstance(value, str) and value.strip().lower() in words:
        return value.strip().lower()
    raise ValueError


def _truth(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError


def _signals(value: object) -> tuple[Signal, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError
    chosen = tuple(value)
    if chosen and all(signal in SIGNALS for signal in chosen):
        return tuple(signal for signal in SIGNALS if signal in chosen)
    raise ValueError


def tracking_uri(value: object) -> str:
    """Return *value* if MLflow may be there."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    text = _one_line(value)
    if text.startswith(("http:", "https:")):
        endpoint_url(text)
    return text


def _one_line(value: object) -> str:
    if isinstance(value, str) and value.strip() and value.strip().isprintable():
        return value.strip()
    raise ValueError


def _experiment(value: object) -> str:
    text = _one_line(value)
    if len(text) > _LONGEST_EXPERIMENT or "://" in text:
        raise ValueError
    return text


def _traces(value: object) -> bool | str:
    return value if isinstance(value, bool) else endpoint_url(value)


_OPTIONS: Final[Mapping[str, tuple[str, Any]]] = {
    "endpoint": (_A_URL, endpoint_url),
    "protocol": (f"one of {', '.join(PROTOCOLS)}", protocol_name),
    "headers": (_HEADERS, header_mapping),
    "timeout": (_SECONDS, seconds),
    "compression": (f"one of {', '.join(COMPRESSIONS)}", compression_name),
    "certificate": ("the path of a PEM file", file_path),
    "client_certificate": ("the path of a PEM file", file_path),
    "client_key": ("the path of a PEM file", file_path),
    "insecure": ("True or False", _truth),
    "signals": (f"one or more of {', '.join(SIGNALS)}", _signals),
    "lifecycle": ("True or False", _truth),
}

_LONGEST_EXPERIMENT: Final = 500
_MLFLOW_OPTIONS: Final[Mapping[str, tuple[str, Any]]] = {
    "uri": ('a tracking URI such as "http://localhost:5000", "sqlite:///mlflow.db" or "databricks"', tracking_uri),
    "experiment": (f"a name of 1 to {_LONGEST_EXPERIMENT} characters; a place is said as uri", _experiment),
    "traces": ("True, False, or the URL of an OTLP endpoint", _traces),
    "headers": (_HEADERS, header_mapping),
}
