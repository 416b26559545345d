"""What calls of models took, read back: each call, and what they come to on steps, branches and experiments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from .. import names
from .._journal.decode import DecodedLog, DecodedSpan
from ..tally import Tally
from ..usage_records import span_usage, usage_of
from ..usage_values import Usage
from .points import branches_of
from .values import Branch, Spending


Key = tuple[str, str]


def spending_of(tally: Tally) -> Spending:
    """Return what a *tally* has come to."""
    return Spending(
        calls=tally.calls,
        input_tokens=tally.input_tokens,
        output_tokens=tally.output_tokens,
        cached_tokens=tally.cached_tokens,
        cache_write_tokens=tally.cache_write_tokens,
        reasoning_tokens=tally.reasoning_tokens,
        cost=tally.cost,
        priced_ratio=tally.priced_ratio,
    )


def spending_in(usages: Iterable[Usage]) -> Spending:
    """Return what *usages* come to."""
    tally = Tally()
    for usage in usages:
        tally.add(usage)
    return spending_of(tally)


def usage_in(log: DecodedLog) -> Usage:
    """Return the usage that a *log* event keeps."""
    attributes = log.attributes
    uid = attributes.get(names.LOG_UID)
    return usage_of(
        attributes,
        usage_id=uid if isinstance(uid, str) else "",
        time_unix_nano=log.time_unix_nano,
        trace_id=log.trace_id,
        span_id=log.span_id,
    )


def told_by_spans(
    spans: Mapping[Key, DecodedSpan], below: Mapping[Key, list[Key]], order: Iterable[Key]
) -> list[Usage]:
    """Return the calls that only spans tell of: of files that somebody else wrote; *order* has children first.

    branchline's own processes have kept each call as an event. A span around others that tell of calls adds them up.
    """
    found: list[Usage] = []
    telling: set[Key] = set()
    for key in order:
        span = spans[key]
        if any(child in telling for child in below.get(key, ())):
            telling.add(key)
            continue
        usage = span_usage({**span.attributes, **span.ours}) if names.RUN_ID not in span.resource else None
        if usage is not None and usage.total_tokens:
            telling.add(key)
            found.append(_told(usage, span))
    return found


def _told(usage: Usage, span: DecodedSpan) -> Usage:
    ours = span.ours
    return usage._replace(
        usage_id=span.span_id,
        time_unix_nano=span.end_unix_nano,
        trace_id=span.trace_id,
        span_id=span.span_id,
        latency=max(span.end_unix_nano - span.start_unix_nano, 0) / 1e9,
        experiment=_text(ours.get(names.EXPERIMENT_NAME)),
        branch=_text(ours.get(names.BRANCH_NAME)),
        branch_id=_text(ours.get(names.BRANCH_ID)),
        step=span.name,
    )


def spent_in(
    logs: list[DecodedLog],
    spans: Mapping[Key, DecodedSpan],
    below: Mapping[Key, list[Key]],
    order: Iterable[Key],
) -> list[tuple[Usage, Key | None]]:
    """Return every call that *logs* or *spans* tell of, with the span that it belongs to: its own, else its branch."""
    found: list[tuple[Usage, Key | None]] = []
    for log, branch in zip(logs, branches_of(logs, spans) if logs else (), strict=True):
        own = (log.trace_id or "", log.span_id or "")
        found.append((usage_in(log), own if own in spans else branch))
    found += [(usage, (usage.trace_id or "", usage.span_id or "")) for usage in told_by_spans(spans, below, order)]
    return found


class Spent:
    """What was spent in which span: its own, and with all below it."""

    def __init__(self, usages: Iterable[tuple[Usage, Key | None]]) -> None:
        """Take *usages*, each with the span that it belongs to."""
        self._own: dict[Key, Tally] = defaultdict(Tally)
        for usage, key in usages:
            if key is not None:
                self._own[key].add(usage)
        self._totals: dict[Key, Tally] = {}

    def fields(
        self, key: Key, children: Iterable[Key], span: DecodedSpan, loose: Mapping[str | None, list[Branch]]
    ) -> dict[str, Any]:
        """Return what *span* took, as the fields of its value; its *children* were asked for before.

        *loose* are, by experiment, the branches that lie in other traces.
        """
        if not self._own:
            return {}
        own = self._own.get(key)
        below = [self._totals[child] for child in children if child in self._totals]
        if span.ours.get(names.KIND) == names.KIND_EXPERIMENT:
            places = [(branch.trace_id, branch.span_id) for branch in loose.get(span.name, ())]
            below += [self._totals[place] for place in places if place in self._totals]
        if own is None and not below:
            return {}
        total = Tally()
        for tally in (*([] if own is None else [own]), *below):
            total.take(tally)
        self._totals[key] = total
        return {"usage": spending_of(own or Tally()), "total_usage": spending_of(total)}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
