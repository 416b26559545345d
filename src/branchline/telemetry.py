"""Setting up and ending: the only room that wires the others together."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Sampler
from opentelemetry.trace import ProxyTracerProvider

from . import context, foreign, log_api, names
from ._journal import layout
from ._journal.layout import Signal
from ._journal.recovery import recover_runs
from ._journal.retention import enforce as enforce_retention
from ._journal.seen import Listener
from ._pipeline.active import detach
from ._pipeline.collector import Collector
from ._pipeline.endings import Endings, watch_forks
from ._pipeline.guest import JournalProcessor, take_ended
from ._pipeline.log_guest import JournalLogProcessor
from ._pipeline.log_taker import LogTaker
from ._pipeline.loggers import LoggerProvider
from ._pipeline.metering import is_readable, metering, reading
from ._pipeline.meters import Meters
from ._pipeline.notices import say
from ._pipeline.options import for_children, options_of
from ._pipeline.pipeline import Pipeline
from ._pipeline.propagation import PROPAGATION, on_join
from ._pipeline.recorder import NativeRecorder
from ._pipeline.tracing import Provider, forget_provider
from ._pipeline.writer import Writer
from .config import OTLP, UNSET, Config, Durability, ResourceValue, Unset, Verbosity, find_pyproject, load_config
from .context import (
    CURRENT,
    DIRECTORY_VARIABLE,
    OWNER_VARIABLE,
    PIPELINE_KEY,
    RUN_ID_VARIABLE,
    RUN_KEY,
    SETTINGS_KEY,
    EventTaker,
    Recorder,
)
from .exporters.accounts import Account
from .exporters.followers import Followers, Makers, followers_of, makers_for
from .logs.bridge import Bridge
from .logs.foreign import ForeignEvents
from .redaction import Redactor


if TYPE_CHECKING:
    from ._pipeline.sdk_metrics import Reader

_CAPTURES: Final = {False: "", True: "all", "args": "args", "result": "result"}
_CAPTURED_LEVEL: Final = logging.INFO
_EXPORTED: Final = (RUN_ID_VARIABLE, DIRECTORY_VARIABLE, OWNER_VARIABLE)


@dataclass(frozen=True, kw_only=True)
class FlushResult:
    """What has become of everything that was recorded; true only if nothing was lost or is still waiting."""

    journaled: int = 0
    delivered: int = 0
    spooled: int = 0
    rejected: int = 0
    dropped: int = 0
    followers: Mapping[str, FlushResult] = field(default_factory=dict)
    is_complete: bool = True

    def __bool__(self) -> bool:
        return self.is_complete and not self.dropped and not self.rejected and not self.spooled


class Telemetry:
    """A run that is being recorded; also a context manager that shuts down at its end."""

    def __init__(self, config: Config, arguments: Mapping[str, object], run_id: str) -> None:
        """Made by ``configure``."""
        self.config = config
        self.run_id = run_id
        self.directory = Path(os.path.abspath(config.directory))  # noqa: PTH100  # no symlink is followed
        self._arguments = dict(arguments)
        self._pipeline: Pipeline | None = None
        self._collector: Collector | None = None
        self._followers = Followers((), self.directory)
        # Of the application's own instruments.
        self._has_measurements = False
        self._endings: Endings | None = None
        self._recorder: Recorder | None = None
        self._settings: Mapping[str, Any] | None = None
        self._trace_of_parent: object = None
        self._processor: JournalProcessor | None = None
        self._events: EventTaker | None = None
        self._environment: dict[str, tuple[str | None, str]] = {}
        self._is_down = False
        self._leaves_place = False

    @property
    def run_directory(self) -> Path:
        """Where the run's files are."""
        return layout.runs_directory(self.directory) / self.run_id

    def flush(self, timeout: float = 5.0) -> FlushResult:
        """Write everything recorded so far, and deliver it where it goes to, within *timeout* seconds."""
        pipeline = self._pipeline
        if pipeline is None:
            return FlushResult()
        deadline = time.monotonic() + timeout
        is_collected = self._collector is None or self._collector.collect(timeout / 2)
        is_written = pipeline.flush(deadline - time.monotonic())
        # Counted before it is waited for: what others record meanwhile is no part of this.
        counters = _counters(pipeline)
        is_answered = self._followers.flush(max(deadline - time.monotonic(), 0))
        return self._result(counters, is_complete=is_collected and is_written and is_answered)

    def shutdown(self, timeout: float | None = None) -> FlushResult:
        """End the run: write what is left and undo what ``configure`` set up."""
        if self._is_down:
            return FlushResult()
        limit = self.config.exit_timeout if timeout is None else timeout
        result = FlushResult()
        if self._pipeline is not None:
            result = self._close(self._pipeline, limit)
        self._unwire()
        return result

    def _close(self, pipeline: Pipeline, limit: float) -> FlushResult:
        deadline = time.monotonic() + limit
        pipeline.close_open()
        self._finish_collecting(limit)
        if os.getpid() == pipeline.pid and pipeline.writer is not None:
            pipeline.event(names.RUN_ENDED, {names.PROCESS: pipeline.process})
        is_written = pipeline.flush(deadline - time.monotonic())
        pipeline.close(max(deadline - time.monotonic(), 0.05), reason="shutdown")
        self._part(deadline)
        return self._result(_counters(pipeline), is_complete=is_written)

    def _part(self, deadline: float) -> None:
        """Give the followers what is left of the time, and say what then still waits."""
        self._followers.close(max(deadline - time.monotonic(), 0))
        for words in self._followers.parting_words():
            say(words)

    def _end(self, reason: str) -> None:
        """End because the process does: what others still record on their way out is written at once."""
        pipeline = self._pipeline
        if pipeline is None or self._is_down:
            return
        pipeline.close_open()
        if pipeline.writer is not None:
            pipeline.event(names.RUN_ENDED, {names.PROCESS: pipeline.process, "reason": reason})
        deadline = time.monotonic() + self.config.exit_timeout
        self._finish_collecting(self.config.exit_timeout)
        pipeline.go_direct(deadline - time.monotonic(), reason=reason)
        self._part(deadline)

    def _finish_collecting(self, limit: float) -> None:
        """Collect for the last time; what hangs in it must leave time for the rest."""
        if self._collector is not None:
            self._collector.finish(limit / 2)

    def _result(self, counters: Mapping[str, Any], *, is_complete: bool) -> FlushResult:
        process = "" if self._pipeline is None else self._pipeline.process
        dropped = sum(sum(counted["dropped"].values()) for counted in counters.values())
        accounts = self._followers.accounts(process, counters)
        followers = {kind: _followed(account, dropped) for kind, account in accounts.items()}
        if not followers:
            # As in ``_followed``.
            journaled = sum(counted["journaled"] for signal, counted in counters.items() if signal != "metrics")
            return FlushResult(journaled=journaled, dropped=dropped, is_complete=is_complete)
        # All that whoever is furthest behind has dealt with, all have.
        last = max(followers.values(), key=lambda result: result.spooled + result.rejected)
        is_complete = is_complete and all(result.is_complete for result in followers.values())
        return replace(last, followers=followers, is_complete=is_complete)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        state = "ended" if self._is_down else "recording"
        return f"<run {self.run_id} {state} in {self.run_directory}>"

    # ── wiring ────────────────────────────────────────────────────────────────────────────────────

    def _wire(self, *, listeners: tuple[Listener, ...], otlp: OTLP | None, makers: Makers, is_joining: bool) -> None:
        config = self.config
        pipeline = Pipeline(options_of(config, self.run_id, self.run_directory, listeners), Writer)
        self._follow(pipeline, makers)
        self._pipeline = pipeline
        capture = _CAPTURES[config.capture]
        existing = trace.get_tracer_provider()
        if isinstance(existing, TracerProvider) and _is_guest():
            self._join_provider(existing, pipeline, capture)
        else:
            provider = _own_provider(config)
            provider.use(pipeline)
            self._recorder = NativeRecorder(provider, pipeline, capture=capture)
        self._meter(pipeline, metering(pipeline, _state.meters, takes_place=not _state.leaves_place))
        self._events = _event_taker()
        if config.capture_logs is not None:
            _state.bridge.attach(config.capture_logs)
        watch_forks(pipeline)
        self._export()
        self._endings = Endings(self._end, signals=config.signals)
        if config.propagate:
            # Whether this process delivers was decided here: there, the environment alone would.
            self._settings = {**for_children(config, self.directory, self.run_id), "otlp": otlp or False}
            PROPAGATION.acquire(self._settings)
        self._trace_of_parent = _join_trace_of_environment(os.environ)
        if not is_joining:
            pipeline.event(
                names.RUN_STARTED, {names.SERVICE_NAME: config.service_name, names.PROCESS: pipeline.process}
            )

    def _follow(self, pipeline: Pipeline, makers: Makers) -> None:
        self._followers = followers_of(
            makers,
            directory=self.directory,
            run_id=self.run_id,
            tell=pipeline.notices.at_most_each_minute,
            sync=self.config.durability == "power",
        )
        self._followers.register()
        pipeline.followers = self._followers.each
        if self._followers.each:
            # Whoever is delivered nothing has `process.json`.
            pipeline.measured = lambda: self._followers.metrics(
                pipeline.process, _counters(pipeline), queue_bytes=pipeline.queue_bytes
            )

    def _meter(self, pipeline: Pipeline, collector: Collector) -> None:
        before, self._collector = self._collector, collector
        if before is not None:
            before.finish(0.0)
            pipeline.companions.remove(before)
        pipeline.companions.append(collector)

    def _join_provider(self, provider: TracerProvider, pipeline: Pipeline, capture: str) -> None:
        processor = _processor_of(provider)
        processor.use(pipeline)
        self._processor = processor
        self._recorder = foreign.ForeignRecorder(
            provider, capture=capture, noted=processor.noted, event=processor.event, point=processor.point
        )

    # ── for an application that sets providers of its own after the run has begun ──────────────────

    def join(self) -> None:
        """Join what providers the application has set by now."""
        pipeline = self._pipeline
        if pipeline is None or self._is_down:
            return
        tracers = trace.get_tracer_provider()
        if self._processor is None and isinstance(tracers, TracerProvider) and not isinstance(tracers, Provider):
            self._join_provider(tracers, pipeline, _CAPTURES[self.config.capture])
        if not self._has_measurements and is_readable():
            self._meter(pipeline, metering(pipeline, _state.meters))
            self._has_measurements = True
        self._events = _event_taker()
        _point()

    def take_spans(self, spans: Iterable[ReadableSpan]) -> None:
        """Write spans that have ended, but those that came another way."""
        if self._pipeline is not None and not self._is_down:
            for span in spans:
                take_ended(span, self._pipeline)

    def take_logs(self, records: Iterable[object]) -> None:
        """Write log records, but those that came another way."""
        for record in records:
            _state.log_reader.on_emit(record)

    @property
    def has_exponential_histograms(self) -> bool:
        """Whether histograms are to be read in exponential buckets."""
        return self._pipeline is not None and self._pipeline.options.metrics.is_exponential

    def read_from(self, reader: Reader) -> None:
        """Read metrics from *reader*, with which the application makes its provider."""
        if self._pipeline is not None and not self._is_down:
            self._meter(self._pipeline, reading(self._pipeline, reader))
            self._has_measurements = True

    def _export(self) -> None:
        exported = dict(zip(_EXPORTED, (self.run_id, str(self.directory), str(os.getpid())), strict=True))
        told = {name: os.environ.get(name) for name in exported}
        if self._leaves_place and all(told[name] == exported[name] for name in (RUN_ID_VARIABLE, DIRECTORY_VARIABLE)):
            # As our parent has put it; the application may yet become another program in this very process.
            return
        self._environment = {name: (told[name], value) for name, value in exported.items()}
        os.environ.update(exported)

    def _unwire(self) -> None:
        self._is_down = True
        if self._settings is not None:
            PROPAGATION.release(self._settings)
        if self._trace_of_parent is not None:
            detach(self._trace_of_parent)
        if self._endings is not None:
            self._endings.unhook()
        if self._processor is not None:
            self._processor.use(None)
        if self.config.capture_logs is not None and self._events is not None:
            _state.bridge.detach(self.config.capture_logs)
        for name, (before, exported) in self._environment.items():
            if os.environ.get(name) != exported:
                # Somebody else has set it meanwhile, and means it.
                continue
            if before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = before
        if _state.current is self:
            _state.current = None
            _point()


