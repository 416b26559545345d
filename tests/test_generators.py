"""Generators as steps: the body is inside, its consumer is not, and both get from each other what they always do.

Every rule is held for generators and async generators, and once more without a run: then nothing may differ at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import sys
import threading
import weakref
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import branchline as bl
from branchline.testing import capture


pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(params=["on our provider", "as a guest"])
def captured(request, monkeypatch):
    if request.param == "as a guest":
        # As if the application had set it at its start.
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", TracerProvider())
    with capture() as captured:
        yield captured


class Boom(Exception):
    pass


def run(coroutine):
    return asyncio.run(coroutine)


def mark(name):
    """Record a step and nothing in it: where it lands shows what is current."""
    with bl.step(name):
        pass


@bl.traced_step("gen")
def numbers(n=3):
    for i in range(n):
        mark(f"body {i}")
        yield i
    mark("body end")
    return "returned"


@bl.traced_step("gen")
async def async_numbers(n=3):
    for i in range(n):
        mark(f"body {i}")
        yield i
        await asyncio.sleep(0)
    mark("body end")


# ── the consumer is outside, the body inside ──────────────────────────────────────────────────────

CONSUMED = """\
step consumer  success
├── step gen  success
│   ├── step body 0  success
│   ├── step body 1  success
│   └── step body end  success
├── step use 0  success
└── step use 1  success"""


def test_parents(captured):
    """
    Steps of the body are inside the generator's, steps of the consumer beside it.
    """
    with bl.step("consumer"):
        for i in numbers(2):
            mark(f"use {i}")

    assert captured.tree() == CONSUMED


def test_parents_async(captured):
    """
    The same for async generators.
    """

    async def main():
        with bl.step("consumer"):
            async for i in async_numbers(2):
                mark(f"use {i}")

    run(main())

    assert captured.tree() == CONSUMED


def test_parents_of_plain_spans(captured):
    """
    The same for spans of plain OpenTelemetry, inside and outside.
    """
    tracer = trace.get_tracer("app")

    @bl.traced_step("gen")
    def items():
        with tracer.start_as_current_span("body"):
            yield

    with tracer.start_as_current_span("consumer"):
        for _ in items():
            with tracer.start_as_current_span("use"):
                pass

    assert captured.tree() == (
        "span consumer  success\n├── step gen  success\n│   └── span body  success\n└── span use  success"
    ).replace("  success", "  success")


def test_current_step(captured):
    """
    The generator's step is current in its body, and never in its consumer.
    """

    @bl.traced_step("gen")
    def items():
        yield named()
        yield named()

    def named():
        found = bl.current_step()
        return found and found.name

    assert [(item, named()) for item in items()] == [("gen", None), ("gen", None)]


def test_nothing_before_the_first_item(captured):
    """
    As Python runs nothing of a generator before its first item is asked for, no step begins before.
    """
    made = numbers()
    made.close()
    numbers()

    assert captured.tree() == ""


def test_step_open_across_a_yield(captured):
    """
    A step that is open in the body at a yield is the parent of what the body does after it, and never the consumer's.
    """

    @bl.traced_step("gen")
    def items():
        with bl.step("open"):
            yield 1
            mark("inside")
            yield 2
        mark("after")

    for item in items():
        mark(f"use {item}")

    assert captured.tree() == (
        "step gen  success\n"
        "├── step open  success\n"
        "│   └── step inside  success\n"
        "└── step after  success\n"
        "step use 1  success\n"
        "step use 2  success"
    )


def test_step_open_across_a_yield_async(captured):
    """
    The same for async generators.
    """

    @bl.traced_step("gen")
    async def items():
        async with bl.step("open"):
            yield 1
            await asyncio.sleep(0)
            mark("inside")
            yield 2
        mark("after")

    async def main():
        async for item in items():
            mark(f"use {item}")

    run(main())

    assert captured.tree() == (
        "step gen  success\n"
        "├── step open  success\n"
        "│   └── step inside  success\n"
        "└── step after  success\n"
        "step use 1  success\n"
        "step use 2  success"
    )


def test_step_open_around_a_yield_of_the_consumer(captured):
    """
    A step that the consumer opens between two items and leaves later is its own business.
    """
    made = numbers(2)
    with bl.step("first"):
        next(made)
    with bl.step("second"):
        next(made)
    mark("outside")
    list(made)

    assert captured.tree() == (
        "step first  success\n"
        "└── step gen  success\n"
        "    ├── step body 0  success\n"
        "    ├── step body 1  success\n"
        "    └── step body end  success\n"
        "step second  success\n"
        "step outside  success"
    )


def test_branch_is_kept(captured):
    """
    The body belongs to the branch in which it was begun, whoever goes on with it.
    """
    with bl.branch({"a": 1}, name="small"):
        made = numbers(2)
        next(made)
    with bl.branch({"a": 2}, name="large"):
        list(made)

    assert {step.name: step.branch_name for step in captured.steps} == {
        "gen": "small",
        "body 0": "small",
        "body 1": "small",
        "body end": "small",
    }


def test_interleaved(captured):
    """
    Two generators that are consumed in turns do not get into each other.
    """
    names = []

    def items(name):
        @bl.traced_step(name)
        def made():
            for i in range(2):
                mark(f"{name}{i}")
                yield bl.current_step()

        return made()

    with bl.step("consumer"):
        for a, b in zip(items("a"), items("b"), strict=True):
            names.append((a.name, b.name, bl.current_step()))
            mark("use")

    assert [(a, b) for a, b, _ in names] == [("a", "b"), ("a", "b")]
    assert captured.tree() == (
        "step consumer  success\n"
        "├── step a  success\n"
        "│   ├── step a0  success\n"
        "│   └── step a1  success\n"
        "├── step b  success\n"
        "│   ├── step b0  success\n"
        "│   └── step b1  success\n"
        "├── step use  success\n"
        "└── step use  success"
    )


def test_interleaved_async(captured):
    """
    The same for async generators, in one task and in two.
    """

    @bl.traced_step("gen")
    async def items(name):
        for i in range(2):
            mark(f"{name}{i}")
            yield
            await asyncio.sleep(0)

    async def consume(name):
        with bl.step(f"task {name}"):
            async for _ in items(name):
                mark(f"use {name}")

    async def main():
        await asyncio.gather(consume("a"), consume("b"))

    run(main())

    assert captured.tree() == "\n".join(
        f"step task {name}  success\n"
        "├── step gen  success\n"
        f"│   ├── step {name}0  success\n"
        f"│   └── step {name}1  success\n"
        f"├── step use {name}  success\n"
        f"└── step use {name}  success"
        for name in "ab"
    )


def test_nested_generators(captured):
    """
    A traced generator that consumes another one is its parent.
    """

    @bl.traced_step("outer")
    def outer():
        for item in numbers(1):
            mark(f"between {item}")
            yield item

    for _ in outer():
        mark("use")

    assert captured.tree() == (
        "step outer  success\n"
        "├── step gen  success\n"
        "│   ├── step body 0  success\n"
        "│   └── step body end  success\n"
        "└── step between 0  success\n"
        "step use  success"
    )


def in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_consumed_in_another_thread(captured):
    """
    Consumed by threads in turn, the body stays one step with everything in its place, and no thread is inside of it.
    """

    @bl.traced_step("gen")
    def items():
        mark("a")
        with bl.step("open"):
            yield
            mark("b")
            yield
        mark("c")
        yield
        mark("d")

    made = items()
    next(made)
    outside = []
    for _ in range(3):

        def consume():
            next(made, None)
            outside.append(bl.current_step())

        in_thread(consume)

    assert outside == [None, None, None]
    assert captured.tree() == (
        "step gen  success\n"
        "├── step a  success\n"
        "├── step open  success\n"
        "│   └── step b  success\n"
        "├── step c  success\n"
        "└── step d  success"
    )


def test_consumed_in_another_task(captured):
    """
    The same for an async generator and tasks.
    """

    @bl.traced_step("gen")
    async def items():
        mark("a")
        with bl.step("open"):
            yield
            mark("b")
            yield
        mark("c")
        yield
        mark("d")

    outside = []

    async def consume(made):
        await anext(made, None)
        outside.append(bl.current_step())

    async def main():
        made = items()
        for _ in range(4):
            await asyncio.create_task(consume(made))

    run(main())

    assert outside == [None] * 4
    assert captured.tree() == (
        "step gen  success\n"
        "├── step a  success\n"
        "├── step open  success\n"
        "│   └── step b  success\n"
        "├── step c  success\n"
        "└── step d  success"
    )


# ── how it ends ───────────────────────────────────────────────────────────────────────────────────


def ending(captured):
    """The outcome, status and error of the generator's step, and whether the context is clean afterwards."""
    step = captured.one("gen")
    assert bl.current_step() is None
    mark("afterwards")
    assert captured.one("afterwards").parent_id is None
    return step.outcome, step.status, step.error


