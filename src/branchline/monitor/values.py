"""Performance metrics: single values of what matters for performance, with a unit and tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from .. import foreign
from ..current import CURRENT
from ..errors import ConfigError


_NAMES: Final = ("metricName", "metric_name", "name")
_KEYS: Final = frozenset({*_NAMES, "value", "unit", "timestamp", "tags"})


@dataclass(frozen=True)
class PerformanceMetric:
    """One value of something that matters for performance, with what it belongs to."""

    metric_name: str
    value: float
    unit: str | None = None
    tags: Mapping[str, object] = field(default_factory=dict, hash=False)
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)

    def __post_init__(self) -> None:
        wrong = list(_wrong(self))
        if wrong:
            msg = f"no performance metric: {'; '.join(wrong)}"
            raise ConfigError(msg)
        # A time without a zone is meant as the machine has it.
        object.__setattr__(self, "timestamp", self.timestamp.astimezone(UTC))

    def record(self) -> None:
        """Record it as a point of the run, on the step and branch that this code is in."""
        recorder = CURRENT.recorder or foreign.recorder()
        if recorder is not None:
            recorder.point(self.metric_name, self.value, self.unit, None, self.tags)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values: ``metricName``, ``value``, ``unit``, ``timestamp``, ``tags``."""
        return {
            "metricName": self.metric_name,
            "value": self.value,
            "unit": self.unit,
            "timestamp": self.timestamp.isoformat(),
            "tags": dict(self.tags),
        }

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> PerformanceMetric:
        """Return what ``to_dict`` has made plain values of.

        Raises:
            ConfigError: for what is missing, what is unknown and what is not accepted, all at once.
        """
        unknown = sorted(str(key) for key in said if key not in _KEYS)
        name = next((said[key] for key in _NAMES if key in said), None)
        more: dict[str, Any] = {key: said[key] for key in ("unit", "tags") if said.get(key) is not None}
        moment, is_time = _moment(said.get("timestamp"))
        wrong = [
            *([f"unknown {', '.join(unknown)}"] if unknown else []),
            *([] if is_time else [f"timestamp={said['timestamp']!r}, which is no time of ISO 8601"]),
            *_wrong_in(name, said.get("value"), more.get("unit"), more.get("tags", {})),
        ]
        if wrong:
            msg = f"no performance metric: {'; '.join(wrong)}"
            raise ConfigError(msg)
        if moment is not None:
            more["timestamp"] = moment
        return cls(str(name), said["value"], **more)


def _wrong(metric: PerformanceMetric) -> Iterable[str]:
    yield from _wrong_in(metric.metric_name, metric.value, metric.unit, metric.tags)
    if not isinstance(metric.timestamp, datetime):
        yield f"timestamp={metric.timestamp!r}, which is no datetime"


def _wrong_in(name: object, value: object, unit: object, tags: object) -> Iterable[str]:
    if not isinstance(name, str) or not name.strip():
        yield f"metric_name={name!r}, which is no name"
    if not isinstance(value, int | float) or isinstance(value, bool):
        yield f"value={value!r}, which is no number"
    if unit is not None and not isinstance(unit, str):
        yield f"unit={unit!r}, which is no text"
    if not isinstance(tags, Mapping):
        yield f"tags={tags!r}, which is no mapping"


def _moment(said: object) -> tuple[datetime | None, bool]:
    if said is None or isinstance(said, datetime):
        return said, True
    try:
        return datetime.fromisoformat(str(said)), True
    except ValueError:
        return None, False
