"""How far a follower got: saved in one step, survived by anything, and one follower at a time."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import textwrap

import orjson
import pytest

from branchline._journal import cursors, dead_letters
from branchline._journal.claims import claimed
from branchline._journal.cursors import Cursor, Place, Totals
from branchline._journal.dead_letters import DeadLetter, bury, files, letters_in
from branchline.errors import JournalError
from journals import span, spans_line


PLACE = Place(segment=2, offset=300, delivered=7, rejected=1, withheld=3, damaged=1)
CURSOR = Cursor({("one", "traces"): PLACE, ("two", "traces"): Place(offset=5, delivered=2), ("two", "logs"): Place()})


# ── cursors ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sync", [False, True])
def test_a_cursor_comes_back_as_it_was_saved(tmp_path, sync):
    """
    What is saved is loaded again, and nothing else is left in the folder.
    """
    folder = tmp_path / "cursors" / "otlp" / "run"
    cursors.save(folder, Cursor(), signals=("traces",), sync=sync)
    cursors.save(folder, CURSOR, signals=("traces", "logs"), sync=sync)

    assert cursors.load(folder) == CURSOR
    assert cursors.signals_of(folder) == ("traces", "logs")
    assert [path.name for path in folder.iterdir()] == ["cursor.json"]
    assert cursors.followers(tmp_path) == [tmp_path / "cursors" / "otlp"]
    assert cursors.run_folders(tmp_path / "cursors" / "otlp") == [folder]


def test_totals():
    """
    The numbers of all places add up, of one signal or of one process.
    """
    assert CURSOR.totals() == Totals(delivered=9, rejected=1, withheld=3, damaged=1)
    assert CURSOR.totals(process="two") == Totals(delivered=2)
    assert CURSOR.totals(signal="logs") == Totals()


DAMAGED = {
    "missing": None,
    "empty": b"",
    "torn": b'{"version": 1, "processes": {"one"',
    "of zeros": b"\0" * 100,
    "a list": b"[1, 2]",
    "without a version": b'{"processes": {"one": 7, "two": {"traces": [], "logs": null}}}',
    "no mapping": b'{"version": 1, "processes": "x", "signals": 7}',
    "of texts": b'{"version": "one", "processes": {"one": {"traces": {"segment": "2", "offset": 1}}}}',
    "negative": b'{"version": 1, "processes": {"one": {"traces": {"segment": 0, "offset": -1}}}}',
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_cursor_that_nobody_can_read(tmp_path, damage):
    """
    A cursor that is damaged or of somebody else is one at the beginning: again is better than never.
    """
    content = DAMAGED[damage]
    if content is not None:
        (tmp_path / "cursor.json").write_bytes(content)

    assert cursors.load(tmp_path).place("one", "traces") == Place()
    assert cursors.signals_of(tmp_path) == ("traces", "logs", "metrics")


def test_a_cursor_of_a_later_version(tmp_path):
    """
    A later version's cursor is refused by name, and stays as it is.
    """
    content = orjson.dumps({"version": 2, "anything": "else"})
    (tmp_path / "cursor.json").write_bytes(content)

    with pytest.raises(JournalError, match=r"cursor\.json was written by a later version"):
        cursors.load(tmp_path)
    assert (tmp_path / "cursor.json").read_bytes() == content


# ── claims ────────────────────────────────────────────────────────────────────────────────────────


def test_one_claim_at_a_time(tmp_path):
    """
    A folder is claimed once, also within one process; given up, it can be claimed again.
    """
    first = claimed(tmp_path / "run")

    assert first is not None
    assert first.is_good
    assert claimed(tmp_path / "run") is None
    assert claimed(tmp_path / "other") is not None
    first.give_up()
    first.give_up()
    assert claimed(tmp_path / "run") is not None


def test_a_claim_on_a_folder_that_is_gone(tmp_path):
    """
    A claim counts no more when somebody has removed the folder, for a new one may be claimed by others.
    """
    first = claimed(tmp_path / "run")
    assert first is not None
    (tmp_path / "run" / "lock").unlink()
    second = claimed(tmp_path / "run")

    assert not first.is_good
    assert second is not None
    assert second.is_good


def test_a_claim_on_a_folder_that_goes_just_now(tmp_path, monkeypatch):
    """
    A lock on a file that was removed since it was opened is no claim; the next try has one.
    """
    real = fcntl.flock

    def flock(descriptor, operation):
        (tmp_path / "run" / "lock").unlink()
        real(descriptor, operation)

    monkeypatch.setattr("branchline._journal.claims.fcntl.flock", flock)
    assert claimed(tmp_path / "run") is None
    monkeypatch.undo()
    assert claimed(tmp_path / "run") is not None


FORKS = """
import os, signal, sys, time
from pathlib import Path
from branchline._journal.claims import claimed

