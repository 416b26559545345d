"""Handler configurations: what ``add_handler`` accepts, and the handler that comes of it."""

from __future__ import annotations

import difflib
import logging
import os
import stat
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TextIO, cast

from .. import quantities
from .._files.archive import archiving_of
from .._files.backlog import MOST_BYTES
from .._files.compression import compression_of
from .._files.encryption import key_of
from .._files.retention import retention_of
from .._files.rotation import rotation_of
from .._files.tidying import Care
from ..errors import ConfigError
from . import formats
from .accounts import Account
from .admission import filter_of, rate_of, repeats_of
from .handler import Handler, Plan
from .levels import level_number
from .queueing import OVERFLOWS, Overflow
from .sinks.destinations import WireOptions
from .sinks.files import MOST_WAITING, FileSink
from .sinks.network import MOST_LINES, NetworkSink
from .sinks.places import CallableSink, HandlerSink, Sink, StreamSink
from .sinks.wires import without_secrets


FILE_KEYS: Final = (
    *("rotation", "retention", "max_total", "min_free", "compression", "encryption", "archive"),
    *("delay", "mode", "buffer"),
)
QUEUE_KEYS: Final = ("enqueue", "queue_size", "overflow")
NETWORK_KEYS: Final = ("backlog", "batch_size", "batch_timeout", "headers", "tls_verify")
KEYS: Final = (
    *("sink", "level", "filter", *formats.KEYS, *FILE_KEYS, *QUEUE_KEYS, *NETWORK_KEYS),
    *("rate_limit", "deduplicate", "catch"),
)
A_SINK: Final = (
    'a path, a stream, a callable, a logging.Handler, "stdout", "stderr", '
    'or a URL such as "syslog://host", "tcp://host:port", "udp://host:port", "https://host/path"'
)

_QUEUE_SIZE: Final = 10_000
_STANDARD: Final = ("stdout", "stderr")


def handler_of(config: Mapping[str, object], handler_id: int) -> Handler:
    """Return the handler that *config* describes.

    Raises:
        ConfigError: for a key or a value that is not accepted, or a file that cannot be one.
    """
    _check_keys(config)
    said = config["sink"]
    plan = _plan_of(config, _stream_of(said))
    account = Account(described(said))
    # The sink comes last: what is refused has opened no file.
    return Handler(handler_id, plan, _sink_of(said, config, account), account)


def described(sink: object) -> str:
    """Return what people call a *sink*."""
    if isinstance(sink, str | os.PathLike):
        return without_secrets(str(sink)) if "://" in str(sink) else str(sink)
    name = getattr(sink, "__qualname__", None) or getattr(sink, "name", None)
    return str(name) if isinstance(name, str) else type(sink).__name__


def _check_keys(config: Mapping[str, object]) -> None:
    if not isinstance(config, Mapping):
        msg = f"config={config!r} is not accepted; accepted: a mapping with the keys of a handler: {', '.join(KEYS)}"
        raise ConfigError(msg)
    for key in config:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            msg = f"{key!r} is no key of a handler{hint} There are: {', '.join(KEYS)}"
            raise ConfigError(msg)
    if config.get("sink") is None:
        msg = f"a handler needs a sink: {A_SINK}"
        raise ConfigError(msg)


def _plan_of(config: Mapping[str, object], stream: TextIO | None) -> Plan:
    queue_size = _whole("queue_size", config.get("queue_size", _QUEUE_SIZE), "records")
    formatting = {key: config[key] for key in formats.KEYS if key in config}
    return Plan(
        level=level_number(config.get("level") or logging.NOTSET),
        format=formats.formatter_of(formatting, stream=stream),
        is_passing=filter_of(config.get("filter")),
        rate=rate_of(config.get("rate_limit")),
        repeats=repeats_of(config.get("deduplicate")),
        is_catching=_flag(config, "catch", default=True),
        queue_size=queue_size if _flag(config, "enqueue", default=False) else 0,
        overflow=_overflow(config.get("overflow", "block")),
    )


def _flag(config: Mapping[str, object], name: str, *, default: bool) -> bool:
    value = config.get(name, default)
    if isinstance(value, bool):
        return value
    msg = f"{name}={value!r} is not accepted; accepted: True, False"
    raise ConfigError(msg)


