"""What a log record costs, and whether it arrives: ``python -m benchmarks.logs``.

The same record, to a rotating file of JSON lines, from one thread, from eight, and from four processes at once. Every
contender has processes of its own. OpenTelemetry's handler writes no file: it hands its records to a batch processor,
whose exporter drops them, or encodes them to OTLP and drops them.
"""

from __future__ import annotations

import argparse
import json
import logging
import logging.handlers
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table


Log = Callable[[int, str], object]

ROTATION: Final = 10_000_000
FILES: Final = 50
_SECONDS: Final = 300.0
_ROOT: Final = Path(__file__).parent.parent

OTEL: Final = "OTel handler, batch"
OTEL_OTLP: Final = "OTel handler, OTLP"
STRUCTLOG: Final = "structlog + orjson"
_MODES: Final = {"1 thread": (1, 1), "8 threads": (1, 8), "4 processes": (4, 1)}
_TITLE: Final = (
    "A log record, in µs of CPU: the calling thread, as a part of OTel's; in total, as a part of OTel's with OTLP"
)
# What is asked of branchline: at most so much of what OpenTelemetry's handler costs.
_BOUND: Final = 0.25


@dataclass(frozen=True, kw_only=True)
class Contender:
    """How one library logs, and how it is made to write what waits."""

    log: Log
    finish: Callable[[], object]
    is_counted: bool = True
    """Whether its records can be counted in the folder."""


# ── the contenders ────────────────────────────────────────────────────────────────────────────────


class _Rotating:
    """A file that is rotated by its size: what a library lacks that leaves files to others."""

    def __init__(self) -> None:
        self._number = 0
        self._open()

    def _open(self) -> None:
        path = Path(f"log-{os.getpid()}-{self._number}.jsonl")
        self._file = path.open("wb", buffering=0)  # until it is rotated
        self._size = 0

    def write(self, line: bytes) -> None:
        self._size += len(line)
        if self._size > ROTATION:
            self._number += 1
            self._file.close()
            self._open()
            self._size = len(line)
        self._file.write(line)

    def flush(self) -> None:
        """Do nothing: every line is written at once."""


def _rotating_handler() -> logging.Handler:
    import orjson

    class Lines(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            said: Any = record
            return orjson.dumps(
                {
                    "timestamp": record.created,
                    "level": record.levelname,
                    "logger": record.name,
                    "message": record.getMessage(),
                    "pid": record.process,
                    "rows": said.rows,
                    "path": said.path,
                }
            ).decode()

    handler = logging.handlers.RotatingFileHandler("log.jsonl", maxBytes=ROTATION, backupCount=FILES)
    handler.setFormatter(Lines())
    return handler


def _stdlib_log(handler: logging.Handler) -> Log:
    logger = logging.getLogger("benchmarks.logs")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    info = logger.info
    return lambda index, path: info("loaded %d rows", index, extra={"rows": index, "path": path})


def stdlib() -> Contender:
    """Return the logging module's own rotating handler."""
    handler = _rotating_handler()
    return Contender(log=_stdlib_log(handler), finish=handler.close)


def stdlib_queue() -> Contender:
    """Return the same behind a QueueHandler."""
    handler = _rotating_handler()
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    listener = logging.handlers.QueueListener(waiting, handler)  # type: ignore[arg-type]  # it takes any queue
    listener.start()
    return Contender(log=_stdlib_log(logging.handlers.QueueHandler(waiting)), finish=listener.stop)  # type: ignore[arg-type]  # the same


def loguru(*, is_enqueued: bool) -> Contender:
    """Return loguru, which writes by itself or in a thread."""
    from loguru import logger

    logger.remove()
    logger.add("log.jsonl", rotation=ROTATION, retention=FILES, serialize=True, enqueue=is_enqueued)
    info = logger.info

    def finish() -> None:
        logger.complete()
        logger.remove()

    return Contender(log=lambda index, path: info("loaded {} rows", index, rows=index, path=path), finish=finish)


def structlog_orjson() -> Contender:
    """Return structlog, which writes by itself, into a file of each process."""
    import orjson
    import structlog

    file: Any = _Rotating()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.BytesLoggerFactory(file=file),
        cache_logger_on_first_use=True,
    )
    info = structlog.get_logger().info
    return Contender(log=lambda index, path: info("loaded %d rows", index, rows=index, path=path), finish=file.flush)


