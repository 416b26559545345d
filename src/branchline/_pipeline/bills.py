"""Bills: what an open span took, by itself and with all inside that has ended, and which calls that were."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from ..tally import Tally
from ..usage_records import Labels
from ..usage_values import Usage


# Calls that may come a second time, from an instrumentation or from whoever has it: that happens soon, or never.
_MOST_REMEMBERED: Final = 64
_MOST_LABELS: Final = 64


class Bill:
    """What one span took."""

    __slots__ = ("inside", "labels", "modalities", "own", "picked", "said")

    def __init__(self) -> None:
        self.own = Tally()
        self.inside = Tally()
        # The last calls that instrumentations' spans told of, and those that were recorded.
        self.picked: deque[Usage] = deque(maxlen=_MOST_REMEMBERED)
        self.said: deque[Usage] = deque(maxlen=_MOST_REMEMBERED)
        self.labels: set[Labels] = set()
        self.modalities: dict[str, int] = {}

    def add(self, usage: Usage) -> None:
        """Add a call of its own."""
        self.own.add(usage)
        if len(self.labels) < _MOST_LABELS:
            self.labels.add((usage.operation, usage.provider, usage.model))
        for kind, count in usage.modalities.items():
            self.modalities[kind] = self.modalities.get(kind, 0) + count

    def take(self, other: Bill) -> None:
        """Add that of a span inside, which has ended."""
        self.inside.take(other.own)
        self.inside.take(other.inside)
        self.picked.extend(other.picked)
        self.said.extend(other.said)

    @property
    def total(self) -> Tally:
        """What it took, with all inside."""
        total = Tally()
        total.take(self.own)
        total.take(self.inside)
        return total


def bill_of(span: Any) -> Bill:
    """Return the bill of *span*, a new one if it has none; from then on the span is not like most."""
    bill: Bill | None = span.bill
    if bill is None:
        # In one step: of several threads that come at once, all get the same.
        bill = span.__dict__.setdefault("bill", Bill())
        span.is_common = False
    return bill


def told_before(span: Any, open_: Any, usage: Usage, *, is_picked: bool, since: int = 0) -> Usage | None:
    """Return the call that *usage* tells of a second time, and forget it; None where this is the first time.

    It was counted for *span* or for what is above it, *since* then, and told of by the other side: by an
    instrumentation's span if this one is not picked up from one, and the other way round. *open_* has, by number, the
    spans that do not know what is above them.
    """
    while span is not None:
        # What has ended has handed on what it knows; after a fork, all of it is the parent's business.
        bill: Bill | None = span.bill if span.ended is None else None
        if bill is not None and (told := bill.said if is_picked else bill.picked):
            for other in list(told):
                if other.time_unix_nano >= since and is_same_call(other, usage):
                    try:
                        told.remove(other)
                    except ValueError:  # another thread was faster: it was that one's
                        continue
                    return other
        span = above(span, open_)
    return None


def above(span: Any, open_: Any) -> Any:
    """Return the span that *span* is directly inside of, in this process."""
    return getattr(span, "up", None) or open_.get(span.parent_number)


def is_same_call(one: Usage, other: Usage) -> bool:
    """Whether two tell of the same call: by the id of its answer, else by the model and all of the tokens."""
    if one.response_id and other.response_id:
        return one.response_id == other.response_id
    if one.output_tokens != other.output_tokens or not one.total_tokens:
        return False
    # Some instrumentations leave out of the input what came from a cache.
    given = {one.input_tokens, one.input_tokens - one.cached_tokens - one.cache_write_tokens}
    if given.isdisjoint({other.input_tokens, other.input_tokens - other.cached_tokens - other.cache_write_tokens}):
        return False
    return any(
        name and title and (name.startswith(title) or title.startswith(name))
        for name in (one.model.lower(), (one.response_model or "").lower())
        for title in (other.model.lower(), (other.response_model or "").lower())
    )
