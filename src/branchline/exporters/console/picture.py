"""What the console remembers of a run: bounded, however many spans there were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..._journal.seen import Seen
from ...progress_values import Progress
from ...tally import Tally


# Names of steps told apart in one place; what comes later is counted under one name.
MAX_GROUPS = 50
OTHERS = "(other steps)"

# Finished branches remembered by name, and of these the ones whose steps are remembered as well.
MAX_KEPT = 200
MAX_KEPT_WITH_STEPS = 24

# Work that has ended, remembered in one place: the latest.
_MAX_ENDED = 5

# A parent that neither opened nor ended in so many looks is in another process.
_PATIENCE = 3


class Group:
    """Steps of one name in one place, ended: what is left of them."""

    __slots__ = (
        "_buckets",
        "count",
        "error",
        "failed",
        "first_start_unix_nano",
        "groups",
        "longest_nano",
        "outcome",
        "shortest_nano",
        "spent",
        "stamps",
    )

    def __init__(self, first_start_unix_nano: int) -> None:
        self.count = 0
        self.failed = 0
        self.shortest_nano = 1 << 62
        self.longest_nano = 0
        self.first_start_unix_nano = first_start_unix_nano
        self.outcome: str | None = None
        self.error: str | None = None
        self.stamps: tuple[str, ...] = ()
        self.spent: Tally | None = None
        self.groups: dict[str, Group] = {}
        self._buckets: dict[int, int] = {}

    def add(self, duration_nano: int) -> None:
        """Count one more step of this length."""
        self.count += 1
        self.shortest_nano = min(self.shortest_nano, duration_nano)
        self.longest_nano = max(self.longest_nano, duration_nano)
        bits = duration_nano.bit_length()
        # Sixteen buckets an octave: within 3 % of the truth, in a few hundred numbers for any number of steps.
        bucket = (bits << 4) | ((duration_nano << 5 >> bits) & 15)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    def spend(self, spent: Tally) -> None:
        """Add what one more of them took of models."""
        if self.spent is None:
            self.spent = Tally()
        self.spent.take(spent)

    def absorb(self, other: Group) -> None:
        """Count everything that *other* counted."""
        self.count += other.count
        self.failed += other.failed
        self.shortest_nano = min(self.shortest_nano, other.shortest_nano)
        self.longest_nano = max(self.longest_nano, other.longest_nano)
        self.first_start_unix_nano = min(self.first_start_unix_nano, other.first_start_unix_nano)
        self.outcome = other.outcome
        self.error = other.error or self.error
        self.stamps = other.stamps or self.stamps
        if other.spent is not None:
            self.spend(other.spent)
        for bucket, count in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count
        absorb_groups(self.groups, other.groups)

    @property
    def worst(self) -> str:
        """How the last of them ended, or that one failed."""
        return "failed" if self.failed else self.outcome or "success"

    @property
    def median_nano(self) -> int:
        """The length of the step in the middle."""
        left = (self.count + 1) // 2
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                middle = ((2 * (16 + (bucket & 15)) + 1) << (bucket >> 4)) >> 6
                return min(max(middle, self.shortest_nano), self.longest_nano)
        return 0


class Node:
    """An open span, or an experiment or branch that has ended, with what is left of everything in it."""

    __slots__ = ("child", "errors", "groups", "kept", "looks", "parent", "seen", "steps", "unkept")

    def __init__(self, child: Seen | None = None) -> None:
        self.seen: Seen | None = None
        self.child = child
        """The first that ended in it: it knows its branch, also when the parent is never seen."""
        self.parent: Node | None = None
        """Of an experiment or branch that has ended."""
        self.groups: dict[str, Group] = {}
        self.kept: list[Node] = []
        self.unkept: dict[str, int] = {}
        """Branches that ended and are remembered no more, by outcome."""
        self.steps = 0
        self.errors = 0
        self.looks = 0


class Picture:
    """A run so far: spans that ended go into what is left of their parents.

    One span more costs one look-up and a few additions; memory grows with what is open and with names, not with spans.
    """

    def __init__(self, *, levels: int) -> None:
        self.levels = levels
        self.root = Node()
        self.open_: Sequence[Seen] = ()
        self.nodes: dict[int, Node] = {}
        self.works: dict[int | None, list[Progress]] = {}
        """What is worked on, and has been, by the open span that it belongs to; elsewhere it is the run's."""
        self._finished: dict[int, Node] = {}

    def __repr__(self) -> str:
        return f"<Picture of {self.root.steps} step(s), {len(self.open_)} open>"

    def take(self, ended: Sequence[Seen], open_: Sequence[Seen]) -> None:
        """Remember what has *ended* since the last time and what is open now."""
        for seen in ended:
            self.end(seen)
        self.open_ = open_

    def work(self, works: Sequence[Progress]) -> None:
        """Remember how far all *works* are now; what has ended, only for as long as its step is open."""
        open_ids = {seen.span_id for seen in self.open_}
        known = {work.task_id for work in works}
        before = [work for place in self.works.values() for work in place if work.task_id not in known]
        self.works = {}
        # What was part of something is over with its end: there may be one for each item.
        works = [work for work in works if work.outcome is None or work.parent_id is None]
        for work in (*(work for work in before if work.outcome is not None), *works):
            place = work.span_id if work.span_id in open_ids else None
            if place is not None or work.span_id is None or work.outcome is None:
                self.works.setdefault(place, []).append(work)
        for place, found in self.works.items():
            ended = [work for work in found if work.outcome is not None][-_MAX_ENDED:]
            self.works[place] = [*ended, *(work for work in found if work.outcome is None)]

    def end(self, seen: Seen) -> Group | None:
        """Fold one span that ended into its parent; return the group it went into, None for a branch or experiment."""
        node = self.nodes.pop(seen.span_id, None)
        parent_id = seen.parent_id
        if parent_id is None:
            parent = self.root
        elif (known := self.nodes.get(parent_id)) is not None:
            parent = known
        else:
            parent = self.nodes[parent_id] = Node(seen)
        is_failed = seen.outcome == "failed" or (seen.outcome is None and seen.error is not None)
        if seen.kind in {"branch", "experiment"}:
            self._keep(parent, seen, node or Node(), is_failed=is_failed)
            return None
        name = seen.name
        group = parent.groups.get(name)
        if group is None:
            group = _new_group(parent.groups, name, seen.start_unix_nano)
        parent.steps += 1
        group.add(max((seen.end_unix_nano or seen.start_unix_nano) - seen.start_unix_nano, 0))
        group.outcome = seen.outcome
        if seen.stamps:
            group.stamps = seen.stamps[-2:]
        if seen.spent is not None:
            group.spend(seen.spent)
        if is_failed:
            group.failed += 1
            group.error = seen.error or group.error
            # An error is counted where it came from, not once more in every step it went through.
            if node is None or not node.errors:
                parent.errors += 1
        if node is not None:
            self._fold(parent, node, group)
        return group

    def settle(self, *, is_over: bool = False) -> None:
        """Give up waiting for parents that ended before, or are in another process: what is in them is the branch's."""
        open_ids = {seen.span_id for seen in self.open_}
        for span_id in [span_id for span_id in self.nodes if span_id not in open_ids]:
            node = self.nodes[span_id]
            node.looks += 1
            if is_over or node.looks >= _PATIENCE:
                del self.nodes[span_id]
                _pour(self._finished.get(span_id) or self._branch_of(node.child), node)

    def outcome(self) -> str:
        """Return how the run went: as the worst of what was at its top."""
        ended = {group.worst for group in self.root.groups.values()}
        ended |= {kept.seen.outcome or "success" for kept in self.root.kept if kept.seen is not None}
        ended |= self.root.unkept.keys()
        return next((outcome for outcome in ("failed", "interrupted", "cancelled") if outcome in ended), "success")

    def branches(self) -> Iterator[tuple[Node, str | None]]:
        """Yield every branch that has ended and is remembered, with the name of its experiment."""
        for node in (self.root, *self.nodes.values()):
            yield from _branches(node)

    def unkept(self) -> Mapping[str, int]:
        """Return how many branches are remembered only as a number, by outcome."""
        numbers: dict[str, int] = {}
        for node in (self.root, *self.nodes.values()):
            _unkept(node, numbers)
        return numbers

    def _branch_of(self, child: Seen | None) -> Node:
        """Return the branch that *child* says it is in; the run itself if there is none."""
        if child is not None and child.branch_name is not None:
            for seen in self.open_:
                if _is_branch_of(child, seen):
                    return self.nodes.setdefault(seen.span_id, Node())
            for node in reversed(self._finished.values()):
                if _is_branch_of(child, node.seen):
                    return node
        return self.root

    def _keep(self, parent: Node, seen: Seen, node: Node, *, is_failed: bool) -> None:
        if is_failed and not node.errors:
            node.errors = 1
        # Only what is shown: a configuration may be large, and a branch is kept for the whole run.
        node.seen = seen._replace(attributes={})
        node.parent = parent
        parent.steps += node.steps
        parent.errors += node.errors
        parent.kept.append(node)
        self._finished[seen.span_id] = node
        if len(self._finished) > MAX_KEPT_WITH_STEPS:
            self._finished.pop(next(iter(self._finished))).groups = {}
        if len(parent.kept) > MAX_KEPT:
            _forget(parent)

    def _fold(self, parent: Node, node: Node, group: Group) -> None:
        parent.steps += node.steps
        parent.errors += node.errors
        parent.kept.extend(node.kept)
        for outcome, count in node.unkept.items():
            parent.unkept[outcome] = parent.unkept.get(outcome, 0) + count
        while len(parent.kept) > MAX_KEPT:
            _forget(parent)
        _trim(node.groups, self.levels - 1)
        absorb_groups(group.groups, node.groups)


