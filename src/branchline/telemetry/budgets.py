"""The budget of a run: what is spent is counted, said when a threshold is reached, and kept in the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context

from .. import names
from .._journal import layout
from .._journal.snapshots import GAUGE, Metric, Series
from .._pipeline.notices import say
from .._pipeline.pipeline import Pipeline
from ..config import Config
from ..current import PIPELINE_KEY, current_identity
from ..limits import OF_MONEY, BudgetStatus
from ..recording import Recorder
from ..usage_values import Usage


if TYPE_CHECKING:
    from .._pipeline.bookkeeper import Bookkeeper
    from ..budget.counting import Counting
    from ..totals import Account, Counts, Spent

# What only a budget needs, and SQLite, is imported where there is one: a run without pays for neither.

# Of branches and steps it cannot be said, in the middle of some of them, where the others end.
_FORECAST: Final = -1
_FORESEEABLE: Final = frozenset({"daily", "weekly", "monthly", "run", "tokens", "calls"})


class Budgeting:
    """What one run may spend, and has; without a budget, what it tells the ledger, where somebody keeps one."""

    def __init__(self, pipeline: Pipeline, config: Config, directory: Path, *, point: Callable[[], None]) -> None:
        """Count for *pipeline*'s run below *directory*; *point* lets everybody know that something else records."""
        self._pipeline = pipeline
        self._config = config
        self._directory = directory
        self._point = point
        self._bookkeeper: Bookkeeper | None = None
        self._countings: tuple[Counts, ...] = ()
        self._own: Counting | None = None
        self._told: set[tuple[str, str, int]] = set()
        self._begun: dict[str, dict[str, Decimal]] = {}
        self._is_refusing = False
        self.inner: Recorder | None = None

    @property
    def _keeper(self) -> Bookkeeper:
        if self._bookkeeper is None:
            from .._pipeline.bookkeeper import Bookkeeper

            self._bookkeeper = Bookkeeper(self._pipeline, self._directory)
        return self._bookkeeper

    def begin(self) -> None:
        """Begin to count, where there is a budget; to keep the ledger, where there is one."""
        budget = self._config.budget
        if budget is not None and budget.limits:
            from ..budget.counting import Counting

            run_id = self._pipeline.options.run_id
            began = _began(self._pipeline.options.run_directory)
            self._own = Counting(
                budget, run_id=run_id, began_unix_nano=began, tell=self._tell, process=lambda: self._pipeline.process
            )
            self.join(self._own)
            self._own.look(time.time_ns())
        elif layout.is_there(layout.ledger_path(self._directory)):
            self._pipeline.usage_heard = self.heard

    def join(self, counting: Counts) -> None:
        """Let *counting* know what was spent, and of everything that is spent from now on."""
        self._pipeline.usage_heard = self.heard
        self._keeper.join(counting)
        self._countings = (*self._countings, counting)

    def heard(self, usage: Usage) -> None:
        """Count *usage*, which was recorded just now, in this thread; never raises."""
        try:
            for counting in self._countings:
                counting.hear(usage, self._steps_of(usage) if counting.has_steps else ())
            # Last: what comes back from the ledger has been counted here by then.
            self._keeper.take(usage)
        except Exception as error:  # recording never raises
            self._pipeline.failed("budget", error)

    def history(self) -> list[Spent]:
        """Return everything that was spent in the directory, in order of time."""
        return self._keeper.history()

    def finish(self, timeout: float) -> None:
        """Write what the ledger does not have yet, within *timeout* seconds."""
        if self._bookkeeper is not None:
            self._bookkeeper.finish(timeout)

    def after_fork(self) -> None:
        """In a forked child: go on counting, with a ledger of its own to write to."""
        for counting in self._countings:
            counting.after_fork()
        if self._bookkeeper is not None:
            self._bookkeeper.after_fork()

    def statuses(self) -> tuple[BudgetStatus, ...]:
        """Return how much of each limit is used."""
        return () if self._own is None else self._own.statuses(time.time_ns())

    def metrics(self) -> tuple[Metric, ...]:
        """Return the same as metrics."""
        statuses = self.statuses()
        if not statuses:
            return ()
        ratios = tuple(_series(status, float(status.percent_used) / 100) for status in statuses)
        left = tuple(_series(status, float(status.remaining)) for status in statuses if status.period in OF_MONEY)
        ratio = Metric(names.BUDGET_USED_RATIO, GAUGE, ratios, "1", "How much of a budget is used.")
        remaining = Metric(names.BUDGET_REMAINING, GAUGE, left, "{USD}", "What is left of a budget.")
        return (ratio, remaining) if left else (ratio,)

    # ── where a threshold is reached ──────────────────────────────────────────────────────────────

    def _tell(self, accounts: list[Account]) -> None:
        own = self._own
        if own is None:
            return
        for account in accounts:
            key = (account.period, account.key, account.level)
            if key in self._told:
                continue
            self._told.add(key)
            status = account.status(own.budget)
            is_exceeded = account.is_exceeded
            self._say(names.BUDGET_EXCEEDED if is_exceeded else names.BUDGET_WARNING, status, _text(status))
            if is_exceeded:
                self._act(status)

    def _act(self, status: BudgetStatus) -> None:
        on_exceed = self._config.budget.on_exceed if self._config.budget is not None else "inform"
        if callable(on_exceed):
            try:
                on_exceed(status)
            except Exception as error:  # it may be in the middle of anybody's call
                self._pipeline.notices.noted("on_exceed", f"on_exceed raised {type(error).__name__}: {error}")
        elif on_exceed == "raise":
            self._is_refusing = True
            self._point()

    def _say(self, event: str, status: BudgetStatus, text: str, **more: float) -> None:
        described: dict[str, object] = {
            names.BUDGET_PERIOD: status.period,
            names.BUDGET_LIMIT: float(status.limit),
            names.BUDGET_USED: float(status.used),
            names.BUDGET_USED_RATIO: float(status.percent_used) / 100,
            **({} if status.name is None else {names.BUDGET_NAME: status.name}),
            **more,
        }
        if self.inner is not None:
            severity = "ERROR" if event == names.BUDGET_EXCEEDED else "WARN"
            self.inner.event(event, described, severity=severity, body=text)
        if self._config.verbosity != "NONE":
            say(text)

    # ── at the boundary of a step ─────────────────────────────────────────────────────────────────

    def guarded(self, recorder: Recorder | None) -> Recorder | None:
        """Return what records: *recorder*, or while something is used up, what enters no step."""
        self.inner = recorder
        if not self._is_refusing or recorder is None:
            return recorder
        from ..budget.refusing import Refusing

        return Refusing(recorder, self._used_up)

    def _used_up(self) -> BudgetStatus | None:
        own = self._own
        if own is None or otel_context.get_value(PIPELINE_KEY) is not None:
            # What is captured is another run's.
            return None
        now = time.time_ns()
        with own.totals() as totals:
            steps = [key for key, _ in self._current_steps()] if totals.has_steps else ()
            account = totals.exceeded(now, current_identity().branch_id, steps)
            if account is not None:
                return account.status(own.budget)
            if totals.is_exceeded(now):
                return None
        # Another day: until it is used up again, nobody looks any more.
        self._is_refusing = False
        self._point()
        return None

    def _current_steps(self) -> Iterator[tuple[str, str]]:
        current = None if self.inner is None else self.inner.current()
        if current is not None:
            yield from _upwards(self._pipeline, current.span.get_span_context().span_id)

    def _steps_of(self, usage: Usage) -> list[tuple[str, str]]:
        return [] if usage.span_id is None else list(_upwards(self._pipeline, int(usage.span_id, 16)))

    # ── what is to come ───────────────────────────────────────────────────────────────────────────

    def progressed(self, work: str, done: int, total: int) -> None:
        """Take note that *done* items of *total* of a piece of *work* are done; warn of a budget that will not do."""
        own = self._own
        if own is None:
            return
        from ..budget.forecast import forecasts

        with suppress(Exception):  # progress is no reason to fail
            now = {status.period: status for status in own.statuses(time.time_ns()) if status.period in _FORESEEABLE}
            before = self._begun.setdefault(work, {period: status.used for period, status in now.items()})
            for forecast in forecasts(own.budget, now, before=before, work=work, done=done, total=total):
                key = (forecast.status.period, work, _FORECAST)
                is_new = forecast.at_end.status == "exceeded" and forecast.status.status != "exceeded"
                if is_new and key not in self._told:
                    self._told.add(key)
                    at_end = {names.BUDGET_FORECAST: float(forecast.at_end.used)}
                    self._say(names.BUDGET_WARNING, forecast.status, str(forecast), **at_end)
            if done >= total:
                self._begun.pop(work, None)


def _upwards(pipeline: Pipeline, number: int | None) -> Iterator[tuple[str, str]]:
    """Yield the open steps from the span *number* up to the root: id and name of each."""
    known: dict[int, Any] = {span.number: span for span in pipeline.all_open()}
    while number is not None and (span := known.pop(number, None)) is not None:
        if span.role == names.KIND_STEP:
            yield f"{number:016x}", span.title
        number = span.parent_number


def _began(run: Path) -> int:
    """Return when the run began that this process may only have joined."""
    began = (layout.read_json(run / "run.json") or {}).get("created_unix_nano")
    return began if isinstance(began, int) else time.time_ns()


def _text(status: BudgetStatus) -> str:
    if status.status == "exceeded":
        return f"the {status.title} is used up: {status.spent}"
    return f"{status.percent_used:.0f} % of the {status.title} is used: {status.spent}"


def _series(status: BudgetStatus, value: float) -> Series:
    return Series({names.BUDGET_PERIOD: status.period}, value)