class _State:
    """The one run of this process, its open captures, and the one provider that OpenTelemetry lets a process set."""

    def __init__(self) -> None:
        self.current: Telemetry | None = None
        self.captures: list[Capturing] = []
        self.provider: Provider | None = None
        self.meters = Meters()
        self.is_provider_borrowed = False
        self.log_taker = LogTaker()
        self.bridge = Bridge(self.log_taker)
        self.log_provider: LoggerProvider | None = None
        self.is_log_provider_borrowed = False
        self.log_reader = JournalLogProcessor(self.log_taker)
        # The application may still set providers of its own: ours must not take their place.
        self.leaves_place = False
        self.is_wiring = False
        # Tests run side by side; set-up is not done from signal handlers.
        self.lock = threading.Lock()


_state = _State()
_processors: weakref.WeakKeyDictionary[TracerProvider, JournalProcessor] = weakref.WeakKeyDictionary()
_log_providers: weakref.WeakSet[Any] = weakref.WeakSet()


def _point() -> None:
    """Let everybody know what records now: the run, else the newest capture, else nothing.

    What is recorded inside a capture says so by its context, whoever records.
    """
    run, capture = _state.current, _state.captures[-1] if _state.captures else None
    if run is not None:
        CURRENT.recorder, CURRENT.run_id, CURRENT.directory = run._recorder, run.run_id, str(run.directory)  # noqa: SLF001  # the same module
        CURRENT.events = run._events  # noqa: SLF001  # the same
    elif capture is not None:
        CURRENT.recorder, CURRENT.run_id, CURRENT.directory = (
            capture.recorder,
            capture.run_id,
            str(capture.directory),
        )
        CURRENT.events = capture.events
    else:
        CURRENT.reset()
    # Records outside of a capture are not a capture's: only a run takes what no context claims.
    _state.log_taker.use(None if run is None else run._pipeline)  # noqa: SLF001  # the same
    if _state.provider is not None:
        pipeline = None if run is None else run._pipeline  # noqa: SLF001  # the same module
        _state.provider.use(capture.pipeline if pipeline is None and capture is not None else pipeline)


