"""Totals: what was spent, held against each limit of a budget: by day, week, month, run, branch and step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Final, NamedTuple, Protocol

from .limits import BudgetConfig, BudgetStatus
from .money import CONTEXT, PLACES, of_units, units
from .periods import PERIODS, Bounds, Period, bounds
from .usage_values import Usage


# Of branches and steps: those that have spent nothing for the longest time are forgotten.
_MOST_ACCOUNTS: Final = 4096
_DAYLESS: Final = Bounds(0, 1 << 63)
_NANO: Final = 1_000_000_000
# How many of the whole numbers that are added up make one; of money, 10 to the places that it has.
_SCALES: Final = {"seconds": _NANO, "tokens": 1, "calls": 1}

OK: Final = 0
WARNING: Final = 1
EXCEEDED: Final = 2


class Spent(NamedTuple):
    """One usage, and who recorded it."""

    usage: Usage
    run_id: str
    process: str


class Counts(Protocol):
    """Who adds up what is spent. No method raises."""

    @property
    def has_steps(self) -> bool:
        """Whether ``hear`` is to be told in which steps a usage was."""

    def hear(self, usage: Usage, steps: Sequence[tuple[str, str]] = ()) -> None:
        """Count what was recorded in this process just now, in *steps*: id and name of each."""

    def earliest(self, unix_nano: int) -> int:
        """Return from which moment on spending counts, at that time."""

    def reload(self, spent: list[Spent]) -> None:
        """Begin anew with all that counts; what was recorded here and is not yet among it goes on counting."""

    def catch_up(self, spent: list[Spent]) -> None:
        """Take what was added to the ledger, by whomever."""

    def pass_time(self, unix_nano: int) -> None:
        """Look at the clock."""

    def after_fork(self) -> None:
        """In a forked child: nobody holds a lock."""


class Account:
    """What is used of one limit: in one period, by one branch, by one step."""

    __slots__ = ("_block", "_warn", "bounds", "key", "level", "name", "period", "used")

    def __init__(
        self, budget: BudgetConfig, period: str, *, bounds: Bounds = _DAYLESS, key: str = "", name: str | None = None
    ) -> None:
        """Hold what is used against the limit that *budget* has for *period*."""
        self.period = period
        self.bounds = bounds
        self.key = key
        self.name = name
        self.used = 0
        status = budget.status(period, Decimal(0))
        # The smallest whole number at which the threshold is reached.
        self._warn = _at_least(status, budget.warn_threshold)
        self._block = _at_least(status, budget.block_threshold)
        self.level = OK
        """What was reached when somebody last looked."""

    def add(self, amount: int) -> bool:
        """Use *amount* more; tell whether that has reached a threshold."""
        # Without a call in it, this is one step for other threads and for signal handlers: nothing is miscounted.
        self.used += amount
        return self.used >= self._warn and self.has_risen()

    def has_risen(self) -> bool:
        """Look, and tell whether a threshold was reached since the last time."""
        before = self.level
        self.level = EXCEEDED if self.is_exceeded else WARNING if self.used >= self._warn else OK
        return self.level > before

    @property
    def is_exceeded(self) -> bool:
        """Whether it is used up."""
        return self.used >= self._block

    def status(self, budget: BudgetConfig) -> BudgetStatus:
        """Return how much is used."""
        scale = _SCALES.get(self.period)
        used = of_units(self.used) if scale is None else CONTEXT.divide(Decimal(self.used), Decimal(scale))
        return budget.status(self.period, used, name=self.name)

    def __repr__(self) -> str:
        return f"<Account of {self.period} {self.name or ''} at {self.used}>"


class Totals:
    """What was spent of one budget, as one run sees it."""

    def __init__(self, budget: BudgetConfig, *, run_id: str | None = None, began_unix_nano: int = 0) -> None:
        """Add up for *budget*; what belongs to the run *run_id* counts there too, which began at that time."""
        self.budget = budget
        self._run_id = run_id
        self._began = began_unix_nano
        limited = frozenset(budget.limits)
        # By the start of each: clocks differ, and a record may be of another day than this one.
        self._calendar: dict[Period, dict[int, Account]] = {period: {} for period in PERIODS if period in limited}
        self._latest: dict[Period, Account] = {}
        self._of_run = {
            name: Account(budget, name) for name in ("run", "tokens", "seconds", "calls") if name in limited
        }
        self._branches: dict[str, Account] | None = {} if "branch" in limited else None
        self._steps: dict[str, Account] | None = {} if "step" in limited else None

    @property
    def has_steps(self) -> bool:
        """Whether steps have a limit: then ``add`` is to be told which ones a usage was in."""
        return self._steps is not None

    def with_steps_of(self, other: Totals) -> Totals:
        """Go on with what *other* has counted of steps."""
        self._steps = other._steps
        return self

    def add(self, usage: Usage, run_id: str | None, steps: Iterable[tuple[str, str]] = ()) -> list[Account]:
        """Count a *usage* of *run_id*, in *steps* (id and name); return the accounts that reached a threshold."""
        cost = 0 if usage.cost is None else units(usage.cost)
        risen = []
        for period in self._calendar:
            account = self._of_period(period, usage.time_unix_nano)
            if account.add(cost):
                risen.append(account)
        if run_id == self._run_id:
            risen += [
                account for account in self._of_its_run(usage, steps) if account.add(_amount(account, usage, cost))
            ]
        return risen

    def _of_its_run(self, usage: Usage, steps: Iterable[tuple[str, str]]) -> Iterator[Account]:
        yield from (account for kind, account in self._of_run.items() if kind != "seconds")
        if self._branches is not None and usage.branch_id is not None:
            yield self._known(self._branches, "branch", usage.branch_id, usage.branch)
        if self._steps is not None:
            for key, name in steps:
                yield self._known(self._steps, "step", key, name)

    def pass_time(self, unix_nano: int) -> list[Account]:
        """Let it be that time, and forget what is over; return the accounts that reached a threshold by it."""
        for period, accounts in self._calendar.items():
            self._of_period(period, unix_nano)
            for start in [start for start, account in accounts.items() if account.bounds.end <= unix_nano]:
                del accounts[start]
        account = self._timed(unix_nano)
        return [account] if account is not None and account.has_risen() else []

    def _timed(self, unix_nano: int) -> Account | None:
        account = self._of_run.get("seconds")
        if account is not None:
            account.used = max(unix_nano - self._began, 0)
        return account

    def accounts(self, unix_nano: int) -> list[Account]:
        """Return all accounts at that time, in the order of the limits."""
        self._timed(unix_nano)
        found = [self._of_period(period, unix_nano) for period in self._calendar]
        if "run" in self._of_run:
            found.append(self._of_run["run"])
        for kind in (self._branches, self._steps):
            found += [] if kind is None else list(kind.values())
        return found + [account for name, account in self._of_run.items() if name != "run"]

    def statuses(self, unix_nano: int) -> tuple[BudgetStatus, ...]:
        """Return one status for each limit; of branches and steps, the one that has used most."""
        most: dict[str, Account] = {}
        for account in self.accounts(unix_nano):
            known = most.get(account.period)
            if known is None or account.used > known.used:
                most[account.period] = account
        zero = Decimal(0)
        return tuple(
            most[name].status(self.budget) if name in most else self.budget.status(name, zero)
            for name in self.budget.limits
        )

    def exceeded(self, unix_nano: int, branch_id: str | None, steps: Iterable[str]) -> Account | None:
        """Return an account that is used up at that time, for who is in that branch and in *steps*, by their ids."""
        self._timed(unix_nano)
        found = [self._of_period(period, unix_nano) for period in self._calendar]
        found += self._of_run.values()
        if self._branches is not None and branch_id in self._branches:
            found.append(self._branches[branch_id])
        if self._steps is not None:
            found += [self._steps[step] for step in steps if step in self._steps]
        return next((account for account in found if account.is_exceeded), None)

    def is_exceeded(self, unix_nano: int) -> bool:
        """Whether anything is used up at that time, for whomever."""
        return any(account.is_exceeded for account in self.accounts(unix_nano))

    def _of_period(self, period: Period, unix_nano: int) -> Account:
        """Return the account of the *period* that a moment is in."""
        latest = self._latest.get(period)
        if latest is not None and latest.bounds.start <= unix_nano < latest.bounds.end:
            return latest
        found = bounds(period, unix_nano, self.budget.zone)
        accounts = self._calendar[period]
        account = accounts.get(found.start)
        if account is None:
            account = accounts[found.start] = Account(self.budget, period, bounds=found, key=str(found.start))
        self._latest[period] = account
        return account

    def _known(self, known: dict[str, Account], period: str, key: str, name: str | None) -> Account:
        account = known.pop(key, None) or Account(self.budget, period, key=key, name=name or key)
        # Behind all others: the first is the one to forget.
        known[key] = account
        if len(known) > _MOST_ACCOUNTS:
            del known[next(iter(known))]
        return account


def earliest(budget: BudgetConfig, unix_nano: int) -> int:
    """Return from which moment on spending counts for the calendar of *budget*; the moment itself where none does."""
    starts = [bounds(period, unix_nano, budget.zone).start for period in PERIODS if period in budget.limits]
    return min(starts, default=unix_nano)


def _amount(account: Account, usage: Usage, cost: int) -> int:
    if account.period == "tokens":
        return usage.input_tokens + usage.output_tokens
    return usage.calls if account.period == "calls" else cost


def _scale(period: str) -> int:
    return _SCALES.get(period, 10**PLACES)


def _at_least(status: BudgetStatus, threshold: float) -> int:
    wanted = CONTEXT.multiply(CONTEXT.multiply(status.limit, Decimal(str(threshold))), Decimal(_scale(status.period)))
    return int(wanted.to_integral_value(rounding=ROUND_CEILING, context=CONTEXT))
