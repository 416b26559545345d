"""Cuts: half of a secret is no secret to anybody who looks for one, so none is left."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import branchline as bl
from branchline.captures import MAX_CAPTURED, shown
from branchline.cuts import beginning, beginning_of_bytes
from branchline.read import open_runs
from branchline.redaction import Redactor
from branchline.values import MAX_KEY, MAX_NAME, MAX_TEXT, Value, freeze, freeze_key, freeze_name
from test_no_secret_leaves import KINDS


# As many characters of a secret as may be left: with so few nobody can do anything.
FEW = 4


def left(secret: str, text: str) -> int:
    """Return how many characters of *secret* *text* has in a row."""
    return next((size for size in range(len(secret), 0, -1) if secret[:size] in text or secret[-size:] in text), 0)


@pytest.mark.parametrize("kind", KINDS)
def test_no_cut_leaves_a_part_of_a_secret(kind: str) -> None:
    """
    Wherever a text is cut that has a secret in it, what is recorded of it has the secret neither whole nor in part.
    """
    text, secret = KINDS[kind](random.Random(kind))
    around = f"{'the rain in spain ' * 40}{text}{' falls on the plain' * 40}"
    place = around.index(secret)
    cuts = range(place - 2, place + len(secret) + 3)

    recorded = {cut: Redactor().text(beginning(around, cut) + "… [cut: 99 characters]") for cut in cuts}

    assert {cut: text for cut, text in recorded.items() if left(secret, text) > FEW} == {}


def test_what_is_no_secret_is_cut_where_it_was_to_be() -> None:
    """
    A text without secrets, or with whole ones, loses not one character more.
    """
    texts = ["x" * 5000, "sk-proj-abcdefghijklmnop " * 300, "password=hunter22 " * 300, "naïve 😀 " * 900, "a@b " * 900]

    assert [beginning(text, 2400) for text in texts[:1] + texts[3:]] == [text[:2400] for text in texts[:1] + texts[3:]]
    assert [beginning(text, 2400 + 18) for text in texts[2:3]] == [text[: 2400 + 18] for text in texts[2:3]]
    assert beginning("short", 2400) == "short"
    assert beginning_of_bytes(b"\xff\x00" * 2000, 3001) == (b"\xff\x00" * 2000)[:3001]


def _entry(value: Value) -> Value:
    assert isinstance(value, Mapping)
    return value["b"]


@pytest.mark.parametrize(
    ("cut", "size"),
    [
        (freeze, MAX_TEXT),
        (freeze_key, MAX_KEY),
        (freeze_name, MAX_NAME),
        (shown, MAX_CAPTURED),
        (lambda text: _entry(freeze({"a": ["x" * MAX_TEXT] * 15, "b": text})), MAX_TEXT),
        (lambda text: freeze(text.encode()), MAX_TEXT),
        (lambda text: shown(text.encode()), MAX_CAPTURED),
    ],
    ids=["value", "key", "name", "captured", "in a container", "bytes", "captured bytes"],
)
def test_every_cut_is_such_a_one(cut: Callable[[str], Value], size: int) -> None:
    """
    Values, keys, names, arguments of calls: no limit that branchline sets leaves a part of a password.
    """
    secret = "Xq7vB2mN9kLp4Rt6"
    for before in range(size - 60, size + 4):
        text = f"{'x' * (before - 14)} postgres://a:{secret}@db/x {'y' * 5000}"
        value = cut(text)
        recorded = Redactor().text(value.decode() if isinstance(value, bytes) else str(value))
        assert left(secret, recorded) <= FEW, (before, recorded[-80:])
        assert len(recorded) <= size + 40


def test_limits_of_opentelemetry_are_such_cuts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What `OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT` leaves of a secret is nothing.
    """
    secret = "Xq7vB2mN9kLp4Rt6"
    for limit in (12, 20, 28):
        monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", str(limit))
        told: dict[str, Any] = {
            "url": f"redis://:{secret}@db/x",
            "rows": "one two three four five six",
            "list": [f"x://a:{secret}@b"],
        }
        with bl.configure("limits", directory=tmp_path, run_id=f"run-{limit}", console=False), bl.step("cut", **told):
            pass

    found = {limit: dict(open_runs(tmp_path)[f"run-{limit}"].steps[0].attributes) for limit in (12, 20, 28)}

    assert {limit: left(secret, str(attributes)) for limit, attributes in found.items()} == dict.fromkeys(found, 0)
    assert [attributes["rows"] for attributes in found.values()] == [
        "one two three four five six"[:limit] for limit in found
    ]
