"""The bridge from the logging module: its records become log records of the run, with the step they were written in.

Nothing of anybody's is replaced: not the handlers of the root logger, nor what configures them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from itertools import islice
from time import time_ns
from types import FrameType
from typing import Any, Final, Protocol, cast

from opentelemetry.context import Context

from .. import names
from ..active import get_current
from ..log_api import is_of_exporters
from ..tracebacks import qualified_name, said, stack_of
from ..values import MAX_TEXT, freeze, freeze_key, freeze_name
from .handlers import Handlers
from .records import LEVEL_NAMES, PLAIN, STANDARD, Record
from .severity import number_of, word_of


class LogTaker(Protocol):
    """Where records go, frozen."""

    def scope(self, name: str) -> Any:  # noqa: ANN401  # whatever it knows a logger by
        """Return what stands for the logger called *name*."""

    def take(
        self,
        context: Context,
        scope: Any,  # noqa: ANN401  # the same
        level: int,
        moment: int,
        number: int,
        text: str,
        body: object,
        name: str,
        data: dict[str, Any] | None,
        origin: tuple[str, str, int, str],
        has_little: bool = False,  # not keyword-only: Python calls such a function in the fast way
    ) -> None:
        """Take one record, whose *data* is known to be nothing long if it *has_little*; never raises."""

    def odd(self, kind: str) -> None:
        """Count something odd in a record."""

    def failed(self, error: Exception) -> None:
        """Count a record that could not be taken."""


# A record that is made while another one is: by a signal handler, or by the __str__ of what is logged. The latter
# may go on for ever.
_DEEPEST: Final = 8
_NEVER: Final = 1 << 30
_MOST_SCOPES: Final = 10_000

# What OpenTelemetry's own instrumentation puts there: the record has it already.
_IDS: Final = ("otelTraceID", "otelSpanID", "otelTraceSampled", "otelServiceName")
_NO_FIELDS: Final = frozenset({*STANDARD, *_IDS})
# Of these classes we know what their messages are; one of somebody's own may have another style.
_ORDINARY: Final = frozenset({logging.LogRecord, Record})
_STANDARD_COUNT: Final = len(vars(logging.makeLogRecord({})))


_ROOT: Final = logging.getLogger()
_KEPT: Final = (str, Mapping, list, tuple, int, float, bytes)


class _Unseen(tuple[logging.Handler, ...]):
    """Handlers that are called, and that nobody finds who asks if there are any."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False


