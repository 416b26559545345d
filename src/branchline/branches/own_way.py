"""Strategies that call the function themselves: each of their calls is a branch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from .calls import bound
from .model import Branch, BranchContainer
from .plan import Options, Planned, Selection, in_config_order, planned
from .runner import Runner, experiment_of
from .strategies import output_of


class OwnWay:
    """Runs what a strategy of somebody's own has in mind, and looks to the rest as `Runner` does."""

    def __init__(
        self,
        strategy: Any,  # noqa: ANN401  # whatever has run()
        function: Callable[..., object],
        configs: Sequence[object],
        options: Options,
        *,
        name: str | None = None,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> None:
        """Belong to the context that is current, and to the experiment, else to a new one of that *name*."""
        self.interrupt: BaseException | None = None
        self._strategy = strategy
        self._function = function
        self._configs = configs
        self._options = options
        self._args = args
        self._kwargs = dict(kwargs or {})
        self._experiment = experiment_of(function, name)
        self._plan: list[Planned] = []
        self._runners: list[Runner] = []
        self._whole: asyncio.Task[None] | None = None
        self._result: object = None

    @property
    def branches(self) -> BranchContainer:
        """The branches so far, in the order of their configurations."""
        return BranchContainer(in_config_order(self._plan))

    async def finished(self) -> AsyncIterator[Branch]:
        """Yield the branches once the strategy is done; left early, what still runs is cancelled."""
        whole = self._whole = asyncio.get_running_loop().create_task(self._run())
        try:
            await asyncio.wait({whole})
        except BaseException as error:  # cancelled or left: what still runs ends first
            self.stop(error)
            await asyncio.wait({whole})
            raise
        whole.result()
        for branch in self.branches:
            yield branch

    async def _run(self) -> None:
        if self._experiment is None:
            self._result = await self._strategy.run(self._call, self._configs, *self._args, **self._kwargs)
            return
        async with self._experiment:
            self._result = await self._strategy.run(self._call, self._configs, *self._args, **self._kwargs)

    async def _call(self, *args: object, **kwargs: object) -> object:
        """Run one branch: its configuration is the argument ``config``, else the first one."""
        config, args = (kwargs.pop("config"), args) if "config" in kwargs else (args[0], args[1:])
        place = next((at for at, each in enumerate(self._configs) if each is config), len(self._configs))
        [one] = planned((config,), Selection(awaited=(0,)), repeats=1, order=self._options.order)
        one = Planned(branch=one.branch, config=config, place=place, repeat=0, position=len(self._plan))
        self._plan.append(one)
        runner = Runner(bound(self._function, args, kwargs), (one,), self._options)
        self._runners.append(runner)
        await runner.done()
        return output_of(one.branch)

    def stop(self, why: BaseException | None = None) -> None:
        """Cancel what runs."""
        if isinstance(why, (KeyboardInterrupt, SystemExit)):
            self.interrupt = why
        for runner in self._runners:
            runner.stop(why)
        if self._whole is not None:
            self._whole.cancel()

    async def done(self) -> None:
        """Run the strategy."""
        async for _ in self.finished():
            pass

    async def ended(self) -> None:
        """Wait until everything is closed."""
        for runner in self._runners:
            await runner.ended()

    def result(self) -> object:
        """Return what the strategy returned."""
        return self._result
