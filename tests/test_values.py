"""Values: whatever is recorded becomes something that can be written, and nothing raises on the way."""

from __future__ import annotations

import argparse
import base64
import sys
from collections import UserDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline.values import (
    MAX_ELEMENTS,
    MAX_KEY,
    MAX_NAME,
    MAX_TEXT,
    MAX_TOTAL_TEXT,
    freeze,
    freeze_key,
    freeze_name,
)


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Mode(StrEnum):
    FAST = "fast"


class Text(str):
    """A text with ideas of its own."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"

    def __len__(self) -> int:
        raise RuntimeError


class Count(int):
    pass


class Ratio(float):
    pass


@dataclass
class Point:
    x: int
    label: object


class Model:
    """What a pydantic model looks like from outside."""

    def model_dump(self) -> dict[str, object]:
        return {"name": "m", "layers": [1, 2]}


class Scalar:
    """What a numpy scalar looks like from outside."""

    shape = ()

    def item(self) -> float:
        return 1.5

    def tolist(self) -> float:
        return 1.5


class Vector:
    """What a numpy array of one dimension looks like from outside."""

    shape = (3,)

    def __init__(self, items: list[float]) -> None:
        self.items = items

    def __getitem__(self, part: slice) -> Vector:
        return Vector(self.items[part])

    def __len__(self) -> int:
        return len(self.items)

    def item(self) -> float:
        raise ValueError

    def tolist(self) -> list[float]:
        return self.items


class Hostile:
    """An object that answers nothing."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        raise RuntimeError("no")

    def __bool__(self) -> bool:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[int]:
        raise RuntimeError("no")

    def keys(self) -> list[str]:
        raise RuntimeError("no")

    def __getattr__(self, name: str) -> object:
        raise RuntimeError("no")


class HostileDict(dict[str, int]):
    def items(self):
        raise RuntimeError("no")


