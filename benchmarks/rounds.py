"""The rounds: the contenders take short turns, again and again, so that all see the same machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .contenders import API, BARE, BATCH, CRASH, MAKERS, SDK, SDK_OTLP, UNCONFIGURED


ROOT: Final = Path(__file__).parent.parent
CASES: Final = (
    "step",
    "child step",
    "nested steps",
    "annotated",
    "annotated child",
    "annotated block",
    "async step",
    "async annotated",
    "point",
    "usage",
    "log record",
)
SIDE_BY_SIDE: Final = (BARE, SDK_OTLP, CRASH, BATCH)
DEFAULT_QUEUE: Final = "sdk+otlp, default queue"

# What is measured, then by whom, then one figure for each round.
Samples = dict[str, dict[str, list[float]]]


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is measured."""

    rounds: int
    turns: int
    spans: int
    sustained_rounds: int
    sustained_spans: int
    latency_rounds: int
    latency_seconds: float
    import_rounds: int
    memory_spans: int


FULL: Final = Effort(
    rounds=9, turns=1, spans=2_000, sustained_rounds=3, sustained_spans=50_000,
    latency_rounds=5, latency_seconds=3.0, import_rounds=15, memory_spans=1_000_000,
)  # fmt: skip
QUICK: Final = Effort(
    rounds=3, turns=1, spans=1_000, sustained_rounds=1, sustained_spans=10_000,
    latency_rounds=1, latency_seconds=1.0, import_rounds=3, memory_spans=20_000,
)  # fmt: skip
# For the test that it works at all: its figures mean nothing.
SMOKE: Final = Effort(
    rounds=1, turns=1, spans=24, sustained_rounds=1, sustained_spans=100,
    latency_rounds=1, latency_seconds=0.05, import_rounds=1, memory_spans=100,
)  # fmt: skip


class Process:
    """A contender's process."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name],
            cwd=directory,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, do: str, **arguments: object) -> dict[str, float]:
        """Let it do something, and return the figures."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
            answer: dict[str, float] = json.loads(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            msg = f"the contender {self.name!r} has died; what it said is above"
            raise SystemExit(msg) from error
        return answer

    def close(self) -> None:
        """Let it end."""
        self._process.communicate()


def environment() -> dict[str, str]:
    """Return an environment that says nothing about telemetry, and where this package is found."""
    # Bytecode is kept: whoever installs a package has it, and imports are measured.
    left_out = ("BRANCHLINE_", "OTEL_", "TRACE", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ROOT))))}


