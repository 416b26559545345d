"""Captures: what a traced step records of its call, where that is asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from . import names
from .cuts import beginning, beginning_of_bytes
from .recording import Recording
from .values import Value, freeze


Capture = bool | Literal["args", "result"] | None

# Characters of one argument or of the result, all that it contains together: a step is no place to keep data.
MAX_CAPTURED: Final = 4096
# What a number, or a place in a list, counts for.
_SMALL: Final = 8

_WANTED: Final[Mapping[object, str]] = {False: "", True: "all", "args": "args", "result": "result"}


def wanted(capture: Capture) -> str | None:
    """Return what to record of a call: ``""``, ``args``, ``result``, ``all``; None: as ``configure`` says.

    Raises:
        ValueError: for anything that is not accepted.
    """
    if capture is None:
        return None
    found = _WANTED.get(capture) if type(capture) in (bool, str) else None
    if found is not None:
        return found
    msg = f"unknown capture {capture!r}; choose from None, False, True, 'args', 'result'"
    raise ValueError(msg)


class Call:
    """What is recorded of the calls of one function."""

    __slots__ = ("_function", "_signature")

    def __init__(self, function: Callable[..., Any]) -> None:
        """Record calls of *function*."""
        self._function = function
        # Made when it is first needed: most functions are never captured.
        self._signature: inspect.Signature | None = None

    def arguments(self, recording: Recording, captured: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Record the arguments of one call, by name and as they were given."""
        if captured == "result":
            return
        try:
            if self._signature is None:
                self._signature = inspect.signature(self._function)
            given = self._signature.bind(*args, **kwargs).arguments
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # the call itself will say what is wrong with it
            return
        recording.put(
            {
                f"{names.ARGUMENTS_PREFIX}{name}": shown(value)
                for name, value in given.items()
                if name not in ("self", "cls")
            }
        )

    def result(self, recording: Recording, captured: str, result: object) -> None:
        """Record the result of one call."""
        if captured != "args":
            recording.put({names.RESULT: shown(result)})


def shown(value: object) -> Value:
    """Return *value* as it is recorded, within `MAX_CAPTURED`, with a marker where it was cut."""
    return _cut(freeze(value), [MAX_CAPTURED])


def _cut(value: Value, room: list[int]) -> Value:
    """Return *value* within what is left of *room*."""
    if isinstance(value, (str, bytes)):
        return _cut_text(value, room)
    if isinstance(value, Mapping):
        return _cut_mapping(value, room)
    if isinstance(value, Sequence):
        return _cut_sequence(value, room)
    room[0] -= _SMALL
    return value


def _cut_text(text: str | bytes, room: list[int]) -> str | bytes:
    left, size = max(room[0], 0), len(text)
    room[0] -= size
    if size <= left:
        return text
    if isinstance(text, bytes):
        return beginning_of_bytes(text, left) + f"… [cut: {size:,} bytes]".encode()
    return beginning(text, left) + f"… [cut: {size:,} characters]"


def _cut_mapping(mapping: Mapping[str, Value], room: list[int]) -> Mapping[str, Value]:
    kept: dict[str, Value] = {}
    for key, element in mapping.items():
        if room[0] <= 0:
            kept["…"] = f"[cut: {len(mapping):,} elements]"
            break
        room[0] -= len(key)
        kept[key] = _cut(element, room)
    return kept


def _cut_sequence(sequence: Sequence[Value], room: list[int]) -> Sequence[Value]:
    kept: list[Value] = []
    for element in sequence:
        if room[0] <= 0:
            kept.append(f"… [cut: {len(sequence):,} elements]")
            break
        room[0] -= _SMALL
        kept.append(_cut(element, room))
    return tuple(kept)