class HostileMapping(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        raise RuntimeError("no")


class HostileClass:
    @property  # type: ignore[misc]
    def __class__(self):
        raise RuntimeError("no")

    def __str__(self) -> str:
        return "fine"


class NamelessType(type):
    @property
    def __name__(cls):  # type: ignore[override]
        raise RuntimeError("no")


class Nameless(metaclass=NamelessType):
    def __str__(self) -> str:
        raise RuntimeError("no")


class EndlessText:
    def __str__(self) -> str:
        return str(self)


class Cancelled:
    def __str__(self) -> str:
        raise GeneratorExit


@dataclass
class HalfBuilt:
    name: str = "x"

    def __post_init__(self) -> None:
        del self.__dict__["name"]


def nested(levels: int) -> object:
    value: object = "core"
    for _ in range(levels):
        value = [value]
    return value


def recursive_list() -> object:
    value: list[object] = [1]
    value.append(value)
    return value


def recursive_dict() -> object:
    value: dict[str, object] = {"a": 1}
    value["self"] = value
    return value


def frozen(value: object) -> tuple[object, list[str]]:
    odd: list[str] = []
    return freeze(value, odd.append), odd


@pytest.mark.parametrize(
    "value",
    [True, False, None, 0, -1, 2**63 - 1, -(2**63), 0.5, -0.0, "", "text", "naïve 😀", "a\nb\0c", b"", b"\x00\xff"],
    ids=repr,
)
def test_plain_values_stay(value: object) -> None:
    """A plain value is recorded as it is, of the same type."""
    result, odd = frozen(value)

    assert (value, type(value), []) == (result, type(result), odd)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Mode.FAST, "fast"),
        (Text("plain"), "plain"),
        (Count(7), 7),
        (Ratio(0.5), 0.5),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("data") / "train.csv", str(Path("data") / "train.csv")),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (timedelta(minutes=1.5), 90.0),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"abcd")[::2], b"ac"),
        ([1, "a", None], (1, "a", None)),
        ((1, [2, (3,)]), (1, (2, (3,)))),
        ({3, 1, 2}, (1, 2, 3)),
        (frozenset({"b", "a"}), ("a", "b")),
        (deque([1, 2]), (1, 2)),
        (range(3), (0, 1, 2)),
        ({"a": {"b": [1]}}, {"a": {"b": (1,)}}),
        (UserDict({"a": 1}), {"a": 1}),
        (Point(1, Colour.RED), {"x": 1, "label": "red"}),
        (SimpleNamespace(a=1), {"a": 1}),
        (argparse.Namespace(rate=0.1), {"rate": 0.1}),
        (Model(), {"name": "m", "layers": (1, 2)}),
        (Scalar(), 1.5),
        (Vector([1.0, 2.0, 3.0]), (1.0, 2.0, 3.0)),
        (ValueError("boom"), "ValueError: boom"),
        (KeyError(), "KeyError"),
        (complex(1, 2), "(1+2j)"),
        (int, "<class 'int'>"),
        (Point, f"<class '{__name__}.Point'>"),
        (HalfBuilt(), {"name": "x"}),
        (HostileClass(), "<unprintable HostileClass>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_foreign_values_become_plain(value: object, expected: object) -> None:
    """A value of another type becomes the plain value that says the same."""
    result = freeze(value)

    assert (expected, type(expected)) == (result, type(result))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), ("NaN", ["non_finite"])),
        (float("inf"), ("Infinity", ["non_finite"])),
        (float("-inf"), ("-Infinity", ["non_finite"])),
        (2**63, ("9223372036854775808", ["big_int"])),
        (2**80, ("1208925819614629174706176", ["big_int"])),
        (-(2**63) - 1, ("-9223372036854775809", ["big_int"])),
        ("a\ud800b", ("a\\ud800b", ["surrogate"])),
        ({"\udcff": "\udcff"}, ({"\\udcff": "\\udcff"}, ["surrogate", "surrogate"])),
        (Path("\udcff"), ("\\udcff", ["surrogate"])),
        (recursive_list(), ((1, "<recursive list>"), ["recursive"])),
        (recursive_dict(), ({"a": 1, "self": "<recursive dict>"}, ["recursive"])),
        (Hostile(), ("<unprintable Hostile>", ["unprintable"])),
        ([1, Hostile(), 3], ((1, "<unprintable Hostile>", 3), ["unprintable"])),
        (HostileDict(a=1), ("<unprintable HostileDict>", ["unprintable"])),
        (HostileMapping(), ("<unprintable HostileMapping>", ["unprintable"])),
        (Nameless(), ("<unprintable Nameless>", ["unprintable"])),
        (EndlessText(), ("<unprintable EndlessText>", ["unprintable"])),
        (Cancelled(), ("<unprintable Cancelled>", ["unprintable"])),
        (RuntimeError(Hostile()), ("<unprintable RuntimeError>", ["unprintable"])),
        ({1: "a"}, ({"1": "a"}, ["bad_key"])),
        ({1: "a", "1": "b"}, ({"1": "a", "1#1": "b"}, ["bad_key"])),
        ({None: 1, "": 2}, ({"None": 1, "<empty>": 2}, ["bad_key", "bad_key"])),
        ({(1, 2): 3}, ({"(1, 2)": 3}, ["bad_key"])),
        ({b"k\xff": 1}, ({"k\\xff": 1}, ["bad_key"])),
    ],
    ids=lambda case: "",
)
def test_odd_values_become_text_and_are_told(value: object, expected: object) -> None:
    """A value that no parser or nobody at all can take becomes text, and each oddity is told once."""
    result = frozen(value)

    assert expected == result


def test_a_deep_value_ends_in_text() -> None:
    """Below twelve levels there is text, however deep it goes."""
    result = [frozen(nested(levels)) for levels in (12, 13, 60, 2_000, 100_000)]

    deep = freeze(nested(11))
    for _ in range(11):
        assert isinstance(deep, tuple)
        [deep] = deep
    assert deep == "core"
    assert [odd for _, odd in result] == [[]] + [["too_deep"]] * 4
    assert result[1] == result[2] == result[3] == result[4]
    assert repr(result[1][0]) == "(((((((((((('<too deep list>',),),),),),),),),),),),)"


def test_a_long_text_is_cut_with_a_marker() -> None:
    """A text of 10 MB keeps its first 64 Ki characters less the marker, which says how long it was."""
    marker = "… [cut: 10,485,760 characters]"

    result = frozen("x" * 10_485_760)

    assert ("x" * (MAX_TEXT - len(marker)) + marker, ["too_long"]) == result


def test_a_text_of_the_largest_size_stays() -> None:
    """The limit itself is not too long."""
    assert frozen("é" * MAX_TEXT) == ("é" * MAX_TEXT, [])


def test_escaped_surrogates_keep_the_limit() -> None:
    """What escaping adds counts as well."""
    result, odd = frozen("\ud800" * MAX_TEXT)

    assert (len(str(result)), odd) == (MAX_TEXT, ["surrogate", "too_long"])


def test_long_bytes_are_cut_with_a_marker() -> None:
    """Bytes have the same limit as text."""
    marker = "… [cut: 100,000 bytes]".encode()

    result = frozen(b"x" * 100_000)

    assert (b"x" * (MAX_TEXT - len(marker)) + marker, ["too_long"]) == result


