"""What nobody logs: warnings, and exceptions that nobody has caught, as log records of the run."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, TextIO


Take = Callable[[logging.LogRecord], object]

_WARNINGS: Final = "py.warnings"
_UNCAUGHT: Final = "uncaught"


class WarningsHook:
    """Takes every warning that is shown; it is shown as before."""

    def __init__(self, take: Take) -> None:
        """Give warnings to *take*, after ``attach``."""
        self._take: Take | None = take
        self._before = warnings.showwarning

    def attach(self) -> None:
        """Begin."""
        self._before = warnings.showwarning
        warnings.showwarning = self._show

    def detach(self) -> None:
        """End; where somebody has put another hook before this one, it stays behind that and does nothing."""
        self._take = None
        if warnings.showwarning == self._show:
            warnings.showwarning = self._before

    def _show(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        self._before(message, category, filename, lineno, file, line)
        # With `logging.captureWarnings` it has come by way of the logging module.
        if self._take is not None and file is None and getattr(self._before, "__module__", "") != "logging":
            self._take(
                _record(_WARNINGS, logging.WARNING, f"{category.__name__}: {message}", pathname=filename, lineno=lineno)
            )


class UncaughtHook:
    """Takes every exception that ends the program or a thread; it is printed as before."""

    def __init__(self, take: Take) -> None:
        """Give exceptions to *take*, after ``attach``."""
        self._take: Take | None = take
        self._of_program = sys.excepthook
        self._of_threads = threading.excepthook

    def attach(self) -> None:
        """Begin."""
        self._of_program, self._of_threads = sys.excepthook, threading.excepthook
        sys.excepthook, threading.excepthook = self._program, self._thread

    def detach(self) -> None:
        """End; where somebody has put another hook before this one, it stays behind that and does nothing."""
        self._take = None
        if sys.excepthook == self._program:
            sys.excepthook = self._of_program
        if threading.excepthook == self._thread:
            threading.excepthook = self._of_threads

    def _program(self, kind: type[BaseException], error: BaseException, stack: TracebackType | None) -> None:
        self._tell("the program", kind, error, stack)
        self._of_program(kind, error, stack)

    def _thread(self, ended: Any) -> None:  # noqa: ANN401  # threading.ExceptHookArgs, which is no type
        name = "a thread" if ended.thread is None else f"the thread {ended.thread.name}"
        self._tell(name, ended.exc_type, ended.exc_value, ended.exc_traceback)
        self._of_threads(ended)

    def _tell(
        self, what: str, kind: type[BaseException], error: BaseException | None, stack: TracebackType | None
    ) -> None:
        if self._take is None or error is None or not issubclass(kind, Exception):
            return
        place: dict[str, object] = {}
        last = stack
        while last is not None:
            code = last.tb_frame.f_code
            place = {"pathname": code.co_filename, "lineno": last.tb_lineno, "funcName": code.co_name}
            last = last.tb_next
        message = f"{kind.__name__} ends {what}"
        self._take(_record(_UNCAUGHT, logging.CRITICAL, message, exc_info=(kind, error, stack), **place))


def _record(name: str, level: int, message: str, **more: object) -> logging.LogRecord:
    said = {"name": name, "levelno": level, "levelname": logging.getLevelName(level), "msg": message}
    return logging.makeLogRecord({**said, **more})
