"""What is current: the recorder of this process, and the experiment, branch and step of this context."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from logging import LogRecord
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext


if TYPE_CHECKING:
    from .limits import BudgetStatus
    from .price_list import PriceBook
    from .progress_values import Progress
    from .totals import Counts, Spent
    from .updates import Subscriber
    from .usage_values import Usage
    from .watching import Measures, Monitoring

P = ParamSpec("P")
R = TypeVar("R")

CARRIER_KEY = "branchline"
RUN_ID_VARIABLE = "BRANCHLINE_RUN_ID"
DIRECTORY_VARIABLE = "BRANCHLINE_DIR"
OWNER_VARIABLE = "BRANCHLINE_OWNER"


@dataclass(frozen=True, slots=True)
class Identity:
    """Which experiment and branch everything inside belongs to."""

    experiment_name: str | None = None
    branch_id: str | None = None
    branch_name: str | None = None


class Recording(Protocol):
    """One open span, as a recorder hands it out: everything that a step or a branch may say to it.

    No method raises, whatever it is given.
    """

    @property
    def is_open(self) -> bool:
        """Whether it still takes data."""

    @property
    def role(self) -> str | None:
        """``experiment``, ``branch`` or ``step``; None for a plain OpenTelemetry span."""

    @property
    def identity(self) -> Identity | None:
        """The experiment and branch it belongs to."""

    @property
    def span(self) -> trace.Span:
        """The OpenTelemetry span."""

    def put(self, attributes: Mapping[str, object]) -> None:
        """Set attributes."""

    def mark(self, name: str, attributes: Mapping[str, object]) -> None:
        """Add a span event, now."""

    def connect(self, other: SpanContext, attributes: Mapping[str, object] | None = None) -> None:
        """Add a link."""

    def settle(self, outcome: str, message: str | None = None) -> None:
        """Decide how it will have ended, unless an exception says otherwise."""

    def suspend(self) -> Context:
        """Give the caller its own context back, and return the one that was current inside (generators)."""

    def resume(self, inside: Context | None = None) -> None:
        """Make it, or *inside*, the context that ``suspend`` returned, current again."""

    def leave(self, outcome: str, error: BaseException | None = None, message: str | None = None) -> None:
        """Take it off the current context and end it; a second call does nothing."""


class UsagePlace(Protocol):
    """Where a usage is recorded: what it has to say about that, and what takes it. No method raises."""

    trace_id: str | None
    span_id: str | None
    identity: Identity | None
    step: str | None
    time_unix_nano: int
    usage_id: str

    def remark(self, kind: str, text: str, about: str = "") -> None:
        """Count something odd, and say *text* the first time for what it is *about*."""

    def take(self, usage: Usage) -> Usage:
        """Record *usage*, which was made with what this place says, and return it as it is known from now on."""


class Recorder(Protocol):
    """Where recorded things go."""

    @property
    def capture(self) -> str:
        """What traced steps record of their call, unless they say otherwise: ``""``, ``args``, ``result``, ``all``."""

    def enter(
        self,
        name: str,
        role: str,
        attributes: Mapping[str, object] | None = None,
        # Not keyword-only: Python calls such a function in the fast way, and this is called for every step.
        links: Sequence[SpanContext] = (),
        identity: Identity | None = None,
        new_trace: bool = False,
    ) -> Recording:
        """Start a span and make it current; *identity* replaces the one inherited from the parent."""

    def open_step(self, name: str, attributes: dict[str, object] | None) -> Recording:
        """Start a plain step and make it current: what ``enter`` does for most, without the rest."""

    def current(self) -> Recording | None:
        """Return the innermost span of ours (any role) in this context."""

    def current_step(self) -> Recording | None:
        """Return what ``current`` does if it is a step that is open, else None."""

    def event(
        self, name: str, attributes: Mapping[str, object], *, severity: str = "INFO", body: object = None
    ) -> None:
        """Record a log event of the run, belonging to the current span if there is one."""

    def point(
        self,
        name: object,
        value: object,
        unit: object,
        step: object,
        attributes: Mapping[str, object],
        # Neither keyword-only: this too is called in hot loops.
        recording: Recording | None = None,
    ) -> None:
        """Record one value of a metric, belonging to *recording*, open or ended, else to the current span."""

    def usage_place(self, recording: Recording | None = None) -> UsagePlace:
        """Return where a usage is recorded that belongs to *recording*, else to what is current."""


class EventTaker(Protocol):
    """Where the events go that somebody has named."""

    def event(
        self,
        name: str,
        attributes: Mapping[str, object],
        *,
        number: int,
        text: str,
        body: object,
        time_unix_nano: int | None = None,
    ) -> None:
        """Record a log event, belonging to the current span if there is one; *number* is its severity, as OTLP has it.

        *time_unix_nano* is when it happened, if not just now. Never raises.
        """


class Purse(Protocol):
    """What this run spends, and may spend."""

    def join(self, counting: Counts) -> None:
        """Let *counting* know what was spent, and of everything that is spent from now on."""

    def history(self) -> list[Spent]:
        """Return everything that was spent in the directory, in order of time."""

    def statuses(self) -> tuple[BudgetStatus, ...]:
        """Return how much of each limit of this run's budget is used."""

    def progressed(self, work: str, done: int, total: int) -> None:
        """Take note that *done* items of *total* of a piece of *work* are done; warn of a budget that will not do."""


