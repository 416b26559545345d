"""What is between a follower and where it delivers to: destinations, deliveries that are under way, and their steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol, runtime_checkable

from .._journal.claims import Claim
from .._journal.cursors import Cursor, Key, Place
from .._journal.layout import Signal
from .otlp.answers import Answer


BATCH_BYTES: Final = 4_000_000

Tell = Callable[[str, str], None]
"""Says something to a person; the first text is the kind of it, which is said once a minute at most."""


class Destination(Protocol):
    """Where a follower delivers to."""

    @property
    def kind(self) -> str:
        """What kind of place it is: ``otlp``, ``mlflow``."""

    @property
    def name(self) -> str:
        """What its folder among the cursors is called: the same for the same place, in every process."""

    @property
    def shown(self) -> str:
        """What a person calls it; without anything secret."""

    @property
    def signals(self) -> tuple[Signal, ...]:
        """What it takes at all."""

    @property
    def gets_notes(self) -> bool:
        """Whether it gets branchline's own notes like everything else."""

    @property
    def settings(self) -> Mapping[str, object]:
        """What makes the same destination in another process, and is no secret; empty where that cannot be said."""

    def prepared(self, signal: Signal, line: bytes) -> tuple[bytes, int]:
        """Return what of *line* is to be delivered, and how many of its items are withheld."""

    def deliver(self, signal: Signal, lines: Sequence[bytes]) -> Answer:
        """Deliver *lines*; never raises."""

    def interrupt(self) -> None:
        """From another thread: let a delivery that is under way return soon."""

    def close(self) -> None:
        """Give up what is open."""


class Step(NamedTuple):
    """What one step of a delivery came to."""

    kind: Literal["nothing", "moved", "wait", "lost", "late"]
    """``lost``: the claim counts no more, for somebody removed the folder; whoever wants to go on begins anew.
    ``late``: an answer would hardly come in time, and what is sent without one is sent again."""
    size: int = 0
    """How many bytes of the journal it dealt with."""
    message: str = ""
    """Why to wait."""
    retry_after_seconds: float | None = None
    """How long, where the destination has said so."""


NOTHING: Final = Step("nothing")


@dataclass(frozen=True, kw_only=True)
class DeliveryOptions:
    """How a delivery goes about it."""

    batch_bytes: int = BATCH_BYTES
    is_thorough: bool = False  # parse every line, and so find all damage
    sync: bool = False  # force the cursor to the disk


class Underway(Protocol):
    """One run on its way to one destination, while nobody else delivers it; used by one thread."""

    run: Path
    folder: Path
    cursor: Cursor

    def look_again(self) -> None:
        """Look at all processes in the next step, those that have ended as well."""

    def give_up(self) -> None:
        """Let somebody else go on."""

    def step(self, seconds_left: float | None = None) -> Step:
        """Deliver some more, if that is likely to be answered in time, and save how far that got."""

    def recounted(self, places: Mapping[Key, Place]) -> Step:
        """Save *places* in which only the numbers have changed."""


@runtime_checkable
class OwnWay(Protocol):
    """A destination to which lines are not sent as they are."""

    def delivery(self, run: Path, folder: Path, claim: Claim, *, tell: Tell, options: DeliveryOptions) -> Underway:
        """Return the delivery of one run. Raises JournalError for a cursor that a later version has written."""

    def has_more(self, folder: Path) -> bool:
        """Whether it may lack something of the run of *folder*, among the cursors, though all of it was read."""
