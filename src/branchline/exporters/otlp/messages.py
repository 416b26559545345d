"""Messages: lines of the journal as the protobuf messages of OpenTelemetry, which come with the extra ``otlp``."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Final

from ..._journal.layout import Signal
from ...errors import missing_extra
from .lines import NotOtlpError, content


Convert = Callable[[Any], Any]

_IDS: Final = frozenset({"trace_id", "span_id", "parent_span_id"})
_FIELDS: Final[dict[Signal, str]] = {
    "traces": "resource_spans",
    "logs": "resource_logs",
    "metrics": "resource_metrics",
}
_KEY_VALUE: Final = "opentelemetry.proto.common.v1.KeyValue"


def encoded(signal: Signal, lines: Sequence[bytes]) -> bytes:
    """Return *lines* as one request in protobuf.

    Raises:
        NotOtlpError: for a line that is no OTLP/JSON of this *signal*.
        MissingExtraError: without the extra.
    """
    kind = request_type(signal)
    convert = _converters(kind.DESCRIPTOR)[_camel_cased(_FIELDS[signal])][1]
    # Messages put one behind the other are one message. Line by line, because millions of small objects at once
    # would take three times as long: the garbage collector looks through them again and again.
    return b"".join([_encoded(kind, convert, signal, line) for line in lines])


def _encoded(kind: Any, convert: Convert, signal: Signal, line: bytes) -> bytes:
    items = content(signal, line)
    try:
        # Building from nested dicts happens in C; only what JSON spells differently is touched here.
        made: bytes = kind(**{_FIELDS[signal]: convert(items)}).SerializeToString()
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        msg = f"a line of {signal} is no OTLP: {type(error).__name__}: {error}"
        raise NotOtlpError(msg) from error
    return made


def request_type(signal: Signal) -> Any:
    """Return the class of the request messages of *signal*.

    Raises:
        MissingExtraError: without the extra.
    """
    try:
        # The messages come with an extra, and take their time to load.
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    except ImportError as error:
        feature = "OTLP as protobuf"
        raise missing_extra(feature, extra="otlp", package="opentelemetry-exporter-otlp") from error
    kinds: dict[Signal, Any] = {
        "traces": ExportTraceServiceRequest,
        "logs": ExportLogsServiceRequest,
        "metrics": ExportMetricsServiceRequest,
    }
    return kinds[signal]


# ── what JSON spells differently ──────────────────────────────────────────────────────────────────


@cache
def _converters(descriptor: Any) -> dict[str, tuple[str, Convert]]:
    """Return, for each field by its name in JSON, its name in the message and what makes its value."""
    return {_camel_cased(field.name): (field.name, _converter(field)) for field in descriptor.fields}


def _camel_cased(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def _converter(field: Any) -> Convert:
    is_repeated = getattr(field, "is_repeated", None)
    if is_repeated is None:  # protobuf before 6
        is_repeated = field.label == field.LABEL_REPEATED
    if is_repeated and field.message_type is not None and field.message_type.full_name == _KEY_VALUE:
        return partial(_key_values, field.message_type)
    one = _single(field)
    return partial(_each, one) if is_repeated else one


def _single(field: Any) -> Convert:
    if field.message_type is not None:
        return partial(_message, field.message_type)
    if field.enum_type is not None:
        return partial(_enum, {value.name: value.number for value in field.enum_type.values})
    if field.cpp_type in {field.CPPTYPE_INT32, field.CPPTYPE_INT64, field.CPPTYPE_UINT32, field.CPPTYPE_UINT64}:
        return int
    if field.cpp_type in {field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT}:
        return float
    if field.cpp_type == field.CPPTYPE_BOOL:
        return bool
    if field.type == field.TYPE_BYTES:
        return _id if field.name in _IDS else base64.b64decode
    return str


def _message(descriptor: Any, item: dict[str, Any]) -> dict[str, Any]:
    # Asked for late, because messages nest in themselves. Unknown fields are for newer servers, and left out.
    known = _converters(descriptor)
    return {known[key][0]: known[key][1](value) for key, value in item.items() if value is not None and key in known}


def _each(one: Convert, items: Sequence[Any]) -> list[Any]:
    return [one(item) for item in items]


def _key_values(descriptor: Any, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    made = []
    for item in items:
        value = item.get("value")
        # Nearly all are texts and whole numbers: this is the innermost loop.
        if value is None or len(item) != 2 or len(value) != 1:
            made.append(_message(descriptor, item))
        elif "stringValue" in value:
            made.append({"key": item["key"], "value": {"string_value": value["stringValue"]}})
        elif "intValue" in value:
            made.append({"key": item["key"], "value": {"int_value": int(value["intValue"])}})
        else:
            made.append(_message(descriptor, item))
    return made


def _enum(numbers: dict[str, int], value: str | int) -> int:
    return numbers[value] if isinstance(value, str) and value in numbers else int(value)


def _id(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        # Plain protobuf JSON has bytes in base64; OTLP asks for hex, but not every exporter listened.
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error as error:
            msg = f"{text[:40]!r} is no id"
            raise ValueError(msg) from error
