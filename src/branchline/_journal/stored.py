"""Spans of this process that wait in its ring alone: read back from there when they are to be written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from .records import Identity, Lane, loads


_new = object.__new__


class StoredSpan:
    """A span as the encoder reads it; what the ring's short form leaves out has its default."""

    __slots__ = (
        *("began", "data", "ended", "identity", "lane", "marks", "number", "outcome", "parent_number", "role"),
        *("slots", "title", "trace_hex"),
    )
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


def stored_spans(texts: Iterable[bytes], slots: Iterable[int]) -> Iterator[StoredSpan]:
    """Yield the spans of which *slots* have the short forms *texts*. Raises ValueError for anything else."""
    # All at once, and without an __init__: this is done for every step.
    for slot, fields in zip(slots, loads(b"[%b]" % b",".join(texts)), strict=True):
        span: Any = _new(StoredSpan)
        span.slots = slot
        (
            _,
            span.trace_hex,
            span.number,
            span.parent_number,
            span.title,
            span.began,
            span.ended,
            span.role,
            span.outcome,
            span.data,
            span.marks,
            identity,
            flags,
        ) = fields
        span.identity = identity and _identity(*identity)
        span.lane = _lane(flags)
        yield span


# The same object for all who have it in common: what is remembered of one goes by that.


@lru_cache(maxsize=1024)
def _identity(experiment_name: str | None, branch_id: str | None, branch_name: str | None) -> Identity:
    return Identity(experiment_name, branch_id, branch_name)


@lru_cache(maxsize=256)
def _lane(flags: int) -> Lane:
    return Lane(flags, "")