def _whole(key: str, value: object, of_what: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    msg = f"{key}={value!r} is not accepted; accepted: a positive number of {of_what}"
    raise ConfigError(msg)


def _overflow(value: object) -> Overflow:
    for known in OVERFLOWS:
        if value == known:
            return known
    msg = f"overflow={value!r} is not accepted; accepted: {', '.join(OVERFLOWS)}"
    raise ConfigError(msg)


# ── sinks ─────────────────────────────────────────────────────────────────────────────────────────


def _stream_of(said: object) -> TextIO | None:
    """Return the stream that a sink is, if it is one that may be a terminal."""
    if said in _STANDARD:
        return cast("TextIO | None", getattr(sys, str(said)))
    return cast("TextIO", said) if callable(getattr(said, "write", None)) else None


def _sink_of(said: object, config: Mapping[str, object], account: Account) -> Sink:
    is_url = isinstance(said, str) and "://" in said
    if is_url:
        _refuse(config, [key for key in FILE_KEYS if key != "compression"], "files", said)
        return _network_sink(str(said), config, account)
    _refuse(config, NETWORK_KEYS, "other machines", said)
    if isinstance(said, str | os.PathLike) and said not in _STANDARD:
        return _file_sink(said, config, account)
    _refuse(config, FILE_KEYS, "files", said)
    if said in _STANDARD or callable(getattr(said, "write", None)):
        return StreamSink(said, account)
    if isinstance(said, logging.Handler):
        return HandlerSink(said, account, formats.clean_record_of(config))
    if callable(said):
        return CallableSink(said, account)
    msg = f"sink={said!r} is not accepted; accepted: {A_SINK}"
    raise ConfigError(msg)


def _refuse(config: Mapping[str, object], keys: Iterable[str], what: str, sink: object) -> None:
    for key in keys:
        if config.get(key) is not None and config[key] is not False:
            value = "" if key in ("encryption", "headers") else f"={config[key]!r}"
            msg = f"{key}{value} is for {what}, and {described(sink)} is none"
            raise ConfigError(msg)


def _network_sink(url: str, config: Mapping[str, object], account: Account) -> NetworkSink:
    compression = compression_of(config.get("compression"))
    if compression not in (None, "gz"):
        msg = f'compression={compression!r} is for files; requests have "gz"'
        raise ConfigError(msg)
    return NetworkSink(
        url,
        account,
        options=WireOptions(
            headers=_headers(config.get("headers")),
            verify=_verify(config.get("tls_verify")),
            is_compressed=compression is not None,
        ),
        max_bytes=_bytes(config, "backlog", MOST_BYTES),
        batch_size=_whole("batch_size", config.get("batch_size", MOST_LINES), "lines"),
        batch_seconds=_seconds(config.get("batch_timeout")),
    )


def _headers(said: object) -> dict[str, str]:
    if said is None:
        return {}
    pairs = list(said.items()) if isinstance(said, Mapping) else [(None, None)]
    if not all(isinstance(text, str) and text.isprintable() and text for pair in pairs for text in pair):
        msg = 'headers is not accepted; accepted: texts by name, such as {"Authorization": "Bearer …"}'
        raise ConfigError(msg)
    return dict(pairs)


def _verify(said: object) -> bool | str:
    if said is None or isinstance(said, bool):
        return said is not False
    if isinstance(said, str | os.PathLike):
        return os.fsdecode(said)
    msg = f"tls_verify={said!r} is not accepted; accepted: True, False, a file of certificates"
    raise ConfigError(msg)


def _seconds(said: object) -> float:
    try:
        return 0.0 if said is None else quantities.seconds(said)
    except (ValueError, KeyError):
        msg = f"batch_timeout={said!r} is not accepted; accepted: {quantities.A_DURATION}"
        raise ConfigError(msg) from None


def _bytes(config: Mapping[str, object], key: str, default: int) -> int:
    value = config.get(key)
    try:
        return default if value is None else quantities.size(value)
    except (ValueError, KeyError):
        msg = f"{key}={value!r} is not accepted; accepted: {quantities.A_SIZE}"
        raise ConfigError(msg) from None


def _file_sink(said: str | os.PathLike[str], config: Mapping[str, object], account: Account) -> FileSink:
    # Where it is now, whatever the current folder is later.
    path = Path(os.path.abspath(Path(said).expanduser()))  # noqa: PTH100 - links are not followed here
    _check_place(path, said)
    return FileSink(
        path,
        account,
        rotation=rotation_of(config.get("rotation")),
        care=Care(
            compression=compression_of(config.get("compression")),
            encryption=key_of(config.get("encryption")),
            retention=retention_of(
                config.get("retention"), max_total=config.get("max_total"), min_free=config.get("min_free")
            ),
            archiving=archiving_of(config.get("archive")),
        ),
        mode=_mode(config.get("mode", 0o600)),
        delay=_flag(config, "delay", default=False),
        most_waiting=_bytes(config, "buffer", MOST_WAITING),
    )


def _check_place(path: Path, said: Any) -> None:  # noqa: ANN401  # as it was given
    """Refuse what is there already and is no file: what else is wrong with the place may pass."""
    try:
        there = os.lstat(path)
    except ValueError as error:
        msg = f"sink={said!r} is not accepted: {error}"
        raise ConfigError(msg) from None
    except OSError:
        return
    if not stat.S_ISREG(there.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(there.st_mode) else "a folder or a device"
        msg = f"sink={said!r} is not accepted: it is {kind}, and not a file"
        raise ConfigError(msg)


def _mode(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0o200 <= value <= 0o777 and value & 0o200:
        return value
    msg = f"mode={value!r} is not accepted; accepted: permissions such as 0o600 or 0o640, with the owner's to write"
    raise ConfigError(msg)
