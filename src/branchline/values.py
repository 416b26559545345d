"""Values: what anything at all becomes when it is recorded."""

from __future__ import annotations

import dataclasses
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, time, timedelta
from enum import Enum
from itertools import islice
from types import SimpleNamespace
from typing import TypeAlias

from .cuts import AROUND, beginning, beginning_of_bytes


Value: TypeAlias = "bool | int | float | str | bytes | Sequence[Value] | Mapping[str, Value] | None"
Oddity: TypeAlias = "Callable[[str], None] | None"

# Characters of one text (or bytes of one byte string), the marker included: freezing twice changes nothing.
MAX_TEXT = 65_536
MAX_KEY = 512
MAX_NAME = 1_024

# Of one value, all containers in it together: a few small lists that hold each other many times over
# would otherwise be cheap to build and endless to write.
MAX_ELEMENTS = 10_000
MAX_TOTAL_TEXT = 16 * MAX_TEXT

# Enough for any configuration or tool call; protobuf parsers stop at about 100, some of our levels cost three.
MAX_DEPTH = 12

_CONTAINERS = (list, tuple, set, frozenset, deque, range, Mapping, SimpleNamespace)

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1


def freeze(value: object, oddity: Oddity = None) -> Value:
    """Return *value* as something that can be written, and that no later change to *value* reaches.

    Never raises. *oddity* is called once for each thing that could not stay as it was, with a short kind:
    ``surrogate``, ``big_int``, ``non_finite``, ``recursive``, ``too_deep``, ``too_long``, ``unprintable``, ``bad_key``.
    """
    if type(value) is str:
        if len(value) <= MAX_TEXT and (value.isascii() or _is_sound(value)):
            return value
    elif type(value) is int:
        if INT64_MIN <= value <= INT64_MAX:
            return value
    elif type(value) is float:
        # NaN for NaN and for both infinities.
        if value - value == 0.0:
            return value
    elif value is None or type(value) is bool:
        return value
    try:
        return _Freezer(oddity).freeze(value, 0)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        # The stack is used up, or *oddity* raised: whatever we call now may raise again.
        return "<unprintable>"


def freeze_key(key: object, oddity: Oddity = None) -> str:
    """Return *key* as a non-empty text of at most 512 characters."""
    if type(key) is str and 0 < len(key) <= MAX_KEY and key.isascii():
        return key
    return _label(key, MAX_KEY, oddity)


def freeze_name(name: object, oddity: Oddity = None) -> str:
    """Return *name*, of a span or an event, as a non-empty text of at most 1,024 characters."""
    if type(name) is str and 0 < len(name) <= MAX_NAME and name.isascii():
        return name
    return _label(name, MAX_NAME, oddity)


def _label(label: object, limit: int, oddity: Oddity) -> str:
    try:
        return _Freezer(oddity).label(label, limit)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return "<unprintable>"


