"""Taking log records: whose run they belong to, which step they were written in, and who else is shown them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import Span as ApiSpan

from .. import names
from .._journal.belonging import Scope
from .._journal.fields import IDENTITY, NUMBER, TRACE
from .._journal.log_records import LOG_RECORD, LogRecord, Origin, origin_attributes
from ..current import IDENTITY_KEY, PIPELINE_KEY
from ..log_api import PLAIN_SUPPRESSION, SUPPRESSION, Said, is_of_exporters, is_suppressed
from ..tracebacks import qualified_name, said, stack_of
from ..values import freeze, freeze_name
from .active import SPAN_KEY, get_current
from .pipeline import Pipeline
from .plain import made_plain
from .spans import Span


# Shows a record to the processors of others, and returns the attributes that they have added.
Show = Callable[[LogRecord, Context], Mapping[str, Any]]
# The pipeline, then the ids, the flags and the identity that a record gets.
Place = tuple[Any, str | None, int | None, int, Any]

_LONG: Final = 2048
_ELEMENT: Final = 64
_NOTHING: Final[dict[str, Any]] = {}
_END_OF_TIME: Final = 2**64
_now: Final = time.time_ns


class _Here(threading.local):
    """What a thread is doing."""

    # What came last by way of the API: the name of its scope, and its time.
    echo: tuple[str, int] | None = None
    is_showing = False


class LogTaker:
    """Takes log records from the logging module, from loggers of OpenTelemetry and from ``event``."""

    def __init__(self) -> None:
        """Take none until ``use``, but those of a context that says where they go."""
        self.pipeline: Pipeline | None = None
        self.show: Show | None = None
        self._here = _Here()
        self._has_echoes = False

    def use(self, pipeline: Pipeline | None) -> None:
        """Give records to *pipeline* from now on, where their context does not name another one."""
        self.pipeline = pipeline

    def scope(self, name: str) -> Scope:
        """Return a scope for the logger called *name*."""
        return Scope(freeze_name(name), None)

    def is_taking(self, context: Any = None) -> bool:
        """Whether a record of this *context* would go anywhere."""
        found = _context(context)
        return self._place(found, found.get(SPAN_KEY))[0] is not None

    def odd(self, kind: str) -> None:
        """Count something odd in what was said."""
        context = get_current()
        pipeline = self._place(context, context.get(SPAN_KEY))[0]
        if pipeline is not None:
            pipeline.odd(kind)

    def failed(self, error: Exception) -> None:
        """Count a record that could not be taken."""
        context = get_current()
        pipeline = self._place(context, context.get(SPAN_KEY))[0]
        if pipeline is not None:
            pipeline.failed("log", error)

    # ── whose it is ───────────────────────────────────────────────────────────────────────────────

    def _place(self, context: Context, span: Any) -> Place:
        """Return where a record of *context*, whose current span is *span*, belongs."""
        pipeline: Any = context.get(PIPELINE_KEY) or self.pipeline
        if span.__class__ is Span:
            lane = span.lane
            if not lane.pipeline.is_closed:
                pipeline = lane.pipeline
            place: Place = (pipeline, span.trace_hex, span.number, lane.flags, span.identity)
        else:
            found = span.get_span_context() if isinstance(span, ApiSpan) else None
            identity = context.get(IDENTITY_KEY)
            if found is not None and found.is_valid:
                flags = int(found.trace_flags)
                place = (pipeline, f"{found.trace_id:032x}", found.span_id, flags, identity)
            else:
                place = (pipeline, None, None, 0, identity)
        return (None, *place[1:]) if pipeline is None or pipeline.is_closed else place

    # ── from the logging module ───────────────────────────────────────────────────────────────────

    def take(
        self,
        context: Context,
        scope: Scope,
        # Not keyword-only: Python calls such a function in the fast way, and this is called for every log record.
        level: int,
        moment: int,
        number: int,
        text: str,
        body: Any,
        name: str,
        data: dict[str, Any] | None,
        origin: Origin,
        has_little: bool = False,
    ) -> None:
        """Take a record of the logging module, frozen; *level* is the module's number for it, *number* is OTLP's."""
        span: Any = context.get(SPAN_KEY)
        if span.__class__ is Span and span.lane.pipeline is self.pipeline:
            lane = span.lane
            pipeline: Any = lane.pipeline
            # As its properties say it, without their calls.
            known = span.fields
            trace_hex, span_number, flags = known[TRACE], known[NUMBER], lane.flags
            if trace_hex.__class__ is not str:
                trace_hex = span.trace_hex
            identity = None if known[IDENTITY] is None else span.identity
        elif span is None:
            # As `_place`, without its call: outside of all steps.
            pipeline = context.get(PIPELINE_KEY) or self.pipeline
            if pipeline is None or pipeline.is_closed:
                return
            trace_hex, span_number, flags, identity = None, None, 0, context.get(IDENTITY_KEY)
        else:
            pipeline, trace_hex, span_number, flags, identity = self._place(context, span)
            if pipeline is None:
                return
        lowest = pipeline.options.log_level
        if lowest is None or level < lowest:
            return
        # With nothing but the step in it, it says nothing of this.
        if len(context) > (span is not None) and (context.get(SUPPRESSION) or context.get(PLAIN_SUPPRESSION)):
            return
        if self._has_echoes and self._here.echo == (scope.name, moment):
            # A handler of OpenTelemetry's has given it to a logger of theirs just now.
            self._here.echo = None
            return
        uid = pipeline.uid + next(pipeline.uids).to_bytes(8, "big").hex()
        weight = 0 if type(body) is str and len(body) <= _LONG else _weight(body)
        if data is None:
            data = _NOTHING
        elif not has_little:
            # As `_weight`, without its call for most of them.
            for value in data.values():
                kind = type(value)
                if kind is not int and (kind is not str or len(value) > _LONG):
                    weight += _weight(value)
        if name or self.show is not None:
            record = LogRecord(
                name=name,
                time=moment,
                uid=uid,
                severity=number,
                severity_text=text,
                body=body,
                trace_hex=trace_hex,
                span_number=span_number,
                flags=flags,
                identity=identity,
                data=data,
                scope=scope,
                origin=origin,
            )
            record.weight = weight
            self._share(record, context, span, pipeline)
            pipeline.submit_log(record)
            return
        told = identity and (identity.experiment_name, identity.branch_id, identity.branch_name)
        # As `log_tuple` has it.
        pipeline.submit_log_fields(
            [
                LOG_RECORD,
                uid,
                name,
                moment,
                number,
                text,
                body,
                trace_hex,
                span_number,
                flags,
                told,
                data,
                scope.compact,
                None,
                origin,
            ],
            identity,
            scope,
            weight,
        )

    # ── from loggers of OpenTelemetry, and from ``event`` ─────────────────────────────────────────

    def event(
        self,
        name: str,
        attributes: Mapping[str, Any],
        *,
        number: int,
        text: str,
        body: object,
        time_unix_nano: int | None = None,
    ) -> None:
        """Take an event that the user has named."""
        self.emit(
            None,
            Said(
                timestamp=time_unix_nano,
                event_name=name,
                attributes=attributes,
                severity_number=number,
                severity_text=text,
                body=body,
            ),
        )

    def emit(self, scope: Scope | None, told: Said) -> None:
        """Take what was *told* to a logger of that *scope*; None is branchline's own."""
        try:
            self._emit(scope, told)
        except Exception as error:  # recording never raises
            self.failed(error)

    def _emit(self, scope: Scope | None, told: Said) -> None:
        context = _context(told.context)
        span = context.get(SPAN_KEY)
        pipeline, trace_hex, span_number, flags, identity = self._place(context, span)
        if pipeline is None or (scope is not None and is_of_exporters(scope.name) and is_suppressed(context)):
            return
        if isinstance(told.trace_id, int) and told.trace_id:
            trace_hex, span_number, flags = f"{told.trace_id:032x}", told.span_id or None, int(told.trace_flags or 0)
        observed = _moment(told.observed_timestamp, pipeline) or _now()
        body = freeze(told.body, pipeline.odd)
        data, weight = _attributes(told, pipeline)
        record = LogRecord(
            name=_label(told.event_name, pipeline),
            time=_moment(told.timestamp, pipeline) or observed,
            observed=observed,
            uid=pipeline.uid + next(pipeline.uids).to_bytes(8, "big").hex(),
            severity=_severity(told.severity_number, pipeline),
            severity_text=_label(told.severity_text, pipeline),
            body=body,
            trace_hex=trace_hex,
            span_number=span_number,
            flags=flags,
            identity=identity,
            scope=scope,
            data=data,
        )
        record.weight = weight + _weight(body)
        if scope is not None:
            self._has_echoes = True
            self._here.echo = (scope.name, record.time)
        self._share(record, context, span, pipeline)
        pipeline.submit_log(record)

    # ── who else gets it ──────────────────────────────────────────────────────────────────────────

    def _share(self, record: LogRecord, context: Context, span: Any, pipeline: Any) -> None:
        """Show *record* to the processors of others, and put it on its span where that was asked for."""
        here = self._here
        # What a processor itself says is not shown to it again: there would be no end to it.
        if self.show is not None and not here.is_showing:
            here.is_showing = True
            try:
                added = self.show(record, context)
                record.data = {**added, **record.data} if added else record.data
            except Exception as error:  # somebody else's code
                pipeline.failed("processor", error)
            finally:
                here.is_showing = False
        if record.name and pipeline.options.events_on_spans:
            try:
                put_on_span(record, span)
            except Exception as error:  # somebody else's span
                pipeline.failed("event", error)


