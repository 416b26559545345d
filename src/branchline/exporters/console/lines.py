"""Plain lines: a run as a log that a pipe, a notebook or a CI server can show."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TextIO

from ..._journal.seen import Seen, Summary
from ...links import NOWHERE, Links
from ...progress_values import Progress
from .bars import figures, sign
from .picture import Group, Picture
from .screen import Outlet
from .summary import summary_rows
from .text import duration, figure, for_encoding, glyphs_for, plain, plural, safe, spending
from .told import Told


# Steps of one path that have a line of their own; of the rest, the tenth, hundredth, thousandth … tell.
_APART = 3
_FAILURES_APART = 20

# Of a branch's metrics, the ones that came last; the summary has more.
_METRICS = 3

# Paths counted at the same time; beyond that the oldest is told and begun anew.
_MAX_PATHS = 1_000

# Characters held back while the stream does not take them; about as much as a pipe holds.
_MAX_PENDING = 65_536

Path = tuple[str, ...]
"""The names from a branch down to a step."""

Line = tuple[int, str]
"""A line and the time it belongs to."""


class PlainLines:
    """Writes a line when an experiment or branch starts, when it or a step ends, and for each per cent of work.

    Steps of one path are counted from the fourth on, unless *fold* is off; with *only_errors*, nothing is written but
    what failed, and the summary.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        levels: int,
        links: Links = NOWHERE,
        fold: bool = True,
        only_errors: bool = False,
        works: Callable[[], Sequence[Progress]] = tuple,
    ) -> None:
        # A stream of text that says nothing of bytes (StringIO) takes everything.
        self._encoding: str = getattr(stream, "encoding", None) or "utf-8"
        self._glyphs = glyphs_for(self._encoding)
        self._levels = levels
        self._links = links
        self._fold = fold
        self._only_errors = only_errors
        self._works = works
        self._told = Told()
        self._picture = Picture(levels=0)
        self._paths: dict[Path, Group] = {}
        self._outlet = Outlet(stream)
        self._started: set[int] = set()
        self._pending = ""
        self._left_out = 0

    def __repr__(self) -> str:
        return f"<PlainLines to {self._outlet!r}>"

    def listen(self, ended: Sequence[Seen], open_: Sequence[Seen]) -> None:
        """Write what happened."""
        if not self._outlet.is_mine:
            return
        lines = sorted(chain(self._lines(ended, open_), self._working()), key=lambda line: line[0])
        self._picture.open_ = open_
        self._picture.settle()
        self._send([text for _, text in lines])

    def close(self, summary: Summary) -> None:
        """Write the summary."""
        if not self._outlet.is_mine:
            return
        at = max((group.first_start_unix_nano for group in self._paths.values()), default=0)
        working = [text for _, text in self._working()]
        counted = [text for path in tuple(self._paths) for _, text in self._counted(at, path)]
        self._picture.settle(is_over=True)
        rows = summary_rows(summary, self._picture, self._glyphs, self._links)
        self._send([*working, *counted, *(plain(row) for row in rows)], timeout_seconds=1.0)

    def _lines(self, ended: Sequence[Seen], open_: Sequence[Seen]) -> Iterator[Line]:
        near = {seen.span_id: seen for seen in chain(open_, ended)}
        open_branches = [seen for seen in open_ if _is_branch(seen)]
        for seen in chain(open_branches, filter(_is_branch, ended)):
            if not self._only_errors and seen.span_id not in self._started:
                self._started.add(seen.span_id)
                yield seen.start_unix_nano, self._start(seen)
        for seen in ended:
            yield from self._branch(seen) if _is_branch(seen) else self._step(seen, near)
        self._started &= {seen.span_id for seen in open_branches}

    def _working(self) -> Iterator[Line]:
        for work in () if self._only_errors else self._works():
            if self._told.is_news(work):
                mark = self._glyphs.start if work.outcome is None else sign(work, self._glyphs)[0]
                yield work.time_unix_nano, f"{_clock(work.time_unix_nano)}  {mark} {_work(work)}"

    def _start(self, seen: Seen) -> str:
        return f"{_clock(seen.start_unix_nano)}  {self._glyphs.start} {seen.kind} {safe(_name(seen))}"

    def _branch(self, seen: Seen) -> Iterator[Line]:
        node = self._picture.nodes.get(seen.span_id)
        self._picture.end(seen)
        at = seen.end_unix_nano or seen.start_unix_nano
        for path in [path for path in self._paths if path[0] == _name(seen)]:
            yield from self._counted(at, path)
        if not self._only_errors or _is_failed(seen):
            sign, _ = self._glyphs.outcome(seen.outcome or seen.status)
            steps = f"  {plural(node.steps, 'step')}" if node and node.steps else ""
            took = duration(at - seen.start_unix_nano)
            more = f"{steps}{_spent(seen)}{_metrics(seen)}{self._more(seen)}"
            yield at, f"{_clock(at)}  {sign} {seen.kind} {safe(_name(seen))}  {took}{more}"

    def _step(self, seen: Seen, near: Mapping[int, Seen]) -> Iterator[Line]:
        self._picture.end(seen)
        is_failed = _is_failed(seen)
        if self._only_errors and not is_failed:
            return
        path, level = _path(seen, near)
        if level > self._levels and not is_failed:
            return
        at = seen.end_unix_nano or seen.start_unix_nano
        group = self._paths.get(path)
        if group is None:
            if len(self._paths) >= _MAX_PATHS:
                yield from self._counted(at, next(iter(self._paths)))
            group = self._paths[path] = Group(seen.start_unix_nano)
        group.add(at - seen.start_unix_nano)
        group.failed += is_failed
        if seen.spent is not None:
            group.spend(seen.spent)
        told, limit = (group.failed, _FAILURES_APART) if is_failed else (group.count, _APART)
        if told <= limit or not self._fold:
            sign, _ = self._glyphs.outcome(seen.outcome)
            took = duration(at - seen.start_unix_nano)
            yield at, f"{_clock(at)}  {sign} {self._joined(path)}  {took}{_spent(seen)}{self._more(seen)}"
        elif _is_round(told):
            yield at, self._many(at, path, group)

    def _counted(self, at: int, path: Path) -> Iterator[Line]:
        """Forget *path*; say how many steps there were, if not each of them was told."""
        group = self._paths.pop(path)
        if self._fold and group.count > _APART and not _is_round(group.count):
            yield at, self._many(at, path, group)

    def _many(self, at: int, path: Path, group: Group) -> str:
        sign, _ = self._glyphs.outcome("failed" if group.failed else "success")
        failed = f"  {group.failed:,} failed" if group.failed else ""
        counted = f"{self._glyphs.times}{group.count:,}  p50 {duration(group.median_nano)}"
        spent = "" if group.spent is None else f"  {spending(group.spent)}"
        return f"{_clock(at)}  {sign} {self._joined(path)} {counted}{spent}{failed}"

    def _more(self, seen: Seen) -> str:
        error = f"  {safe(seen.error, 200)}" if seen.error else ""
        stamps = f" {self._glyphs.dot} ".join(safe(stamp, 32) for stamp in seen.stamps[-2:])
        return f"{error}  [{stamps}]" if stamps else error

    def _joined(self, path: Path) -> str:
        return f" {self._glyphs.inside} ".join(safe(name) for name in path)

    def _send(self, lines: Sequence[str], *, timeout_seconds: float = 0.0) -> None:
        """Write *lines*, a few at a time; keep what does not go through for the next time, within reason."""
        for line in lines:
            if len(self._pending) > _MAX_PENDING:
                self._left_out += 1
            else:
                self._pending += for_encoding(line, self._encoding) + "\n"
        self._drain(timeout_seconds)
        if self._left_out and not self._pending:
            self._pending = f"{plural(self._left_out, 'line')} left out\n"
            self._left_out = 0

    def _drain(self, timeout_seconds: float) -> None:
        while self._pending:
            end = self._pending.find("\n", 512) + 1 or len(self._pending)
            written = self._outlet.write(self._pending[:end], timeout_seconds=timeout_seconds)
            self._pending = self._pending[written:]
            if written < end:
                return