class MetadataTaker(Protocol):
    """What keeps the metadata of this run."""

    def facts(self, timeout: float) -> Mapping[str, Any]:
        """Return what the process runs in, all of it or after *timeout* seconds what is known."""

    def take(self, number: int, said: Callable[[], Mapping[str, Any]]) -> None:
        """Take note that recorder *number* has something new to say; *said* returns all of it, by section."""


class Board(Protocol):
    """What is worked on in one process. No method raises; in a process forked from it, each does nothing."""

    def beat(self) -> None:
        """Record how far everything is that has gone on for a while, as often as is worth it."""

    def leave(self, run: str | None) -> None:
        """Record for the last time how far everything is that belongs to a *run* that ends."""

    def shown(self) -> Sequence[Progress]:
        """Return what goes on, and what has ended a moment ago."""

    def hide(self) -> None:
        """Give the terminal to a run that begins."""


class _Current:
    """The process-wide state: what records, and the run it writes to, set by ``telemetry``; and who is told live."""

    __slots__ = (
        *("board", "directory", "events", "flush", "logs", "measures", "metadata", "prices", "purse", "recorder"),
        *("metered", "monitoring", "run_id", "shows_progress", "subscribers"),
    )

    def __init__(self) -> None:
        # Who is told live of what is recorded: of this run, and of those that come after it.
        self.subscribers: tuple[Subscriber, ...] = ()
        # What is worked on in this process, whoever records it: work may outlast a run.
        self.board: Board | None = None
        self.reset()
        # Of the process, not of a run: what samples it, and the meter provider that asks for that.
        self.monitoring: Monitoring | None = None
        self.metered: object = None

    def reset(self) -> None:
        self.recorder: Recorder | None = None
        self.events: EventTaker | None = None
        # Brings what was recorded until now to the journal, within so many seconds.
        self.flush: Callable[[float], bool] | None = None
        # Takes log records of whatever library, in the shape that the logging module has for them.
        self.logs: Callable[[LogRecord], object] | None = None
        # None: those that everybody finds who asks for the first time.
        self.prices: PriceBook | None = None
        self.purse: Purse | None = None
        self.measures: Measures | None = None
        self.metadata: MetadataTaker | None = None
        self.run_id: str | None = None
        self.directory: str | None = None
        # Whether the run shows progress (True), wants none to be shown (False), or leaves it to who works (None).
        self.shows_progress: bool | None = None

    def __reduce__(self) -> str:
        # A function that is pickled by value, as one of a notebook is, finds that of the process it comes to.
        return "CURRENT"


CURRENT = _Current()

IDENTITY_KEY = otel_context.create_key("branchline-identity")
PIPELINE_KEY = otel_context.create_key("branchline-pipeline")
# Where a context belongs to another run than the process does (a capture): its id and directory.
RUN_KEY = otel_context.create_key("branchline-run")
# The same for what child processes are told.
SETTINGS_KEY = otel_context.create_key("branchline-settings")


def current_identity() -> Identity:
    """Return the experiment and branch of this context."""
    current = CURRENT.recorder.current() if CURRENT.recorder is not None else None
    if current is not None and current.identity is not None:
        return current.identity
    inherited = otel_context.get_value(IDENTITY_KEY)
    return inherited if isinstance(inherited, Identity) else Identity()


def carrier(environ: bool = False) -> dict[str, str]:
    """Return what another process needs to join this run, trace and branch, as a plain mapping.

    With *environ* the keys are in upper case and the mapping is fit for a child's environment.
    """
    fields = _injected()
    run_id, directory = current_run()
    identity = current_identity()
    described = {
        "run": run_id,
        "experiment": identity.experiment_name,
        "branch.id": identity.branch_id,
        "branch.name": identity.branch_name,
    }
    text = ";".join(f"{key}={_quoted(value)}" for key, value in described.items() if value is not None)
    if text:
        fields[CARRIER_KEY] = text
    if not environ:
        return fields
    variables = {key.upper().replace("-", "_"): value for key, value in fields.items()}
    if run_id is not None and directory is not None:
        variables[RUN_ID_VARIABLE] = run_id
        variables[DIRECTORY_VARIABLE] = directory
        variables[OWNER_VARIABLE] = str(os.getpid())
    return variables


def current_run() -> tuple[str | None, str | None]:
    """Return the id and the directory of the run that this context belongs to."""
    found = otel_context.get_value(RUN_KEY)
    return found if isinstance(found, tuple) else (CURRENT.run_id, CURRENT.directory)


