"""Common spans on their way to the journal: of these, the queue or the ring has kept no more than the short form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from .fields import CLOCK, IDENTITY, ShortSpan, flags_of
from .records import Identity, Lane, loads


_new = object.__new__


class StoredSpan(ShortSpan):
    """A span as the encoder reads it; what the short form leaves out has its default."""

    __slots__ = ("fields", "slots")
    fields: list[Any]
    slots: int

    is_common = True
    span_kind = 1
    scope = None
    code = 0
    note = None
    bonds = None
    has_remote_parent = False
    dropped_attributes = 0
    dropped_events = 0
    dropped_links = 0

    @property
    def identity(self) -> Identity | None:
        """The experiment and branch it belongs to; the same object for all spans of one."""
        identity = self.fields[IDENTITY]
        return identity and _identity(*identity)

    @property
    def lane(self) -> Lane:
        """What its trace has to say."""
        return _lane(flags_of(self.fields[CLOCK]))


def stored_span(fields: list[Any], slots: int = -1) -> StoredSpan:
    """Return the span of a short form, which holds these *slots* of the ring."""
    # Without an __init__, because this is called for every step.
    span = _new(StoredSpan)
    span.fields = fields
    span.slots = slots
    return span


def stored_spans(texts: Iterable[bytes], slots: Iterable[int]) -> Iterator[StoredSpan]:
    """Return the spans of which *slots* of the ring have the short forms *texts*. Raises ValueError for others."""
    # Read all at once, which takes less than one by one.
    return map(stored_span, loads(b"[%b]" % b",".join(texts)), slots)


@lru_cache(maxsize=1024)
def _identity(experiment_name: str | None, branch_id: str | None, branch_name: str | None) -> Identity:
    return Identity(experiment_name, branch_id, branch_name)


@lru_cache(maxsize=256)
def _lane(flags: int) -> Lane:
    return Lane(flags, "")
