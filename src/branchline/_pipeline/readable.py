"""The side of a span that other people's processors and exporters read, as they would the SDK's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from opentelemetry import trace as api
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationInfo
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.util import types

from .. import names
from .._journal.fields import IDENTITY, ShortSpan
from ..recording import Identity
from ..values import freeze, freeze_name
from .bills import Bill
from .lanes import Lane


_identity: Final = lru_cache(maxsize=1024)(Identity)
_KINDS: Final = {kind: kind.value + 1 for kind in SpanKind}
_API_KINDS: Final = {number: kind for kind, number in _KINDS.items()}
_API_CODES: Final = {0: StatusCode.UNSET, 1: StatusCode.OK, 2: StatusCode.ERROR}


class ReadableSide(ShortSpan, SdkSpan):
    """What a span is, and what others read of it; what most spans never have is a default of the class."""

    # The SDK forbids making its class directly; ours is made by the tracer and the recorder alone, who fill it: these
    # two keep Python from calling anything that is not written in C.
    __new__ = object.__new__
    __init__ = object.__init__

    # ── what is read for every span: in slots, which are read in a fifth of the time of a class's default ──
    __slots__ = ("fields", "is_common", "lane", "slots", "token", "up")
    fields: list[Any]
    lane: Lane
    up: ReadableSide | None
    # Whether all that the short form leaves out has its default.
    is_common: bool
    token: Any
    slots: int | tuple[int, ...]

    # ── what most spans never have ──
    weight = 0
    has_remote_parent = False
    span_kind = 1
    scope: Any = None
    code = 0
    note: str | None = None
    bonds: list[Any] | None = None
    dropped_attributes = 0
    dropped_events = 0
    dropped_links = 0
    # What the latest checkpoint has told: its attributes, and how many events.
    checkpoint: tuple[dict[str, Any], int] | None = None
    bill: Bill | None = None
    _own_context: SpanContext | None = None
    _parent_context: SpanContext | None = None

    @property
    def maker(self) -> Any:
        """The provider."""
        return self.lane.provider

    @property
    def identity(self) -> Identity | None:
        """The experiment and branch it belongs to; the same object for all spans of one."""
        identity = self.fields[IDENTITY]
        return None if identity is None else _identity(*identity)

    def get_span_context(self) -> SpanContext:
        """Return what others need to refer to it."""
        context = self._own_context
        if context is None:
            lane = self.lane
            state = TraceState.from_header([lane.state]) if lane.state else TraceState()
            trace_id, flags = int(self.trace_hex, 16), TraceFlags(lane.flags)
            context = self._own_context = SpanContext(trace_id, self.number, False, flags, state)
        return context

    # ── what other people's processors read (ReadableSpan) ──────────────────────────────────────────

    @property
    def name(self) -> str:
        """Its name."""
        return freeze_name(self.title)

    @property
    def context(self) -> SpanContext:
        """What others need to refer to it."""
        return self.get_span_context()

    @property
    def kind(self) -> SpanKind:
        """Its OpenTelemetry kind."""
        return _API_KINDS.get(self.span_kind, SpanKind.INTERNAL)

    @property
    def parent(self) -> SpanContext | None:
        """Its parent's context."""
        if self.parent_number is None:
            return None
        if self.up is not None:
            return self.up.get_span_context()
        return self._parent_context

    @property
    def start_time(self) -> int | None:
        """When it began, in nanoseconds since 1970."""
        return self.began

    @property
    def end_time(self) -> int | None:
        """When it ended, if it has."""
        return self.ended

    @property
    def status(self) -> Status:
        """Its status."""
        return Status(_API_CODES[self.code], self.note if self.code == 2 else None)

    @property
    def attributes(self) -> types.Attributes:
        """Its attributes, with those that branchline writes; to be read."""
        return MappingProxyType(self.described())

    def described(self) -> dict[str, Any]:
        """Return the attributes as the journal will have them."""
        found: dict[str, Any] = {}
        if self.role is not None:
            found[names.KIND] = self.role
            if self.outcome is not None:
                found[names.OUTCOME] = self.outcome
        if self.identity is not None:
            found.update(identity_attributes(self.identity))
        if self.data:
            found.update(self.data)
        return found

    @property
    def events(self) -> Sequence[Event]:
        """Its events."""
        return tuple(
            Event(name, attributes=bounded(data, dropped), timestamp=time)
            for name, time, data, dropped in self.marks or ()
        )

    @property
    def links(self) -> Sequence[api.Link]:
        """Its links."""
        return tuple(
            api.Link(
                SpanContext(
                    int(trace_hex, 16),
                    int(span_hex, 16),
                    bool(flags & 0x200),
                    TraceFlags(flags & 0xFF),
                    TraceState.from_header([state]) if state else TraceState(),
                ),
                bounded(data, dropped),
            )
            for trace_hex, span_hex, state, data, flags, dropped in self.bonds or ()
        )

    @property
    def resource(self) -> Any:
        """Where it comes from."""
        return self.maker.resource

    @property
    def instrumentation_scope(self) -> Any:
        """Who made it."""
        return self.scope if self.scope is not None else self.maker.own_scope

    @property
    def instrumentation_info(self) -> Any:
        """Who made it, under the older name."""
        scope = self.instrumentation_scope
        return InstrumentationInfo(scope.name, scope.version or "", scope.schema_url)

    def readable(self) -> ReadableSpan:
        """Return an ordinary, immutable copy for other people's processors."""
        events: Any = BoundedList.from_seq(None, self.events)
        events.dropped = self.dropped_events
        links: Any = BoundedList.from_seq(None, self.links)
        links.dropped = self.dropped_links
        return ReadableSpan(
            name=self.name,
            context=self.get_span_context(),
            parent=self.parent,
            resource=self.resource,
            attributes=bounded(self.described(), self.dropped_attributes),
            events=events,
            links=links,
            kind=self.kind,
            status=self.status,
            start_time=self.began,
            end_time=self.ended,
            instrumentation_scope=self.instrumentation_scope,
        )

    def _readable_span(self) -> ReadableSpan:
        return self.readable()

    def to_json(self, indent: int | None = 4) -> str:
        """Return it as the SDK's JSON text."""
        return str(self.readable().to_json(indent))

    def __repr__(self) -> str:
        return f"<span {self.title!r} {self.number:016x} {'open' if self.ended is None else self.outcome or 'ended'}>"


def identity_attributes(identity: Any) -> dict[str, str]:
    """Return the attributes that say which experiment and branch something belongs to."""
    described = {
        names.EXPERIMENT_NAME: identity.experiment_name,
        names.BRANCH_ID: identity.branch_id,
        names.BRANCH_NAME: identity.branch_name,
    }
    return {key: value for key, value in described.items() if value is not None}


def bounded(attributes: Mapping[str, Any] | None, dropped: int) -> BoundedAttributes:
    """Return *attributes* as the SDK's own spans have them: immutable, and knowing how many more there were."""
    plain = {key: freeze(value) for key, value in (attributes or {}).items()}
    kept = BoundedAttributes(None, None, immutable=True)
    # Put in behind its back: it would look at every value again, and older ones refuse mappings.
    kept._dict = plain  # noqa: SLF001
    kept.dropped = dropped
    return kept


def otlp_kind(kind: SpanKind) -> int:
    """Return the number that OTLP gives an OpenTelemetry span *kind*."""
    return _KINDS.get(kind, 1)
