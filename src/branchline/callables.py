"""Callable objects as steps: stand-ins that are called with a step around, and otherwise are what they stand for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import MethodType
from typing import Any, Self, cast


Again = Callable[[Any], Any]


class TracedPartial(functools.partial[Any]):
    """A `functools.partial` of a traced function."""

    # Python takes a partial of a partial apart, but none that has attributes: what it stands for must not get lost.
    _again: Again
    _original: functools.partial[Any]

    @classmethod
    def of(cls, original: functools.partial[Any], again: Again) -> TracedPartial:
        """Return *original* with its function traced; *again* does so with any callable, also in another process."""
        made = cls(again(original.func), *original.args, **original.keywords)
        made.__dict__.update(original.__dict__, _again=again, _original=original)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return TracedPartial.of, (self._original, self._again)


class TracedObject:
    """Any other callable object; whoever asks it for something else than a call gets the object's answer."""

    __slots__ = ("__wrapped__", "_again", "_call")

    def __new__(cls, original: Any, *_: object) -> Self:
        """Return one that binds as methods do, where *original* does."""
        return cast("Self", object.__new__(_TracedMethod if hasattr(type(original), "__get__") else cls))

    def __init__(self, original: Any, call: Callable[..., Any], again: Again) -> None:
        """Call *call* instead of *original*; *again* makes such a stand-in anew, also in another process."""
        object.__setattr__(self, "__wrapped__", original)
        object.__setattr__(self, "_call", call)
        object.__setattr__(self, "_again", again)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the object, as a step."""
        return self._call(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "__wrapped__"), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.__wrapped__, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__wrapped__, name)

    @property  # type: ignore[misc]  # it says what it stands for, so that isinstance() agrees with the type checker
    def __class__(self) -> Any:
        return type(self.__wrapped__)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]  # the object's
        return getattr(self.__wrapped__, "__doc__", None)

    def __repr__(self) -> str:
        return f"<traced {self.__wrapped__!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (self._again, self.__wrapped__)


class _TracedMethod(TracedObject):
    """One that is bound to the object it is an attribute of, as what ``functools.lru_cache`` returns is."""

    __slots__ = ()

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        original = self.__wrapped__
        bound = type(original).__get__(original, instance, owner)
        if bound is original:
            return self
        if isinstance(bound, MethodType) and bound.__func__ is original:
            # What tracing it again would come to, without making it for each call.
            return MethodType(self, bound.__self__)
        return self._again(bound) if callable(bound) else bound


def _made_again(again: Again, original: Any) -> Any:
    return again(original)