@contextmanager
def processes(names: Sequence[str]) -> Iterator[list[Process]]:
    """Start one process for each of *names*, in a folder of its own that is gone afterwards."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="branchline-bench-")))
        started = []
        for number, name in enumerate(names):
            directory = folder / str(number)
            directory.mkdir()
            process = Process(name, directory)
            stack.callback(process.close)
            started.append(process)
        yield started


def measured(effort: Effort, tell: Callable[[str], None]) -> Samples:
    """Measure everything; *tell* hears what is going on."""
    samples: Samples = defaultdict(lambda: defaultdict(list))
    with processes(tuple(MAKERS)) as workers:
        for worker in workers:
            for case in CASES:
                worker.ask("turns", case=case, turns=1, spans=effort.spans)
        _rounds_of_cases(samples, workers, effort, tell)
        side_by_side = [worker for worker in workers if worker.name in SIDE_BY_SIDE]
        _rounds_of_latency(samples, side_by_side, effort, tell)
        _rounds_at_full_speed(samples, side_by_side, effort, tell)
        for worker in workers:
            _note(samples, "end", worker.name, worker.ask("finish"))
    _memory(samples, effort, tell)
    _imports(samples, effort, tell)
    return {measure: dict(by_contender) for measure, by_contender in samples.items()}


def _rounds_of_cases(samples: Samples, workers: list[Process], effort: Effort, tell: Callable[[str], None]) -> None:
    for number in range(effort.rounds):
        for case in CASES:
            tell(f"round {number + 1} of {effort.rounds}: {case}")
            for worker in workers:
                figures = worker.ask("turns", case=case, turns=effort.turns, spans=effort.spans)
                _note(samples, case, worker.name, figures)
        for case in ("step", "annotated"):
            tell(f"round {number + 1} of {effort.rounds}: {case}, 8 threads")
            for worker in workers:
                figures = worker.ask("threads", case=case, threads=8, turns=effort.turns, spans=effort.spans)
                _note(samples, f"{case}, 8 threads", worker.name, figures)


def _rounds_of_latency(samples: Samples, workers: list[Process], effort: Effort, tell: Callable[[str], None]) -> None:
    for number in range(effort.latency_rounds):
        for threads in (1, 8):
            tell(f"latency, round {number + 1} of {effort.latency_rounds}: {threads} thread(s)")
            for worker in workers:
                figures = worker.ask("latency", seconds=effort.latency_seconds, threads=threads)
                _note(samples, f"latency, {threads} threads", worker.name, figures)


def _rounds_at_full_speed(
    samples: Samples, workers: list[Process], effort: Effort, tell: Callable[[str], None]
) -> None:
    for number in range(effort.sustained_rounds):
        tell(f"full speed, round {number + 1} of {effort.sustained_rounds}")
        for worker in workers:
            _note(samples, "sustained", worker.name, worker.ask("sustained", spans=effort.sustained_spans))


def _memory(samples: Samples, effort: Effort, tell: Callable[[str], None]) -> None:
    for name in (DEFAULT_QUEUE, CRASH, BATCH):
        tell(f"memory of {effort.memory_spans:,} spans: {name}")
        # A fresh process: what it grew to before would hide what it grows by.
        with processes((name,)) as [worker]:
            _note(samples, "memory", name, worker.ask("memory", spans=effort.memory_spans))
            _note(samples, "memory", name, worker.ask("finish"))


_IMPORTS: Final[Mapping[str, Mapping[str, str]]] = {
    "import": {
        API: "import opentelemetry.trace",
        UNCONFIGURED: "import branchline",
    },
    "set-up": {
        SDK: (
            "from opentelemetry.sdk.trace import TracerProvider\n"
            "from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter\n"
            "TracerProvider().add_span_processor(BatchSpanProcessor(SpanExporter()))"
        ),
        SDK_OTLP: (
            "from opentelemetry.sdk.trace import TracerProvider\n"
            "from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter\n"
            "from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans\n"
            "TracerProvider().add_span_processor(BatchSpanProcessor(SpanExporter()))"
        ),
        CRASH: "import branchline\nbranchline.configure('benchmarks', console=False)",
        BATCH: "import branchline\nbranchline.configure('benchmarks', console=False, durability='batch')",
    },
}  # fmt: skip
_IMPORT_PROGRAM: Final = """
import sys, time
begun = time.process_time_ns()
{statements}
spent = time.process_time_ns() - begun
print(spent, sum(name.startswith("opentelemetry.sdk") for name in sys.modules), file=sys.stdout)
"""


def _imports(samples: Samples, effort: Effort, tell: Callable[[str], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="branchline-bench-") as folder:
        for statements in _IMPORTS.values():
            for statement in statements.values():
                # Once unmeasured: then the bytecode is there.
                _imported(statement, folder)
        for number in range(effort.import_rounds):
            tell(f"imports, round {number + 1} of {effort.import_rounds}")
            for measure, statements in _IMPORTS.items():
                for name, statement in statements.items():
                    _note(samples, measure, name, _imported(statement, folder))


def _imported(statements: str, folder: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_PROGRAM.format(statements=statements)],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    spent, sdk_modules = map(float, done.stdout.split())
    return {"total": spent, "sdk modules": sdk_modules}


def _note(samples: Samples, measure: str, name: str, figures: Mapping[str, float]) -> None:
    for figure, value in figures.items():
        samples[f"{measure}: {figure}"][name].append(value)
