"""An experiment that has everything a run can have, as a program, and running it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from servers import WATCHDOG_SECONDS


EXPERIMENT = '''\
"""Three branches side by side in threads, one of which fails: nested steps, stamps, logs, metrics, instruments."""

import logging
import sys
import threading
import time

import branchline as bl

log = logging.getLogger("shop")
log.setLevel(logging.INFO)


@bl.traced_step
def load(rows):
    bl.stamp("opened", documents=3, names=["a", "b"], ratio=0.5)
    for item in split(rows):
        bl.stamp("read", item=item)
    log.info("loaded %d rows", rows)
    bl.record_metric("rows", rows, unit="{row}")
    return rows


@bl.traced_step
def split(rows):
    yield from range(rows)


def answer(number):
    with bl.step("answer", question=number, text="grüße, \\u4e16\\u754c") as step:
        seen.add(1, {"kind": "question"})
        sizes.record(number * 1.5)
        bl.record_usage("tiny", provider="house", input_tokens=100 + number, output_tokens=10, cost=0.001, latency=0.25)
        time.sleep(0.002)
        step.set(is_right=number % 2 == 0)


def evaluate(threshold):
    try:
        with bl.branch({"threshold": threshold, "model": {"name": "tiny", "layers": 2}}) as branch:
            load(3)
            threads = [threading.Thread(target=answer, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if threshold == 90:
                log.error("about to fail")
                raise ValueError("threshold too high")
            branch.metric("accuracy", threshold / 100)
            branch.output = {"accuracy": threshold / 100}
    except ValueError as error:
        log.warning("failed: %s", error)


with bl.configure("shop", run_id=sys.argv[1], console=False):
    seen = bl.counter("questions", unit="{question}")
    sizes = bl.histogram("answer.size", unit="By")
    level = bl.gauge("temperature", unit="Cel")
    with bl.experiment("threshold", purpose="stack"):
        for threshold in (10, 50, 90):
            evaluate(threshold)
        level.set(21.5)
        bl.event("experiment.judged", message="done", winner="threshold=50")
    result = bl.flush(timeout=60) if len(sys.argv) > 2 else None
print(result)
'''


def run(home: Path, source: str, *args: object, env: Mapping[str, str] | None = None) -> str:
    """Run *source* with its journal in *home*, and return what it printed."""
    home.mkdir(parents=True, exist_ok=True)
    program = home / "program.py"
    program.write_text(source, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, str(program), *map(str, args)],
        cwd=home,
        env=os.environ | (env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WATCHDOG_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def branchline(home: Path, *args: str, env: Mapping[str, str] | None = None) -> str:
    """Run the command in *home*, and return what it printed."""
    ended = subprocess.run(
        [sys.executable, "-m", "branchline", *args],
        cwd=home,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=WATCHDOG_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
