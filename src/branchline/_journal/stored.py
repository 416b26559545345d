"""What is like most on its way to the journal: of this, the queue or the ring has kept no more than the short form."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from .belonging import Identity, Scope
from .compact import loads
from .fields import CLOCK, IDENTITY, ShortSpan, flags_of
from .log_records import IDENTITY_AT, SCOPE_AT
from .span_records import Lane


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

    def __init__(self, fields: list[Any], slots: int) -> None:
        """Be the span of a short form, which holds these *slots* of the ring."""
        self.fields = fields
        self.slots = slots


def span_record(span: Any, slots: Any = -1) -> Any:
    """Return *span* as an object; one that comes as its short form, which holds these *slots*, is made one."""
    return StoredSpan(span, slots) if span.__class__ is list else span


def short_forms(texts: Iterable[bytes]) -> list[list[Any]]:
    """Return the short forms that a ring has as these *texts*."""
    # Read all at once, which takes less than one by one.
    return loads(b"[%b]" % b",".join(texts))  # type: ignore[no-any-return]  # our own


def log_forms(texts: Iterable[bytes], slots: Iterable[int]) -> list[list[Any]]:
    """Return the log records that a ring has as these *texts* in *slots*, as the lists that the encoder takes."""
    found = short_forms(texts)
    told, scope = None, None
    for fields, slot in zip(found, slots, strict=True):
        if fields[SCOPE_AT] != told:
            # Most are of the same one as the one before; of none is there more to say than its name.
            told = fields[SCOPE_AT]
            scope = _scope(told[0])
        fields[SCOPE_AT] = scope
        if fields[IDENTITY_AT]:
            fields[IDENTITY_AT] = _identity(*fields[IDENTITY_AT])
        fields.append(slot)
    return found


@lru_cache(maxsize=1024)
def _scope(name: str) -> Scope:
    return Scope(name, None)


@lru_cache(maxsize=1024)
def _identity(experiment_name: str | None, branch_id: str | None, branch_name: str | None) -> Identity:
    return Identity(experiment_name, branch_id, branch_name)


@lru_cache(maxsize=256)
def _lane(flags: int) -> Lane:
    return Lane(flags, "")
