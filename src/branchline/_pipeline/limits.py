"""The limits that the OTEL_SPAN_* variables set, when they are set: counts and lengths, and what was dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace import SpanLimits


_VARIABLES = (
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How many attributes, events and links a span keeps, and how long a text may be; None: any number."""

    attributes: int | None = None
    events: int | None = None
    links: int | None = None
    event_attributes: int | None = None
    link_attributes: int | None = None
    text: int | None = None

    def hold_attributes(self, span: Any) -> None:
        """Cut *span*'s attributes: the first ones stay, for they say what it is."""
        if span.data:
            span.data, dropped = self._held(span.data, self.attributes)
            span.dropped_attributes += dropped

    def hold_events(self, span: Any) -> None:
        """Cut the newest of *span*'s events, and their number: the oldest go."""
        if not span.marks:
            return
        name, time, attributes, dropped = span.marks[-1]
        if attributes:
            held, more = self._held(attributes, self.event_attributes)
            span.marks[-1] = (name, time, held, dropped + more)
        if self.events is not None and len(span.marks) > self.events:
            span.dropped_events += len(span.marks) - self.events
            del span.marks[: len(span.marks) - self.events]

    def hold_links(self, span: Any) -> None:
        """Cut the newest of *span*'s links, and their number: the oldest go."""
        if not span.bonds:
            return
        *place, attributes, flags, dropped = span.bonds[-1]
        if attributes:
            held, more = self._held(attributes, self.link_attributes)
            span.bonds[-1] = (*place, held, flags, dropped + more)
        if self.links is not None and len(span.bonds) > self.links:
            span.dropped_links += len(span.bonds) - self.links
            del span.bonds[: len(span.bonds) - self.links]

    def _held(self, attributes: Mapping[str, Any], most: int | None) -> tuple[dict[str, Any], int]:
        items = list(attributes.items())
        kept = items if most is None else items[:most]
        return {key: self._cut(value) for key, value in kept}, len(items) - len(kept)

    def _cut(self, value: Any) -> Any:
        if self.text is None:
            return value
        if isinstance(value, str):
            return value[: self.text]
        return tuple(self._cut(item) for item in value) if isinstance(value, (list, tuple)) else value


def limits_from(given: SpanLimits | None, env: Mapping[str, str]) -> Limits | None:
    """Return the limits that somebody set, or None: branchline itself drops nothing by count."""
    if given is None and not any(env.get(name) for name in _VARIABLES):
        return None
    from_sdk = given if given is not None else SpanLimits()

    def said(name: str, value: int | None) -> int | None:
        # The SDK fills in 128 where nothing is said; only a number that somebody chose counts.
        return value if given is not None or env.get(name) or env.get("OTEL_ATTRIBUTE_COUNT_LIMIT") else None

    return Limits(
        attributes=said("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", from_sdk.max_span_attributes),
        events=from_sdk.max_events if given is not None or env.get("OTEL_SPAN_EVENT_COUNT_LIMIT") else None,
        links=from_sdk.max_links if given is not None or env.get("OTEL_SPAN_LINK_COUNT_LIMIT") else None,
        event_attributes=said("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", from_sdk.max_event_attributes),
        link_attributes=said("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", from_sdk.max_link_attributes),
        text=from_sdk.max_span_attribute_length,
    )
