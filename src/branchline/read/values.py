"""What a reader gets: experiments, branches, steps, stamps, logs and points as frozen values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Final

from .._journal.anyvalue import Value
from ..progress_values import Progress
from .totals import NOTHING, Spending


SECOND: Final = 1_000_000_000


@dataclass(frozen=True, repr=False)
class Stamp:
    """A named moment inside a step. Two stamps are equal when name, attributes and step number are; time aside."""

    name: str
    attributes: Mapping[str, Value] = field(default_factory=dict, hash=False)
    _: KW_ONLY
    time_unix_nano: int = field(default=0, compare=False)
    step: int | None = None
    """The number that a stamp manager gave it."""
    id: str | None = field(default=None, compare=False)
    """The id that a stamp manager gave it."""

    def __repr__(self) -> str:
        step = "" if self.step is None else f", step={self.step}"
        return f"Stamp({self.name!r}, {dict(self.attributes)!r}{step})"


@dataclass(frozen=True, kw_only=True)
class ExceptionInfo:
    """An exception as it was recorded."""

    type: str
    message: str = ""
    stacktrace: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


@dataclass(frozen=True, kw_only=True)
class Link:
    """A reference from a step to a span that is not its parent."""

    trace_id: str
    span_id: str
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One log record or event."""

    time_unix_nano: int
    level: str
    """In OpenTelemetry's words: ``TRACE``, ``DEBUG``, ``INFO``, ``WARN``, ``ERROR``, ``FATAL``; or in its source's."""
    message: str
    event_name: str | None = None
    attributes: Mapping[str, Value] = field(default_factory=dict)
    """The user's fields; what branchline and OpenTelemetry say of every record is in the other fields."""
    body: Value = None
    """What was said, where that is more than a text."""
    level_name: str = ""
    """What its logger calls the level: ``WARNING``, or a level of its own."""
    severity_number: int = 0
    """1 to 24, from TRACE to FATAL; 0 where nothing was said."""
    logger_name: str = ""
    """The logger, or the instrumentation scope, that recorded it."""
    exception: ExceptionInfo | None = None
    trace_id: str | None = None
    span_id: str | None = None
    step_name: str | None = None
    """Of the step that it was written in."""
    branch_name: str | None = None
    branch_id: str | None = None
    experiment_name: str | None = None
    file: str | None = None
    """Of the source code that wrote it."""
    line: int | None = None
    function: str | None = None
    observed_unix_nano: int = field(default=0, compare=False)
    """When it was recorded, which may be later than what it tells of."""
    process: str = field(default="", compare=False)
    """The name of the process that it was written in."""
    uid: str | None = field(default=None, compare=False)
    """A name that no other record has."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One value of a recorded metric. Two points are equal whenever and in whatever trace they were recorded."""

    name: str
    value: float
    unit: str | None = None
    step: int | None = None
    """Its place in a series, where the user gave it one."""
    time_unix_nano: int = field(default=0, compare=False)
    attributes: Mapping[str, Value] = field(default_factory=dict, hash=False)
    trace_id: str | None = field(default=None, compare=False)
    span_id: str | None = field(default=None, compare=False)
    step_name: str | None = None
    """Of the step that it was recorded in."""
    branch_name: str | None = None
    branch_id: str | None = None
    experiment_name: str | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class Task:
    """A piece of work that said how far it is: a tracked loop, or a task of a tracker. As it was last heard of."""

    description: str
    done: float = 0
    total: float | None = None
    """None where nobody knew."""
    outcome: str | None = None
    """``success``, ``failed``, ``closed`` (left early), ``cancelled`` or ``interrupted``; None while it goes on."""
    message: str = ""
    """What went wrong."""
    stalls: int = 0
    """How often no item ended for far longer than usual."""
    step_name: str | None = None
    """Of the step that it belongs to."""
    branch_name: str | None = None
    branch_id: str | None = None
    experiment_name: str | None = None
    id: str = field(default="", compare=False)
    parent_id: str | None = field(default=None, compare=False)
    """Of the task that it is part of."""
    rate: float | None = field(default=None, compare=False)
    """Items a second: of late, or once it is over, of all of it."""
    eta_seconds: float | None = field(default=None, compare=False)
    """How long it still takes."""
    stalled_seconds: float | None = field(default=None, compare=False)
    start_unix_nano: int = field(default=0, compare=False)
    time_unix_nano: int = field(default=0, compare=False)
    """When it was last heard of: when it ended, if it did."""
    trace_id: str | None = field(default=None, compare=False)
    span_id: str | None = field(default=None, compare=False)
    process: str = field(default="", compare=False)
    """The name of the process that it goes on in."""

    @property
    def progress(self) -> Progress:
        """How far it is, as it is shown."""
        return Progress(
            task_id=self.id,
            description=self.description,
            done=self.done,
            total=self.total,
            rate=self.rate,
            eta_seconds=self.eta_seconds if self.outcome is None else None,
            outcome=self.outcome,
            start_unix_nano=self.start_unix_nano,
            time_unix_nano=self.time_unix_nano,
            elapsed_seconds=max(self.time_unix_nano - self.start_unix_nano, 0) / SECOND,
            parent_id=self.parent_id,
            is_inner=self.parent_id is not None,
            stalls=self.stalls,
            stalled_seconds=self.stalled_seconds if self.outcome is None else None,
            message=self.message,
        )

    @property
    def percent(self) -> int | None:
        """How much of it is done, rounded down; None where nobody knows."""
        return self.progress.percent

    def __repr__(self) -> str:
        total = "" if self.total is None else f"/{self.total:g}"
        return f"<Task {self.description} {self.done:g}{total} {self.outcome or 'open'}>"


