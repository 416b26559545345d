"""Archives of log files: nothing is lost on the way there, and nothing comes back that was not archived."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import branchline as bl
from branchline._files.archive import Archiving, archiving_of
from branchline._files.compression import pack, unpacked
from branchline._files.restore import restore
from branchline._files.retention import retention_of
from branchline._files.rotated import rotated_files
from branchline._files.stores import FolderStore, store_of
from branchline._files.tidying import Care, Tally, tidy
from branchline.cli import main
from branchline.errors import ArchiveError, ConfigError
from branchline.logs.handlers import Handlers
from branchline.logs.records import Record
from branchline.read.log_files import log_files, log_lines


def called(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def lines(day: int, level: str, run: str, count: int = 3) -> bytes:
    return b"".join(
        json.dumps(
            {"timestamp": f"2026-01-{day:02d}T12:00:0{n}+00:00", "level": level, "message": f"no {n}", "run_id": run}
        ).encode()
        + b"\n"
        for n in range(count)
    )


@pytest.fixture
def logs(tmp_path) -> Path:
    """
    A folder of a log file, and four rotated away from it, of days, levels and runs of their own.
    """
    folder: Path = tmp_path / "logs"
    folder.mkdir()
    (folder / "app.log").write_bytes(lines(31, "INFO", "now"))
    for day, level, run in ((1, "INFO", "a"), (2, "ERROR", "a"), (3, "WARNING", "b"), (4, "CRITICAL", "c")):
        path = folder / f"app.log.202601{day:02d}_120000"
        path.write_bytes(lines(day, level, run))
        os.utime(path, (day * 86_400.0, day * 86_400.0))
    return folder


@pytest.fixture
def store(logs, tmp_path) -> FolderStore:
    """
    An archive of the rotated files.
    """
    archiving = Archiving(after_seconds=0, store=FolderStore(tmp_path / "archive"))
    archiving.move(rotated_files(logs / "app.log"))
    assert isinstance(archiving.store, FolderStore)
    return archiving.store


def rewritten(store: FolderStore, **changes: object) -> dict[str, Any]:
    """
    Return the first entry of the manifest with something else in it.
    """
    return {**store.entries()[0], **changes}


# ── there ─────────────────────────────────────────────────────────────────────────────────────────


def test_old_files_move_to_the_archive(logs, tmp_path):
    """
    Files of an age move to the archive, compressed, with a manifest that says what they are; the others stay.
    """
    archiving = archiving_of({"after": "2 days", "to": f"file://{tmp_path / 'archive'}"})
    tally = Tally()
    tidy(logs / "app.log", Care(archiving=archiving), tally, now=4.5 * 86_400)
    archive = tmp_path / "archive"
    [first, second] = store_of(archive).entries()

    assert [file.path.name for file in rotated_files(logs / "app.log")] == [
        "app.log.20260103_120000",
        "app.log.20260104_120000",
    ]
    assert tally.archived == 2
    assert gzip.decompress((archive / "app.log.20260101_120000.gz").read_bytes()) == lines(1, "INFO", "a")
    assert first == {
        "name": "app.log.20260101_120000.gz",
        "source": str(logs / "app.log.20260101_120000"),
        "sha256": hashlib.sha256((archive / "app.log.20260101_120000.gz").read_bytes()).hexdigest(),
        "bytes": (archive / "app.log.20260101_120000.gz").stat().st_size,
        "modified": 86_400.0,
        "archived": "1970-01-05T12:00:00+00:00",
        "plain_bytes": len(lines(1, "INFO", "a")),
        "lines": 3,
        "first": "2026-01-01T12:00:00+00:00",
        "last": "2026-01-01T12:00:02+00:00",
        "runs": ["a"],
        "levels": {"INFO": 3},
    }
    assert second["name"] == "app.log.20260102_120000.gz"
    assert [oct(path.stat().st_mode & 0o777) for path in (archive, *sorted(archive.iterdir()))] == [
        "0o700",
        *["0o600"] * 4,
    ]


def test_a_sink_archives_what_it_rotates(tmp_path):
    """
    A sink that has an archive moves there what it rotates, and every record is in one place or the other, once.
    """
    handlers = Handlers()
    archive = {"after": "0 s", "to": tmp_path / "archive"}
    handlers.add({"sink": tmp_path / "app.log", "format": "{message}", "rotation": 100, "archive": archive})
    for n in range(200):
        handlers.handle(Record.of(logging.LogRecord("app", 20, "app.py", 1, str(n), None, None)))
    handlers.close()
    found = [int(line.message) for line in log_lines([*log_files(tmp_path / "archive"), tmp_path / "app.log"])]

    assert sorted(found) == list(range(200))
    assert rotated_files(tmp_path / "app.log") == []


def test_two_files_of_one_name_are_both_kept(logs, store):
    """
    A file whose name another one in the archive has gets the next one; the same file again is not stored twice.
    """
    path = logs / "app.log.20260101_120000"
    for content in (b"another\n", b"another\n", lines(1, "INFO", "a")):
        path.write_bytes(content)
        os.utime(path, (86_400.0, 86_400.0))
        Archiving(after_seconds=0, store=store).move(rotated_files(logs / "app.log"))
    names = [entry["name"] for entry in store.entries()]

    assert (names[4:], len(set(names))) == (["app.log.20260101_120000.1.gz"], 5)


def test_the_manifest_is_read_once_for_many_files(logs, tmp_path):
    """
    However many files are archived together, what the archive has is asked for once: it becomes longer and longer.
    """
    asked = []

    class Counting(FolderStore):
        def entries(self):
            asked.append(len(super().entries()))
            return super().entries()

    Archiving(after_seconds=0, store=Counting(tmp_path / "archive")).move(rotated_files(logs / "app.log"))

    assert (asked, len(FolderStore(tmp_path / "archive").entries())) == ([0], 4)


@pytest.mark.parametrize("kind", ["gz", "bz2", "zip", "zst"])
def test_any_compression_can_be_archived_and_read(logs, tmp_path, kind):
    """
    Whatever files are compressed with, ``branchline logs`` reads them, and an archive knows what is in them.
    """
    for file in rotated_files(logs / "app.log"):
        pack(file.path, kind)
    before = messages(called("logs", logs, "--json"))
    moved = called("archive", logs, "--to", tmp_path / "archive")
    entries = FolderStore(tmp_path / "archive").entries()

    assert before == [(f"{day:02d}", f"no {n}") for day in (1, 2, 3, 4, 31) for n in range(3)]
    assert moved.exit_code == 0
    assert [(entry["lines"], entry["runs"]) for entry in entries] == [(3, ["a"]), (3, ["a"]), (3, ["b"]), (3, ["c"])]
    assert messages(called("logs", tmp_path / "archive", "--json")) == before[:12]


def test_an_archive_that_is_away_does_not_fill_the_disk(logs, tmp_path):
    """
    Where nothing can be archived the bounds of the disk hold all the same, and the failure is said.
    """
    (tmp_path / "archive").write_text("no folder")
    care = Care(
        retention=retention_of(2), archiving=Archiving(after_seconds=0, store=FolderStore(tmp_path / "archive"))
    )
    with pytest.raises(OSError, match="archive"):
        tidy(logs / "app.log", care, Tally())

    assert [file.stamp for file in rotated_files(logs / "app.log")] == ["20260103_120000", "20260104_120000"]


def test_what_cannot_be_read_is_said(logs):
    """
    A file that is damaged shows what can be read of it, and which one it is.
    """
    packed = pack(rotated_files(logs / "app.log")[1].path, "gz").path
    packed.write_bytes(packed.read_bytes()[:-6])
    ended = called("logs", logs, "--json")

    assert len(ended.stdout.splitlines()) == 15
    assert f"branchline: {packed.name} cannot be read to its end: EOFError" in ended.stderr


@pytest.mark.parametrize("left", ["a copy that is cut off", "a copy without an entry", "an entry and the source"])
def test_a_death_on_the_way_is_mended(logs, store, left):
    """
    Whatever a death on the way to the archive leaves, the next time ends with each file there once.
    """
    entry, *rest = store.entries()
    packed = (store.folder / entry["name"]).read_bytes()
    (logs / entry["name"]).write_bytes(packed)
    manifest = store.folder / "manifest.jsonl"
    if left != "an entry and the source":
        manifest.write_text("".join(json.dumps(one) + "\n" for one in rest) + '{"name": "torn')
    if left == "a copy that is cut off":
        (store.folder / entry["name"]).unlink()
        (store.folder / f".{entry['name']}.tmp").write_bytes(packed[:9])
    Archiving(after_seconds=0, store=store).move(rotated_files(logs / "app.log"))

    assert sorted(one["name"] for one in store.entries()) == [f"app.log.2026010{n}_120000.gz" for n in (1, 2, 3, 4)]
    assert (store.folder / entry["name"]).read_bytes() == packed
    assert rotated_files(logs / "app.log") == []
    assert list(store.folder.glob(".*.tmp")) == []


@pytest.mark.slow
def test_kills_on_the_way_lose_nothing(tmp_path):
    """
    Killed at any moment on the way, every file is in the folder or in the archive, whole; in the end it is in the
    archive, once.
    """
    logs, archive = tmp_path / "logs", tmp_path / "archive"
    logs.mkdir()
    program = """