SUCCESS = ("success", "UNSET", None)
CLOSED = ("closed", "UNSET", None)
FAILED = ("failed", "ERROR", "test_generators.Boom: no")


def test_exhausted(captured):
    """
    Consumed to its end it is a success.
    """
    assert list(numbers()) == [0, 1, 2]
    assert ending(captured) == SUCCESS


def test_break(captured):
    """
    A consumer that breaks off closes it: no error.
    """
    for item in numbers():
        if item == 1:
            break
    gc.collect()

    assert ending(captured) == CLOSED


def test_close(captured):
    """
    close() closes it, and runs what the body has to do at its end, inside of its step.
    """
    done = []

    @bl.traced_step("gen")
    def items():
        try:
            yield 1
        finally:
            mark("cleanup")
            done.append(bl.current_step())

    made = items()
    next(made)
    made.close()

    assert [step and step.name for step in done] == ["gen"]
    assert captured.tree() == "step gen  closed\n└── step cleanup  success"


def test_deleted(captured):
    """
    Deleted half-way it is closed.
    """
    made = numbers()
    next(made)
    del made
    gc.collect()

    assert ending(captured) == CLOSED


def test_collected_inside_of_another_step(captured):
    """
    Collected while some other step is current, it leaves that one as it was.
    """
    made: Any = numbers()
    next(made)
    with bl.step("other"):
        made = None
        gc.collect()
        mark("inside")

    assert captured.one("inside").parent_id == captured.one("other").span_id
    assert ending(captured) == CLOSED


