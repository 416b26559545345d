"""The span: a lean one of our own that the OpenTelemetry API and SDK take for theirs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from time import perf_counter_ns
from types import TracebackType
from typing import Any, Final

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, Status, StatusCode
from opentelemetry.util import types

from .. import names
from .._journal.fields import DATA, ENDED, OUTCOME
from ..tracebacks import qualified_name, said, stack_of
from ..usage_records import SPENDING_KEYS
from ..values import freeze, freeze_key, freeze_name
from .active import SPAN_KEY, detach, get_current, give_back, reset_current
from .finalisers import set_current
from .lanes import moment
from .plain import KNOWN, LIGHT, LONG, known_name, knows_all, made_plain
from .readable import ReadableSide
from .usages import settle


_log = logging.getLogger(__name__)

_CODES: Final = {StatusCode.UNSET: 0, StatusCode.OK: 1, StatusCode.ERROR: 2}

# Outcomes that say no more than that nothing went wrong: what was said before counts.
_QUIET: Final = (names.SUCCESS, names.CLOSED)


class Span(ReadableSide):
    """One span: what steps, branches and the OpenTelemetry API say to it."""

    up: Span | None

    # ── the recorder's side (context.Recording) ─────────────────────────────────────────────────────

    @property
    def is_open(self) -> bool:
        """Whether it still takes data."""
        return self.fields[ENDED] is None

    @property
    def span(self) -> api.Span:
        """The OpenTelemetry span: itself."""
        return self

    def put(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes; never raises. A dictionary becomes the span's own."""
        fields = self.fields
        if fields[ENDED] is not None:
            return
        plain: dict[str, Any] | None = None
        try:
            # What ``is_plain`` tells. In place, here and in ``mark``: its call would take half as long again.
            for value in attributes.values():
                kind = type(value)
                if kind is str:
                    if len(value) > LONG:
                        break
                elif kind is not int and kind is not bool and (kind is not float or value - value):
                    break
            else:
                if type(attributes) is dict and knows_all(attributes):
                    plain = attributes
            if plain is None:
                plain = self._made_plain(attributes)
            if fields[DATA] is None:
                fields[DATA] = plain
            else:
                fields[DATA].update(plain)
        except Exception:  # a key that cannot be looked up: the thorough way takes it as it is
            self._put_thoroughly(attributes)
        if self.lane.limits is not None:
            self.lane.limits.hold_attributes(self)

    def mark(self, name: str, attributes: Mapping[str, Any]) -> None:
        """Add an event, now; never raises. A dictionary becomes the event's own."""
        fields = self.fields
        if fields[ENDED] is not None:
            return
        now = perf_counter_ns()
        plain: dict[str, Any] | None = None
        try:
            for value in attributes.values():
                kind = type(value)
                if kind is str:
                    if len(value) > LONG:
                        break
                elif kind is not int and kind is not bool and (kind is not float or value - value):
                    break
            else:
                if type(attributes) is dict and knows_all(attributes):
                    plain = attributes
            if plain is None:
                plain = self._made_plain(attributes)
            if name not in KNOWN:
                name = known_name(name, self.lane.pipeline.odd)
            # All at once: the writer may be looking.
            fields += (name, now, plain)
        except Exception:  # a name or a key that cannot be looked up: the thorough way takes them as they are
            self._add_mark(name, now, attributes)
            return
        if self.lane.limits is not None:
            self.lane.limits.hold_events(self)

    def _put_thoroughly(self, attributes: Mapping[str, Any]) -> None:
        try:
            self.data = {**(self.data or {}), **self._made_plain(attributes)}
        except Exception as error:  # recording never raises
            self.lane.pipeline.failed("attributes", error)

    def _add_mark(self, name: Any, time: int, attributes: Mapping[str, Any] | None) -> None:
        """Add an event of this *time* by the monotonic clock."""
        try:
            data = None if attributes is None else self._made_plain(attributes)
            self.fields.extend((freeze_name(name, self.lane.pipeline.odd), time, data))
        except Exception as error:  # recording never raises
            self.lane.pipeline.failed("event", error)
        if self.lane.limits is not None:
            self.lane.limits.hold_events(self)

    def _made_plain(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        plain, weight = made_plain(attributes, self.lane.pipeline.odd)
        if weight:
            self.weight += weight
            if self.weight > LIGHT:
                self.is_common = False
        if not SPENDING_KEYS.isdisjoint(plain):
            self.is_common = False
        return plain

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
            odd = self.lane.pipeline.odd
            data = {freeze_key(key, odd): freeze(value, odd) for key, value in (attributes or {}).items()}
            bond = (f"{other.trace_id:032x}", f"{other.span_id:016x}", state, data, flags, 0)
        except Exception as error:  # recording never raises
            self.lane.pipeline.failed("link", error)
            return
        self.is_common = False
        if self.bonds is None:
            self.bonds = []
        self.bonds.append(bond)
        if self.lane.limits is not None:
            self.lane.limits.hold_links(self)

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
            try:
                reset_current(token)
            except (ValueError, RuntimeError):
                give_back(token, self)
        fields = self.fields
        if fields[ENDED] is not None:
            return
        if outcome != "success" or not self.is_common:
            self._leave_slowly(outcome, error, message)
            return
        fields[OUTCOME] = outcome
        fields[ENDED] = perf_counter_ns()
        pipeline = self.lane.pipeline
        try:
            # Not before the try: from here on nobody else knows of it.
            try:
                pipeline.open.remove(self)
            except KeyError:
                # Opened before a fork or a shutdown: it is no longer this process's to record.
                return
            if pipeline.watchers:
                self.maker.ended(self)
            # First this, and then the call: Python has no fast way to call what an object has as others a method.
            submit = pipeline.submit_common
            submit(self)
        except BaseException:
            # A KeyboardInterrupt, or the strict mode of tests.
            pipeline.torn(self)
            raise

    def _leave_slowly(self, outcome: str, error: BaseException | None, message: str | None) -> None:
        if self.outcome is None or outcome not in _QUIET:
            self.outcome = outcome
            if outcome != names.SUCCESS:
                self._add_error(error, outcome, message)
        self._finish(self.lane.now())

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
                perf_counter_ns(),
                {
                    names.EXCEPTION_TYPE: kind,
                    names.EXCEPTION_MESSAGE: text,
                    names.EXCEPTION_STACKTRACE: stack_of(error, error.__traceback__),
                },
            )
        except Exception as failure:  # recording never raises
            self.lane.pipeline.failed("exception", failure)

    def _finish(self, ended: int) -> None:
        settle(self, ended)
        self.ended = ended
        pipeline = self.lane.pipeline
        try:
            try:
                pipeline.open.remove(self)
            except KeyError:
                # Opened before a fork or a shutdown: it is no longer this process's to record.
                return
            if pipeline.watchers:
                self.maker.ended(self)
            pipeline.submit(self)
        except BaseException:
            # A KeyboardInterrupt, or the strict mode of tests.
            pipeline.torn(self)
            raise

    # ── the OpenTelemetry API ─────────────────────────────────────────────────────────────────────

    # What ``with tracer.start_span(...)`` does about an exception.
    records_exception = True
    sets_status = True

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
        time = perf_counter_ns() if timestamp is None else moment(timestamp, self.lane) - self.lane.offset
        try:
            own = dict(attributes) if attributes else None
        except Exception as error:  # recording never raises
            self.lane.pipeline.failed("attributes", error)
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
        self.title = freeze_name(name, self.lane.pipeline.odd)

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
        self.note = str(freeze(note, self.lane.pipeline.odd)) if is_described else None

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
                names.EXCEPTION_STACKTRACE: stack_of(exception, exception.__traceback__, is_whole=True),
                names.EXCEPTION_ESCAPED: str(escaped),
                **(attributes or {}),
            }
        except Exception as error:  # recording never raises
            self.lane.pipeline.failed("exception", error)
            return
        self.add_event(names.EXCEPTION, described, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """End it; a second call changes nothing."""
        if self.ended is not None:
            _log.warning("Calling end() on an ended span.")
            return
        self._finish(self.lane.now() if end_time is None else moment(end_time, self.lane))

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
