"""What a follower has not read yet, whatever has happened to the files."""

from __future__ import annotations

import gzip
import os
import time
from pathlib import Path

import orjson
import pytest

from branchline._journal.cursors import Cursor, Key, Place
from branchline._journal.layout import SIGNALS
from branchline._journal.segments import Appender, seal
from branchline._journal.unread import Reader, ends, unread_bytes
from journals import Journal, journal, log, span, spans_line


RUN = "20260101-120000-000-abcdef"


def run_of(directory: Path) -> Path:
    return directory / "runs" / RUN


def read(directory: Path, cursor: Cursor | None = None, *, signal="traces", reader: Reader | None = None):
    """
    Read a pass; return the names of the spans in order, the cursor behind them, and how many lines were damaged.
    """
    cursor = Cursor() if cursor is None else cursor
    named: list[str] = []
    places: dict[Key, Place] = {}
    damaged = 0
    for found in (reader or Reader(run_of(directory))).lines(signal, cursor):
        places[found.process, signal] = Place(segment=found.segment, offset=found.offset)
        damaged += found.is_damaged
        for resource in orjson.loads(found.line)["resourceSpans"] if found.line else ():
            named += [span["name"] for scope in resource["scopeSpans"] for span in scope["spans"]]
    return named, cursor.moved(places), damaged


def line(name: str) -> bytes:
    return spans_line(span(1, name))


def test_a_pass_goes_on_where_the_last_one_ended(tmp_path):
    """
    A pass takes every line from the cursor on, process by process; what comes later is for the next.
    """
    one, two = journal(tmp_path, process="one"), journal(tmp_path, process="two")
    one.raw(line("a")).raw(line("b"))
    two.raw(line("c"))

    named, cursor, _ = read(tmp_path)
    assert named == ["a", "b", "c"]
    assert read(tmp_path, cursor)[0] == []
    one.raw(line("d"))
    assert read(tmp_path, cursor)[0] == ["d"]


def test_signals_are_apart(tmp_path):
    """
    Each signal has files and places of its own.
    """
    journal(tmp_path).spans(span(1, "a")).logs(log("b"))

    [found] = Reader(run_of(tmp_path)).lines("logs", read(tmp_path)[1])

    assert (found.signal, b'"b"' in found.line) == ("logs", True)
    assert set(ends(run_of(tmp_path), SIGNALS)) == {("host-1-a", "traces"), ("host-1-a", "logs")}


def test_a_file_that_is_sealed_in_the_middle(tmp_path):
    """
    An offset is one in the file as it was written: after it was compressed, reading goes on at the same line.
    """
    process = journal(tmp_path).raw(line("a"))
    _, cursor, _ = read(tmp_path)
    process.raw(line("b"))
    seal(process.folder / "traces-000000.jsonl")
    process.raw(line("c"), file="traces-000001.jsonl")

    assert read(tmp_path, cursor)[0] == ["b", "c"]


def test_a_file_that_is_sealed_while_it_is_read(tmp_path):
    """
    A file that was there when somebody looked, and is compressed when it is opened, is read all the same.
    """
    one, two = journal(tmp_path, process="one"), journal(tmp_path, process="two")
    one.raw(line("a"))
    two.raw(line("b"))

    lines = Reader(run_of(tmp_path)).lines("traces", Cursor())
    first = next(lines)
    seal(one.folder / "traces-000000.jsonl")
    seal(two.folder / "traces-000000.jsonl")

    assert [b'"a"' in first.line, *(b'"b"' in found.line for found in lines if found.line)] == [True, True]


def test_through_the_segments_of_a_writer(tmp_path):
    """
    What a writer appends and rotates is read once, in order, however the passes fall.
    """
    process = journal(tmp_path)
    appender = Appender(process.folder, "traces", rotate_bytes=1000)
    cursor, named = Cursor(), []
    for number in range(60):
        appender.append(line(str(number)))
        if number % 7 == 0:
            found, cursor, _ = read(tmp_path, cursor)
            named += found
    appender.finish_sealing(10)
    appender.close()

    named += read(tmp_path, cursor)[0]
    assert named == [str(number) for number in range(60)]