def _work(work: Progress) -> str:
    return f"{safe(work.description)}  {plain(figures(work))}"


def _spent(seen: Seen) -> str:
    return "" if seen.spent is None else f"  {spending(seen.spent)}"


def _metrics(seen: Seen) -> str:
    return "".join(f"  {safe(name, 24)} {figure(value)}" for name, value in list(seen.metrics.items())[-_METRICS:])


def _is_branch(seen: Seen) -> bool:
    return seen.kind in {"experiment", "branch"}


def _is_failed(seen: Seen) -> bool:
    return seen.outcome == "failed" or seen.error is not None


def _name(seen: Seen) -> str:
    match seen.kind:
        case "branch":
            return seen.branch_name or seen.name
        case "experiment":
            return seen.experiment_name or seen.name
    return seen.name


def _path(seen: Seen, near: Mapping[int, Seen]) -> tuple[Path, int]:
    """Return the names from the branch down to *seen*, as far as they are known, and how many of them are steps'."""
    path = [seen.name]
    parent_id = seen.parent_id
    while parent_id is not None and len(path) < 32:
        parent = near.get(parent_id)
        if parent is None:
            break
        path.append(_name(parent))
        if _is_branch(parent):
            return tuple(reversed(path)), len(path) - 1
        parent_id = parent.parent_id
    if seen.branch_name is not None:
        return (seen.branch_name, *reversed(path)), len(path)
    return tuple(reversed(path)), len(path)


def _is_round(count: int) -> bool:
    """Whether *count* is 10, 100, 1,000 and so on."""
    return count >= 10 and count == 10 ** (len(str(count)) - 1)


def _clock(unix_nano: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(unix_nano / 1e9))
