"""How work ended: the outcome that an exception, or none, stands for."""

from __future__ import annotations

import sys

from . import names
from .recording import Recording
from .tracebacks import qualified_name
from .values import freeze


def outcome_of(error: BaseException | None) -> str:
    """Return the outcome of work that ended with *error*, or with none."""
    if error is None:
        return names.SUCCESS
    if isinstance(error, Exception):
        return names.SUCCESS if _is_clean_exit(error) else names.FAILED
    if isinstance(error, GeneratorExit):
        return names.CLOSED
    if isinstance(error, SystemExit):
        is_clean = error.code is None or (isinstance(error.code, int) and error.code == 0)
        return names.SUCCESS if is_clean else names.INTERRUPTED
    if isinstance(error, KeyboardInterrupt):
        return names.INTERRUPTED
    if isinstance(error, BaseExceptionGroup):
        return _outcome_of_group(error)
    return names.CANCELLED if _is_cancellation(error) else names.FAILED


def is_worth_recording(error: BaseException) -> bool:
    """Whether *error* says something that the outcome does not: a clean exit and a closed generator do not."""
    return outcome_of(error) not in (names.SUCCESS, names.CLOSED)


def error_type(error: BaseException) -> str:
    """Return the exception's class as OpenTelemetry names it: ``module.Class``, or just the name of a built-in."""
    return qualified_name(type(error))


def left_with(recording: Recording, error: BaseException, *, record_exception: bool = True) -> None:
    """End *recording* with the exception that left its block or function."""
    outcome = outcome_of(error)
    if not is_worth_recording(error):
        recording.leave(outcome)
    elif record_exception:
        recording.leave(outcome, error=error)
    else:
        recording.put({names.ERROR_TYPE: error_type(error)})
        recording.leave(outcome, message=str(freeze(error)))


def _outcome_of_group(group: BaseExceptionGroup[BaseException]) -> str:
    outcomes = {outcome_of(error) for error in group.exceptions}
    if names.INTERRUPTED in outcomes:
        return names.INTERRUPTED
    return names.CANCELLED if outcomes == {names.CANCELLED} else names.FAILED


# Whoever raises one of these has its module loaded; importing them for everybody would cost 30 ms.


def _is_clean_exit(error: Exception) -> bool:
    """Whether it is how a command of click or typer says that it is done: they make a ``SystemExit(0)`` of it."""
    click = sys.modules.get("click.exceptions")
    return click is not None and isinstance(error, getattr(click, "Exit", ())) and getattr(error, "exit_code", 1) == 0


def _is_cancellation(error: BaseException) -> bool:
    asyncio_exceptions = sys.modules.get("asyncio.exceptions")
    if asyncio_exceptions is not None and isinstance(error, asyncio_exceptions.CancelledError):
        return True
    trio = sys.modules.get("trio")
    return trio is not None and isinstance(error, getattr(trio, "Cancelled", ()))
