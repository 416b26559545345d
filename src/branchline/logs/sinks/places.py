"""What every sink can do, and the simple ones: streams, callables, and handlers of the logging module."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..accounts import Account
from ..records import Line, Record


class Sink(Protocol):
    """A place for lines. It counts in its handler's account what it wrote and what it lost."""

    def write(self, lines: Sequence[Line]) -> None:
        """Take *lines*; raises what went wrong with the last one that did."""

    def flush(self) -> bool:
        """Write what waits here; return whether nothing is left. Nobody writes meanwhile."""

    def settle(self, timeout: float | None) -> bool:
        """Wait for what goes on in threads of its own; return whether that is done. Others may write meanwhile."""

    def close(self, timeout: float | None) -> bool:
        """Do the same for the last time, and give everything back."""

    def forget_threads(self) -> None:
        """Begin anew in a forked child: what waits is the parent's to write."""


class StreamSink:
    """An open stream of somebody else's: written to, and never closed."""

    def __init__(self, stream: Any, account: Account) -> None:  # noqa: ANN401  # whatever can be written to
        """Write to *stream*; the name of one of the standard ones means what is there at the moment."""
        self._stream = stream
        self._account = account

    def write(self, lines: Sequence[Line]) -> None:
        """Write *lines* in one call."""
        stream = getattr(sys, self._stream) if isinstance(self._stream, str) else self._stream
        if stream is None:
            # A program without a terminal.
            self._account.drop("no_stream", len(lines))
            return
        try:
            _write(stream, "".join(lines))
        except Exception:
            self._account.drop("sink", len(lines))
            raise
        self._account.wrote(len(lines))

    def flush(self) -> bool:
        """Nothing waits."""
        return True

    def settle(self, timeout: float | None) -> bool:
        """Nothing goes on."""
        return True

    def close(self, timeout: float | None) -> bool:
        """Nothing waits."""
        return True

    def forget_threads(self) -> None:
        """Nothing waits."""


def _write(stream: Any, text: str) -> None:  # noqa: ANN401  # whatever can be written to
    try:
        stream.write(text)
    except UnicodeEncodeError:
        # A terminal that cannot show a character shows another one.
        encoding = getattr(stream, "encoding", None) or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    except TypeError:
        # One of bytes.
        stream.write(text.encode("utf-8", "backslashreplace"))
    flush = getattr(stream, "flush", None)
    if flush is not None:
        flush()


class CallableSink:
    """A function that gets each line, without the newline at its end; the line has its ``record``."""

    def __init__(self, function: Callable[[Line], object], account: Account) -> None:
        """Call *function*."""
        self._function = function
        self._account = account

    def write(self, lines: Sequence[Line]) -> None:
        """Call it for each of *lines*; one that fails costs the others nothing."""
        failure: Exception | None = None
        for line in lines:
            try:
                self._function(Line(line.removesuffix("\n"), line.record))
            except Exception as error:  # a function of the user's
                failure = error
                self._account.drop("sink")
            else:
                self._account.wrote()
        if failure is not None:
            raise failure

    def flush(self) -> bool:
        """Nothing waits."""
        return True

    def settle(self, timeout: float | None) -> bool:
        """Nothing goes on."""
        return True

    def close(self, timeout: float | None) -> bool:
        """Nothing waits."""
        return True

    def forget_threads(self) -> None:
        """Nothing waits."""


class HandlerSink:
    """A handler of the logging module, which gets the records; whoever made it closes it."""

    def __init__(self, handler: logging.Handler, account: Account, clean: Callable[[Record], Record]) -> None:
        """Give *handler* what *clean* makes of records."""
        self._handler = handler
        self._account = account
        self._clean = clean

    def write(self, lines: Sequence[Line]) -> None:
        """Give it the record of each of *lines*."""
        failure: Exception | None = None
        for line in lines:
            try:
                if line.record.levelno >= self._handler.level:
                    self._handler.handle(self._clean(line.record))
            except Exception as error:  # somebody else's
                failure = error
                self._account.drop("sink")
            else:
                self._account.wrote()
        if failure is not None:
            raise failure

    def flush(self) -> bool:
        """Have it write what waits."""
        try:
            self._handler.flush()
        except Exception:  # somebody else's
            return False
        return True

    def settle(self, timeout: float | None) -> bool:
        """Nothing goes on that we know of."""
        return True

    def close(self, timeout: float | None) -> bool:
        """Have it write what waits."""
        return self.flush()

    def forget_threads(self) -> None:
        """The logging module does that itself."""