def test_a_gigantic_int_is_cut_in_hexadecimal() -> None:
    """An int too large for Python to print in decimal is still recorded."""
    result, odd = frozen(16**100_000)

    assert (str(result)[:6], odd) == ("0x1000", ["big_int", "too_long"])


def test_many_elements_are_cut_with_a_marker() -> None:
    """Of a long list the first ten thousand places are kept; the last one says how many there were."""
    result = frozen(list(range(30_000)))

    assert ((*range(MAX_ELEMENTS - 1), "… [cut: 30,000 elements]"), ["too_long"]) == result


def test_many_entries_are_cut_with_a_marker() -> None:
    """Of a large mapping the first entries are kept; a last one says how many there were."""
    result = frozen({f"k{n}": n for n in range(10_001)})

    kept: dict[str, object] = {f"k{n}": n for n in range(MAX_ELEMENTS - 1)}
    assert ({**kept, "…": "[cut: 10,001 elements]"}, ["too_long"]) == result


def test_the_limit_on_elements_is_for_all_containers_together() -> None:
    """A list that holds itself many times over, without being recursive, is bounded and told once."""
    value: object = 1
    for _ in range(11):
        value = [value] * 10

    result, odd = frozen(value)

    assert odd == ["too_long"]
    assert len(orjson.dumps(result)) < 40 * MAX_ELEMENTS


def test_the_limit_on_text_is_for_all_texts_together() -> None:
    """A thousand long texts do not become a thousand times the limit."""
    result, odd = frozen(["x" * MAX_TEXT] * 1_000)

    assert {"too_long"} == set(odd)
    assert len(orjson.dumps(result)) < MAX_TOTAL_TEXT + 1_000 * 100


@pytest.mark.parametrize(
    "value",
    ["x" * 100_000, "\ud800" * 100_000, b"x" * 100_000, list(range(20_000)), nested(20), {1: float("nan")}],
    ids=["text", "surrogates", "bytes", "list", "deep", "mapping"],
)
def test_freezing_twice_changes_nothing(value: object) -> None:
    """What was frozen and read back freezes to itself."""
    once = freeze(value)

    assert (once, []) == frozen(once)


def test_a_frozen_value_does_not_follow_the_original() -> None:
    """What is recorded is what the value was at that time."""
    data = bytearray(b"ab")
    value = {"list": [1, {"a": 1}], "set": {1}, "bytes": data, "point": Point(1, [1])}
    before = freeze(value)
    value["list"][1]["a"] = 2  # type: ignore[index]
    value["list"].append(3)  # type: ignore[attr-defined]
    value["set"].add(2)  # type: ignore[attr-defined]
    value["point"].label.append(2)  # type: ignore[attr-defined]
    data[0] = 0

    assert before == {"list": (1, {"a": 1}), "set": (1,), "bytes": b"ab", "point": {"x": 1, "label": (1,)}}


def test_a_generator_is_never_consumed() -> None:
    """Iterators are named, not read: the application needs what they give."""
    source = (n for n in range(3))
    mapped = map(str, [1, 2])

    result = freeze([source, mapped])

    assert result == (repr(source), repr(mapped))
    assert list(source) == [0, 1, 2]
    assert list(mapped) == ["1", "2"]


def test_a_mock_is_text() -> None:
    """An object that has every attribute is not taken for a model, an array or a mapping."""
    assert str(freeze(MagicMock(name="it"))).startswith("<MagicMock name='it'")


def test_an_endless_mapping_is_cut() -> None:
    """A mapping that never ends is read no further than the limit."""

    class Endless(HostileMapping):
        def items(self):
            return ((str(n), n) for n in iter(int, 1))

    result = frozen(Endless())

    assert result[1] == ["too_long"]


def test_almost_no_stack_left_is_no_error() -> None:
    """A recording call deep in a recursion gives a value or a marker, as long as it can be called at all."""
    value = {"a": [[["x"]], Hostile(), "\ud800", datetime(2026, 1, 2, tzinfo=UTC)]}
    found: set[str] = set()

    def descend() -> None:
        found.add(str(freeze(value)))
        descend()

    with pytest.raises(RecursionError) as caught:
        descend()

    assert caught.traceback[-1].name == "descend"
    assert len(found) > 1


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_the_user_can_still_stop_the_process(stop: type[BaseException]) -> None:
    """Ctrl-C while a value prints itself goes through."""

    class Slow:
        def __str__(self) -> str:
            raise stop

    with pytest.raises(stop):
        freeze([Slow()])


