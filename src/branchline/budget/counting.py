"""Counting: one's own spending at once, that of others when the ledger tells of it, and each of it once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from ..limits import BudgetConfig, BudgetStatus
from ..totals import Account, Spent, Totals, earliest
from ..usage_values import Usage


Steps = Sequence[tuple[str, str]]


class Counting:
    """What is spent of one budget, counted as it comes; it tells who asked when a threshold is reached."""

    def __init__(
        self,
        budget: BudgetConfig,
        *,
        run_id: str | None,
        began_unix_nano: int = 0,
        tell: Callable[[list[Account]], None] = lambda accounts: None,
        process: Callable[[], str] = str,
    ) -> None:
        """Count for *budget* in the run *run_id*, which began at that time; *process* is what the ledger calls us."""
        self.budget = budget
        self._run_id = run_id
        self._began = began_unix_nano
        self._tell = tell
        # Recorded here, and not seen in the ledger yet.
        self._unseen: dict[str, Usage] = {}
        # The other way round: another process has found it in our journal before its recorder came to tell us.
        self._early: set[str] = set()
        self._process = process
        self._totals = self._new_totals()
        self.after_fork()

    def after_fork(self) -> None:
        """In a forked child: nobody holds the lock. What the parent had counted goes on counting."""
        # Reentrant, for a signal handler may record in the middle of it.
        self._lock = threading.RLock()

    def _new_totals(self) -> Totals:
        return Totals(self.budget, run_id=self._run_id, began_unix_nano=self._began)

    @property
    def has_steps(self) -> bool:
        """Whether ``hear`` is to be told in which steps a usage was."""
        return self._totals.has_steps

    def hear(self, usage: Usage, steps: Steps = ()) -> None:
        """Count what was recorded in this process just now."""
        with self._lock:
            if usage.usage_id in self._early:
                self._early.remove(usage.usage_id)
                return
            self._unseen[usage.usage_id] = usage
            risen = self._totals.add(usage, self._run_id, steps)
        self._tell_of(risen)

    def earliest(self, unix_nano: int) -> int:
        """Return from which moment on spending counts, at that time."""
        return earliest(self.budget, unix_nano)

    def reload(self, spent: list[Spent]) -> None:
        """Begin anew with all that counts; what was recorded here and is not among it goes on counting."""
        with self._lock:
            known = {each.usage.usage_id for each in spent}
            # The ledger does not know what was in which step: that is known here alone, and stays.
            self._totals = self._new_totals().with_steps_of(self._totals)
            risen = [account for each in spent for account in self._totals.add(each.usage, each.run_id)]
            self._unseen = {key: usage for key, usage in self._unseen.items() if key not in known}
            risen += [account for usage in self._unseen.values() for account in self._totals.add(usage, self._run_id)]
        self._tell_of(risen)

    def catch_up(self, spent: list[Spent]) -> None:
        """Count what was added to the ledger by others."""
        with self._lock:
            new = [each for each in spent if self._unseen.pop(each.usage.usage_id, None) is None]
            risen = [account for each in new for account in self._totals.add(each.usage, each.run_id)]
            ours = self._process()
            self._early.update(each.usage.usage_id for each in new if ours and each.process == ours)
        self._tell_of(risen)

    def pass_time(self, unix_nano: int) -> None:
        """Look at the clock."""
        with self._lock:
            risen = self._totals.pass_time(unix_nano)
        self._tell_of(risen)

    def look(self, unix_nano: int) -> None:
        """Tell of every limit that has nothing left, before anything was spent."""
        with self._lock:
            risen = [account for account in self._totals.accounts(unix_nano) if account.has_risen()]
        self._tell_of(risen)

    def statuses(self, unix_nano: int) -> tuple[BudgetStatus, ...]:
        """Return one status for each limit, at that time."""
        with self._lock:
            return self._totals.statuses(unix_nano)

    @contextmanager
    def totals(self) -> Iterator[Totals]:
        """Look at what it has come to, while nobody changes it."""
        with self._lock:
            yield self._totals

    def _tell_of(self, risen: Iterable[Account]) -> None:
        now = time.time_ns()
        # Of a day that is over, or has not come yet, nobody wants to hear.
        accounts = [account for account in dict.fromkeys(risen) if now in account.bounds]
        if accounts:
            self._tell(accounts)
