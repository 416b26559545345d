"""The picture: which experiments and branches a journal tells of, and which points and spans belong to each."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ... import names
from ..._journal.anyvalue import Value, parted, whole_number
from ..._journal.decode import DecodedLog, DecodedSpan, Line
from ..._mlflow.limits import Point
from .points import point_of, samples_in, source_of


LOOSE: Final = "run"
"""The key of what lies outside of all experiments and branches: the run itself."""

_ERROR: Final = 2
_STARTED: Final = frozenset(names.STARTED_EVENTS.values())
_ENTITIES: Final = frozenset({names.KIND_EXPERIMENT, names.KIND_BRANCH})
_NOBODY: Final = (None, None)
_NO_SPAN: Final[Mapping[str, Value]] = {}
# Of a branch that goes on for long, so many spans wait for its end.
MOST_WAITING: Final = 5_000
# For so long nobody takes the steps of a run for all of it: an experiment may be about to begin.
_BARE_NANOS: Final = 30_000_000_000

Position = tuple[int, int]
"""The number of a segment, and the offset behind a line of it."""


class PointAt(NamedTuple):
    """One value of a metric, and where in the journal it is."""

    source: str
    """Which file of which process that is, as ``points.source_of`` has it."""
    position: Position
    point: Point


class SpanAt(NamedTuple):
    """One ended span, and whether it was read behind the cursor."""

    span: DecodedSpan
    is_new: bool


class Closed(NamedTuple):
    """An end that nobody has recorded."""

    outcome: str
    end_unix_nano: int


@dataclass(slots=True)
class Entity:
    """What becomes one run of MLflow: an experiment, a branch, or all that is in neither."""

    key: str
    kind: str
    name: str = ""
    trace_id: str = ""
    start_unix_nano: int = 0
    ours: Mapping[str, Value] = field(default_factory=dict)
    attributes: Mapping[str, Value] = field(default_factory=dict)
    resource: Mapping[str, Value] = field(default_factory=dict)
    ended: DecodedSpan | None = None
    closed: Closed | None = None
    """How it ended where no span says so."""
    points: list[PointAt] = field(default_factory=list)
    """Those that MLflow has not taken yet."""
    spans: list[SpanAt] = field(default_factory=list)
    """Those that no trace has taken yet."""
    around: set[str] = field(default_factory=set)
    """The ids of what is above those that a trace has taken, and that called models."""
    counts: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))

    def text(self, key: str) -> str:
        """Return what it says of itself under one of branchline's own names."""
        value = self.ours.get(key)
        return value if isinstance(value, str) else ""


class _Waiting(NamedTuple):
    """A line of points whose spans are not all known yet."""

    position: Position
    logs: Sequence[DecodedLog]
    is_new: bool


