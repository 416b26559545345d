"""The context, taken along by hand: into threads, tasks, callbacks and other processes."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, ParamSpec, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from .current import (
    CURRENT,
    IDENTITY_KEY,
    PIPELINE_KEY,
    RUN_KEY,
    SETTINGS_KEY,
    Board,
    MetadataTaker,
    Purse,
    current_identity,
    current_run,
)
from .recording import EventTaker, Identity, Recorder, Recording, UsagePlace


# What records, and what is current, is to be had from here as well.
__all__ = [
    "CARRIER_KEY",
    "CURRENT",
    "DIRECTORY_VARIABLE",
    "IDENTITY_KEY",
    "OWNER_VARIABLE",
    "PIPELINE_KEY",
    "RUN_ID_VARIABLE",
    "RUN_KEY",
    "SETTINGS_KEY",
    "Board",
    "Carried",
    "EventTaker",
    "Identity",
    "MetadataTaker",
    "Purse",
    "Recorder",
    "Recording",
    "UsagePlace",
    "attach",
    "attached",
    "carrier",
    "carry",
    "current_identity",
    "current_run",
    "detach",
    "extracted",
]

P = ParamSpec("P")
R = TypeVar("R")

CARRIER_KEY = "branchline"
RUN_ID_VARIABLE = "BRANCHLINE_RUN_ID"
DIRECTORY_VARIABLE = "BRANCHLINE_DIR"
OWNER_VARIABLE = "BRANCHLINE_OWNER"


def carrier(environ: bool = False) -> dict[str, str]:
    """Return what another process needs to join this run, trace and branch, as a plain mapping.

    With *environ* the keys are in upper case and the mapping is fit for a child's environment.
    """
    fields = _injected()
    run_id, directory = current_run()
    identity = current_identity()
    described = {
        "run": run_id,
        "experiment": identity.experiment_name,
        "branch.id": identity.branch_id,
        "branch.name": identity.branch_name,
    }
    text = ";".join(f"{key}={_quoted(value)}" for key, value in described.items() if value is not None)
    if text:
        fields[CARRIER_KEY] = text
    if not environ:
        return fields
    variables = {key.upper().replace("-", "_"): value for key, value in fields.items()}
    if run_id is not None and directory is not None:
        variables[RUN_ID_VARIABLE] = run_id
        variables[DIRECTORY_VARIABLE] = directory
        variables[OWNER_VARIABLE] = str(os.getpid())
    return variables


def extracted(fields: Mapping[str, str], base: Context | None = None) -> Context:
    """Return *base*, by default this context, with what the carrier *fields* say; what it cannot read it leaves out."""
    context = otel_context.get_current() if base is None else base
    try:
        lower = {str(key).lower(): str(value) for key, value in fields.items()}
        context = _extracted_trace(lower, context)
        described = dict(part.split("=", 1) for part in lower.get(CARRIER_KEY, "").split(";") if "=" in part)
        identity = Identity(
            experiment_name=_unquoted(described.get("experiment")),
            branch_id=_unquoted(described.get("branch.id")),
            branch_name=_unquoted(described.get("branch.name")),
        )
    except Exception:  # whatever came with a message is no reason to refuse the message
        return context
    return context if identity == Identity() else otel_context.set_value(IDENTITY_KEY, identity, context)


# Propagators are looked up among all that is installed, which takes its time: only who uses them pays.


def _injected() -> dict[str, str]:
    fields: dict[str, str] = {}
    with suppress(Exception):  # a propagator of others, or the name of none in OTEL_PROPAGATORS
        from opentelemetry import propagate

        propagate.inject(fields)
    return fields


def _extracted_trace(fields: Mapping[str, str], base: Context) -> Context:
    with suppress(Exception):  # the same
        from opentelemetry import propagate

        return propagate.extract(fields, base)
    return base


def _quoted(value: str) -> str:
    from urllib.parse import quote

    return quote(value, safe="", errors="backslashreplace")


def _unquoted(value: str | None) -> str | None:
    from urllib.parse import unquote

    return None if value is None else unquote(value)


@contextmanager
def attach(carrier: Mapping[str, str]) -> Iterator[None]:
    """Continue the trace and branch of a *carrier* inside the ``with`` block."""
    with attached(extracted(carrier)):
        yield


@contextmanager
def attached(context: Context) -> Iterator[None]:
    """Make *context* current inside the ``with`` block."""
    token = otel_context.attach(context)
    try:
        yield
    finally:
        detach(token)


def detach(token: Any) -> bool:  # noqa: ANN401  # whatever OpenTelemetry's runtime has for one
    """Give the previous context back; from a context other than the one that set it, change nothing: False."""
    runtime = getattr(otel_context, "_RUNTIME_CONTEXT", None)
    if runtime is None:
        otel_context.detach(token)
        return True
    try:
        # The public function logs an error with a traceback, and a block may well be left in another task.
        runtime.detach(token)
    except (ValueError, RuntimeError):
        return False
    return True


class Carried:
    """A function bound to the context it was made in; pickled, it takes the carrier along."""

    def __init__(self, function: Callable[..., object], context: Context) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.context = context

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Call the function in its context."""
        with attached(self.context):
            return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<carried {self.function!r}>"

    def __reduce__(self) -> tuple[object, ...]:
        with attached(self.context):
            return _carried_here, (self.function, carrier())


