"""The books: of what is in the journal, what was delivered, what waits and what was rejected; the sum is exact."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .._journal import layout
from .._journal.cursors import Cursor, Place
from .._journal.layout import Signal
from .._journal.unread import ends


COUNTERS: Final[Mapping[Signal, str]] = {"traces": "spans", "logs": "logs", "metrics": "metrics"}
NOUNS: Final[Mapping[Signal, str]] = {"traces": "span", "logs": "log record", "metrics": "data point"}

Counts = Mapping[Signal, int]
"""How many items of each signal."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """What became of one signal: journaled = delivered + spooled + rejected, always."""

    journaled: int = 0  # without branchline's own notes, where the destination does not get them
    delivered: int = 0
    spooled: int = 0
    rejected: int = 0


def account_of(
    counters: Mapping[str, Any], cursor: Cursor, process: str, signals: Collection[Signal], *, with_notes: bool = False
) -> dict[Signal, Account]:
    """Return the account of each of the *signals* of one *process*, which counted what it journaled in *counters*.

    *with_notes* is for a destination that gets branchline's own notes like everything else.
    """
    return {
        signal: _account(counters.get(COUNTERS[signal]), cursor.place(process, signal), with_notes)
        for signal in signals
    }


def _account(counted: object, place: Place, with_notes: bool) -> Account:
    known = counted if isinstance(counted, dict) else {}
    # A process that was killed did not say how many were notes; what was read of them is known all the same.
    notes = 0 if with_notes else _number(known, "notes") if "notes" in known else place.withheld
    journaled = max(_number(known, "journaled") - notes, 0)
    # What was counted may be older than the cursor: no more was delivered than there was.
    rejected = min(place.rejected, journaled)
    delivered = min(place.delivered, journaled - rejected)
    return Account(
        journaled=journaled, delivered=delivered, spooled=journaled - delivered - rejected, rejected=rejected
    )


def waiting(run: Path, cursor: Cursor, signals: Collection[Signal], *, with_notes: bool = False) -> dict[Signal, int]:
    """Return how many items of each signal wait in *run*, as far as its processes have counted them."""
    awaited = ends(run, signals)
    found: dict[Signal, int] = {}
    for folder in layout.processes(run):
        counters = (layout.read_json(folder / "process.json") or {}).get("counters")
        known = counters if isinstance(counters, dict) else {}
        for signal, account in account_of(known, cursor, folder.name, signals, with_notes=with_notes).items():
            key = (folder.name, signal)
            # Behind the end nothing waits, whatever was counted: lines may have been damaged.
            if key in awaited and cursor.place(*key).position < awaited[key] and account.spooled:
                found[signal] = found.get(signal, 0) + account.spooled
    return found


def in_words(counts: Counts) -> str:
    """Return *counts* as a person says them: ``1,204 spans and 1 log record``."""
    parts = [f"{count:,} {NOUNS[signal]}{'' if count == 1 else 's'}" for signal, count in counts.items() if count]
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def _number(known: Mapping[str, Any], key: str) -> int:
    value = known.get(key)
    return value if isinstance(value, int) and value >= 0 else 0
