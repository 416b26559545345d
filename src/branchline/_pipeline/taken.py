"""What the journal has taken already: an exporter of ours may be shown the same thing a second time."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final


_MARK: Final = "_branchline_taken"


def mark(shown: Any) -> None:
    """Note on *shown*, a span or log record of the SDK's, that the journal has it."""
    # Copies that processors make carry it along.
    with suppress(Exception):
        setattr(shown, _MARK, True)


def is_marked(shown: Any) -> bool:
    """Whether the journal has *shown*."""
    return getattr(shown, _MARK, False) is True
