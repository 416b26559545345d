"""The Logger that people call: a logger of the logging module, with fields."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import FrameType, TracebackType
from typing import Any, Final, Self, TypeAlias

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN

from ..active import SPAN_KEY, get_current
from ..errors import ConfigError
from ..tracebacks import said as told
from ..values import Value
from .bridge import Bridge
from .desks import Desk
from .formats import masked
from .levels import SUCCESS, TRACE, level_number
from .records import Record, made_record
from .scoped_fields import FIELDS_KEY, SPECIAL, are_lasting, contextualized, frozen, frozen_each


_Found: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
ErrorInfo: TypeAlias = bool | BaseException | _Found | None

_NOTHING: Final[Mapping[str, Value]] = {}
_TRACE, _DEBUG, _INFO, _SUCCESS = TRACE, logging.DEBUG, logging.INFO, SUCCESS
_WARNING, _ERROR, _CRITICAL = logging.WARNING, logging.ERROR, logging.CRITICAL
# Frames of these are not the caller's: adapters of the logging module call us for somebody.
_OUR_FILES: Final = frozenset({__file__, logging.getLevelName.__code__.co_filename})


class Logger(logging.Logger):
    """A logger whose keyword arguments are fields: ``log.info("read %d rows", 3, table="users")``.

    Positional arguments go into the message as in the logging module; ``exc_info``, ``stack_info``, ``stacklevel`` and
    ``extra`` mean what they mean there. It *is* the logger of that name in the logging module, whose level, handlers
    and filters it has, with fields of its own. Nothing that is logged raises, whatever it is.
    """

    __slots__ = ("_bound", "_desk", "_error", "_is_lazy", "_is_special")

    def __init__(
        self, desk: Desk, bound: Mapping[str, Value] = _NOTHING, error: ErrorInfo = None, *, is_lazy: bool = False
    ) -> None:
        """Made by ``get_logger``."""
        # Levels, handlers, filters, parent and cache are one: whatever is set on either face shows on both.
        self.__dict__ = desk.under.__dict__
        self._desk = desk
        self._bound = bound
        self._error = error
        self._is_lazy = is_lazy
        self._is_special = is_lazy or error is not None

    # ── saying something ──────────────────────────────────────────────────────────────────────────

    def trace(self, msg: object, /, *args: object, **fields: object) -> None:
        """Log what only whoever looks for a fault wants to know."""
        self._say(_TRACE, msg, args, fields)

    def debug(self, msg: object, /, *args: object, **fields: object) -> None:  # type: ignore[override]  # msg may be a field
        """Log a detail."""
        self._say(_DEBUG, msg, args, fields)

    def info(self, msg: object, /, *args: object, **fields: object) -> None:  # type: ignore[override]  # msg may be a field
        """Log what happens."""
        self._say(_INFO, msg, args, fields)

    def success(self, msg: object, /, *args: object, **fields: object) -> None:
        """Log that something went well: above INFO, below WARNING."""
        self._say(_SUCCESS, msg, args, fields)

    def warning(self, msg: object, /, *args: object, **fields: object) -> None:  # type: ignore[override]  # msg may be a field
        """Log what somebody should look at."""
        self._say(_WARNING, msg, args, fields)

    warn = warning  # type: ignore[assignment]  # the same

    def error(self, msg: object, /, *args: object, **fields: object) -> None:  # type: ignore[override]  # msg may be a field
        """Log what went wrong."""
        self._say(_ERROR, msg, args, fields)

    def critical(self, msg: object, /, *args: object, **fields: object) -> None:  # type: ignore[override]  # msg may be a field
        """Log what cannot go on like this."""
        self._say(_CRITICAL, msg, args, fields)

    fatal = critical  # type: ignore[assignment]  # the same

    def exception(self, msg: object, /, *args: object, exc_info: ErrorInfo = True, **fields: object) -> None:  # type: ignore[override]  # msg may be a field
        """Log what went wrong, with the exception that is being handled, if one is."""
        self._say(_ERROR, msg, args, {**fields, "exc_info": exc_info})

    def log(self, level: int | str, msg: object, /, *args: object, **fields: object) -> None:  # type: ignore[override]  # msg may be a field
        """Log at a *level* that has a name or a number."""
        number = level if isinstance(level, int) else _known(level)
        self._say(number, msg, args, fields)

    def log_structured(
        self,
        message: object,
        level: int | str = "INFO",
        data: Mapping[str, object] | None = None,
        mask_sensitive: bool = True,
    ) -> None:
        """Log a message with the fields in *data*; with *mask_sensitive* not even sinks that show secrets get any."""
        fields = {str(key): value for key, value in (data or {}).items()}
        self.log(level, message, **{"stacklevel": 2, **(masked(fields) if mask_sensitive else fields)})

    # ── fields ────────────────────────────────────────────────────────────────────────────────────

    def bind(self, **fields: object) -> Self:
        """Return the same Logger with more *fields* on every record; this one stays as it is."""
        return self._with({**self._bound, **frozen(fields)})

    def unbind(self, *names: str) -> Self:
        """Return the same Logger without some of its fields; a name that is not there is none."""
        return self._with({key: value for key, value in self._bound.items() if key not in names})

    @property
    def bound(self) -> Mapping[str, Value]:
        """The fields that every record of it has."""
        return dict(self._bound)

    @staticmethod
    def contextualize(**fields: object) -> AbstractContextManager[None]:
        """Give *fields* to every record of every Logger made inside of a with-block, in its tasks and threads too."""
        return contextualized(fields)

    def opt(self, *, exception: ErrorInfo = None, lazy: bool = False) -> Self:
        """Return the same Logger, that tells of an *exception*, or to which functions may be given.

        *exception* is one, or True for the one that is being handled. With *lazy* each argument and field that is a
        function is called, and only if the record is wanted.
        """
        return type(self)(self._desk, self._bound, exception or self._error, is_lazy=lazy)

    def _with(self, bound: Mapping[str, Value]) -> Self:
        return type(self)(self._desk, bound, self._error, is_lazy=self._is_lazy)

    # ── sinks and levels ──────────────────────────────────────────────────────────────────────────

    def add_handler(self, config: Mapping[str, object]) -> int:
        """Add the sink that *config* describes, and return its id, which no other one ever gets.

        Raises:
            ConfigError: for a key or a value that is not accepted.
        """
        return self._desk.add(config)

    def remove_handler(self, handler_id: int) -> None:
        """Write what still waits for one sink, and close it; an id that is not there is none."""
        self._desk.remove(handler_id)

    def remove_all_handlers(self) -> None:
        """Write what still waits, and close every sink; handlers of the logging module stay."""
        self._desk.remove_all()

    def setLevel(self, level: int | str) -> None:  # noqa: N802  # the logging module's name for it
        """Let *level* and above through: a name of ours or of the logging module's, or a number.

        Raises:
            ConfigError: for anything else.
        """
        self._desk.decide_level(level_number(level))

    def tail(self, n: int = 50) -> list[str]:
        """Return the last *n* lines of its first file."""
        return self._desk.tail(n)

    def flush(self, timeout: float | None = 5.0) -> bool:
        """Write what waits, within *timeout* seconds; true if all of it is written."""
        return self._desk.flush(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Write what waits, close its sinks, and forget them; true if nothing was dropped.

        Without a *timeout* a slow sink gets the time it takes; one that takes nothing for half a minute is given up.
        What is logged after that still goes to the run, and to handlers of the logging module.
        """
        return self._desk.leave(timeout)

    def __reduce__(self) -> tuple[object, ...]:
        return self._desk.again, (self.name, dict(self._bound))

    # ── the record ────────────────────────────────────────────────────────────────────────────────

    def _say(self, level: int, msg: object, args: tuple[object, ...], said: dict[str, Any]) -> None:
        # As `isEnabledFor`, without its call: this runs for every record.
        try:
            is_wanted = self._cache[level]  # type: ignore[attr-defined]  # the logging module keeps it
        except KeyError:
            is_wanted = self.isEnabledFor(level)
        if (not is_wanted and self._desk.deepest > level) or self.disabled:
            return
        try:
            record = self._record(level, msg, args, said, is_wanted)
        except Exception:  # somebody's filter, or the factory of records
            self._desk.handleError(logging.makeLogRecord({"msg": msg, "args": args}))
            return
        if record is None:
            return
        # What raises here was asked to: a sink with `catch=False`, a handler that does not look after itself.
        if is_wanted:
            self._hand_out(record, level)
        else:
            self._desk.handle_below(record)

    # Not in parts: this too runs for every record, and a call has its price. Nor is anything of it keyword-only: Python
    # calls such a function in the fast way.
    def _record(
        self, level: int, msg: object, args: tuple[object, ...], said: dict[str, Any], is_wanted: bool
    ) -> logging.LogRecord | None:
        """Return the record of what is *said*; None where nobody is to get it, or the run alone has got it already."""
        context = get_current()
        try:
            # Whoever has called the method that called `_say`.
            frame: FrameType | None = sys._getframe(3)  # noqa: SLF001  # as the logging module does
        except ValueError:  # the interpreter has, at its exit
            frame = None
        has_little = not said or are_lasting(said)
        error, has_stack, above = None, False, 1
        is_common = not self._is_special and (has_little or SPECIAL.isdisjoint(said))
        if not is_common:
            args, said, error, has_stack, above = self._special(args, said)
            has_little = False
        if frame is None or above != 1 or frame.f_code.co_filename in _OUR_FILES:
            frame = _caller(frame, above)
        fields: Mapping[str, Any] = said if has_little else frozen_each(said)
        if self._bound or FIELDS_KEY in context:
            around: Any = context.get(FIELDS_KEY) if self._desk.is_contextual else None
            fields = {**(around or _NOTHING), **self._bound, **fields}
            has_little = False
        is_perhaps_alone = is_common and is_wanted and level < _WARNING and not self._desk.has_sinks
        if is_perhaps_alone and self._is_taken_alone(context, level, msg, args, fields, frame, has_little):
            return None
        span: Any = context.get(SPAN_KEY, INVALID_SPAN)
        record = made_record(self.name, level, msg, args, fields, frame, span, error, has_stack)
        return self._filtered(record) if self.filters else record

    def _filtered(self, record: Record) -> logging.LogRecord | None:
        """Return *record* as its filters leave it: those of others may put another one in its place."""
        kept = self.filter(record.complete())
        if not kept:
            return None
        return kept if isinstance(kept, logging.LogRecord) else record  # type: ignore[redundant-expr]

    def _is_taken_alone(
        self,
        context: Context,
        level: int,
        text: object,
        args: tuple[object, ...],
        fields: Mapping[str, Any],
        frame: FrameType | None,
        has_little: bool,
    ) -> bool:
        """Give what is said to the run without making a record of it, where nobody else would get that."""
        if type(text) is not str or frame is None or self.filters:
            return False
        if logging.getLogRecordFactory() is not logging.LogRecord:
            return False
        bridge: Bridge | None = None
        logger: logging.Logger | None = self
        while logger is not None:
            for handler in logger.handlers:
                if handler.__class__ is Bridge:
                    bridge = handler
                elif handler.__class__ is not logging.NullHandler:
                    return False
            logger = logger.parent if logger.propagate else None
        return bridge is not None and bridge.say(context, self.name, level, text, args, fields, frame, has_little)

    def _special(
        self, args: tuple[object, ...], said: dict[str, Any]
    ) -> tuple[tuple[object, ...], dict[str, Any], object, bool, int]:
        """Return what is said, without what means something else: an error, whether with the stack, and whose call."""
        error = said.pop("exc_info", self._error)
        has_stack = bool(said.pop("stack_info", False))
        above = said.pop("stacklevel", 1)
        extra = said.pop("extra", None)
        if extra is not None:
            said = {**extra, **said} if isinstance(extra, Mapping) else {"extra": extra, **said}
        if self._is_lazy:
            args = tuple([_evaluated(arg) for arg in args])
            said = {key: _evaluated(value) for key, value in said.items()}
        return args, said, error and _error_info(error), has_stack, above if isinstance(above, int) else 1

    def _hand_out(self, record: logging.LogRecord, level: int) -> None:
        """Give *record* to all who would get it from the logging module; only for others than ours it is completed."""
        logger: logging.Logger | None = self
        is_handled = False
        while logger is not None:
            for handler in logger.handlers:
                is_handled = True
                if level < handler.level:
                    continue
                kind = handler.__class__
                if kind is Desk or kind is Bridge:
                    handler.handle(record)
                elif kind is not logging.NullHandler:
                    handler.handle(_whole(record))
            logger = logger.parent if logger.propagate else None
        last = logging.lastResort
        if not is_handled and last is not None and level >= last.level:
            last.handle(_whole(record))


