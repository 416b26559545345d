"""How long runs stay."""

import os
import time

from branchline._journal.retention import Kept, enforce, expired


DAY = 86_400.0


def kept(name, *, days, size=10):
    return Kept(path=name, touched=100 * DAY - days * DAY, size=size)


def test_runs_past_their_time_go():
    """
    A run goes when nobody has written to it for longer than the retention.
    """
    runs = [kept("new", days=1), kept("old", days=31), kept("edge", days=30)]

    assert expired(runs, now=100 * DAY, retention_seconds=30 * DAY, max_total=None) == [runs[1]]


def test_the_oldest_go_until_the_rest_fits():
    """
    Over the size, the oldest runs go, and no more of them than need to.
    """
    runs = [kept("c", days=1), kept("a", days=3), kept("b", days=2)]

    assert expired(runs, now=100 * DAY, retention_seconds=None, max_total=15) == [runs[1], runs[2]]


def test_a_run_in_use_stays():
    """
    A run that was written to just now stays, whatever its size.
    """
    runs = [kept("busy", days=0, size=10**12)]

    assert expired(runs, now=100 * DAY, retention_seconds=0.0, max_total=1) == []


def test_enforcing_takes_whole_runs_away(tmp_path):
    """
    An expired run's folder is gone; another's is whole.
    """
    for name in ("old", "new"):
        process = tmp_path / "runs" / name / "host-1-a"
        process.mkdir(parents=True)
        (process / "traces-000000.jsonl").write_text("{}\n")
    long_ago = time.time() - 40 * DAY
    os.utime(tmp_path / "runs/old/host-1-a/traces-000000.jsonl", (long_ago, long_ago))

    gone = enforce(tmp_path, retention_seconds=30 * DAY, max_total=None)

    assert [path.name for path in gone] == ["old"]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["new"]
