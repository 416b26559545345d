"""Columns of a table for a terminal: those that there is room for, the others left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rich.cells import set_cell_size

from .text import Piece, Row, cells


# What says how a branch went is the last to go; what the tree above it has said as well is the first.
NAME: Final = 0
STATUS: Final = 1
DURATION: Final = 2
COST: Final = 3
METRIC: Final = 4
TOKENS: Final = 5
ERRORS: Final = 6
STEPS: Final = 7

_MARGIN: Final = "  "
_GAP: Final = 3
_NARROW_GAP: Final = 2
# Before other columns go, a name is cut to so much; less than the other tells nothing.
_NAME_ENOUGH: Final = 24
_SHORTEST_NAME: Final = 12


@dataclass(frozen=True, kw_only=True)
class Column:
    """What there is to say of each row under one title."""

    title: str
    cells: tuple[Piece, ...]
    rank: int
    """The higher, the sooner it is left out."""

    @property
    def width(self) -> int:
        """How many columns of the terminal it takes."""
        return max(cells((piece,)) for piece in ((self.title, ""), *self.cells))


def fitting(columns: Sequence[Column], width: int | None) -> tuple[list[Column], int]:
    """Return what of *columns* fits into *width*, None for any, and how far apart."""
    shown = list(columns)
    if width is None or _whole(shown, _GAP) <= width:
        return shown, _GAP
    # The last of those that are worth the same goes first.
    for _, column in sorted(enumerate(columns), key=lambda placed: (placed[1].rank, placed[0]), reverse=True):
        needed = _whole(shown, _NARROW_GAP) if column.rank >= TOKENS else _least(shown)
        if needed <= width or column.rank <= STATUS:
            break
        shown = [other for other in shown if other is not column]
    return [_shortened(column, shown, width) if column.rank == NAME else column for column in shown], _NARROW_GAP


def table_rows(columns: Sequence[Column], gap: int) -> Iterator[Row]:
    """Yield the titles of *columns*, then their rows."""
    widths = [column.width for column in columns]
    yield tuple(_aligned([(column.title, "dim") for column in columns], columns, widths, gap))
    for row in zip(*(column.cells for column in columns), strict=True):
        yield tuple(_aligned(row, columns, widths, gap))


def _whole(columns: Sequence[Column], gap: int) -> int:
    return len(_MARGIN) + sum(column.width for column in columns) + gap * (len(columns) - 1)


def _least(columns: Sequence[Column]) -> int:
    spare = sum(max(column.width - _NAME_ENOUGH, 0) for column in columns if column.rank == NAME)
    return _whole(columns, _NARROW_GAP) - spare


def _shortened(name: Column, columns: Sequence[Column], width: int) -> Column:
    room = max(name.width - max(_whole(columns, _NARROW_GAP) - width, 0), _SHORTEST_NAME)
    return replace(name, cells=tuple((_cut(text, room), style) for text, style in name.cells))


def _cut(text: str, room: int) -> str:
    return text if cells(((text, ""),)) <= room else set_cell_size(text, room - 1).rstrip() + "…"


def _aligned(row: Sequence[Piece], columns: Sequence[Column], widths: Sequence[int], gap: int) -> Iterator[Piece]:
    yield _MARGIN, ""
    for place, (piece, column, width) in enumerate(zip(row, columns, widths, strict=True)):
        filling = " " * (width - cells((piece,)))
        if place:
            yield " " * gap, ""
        # Words begin below their title, figures end below it.
        yield from (piece, (filling, "")) if column.rank <= STATUS else ((filling, ""), piece)
