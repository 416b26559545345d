"""The limits that the OTEL_SPAN_* variables set, when they are set: counts and lengths, and what was dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace import SpanLimits

from .._journal.fields import MARKS_AT, Shortened
from ..cuts import beginning
from ..errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How many attributes, events and links a span keeps, and how long their texts may be; None: any number."""

    attributes: int | None = None
    events: int | None = None
    links: int | None = None
    event_attributes: int | None = None
    link_attributes: int | None = None
    attribute_length: int | None = None
    event_and_link_length: int | None = None

    def hold_attributes(self, span: Any) -> None:
        """Cut *span*'s attributes: the first ones stay, for they say what it is."""
        if span.data:
            span.data, dropped = _held(span.data, self.attributes, self.attribute_length)
            span.dropped_attributes += dropped

    def hold_events(self, span: Any) -> None:
        """Cut the newest of *span*'s events, and their number: the oldest go."""
        fields = span.fields
        count = (len(fields) - MARKS_AT) // 3
        if not count:
            return
        # In place, and the last one only: a span may have many.
        if fields[-1]:
            held, dropped = _held(fields[-1], self.event_attributes, self.event_and_link_length)
            dropped += getattr(fields[-1], "dropped", 0)
            fields[-1] = Shortened(held, dropped) if dropped else held
        surplus = 0 if self.events is None else count - self.events
        if surplus > 0:
            span.dropped_events += surplus
            del fields[MARKS_AT : MARKS_AT + surplus * 3]

    def hold_links(self, span: Any) -> None:
        """Cut the newest of *span*'s links, and their number: the oldest go."""
        if not span.bonds:
            return
        *place, attributes, flags, dropped = span.bonds[-1]
        if attributes:
            held, more = _held(attributes, self.link_attributes, self.event_and_link_length)
            span.bonds[-1] = (*place, held, flags, dropped + more)
        if self.links is not None and len(span.bonds) > self.links:
            span.dropped_links += len(span.bonds) - self.links
            del span.bonds[: len(span.bonds) - self.links]


def _held(attributes: Mapping[str, Any], most: int | None, length: int | None) -> tuple[Mapping[str, Any], int]:
    """Return as much of *attributes* as may stay, and how many were dropped."""
    surplus = 0 if most is None else max(len(attributes) - most, 0)
    if not surplus and length is None:
        return attributes, 0
    kept = list(attributes.items())[: len(attributes) - surplus]
    return {key: _cut(value, length) for key, value in kept}, surplus


def _cut(value: Any, length: int | None) -> Any:
    if length is None:
        return value
    if isinstance(value, str):
        return beginning(value, length)
    if isinstance(value, Mapping):
        return {key: _cut(item, length) for key, item in value.items()}
    return tuple(_cut(item, length) for item in value) if isinstance(value, (list, tuple)) else value


def limits_from(given: SpanLimits | None, env: Mapping[str, str]) -> Limits | None:
    """Return the limits that somebody set, or None: branchline itself drops nothing by count.

    Raises:
        ConfigError: for a limit that is no whole number.
    """
    limits = _limits_of(given) if given is not None else _limits_in(env)
    return None if limits == Limits() else limits


def _limits_of(given: SpanLimits) -> Limits:
    return Limits(
        attributes=given.max_span_attributes,
        events=given.max_events,
        links=given.max_links,
        event_attributes=given.max_event_attributes,
        link_attributes=given.max_link_attributes,
        attribute_length=given.max_span_attribute_length,
        event_and_link_length=given.max_attribute_length,
    )


def _limits_in(env: Mapping[str, str]) -> Limits:
    count = _number(env, "OTEL_ATTRIBUTE_COUNT_LIMIT", None)
    length = _number(env, "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", None)
    return Limits(
        attributes=_number(env, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", count),
        events=_number(env, "OTEL_SPAN_EVENT_COUNT_LIMIT", None),
        links=_number(env, "OTEL_SPAN_LINK_COUNT_LIMIT", None),
        event_attributes=_number(env, "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", count),
        link_attributes=_number(env, "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", count),
        attribute_length=_number(env, "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", length),
        event_and_link_length=length,
    )


def _number(env: Mapping[str, str], name: str, default: int | None) -> int | None:
    text = env.get(name)
    if text is None:
        return default
    if not text.strip():
        # As the SDK reads it: an empty variable says that there is no limit.
        return None
    if not text.strip().isdecimal():
        msg = f"{name} is {text!r}; a limit is a whole number, not negative"
        raise ConfigError(msg)
    return int(text)
