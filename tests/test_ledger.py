"""The ledger: exact and once, whoever writes, whatever dies, and whatever has become of the file."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from branchline._journal import layout
from branchline._journal.ledger import Ledger, is_damage, set_aside
from branchline.errors import JournalError
from branchline.money import of_units, units
from branchline.totals import Spent
from branchline.usage_values import TokenBreakdown, Usage


WRITER = """
import sys
from decimal import Decimal
from pathlib import Path
from branchline._journal.ledger import Ledger, opening
from branchline.totals import Spent
from branchline.usage_values import Usage

path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with opening(path.parent):
    ledger = Ledger(path)
for number in range(count):
    usage = Usage("m", cost=Decimal("0.0001"), usage_id=f"{name}-{number}", time_unix_nano=number)
    ledger.add([Spent(usage, "run", name)])
    print(number, flush=True)
"""


def usage(name: str, cost: str | None = "0.01", at: int = 1) -> Usage:
    return Usage("m", cost=None if cost is None else Decimal(cost), usage_id=name, time_unix_nano=at)


def spent(name: str, cost: str | None = "0.01", at: int = 1, run: str = "r") -> Spent:
    return Spent(usage(name, cost, at), run, "p")


def total(path: Path) -> Decimal:
    return of_units(sum(units(each.usage.cost or Decimal(0)) for each in Ledger(path).history()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return layout.ledger_path(tmp_path)


def test_what_goes_in_comes_out(path):
    """
    A usage comes back with every field, its costs to the last digit.
    """
    whole = Spent(
        Usage(
            model="gpt",
            provider="openai",
            input_tokens=10,
            output_tokens=5,
            cost=Decimal("0.000000123456789012"),
            estimated=Decimal("1.5"),
            latency=0.25,
            breakdown=TokenBreakdown(1, 2, 3, 4, 5),
            labels={"experiment_id": "e"},
            calls=2,
            usage_id="u",
            time_unix_nano=1_790_000_000_000_000_000,
            trace_id="t",
            span_id="s",
            experiment="x",
            branch="b",
            branch_id="i",
            step="ask",
        ),
        "run",
        "process",
    )
    ledger = Ledger(path)
    ledger.add([whole, spent("v", None)])

    assert ledger.history() == [spent("v", None), whole]


def test_once(path):
    """
    What is added again changes nothing, not even with another cost.
    """
    ledger = Ledger(path)
    ledger.add([spent("a"), spent("b")])
    ledger.add([spent("b", "5"), spent("c"), spent("c")])

    assert [(each.usage.usage_id, each.usage.cost) for each in ledger.history()] == [
        (name, Decimal("0.01")) for name in "abc"
    ]


def test_unread(path):
    """
    Who looks again gets what came since, by whomever; what was there when it began comes by time and run.
    """
    mine, yours = Ledger(path), Ledger(path)
    mine.add([spent("old", at=5, run="past"), spent("earlier", at=5), spent("now", at=10, run="another")])
    yours.skip()
    mine.add([spent("later", at=11)])

    assert [each.usage.usage_id for each in yours.since(10, "r")] == ["earlier", "now"]
    assert [each.usage.usage_id for each in yours.unread()] == ["later"]
    assert yours.unread() == []


def test_private(path):
    """
    The file can be read by its owner alone, and a symlink in its place is not followed.
    """
    ledger = Ledger(path)
    ledger.add([spent("a")])

    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}

    other = path.with_name("other.sqlite")
    other.symlink_to(path)
    with pytest.raises(OSError, match="no file of its own"):
        Ledger(other)


def test_a_later_version(path):
    """
    A ledger that a later version has made is left alone, and said to be that.
    """
    sqlite3.connect(path).execute("PRAGMA user_version = 7")
    before = path.read_bytes()

    with pytest.raises(JournalError, match="made by a later version of branchline \\(7\\)"):
        Ledger(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["text", "cut", "overwritten", "row"])
def test_damage_is_told_from_everything_else(path, damage):
    """
    A file that is no ledger any more raises an error that says so, when it is opened or read.
    """
    ledger = Ledger(path)
    ledger.add([spent(f"{number}", "1") for number in range(500)])
    if damage == "row":
        ledger._connection.execute("UPDATE spent SET cost = 'a lot' WHERE id = '7'")
    ledger.close()
    content = bytearray(path.read_bytes())
    if damage == "text":
        path.write_bytes(b"this is no database at all, and never was" * 100)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "overwritten":
        content[4096:12288] = os.urandom(8192)
        path.write_bytes(content)

    with pytest.raises(sqlite3.DatabaseError) as raised:
        Ledger(path).history()

    assert is_damage(raised.value)


def test_locked_is_no_damage(path, monkeypatch):
    """
    A ledger that another one holds, and a disk that is full, are no reason to set it aside.
    """
    monkeypatch.setattr("branchline._journal.ledger._BUSY_SECONDS", 0.05)
    mine, yours = Ledger(path), Ledger(path)
    mine._connection.execute("BEGIN IMMEDIATE")

    with pytest.raises(sqlite3.OperationalError, match="locked") as raised:
        yours.add([spent("a")])
    assert not is_damage(raised.value)

    mine._connection.rollback()
    yours._connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(sqlite3.OperationalError, match="full") as raised:
        yours.add([spent(f"{number}", at=number) for number in range(10_000)])
    assert not is_damage(raised.value)
    assert yours.history() == []


def test_set_aside(path):
    """
    A ledger that is set aside keeps its name in front, with what belongs to it, and another one can be made.
    """
    ledger = Ledger(path)
    ledger.add([spent("a")])
    aside = set_aside(path)

    assert not ledger.is_current
    assert sorted(file.name.removeprefix(aside.name) for file in path.parent.iterdir()) == ["", "-shm", "-wal"]
    assert aside.name.startswith("ledger.sqlite.damaged-")
    assert Ledger(path).history() == []


@pytest.mark.slow
def test_eight_processes(path):
    """
    Eight processes that add 500 each, two of them killed on the way, leave what they had added, to the last digit.
    """
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, f"w{number}", "500"], stdout=subprocess.PIPE, text=True)
        for number in range(8)
    ]
    killed = writers[:2]
    for writer in killed:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) == 200:
                writer.send_signal(signal.SIGKILL)
    added = [writer.communicate()[0].split() for writer in writers]

    history = Ledger(path).history()
    counts = [sum(each.process == f"w{number}" for each in history) for number in range(8)]

    assert added[2:] == [[f"{number}" for number in range(500)]] * 6
    assert counts[2:] == [500] * 6
    assert all(201 <= count <= 500 for count in counts[:2])
    assert total(path) == Decimal("0.0001") * sum(counts)
