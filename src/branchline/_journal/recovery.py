"""Recovery: what a dead process's ring still holds goes to its journal, and what it left open is closed."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from .. import names
from ..redaction import Redactor
from . import layout
from .encode import Encoder
from .layout import Segment
from .records import LogRecord, Scope, SpanRecord, from_tuple
from .ring import DeadRing, Progress, ring_folder, rings
from .segments import Appender


_OPENING: Final = frozenset({names.EXPERIMENT_STARTED, names.BRANCH_STARTED, names.STEP_STARTED})
_LIFECYCLE: Final = frozenset({*_OPENING, names.STEP_CHECKPOINT})


@dataclass(slots=True)
class _Found:
    """What the journal of a dead process has, from a place on."""

    spans: set[str] = field(default_factory=set)
    logs: set[str] = field(default_factory=set)
    opened: dict[str, dict[str, Any]] = field(default_factory=dict)
    checkpoints: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    latest: int = 0


def recover_runs(directory: str | os.PathLike[str]) -> list[str]:
    """Recover every dead process of the runs below *directory*; return a sentence for each."""
    folder = layout.runs_directory(directory)
    done: list[str] = []
    for path in _ring_paths(folder):
        done.extend(_recovered(path, folder))
    return done


def recover_run(run: Path) -> list[str]:
    """Recover the dead processes of one *run*; return a sentence for each."""
    return [sentence for path in _ring_paths(run.parent, run) for sentence in _recovered(path, run.parent, run)]


def _ring_paths(runs: Path, run: Path | None = None) -> Iterator[Path]:
    # Shared memory is the index. Only rings that found no room there lie with their process.
    yield from rings(ring_folder())
    for folder in [run] if run is not None else _folders(runs):
        for process in layout.processes(folder):
            yield from rings(process)


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _recovered(path: Path, runs: Path, run: Path | None = None) -> list[str]:
    if not _is_of(path, runs, run):
        return []
    ring = DeadRing.open(path)
    if ring is None:
        return []
    page = ring.page
    if page is None:
        # Its owner died while making it: there was nothing in it yet.
        ring.close(remove=True)
        return []
    is_done = False
    try:
        sentence = _recover(ring, page)
        is_done = True
    except OSError as error:
        # No room, no right to write: the ring stays for the next one.
        return [f"could not recover {page.get('process')}: {error}"]
    finally:
        ring.close(remove=is_done)
    return [sentence]


def _is_of(path: Path, runs: Path, run: Path | None) -> bool:
    """Whether the ring at *path* belongs here; read without its lock, which its owner may hold."""
    try:
        with path.open("rb") as file:
            head = file.read(8192)
    except OSError:
        return False
    page = DeadRing.page_in(head)
    if page is None:
        return True
    belongs_to = Path(str(page.get("run_directory", "")))
    return belongs_to == run.resolve() if run is not None else belongs_to.parent == runs.resolve()


def _recover(ring: DeadRing, page: dict[str, Any]) -> str:
    process = Path(str(page["run_directory"])) / str(page["process"])
    progress = ring.progress
    records = list(_records(ring))
    known = _journal_of(process, progress)
    missing = [record for record in records if _key(record) not in (known.spans | known.logs)]
    spans = [record for record in missing if isinstance(record, SpanRecord)]
    logs = [record for record in missing if isinstance(record, LogRecord)]

    last_alive = max([progress.heartbeat_unix_nano, known.latest, *(_moment(record) for record in missing)])
    interrupted = _interrupted(known, missing, last_alive)
    if missing or interrupted:
        _write(process, page, [*spans, *interrupted], logs)
    _note_state(process, page, len(spans), len(logs), last_alive, [span.title for span in interrupted])
    return (
        f"recovered {process.name}: {len(spans)} span(s) and {len(logs)} log record(s) from its ring, "
        f"{len(interrupted)} closed as interrupted"
    )


def _records(ring: DeadRing) -> Iterator[SpanRecord | LogRecord]:
    for data in ring.records():
        try:
            yield from_tuple(orjson.loads(data))
        except (ValueError, TypeError, IndexError):
            # A version that we do not know, or damage that the checksum did not show.
            continue


def _key(record: SpanRecord | LogRecord) -> str:
    return f"{record.number:016x}" if isinstance(record, SpanRecord) else record.uid


def _moment(record: SpanRecord | LogRecord) -> int:
    return (record.ended or record.began) if isinstance(record, SpanRecord) else record.time


# ── what the journal has ──────────────────────────────────────────────────────────────────────────


def _journal_of(process: Path, progress: Progress) -> _Found:
    found = _Found()
    for segment in layout.segments(process):
        if segment.signal == "traces":
            start = _start(segment, progress.traces_segment, progress.traces_offset)
            for span in _objects(segment, start, "resourceSpans", "scopeSpans", "spans"):
                found.spans.add(str(span.get("spanId")))
                found.latest = max(found.latest, int(span.get("endTimeUnixNano", 0)))
        elif segment.signal == "logs":
            # All of them: a span that is open now may have been opened long ago.
            for record in _objects(segment, 0, "resourceLogs", "scopeLogs", "logRecords"):
                _take_log(found, record)
    _take_closed(found, process)
    return found


def _start(segment: Segment, number: int, offset: int) -> int | None:
    """Return where to read *segment* from, or None for not at all."""
    if segment.number < number:
        return None
    return offset if segment.number == number and not segment.is_sealed else 0


def _objects(segment: Segment, start: int | None, outer: str, middle: str, inner: str) -> Iterator[dict[str, Any]]:
    if start is None:
        return
    for line in _lines(segment, start):
        try:
            parsed = orjson.loads(line)
            for resource in parsed.get(outer, ()):
                for scope in resource.get(middle, ()):
                    yield from scope.get(inner, ())
        except (ValueError, AttributeError, TypeError):
            # A torn line.
            continue


def _lines(segment: Segment, start: int) -> Iterator[bytes]:
    try:
        with gzip.open(segment.path, "rb") if segment.is_sealed else segment.path.open("rb") as file:
            file.seek(start)
            yield from file
    except (OSError, EOFError):
        return


def _take_log(found: _Found, record: dict[str, Any]) -> None:
    attributes = _plain(record.get("attributes", ()))
    uid = attributes.get(names.LOG_UID)
    if isinstance(uid, str):
        found.logs.add(uid)
    found.latest = max(found.latest, int(record.get("timeUnixNano", 0)))
    name, span_id = record.get("eventName"), record.get("spanId")
    if name in _OPENING and span_id:
        found.opened[span_id] = {"trace_hex": record.get("traceId"), "data": attributes}
    elif name == names.STEP_CHECKPOINT and span_id:
        found.checkpoints.setdefault(span_id, []).append(attributes)


def _take_closed(found: _Found, process: Path) -> None:
    """Find out which of the opened spans have ended: the only thing that needs all of the traces."""
    wanted = set(found.opened)
    for segment in layout.segments(process, "traces"):
        if not wanted:
            return
        for line in _lines(segment, 0):
            for span_id in [span_id for span_id in wanted if f'"spanId":"{span_id}"'.encode() in line]:
                found.closed.add(span_id)
                wanted.discard(span_id)


def _plain(attributes: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {item["key"]: _value(item.get("value", {})) for item in attributes if "key" in item}


def _value(value: dict[str, Any]) -> Any:
    for kind, inner in value.items():
        if kind == "intValue":
            return int(inner)
        if kind == "arrayValue":
            return [_value(item) for item in inner.get("values", ())]
        if kind == "kvlistValue":
            return _plain(inner.get("values", ()))
        return inner
    return None


# ── what was open ─────────────────────────────────────────────────────────────────────────────────


def _interrupted(known: _Found, missing: list[SpanRecord | LogRecord], last_alive: int) -> list[SpanRecord]:
    for record in missing:
        if isinstance(record, LogRecord) and record.name in _LIFECYCLE and record.span_number is not None:
            span_id = f"{record.span_number:016x}"
            data = {**_identity_of(record), **record.data}
            if record.name in _OPENING:
                known.opened[span_id] = {"trace_hex": record.trace_hex, "data": data}
            else:
                known.checkpoints.setdefault(span_id, []).append(data)
    ended = known.closed | known.spans | {_key(record) for record in missing if isinstance(record, SpanRecord)}
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


def _closing(span_id: str, opened: dict[str, Any], checkpoints: Iterable[dict[str, Any]], end: int) -> SpanRecord:
    described = opened["data"]
    role = described.get(names.KIND)
    data = dict(described.get(names.SPAN_ATTRIBUTES) or {})
    marks: list[Any] = []
    for checkpoint in checkpoints:
        data.update(checkpoint.get(names.SPAN_ATTRIBUTES) or {})
        marks.extend(
            (event["name"], event["time_unix_nano"], event.get("attributes"), 0)
            for event in checkpoint.get(names.SPAN_EVENTS) or ()
        )
    if role == names.KIND_BRANCH:
        data[names.BRANCH_STATUS] = names.INTERRUPTED
    identity = {
        key: described[key] for key in (names.EXPERIMENT_NAME, names.BRANCH_ID, names.BRANCH_NAME) if key in described
    }
    began = int(described.get(names.SPAN_START, end))
    parent = described.get(names.SPAN_PARENT_ID)
    return SpanRecord(
        trace_hex=str(opened["trace_hex"]),
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


def _write(process: Path, page: dict[str, Any], spans: list[SpanRecord], logs: list[LogRecord]) -> None:
    # Whatever the run was told about redaction, what comes out of a dead memory is redacted.
    encoder = Encoder(orjson.loads(str(page["resource"])), Redactor(), version=names.VERSION)
    layout.private_directory(process)
    layout.create_json_once(
        process.parent / "run.json",
        {
            "version": layout.VERSION,
            "run_id": page["run_id"],
            "created_unix_nano": page["started_unix_nano"],
            "service_name": page["service_name"],
        },
    )
    traces, log_files = Appender(process, "traces", sync=True), Appender(process, "logs", sync=True)
    try:
        if spans:
            traces.append(encoder.span_lines(spans))
        for span, (name, moment, attributes, _) in encoder.spilled:
            logs.append(
                LogRecord(
                    name=names.SPAN_EVENT,
                    time=moment,
                    uid=os.urandom(16).hex(),
                    trace_hex=span.trace.hex,
                    span_number=span.number,
                    data={names.EVENT_NAME: name, **(attributes or {})},
                )
            )
        if logs:
            log_files.append(encoder.log_lines(logs))
    finally:
        traces.close()
        log_files.close()


def _note_state(
    process: Path, page: dict[str, Any], spans: int, logs: int, last_alive: int, interrupted: list[str]
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
        "counters": {},
        "oddities": {},
    }
    layout.replace_json(
        process / "process.json",
        {
            **known,
            "state": "recovered",
            "ended_unix_nano": last_alive or None,
            "heartbeat_unix_nano": last_alive or None,
            "exit": "killed",
            "ring": None,
            "recovered": {
                "unix_nano": time.time_ns(),
                "spans": spans,
                "logs": logs,
                "interrupted": interrupted,
            },
        },
    )