def test_a_line_that_is_being_written(tmp_path):
    """
    A line without its end is left for later in a process that lives, and read once it is whole.
    """
    process = journal(tmp_path, state="running", pid=os.getpid())
    whole = line("b")
    process.raw(line("a")).raw(whole[:50])

    named, cursor, damaged = read(tmp_path)
    assert (named, damaged) == (["a"], 0)
    process.raw(whole[50:])
    assert read(tmp_path, cursor)[0] == ["b"]


def is_torn_off(process: Journal) -> None:
    process.raw(line("b")[:50])


def is_followed_by_zeros(process: Journal) -> None:
    process.raw(b"\0" * 4096)


TAILS = {"torn": (is_torn_off, 1), "zeros": (is_followed_by_zeros, 0)}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("has_successor", [True, False])
def test_a_torn_tail(tmp_path, tail, has_successor):
    """
    What a dead process left of a line is counted and passed over, once; zeros that a power cut left are no line.
    """
    spoil, count = TAILS[tail]
    process = journal(tmp_path, state="recovered").raw(line("a"))
    spoil(process)
    if has_successor:
        process.raw(line("c"), file="traces-000001.jsonl")

    named, cursor, damaged = read(tmp_path)

    assert (named, damaged) == (["a", "c"] if has_successor else ["a"], count)
    assert read(tmp_path, cursor)[0::2] == ([], 0)


def test_the_end_of_a_line_that_nobody_will_write(tmp_path):
    """
    A process that has ended may still write a line on its way out; after seconds of silence the line is torn.
    """
    process = journal(tmp_path, state="ended").raw(line("a")).raw(b"{torn")
    file = process.folder / "traces-000000.jsonl"

    assert read(tmp_path)[2] == 0
    os.utime(file, (time.time() - 60, time.time() - 60))
    assert read(tmp_path)[2] == 1


def test_damaged_lines_are_passed_over(tmp_path):
    """
    Between good lines, damage and lines of other kinds are counted, and blank ones are not.
    """
    journal(tmp_path).raw(line("a")).raw(b"{torn\n").raw(b"\n  \n").raw(b'{"resourceLogs":[]}\n').raw(line("b"))

    named, cursor, damaged = read(tmp_path)

    assert (named, damaged) == (["a", "b"], 2)
    assert read(tmp_path, cursor)[0::2] == ([], 0)


@pytest.mark.parametrize("cut", [0, 10, -30, -4])
def test_a_compressed_file_that_was_cut_short(tmp_path, cut):
    """
    Of a damaged compressed file what can be read is read; then comes the next file.
    """
    process = journal(tmp_path).raw(b"".join(line(str(n)) for n in range(5)))
    seal(process.folder / "traces-000000.jsonl")
    packed = process.folder / "traces-000000.jsonl.gz"
    packed.write_bytes(packed.read_bytes()[:cut])
    process.raw(line("next"), file="traces-000001.jsonl")

    named, cursor, damaged = read(tmp_path)

    assert named[-1] == "next"
    assert named[:-1] == [str(n) for n in range(len(named) - 1)]
    assert damaged == (1 if cut else 0)
    assert read(tmp_path, cursor)[0::2] == ([], 0)


def test_a_compressed_file_with_another_inside(tmp_path):
    """
    A file that only calls itself compressed is damaged, and costs nothing else.
    """
    process = journal(tmp_path).raw(line("next"), file="traces-000001.jsonl")
    (process.folder / "traces-000000.jsonl.gz").write_bytes(line("a"))

    assert read(tmp_path)[0::2] == (["next"], 1)


def test_files_that_are_empty_or_none_of_ours(tmp_path):
    """
    Empty files, folders and files of other names are nothing to deliver.
    """
    process = journal(tmp_path).raw(b"").raw(b"", file="traces-000002.jsonl")
    (process.folder / "traces-000003.jsonl.gz").write_bytes(gzip.compress(b""))
    (process.folder / "traces-000004.jsonl").mkdir()
    process.raw(line("other"), file="traces.jsonl").raw(line("other"), file="traces-1.jsonl.bak")
    (run_of(tmp_path) / "file").write_text("x")

    assert read(tmp_path)[0::2] == ([], 0)
    assert ends(tmp_path / "none", SIGNALS) == {}


