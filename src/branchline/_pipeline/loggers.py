"""The OpenTelemetry logger provider of a branchline process, and its loggers: the API, without the SDK."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry import _logs as api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource

from .. import names
from .._journal.belonging import Scope
from .._journal.log_records import LogRecord
from ..log_api import Said, emit, said_in
from ..values import freeze, freeze_name
from .log_taker import LogTaker, attributes_of
from .readable import identity_attributes


class LoggerProvider(api.LoggerProvider):
    """Makes loggers whose records go to the journal; processors of others may be added, as to the SDK's."""

    def __init__(self, taker: LogTaker) -> None:
        """Give what is logged to *taker*."""
        self._taker = taker
        self._loggers: dict[tuple[str, str | None, str | None], Logger] = {}
        self._others: Any = None
        self._adding = threading.Lock()
        self._shown = threading.local()

    @property
    def resource(self) -> Resource:
        """Where the records come from: the same place as the spans."""
        found = getattr(trace.get_tracer_provider(), "resource", None)
        return found if isinstance(found, Resource) else Resource.create()

    def get_logger(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> api.Logger:
        """Return the logger for one instrumentation."""
        if attributes:
            return Logger(self, self._taker, name, version, schema_url, attributes)
        key = (name, version, schema_url)
        try:
            # Without a lock: a signal handler may ask for a logger in the middle of this.
            return self._loggers.get(key) or self._loggers.setdefault(key, Logger(self, self._taker, *key))
        except TypeError:  # a name that is no text
            return Logger(self, self._taker, *key)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Write everything to the journal, and flush the processors of others."""
        pipeline = self._taker.pipeline
        is_written = pipeline is None or pipeline.flush(timeout_millis / 1000)
        return (self._others is None or self._others.force_flush(timeout_millis)) and is_written

    def shutdown(self) -> None:
        """Shut the processors of others down; the journal has an end of its own."""
        if self._others is not None:
            self._others.shutdown()

    # ── processors of others ──────────────────────────────────────────────────────────────────────

    def add_log_record_processor(self, log_record_processor: Any) -> None:
        """Show every record from now on to this processor of somebody else's."""
        with self._adding:
            if self._others is None:
                self._others = self._made_others()
            self._others.add_log_record_processor(_Apart(log_record_processor, self._shown, self._taker.failed))
        self._taker.show = self._show

    def forget_processors(self) -> None:
        """Show nothing to anybody any more."""
        self._taker.show = self._others = None

    def _made_others(self) -> Any:
        # Importing it detects resources in threads, and changes the filters of warnings: only those who add a
        # processor, and have imported it themselves, get it. What its releases differ in stays its own business.
        from opentelemetry.sdk._logs import LoggerProvider as SdkProvider

        return SdkProvider(resource=self.resource)

    def _show(self, record: LogRecord, context: Context) -> Mapping[str, Any]:
        """Show *record* to the processors, and return the attributes that they have added."""
        scope = record.scope or Scope(names.SCOPE, names.VERSION)
        described = attributes_of(record)
        if record.identity is not None:
            described = {**identity_attributes(record.identity), **described}
        described[names.LOG_UID] = record.uid
        logger = self._others.get_logger(scope.name, scope.version, scope.schema_url, scope.attributes or None)
        self._shown.record = None
        emit(
            logger,
            event_name=record.name,
            time_unix_nano=record.time,
            observed_unix_nano=record.observed or record.time,
            severity_number=record.severity,
            severity_text=record.severity_text,
            body=record.body,
            attributes=described,
            context=context,
        )
        found = said_in(self._shown.record).attributes or {}
        return {freeze_name(key): freeze(value) for key, value in found.items() if key not in described}


class _Apart:
    """A processor of somebody else's, which may fail alone."""

    def __init__(self, processor: Any, shown: threading.local, failed: Callable[[Exception], None]) -> None:
        self._processor = processor
        self._shown = shown
        self._failed = failed

    def on_emit(self, log_record: Any) -> None:
        try:
            self._processor.on_emit(log_record)
        except Exception as error:  # somebody else's code
            self._failed(error)
        self._shown.record = log_record

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)


class Logger(api.Logger):
    """Takes log records for one instrumentation scope."""

    def __init__(
        self,
        provider: LoggerProvider,
        taker: LogTaker,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> None:
        """Log under the scope of this *name*."""
        super().__init__(name, version=version, schema_url=schema_url, attributes=attributes)
        self._provider = provider
        self._taker = taker
        self._scope = _scope(name, version, schema_url, attributes)

    @property
    def resource(self) -> Resource:
        """Where the records come from."""
        return self._provider.resource

    def emit(
        self,
        record: api.LogRecord | None = None,
        *,
        timestamp: int | None = None,
        observed_timestamp: int | None = None,
        context: Context | None = None,
        severity_number: api.SeverityNumber | None = None,
        severity_text: str | None = None,
        body: Any = None,
        attributes: Any = None,
        event_name: str | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """Take a log *record*, or what one says; never raises."""
        if record is not None:
            self._taker.emit(self._scope, said_in(record))
            return
        self._taker.emit(
            self._scope,
            Said(
                timestamp=timestamp,
                observed_timestamp=observed_timestamp,
                context=context,
                severity_number=severity_number,
                severity_text=severity_text,
                body=body,
                attributes=attributes,
                event_name=event_name,
                exception=exception,
            ),
        )

    def enabled(
        self,
        *,
        context: Context | None = None,
        severity_number: api.SeverityNumber | None = None,
        event_name: str | None = None,
    ) -> bool:
        """Whether a record would go anywhere: all of them do while a run goes on."""
        return self._taker.is_taking(context)


def _scope(name: Any, version: Any, schema_url: Any, attributes: Any) -> Scope:
    return Scope(
        freeze_name(name) if name else "",
        freeze_name(version) if version else None,
        freeze_name(schema_url) if schema_url else None,
        {freeze_name(key): freeze(value) for key, value in (attributes or {}).items()},
    )
