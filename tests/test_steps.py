"""Steps: decorated functions of every kind and blocks, what becomes of them, and that nobody notices otherwise."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import copy
import functools
import inspect
import multiprocessing
import pickle
import threading
from typing import Any

import pytest
from opentelemetry import trace

import branchline as bl
from branchline.testing import capture


# As somebody calls it who has no type checker.
traced_step: Any = bl.traced_step
ODD: Any = ["odd"]


@pytest.fixture
def captured():
    with capture() as captured:
        yield captured


def run(coroutine):
    return asyncio.run(coroutine)


def current() -> bl.Step:
    found = bl.current_step()
    assert found is not None
    return found


class Boom(Exception):
    pass


# ── every kind of function ────────────────────────────────────────────────────────────────────────


@bl.traced_step
def plain(x: int, *, y: int = 2) -> tuple[int, int]:
    """Return both."""
    return x, y


@bl.traced_step
async def coroutine(x: int) -> int:
    """Wait and return."""
    await asyncio.sleep(0)
    return x


@bl.traced_step
def generator(n: int):
    """Yield."""
    yield from range(n)


@bl.traced_step
async def async_generator(n: int):
    """Yield, async."""
    for i in range(n):
        yield i


class Pipeline:
    @bl.traced_step
    def method(self, x):
        return type(self).__name__, x

    @bl.traced_step
    @classmethod
    def class_below(cls, x):
        return cls.__name__, x

    @classmethod
    @bl.traced_step
    def class_above(cls, x):
        return cls.__name__, x

    @bl.traced_step
    @staticmethod
    def static_below(x):
        return x

    @staticmethod
    @bl.traced_step
    def static_above(x):
        return x

    @property
    @bl.traced_step
    def size(self):
        return 3


class Scaler:
    """Multiplies."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x


class AsyncScaler(Scaler):
    async def __call__(self, x):
        await asyncio.sleep(0)
        return self.factor * x


def add(x, y):
    return x + y


traced_scaler = bl.traced_step(Scaler(3))
traced_add_one = bl.traced_step(functools.partial(add, 1))


def test_plain_function(captured):
    """
    A plain function: arguments, result and one step.
    """
    assert plain(1, y=3) == (1, 3)

    assert captured.tree() == "step plain  success"


def test_coroutine_function(captured):
    """
    A coroutine function: the step lasts until it returns.
    """
    assert run(coroutine(1)) == 1

    assert captured.tree() == "step coroutine  success"


def test_generator_function(captured):
    """
    A generator function: one step for its whole body.
    """
    assert list(generator(3)) == [0, 1, 2]

    assert captured.tree() == "step generator  success"


def test_async_generator_function(captured):
    """
    An async generator function: one step for its whole body.
    """

    async def main():
        return [i async for i in async_generator(3)]

    assert run(main()) == [0, 1, 2]
    assert captured.tree() == "step async_generator  success"


def test_methods(captured):
    """
    Methods of all kinds, with the decorator above and below classmethod and staticmethod, on class and instance.
    """

    class Child(Pipeline):
        pass

    pipeline = Child()
    results = [
        pipeline.method(1),
        pipeline.class_below(2),
        Child.class_above(3),
        pipeline.static_below(4),
        Child.static_above(5),
        pipeline.size,
    ]

    assert results == [("Child", 1), ("Child", 2), ("Child", 3), 4, 5, 3]
    assert [step.name for step in captured.steps] == [
        "Pipeline.method",
        "Pipeline.class_below",
        "Pipeline.class_above",
        "Pipeline.static_below",
        "Pipeline.static_above",
        "Pipeline.size",
    ]


def test_bound_method(captured):
    """
    A bound method stays one: bound to the same object, and no more than that.
    """
    scaler = Scaler(2)
    traced = traced_step(scaler.__call__)

    class Holder:
        scale = traced

    assert (traced(4), Holder().scale(5), traced.__self__) == (8, 10, scaler)
    assert [step.name for step in captured.steps] == ["Scaler.__call__"] * 2


def test_callable_object(captured):
    """
    A callable object keeps its attributes, its class and its documentation; what is set on it is set on the object.
    """
    scaler = Scaler(2)
    traced = bl.traced_step(scaler)
    traced.factor = 5

    assert (traced(2), scaler.factor, isinstance(traced, Scaler), traced.__doc__) == (10, 5, True, "Multiplies.")
    assert captured.tree() == "step Scaler  success"


