"""What has become of everything that was recorded: the result of a flush, and how it is added up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .._journal.layout import Signal
from .._pipeline.pipeline import Pipeline
from .._pipeline.writer import Writer
from ..exporters.accounts import Account


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


def counters_of(pipeline: Pipeline) -> Mapping[str, Any]:
    """Return what *pipeline* has written and dropped of each signal."""
    return pipeline.writer.counters() if isinstance(pipeline.writer, Writer) else {}


def result_of(
    counters: Mapping[str, Any], accounts: Mapping[str, Mapping[Signal, Account]], *, is_complete: bool
) -> FlushResult:
    """Return what the *counters* of a process and the *accounts* of its followers come to."""
    dropped = sum(sum(counted["dropped"].values()) for counted in counters.values())
    followers = {kind: _followed(account, dropped) for kind, account in accounts.items()}
    if not followers:
        # As in ``_followed``.
        journaled = sum(counted["journaled"] for signal, counted in counters.items() if signal != "metrics")
        return FlushResult(journaled=journaled, dropped=dropped, is_complete=is_complete)
    # All that whoever is furthest behind has dealt with, all have.
    last = max(followers.values(), key=lambda result: result.spooled + result.rejected)
    is_complete = is_complete and all(result.is_complete for result in followers.values())
    return replace(last, followers=followers, is_complete=is_complete)


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