def _whole(record: logging.LogRecord) -> logging.LogRecord:
    return record.complete() if isinstance(record, Record) else record


def _evaluated(value: object) -> object:
    if not callable(value):
        return value
    try:
        return value()
    except Exception as error:  # the user's function: the record is worth more than one of its values
        return f"<{type(error).__name__}: {told(error)}>"


def _error_info(error: object) -> Any:  # noqa: ANN401  # what the logging module takes for exc_info
    if isinstance(error, BaseException):
        return type(error), error, error.__traceback__
    if isinstance(error, tuple):
        return error if len(error) == 3 and error[1] is not None else None
    found = sys.exc_info() if error else (None, None, None)
    # Where nothing is being handled, there is nothing to tell of.
    return found if found[1] is not None else None


def _caller(frame: FrameType | None, above: int) -> FrameType | None:
    """Return the frame of whoever logs, or one of those *above* it; *frame* is the first that may be it."""
    found = frame
    while found is not None and (found.f_code.co_filename in _OUR_FILES or above > 1):
        above -= found.f_code.co_filename not in _OUR_FILES
        found = found.f_back
    return found


def _known(level: object) -> int:
    try:
        return level_number(level)
    except ConfigError:
        # A record whose level nobody knows is worth having all the same.
        return _INFO
