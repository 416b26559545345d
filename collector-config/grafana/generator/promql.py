"""What the dashboards ask of Prometheus: the names that branchline writes, as Prometheus spells them.

Most processes are short: of a counter that was seen once there is no rate. So what compares asks what each process has
come to, its last value in the range, and only what shows the course of time asks for rates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from branchline import names


_SUFFIXES: Final = {"s": "seconds", "By": "bytes", "1": "ratio"}


# ── names ─────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, kw_only=True)
class Instrument:
    """A metric of branchline's, and what Prometheus makes of its name."""

    name: str
    kind: str  # counter, gauge or histogram
    unit: str = ""

    @property
    def series(self) -> str:
        """The name in Prometheus; of a histogram without `_bucket`, `_sum` and `_count`."""
        words = re.split(r"[^a-zA-Z0-9]+", self.name)
        suffix = _SUFFIXES.get(self.unit)
        if suffix is not None and suffix not in words:
            words.append(suffix)
        return "_".join([*words, "total"] if self.kind == "counter" else words)


def label(attribute: str) -> str:
    """Return what Prometheus and Loki make of the name of an *attribute*."""
    return re.sub(r"[^a-zA-Z0-9]", "_", attribute)


BRANCH: Final = label(names.BRANCH_NAME)
EXPERIMENT: Final = label(names.EXPERIMENT_NAME)
STEP: Final = label(names.STEP_NAME)
OUTCOME: Final = label(names.OUTCOME)
STATUS: Final = label(names.BRANCH_STATUS)
ERROR: Final = label(names.ERROR_TYPE)
SIGNAL: Final = label(names.SIGNAL)
REASON: Final = label(names.REASON)
FOLLOWER: Final = label(names.FOLLOWER)
MODEL: Final = label(names.MODEL)
TOKEN_TYPE: Final = label(names.TOKEN_TYPE)
PERIOD: Final = label(names.BUDGET_PERIOD)
BUDGET: Final = label(names.BUDGET_NAME)

STEP_DURATION: Final = Instrument(name=names.STEP_DURATION, kind="histogram", unit="s")
BRANCH_DURATION: Final = Instrument(name=names.BRANCH_DURATION, kind="histogram", unit="s")
BRANCHES: Final = Instrument(name=names.BRANCHES, kind="counter", unit="{branch}")
TOKENS: Final = Instrument(name=names.TOKEN_USAGE, kind="histogram", unit="{token}")
CALLS: Final = Instrument(name=names.OPERATION_DURATION, kind="histogram", unit="s")
COST: Final = Instrument(name=names.COST, kind="counter", unit="{USD}")
USED: Final = Instrument(name=names.BUDGET_USED_RATIO, kind="gauge", unit="1")
REMAINING: Final = Instrument(name=names.BUDGET_REMAINING, kind="gauge", unit="{USD}")
RECORDED: Final = Instrument(name=names.SELF_RECORDED, kind="counter", unit="{record}")
DROPPED: Final = Instrument(name=names.SELF_DROPPED, kind="counter", unit="{record}")
DELIVERED: Final = Instrument(name=names.SELF_DELIVERED, kind="counter", unit="{record}")
REJECTED: Final = Instrument(name=names.SELF_REJECTED, kind="counter", unit="{record}")
SPOOLED: Final = Instrument(name=names.SELF_SPOOLED, kind="gauge", unit="{record}")
QUEUE: Final = Instrument(name=names.SELF_QUEUE, kind="gauge", unit="By")
OVERHEAD: Final = Instrument(name=names.SELF_OVERHEAD, kind="counter", unit="s")

ERRORS: Final = f'{OUTCOME}=~"{"|".join(sorted(names.ERROR_OUTCOMES))}"'


# ── queries ───────────────────────────────────────────────────────────────────────────────────────
def last(series: str, *matchers: str) -> str:
    """Return what each process has come to."""
    return f"last_over_time({series}{{{', '.join(matchers)}}}[$__range])"


def newest(what: str) -> str:
    """Return what there is to say of *what* now, and where that is nothing, what was to be said last."""
    return f"({what} or last_over_time(({what})[$__range:1m]))"


def rate(series: str, *matchers: str) -> str:
    """Return how fast it grows."""
    return f"rate({series}{{{', '.join(matchers)}}}[$__rate_interval])"


def total(what: str, *by: str) -> str:
    """Return the sum of *what* over all processes."""
    return f"sum by ({', '.join(by)}) ({what})" if by else f"sum({what})"


def quantile(share: float, buckets: str, *by: str) -> str:
    """Return the length of time below which a *share* of the lengths in *buckets* is."""
    return f"histogram_quantile({share}, {total(buckets, 'le', *by)})"


def mean(instrument: Instrument, by: str, *matchers: str) -> str:
    """Return the mean of what a histogram has counted."""
    summed, counted = (total(last(f"{instrument.series}_{part}", *matchers), by) for part in ("sum", "count"))
    return f"{summed} / {counted}"


def or_none(what: str, everybody: str) -> str:
    """Return *what*, and zero for those of *everybody* of whom there is nothing to say."""
    return f"{what} or {everybody} * 0"
