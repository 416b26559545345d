"""Templates: lines of text, as ``"{timestamp} {level} {message}"`` says."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from ..errors import ConfigError
from ..values import Value
from .colours import painted_level, painted_message
from .escapes import on_one_line
from .records import Record, ids_of


PLAIN: Final = "{timestamp} | {level:<8} | {logger_name} | {message}"

Said = Callable[[Record], object]


class _Moment(NamedTuple):
    """A time of day where the reader is, with its zone."""

    moment: datetime

    def __format__(self, spec: str) -> str:
        return format(self.moment, spec) if spec else self.moment.isoformat(sep=" ", timespec="milliseconds")


# Whatever else a template names is a field.
NAMES: Final[Mapping[str, Said]] = {
    "timestamp": lambda record: _Moment(record.timestamp.astimezone()),
    "time": lambda record: _Moment(record.timestamp.astimezone()),
    "asctime": lambda record: f"{record.timestamp.astimezone():%Y-%m-%d %H:%M:%S},{int(record.msecs):03d}",
    "elapsed": lambda record: record.elapsed,
    "level": lambda record: record.level,
    "level_number": lambda record: record.levelno,
    "name": lambda record: record.name,
    "logger_name": lambda record: record.name,
    "logger": lambda record: record.name,
    "short_name": lambda record: _short(record.name),
    "file": lambda record: record.pathname,
    "module": lambda record: record.module,
    "function": lambda record: record.funcName,
    "line": lambda record: record.lineno,
    "thread_id": lambda record: record.thread,
    "thread_name": lambda record: record.threadName,
    "process_id": lambda record: record.process,
    "pid": lambda record: record.process,
    "process_name": lambda record: record.processName,
    "hostname": lambda record: record.hostname,
    "exception": lambda record: "" if record.exception is None else type(record.exception).__name__,
    "trace_id": lambda record: ids_of(record)[0],
    "span_id": lambda record: ids_of(record)[1],
}
_OF_FIELDS: Final = frozenset({"extra", "fields"})


def _short(name: str) -> str:
    """Return the first part of a *name* and the last, as a word: ``RT.Runner`` of ``RT.nodes._runner``."""
    first, dot, rest = name.partition(".")
    last = rest.rpartition(".")[2]
    word = last.lstrip("_0123456789")
    return f"{first}{dot}{word[:1].upper()}{word[1:]}" if word else f"{first}{dot}{last}"


class _Piece(NamedTuple):
    literal: str
    name: str | None
    conversion: str | None
    spec: str


class Template:
    """Makes one line of a record; never raises."""

    def __init__(self, text: str, *, is_coloured: bool = False, is_whole: bool = False) -> None:
        """Make lines as *text* says; *is_whole* leaves what is in a message as it is.

        Raises:
            ConfigError: for a text that is no template.
        """
        self._pieces = _pieces(text)
        named = frozenset(piece.name for piece in self._pieces if piece.name is not None)
        self._has_fields = bool(named & _OF_FIELDS)
        self._fields_named = named - set(NAMES) - {"message"}
        self._is_coloured = is_coloured
        self._is_whole = is_whole

    def line(self, record: Record, message: str, fields: Mapping[str, Value]) -> str:
        """Return the line of *record*, whose *message* and *fields* are fit to be seen."""
        return "".join([self._piece(piece, record, message, fields) for piece in self._pieces])

    def _piece(self, piece: _Piece, record: Record, message: str, fields: Mapping[str, Value]) -> str:
        name = piece.name
        if name is None:
            return piece.literal
        if name == "message":
            value: object = self._message(message, fields)
        elif name in _OF_FIELDS:
            value = described(fields)
        elif name in NAMES:
            value = NAMES[name](record)
        else:
            value = fields.get(name, "")
        text = _formatted(value, piece)
        if not self._is_whole or name != "message":
            text = on_one_line(text)
        if self._is_coloured and name in ("level", "message"):
            paint = painted_level if name == "level" else painted_message
            text = paint(text, record.level)
        return piece.literal + text

    def _message(self, message: str, fields: Mapping[str, Value]) -> str:
        if not fields or self._has_fields:
            return message
        others = {key: value for key, value in fields.items() if key not in self._fields_named}
        return f"{message} [{described(others)}]" if others else message


def described(fields: Mapping[str, Value], between: str = ", ") -> str:
    """Return *fields* as a person reads them: ``rows=3, path="a b"``."""
    return between.join([f"{key}={_quoted(value)}" for key, value in fields.items()])


def _quoted(value: Value) -> str:
    text = str(value)
    is_plain = not isinstance(value, str) or (text and not any(sign in text for sign in ' ,="'))
    return text if is_plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _formatted(value: object, piece: _Piece) -> str:
    try:
        if piece.conversion is not None:
            value = repr(value) if piece.conversion == "r" else str(value)
        return format(value, piece.spec)
    except (ValueError, TypeError):
        # What the format is not for: a thread without a name, a field that is a list.
        return str(value)


def _pieces(text: str) -> tuple[_Piece, ...]:
    try:
        found = tuple(
            _Piece(literal, name, conversion, spec or "") for literal, name, spec, conversion in _parsed(text)
        )
    except (ValueError, TypeError) as error:
        msg = f"format={text!r} is not accepted: {error}; accepted: a text such as {PLAIN!r}"
        raise ConfigError(msg) from None
    for piece in found:
        if piece.conversion not in (None, "r", "s") or "{" in piece.spec:
            odd = f"!{piece.conversion}" if piece.conversion else f":{piece.spec}"
            msg = (
                f"format={text!r} is not accepted: {odd} is not understood; accepted: {{name}}, {{name!r}}, {{name:<8}}"
            )
            raise ConfigError(msg)
        if piece.name is not None and not piece.name.isidentifier():
            msg = f"format={text!r} is not accepted: {{{piece.name}}} is no name; accepted: {', '.join(NAMES)}, a field"
            raise ConfigError(msg)
    return found


def _parsed(text: str) -> list[tuple[str, str | None, str | None, str | None]]:
    return list(string.Formatter().parse(text.removesuffix("\n")))
