"""Something around a block or a function: ``with``, ``async with``, or a decorator of either kind of function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar, cast


F = TypeVar("F", bound=Callable[..., object])


class Around:
    """What is done at the beginning and at the end; an object is for one block at a time, a function for any number."""

    def begin(self) -> None:
        """Do what there is to do at the beginning."""
        raise NotImplementedError

    def end(self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None) -> None:
        """Do what there is to do at the end."""
        raise NotImplementedError

    def again(self) -> Self:
        """Return one of the same kind, for another call."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self.end(kind, error, stack)

    async def __aenter__(self) -> Self:
        self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self.end(kind, error, stack)

    def __call__(self, function: F, /) -> F:
        """Return *function* with this around every call.

        Raises:
            TypeError: for a generator, whose body goes on after the call.
        """
        given: object = function
        if not callable(given) or inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            msg = f"{type(self).__name__} goes around functions and coroutines, not {function!r}"
            raise TypeError(msg)
        wrapper: Callable[..., object] = self._call(function)
        if inspect.iscoroutinefunction(function):
            wrapper = self._coroutine(function)
        return cast("F", functools.wraps(function)(wrapper))

    def _call(self, function: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*args: object, **kwargs: object) -> object:
            with self.again():
                return function(*args, **kwargs)

        return wrapper

    def _coroutine(self, function: Callable[..., Any]) -> Callable[..., object]:
        async def wrapper(*args: object, **kwargs: object) -> object:
            async with self.again():
                return await function(*args, **kwargs)

        return wrapper