@pytest.mark.filterwarnings("ignore:functools.partial will be a method descriptor:FutureWarning")
def test_callable_object_is_no_method(captured):
    """
    A callable object or partial as a class attribute is not bound, traced or not.
    """

    class Model:
        scale = bl.traced_step(Scaler(2))
        inc = bl.traced_step(functools.partial(add, 1))
        length = traced_step(len)

    model = Model()

    assert (model.scale(3), model.inc(1), model.length("four")) == (6, 2, 4)
    assert [step.name for step in captured.steps] == ["Scaler", "add", "len"]


def test_callable_object_that_is_a_method(captured):
    """
    What binds as a method does, as a cached function or a decorator of others, is bound by its own rule, traced or not.
    """

    class Bound:
        def __init__(self, function):
            self.function = function

        def __call__(self, *args):
            return self.function(*args)

        def __get__(self, instance, owner=None):
            return self if instance is None else functools.partial(self.function, f"the {type(instance).__name__}'s")

    class Model:
        @bl.traced_step
        @functools.cache  # noqa: B019  # one that lives as long as this test
        def twice(self, number):
            return number * 2

        @classmethod
        @bl.traced_step
        @functools.cache
        def title(cls):
            return cls.__name__

        @bl.traced_step(name="own")
        @Bound
        def own(self, number):
            return f"{self} {number}"

    model = Model()

    assert (model.twice(3), model.twice(3), Model.twice(model, 4), Model.title()) == (6, 6, 8, "Model")
    assert (model.twice.cache_info().hits, model.own(5), Model.own("no one's", 6)) == (1, "the Model's 5", "no one's 6")
    assert [step.name for step in captured.steps] == [
        *["test_callable_object_that_is_a_method.Model.twice"] * 3,
        "test_callable_object_that_is_a_method.Model.title",
        "own",
        "own",
    ]


def test_callable_object_with_async_call(captured):
    """
    An object whose ``__call__`` is async: the step lasts until it returns.
    """
    traced = bl.traced_step(AsyncScaler(2))

    assert run(traced(3)) == 6
    assert captured.tree() == "step AsyncScaler  success"


def test_callable_object_with_generator_call(captured):
    """
    An object whose ``__call__`` is a generator: the step covers the body.
    """

    class Pages:
        def __call__(self):
            yield 1
            yield 2

    for _ in bl.traced_step(Pages())():
        assert bl.current_step() is None

    assert captured.tree() == "step test_callable_object_with_generator_call.Pages  success"


def test_partial(captured):
    """
    A partial is named after its function and stays a partial.
    """
    traced = bl.traced_step(functools.partial(add, 1))

    assert (traced(2), isinstance(traced, functools.partial), traced.args) == (3, True, (1,))
    assert captured.tree() == "step add  success"


def test_partial_of_a_traced_partial(captured):
    """
    A partial of a traced partial is traced, and can be pickled.
    """
    twice = functools.partial(traced_add_one, 5)

    assert (twice(), pickle.loads(pickle.dumps(twice))()) == (6, 6)
    assert [step.name for step in captured.steps] == ["add", "add"]


def test_lambda(captured):
    """
    A lambda has the name that Python gives it.
    """
    assert bl.traced_step(lambda x: x + 1)(1) == 2

    assert captured.tree() == "step test_lambda.<lambda>  success"


def test_nested_function(captured):
    """
    A nested function is named by where it is, without ``<locals>``.
    """

    @bl.traced_step
    def inner():
        pass

    inner()

    assert captured.tree() == "step test_nested_function.inner  success"


def test_recursive(captured):
    """
    A recursive function is a step in a step.
    """

    @bl.traced_step("down")
    def down(n):
        return 0 if n == 0 else 1 + down(n - 1)

    assert down(2) == 2
    assert captured.tree() == ("step down  success\n└── step down  success\n    └── step down  success")


def test_deep_recursion(captured):
    """
    A traced function may recurse nearly as deep as a bare one: one frame of ours for each of its own.
    """

    @bl.traced_step("down")
    def down(n):
        return 0 if n == 0 else 1 + down(n - 1)

    assert down(300) == 300
    assert len(captured.steps) == 301