class _Freezer:
    """Freezes one value: knows which containers are open and how much may still be written."""

    __slots__ = ("_characters_left", "_elements_left", "_is_full", "_oddity", "_open")

    def __init__(self, oddity: Oddity) -> None:
        self._oddity = oddity
        self._open: set[int] = set()
        self._elements_left = MAX_ELEMENTS
        self._is_full = False
        self._characters_left = MAX_TOTAL_TEXT

    def freeze(self, value: object, depth: int) -> Value:
        try:
            if type(value) is str:
                return self._text(value)
            if type(value) is int:
                return self._int(value)
            if type(value) is float:
                return self._float(value)
            if value is None or type(value) is bool:
                return value
            if type(value) is dict or type(value) is list or type(value) is tuple:
                return self._container(value, depth)
            return self._other(value, depth)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            return self._unprintable(value)

    def label(self, label: object, limit: int) -> str:
        if isinstance(label, str):
            plain = str.__str__(label)
            if plain:
                return self._escape(plain, limit)
            self._report("bad_key")
            return "<empty>"
        self._report("bad_key")
        try:
            text = bytes.decode(label, "utf-8", "backslashreplace") if isinstance(label, bytes) else str(label)
            return self._escape(str.__str__(text), limit) or "<empty>"
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            return self._unprintable(label)

    def _other(self, value: object, depth: int) -> Value:
        if isinstance(value, Enum):
            return self.freeze(value.value, depth + 1)
        if isinstance(value, str):
            return self._text(str.__str__(value))
        if isinstance(value, int):
            return self._int(int.__int__(value))
        if isinstance(value, float):
            return self._float(float.__float__(value))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._bytes(memoryview(value))
        if isinstance(value, (date, time)):
            return self._text(value.isoformat())
        if isinstance(value, timedelta):
            return value.total_seconds()
        if isinstance(value, BaseException):
            message = self._printed(value)
            return self._text(f"{_type_name(value)}: {message}" if message else _type_name(value))
        if _is_container(value):
            return self._container(value, depth)
        if _is_array(value):
            return self._array(value, depth)
        return self._text(self._printed(value))

    def _container(self, value: object, depth: int) -> Value:
        if id(value) in self._open:
            self._report("recursive")
            return f"<recursive {_type_name(value)}>"
        if depth >= MAX_DEPTH:
            self._report("too_deep")
            return f"<too deep {_type_name(value)}>"
        self._open.add(id(value))
        try:
            entries = _entries(value)
            if entries is not None:
                return self._mapping(entries, value, depth)
            elements = self._elements(value, value, depth)
            # By their text: a set has no order of its own, and what is written must not differ between two runs.
            return tuple(sorted(elements, key=repr)) if isinstance(value, (set, frozenset)) else tuple(elements)
        finally:
            self._open.discard(id(value))

    def _array(self, value: object, depth: int) -> Value:
        # Duck-typed: numpy, torch and pandas values come here, and none of them is imported for it.
        shape = value.shape  # type: ignore[attr-defined]
        if shape == ():
            item = value.item()  # type: ignore[attr-defined]
            return self._text(self._printed(value)) if type(item) is type(value) else self.freeze(item, depth + 1)
        if depth >= MAX_DEPTH:
            self._report("too_deep")
            return f"<too deep {_type_name(value)}>"
        if len(shape) > 1:
            return tuple(self._elements(iter(value), value, depth))  # type: ignore[call-overload]
        head = value[: self._elements_left + 1]  # type: ignore[index]
        return tuple(self._elements(head.tolist(), value, depth))

    def _elements(self, source: object, whole: object, depth: int) -> list[Value]:
        # A copy before the walk: another thread may be changing it.
        taken = list(islice(source, self._elements_left + 1))  # type: ignore[call-overload]
        is_cut = self._claim(taken)
        elements = [
            # Numbers first, without a call: this may be an embedding.
            element
            if (type(element) is float and element - element == 0.0)
            or (type(element) is int and INT64_MIN <= element <= INT64_MAX)
            else self.freeze(element, depth + 1)
            for element in taken
        ]
        if is_cut:
            elements.append(f"… [cut: {_length(whole)} elements]")
        return elements

    def _mapping(self, entries: Iterable[tuple[object, object]], whole: object, depth: int) -> dict[str, Value]:
        taken = list(islice(entries, self._elements_left + 1))
        is_cut = self._claim(taken)
        frozen: dict[str, Value] = {}
        for key, element in taken:
            name = freeze_key(key, self._oddity)
            if name in frozen:
                # 1 and "1" are two keys to Python and one to JSON.
                name = f"{name}#{len(frozen)}"
            self._characters_left -= len(name)
            frozen[name] = self.freeze(element, depth + 1)
        if is_cut:
            frozen["…"] = f"[cut: {_length(whole)} elements]"
        return frozen

    def _claim(self, taken: list[object] | list[tuple[object, object]]) -> bool:
        """Take the room for *taken* out of what is left; cut it, and say so, when there is not enough."""
        is_cut = len(taken) > self._elements_left
        if is_cut:
            # One less, so that the marker has a place.
            del taken[max(self._elements_left - 1, 0) :]
            if not self._is_full:
                self._report("too_long")
            self._is_full = True
        self._elements_left = 0 if is_cut else self._elements_left - len(taken)
        return is_cut

    def _text(self, text: str) -> str:
        frozen = self._escape(text, max(min(MAX_TEXT, self._characters_left), 64))
        self._characters_left -= len(frozen)
        return frozen

    def _escape(self, text: str, limit: int) -> str:
        """Cut *text* to *limit* characters; escape lone surrogates, which no JSON parser takes."""
        size = len(text)
        # What comes after it tells if a secret is cut.
        head = text if size <= limit else text[: limit + AROUND]
        if not (head.isascii() or _is_sound(head)):
            self._report("surrogate")
            head = head.encode("utf-8", "backslashreplace").decode()
        if size <= limit and len(head) <= limit:
            return head
        self._report("too_long")
        marker = f"… [cut: {size:,} characters]"
        return beginning(head, limit - len(marker)) + marker

    def _bytes(self, view: memoryview) -> bytes:
        limit = max(min(MAX_TEXT, self._characters_left), 64)
        size = view.nbytes
        if size <= limit:
            data = view.tobytes()
        else:
            self._report("too_long")
            marker = f"… [cut: {size:,} bytes]".encode()
            head = view.cast("B")[: limit + AROUND] if view.c_contiguous else view.tobytes()
            data = beginning_of_bytes(head, limit - len(marker)) + marker
        self._characters_left -= len(data)
        return data

    def _int(self, value: int) -> int | str:
        if INT64_MIN <= value <= INT64_MAX:
            return value
        self._report("big_int")
        # In decimal Python may refuse more than 640 digits, because they take quadratic time.
        return self._text(str(value) if value.bit_length() < 2_048 else hex(value))

    def _float(self, value: float) -> float | str:
        if value - value == 0.0:
            return value
        self._report("non_finite")
        if value > 0:
            return "Infinity"
        return "-Infinity" if value < 0 else "NaN"

    def _printed(self, value: object) -> str:
        return str.__str__(str(value))

    def _unprintable(self, value: object) -> str:
        self._report("unprintable")
        return f"<unprintable {_type_name(value)}>"

    def _report(self, kind: str) -> None:
        if self._oddity is not None:
            self._oddity(kind)


