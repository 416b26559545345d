"""What is recorded of a traced step's call: nothing unless asked, and never more than is good."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

import branchline as bl
from branchline.captures import MAX_CAPTURED
from branchline.testing import capture


# As somebody calls it who has no type checker.
traced_step: Any = bl.traced_step


@pytest.fixture
def captured():
    with capture() as captured:
        yield captured


def run(coroutine):
    return asyncio.run(coroutine)


class Contrary:
    def __bool__(self):
        raise ValueError("neither")

    def __eq__(self, other):
        raise ValueError("neither")

    def __str__(self):
        raise ValueError("neither")

    __hash__: Any = None


class Unprintable(Exception):
    def __str__(self):
        raise ValueError("no text")


def add(x, y):
    return x + y


def captured_call(captured, *args, function=lambda *args, **kwargs: None, what=True, **kwargs):
    bl.traced_step("x", capture=what)(function)(*args, **kwargs)
    step = captured.steps[-1]
    return dict(step.arguments), step.result


def test_nothing_is_captured_unasked(captured):
    """
    Arguments and results are nobody's business unless asked for.
    """
    bl.traced_step(add)(1, y=2)

    [step] = captured.steps
    assert (step.arguments, step.result, dict(step.attributes)) == ({}, None, {})


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (False, ({}, None)),
        ("args", ({"x": 1, "y": "two"}, None)),
        ("result", ({}, "1two")),
        (True, ({"x": 1, "y": "two"}, "1two")),
    ],
)
def test_captured(captured, what, expected):
    """
    capture= says what is recorded: the arguments by name, the result, or both.
    """
    assert captured_call(captured, 1, y="two", function=lambda x, y, z=0: f"{x}{y}", what=what) == expected


def test_captured_variadic(captured):
    """
    Positional and keyword extras are captured under their parameters' names.
    """
    arguments, _ = captured_call(captured, 1, 2, a=3)

    assert arguments == {"args": (1, 2), "kwargs": {"a": 3}}


def test_self_is_not_captured(captured):
    """
    The object or class that a method is called on is no argument.
    """

    class Model:
        @bl.traced_step(capture=True)
        def ask(self, x):
            return x

        @classmethod
        @bl.traced_step(capture=True)
        def make(cls, x):
            return x

    Model().ask(1)
    Model.make(2)

    assert [(dict(step.arguments), step.result) for step in captured.steps] == [({"x": 1}, 1), ({"x": 2}, 2)]


def test_captured_partial(captured):
    """
    A partial's own arguments are captured with those of the call.
    """
    bl.traced_step(capture=True)(functools.partial(add, 1))(2)

    [step] = captured.steps
    assert (dict(step.arguments), step.result) == ({"x": 1, "y": 2}, 3)


def test_captured_coroutine_and_generators(captured):
    """
    Coroutines' and generators' arguments and return values are captured too, as they were at the call.
    """

    @bl.traced_step("coroutine", capture=True)
    async def ask(x):
        x.append(2)
        return "answer"

    @bl.traced_step("generator", capture=True)
    def items(x):
        yield x
        return "returned"

    run(ask([1]))
    list(items(1))

    assert [(dict(step.arguments), step.result) for step in captured.steps] == [
        ({"x": (1,)}, "answer"),
        ({"x": 1}, "returned"),
    ]


def size_of(value):
    if isinstance(value, dict):
        return sum(len(key) + size_of(element) for key, element in value.items())
    if isinstance(value, tuple):
        return sum(map(size_of, value))
    return len(value) if isinstance(value, (str, bytes)) else 8


@pytest.mark.parametrize(
    "value",
    [
        "x" * 1_000_000,
        b"x" * 1_000_000,
        ["x" * 1000] * 5000,
        list(range(100_000)),
        {str(i): "x" * 100 for i in range(5000)},
        [[["x" * 3000] * 10] * 10] * 10,
    ],
    ids=lambda value: type(value).__name__,
)
def test_captured_size(captured, value):
    """
    Arguments and results are cut to a bounded size, with a marker that says so.
    """
    arguments, result = captured_call(captured, value, function=lambda x: x)

    assert arguments["x"] == result
    assert size_of(result) < MAX_CAPTURED + 400
    assert "[cut: " in repr(result)


def test_small_values_are_captured_as_they_are(captured):
    """
    What is small enough keeps its types.
    """
    value = {"a": [1, 2.5, None, True, "text"], "b": {"c": b"bytes"}}

    _, result = captured_call(captured, function=lambda: value)

    assert result == {"a": (1, 2.5, None, True, "text"), "b": {"c": b"bytes"}}


def test_captured_secrets(captured):
    """
    Secrets are redacted from what is captured: by the argument's name, inside of containers, and by their look.
    """
    arguments, result = captured_call(
        captured,
        password="hunter2",
        options={"api_key": "abc", "input_tokens": 3},
        function=lambda password, options: "Bearer abcdefghijklmnopqrstuvwxyz123456",
    )

    assert arguments == {"password": "[redacted]", "options": {"api_key": "[redacted]", "input_tokens": 3}}
    assert "abcdefghijklmnopqrstuvwxyz123456" not in result


def test_iterators_are_not_consumed(captured):
    """
    Capturing never consumes what is passed through.
    """
    items = (i for i in range(3))
    stream = iter([1, 2])

    captured_call(captured, items, stream, function=lambda *args: None)

    assert (list(items), list(stream)) == ([0, 1, 2], [1, 2])


@pytest.mark.parametrize("odd", [Contrary(), Unprintable()], ids=["contrary", "unprintable"])
def test_captured_raising(captured, odd):
    """
    A value whose ``__repr__`` or ``__str__`` raises is captured as unprintable; the call goes on.
    """
    arguments, result = captured_call(captured, odd, function=lambda x: x)

    assert arguments["x"] == result
    assert "unprintable" in str(result).lower()


def test_wrong_call_with_capture(captured):
    """
    A call with wrong arguments fails as it would without us, and says the same.
    """
    traced = traced_step(capture=True)(add)

    with pytest.raises(TypeError, match=r"add\(\) missing 1 required positional argument: 'y'"):
        traced(1)

    assert [step.outcome for step in captured.steps] == ["failed"]


def test_capture_as_configured(tmp_path):
    """
    configure(capture=) is for all traced steps that say nothing themselves.
    """
    silent = bl.traced_step("silent", capture=False)(add)
    with bl.configure("test", directory=tmp_path, capture="args", console=False):
        with capture() as captured:
            bl.traced_step(add)(1, 2)
            silent(1, 2)

    assert [dict(step.arguments) for step in captured.steps] == [{"x": 1, "y": 2}, {}]