def test_decorated_twice(captured):
    """
    Two decorators make two steps.
    """
    twice = bl.traced_step("outer")(bl.traced_step("inner")(add))

    assert twice(1, 2) == 3
    assert captured.tree() == "step outer  success\n└── step inner  success"


def test_builtin(captured):
    """
    Functions that are written in C can be traced.
    """
    assert bl.traced_step(sorted)([2, 1], reverse=False) == [1, 2]

    assert captured.tree() == "step sorted  success"


# ── names and attributes ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "decorate",
    [
        pytest.param(bl.traced_step("load it"), id="by position"),
        pytest.param(bl.traced_step(name="load it"), id="by keyword"),
    ],
)
def test_explicit_name(captured, decorate):
    """
    A step is called as the decorator says.
    """
    decorate(add)(1, 2)

    assert captured.tree() == "step 'load it'  success".replace("'", "")


@pytest.mark.parametrize("decorate", [bl.traced_step, bl.traced_step(), bl.traced_step(None), bl.traced_step("")])
def test_bare_and_called(captured, decorate):
    """
    Bare, called without a name, or with an empty one: the function's own.
    """
    decorate(add)(1, 2)

    assert captured.tree() == "step add  success"


def test_attributes(captured):
    """
    The decorator's attributes are on every call, typed and as they were when it decorated.
    """
    sizes = [1, 2]

    @bl.traced_step(model="small", retries=3, ratio=0.5, dry=True, sizes=sizes)
    def ask():
        current().set(retries=4)

    sizes.append(3)
    ask()
    ask()

    expected = {"model": "small", "retries": 4, "ratio": 0.5, "dry": True, "sizes": (1, 2)}
    assert [dict(step.attributes) for step in captured.steps] == [expected, expected]


def test_attributes_do_not_leak_between_calls(captured):
    """
    What one call sets is not on the next one.
    """

    @bl.traced_step(model="small")
    def ask(more):
        if more:
            current().set(more=True)

    ask(True)
    ask(False)

    assert [dict(step.attributes) for step in captured.steps] == [{"model": "small", "more": True}, {"model": "small"}]


def test_block_attributes(captured):
    """
    A block's attributes may have any name but ``links``, ``name`` and ``self`` included.
    """
    with bl.step("load", name="x", self=1, kind="y") as step:
        step.set(self=2, attributes=3)

    assert dict(captured.steps[0].attributes) == {"name": "x", "self": 2, "kind": "y", "attributes": 3}


@pytest.mark.parametrize("name", [None, "", 5, b"bytes", "\ud800", "x" * 10_000_000, ["list"]])
def test_any_block_name(captured, name):
    """
    Anything goes as a block's name: the step is recorded, and what is recorded after it as well.
    """
    with bl.step(name) as step:
        assert isinstance(step.name, str)
        assert isinstance(repr(step), str)
    with bl.step("after"):
        pass

    assert [step.outcome for step in captured.steps] == ["success", "success"]


# ── nobody notices ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("traced", [plain, coroutine, generator, async_generator, Pipeline.method])
def test_metadata(traced):
    """
    Name, module, documentation, annotations and signature are those of the function.
    """
    original = traced.__wrapped__
    fields = ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__")

    assert [getattr(traced, field) for field in fields] == [getattr(original, field) for field in fields]
    assert inspect.signature(traced) == inspect.signature(original)


@pytest.mark.parametrize("traced", [traced_scaler, traced_add_one])
def test_signature_of_objects(traced):
    """
    Callable objects and partials have the signature that they had.
    """
    original = Scaler(3) if traced is traced_scaler else functools.partial(add, 1)

    assert inspect.signature(traced) == inspect.signature(original)


QUESTIONS = (
    inspect.isfunction,
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
    inspect.ismethod,
    inspect.isroutine,
    inspect.isbuiltin,
    callable,
)


async def a_coroutine():
    pass


def a_generator():
    yield


async def an_async_generator():
    yield