# The descriptor itself, since a metaclass may have its own idea of a name.
_read_name = type.__dict__["__name__"].__get__


def _type_name(value: object) -> str:
    return str(_read_name(type(value)))[:100]


def _is_sound(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _length(value: object) -> str:
    try:
        return f"{len(value):,}"  # type: ignore[arg-type]  # raises as it may
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return f"more than {MAX_ELEMENTS:,}"


def _is_container(value: object) -> bool:
    # Asked of the type: a mock answers yes to everything, and a class is no instance.
    kind = type(value)
    return (
        isinstance(value, _CONTAINERS)
        or hasattr(kind, "__dataclass_fields__")
        or hasattr(kind, "model_dump")
        or _is_arguments(value)
    )


def _is_arguments(value: object) -> bool:
    # Nobody can hold an argparse.Namespace before argparse is imported, which is slow and not ours to do.
    argparse = sys.modules.get("argparse")
    return argparse is not None and isinstance(value, argparse.Namespace)


def _is_array(value: object) -> bool:
    kind = type(value)
    return hasattr(kind, "tolist") and hasattr(kind, "item") and isinstance(getattr(value, "shape", None), tuple)


def _entries(value: object) -> Iterable[tuple[object, object]] | None:
    """Return the keys and values of *value*, or None when it has no keys."""
    # The exact types first: asking for a Mapping takes longer than all the rest.
    if type(value) is dict:
        return value.items()
    if type(value) in (list, tuple):
        return None
    if isinstance(value, Mapping):
        return value.items()
    if hasattr(type(value), "model_dump"):
        dumped: Mapping[object, object] = value.model_dump()  # type: ignore[attr-defined]
        return dumped.items()
    if hasattr(type(value), "__dataclass_fields__"):
        return _fields(value)
    if isinstance(value, SimpleNamespace) or _is_arguments(value):
        return vars(value).items()
    return None


def _fields(value: object) -> Iterator[tuple[object, object]]:
    for field in dataclasses.fields(value):  # type: ignore[arg-type]  # it is one: the caller looked
        yield field.name, getattr(value, field.name, None)
