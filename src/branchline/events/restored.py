"""Exceptions made of what was told of them; nothing of the application is imported or run for it."""

from __future__ import annotations

import builtins

from .raised import Raised


class RestoredError(Exception):
    """An exception of a class that is not built in, as it was told of."""

    def __init__(self, raised: Raised) -> None:
        """Stand for the exception that was *raised*."""
        super().__init__(raised.message)
        self.raised = raised

    @property
    def type_name(self) -> str:
        """Of which class the exception was."""
        return self.raised.type

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.raised,)


def restored(raised: Raised) -> BaseException:
    """Return the exception that was *raised*: of its own class if that is built in, with its chain, notes and group."""
    error = _made(raised)
    error.__cause__ = None if raised.cause is None else restored(raised.cause)
    error.__context__ = None if raised.context is None else restored(raised.context)
    error.__suppress_context__ = raised.is_context_suppressed
    for note in raised.notes:
        error.add_note(note)
    return error


def _made(raised: Raised) -> BaseException:
    kind = getattr(builtins, raised.type, None)
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        return RestoredError(raised)
    try:
        if issubclass(kind, BaseExceptionGroup):
            return kind(raised.message, [restored(each) for each in raised.exceptions])
        made = kind(raised.message)
        # A KeyError quotes what it is given.
        return made if str(made) == raised.message else RestoredError(raised)
    except (TypeError, ValueError):
        # It is made of more than a message.
        return RestoredError(raised)
