"""A check-up: whether the journal, its followers and their destinations are well, and what to do where they are not."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from .._journal import cursors, dead_letters, layout
from .._journal.cursors import Cursor
from .._journal.layout import SIGNALS, Signal
from .._journal.retention import kept_runs
from .._journal.unread import Reader, unread_bytes
from ..errors import JournalError
from .accounts import NOUNS, Counts, in_words
from .otlp.clock import seconds_ahead
from .otlp.destination import OtlpDestination


Health = Literal["good", "fair", "bad"]

# With less, a run of an hour may be the last that fits.
_LITTLE_ROOM: Final = 1024**3
_NO_ROOM: Final = 64 * 1024**2
# So much of the newest runs is read to find damage: seconds, not minutes.
_MOST_READ: Final = 256 * 1024**2
_SKEW_SECONDS: Final = 5.0
_PROBE_SECONDS: Final = 5.0
_NOTHING: Final[Mapping[Signal, bytes]] = {
    "traces": b'{"resourceSpans":[]}\n',
    "logs": b'{"resourceLogs":[]}\n',
    "metrics": b'{"resourceMetrics":[]}\n',
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    health: Health
    text: str
    advice: str = ""
    """What to do, where there is something to be done."""


# ── the journal ───────────────────────────────────────────────────────────────────────────────────


def look_at_journal(directory: Path, recovered: Sequence[str]) -> Iterator[Finding]:
    """Yield what is to be said of the journal in *directory*; *recovered* is what was done for dead processes."""
    runs = kept_runs(directory)
    yield _disk(directory, sum(run.size for run in runs), len(runs))
    failed = [sentence for sentence in recovered if sentence.startswith("could not")]
    for sentence in failed:
        advice = "what it had finished is safe in memory until the machine restarts: make room, and call this again"
        yield _journal("bad", sentence, advice)
    if not failed:
        done = f"; {len(recovered)} had something, and it is in the journal now" if recovered else ""
        yield _journal("good", f"no dead process has anything left in memory{done}")
    yield from _dropped(directory)
    yield _lines(sorted(runs, key=lambda run: run.touched, reverse=True), [run.path for run in runs])


def _journal(health: Health, text: str, advice: str = "") -> Finding:
    return Finding(topic="journal", health=health, text=text, advice=advice)


def _disk(directory: Path, size: int, count: int) -> Finding:
    free = shutil.disk_usage(directory).free
    text = f"{count:,} run{'s' * (count != 1)}, {_bytes(size)}; {_bytes(free)} are free"
    try:
        descriptor, path = tempfile.mkstemp(dir=directory, prefix=".doctor-")
        os.close(descriptor)
        Path(path).unlink()
    except OSError as error:
        return _journal(
            "bad", f"cannot write to {directory}: {error.strerror}", "give the user of the application the right to"
        )
    if free < _NO_ROOM:
        return _journal("bad", text, "make room: what is recorded from now on waits in memory, and then it is dropped")
    if free < _LITTLE_ROOM:
        return _journal("fair", text, "make room, or lower `max_total` or `retention`")
    return _journal("good", text)


def _dropped(directory: Path) -> Iterator[Finding]:
    reasons: dict[str, int] = {}
    for run in layout.processes(layout.runs_directory(directory)):
        for process in layout.processes(run):
            for reason, count in _reasons((layout.read_json(process / "process.json") or {}).get("counters")):
                reasons[reason] = reasons.get(reason, 0) + count
    if reasons:
        told = ", ".join(f"{count:,} ({reason.replace('_', ' ')})" for reason, count in sorted(reasons.items()))
        advice = "queue full: raise `memory_limit`; disk error: see above; the runs say which they were"
        yield _journal("fair", f"dropped before they reached the journal: {told}", advice)


def _reasons(counters: object) -> Iterator[tuple[str, int]]:
    for counted in counters.values() if isinstance(counters, dict) else ():
        dropped = counted.get("dropped") if isinstance(counted, dict) else None
        for reason, count in dropped.items() if isinstance(dropped, dict) else ():
            if isinstance(count, int) and count:
                yield str(reason), count


def _lines(newest: Sequence[Any], every: Collection[Path]) -> Finding:
    left, looked_at, damaged = _MOST_READ, 0, 0
    where = ""
    for run in newest:
        if left <= 0:
            break
        left -= unread_bytes(run.path, Cursor(), SIGNALS)
        looked_at += 1
        found = sum(
            read.is_damaged for signal in SIGNALS for read in Reader(run.path, is_thorough=True).lines(signal, Cursor())
        )
        damaged += found
        where = where or (run.path.name if found else "")
    of = "" if looked_at == len(every) else f" in the newest {looked_at:,} runs"
    if damaged:
        advice = "everybody passes over them; if there come more, look at the disk"
        return _journal(
            "fair", f"{damaged:,} damaged line{'s' * (damaged != 1)}{of}, the newest in run {where}", advice
        )
    return _journal("good", f"no damaged lines{of}")


# ── followers ─────────────────────────────────────────────────────────────────────────────────────


def follower_folders(directory: Path) -> dict[str, Path]:
    """Return the folders of all followers below *directory*, by name."""
    return {folder.name: folder for folder in cursors.followers(directory)}


def look_at_follower(directory: Path, folder: Path, topic: str) -> Iterator[Finding]:
    """Yield what is to be said of the cursors in a follower's *folder*."""
    rejected: dict[Signal, int] = {}
    delivered: dict[Signal, int] = {}
    size = runs = 0
    for run_folder in cursors.run_folders(folder):
        run = layout.runs_directory(directory) / run_folder.name
        try:
            cursor = cursors.load(run_folder)
        except JournalError as error:
            yield Finding(topic=topic, health="bad", text=str(error), advice="update branchline here")
            continue
        behind = unread_bytes(run, cursor, cursors.signals_of(run_folder))
        if behind:
            size += behind
            runs += 1
        for signal in SIGNALS:
            totals = cursor.totals(signal=signal)
            rejected[signal] = rejected.get(signal, 0) + totals.rejected
            delivered[signal] = delivered.get(signal, 0) + totals.delivered
    yield _behind(topic, size, runs, delivered)
    yield from _letters(folder, topic, rejected)


