"""Metering: where the measurements of a run come from, our own provider or the application's."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics

from .._journal.snapshots import Metric
from .collector import Collector
from .measuring import Collecting, Measuring
from .meters import Meters
from .notices import Notices
from .pipeline import Pipeline


if TYPE_CHECKING:
    from .sdk_metrics import Reader


def metering(pipeline: Pipeline, meters: Meters, *, takes_place: bool = True) -> Collector:
    """Return what collects for the run of *pipeline*: from *meters*, or from the application's own provider.

    Where there is none, *meters* takes its place, unless the application may still set one.
    """
    settings = pipeline.options.metrics
    existing = metrics.get_meter_provider()
    if type(existing).__name__ == "_ProxyMeterProvider":
        if takes_place:
            metrics.set_meter_provider(meters)
        existing = metrics.get_meter_provider() if takes_place else meters
    if existing is not meters and _can_be_read(existing):
        try:
            return Collector(pipeline, _Joined(existing, is_exponential=settings.is_exponential))
        except Exception as error:  # the application's own
            pipeline.failed("metrics", error)
    elif existing is not meters:
        pipeline.notices.once(
            "meter_provider",
            f"{type(existing).__name__}, which the application has set, takes no reader: "
            "what its instruments measure is not in the journal",
        )
    return Collector(pipeline, _Own(meters, pipeline.notices, is_exponential=settings.is_exponential))


def reading(pipeline: Pipeline, reader: Reader) -> Collector:
    """Return what collects for the run of *pipeline* by a *reader* that the application makes its provider with."""
    return Collector(pipeline, _Given(reader))


def is_readable() -> bool:
    """Whether the application has set a meter provider that a reader can be added to."""
    return _can_be_read(metrics.get_meter_provider())


def _can_be_read(provider: Any) -> bool:
    # Where the SDK's metrics were never loaded, nobody can have made a provider of them.
    loaded = sys.modules.get("opentelemetry.sdk.metrics")
    return loaded is not None and isinstance(provider, loaded.MeterProvider) and hasattr(provider, "add_metric_reader")


class _Own:
    """What our own instruments measure."""

    def __init__(self, meters: Meters, notices: Notices, *, is_exponential: bool) -> None:
        self._meters = meters
        self._notices = notices
        self._is_exponential = is_exponential
        self._measuring: Measuring | None = None

    def begin(self, collector: Collecting) -> None:
        self._measuring = Measuring(self._notices, collector, is_exponential=self._is_exponential)
        self._meters.use(self._measuring)
        if self._meters.observables:
            collector.start()

    # In a forked child, with aggregates of its own: there is nothing to take over, not even a lock.
    renew = begin

    def read(self, deadline: Callable[[], float]) -> tuple[Metric, ...]:
        return () if self._measuring is None else self._measuring.read(self._meters.observables, deadline)

    def close(self) -> None:
        if self._meters.measuring is self._measuring:
            self._meters.use(None)


class _Joined:
    """What the application's own provider measures, by a reader of ours."""

    def __init__(self, provider: Any, *, is_exponential: bool) -> None:
        self._provider = provider
        self._is_exponential = is_exponential
        self._reader: Reader | None = None

    def _made(self) -> Reader:
        # The application has loaded it already.
        from .sdk_metrics import Reader

        return Reader(is_exponential=self._is_exponential)

    def begin(self, collector: Collecting) -> None:
        self._reader = self._made()
        self._provider.add_metric_reader(self._reader)
        collector.start()

    def read(self, deadline: Callable[[], float]) -> tuple[Metric, ...]:
        left = deadline() - time.monotonic()
        # Its callbacks are asked by the SDK, which waits for them.
        return () if self._reader is None or left <= 0 else self._reader.read(left)

    def close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            self._provider.remove_metric_reader(reader)

    def renew(self, collector: Collecting) -> None:
        """In a forked child: read from zero; where the SDK does not let us, nothing."""
        before, self._reader = self._reader, None
        if before is None:
            return
        reader = self._made()
        try:
            # There is no public way: whatever is public waits for locks that nobody may be there to give back.
            consumer = self._provider._measurement_consumer  # noqa: SLF001
            fresh = type(consumer)(self._provider._sdk_config, [reader])  # noqa: SLF001
            storages = dict(consumer._reader_storages)  # noqa: SLF001
            storages.pop(before, None)
            consumer._reader_storages = storages | fresh._reader_storages  # noqa: SLF001
            consumer._lock = threading.Lock()  # noqa: SLF001
            reader._set_collect_callback(consumer.collect)  # noqa: SLF001
            self._provider._all_metric_readers.add(reader)  # noqa: SLF001
        except (AttributeError, TypeError):
            return
        self._reader = reader
        collector.start()


class _Given(_Joined):
    """What a provider measures that the application makes with a reader of ours."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(None, is_exponential=reader.is_exponential)
        self._reader = reader

    def begin(self, collector: Collecting) -> None:
        collector.start()

    def read(self, deadline: Callable[[], float]) -> tuple[Metric, ...]:
        # The provider is made after its readers.
        return super().read(deadline) if self._reader is not None and self._reader.is_registered else ()

    def close(self) -> None:
        self._reader = None

    def renew(self, collector: Collecting) -> None:
        self._provider = metrics.get_meter_provider()
        super().renew(collector)
