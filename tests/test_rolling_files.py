"""Rolling files: nothing is lost when they are rotated, compressed or moved away, and no name is used twice."""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections import deque
from datetime import datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from branchline._files.compression import pack, unpacked
from branchline._files.retention import Retention, expired, retention_of
from branchline._files.rolling import RollingFile
from branchline._files.rotated import Rotated, base_name, is_rotated_name, rotated_files
from branchline._files.rotation import rotation_of
from branchline._files.tidying import Care, Tally, tidy
from branchline.errors import ConfigError


UTC_NOON = datetime(2026, 1, 31, 12, tzinfo=ZoneInfo("UTC")).timestamp()  # a Saturday


def write(file: RollingFile, *lines: str) -> None:
    file.append(deque(f"{line}\n".encode() for line in lines))


def content(path: Path) -> list[str]:
    """
    Return the lines in the file at *path* and all that was rotated away from it, oldest first.
    """
    found = []
    for place in [*(file.path for file in rotated_files(path)), *([path] if path.exists() else [])]:
        with unpacked(place) as file:
            found += file.read().decode().splitlines()
    return found


def closed(file: RollingFile) -> None:
    file.close()
    assert file.tidying.wait(30)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_disk_without_locks_is_written_to(tmp_path, monkeypatch, number):
    """
    Where the file system knows no locks, neither to take nor to give back, a file is written and closed all the same.
    """

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    file = RollingFile(tmp_path / "x.log")
    write(file, "a", "b")
    closed(file)

    assert content(tmp_path / "x.log") == ["a", "b"]


# ── rotation ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("compression", [None, "gz", "bz2", "zip", "zst"])
def test_rotations_in_one_second_lose_nothing(tmp_path, compression):
    """
    200 of 200 lines survive 199 rotations in the same second, compressed or not, each file under a name of its own.
    """
    path = tmp_path / "app.log"
    file = RollingFile(path, rotation=rotation_of(10), care=Care(compression=compression), clock=lambda: UTC_NOON)
    for n in range(200):
        write(file, f"line {n:03d}")
    closed(file)
    names = [one.path.name for one in rotated_files(path)]
    stamp = time.strftime("%Y%m%d_%H%M%S", time.localtime(UTC_NOON))
    suffix = f".{compression}" if compression else ""

    assert sorted(content(path)) == [f"line {n:03d}" for n in range(200)]
    assert set(names) == {f"app.log.{stamp}{tail}{suffix}" for tail in ("", *(f".{n}" for n in range(1, 199)))}


def test_a_name_is_not_used_twice_though_nobody_remembers_the_last(tmp_path):
    """
    A rotated file is never replaced, also where the note of the last rotation is gone with the lock file.
    """
    path = tmp_path / "app.log"
    for n in range(20):
        file = RollingFile(path, rotation=rotation_of(5), clock=lambda: UTC_NOON)
        write(file, f"{n:03d}", f"{n:03d}")
        closed(file)
        (tmp_path / ".app.log.lock").unlink()

    assert sorted(content(path)) == sorted([f"{n:03d}" for n in range(20)] * 2)


def test_size_is_counted_in_bytes(tmp_path):
    """
    A file is rotated before the line that would make it larger than the size, in bytes and not in characters; a line
    that is larger by itself has a file of its own, whole.
    """
    path = tmp_path / "app.log"
    file = RollingFile(path, rotation=rotation_of(12))
    write(file, "äöü", "äö", "x", "y" * 100, "z")
    closed(file)

    assert [one.path.read_text() for one in rotated_files(path)] == ["äöü\näö\n", "x\n", "y" * 100 + "\n"]
    assert path.read_text() == "z\n"