def _carried_here(function: Callable[..., object], fields: Mapping[str, str]) -> Carried:
    return Carried(function, extracted(fields))


def carry(fn: Callable[P, R]) -> Callable[P, R]:
    """Return *fn*, bound to this context: wherever it runs, what it records belongs here.

    For a thread, a pool, a callback; also for another process, when *fn* itself can be pickled.
    """
    context = otel_context.get_current()
    make: Callable[..., object] = Carried
    if inspect.iscoroutinefunction(fn):
        make = _carried_coroutine
    elif inspect.isgeneratorfunction(fn):
        make = _carried_generator
    elif inspect.isasyncgenfunction(fn):
        make = _carried_async_generator
    return cast("Callable[P, R]", make(fn, context))


def _carried_coroutine(function: Callable[..., Awaitable[object]], context: Context) -> Callable[..., object]:
    @functools.wraps(function)
    async def carried(*args: object, **kwargs: object) -> object:
        with attached(context):
            return await function(*args, **kwargs)

    return carried


def _carried_generator(
    function: Callable[..., Generator[object, object, object]], context: Context
) -> Callable[..., object]:
    @functools.wraps(function)
    def carried(*args: object, **kwargs: object) -> Generator[object, object, object]:
        body, inside = function(*args, **kwargs), context
        resume: Callable[[], object] = functools.partial(next, body)
        while True:
            with attached(inside):
                try:
                    produced = resume()
                except StopIteration as stop:
                    return stop.value
                finally:
                    del resume
                inside = otel_context.get_current()
            try:
                resume = functools.partial(body.send, (yield produced))
            except BaseException as error:  # the consumer's throw() and close() are for the body
                resume = functools.partial(body.throw, error)

    return carried


def _carried_async_generator(
    function: Callable[..., AsyncGenerator[object, object]], context: Context
) -> Callable[..., object]:
    @functools.wraps(function)
    async def carried(*args: object, **kwargs: object) -> AsyncGenerator[object, object]:
        body, inside = function(*args, **kwargs), context
        resume: Callable[[], Awaitable[object]] = functools.partial(anext, body)
        while True:
            with attached(inside):
                try:
                    produced = await resume()
                except StopAsyncIteration:
                    return
                finally:
                    del resume
                inside = otel_context.get_current()
            try:
                resume = functools.partial(body.asend, (yield produced))
            except BaseException as error:  # the consumer's athrow() and aclose() are for the body
                resume = functools.partial(body.athrow, error)

    return carried
