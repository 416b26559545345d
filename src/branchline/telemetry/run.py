"""A run that is being recorded: what it is made of, and how it begins and ends."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from .. import foreign, names
from .._journal import layout
from .._journal.seen import Listener
from .._journal.snapshots import Metric
from .._pipeline.active import detach
from .._pipeline.collector import Collector
from .._pipeline.endings import Endings, watch_forks
from .._pipeline.guest import JournalProcessor, take_ended
from .._pipeline.metering import is_readable, metering, reading
from .._pipeline.notices import say
from .._pipeline.options import for_children, options_of
from .._pipeline.pipeline import Pipeline
from .._pipeline.propagation import PROPAGATION
from .._pipeline.recorder import NativeRecorder
from .._pipeline.writer import Writer
from ..branches import shadows
from ..branches.blocks import current_branch
from ..config import OTLP, Config
from ..current import Purse
from ..exporters.followers import Followers, Makers, followers_of
from ..metadata.gathering import Origin, origin
from ..metadata.resource import resource_of
from ..prices import Prices
from ..recording import EventTaker, Recorder
from ..redaction import Redactor
from .budgets import Budgeting
from .describing import Describing
from .environment import Exported, export, is_child, join_trace, take_back
from .last_words import say_what_waits
from .log_wiring import LogWiring
from .measures import RunMeasures
from .progress import beat, leave
from .providers import Providers, foreign_tracers
from .results import FlushResult, counters_of, result_of
from .sink_reports import sink_document, sink_metrics


if TYPE_CHECKING:
    from .._pipeline.sdk_metrics import Reader
    from ..monitor import PerformanceMonitor

_LAST_LOOK_SECONDS: Final = 0.1
_CAPTURES: Final = {False: "", True: "all", "args": "args", "result": "result"}


class Home(Protocol):
    """The process that a run is recorded in."""

    providers: Providers

    def point(self) -> None:
        """Let everybody know what records now."""

    def leave(self, run: Telemetry) -> None:
        """Be without *run*, which has ended."""


class Telemetry:
    """A run that is being recorded; also a context manager that shuts down at its end."""

    def __init__(self, config: Config, run_id: str, home: Home) -> None:
        """Made by ``configure``."""
        self.config = config
        self.run_id = run_id
        self.directory = Path(os.path.abspath(config.directory))  # noqa: PTH100  # no symlink is followed
        self.is_down = config.disabled
        # The terminal is that of whoever has started it.
        self._is_child = is_child(os.environ)
        self.prices = Prices(config.prices)
        self.leaves_place = home.providers.leaves_place
        # Set by ``wire``.
        self.pipeline: Pipeline | None = None
        self._recorder: Recorder | None = None
        self._budgeting: Budgeting | None = None
        self.describing: Describing | None = None
        self.events: EventTaker | None = None
        self.exported: Exported = {}
        self._collector: Collector | None = None
        self._followers = Followers((), self.directory)
        # Of the application's own instruments.
        self._has_measurements = False
        self._endings: Endings | None = None
        self._settings: Mapping[str, Any] | None = None
        self._trace_of_parent: object = None
        self._processor: JournalProcessor | None = None
        self._logging: LogWiring | None = None
        self.measures: RunMeasures | None = None
        self.monitor: PerformanceMonitor | None = None
        """What samples for it, where it was configured with ``system_metrics``."""
        self._home = home

    @property
    def run_directory(self) -> Path:
        """Where the run's files are."""
        return layout.runs_directory(self.directory) / self.run_id

    @property
    def recorder(self) -> Recorder | None:
        """What records here now."""
        return self._recorder if self._budgeting is None else self._budgeting.guarded(self._recorder)

    @property
    def shows_progress(self) -> bool | None:
        """Whether it shows what is worked on (True), wants none shown (False), or leaves it to who works (None)."""
        config = self.config
        if config.console is False or config.verbosity in {"QUIET", "NONE"}:
            return False
        if config.console == "auto" and self._is_child:
            return False
        return True if self.pipeline is not None and self.pipeline.options.listeners else None

    @property
    def purse(self) -> Purse | None:
        """What it spends, and may spend."""
        return self._budgeting

    def flush(self, timeout: float = 5.0) -> FlushResult:
        """Write everything recorded so far, and deliver it where it goes to, within *timeout* seconds."""
        pipeline = self.pipeline
        if pipeline is None:
            return FlushResult()
        deadline = time.monotonic() + timeout
        is_collected = self._collector is None or self._collector.collect(timeout / 2)
        is_written = pipeline.flush(deadline - time.monotonic())
        # Counted before it is waited for: what others record meanwhile is no part of this.
        counters = counters_of(pipeline)
        if self._logging is not None:
            self._logging.flush(max(deadline - time.monotonic(), 0))
        is_answered = self._followers.flush(max(deadline - time.monotonic(), 0))
        return self._result(pipeline, counters, is_complete=is_collected and is_written and is_answered)

    def shutdown(self, timeout: float | None = None) -> FlushResult:
        """End the run: write what is left and undo what ``configure`` set up."""
        if self.is_down:
            return FlushResult()
        if current_branch() is None:
            # What runs behind somebody's back belongs to the run. A branch cannot wait for itself.
            shadows.drain(timeout)
        limit = self.config.exit_timeout if timeout is None else timeout
        result = FlushResult()
        if self.pipeline is not None:
            result = self._close(self.pipeline, limit)
        self._unwire()
        return result

    def _close(self, pipeline: Pipeline, limit: float) -> FlushResult:
        deadline = time.monotonic() + limit
        leave(self.run_id)
        pipeline.close_open()
        self._finish_collecting(limit)
        self._finish_describing(limit)
        if os.getpid() == pipeline.pid and pipeline.writer is not None:
            pipeline.event(names.RUN_ENDED, {names.PROCESS: pipeline.process})
        is_written = pipeline.flush(deadline - time.monotonic())
        self._finish_watching(deadline)
        self._close_books(deadline)
        pipeline.close(max(deadline - time.monotonic(), 0.05), reason="shutdown")
        self._part(deadline)
        say_what_waits(pipeline, limit)
        return self._result(pipeline, counters_of(pipeline), is_complete=is_written)

    def _part(self, deadline: float) -> None:
        """Give the followers what is left of the time, and say what then still waits."""
        self._followers.close(max(deadline - time.monotonic(), 0))
        for words in self._followers.parting_words():
            say(words)

    def end(self, reason: str) -> None:
        """End because the process does: what others still record on their way out is written at once."""
        pipeline = self.pipeline
        if pipeline is None or self.is_down:
            return
        leave(self.run_id)
        pipeline.close_open()
        if pipeline.writer is not None:
            pipeline.event(names.RUN_ENDED, {names.PROCESS: pipeline.process, "reason": reason})
        deadline = time.monotonic() + self.config.exit_timeout
        self._finish_collecting(self.config.exit_timeout)
        self._finish_watching(deadline)
        self._finish_describing(self.config.exit_timeout)
        self._close_books(deadline)
        pipeline.go_direct(deadline - time.monotonic(), reason=reason)
        self._part(deadline)
        say_what_waits(pipeline, self.config.exit_timeout)

    def _finish_collecting(self, limit: float) -> None:
        """Collect for the last time; what hangs in it must leave time for the rest."""
        if self._collector is not None:
            self._collector.finish(limit / 2)

    def begin_sampling(self, monitor: PerformanceMonitor | None) -> None:
        """Begin to sample with *monitor*, if there is one; once everybody knows that this run records."""
        self.monitor = monitor
        if monitor is not None and self.pipeline is not None:
            monitor.start()

    def _finish_watching(self, deadline: float) -> None:
        """Let those who watch this run say what they have seen of it last."""
        pipeline = self.pipeline
        if self.measures is None or pipeline is None or not pipeline.observers:
            return
        # What is told is what is written.
        pipeline.flush(max(deadline - time.monotonic(), 0.05) / 4)
        self.measures.finish(max(deadline - time.monotonic(), 0.05) / 2)

    def _finish_describing(self, limit: float) -> None:
        """Wait for what a run that was soon over was too quick for, and leave time for the rest."""
        if self.describing is not None:
            self.describing.finish(limit / 4)

    def _close_books(self, deadline: float) -> None:
        if self._budgeting is not None:
            self._budgeting.finish(max(deadline - time.monotonic(), 0.05) / 2)

    def _result(self, pipeline: Pipeline, counters: Mapping[str, Any], *, is_complete: bool) -> FlushResult:
        return result_of(counters, self._followers.accounts(pipeline.process, counters), is_complete=is_complete)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        state = "ended" if self.is_down else "recording"
        return f"<run {self.run_id} {state} in {self.run_directory}>"

    # ── wiring ────────────────────────────────────────────────────────────────────────────────────

    def wire(
        self,
        *,
        listeners: tuple[Listener, ...],
        otlp: OTLP | None,
        makers: Makers,
        logging: LogWiring,
        is_joining: bool,
    ) -> None:
        """Begin: let everything that is recorded come here, and go where *makers* say."""
        providers = self._home.providers
        config = self.config
        found = origin()
        about = resource_of(found, Redactor())
        pipeline = Pipeline(options_of(config, self.run_id, self.run_directory, listeners, found=about), Writer)
        self._follow(pipeline, makers)
        pipeline.beat = beat
        self.pipeline = pipeline
        capture = _CAPTURES[config.capture]
        existing = foreign_tracers()
        if existing is not None:
            self._join_provider(existing, pipeline, capture)
        else:
            provider = providers.set_tracers(config)
            provider.use(pipeline)
            self._recorder = NativeRecorder(provider, pipeline, capture=capture)
        self._meter(pipeline, metering(pipeline, providers.meters, takes_place=not providers.leaves_place))
        self.events = providers.event_taker()
        self._logging = logging
        logging.attach(providers.bridge)
        self._budget(pipeline)
        self.measures = RunMeasures(pipeline, collector=lambda: self._collector, look=self._looked_at)
        pipeline.companions.append(self.measures)
        self._describe(pipeline, None if is_joining else found)
        watch_forks(pipeline)
        self.exported = export(self.run_id, self.directory, leaves_place=self.leaves_place)
        self._endings = Endings(self.end, signals=config.signals)
        if config.propagate:
            # Whether this process delivers was decided here: there, the environment alone would.
            self._settings = {**for_children(config, self.directory, self.run_id), "otlp": otlp or False}
            PROPAGATION.acquire(self._settings)
        self._trace_of_parent = join_trace(os.environ)
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
        pipeline.told = sink_document

    def _budget(self, pipeline: Pipeline) -> None:
        budgeting = self._budgeting = Budgeting(pipeline, self.config, self.directory, point=self._home.point)
        budgeting.inner = self._recorder
        pipeline.companions.append(budgeting)
        pipeline.measured = self._measured
        pipeline.budgets = budgeting.statuses
        budgeting.begin()

    def _describe(self, pipeline: Pipeline, found: Origin | None) -> None:
        self.describing = pipeline.described = Describing(pipeline)
        pipeline.companions.append(self.describing)
        if found is not None:
            # Whoever has begun the run says what it ran in.
            self.describing.begin(found)

    def _measured(self) -> tuple[Metric, ...]:
        pipeline, budgeting = self.pipeline, self._budgeting
        found: tuple[Metric, ...] = () if budgeting is None else budgeting.metrics()
        found += () if self.measures is None else self.measures.metrics()
        if pipeline is not None and self._followers.each:
            # Whoever is delivered nothing has `process.json`.
            queued = pipeline.queue_bytes
            found += self._followers.metrics(pipeline.process, counters_of(pipeline), queue_bytes=queued)
            found += sink_metrics()
        return found

    def _looked_at(self) -> tuple[Metric, ...]:
        """Return how its budgets stand, and what it measures of itself."""
        pipeline, budgeting = self.pipeline, self._budgeting
        if pipeline is None or budgeting is None:
            return ()
        queued = pipeline.queue_bytes
        own = self._followers.metrics(pipeline.process, counters_of(pipeline), queue_bytes=queued)
        return (*budgeting.metrics(), *own, *sink_metrics())

    def _meter(self, pipeline: Pipeline, collector: Collector) -> None:
        before, self._collector = self._collector, collector
        if before is not None:
            before.finish(0.0)
            pipeline.companions.remove(before)
        pipeline.companions.append(collector)
        if self.measures is not None:
            self.measures.hurry()

    def _join_provider(self, provider: TracerProvider, pipeline: Pipeline, capture: str) -> None:
        processor = self._home.providers.processor_of(provider)
        processor.use(pipeline)
        self._processor = processor
        self._recorder = foreign.ForeignRecorder(
            provider,
            capture=capture,
            noted=processor.noted,
            event=processor.event,
            point=processor.point,
            usage_place=processor.usage_place,
        )

    # ── for an application that sets providers of its own after the run has begun ──────────────────

    def join(self) -> None:
        """Join what providers the application has set by now."""
        pipeline = self.pipeline
        if pipeline is None or self.is_down:
            return
        tracers = foreign_tracers()
        if self._processor is None and tracers is not None:
            self._join_provider(tracers, pipeline, _CAPTURES[self.config.capture])
        if not self._has_measurements and is_readable():
            self._meter(pipeline, metering(pipeline, self._home.providers.meters))
            self._has_measurements = True
        self.events = self._home.providers.event_taker()
        self._home.point()

    def take_spans(self, spans: Iterable[ReadableSpan]) -> None:
        """Write spans that have ended, but those that came another way."""
        if self.pipeline is not None and not self.is_down:
            for span in spans:
                take_ended(span, self.pipeline)

    def take_logs(self, records: Iterable[object]) -> None:
        """Write log records, but those that came another way."""
        for record in records:
            self._home.providers.log_reader.on_emit(record)

    @property
    def has_exponential_histograms(self) -> bool:
        """Whether histograms are to be read in exponential buckets."""
        return self.pipeline is not None and self.pipeline.options.metrics.is_exponential

    def read_from(self, reader: Reader) -> None:
        """Read metrics from *reader*, with which the application makes its provider."""
        if self.pipeline is not None and not self.is_down:
            self._meter(self.pipeline, reading(self.pipeline, reader))
            self._has_measurements = True

    def _unwire(self) -> None:
        self.is_down = True
        if self._settings is not None:
            PROPAGATION.release(self._settings)
        if self._trace_of_parent is not None:
            detach(self._trace_of_parent)
        if self._endings is not None:
            self._endings.unhook()
        if self._processor is not None:
            self._processor.use(None)
        if self._logging is not None:
            self._logging.detach(self._home.providers.bridge)
        if self.monitor is not None:
            # It has had its last look at this run; a driver that hangs does not keep us.
            self.monitor.stop(_LAST_LOOK_SECONDS)
        take_back(self.exported)
        if self._logging is not None:
            self._logging.let_go()
        self._home.leave(self)