@pytest.mark.parametrize(
    ("said", "began", "due"),
    [
        ("12:00 UTC", "2026-01-31 11:59:59", "2026-01-31 12:00:00"),
        ("12:00 UTC", "2026-01-31 12:00:00", "2026-02-01 12:00:00"),
        ("12:00:30 UTC", "2026-01-31 12:00:00", "2026-01-31 12:00:30"),
        (clock_time(12, tzinfo=ZoneInfo("UTC")), "2026-01-31 13:00:00", "2026-02-01 12:00:00"),
        ("monday 12:00 UTC", "2026-01-31 12:00:00", "2026-02-02 12:00:00"),
        ("Monday UTC", "2026-02-02 00:00:00", "2026-02-09 00:00:00"),
        ("hourly", "2026-01-31 12:34:56", "2026-01-31 13:00:00"),
        ("daily UTC", "2026-01-31 12:00:00", "2026-02-01 00:00:00"),
        ("weekly UTC", "2026-01-31 12:00:00", "2026-02-02 00:00:00"),
        ("monthly UTC", "2026-01-31 12:00:00", "2026-02-01 00:00:00"),
        ("monthly UTC", "2026-12-01 00:00:00", "2027-01-01 00:00:00"),
        ("yearly UTC", "2028-02-29 12:00:00", "2029-01-01 00:00:00"),
        # A day that has 23 hours, and one that has 25.
        ("daily Europe/Berlin", "2026-03-28 23:00:00", "2026-03-29 22:00:00"),
        ("daily Europe/Berlin", "2026-10-24 22:00:00", "2026-10-25 23:00:00"),
        ("02:30 Europe/Berlin", "2026-03-28 01:30:00", "2026-03-29 01:30:00"),
        ("1 week", "2026-01-31 12:00:00", "2026-02-07 12:00:00"),
        ("2 hours", "2026-01-31 12:00:00", "2026-01-31 14:00:00"),
        ("1 h", "2026-01-31 12:00:00", "2026-01-31 13:00:00"),
        (timedelta(minutes=5), "2026-01-31 12:00:00", "2026-01-31 12:05:00"),
        (["500 MB", "daily UTC", "1 h"], "2026-01-31 12:00:00", "2026-01-31 13:00:00"),
    ],
)
def test_when_a_file_is_due(said, began, due):
    """
    Times, weekdays, calendar words and intervals say when a file is due that was begun at a time, by the calendar of
    their zone.
    """
    found = rotation_of(said).due_at(datetime.fromisoformat(f"{began}+00:00").timestamp())

    assert datetime.fromtimestamp(found, ZoneInfo("UTC")).isoformat(" ") == f"{due}+00:00"


@pytest.mark.parametrize(
    ("said", "size"),
    [(500, 500), (500.7, 500), ("500 MB", 500_000_000), ("5 KiB", 5120), ("10MB", 10_000_000), (("1 KiB", 500), 500)],
)
def test_sizes(said, size):
    """
    A number is bytes, a text has a unit, and of several sizes the smallest counts.
    """
    assert rotation_of(said).max_bytes == size


@pytest.mark.parametrize(
    "said",
    ["often", "", "25:00", "noday 12:00", "12:00 Nowhere", "-5 MB", 0, -1, True, [], ["daily", "often"], object()],
)
def test_what_is_no_rotation(said):
    """
    What cannot be a rotation is refused, with the value and what there is.
    """
    with pytest.raises(ConfigError, match=re.escape(f"Cannot parse rotation from: {said!r}; accepted: a size")):
        rotation_of(said)


def test_rotation_by_time_outlives_the_process(tmp_path):
    """
    When a file was begun is known to the next one that opens it, though it was written to since.
    """
    path, now = tmp_path / "app.log", [UTC_NOON]
    for minutes in (0, 30, 59, 61):
        now[0] = UTC_NOON + minutes * 60
        file = RollingFile(path, rotation=rotation_of("1 hour"), clock=lambda: now[0])
        write(file, f"after {minutes}")
        closed(file)

    assert path.read_text() == "after 61\n"
    assert [one.path.read_text() for one in rotated_files(path)] == ["after 0\nafter 30\nafter 59\n"]