class Picture:
    """What one run's journal says, put together as it is read; the order of the lines does not matter."""

    def __init__(self, *, wants_span: Callable[[str, bool], bool] | None = None) -> None:
        """Know nothing yet; who *wants spans* says so by the key of their entity, and whether they are new."""
        self.entities: dict[str, Entity] = {}
        self.changed: dict[str, None] = {}
        """The keys of what there is something new to tell of, in the order in which it was seen."""
        self._wants_span = wants_span
        self._above: dict[str, str | None] = {}
        # Those that a process has begun: what it took meanwhile is theirs.
        self._experiments: dict[str, list[str]] = defaultdict(list)
        self._waiting: dict[str, deque[_Waiting]] = defaultdict(deque)
        self._homeless: dict[str, SpanAt] = {}
        self.loose_spans: dict[str, list[SpanAt]] = {}
        """Those that no trace has taken yet and that lie outside of all entities, by the span at the top of them."""
        self._tops: dict[str, str] = {}
        self._first = 0
        self._resource: Mapping[str, Value] = {}
        self.revived: set[str] = set()
        """The keys of those that were given up, and of which all is to be told after all."""
        self._is_closed = False
        self._begun: dict[tuple[Value, Value], list[tuple[int, str]]] = defaultdict(list)
        self.settled: dict[str, Position] = {}
        """By process: the last line of points that are with their entities."""
        self.latest = 0
        """When the last thing that was read happened."""

    # ── reading ───────────────────────────────────────────────────────────────────────────────────

    def add_spans(self, line: Line, *, is_new: bool = True) -> None:
        """Take the ended spans of a *line*, which is *new* behind the cursor."""
        for span in line.spans:
            self.latest = max(self.latest, span.end_unix_nano)
            self._above[span.span_id] = span.parent_id
            if span.ours.get(names.KIND) in _ENTITIES:
                self._ended(span)
            self._house(SpanAt(span, is_new))

    def add_logs(self, line: Line, process: str, position: Position, *, is_new: bool) -> bool:
        """Take the log records of a *line*, return whether there are points; where not *new*, MLflow has these."""
        points = []
        for log in line.logs:
            self.latest = max(self.latest, log.observed_unix_nano)
            if log.event_name == names.METRIC_EVENT:
                points.append(log)
            elif log.event_name in _STARTED and log.span_id is not None:
                self._started(log, log.span_id, process)
        if points:
            self._waiting[process].append(_Waiting(position, points, is_new))
        return bool(points)

    def add_samples(self, line: bytes, process: str, position: Position, *, is_new: bool) -> None:
        """Take what is in a *line* of metrics about the process: it belongs to the experiments that it had open."""
        for moment, name, value in samples_in(line):
            for entity in self._experiments_of(process, moment):
                which = source_of(process, "metrics"), name
                number = entity.counts[which]
                entity.counts[which] += 1
                if is_new:
                    point = Point(key=name, value=value, timestamp_ms=moment // 1_000_000, step=number)
                    entity.points.append(PointAt(which[0], position, point))
                    self.changed[entity.key] = None

    def _experiments_of(self, process: str, moment: int) -> list[Entity]:
        return [
            entity
            for key in self._experiments.get(process, ())
            if (entity := self.entities[key]).start_unix_nano <= moment
            and (entity.ended is None or moment <= entity.ended.end_unix_nano)
        ]

    def _started(self, log: DecodedLog, key: str, process: str) -> None:
        parent = log.attributes.get(names.SPAN_PARENT_ID)
        self._above.setdefault(key, parent if isinstance(parent, str) else None)
        kind = log.attributes.get(names.KIND)
        if kind == names.KIND_EXPERIMENT:
            self._experiments[process].append(key)
        if kind not in _ENTITIES or key in self.entities:
            return
        own, ours = parted({**_mapping(log.attributes.get(names.SPAN_ATTRIBUTES)), **_identity_of(log)})
        self._opened(
            Entity(
                key=key,
                kind=str(kind),
                name=str(log.attributes.get(names.SPAN_NAME) or ""),
                trace_id=log.trace_id or "",
                start_unix_nano=whole_number(log.attributes.get(names.SPAN_START)) or log.time_unix_nano,
                ours=ours,
                attributes=own,
                resource=log.resource,
            )
        )

    def _ended(self, span: DecodedSpan) -> None:
        entity = self.entities.get(span.span_id)
        if entity is None:
            entity = Entity(key=span.span_id, kind=str(span.ours.get(names.KIND)))
            entity.ours, entity.start_unix_nano = span.ours, span.start_unix_nano
            self._opened(entity)
        elif entity.ended is not None and entity.ended.ours.get(names.OUTCOME) != names.INTERRUPTED:
            # Said twice. Of two ends, one may be a recoverer's that came too early: the real one says more.
            return
        entity.name, entity.trace_id, entity.ended = span.name, span.trace_id, span
        entity.ours, entity.attributes, entity.resource = span.ours, span.attributes, span.resource
        self.changed[entity.key] = None

    def _opened(self, entity: Entity) -> None:
        self.entities[entity.key] = entity
        self.changed[entity.key] = None
        who = entity.ours.get(names.EXPERIMENT_NAME), entity.ours.get(names.BRANCH_ID)
        self._begun[who].append((entity.start_unix_nano, entity.key))
        self._begun[who].sort()

    # ── what belongs where ────────────────────────────────────────────────────────────────────────

    def owner(self, span_id: str | None) -> str | None:
        """Return the key of the entity that a span lies in, the run's for outside of all; None: not known yet."""
        seen: set[str] = set()
        # Damaged ids can make a ring of parents.
        while span_id is not None and span_id not in seen:
            if span_id in self.entities:
                return span_id
            if span_id not in self._above:
                return None
            seen.add(span_id)
            span_id = self._above[span_id]
        return LOOSE

    def parent(self, entity: Entity, *, is_final: bool) -> str | None:
        """Return the key of the entity that *entity* is shown below, the run's for none; None: not known yet."""
        if entity.key == LOOSE:
            return LOOSE
        above = self._above.get(entity.key)
        found = self.owner(above)
        if found not in (None, LOOSE) or (found is None and not is_final):
            return found
        # In a trace of its own it still names the experiment that it belongs to.
        named = self._named((entity.ours.get(names.EXPERIMENT_NAME), None), entity.start_unix_nano)
        return LOOSE if named is None or entity.kind == names.KIND_EXPERIMENT else named

    def _named(self, who: tuple[Value, Value], moment: int) -> str | None:
        """Return the key of what calls itself so; of several, of the one begun last before the *moment*."""
        begun = self._begun.get(who, [])
        place = bisect_right(begun, moment, key=lambda start: start[0])
        return begun[place - 1][1] if place and who != _NOBODY else None

    def settle(self, *, is_final: bool = False) -> None:
        """Give points and spans to the entities they lie in; *finally* also those of whose spans nothing is known."""
        for process, waiting in self._waiting.items():
            while waiting:
                owners = [self._owner_of(log, is_final=is_final) for log in waiting[0].logs]
                if None in owners:
                    # In their order: what is behind them in the file waits as well.
                    break
                line = waiting.popleft()
                for log, owner in zip(line.logs, owners, strict=True):
                    self._place(owner or LOOSE, log, process, line)
                self.settled[process] = line.position
        for at in list(self._homeless.values()):
            self._house(at, is_final=is_final)
        if self.is_undecided and (is_final or self.latest - self._first > _BARE_NANOS):
            self.loose(self._first, self._resource)

    @property
    def is_undecided(self) -> bool:
        """Whether there are steps outside of everything, of which it is open whether they are all that there is."""
        return bool(self._tops) and not self.entities

    @property
    def is_waiting(self) -> bool:
        """Whether there are points, or spans, of which nobody knows yet where they belong."""
        return any(self._waiting.values()) or bool(self._homeless)

    def _owner_of(self, log: DecodedLog, *, is_final: bool) -> str | None:
        who = log.attributes.get(names.EXPERIMENT_NAME), log.attributes.get(names.BRANCH_ID)
        found = LOOSE if log.span_id is None else self.owner(log.span_id)
        if found not in (None, LOOSE) or (found is None and not is_final):
            return found
        return self._named(who, log.time_unix_nano) or self._named((who[0], None), log.time_unix_nano) or LOOSE

    def _place(self, owner: str, log: DecodedLog, process: str, line: _Waiting) -> None:
        entity = self.entities[owner] if owner != LOOSE else self.loose(log.time_unix_nano, log.resource)
        which = process, str(log.attributes.get(names.METRIC_NAME) or "")
        number = entity.counts[which]
        entity.counts[which] += 1
        if line.is_new or owner in self.revived:
            entity.points.append(PointAt(source_of(process, "logs"), line.position, point_of(log, number)))
            self.changed[owner] = None

    def loose(self, moment: int, resource: Mapping[str, Value]) -> Entity:
        """Return the entity of what lies outside of all others, which began at *moment* at the latest."""
        entity = self.entities.get(LOOSE)
        if entity is None:
            entity = self.entities[LOOSE] = Entity(key=LOOSE, kind=LOOSE, start_unix_nano=moment, resource=resource)
            self.changed[LOOSE] = None
        entity.start_unix_nano = min(entity.start_unix_nano, moment)
        entity.resource = entity.resource or resource
        return entity

    def close(self) -> None:
        """Learn that nobody writes any more: what is open was abandoned, and the run itself has ended."""
        if self.is_undecided:
            self.loose(self._first, self._resource)
        if not self._is_closed:
            # What is known of the run as a whole is final by now.
            self._is_closed = True
            self.changed.update(dict.fromkeys(self.entities))
        for entity in self.entities.values():
            if entity.ended is None and entity.closed is None:
                outcome = self._loose_outcome() if entity.key == LOOSE else names.INTERRUPTED
                entity.closed = Closed(outcome, max(self.latest, entity.start_unix_nano))
                self.changed[entity.key] = None

    # ── spans ─────────────────────────────────────────────────────────────────────────────────────

    def _house(self, at: SpanAt, *, is_final: bool = False) -> None:
        span = at.span
        owner = self.owner(span.span_id)
        # In a trace of its own it still names the branch that it belongs to.
        who = _who(span)
        is_nobodys = owner == LOOSE and who == _NOBODY
        if owner is None or owner == LOOSE:
            owner = None if owner is None and not is_final else self._named(who, span.start_unix_nano)
        self._homeless.pop(span.span_id, None)
        if owner is None and not is_final and not is_nobodys:
            self._homeless[span.span_id] = at
        elif owner is None:
            self._leave_outside(at)
        elif self._wants_span is not None and self._wants_span(owner, at.is_new):
            entity = self.entities[owner]
            entity.spans.append(at)
            if entity.ended is not None or entity.closed is not None or self.is_much(entity):
                self.changed[owner] = None

    def above(self, span_id: str, top: str) -> Iterator[str]:
        """Yield the ids of what is above a span, up to the *top*."""
        seen = {span_id}
        while span_id != top and (parent := self._above.get(span_id)) is not None and parent not in seen:
            yield parent
            span_id = parent
            seen.add(span_id)

    def is_much(self, entity: Entity) -> bool:
        """Whether the spans of *entity* should not wait for its end."""
        return len(entity.spans) >= MOST_WAITING

    def awaits_home(self, has_trace: Callable[[str], bool]) -> bool:
        """Whether spans are without a home that may be one which *has a trace* already: a restart would forget them."""
        return any(
            (key := self._named(_who(at.span), at.span.start_unix_nano)) is not None and has_trace(key)
            for at in self._homeless.values()
        )

    def _leave_outside(self, at: SpanAt) -> None:
        top = self._top(at.span.span_id)
        if self._wants_span is not None and self._wants_span(LOOSE, at.is_new):
            self.loose_spans.setdefault(top, []).append(at)
        if top == at.span.span_id:
            self._tops[top] = str(at.span.ours.get(names.OUTCOME) or (names.FAILED if at.span.status == _ERROR else ""))
            self._first = min(self._first or at.span.start_unix_nano, at.span.start_unix_nano)
            self._resource = at.span.resource
        if top in self._tops and LOOSE in self.entities:
            self.changed[LOOSE] = None

    def _top(self, span_id: str) -> str:
        seen = {span_id}
        while (parent := self._above.get(span_id)) is not None and parent in self._above and parent not in seen:
            span_id = parent
            seen.add(span_id)
        return span_id

    def has_ended(self, top: str) -> bool:
        """Whether the span at the *top* of others, outside of all entities, has ended."""
        return top in self._tops

    def _loose_outcome(self) -> str:
        found = set(self._tops.values())
        worst = (names.FAILED, names.INTERRUPTED, names.CANCELLED)
        return next((outcome for outcome in worst if outcome in found), names.SUCCESS)


def _who(span: DecodedSpan) -> tuple[Value, Value]:
    return span.ours.get(names.EXPERIMENT_NAME), span.ours.get(names.BRANCH_ID)


def _identity_of(log: DecodedLog) -> dict[str, Value]:
    keys = (names.EXPERIMENT_NAME, names.BRANCH_ID, names.BRANCH_NAME, names.KIND)
    return {key: log.attributes[key] for key in keys if key in log.attributes}


def _mapping(value: Value) -> Mapping[str, Value]:
    return value if isinstance(value, dict) else _NO_SPAN
