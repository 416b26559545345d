"""The runner: begins branches in their order, so many at a time, and closes each the way its function ended."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context

from .. import names
from ..limits import BudgetExceeded
from ..outcomes import error_type, outcome_of
from .blocks import EXPERIMENT_KEY, BranchBlock, ExperimentBlock
from .budgets import reason_to_stop
from .errands import Ended
from .model import Branch, BranchContainer
from .plan import Options, Planned, in_config_order
from .run_logs import begun, told
from .workers import Job, Workplace, workplace_for


if TYPE_CHECKING:
    from ..progress.branches import BranchBar

# How long a coroutine that was cancelled may take to clean up, until it is left alone.
GRACE_SECONDS = 2.0

# How often to look for what runs in the loop of another thread.
LOOK_SECONDS = 0.01

# Tasks that nobody waits for: the event loop alone would let them be collected.
_background: set[asyncio.Task[Any]] = set()


class Runner:
    """Runs the branches of one call. Everything but ``stop`` and what functions do is in one event loop."""

    def __init__(
        self,
        function: Callable[..., object],
        plan: Sequence[Planned],
        options: Options,
        *,
        name: str | None = None,
        result: Callable[[BranchContainer], object] | None = None,
    ) -> None:
        """Belong to the context that is current, and to the experiment, else to a new one of that *name*."""
        self.plan = plan
        self.branches = BranchContainer(in_config_order(plan))
        self.workplace: Workplace = workplace_for(function, options.executor, options.max_concurrency)
        self.interrupt: BaseException | None = None
        self._function = function
        self._options = options
        self._bar = _bar(len(plan)) if options.progress is True else None
        self._context = contextvars.copy_context()
        self._experiment = self._context.run(experiment_of, function, name)
        self._result = result
        at_once = options.max_concurrency or self.workplace.at_once
        self._places: contextlib.AbstractAsyncContextManager[object] = (
            contextlib.nullcontext() if at_once is None else asyncio.Semaphore(at_once)
        )
        self._tasks: dict[asyncio.Task[None], Planned] = {}
        self._resting: asyncio.Task[None] | None = None
        self._refusal: str | None = None
        self._finished: asyncio.Queue[Planned] = asyncio.Queue()

    # ── the whole ─────────────────────────────────────────────────────────────────────────────────

    async def finished(self) -> AsyncIterator[Branch]:
        """Yield the branches that are waited for as they end; left early, what still runs is cancelled.

        Shadows go on, and the last of all gives back what the runner holds.
        """
        self._begin()
        awaited = sum(not each.is_shadow for each in self.plan)
        try:
            while awaited:
                ended = await self._finished.get()
                if not ended.is_shadow:
                    awaited -= 1
                    yield ended.branch
                if self.interrupt is not None:
                    raise self.interrupt
        except BaseException as error:  # cancelled or left: what still runs ends first
            self.stop(error)
            await self._settled()
            raise
        finally:
            if all(each.branch.is_final for each in self.plan):
                await self._rest()
            else:
                self._resting = _Shadowing(self._rest(), loop=asyncio.get_running_loop())
                _kept(self._resting)

    def _begin(self) -> None:
        if self._experiment is not None:
            self._context.run(self._experiment.__enter__)
        if self._bar is not None:
            self._bar.begin(self._context)
        loop = asyncio.get_running_loop()
        for each in self.plan:
            make = _Shadowing if each.is_shadow else asyncio.Task
            # Each in a copy of its own: what a branch sets there is nobody else's business.
            task = self._context.copy().run(make, self._one(each), loop=loop)
            self._tasks[task] = each
            _kept(task)

    def stop(self, why: BaseException | None = None) -> None:
        """Begin no more branches, and cancel what runs; as *why* says, it was interrupted or cancelled."""
        if self.interrupt is None and isinstance(why, (KeyboardInterrupt, SystemExit)):
            self.interrupt = why
        if self._refusal is None:
            self._refusal = "not begun: the run was stopped"
        for task in self._tasks:
            if not task.done():
                asyncio.Task.cancel(task)

    async def _settled(self) -> None:
        """Wait until all is closed, whoever cancels whom meanwhile."""
        while waiting := [task for task in self._tasks if not task.done()]:
            try:
                await asyncio.wait(waiting)
            except asyncio.CancelledError:
                # Asked twice: what is slow about its end is to hurry.
                self.stop()

    async def _rest(self) -> None:
        await self._settled()
        await self._give_back()

    async def _give_back(self) -> None:
        if self._bar is not None:
            self._bar.end()
        if self._experiment is not None and self._experiment.context is not None:
            self._context.run(self._experiment.__exit__, None, None, None)
        await self.workplace.close()

    async def done(self) -> None:
        """Run the branches, and wait for those that are waited for."""
        async for _ in self.finished():
            pass

    def result(self) -> object:
        """Return what the strategy makes of the branches that are waited for."""
        awaited = BranchContainer(in_config_order(each for each in self.plan if not each.is_shadow))
        return awaited if self._result is None else self._result(awaited)

    def shadow_branches(self) -> list[Branch]:
        """Return the branches that nobody waits for."""
        return in_config_order(each for each in self.plan if each.is_shadow)

    async def shadows(self) -> None:
        """Wait for all of the branches, those that nobody waits for too."""
        while not all(each.branch.is_final for each in self.plan):
            waiting = [task for task in self._tasks if not task.done()]
            if waiting and waiting[0].get_loop() is asyncio.get_running_loop():
                await asyncio.wait(waiting)
            else:
                # They run in the loop of another thread.
                await asyncio.sleep(LOOK_SECONDS)

    async def ended(self) -> None:
        """Wait until everything that the runner holds is given back."""
        await self._settled()
        if self._resting is not None:
            await self._resting

    # ── one branch ────────────────────────────────────────────────────────────────────────────────

    async def _one(self, planned: Planned) -> None:
        try:
            async with self._places:
                refusal = self._refused()
                if refusal is None:
                    await self._run(planned)
                else:
                    self._skip(planned, refusal)
        except asyncio.CancelledError:
            self._skip(planned, self._refusal or "not begun: the run was stopped")
        finally:
            self._finished.put_nowait(planned)

    def _refused(self) -> str | None:
        if self._refusal is None and self._options.budget is not None:
            try:
                reason = reason_to_stop(self._options.budget)
            except Exception as error:  # as good a reason as any, and BudgetExceeded is one
                reason = error
            if reason:
                self._refusal = f"not begun: {reason}"
        return self._refusal

    def _skip(self, planned: Planned, reason: str) -> None:
        if planned.branch.is_final:
            return
        block = self._block(planned)
        context = contextvars.copy_context()
        context.run(block.__enter__)
        planned.branch.mark_skipped(reason)
        context.run(block.__exit__, None, None, None)
        self._tell(planned.branch)

    async def _run(self, planned: Planned) -> None:
        branch = planned.branch
        block = self._block(planned)
        context = contextvars.copy_context()
        context.run(block.__enter__)
        context.run(block.put, self._facts(planned))
        self._tell(branch)
        run_id: str | None = None
        try:
            run_id = await begun(self._options.logger, branch)
            job = Job(function=self._function, config=planned.config, branch=branch, note=block.mark)
            ended = await self._attempts(planned, job, context)
        except asyncio.CancelledError as error:
            ended = Ended(error=error)
        branch.cancelled_by(None)
        if branch.retries:
            context.run(block.put, {names.BRANCH_RETRIES: branch.retries})
        context.run(_close, block, branch, ended)
        self._judge(ended)
        self._tell(branch)
        await told(self._options.logger, run_id, branch)

    def _block(self, planned: Planned) -> BranchBlock:
        branch = planned.branch
        return BranchBlock(
            planned.branch.config,
            name=branch.name,
            config_id=branch.config_id,
            experiment=None,
            new_trace=False,
            prepared=branch,
        )

    def _facts(self, planned: Planned) -> dict[str, object]:
        facts: dict[str, object] = {names.BRANCH_POSITION: planned.position}
        if self._options.repeats > 1:
            facts |= {names.BRANCH_REPEAT: planned.repeat, names.BRANCH_ORDER: self._options.order}
        if planned.is_shadow:
            facts[names.BRANCH_SHADOW] = True
        return facts

    def _tell(self, branch: Branch) -> None:
        look = self._options.progress if self._bar is None else self._bar
        if callable(look):
            with contextlib.suppress(Exception):  # whoever looks on must not cost a result
                look(branch)

    def _judge(self, ended: Ended) -> None:
        error = ended.error
        if isinstance(error, KeyboardInterrupt) and self.workplace.raises_here:
            self.stop(error)
        elif error is not None and _is_out_of_budget(error) and self._refusal is None:
            self._refusal = f"not begun: {error}"

    # ── its attempts ──────────────────────────────────────────────────────────────────────────────

    async def _attempts(self, planned: Planned, job: Job, context: contextvars.Context) -> Ended:
        while True:
            ended = await self._attempt(job, context, _Shadowing if planned.is_shadow else asyncio.Task)
            if planned.branch.retries >= self._options.retries or not self._is_worth_another(ended):
                return ended
            planned.branch.retries += 1
            error = ended.error
            assert error is not None
            job.note(
                names.RETRY_EVENT,
                {names.EXCEPTION_TYPE: error_type(error), names.EXCEPTION_MESSAGE: str(error)},
            )

    def _is_worth_another(self, ended: Ended) -> bool:
        error = ended.error
        return (
            self._refusal is None
            and error is not None
            and outcome_of(error) == names.FAILED
            and not _is_out_of_budget(error)
        )

    async def _attempt(self, job: Job, context: contextvars.Context, make: type[asyncio.Task[Any]]) -> Ended:
        loop = asyncio.get_running_loop()
        working = make(self.workplace.do(job), loop=loop, context=context)
        reasons: list[str] = []

        def cancel(reason: str) -> bool:
            reasons.append(reason)
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the branch with it
                loop.call_soon_threadsafe(working.cancel)
            return True

        job.branch.cancelled_by(cancel)
        try:
            await asyncio.wait({working}, timeout=self._options.timeout)
            if working.done():
                return _ended_of(working, reasons)
            await _put_down(working)
            return Ended(error=TimeoutError(f"not done within {self._options.timeout:g} seconds"))
        except asyncio.CancelledError:
            await _put_down(working)
            # Of its own kind, so that no branch holds on to the frames of others.
            why = "the run was stopped"
            return Ended(error=KeyboardInterrupt() if self.interrupt is not None else asyncio.CancelledError(why))


def _bar(total: int) -> BranchBar:
    # Only who wants to see it pays for what showing takes.
    from ..progress.branches import BranchBar

    return BranchBar(total)


def _ended_of(working: asyncio.Task[Ended], reasons: Sequence[str]) -> Ended:
    if working.cancelled():
        return Ended(error=asyncio.CancelledError(*reasons[:1]))
    error = working.exception()
    if error is not None:
        return Ended(error=error)
    ended = working.result()
    if reasons and isinstance(ended.error, asyncio.CancelledError):
        return Ended(error=asyncio.CancelledError(*reasons[:1]))
    return ended


async def _put_down(working: asyncio.Task[Ended]) -> None:
    """Cancel, and give it time to clean up; what then still goes on is left alone."""
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait({working}, timeout=GRACE_SECONDS)
    if not working.done():
        _kept(working)


def _kept(task: asyncio.Task[Any]) -> None:
    _background.add(task)
    task.add_done_callback(_let_go)


def _let_go(task: asyncio.Task[Any]) -> None:
    _background.discard(task)
    if not task.cancelled():
        # Looked at, so that asyncio does not complain that nobody did.
        task.exception()


def _close(block: BranchBlock, branch: Branch, ended: Ended) -> None:
    """End *branch*, and its span, as its last attempt did."""
    error = ended.error
    if ended.output is not None:
        branch.output = ended.output
    if ended.skip_reason is not None:
        branch.skip(ended.skip_reason)
    if ended.lost is not None:
        branch.mark_lost(ended.lost)
    block.__exit__(None if error is None else type(error), error, None if error is None else error.__traceback__)
    if ended.info is not None and branch.exception_info is not None:
        branch.exception_info = ended.info
    if branch.exception_info is not None:
        branch.error = error


def experiment_of(function: Callable[..., object], name: str | None) -> ExperimentBlock | None:
    """Return an experiment to be opened, else named after *function*; None inside of one, unless it has a *name*."""
    if name is None and otel_context.get_value(EXPERIMENT_KEY) is not None:
        return None
    own = getattr(inspect.unwrap(function), "__qualname__", None) or type(function).__qualname__
    return ExperimentBlock(str(own).replace(".<locals>", "") if name is None else name, {})


def _is_out_of_budget(error: BaseException) -> bool:
    """Whether nobody else may spend either: a branch that has spent its own share is held back alone."""
    return isinstance(error, BudgetExceeded) and error.status.period not in ("branch", "step")


class _Shadowing(asyncio.Task[Any]):
    """A task that is given time when its loop ends: nobody waited for it, but it is somebody's work."""

    def cancel(self, msg: Any = None) -> bool:  # noqa: ANN401  # as asyncio has it
        """Cancel; at the end of the loop, which then does not run, let it come to its own end."""
        if self.get_loop().is_running():
            return super().cancel(msg)
        return True
