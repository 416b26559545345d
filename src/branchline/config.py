"""Config: every option of ``configure()``, validated; arguments > environment > ``[tool.branchline]`` > defaults."""

from __future__ import annotations

import difflib
import logging
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote

from .destinations import OTLP as OTLP  # noqa: PLC0414  # the options of set-up are found here
from .destinations import MLflow as MLflow  # noqa: PLC0414  # the same
from .destinations import tracking_uri
from .errors import ConfigError
from .limits import BudgetConfig
from .links import NOWHERE, Links, read_links
from .price_list import A_PRICE_LIST, PriceList, price_list
from .quantities import A_DURATION, A_SIZE, seconds, size
from .redaction import Redactor
from .scripts import default_service_name


class Unset:
    """The type of ``UNSET``: an option about which nothing was said, so that None can be."""

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET: Final = Unset()

Verbosity = Literal["VERBOSE", "REGULAR", "QUIET", "NONE"]
Durability = Literal["crash", "batch", "power"]
ResourceValue = str | bool | int | float | Sequence[str] | Sequence[bool] | Sequence[int] | Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Config:
    """What ``configure()`` was told, in the types that the rest of branchline works with."""

    service_name: str
    directory: Path = Path(".branchline")
    run_id: str | None = None  # None: a new one
    otlp: OTLP | Literal[False] | None = None  # None: where the environment names an endpoint
    mlflow: MLflow | Literal[False] = False
    console: bool | Literal["auto"] = "auto"
    verbosity: Verbosity = "REGULAR"
    log_file: Mapping[str, object] | None = None  # a sink of all log records
    capture_logs: int | None = logging.INFO  # None: not at all
    capture_warnings: bool = False
    capture_uncaught: bool = False
    events_on_spans: bool = False
    capture: bool | Literal["args", "result"] = False
    prices: PriceList = field(default_factory=dict)  # of models; what is not in it is looked up
    budget: BudgetConfig | None = None
    redact: bool | Redactor = True
    sampler: object | None = None  # anything with should_sample(); None: OTEL_TRACES_SAMPLER, else everything
    system_metrics: float | None = None  # seconds; None: nothing is sampled
    resource: Mapping[str, ResourceValue] = field(default_factory=dict)  # without service.name
    propagate: bool = True
    durability: Durability = "crash"
    memory_limit: int = 64 * 1024**2  # bytes
    max_wait: float = 0.05  # seconds
    retention: timedelta | None = timedelta(days=30)  # None: for ever
    max_total: int | None = 5 * 1024**3  # bytes; None: no bound
    signals: bool = True
    exit_timeout: float = 2.0  # seconds
    links: Links = NOWHERE  # [tool.branchline.links], BRANCHLINE_JAEGER_URL and so on
    disabled: bool = False  # OTEL_SDK_DISABLED: record nothing
    strict: bool = False  # BRANCHLINE_STRICT: recording errors are raised, for tests


@dataclass(frozen=True, kw_only=True)
class Option:
    """How one field of Config is said: what is accepted, in words and as the function that reads it."""

    read: Callable[[object], object]  # raises for what it does not take
    accepted: str
    variable: str | None = None
    takes_none: bool = False  # None has a meaning of its own; elsewhere it is the same as saying nothing
    in_file: bool = True


def load_config(
    arguments: Mapping[str, object],
    *,
    env: Mapping[str, str],
    pyproject: Path | None = None,
    script: str | None = None,
) -> Config:
    """Return the Config that *arguments*, *env* and the file *pyproject* make together.

    *script* is ``sys.argv[0]``: what the service is called when nobody says its name.

    Raises:
        ConfigError: for an unknown option and for a value that is not accepted.
    """
    _refuse_unknown(arguments, "argument", [*OPTIONS, *NOT_YET])
    _refuse_future(arguments)
    from_file = _file_options(pyproject)
    links = from_file.pop("links", {})
    said = [
        _Source(said=from_file, described=f"[tool.branchline] in {pyproject}", is_file=True),
        _Source(said=_environment_options(env), described="environment", is_environment=True),
        _Source(said={key: value for key, value in arguments.items() if key not in NOT_YET}, described="argument"),
    ]
    chosen: dict[str, Any] = {}
    resource: dict[str, ResourceValue] = {}
    for source in said:
        read = source.options(base=pyproject.parent if pyproject is not None else None)
        attributes = read.pop("resource", {})
        resource |= attributes
        # A service name said less directly still counts more than one from a weaker source.
        if "service_name" not in read and "service.name" in attributes:
            read["service_name"] = str(attributes["service.name"])
        chosen |= read
    resource.pop("service.name", None)
    chosen.setdefault("service_name", default_service_name(script, env))
    chosen["links"] = read_links(env=env, table=links, described=f"[tool.branchline.links] in {pyproject}")
    chosen["disabled"] = env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    chosen["strict"] = env.get("BRANCHLINE_STRICT", "").strip().lower() in _TRUE
    return Config(**chosen, resource=resource)


