"""One run on its way to one destination: every answer has its consequence, and every item is counted once."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from branchline import names
from branchline._journal import cursors
from branchline._journal.cursors import Totals
from branchline._journal.dead_letters import files, letters_in
from branchline._journal.layout import Signal
from branchline.errors import JournalError
from branchline.exporters import deliveries
from branchline.exporters.deliveries import Delivery, begin
from branchline.exporters.otlp.answers import Answer
from branchline.exporters.underway import DeliveryOptions, Step
from journals import journal, log, logs_line, span, spans_line
from shelves import RETRY, Shelf, in_turn, items


RUN = "20260101-120000-000-abcdef"
REFUSED = Answer(kind="refused", message="400 bad")
TOO_LARGE = Answer(kind="too_large", message="413")


class Told:
    """What a person was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, kind: str, text: str) -> None:
        self.lines.append(text)


def begun(directory: Path, shelf: Shelf, *, told: Told | None = None, **options) -> Delivery:
    delivery = begin(directory, RUN, shelf, tell=told or Told(), options=DeliveryOptions(**options))
    assert isinstance(delivery, Delivery)
    return delivery


def steps(delivery: Delivery, most: int = 100) -> list[Step]:
    """
    Go on until there is nothing, or something to wait for.
    """
    made = []
    for _ in range(most):
        made.append(delivery.step())
        if made[-1].kind != "moved":
            break
    return made


def delivered(directory: Path, shelf: Shelf, **options) -> Totals:
    """
    Deliver what there is, and return what became of it.
    """
    delivery = begun(directory, shelf, **options)
    steps(delivery)
    delivery.give_up()
    assert cursors.load(delivery.folder) == delivery.cursor
    return delivery.cursor.totals()


def letters(directory: Path) -> list[tuple[str, str, int, list[str]]]:
    folder = directory / "cursors" / "shelf" / RUN
    return [
        (letter.kind, letter.message, letter.items, items(letter.signal, letter.line))
        for path in files(folder)
        for letter in letters_in(path)
    ]


def numbered(directory: Path, count: int, *, to_a_line: int = 1, process: str = "p"):
    made = journal(directory, process=process, state="running")
    for first in range(0, count, to_a_line):
        made.spans(*[span(n + 1, f"{process}{n}") for n in range(first, min(first + to_a_line, count))])
    return made


# ── all goes well ─────────────────────────────────────────────────────────────────────────────────


def test_everything_is_delivered_once(tmp_path):
    """
    Lines of all processes and signals arrive, joined, once; whoever comes later finds nothing to do.
    """
    numbered(tmp_path, 3)
    numbered(tmp_path, 2, process="q").logs(log("hello"), log(name=names.RUN_STARTED)).logs(log(name=names.RUN_ENDED))
    shelf = Shelf()

    totals = delivered(tmp_path, shelf)

    assert shelf.requests == [("traces", ["p0", "p1", "p2", "q0", "q1"]), ("logs", ["hello"])]
    assert totals == Totals(delivered=6, withheld=2)
    again = Shelf()
    assert delivered(tmp_path, again) == totals
    assert again.requests == []


def test_requests_are_bounded(tmp_path):
    """
    Lines are joined up to the size of a request, and no line is divided for it.
    """
    numbered(tmp_path, 10)
    shelf = Shelf()
    size = len(spans_line(span(1, "p0")))

    delivered(tmp_path, shelf, batch_bytes=3 * size)

    assert [len(names) for _, names in shelf.requests] == [3, 3, 3, 1]


def test_notes_alone_are_not_sent(tmp_path):
    """
    Where there is nothing but branchline's own notes, the cursor moves and nothing is sent.
    """
    journal(tmp_path).logs(log(name=names.RUN_STARTED))
    shelf = Shelf()

    assert delivered(tmp_path, shelf) == Totals(withheld=1)
    assert shelf.requests == []


def test_signals_that_are_not_wanted_stay(tmp_path):
    """
    What the destination does not take is neither sent nor passed over.
    """
    numbered(tmp_path, 1).logs(log("hello"))
    shelf = Shelf(signals=("logs",))

    assert delivered(tmp_path, shelf) == Totals(delivered=1)
    assert shelf.requests == [("logs", ["hello"])]
    assert cursors.signals_of(tmp_path / "cursors" / "shelf" / RUN) == ("logs",)


def test_signals_take_turns(tmp_path):
    """
    A flood of spans does not hold up the log records.
    """
    numbered(tmp_path, 4).logs(log("hello"))
    shelf = Shelf()

    delivered(tmp_path, shelf, batch_bytes=1)

    assert [signal for signal, _ in shelf.requests].index("logs") == 1


