"""Shipping: delivering runs from outside of the application that recorded them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple

from .._journal import cursors, dead_letters, layout
from .._journal.cursors import Cursor
from .._journal.layout import Signal
from .._journal.payloads import items_in
from .._journal.unread import Reader, unread_bytes
from ..errors import JournalError
from .deliveries import begin, is_unfinished
from .patience import Patience
from .second_try import SecondTry
from .underway import DeliveryOptions, Destination, Tell, Underway


_LOOK_SECONDS: Final = 0.2

State = Literal["delivered", "waiting", "busy", "unreadable"]


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """What came of shipping one run."""

    run_id: str
    state: State
    """``delivered``: nothing is left. ``busy``: another process delivers it. ``unreadable``: see the message."""
    delivered: Mapping[Signal, int] = field(default_factory=dict)
    rejected: Mapping[Signal, int] = field(default_factory=dict)
    waiting: Mapping[Signal, int] = field(default_factory=dict)
    damaged: int = 0
    """Lines that nobody can read."""
    message: str = ""


class Progress(NamedTuple):
    """Where shipping a run stands."""

    size: int = 0
    """Bytes of the journal that were dealt with since the last one."""
    items: int = 0
    """What was delivered since the last one."""
    message: str = ""
    """Why it waits, if it does."""
    wait_seconds: float = 0.0


class Shipper:
    """Ships one run after the other to one destination."""

    def __init__(
        self,
        directory: Path,
        destination: Destination,
        *,
        tell: Tell,
        give_up_seconds: float | None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Ship runs below *directory*; after *give_up_seconds* without success, give up: None for never."""
        self._directory = directory
        self._destination = destination
        self._tell = tell
        self._give_up_seconds = give_up_seconds
        self._sleep = sleep
        self._patience = Patience()
        self._failing_since: float | None = None
        self._message = ""
        self.has_given_up = False

    def begun(self, run_id: str) -> Underway | Shipped:
        """Return the delivery of a run, or why there is none."""
        try:
            folder = cursors.follower_folder(self._directory, self._destination.name)
            cursors.describe(folder, self._destination.kind, self._destination.settings)
            options = DeliveryOptions(is_thorough=True, sync=True)
            delivery = begin(self._directory, run_id, self._destination, tell=self._tell, options=options)
        except (OSError, JournalError) as error:
            return Shipped(run_id=run_id, state="unreadable", message=str(error))
        if delivery is None:
            return Shipped(run_id=run_id, state="busy", message="another process delivers it just now")
        return delivery

    def ship(self, delivery: Underway | SecondTry) -> Iterator[Progress]:
        """Deliver all there is, or what was refused, of one run; yield after each step."""
        while not self.has_given_up:
            before = delivery.cursor.totals().delivered
            step = delivery.step()
            if step.kind == "moved":
                self._failing_since = None
                self._patience.reset()
                yield Progress(step.size, delivery.cursor.totals().delivered - before)
            elif step.kind == "wait":
                self._message = step.message
                yield from self._waited(self._patience.seconds(step.retry_after_seconds))
            else:
                return

    def _waited(self, seconds: float) -> Iterator[Progress]:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        until = now + seconds
        if self._give_up_seconds is not None and until > self._failing_since + self._give_up_seconds:
            self.has_given_up = True
            return
        while (left := until - time.monotonic()) > 0:
            yield Progress(message=self._message, wait_seconds=left)
            self._sleep(min(left, _LOOK_SECONDS))

    def ship_refused(self, delivery: Underway) -> Iterator[Progress]:
        """Deliver once more what was refused of one run; yield after each step."""
        yield from self.ship(SecondTry(delivery, self._destination))

    def result(self, delivery: Underway, before: Cursor, *, with_refused: bool) -> Shipped:
        """Return what has come of *delivery*, whose cursor was *before* when it began.

        *with_refused*, all that is refused counts, not only what came now: it was tried once more.
        """
        after = delivery.cursor
        left = waiting_in(delivery.run, after, self._destination)
        moved = {
            signal: (after.totals(signal=signal), before.totals(signal=signal)) for signal in self._destination.signals
        }
        delivered = {signal: new.delivered - old.delivered for signal, (new, old) in moved.items()}
        rejected = {
            signal: new.rejected - (0 if with_refused else old.rejected) for signal, (new, old) in moved.items()
        }
        return Shipped(
            run_id=delivery.run.name,
            state="waiting" if left else "delivered",
            delivered={signal: count for signal, count in delivered.items() if count},
            rejected={signal: count for signal, count in rejected.items() if count},
            waiting=left,
            damaged=after.totals().damaged - before.totals().damaged,
            message=self._message if left else "",
        )


class Left(NamedTuple):
    """What is left of one run for one destination."""

    waiting: Mapping[Signal, int]
    """Spans, log records and data points."""
    size: int
    """Bytes of the journal, as they were written."""


def left_of(directory: Path, run_id: str, destination: Destination) -> Left:
    """Return what *destination* has not got of a run; all of it where its cursor cannot be read."""
    cursor = _cursor_of(directory, run_id, destination)
    run = layout.runs_directory(directory) / run_id
    return Left(waiting_in(run, cursor, destination), unread_bytes(run, cursor, destination.signals))


def waiting_in(run: Path, cursor: Cursor, destination: Destination) -> dict[Signal, int]:
    """Return how many items of each signal wait in *run*, by reading all that does."""
    found: dict[Signal, int] = {}
    reader = Reader(run, is_thorough=True)
    for signal in destination.signals:
        for read in reader.lines(signal, cursor):
            payload = destination.prepared(signal, read.line)[0] if read.line else b""
            if payload:
                found[signal] = found.get(signal, 0) + items_in(signal, payload)
    return found


def runs_left_for(directory: Path, destination: Destination) -> list[str]:
    """Return the runs below *directory* that were to go to *destination* and did not wholly, oldest first."""
    follower = cursors.follower_folder(directory, destination.name)
    return [
        folder.name
        for folder in cursors.run_folders(follower)
        if size_left(directory, folder.name, destination) or is_unfinished(folder, destination)
    ]


def runs_refused_by(directory: Path, destination: Destination) -> list[str]:
    """Return the runs below *directory* of which *destination* has refused something, oldest first."""
    follower = cursors.follower_folder(directory, destination.name)
    return [folder.name for folder in cursors.run_folders(follower) if dead_letters.files(folder)]


def size_left(directory: Path, run_id: str, destination: Destination) -> int:
    """Return how many bytes of a run *destination* has not got; all of them where its cursor cannot be read."""
    cursor = _cursor_of(directory, run_id, destination)
    return unread_bytes(layout.runs_directory(directory) / run_id, cursor, destination.signals)


def _cursor_of(directory: Path, run_id: str, destination: Destination) -> Cursor:
    try:
        return cursors.load(cursors.follower_folder(directory, destination.name) / run_id)
    except JournalError:
        return Cursor()