@dataclass(frozen=True, kw_only=True)
class ProcessInfo:
    """One process that took part in a run."""

    name: str
    """Of its folder."""
    pid: int = 0
    parent_pid: int = 0
    host: str = ""
    state: str = "ended"
    """``running``, ``ended`` or ``killed``."""
    started_unix_nano: int = 0
    ended_unix_nano: int | None = None
    exit: str | None = None
    """How it ended, where that is known."""
    metadata: Mapping[str, object] = field(default_factory=dict)
    counters: Mapping[str, object] = field(default_factory=dict)
    """Per signal: recorded, journaled, sampled_out, and dropped by reason."""
    oddities: Mapping[str, int] = field(default_factory=dict)
    """What could be recorded only in another form: how often, by kind."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Step:
    """One span: a step of ours, or any OpenTelemetry span. Its children do not count when two are compared."""

    name: str
    kind: str
    """``step``; ``span`` for one that is not ours; ``branch`` and ``experiment`` in the classes made for them."""
    trace_id: str
    span_id: str
    parent_id: str | None = None
    start_unix_nano: int = 0
    end_unix_nano: int | None = None
    outcome: str | None = None
    """``success``, ``failed``, ``skipped``, ``cancelled``, ``interrupted`` or ``closed``; None while it runs."""
    status: str = "UNSET"
    """OpenTelemetry's: ``UNSET``, ``OK`` or ``ERROR``. Of a branch: its own status."""
    status_message: str = ""
    attributes: Mapping[str, Value] = field(default_factory=dict)
    """The user's; branchline's own are in the other fields."""
    arguments: Mapping[str, Value] = field(default_factory=dict)
    """Of the call, where they were captured."""
    result: Value = None
    """Of the call, where it was captured."""
    skip_reason: str | None = None
    stamps: tuple[Stamp, ...] = ()
    exception: ExceptionInfo | None = None
    links: tuple[Link, ...] = ()
    children: tuple[Step, ...] = field(default=(), compare=False)
    """In order of start."""
    branch_name: str | None = None
    branch_id: str | None = None
    experiment_name: str | None = None
    process: str = ""
    """The name of the process that it ran in."""
    scope: str = ""
    """The instrumentation scope that recorded it."""
    is_open: bool = False
    """Whether nothing but its start was recorded: it still runs, or its process died."""
    usage: Spending = NOTHING
    """What its own calls of models took."""
    total_usage: Spending = NOTHING
    """What it and everything below it took, in all processes."""

    @property
    def duration(self) -> float | None:
        """Seconds from start to end; None for one without an end."""
        if self.end_unix_nano is None:
            return None
        return max(self.end_unix_nano - self.start_unix_nano, 0) / SECOND

    @property
    def is_failed(self) -> bool:
        """Whether it ended in an error."""
        return self.outcome in {"failed", "cancelled", "interrupted"}

    @property
    def error(self) -> str | None:
        """What went wrong, as a person reads it: ``ValueError: boom``."""
        if self.exception is not None:
            return str(self.exception)
        return (self.status_message or None) if self.is_failed or self.status == "ERROR" else None

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """All steps and foreign spans below it, in order of start."""
        return steps_of(walk(self.children))

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name} {self.outcome or 'open'}>"

    def __hash__(self) -> int:
        return hash((self.trace_id, self.span_id))


# What is generated costs time at every import: subclasses of Step compare, hash and print as it does.
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Branch(Step):
    """One variant of an experiment. Its *status* is the branch's own, such as ``pending`` or ``success``."""

    config_id: str | None = None
    config: Mapping[str, Value] = field(default_factory=dict)
    output: Value = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The last value of each metric that was recorded in it."""
    retries: int = 0
    """How often it was tried again."""
    position: int | None = None
    """At which place it was begun, of those that were run by one call; None where nobody ran it for somebody."""
    repeat: int = 0
    """Which of several runs of its configuration it is, from 0."""
    order: str | None = None
    """In which order these were begun: ``interleaved`` or ``blocked``."""
    is_shadow: bool = False
    """Whether nobody waited for it."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Experiment(Step):
    """Branches that belong together."""

    branches: tuple[Branch, ...] = field(default=(), compare=False)


def walk(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield *steps* and everything below them, parents first; as deep as it may be."""
    stack = [iter(steps)]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
            continue
        yield step
        if step.children:
            stack.append(iter(step.children))


def errors_in(steps: Iterable[Step]) -> int:
    """Return how often something went wrong in *steps* and below; what travels up from a child is no other error.

    Who is cancelled or interrupted has not gone wrong.
    """
    failed = [step for step in walk(steps) if step.outcome == "failed"]
    return sum(1 for step in failed if not any(child.outcome == "failed" for child in step.children))


def steps_of(spans: Iterable[Step]) -> tuple[Step, ...]:
    """Return those of *spans* that are neither branches nor experiments, in order of start."""
    return tuple(sorted([span for span in spans if span.kind in {"step", "span"}], key=started))


started = attrgetter("start_unix_nano")
