"""Log files on disks that are full, read-only or gone: the application goes on, and what is lost is counted."""

from __future__ import annotations

import pytest
from programs import mounting, run

from branchline._files.compression import unpacked
from branchline._files.rotated import rotated_files


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(mounting() is not None, reason=str(mounting())),
]

LOGGING = """
import logging, shutil, subprocess
from branchline.logs.handlers import Handlers
from branchline.logs.records import Record

folder = os.path.join(HOME, "logs")
path = os.path.join(folder, "app.log")
handlers = Handlers()

def log(numbers):
    for n in numbers:
        handlers.handle(Record.of(logging.LogRecord("app", 20, "app.py", 1, "%06d " + "x" * 90, (n,), None)))

def add(**config):
    handlers.add({"sink": path, "format": "{message}", **config})
    return handlers._handlers[-1].account

def fill():
    with open(os.path.join(folder, "ballast"), "wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(1024))
        except OSError:
            pass

def empty():
    os.unlink(os.path.join(folder, "ballast"))

def keep():
    # The disk is gone with this program's view of the file system.
    shutil.copytree(folder, os.path.join(HOME, "copied"), ignore=shutil.ignore_patterns("ballast"))

"""
TMPFS = "mkdir logs; mount -t tmpfs -o size=4m tmpfs logs"


def numbers(path) -> list[int]:
    """
    Return the numbers of all lines in the file and those that were rotated away, oldest first; a torn one is an error.
    """
    found = []
    for place in [*(file.path for file in rotated_files(path)), path]:
        with unpacked(place) as file:
            lines = file.read().decode().splitlines()
        assert {len(line) for line in lines} <= {97}
        found += [int(line[:6]) for line in lines]
    return found


@pytest.mark.parametrize("enqueue", [False, True])
@pytest.mark.parametrize("rotation", [None, "64 KiB"])
def test_a_disk_that_is_full_for_a_while(tmp_path, enqueue, rotation):
    """
    A disk that fills up in the middle costs nothing but memory: it is said once, and within a second of there being
    room everything is written, in order, once, and no line is torn.
    """
    ended = run(
        tmp_path,
        LOGGING
        + f"""
account = add(enqueue={enqueue}, rotation={rotation!r})
log(range(0, 1000))
handlers.flush()
fill()
log(range(1000, 11_000))
print(handlers.flush(0.2))
empty()
time.sleep(1)
log(range(11_000, 12_000))
print(handlers.close())
print(account.created, account.written, account.dropped)
keep()
""",
        mounts=TMPFS,
    )

    assert (ended.code, ended.out) == (0, "False\nTrue\n12000 12000 {}\n")
    assert len(ended.complaints) == 2  # that it is full, and that it is not any more
    assert "No space left on device" in ended.complaints[0]
    assert numbers(tmp_path / "copied" / "app.log") == list(range(12_000))


def test_a_disk_that_stays_full(tmp_path):
    """
    What finds no room in memory either is dropped and counted; what is in the file and what was dropped is everything.
    """
    ended = run(
        tmp_path,
        LOGGING
        + """
account = add(enqueue=True)
log(range(0, 1000))
handlers.flush()
fill()
log(range(1000, 100_000))
print(handlers.close())
print(account.created, account.written + account.lost, list(account.dropped), account.written)
keep()
""",
        mounts=TMPFS,
    )
    [is_complete, counts] = ended.out.splitlines()
    found = numbers(tmp_path / "copied" / "app.log")

    assert (ended.code, is_complete) == (0, "False")
    assert counts == f"100000 100000 ['disk'] {len(found)}"
    assert found[:1000] == list(range(1000))
    assert len(ended.complaints) == 2  # that it is full, and what was dropped


@pytest.mark.parametrize("compression", [None, "gz"])
def test_room_is_made_where_that_was_asked_for(tmp_path, compression):
    """
    With ``min_free`` the oldest rotated files go before the disk is full, and never the one being written: the newest
    lines are all there, and nobody noticed.
    """
    ended = run(
        tmp_path,
        LOGGING
        + f"""
account = add(rotation="256 KiB", min_free="1 MiB", compression={compression!r})
log(range(0, 100_000))
print(handlers.close())
print(account.created, account.written, account.dropped)
keep()
""",
        mounts=TMPFS,
    )
    found = numbers(tmp_path / "copied" / "app.log")

    assert (ended.code, ended.out, ended.err) == (0, "True\n100000 100000 {}\n", "")
    assert found == list(range(found[0], 100_000))
    assert len(found) > 5000


def test_a_disk_that_is_read_only_for_a_while(tmp_path):
    """
    A disk that becomes read-only delays what is logged meanwhile, whether the file is there by then or not.
    """
    ended = run(
        tmp_path,
        LOGGING
        + """
def mount(how):
    subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True)

mount("ro")
account = add()
log(range(0, 1000))
mount("rw")
time.sleep(0.5)
log(range(1000, 2000))
for handler in handlers._handlers:
    # Whoever has a file open for writing keeps a disk from becoming read-only.
    handler.sink.file.forget_threads()
mount("ro")
log(range(2000, 3000))
mount("rw")
time.sleep(0.5)
log(range(3000, 4000))
print(handlers.close())
print(account.created, account.written, account.dropped)
keep()
""",
        mounts=TMPFS,
    )

    assert (ended.code, ended.out) == (0, "True\n4000 4000 {}\n")
    assert len(ended.complaints) == 2  # the second time was within the same minute
    assert "Read-only file system" in ended.complaints[0]
    assert numbers(tmp_path / "copied" / "app.log") == list(range(4000))
