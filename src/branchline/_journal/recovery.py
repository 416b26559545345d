"""Recovery: what a dead process's ring still holds goes to its journal, and what it left open is closed."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import orjson

from .. import names
from ..redaction import Redactor
from . import layout
from .belonging import Scope
from .encode import Encoder
from .log_records import LogRecord
from .records import from_tuple, spilled_records
from .ring import RECOVERING, SLOTS_AT, SUFFIX, DeadRing, noted_rings, remove_unfinished, ring_folder, rings
from .segments import Appender, finish_seals
from .span_records import SpanRecord
from .written import OPENING, Opened, Written, written_in


_LIFECYCLE: Final = frozenset({*OPENING, names.STEP_CHECKPOINT})
# Somebody else's recovery takes milliseconds; a huge journal takes seconds.
_PATIENCE_SECONDS: Final = 5.0
# Containers may share their memory and not their disks: for so long a ring waits for one who has the disk it is of.
_HOMELESS_SECONDS: Final = 24 * 3600.0


def recover_runs(directory: str | os.PathLike[str]) -> list[str]:
    """Recover every dead process of the runs below *directory*; return a sentence for each."""
    folder = layout.runs_directory(directory)
    return [sentence for path in _ring_paths(folder) for sentence in _recovered(path, folder)]


def recover_run(run: Path) -> list[str]:
    """Recover the dead processes of one *run*; return a sentence for each."""
    return [sentence for path in _ring_paths(run.parent) for sentence in _recovered(path, run.parent, run)]


def make_room(most: int) -> None:
    """Recover up to *most* dead processes of any run: their rings fill the memory that another one needs."""
    folder = ring_folder()
    if folder is None:
        return
    remove_unfinished(folder)
    done = 0
    for path in rings(folder):
        if done >= most:
            return
        ring = DeadRing.open(path) if path.suffix == SUFFIX and _may_go(path) else None
        if ring is None:
            continue
        done += 1
        page = ring.page
        if page is None or _is_home(page):
            _finished(ring)
        else:
            # All of its runs are gone.
            ring.close(remove=True)


def home_of(run: Path) -> str:
    """Return what tells the folder of all runs that *run* is in from one of the same name on another disk."""
    try:
        found = run.parent.stat()
    except OSError:
        return ""
    return f"{found.st_dev}:{found.st_ino}"


def mounts() -> str:
    """Return what tells this container from those that see other disks; nothing where there are no containers."""
    try:
        return str(Path("/proc/self/ns/mnt").stat().st_ino)
    except OSError:
        return ""


def _is_home(page: dict[str, Any]) -> bool:
    run = Path(str(page.get("run_directory", "")))
    return run.parent.is_dir() and page.get("home") in ("", home_of(run))


def _age_seconds(page: dict[str, Any]) -> float:
    return time.time() - int(page.get("started_unix_nano", 0)) / 1e9


def _ring_paths(runs: Path) -> list[Path]:
    shared = ring_folder()
    if shared is not None:
        remove_unfinished(shared)
    # Only rings that found no room in shared memory lie with their process, and are noted beside the runs.
    return [*rings(shared), *noted_rings(layout.rings_directory(runs.parent))]


def _recovered(path: Path, runs: Path, run: Path | None = None) -> list[str]:
    if not _is_of(path, runs, run):
        return []
    ring = _opened(path)
    return [] if ring is None else _finished(ring)


def _opened(path: Path) -> DeadRing | None:
    """Return the ring at *path* if its owner is dead, or wait for another process that recovers it just now."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    # Whoever had it when it was listed may have given it back since.
    given_back, recovering = path.with_suffix(SUFFIX), path.with_suffix(RECOVERING)
    while True:
        ring = DeadRing.open(recovering if recovering.exists() else given_back)
        if ring is not None or not recovering.exists() or time.monotonic() > deadline:
            return ring
        time.sleep(0.005)


def _finished(ring: DeadRing) -> list[str]:
    """Recover *ring* and remove it; where that cannot be done, it stays for the next one."""
    page = ring.page
    if page is None:
        # One that another version made is that version's to read.
        ring.close(remove=ring.is_blank)
        return []
    is_done = False
    try:
        sentence = _recover(ring, page)
        is_done = True
    except Exception as error:  # no room, no right to write, or a damage that nobody thought of
        return [f"could not recover {page.get('process')}: {error}"]
    finally:
        ring.close(remove=is_done)
    return [] if sentence is None else [sentence]


def _is_of(path: Path, runs: Path, run: Path | None) -> bool:
    """Whether the ring at *path* belongs here; read without its lock, which its owner may hold."""
    head = _head(path) or _head(path.with_suffix(RECOVERING)) or _head(path.with_suffix(SUFFIX))
    if head is None:
        return False
    page = DeadRing.page_in(head)
    if page is None:
        return not any(head)
    belongs_to = Path(str(page.get("run_directory", "")))
    is_named = belongs_to == run.resolve() if run is not None else belongs_to.parent == runs.resolve()
    return is_named and _is_home(page)


