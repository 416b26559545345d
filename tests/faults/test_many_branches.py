"""Two hundred branches everywhere at once, with everything going wrong that can: each is its own affair."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from typing import Any

import pytest

import branchline as bl
from branchline.testing import capture


pytestmark = pytest.mark.slow

COUNT = 200
# How each kind of branch is to end: its status, its output, the type of its exception, and how often it is tried again.
ENDS = {
    "fine": ("success", True, None, 0),
    "fails": ("failed", False, "ValueError", 1),
    "hangs": ("failed", False, "TimeoutError", 1),
    "cancels": ("cancelled", False, "CancelledError", 0),
    "skips": ("skipped", True, "Skipped", 0),
    "exits": ("interrupted", False, "SystemExit", 0),
    "recovers": ("success", True, None, 1),
    "dies": ("lost", False, "Lost", 0),
}


def configs(seed: int, *, deaths: int) -> list[dict[str, Any]]:
    """Return *COUNT* configurations of all kinds, shuffled, with so many *deaths* of workers."""
    chooser = random.Random(seed)
    kinds = ["fine"] * 8 + ["fails", "cancels", "skips", "exits", "recovers"]
    chosen = ["hangs"] * 3 + ["dies"] * deaths
    chosen += [chooser.choice(kinds) for _ in range(COUNT - len(chosen))]
    chooser.shuffle(chosen)
    return [{"n": number, "kind": kind} for number, kind in enumerate(chosen)]


def ends(config, marks):
    """End as the configuration says, but for hanging; *marks* is where a branch remembers that it was tried before."""
    branch = bl.current_branch()
    assert branch is not None
    assert branch.config == config
    with bl.step("inside", n=config["n"]):
        match config["kind"]:
            case "fails":
                raise ValueError(config["n"])
            case "cancels":
                raise asyncio.CancelledError
            case "skips":
                branch.skip(f"skipped {config['n']}")
            case "exits":
                raise SystemExit(3)
            case "recovers":
                try:
                    (marks / str(config["n"])).touch(exist_ok=False)
                except FileExistsError:
                    return config["n"]
                raise ConnectionError(config["n"])
            case "dies":
                os.kill(os.getpid(), signal.SIGKILL)
    return config["n"]


class Blocking:
    def __init__(self, marks):
        self.marks = marks

    def __call__(self, config):
        time.sleep(random.Random(config["n"]).random() / 100)
        if config["kind"] == "hangs":
            time.sleep(60)
        return ends(config, self.marks)


class Waiting(Blocking):
    async def __call__(self, config):
        await asyncio.sleep(random.Random(config["n"]).random() / 100)
        if config["kind"] == "hangs":
            await asyncio.sleep(60)
        return ends(config, self.marks)


PLACES: dict[str, tuple[Any, dict[str, Any]]] = {
    "loop": (Waiting, {}),
    "threads": (Blocking, {"max_concurrency": 16}),
    "processes": (Blocking, {"executor": "process", "max_concurrency": 4}),
}


def type_of(branch):
    return None if branch.exception_info is None else branch.exception_info["type"]


@pytest.mark.parametrize("face", ["sync", "async"])
@pytest.mark.parametrize("place", PLACES)
def test_everything_goes_wrong(tmp_path, place, face):
    """
    Of 200 branches with failures, timeouts, cancellations, retries, exits and a killed worker, the results come in
    config order, every outcome is its own, and every branch is in the journal exactly once, with the same outcome.
    """
    kind, options = PLACES[place]
    given = configs(7, deaths=1 if place == "processes" else 0)
    function = kind(tmp_path)

    with capture() as captured:
        if face == "sync":
            results = bl.run_branches(function, given, timeout=1.5, retries=1, **options)
        else:
            results = asyncio.run(bl.arun_branches(function, given, timeout=1.5, retries=1, **options))

    expected: list[tuple[Any, ...]] = []
    for config in given:
        status, has_output, error, retries = ENDS[config["kind"]]
        expected.append((config["n"], status, config["n"] if has_output else None, error, retries))
    assert [
        (branch.config["n"], branch.status, branch.output, type_of(branch), branch.retries) for branch in results
    ] == expected
    recorded = sorted((branch.config["n"], branch.status, branch.retries) for branch in captured.branches)
    assert recorded == [(number, status, retries) for number, status, _, _, retries in expected]
    # A step that is not a second old is no more, with the process that was in it.
    steps = Counter(step.attributes["n"] for branch in captured.branches for step in branch.steps)
    assert steps == Counter(
        {config["n"]: 1 + ENDS[config["kind"]][3] for config in given if config["kind"] not in ("hangs", "dies")}
    )


def test_all_places_at_once(tmp_path):
    """
    The same side by side, in one experiment: no branch ends up with what belongs to another.
    """

    async def everywhere(exp):
        return await asyncio.gather(
            *(
                exp.arun(kind(tmp_path / place), configs(seed, deaths=0), timeout=1.5, retries=1, **options)
                for seed, (place, (kind, options)) in enumerate(PLACES.items())
            )
        )

    for place in PLACES:
        (tmp_path / place).mkdir()
    with capture() as captured, bl.experiment("everywhere") as exp:
        found = asyncio.run(everywhere(exp))

    for seed, results in enumerate(found):
        assert [(branch.config["n"], branch.status) for branch in results] == [
            (config["n"], ENDS[config["kind"]][0]) for config in configs(seed, deaths=0)
        ]
    assert len(captured.branches) == len(exp.branches) == 3 * COUNT
    assert Counter(branch.status for branch in captured.branches) == Counter(
        branch.status for results in found for branch in results
    )
