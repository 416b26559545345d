"""Hooks for the end of a process: set only where nobody else's are, and taken away again."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from branchline._pipeline import finalisers
from branchline._pipeline.endings import Endings
from branchline.read import open_runs, tree
from branchline.testing import capture


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """Begin with the default, and give back what there was."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def test_the_default_is_replaced_and_given_back():
    """
    SIGTERM is handled where its handler is the default one, and is the default again afterwards.
    """
    endings = Endings(lambda reason: None, signals=True)
    assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN, None)
    endings.unhook()

    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("theirs", [signal.SIG_IGN, signal.default_int_handler])
def test_a_handler_of_somebody_elses_stays(theirs):
    """
    A handler that was there before is not replaced, and one that came after ours is not taken away.
    """
    signal.signal(signal.SIGTERM, theirs)
    endings = Endings(lambda reason: None, signals=True)
    assert signal.getsignal(signal.SIGTERM) is theirs
    endings.unhook()
    assert signal.getsignal(signal.SIGTERM) is theirs

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    endings = Endings(lambda reason: None, signals=True)
    signal.signal(signal.SIGTERM, theirs)
    endings.unhook()
    assert signal.getsignal(signal.SIGTERM) is theirs


def test_no_signals():
    """
    With ``signals=False``, and in any thread but the main one, no handler is set.
    """
    Endings(lambda reason: None, signals=False).unhook()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    made: list[Endings] = []
    thread = threading.Thread(target=lambda: made.append(Endings(lambda reason: None, signals=True)))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    made[0].unhook()


_IN_A_CONTAINER = """
import os, signal
import branchline as bl

with bl.configure("init", directory=os.environ["HOME"], run_id="init", console=False), bl.step("outer"):
    os.kill(os.getpid(), signal.SIGTERM)
    with bl.step("inner"):
        pass
print(os.getpid())
"""


def test_the_first_process_of_a_container(tmp_path):
    """
    A signal that would not end the process, as SIGTERM does not end the first of a container, ends no run either.
    """
    command = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child", sys.executable, "-c", _IN_A_CONTAINER]
    try:
        ended = subprocess.run(
            command, env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True, check=False, timeout=60
        )
    except OSError as error:
        pytest.skip(f"no pid namespaces here: {error}")
    if "unshare:" in ended.stderr:
        pytest.skip(f"no pid namespaces here: {ended.stderr.strip()}")

    run = open_runs(tmp_path)["init"]

    assert (ended.stdout, tree(run)) == ("1\n", "step outer  success\n└── step inner  success")


def test_the_collectors_hook_is_taken_away():
    """
    What is hooked into the garbage collector while something is recorded is gone afterwards.
    """
    before = list(gc.callbacks)
    with capture():
        assert len(gc.callbacks) == len(before) + finalisers.IS_NEEDED

    assert gc.callbacks == before