@pytest.mark.parametrize(
    "function",
    [
        add,
        a_coroutine,
        a_generator,
        an_async_generator,
        Scaler(1).__call__,
        AsyncScaler(1).__call__,
        len,
        Scaler(1),
        functools.partial(a_coroutine),
        functools.partial(a_generator),
        functools.partial(an_async_generator),
    ],
    ids=[
        *("function", "coroutine", "generator", "async generator", "method", "async method", "built-in", "object"),
        *("partial coroutine", "partial generator", "partial async generator"),
    ],
)
def test_inspect_answers(function):
    """
    Whoever asks ``inspect`` what kind of function this is gets the same answer for the traced one.
    """
    traced = bl.traced_step(function)

    assert [question(traced) for question in QUESTIONS] == [question(function) for question in QUESTIONS]


@pytest.mark.parametrize(
    "value",
    [plain, coroutine, generator, async_generator, Pipeline.method, Pipeline.class_below, Pipeline().static_above],
    ids=lambda value: value.__qualname__,
)
def test_pickled_by_name(value):
    """
    A decorated function is pickled by its name, as any function.
    """
    assert pickle.loads(pickle.dumps(value)) == value


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_objects_pickled(captured, protocol):
    """
    A traced callable object, partial or builtin can be pickled and copied, and is still traced and named as before.
    """
    scaler, inc, length = (
        bl.traced_step("scale", model="small")(Scaler(3)),
        bl.traced_step("inc")(functools.partial(add, 1)),
        bl.traced_step("len")(len),
    )

    for made in (pickle.loads(pickle.dumps((scaler, inc, length), protocol)), copy.deepcopy((scaler, inc, length))):
        assert (made[0](2), made[1](2), made[2]("four")) == (6, 3, 4)

    assert [step.name for step in captured.steps] == ["scale", "inc", "len"] * 2
    assert captured.steps[0].attributes == {"model": "small"}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_process_pool(captured, method):
    """
    Decorated functions, methods and objects run in a process pool, below the step that sent them.
    """
    context = multiprocessing.get_context(method)
    with bl.step("send"), concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        results = [
            pool.submit(plain, 1).result(),
            pool.submit(Pipeline().method, 2).result(),
            pool.submit(traced_scaler, 3).result(),
        ]

    assert results == [(1, 2), ("Pipeline", 2), 9]
    assert captured.tree() == (
        "step send  success\n├── step plain  success\n├── step Pipeline.method  success\n└── step Scaler  success"
    )


def test_not_configured():
    """
    Without a run, everything is as if it were not decorated, and there is no current step.
    """

    async def items():
        return [i async for i in async_generator(2)]

    with bl.step("nothing", links=ODD) as step:
        step.set(a=1)
        step.stamp("x")
        step.link(step)
        step.fail("no")
        step.skip("no")
        results = [plain(1), run(coroutine(2)), list(generator(2)), run(items()), traced_scaler(1), bl.current_step()]

    assert results == [(1, 2), 2, [0, 1], [0, 1], 3, None]
    assert (step.trace_id, step.span_id, repr(step)) == (None, None, "<step 'nothing' not recorded>")


class BrokenTracer:
    def __getattr__(self, name):
        raise ZeroDivisionError


class WithBrokenTracer(trace.TracerProvider):
    def get_tracer(self, *args, **kwargs):
        return BrokenTracer()


class WithoutTracers(trace.TracerProvider):
    def get_tracer(self, *args, **kwargs):
        raise ZeroDivisionError


@pytest.mark.parametrize("provider", [WithBrokenTracer(), WithoutTracers()], ids=["tracer", "provider"])
def test_broken_provider(monkeypatch, provider):
    """
    An application's provider that is broken breaks none of its functions.
    """
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    with bl.step("x") as step:
        step.set(a=1)
        step.fail(Boom())

    assert (plain(1), list(generator(2))) == ((1, 2), [0, 1])