def absorb_groups(into: dict[str, Group], groups: Mapping[str, Group]) -> None:
    """Add *groups* to those of another place, name by name."""
    for name, group in groups.items():
        known = into.get(name)
        if known is None and len(into) < MAX_GROUPS:
            into[name] = group
        else:
            (known or _new_group(into, name, group.first_start_unix_nano)).absorb(group)


def _new_group(groups: dict[str, Group], name: str, start_unix_nano: int) -> Group:
    if len(groups) >= MAX_GROUPS:
        name = OTHERS
    group = groups.get(name)
    if group is None:
        group = groups[name] = Group(start_unix_nano)
    return group


def _trim(groups: dict[str, Group], levels: int) -> None:
    if levels <= 0:
        groups.clear()
        return
    for group in groups.values():
        if group.groups:
            _trim(group.groups, levels - 1)


def _is_branch_of(child: Seen, seen: Seen | None) -> bool:
    return (
        seen is not None
        and seen.kind == "branch"
        and (seen.branch_name, seen.trace_id) == (child.branch_name, child.trace_id)
    )


def _pour(into: Node, node: Node) -> None:
    into.kept.extend(node.kept)
    absorb_groups(into.groups, node.groups)
    place: Node | None = into
    while place is not None:
        place.steps += node.steps
        place.errors += node.errors
        place = place.parent


def _forget(node: Node) -> None:
    # What failed is remembered longest: it is what a person looks for.
    index = next((i for i, kept in enumerate(node.kept) if not kept.errors), 0)
    forgotten = node.kept.pop(index)
    _count_forgotten(forgotten, node.unkept)


def _count_forgotten(node: Node, into: dict[str, int]) -> None:
    if node.seen is not None and node.seen.kind == "branch":
        outcome = node.seen.outcome or node.seen.status or "success"
        into[outcome] = into.get(outcome, 0) + 1
    for outcome, count in node.unkept.items():
        into[outcome] = into.get(outcome, 0) + count
    for kept in node.kept:
        _count_forgotten(kept, into)


def _branches(node: Node, experiment: str | None = None) -> Iterator[tuple[Node, str | None]]:
    for kept in node.kept:
        if kept.seen is None:
            continue
        if kept.seen.kind == "branch":
            yield kept, kept.seen.experiment_name or experiment
            yield from _branches(kept, experiment)
        else:
            yield from _branches(kept, kept.seen.name)


def _unkept(node: Node, into: dict[str, int]) -> None:
    for outcome, count in node.unkept.items():
        into[outcome] = into.get(outcome, 0) + count
    for kept in node.kept:
        _unkept(kept, into)
