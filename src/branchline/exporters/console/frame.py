"""One frame of the live tree: what the console remembers, as rows that fit the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count as counter

from ..._journal.seen import Seen
from ...progress_values import Progress
from ...tally import Tally
from .bars import bar_pieces, figures, sign, summed
from .picture import Group, Node, Picture
from .text import Glyphs, Piece, Row, cells, cut, duration, elapsed, figure, plural, safe, spending


# More open steps of one name in one place than this are one row.
_APART = 3

# More work than this in one place is a row for each name.
_BARS_APART = 6
_BAR_WIDTH = 20

_TIME_WIDTH = 11
# Before the time; and behind it, for the dots that stand for what is cut there.
_AIR = 2 + 2
_NARROWEST_NAME = 12

# Of a branch's metrics, the ones that came last; the summary has more.
_METRICS = 3

# Nothing open is under a span that has ended: no span has this id.
_ENDED = -1


@dataclass(frozen=True, kw_only=True)
class View:
    """How much of the picture a frame shows."""

    levels: int
    kept: int
    """Finished branches shown one by one; the earlier ones are one row."""
    is_final: bool = False


@dataclass(kw_only=True)
class Entry:
    """One row to be, with what is under it."""

    order: int
    sign: Piece
    name: Piece
    time: Row = ()
    details: tuple[Row, ...] = ()
    """Parts with some air between them."""
    children: list[Entry] = field(default_factory=list)


class Frame:
    """Draws frames of one picture; keeps the column of durations where it was, so that the eye can rest on it."""

    def __init__(self, picture: Picture, glyphs: Glyphs) -> None:
        self._picture = picture
        self._glyphs = glyphs
        self._name_width = 28
        self._spin = counter()

    def rows(self, *, now_unix_nano: int, width: int, height: int, is_final: bool = False) -> list[Row]:
        """Return at most *height* rows, the fullest view that fits."""
        drawing = _Drawing(self._picture, self._glyphs, now_unix_nano, next(self._spin))
        flat: list[tuple[str, Entry]] = []
        for view in _views(self._picture.levels, is_final=is_final):
            flat = list(_flatten(drawing.entries(view), self._glyphs))
            if len(flat) <= height:
                break
        shown = flat if len(flat) <= height else flat[: height - 1]
        rows = self._align(shown, width)
        if len(shown) < len(flat):
            rows.append(((f"{self._glyphs.more} {len(flat) - len(shown):,} more", "dim"),))
        return rows

    def _align(self, flat: Sequence[tuple[str, Entry]], width: int) -> list[Row]:
        # How long something takes is worth more than the end of its name.
        room = max(width - _TIME_WIDTH - _AIR, _NARROWEST_NAME)
        heads = [tuple(cut(_head(guide, entry), room)) if entry.time else _head(guide, entry) for guide, entry in flat]
        widest = max((cells(head) for head in heads), default=0)
        self._name_width = min(max(self._name_width, widest), max(width // 2, 28), room)
        return [_joined(head, entry, self._name_width) for head, (_, entry) in zip(heads, flat, strict=True)]


class _Drawing:
    """One moment of the picture, ready to be drawn in several views."""

    def __init__(self, picture: Picture, glyphs: Glyphs, now_unix_nano: int, spin: int) -> None:
        self._picture = picture
        self._glyphs = glyphs
        self._now = now_unix_nano
        self._spin = spin
        self._spinner = (glyphs.spinner[spin % len(glyphs.spinner)], "cyan")
        self._inside: dict[int | None, list[Seen]] = {}
        open_ids = {seen.span_id for seen in picture.open_}
        for seen in picture.open_:
            parent_id = seen.parent_id if seen.parent_id in open_ids else None
            self._inside.setdefault(parent_id, []).append(seen)

    def entries(self, view: View) -> list[Entry]:
        return self._under(self._picture.root, None, view, level=0)

    def _under(self, node: Node | None, span_id: int | None, view: View, *, level: int) -> list[Entry]:
        """Return what is in one place, in the order in which it began."""
        found: list[Entry] = []
        steps: dict[str, list[Seen]] = {}
        for seen in self._inside.get(span_id, ()):
            if seen.kind in ("experiment", "branch"):
                found.append(self._open_branch(seen, view))
            else:
                steps.setdefault(seen.name, []).append(seen)
        if node is not None:
            found += self._kept(node, view)
        if level < view.levels:
            groups: Mapping[str, Group] = node.groups if node is not None else {}
            for name in groups.keys() | steps.keys():
                found += self._steps(name, groups.get(name), steps.get(name, []), view, level + 1)
            found += self._bars([span_id])
        else:
            # What is worked on in steps that are not shown is shown here.
            found += self._bars(self._below(span_id))
        found.sort(key=lambda entry: entry.order)
        return found

    def _below(self, span_id: int | None) -> list[int | None]:
        """Return *span_id* and all open steps below it."""
        found = [span_id]
        for known in found:
            found += [seen.span_id for seen in self._inside.get(known, ()) if seen.kind not in ("experiment", "branch")]
        return found

    def _bars(self, places: Sequence[int | None]) -> list[Entry]:
        """Return what is worked on in some *places*, what is part of something else below it."""
        works = [work for place in places for work in self._picture.works.get(place, ())]
        if len(works) > _BARS_APART:
            names: dict[str, list[Progress]] = {}
            for work in works:
                names.setdefault(work.description, []).append(work)
            return [self._bar(summed(some), len(some)) for some in names.values()]
        entries = {work.task_id: self._bar(work) for work in works}
        tops: list[Entry] = []
        for work in works:
            above = entries.get(work.parent_id or "")
            (tops if above is None else above.children).append(entries[work.task_id])
        return tops

    def _bar(self, work: Progress, count: int = 1) -> Entry:
        return Entry(
            order=work.start_unix_nano,
            sign=sign(work, self._glyphs, self._spin),
            name=self._times(work.description, count),
            time=((elapsed(round(work.elapsed_seconds * 1e9)), ""),),
            details=(bar_pieces(work, self._glyphs, width=_BAR_WIDTH), figures(work, has_clock=False)),
        )

    def _open_branch(self, seen: Seen, view: View) -> Entry:
        node = self._picture.nodes.get(seen.span_id)
        return Entry(
            order=seen.start_unix_nano,
            sign=self._spinner,
            name=(safe(_name(seen)), "bold"),
            time=((elapsed(self._now - seen.start_unix_nano), ""),),
            details=(self._tally(node), _spent(seen.spent), self._metrics(seen.metrics), self._stamps(seen.stamps)),
            children=self._under(node, seen.span_id, view, level=0),
        )

    def _kept(self, node: Node, view: View) -> Iterator[Entry]:
        hidden = node.kept[: max(len(node.kept) - view.kept, 0)]
        if hidden or node.unkept:
            yield self._folded(hidden, node.unkept)
        for kept in node.kept[len(hidden) :]:
            if kept.seen is not None:
                yield self._ended_branch(kept, kept.seen, view)

    def _ended_branch(self, node: Node, seen: Seen, view: View) -> Entry:
        is_opened_up = view.is_final or seen.kind == "experiment"
        return Entry(
            order=seen.start_unix_nano,
            sign=self._glyphs.outcome(seen.outcome or seen.status),
            name=(safe(_name(seen)), "bold"),
            time=((duration((seen.end_unix_nano or self._now) - seen.start_unix_nano), ""),),
            details=(
                self._tally(node),
                _spent(seen.spent),
                _error(seen.error),
                self._metrics(seen.metrics),
                self._stamps(seen.stamps),
            ),
            children=self._under(node, _ENDED, view, level=0) if is_opened_up else [],
        )

    def _folded(self, hidden: Sequence[Node], unkept: Mapping[str, int]) -> Entry:
        outcomes = dict(unkept)
        for node in hidden:
            if node.seen is not None:
                outcome = node.seen.outcome or node.seen.status or "success"
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
        bad = {outcome: count for outcome, count in sorted(outcomes.items()) if outcome != "success"}
        noun = (
            "branch" if all(node.seen is not None and node.seen.kind == "branch" for node in hidden) else "experiment"
        )
        return Entry(
            order=0,
            sign=self._glyphs.outcome(next(iter(bad), "success")),
            name=(f"{plural(sum(outcomes.values()), noun)} before", "dim"),
            details=(self._dotted([(f"{count:,} {outcome}", "") for outcome, count in bad.items()]),),
        )

    def _steps(self, name: str, group: Group | None, open_: Sequence[Seen], view: View, level: int) -> Iterator[Entry]:
        if group is None and len(open_) <= _APART:
            for seen in open_:
                yield self._open_step(seen, None, view, level)
        elif len(open_) == 1:
            yield self._open_step(open_[0], group, view, level)
        else:
            yield self._many(name, group, open_, view, level)

    def _open_step(self, seen: Seen, before: Group | None, view: View, level: int) -> Entry:
        node = self._picture.nodes.get(seen.span_id)
        details: list[Piece] = []
        if before is not None:
            details.append((f"p50 {duration(before.median_nano)}", "dim"))
            details += self._failures(before)
        return Entry(
            order=min(seen.start_unix_nano, before.first_start_unix_nano) if before else seen.start_unix_nano,
            sign=self._spinner,
            name=self._times(seen.name, before.count + 1 if before else 1),
            time=((elapsed(self._now - seen.start_unix_nano), ""),),
            details=(self._dotted(details), _spent(seen.spent), self._stamps(seen.stamps)),
            children=self._under(node, seen.span_id, view, level=level),
        )

    def _many(self, name: str, group: Group | None, open_: Sequence[Seen], view: View, level: int) -> Entry:
        """Return one row for all steps of one name in one place."""
        ended = group.count if group else 0
        details: list[Piece] = [(f"{len(open_):,} running", "cyan")] if open_ else []
        time: Row = ()
        children: list[Entry] = []
        order = min((seen.start_unix_nano for seen in open_), default=0)
        children += self._bars([span_id for seen in open_ for span_id in self._below(seen.span_id)])
        if group is not None:
            order = group.first_start_unix_nano
            time = ((("p50 " if ended > 1 else ""), "dim"), (duration(group.median_nano), ""))
            details += self._failures(group)
            if level < view.levels:
                for child_name, child in group.groups.items():
                    children += self._steps(child_name, child, (), view, level + 1)
                children.sort(key=lambda entry: entry.order)
        return Entry(
            order=order,
            sign=self._spinner if open_ else self._outcome(group),
            name=self._times(name, ended + len(open_)),
            time=time,
            details=(
                self._dotted(details),
                _spent(group.spent if group else None),
                self._stamps(group.stamps if group else ()),
            ),
            children=children,
        )

    def _outcome(self, group: Group | None) -> Piece:
        return self._glyphs.outcome(group.worst if group else None)

    def _failures(self, group: Group) -> list[Piece]:
        if not group.failed:
            return []
        error = safe(group.error or "failed", 200)
        return [(error if group.count == 1 else f"{group.failed:,} failed: {error}", "red")]

    def _tally(self, node: Node | None) -> Row:
        if node is None or not node.steps:
            return ()
        errors: list[Piece] = [(plural(node.errors, "error"), "red")] if node.errors else []
        return self._dotted([(plural(node.steps, "step"), "dim"), *errors])

    def _metrics(self, metrics: Mapping[str, float]) -> Row:
        shown = list(metrics.items())[-_METRICS:]
        dot = (f" {self._glyphs.dot} ", "dim")
        row: list[Piece] = []
        for name, value in shown:
            row += [*([dot] if row else []), (f"{safe(name, 24)} ", "dim"), (figure(value), "cyan")]
        return tuple(row)

    def _stamps(self, stamps: Sequence[str]) -> Row:
        return self._dotted([(safe(stamp, 32), "dim") for stamp in stamps[-2:]])

    def _times(self, name: str, count: int) -> Piece:
        return (safe(name) if count <= 1 else f"{safe(name)} {self._glyphs.times}{count:,}"), ""

    def _dotted(self, pieces: Sequence[Piece]) -> Row:
        dot = (f" {self._glyphs.dot} ", "dim")
        return tuple(part for index, piece in enumerate(pieces) for part in ((dot, piece) if index else (piece,)))


def _spent(spent: Tally | None) -> Row:
    return ((spending(spent), "cyan"),) if spent is not None else ()


def _error(error: str | None) -> Row:
    return ((safe(error, 200), "red"),) if error else ()


def _views(levels: int, *, is_final: bool) -> Iterator[View]:
    if is_final:
        yield View(levels=levels, kept=100, is_final=True)
        yield View(levels=min(levels, 1), kept=100, is_final=True)
    for view_levels, kept in ((levels, 12), (levels, 5), (min(levels, 2), 3), (min(levels, 1), 3), (0, 3), (0, 0)):
        yield View(levels=view_levels, kept=kept)


def _name(seen: Seen) -> str:
    return (seen.branch_name if seen.kind == "branch" else seen.experiment_name) or seen.name


def _flatten(entries: Sequence[Entry], glyphs: Glyphs, lead: str | None = None) -> Iterator[tuple[str, Entry]]:
    for index, entry in enumerate(entries):
        is_last = index == len(entries) - 1
        guide = "" if lead is None else lead + (glyphs.bend if is_last else glyphs.tee)
        yield guide, entry
        below = "" if lead is None else lead + ("   " if is_last else glyphs.bar)
        yield from _flatten(entry.children, glyphs, below)


def _head(guide: str, entry: Entry) -> Row:
    return ((guide, "dim"), entry.sign, (" ", ""), entry.name)


def _joined(head: Row, entry: Entry, name_width: int) -> Row:
    gap = max(name_width - cells(head), 0) + 2 + max(_TIME_WIDTH - cells(entry.time), 0)
    details = [piece for part in entry.details if part for piece in (("  ", ""), *part)]
    return (*head, (" " * gap, ""), *entry.time, *details)
