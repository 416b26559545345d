"""Strategies: which of several configurations a call runs, and what it gives back."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ..errors import ConfigError
from .model import Branch, BranchContainer
from .plan import Options, RunLogger, Selection, configs_of, planned


if TYPE_CHECKING:
    from .runner import Runner


@runtime_checkable
class Strategy(Protocol):
    """Which configurations a call runs, and what whoever calls is given."""

    def select(self, configs: Sequence[object]) -> Selection:
        """Return what to run of *configs*, of which there is at least one."""

    def result(self, awaited: BranchContainer) -> object:
        """Return what a decorated function returns once those that are *awaited* have ended, or raise."""


class _Running:
    """What all of our strategies can do: run a function with configurations, for code that is async."""

    def __init__(self) -> None:
        self._runners: list[Runner] = []

    def select(self, configs: Sequence[object]) -> Selection:
        """Return what to run: everything."""
        return Selection(awaited=tuple(range(len(configs))))

    def result(self, awaited: BranchContainer) -> object:
        """Return the branches."""
        return awaited

    async def run(
        self,
        func: Callable[..., object],
        configs: Iterable[object],
        *args: object,
        logger: RunLogger | None = None,
        **kwargs: object,
    ) -> Any:  # noqa: ANN401  # what the function returns, or branches
        """Call ``func(*args, config=config, **kwargs)`` with *configs*, each call a branch; tell *logger* of them."""
        # asyncio is for those who run something.
        from .calls import bound
        from .runner import Runner

        given = configs_of(configs)
        plan = planned(given, self.select(given), repeats=1, order="interleaved")
        runner = Runner(bound(func, args, kwargs), plan, Options(logger=logger), result=self.result)
        self.remember(runner)
        await runner.done()
        return runner.result()

    def remember(self, runner: Runner) -> None:
        """Know of *runner*, until its shadows are gathered."""


class MultiBranchStrategy(_Running):
    """Runs all configurations side by side, and gives all branches, in the order of their configurations."""


class RoundRobinStrategy(_Running):
    """Runs one configuration at each call, one after another, and gives its output, or raises what it raised."""

    def __init__(self) -> None:
        super().__init__()
        # Its next() is one step of C: threads that call at the same time get one each.
        self._calls = itertools.count()

    def select(self, configs: Sequence[object]) -> Selection:
        """Return whose turn it is."""
        return Selection(awaited=(next(self._calls) % len(configs),))

    def result(self, awaited: BranchContainer) -> object:
        """Return the output of the one branch, or raise the exception that it ended with."""
        return output_of(awaited[0])


class ShadowStrategy(_Running):
    """Runs the primary configuration, and gives its output; runs all others behind, whatever becomes of them."""

    def __init__(self, primary_index: int = 0) -> None:
        super().__init__()
        self.primary_index = primary_index
        self._lock = threading.Lock()

    def select(self, configs: Sequence[object]) -> Selection:
        """Return the primary one, with all others as its shadows."""
        if not 0 <= self.primary_index < len(configs):
            msg = f"primary_index {self.primary_index!r} is out of range: there are {len(configs)} configs"
            raise ConfigError(msg)
        others = tuple(place for place in range(len(configs)) if place != self.primary_index)
        return Selection(awaited=(self.primary_index,), shadows=others)

    def result(self, awaited: BranchContainer) -> object:
        """Return the output of the primary branch, or raise the exception that it ended with."""
        return output_of(awaited[0])

    def remember(self, runner: Runner) -> None:
        """Know of *runner*, until its shadows are gathered."""
        with self._lock:
            self._runners.append(runner)

    async def gather_shadows(self) -> list[Branch]:
        """Wait for the shadows of all calls since the last time, and return them, in the order of the calls."""
        with self._lock:
            runners, self._runners = self._runners, []
        for runner in runners:
            await runner.shadows()
        return [branch for runner in runners for branch in runner.shadow_branches()]


def output_of(branch: Branch) -> object:
    """Return the output of *branch*, or raise the very exception that it ended with."""
    if branch.error is not None and branch.status != "success":
        raise branch.error
    if branch.status == "lost" and branch.exception_info is not None:
        from .errands import WorkerError

        raise WorkerError(branch.exception_info["message"])
    return branch.output


# ── the registry ──────────────────────────────────────────────────────────────────────────────────

_BUILT_IN: dict[str, Callable[[], Any]] = {
    "multi_branch": MultiBranchStrategy,
    "round_robin": RoundRobinStrategy,
    "shadow": ShadowStrategy,
}
_factories: dict[str, Callable[[], Any]] = dict(_BUILT_IN)
# A name stands for the same strategy at each call with the same function: whose turn it is must be remembered.
_in_use: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()


def register_strategy(name: str, factory: Callable[[], Any]) -> None:
    """Have *name* stand for what *factory* makes; a name that is taken is an error."""
    if not name or not isinstance(name, str):
        msg = f"a strategy's name is a text, not {name!r}"
        raise ConfigError(msg)
    if not callable(factory):
        msg = f"the factory of strategy {name!r} is a class or a function, not {factory!r}"
        raise ConfigError(msg)
    if name in _factories:
        msg = f"strategy {name!r} is already registered; choose another name"
        raise ConfigError(msg)
    _factories[name] = factory


def get_strategy(name: str) -> Any:  # noqa: ANN401  # whatever was registered
    """Return a new strategy of that *name*."""
    if name not in _factories:
        msg = f"unknown strategy {name!r}; there are: {', '.join(list_strategies())}"
        raise ConfigError(msg)
    return _factories[name]()


def list_strategies() -> list[str]:
    """Return the names that there are."""
    return sorted(_factories)


def reset_strategies() -> None:
    """Forget what was registered, and whose turn it was: only the built-in ones are left."""
    _factories.clear()
    _factories.update(_BUILT_IN)
    _in_use.clear()


def strategy_for(strategy: object, function: Callable[..., object]) -> Any:  # noqa: ANN401  # whatever was registered
    """Return *strategy*, or the one that it names for *function*."""
    if not isinstance(strategy, str):
        if not isinstance(strategy, Strategy) and not callable(getattr(strategy, "run", None)):
            msg = f"a strategy is a name or has select() and result(), or run(); not {strategy!r}"
            raise ConfigError(msg)
        return strategy() if isinstance(strategy, type) else strategy
    try:
        known = _in_use.setdefault(function, {})
    except TypeError:  # what cannot be referred to weakly
        return get_strategy(strategy)
    if strategy not in known:
        known[strategy] = get_strategy(strategy)
    return known[strategy]
