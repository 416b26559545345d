"""Log files that somebody has changed, and secrets in those that there are (LT-63)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import branchline as bl
from branchline._files.rotated import rotated_files
from branchline.errors import ConfigError
from branchline.logs import Integrity, Leak, find_leaks, verify_lines
from branchline.logs.registry import LOGGERS


@pytest.fixture(autouse=True)
def _afterwards() -> Iterator[None]:
    yield
    LOGGERS.close()


def written(path: Path, count: int = 5, **more: Any) -> Path:
    """Write *count* sealed lines to *path*."""
    log = bl.get_logger("sealed", {"sink": path, "json": True, "integrity": True, "stdout": False, **more})
    for number in range(count):
        log.info("line %d", number, chain="the application's", text='",\\"chain\\":\n')
    log.close()
    return path


def whole(sealed: int, **but: Any) -> Integrity:
    return Integrity(**{"sealed": sealed, "altered": (), "missing": 0, "removed": 0, "unsealed": 0, **but})


def test_lines_that_nobody_has_touched(tmp_path: Path) -> None:
    """
    LT-63: every line is JSON with a seal; what was written, rotated and compressed is found as it was, also what a
    second process, or a second Logger, has added.
    """
    path = written(tmp_path / "app.log")
    written(path, 20, rotation=1500, retention=None, compression="gz")
    entries = [json.loads(line) for line in path.read_text().splitlines()]

    assert len(rotated_files(path)) > 3
    assert verify_lines(path) == whole(25)
    assert verify_lines(path).is_whole
    assert {entry["chain"] for entry in entries} == {"the application's"}
    assert {len(entry["branchline.chain"].split(":")[2]) for entry in entries} == {64}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda lines: [lines[0].replace("line 0", "line 9"), *lines[1:]], {"sealed": 4, "altered": ("app.log:1",)}),
        (lambda lines: [*lines[:2], lines[2].replace("INFO", "ERROR"), *lines[3:]], {"altered": ("app.log:3",)}),
        (lambda lines: lines[:2] + lines[3:], {"missing": 1}),
        (lambda lines: lines[:1] + lines[4:], {"sealed": 2, "missing": 3}),
        (lambda lines: lines[2:], {"sealed": 3, "removed": 2}),
        (lambda lines: [*lines, lines[1]], {"sealed": 5, "altered": ("app.log:6",)}),
        (lambda lines: [lines[1], lines[0], *lines[2:]], {"removed": 1, "altered": ("app.log:2",)}),
        (lambda lines: [*lines, '{"message": "added"}'], {"sealed": 5, "unsealed": 1}),
        (lambda lines: lines[:4], {"sealed": 4}),
    ],
)
def test_lines_that_somebody_has_touched(tmp_path: Path, change: Any, expected: dict[str, Any]) -> None:
    """
    LT-63: a line that was changed, moved, doubled or removed is found out; lines that are gone from the beginning are
    counted, and those at the end nobody can miss.
    """
    path = written(tmp_path / "app.log")
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))
    found = verify_lines(path)

    assert found == whole(**{"sealed": 4, **expected})
    assert found.is_whole == (not expected.keys() & {"altered", "missing"})


def test_a_key_that_nobody_else_has(tmp_path: Path) -> None:
    """
    LT-63: with a key, only who has it can seal, and tell; the key is in no file, and in no message.
    """
    path = written(tmp_path / "app.log", integrity="only-we-know-this")

    assert verify_lines(path, key="only-we-know-this") == verify_lines(path, key=b"only-we-know-this") == whole(5)
    assert verify_lines(path).altered == tuple(f"app.log:{number}" for number in range(1, 6))
    assert "only-we-know-this" not in path.read_text()


def test_a_forked_child_has_a_chain_of_its_own(tmp_path: Path) -> None:
    """
    LT-63: what a forked child writes to the same file is sealed as well, and neither disturbs the other.
    """
    path = tmp_path / "app.log"
    log = bl.get_logger("sealed", {"sink": path, "json": True, "integrity": True, "stdout": False})
    log.info("before")
    child = os.fork()
    if child == 0:
        log.info("in the child")
        os._exit(0)
    os.waitpid(child, 0)
    log.info("after")
    log.close()

    assert verify_lines(path) == whole(3)


@pytest.mark.parametrize("config", [{"json": False}, {"formatter": str}, {"integrity": ""}, {"integrity": 5}])
def test_what_cannot_be_sealed_is_refused(tmp_path: Path, config: dict[str, Any]) -> None:
    """
    LT-63: seals are for lines of JSON, and a key is a text or bytes; the message does not repeat it.
    """
    with pytest.raises(ConfigError, match=r"^integrity is "):
        bl.get_logger("sealed", {"sink": tmp_path / "x.log", "integrity": "s3cret", "json": True, **config})


def test_only_the_fields_that_are_wanted(tmp_path: Path) -> None:
    """
    LT-63: of a list of fields, nothing else is in the lines.
    """
    fields = {"include": ["message", "rows"]}
    log = bl.get_logger("few", {"sink": tmp_path / "x.log", "json": True, "fields": fields, "stdout": False})
    log.info("hello", rows=3, customer="ann")
    log.close()

    assert (tmp_path / "x.log").read_text() == '{"message":"hello","rows":3}\n'


def test_secrets_in_files_that_there_are(tmp_path: Path) -> None:
    """
    LT-63: of files that anybody has written, the lines with a secret are found, and shown without it.
    """
    (tmp_path / "old.log").write_text(
        "fine\nlogin with password=hunter2\ninput_tokens=5\nkey sk-abcdefghijklmnop1234\n"
    )
    (tmp_path / "old.log.20260131_120000").write_text("https://ann:hunter2@x.org/\n")
    mine = bl.Redactor(extra_patterns=["fine"])

    assert list(find_leaks(tmp_path / "old.log")) == [
        Leak(file="old.log.20260131_120000", line=1, text="https://ann:[redacted]@x.org/"),
        Leak(file="old.log", line=2, text="login with password=[redacted]"),
        Leak(file="old.log", line=4, text="key [redacted]"),
    ]
    assert Leak(file="old.log", line=1, text="[redacted]") in list(find_leaks(tmp_path / "old.log", mine))