def configure(
    service_name: str | Unset | None = UNSET,
    *,
    directory: str | os.PathLike[str] | Unset | None = UNSET,
    run_id: str | Unset | None = UNSET,
    otlp: str | OTLP | Literal[False] | Unset | None = UNSET,
    mlflow: Literal[False] | Unset | None = UNSET,
    upload: Literal[False] | Unset | None = UNSET,
    console: bool | Literal["auto"] | Unset | None = UNSET,
    verbosity: Verbosity | Unset | None = UNSET,
    log_file: Literal[False] | Unset | None = UNSET,
    capture_logs: int | str | Literal[False] | Unset | None = UNSET,
    events_on_spans: bool | Unset | None = UNSET,
    capture: bool | Literal["args", "result"] | Unset | None = UNSET,
    budget: Literal[False] | Unset | None = UNSET,
    redact: bool | Redactor | Unset | None = UNSET,
    sampler: Sampler | Unset | None = UNSET,
    system_metrics: Literal[False] | Unset | None = UNSET,
    resource: Mapping[str, ResourceValue] | Unset | None = UNSET,
    propagate: bool | Unset | None = UNSET,
    durability: Durability | Unset | None = UNSET,
    memory_limit: int | str | Unset | None = UNSET,
    max_wait: float | str | timedelta | Unset | None = UNSET,
    retention: float | str | timedelta | Unset | None = UNSET,
    max_total: int | str | Unset | None = UNSET,
    signals: bool | Unset | None = UNSET,
    exit_timeout: float | str | timedelta | Unset | None = UNSET,
) -> Telemetry:
    """Start recording this process's steps and branches into a run, and return it.

    Calling it again with the same options goes on with the same run; with others it starts a new one.

    Raises:
        ConfigError: for an option that is not accepted, at once and naming what is.
    """
    arguments = {name: value for name, value in locals().items() if value is not UNSET}
    _state.leaves_place = False
    return _configured(arguments)


