"""What calls of models took, read back: each call, and what they come to on steps, branches and experiments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .. import names
from .._journal.decode import DecodedLog, DecodedSpan
from ..money import units
from ..tally import Tally
from ..usage_records import span_usage, usage_of
from ..usage_values import Usage
from .points import branches_of
from .totals import Spending
from .values import Branch


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


def summed(spendings: Iterable[Spending]) -> Spending:
    """Return what several of them come to together."""
    whole = Tally()
    for each in spendings:
        tally = Tally()
        tally.calls, tally.input_tokens, tally.output_tokens = each.calls, each.input_tokens, each.output_tokens
        tally.cached_tokens, tally.cache_write_tokens = each.cached_tokens, each.cache_write_tokens
        tally.reasoning_tokens = each.reasoning_tokens
        tally.priced_tokens = round(each.priced_ratio * each.total_tokens)
        if each.cost is None:
            tally.unpriced_calls = each.calls
        else:
            tally.cost_units = units(each.cost)
        whole.take(tally)
    return spending_of(whole)


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


class Call(NamedTuple):
    """One call, and which spans it counts for."""

    usage: Usage
    span: Key | None
    """The one that made it: its own, else its branch."""
    home: Key | None = None
    """Its branch, or its experiment, where nothing that is known leads up there from its span."""


def spent_in(
    logs: list[DecodedLog],
    spans: Mapping[Key, DecodedSpan],
    below: Mapping[Key, list[Key]],
    order: Iterable[Key],
) -> list[Call]:
    """Return every call that *logs* or *spans* tell of; *order* has the spans, children first."""
    found: list[Call] = []
    homes = _Homes(spans) if logs else None
    for log, branch in zip(logs, branches_of(logs, spans) if logs else (), strict=True):
        usage = usage_in(log)
        own = (log.trace_id or "", log.span_id or "")
        home = None if homes is None else homes.of(usage, own, branch)
        found.append(Call(usage, own, home) if own in spans else Call(usage, branch or home))
    found += [Call(usage, (usage.trace_id or "", usage.span_id or "")) for usage in told_by_spans(spans, below, order)]
    return found


class _Homes:
    """Finds the branch or experiment of what was killed before anybody knew what was around it."""

    def __init__(self, spans: Mapping[Key, DecodedSpan]) -> None:
        self._spans = spans
        self._tops: dict[Key, Key] = {}
        self._experiments = {
            span.name: key for key, span in spans.items() if span.ours.get(names.KIND) == names.KIND_EXPERIMENT
        }

    def of(self, usage: Usage, own: Key, branch: Key | None) -> Key | None:
        """Return where *usage* belongs, unless its *own* span leads there by itself."""
        home = branch or self._experiments.get(usage.experiment or "")
        return None if home is None or self._top_of(own) == self._top_of(home) else home

    def _top_of(self, key: Key) -> Key:
        passed: list[Key] = []
        # Damaged ids can make a ring of parents.
        while key in self._spans and key not in passed and key not in self._tops:
            passed.append(key)
            parent = (key[0], self._spans[key].parent_id or "")
            if parent not in self._spans:
                break
            key = parent
        top = self._tops.get(key, key)
        self._tops.update(dict.fromkeys(passed, top))
        return top


class Spent:
    """What was spent in which span: its own, and with all below it."""

    def __init__(self, calls: Iterable[Call]) -> None:
        """Take *calls*."""
        self._own: dict[Key, Tally] = defaultdict(Tally)
        self._orphans: dict[Key, Tally] = defaultdict(Tally)
        for usage, span, home in calls:
            if span is not None:
                self._own[span].add(usage)
            if home is not None and home != span:
                self._orphans[home].add(usage)
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
        below += [self._orphans[key]] if key in self._orphans else []
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
