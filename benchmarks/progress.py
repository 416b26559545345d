"""What a tracked loop costs for each item, against tqdm and rich: ``python -m benchmarks.progress``.

The same loop over so many items with nothing in it, bare and tracked, one contender after another in each round. What
is shown goes to a stream that drops it, and with ``--terminal`` to a pseudo-terminal that somebody reads.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import pty
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

from rich.console import Console
from rich.table import Table


Track = Callable[[range], Iterable[int]]

# What is asked of branchline: at most so many times what tqdm adds.
_BOUND: Final = 3.0
_REFERENCE: Final = "tqdm"


class Nowhere(io.TextIOBase):
    """A stream that drops what is written to it."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        return len(text)


def contenders(stream: TextIO) -> dict[str, Track]:
    """Return every way to go through a range."""
    import rich.progress
    from tqdm import tqdm

    import branchline as bl

    console = Console(file=stream)
    return {
        "bare": iter,
        _REFERENCE: lambda items: tqdm(items, file=stream),
        "rich": lambda items: rich.progress.track(items, console=console),
        "branchline": lambda items: bl.track(items, "items"),
        "branchline, stall_after": lambda items: bl.track(items, "items", stall_after=50),
    }


def seconds_of(track: Track, count: int) -> float:
    """Return how long it takes to go through so many items."""
    items = range(count)
    began = time.perf_counter()
    for _ in track(items):
        pass
    return time.perf_counter() - began


def measured(count: int, rounds: int, stream: TextIO, directory: str) -> dict[str, list[float]]:
    """Return what each contender added in each round, in nanoseconds an item, without a run and within one."""
    import branchline as bl

    added: dict[str, list[float]] = {}
    with contextlib.redirect_stderr(stream):
        for is_in_a_run in (False, True):
            if is_in_a_run:
                bl.configure("benchmark", directory=directory)
            ways = contenders(stream)
            for _ in range(rounds):
                took = {name: seconds_of(track, count) for name, track in ways.items()}
                for name, spent in took.items():
                    title = f"{name}, in a run" if is_in_a_run and name.startswith("branchline") else name
                    if name != "bare":
                        added.setdefault(title, []).append((spent - took["bare"]) / count * 1e9)
        bl.shutdown()
    return added


@contextmanager
def stream_to(*, is_terminal: bool) -> Iterator[TextIO]:
    """Give a stream that drops what is written to it, or a terminal that somebody reads."""
    if not is_terminal:
        yield Nowhere()  # type: ignore[misc]  # as much of one as is written to
        return
    master, slave = pty.openpty()
    threading.Thread(target=_read, args=(master,), daemon=True).start()
    os.environ["TERM"] = "xterm-256color"
    os.environ.pop("CI", None)
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        yield stream


def _read(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(descriptor, 1 << 16):
            pass


def table(added: dict[str, list[float]], *, count: int, is_terminal: bool) -> Table:
    """Return the figures, and whether the bound is kept."""
    where = "on a terminal" if is_terminal else "elsewhere"
    made = Table(title=f"A tracked loop over {count:,} items, {where}: ns added to each")
    for column in ("", "ns", f"of {_REFERENCE}'s"):
        made.add_column(column, justify="right" if column else "left")
    reference = statistics.median(added[_REFERENCE])
    for name, figures in added.items():
        ns = statistics.median(figures)
        ratio = ns / reference
        colour = "green" if ratio <= _BOUND else "bold red"
        part = f"[{colour}]{ratio:.2f}[/] (at most {_BOUND:g})" if name.startswith("branchline") else f"{ratio:.2f}"
        made.add_row(name, f"{ns:.0f}", part)
    return made


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.progress", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000, help="items in each loop")
    parser.add_argument("--rounds", type=int, default=5, help="how often; medians are shown")
    parser.add_argument("--terminal", action="store_true", help="show it on a terminal")
    parser.add_argument("--json", action="store_true", help="one JSON document in place of the table")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory, stream_to(is_terminal=options.terminal) as stream:
        added: dict[str, Any] = measured(options.count, options.rounds, stream, directory)
    if options.json:
        medians = {name: statistics.median(figures) for name, figures in added.items()}
        print(json.dumps({"count": options.count, "rounds": options.rounds, "added_ns": medians}, indent=2))
    else:
        Console().print(table(added, count=options.count, is_terminal=options.terminal))
    return 0


if __name__ == "__main__":
    sys.exit(main())
