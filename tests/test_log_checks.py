"""``branchline logs --verify``: log files, archives and runs that are as they were written, and those that are not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import branchline as bl
from branchline._files.rotated import rotated_files
from branchline._journal.segments import seal
from branchline.cli import main
from branchline.logs.registry import LOGGERS


KEY = "a key of twenty signs"


@pytest.fixture(autouse=True)
def _afterwards() -> Iterator[None]:
    yield
    LOGGERS.close()


def called(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """
    A folder with a log file, five that were rotated away from it, and the key that their lines were sealed with.
    """
    log = bl.get_logger(
        "app",
        {
            "log_dir": tmp_path / "logs",
            "stdout": False,
            "integrity": KEY,
            "rotation": 1000,
            "retention": None,
            "compression": "gz",
        },
    )
    for number in range(18):
        log.info("line %d", number)
    assert log.close()
    (tmp_path / "key").write_text(f"{KEY}\n")
    return tmp_path / "logs"


def flipped(path: Path) -> None:
    """
    Change a byte in the middle of what is compressed.
    """
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("is_folder", [True, False])
def test_files_that_nobody_has_touched(place: Path, is_folder: bool) -> None:
    """
    A log file, with what was rotated away from it, or a folder of them: each is read to its end, each seal looked at.
    """
    asked = place if is_folder else place / "app.log"
    shown = called("logs", asked, "--verify", "--seal-key-file", place.parent / "key")
    told = json.loads(called("logs", asked, "--verify", "--seal-key-file", place.parent / "key", "--json").output)

    assert (shown.exit_code, shown.output) == (0, "6 files, 6 as written\n")
    assert [(each["lines"], each["wrong"]) for each in told] == [(3, [])] * 6


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (flipped, "cannot be read after line"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "EOFError"),
    ],
)
def test_a_damaged_file_is_named(place: Path, change: Callable[[Path], Any], why: str) -> None:
    """
    A file that cannot be read to its end is named, with how far it could be, and the command fails.
    """
    last = rotated_files(place / "app.log")[-1].path
    change(last)
    ended = called("logs", place, "--verify", "--seal-key-file", place.parent / "key")

    assert ended.exit_code == 1
    assert last.name in ended.output
    assert why in ended.output


def test_lines_that_are_gone_are_counted(place: Path) -> None:
    """
    Lines that were removed between others are counted, though each file that is left is whole.
    """
    rotated_files(place / "app.log")[2].path.unlink()
    ended = called("logs", place, "--verify", "--seal-key-file", place.parent / "key", "--json")
    wrong = [why for each in json.loads(ended.output) for why in each["wrong"]]

    assert (ended.exit_code, wrong) == (1, ["3 lines gone, in it or before it"])


def test_changed_lines_and_another_key(place: Path) -> None:
    """
    A changed line is said where it is; with another key, or without one, nothing is as it was, and why is asked.
    """
    active = place / "app.log"
    active.write_text(active.read_text().replace("line 16", "line 99"))
    changed = called("logs", place, "--verify", "--seal-key-file", place.parent / "key")
    (place.parent / "other").write_text("another key")
    other = called("logs", place, "--verify", "--seal-key-file", place.parent / "other")
    none = called("logs", place, "--verify")

    assert changed.output.splitlines() == [
        "app.log: 1 of 3 lines changed or moved, the first is line 2",
        "6 files, 5 as written",
    ]
    assert [ended.exit_code for ended in (changed, other, none)] == [1, 1, 1]
    assert other.output.count("were they sealed with another key?") == 6
    assert KEY not in changed.output + other.output + none.output


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), ("\n", "has no key in it")])
def test_a_key_that_is_none(place: Path, content: str | None, why: str) -> None:
    """
    A file without a key is an error in one line.
    """
    if content is not None:
        (place / "empty").write_text(content)
    ended = called("logs", place, "--verify", "--seal-key-file", place / "empty")

    assert (ended.exit_code, why in ended.output, len(ended.output.splitlines())) == (1, True, 1)


def test_an_archive(place: Path) -> None:
    """
    In an archive each file is held against the manifest.
    """
    shelf = place.parent / "shelf"
    assert called("archive", place, "--to", shelf).exit_code == 0
    good = called("logs", shelf, "--verify")
    flipped(next(shelf.glob("*.gz")))
    bad = called("logs", shelf, "--verify")

    assert (good.exit_code, good.output) == (0, "5 files, 5 as they were archived\n")
    assert (bad.exit_code, bad.output.splitlines()[-1]) == (1, "5 files, 4 as they were archived")


def test_a_run(tmp_path: Path) -> None:
    """
    Of a run the sealed files are held against their sha256, and what cannot be read of the others is named.
    """
    home = tmp_path / "home"
    with bl.configure("checked", run_id="r", directory=home, console=False), bl.step("load"):
        bl.get_logger("app").info("hello")
    [logs] = home.glob("runs/r/*/logs-000000.jsonl")
    seal(logs)
    good = called("logs", "r", "--verify", "-d", home)
    flipped(logs.with_name("logs-000000.jsonl.gz"))
    bad = called("logs", "r", "--verify", "-d", home)

    assert good.exit_code == 0
    assert bad.exit_code == 1
    assert f"{logs.parent.name}/logs-000000.jsonl.gz: is not what was sealed: its sha256 is another one" in bad.output
