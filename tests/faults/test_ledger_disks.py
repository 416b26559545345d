"""Budgets on disks that are full or read-only: nothing raises, and the ledger is right in the end."""

from __future__ import annotations

import pytest
from programs import mounting, run


pytestmark = pytest.mark.slow
needs_mounts = pytest.mark.skipif(mounting() is not None, reason=str(mounting()))

SPEND = """
from branchline.budget import statuses
from branchline._journal.ledger import Ledger
from branchline._journal.layout import ledger_path
from pathlib import Path
directory = os.path.join(HOME, "journal")

def spend(count):
    for _ in range(count):
        with bl.step("s"):
            bl.record_usage("m", cost="0.001")

def in_the_ledger(wanted, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            count = len(Ledger(ledger_path(directory)).history())
        except Exception:
            count = -1
        if count == wanted:
            return count
        time.sleep(0.05)
    return count

"""


@needs_mounts
def test_a_disk_that_is_full_for_a_while(tmp_path):
    """
    While the disk is full, what this process spends counts; when there is room again, all of it gets into the ledger.
    """
    ended = run(
        tmp_path,
        SPEND
        + """
bl.configure("disks", directory=directory, console=False, budget={"daily": 1000})
spend(100)
print(in_the_ledger(100))
with open(os.path.join(directory, "ballast"), "wb", buffering=0) as ballast:
    try:
        while True:
            ballast.write(bytes(4096))
    except OSError:
        pass
spend(3000)
time.sleep(1.5)
print(statuses()[0].used)
os.unlink(os.path.join(directory, "ballast"))
bl.flush(20)
print(in_the_ledger(3100))
spend(100)
print(in_the_ledger(3200))
print(statuses()[0].used)
""",
        mounts="mkdir journal; mount -t tmpfs -o size=16m tmpfs journal",
    )

    assert (ended.code, ended.out.split()) == (0, ["100", "3.1", "3100", "3200", "3.2"])
    assert len([line for line in ended.complaints if "cannot keep" in line]) <= 1


@needs_mounts
def test_a_disk_that_is_read_only(tmp_path):
    """
    On a disk that nobody can write to, a budget holds back all the same, and it is said once that there is no ledger.
    """
    ended = run(
        tmp_path,
        SPEND
        + """
bl.configure("disks", directory=directory, console=False, budget={"daily": "0.05", "on_exceed": "raise"})
try:
    spend(100)
except bl.BudgetExceeded:
    print(statuses()[0].used)
time.sleep(2.5)
""",
        mounts="mkdir journal; mount -t tmpfs -o ro tmpfs journal",
    )

    assert (ended.code, ended.out.split()) == (0, ["0.05"])
    assert len([line for line in ended.complaints if "cannot keep" in line]) == 1
