"""Bars: how far a piece of work is, as one row, the same wherever it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ...progress_values import Progress, clock, counted
from .text import Glyphs, Piece, Row, cells, figure, plural, safe


BAR_WIDTH: Final = 28
# A name that is longer is cut, so that the bars stand below each other.
_WIDEST: Final = 40


def bar_pieces(progress: Progress, glyphs: Glyphs, *, width: int = BAR_WIDTH) -> Row:
    """Return the bar alone: what is done stands out; where nobody knows of how much, there is none."""
    ratio = progress.ratio
    if ratio is None:
        return ()
    full, half, empty = ("━", "╸", "─") if glyphs.success == "✓" else ("#", "", "-")
    halves = int(ratio * width * 2)
    done = full * (halves // 2) + (half if halves % 2 else "")
    style = _style(progress)
    return tuple(piece for piece in ((done, style), (empty * (width - len(done)), "dim")) if piece[0])


def figures(progress: Progress, *, has_clock: bool = True) -> Row:
    """Return what stands behind the bar: how many, how much of all, how long still, how fast."""
    row: list[Piece] = [(counted(progress.done, progress.total), "")]
    if progress.percent is not None and progress.outcome != "success":
        row.append((f"  {progress.percent} %", _style(progress)))
    row += _clock(progress) if has_clock else _left(progress)
    if progress.outcome == "closed":
        row.append(("  left early", "dim"))
    elif progress.outcome not in {None, "success"}:
        row.append((f"  {progress.outcome}", _style(progress)))
    if progress.rate is not None:
        row.append((f"  {pace(progress.rate)}", "dim"))
    if progress.stalled_seconds is not None:
        row.append((f"  stalled for {clock(progress.stalled_seconds)}", "yellow"))
    elif progress.stalls:
        row.append((f"  {plural(progress.stalls, 'stall')}", "yellow"))
    if progress.message:
        row.append((f"  {safe(progress.message, 120)}", "red"))
    return tuple(row)


def _clock(progress: Progress) -> Row:
    took = clock(progress.elapsed_seconds)
    if progress.outcome is not None:
        return ((f"  in {took}", "dim"),)
    return ((f"  {took}" if progress.total is None else f"  {took} < {clock(progress.eta_seconds)}", "dim"),)


def _left(progress: Progress) -> Row:
    if progress.outcome is not None or progress.eta_seconds is None:
        return ()
    return ((f"  {clock(progress.eta_seconds)} left", "dim"),)


def summed(works: Sequence[Progress]) -> Progress:
    """Return *works* of one name, side by side, as one; at least one is needed."""
    if len(works) == 1:
        return works[0]
    going_on = [work for work in works if work.outcome is None]
    totals = [work.total for work in works]
    rates = [work.rate for work in going_on if work.rate is not None]
    etas = [work.eta_seconds for work in going_on if work.eta_seconds is not None]
    bad = next((work.outcome for work in works if work.outcome not in {None, "success"}), "success")
    return works[0]._replace(
        done=sum(work.done for work in works),
        total=None if None in totals else sum(total for total in totals if total is not None),
        rate=sum(rates) if rates else None,
        eta_seconds=max(etas, default=None),
        outcome=None if going_on else bad,
        elapsed_seconds=max(work.elapsed_seconds for work in works),
        stalls=sum(work.stalls for work in works),
        stalled_seconds=max((work.stalled_seconds for work in going_on if work.stalled_seconds), default=None),
        message=next((work.message for work in works if work.message), ""),
    )


def pace(rate: float) -> str:
    """Return a *rate* of items a second as a person reads it: ``340/s``, ``12/min``, ``3.5/h``."""
    if rate >= 1:
        return f"{figure(round(rate) if rate >= 100 else round(rate, 1))}/s"
    return f"{figure(round(rate * 60, 1))}/min" if rate >= 1 / 60 else f"{figure(round(rate * 3600, 1))}/h"


def sign(progress: Progress, glyphs: Glyphs, spin: int = 0) -> Piece:
    """Return the sign for how it goes, or went."""
    if progress.outcome is None:
        return glyphs.spinner[spin % len(glyphs.spinner)], "yellow" if progress.stalled_seconds is not None else "cyan"
    # Somebody has left, and knows why.
    return (glyphs.skipped, "dim") if progress.outcome == "closed" else glyphs.outcome(progress.outcome)


def bar_rows(works: Sequence[Progress], glyphs: Glyphs, spin: int) -> Iterator[Row]:
    """Yield a row for each piece of work, what is part of another below it and further right."""
    placed = list(_placed(works))
    names = [(depth, safe(work.description, _WIDEST)) for depth, work in placed]
    width = max((2 * depth + cells([(name, "")]) for depth, name in names), default=0)
    for (depth, work), (_, name) in zip(placed, names, strict=True):
        gap = " " * (width - 2 * depth - cells([(name, "")]))
        bar = bar_pieces(work, glyphs)
        yield (
            *((" " * 2 * depth, ""), sign(work, glyphs, spin), (" ", ""), (name, ""), (f"{gap}  ", "")),
            *((*bar, ("  ", "")) if bar else ()),
            *figures(work),
        )


def _placed(works: Sequence[Progress]) -> Iterator[tuple[int, Progress]]:
    """Yield each piece of work with its depth, in the order of a tree."""
    known = {work.task_id for work in works}
    below: dict[str | None, list[Progress]] = {}
    for work in works:
        below.setdefault(work.parent_id if work.parent_id in known else None, []).append(work)
    stack = [(0, work) for work in reversed(below.get(None, []))]
    while stack:
        depth, work = stack.pop()
        yield depth, work
        stack += [(depth + 1, part) for part in reversed(below.get(work.task_id, []))]


def _style(progress: Progress) -> str:
    match progress.outcome:
        case None:
            return "yellow" if progress.stalled_seconds is not None else "cyan"
        case "success":
            return "green"
        case "closed":
            return ""
        case "interrupted":
            return "magenta"
        case "cancelled":
            return "yellow"
    return "red"
