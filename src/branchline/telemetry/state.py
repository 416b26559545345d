"""The state of this process: its one run, its open captures and its providers, and what all others see of them."""

from __future__ import annotations

import threading

from .._pipeline.loggers import LoggerProvider
from .._pipeline.meters import Meters
from .._pipeline.tracing import Provider
from ..current import CURRENT
from .captures import Capturing
from .providers import Providers
from .results import FlushResult
from .run import Telemetry


class State:
    """The one run of this process, its open captures, and its providers."""

    def __init__(self) -> None:
        self.current: Telemetry | None = None
        self.captures: list[Capturing] = []
        self.providers = Providers()
        self.is_wiring = False
        # Tests run side by side; set-up is not done from signal handlers.
        self.lock = threading.Lock()

    @property
    def is_recording(self) -> bool:
        """Whether there is a run or a capture."""
        return self.current is not None or bool(self.captures)

    def leave(self, run: Telemetry) -> None:
        """Be without *run*, which has ended, if it is the one of this process."""
        if self.current is run:
            self.current = None
            self.point()

    def point(self) -> None:
        """Let everybody know what records now: the run, else the newest capture, else nothing.

        What is recorded inside a capture says so by its context, whoever records.
        """
        run, capture = self.current, self.captures[-1] if self.captures else None
        recording = capture if run is None else run
        if recording is None:
            CURRENT.reset()
        else:
            CURRENT.logs = self.providers.bridge.take
            CURRENT.recorder, CURRENT.run_id = recording.recorder, recording.run_id
            CURRENT.directory, CURRENT.events = str(recording.directory), recording.events
            CURRENT.prices, CURRENT.shows_progress = recording.prices, recording.shows_progress
            CURRENT.flush = None if recording.pipeline is None else recording.pipeline.flush
            CURRENT.purse = None if run is None else run.purse
            CURRENT.measures = recording.measures
            CURRENT.metadata = None if run is None else run.describing
        # Records outside of a capture are not a capture's: only a run takes what no context claims.
        pipeline = None if run is None else run.pipeline
        self.providers.log_taker.use(pipeline)
        if self.providers.tracers is not None:
            self.providers.tracers.use(capture.pipeline if pipeline is None and capture is not None else pipeline)


STATE = State()


def current() -> Telemetry | None:
    """Return the run of this process, if one is going on."""
    return STATE.current


def flush(timeout: float = 5.0) -> FlushResult:
    """Write everything recorded so far, within *timeout* seconds."""
    return FlushResult() if STATE.current is None else STATE.current.flush(timeout)


def shutdown(timeout: float | None = None) -> FlushResult:
    """End the run, if there is one."""
    return FlushResult() if STATE.current is None else STATE.current.shutdown(timeout)


def own_tracer_provider() -> Provider:
    """Return the tracer provider of this process, which records while there is a run."""
    return STATE.providers.own_tracers()


def own_meter_provider() -> Meters:
    """Return the meter provider of this process, which measures while there is a run."""
    return STATE.providers.meters


def own_logger_provider() -> LoggerProvider:
    """Return the logger provider of this process, which takes records while there is a run."""
    return STATE.providers.own_loggers()
