"""``make faults``: what every fault costs, as one table. All is counted, nothing is assumed.

Each row is a program of its own that records against an endpoint of its own, in a process of its own, that fails in
one way. What has arrived there is counted when the program has ended, and again after ``branchline ship``.
"""

from __future__ import annotations

import argparse
import array
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from fault_rows import ENDED, FAULTS, FINISHED, HEALTHY, PLACES, PRELUDE, Fault
from programs import Child
from rich.console import Console
from rich.table import Table


sys.path.insert(0, str(Path(__file__).parents[1]))

from endpoints import Received, RemoteEndpoint  # in the folder above


EXIT_MARGIN: Final = 0.2
SICK_OVER_HEALTHY: Final = 1.5
SHIP_SECONDS: Final = 120.0
# Of a run at full speed or of a few hundred calls, a percentile says nothing about the endpoint.
_ENOUGH: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one fault has cost."""

    section: str
    name: str
    finished: int
    at_exit: int
    """How many of them had arrived when the application had ended."""
    delivered: int
    """The same, after ``branchline ship``."""
    refused: int
    """How many wait as dead letters, because the endpoint does not want them."""
    kept: int
    """How many are delivered, refused, or both: of those that are refused in part, nobody knows which."""
    repeated: int
    dropped: int
    p999_us: float | None
    exit_seconds: float | None
    """From the last statement of the program to the end of its process."""
    code: int
    wrong: tuple[str, ...] = ()
    """What is not as it must be."""

    @property
    def lost(self) -> int:
        """How many have finished, and are neither delivered nor kept for who wants to look at them.

        What was being counted when the process died may have arrived uncounted.
        """
        return max(self.finished - self.kept, 0)


def measured(fault: Fault, home: Path) -> Row:
    """Let it happen, with everything it writes below *home*."""
    with RemoteEndpoint() as endpoint:
        endpoint.behave(**(fault.first or {"kind": "healthy"}))
        arguments = (endpoint.url, fault.rate, fault.count, fault.name)
        prelude = f"ENDED, FINISHED = {ENDED}, {FINISHED}\n{PRELUDE}"
        with Child(home, fault.source, *arguments, prelude=prelude, mounts=fault.mounts) as child:
            with _behaving(endpoint, fault):
                if fault.kill_after is not None:
                    child.wait_until(FINISHED, 1)
                    time.sleep(fault.kill_after)
                    child.kill()
                ended = child.wait()
                ended_at = time.monotonic_ns()
            finished = sum(child.ledger[place] for place in range(FINISHED, PLACES))
            over = child.ledger[ENDED]
        at_exit = _distinct(endpoint.received)
        if not fault.is_refused:
            endpoint.behave("healthy")
        shipped = _ship(home, endpoint.url)
        received = endpoint.received
    letters = _dead_letters(home)
    return Row(
        section=fault.section,
        name=fault.name,
        finished=finished,
        at_exit=at_exit,
        delivered=_distinct(received),
        refused=len(letters),
        kept=len({name.rpartition("-")[2] for name in received.spans} | letters),
        repeated=received.spans.total() - len(received.spans),
        dropped=_dropped(home),
        p999_us=_p999(home / "took"),
        exit_seconds=None if not over else (ended_at - over) / 1e9,
        code=ended.code,
        wrong=() if shipped.returncode == 0 or fault.is_refused else (f"ship: {shipped.stderr.strip()[-300:]}",),
    )


@contextmanager
def _behaving(endpoint: RemoteEndpoint, fault: Fault) -> Iterator[None]:
    """Change the endpoint's behaviour at the times of *fault*, for as long as the application runs."""
    began = time.monotonic()
    is_over = threading.Event()

    def change() -> None:
        for seconds, behaviour in fault.later:
            if is_over.wait(max(began + seconds - time.monotonic(), 0)):
                return
            endpoint.behave(**behaviour)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _ship(home: Path, url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "branchline", "ship", "--all", "--to", url, "--directory", str(home / "journal")]
    return subprocess.run(command, capture_output=True, text=True, timeout=SHIP_SECONDS, check=False)


def _distinct(received: Received) -> int:
    return len(received.spans)


def _dead_letters(home: Path) -> set[str]:
    """Return the ids of the spans that were refused for good, as the files beside the cursors have them."""
    found: set[str] = set()
    for path in home.rglob("dead-letters-*.jsonl"):
        for line in path.read_bytes().splitlines():
            content = json.loads(line)["line"]
            for resource in content.get("resourceSpans", ()):
                found |= {span["spanId"] for scope in resource["scopeSpans"] for span in scope["spans"]}
    return found


