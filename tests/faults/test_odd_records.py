"""Odd values and a kill: what the ring takes of them comes back as legal lines, and so do their neighbours."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from programs import Child, attribute, balances, disk, journal_files, lines

from branchline import read


pytestmark = pytest.mark.slow

ODD = """
import collections, datetime, decimal, enum, uuid, pathlib

class Boom:
    def __repr__(self): raise RuntimeError("repr")
    __str__ = __eq__ = __len__ = __bool__ = __repr__
    def __hash__(self): raise RuntimeError("hash")

recursive = []
recursive.append(recursive)
mapping = {}
mapping["itself"] = mapping
deep = []
for _ in range(5000):
    deep = [deep]

VALUES = [
    None, "", "x" * 10_000_000, b"\\x00\\xff" * 1000, bytearray(b"x"), memoryview(b"x"), float("nan"), float("inf"),
    2**80, -(2**80), 2**63, "\\ud800", ["\\udfff"], {"\\ud800": "\\ud800"}, recursive, mapping, deep, Boom(), [Boom()],
    {Boom: Boom}, {1: 2, None: 3, ("a",): 4}, {"$bytes": "not base64"}, {"$bytes": "eA=="}, {"a", 1}, object(),
    (n for n in range(3)), range(3), collections.deque([1]), decimal.Decimal("1.5"), uuid.UUID(int=1),
    pathlib.Path("/x"), datetime.datetime(2020, 1, 1), datetime.timedelta(1), ValueError("x"), type,
    ["x" * 60_000] * 40, {f"k{n}": "y" * 2000 for n in range(2000)}, [[1] * 1000] * 1000, "\\x00\\x1b[31m\\n\\u2028",
]
"""

PROGRAM = """
bl.configure("odd", directory=os.path.join(HOME, "journal"), console=False)
with bl.experiment("experiment", odd=VALUES[int(sys.argv[2]) % len(VALUES)]):
    for n, value in enumerate(VALUES):
        with bl.step("before", n=n):
            pass
        with bl.step("odd", n=n) as step:
            step.set(value=value)
            step.stamp("first", value=value)
            step.stamp(value)
            step.set(**{"key": value})
            bl.stamp("second", value=value)
        with bl.step(value, n=n):
            pass
        with bl.branch({"value": value}, name=str(n)) as branch:
            branch.output = value
        bl.current_step()
        with bl.step("after", n=n):
            pass
        ledger[0] = n + 1
        if n == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
"""


def message(line: bytes) -> None:
    """Parse *line* as the official messages, refusing anything unknown."""
    parsed = orjson.loads(line)
    kind: Any = TracesData if "resourceSpans" in parsed else LogsData
    json_format.Parse(orjson.dumps(with_base64_ids(parsed)), kind(), ignore_unknown_fields=False)


def with_base64_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode()
            if key in ("traceId", "spanId", "parentSpanId")
            else with_base64_ids(item)
            for key, item in value.items()
        }
    return [with_base64_ids(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("last", [5, 19, 30, 37])
def test_odd_values_and_a_kill(tmp_path: Path, last: int) -> None:
    """
    Whatever is recorded, and a SIGKILL right after: every step is there, its neighbours are untouched, every line is
    the official message and small enough for the Collector, and each oddity is said at most once.
    """
    with Child(tmp_path, PROGRAM, last, prelude=ODD) as child:
        ended = child.wait()
    read.open_runs(tmp_path / "journal")

    assert ended.code == -9
    assert len(ended.complaints) == len(set(ended.complaints))
    assert [line for line in ended.complaints if "could not" in line] == []
    found = disk(tmp_path)
    for name in ("before", "odd", "after"):
        assert found.counts(name) == dict.fromkeys(range(last + 1), 1)
    assert all(attribute(span, "branchline.outcome") == "success" for span in found.named("odd"))
    assert len(found.spans) == 1 + 5 * (last + 1)
    assert found.outcome("experiment") == ["interrupted"]
    for path in journal_files(tmp_path):
        for line in lines(path):
            assert len(line) < 1_048_576
            message(line)
    assert balances(tmp_path) == []