def test_collected_in_another_thread(captured):
    """
    Collected in another thread it is closed all the same.
    """
    holder: list[Any] = [numbers()]
    next(holder[0])

    in_thread(holder.clear)
    gc.collect()

    assert ending(captured) == CLOSED


def test_body_fails(captured):
    """
    An exception in the body fails the step, and reaches the consumer as it is.
    """
    error = Boom("no")

    @bl.traced_step("gen")
    def items():
        yield 1
        raise error

    with pytest.raises(Boom) as caught:
        list(items())

    assert caught.value is error
    assert (error.__context__, error.__cause__) == (None, None)
    assert ending(captured) == FAILED


def test_body_fails_before_the_first_item(captured):
    """
    An exception before the first item fails the step.
    """

    @bl.traced_step("gen")
    def items():
        raise Boom("no")
        yield

    with pytest.raises(Boom):
        next(items())

    assert ending(captured) == FAILED


def test_body_raises_stop_iteration(captured):
    """
    A StopIteration raised in the body is the RuntimeError that Python makes of it.
    """

    @bl.traced_step("gen")
    def items():
        yield 1
        next(iter(()))

    with pytest.raises(RuntimeError, match="generator raised StopIteration"):
        list(items())

    assert ending(captured)[:2] == ("failed", "ERROR")


