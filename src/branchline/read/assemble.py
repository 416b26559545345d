"""From decoded records to the tree of a run: every span once, what was spilled or checkpointed back in its place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

from .. import names
from .._journal.anyvalue import Value, parted, whole_number
from .._journal.decode import DecodedEvent, DecodedLog, DecodedSpan, Line, Skipped
from .._journal.nested import unflattened
from .logs import exception_of, log_line
from .points import branches_of, metrics_of, point_of
from .run import Contents
from .spending import Spent, spending_in, spent_in
from .tasks import Latest
from .values import Branch, ExceptionInfo, Experiment, Link, Stamp, Step, started, walk


Key = tuple[str, str]

STARTED: Final = frozenset(names.STARTED_EVENTS.values())
BOOKKEEPING: Final = frozenset({*STARTED, names.STEP_CHECKPOINT, names.SPAN_EVENT, names.RUN_STARTED, names.RUN_ENDED})
_STATUS: Final = ("UNSET", "OK", "ERROR")
_TEXT_FIELDS: Final = (
    ("branch_name", names.BRANCH_NAME),
    ("branch_id", names.BRANCH_ID),
    ("experiment_name", names.EXPERIMENT_NAME),
    ("skip_reason", names.SKIP_REASON),
)
_USUAL: Final = frozenset({names.KIND, names.OUTCOME, *(key for _, key in _TEXT_FIELDS)})
# What our lifecycle records say about themselves, beside the identity that belongs to the span they are about.
_ABOUT_SPAN: Final = "branchline.span."
_OF_STAMP: Final = (names.STAMP_STEP, names.STAMP_ID)
_TIME = attrgetter("time_unix_nano")


@dataclass(kw_only=True)
class Gathered:
    """Everything decoded so far, each span and log record once."""

    spans: dict[Key, DecodedSpan] = field(default_factory=dict)
    places: dict[Key, str] = field(default_factory=dict)
    starts: dict[Key, DecodedLog] = field(default_factory=dict)
    checkpoints: dict[Key, list[DecodedLog]] = field(default_factory=lambda: defaultdict(list))
    spilled: dict[Key, list[DecodedEvent]] = field(default_factory=lambda: defaultdict(list))
    logs: list[tuple[DecodedLog, str]] = field(default_factory=list)
    points: list[DecodedLog] = field(default_factory=list)
    usages: list[DecodedLog] = field(default_factory=list)
    works: Latest = field(default_factory=Latest)
    _uids: set[str] = field(default_factory=set)

    def add(self, line: Line, process: str) -> None:
        """Take what a *line* of a *process* holds."""
        for span in line.spans:
            key = (span.trace_id, span.span_id)
            known = self.spans.get(key)
            # A recoverer that came too early closed it as interrupted: the real end says more.
            if known is None or known.ours.get(names.OUTCOME) == names.INTERRUPTED:
                self.spans[key] = span
                self.places[key] = process
        for log in line.logs:
            uid = log.attributes.get(names.LOG_UID)
            if isinstance(uid, str):
                if uid in self._uids:
                    continue
                self._uids.add(uid)
            self._add_log(log, process)

    def _add_log(self, log: DecodedLog, process: str) -> None:
        if log.event_name not in BOOKKEEPING:
            if log.event_name == names.METRIC_EVENT:
                self.points.append(log)
            elif log.event_name == names.USAGE_EVENT:
                self.usages.append(log)
            elif log.event_name == names.PROGRESS_EVENT:
                self.works.add(log, process)
            else:
                self.logs.append((log, process))
            return
        if log.trace_id is None or log.span_id is None:
            return
        key = (log.trace_id, log.span_id)
        if log.event_name in STARTED:
            self.starts.setdefault(key, log)
            self.places.setdefault(key, process)
        elif log.event_name == names.STEP_CHECKPOINT:
            self.checkpoints[key].append(log)
            self.places.setdefault(key, process)
        elif log.event_name == names.SPAN_EVENT:
            self.spilled[key].append(_spilled(log))


def assemble(gathered: Gathered, *, alive: Container[str], skipped: tuple[Skipped, ...] = ()) -> Contents:
    """Return what *gathered* means; an open span is interrupted unless its process is among those *alive*."""
    spans = dict(gathered.spans)
    opened = {key for key in (*gathered.starts, *gathered.checkpoints) if key not in spans}
    for key in opened:
        spans[key] = open_span(key, gathered.starts.get(key), gathered.checkpoints.get(key, ()))
    for key, events in gathered.spilled.items():
        if key in spans:
            spans[key] = spans[key]._replace(events=sorted([*spans[key].events, *events], key=_TIME))
    interrupted = {key for key in opened if gathered.places[key] not in alive}
    spans = dict(sorted(spans.items(), key=_start))
    tops, below = _related(spans)
    measured = list(zip(gathered.points, branches_of(gathered.points, spans), strict=True))
    calls = spent_in(gathered.usages, spans, below, reversed(_parents_first(tops, below)))
    made = _made(spans, tops, below, gathered.places, opened, interrupted, metrics_of(measured), Spent(calls))
    everything = [made[key] for key in spans]
    stamps = [loose_stamp(log) for log, _ in gathered.logs if log.event_name == names.STAMP_EVENT]
    logs = [log_line(log, made, process) for log, process in gathered.logs]
    points = [point_of(log, made, None if key is None else made[key]) for log, key in measured]
    return Contents(
        roots=tuple(sorted([made[key] for key in tops], key=started)),
        experiments=tuple([step for step in everything if step.__class__ is Experiment]),
        branches=tuple([step for step in everything if step.__class__ is Branch]),
        steps=tuple([step for step in everything if step.__class__ is Step]),
        stamps=tuple(sorted(stamps, key=_TIME)),
        logs=tuple(sorted(logs, key=_TIME)),
        points=tuple(sorted(points, key=_TIME)),
        tasks=gathered.works.tasks(made, alive=alive),
        usages=tuple(sorted([call.usage for call in calls], key=_TIME)),
        usage=spending_in(call.usage for call in calls),
        skipped=skipped,
    )


# ── what was spilled or checkpointed ──────────────────────────────────────────────────────────────
def _user_attributes(log: DecodedLog) -> dict[str, Value]:
    own, _ = parted(log.attributes)
    own.pop(names.LOG_UID, None)
    return own


def _spilled(log: DecodedLog) -> DecodedEvent:
    attributes = _user_attributes(log)
    attributes |= {key: value for key, value in log.attributes.items() if key.startswith(_OF_STAMP)}
    return DecodedEvent(_text(log.attributes.get(names.EVENT_NAME)), log.time_unix_nano, attributes)


def open_span(key: Key, start: DecodedLog | None, checkpoints: Iterable[DecodedLog]) -> DecodedSpan:
    """Return an open span as far as it is known: its end is 0, and its name is empty when its start was lost."""
    known = start.attributes if start is not None else {}
    hidden = (_ABOUT_SPAN, names.LOG_UID)
    attributes = {name: value for name, value in known.items() if not name.startswith(hidden)}
    events: list[DecodedEvent] = []
    records = sorted(checkpoints, key=_TIME)
    if start is not None:
        records.insert(0, start)
    name: Value = ""
    for record in records:
        attributes.update(_mapping(record.attributes.get(names.SPAN_ATTRIBUTES)))
        events += _checkpointed(record.attributes.get(names.SPAN_EVENTS))
        name = name or record.attributes.get(names.SPAN_NAME)
    source = records[0]
    own, ours = parted(attributes)
    parent = known.get(names.SPAN_PARENT_ID)
    return DecodedSpan(
        *key,
        parent_id=parent if isinstance(parent, str) else None,
        name=_text(name),
        start_unix_nano=whole_number(known.get(names.SPAN_START)) or source.time_unix_nano,
        end_unix_nano=0,
        status=0,
        status_message="",
        attributes=own,
        ours=ours,
        events=events,
        links=[],
        scope=source.scope,
        resource=source.resource,
    )


def _mapping(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}


def _checkpointed(value: Value) -> list[DecodedEvent]:
    events = []
    for item in value if isinstance(value, tuple) else ():
        event = _mapping(item)
        name, time = _text(event.get("name")), whole_number(event.get("time_unix_nano"))
        events.append(DecodedEvent(name, time, _mapping(event.get("attributes"))))
    return events


# ── the tree ──────────────────────────────────────────────────────────────────────────────────────
def _start(item: tuple[Key, DecodedSpan]) -> int:
    return item[1].start_unix_nano


def _made(
    spans: Mapping[Key, DecodedSpan],
    tops: list[Key],
    below: Mapping[Key, list[Key]],
    places: Mapping[Key, str],
    opened: set[Key],
    interrupted: set[Key],
    metrics: Mapping[Key, Mapping[str, float]],
    spent: Spent,
) -> dict[Key, Step]:
    """Return all *spans* as values, children before their parents."""
    made: dict[Key, Step] = {}
    loose: dict[str | None, list[Branch]] = defaultdict(list)
    top_keys = set(tops)
    for key in reversed(_parents_first(tops, below)):
        span = spans[key]
        children = tuple([made[child] for child in below[key]]) if key in below else ()
        more = spent.fields(key, below.get(key, ()), span, loose)
        place = places.get(key, "")
        step = step_of(span, children, place, key in opened, key in interrupted, loose, metrics.get(key), more)
        made[key] = step
        if step.__class__ is Branch and key in top_keys:
            loose[step.experiment_name].append(step)
    return made


def _related(spans: Mapping[Key, DecodedSpan]) -> tuple[list[Key], dict[Key, list[Key]]]:
    """Return the keys at the top and the children of each key, in the order of *spans*; each span is in one of them."""
    below: dict[Key, list[Key]] = defaultdict(list)
    tops: list[Key] = []
    for key, span in spans.items():
        parent = span.parent_id
        if parent is not None and (above := (key[0], parent)) in spans and above != key:
            below[above].append(key)
        else:
            tops.append(key)
    visited = _parents_first(tops, below)
    # Damaged ids can make a ring of parents; whoever started first is then the top.
    for key in spans if len(visited) < len(spans) else ():
        if key not in visited:
            tops.append(key)
            below[key[0], spans[key].parent_id or ""].remove(key)
            visited |= _parents_first([key], below)
    # Branches with a trace of their own come first: their experiments, made last, have to know them.
    tops.sort(key=lambda key: spans[key].ours.get(names.KIND) != names.KIND_BRANCH)
    return tops, below


def _parents_first(tops: Iterable[Key], below: Mapping[Key, list[Key]]) -> dict[Key, None]:
    visited: dict[Key, None] = {}
    stack = list(tops)
    while stack:
        key = stack.pop()
        visited[key] = None
        stack += below.get(key, ())
    return visited


# ── one span ──────────────────────────────────────────────────────────────────────────────────────
def step_of(
    span: DecodedSpan,
    children: tuple[Step, ...],
    process: str,
    is_open: bool = False,  # called for every span: keywords take time
    is_interrupted: bool = False,  # the same
    loose: Mapping[str | None, list[Branch]] | None = None,
    metrics: Mapping[str, float] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Step:
    """Return *span* as a value; *loose* are the branches that belong to an experiment but lie in another trace.

    *metrics* are those of a branch, *more* are fields that others have worked out.
    """
    ours = span.ours
    kind = ours.get(names.KIND)
    outcome = ours.get(names.OUTCOME)
    if is_open or not isinstance(outcome, str):
        outcome = _outcome(span, is_open=is_open, is_interrupted=is_interrupted)
    fields: dict[str, Any] = {
        "name": span.name,
        "kind": kind if isinstance(kind, str) and kind in names.STARTED_EVENTS else "span",
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "start_unix_nano": span.start_unix_nano,
        "end_unix_nano": None if is_open else span.end_unix_nano or None,
        "outcome": outcome,
        "status": "ERROR" if is_interrupted else _STATUS[span.status],
        "status_message": span.status_message,
        "attributes": span.attributes,
        "arguments": {},
        "children": children,
        "process": process,
        "scope": span.scope,
        "is_open": is_open,
    }
    if more:
        fields.update(more)
    if span.events:
        fields["stamps"], fields["exception"] = _events(span.events)
    if span.links:
        fields["links"] = tuple(Link(**link._asdict()) for link in span.links)
    for name, key in _TEXT_FIELDS:
        text = ours.get(key)
        if text is not None:
            fields[name] = text if text.__class__ is str else _text(text)
    if not ours.keys() <= _USUAL:
        fields["arguments"] = _below(ours, names.ARGUMENTS_PREFIX)
        fields["result"] = ours.get(names.RESULT)
    if kind == names.KIND_BRANCH:
        return _branch(fields, ours, metrics or {}, is_interrupted=is_interrupted)
    if kind == names.KIND_EXPERIMENT:
        branches = [below for below in walk(children) if isinstance(below, Branch)]
        branches += (loose or {}).get(span.name, ())
        return Experiment(**fields, branches=tuple(sorted(branches, key=started)))
    step = object.__new__(Step)
    # A frozen dataclass sets each of its fields by a call of its own: for steps, of which there are many, too slow.
    object.__setattr__(step, "__dict__", fields)
    return step


def _branch(
    fields: dict[str, Any], attributes: Mapping[str, Value], metrics: Mapping[str, float], *, is_interrupted: bool
) -> Branch:
    status = names.INTERRUPTED if is_interrupted else attributes.get(names.BRANCH_STATUS)
    fields["status"] = _optional_text(status) or fields["outcome"] or names.PENDING
    return Branch(
        **fields,
        config_id=fields.get("branch_id"),
        config=unflattened(_below(attributes, names.BRANCH_CONFIG_PREFIX)),
        output=attributes.get(names.BRANCH_OUTPUT),
        metrics=metrics,
        retries=whole_number(attributes.get(names.BRANCH_RETRIES)) or 0,
        position=None if (position := attributes.get(names.BRANCH_POSITION)) is None else whole_number(position),
        repeat=whole_number(attributes.get(names.BRANCH_REPEAT)) or 0,
        order=_optional_text(attributes.get(names.BRANCH_ORDER)),
        is_shadow=attributes.get(names.BRANCH_SHADOW) is True,
    )


def _outcome(span: DecodedSpan, *, is_open: bool, is_interrupted: bool) -> str | None:
    if is_open:
        return names.INTERRUPTED if is_interrupted else None
    return names.FAILED if span.status == 2 else names.SUCCESS


def _events(events: Iterable[DecodedEvent]) -> tuple[tuple[Stamp, ...], ExceptionInfo | None]:
    stamps = []
    exception = None
    for event in events:
        if event.name == names.EXCEPTION:
            # A later one was raised further out: it is what the step ended with.
            exception = exception_of(event.attributes)
        else:
            stamps.append(_stamp(event.name, event.time_unix_nano, event.attributes))
    return tuple(stamps), exception


def _stamp(name: str, time_unix_nano: int, attributes: Mapping[str, Value]) -> Stamp:
    own, ours = parted(attributes)
    own.pop(names.LOG_UID, None)
    if not ours:
        return Stamp(name, own, time_unix_nano=time_unix_nano)
    step = ours.get(names.STAMP_STEP)
    return Stamp(
        name,
        own,
        time_unix_nano=time_unix_nano,
        step=step if isinstance(step, int) else None,
        id=_optional_text(ours.get(names.STAMP_ID)),
    )


def _below(attributes: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    return {key[len(prefix) :]: value for key, value in attributes.items() if key.startswith(prefix)}


# ── log records ───────────────────────────────────────────────────────────────────────────────────
def loose_stamp(log: DecodedLog) -> Stamp:
    """Return the stamp of a *log* record that stands for a stamp outside of any step."""
    return _stamp(_text(log.attributes.get(names.STAMP_NAME)), log.time_unix_nano, log.attributes)


def _text(value: Value) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _optional_text(value: Value) -> str | None:
    return None if value is None else _text(value)