def _behind(topic: str, size: int, runs: int, delivered: Counts) -> Finding:
    if not size:
        so_far = f": {in_words(delivered)}" if any(delivered.values()) else ""
        return Finding(topic=topic, health="good", text=f"all is delivered{so_far}")
    text = f"{_bytes(size)} of {runs:,} run{'s' * (runs != 1)} wait to be delivered"
    return Finding(
        topic=topic, health="fair", text=text, advice="`branchline ship` delivers them; `--dry-run` says what it is"
    )


def _letters(folder: Path, topic: str, rejected: Mapping[Signal, int]) -> Iterator[Finding]:
    files = [path for run_folder in cursors.run_folders(folder) for path in dead_letters.files(run_folder)]
    last = None
    for path in files:
        for letter in dead_letters.letters_in(path):
            last = letter if last is None or letter.unix_nano >= last.unix_nano else last
    if last is not None:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(last.unix_nano / 1e9))
        count = in_words(rejected) or "nothing that is counted any more"
        text = f"refused: {count}; the last at {when}: {last.message or last.kind}"
        advice = f"remove the cause, then `branchline ship --refused`; they are in {folder}"
        yield Finding(topic=topic, health="bad", text=text, advice=advice)


# ── destinations ──────────────────────────────────────────────────────────────────────────────────


def look_at_destination(destination: OtlpDestination, *, now: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Yield what is to be said of a *destination*, which is asked to take nothing at all."""
    topic = destination.shown
    began = time.monotonic()
    answers = {signal: destination.deliver(signal, [_NOTHING[signal]]) for signal in destination.signals}
    took = (time.monotonic() - began) / max(len(answers), 1)
    if answers and all(answer.kind == "retry" for answer in answers.values()):
        said = next(iter(answers.values())).message
        advice = "start it, or correct the endpoint; until then all is kept in the journal"
        yield Finding(topic=topic, health="bad", text=f"does not answer: {said}", advice=advice)
        return
    yield Finding(topic=topic, health="good", text=f"answers in {took * 1000:.0f} ms")
    taken = [signal for signal, answer in answers.items() if answer.kind in {"accepted", "partial"}]
    if taken:
        yield Finding(topic=topic, health="good", text=f"takes {', '.join(f'{NOUNS[signal]}s' for signal in taken)}")
    for signal, answer in answers.items():
        if signal not in taken:
            text = f"does not take {NOUNS[signal]}s: {answer.message or answer.kind}"
            yield Finding(topic=topic, health="bad", text=text, advice=_advice(signal, answer.message))
    yield from _clock(destination, now)


def _advice(signal: Signal, message: str) -> str:
    if message.startswith(("401", "403")):
        return "set OTEL_EXPORTER_OTLP_HEADERS, or `headers` of bl.OTLP"
    if message.startswith("404"):
        return f"correct the endpoint, or set OTEL_{signal.upper()}_EXPORTER=none so that they stay in the journal"
    return "the server's own log says more"


def _clock(destination: OtlpDestination, now: Callable[[], float]) -> Iterator[Finding]:
    ahead = next(
        (
            found
            for endpoint in destination.endpoints.values()
            if (found := seconds_ahead(endpoint, timeout_seconds=_PROBE_SECONDS, now=now)) is not None
        ),
        None,
    )
    if ahead is None:
        return
    if abs(ahead) < _SKEW_SECONDS:
        yield Finding(topic=destination.shown, health="good", text="its clock and ours agree")
        return
    text = f"its clock is {abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} ours"
    advice = "set both by NTP: what seems to come from the future, or from long ago, some servers throw away"
    yield Finding(topic=destination.shown, health="fair", text=text, advice=advice)


def _bytes(size: int) -> str:
    number = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:,.1f} {unit}"
        number /= 1000
    return ""