def test_body_interrupted(captured):
    """
    SP 1.3 (5): an interruption in the body is one.
    """

    @bl.traced_step("gen")
    def items():
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(items())

    assert ending(captured) == ("interrupted", "ERROR", "KeyboardInterrupt")


def test_consumer_fails(captured):
    """
    An exception in the consumer is none of the generator's: it is closed.
    """
    with contextlib.suppress(Boom):
        for _ in numbers():
            raise Boom("no")
    gc.collect()

    assert ending(captured) == CLOSED


def test_wrong_call(captured):
    """
    Wrong arguments raise the error that Python has for them, at the first item.
    """
    wrong: Any = numbers

    with pytest.raises(TypeError, match=r"numbers\(\) got an unexpected keyword argument 'size'"):
        next(wrong(size=3))

    assert ending(captured)[0] == "failed"


def test_wrong_call_async(captured):
    """
    The same for async generators, and the context is clean afterwards.
    """
    wrong: Any = async_numbers

    async def main():
        with pytest.raises(TypeError, match=r"async_numbers\(\) got an unexpected keyword argument 'size'"):
            await anext(wrong(size=3))
        return ending(captured)[0]

    assert run(main()) == "failed"


def test_cleanup_fails_at_close(captured):
    """
    A body that fails while it is being closed has failed.
    """

    @bl.traced_step("gen")
    def items():
        try:
            yield 1
        finally:
            raise Boom("no")

    made = items()
    next(made)
    with pytest.raises(Boom):
        made.close()

    assert ending(captured) == FAILED


def test_break_async(captured):
    """
    An async generator that is left by break is closed when the loop finalises it.
    """

    async def main():
        async for item in async_numbers():
            if item == 1:
                break
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return ending(captured)

    assert run(main()) == CLOSED


def test_close_async(captured):
    """
    aclose() closes it, and waits for what the body has to do at its end, inside of its step.
    """

    @bl.traced_step("gen")
    async def items():
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            mark("cleanup")

    async def main():
        async with contextlib.aclosing(items()) as made:
            await anext(made)

    run(main())

    assert captured.tree() == "step gen  closed\n└── step cleanup  success"


def test_abandoned_at_the_end_of_the_loop(captured, caplog):
    """
    Abandoned when its loop ends, it is closed, even where its end has to wait; and asyncio has nothing to complain of.
    """

    @bl.traced_step("gen")
    async def items():
        try:
            yield 1
        finally:
            await asyncio.sleep(0.001)
            mark("cleanup")

    kept = []

    async def main():
        for _ in range(5):
            made = items()
            await anext(made)
            kept.append(made)

    run(main())

    assert captured.tree() == "\n".join(["step gen  closed\n└── step cleanup  success"] * 5)
    assert caplog.messages == []


def test_left_by_the_last_that_the_loop_does(captured):
    """
    Left when nothing is awaited any more, it is closed: the loop cancels what would have closed it, and nobody else.
    """

    async def main():
        async for item in async_numbers():
            if item == 1:
                break

    run(main())

    assert ending(captured) == CLOSED


def test_cancelled_through_a_context_manager(captured):
    """
    A body that is told by its context manager that the task was cancelled is cancelled.
    """
    session = contextlib.asynccontextmanager(async_numbers)

    async def use(reached):
        async with session():
            reached.set()
            await asyncio.Event().wait()

    async def main():
        reached = asyncio.Event()
        task = asyncio.create_task(use(reached))
        await reached.wait()
        task.cancel()
        await asyncio.wait([task])

    run(main())

    assert ending(captured)[0] == "cancelled"


