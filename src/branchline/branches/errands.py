"""One call of a branch's function: made here, or in another process, and how it ended."""

from __future__ import annotations

import contextvars
import inspect
import pickle
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from ..context import attached, carrier, extracted
from ..errors import BranchlineError
from .blocks import BRANCH_KEY
from .model import Branch, ExceptionInfo, exception_info


class WorkerError(BranchlineError):
    """An exception of another process that could not be sent from there: its type and what it says."""


class WorkerTraceback(Exception):
    """The cause of an exception that came from another process: where it was raised there."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text}"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a call ended: with an output, or with an error."""

    output: object = None
    error: BaseException | None = None
    info: ExceptionInfo | None = None
    """What the error says, where it does not say so itself."""
    skip_reason: str | None = None
    lost: str | None = None
    """Why nobody knows how it ended; None where somebody does."""


def ended_here(function: Callable[..., object], config: object) -> Ended:
    """Call *function*, to its end if it is a coroutine's, and return how that ended; never raises."""
    try:
        output = function(config)
        if inspect.iscoroutine(output):
            # Loaded by whoever runs branches, but not in every process.
            import asyncio

            output = asyncio.run(cast("Coroutine[Any, Any, object]", output))
        return Ended(output=output)
    except BaseException as error:  # whatever it is, it is this branch's alone
        return Ended(error=error)


@dataclass(frozen=True, kw_only=True)
class _Report:
    """How a call ended, as it is sent to another process: what cannot be unpickled there must not break the pool."""

    output: bytes | None
    error: bytes | None
    module: str
    info: ExceptionInfo | None
    skip_reason: str | None


class Errand:
    """A call to be made by somebody's worker, inside the trace and the branch that it belongs to."""

    def __init__(self, function: Callable[..., object], config: object, branch: Branch) -> None:
        """Belong to the current context."""
        self.function = function
        self.config = config
        self.branch = branch
        self.fields: Mapping[str, str] = carrier()
        # Where it is called without having been sent: in a thread of this process.
        self.here: contextvars.Context | None = contextvars.copy_context()

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"here": None}

    def __call__(self) -> Ended | _Report:
        """Make the call, and report how it ended."""
        if self.here is not None:
            return self.here.run(ended_here, self.function, self.config)
        branch = self.branch
        with attached(otel_context.set_value(BRANCH_KEY, branch, extracted(self.fields, Context()))):
            ended = ended_here(self.function, self.config)
        if ended.error is None:
            output = branch.output if ended.output is None else ended.output
            try:
                return _Report(
                    output=pickle.dumps(output), error=None, module="", info=None, skip_reason=branch.skip_reason
                )
            except Exception as error:  # an output that cannot leave its process
                ended = Ended(error=error)
        return _reported(cast("BaseException", ended.error))


def _reported(error: BaseException) -> _Report:
    pickled = None
    with suppress(Exception):
        pickled = pickle.dumps(error)
        # Some can be pickled and not unpickled: better to find out here.
        pickle.loads(pickled)  # noqa: S301  # made in the line above
    module = type(error).__module__
    return _Report(output=None, error=pickled, module=module, info=exception_info(error), skip_reason=None)


def understood(report: object) -> Ended:
    """Return what the *report* of an errand says."""
    if isinstance(report, Ended):
        return report
    if not isinstance(report, _Report):
        msg = f"an executor is to return what it was given to call returned, not {report!r}"
        return Ended(error=TypeError(msg))
    if report.output is not None:
        try:
            return Ended(output=pickle.loads(report.output), skip_reason=report.skip_reason)  # noqa: S301  # our own worker's
        except Exception as error:  # a class that only the worker knows
            return Ended(error=error)
    return Ended(error=_error_of(report), info=report.info)


def _error_of(report: _Report) -> BaseException:
    info = cast("ExceptionInfo", report.info)
    # A class of the same name, so that whoever looks at the type sees what it was.
    error: BaseException = type(info["type"], (WorkerError,), {"__module__": report.module})(info["message"])
    if report.error is not None:
        with suppress(Exception):
            error = pickle.loads(report.error)  # noqa: S301  # our own worker's
    error.__cause__ = WorkerTraceback(info["traceback"])
    return error
