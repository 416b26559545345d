"""Alerts: what is said when a threshold is passed."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from .. import names
from ..context import attached
from ..current import CURRENT
from ..logs import foreign
from ..logs.severity import named, word_of
from ..metrics import counter
from ..recording import EventTaker
from ..standing_redaction import standing_redactor
from ..values import freeze
from ..watching import Measured
from .thresholds import Threshold


LOG: Final = logging.getLogger("branchline.monitor")


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert: which value of what has passed which limit, when and where."""

    name: str
    metric: str
    value: float
    limit: float
    side: str
    """``above`` or ``below``: where the value is, seen from the limit."""
    severity: str
    statistic: str = "last"
    """Of which values it is: the ``last`` one, or the ``mean``, ``p95`` and so on of those in the window."""
    unit: str = ""
    attributes: Mapping[str, object] = field(default_factory=dict, hash=False)
    """Of the series."""
    time: datetime
    held_seconds: float = 0.0
    """For how long the limit has been passed."""
    passed: int = 1
    """How many values have passed it since the last alert about this series."""
    run_id: str | None = None
    trace_id: str | None = None
    """Of the step whose value it is, where it is one's."""
    span_id: str | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex, compare=False)

    @property
    def message(self) -> str:
        """What has happened, as a sentence."""
        what = self.metric if self.statistic == "last" else f"the {self.statistic} of {self.metric}"
        series = ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in self.attributes.items())
        unit = f" {self.unit}" if self.unit not in ("", "1") else ""
        held = f" for {self.held_seconds:.3g} s" if self.held_seconds else ""
        told = f"{what}{f' ({series})' if series else ''}"
        return f"{told} is {_figure(self.value)}{unit}, {self.side} the limit of {_figure(self.limit)}{unit}{held}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        document = {name: getattr(self, name) for name in _FIELDS}
        return {
            "event": names.ALERT_EVENT,
            "message": self.message,
            **document,
            "attributes": dict(self.attributes),
            "time": self.time.isoformat(),
        }


_FIELDS: Final = (
    *("id", "name", "metric", "value", "limit", "side", "severity", "statistic", "unit", "held_seconds", "passed"),
    *("run_id", "trace_id", "span_id"),
)
# What a record says of it beside its message, its time, and the step that it belongs to.
_RECORDED: Final = ("name", "metric", "value", "limit", "side", "severity", "statistic", "unit", "held_seconds")


def alert_of(threshold: Threshold, measured: Measured, value: float, *, held: float, passed: int) -> Alert:
    """Return the alert that *threshold* raises about *measured*, whose *value* has passed it."""
    redactor = standing_redactor()
    return Alert(
        name=threshold.title,
        metric=threshold.metric,
        value=value,
        limit=threshold.limit,
        side=threshold.side,
        severity=threshold.severity,
        statistic=threshold.statistic,
        unit=measured.unit,
        # Whoever hears of it may write it anywhere.
        attributes={key: redactor.value(key, freeze(value)) for key, value in measured.attributes.items()},
        time=datetime.fromtimestamp(measured.time_unix_nano / 1e9, UTC),
        held_seconds=round(held, 3),
        passed=passed,
        run_id=CURRENT.run_id,
        trace_id=measured.trace_id,
        span_id=measured.span_id,
    )


def record_alert(alert: Alert) -> None:
    """Record *alert* as a log event, on the step that it is about if there is one, and count it."""
    told = {f"alert.{name}": getattr(alert, name) for name in _RECORDED}
    _say(names.ALERT_EVENT, alert, alert.severity, alert.message, **alert.attributes, **told)
    if CURRENT.measures is not None:
        CURRENT.measures.alerted(alert.metric, alert.severity)
        return
    # Without a run, for whatever meter provider the application has set.
    series = {names.ALERT_METRIC: alert.metric, names.ALERT_SEVERITY: alert.severity}
    counter(names.ALERTS, unit="{alert}", description="Thresholds that were passed.").add(1, series)


def record_not_taken(channel: object, alert: Alert, error: BaseException) -> None:
    """Log that a *channel* did not take an *alert*, and record it; its stack has nothing in it of the user's."""
    message = f"{channel} did not take the alert {alert.name}: {type(error).__name__}: {error}"
    LOG.error(message)
    # What a logger of ours says is in no journal by itself.
    _say(names.ALERT_NOT_TAKEN, alert, "ERROR", message, **{"alert.name": alert.name})


def _say(event: str, alert: Alert, severity: str, message: str, /, **attributes: object) -> None:
    with _place(alert):
        taker: EventTaker | None = CURRENT.events or foreign.events()
        if taker is not None:
            number = named(severity) or 0
            taker.event(event, attributes, number=number, text=word_of(number), body=message)


def _place(alert: Alert) -> AbstractContextManager[None]:
    """Make the step that *alert* is about current, which may have ended long ago."""
    if alert.trace_id is None or alert.span_id is None:
        return nullcontext()
    place = SpanContext(int(alert.trace_id, 16), int(alert.span_id, 16), is_remote=True, trace_flags=TraceFlags(1))
    return attached(trace.set_span_in_context(NonRecordingSpan(place)))


def _figure(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"
