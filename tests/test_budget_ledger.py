"""Budgets that processes share: exact when they die, when the ledger is damaged, and when there is no room for one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

import branchline as bl
from branchline._journal import layout
from branchline._journal.ledger import Ledger
from branchline.budget import statuses
from branchline.read import open_runs


WRITER = """
import os, signal, sys
import branchline as bl
bl.configure("w", directory=sys.argv[1], run_id=sys.argv[2], console=False, budget={"daily": 100})
for number in range(int(sys.argv[3])):
    with bl.step("s"):
        bl.record_usage("m", cost="0.001", input_tokens=3)
    print(number, flush=True)
if sys.argv[4] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""

SPENDER = """
import sys, time
import branchline as bl
from branchline.budget import statuses
bl.configure("s", directory=sys.argv[1], console=False, budget={"daily": 100})
for line in sys.stdin:
    bl.record_usage("m", cost=line.strip())
    print(statuses()[0].used, flush=True)
"""


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "j"
    bl.shutdown()


def start(directory: Path, name: str, count: int, end: str = "alive") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(directory), name, f"{count}", end]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def begin(directory: Path) -> None:
    bl.configure("x", directory=directory, console=False, budget={"daily": 100, "tokens": 1_000_000})


def used() -> Decimal:
    return statuses()[0].used