class Bridge(logging.Handler):
    """Hands every record that reaches the root logger to the run.

    It stands behind the root logger, as if that had a parent: so whoever configures logging, before or after, with
    ``basicConfig`` or ``dictConfig``, finds and leaves what would be there without it.
    """

    def __init__(self, taker: LogTaker) -> None:
        """Give records to *taker*; nothing comes before ``attach``."""
        super().__init__()
        self._taker = taker
        self._give = taker.take
        self._levels: list[int] = []
        self._lowest = _NEVER
        self._scopes: dict[object, tuple[Any, int]] = {}
        self._severities: dict[int, tuple[int, str]] = {}
        self._depth = 0
        # The sinks of everything that is logged.
        self._sinks: list[Handlers] = []
        # Not one that ``getLogger`` knows: nobody else is to find it.
        self._behind = logging.Logger("branchline")  # noqa: LOG001
        self._behind.handlers = cast("list[logging.Handler]", _Unseen((self,)))

    def createLock(self) -> None:  # noqa: N802  # the logging module's name for it
        """Have none: what takes records needs none, and a signal handler that logs must not wait for itself."""
        self.lock = None

    # ── on and off ────────────────────────────────────────────────────────────────────────────────

    def attach(self, level: int) -> None:
        """Take records of that *level* and above, until ``detach``."""
        self._levels.append(level)
        self._listen()
        if _ROOT.parent is None:
            _ROOT.parent = self._behind
        elif _ROOT.parent is not self._behind and self not in _ROOT.handlers:
            # Somebody has had the same idea.
            _ROOT.addHandler(self)

    def detach(self, level: int) -> None:
        """Take no more records because of one call of ``attach``; after the last one logging is as it was."""
        self._levels.remove(level)
        if self._levels:
            self._listen()
            return
        if _ROOT.parent is self._behind:
            _ROOT.parent = None
        _ROOT.removeHandler(self)

    def attach_sinks(self, sinks: Handlers, level: int) -> None:
        """Give every record of that *level* and above to *sinks* too, whatever the run takes."""
        self._sinks = [*self._sinks, sinks]
        self.attach(level)

    def detach_sinks(self, sinks: Handlers, level: int) -> None:
        """Give no more records to *sinks*."""
        self._sinks = [others for others in self._sinks if others is not sinks]
        self.detach(level)

    def _listen(self) -> None:
        self._lowest = min(self._levels)
        self._scopes.clear()
        last = logging.lastResort
        # Whoever hears nothing of a record cannot say it in the last resort's place.
        self.setLevel(self._lowest if last is None else min(self._lowest, last.level))

    # ── a record ──────────────────────────────────────────────────────────────────────────────────

    # Not in parts: it runs for every record, and a call has its price.
    def handle(self, record: logging.LogRecord, is_said: bool = False) -> bool:  # noqa: C901
        """Take *record*; never raises. Where nobody else says it, nor has said it already, the last resort does."""
        if self._depth > _DEEPEST and self._is_recursive():
            return False
        # Without a call in it, this is one step for other threads and for signal handlers.
        self._depth += 1
        try:
            level, kind = record.levelno, record.__class__
            try:
                scope, lowest = self._scopes[record.name]
                number, word = self._severities[level]
            except KeyError:
                scope, lowest = self._known(record.name)
                number, word = self._severity(level)
            if level >= lowest:
                message, args = record.msg, record.args
                # Said at once what `getMessage` says, for it runs for every record.
                if message.__class__ is not str or kind not in _ORDINARY:
                    message = self._body(record)
                elif args:
                    try:
                        message = message % args
                    except Exception:  # what is logged does not go with its format, or has a __str__ that raises
                        message = self._body(record)
                if message.__class__ is str and len(message) > MAX_TEXT:
                    message = freeze(message, self._taker.odd)
                # Before its dictionary is asked for: until then Python has none, and finds an attribute at once.
                origin = (record.pathname, record.funcName, record.lineno, record.levelname)
                moment = int(record.created * 1e9)
                name, data = "", None
                if record.exc_info or record.exc_text or record.stack_info:
                    name, data = self._beside(record)
                elif kind is Record:
                    data = record.fields  # type: ignore[attr-defined]  # one of ours has
                    if names.EVENT_NAME_FIELD in data or data.__class__ is not dict:
                        name, data = self._beside(record)
                elif len(record.__dict__) > _STANDARD_COUNT:
                    name, data = self._beside(record)
                self._give(get_current(), scope, level, moment, number, word, message, name, data, origin)
            if self._sinks:
                self._share(record)
        except Exception as error:  # recording never raises
            self._taker.failed(error)
        finally:
            self._depth -= 1
        last = logging.lastResort
        if last is not None and record.levelno >= last.level and not (is_said or self._sinks or _ROOT.handlers):
            _say_as_without_us(record, last)
        return True

    def say(
        self,
        context: Context,
        name: str,
        level: int,
        text: str,
        args: tuple[object, ...],
        fields: Mapping[str, Any],
        frame: FrameType,
        has_little: bool,
    ) -> bool:
        """Take what a Logger says where nobody else listens, so that no record need be made of it; never raises.

        Returns whether it was taken. What is not like most is not: that is for ``handle`` to take.
        """
        if self._sinks or fields.__class__ is not dict or names.EVENT_NAME_FIELD in fields:
            return False
        try:
            scope, lowest = self._scopes[name]
            number, word = self._severities[level]
            if level < lowest:
                return True
            if args:
                for arg in args:
                    # What these say is no code of anybody's, which could log in its turn, or be interrupted.
                    if arg.__class__ not in PLAIN:
                        return False
                text = text % args
            if len(text) > MAX_TEXT:
                return False
            code = frame.f_code
            origin = (code.co_filename, code.co_name, frame.f_lineno, LEVEL_NAMES[level])
        except Exception:  # a name or level that is new, or what does not go with its format
            return False
        try:
            self._give(context, scope, level, time_ns(), number, word, text, "", fields or None, origin, has_little)
        except Exception as error:  # recording never raises
            self._taker.failed(error)
        return True

    def take(self, record: logging.LogRecord) -> None:
        """Take a *record* that somebody has said already; never raises."""
        self.handle(record, True)

    def _share(self, record: logging.LogRecord) -> None:
        for sinks in self._sinks:
            sinks.handle(Record.of(record))

    def emit(self, record: logging.LogRecord) -> None:
        """Take *record*."""
        self.handle(record)

    def _is_recursive(self) -> bool:
        """Whether this record is made by what is logged, and that again: so many threads at once are rare."""
        frame: FrameType | None = sys._getframe()  # noqa: SLF001  # the only way to see it without a cost to all others
        code, depth = Bridge.handle.__code__, 0
        while frame is not None and depth <= _DEEPEST:
            depth += frame.f_code is code
            frame = frame.f_back
        if depth > _DEEPEST:
            self._taker.odd("recursive_log")
        return depth > _DEEPEST

    def _known(self, key: object) -> tuple[Any, int]:
        name = freeze_name(key)
        lowest = self._lowest
        if is_of_exporters(name):
            # An exporter that records what it exports has more to export, without end. A warning of a library that
            # the application uses as well is worth knowing.
            is_telling_of_us = name.partition(".")[0] in ("opentelemetry", names.SCOPE)
            lowest = _NEVER if is_telling_of_us else max(lowest, logging.WARNING)
        if len(self._scopes) >= _MOST_SCOPES:
            self._scopes.clear()
        found = self._scopes[key] = (self._taker.scope(name), lowest)
        return found

    def _severity(self, level: int) -> tuple[int, str]:
        number = number_of(level)
        found = self._severities[level] = (number, word_of(number))
        return found

    def _body(self, record: logging.LogRecord) -> object:
        message = record.msg
        try:
            # Without arguments a message may be anything: a mapping stays one.
            if record.args or not isinstance(message, _KEPT):
                message = record.getMessage()
            if type(message) is str and len(message) <= MAX_TEXT:
                return message
        except Exception:  # what is logged does not go with its format, or has a __str__ that raises
            self._taker.odd("log_format")
            return freeze(f"{freeze(record.msg)} {freeze(record.args)}", self._taker.odd)
        return freeze(message, self._taker.odd)

    def _beside(self, record: logging.LogRecord) -> tuple[str, dict[str, Any] | None]:
        """Return the name, if *record* is an event, and what there is beside the message."""
        name, data = self._fields(record)
        if record.exc_info or record.exc_text or record.stack_info:
            data = self._with_error(data, record)
        return name, data or None

    def _fields(self, record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
        """Return the name, if *record* is an event, and what the application said beside the message."""
        odd = self._taker.odd
        name = ""
        if isinstance(record, Record):
            data = dict(record.fields)
            said = data.pop(names.EVENT_NAME_FIELD, None)
            return "" if said is None else freeze_name(said, odd), data
        data = {}
        # What the application says comes last, unless somebody's own class of records has it otherwise.
        skipped = _STANDARD_COUNT if record.__class__ is logging.LogRecord else 0
        # A copy: another handler may add to it, in another thread.
        for key, value in list(islice(record.__dict__.items(), skipped, None)):
            if key == names.EVENT_NAME_FIELD:
                name = "" if value is None else freeze_name(value, odd)
            elif key not in _NO_FIELDS:
                data[freeze_key(key, odd)] = freeze(value, odd)
        return name, data

    def _with_error(self, data: dict[str, Any], record: logging.LogRecord) -> dict[str, Any]:
        """Return *data* with the exception that *record* tells of; what the application says of it counts more."""
        odd = self._taker.odd
        told: dict[str, Any] = {}
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) and len(record.exc_info) == 3 else None
        if isinstance(error, BaseException):
            stack = record.exc_info[2] if record.exc_info else None
            told[names.EXCEPTION_TYPE] = qualified_name(type(error))
            told[names.EXCEPTION_MESSAGE] = freeze(said(error), odd)
            told[names.EXCEPTION_STACKTRACE] = freeze(stack_of(error, stack), odd)
        elif record.exc_text and not record.exc_info:
            # It was an exception in another process.
            told[names.EXCEPTION_STACKTRACE] = freeze(record.exc_text, odd)
        if record.stack_info:
            told[names.CODE_STACKTRACE] = freeze(record.stack_info, odd)
        return {**told, **data}


def _say_as_without_us(record: logging.LogRecord, last: logging.Handler) -> None:
    """Let the logging module's *last* resort say *record*, where without the bridge there would be no handler."""
    logger: Any = _ROOT.manager.loggerDict.get(record.name)
    while isinstance(logger, logging.Logger) and logger is not _ROOT:
        if logger.handlers:
            return
        logger = logger.parent
    last.handle(record)
