"""What ``get_logger`` may be told: the level and the sinks of one Logger, in the words that people have for them."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..errors import ConfigError
from .levels import level_number


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What somebody wants of a Logger."""

    said: Mapping[str, object]
    level: int | None = None
    sinks: tuple[Mapping[str, object], ...] = ()
    is_contextual: bool | None = None
    """Whether records have the fields of the blocks that they are made in; None: as the Logger above says."""


# What files have and terminals have not.
_OF_FILES: Final = (
    *("rotation", "retention", "max_total", "min_free", "compression", "encryption", "archive"),
    *("mode", "delay", "buffer"),
)
_OF_ALL: Final = (
    *("filter", "formatter", "format", "json", "serialize", "fields", "redact", "mask_pii", "sanitize_messages"),
    *("add_runtime_context", "integrity", "enqueue", "queue_size", "overflow", "rate_limit", "deduplicate", "catch"),
)
_OF_TERMINALS: Final = ("colors",)
_OF_OTHER_MACHINES: Final = ("backlog", "batch_size", "batch_timeout", "headers", "tls_verify")
_OWN: Final = (
    *("log_dir", "stdout", "stderr", "level", "rotation_mb", "retention_files", "secure_file_permissions", "sink"),
)
KEYS: Final = (*_OWN, *_OF_FILES, *_OF_ALL, *_OF_TERMINALS, *_OF_OTHER_MACHINES)

_MEGABYTE: Final = 1024 * 1024
_UNSAFE: Final = re.compile(r"[^\w.-]+")
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def wish_of(name: str, config: Mapping[str, object]) -> Wish:
    """Return what *config* says for the Logger called *name*.

    Raises:
        ConfigError: for a key or a value that is not accepted.
    """
    if not isinstance(config, Mapping):
        msg = f"config={config!r} is not accepted; accepted: a mapping of options"
        raise ConfigError(msg)
    _refuse_unknown(config)
    level = None if config.get("level") is None else level_number(config["level"])
    return Wish(said=dict(config), level=level, sinks=tuple(_sinks(name, config)))


def file_name(name: str) -> str:
    """Return what the log file of a Logger is called, whatever the Logger is."""
    safe = _UNSAFE.sub("_", name).lstrip(".")[:128] or "_"
    return f"{'_' if _DEVICE.fullmatch(safe) else ''}{safe}.log"


def _sinks(name: str, config: Mapping[str, object]) -> list[Mapping[str, object]]:
    shared: dict[str, object] = {key: config[key] for key in _OF_ALL if key in config}
    if "json" not in config:
        # Whoever says what a line looks like wants no JSON.
        shared["json"] = config.get("format") is None and config.get("formatter") is None
    sinks: list[Mapping[str, object]] = []
    of_file = _of_file(config)
    if config.get("sink") is not None:
        own = ("sink", *_OF_FILES, *_OF_TERMINALS, *_OF_OTHER_MACHINES)
        sinks.append({**shared, **{key: config[key] for key in own if key in config}})
    if config.get("log_dir"):
        sinks.append({"sink": _folder(config["log_dir"]) / file_name(name), **shared, **of_file})
    if sinks:
        # On the disk only: a terminal shows what the level lets through.
        shared.pop("filter", None)
    for stream, is_default in (("stdout", config.get("sink") is None), ("stderr", False)):
        if _flag(config, stream, default=is_default):
            sinks.append({"sink": stream, **shared, **{key: config[key] for key in _OF_TERMINALS if key in config}})
    return sinks


def _of_file(config: Mapping[str, object]) -> dict[str, object]:
    options: dict[str, Any] = {key: config[key] for key in _OF_FILES if config.get(key) is not None}
    if options.get("compression") == "none":
        del options["compression"]
    options.setdefault("mode", 0o600 if _flag(config, "secure_file_permissions", default=True) else 0o644)
    megabytes = _positive(config, "rotation_mb", 10.0)
    options.setdefault("rotation", int(megabytes * _MEGABYTE))
    if "retention" not in config or "retention_files" in config:
        files = _positive(config, "retention_files", 5)
        if files != int(files):
            msg = f"retention_files={files!r} is not accepted; accepted: a whole number above 0"
            raise ConfigError(msg)
        options.setdefault("retention", int(files))
    return options


def _folder(said: object) -> Path:
    if isinstance(said, str | os.PathLike) and "\0" not in os.fsdecode(said):
        return Path(os.fsdecode(said)).expanduser()
    msg = f"log_dir={said!r} is not accepted; accepted: a path, or None for no file"
    raise ConfigError(msg)


def _flag(config: Mapping[str, object], key: str, *, default: bool) -> bool:
    value = config.get(key)
    if value is None or isinstance(value, bool):
        return default if value is None else value
    msg = f"{key}={value!r} is not accepted; accepted: True or False"
    raise ConfigError(msg)


def _positive(config: Mapping[str, object], key: str, default: float) -> float:
    value = config.get(key)
    if value is None:
        return default
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return value
    msg = f"{key}={value!r} is not accepted; accepted: a number above 0"
    raise ConfigError(msg)


def _refuse_unknown(config: Mapping[str, object]) -> None:
    for key in config:
        if key not in KEYS:
            nearest = difflib.get_close_matches(str(key), KEYS, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"accepted: {', '.join(KEYS)}"
            msg = f"unknown key {key!r} in the config of a logger; {hint}"
            raise ConfigError(msg)
