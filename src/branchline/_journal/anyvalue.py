"""Attributes, values and ids of OTLP/JSON as plain Python values."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final


Value = None | bool | int | float | str | bytes | tuple["Value", ...] | dict[str, "Value"]

OURS: Final = "branchline."

_TOO_LARGE: Final = 2**64
_HEX: Final = re.compile(r"[0-9a-f]+").fullmatch
_NO_ID: Final = frozenset({"0" * 16, "0" * 32})
_UNDERSCORE: Final = re.compile(r"_([a-z])")


# ── ids ───────────────────────────────────────────────────────────────────────────────────────────
def optional_id(text: object, length: int) -> str | None:
    """Return an id in lower-case hex; None for what is none, or only zeros."""
    if not isinstance(text, str):
        return None
    if len(text) != length:
        return _id_in_base64(text, length)
    if not _HEX(text):
        text = text.lower()
        if not _HEX(text):
            return None
    return text if text not in _NO_ID else None


# Of traces and of parents there are fewer than of spans.
@lru_cache(maxsize=256)
def known_trace_id(text: object) -> str | None:
    """Return a trace's id; faster for one seen before."""
    return optional_id(text, 32)


@lru_cache(maxsize=256)
def known_parent_id(text: object) -> str | None:
    """Return the id of a span that has children; faster for one seen before."""
    return optional_id(text, 16)


def _id_in_base64(text: str, length: int) -> str | None:
    # Plain protobuf JSON has bytes in base64; OTLP asks for hex, but not every exporter listened.
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw.hex() if len(raw) * 2 == length and any(raw) else None


# ── names, texts, numbers ─────────────────────────────────────────────────────────────────────────
def camel_cased(content: Any) -> Any:
    """Return *content* with the keys of plain protobuf (``trace_id``) as OTLP has them (``traceId``)."""
    if isinstance(content, dict):
        return {
            _UNDERSCORE.sub(lambda match: match[1].upper(), key): camel_cased(item) for key, item in content.items()
        }
    return [camel_cased(item) for item in content] if isinstance(content, list) else content


def _raised(match: re.Match[str]) -> str:
    return match[1].upper()


def text_of(value: object) -> str:
    """Return *value* as text; nothing for none."""
    return value if isinstance(value, str) else "" if value is None else str(value)


def whole_number(value: Any) -> int:  # whatever stands in the file
    """Return *value* as a number of 64 bits; 0 for what is none."""
    try:
        number = int(value) if value is not None else 0
    except (TypeError, ValueError, OverflowError):
        return 0
    return number if 0 <= number < _TOO_LARGE else 0


# ── attributes ────────────────────────────────────────────────────────────────────────────────────
def attributes_of(items: Iterable[Any] | None, ours: dict[str, Value] | None = None) -> dict[str, Value]:
    """Return OTLP attributes as plain values; branchline's own go to *ours*, where that is given."""
    attributes: dict[str, Value] = {}
    for item in items or ():
        try:
            key = item["key"]
            value = item["value"]
            # Nearly all attributes are text or whole numbers: this is the reader's innermost loop.
            if "stringValue" in value:
                found: Value = value["stringValue"]
                if found.__class__ is not str:
                    found = text_of(found)
            elif "intValue" in value:
                found = int(value["intValue"])
            else:
                found = any_value(value)
        except (TypeError, KeyError, ValueError, OverflowError):
            if not isinstance(item, dict) or "key" not in item:
                continue
            key, found = item["key"], any_value(item.get("value"))
        if key.__class__ is not str:
            key = text_of(key)
        if ours is not None and OURS in key and key.startswith(OURS):
            ours[key] = found
        else:
            attributes[key] = found
    return attributes


def parted(attributes: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, Value]]:
    """Return the user's *attributes*, and branchline's own."""
    theirs = {key: value for key, value in attributes.items() if not key.startswith(OURS)}
    return theirs, {key: value for key, value in attributes.items() if key.startswith(OURS)}


def any_value(value: object) -> Value:
    """Return an OTLP AnyValue as a plain value; sequences become tuples."""
    if not isinstance(value, dict):
        return value if isinstance(value, (str, bool, int, float)) else None
    for key, content in value.items():
        decode = _VALUES.get(key)
        if decode is not None:
            return decode(content)
    return None


def _int_value(content: object) -> Value:
    try:
        return int(content)  # type: ignore[call-overload,no-any-return]  # what is no number stays as it is
    except (TypeError, ValueError, OverflowError):
        return text_of(content)


def _double_value(content: object) -> Value:
    try:
        return float(content)  # type: ignore[arg-type]  # what is no number stays as it is
    except (TypeError, ValueError, OverflowError):
        return text_of(content)


def _bytes_value(content: object) -> Value:
    try:
        return base64.b64decode(text_of(content), validate=True)
    except (binascii.Error, ValueError):
        return text_of(content)


def _array_value(content: dict[str, Any]) -> Value:
    return tuple([any_value(item) for item in content.get("values") or ()])


def _map_value(content: dict[str, Any]) -> Value:
    return attributes_of(content.get("values"))


_VALUES: Final[Mapping[str, Callable[[Any], Value]]] = {
    "stringValue": text_of,
    "intValue": _int_value,
    "boolValue": bool,
    "doubleValue": _double_value,
    "bytesValue": _bytes_value,
    "arrayValue": _array_value,
    "kvlistValue": _map_value,
}