def test_a_function_decides(tmp_path):
    """
    A function gets the line and the file, with what it holds so far; one that raises decides nothing and is said.
    """
    seen: list[Any] = []
    told: list[str] = []

    def decide(line, file):
        seen.append((line, file.name, file.tell(), os.fspath(file)))
        return line.startswith("new") or 1 / 0

    path = tmp_path / "app.log"
    file = RollingFile(path, rotation=rotation_of([decide, "1 MB"]), say=told.append)
    write(file, "one", "two", "new", "three")
    closed(file)

    assert content(path) == ["one", "two", "new", "three"]
    assert [one.path.read_text() for one in rotated_files(path)] == ["one\ntwo\n"]
    assert seen[0] == ("two\n", str(path), 4, str(path))
    assert "division by zero" in told[0]


def test_a_rotation_that_fails_loses_nothing(tmp_path, monkeypatch):
    """
    Where a file cannot be renamed it grows on, and is rotated once it can be.
    """
    path = tmp_path / "app.log"
    told: list[str] = []
    file = RollingFile(path, rotation=rotation_of(5), say=told.append)

    def refuse(self, target):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", refuse)
        write(file, "one", "two", "three")
    assert (content(path), rotated_files(path)) == (["one", "two", "three"], [])
    assert told == [f"could not rotate {path}: Permission denied; it grows on"]


# ── what others do to the file ────────────────────────────────────────────────────────────────────


def test_a_clock_that_is_put_back(tmp_path):
    """
    A file that was begun at a time that is yet to come is due so long after the clock was put back, by whom ever.
    """
    path = tmp_path / "app.log"
    now = [2e9]
    files = [RollingFile(path, rotation=rotation_of("1 h"), clock=lambda: now[0]) for _ in range(2)]
    write(files[0], "one")
    now[0] = 1e9
    write(files[0], "two")
    now[0] += 3_500
    write(files[1], "three")
    before = rotated_files(path)
    now[0] += 200
    write(files[1], "four")
    for file in files:
        closed(file)

    [rotated] = rotated_files(path)
    assert (before, path.read_text(), rotated.path.read_text()) == ([], "four\n", "one\ntwo\nthree\n")


def test_many_lines_at_once_for_a_file_that_may_not_grow(tmp_path):
    """
    Where no file may be larger than some lines, many that come at once go to several files, whole and in order; one
    that no file takes is refused, and what came before it is written.
    """
    program = """
    import resource, signal, sys
    from collections import deque
    from pathlib import Path
    from branchline._files.rolling import RollingFile
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    file = RollingFile(Path(sys.argv[1]))
    lines = deque(b"%04d %s\\n" % (n, b"x" * 60) for n in range(200))
    lines.append(b"y" * 2000)
    try:
        file.append(lines)
    except OSError as error:
        print(error.errno, len(lines))
    """
    path = tmp_path / "app.log"
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), path], check=True, timeout=60, capture_output=True, text=True
    )
    files = [*(file.path for file in rotated_files(path)), path]

    assert ended.stdout.split() == [str(errno.EFBIG), "1"]
    assert [line[:4] for file in files for line in file.read_text().splitlines()] == [f"{n:04d}" for n in range(200)]


@pytest.mark.parametrize("has_reader", [False, True])
def test_a_pipe_in_place_of_the_file_holds_nobody_up(tmp_path, has_reader):
    """
    A pipe that somebody puts where the file was is refused, and not waited for, whether anybody reads it or not; a
    file that is put there again is written to.
    """
    path = tmp_path / "app.log"
    file = RollingFile(path)
    write(file, "one")
    path.unlink()
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if has_reader else -1
    lines = deque([b"two\n"])
    with pytest.raises(OSError, match=r"No such device|not a file"):
        file.append(lines)
    path.unlink()
    file.append(lines)
    closed(file)
    if has_reader:
        os.close(reader)

    assert (content(path), lines) == (["two"], deque())


