"""Salvage: what a dead process's ring still holds goes to its journal, with what it can no longer say itself."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import orjson

from .. import names
from ..redaction import Redactor
from . import layout
from .dead_rings import DeadRing
from .encode import Encoder
from .interrupted import interrupted
from .log_records import LogRecord
from .records import from_tuple, spilled_records
from .segments import Appender, finish_seals
from .span_records import SpanRecord
from .written import written_in


def salvage(ring: DeadRing, page: dict[str, Any]) -> str | None:
    """Give the journal what it lacks, and return a sentence about that; None where it lacked nothing."""
    process = Path(str(page["run_directory"])) / str(page["process"])
    progress = ring.progress
    known = written_in(process, progress)
    missing = [record for record in _records(ring) if _key(record) not in known.spans | known.logs]
    spans = [record for record in missing if isinstance(record, SpanRecord)]
    logs = [record for record in missing if isinstance(record, LogRecord)]

    last_alive = max([progress.heartbeat_unix_nano, known.latest, *(_seen_at(record) for record in missing)])
    closed = interrupted(known, spans, logs, last_alive)
    spilled = 0
    if missing or closed:
        is_on_disk = ring.path.parent == process
        spilled = _write(process, page, [*spans, *closed], logs, known.logs, sync=is_on_disk)
    finish_seals(process)
    counted = {
        "spans": progress.spans + len(known.spans) + len(spans) + len(closed),
        "logs": len(known.logs) + len(logs) + spilled,
        # Totals, said again and again: the ring has none of them.
        **({"metrics": known.points} if known.points else {}),
    }
    if missing or closed or not _has_ended(process):
        notes = known.notes + sum(record.name in names.LIFECYCLE for record in logs)
        titles = [span.title for span in closed]
        _note_state(process, page, counted, notes, len(spans), len(logs), last_alive, titles)
    if not missing and not closed:
        return None
    return (
        f"recovered {process.name}: {len(spans)} span(s) and {len(logs)} log record(s) from its ring, "
        f"{len(closed)} closed as interrupted"
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
