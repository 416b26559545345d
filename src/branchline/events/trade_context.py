"""A trade while it happens: a step, whose beginning, notes, result and end are events of it."""

from __future__ import annotations

import time
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, Self

from .. import names
from ..money import plain
from ..outcomes import outcome_of
from ..steps import Step, step
from ..tracebacks import qualified_name, said, stack_of
from .saying import say, side_by_side
from .trade_event import LOGGER, InvalidTrade
from .trade_rules import PLACED, checked


_TAKEN: Final = ("symbol", "side", "quantity")


class TradeContext:
    """A with-block that is a trade: says that it has begun, how long it took, and how it went.

    Each is an event of its step, with symbol, side, quantity and whatever else is said, and goes to the Logger
    ``trades``. Nothing but the set-up raises; what the block raises passes through.
    """

    def __init__(self, symbol: str, side: str, quantity: Decimal | float | str, **extra: object) -> None:
        """Trade a *quantity* of *symbol*.

        Raises:
            InvalidTrade: for what cannot be, with all that is wrong.
        """
        found = checked(PLACED, {**extra, "symbol": symbol, "side": side, "quantity": quantity})
        if found.problems:
            raise InvalidTrade(found.problems)
        values: dict[str, Any] = {key: found.fields[key] for key in _TAKEN}
        self._fields = side_by_side({**values, "quantity": plain(values["quantity"])}, extra, "extra")
        self.title = f"{values['side']} {self._fields['quantity']} {values['symbol']}"
        self.duration_ms: float | None = None
        """How long it took, once it has ended."""
        self._result: dict[str, object] = {}
        self._step: Step | None = None
        self._began = 0.0

    def set_result(self, **result: object) -> None:
        """Say what came of it; what is said twice counts the second time."""
        self._result |= result
        self._say(names.TRADE_RESULT, "result", result)

    def add_note(self, message: str, **extra: object) -> None:
        """Say something about it."""
        self._say(names.TRADE_NOTE, message, extra)

    def __enter__(self) -> Self:
        self._step = step("trade")
        self._step.__enter__()
        self._step.set(**self._fields)
        self._say(names.TRADE_STARTED, "started", {}, severity="DEBUG")
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self.duration_ms = round((time.perf_counter() - self._began) * 1000, 2)
        told = {**self._result, "duration_ms": self.duration_ms}
        if error is None or outcome_of(error) == names.SUCCESS:
            self._say(names.TRADE_COMPLETED, "completed", {**told, "success": True})
        else:
            self._say(names.TRADE_FAILED, "failed", {**told, "success": False}, severity="ERROR", error=error)
        if self._step is not None:
            self._step.__exit__(kind, error, stack)

    def _say(
        self,
        name: str,
        what: str,
        more: dict[str, object],
        *,
        severity: str = "INFO",
        error: BaseException | None = None,
    ) -> None:
        beside: dict[str, object] = {}
        if error is not None:
            beside = {
                names.EXCEPTION_TYPE: qualified_name(type(error)),
                names.EXCEPTION_MESSAGE: said(error),
                names.EXCEPTION_STACKTRACE: stack_of(error, error.__traceback__),
            }
        fields = side_by_side(self._fields, more, "more")
        say(name, fields, severity=severity, message=f"{self.title}: {what}", logger=LOGGER, error=error, beside=beside)
