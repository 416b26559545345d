"""The backend that logs to MLflow: one MLflow run for each run, by its id, whatever else goes on at the same time."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, TypeVar

from .. import names
from .._mlflow.client import Client, RunStatus
from .._mlflow.failures import MLflowFailure
from .._mlflow.limits import LONGEST_EXPERIMENT_NAME
from ..branches.config import config_id, flattened, mapping_of
from ..branches.model import Branch, Status
from ..current import CURRENT
from ..errors import ConfigError
from ..logs.accounts import Account, said
from ..metric_values import freeze_number
from ..redaction import Redactor, redactor_from
from ..values import freeze, freeze_key
from .mlflow_calls import Calls, RunWish
from .protocol import LoggerError, known_status
from .strands import FullError, Strands


Made = TypeVar("Made")

TRACEBACK_TAG: Final = "traceback"

_ENDED_AS: Final[Mapping[Status, RunStatus]] = {
    "success": "FINISHED",
    "skipped": "FINISHED",
    "failed": "FAILED",
    "cancelled": "KILLED",
    "interrupted": "KILLED",
    "lost": "KILLED",
}

# More do not make a server faster, and each may hold up the event loop for a switch of threads.
_THREADS: Final = 4
# How long a server that did not answer in time is not waited for any more.
_SILENCE_SECONDS: Final = 30.0
_MOMENT_SECONDS: Final = 0.05


class MLflowLogger:
    """Logs runs to MLflow at *tracking_uri*, by default where MLflow itself would look, in one of its experiments.

    Only `start_run` raises, and only `LoggerError`; what else fails is counted in `dropped` and said on stderr. No
    call blocks the event loop, and none is waited for longer than *timeout* seconds: it is made all the same. Calls
    about one run are made in their order. Any number of tasks, threads and event loops may share one logger.

    Args:
        experiment_name: MLflow's experiment; else ``MLFLOW_EXPERIMENT_NAME``, ``MLFLOW_EXPERIMENT_ID``, ``Default``.
        tracking_uri: Where MLflow is.
        parent_run_id: The MLflow run that the runs are shown below.
        redact: Whether secrets are taken out of what is logged, or a `Redactor` that does so.
        timeout: How many seconds a call is waited for.

    Raises:
        MissingExtraError: where MLflow is not installed or cannot be imported.
        ConfigError: for what cannot be a name or a time.
    """

    def __init__(
        self,
        experiment_name: str | None = None,
        *,
        tracking_uri: str | None = None,
        parent_run_id: str | None = None,
        redact: bool | Redactor = True,
        timeout: float = 60.0,
    ) -> None:
        self._experiment, self._is_id = _experiment(experiment_name, os.environ)
        self._parent_run_id = parent_run_id
        self._redactor = redactor_from(redact)
        self._timeout = _seconds(timeout)
        self._tracking_uri = None if tracking_uri is None else str(tracking_uri)
        self._account = Account("MLflow")
        self._silent_since: float | None = None
        self._connect()

    def _connect(self) -> None:
        client = Client(self._tracking_uri)
        self._pid = os.getpid()
        self._calls = Calls(client, account=self._account, redactor=self._redactor, patience=self._timeout)
        # Writers of one database file only wait for each other.
        self._strands = Strands(threads=_THREADS if client.is_remote else 1)

    def __repr__(self) -> str:
        return f"<MLflowLogger at {self.tracking_uri}>"

    @property
    def tracking_uri(self) -> str:
        """Where MLflow is, without a password."""
        return Redactor().text(self._calls.client.tracking_uri)

    @property
    def dropped(self) -> dict[str, int]:
        """How much of what was logged did not arrive, and why: ``retry``, ``refused``, ``missing``, ``queue_full``."""
        return dict(self._account.dropped)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until MLflow has been told everything, at most so long; say whether it has."""
        return self._strands.wait(timeout)

    # ── the protocol ──────────────────────────────────────────────────────────────────────────────

    async def start_run(self, config: Mapping[str, object]) -> str:
        """Start a run of *config* and return MLflow's id of it.

        A run that nobody waits for any more, because the task was cancelled, is ended as ``KILLED``.

        Raises:
            LoggerError: when MLflow says no, or nothing in time.
        """
        values, token = mapping_of(config), uuid.uuid4().hex
        identity = config_id(values)
        tags = {names.BRANCH_ID: identity, names.RUN_ID: CURRENT.run_id or "", names.BRANCH_STATUS: names.PENDING}
        wish = RunWish(
            experiment=self._experiment,
            is_id=self._is_id,
            config=values,
            identity=identity,
            start_ms=_now_ms(),
            tags={key: text for key, text in tags.items() if text},
            parent_run_id=self._parent_run_id,
            token=token,
        )
        # Of hundreds of branches that begin at once, all begin before a thread competes with them for the interpreter.
        await asyncio.sleep(0)
        try:
            future = self._submit(token, lambda calls: calls.create(wish))
        except FullError:
            msg = f"no run was started in MLflow at {self.tracking_uri}: too many calls wait for it already"
            raise LoggerError(msg) from None
        try:
            return await self._answer(future)
        except MLflowFailure as failure:
            msg = f"no run was started in MLflow at {self.tracking_uri}: {Redactor().text(str(failure))}"
            raise LoggerError(msg) from failure
        except TimeoutError:
            self._give_up(future)
            msg = f"no run was started in MLflow at {self.tracking_uri}: no answer in time"
            raise LoggerError(msg) from None
        except asyncio.CancelledError:
            self._give_up(future)
            raise

    async def log_params(self, run_id: str, params: Mapping[str, object]) -> None:
        """Add parameters, what is nested under dotted keys; one that has another value already keeps it."""
        values = flattened(params)
        await self._tell(run_id, lambda calls: calls.tell_params(run_id, values))

    async def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Add a value to each of these metrics."""
        values, now = {freeze_key(key): float(freeze_number(value)) for key, value in metrics.items()}, _now_ms()
        await self._tell(run_id, lambda calls: calls.tell_points(run_id, values, now))

    async def log_branch(self, run_id: str, branch: Branch) -> None:
        """Keep all of *branch* as the artifact ``branch_<config id>.json``, whatever its output is made of."""
        fields = {key: freeze(value) for key, value in branch.to_dict().items()}
        await self._tell(run_id, lambda calls: calls.tell_branch(run_id, fields))

    async def log_exception(self, run_id: str, exc_type: str, exc_msg: str, traceback_str: str) -> None:
        """Set what went wrong as tags; a traceback that is too long for one is whole in ``traceback.txt``."""
        tags = {names.EXCEPTION_TYPE: exc_type, names.EXCEPTION_MESSAGE: exc_msg, TRACEBACK_TAG: traceback_str}
        await self._tell(run_id, lambda calls: calls.tell_tags(run_id, tags, whole_in="traceback.txt"))

    async def log_status(self, run_id: str, status: str, start_ts: float, end_ts: float, retry_count: int = 0) -> None:
        """End the run: ``FINISHED``, ``FAILED`` or ``KILLED``; ``branchline.branch.status`` has the very *status*."""
        ended_as, now = _ENDED_AS.get(known_status(status)), _now_ms()
        values = {"duration": max(end_ts - start_ts, 0.0), "retry_count": float(retry_count)}

        if ended_as is None:
            await self._tell(run_id, lambda calls: calls.tell_status(run_id, status))
        else:
            await self._tell(run_id, lambda calls: calls.end(run_id, status, ended_as, values, now))

    # ── waiting ───────────────────────────────────────────────────────────────────────────────────

    def _submit(self, key: str, call: Callable[[Calls], Made]) -> Future[Made]:
        if self._pid != os.getpid():
            # A forked child has neither the threads nor a use for the parent's connections.
            self._connect()
        calls = self._calls
        return self._strands.submit(key, lambda: call(calls))

    async def _tell(self, run_id: str, call: Callable[[Calls], None]) -> None:
        try:
            future = self._submit(run_id, call)
        except FullError:
            self._account.drop("queue_full")
            self._account.say("queue_full", f"too many calls wait for it already; run {run_id} lacks one")
            return
        try:
            await self._answer(future)
        except TimeoutError:
            self._account.say("silent", f"no answer from {self.tracking_uri}; what is logged there waits")
        except Exception as error:  # ours, and no reason for the branch to fail
            self._account.drop("failed")
            self._account.say("failed", f"could not log to run {run_id}: {said(error)}")

    async def _answer(self, future: Future[Made]) -> Made:
        """Return what comes of *future*; raise TimeoutError where that takes too long, and leave it to itself."""
        loop = asyncio.get_running_loop()
        heard = loop.create_future()

        def hear(_: object) -> None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(_settle, heard)

        future.add_done_callback(hear)
        try:
            async with asyncio.timeout(self._patience()):
                await heard
        except TimeoutError:
            self._silent_since = time.monotonic()
            raise
        self._silent_since = None
        return future.result()

    def _patience(self) -> float:
        # One branch waits for a server that is gone, and not each of hundreds one after the other.
        silent = self._silent_since is not None and time.monotonic() - self._silent_since < _SILENCE_SECONDS
        return min(_MOMENT_SECONDS, self._timeout) if silent else self._timeout

    def _give_up(self, future: Future[str]) -> None:
        """See to it that no run stays open of which nobody will ever hear."""
        if not future.cancel():
            future.add_done_callback(self._end_unwanted)

    def _end_unwanted(self, future: Future[str]) -> None:
        if future.exception() is None:
            run_id, now = future.result(), _now_ms()
            with suppress(FullError):
                self._submit(run_id, lambda calls: calls.end(run_id, "cancelled", "KILLED", {}, now))


def _settle(heard: asyncio.Future[None]) -> None:
    if not heard.done():
        heard.set_result(None)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _experiment(name: str | None, env: Mapping[str, str]) -> tuple[str, bool]:
    """Return the name or, the second being true, the id of MLflow's experiment."""
    if name is None:
        named, identity = env.get("MLFLOW_EXPERIMENT_NAME"), env.get("MLFLOW_EXPERIMENT_ID")
        return (named, False) if named else (identity or "Default", bool(identity))
    if not name.strip() or "://" in name or len(name) > LONGEST_EXPERIMENT_NAME:
        hint = "; a place is said as tracking_uri" if "://" in name else ""
        msg = (
            f"experiment_name={Redactor().text(name)!r}; "
            f"accepted: a text of 1 to {LONGEST_EXPERIMENT_NAME} characters{hint}"
        )
        raise ConfigError(msg)
    return name, False


def _seconds(timeout: float) -> float:
    if timeout > 0:
        return float(timeout)
    msg = f"timeout={timeout!r}; accepted: a number of seconds above 0"
    raise ConfigError(msg)