folder = Path(sys.argv[1])
claim = claimed(folder)
told, tell = os.pipe()
child = os.fork()
if not child:
    os.write(tell, repr(claimed(folder)).encode())
    time.sleep(60)
print(os.read(told, 100).decode())
claim.give_up()
print(claimed(folder) is not None)
os.kill(child, signal.SIGKILL)
"""


def test_a_forked_child_holds_no_claim(tmp_path):
    """
    A child neither has its parent's claim nor keeps it from being given up.
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORKS), tmp_path], capture_output=True, text=True, timeout=60, check=True
    )

    assert ran.stdout.split() == ["None", "True"]


def test_a_claim_ends_with_its_process(tmp_path):
    """
    A process that is killed holds no claim.
    """
    source = f"""
import os
from pathlib import Path
from branchline._journal.claims import claimed
claim = claimed(Path({str(tmp_path)!r}))
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", source], timeout=60, check=False)

    assert claimed(tmp_path) is not None


# ── dead letters ──────────────────────────────────────────────────────────────────────────────────


def letter(line: bytes = spans_line(span(1, "s")), **more: object) -> DeadLetter:
    known = {"process": "p", "signal": "traces", "kind": "refused", "message": "400 no", "items": 1, "unix_nano": 7}
    return DeadLetter(**{**known, "line": line, **more})  # type: ignore[arg-type]  # each of its own type


def test_dead_letters_come_back(tmp_path):
    """
    A dead letter keeps its line, whose it is, and what was answered.
    """
    letters = [letter(), letter(kind="partial", message='"quoted"\n', items=0)]
    bury(tmp_path, letters[:1])
    bury(tmp_path, letters[1:])

    [file] = files(tmp_path)
    assert list(letters_in(file)) == letters
    assert file.stat().st_mode & 0o777 == 0o600


def test_dead_letters_are_bounded(tmp_path, monkeypatch):
    """
    There are at most four files; the oldest goes, and what is newest stays.
    """
    monkeypatch.setattr(dead_letters, "_FILE_BYTES", 1000)
    for number in range(40):
        bury(tmp_path, [letter(items=number)])

    found = files(tmp_path)
    numbers = [found.items for path in found for found in letters_in(path)]
    assert len(found) == 4
    assert sum(path.stat().st_size for path in found) <= 4000
    assert numbers == list(range(numbers[0], 40))


def test_dead_letters_that_are_damaged(tmp_path):
    """
    What is torn or of somebody else is passed over.
    """
    bury(tmp_path, [letter()])
    [file] = files(tmp_path)
    with file.open("ab") as more:
        more.write(b'{torn\n{"answer": 1}\nnull\n' + file.read_bytes()[:50])

    assert list(letters_in(file)) == [letter()]
    assert list(letters_in(tmp_path / "none")) == []


def test_a_dead_letter_on_a_full_disk(tmp_path):
    """
    What cannot be written whole is not there at all, and raises.
    """
    source = f"""
import resource, signal
from pathlib import Path
from branchline._journal.dead_letters import DeadLetter, bury
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
line = b'{{"a":1}}\\n'
letter = DeadLetter(process="p", signal="traces", kind="refused", message="", items=1, unix_nano=1, line=line)
for _ in range(3):
    bury(Path({str(tmp_path)!r}), [letter])
try:
    bury(Path({str(tmp_path)!r}), [letter] * 50)
except OSError:
    print("refused")
"""
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True)

    [file] = files(tmp_path)
    assert ran.stdout.split() == ["refused"]
    assert len(list(letters_in(file))) == 3
    assert file.read_bytes().count(b"\n") == 3
    assert file.stat().st_size < 1000
