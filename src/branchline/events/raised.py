"""An exception as plain values: its chain, its notes, its group, where it was raised; no objects of the application."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import Any, Final

from ..redaction import Redactor
from ..tracebacks import qualified_name, said, stack_of
from .local_variables import locals_of


# A chain longer than this is one that was made in a loop; a group larger than this nobody reads.
MOST_CHAINED: Final = 16
MOST_IN_A_GROUP: Final = 64
MOST_FRAMES: Final = 64
_MOST_NOTES: Final = 32


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A place that an exception came through."""

    file: str
    line: int
    function: str
    locals: Mapping[str, str] = field(default_factory=dict)
    """What its variables were, as text, where that was asked for."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        told: dict[str, Any] = {"file": self.file, "line": self.line, "function": self.function}
        return told | ({"locals": dict(self.locals)} if self.locals else {})


@dataclass(frozen=True, kw_only=True)
class Raised:
    """An exception, as it was when it was looked at."""

    type: str
    """With its module, but for built-in ones."""
    message: str = ""
    module: str = ""
    """Where its class is defined."""
    stacktrace: str = ""
    """As Python prints it, with all that it is chained to; of what another one is chained to, that one has it."""
    frames: tuple[Frame, ...] = ()
    """From the outermost to where it was raised; of very many the innermost."""
    notes: tuple[str, ...] = ()
    cause: Raised | None = None
    """What it was raised ``from``."""
    context: Raised | None = None
    """What was being handled when it was raised."""
    is_context_suppressed: bool = False
    exceptions: tuple[Raised, ...] = ()
    """Of a group."""

    @property
    def location(self) -> str:
        """Where it was raised: ``file:line``."""
        return f"{self.frames[-1].file}:{self.frames[-1].line}" if self.frames else ""

    @property
    def function(self) -> str:
        """In which function it was raised."""
        return self.frames[-1].function if self.frames else ""

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type

    def chain(self) -> Iterator[Raised]:
        """Yield what it came from: the cause, else what was being handled, and so on."""
        above = self.cause or (None if self.is_context_suppressed else self.context)
        while above is not None:
            yield above
            above = above.cause or (None if above.is_context_suppressed else above.context)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        told: dict[str, Any] = {
            "type": self.type,
            "message": self.message,
            "module": self.module,
            "stackTrace": self.stacktrace,
            "frames": [frame.to_dict() for frame in self.frames],
        }
        if self.notes:
            told["notes"] = list(self.notes)
        for key, linked in (("cause", self.cause), ("context", self.context)):
            if linked is not None:
                told[key] = linked.to_dict()
        if self.is_context_suppressed:
            told["isContextSuppressed"] = True
        if self.exceptions:
            told["exceptions"] = [each.to_dict() for each in self.exceptions]
        return told

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Raised:
        """Return the exception that ``to_dict`` told of; what is missing is empty.

        Raises:
            ValueError: for what cannot be one.
        """
        kind = told.get("type")
        if not isinstance(kind, str):
            msg = f"{told!r} is no exception: it needs a type"
            raise ValueError(msg)  # noqa: TRY004  # what cannot be one, for one reason or another
        return cls(
            type=kind,
            message=str(told.get("message", "")),
            module=str(told.get("module", "")),
            stacktrace=str(told.get("stackTrace", "")),
            frames=tuple(_frame(frame) for frame in told.get("frames") or ()),
            notes=tuple(str(note) for note in told.get("notes") or ()),
            cause=cls.from_dict(told["cause"]) if told.get("cause") else None,
            context=cls.from_dict(told["context"]) if told.get("context") else None,
            is_context_suppressed=told.get("isContextSuppressed") is True,
            exceptions=tuple(cls.from_dict(each) for each in told.get("exceptions") or ()),
        )


def _frame(told: Mapping[str, Any]) -> Frame:
    said_of = told.get("locals") or {}
    return Frame(
        file=str(told.get("file", "")),
        line=int(told.get("line") or 0),
        function=str(told.get("function", "")),
        locals={str(name): str(value) for name, value in said_of.items()},
    )


def raised_of(error: BaseException, redactor: Redactor | None, *, with_locals: bool) -> Raised:
    """Return *error* as plain values, without what *redactor* takes out; never raises."""
    try:
        return _Describer(redactor, with_locals=with_locals).described(error, MOST_CHAINED)
    except Exception:  # an exception class of the application's own making
        return Raised(type=qualified_name(type(error)), message=said(error))


class _Describer:
    """Describes one exception and all that it is linked to, each of them once."""

    def __init__(self, redactor: Redactor | None, *, with_locals: bool) -> None:
        self._redactor = redactor
        self._with_locals = with_locals
        self._seen: set[int] = set()

    def described(self, error: BaseException, most: int) -> Raised:
        is_outermost = not self._seen
        self._seen.add(id(error))
        members: Sequence[BaseException] = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        kind = type(error)
        return Raised(
            type=qualified_name(kind),
            message=self._clean(error.message if isinstance(error, BaseExceptionGroup) else said(error)),
            module=str(kind.__module__),
            stacktrace=self._clean(stack_of(error, error.__traceback__)) if is_outermost else "",
            frames=self._frames(error.__traceback__),
            notes=tuple(self._clean(note) for note in islice(_notes(error), _MOST_NOTES)),
            cause=self._linked(error.__cause__, most),
            context=self._linked(error.__context__, most),
            is_context_suppressed=error.__suppress_context__ is True,
            exceptions=tuple(
                found for each in members[:MOST_IN_A_GROUP] if (found := self._linked(each, most)) is not None
            ),
        )

    def _linked(self, error: BaseException | None, most: int) -> Raised | None:
        # What is linked to itself has no end.
        is_new = error is not None and id(error) not in self._seen and most > 0
        return self.described(error, most - 1) if is_new and error is not None else None

    def _frames(self, stack: TracebackType | None) -> tuple[Frame, ...]:
        walked = list(traceback.walk_tb(stack))[-MOST_FRAMES:]
        return tuple(
            Frame(
                file=frame.f_code.co_filename,
                line=line or 0,
                function=frame.f_code.co_name,
                locals=locals_of(frame, self._redactor) if self._with_locals else {},
            )
            for frame, line in walked
        )

    def _clean(self, text: str) -> str:
        return text if self._redactor is None else self._redactor.text(text)


def _notes(error: BaseException) -> Iterator[str]:
    notes = getattr(error, "__notes__", None)
    for note in notes if isinstance(notes, list | tuple) else ():
        yield note if isinstance(note, str) else repr(type(note))