def host(arguments: Mapping[str, object], *, script: str | None = None) -> Telemetry | None:
    """Record for an application that sets up OpenTelemetry itself, before or after: whatever it sets is joined.

    A run that is going on goes on. None while one is being set up.

    Raises:
        ConfigError: for an option that is not accepted.
    """
    if _state.is_wiring:
        return None
    if _state.current is None:
        _state.leaves_place = True
        # Whoever has started this process has begun the run, and tidied up.
        _configured(arguments, is_joining=_is_child(os.environ), pyproject=find_pyproject(Path.cwd()), script=script)
    if _state.current is not None:
        _state.current.join()
    return _state.current


def current() -> Telemetry | None:
    """Return the run of this process, if one is going on."""
    return _state.current


def own_tracer_provider() -> Provider:
    """Return the tracer provider of this process, which records while there is a run."""
    if _state.provider is None:
        _state.provider = Provider()
    return _state.provider


def own_meter_provider() -> Meters:
    """Return the meter provider of this process, which measures while there is a run."""
    return _state.meters


def own_logger_provider() -> LoggerProvider:
    """Return the logger provider of this process, which takes records while there is a run."""
    if _state.log_provider is None:
        _state.log_provider = LoggerProvider(_state.log_taker)
    return _state.log_provider


def begin() -> None:
    """Start a run, unless there is one, or one is being set up, or everything is captured."""
    if _state.current is None and not _state.is_wiring and not _state.captures:
        configure()


