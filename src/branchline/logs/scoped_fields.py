"""Fields of a block: what every record of a Logger has that is made inside of it, in its threads and tasks too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import context as otel_context

from ..context import attached
from ..values import Value, freeze, freeze_key


# In OpenTelemetry's context, which goes wherever the current step goes.
FIELDS_KEY: Final = otel_context.create_key("branchline-log-fields")


# Arguments of a Logger's methods that are no fields.
SPECIAL: Final = frozenset({"exc_info", "stack_info", "stacklevel", "extra"})

_LARGE: Final = 1 << 63
# What holds memory worth counting is looked at more closely.
_LONG: Final = 2048
# Keys that were found good once, and are nothing special: looking one up is cheaper than judging it again.
_KNOWN: Final[set[object]] = set()
_MOST_KNOWN: Final = 10_000


def are_lasting(fields: Mapping[Any, Any]) -> bool:
    """Whether *fields* are known to be fields, in which nothing can change, nor is long."""
    for key, value in fields.items():
        kind = type(value)
        if kind is str:
            if len(value) > _LONG or not value.isascii():
                return False
        elif kind is int:
            if not -_LARGE < value < _LARGE:
                return False
        # What is not finite is NaN here, and equals nothing.
        elif not (kind is bool or value is None or (kind is float and value - value == 0.0)):
            return False
        if key not in _KNOWN:
            return False
    return True


def frozen(fields: Mapping[Any, Any]) -> dict[str, Value]:
    """Return *fields* as they are now; a dictionary that is lasting is returned itself."""
    if are_lasting(fields):
        return fields if isinstance(fields, dict) else dict(fields)
    return frozen_each(fields)


def frozen_each(fields: Mapping[Any, Any]) -> dict[str, Value]:
    """Return the same, of *fields* that are not lasting."""
    made = {freeze_key(key): freeze(value) for key, value in fields.items()}
    if len(_KNOWN) >= _MOST_KNOWN:
        _KNOWN.clear()
    _KNOWN.update([key for key in made if key in fields and key not in SPECIAL])
    return made


@contextmanager
def contextualized(fields: Mapping[str, object]) -> Iterator[None]:
    """Give *fields* to every record that is made inside of the block; after it, those are back that were before."""
    outer = otel_context.get_value(FIELDS_KEY)
    inner = {**(outer if isinstance(outer, Mapping) else {}), **frozen(fields)}
    with attached(otel_context.set_value(FIELDS_KEY, inner)):
        yield