def load_links(*, env: Mapping[str, str], pyproject: Path | None = None) -> Links:
    """Return where traces can be looked at, for those who only read: no other option has to be right.

    Raises:
        ConfigError: for a value that is not accepted.
    """
    table = _table(pyproject).get("links", {})
    return read_links(env=env, table=table, described=f"[tool.branchline.links] in {pyproject}")


def find_pyproject(start: Path) -> Path | None:
    """Return the nearest ``pyproject.toml`` at *start* or above it."""
    here = start.resolve()
    return next((path for folder in (here, *here.parents) if (path := folder / "pyproject.toml").is_file()), None)


# ── the values ────────────────────────────────────────────────────────────────────────────────────

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})
_NEVER: Final = frozenset({"none", "never", "unlimited"})

_RUN_ID: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = value.strip().lower() if isinstance(value, str) else ""
    if text in _TRUE | _FALSE:
        return text in _TRUE
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
    # The journal says in JSON where it is: a name that is no text of any language cannot be said there.
    text.encode()
    return Path(text).expanduser()


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
    if value is True or (isinstance(value, str) and value.strip().lower() in _TRUE - {"1"}):
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
    "directory": Option(read=_path, accepted="a path in UTF-8", variable="BRANCHLINE_DIR"),
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

# Named in the signature of configure() already; saying more than None or False is an error until they do something.
NOT_YET: Final = ("upload",)


# ── where they come from ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class _Source:
    said: Mapping[str, object]
    described: str
    is_environment: bool = False
    is_file: bool = False

    def options(self, *, base: Path | None) -> dict[str, Any]:
        """Return what this source says, read; a path in the file is meant from the file's folder, *base*."""
        read = {name: self._read(name, value) for name, value in self.said.items() if _is_said(name, value)}
        if self.is_file and base is not None and "directory" in read:
            read["directory"] = base / read["directory"]
        return read

    def _read(self, name: str, value: object) -> Any:  # noqa: ANN401 - each option has its own type; Config says which
        option = OPTIONS[name]
        if self.is_file and not option.in_file:
            msg = f"{name} cannot stand in {self.described}: say it as an argument of configure()"
            raise ConfigError(msg)
        try:
            return option.read(value)
        except ConfigError:
            # It says better what is wrong, and hides what is secret in a URL.
            raise
        except (ValueError, TypeError, KeyError, ArithmeticError, RuntimeError):
            described = f"environment variable {option.variable}" if self.is_environment else self.described
            msg = f"{name}={value!r} ({described}) is not accepted; accepted: {option.accepted}"
            raise ConfigError(msg) from None


def _is_said(name: str, value: object) -> bool:
    return value is not UNSET and (value is not None or OPTIONS[name].takes_none)


def _environment_options(env: Mapping[str, str]) -> dict[str, object]:
    # What we exported for our children is no instruction to ourselves.
    is_own_export = env.get("BRANCHLINE_OWNER") == str(os.getpid())
    said: dict[str, object] = {}
    for name, option in OPTIONS.items():
        text = env.get(option.variable, "") if option.variable is not None else ""
        # An empty variable counts as not set, as everywhere in OpenTelemetry.
        if text.strip() and not (is_own_export and name in {"run_id", "directory"}):
            said[name] = text
    if "resource" in said:
        said["resource"] = _resource_attributes(str(said["resource"]))
    return said


def _resource_attributes(text: str) -> dict[str, str]:
    # Platforms set this variable, often not the user: what is malformed is left out, as the SDK does.
    pairs = (item.split("=", 1) for item in text.split(",") if "=" in item)
    return {key.strip(): unquote(value.strip()) for key, value in pairs if key.strip()}


def _file_options(path: Path | None) -> dict[str, object]:
    table = _table(path)
    _refuse_unknown(table, f"option in [tool.branchline] of {path}:", [*OPTIONS, *NOT_YET, "links"])
    _refuse_future(table)
    return {key: value for key, value in table.items() if key not in NOT_YET}


def _table(path: Path | None) -> dict[str, object]:
    if path is None:
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("branchline", {})
    except (OSError, ValueError, AttributeError) as error:
        msg = f"cannot read [tool.branchline] in {path}: {error}"
        raise ConfigError(msg) from error
    if not isinstance(table, dict):
        msg = f"[tool.branchline] in {path} is {table!r}; accepted: a table of options"
        raise ConfigError(msg)
    return table


def _refuse_unknown(said: Iterable[str], described: str, known: Sequence[str]) -> None:
    for name in said:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"
            msg = f"unknown {described} {name!r}; {hint}"
            raise ConfigError(msg)


def _refuse_future(said: Mapping[str, object]) -> None:
    for name in NOT_YET:
        value = said.get(name)
        if value is not None and value is not False and value is not UNSET:
            msg = f"{name}={value!r}: this version of branchline does not have {name} yet; leave it out, or say None"
            raise ConfigError(msg)
