"""How long runs stay."""

import os
import time

import orjson

from branchline._journal import cursors
from branchline._journal.claims import claimed
from branchline._journal.cursors import Cursor, Place
from branchline._journal.retention import Kept, enforce, expired
from journals import journal, log, logs_line, span, spans_line


DAY = 86_400.0


def kept(name, *, days, size=10, is_pending=False):
    return Kept(path=name, touched=100 * DAY - days * DAY, size=size, is_pending=is_pending)


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


def test_what_was_not_delivered_goes_last():
    """
    Over the size, runs that were delivered go first, whatever their age; past their time all go alike.
    """
    runs = [kept("old", days=9, is_pending=True), kept("older", days=8, is_pending=True), kept("new", days=1)]

    assert expired(runs, now=100 * DAY, retention_seconds=None, max_total=20) == [runs[2]]
    assert expired(runs, now=100 * DAY, retention_seconds=None, max_total=10) == [runs[2], runs[0]]
    assert expired(runs, now=100 * DAY, retention_seconds=5 * DAY, max_total=None) == [runs[0], runs[1]]


def aged(directory, run, *names, delivered=0):
    """
    Leave a run of long ago of which so many spans were delivered, and its cursor.
    """
    process = journal(directory, run=run, process="p")
    for number, name in enumerate(names, start=1):
        process.spans(span(number, name))
    place = Place(offset=sum(len(spans_line(span(n + 1, name))) for n, name in enumerate(names[:delivered])))
    folder = directory / "cursors" / "otlp-x" / run
    cursors.save(folder, Cursor({("p", "traces"): place}), signals=("traces",))
    long_ago = time.time() - 40 * DAY
    for path in process.folder.parent.rglob("*"):
        os.utime(path, (long_ago, long_ago))
    return folder


def test_what_was_never_delivered_is_counted(tmp_path):
    """
    When a run goes that was not delivered, how much is missing is noted beside the cursors, and said; the cursor goes
    with the run. Of one that was delivered nothing is said.
    """
    aged(tmp_path, "pending", "a", "b", "c", delivered=1)
    aged(tmp_path, "done", "a", "b", delivered=2)
    said: list[str] = []

    gone = enforce(tmp_path, retention_seconds=30 * DAY, max_total=None, say=said.append)

    [gap] = [orjson.loads(line) for line in (tmp_path / "cursors/otlp-x/gaps.jsonl").read_text().splitlines()]
    assert sorted(path.name for path in gone) == ["done", "pending"]
    assert (gap["run_id"], gap["lost"]) == ("pending", {"traces": 2})
    assert said == ["run pending was taken away with 2 records that were never delivered"]
    assert [path.name for path in (tmp_path / "cursors/otlp-x").iterdir()] == ["gaps.jsonl"]


def test_branchlines_own_notes_are_no_loss(tmp_path):
    """
    A run of which only branchline's own notes were not delivered goes without a word.
    """
    folder = aged(tmp_path, "run", "a", delivered=1)
    cursors.save(folder, cursors.load(folder), signals=("traces", "logs"))
    process = tmp_path / "runs" / "run" / "p"
    (process / "logs-000000.jsonl").write_bytes(logs_line(log(name="branchline.run.started")))
    os.utime(process / "logs-000000.jsonl", (0, 0))
    said: list[str] = []

    assert len(enforce(tmp_path, retention_seconds=30 * DAY, max_total=None, say=said.append)) == 1
    assert said == []


def test_a_run_that_is_being_delivered_stays(tmp_path):
    """
    What somebody delivers just now is not taken away under its hands.
    """
    folder = aged(tmp_path, "run", "a")
    claim = claimed(folder)

    assert enforce(tmp_path, retention_seconds=30 * DAY, max_total=None) == []
    assert claim is not None
    claim.give_up()
    assert len(enforce(tmp_path, retention_seconds=30 * DAY, max_total=None)) == 1


def test_over_the_size_what_was_delivered_goes_first(tmp_path):
    """
    Of two runs the one that was delivered goes, though the other is older.
    """
    aged(tmp_path, "a-pending", "x" * 2000)
    aged(tmp_path, "b-done", "x" * 2000, delivered=1)
    for path in (tmp_path / "runs" / "b-done").rglob("*"):
        os.utime(path, (time.time() - 35 * DAY,) * 2)

    gone = enforce(tmp_path, retention_seconds=None, max_total=4000)

    assert [path.name for path in gone] == ["b-done"]
