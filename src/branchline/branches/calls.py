"""Calling somebody's function with a configuration and with other arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping


class Bound:
    """A function with all of its arguments but the configuration; it can be pickled if they can."""

    def __init__(self, function: Callable[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.args = args
        self.kwargs = dict(kwargs)
        self.by_name = _takes_config(function)

    def __call__(self, config: object) -> object:
        """Call it with *config*: by that name where it has one, else before all else."""
        if self.by_name:
            return self.function(*self.args, **self.kwargs, config=config)
        return self.function(config, *self.args, **self.kwargs)

    def __reduce__(self) -> tuple[object, ...]:
        return Bound, (self.function, self.args, self.kwargs)


class BoundCoroutine(Bound):
    """The same for a coroutine function."""

    async def __call__(self, config: object) -> object:
        """Call it with *config*, and wait for what it returns."""
        made = super().__call__(config)
        return await made if inspect.isawaitable(made) else made

    def __reduce__(self) -> tuple[object, ...]:
        return BoundCoroutine, (self.function, self.args, self.kwargs)


def bound(function: Callable[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]) -> Bound:
    """Return *function* as something to be called with a configuration alone."""
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
    return (BoundCoroutine if is_async else Bound)(function, args, kwargs)


def _takes_config(function: Callable[..., object]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a built-in
        return False
    return any(
        each.kind is each.VAR_KEYWORD or (each.name == "config" and each.kind is not each.POSITIONAL_ONLY)
        for each in parameters
    )