def _configured(
    arguments: Mapping[str, object],
    *,
    is_joining: bool = False,
    pyproject: Path | None = None,
    script: str | None = None,
) -> Telemetry:
    # Meanwhile OpenTelemetry may ask our own entry points for a provider.
    _state.is_wiring = True
    try:
        return _set_up(arguments, is_joining=is_joining, pyproject=pyproject, script=script)
    finally:
        _state.is_wiring = False


def _set_up(
    arguments: Mapping[str, object], *, is_joining: bool, pyproject: Path | None, script: str | None
) -> Telemetry:
    config = load_config(
        arguments,
        env=_inherited_environment(),
        pyproject=pyproject if is_joining else find_pyproject(Path.cwd()),
        script=script or (sys.argv[0] if getattr(sys, "argv", None) else None),
    )
    before = _state.current
    if (
        before is not None
        and before.config == config
        and not before._is_down  # noqa: SLF001  # the same module
        and before._leaves_place == _state.leaves_place  # noqa: SLF001  # the same
    ):
        return before
    otlp, makers = makers_for(config, dict(os.environ), is_guest=_state.leaves_place or _is_guest(), say=say)
    for make in makers.values():
        # What is wrong with its settings is said now, while whatever was set up before goes on.
        make().close()
    if before is not None:
        before.shutdown()
    telemetry = Telemetry(config, arguments, config.run_id or layout.new_run_id())
    telemetry._leaves_place = _state.leaves_place  # noqa: SLF001  # the same module
    if config.disabled:
        telemetry._is_down = True  # noqa: SLF001  # the same module
        return telemetry
    if not is_joining:
        _tidy(config)
    telemetry._wire(  # noqa: SLF001  # the same module
        listeners=_listeners(config), otlp=otlp, makers=makers, is_joining=is_joining
    )
    _state.current = telemetry
    _state.is_provider_borrowed = _state.is_log_provider_borrowed = False
    _point()
    return telemetry


def _is_guest() -> bool:
    """Whether the application has set an OpenTelemetry provider of its own."""
    existing = trace.get_tracer_provider()
    return isinstance(existing, TracerProvider) and not isinstance(existing, Provider)


def _counters(pipeline: Pipeline) -> Mapping[str, Any]:
    return pipeline.writer.counters() if isinstance(pipeline.writer, Writer) else {}


def _followed(accounts: Mapping[Signal, Account], dropped: int) -> FlushResult:
    # Of metrics, each look at them says all of it once more: they are no more records.
    found = [account for signal, account in accounts.items() if signal != "metrics"]
    return FlushResult(
        journaled=sum(account.journaled for account in found),
        delivered=sum(account.delivered for account in found),
        spooled=sum(account.spooled for account in found),
        rejected=sum(account.rejected for account in found),
        dropped=dropped,
        is_complete=not any(account.rejected for account in accounts.values()),
    )