def test_body_fails_async(captured):
    """
    An exception in the body fails the step, and reaches the consumer as it is.
    """
    error = Boom("no")

    @bl.traced_step("gen")
    async def items():
        yield 1
        raise error

    async def main():
        with pytest.raises(Boom) as caught:
            _ = [item async for item in items()]
        return caught.value

    assert run(main()) is error
    assert (error.__context__, error.__cause__) == (None, None)
    assert ending(captured) == FAILED


def test_cancelled_in_the_middle(captured):
    """
    SP 1.3 (5): cancelled while the body waits, it is cancelled, and so is what it waits for.
    """

    @bl.traced_step("gen")
    async def items():
        yield 1
        with bl.step("wait"):
            await asyncio.Event().wait()
        yield 2

    async def consume(reached):
        async for _ in items():
            reached.set()

    async def main():
        reached = asyncio.Event()
        task = asyncio.create_task(consume(reached))
        await reached.wait()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(main())
    assert captured.tree() == (
        "step gen  cancelled  asyncio.exceptions.CancelledError\n"
        "└── step wait  cancelled  asyncio.exceptions.CancelledError"
    )


def test_consumer_cancelled(captured):
    """
    Cancelled while the consumer waits, the generator is closed.
    """

    async def consume(reached):
        async for _ in async_numbers():
            reached.set()
            await asyncio.Event().wait()

    async def main():
        reached = asyncio.Event()
        task = asyncio.create_task(consume(reached))
        await reached.wait()
        task.cancel()
        await asyncio.wait([task])

    run(main())
    gc.collect()

    assert ending(captured) == CLOSED


# ── with a run and without: what body and consumer get from each other ────────────────────────────


@pytest.fixture(params=["bare", "not configured", "captured"])
def decorate(request):
    """The decorator, with something to record it and without; and none at all, which says what is right."""
    if request.param == "bare":
        yield lambda function: function
    elif request.param == "not configured":
        yield bl.traced_step
    else:
        with capture():
            yield bl.traced_step


def test_return_value(decorate):
    """
    The return value reaches whoever looks for it.
    """

    @decorate
    def items():
        yield 1
        return "returned"

    def outer():
        return (yield from items())

    made = outer()
    next(made)
    with pytest.raises(StopIteration) as stop:
        next(made)

    assert stop.value.value == "returned"


def test_send(decorate):
    """
    What is sent arrives in the body, and the body's next item is the answer.
    """
    got: list[Any] = []

    @decorate
    def items():
        while True:
            got.append((yield len(got)))

    made = items()
    answers = [made.send(None), made.send("a"), next(made), made.send("b")]

    assert (answers, got) == ([0, 1, 2, 3], ["a", None, "b"])


def test_send_too_early(decorate):
    """
    Sending something before the first item is the error that it is.
    """

    @decorate
    def items():
        yield

    with pytest.raises(TypeError, match="can't send non-None value to a just-started generator"):
        items().send(1)


def test_throw(decorate):
    """
    What is thrown in arrives in the body; caught there, it goes on and answers.
    """
    seen = []

    @decorate
    def items():
        for i in range(3):
            try:
                yield i
            except Boom as error:
                seen.append(error)

    made = items()
    error = Boom("no")
    answers = [next(made), made.throw(error), next(made)]

    assert (answers, seen) == ([0, 1, 2], [error])
    assert seen[0] is error


def test_throw_not_caught(decorate):
    """
    What is thrown in and not caught comes out as it is.
    """

    @decorate
    def items():
        yield

    made = items()
    next(made)
    error = Boom("no")
    with pytest.raises(Boom) as caught:
        made.throw(error)

    assert caught.value is error
    assert (error.__context__, error.__cause__) == (None, None)
    assert next(made, "over") == "over"


def test_throw_to_end_it(decorate):
    """
    A body that returns on what is thrown in gives its return value.
    """

    @decorate
    def items():
        try:
            yield
        except Boom:
            return "returned"

    made = items()
    next(made)
    with pytest.raises(StopIteration) as stop:
        made.throw(Boom())

    assert stop.value.value == "returned"


