"""What MLflow takes and what its errors mean, as plain values: no MLflow is needed here."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline._mlflow.failures import MLflowFailure, failure_of
from branchline._mlflow.limits import LONGEST_KEY, Batch, Point, batches, cut, fitted, fitted_key


# ── names ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("model.lr-1_x: y/z", "model.lr-1_x: y/z"),
        ("größe", "größe"),
        ("a[0]@b,c=d%", "a_0__b_c_d_"),
        ("", "_"),
        (".", "_"),
        ("..", "__"),
        ("/a", "_/a"),
        ("a//b", "a/_/b"),
        ("a/../b", "a/__/b"),
        ("a/", "a/_"),
        ("a\nb", "a_b"),
        ("x" * 251, "x" * 250),
        ("x" * 249 + "/y", "x" * 249),
        ("x" * 248 + "/..", "x" * 248 + "/_"),
    ],
)
def test_keys(key, name):
    """
    SP 1.3 (4): a name keeps what MLflow takes of it, and is a path that has no other form.
    """
    assert fitted_key(key) == name


@given(st.text(max_size=300))
@settings(deadline=None)
def test_any_key(key):
    """
    SP 1.3 (4): whatever a key is, it becomes a name that stays as it is, within the limit.
    """
    name = fitted_key(key)

    assert (0 < len(name) <= LONGEST_KEY, fitted_key(name)) == (True, name)


def test_keys_that_meet():
    """
    SP 1.3 (4): keys that would become the same name all stay, and what is not whole says so.
    """
    long = "k" * 300
    found = fitted({"a=b": "1", "a@b": "2", "a_b": "3", long: "4", f"{long}!": "5"}, longest=10)

    assert found.entries == {"a_b": "1", "a_b_2": "2", "a_b_3": "3", "k" * 250: "4", "k" * 248 + "_2": "5"}
    assert (found.is_whole, fitted({"a": "1"}, longest=10).is_whole, fitted({"a": "1" * 11}, longest=10).is_whole) == (
        *(False, True, False),
    )


def test_cut():
    """
    SP 1.3 (4): a text that is too long is cut to the limit, and says how long it was.
    """
    text = cut("x" * 7_000, 6_000)

    assert text == "x" * 5_975 + "… [cut: 7,000 characters]"
    assert len(text) == len(cut("x" * 6_000, 6_000)) == 6_000
    assert cut("x" * 6_000, 6_000) == "x" * 6_000


# ── sizes ─────────────────────────────────────────────────────────────────────────────────────────


def sizes(found):
    return [(len(batch.params), len(batch.tags), len(batch.points)) for batch in found]


def test_batches():
    """
    A request has at most 100 parameters, 100 tags, 1,000 points and 1,000 of all, and nothing is left out or moved.
    """
    params = [(f"p{n}", "1") for n in range(250)]
    tags = [(f"t{n}", "1") for n in range(101)]
    points = [Point(key=f"m{n}", value=1.0, timestamp_ms=1) for n in range(1_900)]
    found = list(batches(params, tags, points))

    assert sizes(found) == [(100, 0, 0), (100, 0, 0), (50, 100, 0), (0, 1, 999), (0, 0, 901)]
    assert [param for batch in found for param in batch.params] == params
    assert [tag for batch in found for tag in batch.tags] == tags
    assert [point for batch in found for point in batch.points] == points
    assert list(batches()) == []


def test_batches_by_size():
    """
    A request stays within a megabyte of JSON, as MLflow writes it; an entry that is larger goes alone.
    """
    found = list(batches([(f"p{n}", "ü" * 6_000) for n in range(100)]))

    assert sizes(found) == [(24, 0, 0)] * 4 + [(4, 0, 0)]
    assert max(len(json.dumps(dict(batch.params), indent=2)) for batch in found) < 1_000_000
    assert sizes(batches([("a", "x" * 2_000_000), ("b", "x")])) == [(1, 0, 0), (1, 0, 0)]


def test_singles():
    """
    A batch can be taken apart into its entries.
    """
    point = Point(key="m", value=1.0, timestamp_ms=1)
    whole = Batch(params=[("p", "1")], tags=[("t", "2")], points=[point])

    assert list(whole.singles()) == [Batch(params=[("p", "1")]), Batch(tags=[("t", "2")]), Batch(points=[point])]
    assert len(whole) == 3


# ── errors ────────────────────────────────────────────────────────────────────────────────────────


class MlflowException(Exception):
    def __init__(self, message, error_code):
        super().__init__(message)
        self.error_code = error_code


class OperationalError(Exception):
    """As SQLAlchemy calls it."""


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "kind", "code", "message"),
    [
        (MlflowException("API request failed", "INTERNAL_ERROR"), "retry", "INTERNAL_ERROR", "API request failed"),
        (MlflowException("locked", "TEMPORARILY_UNAVAILABLE"), "retry", "TEMPORARILY_UNAVAILABLE", "locked"),
        (MlflowException("slow down", "REQUEST_LIMIT_EXCEEDED"), "retry", "REQUEST_LIMIT_EXCEEDED", "slow down"),
        (MlflowException("a\n  b", "INVALID_PARAMETER_VALUE"), "refused", "INVALID_PARAMETER_VALUE", "a b"),
        (MlflowException("no", "PERMISSION_DENIED"), "refused", "PERMISSION_DENIED", "no"),
        (MlflowException("of a later release", "SOMETHING_NEW"), "refused", "SOMETHING_NEW", "of a later release"),
        (
            MlflowException("no such run", "RESOURCE_DOES_NOT_EXIST"),
            "missing",
            "RESOURCE_DOES_NOT_EXIST",
            "no such run",
        ),
        (ConnectionResetError("reset"), "retry", "ConnectionResetError", "reset"),
        (TimeoutError("late"), "retry", "TimeoutError", "late"),
        (PermissionError("not yours"), "refused", "PermissionError", "not yours"),
        (OperationalError("locked"), "retry", "OperationalError", "locked"),
        (TypeError("x" * 600), "refused", "TypeError", "x" * 500 + "…"),
        (Unprintable(), "refused", "Unprintable", "Unprintable"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 40 else "",
)
def test_failures(error, kind, code, message):
    """
    What MLflow raises says what to do: try again later, give it up, or begin anew.
    """
    found = failure_of(error)
    copied = pickle.loads(pickle.dumps(found))

    assert (found.kind, found.code, str(found)) == (kind, code, message)
    assert (type(copied), copied.kind, copied.code, str(copied)) == (MLflowFailure, kind, code, message)
