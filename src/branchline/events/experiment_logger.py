"""The logger of an experiment: its events in memory, in a file of JSON lines, and in the run."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from opentelemetry import trace

from .. import names
from ..logs.handlers import Handlers
from ..logs.records import Record, made_record
from ..redaction import Redactor
from ..standing_redaction import redactor_by
from .experiment_event import LogEvent, log_event
from .experiment_types import EventType, LogLevel
from .experiment_types import event_type as known_type
from .plain import plain_value
from .saying import say, side_by_side


# What ``get_events`` can go back to; the file and the run have all.
MOST_REMEMBERED: Final = 100_000

_FILE: Final = "experiment.jsonl"
_DEBUG_FILE: Final = "debug.jsonl"
_SEVERITIES: Final = {LogLevel.DEBUG: "DEBUG", LogLevel.INFO: "INFO", LogLevel.WARN: "WARN", LogLevel.ERROR: "ERROR"}


class ExperimentLogger:
    """Logs what happens in an experiment: to ``experiment.jsonl`` in *log_dir*, to memory, and to the run.

    A file that would be larger than *max_file_size* is rotated; nothing is lost by that, however often, and any number
    of loggers and processes may share one. With *enable_debug_log* DEBUG events are in ``debug.jsonl`` as well. What is
    logged after ``close`` is in memory and in the run. Secrets are taken out of payloads unless *redact* is False.

    Raises:
        ConfigError: for a size that is none, or a place that cannot be a file.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        experiment_id: str | None = None,
        run_id: str | None = None,
        max_file_size: int | str = 10 * 1024 * 1024,
        enable_debug_log: bool = False,
        *,
        redact: bool | Redactor = True,
    ) -> None:
        """Log for the experiment and the run with these ids; without *log_dir* to no file."""
        self.log_dir = None if log_dir is None else Path(log_dir)
        self.experiment_id = experiment_id
        self.run_id = run_id
        self._max_file_size = max_file_size
        self._enable_debug_log = enable_debug_log
        self._redact = redact
        # What is refused is refused now; which one stands, is asked each time.
        redactor_by(redact)
        self._events: deque[LogEvent] = deque(maxlen=MOST_REMEMBERED)
        self._count = 0
        self._files = Handlers()
        if self.log_dir is not None:
            self._write_to(self.log_dir / _FILE, {"rotation": max_file_size})
            if enable_debug_log:
                self._write_to(self.log_dir / _DEBUG_FILE, {"filter": _is_detail, "rotation": max_file_size})

    def _write_to(self, path: Path, options: Mapping[str, object]) -> None:
        # What is logged is a line already, and clean.
        self._files.add({"sink": path, "format": "{message}", "redact": False, "sanitize_messages": False, **options})

    # ── saying something ──────────────────────────────────────────────────────────────────────────

    def debug(self, event: EventType | str, payload: Mapping[str, object] | None = None, message: str = "") -> LogEvent:
        """Log a detail."""
        return self.log(LogLevel.DEBUG, event, payload, message)

    def info(self, event: EventType | str, payload: Mapping[str, object] | None = None, message: str = "") -> LogEvent:
        """Log what happens."""
        return self.log(LogLevel.INFO, event, payload, message)

    def warn(self, event: EventType | str, payload: Mapping[str, object] | None = None, message: str = "") -> LogEvent:
        """Log what somebody should look at."""
        return self.log(LogLevel.WARN, event, payload, message)

    warning = warn

    def error(self, event: EventType | str, payload: Mapping[str, object] | None = None, message: str = "") -> LogEvent:
        """Log what went wrong."""
        return self.log(LogLevel.ERROR, event, payload, message)

    def log(
        self,
        level: LogLevel | str,
        event: EventType | str,
        payload: Mapping[str, object] | None = None,
        message: str = "",
    ) -> LogEvent:
        """Log what happened, and return it; whatever is in the *payload*, never raises.

        An *event* that is no ``EventType`` is one of the run under its own name.
        """
        found = log_event(event, payload, _level(level), self.experiment_id, self.run_id, str(plain_value(message)))
        redactor = redactor_by(self._redact)
        if redactor is not None:
            found = _clean(found, redactor)
        self._count += 1
        self._events.append(found)
        if len(self._files):
            self._files.handle(_record(found))
        own = {"experiment_id": found.experiment_id, "run_id": found.run_id}
        say(
            names.EVENT_PREFIX + found.event.value if isinstance(found.event, EventType) else found.event,
            side_by_side({key: value for key, value in own.items() if value is not None}, found.payload, "payload"),
            severity=_SEVERITIES[found.level],
            message=found.message,
        )
        return found

    def bind(self, experiment_id: str | None = None, run_id: str | None = None) -> ExperimentLogger:
        """Return a logger for another experiment or run, with the same files and no events yet; this one stays."""
        return ExperimentLogger(
            self.log_dir,
            self.experiment_id if experiment_id is None else experiment_id,
            self.run_id if run_id is None else run_id,
            self._max_file_size,
            self._enable_debug_log,
            redact=self._redact,
        )

    # ── what was said ─────────────────────────────────────────────────────────────────────────────

    def get_events(
        self, level: LogLevel | str | None = None, event_type: EventType | str | None = None
    ) -> list[LogEvent]:
        """Return what this logger has logged, of that level and that type where they are given."""
        wanted = None if level is None else LogLevel(level)
        kind = None if event_type is None else known_type(event_type)
        return [
            event
            for event in list(self._events)
            if (wanted is None or event.level is wanted) and (kind is None or event.event == kind)
        ]

    @property
    def event_count(self) -> int:
        """How many events it has logged."""
        return self._count

    def flush(self, timeout: float | None = 5.0) -> bool:
        """Write what the disk would not take so far; true if all of it is written."""
        return self._files.flush(timeout)

    def close(self) -> bool:
        """Close the files; true if every event is in them. A second call does nothing."""
        return self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ExperimentLogger of {self._count} event(s) to {self.log_dir or 'memory'}>"


def _is_detail(record: logging.LogRecord) -> bool:
    return record.levelno <= logging.DEBUG


def _level(said: object) -> LogLevel:
    try:
        return LogLevel(said)  # type: ignore[arg-type]  # raises for what is none
    except ValueError:
        # An event whose level nobody knows is worth having all the same.
        return LogLevel.INFO


def _clean(event: LogEvent, redactor: Redactor) -> LogEvent:
    payload = {redactor.text(key): plain_value(redactor.value(key, value)) for key, value in event.payload.items()}
    return replace(event, payload=payload, message=redactor.text(event.message))


def _record(event: LogEvent) -> Record:
    level = getattr(logging, _SEVERITIES[event.level])
    return made_record("experiment", level, event.to_json(), (), {}, None, trace.get_current_span())
