"""Metrics: single values that are all kept, and instruments that count and sum up."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from . import foreign, names
from .boundaries import boundaries_of
from .current import CURRENT
from .errors import ConfigError
from .recording import Recording


if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram, Meter, _Gauge

# What OpenTelemetry takes.
_NAME: Final = re.compile(r"[a-zA-Z][-_./a-zA-Z0-9]{0,254}")
_UNIT: Final = re.compile(r"[\x20-\x7e]{0,63}")


def record_metric(
    name: str, value: float, /, *, unit: str | None = None, step: int | None = None, **attributes: object
) -> None:
    """Record one value of a metric: it is kept as it is, with the step and branch that this code is in.

    Args:
        name: What was measured.
        value: Whatever ``float()`` takes; anything else is recorded as not a number.
        unit: Of the value, as ``s`` or ``USD``.
        step: The place of the value in a series, where it has one: an epoch, a batch.
        attributes: What else there is to say about it.
    """
    recorder = CURRENT.recorder or foreign.recorder()
    if recorder is not None:
        recorder.point(name, value, unit, step, attributes)


def record_on(
    recording: Recording | None,
    name: str,
    value: float,
    unit: str | None,
    step: int | None,
    attributes: Mapping[str, object],
) -> None:
    """Record one value of a metric that belongs to *recording*, wherever this is called."""
    recorder = CURRENT.recorder or foreign.recorder()
    if recording is not None and recorder is not None:
        recorder.point(name, value, unit, step, attributes, recording)


# ── instruments ───────────────────────────────────────────────────────────────────────────────────


def counter(name: str, *, unit: str | None = None, description: str | None = None) -> Counter:
    """Return an OpenTelemetry counter of branchline's meter: ``add`` what there is more of.

    Raises:
        ConfigError: for a name or a unit that OpenTelemetry does not take.
    """
    return _meter(name, unit).create_counter(name, unit or "", description or "")


def gauge(name: str, *, unit: str | None = None, description: str | None = None) -> _Gauge:
    """Return an OpenTelemetry gauge of branchline's meter: ``set`` how much there is now.

    Raises:
        ConfigError: for a name or a unit that OpenTelemetry does not take.
    """
    return _meter(name, unit).create_gauge(name, unit or "", description or "")


def histogram(
    name: str,
    *,
    unit: str | None = None,
    description: str | None = None,
    boundaries: Sequence[float] | None = None,
) -> Histogram:
    """Return an OpenTelemetry histogram of branchline's meter: ``record`` values whose distribution matters.

    Args:
        name: What it is called.
        unit: Of the values, as ``s`` or ``By``.
        description: What it measures.
        boundaries: Where its buckets end; None: as the conventions have it for this name, or for seconds.

    Raises:
        ConfigError: for a name or a unit that OpenTelemetry does not take, and for boundaries that do not grow.
    """
    meter = _meter(name, unit)
    wanted = boundaries_of(name, unit or "") if boundaries is None else _checked(boundaries)
    return meter.create_histogram(name, unit or "", description or "", explicit_bucket_boundaries_advisory=wanted)


def _meter(name: object, unit: object) -> Meter:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        msg = f"an instrument cannot be called {name!r}; accepted: a letter, then up to 254 letters, digits and -_./"
        raise ConfigError(msg)
    if unit is not None and (not isinstance(unit, str) or not _UNIT.fullmatch(unit)):
        msg = f"{unit!r} is no unit for {name}; accepted: up to 63 ASCII characters, as 's', 'By', '{{token}}'"
        raise ConfigError(msg)
    # Whoever only records steps must not pay for loading it.
    from opentelemetry import metrics

    return metrics.get_meter(names.SCOPE, names.VERSION)


def _checked(boundaries: Iterable[float]) -> tuple[float, ...]:
    try:
        checked = tuple(float(boundary) for boundary in boundaries)
    except (TypeError, ValueError, OverflowError):
        checked = (math.nan,)
    is_growing = all(low < high for low, high in pairwise(checked))
    if not is_growing or not all(map(math.isfinite, checked)):
        msg = f"boundaries={boundaries!r}; accepted: finite numbers, each larger than the one before"
        raise ConfigError(msg)
    return checked
