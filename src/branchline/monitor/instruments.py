"""What is sampled, as observable instruments of OpenTelemetry's: whatever meter provider there is asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from .. import names
from ..current import CURRENT
from .catalogue import CATALOGUE, COUNTER, UP_DOWN


if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation

_PROXY: Final = "_ProxyMeterProvider"


class Observed:
    """Answers for one metric with what the process's sampler has read last."""

    # It neither waits nor raises: nobody needs a thread to ask.
    is_prompt = True

    def __init__(self, metric: str) -> None:
        """Answer for *metric*."""
        self._metric = metric

    def __call__(self, options: CallbackOptions) -> Iterable[Observation]:
        """Return its values; none while nothing is sampled."""
        from opentelemetry.metrics import Observation

        monitoring = CURRENT.monitoring
        if monitoring is None:
            return []
        return [Observation(value, attributes) for value, attributes in monitoring.readings().get(self._metric, ())]


def offer() -> None:
    """Let the meter provider of this process ask for all that is sampled; once, however often this is called."""
    # Whoever samples nothing must not pay for loading it.
    from opentelemetry import metrics

    provider = metrics.get_meter_provider()
    # One that is not there yet may turn out to be one that is asked already.
    if provider is CURRENT.metered or type(provider).__name__ == _PROXY:
        return
    CURRENT.metered = provider
    meter = provider.get_meter(names.SCOPE, names.VERSION)
    for metric, sampled in CATALOGUE.items():
        _maker(meter, sampled.kind)(metric, [Observed(metric)], sampled.unit, sampled.description)


def _maker(meter: Meter, kind: str) -> Callable[..., object]:
    if kind == COUNTER:
        return meter.create_observable_counter
    return meter.create_observable_up_down_counter if kind == UP_DOWN else meter.create_observable_gauge
