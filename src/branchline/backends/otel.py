"""The backend whose runs are branches: spans of the run that is being recorded, or of whatever provider there is."""

from __future__ import annotations

import contextvars
import time
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from .. import foreign, names
from ..branches import branch
from ..branches.config import flattened
from ..branches.model import Branch, ExceptionInfo
from ..context import attached
from ..current import CURRENT
from ..recording import Recording
from .protocol import known_status


@dataclass(frozen=True, kw_only=True)
class _Run:
    block: AbstractContextManager[Branch]
    branch: Branch
    recording: Recording | None
    home: contextvars.Context
    """Where the block was entered and will be left: nothing of it is seen by who called."""
    inside: Context


class OTelLogger:
    """Makes a branch of every run, below what is current where it is started.

    Starting a run changes nothing about what is current, however many run at once; `inside` does.
    """

    def __init__(self, *, experiment_name: str | None = None) -> None:
        self._experiment_name = experiment_name
        self._runs: dict[str, _Run] = {}

    def __repr__(self) -> str:
        return f"<OTelLogger with {len(self._runs)} open run(s)>"

    def inside(self, run_id: str) -> AbstractContextManager[None]:
        """Make the run's branch current inside the ``with`` block: what is recorded there lies below it."""
        run = self._runs.get(run_id)
        return nullcontext() if run is None else attached(run.inside)

    async def start_run(self, config: Mapping[str, object]) -> str:
        """Open a branch of *config* and return an id that no other run has."""
        run_id, home = uuid.uuid4().hex, contextvars.copy_context()
        self._runs[run_id] = home.run(self._opened, config, home)
        return run_id

    def _opened(self, config: Mapping[str, object], home: contextvars.Context) -> _Run:
        block = branch(config, experiment=self._experiment_name)
        opened = block.__enter__()
        recorder = CURRENT.recorder or foreign.recorder()
        return _Run(
            block=block,
            branch=opened,
            recording=None if recorder is None else recorder.current(),
            home=home,
            inside=otel_context.get_current(),
        )

    async def log_params(self, run_id: str, params: Mapping[str, object]) -> None:
        """Record parameters as the branch's configuration."""
        run = self._runs.get(run_id)
        if run is not None and run.recording is not None:
            flat = flattened(params)
            run.recording.put({f"{names.BRANCH_CONFIG_PREFIX}{key}": value for key, value in flat.items()})

    async def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Record metrics of the branch."""
        run = self._runs.get(run_id)
        if run is not None:
            for name, value in metrics.items():
                run.branch.metric(name, value)

    async def log_branch(self, run_id: str, branch: Branch) -> None:
        """Record the output of *branch* as that of the run's own."""
        run = self._runs.get(run_id)
        if run is not None:
            run.branch.output = branch.output

    async def log_exception(self, run_id: str, exc_type: str, exc_msg: str, traceback_str: str) -> None:
        """Record what went wrong, as OpenTelemetry records an exception."""
        run = self._runs.get(run_id)
        if run is None:
            return
        run.branch.exception_info = ExceptionInfo(type=exc_type, message=exc_msg, traceback=traceback_str)
        if run.recording is not None:
            run.recording.put({names.ERROR_TYPE: exc_type})
            attributes = {
                names.EXCEPTION_TYPE: exc_type,
                names.EXCEPTION_MESSAGE: exc_msg,
                names.EXCEPTION_STACKTRACE: traceback_str,
            }
            run.recording.mark(names.EXCEPTION, attributes)

    async def log_status(self, run_id: str, status: str, start_ts: float, end_ts: float, retry_count: int = 0) -> None:
        """End the branch; how long it took is what lies between its own start and now."""
        known = known_status(status)
        if known == names.PENDING:
            return
        run = self._runs.pop(run_id, None)
        if run is None:
            return
        if retry_count and run.recording is not None:
            run.recording.put({names.BRANCH_RETRIES: retry_count})
        run.branch.end_ts, run.branch.status = max(time.time(), run.branch.start_ts), known
        run.home.run(run.block.__exit__, None, None, None)