@pytest.mark.parametrize("what", ["moved", "removed", "replaced", "its folder removed"])
def test_what_others_do_to_the_file_is_noticed(tmp_path, what):
    """
    The line after somebody moved, removed or replaced the file is in the file that is at the path then.
    """
    path = tmp_path / "logs" / "app.log"
    file = RollingFile(path)
    write(file, "one")
    if what == "moved":
        path.rename(tmp_path / "moved")
    elif what == "removed":
        path.unlink()
    elif what == "replaced":
        path.rename(tmp_path / "moved")
        path.write_text("theirs\n")
    else:
        for inside in path.parent.iterdir():
            inside.unlink()
        path.parent.rmdir()
    write(file, "two")
    closed(file)

    assert path.read_text() == ("theirs\ntwo\n" if what == "replaced" else "two\n")
    assert what not in ("moved", "replaced") or (tmp_path / "moved").read_text() == "one\n"


def test_a_truncated_file_goes_on(tmp_path):
    """
    A file that somebody has emptied is written from its beginning.
    """
    path = tmp_path / "app.log"
    file = RollingFile(path, rotation=rotation_of(10))
    write(file, "one")
    os.truncate(path, 0)
    write(file, "two", "three")
    closed(file)

    assert content(path) == ["two", "three"]


# ── names ─────────────────────────────────────────────────────────────────────────────────────────


def test_only_ours_are_rotated_files(tmp_path):
    """
    Files of other loggers, of other people, links and folders are not taken for what was rotated away.
    """
    ours = {"app.log.20260131_120000", "app.log.20260131_120000.1", "app.log.20260131_120001.17.gz"}
    others = {
        "app.log2",
        "app.log.1",
        "app.log.20260131_120000.old",
        "app.log.20260131_120000.gz.tmp",
        "app.log.gz",
        "app.log.2026.log",
        "xapp.log.20260131_120000",
        "app.log.20260131_120000.0",
        "app.log.bak",
    }
    for name in ours | others:
        (tmp_path / name).write_text(name)
    (tmp_path / "app.log.20260131_130000").symlink_to(tmp_path / "app.log.bak")
    (tmp_path / "app.log.20260131_140000").mkdir()
    tidy(tmp_path / "app.log", Care(retention=Retention(seconds=0.0)), Tally(), now=time.time() + 10)

    assert {path.name for path in tmp_path.iterdir()} == others | {
        "app.log.20260131_130000",
        "app.log.20260131_140000",
        ".app.log.tidy.lock",
    }
    assert all(map(is_rotated_name, ours))
    assert [name for name in others if is_rotated_name(name)] == ["xapp.log.20260131_120000"]
    assert {base_name(name) for name in ours} == {"app.log"}


def test_one_look_at_the_folder_is_enough(tmp_path):
    """
    Compressing, archiving and removing what was rotated away takes one look at the folder, however much there is.
    """
    program = """
import os, sys
from pathlib import Path
from branchline._files.archive import archiving_of
from branchline._files.retention import Retention
from branchline._files.tidying import Care, Tally, tidy

path, looks = Path("logs/app.log"), []
for second in range(50):
    (path.parent / f"app.log.20260131_1200{second:02d}").write_text("x" * 1000)
    os.utime(path.parent / f"app.log.20260131_1200{second:02d}", (1000 + second, 1000 + second))
(path.parent / ".app.log.20260131_120000.gz.tmp").write_text("half")
sys.addaudithook(lambda event, args: looks.append(args[0]) if event in ("os.scandir", "os.listdir") else None)
care = Care(
    compression="gz", retention=Retention(count=5), archiving=archiving_of({"after": 1960, "to": "archive"})
)
tally = Tally()
tidy(path, care, tally, now=3000)
print([look for look in looks if "logs" in str(look)])
print(tally, sorted(each.name for each in path.parent.iterdir() if each.name[0] != ".")[::9])
"""
    (tmp_path / "logs").mkdir()
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    looks, done = ran.stdout.splitlines()

    assert looks == "['logs']"
    assert re.sub(r"packed_bytes=\d+", "packed_bytes=…", done) == (
        "Tally(plain_bytes=50000, packed_bytes=…, removed=4, archived=41, failed=0) ['app.log.20260131_120045.gz']"
    )


# ── retention ─────────────────────────────────────────────────────────────────────────────────────


def rotated(age: int, size: int = 10) -> Rotated:
    return Rotated(path=Path(f"{age}"), stamp="", number=0, suffix="", size=size, modified=1000.0 - age)


