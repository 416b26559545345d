"""What is in journals and in what the backends answer, in one form that can be compared whole."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


Item = dict[str, Any]
# What branchline notes for itself when something begins or moves on: no endpoint gets it.
LIFECYCLE = {
    "branchline.run.started",
    "branchline.run.ended",
    "branchline.experiment.started",
    "branchline.branch.started",
    "branchline.step.started",
    "branchline.step.checkpoint",
    "branchline.progress",
}


def contents(place: Path, pattern: str) -> Iterator[Item]:
    """Yield every line of the files below *place*; a plain file beats its compressed twin."""
    found: dict[str, Path] = {}
    for path in (*sorted(place.rglob(f"{pattern}.jsonl.gz")), *sorted(place.rglob(f"{pattern}.jsonl"))):
        found[str(path).removesuffix(".gz")] = path
    for path in found.values():
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        yield from map(json.loads, data.splitlines())


def spans_in(place: Path) -> dict[str, Item]:
    """Return the spans below *place* by their ids, as they are compared."""
    return {span["spanId"]: told(span, resource) for span, resource in _items(place, "traces*", "Spans", "spans")}


def logs_in(place: Path) -> dict[str, Item]:
    """Return the log records below *place* that endpoints get, by their uids, as they are compared."""
    records = (log for log in _records(place) if log["name"] not in LIFECYCLE)
    return {log["attributes"]["log.record.uid"]: log for log in records}


def uids_in(place: Path) -> list[str]:
    """Return the uids of the log records below *place*, sorted; one that came twice is there twice."""
    return sorted(log["attributes"]["log.record.uid"] for log in _records(place))


def _records(place: Path) -> Iterator[Item]:
    for log, resource in _items(place, "logs*", "Logs", "logRecords"):
        yield {
            "name": log.get("eventName", ""),
            "time": log.get("timeUnixNano"),
            "severity": (log.get("severityNumber"), log.get("severityText")),
            "body": value(log.get("body", {})),
            "attributes": attributes(log),
            "trace": log.get("traceId", ""),
            "span": log.get("spanId", ""),
            "resource": attributes(resource),
        }


def _items(place: Path, pattern: str, outer: str, inner: str) -> Iterator[tuple[Item, Item]]:
    for line in contents(place, pattern):
        for resource in line.get(f"resource{outer}", ()):
            for scope in resource[f"scope{outer}"]:
                yield from ((item, resource["resource"]) for item in scope[inner])


def told(span: Item, resource: Item) -> Item:
    """Return a span and its resource as they are compared: all of it."""
    return {
        "trace": span["traceId"],
        "parent": span.get("parentSpanId", ""),
        "name": span["name"],
        "kind": span.get("kind"),
        "times": (span["startTimeUnixNano"], span["endTimeUnixNano"]),
        "attributes": attributes(span),
        "events": [(event["name"], event["timeUnixNano"], attributes(event)) for event in span.get("events", ())],
        "links": [(link["traceId"], link["spanId"], attributes(link)) for link in span.get("links", ())],
        "status": (span.get("status", {}).get("code", 0), span.get("status", {}).get("message", "")),
        "resource": attributes(resource),
    }


def as_jaeger_tells(span: Item) -> Item:
    """Return a span as Jaeger keeps it on disk: lists and mappings become their JSON, and nothing else changes."""
    events = [(name, time, _as_text(own)) for name, time, own in span["events"]]
    return span | {"attributes": _as_text(span["attributes"]), "events": events, "resource": _as_text(span["resource"])}


def _as_text(own: Item) -> Item:
    return {
        key: json.dumps(item, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
        if isinstance(item, (list, dict))
        else item
        for key, item in own.items()
    }


def attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item's attributes as plain values."""
    return {entry["key"]: value(entry["value"]) for entry in item.get("attributes", ())}


def value(wrapped: Mapping[str, Any]) -> Any:
    """Return what an OTLP AnyValue is, whole numbers told from others."""
    for kind, inner in wrapped.items():
        match kind:
            case "intValue":
                return int(inner)
            case "doubleValue":
                return float(inner)
            case "arrayValue":
                return [value(item) for item in inner.get("values", ())]
            case "kvlistValue":
                return {entry["key"]: value(entry["value"]) for entry in inner.get("values", ())}
            case _:
                return inner
    return None


def tree(spans: Mapping[str, Item]) -> list[str]:
    """Return the names of spans as an indented tree, siblings in order of their start."""
    below: dict[str, list[tuple[str, Item]]] = {}
    for span_id, span in spans.items():
        below.setdefault(span["parent"], []).append((span_id, span))

    def lines(parent: str, depth: int) -> Iterator[str]:
        for span_id, span in sorted(below.get(parent, ()), key=lambda found: int(found[1]["times"][0])):
            yield "  " * depth + span["name"]
            yield from lines(span_id, depth + 1)

    return list(lines("", 0))
