"""One contender's process: does what it is told on stdin, one line of JSON each, and answers on stdout."""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from .cases import TURN, Stopwatch, Texts, annotated_of, cases, step_of
from .contenders import MAKERS, OTHERS, Contender


Figures = dict[str, float]

_BURN_NS = 100_000
_PAUSE_SECONDS = 0.002


class Worker:
    """Measures one contender."""

    def __init__(self, contender: Contender) -> None:
        self._contender = contender
        self._stopwatch = Stopwatch()
        self._texts = Texts()
        self._cases = cases(contender, self._stopwatch)
        self._step = step_of(contender)
        self._annotated = annotated_of(contender)
        self._made = 0

    def turns(self, *, case: str, turns: int, spans: int = TURN) -> Figures:
        """Return the CPU time per span of *case*: the calling thread's, and the process's until all has arrived."""
        chosen = self._cases[case]
        calls = max(spans // chosen.spans_a_call, 1)
        self._stopwatch.nanoseconds = 0
        total = 0
        gc.collect()
        for _ in range(turns):
            texts = self._texts.take(calls)
            begun = time.process_time_ns()
            chosen.loop(texts)
            self._contender.settle()
            total += time.process_time_ns() - begun
        made = turns * calls * chosen.spans_a_call
        self._made += made + turns * chosen.more_spans
        return {"thread": self._stopwatch.nanoseconds / made, "total": total / made}

    def threads(self, *, case: str, threads: int, turns: int, spans: int = TURN) -> Figures:
        """Return the CPU time per span in the calling threads, when *threads* of them record at once."""
        step = self._step if case == "step" else self._annotated
        stopwatches = [Stopwatch() for _ in range(threads)]
        gc.collect()
        for _ in range(turns):
            self._at_once([_timed(step, self._texts.take(spans // threads), stopwatch) for stopwatch in stopwatches])
            self._contender.settle()
        made = turns * (spans // threads) * threads
        self._made += made
        return {"thread": sum(stopwatch.nanoseconds for stopwatch in stopwatches) / made}

    def sustained(self, *, spans: int) -> Figures:
        """Return what *spans* annotated spans cost with no pause in between, in CPU and in time."""
        gc.collect()
        begun, process = time.perf_counter_ns(), time.process_time_ns()
        thread = self._full_speed(spans)
        self._contender.settle()
        return {
            "thread": thread / spans,
            "total": (time.process_time_ns() - process) / spans,
            "wall": (time.perf_counter_ns() - begun) / spans,
        }

    def memory(self, *, spans: int) -> Figures:
        """Return by how many bytes the process's largest size grows while *spans* spans are made at full speed."""
        self.turns(case="annotated", turns=1)
        gc.collect()
        before = _largest_size()
        self._full_speed(spans)
        self._contender.settle()
        return {"bytes": float(_largest_size() - before)}

    def latency(self, *, seconds: float, threads: int = 1) -> Figures:
        """Return how long annotated steps took, in nanoseconds, between stretches of other work."""
        burn = _burner(_BURN_NS) if threads == 1 else lambda: time.sleep(_PAUSE_SECONDS)
        took: list[list[int]] = [[] for _ in range(threads)]
        gc.collect()
        begun = time.monotonic()
        self._at_once([lambda mine=mine: self._paced(burn, begun + seconds, mine) for mine in took])  # type: ignore[misc]  # mypy does not infer defaults of lambdas
        spent = time.monotonic() - begun
        self._contender.settle()
        sorted_ = sorted(nanoseconds for mine in took for nanoseconds in mine)
        self._made += len(sorted_)
        return {
            "p50": _percentile(sorted_, 0.5),
            "p99": _percentile(sorted_, 0.99),
            "p99.9": _percentile(sorted_, 0.999),
            "rate": len(sorted_) / spent,
        }

    def finish(self) -> Figures:
        """End the contender and return how many spans were made, and how many of them never arrived."""
        arrived = self._contender.finish()
        return {"made": self._made, "lost": 0 if arrived is None else self._made - arrived}

    def _full_speed(self, spans: int) -> int:
        step = self._annotated
        stopwatch = Stopwatch()
        # The texts come in portions, so that their memory is not taken for the contender's.
        for left in range(spans, 0, -TURN):
            texts = self._texts.take(min(left, TURN))
            with stopwatch:
                for index, text in enumerate(texts):
                    step(index, text)
        self._made += spans
        return stopwatch.nanoseconds

    def _paced(self, burn: Callable[[], None], until: float, took: list[int]) -> None:
        step, clock, now = self._annotated, time.perf_counter_ns, time.monotonic
        index = 0
        while now() < until:
            index += 1
            text = f"s3://bucket/{index}"
            burn()
            begun = clock()
            step(index, text)
            took.append(clock() - begun)

    @staticmethod
    def _at_once(works: list[Callable[[], None]]) -> None:
        if len(works) == 1:
            works[0]()
            return
        barrier = threading.Barrier(len(works))

        def begin(work: Callable[[], None]) -> None:
            barrier.wait()
            work()

        threads = [threading.Thread(target=begin, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _timed(step: Callable[[int, str], None], texts: list[str], stopwatch: Stopwatch) -> Callable[[], None]:
    def work() -> None:
        with stopwatch:
            for index, text in enumerate(texts):
                step(index, text)

    return work


def _burner(nanoseconds: int) -> Callable[[], None]:
    """Return a loop in Python that takes about *nanoseconds*, when nobody disturbs it."""

    def burn(rounds: int) -> None:
        for _ in range(rounds):
            pass

    best = 1 << 60
    for _ in range(20):
        begun = time.perf_counter_ns()
        burn(10_000)
        best = min(best, time.perf_counter_ns() - begun)
    rounds = max(int(10_000 * nanoseconds / best), 1)
    return lambda: burn(rounds)


def _percentile(values: list[int], part: float) -> float:
    return float(values[min(int(len(values) * part), len(values) - 1)]) if values else 0.0


def _largest_size() -> int:
    """Return the largest resident size that this process ever had, in bytes."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        import resource

        # macOS counts in bytes; Linux, which has /proc, counts from before the exec.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def main(name: str) -> None:
    """Answer every line on stdin with a line on stdout."""
    worker = Worker((MAKERS | OTHERS)[name]())
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(getattr(worker, command.pop("do"))(**command)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
