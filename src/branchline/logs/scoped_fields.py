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


def frozen(fields: Mapping[Any, object]) -> dict[str, Value]:
    """Return *fields* as they are now."""
    return {freeze_key(key): freeze(value) for key, value in fields.items()}


@contextmanager
def contextualized(fields: Mapping[str, object]) -> Iterator[None]:
    """Give *fields* to every record that is made inside of the block; after it, those are back that were before."""
    outer = otel_context.get_value(FIELDS_KEY)
    inner = {**(outer if isinstance(outer, Mapping) else {}), **frozen(fields)}
    with attached(otel_context.set_value(FIELDS_KEY, inner)):
        yield
