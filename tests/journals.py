"""Writes journals for the tests of everything that reads them."""

from __future__ import annotations

import base64
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import orjson


SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND
TRACE = "0af7651916cd43dd8448eb211c80319c"
_uids = count(1)


def value(plain: object) -> dict[str, Any]:
    """Return *plain* as an OTLP AnyValue."""
    match plain:
        case None:
            return {}
        case bool():
            return {"boolValue": plain}
        case int():
            return {"intValue": str(plain)}
        case float():
            return {"doubleValue": plain}
        case bytes():
            return {"bytesValue": base64.b64encode(plain).decode()}
        case Mapping():
            return {"kvlistValue": {"values": attributes(plain)}}
        case Sequence() if not isinstance(plain, str):
            return {"arrayValue": {"values": [value(item) for item in plain]}}
    return {"stringValue": str(plain)}


def attributes(plain: Mapping[str, object]) -> list[dict[str, Any]]:
    """Return *plain* as OTLP attributes."""
    return [{"key": key, "value": value(item)} for key, item in plain.items()]


def event(name: str, at: float = 0.0, /, **own: object) -> dict[str, Any]:
    """Return a span event, *at* seconds after the begin."""
    return {"timeUnixNano": str(BEGIN + int(at * SECOND)), "name": name, "attributes": attributes(own)}


def raised(type_: str, message: str, at: float = 0.0) -> dict[str, Any]:
    """Return an exception event."""
    own = {"exception.type": type_, "exception.message": message, "exception.stacktrace": f"{type_}: {message}\n"}
    return event("exception", at, **own)


def span(
    number: int,
    name: str,
    /,
    *,
    parent: int | None = None,
    kind: str | None = "step",
    outcome: str | None = "success",
    start: float = 0.0,
    end: float = 1.0,
    events: Sequence[dict[str, Any]] = (),
    own: Mapping[str, object] | None = None,
    code: int = 0,
    message: str = "",
    trace: str = TRACE,
) -> dict[str, Any]:
    """Return a span as OTLP/JSON; times are seconds after the begin, ids numbers."""
    ours = {"branchline.kind": kind, "branchline.outcome": outcome}
    found = {
        "traceId": trace,
        "spanId": f"{number:016x}",
        "name": name,
        "kind": 1,
        "startTimeUnixNano": str(BEGIN + int(start * SECOND)),
        "endTimeUnixNano": str(BEGIN + int(end * SECOND)),
        "attributes": attributes({key: item for key, item in ours.items() if item is not None} | dict(own or {})),
        "events": list(events),
        "status": {"code": code, "message": message} if code else {},
    }
    return found | ({"parentSpanId": f"{parent:016x}"} if parent is not None else {})


def log(
    message: str = "",
    *,
    name: str = "",
    at: float = 0.0,
    number: int | None = None,
    own: Mapping[str, object] | None = None,
    uid: str | None = None,
    severity: tuple[int, str] = (9, "INFO"),
) -> dict[str, Any]:
    """Return a log record as OTLP/JSON, in the span with this *number*."""
    found = {
        "timeUnixNano": str(BEGIN + int(at * SECOND)),
        "severityNumber": severity[0],
        "severityText": severity[1],
        "eventName": name,
        "body": value(message),
        "attributes": attributes({"log.record.uid": uid or f"uid-{next(_uids)}"} | dict(own or {})),
    }
    return found | ({"traceId": TRACE, "spanId": f"{number:016x}"} if number is not None else {})


