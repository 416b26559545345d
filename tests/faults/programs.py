"""Programs that run as children of a test, under a watchdog, and what they left on the disk."""

from __future__ import annotations

import collections
import gzip
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson
from ledger import Ledger


HERE = Path(__file__).parent
# No child of these tests takes a tenth of this, however busy the machine: who reaches it hangs.
WATCHDOG_SECONDS = 120.0

PRELUDE = """\
import os, sys, time, threading, signal, atexit
import branchline as bl
from ledger import Ledger

HOME = sys.argv[1]
ledger = Ledger(os.path.join(HOME, "ledger"))
"""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a child ended and what it said."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def complaints(self) -> list[str]:
        """What branchline said on stderr."""
        return [line for line in self.err.splitlines() if line.startswith("branchline:")]


class Child:
    """A program that runs; killed with all that it started when the test leaves the block or the watchdog bites."""

    def __init__(
        self,
        home: Path,
        source: str,
        *args: object,
        env: Mapping[str, str] | None = None,
        mounts: str | None = None,
        prelude: str = "",
    ) -> None:
        """Start *source*, after the prelude, with *home* as its first argument.

        With *mounts*, shell commands, it has a view of the file system of its own, and after it a reader looks at
        its journal there, once more, as whoever comes next would.
        """
        self.home = home
        program = home / "program.py"
        program.write_text(PRELUDE + prelude + textwrap.dedent(source))
        self.ledger = Ledger(home / "ledger")
        command = [sys.executable, str(program), str(home), *map(str, args)]
        if mounts is not None:
            reader = "from branchline import read; read.open_runs('journal')"
            script = f'set -e\n{mounts}\nset +e\n"$@"\ncode=$?\n"$0" -c "{reader}"\nexit $code'
            command = ["unshare", "--mount", "sh", "-c", script, sys.executable, *command]
        self._began = time.monotonic()
        self._out = (home / "out").open("wb")
        self._err = (home / "err").open("wb")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            env={
                **os.environ,
                "PYTHONPATH": str(HERE),
                "PYTHONFAULTHANDLER": "1",
                # Python 3.12 warns of every fork beside threads; that is what is tested here.
                "PYTHONWARNINGS": "ignore:This process:DeprecationWarning",
                **(env or {}),
            },
            cwd=home,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_all()
        self.process.wait()
        self._out.close()
        self._err.close()

    def _end_all(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def wait(self, seconds: float = WATCHDOG_SECONDS) -> Ended:
        """Return how it ended; one that hangs is killed, after saying where it hung, and fails the test."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self._end_all()
            raise AssertionError(f"still running after {seconds} s:\n{self._last_words()}") from None
        return Ended(
            code=code,
            out=(self.home / "out").read_text(),
            err=(self.home / "err").read_text(errors="replace"),
            seconds=time.monotonic() - self._began,
        )

    def _last_words(self) -> str:
        return (self.home / "err").read_text(errors="replace")[-4000:]

    def wait_until(self, place: int, count: int, seconds: float = WATCHDOG_SECONDS) -> None:
        """Return when the ledger's counter at *place* has reached *count*."""
        deadline = time.monotonic() + seconds
        while self.ledger[place] < count:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"ended with {self.process.poll()} before it got there:\n{self._last_words()}")
            time.sleep(0.001)

    def kill(self) -> None:
        """Kill it, at once."""
        self.process.kill()
        self.process.wait()


def run(
    home: Path, source: str, *args: object, env: Mapping[str, str] | None = None, mounts: str | None = None
) -> Ended:
    """Run *source* to its end."""
    with Child(home, source, *args, env=env, mounts=mounts) as child:
        return child.wait()


def mounting() -> str | None:
    """Return why this user cannot mount file systems, or None who can."""
    try:
        tried = subprocess.run(
            ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True, check=False
        )
    except OSError as error:
        return f"cannot mount: {error}"
    return f"cannot mount: {tried.stderr.strip()}" if tried.returncode else None


# ── what is on the disk ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Disk:
    """All that is in the journals below a directory, as it is: nothing merged, nothing repaired."""

    spans: list[dict[str, Any]]
    logs: list[dict[str, Any]]
    torn: int

    def named(self, name: str) -> list[dict[str, Any]]:
        """Return the spans called *name*."""
        return [span for span in self.spans if span["name"] == name]

    def counts(self, name: str, key: str = "n") -> collections.Counter[Any]:
        """Return how often each value of the attribute *key* is there, over the spans called *name*."""
        return collections.Counter(attribute(span, key) for span in self.named(name))

    def outcome(self, name: str) -> list[Any]:
        """Return the outcomes of the spans called *name*."""
        return [attribute(span, "branchline.outcome") for span in self.named(name)]


def disk(home: Path) -> Disk:
    """Read every line of every journal below *home*."""
    spans: list[dict[str, Any]] = []
    logs: list[dict[str, Any]] = []
    torn = 0
    for path in journal_files(home):
        for line in lines(path):
            try:
                parsed = orjson.loads(line)
            except ValueError:
                torn += 1
                continue
            for resource in parsed.get("resourceSpans", ()):
                spans.extend(span for scope in resource["scopeSpans"] for span in scope["spans"])
            for resource in parsed.get("resourceLogs", ()):
                logs.extend(log for scope in resource["scopeLogs"] for log in scope["logRecords"])
    return Disk(spans, logs, torn)


def journal_files(home: Path) -> list[Path]:
    """Return the files in force: a plain one beats its compressed twin."""
    found: dict[str, Path] = {}
    for path in sorted(home.rglob("*.jsonl.gz")) + sorted(home.rglob("*.jsonl")):
        found[str(path).removesuffix(".gz")] = path
    return sorted(found.values())


def lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a plain or compressed file."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    yield from data.splitlines()


def attribute(record: Mapping[str, Any], key: str) -> Any:
    """Return an attribute of a span, event or log record; None when it has none."""
    for item in record.get("attributes", ()):
        if item["key"] == key:
            for kind, value in item["value"].items():
                return int(value) if kind == "intValue" else value
    return None


def states(home: Path) -> list[dict[str, Any]]:
    """Return every process.json below *home*."""
    return [orjson.loads(path.read_bytes()) for path in sorted(home.rglob("process.json"))]


def balances(home: Path) -> list[str]:
    """Return where recorded is not journaled + dropped + sampled out: an empty list is what must be."""
    wrong = []
    for state in states(home):
        for signal_name, counted in state["counters"].items():
            accounted = counted["journaled"] + counted["sampled_out"] + sum(counted["dropped"].values())
            if counted["recorded"] != accounted:
                wrong.append(f"{state['process']} {signal_name}: {counted}")
    return wrong