def test_a_raising_listener_does_not_raise() -> None:
    """Counting oddities must not become one."""

    def oddity(kind: str) -> None:
        raise RuntimeError(kind)

    assert [freeze("\ud800", oddity), freeze_key("", oddity)] == ["<unprintable>", "<unprintable>"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("model", ("model", [])),
        ("größe", ("größe", [])),
        (Text("own"), ("own", [])),
        (Mode.FAST, ("fast", [])),
        ("", ("<empty>", ["bad_key"])),
        (None, ("None", ["bad_key"])),
        (7, ("7", ["bad_key"])),
        (b"raw", ("raw", ["bad_key"])),
        ("a\ud800", ("a\\ud800", ["surrogate"])),
        (Hostile(), ("<unprintable Hostile>", ["bad_key", "unprintable"])),
        ("k" * 1_048_576, ("k" * (MAX_KEY - 29) + "… [cut: 1,048,576 characters]", ["too_long"])),
    ],
    ids=lambda case: "",
)
def test_keys_become_text(key: object, expected: object) -> None:
    """A key is always a non-empty text of bounded length."""
    odd: list[str] = []

    assert expected == (freeze_key(key, odd.append), odd)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("load", "load"),
        ("x" * MAX_NAME, "x" * MAX_NAME),
        ("x" * (MAX_NAME + 1), "x" * (MAX_NAME - 25) + "… [cut: 1,025 characters]"),
        ("", "<empty>"),
        (None, "None"),
        (3, "3"),
        ("\udfff", "\\udfff"),
        (Hostile(), "<unprintable Hostile>"),
    ],
    ids=lambda case: "",
)
def test_names_become_text(name: object, expected: str) -> None:
    """A name is a key that may be longer."""
    assert expected == freeze_name(name)


def test_numpy_values_become_plain() -> None:
    """Numpy scalars and arrays are recorded as the numbers they hold."""
    np = pytest.importorskip("numpy")
    values = [
        np.float64(0.5),
        np.float32(1.5),
        np.int64(7),
        np.bool_(1),
        np.str_("s"),
        np.datetime64("2026-01-02"),
        np.array(5),
        np.arange(6).reshape(2, 3),
        np.array([0.5, np.nan]),
        np.array([{"a": 1}, None], dtype=object),
    ]

    expected = (0.5, 1.5, 7, True, "s", "2026-01-02", 5, ((0, 1, 2), (3, 4, 5)), (0.5, "NaN"), ({"a": 1}, None))
    assert expected == freeze(values)


def test_a_large_numpy_array_is_cut_before_it_is_converted() -> None:
    """An array of a billion elements, which takes no memory until it is touched, costs ten thousand."""
    np = pytest.importorskip("numpy")

    result, odd = frozen(np.broadcast_to(np.float64(1), (1_000_000_000,)))

    assert (result, odd) == ((1.0,) * (MAX_ELEMENTS - 1) + ("… [cut: 1,000,000,000 elements]",), ["too_long"])


def test_a_real_pydantic_model_becomes_a_mapping() -> None:
    """A pydantic model is recorded by its fields, its own secrets hidden as it hides them."""
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Settings", rate=(float, ...), key=(pydantic.SecretStr, ...))

    assert freeze(model(rate=0.1, key="hunter2")) == {"rate": 0.1, "key": "**********"}


def encoded(value: object) -> object:
    """Say bytes in JSON the way OTLP does."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError


texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    texts,
    st.binary(max_size=20),
    st.decimals(),
    st.datetimes(),
    st.timedeltas(),
    st.uuids(),
    st.complex_numbers(),
    st.builds(Hostile),
    st.builds(HostileDict),
    st.builds(Text, texts),
    st.builds(ValueError, texts),
    st.sampled_from([Colour.RED, Level.HIGH, recursive_list(), recursive_dict(), nested(40), object(), sys]),
)
keys = st.one_of(texts, st.integers(), st.none(), st.binary(max_size=5), st.tuples(texts, st.integers()))
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(keys, inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.builds(Point, st.integers(), inner),
        st.builds(lambda value: SimpleNamespace(a=value), inner),
    ),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(anything)
def test_everything_freezes_to_valid_json(value: object) -> None:
    """Whatever is recorded, the result is written as JSON and read back as UTF-8."""
    line = orjson.dumps(freeze(value), default=encoded)

    orjson.loads(line.decode())


@settings(max_examples=200, deadline=None)
@given(keys | leaves)
def test_every_key_and_name_is_valid(value: object) -> None:
    """Whatever is used as a key or a name, the result can be encoded and is not empty."""
    label = freeze_key(value), freeze_name(value)

    assert all(text.encode() for text in label)