BOGUS = {
    "in the middle of a line": Place(segment=0, offset=7),
    "ahead of the file": Place(segment=0, offset=10**9),
    "ahead of all files": Place(segment=9, offset=0),
    "ahead in a compressed file": Place(segment=1, offset=10**9),
}


@pytest.mark.parametrize("where", BOGUS)
def test_a_cursor_that_does_not_fit(tmp_path, where):
    """
    A place that cannot be one in these files is of others: what they hold is read again rather than never.
    """
    process = journal(tmp_path, process="p").raw(line("a")).raw(line("b"), file="traces-000001.jsonl")
    seal(process.folder / "traces-000001.jsonl")
    process.raw(line("c"), file="traces-000002.jsonl")
    place = BOGUS[where]

    named, cursor, _ = read(tmp_path, Cursor({("p", "traces"): place}))

    assert named == (["b", "c"] if place.segment == 1 else ["a", "b", "c"])
    assert read(tmp_path, cursor)[0] == []


def test_a_file_that_cannot_be_opened_is_not_passed_over(tmp_path):
    """
    A file that the system refuses to open is read later; what comes after it waits.
    """
    process = journal(tmp_path).raw(line("a")).raw(line("b"), file="traces-000001.jsonl")
    first = process.folder / "traces-000000.jsonl"
    elsewhere = first.rename(tmp_path / "elsewhere")
    # Nobody can open one that names itself.
    first.symlink_to(first)

    named, cursor, _ = read(tmp_path)
    assert named == []
    first.unlink()
    elsewhere.rename(first)
    assert read(tmp_path, cursor)[0] == ["a", "b"]


def test_a_run_that_is_removed_while_it_is_read(tmp_path):
    """
    Files that go in the middle end the pass, and nothing else.
    """
    process = journal(tmp_path).raw(line("a")).raw(line("b"), file="traces-000001.jsonl")

    lines = Reader(run_of(tmp_path)).lines("traces", Cursor())
    next(lines)
    for path in process.folder.iterdir():
        path.unlink()
    process.folder.rmdir()

    assert [found.line for found in lines if found.line] == []


def test_processes_that_have_ended_are_looked_at_again_when_asked(tmp_path):
    """
    A reader passes over processes that have ended once it has read them; told to look again, it sees what came.
    """
    reader = Reader(run_of(tmp_path))
    process = journal(tmp_path, state="ended").raw(line("a"))
    _, cursor, _ = read(tmp_path, reader=reader)
    read(tmp_path, cursor, reader=reader)
    process.raw(line("b"), file="traces-000001.jsonl")

    assert read(tmp_path, cursor, reader=reader)[0] == []
    reader.look_again()
    assert read(tmp_path, cursor, reader=reader)[0] == ["b"]


def test_how_much_is_unread(tmp_path):
    """
    What is behind the cursor is counted in bytes as they were written, compressed or not, of the signals asked for.
    """
    process = journal(tmp_path, process="p").raw(line("a")).raw(line("b")).logs(log("c"))
    size = len(line("a"))
    cursor = Cursor({("p", "traces"): Place(segment=0, offset=size)})

    assert unread_bytes(run_of(tmp_path), cursor, ["traces"]) == size
    seal(process.folder / "traces-000000.jsonl")
    assert unread_bytes(run_of(tmp_path), cursor, ["traces"]) == size
    assert unread_bytes(run_of(tmp_path), Cursor(), SIGNALS) > 2 * size
    assert unread_bytes(run_of(tmp_path), read(tmp_path)[1], ["traces"]) == 0


def test_the_ends_are_reached_by_reading(tmp_path):
    """
    A reader that has read all that was there has reached the ends as they were; what is half a line is no end.
    """
    process = (
        journal(tmp_path)
        .raw(line("a"))
        .raw(line("b"), file="traces-000001.jsonl")
        .raw(b"{half", file="traces-000001.jsonl")
    )
    journal(tmp_path, process="sealed").raw(line("c"))
    seal(run_of(tmp_path) / "sealed" / "traces-000000.jsonl")
    process.raw(b"", file="logs-000000.jsonl")

    awaited = ends(run_of(tmp_path), ["traces"])
    cursor = read(tmp_path)[1]

    assert awaited == {("host-1-a", "traces"): (1, len(line("b"))), ("sealed", "traces"): (1, 0)}
    assert all(cursor.place(*key).position >= end for key, end in awaited.items())
