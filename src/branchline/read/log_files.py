"""Log files, as the lines that a reader gets: of a Logger or of anybody else, rotated, compressed or archived."""

from __future__ import annotations

import heapq
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from .. import names
from .._files.compression import unpacked
from .._files.encryption import Key
from .._files.rotated import ENDS, base_name, ending_of, is_rotated_name, rotated_files
from ..errors import ArchiveError
from .values import ExceptionInfo, LogLine


_ALIASES: Final = {"WARNING": "WARN", "CRITICAL": "FATAL", "NOTSET": ""}
_NUMBERS: Final = {**{word: 4 * n + 1 for n, word in enumerate(names.SEVERITIES[1:])}, "SUCCESS": 12, "": 0}
_LEVEL: Final = re.compile(r"\b(TRACE|DEBUG|INFO|SUCCESS|WARN(?:ING)?|ERROR|CRITICAL|FATAL)\b")
_TIME: Final = re.compile(r"\W?(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d{1,6})?(?:Z|[+-]\d\d:?\d\d)?)")
_HEAD: Final = 120

# What a JSON line says in one of these, a log line has in a field of its own.
_TIMES: Final = ("timestamp", "time", "ts", "asctime")
_LEVELS: Final = ("level", "levelname", "severity")
_MESSAGES: Final = ("message", "msg", "event")
_LOGGERS: Final = ("logger_name", "logger", "name")
_EVENTS: Final = ("event_name", "event_type")
_OF_ITS_OWN: Final = (_TIMES, _LEVELS, _MESSAGES, _LOGGERS, _EVENTS, ("exception",), ("trace_id",), ("span_id",))


def log_files(place: Path) -> list[Path]:
    """Return the log files of *place*, oldest first: a file with what was rotated away from it, or all in a folder."""
    if place.is_dir():
        names_there = [path.name for path in place.iterdir() if path.is_file() and not path.name.startswith(".")]
        bases = {base_name(name) for name in names_there if is_rotated_name(name)}
        bases |= {name for name in names_there if name.endswith(".log")}
        return [path for base in sorted(bases) for path in log_files(place / base)]
    return [*(file.path for file in rotated_files(place)), *([place] if place.is_file() else [])]


def log_lines(
    files: Iterable[Path],
    key: Key | None = None,
    *,
    unread: Callable[[Path, Exception], object] = lambda path, error: None,
) -> Iterator[LogLine]:
    """Yield the lines of *files* in order of time, decrypted with *key*.

    What cannot be read of a file is left out, and *unread* is told.

    Raises:
        ArchiveError: for a file that was encrypted with another key.
    """
    by_base: dict[Path, list[Path]] = {}
    for path in files:
        base = path.with_name(base_name(path.name)) if is_rotated_name(path.name) else path
        by_base.setdefault(base, []).append(path)
    chains = [
        itertools.chain.from_iterable(_lines(path, key, unread) for path in _as_they_are(base, paths))
        for base, paths in by_base.items()
    ]
    return heapq.merge(*chains, key=lambda line: line.time_unix_nano)


def _as_they_are(base: Path, paths: Iterable[Path]) -> Iterator[Path]:
    """Yield *paths*, of one log file, as they are called by the time that they are read: somebody may go on writing."""
    seen: set[str] = set()
    for path in paths:
        if path == base:
            # What was the file when they were listed may be rotated by now.
            yield from (file.path for file in rotated_files(base) if file.plain_name not in seen)
            yield path
            continue
        plain = path.name.removesuffix(ending_of(path.name))
        seen.add(plain)
        # Compressed, and perhaps encrypted, since.
        ends = (path, *(path.with_name(plain + end) for end in ENDS))
        yield next((place for place in ends if place.exists()), path)


def _lines(path: Path, key: Key | None, unread: Callable[[Path, Exception], object]) -> Iterator[LogLine]:
    waiting: list[str] = []
    latest = 0
    for text in _texts(path, key, unread):
        said = _object(text)
        if said is None and waiting and _TIME.match(waiting[0]) and not _TIME.match(text):
            # Where lines begin with a time, one without goes on from the one before: a traceback, for one.
            waiting.append(text)
            continue
        if waiting:
            yield _of_text(waiting, latest)
            waiting = []
        if said is not None:
            line = _of_json(said, latest)
            latest = line.time_unix_nano
            yield line
        elif text:
            waiting = [text]
            latest = _text_time(text) or latest
    if waiting:
        yield _of_text(waiting, latest)


def _texts(path: Path, key: Key | None, unread: Callable[[Path, Exception], object]) -> Iterator[str]:
    try:
        with unpacked(path, key) as file:
            for data in file:
                yield data.decode("utf-8", "replace").rstrip("\r\n")
    except ArchiveError:
        raise
    except Exception as error:  # damaged, cut off, or not to be read: each package has errors of its own for that
        unread(path, error)


def _object(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _of_json(said: Mapping[str, Any], latest: int) -> LogLine:
    level_name = _first(said, _LEVELS)
    level, number = _severity(level_name)
    exception = said.get("exception")
    used = {next((key for key in keys if said.get(key)), None) for keys in _OF_ITS_OWN}
    return LogLine(
        time_unix_nano=_nanoseconds(_first(said, _TIMES)) or latest,
        level=level,
        level_name=level_name,
        severity_number=number,
        message=_first(said, _MESSAGES),
        event_name=_first(said, _EVENTS) or None,
        logger_name=_first(said, _LOGGERS),
        exception=_exception(exception) if isinstance(exception, dict) else None,
        trace_id=said.get("trace_id") or None,
        span_id=said.get("span_id") or None,
        attributes={key: value for key, value in said.items() if key not in used},
    )


def _of_text(texts: list[str], moment: int) -> LogLine:
    match = _LEVEL.search(texts[0][:_HEAD])
    level, number = _severity(match[1] if match else "")
    return LogLine(
        time_unix_nano=moment,
        level=level,
        level_name=match[1] if match else "",
        severity_number=number,
        message="\n".join(texts),
    )


def _severity(name: str) -> tuple[str, int]:
    word = _ALIASES.get(name.upper(), name.upper())
    number = _NUMBERS.get(word, 0)
    return names.SEVERITIES[(number + 3) // 4], number


def _first(said: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return next((value for key in keys if isinstance(value := said.get(key), str)), "")


def _exception(said: Mapping[str, Any]) -> ExceptionInfo:
    return ExceptionInfo(
        type=str(said.get("type", "Exception")),
        message=str(said.get("value", said.get("message", ""))),
        stacktrace=str(said.get("traceback", "")),
    )


def _text_time(text: str) -> int:
    match = _TIME.match(text)
    return _nanoseconds(match[1].replace(",", ".")) if match else 0


def _nanoseconds(said: str) -> int:
    try:
        # One without a zone is local.
        return int(datetime.fromisoformat(said).astimezone().timestamp() * 1e6) * 1000
    except (ValueError, OverflowError, OSError):
        return 0
