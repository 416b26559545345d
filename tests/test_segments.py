"""Appending to a process's files: whole lines or nothing, names used once, sealed files that say what they are."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
from pathlib import Path

import orjson
import pytest

from branchline._journal import layout
from branchline._journal.decode import Skips, read_file
from branchline._journal.segments import Appender, finish_seals, seal
from journals import span, spans_line


def content(process: Path) -> dict[str, bytes]:
    """Return what is in the segments of *process*, by name."""
    return {
        segment.path.name: gzip.decompress(segment.path.read_bytes())
        if segment.is_sealed
        else segment.path.read_bytes()
        for segment in layout.segments(process)
    }


def test_lines_are_appended(tmp_path):
    """
    Lines go to the first file, in order, and the offset says where the next one will be.
    """
    appender = Appender(tmp_path, "traces")
    appender.append(b"one\n")
    appender.append(b"two\n")

    assert content(tmp_path) == {"traces-000000.jsonl": b"one\ntwo\n"}
    assert (appender.segment, appender.offset) == (0, 8)
    assert (tmp_path / "traces-000000.jsonl").stat().st_mode & 0o777 == 0o600
    appender.close()


def test_rotation(tmp_path):
    """
    A file that would grow beyond the limit is sealed and the lines begin another; one larger than that stands alone.
    """
    appender = Appender(tmp_path, "logs", rotate_bytes=10)
    for line in (b"12345\n", b"123\n", b"x\n", b"0123456789abcdef\n", b"y\n"):
        appender.append(line)
    appender.finish_sealing(10)

    assert content(tmp_path) == {
        "logs-000000.jsonl.gz": b"12345\n123\n",
        "logs-000001.jsonl.gz": b"x\n",
        "logs-000002.jsonl.gz": b"0123456789abcdef\n",
        "logs-000003.jsonl": b"y\n",
    }
    noted = orjson.loads((tmp_path / "segments.json").read_bytes())
    assert noted["version"] == 1
    assert {entry["name"]: (entry["sha256"], entry["bytes"]) for entry in noted["sealed"]} == {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
        for path in tmp_path.glob("*.gz")
    }
    appender.close()


def test_a_number_is_used_once(tmp_path):
    """
    Who comes later never takes a name that was used, also not one of which only the compressed file is left: it would
    be in force instead of it.
    """
    (tmp_path / "traces-000004.jsonl.gz").write_bytes(gzip.compress(b"old\n"))
    (tmp_path / "traces-000002.jsonl").write_bytes(b"older\n")
    appender = Appender(tmp_path, "traces")
    appender.append(b"new\n")
    appender.close()

    assert content(tmp_path) == {
        "traces-000002.jsonl": b"older\n",
        "traces-000004.jsonl.gz": b"old\n",
        "traces-000005.jsonl": b"new\n",
    }


def test_a_link_is_not_followed(tmp_path):
    """
    A link that somebody put where the file will be is left alone, and another name is taken.
    """
    (tmp_path / "process").mkdir()
    (tmp_path / "process" / "traces-000000.jsonl").symlink_to(tmp_path / "elsewhere")
    appender = Appender(tmp_path / "process", "traces")
    appender.append(b"x\n")
    appender.close()

    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "process" / "traces-000001.jsonl").read_bytes() == b"x\n"


class Disk:
    """A disk that takes *room* more bytes, and then says *error*."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int, error: int) -> None:
        self.room = room
        self.error = error
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, descriptor: int, data: bytes) -> int:
        if self.room <= 0:
            raise OSError(self.error, os.strerror(self.error))
        taken = data[: self.room]
        self.room -= len(taken)
        return self._write(descriptor, taken)


