"""Options: what each option of ``configure()`` accepts, in words and as the function that reads it."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from .destinations import OTLP, MLflow, tracking_uri
from .limits import BudgetConfig
from .price_list import A_PRICE_LIST, price_list
from .quantities import A_DURATION, A_SIZE, seconds, size
from .redaction import Redactor


ResourceValue = str | bool | int | float | Sequence[str] | Sequence[bool] | Sequence[int] | Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Option:
    """How one field of Config is said: what is accepted, in words and as the function that reads it."""

    read: Callable[[object], object]  # raises for what it does not take
    accepted: str
    variable: str | None = None
    takes_none: bool = False  # None has a meaning of its own; elsewhere it is the same as saying nothing
    in_file: bool = True


TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})
_NEVER: Final = frozenset({"none", "never", "unlimited"})

_RUN_ID: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = value.strip().lower() if isinstance(value, str) else ""
    if text in TRUE | _FALSE:
        return text in TRUE
    raise ValueError


def _text(value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise ValueError


def _flag_or(*words: str) -> Callable[[object], bool | str]:
    def read(value: object) -> bool | str:
        return value if isinstance(value, str) and value in words else _flag(value)

    return read


def _one_of(*words: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise ValueError

    return read


def _path(value: object) -> Path:
    if not isinstance(value, str | os.PathLike) or "\0" in (text := os.fsdecode(value)) or not text:
        raise ValueError
    return Path(text).expanduser()


def _directory(value: object) -> Path:
    path = _path(value)
    # The journal says in JSON where it is: a name that is no text of any language cannot be said there.
    str(path).encode()
    return path


def _run_id(value: object) -> str:
    if isinstance(value, str) and _RUN_ID.fullmatch(value) and not _DEVICE.fullmatch(value):
        return value
    raise ValueError


def _level(value: object) -> int | None:
    if value is False or (isinstance(value, str) and value.strip().lower() in _FALSE):
        return None
    if isinstance(value, str):
        return logging.getLevelNamesMapping()[value.strip().upper()]
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError


def _log_file(value: object) -> Mapping[str, object] | None:
    if value is False or (isinstance(value, str) and value.strip().lower() in _FALSE):
        return None
    if isinstance(value, str) and "://" in value:
        # Another machine, or what is refused as one.
        return {"sink": value.strip()}
    return dict(value) if isinstance(value, Mapping) and value.get("sink") else {"sink": _path(value)}


def _duration_or_none(value: object) -> timedelta | None:
    return None if _is_never(value) else timedelta(seconds=seconds(value))


def _size_or_none(value: object) -> int | None:
    return None if _is_never(value) else size(value)


def _is_never(value: object) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in _NEVER)


def _redact(value: object) -> bool | Redactor:
    return value if isinstance(value, Redactor) else _flag(value)


def _otlp(value: object) -> OTLP | bool:
    if isinstance(value, OTLP):
        return value
    if value is False or (isinstance(value, str) and value.strip().lower() in _FALSE):
        return False
    if isinstance(value, str):
        return OTLP(value)
    raise ValueError


def _mlflow(value: object) -> MLflow | bool:
    if isinstance(value, MLflow):
        return value
    try:
        return MLflow() if _flag(value) else False
    except ValueError:
        if isinstance(value, Mapping):
            return MLflow(**value)
        return MLflow(tracking_uri(value))


def _budget(value: object) -> BudgetConfig | None:
    if isinstance(value, BudgetConfig):
        return value
    if isinstance(value, Mapping):
        return BudgetConfig.from_dict(value)
    if value is False:
        return None
    raise ValueError


def _sampler(value: object) -> object:
    if callable(getattr(value, "should_sample", None)) and not isinstance(value, type):
        return value
    raise ValueError


def _system_metrics(value: object) -> float | None:
    # As text, 1 is a second.
    if value is False or (isinstance(value, str) and value.strip().lower() in _FALSE):
        return None
    if value is True or (isinstance(value, str) and value.strip().lower() in TRUE - {"1"}):
        return _SAMPLED_EVERY
    every = seconds(value)
    if every >= _SAMPLED_AT_MOST_EVERY:
        return every
    raise ValueError


def _resource(value: object) -> dict[str, ResourceValue]:
    if not isinstance(value, Mapping):
        raise TypeError
    if all(isinstance(key, str) and key and _is_resource_value(item) for key, item in value.items()):
        return {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}
    raise ValueError


def _is_resource_value(value: object) -> bool:
    if isinstance(value, list | tuple):
        return len({type(item) for item in value}) <= 1 and all(isinstance(item, str | int | float) for item in value)
    return isinstance(value, str | int | float)


# As often as the instruments are looked at.
_SAMPLED_EVERY: Final = 10.0
_SAMPLED_AT_MOST_EVERY: Final = 0.1
_ON_OR_OFF: Final = "True or False (as text: true, yes, on, 1, false, no, off, 0)"

OPTIONS: Final[Mapping[str, Option]] = {
    "service_name": Option(read=_text, accepted="a text that is not empty", variable="OTEL_SERVICE_NAME"),
    "directory": Option(read=_directory, accepted="a path in UTF-8", variable="BRANCHLINE_DIR"),
    "run_id": Option(
        read=_run_id,
        accepted="1 to 128 of the characters A-Z a-z 0-9 . _ - with no dot in front, and no device name",
        variable="BRANCHLINE_RUN_ID",
    ),
    "otlp": Option(read=_otlp, accepted='a URL such as "http://localhost:4318", an OTLP, or False'),
    "mlflow": Option(
        read=_mlflow,
        accepted=f'{_ON_OR_OFF}, a tracking URI such as "http://localhost:5000", an MLflow, or a table of its fields',
        variable="BRANCHLINE_MLFLOW",
    ),
    "console": Option(read=_flag_or("auto"), accepted=f'"auto", {_ON_OR_OFF}', variable="BRANCHLINE_CONSOLE"),
    "verbosity": Option(
        read=_one_of("VERBOSE", "REGULAR", "QUIET", "NONE"),
        accepted="one of VERBOSE, REGULAR, QUIET, NONE",
        variable="BRANCHLINE_VERBOSITY",
    ),
    "log_file": Option(
        read=_log_file,
        accepted='a path, a URL, what a sink is made of ({"sink": path, "rotation": "10 MB", …}), or False',
        variable="BRANCHLINE_LOG_FILE",
    ),
    "capture_logs": Option(
        read=_level,
        accepted="a level of the logging module (DEBUG, INFO, WARNING, ERROR, CRITICAL, or its number), or False",
        variable="BRANCHLINE_CAPTURE_LOGS",
    ),
    "capture_warnings": Option(read=_flag, accepted=_ON_OR_OFF, variable="BRANCHLINE_CAPTURE_WARNINGS"),
    "capture_uncaught": Option(read=_flag, accepted=_ON_OR_OFF, variable="BRANCHLINE_CAPTURE_UNCAUGHT"),
    "events_on_spans": Option(read=_flag, accepted=_ON_OR_OFF, variable="BRANCHLINE_EVENTS_ON_SPANS"),
    "capture": Option(
        read=_flag_or("args", "result"), accepted=f'"args", "result", {_ON_OR_OFF}', variable="BRANCHLINE_CAPTURE"
    ),
    "prices": Option(read=price_list, accepted=A_PRICE_LIST),
    "budget": Option(read=_budget, accepted="a BudgetConfig, a table of its fields, or False"),
    "redact": Option(read=_redact, accepted=f"a Redactor, {_ON_OR_OFF}", variable="BRANCHLINE_REDACT"),
    "sampler": Option(read=_sampler, accepted="an OpenTelemetry Sampler (it has should_sample())", in_file=False),
    "system_metrics": Option(
        read=_system_metrics,
        accepted=f"True, False, or how often: {A_DURATION}, at least 0.1 s",
        variable="BRANCHLINE_SYSTEM_METRICS",
    ),
    "resource": Option(
        read=_resource,
        accepted="a mapping of text to text, numbers, booleans, or lists of one of these",
        variable="OTEL_RESOURCE_ATTRIBUTES",
    ),
    "propagate": Option(read=_flag, accepted=_ON_OR_OFF, variable="BRANCHLINE_PROPAGATE"),
    "durability": Option(
        read=_one_of("crash", "batch", "power"),
        accepted="one of crash, batch, power",
        variable="BRANCHLINE_DURABILITY",
    ),
    "memory_limit": Option(read=size, accepted=A_SIZE, variable="BRANCHLINE_MEMORY_LIMIT"),
    "max_wait": Option(read=seconds, accepted=A_DURATION, variable="BRANCHLINE_MAX_WAIT"),
    "retention": Option(
        read=_duration_or_none,
        accepted=f"{A_DURATION}, or None (as text: never) to keep every run",
        variable="BRANCHLINE_RETENTION",
        takes_none=True,
    ),
    "max_total": Option(
        read=_size_or_none,
        accepted=f"{A_SIZE}, or None (as text: unlimited)",
        variable="BRANCHLINE_MAX_TOTAL",
        takes_none=True,
    ),
    "signals": Option(read=_flag, accepted=_ON_OR_OFF, variable="BRANCHLINE_SIGNALS"),
    "exit_timeout": Option(read=seconds, accepted=A_DURATION, variable="BRANCHLINE_EXIT_TIMEOUT"),
}
