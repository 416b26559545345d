"""Metric points: single values of a metric, each kept as a log event of the span that it belongs to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.trace import SpanContext

from .. import names
from .._journal.log_records import LogRecord
from ..metric_values import freeze_number
from ..values import freeze
from . import ids
from .pipeline import Pipeline
from .plain import KNOWN, is_plain, known_name, made_plain


_bits = ids.bits

# Beyond this, a float that looks like a whole number may stand for another one.
_EXACT: Final = 2**53


def record_point(
    pipeline: Pipeline,
    name: Any,
    value: Any,
    unit: Any,
    step: Any,
    attributes: Mapping[str, Any],
    *,
    span: Any = None,
    place: SpanContext | None = None,
    identity: Any = None,
) -> None:
    """Take one value of a metric, which belongs to *span* (ours) if given, else to *place* and *identity*."""
    try:
        data, weight = made_plain(attributes, pipeline.odd) if not is_plain(attributes) else (dict(attributes), 0)
        data[names.METRIC_NAME] = _named(name, pipeline)
        # NaN less itself is NaN, which is as true as 1; so it is for both infinities.
        data[names.METRIC_VALUE] = _writable(value, pipeline) if type(value) is not float or value - value else value
        if unit is not None:
            data[names.METRIC_UNIT] = _named(unit, pipeline)
        if step is not None and (type(step) is not int or abs(step) > _EXACT):
            step = _whole(step, pipeline)
        if step is not None:
            data[names.METRIC_STEP] = step
        if span is not None:
            lane = span.lane
            now, trace_hex, number, flags, identity = lane.now(), span.trace_hex, span.number, lane.flags, span.identity
        elif place is not None and place.is_valid:
            now, trace_hex, number = time.time_ns(), f"{place.trace_id:032x}", place.span_id
            flags = int(place.trace_flags)
        else:
            now, trace_hex, number, flags = time.time_ns(), None, None, 0
        record = LogRecord(
            name=names.METRIC_EVENT,
            time=now,
            uid="%032x" % _bits(128),  # noqa: UP031 - twice as fast as the other ways
            trace_hex=trace_hex,
            span_number=number,
            flags=flags,
            identity=identity,
            data=data,
        )
        record.weight = weight
        if pipeline.values is not None:
            pipeline.values.note(span, data[names.METRIC_NAME], data[names.METRIC_VALUE])
        pipeline.submit_log(record)
    except Exception as error:  # recording never raises
        pipeline.failed("metric", error)


def _named(name: Any, pipeline: Pipeline) -> str:
    return name if type(name) is str and name in KNOWN else known_name(name, pipeline.odd)


def _writable(value: Any, pipeline: Pipeline) -> Any:
    """Return *value* as a number, or as the text that stands for one that is not finite."""
    number = freeze_number(value, pipeline.odd)
    return number if number - number == 0 else freeze(number)


def _whole(step: Any, pipeline: Pipeline) -> int | None:
    """Return the *step* of a series as it can be written; None for what is no whole number."""
    number = freeze_number(step)
    if isinstance(number, int) or (number.is_integer() and abs(number) <= _EXACT):
        return int(number)
    pipeline.odd("metric_step")
    return None
