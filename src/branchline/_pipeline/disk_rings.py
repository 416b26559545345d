"""Rings on the disk: what somebody may find in one has no secrets in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._journal.compact import dumps, loads, restored, ring_default
from .._journal.log_records import BODY_AT, LOG_RECORD
from ..redaction import Redactor


def redacted(redactor: Redactor, data: bytes) -> bytes:
    """Return the compact form of a record without what *redactor* takes out of it."""
    fields: list[Any] = loads(data)
    kept = [_clean(redactor, field) for field in fields]
    if fields[0] == LOG_RECORD:
        # What was said may be anything, with keys in it.
        kept[BODY_AT] = redactor.value("body", restored(fields[BODY_AT]))
    return dumps(kept, ring_default)


def _clean(redactor: Redactor, field: Any) -> Any:
    """Return one part of a record: a list is of such parts, a mapping is of attributes."""
    if isinstance(field, list):
        return [_clean(redactor, part) for part in field]
    if isinstance(field, dict):
        return redactor.value("", restored(field))
    return redactor.text(field) if isinstance(field, str) else field


def redacted_resource(redactor: Redactor | None, resource: Mapping[str, Any]) -> str:
    """Return *resource* as the page of a ring has it, without what *redactor* takes out of it."""
    kept = dict(resource) if redactor is None else redactor.value("", dict(resource))
    return dumps(kept, ring_default).decode()


def described(redactor: Redactor | None) -> str:
    """Return what a recoverer must know to take out what this process would have."""
    if redactor is None:
        return "{}"
    patterns = [
        (pattern, 0) if isinstance(pattern, str) else (pattern.pattern, pattern.flags)
        for pattern in redactor.extra_patterns
    ]
    return dumps({"keys": list(redactor.extra_keys), "patterns": patterns}).decode()