@pytest.mark.parametrize(
    ("keep", "gone"),
    [
        (Retention(), []),
        (Retention(count=2), [50, 40]),
        (Retention(count=9), []),
        (Retention(seconds=30.0), [50, 40]),
        (Retention(max_total=25), [50, 40, 30]),
        (Retention(max_total=1000), []),
        (Retention(count=3, max_total=25), [50, 40, 30]),
        (Retention(min_free=115), [50, 40]),
        (Retention(min_free=10_000), [50, 40, 30, 20]),
    ],
)
def test_what_may_go(keep, gone):
    """
    The oldest go first, and only so many as are too many, too old, or too much; never the file being written.
    """
    files = [rotated(age) for age in (50, 40, 30, 20)]

    assert [file.path.name for file in expired(files, keep, now=1000.0, active_bytes=10, free_bytes=100)] == [
        str(age) for age in gone
    ]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (5, Retention(count=5)),
        ("3 files", Retention(count=3)),
        ("7 days", Retention(seconds=604_800.0)),
        (timedelta(hours=1), Retention(seconds=3600.0)),
        (None, Retention()),
    ],
)
def test_retentions(said, kept):
    """
    A number is of files, a time is an age.
    """
    assert retention_of(said) == kept


@pytest.mark.parametrize("said", [0, -1, True, 2.5, "some", "0 files", "0 days", timedelta()])
def test_what_is_no_retention(said):
    """
    What would keep nothing, or cannot be understood, is refused with what there is.
    """
    with pytest.raises(ConfigError, match=re.escape(f"Cannot parse retention from: {said!r}; accepted: a number")):
        retention_of(said)


def test_retention_is_kept_at_the_start_at_rotation_and_at_the_end(tmp_path):
    """
    Old files go when the file is opened, whenever it is rotated, and when it is closed.
    """
    path = tmp_path / "app.log"
    (tmp_path / "app.log.20200101_000000").write_text("old\n")
    os.utime(tmp_path / "app.log.20200101_000000", (0, 0))
    file = RollingFile(path, rotation=rotation_of(5), care=Care(retention=retention_of("1 day")))
    file.open()
    file.tidying.wait(10)
    at_start = rotated_files(path)
    write(file, "one", "two")
    [first] = rotated_files(path)
    os.utime(first.path, (0, 0))
    write(file, "three")
    file.tidying.wait(10)
    at_rotation = [one.path.read_text() for one in rotated_files(path)]
    os.utime(rotated_files(path)[0].path, (0, 0))
    closed(file)

    assert (at_start, at_rotation, rotated_files(path)) == ([], ["two\n"], [])
    assert path.read_text() == "three\n"


def test_a_function_removes_what_it_likes(tmp_path):
    """
    A function as retention gets the paths of the rotated files, oldest first.
    """
    path = tmp_path / "app.log"
    got: list[int] = []

    def decide(paths):
        got.append(len(paths))
        for old in paths[:-1]:
            old.unlink()

    file = RollingFile(path, rotation=rotation_of(5), care=Care(retention=retention_of(decide)))
    for n in range(5):
        write(file, f"no {n}")
    closed(file)

    assert content(path) == ["no 3", "no 4"]
    assert got


# ── compression ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["gz", "bz2", "zip", "zst"])
def test_a_packed_file_is_as_it_was(tmp_path, kind):
    """
    A compressed file has the content, the age and the mode of the plain one, which is gone.
    """
    plain = tmp_path / "app.log.20260131_120000"
    plain.write_bytes(b"line\n" * 1000)
    plain.chmod(0o640)
    os.utime(plain, (1000.0, 1000.0))
    packed = pack(plain, kind)
    with unpacked(packed.path) as file:
        data = file.read()
    status = packed.path.stat()

    assert data == b"line\n" * 1000
    assert (status.st_mtime, status.st_mode & 0o777, plain.exists()) == (1000.0, 0o640, False)
    assert (packed.plain_bytes, packed.packed_bytes) == (5000, status.st_size)


