"""What is current: what this process records with and for, and the run, experiment and branch of this context."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from logging import LogRecord
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import context as otel_context

from .recording import EventTaker, Identity, Recorder


if TYPE_CHECKING:
    from .limits import BudgetStatus
    from .price_list import PriceBook
    from .progress_values import Progress
    from .totals import Counts, Spent
    from .updates import Subscriber
    from .watching import Measures, Monitoring


class Purse(Protocol):
    """What this run spends, and may spend."""

    def join(self, counting: Counts) -> None:
        """Let *counting* know what was spent, and of everything that is spent from now on."""

    def history(self) -> list[Spent]:
        """Return everything that was spent in the directory, in order of time."""

    def statuses(self) -> tuple[BudgetStatus, ...]:
        """Return how much of each limit of this run's budget is used."""

    def progressed(self, work: str, done: int, total: int) -> None:
        """Take note that *done* items of *total* of a piece of *work* are done; warn of a budget that will not do."""


class MetadataTaker(Protocol):
    """What keeps the metadata of this run."""

    def facts(self, timeout: float) -> Mapping[str, Any]:
        """Return what the process runs in, all of it or after *timeout* seconds what is known."""

    def take(self, number: int, said: Callable[[], Mapping[str, Any]]) -> None:
        """Take note that recorder *number* has something new to say; *said* returns all of it, by section."""


class Board(Protocol):
    """What is worked on in one process. No method raises; in a process forked from it, each does nothing."""

    def beat(self) -> None:
        """Record how far everything is that has gone on for a while, as often as is worth it."""

    def leave(self, run: str | None) -> None:
        """Record for the last time how far everything is that belongs to a *run* that ends."""

    def shown(self) -> Sequence[Progress]:
        """Return what goes on, and what has ended a moment ago."""

    def hide(self) -> None:
        """Give the terminal to a run that begins."""


class _Current:
    """The process-wide state: what records, and the run it writes to, set by ``telemetry``; and who is told live."""

    __slots__ = (
        *("board", "directory", "events", "flush", "logs", "measures", "metadata", "prices", "purse", "recorder"),
        *("metered", "monitoring", "run_id", "shows_progress", "subscribers"),
    )

    def __init__(self) -> None:
        # Who is told live of what is recorded: of this run, and of those that come after it.
        self.subscribers: tuple[Subscriber, ...] = ()
        # What is worked on in this process, whoever records it: work may outlast a run.
        self.board: Board | None = None
        self.reset()
        # Of the process, not of a run: what samples it, and the meter provider that asks for that.
        self.monitoring: Monitoring | None = None
        self.metered: object = None

    def reset(self) -> None:
        self.recorder: Recorder | None = None
        self.events: EventTaker | None = None
        # Brings what was recorded until now to the journal, within so many seconds.
        self.flush: Callable[[float], bool] | None = None
        # Takes log records of whatever library, in the shape that the logging module has for them.
        self.logs: Callable[[LogRecord], object] | None = None
        # None: those that everybody finds who asks for the first time.
        self.prices: PriceBook | None = None
        self.purse: Purse | None = None
        self.measures: Measures | None = None
        self.metadata: MetadataTaker | None = None
        self.run_id: str | None = None
        self.directory: str | None = None
        # Whether the run shows progress (True), wants none to be shown (False), or leaves it to who works (None).
        self.shows_progress: bool | None = None

    def __reduce__(self) -> str:
        # A function that is pickled by value, as one of a notebook is, finds that of the process it comes to.
        return "CURRENT"


CURRENT = _Current()

IDENTITY_KEY = otel_context.create_key("branchline-identity")
PIPELINE_KEY = otel_context.create_key("branchline-pipeline")
# Where a context belongs to another run than the process does (a capture): its id and directory.
RUN_KEY = otel_context.create_key("branchline-run")
# The same for what child processes are told.
SETTINGS_KEY = otel_context.create_key("branchline-settings")


def current_identity() -> Identity:
    """Return the experiment and branch of this context."""
    current = CURRENT.recorder.current() if CURRENT.recorder is not None else None
    if current is not None and current.identity is not None:
        return current.identity
    inherited = otel_context.get_value(IDENTITY_KEY)
    return inherited if isinstance(inherited, Identity) else Identity()


def current_run() -> tuple[str | None, str | None]:
    """Return the id and the directory of the run that this context belongs to."""
    found = otel_context.get_value(RUN_KEY)
    return found if isinstance(found, tuple) else (CURRENT.run_id, CURRENT.directory)
