"""Records: what sinks, filters and formatters get, whoever made it."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from pathlib import Path
from time import time
from types import FrameType, TracebackType
from typing import Any, Final, Self, TypeAlias

from opentelemetry import trace

from ..values import Value, freeze, freeze_key
from .levels import LEVELS, level_name


ExceptionInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]

# What a formatter of another handler leaves in a record.
_LEFT_BY_FORMATTERS: Final = ("message", "asctime")
STANDARD: Final = frozenset({*vars(logging.makeLogRecord({})), "taskName", *_LEFT_BY_FORMATTERS})
_STANDARD_COUNT: Final = len(vars(logging.makeLogRecord({})))


# This process: to ask each time costs more than all else that a record is told of where it was made.
_process: Final = [os.getpid()]


def _note_child() -> None:
    _process[0] = os.getpid()


os.register_at_fork(after_in_child=_note_child)


class _Here(threading.local):
    """The thread that logs, found once: its name may change, and is asked for each record."""

    def __init__(self) -> None:
        self.known = (threading.get_ident(), threading.current_thread())


_here: Final = _Here()

LEVEL_NAMES: Final = {number: name for name, number in LEVELS.items()}
_new: Final = object.__new__
# What is no mapping, and has no code of anybody's in it: to look that up costs less than to ask.
PLAIN: Final = frozenset({int, str, float})


class Record(logging.LogRecord):
    """A record of the logging module that can say more of itself.

    ``fields`` has what was said beside the message: bound, contextual and of the call, frozen. ``span`` is the span it
    was written in. Both are as they were when it was made: a sink may look at them later, in another thread.
    """

    # Not among its attributes: other handlers would take them for fields.
    __slots__ = ("fields", "is_lasting", "span")
    fields: Mapping[str, Value]
    span: trace.Span | None
    is_lasting: bool
    """Whether it is known that its message is the same later, whatever becomes of what it is made of."""

    @classmethod
    def of(cls, record: logging.LogRecord) -> Record:
        """Return *record*, or one of ours that says the same; to be called in the thread that logs."""
        if isinstance(record, cls):
            return record
        made = cls.__new__(cls)
        made.__dict__.update(record.__dict__)
        made.fields = foreign_fields(record)
        made.span = trace.get_current_span()
        made.is_lasting = False
        return made

    def complete(self) -> Record:
        """Return itself with all that a record of the logging module has, where handlers of others look for it."""
        said = self.__dict__
        for name, find in _LATER.items():
            if name not in said:
                said[name] = find(self)
        for key, value in self.fields.items():
            if key not in STANDARD:
                said[key] = value
        return self

    def __copy__(self) -> Record:
        made = Record.__new__(Record)
        made.__dict__.update(self.__dict__)
        made.fields, made.span, made.is_lasting = self.fields, self.span, self.is_lasting
        return made

    def __reduce__(self) -> tuple[object, ...]:
        # In another process it is one of the logging module's own, whose extra attributes are the fields.
        return logging.makeLogRecord, (self.complete().__dict__,)

    @property
    def level(self) -> str:
        """The name of its level: ``record.level in ("ERROR", "CRITICAL")``."""
        return self.levelname

    @property
    def logger_name(self) -> str:
        """The name of its logger; ``name`` is the same."""
        return self.name

    @property
    def timestamp(self) -> datetime:
        """When it was made, in UTC."""
        return datetime.fromtimestamp(self.created, UTC)

    @property
    def elapsed(self) -> float:
        """Seconds from the start of the program (of the logging module, to be exact) until it was made."""
        return self.relativeCreated / 1000

    @property
    def extra(self) -> Mapping[str, Value]:
        """The same as ``fields``."""
        return self.fields

    @property
    def exception(self) -> BaseException | None:
        """The exception that it tells of."""
        return self.exc_info[1] if isinstance(self.exc_info, tuple) else None

    @property
    def thread_id(self) -> int | None:
        """The thread that made it."""
        return self.thread

    @property
    def process_id(self) -> int | None:
        """The process that made it."""
        return self.process

    @property
    def hostname(self) -> str:
        """The machine that it was made on."""
        return hostname()


class _Later:
    """An attribute of a record that is found when somebody asks for it, and then the record's own.

    A descriptor for each, and no ``__getattr__`` for all: where there is one of those, Python reads every attribute in
    a slower way. Nor the library's ``cached_property``, which takes a lock.
    """

    def __init__(self, name: str, find: Callable[[Record], object]) -> None:
        self._name = name
        self._find = find

    def __get__(self, record: Record | None, owner: type | None = None) -> object:
        if record is None:
            return self
        found = self._find(record)
        setattr(record, self._name, found)
        return found


class Line(str):
    """A formatted line, as a callable sink gets it, with its ``record``."""

    __slots__ = ("record",)
    record: Record

    def __new__(cls, text: str, record: Record) -> Self:
        """Return *text*, which is what became of *record*."""
        made = super().__new__(cls, text)
        made.record = record
        return made


def foreign_fields(record: logging.LogRecord) -> dict[str, Value]:
    """Return what the application said beside the message of a *record* that is not ours."""
    # What the application says comes last, unless somebody's own class of records has it otherwise.
    skipped = _STANDARD_COUNT if record.__class__ is logging.LogRecord else 0
    said: list[tuple[Any, Any]] = list(islice(record.__dict__.items(), skipped, None))
    return {freeze_key(key): freeze(value) for key, value in said if key not in STANDARD}


def _message(record: Record) -> str:
    """Return the message of *record* with its arguments in it; never raises."""
    message, args = record.msg, record.args
    try:
        # As `getMessage`, without its call.
        text = message if message.__class__ is str else str(message)
        return text % args if args else text
    except Exception:  # what is logged does not go with its format, or has a __str__ that raises
        return f"{freeze(message)} {freeze(args)}"


def _module(record: Record) -> str:
    return Path(record.pathname).stem


def _process_name(_: Record) -> str:
    # Whoever has started others has it.
    multiprocessing = sys.modules.get("multiprocessing")
    return "MainProcess" if multiprocessing is None else multiprocessing.current_process().name


_started: Final = (origin := logging.makeLogRecord({})).created - origin.relativeCreated / 1000

# What is left out of a record until somebody wants it: few sinks want all that the logging module puts into each.
_LATER: Final[Mapping[str, Callable[[Record], object]]] = {
    "filename": lambda record: Path(record.pathname).name,
    "module": _module,
    "msecs": lambda record: int((record.created - int(record.created)) * 1000) + 0.0,
    "relativeCreated": lambda record: (record.created - _started) * 1000,
    "processName": _process_name,
    **({"taskName": lambda _: None} if "taskName" in vars(origin) else {}),
}
for _name, _find in {**_LATER, "message": _message}.items():
    setattr(Record, _name, _Later(_name, _find))


def made_record(
    name: str,
    level: int,
    msg: object,
    args: tuple[Any, ...],
    fields: Mapping[str, Value],
    frame: FrameType | None,
    span: trace.Span,
    error: Any = None,  # noqa: ANN401  # what the logging module takes for exc_info
    # Not keyword-only: Python calls such a function in the fast way, and this is called for every record.
    has_stack: bool = False,
) -> Record:
    """Return a record that says *msg* and *fields*, logged in *frame* and in *span*, by this thread."""
    pathname, line, function = "(unknown file)", 0, "(unknown function)"
    if frame is not None:
        code = frame.f_code
        pathname, line, function = code.co_filename, frame.f_lineno, code.co_name
    stack = None
    if has_stack:
        stack = "Stack (most recent call last):\n" + "".join(traceback.format_stack(frame)).rstrip("\n")
    factory = logging.getLogRecordFactory()
    if factory is not logging.LogRecord:
        # Somebody else's, which may add fields of its own.
        record = Record.of(factory(name, level, pathname, line, msg, args, error, function, stack))
        record.fields = {**record.fields, **fields}
        return record.complete()
    said: Any = args
    is_lasting = msg.__class__ is str
    for arg in args:
        if arg.__class__ not in PLAIN:
            is_lasting = False
            if len(args) == 1 and isinstance(arg, Mapping) and arg:
                # As the logging module has it: "%(rows)d" % {"rows": 3}
                said = arg
            break
    # One by one, and always in this order: Python then makes no dictionary of them, which would take most of the time.
    record = _new(Record)
    record.name = name
    record.msg = msg
    record.args = said
    record.levelname = LEVEL_NAMES.get(level) or level_name(level)
    record.levelno = level
    record.pathname = pathname
    record.lineno = line
    record.funcName = function
    record.created = time()
    record.exc_info = error
    record.exc_text = None
    record.stack_info = stack
    record.thread, thread = _here.known
    record.threadName = thread.name
    record.process = _process[0]
    record.fields, record.span, record.is_lasting = fields, span, is_lasting
    return record


def ids_of(record: Record) -> tuple[str, str]:
    """Return the trace and the span that *record* was written in, as they are written; empty for none."""
    span = record.span
    if span is None or span is trace.INVALID_SPAN:
        return "", ""
    place = span.get_span_context()
    return ("", "") if not place.is_valid else (f"{place.trace_id:032x}", f"{place.span_id:016x}")


@cache
def hostname() -> str:
    """Return what this machine is called."""
    try:
        return socket.gethostname() or "unknown"
    except OSError:
        return "unknown"