def test_the_file_that_is_written_is_never_compressed(tmp_path):
    """
    Closing leaves the active file as it is, and opening it again goes on with it.
    """
    path = tmp_path / "app.log"
    for n in range(3):
        file = RollingFile(path, care=Care(compression="gz"))
        write(file, str(n))
        closed(file)

    assert path.read_text() == "0\n1\n2\n"
    assert rotated_files(path) == []


def test_a_death_in_the_middle_of_compressing_is_mended(tmp_path):
    """
    A half compressed file is removed; of a plain file and a packed one the plain one counts, and is packed again.
    """
    path = tmp_path / "app.log"
    plain = tmp_path / "app.log.20260131_120000"
    plain.write_text("whole\n")
    (tmp_path / ".app.log.20260131_120000.gz.tmp").write_bytes(gzip.compress(b"whole\n")[:9])
    (tmp_path / "app.log.20260131_120000.gz").write_bytes(b"half of it")
    before = content(path)
    tidy(path, Care(compression="gz"), Tally())

    assert (before, content(path)) == (["whole"], ["whole"])
    assert sorted(one.name for one in tmp_path.iterdir()) == [".app.log.tidy.lock", "app.log.20260131_120000.gz"]


@pytest.mark.slow
@pytest.mark.parametrize("compression", [None, "gz"])
def test_kills_in_the_middle_of_rotation_lose_nothing(tmp_path, compression):
    """
    Killed at twenty moments while it rotates and compresses, a program has every line in the files that it has said
    is there, once; and none is torn.
    """
    path = tmp_path / "app.log"
    program = f"""
import sys
from collections import deque
from pathlib import Path
from branchline._files.rolling import RollingFile
from branchline._files.rotation import rotation_of
from branchline._files.tidying import Care
file = RollingFile(Path(sys.argv[1]), rotation=rotation_of(4096), care=Care(compression={compression!r}))
n = int(sys.argv[2])
while True:
    file.append(deque([b"%09d %s\\n" % (n, b"x" * 50)]))
    sys.stdout.write(f"{{n}}\\n")
    sys.stdout.flush()
    n += 1
"""
    for k in range(20):
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(path), str(k * 1_000_000)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(200 + 37 * k)]
        child.send_signal(signal.SIGKILL)
        said += child.stdout.readlines()
        child.wait()
        child.stdout.close()
        acknowledged = [line for line in said if line.endswith("\n")]
        found = content(path)
        assert {int(line) for line in acknowledged} <= {int(line.partition(" ")[0]) for line in found}
    last = RollingFile(path, care=Care(compression=compression))
    last.open()
    closed(last)
    found = content(path)

    assert len(found) == len(set(found))
    assert {len(line) for line in found} == {60}
    assert not list(tmp_path.glob(".*.tmp"))
    assert compression is None or {one.suffix for one in rotated_files(path)} == {".gz"}


@pytest.mark.slow
@pytest.mark.parametrize("compression", [None, "gz"])
def test_eight_processes_rotate_one_file_each_kilobyte(tmp_path, compression):
    """
    Eight processes write 1,000 lines each to one file that is rotated after each kilobyte: 8,000 of 8,000, once.
    """
    path = tmp_path / "app.log"
    program = f"""
import sys
from collections import deque
from pathlib import Path
from branchline._files.rolling import RollingFile
from branchline._files.rotation import rotation_of
from branchline._files.tidying import Care
file = RollingFile(Path(sys.argv[1]), rotation=rotation_of("1 KiB"), care=Care(compression={compression!r}))
for n in range(1000):
    file.append(deque([f"{{sys.argv[2]}} {{n}} {{'x' * 40}}\\n".encode()]))
file.close()
file.tidying.wait(60)
"""
    children = [subprocess.Popen([sys.executable, "-c", program, str(path), str(k)]) for k in range(8)]

    assert [child.wait(120) for child in children] == [0] * 8
    found = content(path)
    assert sorted(found) == sorted(f"{k} {n} {'x' * 40}" for k in range(8) for n in range(1000))
    assert all(one.size <= 1024 for one in rotated_files(path))
