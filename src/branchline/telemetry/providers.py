"""The providers of the three signals: our own, those of the application that we join, and what a capture borrows."""

from __future__ import annotations

import weakref
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import ProxyTracerProvider

from .. import log_api, names
from .._pipeline.guest import JournalProcessor
from .._pipeline.log_guest import JournalLogProcessor
from .._pipeline.log_taker import LogTaker
from .._pipeline.loggers import LoggerProvider
from .._pipeline.meters import Meters
from .._pipeline.tracing import Provider, forget_provider
from ..config import Config
from ..logs.bridge import Bridge
from ..logs.foreign import ForeignEvents
from ..recording import EventTaker


class Providers:
    """The one provider of each signal that OpenTelemetry lets a process set, or the application's."""

    def __init__(self) -> None:
        self.tracers: Provider | None = None
        self.meters = Meters()
        self.loggers: LoggerProvider | None = None
        self.log_taker = LogTaker()
        self.log_reader = JournalLogProcessor(self.log_taker)
        self.bridge = Bridge(self.log_taker)
        # The application may still set providers of its own: ours must not take their place.
        self.leaves_place = False
        self._are_tracers_borrowed = False
        self._are_loggers_borrowed = False
        self._processors: weakref.WeakKeyDictionary[TracerProvider, JournalProcessor] = weakref.WeakKeyDictionary()
        self._joined_loggers: weakref.WeakSet[Any] = weakref.WeakSet()

    # ── spans ─────────────────────────────────────────────────────────────────────────────────────

    def own_tracers(self) -> Provider:
        """Return our tracer provider, which records while there is a run."""
        if self.tracers is None:
            self.tracers = Provider()
        return self.tracers

    def set_tracers(self, config: Config) -> Provider:
        """Return ours as *config* wants it, set: one for all runs, because OpenTelemetry can be told only once."""
        fresh = Provider(
            sampler=config.sampler,  # type: ignore[arg-type]  # checked by Config
            resource=Resource.create({names.SERVICE_NAME: config.service_name, **dict(config.resource)}),
        )
        if self.tracers is None:
            self.tracers = fresh
        else:
            self.tracers.adopt(fresh)
        if isinstance(trace.get_tracer_provider(), ProxyTracerProvider) and not self.leaves_place:
            trace.set_tracer_provider(self.tracers)
        return self.tracers

    def borrow_tracers(self, config: Config, *, is_recording: bool) -> Provider:
        """Return ours for a capture, set as *config* wants it unless something is recording already."""
        if self.tracers is not None and is_recording:
            return self.tracers
        self._are_tracers_borrowed = isinstance(trace.get_tracer_provider(), ProxyTracerProvider)
        return self.set_tracers(config)

    def processor_of(self, provider: TracerProvider) -> JournalProcessor:
        """Return ours on the application's *provider*: one for all runs, for the SDK cannot take a processor away."""
        processor = self._processors.get(provider)
        if processor is None:
            processor = self._processors[provider] = JournalProcessor()
            provider.add_span_processor(processor)
        return processor

    # ── log records ───────────────────────────────────────────────────────────────────────────────

    def own_loggers(self) -> LoggerProvider:
        """Return our logger provider, which takes records while there is a run."""
        if self.loggers is None:
            self.loggers = LoggerProvider(self.log_taker)
        return self.loggers

    def event_taker(self) -> EventTaker:
        """Return what takes events: the application's provider, which we join, or what takes all log records."""
        existing = log_api.provider()
        if existing is not None and log_api.is_of_the_sdk(existing):
            if existing not in self._joined_loggers:
                # One for all runs, for the SDK cannot take a processor away.
                existing.add_log_record_processor(JournalLogProcessor(self.log_taker))
                self._joined_loggers.add(existing)
            return ForeignEvents(existing)
        loggers = self.own_loggers()
        if not self.leaves_place:
            log_api.set_provider(loggers)
        return self.log_taker

    def borrow_event_taker(self, *, is_recording: bool) -> EventTaker:
        """Return the same for a capture, after which the application may set a provider where it could before."""
        if not is_recording:
            self._are_loggers_borrowed = log_api.provider() is None
        return self.event_taker()

    # ── what captures have borrowed ───────────────────────────────────────────────────────────────

    def keep(self) -> None:
        """Keep for a run what captures have borrowed."""
        self._are_tracers_borrowed = self._are_loggers_borrowed = False

    def give_back(self) -> None:
        """After the last capture: let the application set providers, where it could before."""
        if self._are_tracers_borrowed and self.tracers is not None:
            self._are_tracers_borrowed = False
            forget_provider(self.tracers)
        if self._are_loggers_borrowed and self.loggers is not None:
            self._are_loggers_borrowed = False
            self.loggers.forget_processors()
            log_api.forget_provider(self.loggers)


def foreign_tracers() -> TracerProvider | None:
    """Return the OpenTelemetry provider that the application has set of its own, if it has."""
    existing = trace.get_tracer_provider()
    return existing if isinstance(existing, TracerProvider) and not isinstance(existing, Provider) else None