def point(
    name: str,
    value: object,
    *,
    at: float = 0.0,
    number: int | None = None,
    unit: str | None = None,
    step: int | None = None,
    own: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """Return the record of one value of a metric."""
    about = {"name": name, "value": value, "unit": unit, "step": step}
    ours = {f"branchline.metric.{key}": item for key, item in about.items() if item is not None}
    return log(name="branchline.metric", at=at, number=number, own=ours | dict(own or {}))


def opened(
    number: int,
    name: str,
    /,
    *,
    kind: str = "step",
    parent: int | None = None,
    start: float = 0.0,
    own: Mapping[str, object] | None = None,
    identity: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """Return the record of a span's start."""
    about: dict[str, object] = {
        "branchline.kind": kind,
        "branchline.span.name": name,
        "branchline.span.start_unix_nano": BEGIN + int(start * SECOND),
        "branchline.span.attributes": dict(own or {}),
    }
    if parent is not None:
        about["branchline.span.parent_id"] = f"{parent:016x}"
    return log(name=f"branchline.{kind}.started", at=start, number=number, own=about | dict(identity or {}))


def checkpoint(
    number: int,
    *,
    at: float,
    own: Mapping[str, object] | None = None,
    events: Sequence[tuple[str, float, dict[str, object]]] = (),
) -> dict[str, Any]:
    """Return the record of what an open span got since the last one."""
    told = [
        {"name": name, "time_unix_nano": BEGIN + int(time * SECOND), "attributes": more} for name, time, more in events
    ]
    about = {"branchline.span.attributes": dict(own or {}), "branchline.span.events": told}
    return log(name="branchline.step.checkpoint", at=at, number=number, own=about)


def spans_line(*spans: dict[str, Any], resource: Mapping[str, object] | None = None) -> bytes:
    """Return *spans* as one line."""
    return _line("resourceSpans", "scopeSpans", "spans", spans, resource)


def logs_line(*logs: dict[str, Any], resource: Mapping[str, object] | None = None) -> bytes:
    """Return *logs* as one line."""
    return _line("resourceLogs", "scopeLogs", "logRecords", logs, resource)


def _line(
    outer: str, middle: str, inner: str, items: Sequence[dict[str, Any]], resource: Mapping[str, object] | None
) -> bytes:
    scoped = {"scope": {"name": "branchline"}, inner: list(items)}
    place = {"attributes": attributes(resource or {"service.name": "demo"})}
    return orjson.dumps({outer: [{"resource": place, middle: [scoped]}]}) + b"\n"


@dataclass(frozen=True)
class Journal:
    """One process's folder in one run."""

    folder: Path

    def spans(self, *spans: dict[str, Any]) -> Journal:
        """Append one line of *spans*."""
        return self.raw(spans_line(*spans))

    def logs(self, *logs: dict[str, Any]) -> Journal:
        """Append one line of *logs*."""
        return self.raw(logs_line(*logs), file="logs-000000.jsonl")

    def raw(self, line: bytes, *, file: str = "traces-000000.jsonl") -> Journal:
        """Append bytes as they are."""
        with (self.folder / file).open("ab") as lines:
            lines.write(line)
        return self


def journal(
    directory: Path,
    *,
    run: str = "20260101-120000-000-abcdef",
    process: str = "host-1-a",
    state: str = "ended",
    pid: int = 999_999_999,
    start: float = 0.0,
    end: float | None = 10.0,
    service: str = "demo",
    **more: object,
) -> Journal:
    """Make the folders of a run and of one of its processes below *directory*."""
    place = directory / "runs" / run
    folder = place / process
    folder.mkdir(parents=True)
    created = BEGIN + int(start * SECOND)
    if not (place / "run.json").exists():
        known = {"version": 1, "run_id": run, "created_unix_nano": created, "service_name": service}
        (place / "run.json").write_bytes(orjson.dumps(known))
    info = {
        "version": 1,
        "run_id": run,
        "process": process,
        "pid": pid,
        "host": socket.gethostname(),
        "state": state,
        "started_unix_nano": created,
        "ended_unix_nano": None if end is None or state == "running" else BEGIN + int(end * SECOND),
        "counters": {},
        **more,
    }
    (folder / "process.json").write_bytes(orjson.dumps(info))
    return Journal(folder)