def _may_go(path: Path) -> bool:
    """Whether we may take away the ring at *path* when its owner is dead; looking at its head costs next to nothing."""
    head = _head(path)
    if head is None:
        return False
    page = DeadRing.page_in(head)
    if page is None:
        # One that another version made is that version's to read.
        return not any(head)
    # Otherwise its runs are on a disk that this container does not see, and wait for one that does.
    return _is_home(page) or page.get("mounts") == mounts() or _age_seconds(page) > _HOMELESS_SECONDS


def _head(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(SLOTS_AT)
    except OSError:
        return None


def _recover(ring: DeadRing, page: dict[str, Any]) -> str | None:
    """Return a sentence about what the journal lacked; None where it lacked nothing."""
    process = Path(str(page["run_directory"])) / str(page["process"])
    progress = ring.progress
    known = written_in(process, progress)
    missing = [record for record in _records(ring) if _key(record) not in known.spans | known.logs]
    spans = [record for record in missing if isinstance(record, SpanRecord)]
    logs = [record for record in missing if isinstance(record, LogRecord)]

    last_alive = max([progress.heartbeat_unix_nano, known.latest, *(_seen_at(record) for record in missing)])
    interrupted = _interrupted(known, spans, logs, last_alive)
    spilled = 0
    if missing or interrupted:
        is_on_disk = ring.path.parent == process
        spilled = _write(process, page, [*spans, *interrupted], logs, known.logs, sync=is_on_disk)
    finish_seals(process)
    counted = {
        "spans": progress.spans + len(known.spans) + len(spans) + len(interrupted),
        "logs": len(known.logs) + len(logs) + spilled,
        # Totals, said again and again: the ring has none of them.
        **({"metrics": known.points} if known.points else {}),
    }
    if missing or interrupted or not _has_ended(process):
        notes = known.notes + sum(record.name in names.LIFECYCLE for record in logs)
        titles = [span.title for span in interrupted]
        _note_state(process, page, counted, notes, len(spans), len(logs), last_alive, titles)
    if not missing and not interrupted:
        return None
    return (
        f"recovered {process.name}: {len(spans)} span(s) and {len(logs)} log record(s) from its ring, "
        f"{len(interrupted)} closed as interrupted"
    )


def _records(ring: DeadRing) -> list[SpanRecord | LogRecord]:
    found: list[SpanRecord | LogRecord] = []
    for data in ring.records():
        try:
            found.append(from_tuple(orjson.loads(data)))
        except (ValueError, TypeError, IndexError):
            # A version that we do not know, or damage that the checksum did not show.
            continue
    # The ring has no order of its own, and what a later record says counts.
    return sorted(found, key=_moment)


def _key(record: SpanRecord | LogRecord) -> str:
    return f"{record.number:016x}" if isinstance(record, SpanRecord) else record.uid


def _seen_at(record: SpanRecord | LogRecord) -> int:
    """Return when the process was there for certain: the time of a log record is whatever somebody said."""
    return _moment(record) if isinstance(record, SpanRecord) else record.observed or record.time


def _moment(record: SpanRecord | LogRecord) -> int:
    return (record.ended or record.began) if isinstance(record, SpanRecord) else record.time


# ── what was open ─────────────────────────────────────────────────────────────────────────────────


def _interrupted(known: Written, spans: list[SpanRecord], logs: list[LogRecord], last_alive: int) -> list[SpanRecord]:
    for record in logs:
        if record.name in _LIFECYCLE and record.span_number is not None:
            span_id = f"{record.span_number:016x}"
            data = {**_identity_of(record), **record.data}
            if record.name in OPENING:
                known.opened[span_id] = Opened(trace_hex=str(record.trace_hex), data=data)
            else:
                known.checkpoints.setdefault(span_id, []).append(data)
    ended = known.closed | known.spans | {_key(span) for span in spans}
    return [
        _closing(span_id, opened, known.checkpoints.get(span_id, ()), last_alive)
        for span_id, opened in known.opened.items()
        if span_id not in ended
    ]


def _identity_of(record: LogRecord) -> dict[str, Any]:
    identity = record.identity
    if identity is None:
        return {}
    described = {
        names.EXPERIMENT_NAME: identity.experiment_name,
        names.BRANCH_ID: identity.branch_id,
        names.BRANCH_NAME: identity.branch_name,
    }
    return {key: value for key, value in described.items() if value is not None}


def _closing(span_id: str, opened: Opened, checkpoints: Iterable[dict[str, Any]], end: int) -> SpanRecord:
    described = opened.data
    role = described.get(names.KIND)
    data = dict(described.get(names.SPAN_ATTRIBUTES) or {})
    marks: list[Any] = []
    for checkpoint in checkpoints:
        data.update(checkpoint.get(names.SPAN_ATTRIBUTES) or {})
        marks.extend(
            (str(event.get("name", "")), int(event.get("time_unix_nano") or end), event.get("attributes"), 0)
            for event in checkpoint.get(names.SPAN_EVENTS) or ()
        )
    if role == names.KIND_BRANCH:
        data[names.BRANCH_STATUS] = names.INTERRUPTED
    identity: dict[str, Any] = {
        key: described[key] for key in (names.EXPERIMENT_NAME, names.BRANCH_ID, names.BRANCH_NAME) if key in described
    }
    began = int(described.get(names.SPAN_START) or end)
    parent = described.get(names.SPAN_PARENT_ID)
    return SpanRecord(
        trace_hex=opened.trace_hex,
        number=int(span_id, 16),
        parent_number=int(parent, 16) if parent else None,
        title=str(described.get(names.SPAN_NAME, "")),
        began=began,
        ended=max(end, began),
        role=role,
        outcome=names.INTERRUPTED,
        code=2,
        note="the process died",
        data={**identity, **data},
        marks=marks,
        scope=None if role is not None else Scope("unknown", None),
    )


# ── writing it down ───────────────────────────────────────────────────────────────────────────────


def _redactor(page: dict[str, Any]) -> Redactor:
    """Return what takes out what this process called secret; what comes out of a dead memory is always redacted."""
    told = orjson.loads(str(page.get("redact") or "{}"))
    patterns = [re.compile(pattern, flags) for pattern, flags in told.get("patterns", ())]
    return Redactor(extra_keys=told.get("keys", ()), extra_patterns=patterns)


def _write(
    process: Path, page: dict[str, Any], spans: list[SpanRecord], logs: list[LogRecord], known: set[str], *, sync: bool
) -> int:
    """Write everything, and return how many events were spilled; who dies in the middle is followed by another.

    With *sync* all is on the disk before the ring goes, which was there too; shared memory survives no power loss.
    """
    encoder = Encoder(orjson.loads(str(page["resource"])), _redactor(page), version=names.VERSION)
    layout.private_directory(process)
    layout.create_json_once(
        process.parent / "run.json",
        {
            "version": layout.VERSION,
            "run_id": page["run_id"],
            "created_unix_nano": page["started_unix_nano"],
            "service_name": page["service_name"],
            "process": page["process"],
        },
    )
    span_lines = encoder.span_lines(spans) if spans else b""
    spilled = [record for record in spilled_records(encoder.spilled) if record.uid not in known]
    traces, log_files = Appender(process, "traces", sync=sync), Appender(process, "logs", sync=sync)
    try:
        # A span that is there is whole: what was spilled from it comes first.
        if logs or spilled:
            log_files.append(encoder.log_lines([*logs, *spilled]))
        if spans:
            traces.append(span_lines)
    finally:
        traces.close()
        log_files.close()
    return len(spilled)


def _has_ended(process: Path) -> bool:
    return (layout.read_json(process / "process.json") or {}).get("state") == "ended"


def _note_state(
    process: Path,
    page: dict[str, Any],
    counted: dict[str, int],
    notes: int,
    spans: int,
    logs: int,
    last_alive: int,
    interrupted: list[str],
) -> None:
    layout.private_directory(process)
    known = layout.read_json(process / "process.json") or {
        "version": layout.VERSION,
        "run_id": page["run_id"],
        "process": page["process"],
        "pid": page["pid"],
        "host": "",
        "started_unix_nano": page["started_unix_nano"],
        "parent_pid": 0,
        "metadata": {},
        "oddities": {},
    }
    if "metrics" in (known.get("counters") or {}):
        counted = {"metrics": 0, **counted}
    # One that ended, but could not write all it had, was not killed.
    death = (
        {}
        if _has_ended(process)
        else {
            "state": "recovered",
            "ended_unix_nano": last_alive or None,
            "heartbeat_unix_nano": last_alive or None,
            "exit": "killed",
        }
    )
    layout.replace_json(
        process / "process.json",
        {
            **known,
            **death,
            "ring": None,
            "counters": (known.get("counters") or {})
            | {
                signal: _counters(known, signal, count) | ({"notes": notes} if signal == "logs" else {})
                for signal, count in counted.items()
            },
            "recovered": {
                "unix_nano": time.time_ns(),
                "spans": spans,
                "logs": logs,
                "interrupted": interrupted,
            },
        },
    )


def _counters(known: dict[str, Any], signal: str, journaled: int) -> dict[str, Any]:
    """Return what was recorded of *signal*: what the journal has now, and what the process last said it gave up."""
    last = (known.get("counters") or {}).get(signal) or {}
    dropped = dict(last.get("dropped") or {})
    sampled_out = int(last.get("sampled_out") or 0)
    lost = int(last.get("recorded") or 0) - journaled - sampled_out - sum(dropped.values())
    if signal == "metrics" and lost > 0:
        # On their way to a disk that did not take them, and in no ring.
        dropped["not_written"] = dropped.get("not_written", 0) + lost
    return {
        "recorded": journaled + sampled_out + sum(dropped.values()),
        "journaled": journaled,
        "sampled_out": sampled_out,
        "dropped": dropped,
    }