def test_what_comes_meanwhile(tmp_path):
    """
    What is written while a batch is under way is found by the next.
    """
    process = numbered(tmp_path, 1)
    shelf = Shelf()
    delivery = begun(tmp_path, shelf)

    steps(delivery)
    process.spans(span(9, "late"))
    steps(delivery)

    assert shelf.requests == [("traces", ["p0"]), ("traces", ["late"])]


# ── not now ───────────────────────────────────────────────────────────────────────────────────────


def test_who_is_to_wait_sends_the_same_again(tmp_path):
    """
    After "not now" the very same batch is sent again; nothing is counted until it is taken.
    """
    numbered(tmp_path, 3)
    shelf = Shelf(in_turn(RETRY, Answer(kind="retry", message="429", retry_after_seconds=7.0)))
    delivery = begun(tmp_path, shelf)

    assert steps(delivery) == [Step("wait", message="503 busy")]
    assert delivery.cursor.totals() == Totals()
    assert steps(delivery) == [Step("wait", message="429", retry_after_seconds=7.0)]
    steps(delivery)
    assert delivery.cursor.totals() == Totals(delivered=3)
    assert shelf.requests == [("traces", ["p0", "p1", "p2"])] * 3


def test_a_destination_that_speaks_another_language(tmp_path):
    """
    What cannot be delivered for want of a protocol waits, and somebody is told why.
    """
    numbered(tmp_path, 1)
    told = Told()
    shelf = Shelf(in_turn(Answer(kind="unsupported", message="415; pip install 'branchline[otlp]'")))
    delivery = begun(tmp_path, shelf, told=told)

    [step] = steps(delivery)

    assert (step.kind, delivery.cursor.totals()) == ("wait", Totals())
    assert told.lines == ["a shelf cannot be delivered to: 415; pip install 'branchline[otlp]'"]


# ── never ─────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_refused(tmp_path):
    """
    What is refused for good is rejected, never delivered; it is kept with the answer, and somebody is told.
    """
    process = numbered(tmp_path, 3, to_a_line=2)
    told = Told()
    shelf = Shelf(in_turn(REFUSED))
    delivery = begun(tmp_path, shelf, told=told)

    steps(delivery)
    process.spans(span(9, "good"))
    steps(delivery)

    assert delivery.cursor.totals() == Totals(delivered=1, rejected=3)
    assert letters(tmp_path) == [("refused", "400 bad", 2, ["p0", "p1"]), ("refused", "400 bad", 1, ["p2"])]
    assert told.lines == [f"a shelf refused 3 spans: 400 bad; kept with the answer in {delivery.folder}"]


def test_what_is_refused_in_part(tmp_path):
    """
    Of a partial success what was refused is counted as rejected and the rest as delivered; the batch is kept.
    """
    numbered(tmp_path, 4, to_a_line=2)
    shelf = Shelf(in_turn(Answer(kind="partial", rejected=3, message="too old")))

    assert delivered(tmp_path, shelf) == Totals(delivered=1, rejected=3)
    assert letters(tmp_path) == [("partial", "too old", 2, ["p0", "p1"]), ("partial", "too old", 1, ["p2", "p3"])]


@pytest.mark.parametrize(("rejected", "expected"), [(99, 4), (-1, 0)])
def test_a_server_that_cannot_count(tmp_path, rejected, expected):
    """
    More items than were sent cannot have been refused, nor less than none.
    """
    numbered(tmp_path, 4, to_a_line=2)
    shelf = Shelf(in_turn(Answer(kind="partial", rejected=rejected)))

    assert delivered(tmp_path, shelf) == Totals(delivered=4 - expected, rejected=expected)


def test_damage_does_not_take_good_neighbours_with_it(tmp_path):
    """
    When a batch is refused, lines that are damaged inside are taken out and counted, and the rest is sent again.
    """
    process = numbered(tmp_path, 2)
    process.raw(spans_line(span(9, "x")).replace(b'"name":', b'"name"\0', 1)).spans(span(8, "good"))
    shelf = Shelf(lambda signal, lines: REFUSED if any(b"\0" in line for line in lines) else Answer(kind="accepted"))

    assert delivered(tmp_path, shelf) == Totals(delivered=3, damaged=1)
    assert shelf.kept == {"p0": 1, "p1": 1, "good": 1}
    assert letters(tmp_path) == []


