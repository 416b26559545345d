"""Fingerprints: what two errors have in common that are the same fault, on any machine and in any release."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from .raised import Raised


_LENGTH: Final = 16
# The innermost: who has called may differ from one time to the next.
_MOST_FRAMES: Final = 8
# What differs from one message to the next of the same fault.
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_NUMBER: Final = re.compile(r"(?:0x)?[0-9a-fA-F]*[0-9][0-9a-fA-F]*")


def fingerprint_of(error: Raised | None, message: str, code: str | None) -> str:
    """Return the fingerprint of an *error*: its types and functions, no lines, paths or values.

    Of one that was not raised, it is the *message* without what differs from one time to the next.
    """
    parts = [code or ""]
    if error is None:
        parts.append(_general(message))
    else:
        for each in (error, *error.chain()):
            parts += _described(each)
    return hashlib.sha256("\n".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:_LENGTH]


def _described(error: Raised) -> Iterator[str]:
    yield error.type
    places = [f"{frame.file.replace(chr(92), '/').rpartition('/')[2]}:{frame.function}" for frame in error.frames]
    # A recursion is as deep as it happens to be.
    once = [place for place, _ in groupby(places)]
    yield from once[-_MOST_FRAMES:]
    if not places:
        yield _general(error.message)
    for each in error.exceptions:
        yield each.type


def _general(message: str) -> str:
    return _NUMBER.sub("0", _QUOTED.sub("''", message))