# ── what is refused ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("decorate", "error", "message"),
    [
        (lambda: traced_step(capture="arguments"), ValueError, "'arguments'; choose from None, False, True, 'args'"),
        (lambda: traced_step(capture=["args"]), ValueError, r"\['args'\]; choose from"),
        (lambda: traced_step(capture=1), ValueError, "1; choose from"),
        (lambda: traced_step(new_trace="yes"), TypeError, "new_trace is True or False, not 'yes'"),
        (lambda: traced_step(record_exception=None), TypeError, "record_exception is True or False, not None"),
        (lambda: traced_step(5), TypeError, "a name, or a function, method or callable object to decorate; not 5"),
        (lambda: traced_step(name=5), TypeError, "a name, or a function, method or callable object"),
        (lambda: traced_step(property(len)), TypeError, "put it below the decorator that makes the property"),
        (lambda: traced_step("x")("y"), TypeError, "a function, method or callable object to decorate; not 'y'"),
        (lambda: traced_step(Scaler), TypeError, "not <class '.*Scaler'>"),
        (lambda: traced_step(property(repr)), TypeError, "not <property object"),
        (lambda: traced_step("x", name="y"), TypeError, "multiple values for argument 'name'"),
        (lambda: traced_step("x", "y"), TypeError, "positional argument"),
    ],
)
def test_bad_decorator_arguments(decorate, error, message):
    """
    A wrong argument fails when the function is decorated, with the value and what is accepted.
    """
    with pytest.raises(error, match=message):
        decorate()


# ── blocks ────────────────────────────────────────────────────────────────────────────────────────


def test_async_with(captured):
    """
    ``async with`` is the same as ``with``.
    """

    async def main():
        async with bl.step("outer", a=1) as step:
            step.stamp("x")
            async with bl.step("inner"):
                await asyncio.sleep(0)

    run(main())

    assert captured.tree() == "step outer  success\n· x\n└── step inner  success"


def test_same_step_again(captured):
    """
    One step object may be used again after its end: each time is a step of its own.
    """
    step = bl.step("x", a=1)
    with step:
        pass
    with step as second:
        second.set(b=2)

    assert [dict(step.attributes) for step in captured.steps] == [{"a": 1}, {"a": 1, "b": 2}]


def test_same_step_inside_itself(captured):
    """
    One step object entered inside itself is a step in a step, and both end.
    """
    step = bl.step("x")
    with step:
        with step:
            step.set(inner=True)
        step.set(outer=True)
    with bl.step("after"):
        pass

    assert captured.tree() == "step x  success\n└── step x  success\nstep after  success"
    assert [dict(step.attributes) for step in captured.steps] == [{"outer": True}, {"inner": True}, {}]


def test_same_step_in_several_tasks(captured):
    """
    One step object entered by tasks at once: each ends its own, and nothing is left open or current.
    """
    step = bl.step("x")

    async def use(name):
        async with step:
            await asyncio.sleep(0)
            with bl.step(name):
                await asyncio.sleep(0)
        return bl.current_step()

    async def main():
        return await asyncio.gather(use("a"), use("b"))

    assert run(main()) == [None, None]
    assert captured.tree() == ("step x  success\n└── step a  success\nstep x  success\n└── step b  success")


def test_set_after_the_end(captured):
    """
    What is said to an ended step changes nothing and raises nothing.
    """
    with bl.step("x") as step:
        pass
    step.set(late=True)
    step.stamp("late")
    step.fail("late")
    step.fail(Boom("late"))
    step.link(step)

    [recorded] = captured.steps
    assert (recorded.outcome, dict(recorded.attributes), recorded.stamps, recorded.links) == ("success", {}, (), ())


def test_step_knows_itself(captured):
    """
    A step tells its name and ids as OpenTelemetry writes them.
    """
    with bl.step("x") as step:
        context = trace.get_current_span().get_span_context()
        told = (step.name, step.trace_id, step.span_id, repr(step))

    assert told == ("x", f"{context.trace_id:032x}", f"{context.span_id:016x}", "<step 'x' open>")
    assert repr(step) == "<step 'x' ended>"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copied_step_is_the_same(captured, copied):
    """
    A copy of a step, or of what holds one, records where the step does: there is one of it.
    """
    with bl.step("a") as step:
        copied([step])[0].set(n=1)
        copied(step).stamp("seen")

    [recorded] = captured.steps
    assert (dict(recorded.attributes)["n"], [stamp.name for stamp in recorded.stamps]) == (1, ["seen"])


def test_a_step_stays_in_its_process(captured):
    """
    A step cannot be sent to another process, and says what can.
    """
    with (
        bl.step("a") as step,
        pytest.raises(TypeError, match=r"<step 'a' open> belongs .* send branchline.carrier\(\)"),
    ):
        pickle.dumps(step)