def test_a_thorough_delivery_sends_no_damage(tmp_path):
    """
    Who looks at every line sends none that is damaged inside.
    """
    numbered(tmp_path, 1).raw(spans_line(span(9, "x")).replace(b'"name":', b'"name"\0', 1)).raw(b"{torn\n")
    shelf = Shelf()

    assert delivered(tmp_path, shelf, is_thorough=True) == Totals(delivered=1, damaged=2)
    assert shelf.requests == [("traces", ["p0"])]


# ── too large ─────────────────────────────────────────────────────────────────────────────────────


def most(count: int):
    """
    Return what takes requests of no more than *count* items.
    """

    def answer(signal: Signal, lines) -> Answer:
        size = sum(len(items(signal, line)) for line in lines)
        return Answer(kind="accepted") if size <= count else TOO_LARGE

    return answer


def test_what_is_too_large_is_divided_by_lines(tmp_path):
    """
    A request that is too large is sent in halves; what the destination takes is remembered for the next ones.
    """
    numbered(tmp_path, 8)
    shelf = Shelf(most(2))

    assert delivered(tmp_path, shelf) == Totals(delivered=8)
    assert [len(names) for _, names in shelf.requests] == [8, 4, 2, 2, 2, 2]
    assert shelf.kept == {f"p{n}": 1 for n in range(8)}


def test_a_line_that_is_too_large_is_divided_by_its_items(tmp_path):
    """
    A line that is too large alone is divided down to its items; an item too large alone is rejected and kept.
    """
    process = numbered(tmp_path, 5, to_a_line=5).spans(span(9, "next"))
    process.logs(log("huge"), log("small"))
    shelf = Shelf(lambda signal, lines: TOO_LARGE if b"huge" in b"".join(lines) else most(2)(signal, lines))

    assert delivered(tmp_path, shelf) == Totals(delivered=7, rejected=1)
    assert shelf.kept == {**{f"p{n}": 1 for n in range(5)}, "next": 1, "small": 1}
    assert letters(tmp_path) == [("too_large", "413", 1, ["huge"])]


def test_the_cursor_waits_for_the_whole_line(tmp_path):
    """
    While parts of a line are under way the cursor stays before it; the numbers come with the last part.
    """
    numbered(tmp_path, 4, to_a_line=4)
    shelf = Shelf(in_turn(TOO_LARGE, Answer(kind="accepted"), RETRY))
    delivery = begun(tmp_path, shelf)

    steps(delivery)
    assert (delivery.cursor.totals(), delivery.cursor.place("p", "traces").position) == (Totals(), (0, 0))
    steps(delivery)
    assert delivery.cursor.totals() == Totals(delivered=4)
    assert [names for _, names in shelf.requests] == [
        ["p0", "p1", "p2", "p3"],
        ["p0", "p1"],
        ["p2", "p3"],
        ["p2", "p3"],
    ]


def test_parts_that_are_refused(tmp_path):
    """
    Parts of a line have fates of their own, and the numbers of the line are theirs together.
    """
    numbered(tmp_path, 4, to_a_line=4)
    shelf = Shelf(in_turn(TOO_LARGE, REFUSED, Answer(kind="partial", rejected=1)))

    assert delivered(tmp_path, shelf) == Totals(delivered=1, rejected=3)


# ── the disk ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def full(monkeypatch) -> list[bool]:
    """
    A disk on which no cursor can be saved while the list says so.
    """
    real = cursors.save
    is_full = [True]

    def save(*args, **kwargs):
        if is_full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(*args, **kwargs)

    monkeypatch.setattr("branchline.exporters.deliveries.cursors.save", save)
    return is_full


def test_a_cursor_that_cannot_be_saved(tmp_path, full):
    """
    Until the disk takes the cursor nothing more is sent: a restart sends one batch again, not all.
    """
    numbered(tmp_path, 3)
    shelf = Shelf()
    delivery = begun(tmp_path, shelf, batch_bytes=1)

    [step] = steps(delivery)
    assert (step.kind, "No space left on device" in step.message) == ("wait", True)
    assert steps(delivery)[0].kind == "wait"
    assert shelf.requests == [("traces", ["p0"])]
    full[0] = False
    steps(delivery)
    assert shelf.kept == {"p0": 1, "p1": 1, "p2": 1}
    assert cursors.load(delivery.folder).totals() == Totals(delivered=3)


