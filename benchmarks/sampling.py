"""What sampling costs: ``python -m benchmarks.sampling``, in per cent of one core.

Of a process that does nothing else, its CPU time with and without sampling once a second, round by round and the order
changing, each in a process of its own; and with a threshold on what is sampled, which is what a monitor is for.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table


_ROOT: Final = Path(__file__).parent.parent
_BOUND_PERCENT: Final = 0.5
# What is loaded and made once is no part of what sampling costs from then on.
_WARM_SECONDS: Final = 3.0

IDLE: Final = "a run"
SAMPLED: Final = "with system_metrics=1"
WATCHED: Final = "with a monitor and thresholds"
WAYS: Final = (IDLE, SAMPLED, WATCHED)


def measure(way: str, seconds: float) -> float:
    """Return the per cent of one core that this process takes with a run that does nothing, in one of the ways."""
    import branchline as bl
    from branchline.monitor import PerformanceMonitor, Threshold

    options: dict[str, float] = {"system_metrics": 1.0} if way == SAMPLED else {}
    with bl.configure("sampling", console=False, **options):  # type: ignore[arg-type]  # it is one of its options
        watching = None
        if way == WATCHED:
            thresholds = [Threshold("process.memory.usage", above=1e15), Threshold("system.cpu.utilization", above=2)]
            watching = PerformanceMonitor(*thresholds, interval=1.0).start()
        time.sleep(_WARM_SECONDS)
        before, began = time.process_time(), time.monotonic()
        time.sleep(seconds)
        percent = (time.process_time() - before) / (time.monotonic() - began) * 100
        if watching is not None:
            watching.stop()
    return percent


def rounds(count: int, seconds: float) -> dict[str, list[float]]:
    """Return what each way took in each of so many rounds."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(count):
        for way in WAYS if number % 2 else reversed(WAYS):
            found[way].append(_elsewhere(way, seconds))
    return found


def _elsewhere(way: str, seconds: float) -> float:
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.sampling", "--way", way, "--seconds", str(seconds)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + 120,
        )
    return float(ran.stdout)


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 1 only with ``--check``, when the bound is clearly missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each way in each round")
    parser.add_argument("--json", action="store_true", help="one JSON document in place of the table")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bound is missed by more than 10 %%")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.way is not None:
        print(measure(options.way, options.seconds))
        return 0
    found = {way: statistics.median(each) for way, each in rounds(options.rounds, options.seconds).items()}
    added = {way: found[way] - found[IDLE] for way in WAYS if way != IDLE}
    if options.json:
        print(json.dumps({"percent": found, "added": added, "bound": _BOUND_PERCENT}))
    else:
        _show(found, added)
    return 1 if options.check and max(added.values()) > _BOUND_PERCENT * 1.1 else 0


def _show(found: dict[str, float], added: dict[str, float]) -> None:
    table = Table(box=box.SIMPLE_HEAD, title="Sampling once a second, in per cent of one core")
    table.add_column("")
    for name in ("takes", "added", "bound"):
        table.add_column(name, justify="right")
    for way in WAYS:
        is_kept = way == IDLE or added[way] <= _BOUND_PERCENT
        bound = "" if way == IDLE else f"{'✓' if is_kept else '✗'} {_BOUND_PERCENT} %"
        table.add_row(way, f"{found[way]:.3f} %", "" if way == IDLE else f"{added[way]:.3f} %", bound)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