def test_throw_before_the_first_item(decorate):
    """
    What is thrown in before the first item comes out at once; the body never runs.
    """

    @decorate
    def items():
        pytest.fail("ran")
        yield

    with pytest.raises(Boom):
        items().throw(Boom())


@pytest.mark.parametrize("error", [StopIteration(3), KeyboardInterrupt()], ids=repr)
def test_throw_anything(decorate, error):
    """
    Exceptions with a meaning to generators can be thrown in and caught like others.
    """

    @decorate
    def items():
        try:
            yield 1
        except BaseException as caught:
            yield caught
        yield 3

    made = items()
    next(made)

    assert made.throw(error) is error
    assert list(made) == [3]


def test_close_returns(decorate, request):
    """
    close() gives what Python gives: from 3.13 on, what the body returns; not configured, what ``yield from`` gives.
    """
    is_recorded = "not configured" not in request.node.name

    @decorate
    def items():
        try:
            yield
        except GeneratorExit:
            return "returned"

    made = items()
    next(made)
    close: Any = made.close

    assert close() == ("returned" if sys.version_info >= (3, 13) and is_recorded else None)


def test_ignored_close(decorate):
    """
    A body that goes on when it is closed is the error that it is.
    """

    @decorate
    def items():
        try:
            yield 1
        except GeneratorExit:
            yield 2

    made = items()
    next(made)
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        made.close()
    list(made)


def test_yield_from(decorate):
    """
    Delegation passes everything through in both directions.
    """

    @decorate
    def inner():
        got: list[Any] = []
        try:
            while True:
                got.append((yield len(got)))
        except Boom:
            return got

    @decorate
    def outer():
        return (yield from inner())

    made = outer()
    answers = [next(made), made.send("a"), made.send("b")]
    with pytest.raises(StopIteration) as stop:
        made.throw(Boom())

    assert (answers, stop.value.value) == ([0, 1, 2], ["a", "b"])


def test_reentered(decorate):
    """
    A generator that asks itself for an item is the error that it is.
    """
    holder: list[Any] = []

    @decorate
    def items():
        yield next(holder[0])

    holder.append(items())
    with pytest.raises(ValueError, match="generator already executing"):
        next(holder[0])


class Item:
    """Something large."""


def test_items_are_not_kept(decorate):
    """
    Of what was yielded, sent or given as an argument nothing is kept alive longer than a bare generator would.
    """

    @decorate
    def items(argument):
        del argument
        for _ in range(2):
            yield Item()

    argument = Item()
    argument_lives = weakref.ref(argument)
    made = items(argument)
    del argument
    item = next(made)
    item_lives = weakref.ref(item)
    del item

    assert (argument_lives(), item_lives()) == (None, None)
    made.close()


def test_state(decorate):
    """
    inspect sees the generator in the state that it is in.
    """

    @decorate
    def items():
        yield

    made = items()
    states = [inspect.getgeneratorstate(made)]
    next(made)
    states.append(inspect.getgeneratorstate(made))
    made.close()
    states.append(inspect.getgeneratorstate(made))

    assert states == ["GEN_CREATED", "GEN_SUSPENDED", "GEN_CLOSED"]


def test_send_async(decorate):
    """
    What is sent arrives in the body, and the body's next item is the answer.
    """
    got: list[Any] = []

    @decorate
    async def items():
        while True:
            got.append((yield len(got)))
            await asyncio.sleep(0)

    async def main():
        async with contextlib.aclosing(items()) as made:
            return [await made.asend(None), await made.asend("a"), await anext(made), await made.asend("b")]

    assert (run(main()), got) == ([0, 1, 2, 3], ["a", None, "b"])