def _inherited_environment() -> Mapping[str, str]:
    """Return the environment as it was before we told our children of the run: what our parent has told us."""
    env = dict(os.environ)
    current = _state.current
    if current is None or env.get(OWNER_VARIABLE) != str(os.getpid()):
        return env
    for name, (before, exported) in current._environment.items():  # noqa: SLF001  # the same module
        if env.get(name) == exported:
            del env[name]
            env |= {} if before is None else {name: before}
    return env


def flush(timeout: float = 5.0) -> FlushResult:
    """Write everything recorded so far, within *timeout* seconds."""
    return FlushResult() if _state.current is None else _state.current.flush(timeout)


def shutdown(timeout: float | None = None) -> FlushResult:
    """End the run, if there is one."""
    return FlushResult() if _state.current is None else _state.current.shutdown(timeout)


# ── capturing, for tests ──────────────────────────────────────────────────────────────────────────


class Capturing:
    """A recording into a folder that only its maker looks at."""

    def __init__(self, directory: Path) -> None:
        """Made by ``capturing``."""
        self.directory = directory
        self.run_id = layout.new_run_id()
        self.config = Config(
            service_name="capture", directory=directory, sampler=DEFAULT_ON, capture_logs=_CAPTURED_LEVEL
        )
        self.pipeline = Pipeline(
            options_of(self.config, self.run_id, layout.runs_directory(directory) / self.run_id, ()), Writer
        )
        self.settings = for_children(self.config, directory, self.run_id)
        self.recorder: Recorder | None = None
        self.events: EventTaker | None = None

    @property
    def context(self) -> Context:
        """The context that everything inside is recorded in: nothing of what was current outside."""
        run = (self.run_id, str(self.directory))
        return Context({PIPELINE_KEY: self.pipeline, RUN_KEY: run, SETTINGS_KEY: self.settings})

    def flush(self) -> None:
        """Write what was recorded so far."""
        self.pipeline.flush(10.0)

    def close(self) -> None:
        """Write what was recorded, and what is still open as interrupted."""
        self.pipeline.close_open()
        self.pipeline.flush(10.0)
        self.pipeline.close(10.0, reason="captured")


@contextmanager
def capturing(directory: Path) -> Iterator[Capturing]:
    """Record what happens in this context into *directory*, and put everything back at the end."""
    made = Capturing(directory)
    made.pipeline.event(names.RUN_STARTED, {names.PROCESS: made.pipeline.process})
    watch_forks(made.pipeline)
    with _state.lock:
        _state.is_wiring = True
        try:
            made.recorder = _recorder_for(made)
            made.events = _borrowing_event_taker()
        finally:
            _state.is_wiring = False
        _state.bridge.attach(_CAPTURED_LEVEL)
        _state.captures.append(made)
        _point()
        PROPAGATION.acquire(made.settings)
    token = otel_context.attach(made.context)
    try:
        yield made
    finally:
        detach(token)
        with _state.lock:
            PROPAGATION.release(made.settings)
            _state.bridge.detach(_CAPTURED_LEVEL)
            _state.captures.remove(made)
            _point()
            _give_back_providers()
        made.close()


def _recorder_for(made: Capturing) -> Recorder:
    """Return what records for a capture where no run does: onto the application's provider, if it has one."""
    existing = trace.get_tracer_provider()
    if isinstance(existing, TracerProvider) and not isinstance(existing, Provider):
        processor = _processor_of(existing)
        return foreign.ForeignRecorder(existing, noted=processor.noted, event=processor.event, point=processor.point)
    provider = _state.provider
    if provider is None or not (_state.current or _state.captures):
        _state.is_provider_borrowed = isinstance(existing, ProxyTracerProvider)
        provider = _own_provider(made.config)
    return NativeRecorder(provider, made.pipeline, capture="")


def _give_back_providers() -> None:
    """After the last capture: let the application set providers, where it could before."""
    if _state.is_provider_borrowed and not _state.captures and _state.provider is not None:
        _state.is_provider_borrowed = False
        forget_provider(_state.provider)
    if _state.is_log_provider_borrowed and not _state.captures and _state.log_provider is not None:
        _state.is_log_provider_borrowed = False
        _state.log_provider.forget_processors()
        log_api.forget_provider(_state.log_provider)


