"""Rings where there is little room for them, or none: nothing is lost, nobody dies of it."""

from __future__ import annotations

import pytest
from programs import balances, disk, mounting, run, states


pytestmark = [pytest.mark.slow, pytest.mark.skipif(mounting() is not None, reason=str(mounting()))]

SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"

STEPS = """
import random
moment = random.Random(sys.argv[2]).uniform(0.05, 0.6)
bl.configure("rings", directory=os.path.join(HOME, "journal"), console=False)

def watch():
    while ledger[0] < 10:
        time.sleep(0.001)
    time.sleep(moment)
    if sys.argv[3] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    ledger[1] = 1

threading.Thread(target=watch, daemon=True).start()
n = 0
with bl.experiment("experiment"):
    while not ledger[1]:
        with bl.step("s", n=n, text="SECRET", password="hunter2-hunter2") as step:
            step.stamp("x", n=n, token="hunter2-hunter2")
        n += 1
        ledger[0] = n
        if n == 10:
            # What a ring on the disk holds is what somebody may find there.
            runs = os.path.join(HOME, "journal", "runs")
            places = [os.path.join(folder, name) for folder, _, names in os.walk(runs) for name in names]
            found = [open(place, "rb").read() for place in places if place.endswith(".ring")]
            print(len(found), any(b"sk-proj" in data or b"hunter2" in data for data in found), flush=True)
""".replace("SECRET", SECRET)

PLACES = {
    "no room for one": "mount -t tmpfs -o size=1m tmpfs /dev/shm",
    "full": "mount -t tmpfs -o size=6m tmpfs /dev/shm; dd if=/dev/zero of=/dev/shm/full bs=1k 2>/dev/null || true",
    "read-only": "mount -t tmpfs -o ro tmpfs /dev/shm",
    "missing": "mkdir dev; mknod dev/null c 1 3; mknod dev/urandom c 1 9; mount --bind dev /dev",
    "somebody else's": "mount -t tmpfs tmpfs /dev/shm; mkdir -m 755 /dev/shm/branchline-$(id -u)",
    "a link": "mount -t tmpfs tmpfs /dev/shm; mkdir elsewhere; ln -s $PWD/elsewhere /dev/shm/branchline-$(id -u)",
}


@pytest.mark.parametrize("end", ["kill", "normal"])
@pytest.mark.parametrize("place", PLACES)
def test_where_shared_memory_has_no_place_for_a_ring(tmp_path, place, end):
    """
    Where there is no safe place in shared memory the ring lies with the journal, redacted; a kill loses nothing, and
    at a normal end it is gone.
    """
    from ledger import Ledger

    ended = run(tmp_path, STEPS, place, end, mounts=PLACES[place])

    finished = Ledger(tmp_path / "ledger")[0]
    found = disk(tmp_path)
    assert ended.code == (137 if end == "kill" else 0)
    assert (ended.out, ended.complaints) == ("1 False\n", [])
    assert set(range(finished)) - set(found.counts("s")) == set()
    assert [n for n, count in found.counts("s").items() if count > 1] == []
    assert found.outcome("experiment") == ["interrupted" if end == "kill" else "success"]
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*.jsonl"))
    assert list((tmp_path / "journal" / "runs").rglob("*.ring*")) == []
    assert balances(tmp_path) == []


def test_shared_memory_that_fills_up_under_a_ring(tmp_path):
    """
    The room of a ring is reserved: when shared memory fills up beside it, writing to it ends in no SIGBUS.
    """
    ended = run(
        tmp_path,
        """
        bl.configure("rings", directory=os.path.join(HOME, "journal"), console=False)
        with bl.step("first"):
            pass
        with open("/dev/shm/full", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        assert os.statvfs("/dev/shm").f_bavail == 0
        for n in range(30_000):
            with bl.step("s", n=n, text="x" * 300):
                pass
        """,
        mounts="mount -t tmpfs -o size=6m tmpfs /dev/shm",
    )

    assert (ended.code, ended.err) == (0, "")
    assert disk(tmp_path).counts("s") == dict.fromkeys(range(30_000), 1)


def test_shared_memory_full_of_the_rings_of_the_dead(tmp_path):
    """
    What dead processes left in shared memory is recovered when a new one finds no room, and makes room for it.
    """
    ended = run(
        tmp_path,
        """
        bl.configure("rings", directory=os.path.join(HOME, "journal"), console=False)
        for n in range(12):
            pid = os.fork()
            if pid == 0:
                with bl.step("s", n=n):
                    pass
                print(os.listdir(f"/dev/shm/branchline-{os.getuid()}") != [], flush=True)
                os._exit(0)
            os.waitpid(pid, 0)
        """,
        mounts="mount -t tmpfs -o size=13m tmpfs /dev/shm",
    )

    assert (ended.code, ended.err) == (0, "")
    found = disk(tmp_path)
    assert found.counts("s") == dict.fromkeys(range(12), 1)
    assert list(tmp_path.rglob("*.ring*")) == []
    assert sorted(state["state"] for state in states(tmp_path)) == ["ended", *["recovered"] * 12]


def test_no_room_for_a_ring_anywhere(tmp_path):
    """
    Where not even the journal's disk has room for a ring, that is said once, and everything is written all the same.
    """
    ended = run(
        tmp_path,
        """
        bl.configure("rings", directory=os.path.join(HOME, "journal"), console=False)
        for n in range(1000):
            with bl.step("s", n=n):
                pass
        bl.shutdown()
        import shutil
        shutil.copytree(os.path.join(HOME, "journal"), os.path.join(HOME, "copied"))
        """,
        mounts="mount -t tmpfs -o ro tmpfs /dev/shm; mkdir journal; mount -t tmpfs -o size=3m tmpfs journal",
    )

    assert ended.code == 0
    assert len(ended.complaints) == 1
    assert "no room for the crash ring" in ended.err
    assert disk(tmp_path / "copied").counts("s") == dict.fromkeys(range(1000), 1)


def test_records_of_every_size(tmp_path):
    """
    Steps of a few bytes, of many slots, of a quarter of the ring and of more: when the end of each has returned, a
    kill does not take it any more.
    """
    from programs import Child

    from branchline import read

    program = """
    import random
    bl.configure("sizes", directory=os.path.join(HOME, "journal"), console=False)
    sizes = random.Random(7)
    n = 0
    while True:
        size = sizes.choice([0, 300, 480, 500, 5_000, 60_000, 400_000, 900_000, 1_100_000, 3_000_000])
        with bl.step("s", n=n, size=size) as step:
            for part in range(0, size, 50_000):
                step.stamp("part", text="x" * min(50_000, size - part))
        n += 1
        ledger[0] = n
    """
    for kill in range(5):
        home = tmp_path / str(kill)
        home.mkdir()
        with Child(home, program) as child:
            child.wait_until(0, 40 + 25 * kill)
            child.kill()
            finished = child.ledger[0]
        [run_] = read.open_runs(home / "journal")

        found = disk(home)
        assert set(range(finished)) - set(found.counts("s")) == set()
        assert [n for n, count in found.counts("s").items() if count > 1] == []
        for step in run_.steps:
            assert sum(len(str(stamp.attributes["text"])) for stamp in step.stamps) == step.attributes["size"]
        assert balances(home) == []
