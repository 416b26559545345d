"""The structured logger: events with data in a context, as JSON, as text, or as both."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from ..errors import ConfigError
from ..standing_redaction import standing_redactor
from ..values import Value
from .escapes import on_one_line
from .formats import masked
from .json_lines import as_json
from .levels import level_number
from .registry import LOGGERS, get_logger
from .templates import described


# A logger lives as long as its program, and nobody reads more than this.
_MOST_ENTRIES: Final = 10_000


class OutputFormat(Enum):
    """What an entry looks like: a line of JSON, a line of text, or first the one and then the other."""

    JSON = "json"
    CONSOLE = "console"
    BOTH = "both"


@dataclass(frozen=True)
class LogContext:
    """What every entry of a logger is about."""

    experiment_id: str | None = None
    run_id: str | None = None
    step: str | None = None
    model: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """Return what is known, all in one mapping."""
        named = {name: getattr(self, name) for name in _NAMED}
        return {**{name: value for name, value in named.items() if value not in (None, "")}, **self.extra}

    def merge(self, other: LogContext) -> LogContext:
        """Return both; what *other* says counts more, and an empty text in it clears what this one says."""
        said = {name: value for name in _NAMED if (value := getattr(other, name)) is not None}
        return replace(self, **said, extra={**self.extra, **other.extra})


_NAMED: Final = tuple(found.name for found in fields(LogContext) if found.name != "extra")


@dataclass(frozen=True, kw_only=True)
class StructuredLogEntry:
    """One entry, as it was logged."""

    timestamp: datetime
    level: str
    event: str
    context: Mapping[str, Value] = field(default_factory=dict)
    data: Mapping[str, Value] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as one mapping; data of the same name as something else is under ``data``."""
        told: dict[str, Any] = {
            "timestamp": self.timestamp.isoformat(),
            "level": self.level,
            "event": self.event,
        }
        beside: dict[str, Value] = {}
        for key, value in [*self.context.items(), *self.data.items()]:
            (beside if key in _RESERVED else told)[key] = value
        return told | ({"data": beside} if beside else {})

    def to_json(self) -> str:
        """Return it as one line of JSON."""
        return as_json(self.to_dict())

    def to_console(self) -> str:
        """Return it as one line of text."""
        pairs = described({**self.context, **self.data}, between=" ")
        moment = self.timestamp.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        return on_one_line(f"{moment} [{self.level:<5}] {self.event}{' ' if pairs else ''}{pairs}")


_RESERVED: Final = frozenset({"timestamp", "level", "event", "data"})


class StructuredLogger:
    """Logs events with data: to stderr or wherever *output_handler* takes a line, and to the run.

    There is no level below which it is silent. ``get_entries`` has what it has logged itself.
    """

    def __init__(
        self,
        name: str = "persona",
        output_format: OutputFormat = OutputFormat.CONSOLE,
        context: LogContext | None = None,
        output_handler: Callable[[str], object] | None = None,
    ) -> None:
        """Log under this *name*, about that *context*."""
        self.name = name
        self.output_format = _format_of(output_format)
        self.context = context or LogContext()
        self._output = output_handler or _to_stderr
        self._entries: deque[StructuredLogEntry] = deque(maxlen=_MOST_ENTRIES)
        self._logger = get_logger(name)

    def bind(self, **context: object) -> StructuredLogger:
        """Return a logger about more than this one, which stays as it is; entries are its own."""
        named = {key: value for key, value in context.items() if key in _NAMED}
        others = {key: value for key, value in context.items() if key not in _NAMED and key != "extra"}
        given = context.get("extra")
        more = LogContext(**named, extra={**(given if isinstance(given, Mapping) else {}), **others})  # type: ignore[arg-type]  # as it comes
        return StructuredLogger(self.name, self.output_format, self.context.merge(more), self._output)

    def debug(self, event: str, /, **data: object) -> StructuredLogEntry:
        """Log a detail."""
        return self._log("debug", event, data)

    def info(self, event: str, /, **data: object) -> StructuredLogEntry:
        """Log what happens."""
        return self._log("info", event, data)

    def warning(self, event: str, /, **data: object) -> StructuredLogEntry:
        """Log what somebody should look at."""
        return self._log("warn", event, data)

    warn = warning

    def error(self, event: str, /, **data: object) -> StructuredLogEntry:
        """Log what went wrong."""
        return self._log("error", event, data)

    def get_entries(self, level: str | None = None) -> list[StructuredLogEntry]:
        """Return what was logged, of one level or of all; of very much the newest."""
        wanted = None if level is None else level_number(level)
        return [entry for entry in self._entries if wanted is None or level_number(entry.level) == wanted]

    def _log(self, level: str, event: str, data: Mapping[str, object]) -> StructuredLogEntry:
        context = masked(self.context.to_dict())
        entry = StructuredLogEntry(
            timestamp=datetime.now(UTC),
            level=level,
            event=standing_redactor().text(str(event)),
            context=context,
            data=masked(data),
        )
        self._entries.append(entry)
        for line in self._lines(entry):
            try:
                self._output(line)
            except Exception:  # the user's function
                logging.Handler().handleError(logging.makeLogRecord({"msg": line}))
        self._logger.log(level, "%s", entry.event, stacklevel=3, extra={**context, **entry.data})
        return entry

    def _lines(self, entry: StructuredLogEntry) -> Iterator[str]:
        if self.output_format is not OutputFormat.CONSOLE:
            yield entry.to_json()
        if self.output_format is not OutputFormat.JSON:
            yield entry.to_console()


def configure_logging(
    output_format: OutputFormat = OutputFormat.CONSOLE,
    context: LogContext | None = None,
    *,
    output_handler: Callable[[str], object] | None = None,
) -> StructuredLogger:
    """Say what ``get_structured_logger`` gives from now on, in place of what was said before; return the first one.

    Those that somebody has got before stay as they are.
    """

    def made(name: str) -> StructuredLogger:
        return StructuredLogger(name, output_format, context, output_handler)

    LOGGERS.structured.clear()
    LOGGERS.structured_maker = made
    return get_structured_logger()


def get_structured_logger(name: str = "persona") -> StructuredLogger:
    """Return the structured logger called *name*: one for each name, as ``configure_logging`` says."""
    made = LOGGERS.structured_maker or StructuredLogger
    # Of two threads that ask at once, both get the same.
    found: StructuredLogger = LOGGERS.structured.setdefault(name, made(name))
    return found


def _format_of(said: object) -> OutputFormat:
    try:
        return OutputFormat(said)
    except ValueError:
        msg = f"output_format={said!r} is not accepted; accepted: {', '.join(each.value for each in OutputFormat)}"
        raise ConfigError(msg) from None


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
