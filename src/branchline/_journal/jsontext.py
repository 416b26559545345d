"""Values as the JSON text of an OTLP AnyValue."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from ..values import freeze


INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1

_dumps: Final = orjson.dumps


def quoted(text: str) -> str:
    """Return *text* as a JSON string."""
    try:
        return _dumps(text).decode()
    except TypeError:
        # A lone surrogate: no JSON or protobuf parser takes it.
        return _dumps(freeze(text)).decode()


def any_value(value: Any) -> str:
    """Return the inside of an OTLP AnyValue."""
    write = _WRITERS.get(value.__class__)
    if write is not None:
        return write(value)
    return any_value(freeze(value)) if not isinstance(value, (str, Mapping, list, tuple)) else _container(value)


def _container(value: Any) -> str:
    if isinstance(value, str):
        return f'"stringValue":{quoted(value)}'
    if isinstance(value, Mapping):
        items = ",".join([f'{{"key":{quoted(str(key))},"value":{{{any_value(item)}}}}}' for key, item in value.items()])
        return f'"kvlistValue":{{"values":[{items}]}}'
    items = ",".join([f"{{{any_value(item)}}}" for item in value])
    return f'"arrayValue":{{"values":[{items}]}}'


def _integer(value: int) -> str:
    if INT64_MIN <= value <= INT64_MAX:
        return f'"intValue":"{value}"'
    # As text, which of very many digits Python makes only in hex.
    return f'"stringValue":{quoted(str(freeze(value)))}'


def _number(value: float) -> str:
    return f'"doubleValue":{value!r}' if not value - value else f'"stringValue":{quoted(str(freeze(value)))}'


_WRITERS: Final[dict[type, Callable[[Any], str]]] = {
    str: lambda value: f'"stringValue":{quoted(value)}',
    bool: lambda value: f'"boolValue":{"true" if value else "false"}',
    int: _integer,
    float: _number,
    bytes: lambda value: f'"bytesValue":"{base64.b64encode(value).decode()}"',
    type(None): lambda value: "",
    dict: _container,
    list: _container,
    tuple: _container,
}