def eventually(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert is_so()


def in_the_ledger(directory: Path) -> int:
    return len(Ledger(layout.ledger_path(directory)).history())


def test_eight_processes(directory):
    """
    Eight processes that record 500 usages each, four of them killed right after the last one, leave a total of 4.
    """
    ends = ["killed", "alive"] * 4
    writers = [start(directory, f"run-{number}", 500, end) for number, end in enumerate(ends)]
    for writer in writers:
        writer.communicate()
    begin(directory)

    assert [writer.returncode for writer in writers] == [-signal.SIGKILL, 0] * 4
    assert used() == Decimal("4.000")
    assert in_the_ledger(directory) == 4000


def test_killed_in_the_middle(directory):
    """
    Of processes that are killed at any moment, everything counts that was recorded by then, and nothing twice.
    """
    writers = [start(directory, f"run-{number}", 100_000) for number in range(4)]
    said = []
    for number, writer in enumerate(writers):
        assert writer.stdout is not None
        last = -1
        for line in writer.stdout:
            last = int(line) if line.endswith("\n") else last
            if last == 150 * (number + 1):
                writer.send_signal(signal.SIGKILL)
        said.append(last + 1)
        writer.communicate()
    begin(directory)
    journaled = {run.id: len(run.usages) for run in open_runs(directory) if run.id.startswith("run-")}

    assert all(0 <= journaled[f"run-{number}"] - count <= 1 for number, count in enumerate(said))
    assert used() == Decimal("0.001") * sum(journaled.values())
    assert in_the_ledger(directory) == sum(journaled.values())


def test_others_are_seen(directory):
    """
    What another process spends counts here as well, soon; what this one spends, at once, and each once.
    """
    spender = subprocess.Popen(
        [sys.executable, "-c", SPENDER, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert spender.stdin is not None
    assert spender.stdout is not None
    begin(directory)
    for number in range(1, 4):
        bl.record_usage("m", cost=1)
        print(2, file=spender.stdin, flush=True)
        assert Decimal(spender.stdout.readline().strip()) >= 2 * number
        eventually(lambda spent=3 * number: used() == spent)  # type: ignore[misc]  # what it is now
    spender.communicate()

    assert used() == 9


@pytest.mark.parametrize("damage", ["no database", "a hole"])
def test_a_damaged_ledger(directory, damage, capfd):
    """
    A ledger that is damaged is set aside and reported, and made anew from the journals: the totals are right.
    """
    start(directory, "before", 200).communicate()
    path = layout.ledger_path(directory)
    content = bytearray(path.read_bytes())
    if damage == "a hole":
        content[4096:20_480] = bytes(16_384)
    else:
        content[:] = b"no database" * 1000
    path.write_bytes(content)

    begin(directory)

    [aside] = directory.glob("ledger.sqlite.damaged-*[0-9]")
    assert aside.read_bytes() == content
    assert used() == Decimal("0.200")
    assert in_the_ledger(directory) == 200
    said = [line for line in capfd.readouterr().err.splitlines() if "ledger" in line]
    assert len(said) == 1
    assert f"is set aside as {aside.name}, and made anew from the journals" in said[0]
    assert "is damaged (" in said[0]


@pytest.mark.parametrize("what", ["damaged", "deleted"])
def test_while_it_is_in_use(directory, what):
    """
    A ledger that is damaged or deleted while a run uses it is made anew, and what was spent before is in it.
    """
    begin(directory)
    for _ in range(50):
        bl.record_usage("m", cost="0.01")
    eventually(lambda: in_the_ledger(directory) == 50)
    path = layout.ledger_path(directory)
    if what == "deleted":
        for file in directory.glob("ledger.sqlite*"):
            file.unlink()
    else:
        for file in (path, directory / "ledger.sqlite-wal"):
            file.write_bytes(os.urandom(65_536))
    bl.record_usage("m", cost="0.01")
    eventually(
        lambda: path.exists() and not list(directory.glob("*-journal")) and in_the_ledger_or_none(directory) == 51
    )

    assert used() == Decimal("0.51")


def in_the_ledger_or_none(directory: Path) -> int | None:
    try:
        return in_the_ledger(directory)
    except Exception:
        return None


def test_no_place_for_a_ledger(directory, capfd):
    """
    Where there can be no ledger, nothing raises, this process's own spending counts, and it is said and counted once.
    """
    directory.mkdir()
    layout.ledger_path(directory).symlink_to(directory / "elsewhere")
    begin(directory)
    for _ in range(20):
        bl.record_usage("m", cost="0.01")
    time.sleep(1.5)

    assert used() == Decimal("0.20")
    bl.shutdown()
    said = [line for line in capfd.readouterr().err.splitlines() if "ledger" in line]
    assert len(said) == 1
    assert said[0].startswith(f"branchline: cannot keep {layout.ledger_path(directory)}: ")
    [process] = open_runs(directory).last.processes
    assert process.oddities["ledger"] >= 1
    assert not (directory / "elsewhere").exists()


def test_a_ledger_that_comes_back(directory):
    """
    What was spent while there could be no ledger is in it once there can be.
    """
    directory.mkdir()
    path = layout.ledger_path(directory)
    path.mkdir()
    begin(directory)
    for _ in range(20):
        bl.record_usage("m", cost="0.01")
    path.rmdir()
    bl.record_usage("m", cost="0.01")

    eventually(lambda: path.is_file() and in_the_ledger_or_none(directory) == 21)
    assert used() == Decimal("0.21")


def test_runs_without_a_budget_feed_it(directory):
    """
    Once there is a ledger, every run of the directory writes to it, and none makes one that nobody has asked for.
    """
    with bl.configure("x", directory=directory, console=False):
        bl.record_usage("m", cost="0.01")
    assert not layout.ledger_path(directory).exists()

    begin(directory)
    bl.shutdown()
    with bl.configure("x", directory=directory, console=False):
        bl.record_usage("m", cost="0.02")

    assert sorted(each.usage.cost or 0 for each in Ledger(layout.ledger_path(directory)).history()) == [
        Decimal("0.01"),
        Decimal("0.02"),
    ]


def test_runs_that_were_taken_away_still_count(directory):
    """
    What a run has spent stays in the ledger when its files are taken away.
    """
    start(directory, "gone", 10).communicate()
    begin(directory)
    bl.shutdown()
    for path in sorted(layout.runs_directory(directory).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()

    begin(directory)
    assert used() == Decimal("0.010")