def test_throw_async(decorate):
    """
    What is thrown in arrives in the body; caught there, it goes on; not caught, it comes out as it is.
    """
    seen = []

    @decorate
    async def items():
        try:
            yield 0
        except Boom as error:
            seen.append(error)
            await asyncio.sleep(0)
        yield 1

    async def main():
        made = items()
        first, second = Boom("first"), Boom("second")
        answers = [await anext(made), await made.athrow(first)]
        with pytest.raises(Boom) as caught:
            await made.athrow(second)
        assert caught.value is second
        assert seen == [first]
        return [*answers, await anext(made, "over")]

    assert run(main()) == [0, 1, "over"]


def test_throw_to_end_it_async(decorate):
    """
    A body that returns on what is thrown in ends.
    """

    @decorate
    async def items():
        with contextlib.suppress(Boom):
            yield

    async def main():
        made = items()
        await anext(made)
        with pytest.raises(StopAsyncIteration):
            await made.athrow(Boom())

    run(main())


def test_ignored_close_async(decorate):
    """
    A body that goes on when it is closed is the error that it is.
    """

    @decorate
    async def items():
        try:
            yield 1
        except GeneratorExit:
            yield 2

    async def main():
        made = items()
        await anext(made)
        with pytest.raises(RuntimeError, match="async generator ignored GeneratorExit"):
            await made.aclose()
        _ = [item async for item in made]

    run(main())


def test_items_are_not_kept_async(decorate):
    """
    Of what was yielded or given as an argument nothing is kept alive longer than a bare generator would.
    """

    @decorate
    async def items(argument):
        del argument
        yield Item()

    async def main():
        argument = Item()
        argument_lives = weakref.ref(argument)
        async with contextlib.aclosing(items(argument)) as made:
            del argument
            item = await anext(made)
            item_lives = weakref.ref(item)
            del item
            return argument_lives(), item_lives()

    assert run(main()) == (None, None)


def test_finalised_by_the_loop(decorate):
    """
    The loop closes what was abandoned exactly once, and knows one generator, not two.
    """
    ended = []

    @decorate
    async def items():
        try:
            yield 1
        finally:
            ended.append("body")

    known = []

    async def main():
        hooks = sys.get_asyncgen_hooks()

        def firstiter(generator):
            known.append(generator.__name__)
            assert hooks.firstiter is not None
            hooks.firstiter(generator)

        sys.set_asyncgen_hooks(firstiter=firstiter)
        made = items()
        await anext(made)
        return made

    kept = run(main())

    assert (known, ended) == (["items"], ["body"])
    assert kept is not None


# ── the usual options ─────────────────────────────────────────────────────────────────────────────


def test_new_trace(captured):
    """
    A generator may have a trace of its own; its consumer keeps its own.
    """

    @bl.traced_step("gen", new_trace=True)
    def items():
        mark("body")
        yield

    with bl.step("consumer"):
        for _ in items():
            mark("use")

    assert captured.one("gen").parent_id is None
    assert captured.one("body").trace_id == captured.one("gen").trace_id
    assert captured.one("use").parent_id == captured.one("consumer").span_id


def test_without_traceback(captured):
    """
    record_exception=False holds for generators too.
    """

    @bl.traced_step("gen", record_exception=False)
    def items():
        yield 1
        raise Boom("no")

    with contextlib.suppress(Boom):
        list(items())

    assert (captured.one("gen").outcome, captured.one("gen").exception) == ("failed", None)


def test_fail_inside(captured):
    """
    A generator may say itself that it has failed.
    """

    @bl.traced_step("gen")
    def items():
        yield 1
        found = bl.current_step()
        assert found is not None
        found.fail("out of pages")

    list(items())

    assert ending(captured) == ("failed", "ERROR", "out of pages")


def test_fail_then_left_early(captured):
    """
    One that has said so and is then left early has failed.
    """

    @bl.traced_step("gen")
    def items():
        found = bl.current_step()
        assert found is not None
        found.fail("out of pages")
        yield 1

    for _ in items():
        break
    gc.collect()

    assert ending(captured) == ("failed", "ERROR", "out of pages")
