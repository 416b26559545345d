"""What is to be run: the options of a call, and its branches in the order in which they begin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..errors import ConfigError
from .config import branch_name, config_id, mapping_of
from .model import Branch


if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ..limits import BudgetConfig

ORDERS = ("interleaved", "blocked")
EXECUTORS = ("thread", "process")


class RunLogger(Protocol):
    """Who is told of every branch: what `branchline.backends.LoggerBackend` describes."""

    async def start_run(self, config: dict[str, object]) -> str:
        """Begin a run, and return its id."""

    async def log_params(self, run_id: str, params: dict[str, object]) -> None:
        """Take note of its parameters."""

    async def log_status(self, run_id: str, status: str, start_ts: float, end_ts: float, retry_count: int = 0) -> None:
        """Take note of how it ended."""

    async def log_exception(self, run_id: str, exc_type: str, exc_msg: str, traceback_str: str) -> None:
        """Take note of what went wrong."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which configurations a call runs, by their places: those it waits for, and those that run behind its back."""

    awaited: tuple[int, ...]
    shadows: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Options:
    """How branches are run; what cannot be is a `ConfigError`."""

    executor: Executor | str | None = None
    """None: the event loop for coroutine functions, threads for others."""
    max_concurrency: int | None = None
    timeout: float | None = None
    """Seconds that one attempt may take."""
    retries: int = 0
    repeats: int = 1
    order: str = "interleaved"
    budget: BudgetConfig | Callable[[], object] | None = None
    """What the run may spend; or a function that is asked before each branch for a reason to begin no more."""
    progress: Callable[[Branch], object] | bool | None = None
    """Called with each branch when it begins, and when it has ended; or whether to show how many have."""
    logger: RunLogger | None = None

    def __post_init__(self) -> None:
        _claim(
            self.executor is None or self.executor in EXECUTORS or callable(getattr(self.executor, "submit", None)),
            f"executor is 'thread', 'process' or an Executor of concurrent.futures, not {self.executor!r}",
        )
        _claim(
            self.max_concurrency is None or _is_count(self.max_concurrency, 1),
            f"max_concurrency is a whole number from 1 on, not {self.max_concurrency!r}",
        )
        _claim(
            self.timeout is None or (_is_number(self.timeout) and self.timeout > 0),
            f"timeout is a number of seconds above 0, not {self.timeout!r}",
        )
        _claim(_is_count(self.retries, 0), f"retries is a whole number from 0 on, not {self.retries!r}")
        _claim(_is_count(self.repeats, 1), f"repeats is a whole number from 1 on, not {self.repeats!r}")
        _claim(self.order in ORDERS, f"order is one of {', '.join(ORDERS)}, not {self.order!r}")
        _claim(
            self.progress is None or isinstance(self.progress, bool) or callable(self.progress),
            f"progress is a function of a branch, True or False, not {self.progress!r}",
        )
        if self.budget is not None and not callable(self.budget):
            # Whoever has no budget must not pay for exact decimals.
            from ..limits import BudgetConfig

            _claim(
                isinstance(self.budget, BudgetConfig), f"budget is a BudgetConfig or a function, not {self.budget!r}"
            )


def _claim(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise ConfigError(otherwise)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


@dataclass(frozen=True, kw_only=True, eq=False)
class Planned:
    """One branch that is to be run."""

    branch: Branch
    config: object
    """As it was given: what the function is called with."""
    place: int
    """The place of its configuration among all."""
    repeat: int
    position: int
    """Its place in the order in which branches begin, from 0."""
    is_shadow: bool = False


def configs_of(configs: object) -> tuple[object, ...]:
    """Return *configs*, or say what they ought to be."""
    if isinstance(configs, (str, bytes, Mapping)) or not isinstance(configs, Iterable):
        msg = f"configs are a list of configurations, not {configs!r}"
        raise ConfigError(msg)
    found = tuple(configs)
    if not found:
        msg = "there are no configs to run: give at least one"
        raise ConfigError(msg)
    return found


def planned(configs: Sequence[object], selection: Selection, *, repeats: int, order: str) -> tuple[Planned, ...]:
    """Return what is to be run, in the order in which it begins: what is awaited comes before its shadows."""
    plan: list[Planned] = []
    for places in (selection.awaited, selection.shadows):
        rounds = (
            [(place, repeat) for repeat in range(repeats) for place in places]
            if order == "interleaved"
            else [(place, repeat) for place in places for repeat in range(repeats)]
        )
        for place, repeat in rounds:
            is_shadow = places is selection.shadows
            position = len(plan)
            made = _branch_of(configs[place])
            plan.append(
                Planned(
                    branch=made,
                    config=configs[place],
                    place=place,
                    repeat=repeat,
                    position=position,
                    is_shadow=is_shadow,
                )
            )
    return tuple(plan)


def in_config_order(plan: Iterable[Planned]) -> list[Branch]:
    """Return the branches in the order of their configurations, the runs of one configuration side by side."""
    return [each.branch for each in sorted(plan, key=lambda each: (each.place, each.repeat))]


def _branch_of(config: object) -> Branch:
    values = mapping_of(config)
    identity = config_id(values)
    return Branch.start(identity, values, name=branch_name(values, identity))
