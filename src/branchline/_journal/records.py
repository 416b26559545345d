"""Records of either kind: what a compact form may be of, and events of spans that become log records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from .. import names
from .log_records import LogRecord, log_from
from .span_records import Mark, SpanLike, SpanRecord, span_from


def from_tuple(fields: list[Any]) -> SpanRecord | LogRecord:
    """Return the record of a compact form. Raises ValueError for anything else."""
    record = span_from(fields) or log_from(fields)
    if record is None:
        msg = f"not a record of this version: {fields[:1]!r} with {len(fields)} fields"
        raise ValueError(msg)
    return record


def spilled_records(spilled: Sequence[tuple[SpanLike, Mark]]) -> list[LogRecord]:
    """Return the events that were too many for their span's line, as log records that readers put back.

    Their ids follow from the span's: whoever writes them a second time is found out.
    """
    spans = {span.number: span for span, _ in spilled}
    left = Counter(span.number for span, _ in spilled)
    # Those that spill are a span's last ones.
    places = {number: len(span.marks) - left[number] for number, span in spans.items()}
    records: list[LogRecord] = []
    for span, (name, moment, attributes, _) in spilled:
        place = places[span.number]
        places[span.number] += 1
        records.append(
            LogRecord(
                name=names.SPAN_EVENT,
                time=moment,
                uid=f"{span.number:016x}{place:016x}",
                trace_hex=span.trace_hex,
                span_number=span.number,
                flags=span.lane.flags,
                identity=span.identity,
                data={names.EVENT_NAME: name, **(attributes or {})},
            )
        )
    return records
