"""Usages: what calls of models took, into the journal, onto their spans, and up to all that they are inside of."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from opentelemetry.trace import SpanContext

from .. import names
from .._journal.log_records import LogRecord
from ..current import CURRENT
from ..money import CONTEXT
from ..usage_records import (
    SPENDING_KEYS,
    cost_attributes,
    own_attributes,
    span_usage,
    total_attributes,
    usage_attributes,
)
from ..usage_values import Usage
from . import ids
from .bills import Bill, above, bill_of, told_before
from .pipeline import Pipeline


_bits = ids.bits


class Spot:
    """Where a usage is recorded (``context.UsagePlace``)."""

    __slots__ = (
        "_flags",
        "_number",
        "_pipeline",
        "_span",
        "identity",
        "span_id",
        "step",
        "time_unix_nano",
        "trace_id",
        "usage_id",
    )

    def __init__(
        self, pipeline: Pipeline, *, span: Any = None, place: SpanContext | None = None, identity: Any = None
    ) -> None:
        """Record into *pipeline*, for *span* (ours) if given, else for *place* and *identity*."""
        self._pipeline = pipeline
        self._span = span
        self.usage_id = "%032x" % _bits(128)  # noqa: UP031 - twice as fast as the other ways
        self.step: str | None = None
        self.trace_id: str | None = None
        self.span_id: str | None = None
        self._number: int | None = None
        self._flags = 0
        self.identity = identity
        if span is not None:
            lane = span.lane
            self.time_unix_nano = lane.now()
            self.trace_id, self._number, self._flags, self.identity = (
                span.trace_hex,
                span.number,
                lane.flags,
                span.identity,
            )
            self.step = _step_of(span, pipeline)
        else:
            self.time_unix_nano = time.time_ns()
            if place is not None and place.is_valid:
                self.trace_id = f"{place.trace_id:032x}"
                self._number, self._flags = place.span_id, int(place.trace_flags)
        if self._number is not None:
            self.span_id = "%016x" % self._number  # noqa: UP031 - the same

    def remark(self, kind: str, text: str, about: str = "") -> None:
        """Count something odd, and say *text* the first time."""
        self._pipeline.notices.noted(kind, text, about)

    def take(self, usage: Usage) -> Usage:
        """Record *usage*, and return it as it is known from now on."""
        try:
            return self._taken(usage)
        except Exception as error:  # recording never raises
            self._pipeline.failed("usage", error)
            return usage

    def _taken(self, usage: Usage) -> Usage:
        span = self._span
        if span is not None:
            counted = told_before(span, self._pipeline.guests, usage, is_picked=False)
            if counted is not None:
                return self._corrected(usage, counted)
            self._add(usage, remember=True)
        self.write(usage)
        return usage

    def _corrected(self, usage: Usage, counted: Usage) -> Usage:
        """Record what *usage* says beyond what was *counted* of the same call."""
        correction = _correction(usage, counted)
        if correction is None:
            return usage._replace(usage_id=counted.usage_id)
        self._add(correction)
        self.write(correction)
        return usage

    def _add(self, usage: Usage, *, remember: bool = False) -> None:
        span = self._span
        if span.ended is None:
            bill = bill_of(span)
            bill.add(usage)
        else:
            # Told late: what is around it can still count it.
            span = _open_above(span, self._pipeline)
            if span is None:
                return
            bill = bill_of(span)
            bill.inside.add(usage)
        if remember:
            bill.said.append(usage)

    def write(self, usage: Usage, *, is_picked_up: bool = False) -> None:
        """Keep *usage* in the journal, and tell who wants to hear of it."""
        pipeline = self._pipeline
        data = usage_attributes(usage)
        if is_picked_up:
            data[names.USAGE_PICKED_UP] = True
        pipeline.submit_log(
            LogRecord(
                name=names.USAGE_EVENT,
                time=self.time_unix_nano,
                uid=self.usage_id,
                trace_hex=self.trace_id,
                span_number=self._number,
                flags=self._flags,
                identity=self.identity,
                data=data,
            )
        )
        if pipeline.usage_heard is not None:
            pipeline.usage_heard(usage)


def _correction(usage: Usage, counted: Usage) -> Usage | None:
    """Return what *usage* says beyond what was *counted* of the same call; None where that is nothing."""
    cost: Decimal | None = None
    if usage.cost is not None and usage.cost_source == names.GIVEN and usage.cost != counted.cost:
        cost = usage.cost if counted.cost is None else CONTEXT.subtract(usage.cost, counted.cost)
    if cost is None and usage.breakdown is None and usage.estimated is None:
        return None
    return usage._replace(
        input_tokens=0,
        output_tokens=0,
        cached_tokens=0,
        cache_write_tokens=0,
        reasoning_tokens=0,
        modalities={},
        calls=0,
        cost=cost,
        latency=None,
    )


# ── at the end of a span ──────────────────────────────────────────────────────────────────────────


def settle(span: Any, ended: int) -> None:
    """Say on a *span* that is about to end what it took, and hand that on to what it is inside of; never raises.

    An instrumentation's span says by itself what its call took: that is counted like any other.
    """
    bill: Bill | None = span.bill
    data = span.data
    if bill is None and (not data or SPENDING_KEYS.isdisjoint(data)):
        return
    pipeline = span.lane.pipeline
    try:
        picked = _picked_up(span, ended, pipeline) if data and not SPENDING_KEYS.isdisjoint(data) else None
        bill = span.bill
        if bill is None:
            return
        span.data = {**(span.data or {}), **(described_by(bill, span) if picked is None else _picked(bill, span))}
        around = _open_above(span, pipeline)
        if around is not None:
            bill_of(around).take(bill)
    except Exception as error:  # recording never raises
        pipeline.failed("usage", error)


def described_by(bill: Bill, span: Any) -> dict[str, Any]:
    """Return what a *span* with this *bill* says of it: its own calls, and, if it is ours, all inside."""
    own = own_attributes(bill.own, bill.labels, bill.modalities) if bill.labels else {}
    return own if span.role is None else own | total_attributes(bill.total)


def _picked(bill: Bill, span: Any) -> dict[str, Any]:
    """Return the same for a span that says by itself what its call took."""
    own = cost_attributes(bill.own)
    return own if span.role is None else own | total_attributes(bill.total)


def _picked_up(span: Any, ended: int, pipeline: Pipeline) -> Usage | None:
    """Count what the attributes of *span* say that its call took, unless that is counted already."""
    bill: Bill | None = span.bill
    if bill is not None and (bill.own.calls or bill.inside.calls):
        # Said of the very same call, or the sum of the calls inside, as agents and chains say it.
        return None
    usage = span_usage(span.data)
    if usage is None or not usage.total_tokens:
        return None
    if told_before(span, pipeline.guests, usage, is_picked=True, since=span.began) is not None:
        return None
    spot = Spot(pipeline, span=span)
    identity = spot.identity
    usage = priced(usage, spot.time_unix_nano)._replace(
        latency=max(ended - span.began, 0) / 1e9,
        usage_id=spot.usage_id,
        time_unix_nano=spot.time_unix_nano,
        trace_id=spot.trace_id,
        span_id=spot.span_id,
        step=spot.step,
        experiment=None if identity is None else identity.experiment_name,
        branch=None if identity is None else identity.branch_name,
        branch_id=None if identity is None else identity.branch_id,
    )
    own = bill_of(span)
    own.own.add(usage)
    own.picked.append(usage)
    spot.write(usage, is_picked_up=True)
    return usage


def priced(usage: Usage, time_unix_nano: int) -> Usage:
    """Return *usage* with what it cost, where somebody knows: what answered, or what was asked for."""
    prices = CURRENT.prices
    if usage.cost is not None or prices is None:
        return usage
    for model in (usage.response_model, usage.model):
        rates = prices.rates(model, usage.provider, time_unix_nano, usage.service_tier) if model else None
        if rates is not None:
            cost = rates.cost(
                usage.input_tokens,
                usage.output_tokens,
                usage.cached_tokens,
                usage.cache_write_tokens,
                usage.reasoning_tokens,
            )
            return usage._replace(cost=cost, cost_source=None if cost is None else rates.source)
    return usage


def _open_above(span: Any, pipeline: Pipeline) -> Any:
    """Return the nearest span around *span* that is still open in this process."""
    around = above(span, pipeline.guests)
    while around is not None and around.ended is not None:
        around = above(around, pipeline.guests)
    return around


def _step_of(span: Any, pipeline: Pipeline) -> str | None:
    """Return the name of the step that *span* is, or is inside of."""
    while span is not None:
        if span.role == names.KIND_STEP:
            return str(span.title)
        span = above(span, pipeline.guests)
    return None