def extracted(fields: Mapping[str, str], base: Context | None = None) -> Context:
    """Return *base*, by default this context, with what the carrier *fields* say; what it cannot read it leaves out."""
    context = otel_context.get_current() if base is None else base
    try:
        lower = {str(key).lower(): str(value) for key, value in fields.items()}
        context = _extracted_trace(lower, context)
        described = dict(part.split("=", 1) for part in lower.get(CARRIER_KEY, "").split(";") if "=" in part)
        identity = Identity(
            experiment_name=_unquoted(described.get("experiment")),
            branch_id=_unquoted(described.get("branch.id")),
            branch_name=_unquoted(described.get("branch.name")),
        )
    except Exception:  # whatever came with a message is no reason to refuse the message
        return context
    return context if identity == Identity() else otel_context.set_value(IDENTITY_KEY, identity, context)


# Propagators are looked up among all that is installed, which takes its time: only who uses them pays.


def _injected() -> dict[str, str]:
    fields: dict[str, str] = {}
    with suppress(Exception):  # a propagator of others, or the name of none in OTEL_PROPAGATORS
        from opentelemetry import propagate

        propagate.inject(fields)
    return fields


def _extracted_trace(fields: Mapping[str, str], base: Context) -> Context:
    with suppress(Exception):  # the same
        from opentelemetry import propagate

        return propagate.extract(fields, base)
    return base


def _quoted(value: str) -> str:
    from urllib.parse import quote

    return quote(value, safe="", errors="backslashreplace")


def _unquoted(value: str | None) -> str | None:
    from urllib.parse import unquote

    return None if value is None else unquote(value)


@contextmanager
def attach(carrier: Mapping[str, str]) -> Iterator[None]:
    """Continue the trace and branch of a *carrier* inside the ``with`` block."""
    with attached(extracted(carrier)):
        yield


@contextmanager
def attached(context: Context) -> Iterator[None]:
    """Make *context* current inside the ``with`` block."""
    token = otel_context.attach(context)
    try:
        yield
    finally:
        detach(token)


def detach(token: Any) -> bool:  # noqa: ANN401  # whatever OpenTelemetry's runtime has for one
    """Give the previous context back; from a context other than the one that set it, change nothing: False."""
    runtime = getattr(otel_context, "_RUNTIME_CONTEXT", None)
    if runtime is None:
        otel_context.detach(token)
        return True
    try:
        # The public function logs an error with a traceback, and a block may well be left in another task.
        runtime.detach(token)
    except (ValueError, RuntimeError):
        return False
    return True


class Carried:
    """A function bound to the context it was made in; pickled, it takes the carrier along."""

    def __init__(self, function: Callable[..., object], context: Context) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.context = context

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Call the function in its context."""
        with attached(self.context):
            return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<carried {self.function!r}>"

    def __reduce__(self) -> tuple[object, ...]:
        with attached(self.context):
            return _carried_here, (self.function, carrier())


def _carried_here(function: Callable[..., object], fields: Mapping[str, str]) -> Carried:
    return Carried(function, extracted(fields))


def carry(fn: Callable[P, R]) -> Callable[P, R]:
    """Return *fn*, bound to this context: wherever it runs, what it records belongs here.

    For a thread, a pool, a callback; also for another process, when *fn* itself can be pickled.
    """
    context = otel_context.get_current()
    make: Callable[..., object] = Carried
    if inspect.iscoroutinefunction(fn):
        make = _carried_coroutine
    elif inspect.isgeneratorfunction(fn):
        make = _carried_generator
    elif inspect.isasyncgenfunction(fn):
        make = _carried_async_generator
    return cast("Callable[P, R]", make(fn, context))


def _carried_coroutine(function: Callable[..., Awaitable[object]], context: Context) -> Callable[..., object]:
    @functools.wraps(function)
    async def carried(*args: object, **kwargs: object) -> object:
        with attached(context):
            return await function(*args, **kwargs)

    return carried


def _carried_generator(
    function: Callable[..., Generator[object, object, object]], context: Context
) -> Callable[..., object]:
    @functools.wraps(function)
    def carried(*args: object, **kwargs: object) -> Generator[object, object, object]:
        body, inside = function(*args, **kwargs), context
        resume: Callable[[], object] = functools.partial(next, body)
        while True:
            with attached(inside):
                try:
                    produced = resume()
                except StopIteration as stop:
                    return stop.value
                finally:
                    del resume
                inside = otel_context.get_current()
            try:
                resume = functools.partial(body.send, (yield produced))
            except BaseException as error:  # the consumer's throw() and close() are for the body
                resume = functools.partial(body.throw, error)

    return carried


def _carried_async_generator(
    function: Callable[..., AsyncGenerator[object, object]], context: Context
) -> Callable[..., object]:
    @functools.wraps(function)
    async def carried(*args: object, **kwargs: object) -> AsyncGenerator[object, object]:
        body, inside = function(*args, **kwargs), context
        resume: Callable[[], Awaitable[object]] = functools.partial(anext, body)
        while True:
            with attached(inside):
                try:
                    produced = await resume()
                except StopAsyncIteration:
                    return
                finally:
                    del resume
                inside = otel_context.get_current()
            try:
                resume = functools.partial(body.asend, (yield produced))
            except BaseException as error:  # the consumer's athrow() and aclose() are for the body
                resume = functools.partial(body.athrow, error)

    return carried
