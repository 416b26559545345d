"""The meter provider that OpenTelemetry is told of: instruments that measure for whatever run is going on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.metrics import (
    CallbackT,
    Counter,
    Histogram,
    Meter,
    MeterProvider,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
    _Gauge,
)
from opentelemetry.util.types import Attributes

from ..boundaries import boundaries_of
from ..metric_values import freeze_number
from .callbacks import Callback
from .measuring import Measuring
from .plain import is_plain, made_plain


_LARGEST: Final = 2**63 - 1


class Meters(MeterProvider):
    """One for the life of the process: OpenTelemetry can be told only once."""

    def __init__(self) -> None:
        """Measure nothing until ``use``."""
        self.measuring: Measuring | None = None
        self.observables: list[Any] = []
        self._meters: dict[tuple[str | None, ...], Meter] = {}

    def use(self, measuring: Measuring | None) -> None:
        """Measure with *measuring* from now on; None: nothing."""
        self.measuring = measuring

    def observe(self, instrument: Any) -> None:
        """Ask *instrument*, an observable one, at every collection."""
        self.observables.append(instrument)
        if self.measuring is not None:
            self.measuring.collector.start()

    def get_meter(
        self, name: str, version: str | None = None, schema_url: str | None = None, attributes: Attributes = None
    ) -> Meter:
        """Return the meter of one instrumentation."""
        key = (name, version, schema_url, repr(attributes) if attributes else None)
        # Without a lock: a signal handler may ask for a meter in the middle of this.
        return self._meters.get(key) or self._meters.setdefault(
            key, _Meter(self, name, version, schema_url, attributes)
        )

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Collect now."""
        return self.measuring is None or self.measuring.collector.collect(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """Collect now; the run itself is ended by ``branchline.shutdown``."""
        self.force_flush(timeout_millis)


class _Meter(Meter):
    """Makes the instruments of one instrumentation scope; the same one for the same name, kind, unit and words."""

    def __init__(
        self, meters: Meters, name: str, version: str | None, schema_url: str | None, attributes: Attributes
    ) -> None:
        super().__init__(name, version, schema_url)
        self.meters = meters
        self.attributes = attributes
        self._instruments: dict[tuple[Any, ...], Any] = {}

    def made(self, provider: Any) -> Meter:
        """Return the SDK's meter for it."""
        known = {"attributes": self.attributes} if self.attributes else {}
        meter: Meter = provider.get_meter(self.name, self.version, self.schema_url, **known)
        return meter

    def _instrument(self, kind: Any, name: str, unit: str, description: str, *more: Any) -> Any:
        key = (kind, str(name).lower(), unit, description, *(more if kind is _Histogram else ()))
        found = self._instruments.get(key)
        if found is None:
            made = kind(self, name, unit, description, *more)
            found = self._instruments.setdefault(key, made)
            if found is made and made.callbacks:
                self.meters.observe(made)
        return found

    def create_counter(self, name: str, unit: str = "", description: str = "") -> Counter:
        """Return a counter."""
        return self._instrument(_Counter, name, unit, description)  # type: ignore[no-any-return]  # of that kind

    def create_up_down_counter(self, name: str, unit: str = "", description: str = "") -> UpDownCounter:
        """Return a counter that may go down."""
        return self._instrument(_UpDownCounter, name, unit, description)  # type: ignore[no-any-return]  # the same

    def create_gauge(self, name: str, unit: str = "", description: str = "") -> _Gauge:
        """Return a gauge."""
        return self._instrument(_GaugeNow, name, unit, description)  # type: ignore[no-any-return]  # the same

    def create_histogram(
        self,
        name: str,
        unit: str = "",
        description: str = "",
        *,
        explicit_bucket_boundaries_advisory: Sequence[float] | None = None,
    ) -> Histogram:
        """Return a histogram; its buckets are those of the conventions where nobody says."""
        boundaries = explicit_bucket_boundaries_advisory
        wanted = boundaries_of(str(name), unit) if boundaries is None else tuple(boundaries)
        return self._instrument(_Histogram, name, unit, description, wanted)  # type: ignore[no-any-return]  # the same

    def create_observable_counter(
        self, name: str, callbacks: Sequence[CallbackT] | None = None, unit: str = "", description: str = ""
    ) -> ObservableCounter:
        """Return a counter that is asked."""
        return self._instrument(_ObservableCounter, name, unit, description, callbacks)  # type: ignore[no-any-return]  # the same

    def create_observable_up_down_counter(
        self, name: str, callbacks: Sequence[CallbackT] | None = None, unit: str = "", description: str = ""
    ) -> ObservableUpDownCounter:
        """Return a counter that is asked, and may go down."""
        return self._instrument(_ObservableUpDownCounter, name, unit, description, callbacks)  # type: ignore[no-any-return]  # the same

    def create_observable_gauge(
        self, name: str, callbacks: Sequence[CallbackT] | None = None, unit: str = "", description: str = ""
    ) -> ObservableGauge:
        """Return a gauge that is asked."""
        return self._instrument(_ObservableGauge, name, unit, description, callbacks)  # type: ignore[no-any-return]  # the same


class _Instrument:
    """What all instruments have in common: who they are, and where they measure."""

    maker = ""
    callbacks: tuple[Callback, ...] = ()

    def __init__(self, meter: _Meter, name: str, unit: str, description: str) -> None:
        self.name = name
        self.unit = unit
        self.description = description
        self._meter = meter
        self._meters = meter.meters

    def __repr__(self) -> str:
        return f"<{self.maker.removeprefix('create_').replace('_', ' ')} {self.name!r} of {self._meter.name!r}>"


class _Synchronous(_Instrument):
    method = "add"
    is_monotonic = False
    more: Mapping[str, Any] = MappingProxyType({})

    def made(self, provider: Any) -> Any:
        """Return what takes the measurements in *provider*."""
        make = getattr(self._meter.made(provider), self.maker)
        return getattr(make(self.name, self.unit or "", self.description or "", **self.more), self.method)

    def _measure(self, amount: float, attributes: Attributes, context: Context | None) -> None:
        measuring = self._meters.measuring
        if measuring is None:
            return
        try:
            if amount.__class__ is not float and (amount.__class__ is not int or not -_LARGEST <= amount <= _LARGEST):
                amount = freeze_number(amount, measuring.notices.odd)
            # Said once, where the SDK would say it every time. NaN less itself is NaN, which is as true as 1.
            if amount - amount or (amount < 0 and self.is_monotonic):
                measuring.notices.noted("left_out", f"{self.name} takes no {amount!r}; counted in process.json")
                return
            if attributes and not is_plain(attributes):
                attributes = _cleaned(attributes, measuring.notices.odd)
            measure = measuring.measures.get(self) or measuring.measure_of(self)
            measure(amount, attributes, context)
        except Exception as error:  # recording never raises
            measuring.notices.failed("metric", error)


def _cleaned(attributes: object, odd: Callable[[str], None]) -> dict[str, Any]:
    if not isinstance(attributes, Mapping):
        odd("bad_attributes")
        return {}
    return made_plain(attributes, odd)[0]


class _Counter(_Synchronous, Counter):
    maker = "create_counter"
    is_monotonic = True

    def add(self, amount: float, attributes: Attributes = None, context: Context | None = None) -> None:
        """Count *amount* more."""
        self._measure(amount, attributes, context)


class _UpDownCounter(_Synchronous, UpDownCounter):
    maker = "create_up_down_counter"

    def add(self, amount: float, attributes: Attributes = None, context: Context | None = None) -> None:
        """Count *amount* more, or less."""
        self._measure(amount, attributes, context)


class _Histogram(_Synchronous, Histogram):
    maker = "create_histogram"
    method = "record"
    is_monotonic = True

    def __init__(self, meter: _Meter, name: str, unit: str, description: str, boundaries: Any) -> None:
        super().__init__(meter, name, unit, description)
        if boundaries is not None:
            self.more = {"explicit_bucket_boundaries_advisory": boundaries}

    def record(self, amount: float, attributes: Attributes = None, context: Context | None = None) -> None:
        """Take one value."""
        self._measure(amount, attributes, context)


class _GaugeNow(_Synchronous, _Gauge):
    maker = "create_gauge"
    method = "set"

    def set(self, amount: float, attributes: Attributes = None, context: Context | None = None) -> None:
        """Say how much it is now."""
        self._measure(amount, attributes, context)


class _Asynchronous(_Instrument):
    def __init__(self, meter: _Meter, name: str, unit: str, description: str, callbacks: Any) -> None:
        super().__init__(meter, name, unit, description)
        self.callbacks = tuple(Callback(str(name), callback) for callback in callbacks or ())

    def made(self, provider: Any) -> Any:
        """Return the SDK's instrument in *provider*."""
        make = getattr(self._meter.made(provider), self.maker)
        return make(self.name, self.callbacks, self.unit or "", self.description or "")


class _ObservableCounter(_Asynchronous, ObservableCounter):
    maker = "create_observable_counter"


class _ObservableUpDownCounter(_Asynchronous, ObservableUpDownCounter):
    maker = "create_observable_up_down_counter"


class _ObservableGauge(_Asynchronous, ObservableGauge):
    maker = "create_observable_gauge"