import sys
import threading
from pathlib import Path
from branchline._files.archive import Archiving
from branchline._files.rotated import rotated_files
from branchline._files.stores import FolderStore
print("go", flush=True)
Archiving(after_seconds=0, store=FolderStore(Path(sys.argv[2]))).move(rotated_files(Path(sys.argv[1])))
"""
    for n in range(300):
        (logs / f"app.log.20260101_120000.{n + 1}").write_text(f"{n} {'x' * 1000}\n")
    for k in range(10):
        child = subprocess.Popen(
            [sys.executable, "-c", program, logs / "app.log", archive], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        child.stdout.readline()
        try:
            child.wait(0.02 * (k + 1))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
        child.stdout.close()
        there = {line.message.split()[0] for line in log_lines([*log_files(logs / "app.log"), *log_files(archive)])}
        assert there == {str(n) for n in range(300)}
    subprocess.run([sys.executable, "-c", program, logs / "app.log", archive], check=True, capture_output=True)
    names = [entry["name"] for entry in FolderStore(archive).entries()]

    assert (len(names), len(set(names)), rotated_files(logs / "app.log")) == (300, 300, [])


@pytest.mark.parametrize(
    "said",
    [
        5,
        "2 days",
        {"after": "2 days"},
        {"after": "often", "to": "x"},
        {"after": "2 days", "to": ""},
        {"after": "2 days", "to": "ftp://host/x"},
        {"after": "2 days", "to": "file://elsewhere/x"},
        {"after": "2 days", "to": "x", "how": "fast"},
    ],
)
def test_what_is_no_archive(said):
    """
    What cannot be an archive is refused when it is said.
    """
    with pytest.raises(ConfigError, match="is not accepted"):
        archiving_of(said)


def test_retention_goes_on_beside_the_archive(logs, tmp_path):
    """
    What is archived is no longer there for retention to remove: files go to the archive first.
    """
    care = Care(retention=retention_of(1), archiving=archiving_of({"after": "2 days", "to": tmp_path / "archive"}))
    tidy(logs / "app.log", care, Tally(), now=4.5 * 86_400)

    assert [file.path.name for file in rotated_files(logs / "app.log")] == ["app.log.20260104_120000"]
    assert len(store_of(tmp_path / "archive").entries()) == 2


# ── and back ──────────────────────────────────────────────────────────────────────────────────────


def test_what_was_archived_comes_back(store, tmp_path):
    """
    A restored file is as it was before it was archived, in content and age, private, and may be restored again.
    """
    for _ in range(2):
        path = restore(store, store.entries()[0], tmp_path / "back")
    status = path.stat()

    assert path == tmp_path / "back" / "app.log.20260101_120000"
    assert path.read_bytes() == lines(1, "INFO", "a")
    assert (status.st_mtime, oct(status.st_mode & 0o777)) == (86_400.0, "0o600")
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["../evil.gz", "/etc/evil.gz", "..", "", "a/b.gz", "a\\b.gz", "a\0b.gz", "nothing.gz"])
def test_a_name_leads_nowhere_else(store, tmp_path, name):
    """
    A name in a manifest that leads out of the archive, or to nothing, is refused, and nothing is written.
    """
    (tmp_path / "evil.gz").write_bytes(gzip.compress(b"evil"))
    with pytest.raises(ArchiveError):
        restore(store, rewritten(store, name=name), tmp_path / "back")

    assert [path for path in tmp_path.rglob("*") if path.name in ("evil", "b")] == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sha256": "0" * 64}, "is not what was archived"),
        ({"bytes": 5}, "is not what was archived"),
        ({"plain_bytes": 5}, "unpacks to more than the manifest says"),
        ({"plain_bytes": 100_000}, "unpacks to less than the manifest says"),
        ({"plain_bytes": None}, "does not say how large"),
        ({"plain_bytes": -1}, "does not say how large"),
        ({"plain_bytes": 1 << 40}, "would unpack to 1,099,511,627,776 bytes"),
        ({"plain_bytes": 100 << 20}, "would unpack to 104,857,600 bytes"),
    ],
)
def test_what_is_not_as_the_manifest_says_is_refused(store, tmp_path, changes, why):
    """
    A file that is another one by its sha256 or its size, or that unpacks to something else, is not restored.
    """
    with pytest.raises(ArchiveError, match=re.escape(why)):
        restore(store, rewritten(store, **changes), tmp_path / "back")

    assert not [path for path in (tmp_path / "back").glob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["gz", "bz2", "zip", "two in a zip", "not packed at all", "a link"])
def test_a_bomb_is_not_unpacked(store, tmp_path, kind):
    """
    A file that unpacks to far more than the manifest says is given up at that point, whatever it is.
    """
    bomb, name = bytes(200_000_000), f"bomb.{'zip' if 'zip' in kind else 'bz2' if kind == 'bz2' else 'gz'}"
    path = store.folder / name
    if kind in ("zip", "two in a zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("../../evil", bomb)
            if kind == "two in a zip":
                archive.writestr("other", b"x")
    elif kind == "a link":
        (tmp_path / "secret").write_bytes(gzip.compress(b"secret"))
        path.symlink_to(tmp_path / "secret")
    else:
        path.write_bytes(bz2.compress(bomb) if kind == "bz2" else gzip.compress(bomb) if kind == "gz" else b"plain")
    data = path.read_bytes()
    entry = {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "plain_bytes": 1000}
    with pytest.raises(ArchiveError):
        restore(store, entry, tmp_path / "back")

    assert [one for one in tmp_path.rglob("*") if "evil" in one.name] == []
    assert not [one for one in (tmp_path / "back").glob("*") if one.is_file()]


def test_nothing_else_is_replaced(store, tmp_path):
    """
    A file that is there already and is another one stays as it is, and so does what a link leads to.
    """
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "app.log.20260101_120000").write_text("mine\n")
    (tmp_path / "back" / "app.log.20260102_120000").symlink_to(tmp_path / "elsewhere")
    for entry in store.entries()[:2]:
        with pytest.raises(ArchiveError, match="is there already"):
            restore(store, entry, tmp_path / "back")

    assert (tmp_path / "back" / "app.log.20260101_120000").read_text() == "mine\n"
    assert not (tmp_path / "elsewhere").exists()


# ── commands ──────────────────────────────────────────────────────────────────────────────────────


def test_branchline_archive(logs, tmp_path):
    """
    ``branchline archive`` moves what was rotated away, of an age, and leaves the file that is written to.
    """
    young = called("archive", logs, "--to", tmp_path / "archive", "--older-than", "100000 days")
    ended = called("archive", logs / "app.log", "--to", tmp_path / "archive", "--json")

    assert young.output == f"0 files moved to {tmp_path / 'archive'}\n"
    assert json.loads(ended.output)["archived"] == [f"app.log.2026010{n}_120000.gz" for n in (1, 2, 3, 4)]
    assert sorted(path.name for path in logs.glob("[!.]*")) == ["app.log"]
    assert called("archive", tmp_path / "nothing", "--to", tmp_path / "archive").exit_code == 1
    assert called("archive", logs, "--to", "ftp://host").output.startswith("branchline: an archive at 'ftp://host'")


@pytest.mark.parametrize(
    ("options", "days"),
    [
        ([], [1, 2, 3, 4]),
        (["--since", "2026-01-03"], [3, 4]),
        (["--until", "2026-01-02T12:00:00+00:00"], [1, 2]),
        (["--run", "a"], [1, 2]),
        (["--level", "WARNING"], [2, 3, 4]),
        (["--level", "error", "--run", "a"], [2]),
    ],
)
def test_branchline_restore_by_time_run_and_level(store, tmp_path, options, days):
    """
    ``branchline restore`` lists, and brings back, the files that have something of a time, a run or a level in them.
    """
    listed = called("restore", store.folder, "--list", "--json", *options)
    ended = called("restore", store.folder, "--to", tmp_path / "back", *options)

    assert [entry["name"] for entry in json.loads(listed.output)] == [f"app.log.202601{n:02d}_120000.gz" for n in days]
    assert ended.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == [
        f"app.log.202601{n:02d}_120000" for n in days
    ]


def test_branchline_restore_verifies(store):
    """
    ``branchline restore --verify`` says which files are not as they were, and fails if there are any.
    """
    good = called("restore", store.folder, "--verify")
    (store.folder / "app.log.20260102_120000.gz").write_bytes(gzip.compress(b"changed"))
    (store.folder / "app.log.20260103_120000.gz").unlink()
    bad = called("restore", store.folder, "--verify")

    assert (good.exit_code, good.output) == (0, "4 files, 4 as they were archived\n")
    assert (bad.exit_code, bad.output.splitlines()) == (
        1,
        [
            "app.log.20260102_120000.gz is not what was archived: its sha256 is another one",
            "app.log.20260103_120000.gz is not there",
            "4 files, 2 as they were archived",
        ],
    )
    assert called("restore", store.folder.parent / "logs", "--list").exit_code == 1


def messages(ended: Result) -> list[tuple[str, str]]:
    found = [json.loads(line) for line in ended.output.splitlines()]
    return [(line["time"][8:10], line["message"]) for line in found]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], [(f"{day:02d}", f"no {n}") for day in (1, 2, 3, 4, 31) for n in range(3)]),
        (["--level", "ERROR"], [(day, f"no {n}") for day in ("02", "04") for n in range(3)]),
        (["--grep", "no 2"], [(day, "no 2") for day in ("01", "02", "03", "04", "31")]),
        (["--run", "b"], [("03", f"no {n}") for n in range(3)]),
        (["--since", "2026-01-04", "--until", "2026-01-05"], [("04", f"no {n}") for n in range(3)]),
        (["--offset", "4", "--limit", "2"], [("02", "no 1"), ("02", "no 2")]),
    ],
)
@pytest.mark.parametrize("where", ["file", "folder"])
def test_branchline_logs_searches_log_files(logs, options, found, where):
    """
    ``branchline logs`` takes a log file, with what was rotated away from it, or a folder of them: by level, text, run
    and time, from the so-manyth on, so many.
    """
    assert messages(called("logs", logs if where == "folder" else logs / "app.log", "--json", *options)) == found


def test_branchline_logs_counts(logs, store):
    """
    ``branchline logs --totals`` counts by level and by type, for an archive as well.
    """
    (logs / "other.log").write_text(
        '{"timestamp": "2026-02-01T00:00:00+00:00", "level": "INFO", "event_name": "trade", "message": "x"}\n'
    )
    ended = json.loads(called("logs", logs, "--totals", "--json").output)
    archived = json.loads(called("logs", store.folder, "--totals", "--json", "--level", "ERROR").output)
    shown = called("logs", logs, "--totals").output

    assert ended == {
        "total": 4,
        "levels": {"INFO": 4},
        "types": {"general": 3, "trade": 1},
        "first": "2026-01-31T12:00:00+00:00",
        "last": "2026-02-01T00:00:00+00:00",
        "bytes": sum(path.stat().st_size for path in logs.glob("*.log")),
    }
    assert (archived["total"], archived["levels"]) == (6, {"ERROR": 3, "CRITICAL": 3})
    assert [line.split() for line in shown.splitlines() if "trade" in line] == [["trade", "1"]]


def test_text_lines_have_times_levels_and_tracebacks(tmp_path):
    """
    Lines of text are read as well: their time and level where they say one, what follows a line belongs to it, and a
    file that is damaged gives what can be read of it.
    """
    (tmp_path / "app.log").write_text(
        "2026-01-31 12:00:01.500+00:00 | ERROR    | app | no answer\n"
        "Traceback (most recent call last):\n"
        "ValueError: 5\n"
        "2026-01-31T12:00:02Z INFO done\n"
        '{"timestamp": "2026-01-31T12:00:03+00:00", "level": "WARNING", "logger_name": "app", "message": "m", "n": 5,'
        ' "exception": {"type": "ValueError", "value": "5", "traceback": "…"}}\n'
        "{broken\n"
    )
    (tmp_path / "app.log.20260131_120000.gz").write_bytes(
        gzip.compress(b"2026-01-31 11:00:00Z DEBUG first\n" * 1000)[:-9]
    )
    found = list(log_lines(log_files(tmp_path / "app.log")))[-5:]
    first = (
        "2026-01-31 12:00:01.500+00:00 | ERROR    | app | no answer\nTraceback (most recent call last):\nValueError: 5"
    )

    assert [(line.time_unix_nano // 10**6 % 60_000, line.level, line.message) for line in found] == [
        (0, "DEBUG", "2026-01-31 11:00:00Z DEBUG first"),
        (
            1500,
            "ERROR",
            first,
        ),
        (2000, "INFO", "2026-01-31T12:00:02Z INFO done"),
        (3000, "WARN", "m"),
        (3000, "", "{broken"),
    ]
    assert (found[3].level_name, found[3].logger_name, dict(found[3].attributes)) == ("WARNING", "app", {"n": 5})
    assert str(found[3].exception) == "ValueError: 5"


def test_one_rotated_file_can_be_archived_alone(logs, tmp_path):
    """
    Where a rotated file is said and not the log file, it alone is archived.
    """
    ended = called("archive", logs / "app.log.20260102_120000", "--to", tmp_path / "archive")

    assert ended.output.splitlines()[0] == "app.log.20260102_120000.gz"
    assert [file.stamp for file in rotated_files(logs / "app.log")] == [f"202601{n:02d}_120000" for n in (1, 3, 4)]


def test_archiving_while_somebody_writes(tmp_path):
    """
    ``branchline archive`` beside a program whose log file is rotated and compressed all the time: neither disturbs the
    other, and each line is in the archive or here, once.
    """
    log = bl.get_logger(
        "busy",
        {"log_dir": tmp_path, "stdout": False, "format": "{message}", "rotation": 20_000, "compression": "gz"}
        | {"retention": None},
    )
    is_over = threading.Event()
    count = 0

    def write():
        nonlocal count
        while not is_over.is_set():
            log.info("%07d %s", count, "x" * 80)
            count += 1

    thread = threading.Thread(target=write)
    thread.start()
    ended: list[Any] = []
    # Two hundred lines are a file.
    while len(ended) < 15 or (count < 5_000 and thread.is_alive()):
        ended.append(called("archive", tmp_path / "busy.log", "--to", tmp_path / "archive"))
    is_over.set()
    thread.join()
    assert log.close()
    back = called("restore", tmp_path / "archive", "--to", tmp_path / "back")
    files = [*(file.path for file in rotated_files(tmp_path / "busy.log")), tmp_path / "busy.log"]
    found = [line for path in files for line in _lines_of(path)]
    found += [line for path in (tmp_path / "back").iterdir() for line in _lines_of(path)]

    assert [(one.exit_code, one.output) for one in [*ended, back] if one.exit_code] == []
    assert sorted(line[:7] for line in found) == [f"{n:07d}" for n in range(count)]


def _lines_of(path):
    with unpacked(path) as file:
        return [line.decode() for line in file]


def test_reading_while_somebody_writes(logs):
    """
    Files that are rotated and compressed while they are read are read all the same.
    """
    reader = log_lines(log_files(logs / "app.log"))
    found = [next(reader)]
    for file in rotated_files(logs / "app.log")[2:]:
        pack(file.path, "gz")
    (logs / "app.log").rename(logs / "app.log.20260131_130000")
    pack(logs / "app.log.20260131_130000", "gz")
    (logs / "app.log").write_bytes(lines(31, "INFO", "later", 1))
    found += reader

    assert [line.attributes["run_id"] for line in found] == [
        run for run in ("a", "a", "b", "c", "now") for _ in range(3)
    ] + ["later"]
