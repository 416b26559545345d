"""The span: a lean one of our own that the OpenTelemetry API and SDK take for theirs."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping, Sequence
from time import perf_counter_ns, time_ns
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace as api
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationInfo
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.util import types

from .. import names
from ..values import MAX_TEXT, freeze, freeze_key, freeze_name
from .active import SPAN_KEY, detach, get_current, reset_current, set_current


if TYPE_CHECKING:
    from .pipeline import Pipeline

_log = logging.getLogger(__name__)

_KINDS: Final = {kind: kind.value + 1 for kind in SpanKind}
_API_KINDS: Final = {number: kind for kind, number in _KINDS.items()}
_CODES: Final = {StatusCode.UNSET: 0, StatusCode.OK: 1, StatusCode.ERROR: 2}
_API_CODES: Final = {number: code for code, number in _CODES.items()}
_KEY_LENGTH: Final = 512
_END_OF_TIME: Final = 2**64


# Keys and names that were found good once: looking one up is cheaper than judging it again.
_KNOWN: Final[set[str]] = set()
_MOST_KNOWN: Final = 10_000
_LONG: Final = 2048
_knows_all: Final = _KNOWN.issuperset


def _know(text: str) -> None:
    if len(_KNOWN) >= _MOST_KNOWN:
        _KNOWN.clear()
    _KNOWN.add(text)


def _is_plain(attributes: Mapping[str, Any]) -> bool:
    """Whether *attributes* may be kept as they are: a dictionary of known keys and immutable, writable values."""
    if attributes.__class__ is not dict:
        return False
    for value in attributes.values():
        kind = value.__class__
        if kind is str:
            if len(value) > _LONG:
                return False
        elif kind is not int and kind is not bool and (kind is not float or value - value):
            return False
    try:
        return _knows_all(attributes)
    except Exception:  # a key of the user's whose __eq__ raises
        return False


class Trace:
    """What all spans of one trace in this process share."""

    __slots__ = ("began", "flags", "hex", "offset", "pipeline", "state")

    def __init__(self, pipeline: Pipeline, trace_id: int, flags: int, state: str) -> None:
        self.pipeline = pipeline
        self.hex = f"{trace_id:032x}"
        self.flags = flags
        self.state = state
        # One clock for the whole trace: wall time at its start, the monotonic clock from there.
        self.began = time_ns()
        self.offset = self.began - perf_counter_ns()

    @property
    def id(self) -> int:
        """The trace id as a number."""
        return int(self.hex, 16)

    def now(self) -> int:
        """Return the time, in nanoseconds since 1970."""
        return perf_counter_ns() + self.offset


class Span(SdkSpan):
    """One span. What most spans never have is a default of the class, and costs nothing to record."""

    # The SDK forbids making its class directly; ours is made by the tracer, without a call of __init__.
    __new__ = object.__new__

    # ── what every span has ──
    trace: Trace
    number: int
    title: str
    began: int
    identity: Any

    # ── what some have ──
    parent_number: int | None = None
    up: Span | None = None
    has_remote_parent = False
    ended: int | None = None
    span_kind = 1
    role: str | None = None
    outcome: str | None = None
    scope: Any = None
    # Whether all the fields that the ring's short form leaves out have their defaults.
    is_common = True
    code = 0
    note: str | None = None
    data: dict[str, Any] | None = None
    marks: list[Any] | None = None
    bonds: list[Any] | None = None
    token: Any = None
    slots: int | tuple[int, ...] = -1
    weight = 0
    dropped_attributes = 0
    dropped_events = 0
    dropped_links = 0
    provider: Any = None  # the Provider, which makes spans and so cannot be imported here
    checkpoint: tuple[int, int] | None = None
    limits: Any = None
    _own_context: SpanContext | None = None
    _parent_context: SpanContext | None = None

    def __init__(self) -> None:
        """Made by the tracer and the recorder alone."""

    # ── the recorder's side (context.Recording) ─────────────────────────────────────────────────────

    @property
    def maker(self) -> Any:
        """The provider: noted on a root, and on every span that somebody watches."""
        span = self
        while span.provider is None and span.up is not None:
            span = span.up
        return span.provider

    @property
    def is_open(self) -> bool:
        """Whether it still takes data."""
        return self.ended is None

    @property
    def span(self) -> api.Span:
        """The OpenTelemetry span: itself."""
        return self

    def put(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes; never raises. A dictionary becomes the span's own."""
        if self.ended is not None:
            return
        try:
            plain: Any = attributes if _is_plain(attributes) else self._made_plain(attributes)
            if self.data is None:
                self.data = plain
            else:
                self.data.update(plain)
        except Exception as error:  # recording never raises
            self.trace.pipeline.failed("attributes", error)
        if self.limits is not None:
            self.limits.hold_attributes(self)

    def mark(self, name: str, attributes: Mapping[str, Any]) -> None:
        """Add an event, now; never raises. A dictionary becomes the event's own."""
        if self.ended is not None:
            return
        try:
            mark = (
                name if name in _KNOWN else self._known_name(name),
                perf_counter_ns() + self.trace.offset,
                attributes if _is_plain(attributes) else self._made_plain(attributes),
                0,
            )
            if self.marks is None:
                self.marks = [mark]
            else:
                self.marks.append(mark)
        except Exception:  # a name or a key that cannot be looked up: the thorough way takes them as they are
            self._add_mark(name, perf_counter_ns() + self.trace.offset, attributes)
            return
        if self.limits is not None:
            self.limits.hold_events(self)

    def _add_mark(self, name: Any, time: int, attributes: Mapping[str, Any] | None) -> None:
        try:
            data = None if attributes is None else self._made_plain(attributes)
            if self.marks is None:
                self.marks = []
            self.marks.append((freeze_name(name, self.trace.pipeline.odd), time, data, 0))
        except Exception as error:  # recording never raises
            self.trace.pipeline.failed("event", error)
        if self.limits is not None:
            self.limits.hold_events(self)

    def _known_name(self, name: Any) -> str:
        if name.__class__ is str and 0 < len(name) <= _KEY_LENGTH and name.isprintable():
            _know(name)
            return str(name)
        return freeze_name(name, self.trace.pipeline.odd)

    def _made_plain(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Return *attributes* with every key and value frozen as it is now."""
        plain: dict[str, Any] = {}
        odd = self.trace.pipeline.odd
        for key, value in attributes.items():
            kind = value.__class__
            if kind is str:
                if len(value) > _LONG:
                    value = self._long(value)  # noqa: PLW2901
            elif kind is not int and kind is not bool and (kind is not float or value - value):
                value = self._frozen(value)  # noqa: PLW2901
            try:
                is_known = key in _KNOWN
            except Exception:  # a key of the user's whose __hash__ or __eq__ raises
                is_known = False
            if not is_known:
                key = freeze_key(key, odd)  # noqa: PLW2901
                _know(key)
            plain[key] = value
        return plain

    def _frozen(self, value: Any) -> Any:
        frozen = freeze(value, self.trace.pipeline.odd)
        if frozen.__class__ is not float and frozen is not None:
            self.weight += 256 if not hasattr(frozen, "__len__") else 64 * len(frozen)
        return frozen

    def _long(self, text: str) -> Any:
        self.weight += min(len(text), MAX_TEXT)
        return freeze(text, self.trace.pipeline.odd) if len(text) > MAX_TEXT else text

    def connect(self, other: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        """Add a link; never raises."""
        if self.ended is not None:
            return
        try:
            # A link to nowhere says something only through its attributes or trace state.
            if not other.is_valid and not attributes and not other.trace_state:
                return
            flags = (int(other.trace_flags) & 0xFF) | (0x300 if other.is_remote else 0x100)
            state = other.trace_state.to_header() if other.trace_state else ""
            odd = self.trace.pipeline.odd
            data = {freeze_key(key, odd): freeze(value, odd) for key, value in (attributes or {}).items()}
            bond = (f"{other.trace_id:032x}", f"{other.span_id:016x}", state, data, flags, 0)
        except Exception as error:  # recording never raises
            self.trace.pipeline.failed("link", error)
            return
        self.is_common = False
        if self.bonds is None:
            self.bonds = []
        self.bonds.append(bond)
        if self.limits is not None:
            self.limits.hold_links(self)

    def settle(self, outcome: str, message: str | None = None) -> None:
        """Decide how it will have ended, unless an exception says otherwise."""
        if self.ended is None:
            self.outcome = outcome
            self.is_common = False
            if outcome in names.ERROR_OUTCOMES and self.code != 1:
                self.code = 2
                self.note = message

    def suspend(self) -> Context:
        """Give the caller its own context back; return the one that was current inside."""
        inside = get_current()
        token, self.token = self.token, None
        detach(token)
        return inside

    def resume(self, inside: Context | None = None) -> None:
        """Make it, or the context it was suspended with, current again."""
        if inside is None:
            inside = Context(get_current())
            dict.__setitem__(inside, SPAN_KEY, self)
        self.token = set_current(inside)

    def leave(self, outcome: str, error: BaseException | None = None, message: str | None = None) -> None:
        """Take it off the current context and end it."""
        token = self.token
        if token is not None:
            self.token = None
            try:  # noqa: SIM105 - this runs at the end of every step, and suppress() costs as much as all the rest
                reset_current(token)
            except (ValueError, RuntimeError):
                # Left in another task or thread than entered: there is nothing of ours to give back here.
                pass
        if self.ended is not None:
            return
        if outcome != "success":
            self.outcome = outcome
            self._add_error(error, outcome, message)
        elif self.outcome is None:
            self.outcome = outcome
        trace = self.trace
        self.ended = perf_counter_ns() + trace.offset
        pipeline = trace.pipeline
        try:
            del pipeline.open[self.number]
        except KeyError:
            # Opened before a fork or a shutdown: it is no longer this process's to record.
            return
        if pipeline.watchers:
            self.maker.ended(self)
        pipeline.submit(self)

    def _add_error(self, error: BaseException | None, outcome: str, message: str | None) -> None:
        self.is_common = False
        if error is None:
            if outcome in names.ERROR_OUTCOMES and self.code != 1:
                self.code = 2
                self.note = message if message is None else freeze_name(message)
            return
        try:
            kind = qualified_name(type(error))
            text = message if message is not None else said(error)
            self.put({names.ERROR_TYPE: kind})
            if outcome in names.ERROR_OUTCOMES and self.code != 1:
                self.code = 2
                self.note = freeze_name(text) if text else kind
            self._add_mark(
                names.EXCEPTION,
                perf_counter_ns() + self.trace.offset,
                {
                    names.EXCEPTION_TYPE: kind,
                    names.EXCEPTION_MESSAGE: text,
                    names.EXCEPTION_STACKTRACE: stack_of(error, error.__traceback__),
                },
            )
        except Exception as failure:  # recording never raises
            self.trace.pipeline.failed("exception", failure)

    def _finish(self, ended: int) -> None:
        self.ended = ended
        pipeline = self.trace.pipeline
        try:
            del pipeline.open[self.number]
        except KeyError:
            # Opened before a fork or a shutdown: it is no longer this process's to record.
            return
        if pipeline.watchers:
            self.maker.ended(self)
        pipeline.submit(self)

    # ── the OpenTelemetry API ─────────────────────────────────────────────────────────────────────

    # What ``with tracer.start_span(...)`` does about an exception.
    records_exception = True
    sets_status = True

    def get_span_context(self) -> SpanContext:
        """Return what others need to refer to it."""
        context = self._own_context
        if context is None:
            trace = self.trace
            state = TraceState.from_header([trace.state]) if trace.state else TraceState()
            context = self._own_context = SpanContext(trace.id, self.number, False, TraceFlags(trace.flags), state)
        return context

    def is_recording(self) -> bool:
        """Whether it still takes data."""
        return self.ended is None

    def set_attributes(self, attributes: Mapping[str, types.AttributeValue]) -> None:
        """Set attributes."""
        if self.ended is not None:
            _log.warning("Setting attribute on ended span.")
            return
        if attributes:
            self.put(dict(attributes) if isinstance(attributes, dict) else attributes)

    def set_attribute(self, key: str, value: types.AttributeValue) -> None:
        """Set one attribute."""
        self.set_attributes({key: value})

    def add_event(self, name: str, attributes: types.Attributes = None, timestamp: int | None = None) -> None:
        """Add an event."""
        if self.ended is not None:
            _log.warning("Calling add_event() on an ended span.")
            return
        time = perf_counter_ns() + self.trace.offset if timestamp is None else moment(timestamp, self.trace)
        try:
            own = dict(attributes) if attributes else None
        except Exception as error:  # recording never raises
            self.trace.pipeline.failed("attributes", error)
            own = None
        self._add_mark(name, time, own)

    def add_link(self, context: SpanContext, attributes: types.Attributes = None) -> None:
        """Add a link."""
        if self.ended is not None:
            _log.warning("Calling add_link() on an ended span.")
            return
        if context is not None:
            self.connect(context, attributes)

    def update_name(self, name: str) -> None:
        """Give it another name."""
        if self.ended is not None:
            _log.warning("Calling update_name() on an ended span.")
            return
        self.title = freeze_name(name, self.trace.pipeline.odd)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status: OK is final, UNSET changes nothing, a description belongs to ERROR."""
        if self.ended is not None:
            _log.warning("Calling set_status() on an ended span.")
            return
        if isinstance(status, Status):
            code, note = status.status_code, status.description
            if description is not None:
                _log.warning("Description %s ignored. Use either `Status` or `(StatusCode, Description)`", description)
        else:
            code, note = status, description
        if self.code == 1 or code not in (StatusCode.OK, StatusCode.ERROR):
            return
        self.is_common = False
        self.code = _CODES[code]
        is_described = code is StatusCode.ERROR and note is not None
        self.note = str(freeze(note, self.trace.pipeline.odd)) if is_described else None

    def record_exception(
        self,
        exception: BaseException,
        attributes: types.Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Record *exception* as an event."""
        try:
            described: dict[str, Any] = {
                names.EXCEPTION_TYPE: qualified_name(type(exception)),
                names.EXCEPTION_MESSAGE: said(exception),
                names.EXCEPTION_STACKTRACE: stack_of(exception, exception.__traceback__, skip=0),
                names.EXCEPTION_ESCAPED: str(escaped),
                **(attributes or {}),
            }
        except Exception as error:  # recording never raises
            self.trace.pipeline.failed("exception", error)
            return
        self.add_event(names.EXCEPTION, described, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """End it; a second call changes nothing."""
        if self.ended is not None:
            _log.warning("Calling end() on an ended span.")
            return
        self._finish(perf_counter_ns() + self.trace.offset if end_time is None else moment(end_time, self.trace))

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        """End it, with the exception that left its block."""
        if exc_val is not None and self.ended is None:
            if self.records_exception:
                self.record_exception(exc_val, escaped=True)
            if self.sets_status:
                self.set_status(StatusCode.ERROR, f"{type(exc_val).__name__}: {said(exc_val)}")
        self.end()

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
    kept = BoundedAttributes(None, plain, immutable=True)
    kept.dropped += dropped
    return kept


def moment(given: Any, trace: Trace) -> int:
    """Return *given* nanoseconds since 1970 as OTLP can carry them: now, where they are none."""
    if given.__class__ is int and 0 <= given < _END_OF_TIME:
        return int(given)
    trace.pipeline.odd("time")
    try:
        whole = int(given)
    except Exception:  # whatever the user gave
        return trace.now()
    return whole if 0 <= whole < _END_OF_TIME else trace.now()


def otlp_kind(kind: SpanKind) -> int:
    """Return the number that OTLP gives an OpenTelemetry span *kind*."""
    return _KINDS.get(kind, 1)


def qualified_name(kind: type) -> str:
    """Return ``module.Class``, or just the name of a built-in."""
    module = kind.__module__
    return kind.__qualname__ if module in ("builtins", None) else f"{module}.{kind.__qualname__}"


def said(error: BaseException) -> str:
    """Return an exception's message, whatever its ``__str__`` does."""
    try:
        return str(error)
    except Exception:  # user code
        return f"<unprintable {type(error).__name__}>"


_OUR_FILES: Final = (
    "/branchline/steps.py",
    "/branchline/branches.py",
    "/branchline/generators.py",
    "/branchline/context.py",
)


def stack_of(error: BaseException, stack: TracebackType | None, skip: int = 8) -> str:
    """Return the traceback as text, without the frames of ours that the exception came through first."""
    while stack is not None and skip and stack.tb_next and stack.tb_frame.f_code.co_filename.endswith(_OUR_FILES):
        stack = stack.tb_next
        skip -= 1
    try:
        return "".join(traceback.format_exception(type(error), error, stack))
    except Exception:  # user code: a __str__ in the chain, or a source that cannot be read
        return f"{qualified_name(type(error))}: {said(error)}\n"
