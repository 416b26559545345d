"""Setting a whole logging up, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from .accounts import said
from .configured import Wish
from .handler_config import described
from .handlers import reports
from .registry import LOGGERS
from .setup_config import LoggerConfig


@dataclass(frozen=True, kw_only=True)
class LoggingSetupResult:
    """What came of setting logging up."""

    success: bool
    handlers: tuple[str, ...] = ()
    """Where records go: files, the console, other machines."""
    processors: tuple[str, ...] = ()
    """What happens to them on the way."""
    loggers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    setup_duration_ms: float = 0.0
    config_hash: str = ""

    @property
    def handlers_created(self) -> int:
        """How many places there are."""
        return len(self.handlers)

    @property
    def processors_configured(self) -> int:
        """How many things happen on the way."""
        return len(self.processors)

    def get_summary(self) -> dict[str, object]:
        """Return all of it as plain values."""
        return {
            "success": self.success,
            "handlers_created": self.handlers_created,
            "processors_configured": self.processors_configured,
            "handlers": list(self.handlers),
            "processors": list(self.processors),
            "loggers": list(self.loggers),
            "warnings": list(self.warnings),
            "errors": list(self.errors),
            "setup_duration_ms": round(self.setup_duration_ms, 3),
            "config_hash": self.config_hash,
        }

    def to_dict(self) -> dict[str, object]:
        """Return it as ``status``, ``message``, ``handlers`` and ``loggers``."""
        told: dict[str, object] = {"status": "success" if self.success else "error", "message": self.to_string()}
        return {**told, "handlers": list(self.handlers), "loggers": list(self.loggers)}

    def to_string(self) -> str:
        """Return it as one line for a person."""
        if not self.success:
            return f"logging goes to the console alone: {'; '.join(self.errors)}"
        noted = f"; {'; '.join(self.warnings)}" if self.warnings else ""
        return f"logging goes to {', '.join(self.handlers)}{noted}"


def setup_logging(config: LoggerConfig | Mapping[str, object] | None = None) -> LoggingSetupResult:
    """Set logging up as *config* says, or the environment, and return what came of it.

    Setting it up again replaces what was there before. What cannot be set up is told in the result, and then the
    console has everything.

    Raises:
        ConfigError: for a mapping or an environment that makes no sense.
    """
    if config is None:
        config = LoggerConfig.from_env()
    elif not isinstance(config, LoggerConfig):
        config = LoggerConfig.of(config)
    began, before = time.perf_counter(), max((report.handler_id for report in reports()), default=0)
    sinks = config.sinks()
    try:
        for name, each in sinks.items():
            _wish(name, config, each)
    except Exception as error:  # a place that is none; the application is to be heard all the same
        _wish(f"{config.name}.trade", config, [])
        sinks = {config.name: [{"sink": "stderr", "level": config.log_level}]}
        _wish(config.name, config, sinks[config.name])
        errors: tuple[str, ...] = (said(error),)
    else:
        errors = ()
    return LoggingSetupResult(
        success=not errors,
        handlers=tuple(described(sink["sink"]) for each in sinks.values() for sink in each),
        processors=_processors(config),
        loggers=tuple(sinks),
        warnings=() if errors else _warnings(before),
        errors=errors,
        setup_duration_ms=(time.perf_counter() - began) * 1000,
        config_hash=config.digest,
    )


def _wish(name: str, config: LoggerConfig, sinks: list[dict[str, object]]) -> None:
    level = config.lowest_level() if name == config.name else None
    is_contextual = config.contextual_logging
    told = {"sinks": sinks, "level": level, "is_contextual": is_contextual}
    LOGGERS.logger(name, Wish(said=told, level=level, sinks=tuple(sinks), is_contextual=is_contextual), {})


def _processors(config: LoggerConfig) -> tuple[str, ...]:
    wanted = {
        "context": config.contextual_logging,
        "redaction": config.mask_sensitive_data,
        "rate_limit": config.rate_limit_enabled,
        "queue": config.async_logging,
        "json": config.json_logging or "json" in (config.console_format, config.file_format),
        "rotation": config.log_to_file,
        "compression": config.log_to_file and config.enable_compression,
        "encryption": config.log_to_file and config.enable_encryption,
    }
    return tuple(name for name, is_wanted in wanted.items() if is_wanted)


def _warnings(before: int) -> tuple[str, ...]:
    """Return what the places that were set up after the sink *before* say is wrong with them."""
    found = [report for report in reports() if report.handler_id > before and report.state == "failed"]
    return tuple(report.last_error for report in found)
