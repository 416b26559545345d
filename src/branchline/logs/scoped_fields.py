"""Fields of a block: what every record of a Logger has that is made inside of it, in its threads and tasks too."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from opentelemetry import context as otel_context

from ..context import attached
from ..values import Value, freeze, freeze_key


_Item = TypeVar("_Item")

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
    with attached(otel_context.set_value(FIELDS_KEY, {**_around(), **frozen(fields)})):
        yield


def bind_contextvars(**fields: object) -> None:
    """Give *fields* to every record of every Logger from here on, in this task or thread and in what it starts.

    Inside of a step, a branch, or another block they end with it.
    """
    _go_on_with({**_around(), **frozen(fields)})


def unbind_contextvars(*names: str) -> None:
    """Give no more of the fields that are called so; one that is not there is none."""
    _go_on_with({key: value for key, value in _around().items() if key not in names})


def clear_contextvars() -> None:
    """Give none of such fields any more."""
    _go_on_with({})


def iterate_with_context(items: Iterable[_Item], **fields: object) -> Generator[_Item, None, None]:
    """Yield each of *items*; what is logged in the loop over them has *fields*, until it ends or is left."""
    with contextualized(fields):
        yield from items


def _around() -> Mapping[str, Value]:
    found = otel_context.get_value(FIELDS_KEY)
    return found if isinstance(found, Mapping) else {}


def _go_on_with(fields: Mapping[str, Value]) -> None:
    # Nobody gives it back: whoever gives back what was before gives this back, too.
    otel_context.attach(otel_context.set_value(FIELDS_KEY, fields))
