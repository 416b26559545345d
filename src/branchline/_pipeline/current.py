"""A span made current for a block or a decorated function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import ContextDecorator
from functools import wraps
from types import TracebackType
from typing import Any

from opentelemetry import trace as api
from opentelemetry.context import Context

from ..tracebacks import said
from .active import SPAN_KEY, get_current, give_back, reset_current
from .finalisers import set_current


class CurrentSpan(ContextDecorator):
    """A span that is current for a ``with`` block, or for each call of a decorated function."""

    def __init__(
        self,
        start: Callable[[], api.Span],
        *,
        record_exception: bool,
        set_status_on_exception: bool,
        end_on_exit: bool,
    ) -> None:
        """Make the span with *start* when the block is entered."""
        self._start = start
        self._record_exception = record_exception
        self._set_status = set_status_on_exception
        self._end_on_exit = end_on_exit
        self._entered: list[tuple[api.Span, Any]] = []

    def __enter__(self) -> api.Span:
        """Start the span and make it current."""
        span = self._start()
        context = Context(get_current())
        dict.__setitem__(context, SPAN_KEY, span)
        self._entered.append((span, set_current(context)))
        return span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        """End the span, with the exception that left the block."""
        span, token = self._entered.pop()
        try:
            reset_current(token)
        except (ValueError, RuntimeError):
            give_back(token, span)
        if isinstance(error, Exception) and span.is_recording():
            if self._record_exception:
                span.record_exception(error)
            if self._set_status:
                span.set_status(api.Status(api.StatusCode.ERROR, f"{type(error).__name__}: {said(error)}"))
        if self._end_on_exit:
            span.end()

    def _recreate_cm(self) -> CurrentSpan:
        """Return a fresh one: calls of a decorated function may overlap."""
        return CurrentSpan(
            self._start,
            record_exception=self._record_exception,
            set_status_on_exception=self._set_status,
            end_on_exit=self._end_on_exit,
        )

    def __call__(self, function: Any) -> Any:
        """Decorate *function*, async ones included."""
        if not inspect.iscoroutinefunction(function):
            return super().__call__(function)

        @wraps(function)
        async def traced(*args: Any, **kwargs: Any) -> Any:
            with self._recreate_cm():
                return await function(*args, **kwargs)

        return traced
