"""What a run has to do with logging beside taking records: the level of Loggers, the log file, and what nobody logs."""

from __future__ import annotations

from collections.abc import Mapping

from ..config import Config
from ..logs.bridge import Bridge
from ..logs.formats import use_redactor
from ..logs.handlers import Handlers, empty_queues
from ..logs.levels import VERBOSITIES, level_number
from ..logs.registry import LOGGERS
from ..logs.uncaught import UncaughtHook, WarningsHook
from ..redaction import Redactor


class LogWiring:
    """The level, the file and the hooks of one run."""

    def __init__(self, config: Config) -> None:
        """Open the log file, if there is one.

        Raises:
            ConfigError: for one that cannot be.
        """
        self._config = config
        self._level = VERBOSITIES[config.verbosity]
        self._sinks = None if config.log_file is None else self._opened(config.log_file)
        self._hooks: list[WarningsHook | UncaughtHook] = []

    def _opened(self, sink: Mapping[str, object]) -> Handlers:
        handlers = Handlers()
        said = {"redact": self._config.redact, **sink}
        if said.get("level") is not None:
            self._level = level_number(said["level"], "level of log_file")
        handlers.add({**said, "level": self._level})
        return handlers

    def attach(self, bridge: Bridge) -> None:
        """Begin."""
        LOGGERS.set_default_level(VERBOSITIES[self._config.verbosity])
        if isinstance(self._config.redact, Redactor):
            use_redactor(self._config.redact)
        if self._config.capture_logs is not None:
            bridge.attach(self._config.capture_logs)
        if self._sinks is not None:
            bridge.attach_sinks(self._sinks, self._level)
        if self._config.capture_warnings:
            self._hooks.append(WarningsHook(bridge.take))
        if self._config.capture_uncaught:
            self._hooks.append(UncaughtHook(bridge.take))
        for hook in self._hooks:
            hook.attach()

    def flush(self, timeout: float) -> bool:
        """Write what waits for the log file; true if all of it is written."""
        return self._sinks is None or self._sinks.flush(timeout)

    def close(self) -> None:
        """Close the log file."""
        if self._sinks is not None:
            self._sinks.close(self._config.exit_timeout)

    def detach(self, bridge: Bridge) -> None:
        """End: logging is as it was."""
        for hook in reversed(self._hooks):
            hook.detach()
        if self._sinks is not None:
            bridge.detach_sinks(self._sinks, self._level)
        self.close()
        if self._config.capture_logs is not None:
            bridge.detach(self._config.capture_logs)
        if isinstance(self._config.redact, Redactor):
            empty_queues(self._config.exit_timeout)
        LOGGERS.set_default_level(VERBOSITIES["REGULAR"])

    def let_go(self) -> None:
        """Let everything go by the default redactor again: all that the run says is said."""
        if isinstance(self._config.redact, Redactor):
            use_redactor(None)