def otel(*, is_encoding: bool) -> Contender:
    """Return OpenTelemetry's handler with a batch processor."""
    from .contenders import StockPoints

    points = StockPoints(is_encoding=is_encoding)
    return Contender(log=_stdlib_log(points.handler()), finish=points.finish, is_counted=False)


def branchline(*, has_file: bool, has_journal: bool) -> Contender:
    """Return branchline's Logger, with a queueing sink, the journal, or both."""
    import branchline as bl

    run = bl.configure("logs", console=False, signals=False, propagate=False) if has_journal else None
    log = bl.get_logger("benchmarks.logs")
    if has_file:
        options = {"rotation": ROTATION, "retention": FILES, "json": True, "enqueue": True, "queue_size": 1 << 21}
        log.add_handler({"sink": "log.jsonl", **options})
    info = log.info

    def finish() -> None:
        assert log.close(_SECONDS)
        if run is not None:
            assert bl.flush(_SECONDS).is_complete
            run.shutdown(_SECONDS)

    return Contender(log=lambda index, path: info("loaded %d rows", index, rows=index, path=path), finish=finish)


MAKERS: Final[dict[str, Callable[[], Contender]]] = {
    OTEL: lambda: otel(is_encoding=False),
    OTEL_OTLP: lambda: otel(is_encoding=True),
    "stdlib": stdlib,
    "stdlib, QueueHandler": stdlib_queue,
    "loguru": lambda: loguru(is_enqueued=False),
    "loguru, enqueue": lambda: loguru(is_enqueued=True),
    STRUCTLOG: structlog_orjson,
    "branchline, enqueue": lambda: branchline(has_file=True, has_journal=False),
    "branchline, journal": lambda: branchline(has_file=False, has_journal=True),
    "branchline, both": lambda: branchline(has_file=True, has_journal=True),
}


# ── one process ───────────────────────────────────────────────────────────────────────────────────