def test_left_in_another_thread(captured):
    """
    A step that is left in another thread ends there, and what comes after it is not inside of it.
    """
    step = bl.step("x")
    step.__enter__()
    thread = threading.Thread(target=step.__exit__, args=(None, None, None))
    thread.start()
    thread.join()

    assert captured.tree() == "step x  success"


# ── current_step ──────────────────────────────────────────────────────────────────────────────────


def test_current_step(captured):
    """
    current_step() is the innermost one; it can be told everything that the step itself can.
    """
    with bl.step("outer"), bl.step("inner") as inner:
        found = current()
        assert (found.name, found.span_id, repr(found)) == (inner.name, inner.span_id, "<step 'inner' open>")
        found.set(a=1)
        found.stamp("x")
        found.skip("no need")

    step = captured.one("inner")
    assert (dict(step.attributes), [stamp.name for stamp in step.stamps], step.outcome) == ({"a": 1}, ["x"], "skipped")


def test_no_current_step(captured):
    """
    Outside of all steps there is none; right inside a branch there is none either.
    """
    with bl.branch({"a": 1}):
        inside = bl.current_step()

    assert (bl.current_step(), inside) == (None, None)


def test_current_step_inside_a_plain_span(captured):
    """
    Inside a span of plain OpenTelemetry the step around it is current.
    """
    with bl.step("mine"), trace.get_tracer("app").start_as_current_span("theirs"):
        current().set(a=1)

    assert captured.tree() == "step mine  success\n└── span theirs  success"
    assert captured.one("mine").attributes == {"a": 1}


def test_ended_step_is_not_current(captured):
    """
    A step that has ended is nobody's current one, not even in a context that was copied while it ran.
    """
    with bl.step("x"):
        copied = contextvars.copy_context()

    assert copied.run(bl.current_step) is None


def test_entering_the_current_step(captured):
    """
    Entering what current_step() returned starts a step of the same name below it.
    """
    with bl.step("x"), current():
        pass

    assert captured.tree() == "step x  success\n└── step x  success"


# ── links and traces ──────────────────────────────────────────────────────────────────────────────


def linked(step):
    return [(link.span_id, dict(link.attributes)) for link in step.links]


def test_links(captured):
    """
    A step may be linked to steps, spans and their contexts when it starts, and to one more with attributes later.
    """
    with bl.step("a") as a, trace.get_tracer("app").start_as_current_span("b") as b:
        pass
    with bl.step("c", links=[a, b, b.get_span_context(), trace.Link(b.get_span_context())]) as c:
        c.link(a, why="retry")

    first, second = a.span_id, f"{b.get_span_context().span_id:016x}"
    assert linked(captured.one("c")) == [
        (first, {}),
        (second, {}),
        (second, {}),
        (second, {}),
        (first, {"why": "retry"}),
    ]


@pytest.mark.parametrize("links", [None, 5, [None, 5, "x"], trace.INVALID_SPAN, [trace.INVALID_SPAN], bl.step("other")])
def test_odd_links(captured, links):
    """
    What cannot be linked to is left out: nothing is raised, and the step is recorded.
    """
    with bl.step("x", links=links) as step:
        step.link(links)

    assert [(step.name, step.links) for step in captured.steps] == [("x", ())]


def test_single_link(captured):
    """
    One step instead of a list of them is taken for what it is.
    """
    with bl.step("a") as a:
        pass
    one: Any = a
    with bl.step("b", links=one):
        pass

    assert linked(captured.one("b")) == [(a.span_id, {})]


def test_new_trace(captured):
    """
    A step with a trace of its own is linked to where it was called, and keeps its experiment and branch.
    """

    @bl.traced_step("background", new_trace=True)
    def background():
        with bl.step("inside"):
            pass

    with bl.experiment("sweep"), bl.branch({"a": 1}, name="small"), bl.step("caller") as caller:
        background()
        assert current().name == "caller"

    step, inside = captured.one("background"), captured.one("inside")
    assert (step.parent_id, step.trace_id == caller.trace_id) == (None, False)
    assert linked(step) == [(caller.span_id, {"branchline.link": "started_from"})]
    assert (step.experiment_name, step.branch_name, inside.branch_name) == ("sweep", "small", "small")
    assert (inside.trace_id, inside.parent_id) == (step.trace_id, step.span_id)
