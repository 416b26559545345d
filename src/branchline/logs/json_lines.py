"""JSON lines: a record as one JSON object, its own fields and those of the application side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from ..current import CURRENT
from ..tracebacks import qualified_name, said, stack_of
from ..values import Value
from .escapes import without_ansi
from .records import Record, hostname, ids_of
from .runtimes import here


# A field of the application's that is called one of these is found under ``extra``.
RESERVED: Final = frozenset(
    {
        *("timestamp", "level", "message", "logger_name", "hostname", "pid", "platform", "runtime_type"),
        *("trace_id", "span_id", "exception", "stack_info", "extra"),
        *("level_number", "file", "module", "function", "line", "elapsed"),
        *("thread_id", "thread_name", "process_id", "process_name"),
    }
)

Choice = Callable[[str], bool]

_TIME: Final = b'{"timestamp":"'
# Each step has one of its own: as many as are worth remembering.
_MOST_FRAMES: Final = 256


class JsonLines:
    """Makes one line of JSON of a record; never raises."""

    def __init__(self, *, is_whole: bool = False, has_runtime: bool = True, chosen: Choice | None = None) -> None:
        """Write more of a record if *is_whole*; of all there is, only the keys that are *chosen*."""
        self._is_whole = is_whole
        self._runtime = here() if has_runtime else None
        self._chosen = chosen
        self._frames: dict[tuple[Any, ...], tuple[bytes, bytes]] = {}

    def line(self, record: Record, message: str, fields: Mapping[str, Value], clean: Callable[[str], str]) -> str:
        """Return the line of *record*, whose *message* and *fields* are fit to be seen; *clean* makes texts so."""
        described = self._described(record, message)
        beside: dict[str, Value] = {}
        for key, value in fields.items():
            (beside if key in RESERVED else described)[key] = value
        if beside:
            described["extra"] = beside
        run_id = CURRENT.run_id
        if run_id is not None and "run_id" not in described:
            described["run_id"] = run_id
        if record.exc_info or record.exc_text:
            described["exception"] = _exception(record, clean)
        if record.stack_info:
            described["stack_info"] = clean(record.stack_info)
        chosen = self._chosen
        if chosen is not None:
            described = {key: value for key, value in described.items() if chosen(key)}
        return as_json(described)

    def bytes_of(self, record: Record, message: str, fields: Mapping[str, Value]) -> bytes:
        """Return the line of a *record* that is like most, with its newline: nothing in *fields* is reserved.

        Raises:
            TypeError: for what JSON cannot take as it is; ``line`` can.
        """
        about = (record.levelname, record.name, record.process, CURRENT.run_id, ids_of(record))
        known = self._frames.get(about)
        if known is None:
            known = self._made_frame(about, record)
        before, after = known
        said = orjson.dumps({"message": without_ansi(message), **fields})
        return b"%b%b%b%b%b" % (_TIME, timestamp(record.created).encode(), before, said[1:-1], after)

    def _made_frame(self, about: tuple[Any, ...], record: Record) -> tuple[bytes, bytes]:
        """Return what stands between the time and the message of all records like *record*, and what after them."""
        described = self._described(record, "")
        del described["timestamp"], described["message"]
        if CURRENT.run_id is not None:
            described["run_id"] = CURRENT.run_id
        level = orjson.dumps(described.pop("level"))
        made = b'","level":%b,' % level, b",%b\n" % orjson.dumps(described)[1:]
        if len(self._frames) >= _MOST_FRAMES:
            self._frames.clear()
        self._frames[about] = made
        return made

    @property
    def is_alike(self) -> bool:
        """Whether many of its lines have most in common: no key is left out, and nothing is in it of each record."""
        return self._chosen is None and not self._is_whole

    def _described(self, record: Record, message: str) -> dict[str, Any]:
        described: dict[str, Any] = {
            "timestamp": timestamp(record.created),
            "level": record.levelname,
            "message": without_ansi(message),
            "logger_name": record.name,
            "hostname": hostname(),
            "pid": record.process,
        }
        if self._runtime is not None:
            described["platform"], described["runtime_type"] = self._runtime
        trace_id, span_id = ids_of(record)
        if trace_id:
            described["trace_id"] = trace_id
            described["span_id"] = span_id
        if self._is_whole:
            described |= {
                "level_number": record.levelno,
                "file": record.pathname,
                "module": record.module,
                "function": record.funcName,
                "line": record.lineno,
                "elapsed": round(record.elapsed, 6),
                "thread_id": record.thread,
                "thread_name": record.threadName,
                "process_id": record.process,
                "process_name": record.processName,
            }
        return described


def as_json(described: Mapping[str, Any]) -> str:
    """Return *described* as one line of JSON, whatever is in it."""
    try:
        return orjson.dumps(described, _plain, orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # A text that is half of a character, or a record that somebody has put together by hand.
        return orjson.dumps(_sound(described)).decode()


def _plain(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _sound(value: object) -> Any:  # noqa: ANN401  # JSON
    if isinstance(value, Mapping):
        return {_sound_text(str(key)): _sound(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sound(item) for item in value]
    is_plain = value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63)
    return value if is_plain else _sound_text(_plain(value))


def _sound_text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


_second: tuple[int, str] = (-1, "")


def timestamp(created: float) -> str:
    """Return seconds since 1970 as an ISO 8601 time in UTC, to the microsecond."""
    global _second  # noqa: PLW0603  # most records are of the same second as the one before
    microseconds = round(created * 1e6)
    whole, rest = divmod(microseconds, 1_000_000)
    known, text = _second
    if known != whole:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
        _second = (whole, text)
    return f"{text}.{rest:06d}+00:00"


def _exception(record: Record, clean: Callable[[str], str]) -> dict[str, Value]:
    error = record.exception
    if error is None:
        # It was an exception in another process.
        return {"type": None, "message": None, "value": None, "traceback": clean(record.exc_text or "")}
    stack = record.exc_info[2] if isinstance(record.exc_info, tuple) else None
    message = clean(said(error))
    return {
        "type": qualified_name(type(error)),
        "message": message,
        "value": message,
        "traceback": clean(stack_of(error, stack)),
    }
