"""Running a function once for each configuration: for code that is async, for code that is not, and as a decorator."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast, overload

from ..errors import ConfigError
from .model import Branch, BranchContainer
from .plan import Options, RunLogger, configs_of, planned
from .strategies import Strategy, strategy_for


if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ..limits import BudgetConfig
    from .own_way import OwnWay
    from .runner import Runner


def run_branches(
    fn: Callable[..., object],
    configs: Iterable[object],
    /,
    *,
    strategy: object = "multi_branch",
    executor: Executor | str | None = None,
    max_concurrency: int | None = None,
    timeout: float | None = None,
    retries: int = 0,
    repeats: int = 1,
    order: str = "interleaved",
    budget: BudgetConfig | Callable[[], object] | None = None,
    progress: Callable[[Branch], object] | bool | None = None,
    logger: RunLogger | None = None,
) -> BranchContainer:
    """Call ``fn(config)`` with each configuration, each call a branch, and return the branches in config order.

    Nothing that a branch does is raised here, nor does it touch another branch: its status and its error say it.

    Args:
        fn: A function or a coroutine function.
        configs: What `branchline.branch` takes, one for each branch.
        strategy: Which configurations are run: ``multi_branch``, ``round_robin``, ``shadow``, another registered name,
            or a strategy itself. What is not waited for (a shadow) may still be pending in what is returned.
        executor: ``"thread"``, ``"process"``, or any Executor of `concurrent.futures`; by default the event loop for
            coroutine functions and threads for others.
        max_concurrency: How many branches run at the same time.
        timeout: Seconds that a branch, or one attempt of it, may take; then it has failed with a TimeoutError.
        retries: How often a branch that fails is tried again.
        repeats: How often each configuration is run, each time as a branch of its own.
        order: Of repeats: ``interleaved`` (all configurations, then all again) or ``blocked`` (one after another).
        budget: What the run may spend (`branchline.BudgetConfig`), looked at before each branch; or a function that is
            asked: what it returns or raises is the reason to begin no more.
        progress: Called with each branch when it begins, and when it has ended; True: show how many have, and forecast
            what all will cost.
        logger: A backend that is told of every branch (`branchline.backends`).
    """
    runner = _runner(
        fn,
        configs,
        strategy,
        Options(
            executor=executor,
            max_concurrency=max_concurrency,
            timeout=timeout,
            retries=retries,
            repeats=repeats,
            order=order,
            budget=budget,
            progress=progress,
            logger=logger,
        ),
    )
    for _ in _finished(runner):
        pass
    return runner.branches


async def arun_branches(
    fn: Callable[..., object],
    configs: Iterable[object],
    /,
    *,
    strategy: object = "multi_branch",
    executor: Executor | str | None = None,
    max_concurrency: int | None = None,
    timeout: float | None = None,  # noqa: ASYNC109  # of each branch, not of this call
    retries: int = 0,
    repeats: int = 1,
    order: str = "interleaved",
    budget: BudgetConfig | Callable[[], object] | None = None,
    progress: Callable[[Branch], object] | bool | None = None,
    logger: RunLogger | None = None,
) -> BranchContainer:
    """Do what `run_branches` does, in the running event loop, which is never blocked; cancelled, cancel what runs."""
    runner = _runner(
        fn,
        configs,
        strategy,
        Options(
            executor=executor,
            max_concurrency=max_concurrency,
            timeout=timeout,
            retries=retries,
            repeats=repeats,
            order=order,
            budget=budget,
            progress=progress,
            logger=logger,
        ),
    )
    await runner.done()
    return runner.branches


def iter_branches(
    fn: Callable[..., object],
    configs: Iterable[object],
    /,
    *,
    strategy: object = "multi_branch",
    executor: Executor | str | None = None,
    max_concurrency: int | None = None,
    timeout: float | None = None,
    retries: int = 0,
    repeats: int = 1,
    order: str = "interleaved",
    budget: BudgetConfig | Callable[[], object] | None = None,
    progress: Callable[[Branch], object] | bool | None = None,
    logger: RunLogger | None = None,
) -> BranchStream:
    """Do what `run_branches` does, and give the branches as they end: to ``for`` or to ``async for``.

    They begin when the first one is asked for; who leaves early has the others cancelled.
    """
    options = Options(
        executor=executor,
        max_concurrency=max_concurrency,
        timeout=timeout,
        retries=retries,
        repeats=repeats,
        order=order,
        budget=budget,
        progress=progress,
        logger=logger,
    )
    return BranchStream(_runner(fn, configs, strategy, options))


class BranchStream:
    """Branches as they end, once."""

    def __init__(self, runner: Runner | OwnWay) -> None:
        self._runner = runner
        self._stream: Generator[Branch, None, None] | None = None

    @property
    def branches(self) -> BranchContainer:
        """All of them, in the order of their configurations, ended or not."""
        return self._runner.branches

    def __iter__(self) -> Iterator[Branch]:
        if self._stream is None:
            self._stream = _finished(self._runner)
        return self._stream

    def __next__(self) -> Branch:
        return next(iter(self))

    def close(self) -> None:
        """Cancel what still runs, and wait until all is closed; for code that is not async."""
        if self._stream is not None:
            self._stream.close()

    def __aiter__(self) -> AsyncIterator[Branch]:
        return self._runner.finished()


@overload
def traced_experiment(function: Callable[..., Any], /) -> Callable[..., Any]: ...


@overload
def traced_experiment(
    name: str | None = None,
    *,
    strategy: object = "multi_branch",
    executor: Executor | str | None = None,
    max_concurrency: int | None = None,
    timeout: float | None = None,
    retries: int = 0,
    repeats: int = 1,
    order: str = "interleaved",
    budget: BudgetConfig | Callable[[], object] | None = None,
    progress: Callable[[Branch], object] | bool | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...


def traced_experiment(
    name: str | Callable[..., Any] | None = None,
    *,
    strategy: object = "multi_branch",
    executor: Executor | str | None = None,
    max_concurrency: int | None = None,
    timeout: float | None = None,
    retries: int = 0,
    repeats: int = 1,
    order: str = "interleaved",
    budget: BudgetConfig | Callable[[], object] | None = None,
    progress: Callable[[Branch], object] | bool | None = None,
) -> Any:  # the overloads say it
    """Make every call of a function an experiment: ``function(…, configs=[…])`` calls it with each as ``config``.

    What it returns is the strategy's to say: ``multi_branch`` gives the branches, ``round_robin`` and ``shadow`` the
    output of one, or they raise what that raised. A coroutine function stays one.

    Args:
        name: What the experiment is called; the function's name if None.
        strategy: As in `run_branches`, which says what all other options are.
    """
    options = Options(
        executor=executor,
        max_concurrency=max_concurrency,
        timeout=timeout,
        retries=retries,
        repeats=repeats,
        order=order,
        budget=budget,
        progress=progress,
    )
    if callable(name):
        return _traced(name, None, strategy, options)
    return functools.partial(_traced, name=name, strategy=strategy, options=options)


def _traced(function: Callable[..., Any], name: str | None, strategy: object, options: Options) -> Callable[..., Any]:
    if not callable(function):
        msg = f"traced_experiment takes a function to decorate, not {function!r}"
        raise TypeError(msg)
    chosen = strategy_for(strategy, function)

    def called(args: tuple[object, ...], kwargs: Mapping[str, object]) -> Runner | OwnWay:
        given = dict(kwargs)
        if "configs" not in given:
            msg = f"{getattr(function, '__name__', function)}() is an experiment: it needs configs=[...]"
            raise ConfigError(msg)
        configs = given.pop("configs")
        told = replace(options, logger=cast("RunLogger | None", given.pop("logger", None)))
        return _runner(function, configs, chosen, told, name=name, given=(args, given))

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: object, **kwargs: object) -> object:
            runner = called(args, kwargs)
            await runner.done()
            return runner.result()

        return awaited

    @functools.wraps(function)
    def waited(*args: object, **kwargs: object) -> object:
        runner = called(args, kwargs)
        for _ in _finished(runner):
            pass
        return runner.result()

    return waited


def _runner(
    fn: Callable[..., object],
    configs: object,
    strategy: object,
    options: Options,
    *,
    name: str | None = None,
    given: tuple[tuple[object, ...], Mapping[str, object]] | None = None,
) -> Runner | OwnWay:
    """Return what runs *fn* with each configuration; *given* are the other arguments that it is called with."""
    if not callable(fn):
        msg = f"what runs is a function of a configuration, not {fn!r}"
        raise ConfigError(msg)
    all_configs = configs_of(configs)
    chosen = strategy_for(strategy, fn)
    # asyncio is for those who run something.
    from .calls import bound
    from .own_way import OwnWay
    from .runner import Runner

    if not isinstance(chosen, Strategy):
        args, kwargs = given or ((), {})
        return OwnWay(chosen, fn, all_configs, options, name=name, args=args, kwargs=kwargs)
    plan = planned(all_configs, chosen.select(all_configs), repeats=options.repeats, order=options.order)
    called = fn if given is None else bound(fn, *given)
    runner = Runner(called, plan, options, name=name, result=chosen.result)
    remember = getattr(chosen, "remember", None)
    if remember is not None:
        remember(runner)
    return runner


def _finished(runner: Runner | OwnWay) -> Generator[Branch, None, None]:
    # The same.
    from .loop import finished

    return finished(runner)
