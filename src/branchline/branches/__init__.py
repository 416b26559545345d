"""Branches: experiments and their variants, each with its span and its status, as blocks of code or run for you."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context

from ..context import attached
from ..errors import ConfigError
from ..later import later as _later
from .blocks import BRANCH_KEY, EXPERIMENT_KEY, BranchBlock, ExperimentBlock, branch, current_branch
from .config import config_id
from .model import Branch, BranchContainer, ExceptionInfo, Status, exception_info


if TYPE_CHECKING:
    from .plan import RunLogger, Selection
    from .running import BranchStream, arun_branches, iter_branches, run_branches, traced_experiment
    from .strategies import (
        MultiBranchStrategy,
        RoundRobinStrategy,
        ShadowStrategy,
        Strategy,
        get_strategy,
        list_strategies,
        register_strategy,
        reset_strategies,
    )

__all__ = [
    "BRANCH_KEY",
    "EXPERIMENT_KEY",
    "Branch",
    "BranchBlock",
    "BranchContainer",
    "BranchStream",
    "ExceptionInfo",
    "Experiment",
    "MultiBranchStrategy",
    "RoundRobinStrategy",
    "RunLogger",
    "Selection",
    "ShadowStrategy",
    "Status",
    "Strategy",
    "arun_branches",
    "branch",
    "config_id",
    "current_branch",
    "exception_info",
    "experiment",
    "get_strategy",
    "iter_branches",
    "list_strategies",
    "register_strategy",
    "reset_strategies",
    "run_branches",
    "traced_experiment",
]

# Whoever runs branches in blocks of their own must not pay for having them run.
__getattr__ = _later(
    __name__,
    {
        "BranchStream": "running",
        "MultiBranchStrategy": "strategies",
        "RoundRobinStrategy": "strategies",
        "RunLogger": "plan",
        "Selection": "plan",
        "ShadowStrategy": "strategies",
        "Strategy": "strategies",
        "arun_branches": "running",
        "get_strategy": "strategies",
        "iter_branches": "running",
        "list_strategies": "strategies",
        "register_strategy": "strategies",
        "reset_strategies": "strategies",
        "run_branches": "running",
        "traced_experiment": "running",
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)


class Experiment(ExperimentBlock):
    """What its branches are variants of; made by `experiment`."""

    def run(self, fn: Callable[..., object], configs: Iterable[object], /, **options: Any) -> BranchContainer:  # noqa: ANN401  # those of run_branches
        """Do what `run_branches` does, in this experiment."""
        from .running import run_branches

        with self._inside():
            return run_branches(fn, configs, **options)

    async def arun(self, fn: Callable[..., object], configs: Iterable[object], /, **options: Any) -> BranchContainer:  # noqa: ANN401  # the same
        """Do what `arun_branches` does, in this experiment."""
        from .running import arun_branches

        with self._inside():
            return await arun_branches(fn, configs, **options)

    def iterate(self, fn: Callable[..., object], configs: Iterable[object], /, **options: Any) -> BranchStream:  # noqa: ANN401  # the same
        """Do what `iter_branches` does, in this experiment."""
        from .running import iter_branches

        with self._inside():
            return iter_branches(fn, configs, **options)

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """Be inside it, wherever the code is that asks for it."""
        context = self.context
        if context is None:
            msg = f"{self!r} is not open: run branches inside its with block"
            raise ConfigError(msg)
        if otel_context.get_value(EXPERIMENT_KEY) is self:
            # Perhaps in a step of it: that is where its branches belong.
            yield
            return
        with attached(context):
            yield


def experiment(name: str, /, **attributes: object) -> Experiment:
    """Return an experiment, to be opened by ``with`` or ``async with``."""
    return Experiment(name, attributes)
