"""Config: every option of ``configure()``, validated; arguments > environment > ``[tool.branchline]`` > defaults."""

from __future__ import annotations

import difflib
import logging
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote

from .destinations import OTLP as OTLP  # noqa: PLC0414  # the options of set-up are found here
from .destinations import MLflow as MLflow  # noqa: PLC0414  # the same
from .errors import ConfigError
from .limits import BudgetConfig
from .links import NOWHERE, Links, read_links
from .options import OPTIONS as OPTIONS  # noqa: PLC0414  # what is said of them is found here
from .options import TRUE
from .options import ResourceValue as ResourceValue  # noqa: PLC0414  # the same
from .price_list import PriceList
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
    chosen["strict"] = env.get("BRANCHLINE_STRICT", "").strip().lower() in TRUE
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