def put_on_span(record: LogRecord, span: Any) -> None:
    """Add an event to *span* as OpenTelemetry's event bridge does: if it records, and the record was written in it."""
    if not isinstance(span, ApiSpan) or not span.is_recording() or record.trace_hex is None:
        return
    place = span.get_span_context()
    if (f"{place.trace_id:032x}", place.span_id) == (record.trace_hex, record.span_number):
        span.add_event(record.name, attributes_of(record), record.time)


def attributes_of(record: LogRecord) -> dict[str, Any]:
    """Return the attributes that whoever made *record* gave it."""
    return {**(origin_attributes(record.origin) if record.origin else {}), **record.data}


def _attributes(told: Said, pipeline: Any) -> tuple[dict[str, Any], int]:
    """Return the attributes of what was *told*, frozen, and roughly the bytes of memory they hold."""
    described: dict[str, Any] = {}
    if isinstance(told.exception, BaseException):
        error = told.exception
        described = {
            names.EXCEPTION_TYPE: qualified_name(type(error)),
            names.EXCEPTION_MESSAGE: said(error),
            names.EXCEPTION_STACKTRACE: stack_of(error, error.__traceback__),
        }
    try:
        given = told.attributes or {}
        # What the user says of it counts more.
        return made_plain({**described, **given} if described else given, pipeline.odd)
    except Exception as error:  # no mapping, or one that cannot be looked through
        pipeline.failed("attributes", error)
        return made_plain(described, pipeline.odd)


def _context(given: Any) -> Context:
    """Return the context that was *given*, or the current one for none, as which the API takes an empty one as well."""
    # Inside of a step the current one is a plain dictionary.
    is_one = isinstance(given, Context) or (type(given) is dict and SPAN_KEY in given)
    return given if is_one and given else get_current()


def _label(given: Any, pipeline: Any) -> str:
    return "" if given is None or (type(given) is str and not given) else freeze_name(given, pipeline.odd)


def _moment(given: Any, pipeline: Any) -> int | None:
    """Return *given* nanoseconds since 1970, or None for none and for what OTLP cannot carry."""
    if isinstance(given, int) and 0 <= given < _END_OF_TIME:
        return int(given) or None
    if given is not None:
        pipeline.odd("time")
    return None


def _severity(given: Any, pipeline: Any) -> int:
    number = getattr(given, "value", given)
    if number is None:
        return 0
    if isinstance(number, int) and 0 <= number <= 24:
        return int(number)
    pipeline.odd("severity")
    return 0


def _weight(value: Any) -> int:
    """Return roughly the bytes of memory that a frozen *value* holds; nothing for a small one."""
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value) if len(value) > _LONG else 0
    return _ELEMENT * len(value) if kind is dict or kind is tuple else 0
