"""The thread that delivers: woken, hurried, ended, forked; and what it does for earlier runs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from branchline._journal import cursors
from branchline._journal.claims import claimed
from branchline._journal.cursors import Totals
from branchline.exporters import follower as module
from branchline.exporters.follower import Follower, FollowerOptions
from branchline.exporters.leftovers import Leftovers
from branchline.exporters.otlp.answers import Answer
from branchline.exporters.patience import Patience
from journals import Journal, journal, span
from shelves import ACCEPTED, RETRY, Shelf, in_turn
from surplus import Surplus


RUN = "20260101-120000-000-abcdef"
# Far more than anything here takes; who waits so long has failed.
LONG = 30.0


class Told:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, kind: str, text: str) -> None:
        self.lines.append(text)


def following(directory: Path, shelf: Shelf, *, run_id: str = RUN, told: Told | None = None) -> Follower:
    return Follower(
        FollowerOptions(
            kind="otlp", directory=directory, run_id=run_id, make_destination=lambda: shelf, tell=told or Told()
        )
    )


def running(directory: Path, *names: str, process: str = "p", run: str = RUN) -> Journal:
    made = journal(directory, run=run, process=process, state="running")
    for number, name in enumerate(names, start=1):
        made.spans(span(number, name))
    return made


def until(condition) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """
    Waits that a test need not wait for.
    """
    monkeypatch.setattr(module, "_LINGER_SECONDS", 0.01)
    monkeypatch.setattr("branchline.exporters.patience.FIRST_SECONDS", 0.01)


# ── delivering ────────────────────────────────────────────────────────────────────────────────────


def test_what_is_written_is_delivered(tmp_path):
    """
    Woken, it delivers what there is, with nobody waiting for it.
    """
    process = running(tmp_path, "a")
    shelf = Shelf()
    follower = following(tmp_path, shelf)

    follower.wake()
    until(lambda: shelf.kept == {"a": 1})
    process.spans(span(9, "b"))
    follower.wake()
    until(lambda: shelf.kept == {"a": 1, "b": 1})
    follower.close(LONG)

    assert shelf.is_closed
    assert follower.cursor.totals() == Totals(delivered=2)


def test_other_processes_of_the_run(tmp_path):
    """
    What other processes of the run write is delivered too, although they wake nobody here.
    """
    running(tmp_path, "a")
    shelf = Shelf()
    follower = following(tmp_path, shelf)
    follower.wake()
    until(lambda: shelf.kept == {"a": 1})

    running(tmp_path, "b", process="child")
    until(lambda: shelf.kept == {"a": 1, "b": 1})
    follower.close(LONG)


def test_flush_waits_for_the_answer(tmp_path):
    """
    A flush is done when everything that was there has been answered.
    """
    running(tmp_path, "a", "b")
    shelf = Shelf(in_turn(RETRY, RETRY))
    follower = following(tmp_path, shelf)
    follower.wake()

    assert follower.flush(LONG)
    assert shelf.kept == {"a": 1, "b": 1}
    follower.close(LONG)


def test_flush_does_not_wait_out_an_outage(tmp_path):
    """
    A flush tries at once, however long the thread meant to wait after earlier failures.
    """
    running(tmp_path, "a")
    is_down = [True]
    shelf = Shelf(lambda signal, lines: RETRY if is_down[0] else ACCEPTED)
    follower = following(tmp_path, shelf)
    follower._patience.seconds = lambda asked_seconds=None: 10_000.0  # type: ignore[method-assign]
    follower.wake()
    until(lambda: shelf.requests)

    assert not follower.flush(0.01)
    is_down[0] = False
    assert follower.flush(LONG)
    follower.close(LONG)


def test_flush_respects_a_destination_that_asks_to_wait(tmp_path):
    """
    Who was asked to wait does not ask again, whoever is in a hurry; nor at the end.
    """
    running(tmp_path, "a")
    shelf = Shelf(lambda signal, lines: Answer(kind="retry", message="429", retry_after_seconds=300.0))
    follower = following(tmp_path, shelf)
    follower.wake()
    until(lambda: shelf.requests)

    assert not follower.flush(0.3)
    follower.close(LONG)
    assert len(shelf.requests) == 1
    assert follower.cursor.totals() == Totals()


def test_flush_where_there_is_nothing(tmp_path):
    """
    With nothing recorded there is nothing to wait for.
    """
    assert following(tmp_path, Shelf()).flush(0)


def test_a_destination_that_raises(tmp_path):
    """
    Whatever goes wrong in a delivery is said, and tried again.
    """
    running(tmp_path, "a")
    told = Told()
    answers = [RuntimeError("oops")]

    def answer(signal, lines):
        if answers:
            raise answers.pop()
        return ACCEPTED

    shelf = Shelf(answer)
    follower = following(tmp_path, shelf, told=told)
    follower.wake()
    until(lambda: shelf.kept == {"a": 1})
    follower.close(LONG)

    assert told.lines == ["cannot deliver to a shelf: RuntimeError: oops"]


def test_cursors_that_are_removed(tmp_path):
    """
    When somebody removes the cursors, delivery begins anew rather than not at all.
    """
    running(tmp_path, "a")
    shelf = Shelf()
    follower = following(tmp_path, shelf)
    follower.wake()
    # Saved after it was delivered: until then, there is nothing that could be removed.
    until(lambda: cursors.load(follower.folder).totals() == Totals(delivered=1))
    for path in follower.folder.iterdir():
        path.unlink()

    until(lambda: shelf.kept == {"a": 2})
    follower.close(LONG)


# ── the end ───────────────────────────────────────────────────────────────────────────────────────


def test_the_end_delivers_what_is_left(tmp_path):
    """
    Closing delivers what the thread was still collecting, and gives the claim back.
    """
    process = running(tmp_path, "a")
    shelf = Shelf()
    follower = following(tmp_path, shelf)
    follower.wake()
    until(lambda: shelf.kept == {"a": 1})
    process.spans(span(9, "b"))
    follower.close(LONG)

    assert shelf.kept == {"a": 1, "b": 1}
    assert claimed(follower.folder) is not None


def test_the_end_tries_once_more(tmp_path):
    """
    An outage that is over when the process ends costs nothing.
    """
    running(tmp_path, "a")
    is_down = [True]
    shelf = Shelf(lambda signal, lines: RETRY if is_down[0] else ACCEPTED)
    follower = following(tmp_path, shelf)
    follower._patience.seconds = lambda asked_seconds=None: 10_000.0  # type: ignore[method-assign]
    follower.wake()
    until(lambda: shelf.requests)
    is_down[0] = False
    follower.close(LONG)

    assert shelf.kept == {"a": 1}


def test_the_end_does_not_wait_for_a_destination_that_is_down(tmp_path):
    """
    A destination that goes on failing is not waited for to the last second: the journal has it all.
    """
    running(tmp_path, "a")
    shelf = Shelf(lambda signal, lines: RETRY)
    follower = following(tmp_path, shelf)
    follower.wake()
    until(lambda: shelf.requests)
    follower.close(10_000.0)

    assert follower.cursor.totals() == Totals()
    assert claimed(follower.folder) is not None


def test_the_end_interrupts(tmp_path):
    """
    A delivery that hangs is interrupted when the time is over.
    """
    running(tmp_path, "a")

    def hang(signal, lines):
        assert shelf.interrupted.wait(LONG)
        return RETRY

    shelf = Shelf(hang)
    follower = following(tmp_path, shelf)
    follower.wake()
    until(lambda: follower._delivery is not None)
    follower.close(0.05)
    until(lambda: shelf.is_closed)

    assert shelf.interrupted.is_set()


def test_an_end_before_anything_began(tmp_path):
    """
    A follower that nobody woke ends at once, and is not woken afterwards.
    """
    running(tmp_path, "a")
    shelf = Shelf()
    follower = following(tmp_path, shelf)
    follower.close(LONG)
    follower.wake()

    assert follower._thread is None
    assert shelf.requests == []


# ── others that deliver the same ──────────────────────────────────────────────────────────────────


def test_one_delivers_and_the_other_sees_it(tmp_path):
    """
    Of two followers of a run one delivers; the other one's flush waits for that one, and it goes on after it.
    """
    process = running(tmp_path, "a")
    shelf = Shelf()
    first, second = following(tmp_path, shelf), following(tmp_path, shelf)
    first.wake()
    until(lambda: first.is_ours)
    second.wake()

    assert second.flush(LONG)
    assert (first.is_ours, second.is_ours) == (True, False)
    first.close(LONG)
    process.spans(span(9, "b"))
    until(lambda: shelf.kept == {"a": 1, "b": 1})
    second.close(LONG)
    assert second.is_ours


def test_a_forked_child_uses_nothing_of_its_parents(tmp_path):
    """
    In a child there is no thread, no claim and no destination; with its first line it makes its own.
    """
    running(tmp_path, "a")
    made: list[Shelf] = []

    def make() -> Shelf:
        made.append(Shelf())
        return made[-1]

    follower = Follower(
        FollowerOptions(kind="otlp", directory=tmp_path, run_id=RUN, make_destination=make, tell=Told())
    )
    follower.wake()
    until(lambda: made[0].kept == {"a": 1})
    child = os.fork()
    if not child:
        follower.after_fork()
        running(tmp_path, "b", process="child")
        follower.wake()
        # The parent delivers it.
        is_done = follower.flush(LONG)
        os._exit(0 if is_done and not follower.is_ours and made[-1].requests == [] else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    follower.close(LONG)

    assert code == 0
    assert made[0].kept == {"a": 1, "b": 1}


def test_it_registers_before_it_delivers(tmp_path):
    """
    That a run is to be delivered is on the disk before anything is, and what is there already stays.
    """
    follower = following(tmp_path, Shelf())
    follower.register()
    saved = (follower.folder / "cursor.json").read_bytes()
    follower.register()

    assert cursors.run_folders(tmp_path / "cursors" / "shelf") == [follower.folder]
    assert (follower.folder / "cursor.json").read_bytes() == saved


# ── leftovers ─────────────────────────────────────────────────────────────────────────────────────


def left(directory: Path, run: str, *names: str, is_known: bool = True) -> Journal:
    """
    Leave a run that was to be delivered to the shelf.
    """
    if is_known:
        cursors.save(directory / "cursors" / "shelf" / run, cursors.Cursor())
    return running(directory, *names, run=run)


def test_leftovers_come_after_the_own_run(tmp_path):
    """
    What earlier runs left for the same destination is delivered, after the own run; other runs are left alone.
    """
    left(tmp_path, "earlier", "old")
    left(tmp_path, "elsewhere", "other", is_known=False)
    running(tmp_path, "own")
    shelf = Shelf()
    follower = following(tmp_path, shelf)
    follower.wake()
    until(lambda: len(shelf.kept) == 2)
    follower.close(LONG)

    assert shelf.requests == [("traces", ["own"]), ("traces", ["old"])]


def taken(directory: Path, shelf: Shelf, **bounds) -> None:
    leftovers = Leftovers(directory, shelf, Told(), **bounds)
    while leftovers.step(RUN).kind == "moved":
        pass


def test_leftovers_are_bounded_in_bytes(tmp_path):
    """
    No more than so many bytes of leftovers are delivered beside the own work.
    """
    left(tmp_path, "one", "a")
    left(tmp_path, "two", "b")
    shelf = Shelf()

    taken(tmp_path, shelf, most_bytes=1)

    assert shelf.kept == {"a": 1}


def test_leftovers_are_bounded_in_age(tmp_path):
    """
    What is older than so much is for ``branchline ship``.
    """
    old = left(tmp_path, "one", "a")
    left(tmp_path, "two", "b")
    os.utime(old.folder / "process.json", (time.time() - 7200,) * 2)
    shelf = Shelf()

    taken(tmp_path, shelf, most_age_seconds=3600)

    assert shelf.kept == {"b": 1}


def test_leftovers_that_somebody_else_delivers(tmp_path):
    """
    A run that another process delivers is passed over, and so is one whose cursor is a later version's.
    """
    left(tmp_path, "one", "a")
    left(tmp_path, "three", "c")
    left(tmp_path, "two", "b")
    claim = claimed(tmp_path / "cursors" / "shelf" / "one")
    (tmp_path / "cursors" / "shelf" / "three" / "cursor.json").write_bytes(b'{"version": 2}')
    shelf = Shelf()

    taken(tmp_path, shelf)

    assert claim is not None
    assert shelf.kept == {"b": 1}


# ── patience ──────────────────────────────────────────────────────────────────────────────────────


def test_patience(monkeypatch):
    """
    Waits double up to a bound, spread a little; a success begins anew; no request to wait is outdone or overdone.
    """
    monkeypatch.undo()
    patience = Patience()
    waits = [patience.seconds() for _ in range(40)]

    assert all(
        0.75 * expected <= wait <= 1.25 * expected for wait, expected in zip(waits, (1, 2, 4, 8, 16), strict=False)
    )
    assert all(22 <= wait <= 38 for wait in waits[5:])
    patience.reset()
    assert patience.seconds() < 2
    assert patience.seconds(60.0) == 60.0
    assert patience.seconds(10.0**9) == 300.0
    assert patience.seconds(0.0) > 2


def test_threads_end(tmp_path):
    """
    Nothing of a follower is left when it is closed.
    """
    running(tmp_path, "a")
    surplus = Surplus()
    for _ in range(5):
        follower = following(tmp_path, Shelf())
        follower.wake()
        follower.close(LONG)

    until(lambda: surplus.threads() == [])