def _listeners(config: Config) -> tuple[Listener, ...]:
    if config.console is False or config.verbosity == "NONE":
        return ()
    if config.console == "auto" and (not _is_terminal() or _is_child(os.environ)):
        return ()
    # Drawing needs rich, which a program without a terminal should not pay for.
    from .exporters.console import console_listener

    listener = console_listener(config.console, verbosity=config.verbosity)
    return () if listener is None else (listener,)


def _is_child(env: Mapping[str, str]) -> bool:
    """Whether another process of the same run has started this one: that one shows what there is to see."""
    return env.get(OWNER_VARIABLE) not in (None, str(os.getpid())) and RUN_ID_VARIABLE in env


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


def _tidy(config: Config) -> None:
    """Recover what processes of earlier runs left in memory, and take away the runs that are past their time."""
    for sentence in recover_runs(config.directory):
        if sentence.startswith("could not"):
            say(sentence)
    retention_seconds = None if config.retention is None else config.retention.total_seconds()
    # Beside the application: looking through thousands of files takes its time, and nobody waits for it.
    threading.Thread(
        target=enforce_retention,
        args=(config.directory,),
        kwargs={"retention_seconds": retention_seconds, "max_total": config.max_total, "say": say},
        name="branchline-tidy",
        daemon=True,
    ).start()


def _processor_of(provider: TracerProvider) -> JournalProcessor:
    """Return ours on the application's *provider*: one for all runs, for the SDK cannot take a processor away."""
    processor = _processors.get(provider)
    if processor is None:
        processor = _processors[provider] = JournalProcessor()
        provider.add_span_processor(processor)
    return processor


def _event_taker() -> EventTaker:
    """Return what takes events: the application's logger provider, which we join, or what takes all log records."""
    existing = log_api.provider()
    if existing is not None and log_api.is_of_the_sdk(existing):
        if existing not in _log_providers:
            # One for all runs, for the SDK cannot take a processor away.
            existing.add_log_record_processor(JournalLogProcessor(_state.log_taker))
            _log_providers.add(existing)
        return ForeignEvents(existing)
    if _state.log_provider is None:
        _state.log_provider = LoggerProvider(_state.log_taker)
    if not _state.leaves_place:
        log_api.set_provider(_state.log_provider)
    return _state.log_taker


def _borrowing_event_taker() -> EventTaker:
    """Return the same for a capture, after which the application may set a provider where it could before."""
    if not (_state.current or _state.captures):
        _state.is_log_provider_borrowed = log_api.provider() is None
    return _event_taker()


def _own_provider(config: Config) -> Provider:
    """Return the provider of this process: one for all runs, because OpenTelemetry can be told only once."""
    fresh = Provider(
        sampler=config.sampler,  # type: ignore[arg-type]  # checked by Config
        resource=Resource.create({names.SERVICE_NAME: config.service_name, **dict(config.resource)}),
    )
    if _state.provider is None:
        _state.provider = fresh
    else:
        _state.provider.adopt(fresh)
    if isinstance(trace.get_tracer_provider(), ProxyTracerProvider) and not _state.leaves_place:
        trace.set_tracer_provider(_state.provider)
    return _state.provider


def _join_trace_of_environment(env: Mapping[str, str]) -> object:
    """Continue the trace that whoever started this process put into the environment; return what undoes it."""
    fields = {
        key: env[key] for key in ("TRACEPARENT", "TRACESTATE", "BAGGAGE", context.CARRIER_KEY.upper()) if env.get(key)
    }
    if fields and not trace.get_current_span().get_span_context().is_valid:
        return otel_context.attach(context.extracted(fields))
    return None


def _join(settings: Mapping[str, Any]) -> None:
    """In a new process: go on with the run of the process that started this one."""
    current = _state.current
    if current is None or current.run_id != settings["run_id"]:
        _configured(dict(settings), is_joining=True)


def _end_child() -> None:
    if _state.current is not None:
        _state.current._end("exit")  # noqa: SLF001  # the same module
    for capturing in _state.captures:
        capturing.close()


on_join(_join, _end_child)
