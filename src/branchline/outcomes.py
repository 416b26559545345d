"""How work ended: the outcome that an exception, or none, stands for."""

from __future__ import annotations

import sys

from . import names


def outcome_of(error: BaseException | None) -> str:
    """Return the outcome of work that ended with *error*, or with none."""
    if error is None:
        return names.SUCCESS
    if isinstance(error, Exception):
        return names.FAILED
    if isinstance(error, GeneratorExit):
        return names.CLOSED
    if isinstance(error, SystemExit):
        return names.SUCCESS if error.code in (None, 0) else names.INTERRUPTED
    if isinstance(error, KeyboardInterrupt):
        return names.INTERRUPTED
    return names.CANCELLED if _is_cancellation(error) else names.FAILED


def is_worth_recording(error: BaseException) -> bool:
    """Whether *error* says something that the outcome does not: a clean exit and a closed generator do not."""
    return outcome_of(error) not in (names.SUCCESS, names.CLOSED)


def _is_cancellation(error: BaseException) -> bool:
    # Whoever raises it has asyncio loaded; importing it for everybody would cost 30 ms.
    asyncio_exceptions = sys.modules.get("asyncio.exceptions")
    return asyncio_exceptions is not None and isinstance(error, asyncio_exceptions.CancelledError)
