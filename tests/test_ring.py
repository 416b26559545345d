"""The crash ring: what was put in and not given back is there after the death of its owner, and nothing else."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest

from branchline._journal import ring_layout
from branchline._journal.dead_rings import DeadRing
from branchline._journal.ring import LARGEST, Ring, create_ring
from branchline._journal.ring_layout import MAGIC, SIZE, SLOTS, Progress
from branchline._journal.ring_places import remove_unfinished, ring_folder, rings
from branchline.errors import JournalError


PAGE: dict[str, str | int] = {"run_id": "a-run", "pid": 1}


def made(folder: Path) -> Ring:
    return create_ring(folder, PAGE, is_shared_memory=False)


def found(ring: Ring) -> list[bytes]:
    """Return what a recoverer finds when the owner of *ring* dies now."""
    ring.close(remove=False)
    dead = DeadRing.open(ring.path)
    assert dead is not None
    records = sorted(dead.records())
    dead.close(remove=True)
    return records


def test_what_is_put_in_is_found(tmp_path):
    """
    Records of any size up to the largest come back whole: of no bytes, of one slot, of one byte more, of thousands.
    """
    ring = made(tmp_path)
    records = [b"", b"a", b"b" * 496, b"c" * 497, b"d" * 5000, os.urandom(LARGEST)]
    assert all(ring.put(record) != -1 for record in records)

    assert found(ring) == sorted(records)


def test_what_is_too_large_is_refused(tmp_path):
    """
    A record beyond a quarter of the ring is refused, and takes nothing.
    """
    ring = made(tmp_path)

    assert ring.put(b"x" * (LARGEST + 1)) == -1
    assert all(isinstance(ring.put(b"y"), int) for _ in range(SLOTS))
    ring.close()


def test_what_is_given_back_is_gone(tmp_path):
    """
    Of what was given back nothing is found, and its slots serve again.
    """
    ring = made(tmp_path)
    kept = ring.put(b"kept")
    for _ in range(3 * SLOTS):
        ring.free(ring.put(b"short"))
    for _ in range(100):
        ring.free(ring.put(b"long" * 1000))

    assert kept != -1
    assert found(ring) == [b"kept"]


def test_a_full_ring_waits(tmp_path):
    """
    When no slot is free the ring asks ``wait`` for one; without one the record is refused, and what was taken for it
    is given back.
    """
    ring = made(tmp_path)
    slots = [ring.put(b"x") for _ in range(SLOTS - 2)]

    assert ring.put(b"long" * 1000) == -1
    assert ring.put(b"1") != -1
    assert ring.put(b"2") != -1
    assert ring.put(b"3") == -1

    def wait(full: Ring) -> int:
        full.free(slots.pop())
        return full.take()

    ring.wait = wait
    assert ring.put(b"3") != -1
    assert len(found(ring)) == SLOTS


def test_many_threads_share_it(tmp_path):
    """
    Threads that put and free at once never get the same slot: each finds its own record as it wrote it.
    """
    ring = made(tmp_path)
    kept: list[bytes] = []

    def work(thread: int) -> None:
        for n in range(2000):
            record = f"{thread}-{n}".encode() * (1 + n % 300)
            slots = ring.put(record)
            if n % 50:
                ring.free(slots)
            else:
                kept.append(record)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found(ring) == sorted(kept)


def test_what_is_left_in_it(tmp_path):
    """
    The owner itself can look at what is still in its ring.
    """
    ring = made(tmp_path)
    assert ring.left() == []
    slots = ring.put(b"a" * 700)
    ring.put(b"b")

    assert sorted(ring.left()) == [b"a" * 700, b"b"]
    ring.free(slots)
    assert ring.left() == [b"b"]
    ring.close()


def test_damage_costs_what_was_damaged(tmp_path):
    """
    A flipped bit costs the record it is in; the others are found.
    """
    ring = made(tmp_path)
    ring.put(b"first")
    ring.put(b"second" * 200)
    ring.put(b"third")
    ring.close(remove=False)
    data = bytearray(ring.path.read_bytes())
    data[data.index(b"secondsecond") + 3] ^= 1
    ring.path.write_bytes(data)

    dead = DeadRing.open(ring.path)
    assert dead is not None
    assert sorted(dead.records()) == [b"first", b"third"]
    dead.close(remove=True)


def test_progress(tmp_path):
    """
    How far the journal got is found as it was noted; where the note was torn, it is the beginning.
    """
    ring = made(tmp_path)
    progress = Progress(traces_segment=3, traces_offset=77, logs_segment=1, logs_offset=5, spans=9, logs=2)
    ring.note(progress)
    ring.close(remove=False)
    dead = DeadRing.open(ring.path)
    assert dead is not None
    assert dead.progress == progress
    dead.close(remove=False)
    data = bytearray(ring.path.read_bytes())
    data[ring_layout.PAGE_AT + 2] ^= 1
    ring.path.write_bytes(data)

    dead = DeadRing.open(ring.path)
    assert dead is not None
    assert dead.progress == Progress()
    dead.close(remove=True)


def test_a_living_owner_keeps_it(tmp_path):
    """
    As long as its owner lives nobody else gets a ring; after that, one at a time.
    """
    ring = made(tmp_path)
    assert DeadRing.open(ring.path) is None
    ring.close(remove=False)
    first = DeadRing.open(ring.path)
    assert first is not None
    assert first.page == PAGE
    assert DeadRing.open(ring.path) is None
    assert DeadRing.open(first.path) is None
    first.close(remove=False)

    again = DeadRing.open(ring.path)
    assert again is not None
    again.close(remove=True)
    assert list(tmp_path.iterdir()) == []


def test_it_is_private(tmp_path):
    """
    Only its owner may read a ring, and nobody's link is followed for one.
    """
    ring = made(tmp_path)
    assert ring.path.stat().st_mode & 0o777 == 0o600
    assert ring.path.stat().st_size == SIZE
    ring.close()
    target = tmp_path / "target"
    target.write_bytes(b"")
    (tmp_path / "x.ring.new").symlink_to(target)

    with pytest.raises(FileExistsError):
        Ring(tmp_path / "x.ring", PAGE)
    (tmp_path / "y.ring").symlink_to(target)
    assert DeadRing.open(tmp_path / "y.ring") is None


def test_a_page_that_is_too_long(tmp_path):
    """
    An identity for which the first page has no room is an error, and leaves nothing behind.
    """
    with pytest.raises(JournalError, match="no room"):
        create_ring(tmp_path, {"resource": "x" * 9000}, is_shared_memory=False)
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_reserved(tmp_path, monkeypatch):
    """
    Where the system cannot reserve room, as on macOS, the ring is written full; where there is none, it is an error
    and nothing stays.
    """
    monkeypatch.delattr(os, "posix_fallocate")
    ring = made(tmp_path)
    assert ring.path.stat().st_blocks * 512 >= SIZE
    ring.close()

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        made(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_was_never_finished(tmp_path):
    """
    A ring whose owner died while it made it is no ring, and is removed after a while; one being made now stays.
    """
    old, new, busy = (tmp_path / f"{name}.ring.new" for name in ("old", "new", "busy"))
    for path in (old, new, busy):
        path.write_bytes(b"")
    for path in (old, busy):
        os.utime(path, (0, 0))
    with busy.open("rb") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        remove_unfinished(tmp_path)

    assert rings(tmp_path) == []
    assert sorted(tmp_path.iterdir()) == [busy, new]


def test_rings_of_other_versions(tmp_path):
    """
    A ring that another version made has no page for us.
    """
    ring = made(tmp_path)
    ring.close(remove=False)
    data = ring.path.read_bytes()
    ring.path.write_bytes(data.replace(MAGIC, b"branchline-ring9", 1))

    dead = DeadRing.open(ring.path)
    assert dead is not None
    assert (dead.page, dead.is_blank) == (None, False)
    dead.close(remove=True)


def test_the_folder_of_rings():
    """
    Rings lie in a folder of shared memory that only their user may look into.
    """
    folder = ring_folder()
    if folder is None:
        pytest.skip("there is no shared memory here")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.stat().st_uid == os.getuid()
