"""A whole set-up of logging as one value: a console, a file for everything, one for trades and one for errors."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, Self

from .._files.encryption import KEY_VARIABLE, Key, key_of
from ..errors import ConfigError
from .levels import level_number
from .queueing import OVERFLOWS, Overflow
from .remote import destination_of
from .sinks.files import MOST_WAITING


Form = Literal["text", "json"]

_MEGABYTE: Final = 1024 * 1024
_MOST_BYTES: Final = 1024 * _MEGABYTE
_FORMS: Final = ("text", "json")
_TRUE: Final = ("true", "1", "yes", "on")
_FALSE: Final = ("false", "0", "no", "off")
# What others call the same.
_ALIASES: Final = {
    "max_file_size": "max_bytes",
    "structured_logging": "json_logging",
    "trade_log_file": "log_trade_file",
    "error_log_file": "log_error_file",
    "enable_contextual_logging": "contextual_logging",
}
_OTHER_OVERFLOWS: Final[Mapping[str, Overflow]] = {
    "drop": "drop_newest",
    "increase": "grow",
    "increase_temporarily": "grow",
}


@dataclass(frozen=True, kw_only=True)
class LoggerConfig:
    """How one Logger and those below it are to be set up; what makes no sense is refused when it is made.

    Raises:
        ConfigError: for a value that is not accepted, and where there would be no output at all.
    """

    name: str = "expert"
    log_level: str | int = "INFO"
    console_log_level: str | int | None = None
    """None: the same as *log_level*; so for files."""
    file_log_level: str | int | None = None
    log_to_console: bool = True
    log_to_file: bool = True
    log_dir: str | os.PathLike[str] = "logs"
    log_file: str = "expert.log"
    log_trade_file: str = "trades.log"
    """For what is logged by the Logger ``<name>.trade``; empty for none, as for the next."""
    log_error_file: str = "errors.log"
    max_bytes: int = 10 * _MEGABYTE
    backup_count: int = 5
    retention_days: int | None = None
    """In place of *backup_count*."""
    enable_compression: bool = False
    enable_encryption: bool = False
    """Of what is rotated away, and of the archive, with *encryption_key*, else with what BRANCHLINE_LOG_KEY says."""
    encryption_key: str | None = field(default=None, repr=False)
    use_colors: bool = True
    json_logging: bool = False
    console_format: Form | None = None
    """None: as *json_logging* says; so for files."""
    file_format: Form | None = None
    contextual_logging: bool = True
    """Whether records have the fields of the blocks that they are made in (`contextualize`)."""
    async_logging: bool = False
    async_queue_size: int = 10_000
    overflow_strategy: str = "block"
    buffer_size: int = MOST_WAITING
    """How many bytes wait in memory while a file cannot be written."""
    remote_destinations: tuple[str | Mapping[str, object], ...] = field(default=(), repr=False)
    """URLs, or mappings with a ``url`` and what is to be said of it besides."""
    rate_limit_enabled: bool = False
    max_logs_per_second: int = 1_000
    mask_sensitive_data: bool = True
    disk_space_check: bool = False
    disk_space_low_threshold_mb: int = 100
    cache_logger_on_first_use: bool = True
    """There is one Logger for each name in any case."""

    def __post_init__(self) -> None:
        for key in ("log_level", "console_log_level", "file_log_level"):
            if getattr(self, key) is not None:
                level_number(getattr(self, key), key)
        for key in _FLAGS:
            if not isinstance(getattr(self, key), bool):
                _refuse(key, getattr(self, key), "True, False")
        for key, most in _NUMBERS.items():
            _check_number(key, getattr(self, key), most)
        for key in ("console_format", "file_format"):
            if getattr(self, key) not in (None, *_FORMS):
                _refuse(key, getattr(self, key), "text, json")
        if self.overflow_strategy not in (*OVERFLOWS, *_OTHER_OVERFLOWS):
            _refuse("overflow_strategy", self.overflow_strategy, ", ".join((*OVERFLOWS, *_OTHER_OVERFLOWS)))
        if self.enable_encryption and self._key() is None:
            msg = f"enable_encryption needs encryption_key, or {KEY_VARIABLE} in the environment"
            raise ConfigError(msg)
        if not (self._destinations() or self.log_to_console or self.log_to_file):
            msg = "a logger needs an output: log_to_console, log_to_file or remote_destinations"
            raise ConfigError(msg)

    # ── other ways to say it ─────────────────────────────────────────────────────────────────────

    @classmethod
    def for_development(cls, **more: Any) -> Self:  # noqa: ANN401  # the fields
        """Return one that says everything, in colours, on the console and in files."""
        return cls(**{"log_level": "DEBUG", "use_colors": True, **more})

    @classmethod
    def for_production(cls, **more: Any) -> Self:  # noqa: ANN401  # the fields
        """Return one that says what somebody should look at, as JSON, in files."""
        return cls(**{"log_level": "WARNING", "json_logging": True, "log_to_console": False, **more})

    @classmethod
    def for_backtesting(cls, **more: Any) -> Self:  # noqa: ANN401  # the fields
        """Return one that says what happens, as JSON, in files."""
        return cls(**{"log_level": "INFO", "json_logging": True, "log_to_console": False, **more})

    @classmethod
    def of(cls, said: Mapping[str, object]) -> Self:
        """Return what a mapping says, in our words or others'.

        Raises:
            ConfigError: for a key that there is not, and for values as above.
        """
        known = {each.name for each in dataclasses.fields(cls)}
        given: dict[str, Any] = {_ALIASES.get(key, key): value for key, value in said.items()}
        for key in given:
            if key not in known:
                msg = f"unknown key {key!r} in the configuration of a logger; accepted: {', '.join(sorted(known))}"
                raise ConfigError(msg)
        if isinstance(given.get("remote_destinations"), list):
            given["remote_destinations"] = tuple(given["remote_destinations"])
        return cls(**given)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **explicit: Any) -> Self:  # noqa: ANN401  # the fields
        """Return what the environment says (``LOG_LEVEL``, ``LOG_DIRECTORY`` …); what is *explicit* counts more.

        Raises:
            ConfigError: for a variable that cannot be understood, and for values as above.
        """
        found = os.environ if env is None else env
        said = {
            name: read(variable, found[variable].strip())
            for variable, (name, read) in VARIABLES.items()
            if found.get(variable, "").strip()
        }
        return cls(**{**said, **explicit})

    # ── what it comes to ──────────────────────────────────────────────────────────────────────────

    @property
    def digest(self) -> str:
        """Sixteen hex digits that are the same wherever the same is said."""
        told = {
            each.name: str(getattr(self, each.name))
            for each in dataclasses.fields(self)
            if each.name != "encryption_key"
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    def sinks(self) -> dict[str, list[dict[str, object]]]:
        """Return the sinks of each Logger that has some, by its name."""
        level = self.log_level if self.file_log_level is None else self.file_log_level
        console = self.log_level if self.console_log_level is None else self.console_log_level
        shown = {"sink": "stderr", "level": console, "colors": "auto" if self.use_colors else False}
        found = [{**shown, **self._shared(self.console_format)}] if self.log_to_console else []
        if self.log_to_file and self.log_file:
            found.append({"sink": self._place(self.log_file), "level": level, **self._of_files()})
        if self.log_to_file and self.log_error_file:
            found.append({"sink": self._place(self.log_error_file), "level": "ERROR", **self._of_files()})
        found += [{"level": level, **self._shared("json"), **sink} for sink in self._destinations()]
        sinks = {self.name: found}
        if self.log_to_file and self.log_trade_file:
            sinks[f"{self.name}.trade"] = [{"sink": self._place(self.log_trade_file), **self._of_files()}]
        return sinks

    def lowest_level(self) -> int:
        """Return the level from which on anything is wanted."""
        said = [self.log_level, self.console_log_level, self.file_log_level]
        said += [sink.get("level") for sink in self._destinations()]  # type: ignore[misc]  # looked at with the rest
        return min(level_number(each) for each in said if each is not None)

    def _destinations(self) -> list[dict[str, object]]:
        found = [destination_of(each) for each in self.remote_destinations]
        return [sink for sink in found if sink is not None]

    def _key(self) -> Key | None:
        return key_of(self.encryption_key or os.environ.get(KEY_VARIABLE) or None)

    def _place(self, name: str) -> Path:
        return Path(self.log_dir).expanduser() / name

    def _shared(self, form: Form | None) -> dict[str, object]:
        shared: dict[str, object] = {
            "json": (form or ("json" if self.json_logging else "text")) == "json",
            "redact": self.mask_sensitive_data,
        }
        if self.async_logging:
            overflow = _OTHER_OVERFLOWS.get(self.overflow_strategy, self.overflow_strategy)
            shared |= {"enqueue": True, "queue_size": self.async_queue_size, "overflow": overflow}
        return shared | ({"rate_limit": f"{self.max_logs_per_second}/s"} if self.rate_limit_enabled else {})

    def _of_files(self) -> dict[str, object]:
        return {
            **self._shared(self.file_format),
            "rotation": self.max_bytes,
            "buffer": self.buffer_size,
            "retention": self.backup_count if self.retention_days is None else f"{self.retention_days} days",
            "compression": "gz" if self.enable_compression else None,
            "encryption": self._key() if self.enable_encryption else None,
            "min_free": self.disk_space_low_threshold_mb * _MEGABYTE if self.disk_space_check else None,
        }


_FLAGS: Final = tuple(each.name for each in dataclasses.fields(LoggerConfig) if each.type == "bool")
# And how many there may be.
_NUMBERS: Final[Mapping[str, int | None]] = {
    "max_bytes": _MOST_BYTES,
    "backup_count": None,
    "retention_days": None,
    "async_queue_size": None,
    "buffer_size": None,
    "max_logs_per_second": None,
    "disk_space_low_threshold_mb": None,
}


def _check_number(key: str, value: object, most: int | None) -> None:
    if value is None and key == "retention_days":
        return
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not is_number or not 0 < value <= (value if most is None else most):  # type: ignore[operator]  # it is one
        _refuse(key, value, "a positive whole number" + (f" up to {most:,}" if most else ""))


def _refuse(key: str, value: object, accepted: str) -> NoReturn:
    msg = f"{key}={value!r} is not accepted; accepted: {accepted}"
    raise ConfigError(msg)


# ── the environment ───────────────────────────────────────────────────────────────────────────────


def _flag(variable: str, said: str) -> bool:
    if said.lower() not in (*_TRUE, *_FALSE):
        _refuse(f"environment variable {variable}", said, ", ".join((*_TRUE, *_FALSE)))
    return said.lower() in _TRUE


def _number(variable: str, said: str, *, most: int | None = None) -> int:
    try:
        number = int(said)
    except ValueError:
        _refuse(f"environment variable {variable}", said, "a positive whole number")
    _check_number(f"environment variable {variable}", number, most)
    return number


# By the variable: the field that it is for, and what reads it.
VARIABLES: Final[Mapping[str, tuple[str, Any]]] = {
    "LOG_LEVEL": ("log_level", lambda _, said: said),
    "LOG_DIRECTORY": ("log_dir", lambda _, said: said),
    "EXPERT_LOG_FILE": ("log_file", lambda _, said: said),
    "TRADES_LOG_FILE": ("log_trade_file", lambda _, said: said),
    "ERRORS_LOG_FILE": ("log_error_file", lambda _, said: said),
    "ENABLE_ASYNC": ("async_logging", _flag),
    "MAX_FILE_SIZE_MB": ("max_bytes", lambda name, said: _number(name, said, most=1_000) * _MEGABYTE),
    "BACKUP_COUNT": ("backup_count", lambda name, said: _number(name, said, most=100)),
    "ENABLE_STRUCTURED_LOGGING": ("json_logging", _flag),
    "ENABLE_CONTEXTUAL_LOGGING": ("contextual_logging", _flag),
    "MASK_SENSITIVE_DATA": ("mask_sensitive_data", _flag),
    "CONSOLE_LOG_FORMAT": ("console_format", lambda _, said: said.lower()),
    "FILE_LOG_FORMAT": ("file_format", lambda _, said: said.lower()),
    "DISK_SPACE_CHECK": ("disk_space_check", _flag),
    "DISK_SPACE_LOW_THRESHOLD_MB": ("disk_space_low_threshold_mb", _number),
}