def test_a_disk_that_fills_up_in_the_middle_of_a_line(tmp_path, monkeypatch):
    """
    What did not fit as a whole is not there at all, and is written when there is room.
    """
    appender = Appender(tmp_path, "traces")
    appender.append(b"one\n")
    disk = Disk(monkeypatch, 2, errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"):
        appender.append(b"two\n")
    assert content(tmp_path) == {"traces-000000.jsonl": b"one\n"}
    disk.room = 100
    appender.append(b"two\n")

    assert content(tmp_path) == {"traces-000000.jsonl": b"one\ntwo\n"}
    appender.close()


def test_a_tail_that_cannot_be_taken_back(tmp_path, monkeypatch):
    """
    Where a torn tail cannot be cut off, nothing is ever written behind it.
    """
    appender = Appender(tmp_path, "traces")
    appender.append(b"one\n")
    disk = Disk(monkeypatch, 2, errno.EIO)

    def refuse(descriptor: int, length: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "ftruncate", refuse)
    with pytest.raises(OSError, match="Input/output"):
        appender.append(b"two\n")
    disk.room = 100
    appender.append(b"two\n")

    assert content(tmp_path) == {"traces-000000.jsonl": b"one\ntw", "traces-000001.jsonl": b"two\n"}
    appender.close()


def test_a_file_that_may_not_grow(tmp_path, monkeypatch):
    """
    A limit on the size of a file ends the file, not the writing.
    """
    appender = Appender(tmp_path, "traces")
    appender.append(b"one\n")
    disk = Disk(monkeypatch, 2, errno.EFBIG)
    opened = os.open

    def reopen(*args, **kwargs):
        disk.room = 1000
        return opened(*args, **kwargs)

    monkeypatch.setattr(os, "open", reopen)
    appender.append(b"two\n")
    appender.finish_sealing(10)

    assert content(tmp_path) == {"traces-000000.jsonl.gz": b"one\n", "traces-000001.jsonl": b"two\n"}
    appender.close()


def test_a_sync_that_fails(tmp_path, monkeypatch):
    """
    Lines that could not be forced to the disk do not count as written, and are not there.
    """
    appender = Appender(tmp_path, "traces", sync=True)
    appender.append(b"one\n")

    def refuse(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as failing:
        failing.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="Input/output"):
            appender.append(b"two\n")
    appender.append(b"two\n")

    assert content(tmp_path) == {"traces-000000.jsonl": b"one\ntwo\n"}
    appender.close()


def test_a_folder_that_was_removed(tmp_path):
    """
    After its folder was removed the appender makes it again, with another file.
    """
    appender = Appender(tmp_path / "process", "traces")
    appender.append(b"one\n")
    (tmp_path / "process" / "traces-000000.jsonl").unlink()
    (tmp_path / "process").rmdir()
    appender.append(b"two\n")

    assert content(tmp_path / "process") == {"traces-000001.jsonl": b"two\n"}
    appender.close()


def test_sealing_that_has_no_room(tmp_path, monkeypatch):
    """
    A file that cannot be compressed stays as it is, and nothing half-made stays beside it.
    """
    plain = tmp_path / "traces-000000.jsonl"
    plain.write_bytes(b"one\n")

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    seal(plain)

    assert [path.name for path in tmp_path.iterdir()] == ["traces-000000.jsonl"]


def test_what_a_death_left_while_sealing(tmp_path):
    """
    A file that was both plain and compressed at its process's death is sealed anew; what was half-compressed goes.
    """
    (tmp_path / "traces-000000.jsonl").write_bytes(b"one\n")
    (tmp_path / "traces-000000.jsonl.gz").write_bytes(b"whatever")
    (tmp_path / "traces-000001.jsonl").write_bytes(b"two\n")
    (tmp_path / ".traces-000001.jsonl.gz.tmp").write_bytes(b"half")
    finish_seals(tmp_path)

    assert content(tmp_path) == {"traces-000000.jsonl.gz": b"one\n", "traces-000001.jsonl": b"two\n"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "segments.json",
        "traces-000000.jsonl.gz",
        "traces-000001.jsonl",
    ]


def test_no_thread_to_seal_with(tmp_path, monkeypatch):
    """
    Where no thread can be started any more the file stays plain, and writing goes on.
    """

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    appender = Appender(tmp_path, "traces", rotate_bytes=4)
    appender.append(b"one\n")
    appender.append(b"two\n")
    appender.close()

    assert content(tmp_path) == {"traces-000000.jsonl": b"one\n", "traces-000001.jsonl": b"two\n"}


def test_a_file_that_was_sealed_since_somebody_looked(tmp_path):
    """
    A reader that found a file plain and comes when it is compressed reads that.
    """
    plain = tmp_path / "traces-000000.jsonl"
    plain.write_bytes(spans_line(span(1, "s")))
    seal(plain)
    skips = Skips()

    assert [one.name for line in read_file(plain, skips) for one in line.spans] == ["s"]
    assert skips.found() == ()
