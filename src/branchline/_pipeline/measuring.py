"""Measuring: what the instruments of one process measure in one run, aggregated by the SDK from the first on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry.metrics import CallbackOptions

from .._journal.snapshots import Metric
from .callbacks import Callback
from .loading import loading
from .notices import Notices, said


if TYPE_CHECKING:
    from .sdk_metrics import Aggregates, Reader


Measure = Callable[..., None]


class Instrument(Protocol):
    """An instrument as the application holds it."""

    callbacks: tuple[Callback, ...]

    def made(self, provider: Any) -> Any:
        """Return the SDK's instrument for it."""


class Collecting(Protocol):
    """Who collects what is measured."""

    def start(self) -> None:
        """Begin, because there is something; whoever comes second changes nothing."""

    def collect(self, timeout: float) -> bool:
        """Collect now; return whether it was done within *timeout* seconds."""


class Measuring:
    """Takes measurements; nothing of the SDK is loaded before the first one."""

    def __init__(self, notices: Notices, collector: Collecting, *, is_exponential: bool) -> None:
        """Take measurements for *collector*."""
        self.notices = notices
        self.collector = collector
        self.measures: dict[Instrument, Measure] = {}
        self._observed: set[Instrument] = set()
        self._is_exponential = is_exponential
        self._reader: Reader | None = None
        self._aggregates: Aggregates | None = None

    def measure_of(self, instrument: Instrument) -> Measure:
        """Return what takes the measurements of *instrument*; one that the SDK refuses measures nothing."""
        # Of two threads that are the first, both get the same one.
        return self.measures.setdefault(instrument, self._made(instrument) or _nothing)

    def _made(self, instrument: Instrument) -> Any:
        try:
            return instrument.made(self._provider())
        except Exception as error:  # the SDK has no other for names that it does not like
            self.notices.noted("failed_instrument", f"an instrument measures nothing: {said(error)}")
            return None

    def _provider(self) -> Aggregates:
        if self._aggregates is None:
            with loading():
                self._begin()
            self.collector.start()
        assert self._aggregates is not None
        return self._aggregates

    def _begin(self) -> None:
        if self._aggregates is not None:
            return
        # Nobody pays for the SDK's metrics who measures nothing.
        from .sdk_metrics import Aggregates, Reader

        reader = Reader(is_exponential=self._is_exponential)
        made = Aggregates(reader)
        # A signal handler in the middle of this may have been quicker.
        if self._aggregates is None:
            self._reader, self._aggregates = reader, made

    def read(self, observables: Iterable[Instrument], deadline: Callable[[], float]) -> tuple[Metric, ...]:
        """Return what has been measured, and what the *observables* say until the *deadline*."""
        waiting = list(observables)
        for instrument in waiting:
            if instrument not in self._observed:
                self._observed.add(instrument)
                self._made(instrument)
        if self._reader is None:
            return ()
        callbacks = [callback for instrument in waiting for callback in instrument.callbacks]
        options = CallbackOptions(timeout_millis=max(deadline() - time.monotonic(), 0.0) * 1000)
        for callback in callbacks:
            callback.ask(options, self.notices)
        for callback in callbacks:
            callback.wait(self.notices, deadline)
        return self._reader.read(60.0)


def _nothing(*_: object) -> None:
    """Measure nothing."""