def work(name: str, *, threads: int, count: int, offset: int) -> dict[str, float]:
    """Log *count* records, and return what that cost in nanoseconds of CPU: the calling threads, and everybody."""
    contender = MAKERS[name]()
    # What is made once, and what is remembered of the first.
    contender.log(-1, "s3://bucket/first")
    share = count // threads
    texts = [[f"s3://bucket/{offset}-{thread}-{index}" for index in range(share)] for thread in range(threads)]
    spent = [0] * threads
    barrier = threading.Barrier(threads)

    def loop(thread: int) -> None:
        log, mine = contender.log, texts[thread]
        barrier.wait()
        begun = time.thread_time_ns()
        for index in range(share):
            log(index, mine[index])
        spent[thread] = time.thread_time_ns() - begun

    begun = time.process_time_ns()
    if threads == 1:
        loop(0)
    else:
        callers = [threading.Thread(target=loop, args=(thread,)) for thread in range(threads)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    contender.finish()
    total = time.process_time_ns() - begun
    made = share * threads
    return {"thread": sum(spent) / made, "total": total / made, "made": made + 1, "is_counted": contender.is_counted}


# ── all of them ───────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="branchline-logs-") as folder:
        yield Path(folder)


def measured(name: str, *, processes: int, threads: int, count: int) -> dict[str, float]:
    """Return what a record of *name* cost on average, and how many records are missing, or there twice."""
    with _folder() as folder:
        share = count // processes
        command = [sys.executable, "-m", "benchmarks.logs", "--worker", name, "--threads", str(threads)]
        environment = {**os.environ, "PYTHONPATH": str(_ROOT), "BRANCHLINE_RUN_ID": "benchmark"}
        workers = [
            subprocess.Popen(
                [*command, "--count", str(share), "--offset", str(number)],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for number in range(processes)
        ]
        found = [json.loads(worker.communicate()[0].splitlines()[-1]) for worker in workers]
        made = sum(figures["made"] for figures in found)
        lost = made - _arrived(folder) if all(figures["is_counted"] for figures in found) else 0
        return {key: statistics.fmean(figures[key] for figures in found) for key in ("thread", "total")} | {
            "lost": lost
        }


def _arrived(folder: Path) -> int:
    """Return how many records are in the files; in the journal, where there are none."""
    files = [path for path in folder.iterdir() if (path.is_file() and ".jsonl" in path.name) or path.suffix == ".jsonl"]
    texts = [path.read_bytes() for path in files if not path.name.startswith(".")]
    if texts:
        return sum(text.count(b"\n") for text in texts)
    states = [json.loads(path.read_bytes()) for path in folder.glob(".branchline/runs/*/*/process.json")]
    return sum(state["counters"]["logs"]["journaled"] - state["counters"]["logs"]["notes"] for state in states)


def all_measured(count: int, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return the figures by mode and name: medians over the rounds, and all that was lost."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {mode: {name: [] for name in MAKERS} for mode in _MODES}
    for _ in range(rounds):
        for mode, (processes, threads) in _MODES.items():
            for name in MAKERS:
                found[mode][name].append(measured(name, processes=processes, threads=threads, count=count))
    return {
        mode: {
            name: {
                "thread": statistics.median(figures["thread"] for figures in each),
                "total": statistics.median(figures["total"] for figures in each),
                "lost": sum(figures["lost"] for figures in each),
            }
            for name, each in contenders.items()
        }
        for mode, contenders in found.items()
    }


# ── the table ─────────────────────────────────────────────────────────────────────────────────────


def table(found: dict[str, dict[str, dict[str, float]]]) -> Table:
    """Return the figures as one table: microseconds of CPU a record, in the calling thread and in total."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title=_TITLE)
    made.add_column("", no_wrap=True)
    for mode in found:
        for title in (f"{mode}\nthread", "of\nOTel", "\ntotal", "of\nOTLP", "\nlost"):
            made.add_column(title, justify="right", no_wrap=True)
    for name in MAKERS:
        cells = []
        for contenders in found.values():
            figures, reference, encoded = contenders[name], contenders[OTEL], contenders[OTEL_OTLP]
            cells += [
                f"{figures['thread'] / 1e3:.1f}",
                _part(figures["thread"] / reference["thread"], is_held=name.startswith("branchline")),
                f"{figures['total'] / 1e3:.1f}",
                _part(figures["total"] / encoded["total"], is_held=name == "branchline, journal"),
                f"{figures['lost']:,.0f}" if figures["lost"] else "",
            ]
        made.add_row(name, *cells)
    return made


def _part(ratio: float, *, is_held: bool) -> str:
    if not is_held:
        return f"{ratio:.2f}"
    return f"[{'green' if ratio <= _BOUND else 'bold red'}]{ratio:.2f}"


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.logs", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="records for each contender and mode")
    parser.add_argument("--rounds", type=int, default=1, help="how often; medians are shown")
    parser.add_argument("--json", action="store_true", help="one JSON document in place of the table")
    for name, kind in (("worker", str), ("threads", int), ("offset", int)):
        parser.add_argument(f"--{name}", type=kind, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker is not None:
        print(json.dumps(work(options.worker, threads=options.threads, count=options.count, offset=options.offset)))
        return 0
    found = all_measured(options.count, options.rounds)
    if options.json:
        print(json.dumps({"count": options.count, "rounds": options.rounds, "modes": found}, indent=2))
    else:
        Console(width=max(Console().width, 150)).print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
