"""What branchline measures of itself, for whoever watches a fleet: `branchline.self.*`, from the books."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .. import names
from .._journal.layout import Signal
from .._journal.snapshots import GAUGE, SUM, Metric, Series
from .accounts import COUNTERS, Account


def self_metrics(
    accounts: Mapping[str, Mapping[Signal, Account]],
    counters: Mapping[str, Any],
    *,
    queue_bytes: int,
    overhead_seconds: float,
) -> tuple[Metric, ...]:
    """Return the metrics of one process: *accounts* by follower, and what it has counted itself."""
    counted = {signal: counters[name] for signal, name in COUNTERS.items() if name in counters}
    told = [(kind, signal, account) for kind, found in accounts.items() for signal, account in found.items()]
    metrics = (
        _sum(names.SELF_RECORDED, (_series(one["recorded"], signal) for signal, one in counted.items())),
        _sum(
            names.SELF_DROPPED,
            (
                _series(count, signal, **{names.REASON: reason})
                for signal, one in counted.items()
                for reason, count in one["dropped"].items()
            ),
        ),
        _sum(names.SELF_DELIVERED, (_of(kind, signal, account.delivered) for kind, signal, account in told)),
        _sum(names.SELF_REJECTED, (_of(kind, signal, account.rejected) for kind, signal, account in told)),
        Metric(
            names.SELF_SPOOLED,
            GAUGE,
            tuple(_of(kind, signal, account.spooled) for kind, signal, account in told),
            unit="{record}",
            description="Records in the journal that a destination has not got yet",
        ),
        Metric(
            names.SELF_QUEUE,
            GAUGE,
            (Series({}, queue_bytes),),
            unit="By",
            description="Memory of what is not in the journal yet",
        ),
        Metric(
            names.SELF_OVERHEAD,
            SUM,
            (Series({}, overhead_seconds),),
            unit="s",
            description="Processor time of the thread that writes the journal",
            is_monotonic=True,
        ),
    )
    return tuple(metric for metric in metrics if metric.series)


def _sum(name: str, series: Iterable[Series]) -> Metric:
    described = f"Records {name.rpartition('.')[2]}"
    return Metric(name, SUM, tuple(series), unit="{record}", description=described, is_monotonic=True)


def _of(kind: str, signal: Signal, count: int) -> Series:
    return _series(count, signal, **{names.FOLLOWER: kind})


def _series(count: int, signal: Signal, **more: str) -> Series:
    return Series({names.SIGNAL: signal, **more}, count)