def test_a_dead_letter_that_cannot_be_written(tmp_path, monkeypatch):
    """
    What is refused and cannot be kept is not passed over.
    """
    numbered(tmp_path, 1)
    shelf = Shelf(lambda signal, lines: REFUSED)
    delivery = begun(tmp_path, shelf)

    def bury(folder, letters):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(deliveries, "bury", bury)
    assert steps(delivery)[0].kind == "wait"
    monkeypatch.undo()
    steps(delivery)

    assert delivery.cursor.totals() == Totals(rejected=1)


def test_a_restart_after_a_cursor_was_lost(tmp_path):
    """
    Without its cursor a run is delivered again, from the beginning.
    """
    numbered(tmp_path, 2)
    shelf = Shelf()
    delivered(tmp_path, shelf)
    (tmp_path / "cursors" / "shelf" / RUN / "cursor.json").write_bytes(b"")

    assert delivered(tmp_path, shelf) == Totals(delivered=2)
    assert shelf.kept == {"p0": 2, "p1": 2}


def test_a_cursor_of_a_later_version(tmp_path):
    """
    What a later version delivers is left to it, and the claim is given back.
    """
    numbered(tmp_path, 2)
    folder = tmp_path / "cursors" / "shelf" / RUN
    folder.mkdir(parents=True)
    (folder / "cursor.json").write_bytes(b'{"version": 2}')

    for _ in range(2):
        with pytest.raises(JournalError, match="later version"):
            begun(tmp_path, Shelf())


# ── others ────────────────────────────────────────────────────────────────────────────────────────


def test_two_at_once(tmp_path):
    """
    Who comes second gets no delivery; after the first has given up, it goes on where that one was.
    """
    numbered(tmp_path, 4)
    shelf = Shelf()
    first = begun(tmp_path, shelf, batch_bytes=1)
    first.step()

    assert begin(tmp_path, RUN, shelf, tell=Told(), options=DeliveryOptions()) is None
    first.give_up()
    assert delivered(tmp_path, shelf) == Totals(delivered=4)
    assert shelf.kept == {f"p{n}": 1 for n in range(4)}


def test_a_folder_that_is_removed(tmp_path):
    """
    When somebody removes the cursors, whoever delivers must begin anew, and sends nothing on an old claim.
    """
    numbered(tmp_path, 1)
    shelf = Shelf()
    delivery = begun(tmp_path, shelf)
    for path in delivery.folder.iterdir():
        path.unlink()
    delivery.folder.rmdir()

    assert [step.kind for step in steps(delivery)] == ["lost"]
    assert shelf.requests == []


def test_a_run_that_is_removed(tmp_path):
    """
    A run whose files are gone has nothing to deliver.
    """
    shelf = Shelf()

    assert delivered(tmp_path, shelf) == Totals()
    assert shelf.requests == []


def test_lines_of_somebody_else(tmp_path):
    """
    Lines that another program wrote are delivered too, made strict where they are not.
    """
    journal(tmp_path).raw(b'{ "resourceSpans": [ {"scopeSpans": [ {"spans": [ {"name": "theirs"} ] } ] } ] }\n').raw(
        logs_line(log("lost here"))
    )
    shelf = Shelf()

    assert delivered(tmp_path, shelf) == Totals(delivered=1, damaged=1)
    assert shelf.kept == {"theirs": 1}


@pytest.mark.parametrize(
    ("seconds", "pace", "size"),
    [
        (2.0, None, 256 * 1024),
        (2.0, (1_000_000, 0.1), 10_000_000),
        (1.0, (1_000_000, 0.5), 1_000_000),
        (1.0, (1_000_000, 1.0), 500_000),
        (0.9, (1_000_000, 1.0), 0),
        (0.0, (1_000_000, 0.0), 0),
        (2.0, (100, 5.0), 0),
    ],
)
def test_what_is_likely_to_be_answered_in_time(seconds, pace, size):
    """
    Half of what the last request says, for a guess may be wrong; nothing where half as much would come too late.
    """
    assert deliveries.bytes_in(seconds, pace) == size


def test_little_time(tmp_path):
    """
    With little time left only what is likely to be answered is sent; what is not sent waits, and is sent later.
    """
    numbered(tmp_path, 3)
    shelf = Shelf()
    delivery = begun(tmp_path, shelf, batch_bytes=1)

    assert delivery.step(10.0).kind == "moved"
    assert delivery.step(0.0) == Step("late")
    assert shelf.requests == [("traces", ["p0"])]
    assert [step.kind for step in steps(delivery)] == ["moved", "moved", "nothing"]
    assert [names for _, names in shelf.requests] == [["p0"], ["p1"], ["p2"]]
