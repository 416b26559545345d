"""Outcomes: how steps end, and what is recorded of the exceptions that leave them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import traceback
import weakref
from typing import Any

import click
import pytest
from opentelemetry import trace

import branchline as bl
from branchline.monitor import timed_operation
from branchline.testing import capture


@pytest.fixture
def captured():
    with capture() as captured:
        yield captured


def run(coroutine):
    return asyncio.run(coroutine)


class Boom(Exception):
    pass


# ── outcomes ──────────────────────────────────────────────────────────────────────────────────────


class Unprintable(Exception):
    def __str__(self):
        raise ValueError("no text")


OUTCOMES = [
    (Boom("no"), "failed", "ERROR", "test_outcomes.Boom"),
    (ValueError("no"), "failed", "ERROR", "ValueError"),
    (asyncio.CancelledError(), "cancelled", "ERROR", "asyncio.exceptions.CancelledError"),
    (concurrent.futures.CancelledError(), "failed", "ERROR", "concurrent.futures._base.CancelledError"),
    (KeyboardInterrupt(), "interrupted", "ERROR", "KeyboardInterrupt"),
    (SystemExit(2), "interrupted", "ERROR", "SystemExit"),
    (SystemExit("bye"), "interrupted", "ERROR", "SystemExit"),
    (SystemExit(0), "success", "UNSET", None),
    (SystemExit(None), "success", "UNSET", None),
    (click.exceptions.Exit(), "success", "UNSET", None),
    (click.exceptions.Exit(1), "failed", "ERROR", "click.exceptions.Exit"),
    (GeneratorExit(), "closed", "UNSET", None),
    (Unprintable(), "failed", "ERROR", "test_outcomes.Unprintable"),
    (ExceptionGroup("both", [Boom(), KeyError()]), "failed", "ERROR", "ExceptionGroup"),
    (BaseExceptionGroup("all", [asyncio.CancelledError()]), "cancelled", "ERROR", "BaseExceptionGroup"),
    (BaseExceptionGroup("one", [Boom(), KeyboardInterrupt()]), "interrupted", "ERROR", "BaseExceptionGroup"),
    (BaseExceptionGroup("one", [Boom(), asyncio.CancelledError()]), "failed", "ERROR", "BaseExceptionGroup"),
]


@pytest.mark.parametrize("form", ["block", "decorated", "async block", "coroutine"])
@pytest.mark.parametrize(("error", "outcome", "status", "error_type"), OUTCOMES, ids=lambda value: repr(value)[:40])
def test_outcome_of_an_exception(captured, error, outcome, status, error_type, form):
    """
    SP 1.3 (5): every exception has its outcome, cancellation and interruption too, with the status and error.type.
    """
    left = raised_through(form, error)

    [step] = captured.steps
    assert left is error
    assert (step.outcome, step.status, step.attributes.get("error.type")) == (outcome, status, error_type)
    assert (step.exception is None) == (status == "UNSET")


def raised_through(form, error):
    """Return the exception that leaves a step in which *error* is raised."""

    @bl.traced_step("x")
    def decorated():
        raise error

    @bl.traced_step("x")
    async def decorated_coroutine():
        raise error

    async def block():
        async with bl.step("x"):
            raise error

    try:
        if form == "block":
            with bl.step("x"):
                raise error
        elif form == "decorated":
            decorated()
        else:
            # By hand: an event loop has its own opinion about some of these.
            (block() if form == "async block" else decorated_coroutine()).send(None)
    except BaseException as left:
        return left
    return None


def test_success(captured):
    """
    A step that nothing leaves is a success, with no status: OK is the user's to say.
    """
    with bl.step("x"):
        pass

    [step] = captured.steps
    assert (step.outcome, step.status, step.status_message, step.exception) == ("success", "UNSET", "", None)


def test_status_ok_is_kept(captured):
    """
    A status of OK that the user has set stays, whatever the outcome.
    """
    with contextlib.suppress(Boom), bl.step("x"):
        trace.get_current_span().set_status(trace.StatusCode.OK)
        raise Boom

    [step] = captured.steps
    assert (step.outcome, step.status) == ("failed", "OK")


def test_cancelled_task(captured):
    """
    A cancelled task's steps are cancelled, from the innermost out, and the cancellation goes on.
    """

    @bl.traced_step("outer")
    async def outer(started):
        async with bl.step("inner"):
            started.set()
            await asyncio.Event().wait()

    async def main():
        started = asyncio.Event()
        task = asyncio.create_task(outer(started))
        await started.wait()
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(main())
    assert captured.tree() == (
        "step outer  cancelled  asyncio.exceptions.CancelledError\n"
        "└── step inner  cancelled  asyncio.exceptions.CancelledError"
    )


def test_coroutine_closed(captured):
    """
    A coroutine that is closed before it has ended is closed, which is no error.
    """

    async def forever():
        await asyncio.Event().wait()

    @bl.traced_step("x")
    async def waiting():
        await forever()

    async def main():
        made = waiting()
        made.send(None)
        made.close()

    run(main())

    assert captured.tree() == "step x  closed"


def test_fail(captured):
    """
    fail() fails the step without an exception; it has a message and no exception.
    """
    with bl.step("x") as step:
        step.fail("out of disk")

    [recorded] = captured.steps
    assert (recorded.outcome, recorded.status, recorded.error, recorded.exception) == (
        "failed",
        "ERROR",
        "out of disk",
        None,
    )


def test_fail_with_an_exception(captured):
    """
    fail(error) tells the type of a handled exception and where it came from.
    """
    with bl.step("x") as step:
        try:
            raise Boom("no")
        except Boom as error:
            step.fail(error)

    [recorded] = captured.steps
    assert (recorded.outcome, recorded.status, recorded.error) == ("failed", "ERROR", "test_outcomes.Boom: no")
    assert recorded.attributes["error.type"] == "test_outcomes.Boom"
    assert 'raise Boom("no")' in recorded.exception.stacktrace


class Contrary:
    def __bool__(self):
        raise ValueError("neither")

    def __eq__(self, other):
        raise ValueError("neither")

    def __str__(self):
        raise ValueError("neither")

    __hash__: Any = None


@pytest.mark.parametrize("why", [None, 5, b"bytes", ["list"], Contrary(), Unprintable(), "\ud800", "x" * 100_000])
def test_fail_and_skip_take_anything(captured, why):
    """
    Whatever is given as the reason, fail() and skip() do not raise, and do what they say.
    """
    with bl.step("a") as step:
        step.fail(why)
    with bl.step("b") as step:
        step.skip(why)

    assert [step.outcome for step in captured.steps] == ["failed", "skipped"]


def test_skip(captured):
    """
    skip() says that there was nothing to do, and why: no error.
    """
    with bl.step("x") as step:
        step.skip("nothing new")

    [recorded] = captured.steps
    assert (recorded.outcome, recorded.status, recorded.skip_reason) == ("skipped", "UNSET", "nothing new")


def test_exception_after_skip(captured):
    """
    An exception has the last word.
    """
    with contextlib.suppress(Boom), bl.step("x") as step:
        step.skip("nothing new")
        raise Boom("no")

    assert captured.tree() == "step x  failed  test_outcomes.Boom: no"


def test_clean_exit_after_fail(captured):
    """
    sys.exit(0) takes nothing back of what fail() said.
    """
    with contextlib.suppress(SystemExit), bl.step("x") as step:
        step.fail("no")
        raise SystemExit(0)

    assert captured.tree() == "step x  failed  no"


# ── exceptions ────────────────────────────────────────────────────────────────────────────────────


def test_one_exception_event(captured):
    """
    SP 1.3 (6): an exception is recorded once per step that it leaves, with its type, message and traceback.
    """

    @bl.traced_step("outer")
    def outer():
        with bl.step("inner"):
            raise Boom("no")

    with pytest.raises(Boom):
        outer()

    events = [(step.name, [stamp.name for stamp in step.stamps], str(step.exception)) for step in captured.steps]
    assert events == [("outer", [], "test_outcomes.Boom: no"), ("inner", [], "test_outcomes.Boom: no")]


def stack_lines(step):
    return [line.strip() for line in step.exception.stacktrace.splitlines()]


@pytest.mark.parametrize("kind", ["plain", "coroutine", "generator", "async generator"])
def test_traceback_is_the_users(captured, kind):
    """
    The recorded traceback begins in the decorated function and has no frame of ours, nor one of a step around it.
    """

    def fails():
        raise Boom("no")

    @bl.traced_step("inner")
    def inner():
        fails()

    if kind == "plain":

        @bl.traced_step("outer")
        def outer():
            inner()

    elif kind == "coroutine":

        @bl.traced_step("outer")
        async def outer():
            inner()

    elif kind == "generator":

        @bl.traced_step("outer")
        def outer():
            yield inner()

    else:

        @bl.traced_step("outer")
        async def outer():
            yield inner()

    async def consume():
        return [item async for item in outer()]

    consumed = {"plain": outer, "coroutine": lambda: run(outer()), "generator": lambda: list(outer())}
    with pytest.raises(Boom):
        consumed.get(kind, lambda: run(consume()))()

    recorded, below = captured.one("outer"), captured.one("inner")
    assert [line for line in stack_lines(recorded) if "/branchline/" in line] == []
    assert [line.rpartition(" in ")[2] for line in stack_lines(recorded) if line.startswith("File")] == [
        "outer",
        "inner",
        "fails",
    ]
    assert [line.rpartition(" in ")[2] for line in stack_lines(below) if line.startswith("File")] == ["inner", "fails"]


@pytest.mark.parametrize("executor", [None, "thread"])
def test_traceback_of_a_branch_that_is_run_is_the_users(captured, executor):
    """Who runs the branches of an experiment has no frame in what they raise."""

    def trained(config):
        raise Boom("no")

    bl.run_branches(trained, [{"rate": 1}], executor=executor)

    stack = captured.branches[0].exception.stacktrace
    assert [line.rpartition(" in ")[2] for line in stack.splitlines() if line.startswith("  File")] == ["trained"]


def test_traceback_of_a_timed_operation_is_the_users(captured):
    """What watches how long a function takes has no frame in what it raises."""

    @timed_operation("timed")
    def slow():
        raise Boom("no")

    with pytest.raises(Boom):
        slow()

    lines = stack_lines(captured.one("timed"))
    assert [line.rpartition(" in ")[2] for line in lines if line.startswith("File")] == ["slow"]


def test_chained_exceptions(captured):
    """
    Causes and contexts of an exception are in its traceback.
    """

    @bl.traced_step("x")
    def fails():
        try:
            raise KeyError("cause")
        except KeyError as error:
            raise Boom("effect") from error

    with pytest.raises(Boom):
        fails()

    lines = stack_lines(captured.one("x"))
    assert "KeyError: 'cause'" in lines
    assert "The above exception was the direct cause of the following exception:" in lines
    assert lines[-1] == "test_outcomes.Boom: effect"


def test_exception_group(captured):
    """
    All exceptions of a group are in the traceback.
    """
    with contextlib.suppress(ExceptionGroup), bl.step("x"):
        raise ExceptionGroup("both", [Boom("one"), KeyError("two")])

    [step] = captured.steps
    assert (step.exception.type, step.exception.message) == ("ExceptionGroup", "both (2 sub-exceptions)")
    assert "Boom: one" in step.exception.stacktrace
    assert "KeyError: 'two'" in step.exception.stacktrace


def test_without_traceback(captured):
    """
    record_exception=False records the type and the message of what went wrong, and no traceback.
    """

    @bl.traced_step("x", record_exception=False)
    def fails():
        raise Boom("no")

    with pytest.raises(Boom):
        fails()

    [step] = captured.steps
    assert (step.outcome, step.status, step.attributes["error.type"], step.exception) == (
        "failed",
        "ERROR",
        "test_outcomes.Boom",
        None,
    )
    assert step.error is not None
    assert step.error.endswith("Boom: no")


def test_original_exception(captured):
    """
    The very exception comes out: the same object, context and notes; of ours it passes one frame per step.
    """
    error = Boom("no")

    @bl.traced_step("x")
    def fails():
        raise error

    with pytest.raises(Boom) as caught:
        fails()

    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert caught.value is error
    assert (error.__cause__, error.__context__, getattr(error, "__notes__", None)) == (None, None, None)
    assert frames == ["test_original_exception", "wrapper", "fails"]


class Local:
    """Something that lives in a frame."""


def local_died(call):
    """Return whether a local of a failing function is gone once the exception is, without help from the collector."""
    seen = []

    def fails():
        local = Local()
        seen.append(weakref.ref(local))
        raise Boom("no")

    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(Boom):
            call(fails)
        return seen[0]() is None
    finally:
        gc.enable()


def in_block(fails):
    with bl.step("x"):
        fails()


def in_generator(fails):
    @bl.traced_step
    def items():
        yield 1
        fails()

    list(items())


def thrown_into_generator(fails):
    @bl.traced_step
    def items():
        yield 1

    generator = items()
    next(generator)
    try:
        fails()
    except Boom as error:
        generator.throw(error)


async def in_async_generator(fails):
    @bl.traced_step
    async def items():
        yield 1
        fails()

    async for _ in items():
        pass


async def thrown_into_async_generator(fails):
    @bl.traced_step
    async def items():
        yield 1

    generator = items()
    await anext(generator)
    try:
        fails()
    except Boom as error:
        await generator.athrow(error)


def driven(make):
    """Return *make*, a coroutine function that never waits, as a plain one: an event loop keeps exceptions longer."""

    def call(fails):
        with contextlib.suppress(StopIteration):
            make(fails).send(None)

    return call


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(in_block, id="block"),
        pytest.param(lambda fails: bl.traced_step(fails)(), id="function"),
        pytest.param(driven(lambda fails: bl.traced_step(as_coroutine(fails))()), id="coroutine"),
        pytest.param(in_generator, id="generator"),
        pytest.param(thrown_into_generator, id="throw"),
        pytest.param(driven(in_async_generator), id="async generator"),
        pytest.param(driven(thrown_into_async_generator), id="athrow"),
    ],
)
def test_no_cycle(captured, call):
    """
    A step keeps nothing of an exception alive: what the failing frames held goes with it.
    """
    assert local_died(call)


def as_coroutine(function):
    async def call():
        function()

    return call


def test_a_very_deep_traceback(captured):
    """
    Of a traceback of a thousand frames the end is recorded, and how many there were above; one of a hundred is whole.
    """

    def fall(depth):
        if not depth:
            raise Boom("no")
        fall(depth - 1)

    for depth in (100, 500):
        with contextlib.suppress(Boom), bl.step(f"{depth}"):
            fall(depth)

    [whole, cut] = [step.exception.stacktrace for step in captured.steps]
    assert whole.startswith("Traceback (most recent call last):")
    assert cut.startswith("[the outermost 374 frames are left out]\nTraceback (most recent call last):")
    assert cut.splitlines()[-3:] == whole.splitlines()[-3:]
