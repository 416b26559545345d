"""Cuts: where a text may end without half of a secret at its end, which nobody could tell as one any more."""

from __future__ import annotations

from typing import Final

from .standing_redaction import standing_redactor


# What is looked at on either side. Longer secrets are told by how they begin: the writer sees that much of them.
AROUND: Final = 512


def beginning(text: str, length: int) -> str:
    """Return the first *length* characters of *text*, or a few less where these would tear a secret apart.

    What secrets there are else stays: redaction comes later, and finds it.
    """
    if len(text) <= length:
        return text
    start = max(length - AROUND, 0)
    redactor = standing_redactor()
    torn = redactor.text(text[start:length])
    whole = redactor.text(text[start : length + AROUND])
    if whole.startswith(torn):
        return text[:length]
    return text[:start] + torn[: _common(torn, whole)]


def beginning_of_bytes(data: bytes | memoryview, length: int) -> bytes:
    """Return the same of what may be no text at all."""
    start = max(length - AROUND, 0)
    # One character per byte, so that what is no text comes back as it was.
    around = bytes(data[start : length + AROUND]).decode("latin-1")
    return bytes(data[:start]) + beginning(around, length - start).encode("latin-1")


def _common(torn: str, whole: str) -> int:
    """Return how long both begin alike."""
    places = range(min(len(torn), len(whole)))
    return next((place for place in places if torn[place] != whole[place]), len(places))