def _dropped(home: Path) -> int:
    """Return how many spans the application's processes say that they gave up."""
    states = [json.loads(path.read_bytes()) for path in home.rglob("process.json")]
    return sum(sum(state["counters"]["spans"]["dropped"].values()) for state in states)


def _p999(path: Path) -> float | None:
    took = array.array("q")
    if path.exists():
        took.frombytes(path.read_bytes())
    return sorted(took)[int(len(took) * 0.999)] / 1e3 if len(took) >= _ENOUGH else None


# ── judging ───────────────────────────────────────────────────────────────────────────────────────


def judged(fault: Fault, row: Row, healthy_us: float | None) -> Row:
    """Say what of *row* is not as it must be."""
    wrong = list(row.wrong)
    if row.lost:
        wrong.append(f"{row.lost} lost")
    if row.repeated and not fault.may_repeat:
        wrong.append(f"{row.repeated} twice")
    if row.dropped:
        wrong.append(f"{row.dropped} dropped")
    if row.code != fault.code:
        wrong.append(f"exit code {row.code}")
    if row.exit_seconds is not None and row.exit_seconds > fault.exit_timeout + EXIT_MARGIN:
        wrong.append(f"exit took {row.exit_seconds:.1f} s")
    if fault.is_compared and healthy_us and row.p999_us and row.p999_us > healthy_us * SICK_OVER_HEALTHY:
        wrong.append(f"p99.9 is {row.p999_us / healthy_us:.1f} of the healthy run's")
    return Row(**{**asdict(row), "wrong": tuple(wrong)})


def _again(fault: Fault, row: Row) -> Row:
    """Measure once more, beside the healthy run: a neighbour's moment must not be taken for the endpoint's."""
    with tempfile.TemporaryDirectory(prefix="branchline-faults-") as home:
        healthy = measured(HEALTHY, Path(home))
    with tempfile.TemporaryDirectory(prefix="branchline-faults-") as home:
        again = judged(fault, measured(fault, Path(home)), healthy.p999_us)
    return again if len(again.wrong) <= len(row.wrong) else row


def table(rows: Sequence[Row]) -> Table:
    """Return *rows* as a person reads them."""
    shown = Table(box=None, header_style="dim", pad_edge=False)
    shown.add_column("fault")
    for title in ("finished", "at exit", "delivered", "refused", "lost", "twice", "dropped", "p99.9 µs", "exit s"):
        shown.add_column(title, justify="right")
    shown.add_column("")
    section = None
    for row in rows:
        if row.section != section:
            shown.add_row(f"[bold]{row.section}[/]")
            section = row.section
        numbers = (row.finished, row.at_exit, row.delivered, row.refused, row.lost, row.repeated, row.dropped)
        shown.add_row(
            f"  {row.name}",
            *(f"{number:,}" for number in numbers),
            "" if row.p999_us is None else f"{row.p999_us:,.0f}",
            "" if row.exit_seconds is None else f"{row.exit_seconds:.2f}",
            f"[red]✗ {'; '.join(row.wrong)}[/]" if row.wrong else "[green]✓[/]",
        )
    return shown


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 1 when a row is not as it must be."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", default="", help="only the rows whose section or name has TEXT in it")
    parser.add_argument("--json", action="store_true", help="one JSON document in place of the table")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    rows: list[Row] = []
    healthy_us: float | None = None
    chosen = [fault for fault in FAULTS if options.only in f"{fault.section} {fault.name}"]
    with console.status("starting") as status:
        for fault in chosen:
            status.update(f"{len(rows) + 1} of {len(chosen)}: {fault.name}")
            with tempfile.TemporaryDirectory(prefix="branchline-faults-") as home:
                row = measured(fault, Path(home))
            healthy_us = row.p999_us if fault is HEALTHY else healthy_us
            row = judged(fault, row, healthy_us)
            if row.wrong and fault.is_compared and healthy_us:
                status.update(f"{len(rows) + 1} of {len(chosen)}: {fault.name}, once more, beside a healthy endpoint")
                row = _again(fault, row)
            rows.append(row)
    if options.json:
        print(json.dumps([{**asdict(row), "lost": row.lost} for row in rows], indent=2))
    else:
        Console(width=None if Console().is_terminal else 170).print(table(rows))
    return 1 if any(row.wrong for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
