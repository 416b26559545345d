"""One event of an experiment, as it is logged and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..logs.json_lines import as_json
from .experiment_types import EventType, LogLevel, event_type
from .plain import plain_payload


@dataclass(frozen=True)
class LogEvent:
    """Something that happened in an experiment."""

    timestamp: str
    """When, as ISO 8601 in UTC."""
    level: LogLevel
    event: EventType | str
    """What happened; a text where it is nothing that this version knows."""
    experiment_id: str | None = None
    run_id: str | None = None
    payload: dict[str, Any] = field(default_factory=dict, hash=False)
    message: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, with all of its keys."""
        return {
            "timestamp": self.timestamp,
            "level": self.level.value,
            "event": str(self.event),
            "experiment_id": self.experiment_id,
            "run_id": self.run_id,
            "payload": self.payload,
            "message": self.message,
        }

    def to_json(self) -> str:
        """Return it as one line of JSON."""
        return as_json(self.to_dict())

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> LogEvent:
        """Return the event that ``to_dict`` told of; level and event may be in capitals.

        Raises:
            ValueError: for what cannot be one.
        """
        timestamp, payload = said.get("timestamp"), said.get("payload") or {}
        if not isinstance(timestamp, str) or "event" not in said or not isinstance(payload, Mapping):
            msg = f"{said!r} is no event: it needs a timestamp, an event, and a payload that is a mapping"
            raise ValueError(msg)
        return cls(
            timestamp=timestamp,
            level=LogLevel(said.get("level", "info")),
            event=event_type(said["event"]),
            experiment_id=_optional(said.get("experiment_id")),
            run_id=_optional(said.get("run_id")),
            payload=dict(payload),
            message=str(said.get("message") or ""),
        )


def log_event(
    event: EventType | str,
    payload: Mapping[str, object] | None = None,
    level: LogLevel | str = LogLevel.INFO,
    experiment_id: str | None = None,
    run_id: str | None = None,
    message: str = "",
) -> LogEvent:
    """Return an event of this moment; nothing is written.

    Raises:
        ValueError: for a level that there is not.
    """
    return LogEvent(
        timestamp=datetime.now(UTC).isoformat(),
        level=LogLevel(level),
        event=event_type(event),
        experiment_id=experiment_id,
        run_id=run_id,
        payload=plain_payload(payload),
        message=message,
    )


def _optional(value: object) -> str | None:
    return None if value is None else str(value)
