"""SIGKILL while models are called: every call whose recording had returned is counted, once."""

from __future__ import annotations

import random
import time
from decimal import Decimal

import pytest
from programs import Child

from branchline import read


pytestmark = pytest.mark.slow

CALLS = """
bl.configure("killed", directory=os.path.join(HOME, "journal"), console=False, prices={"m": {"input": "1"}})
with bl.branch("branch"), bl.step("open"):
    n = 0
    while True:
        with bl.step("ask") as ask:
            ask.usage("m", input_tokens=n)
        bl.record_usage("m", input_tokens=1)
        n += 1
        ledger[0] = n
        time.sleep(0.0005)
"""


@pytest.mark.parametrize("kill", range(8))
def test_a_kill_loses_no_usage(tmp_path, kill):
    """
    After a SIGKILL at any moment every call that had been recorded is in the journal once, with its tokens and its
    cost, also those of the step that was open.
    """
    with Child(tmp_path, CALLS) as child:
        child.wait_until(0, 1)
        time.sleep(random.Random(kill).uniform(0, 1.5))
        child.kill()
        finished = child.ledger[0]

    run = read.open_runs(tmp_path / "journal").last

    asked = sorted(usage.input_tokens for usage in run.usages if usage.step == "ask")
    opened = [usage for usage in run.usages if usage.step == "open"]
    # One more may have got as far as the ring without its call having returned.
    assert asked in (list(range(finished)), list(range(finished + 1)))
    assert len(opened) in (finished, finished + 1)
    assert run.usage.cost == Decimal(sum(asked) + len(opened)) / 1_000_000
    [branch] = run.branches
    assert (branch.outcome, branch.total_usage) == ("interrupted", run.usage)


def test_an_open_step_has_its_usage(tmp_path):
    """
    A step that was open for a while when its process was killed has what it took until then.
    """
    with Child(tmp_path, CALLS) as child:
        child.wait_until(0, 1)
        time.sleep(2.5)
        child.kill()

    run = read.open_runs(tmp_path / "journal").last
    [branch] = run.branches
    [step] = [step for step in branch.children if step.name == "open"]
    assert step.usage.input_tokens == len([usage for usage in run.usages if usage.step == "open"])
    assert step.total_usage == branch.total_usage == run.usage
