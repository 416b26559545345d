"""Attributes that may be kept as they are, told from those that must be frozen first; fast, because most may."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..usage_records import SPENDING_PREFIXES
from ..values import MAX_TEXT, freeze, freeze_key, freeze_name


# Keys and names that were found good once: looking one up is cheaper than judging it again.
KNOWN: Final[set[str]] = set()
_MOST_KNOWN: Final = 10_000
KEY_LENGTH: Final = 512
LONG: Final = 2048
# What the values of a span may hold before they count: every record is taken to hold as much.
LIGHT: Final = 1024
_ELEMENT: Final = 64
knows_all: Final = KNOWN.issuperset


def _know(text: str) -> None:
    if len(KNOWN) >= _MOST_KNOWN:
        KNOWN.clear()
    KNOWN.add(text)


def is_plain(attributes: Mapping[str, Any]) -> bool:
    """Whether *attributes* may be kept as they are: a dictionary of known keys and immutable, writable values."""
    if type(attributes) is not dict:
        return False
    for value in attributes.values():
        kind = type(value)
        if kind is str:
            if len(value) > LONG:
                return False
        elif kind is not int and kind is not bool and (kind is not float or value - value):
            return False
    try:
        return knows_all(attributes)
    except Exception:  # a key of the user's whose __eq__ raises
        return False


def known_name(name: Any, odd: Callable[[str], None]) -> str:
    """Return the *name* of an event as it can be written, and remember it if it was good."""
    if type(name) is str and 0 < len(name) <= KEY_LENGTH and name.isprintable():
        _know(name)
        return str(name)
    return freeze_name(name, odd)


def made_plain(attributes: Mapping[str, Any], odd: Callable[[str], None]) -> tuple[dict[str, Any], int]:
    """Return *attributes* with every key and value frozen as it is now, and roughly the bytes of memory they hold."""
    plain: dict[str, Any] = {}
    weight = 0
    for key, value in attributes.items():
        kind = type(value)
        if kind is str:
            if len(value) > LONG:
                weight += min(len(value), MAX_TEXT)
                value = freeze(value, odd) if len(value) > MAX_TEXT else value  # noqa: PLW2901
        elif kind is not int and kind is not bool and (kind is not float or value - value):
            value = freeze(value, odd)  # noqa: PLW2901
            weight += _weight(value)
        try:
            is_known = key in KNOWN
        except Exception:  # a key of the user's whose __hash__ or __eq__ raises
            is_known = False
        if not is_known:
            key = freeze_key(key, odd)  # noqa: PLW2901
            # What says what a call took is never known, so that whoever gets it comes this way and sees it.
            if not key.startswith(SPENDING_PREFIXES):
                _know(key)
        plain[key] = value
    return plain, weight


def _weight(frozen: Any) -> int:
    """Return roughly the bytes of memory that a *frozen* value holds."""
    if isinstance(frozen, (str, bytes)):
        return len(frozen)
    if isinstance(frozen, Mapping):
        return sum(_ELEMENT + len(key) + _weight(value) for key, value in frozen.items())
    return sum(_ELEMENT + _weight(value) for value in frozen) if isinstance(frozen, (list, tuple)) else 0
