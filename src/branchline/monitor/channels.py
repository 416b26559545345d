"""Channels: where alerts go beside the journal. What goes wrong there is logged, and hurts nobody."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, runtime_checkable

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from ..context import attached
from ..errors import ConfigError
from ..log_api import SUPPRESSION
from .alerts import Alert, record_not_taken
from .thresholds import SEVERITIES, severity_of


# So many alerts may wait for a channel that is slow.
_MOST_WAITING: Final = 1000
# Alerts are rare: the thread that delivers them does not wait for the next one for ever.
_IDLE_SECONDS: Final = 5.0
_LEVELS: Final = {
    "INFO": logging.INFO,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
    "CRITICAL": logging.CRITICAL,
}


@runtime_checkable
class Channel(Protocol):
    """Somewhere alerts go."""

    def send(self, alert: Alert, /) -> object:
        """Take *alert*, and return at once."""

    def close(self, timeout: float) -> bool:
        """Deliver what waits within *timeout* seconds; return whether that was all."""


class Postbox:
    """A channel with a thread of its own: it delivers one alert after the other, and nobody waits for it."""

    def __init__(self, *, severity: str) -> None:
        """Take alerts of *severity* and above.

        Raises:
            ConfigError: for a severity that is none.
        """
        self._lowest = SEVERITIES.index(checked_severity(severity))
        self.delivered = 0
        self.failed = 0
        self.dropped = 0
        self.begin_anew()

    def begin_anew(self) -> None:
        """In a forked child: what waits is the parent's to deliver."""
        self._waiting: deque[Alert] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._is_busy = False
        self._thread: threading.Thread | None = None

    def deliver(self, alert: Alert) -> None:
        """Deliver *alert*; may take its time, and raise."""
        raise NotImplementedError

    def send(self, alert: Alert) -> None:
        """Take *alert*, if it is severe enough."""
        if SEVERITIES.index(alert.severity) < self._lowest:
            return
        with self._changed:
            if len(self._waiting) >= _MOST_WAITING:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(alert)
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="branchline-alerts", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # no more threads, as at the interpreter's end
                    self._thread = None

    @property
    def waiting(self) -> int:
        """How many alerts wait, the one that is being delivered among them."""
        with self._changed:
            return len(self._waiting) + self._is_busy

    def pause(self, seconds: float) -> None:
        """Wait until another try is worth it; whoever closes wants to see one at once."""
        self._closing.wait(seconds)
        self._closing.clear()

    def close(self, timeout: float) -> bool:
        """Deliver what waits within *timeout* seconds; return whether that was all."""
        deadline = time.monotonic() + timeout
        with self._changed:
            if self._is_busy:
                self._closing.set()
            while (self._waiting or self._is_busy) and self._thread is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return not self._waiting

    def _run(self) -> None:
        # Whatever step started this thread: what happens here is no part of it, and not to be recorded.
        with attached(otel_context.set_value(SUPPRESSION, True, Context())):
            while True:
                with self._changed:
                    if not self._waiting and not self._changed.wait_for(lambda: self._waiting, _IDLE_SECONDS):
                        # The next alert begins another thread.
                        self._thread = None
                        return
                    alert = self._waiting.popleft()
                    self._is_busy = True
                self._deliver(alert)
                with self._changed:
                    self._is_busy = False
                    self._changed.notify_all()

    def _deliver(self, alert: Alert) -> None:
        try:
            self.deliver(alert)
        except BaseException as error:  # a callback of the user's, which may even want to exit; a server of others
            with attached(Context()):
                record_not_taken(self, alert, error)
            self.failed += 1
        else:
            self.delivered += 1


class CallbackChannel(Postbox):
    """Calls a function with each alert, in a thread of its own; an async one in a loop of its own."""

    def __init__(self, function: Callable[[Alert], object], *, severity: str = "INFO") -> None:
        """Call *function* for alerts of *severity* and above.

        Raises:
            ConfigError: for what cannot be called, and a severity that is none.
        """
        if not callable(function):
            msg = f"{function!r} is no channel; accepted: a function of an Alert, or something with send() and close()"
            raise ConfigError(msg)
        self._function = function
        super().__init__(severity=severity)

    def deliver(self, alert: Alert) -> None:
        """Call the function."""
        answer = self._function(alert)
        if inspect.iscoroutine(answer):
            asyncio.run(answer)

    def __str__(self) -> str:
        return f"the function {getattr(self._function, '__qualname__', repr(self._function))}"


class LogChannel:
    """Says each alert to a logger, for whatever reads its lines; in the journal it is once, as the event that it is."""

    def __init__(self, logger: logging.Logger | str = "branchline.alerts", *, severity: str = "INFO") -> None:
        """Say alerts of *severity* and above to *logger*.

        Raises:
            ConfigError: for a severity that is none.
        """
        self._logger = logging.getLogger(logger) if isinstance(logger, str) else logger
        self._lowest = SEVERITIES.index(checked_severity(severity))

    def send(self, alert: Alert) -> None:
        """Log *alert*."""
        if SEVERITIES.index(alert.severity) < self._lowest:
            return
        with attached(otel_context.set_value(SUPPRESSION, True)):
            self._logger.log(_LEVELS[alert.severity], "%s", alert.message, extra={"alert": alert.to_dict()})

    def close(self, timeout: float) -> bool:
        """Do nothing: a logger has it at once."""
        return True


def checked_severity(said: object) -> str:
    """Return *said* as a severity.

    Raises:
        ConfigError: for what is none.
    """
    severity = severity_of(said)
    if severity is None:
        msg = f"severity={said!r}; accepted: {', '.join(SEVERITIES)}"
        raise ConfigError(msg)
    return severity


def channel_of(said: Channel | Callable[[Alert], object]) -> Channel:
    """Return the channel that is *said*: one, or a function.

    Raises:
        ConfigError: for what is neither.
    """
    if isinstance(said, Channel):
        return said
    return CallbackChannel(said)
