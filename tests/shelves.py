"""A destination in memory, for the tests of whatever delivers: it keeps what it takes, and answers as it is told."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import orjson

from branchline._journal.layout import SIGNALS, Signal
from branchline._journal.payloads import without_notes
from branchline.exporters.otlp.answers import Answer


ACCEPTED = Answer(kind="accepted")
RETRY = Answer(kind="retry", message="503 busy")

_INNER = {"traces": ("resourceSpans", "scopeSpans", "spans"), "logs": ("resourceLogs", "scopeLogs", "logRecords")}


def items(signal: Signal, line: bytes) -> list[str]:
    """Return the names of the spans, or the bodies or event names of the log records, in *line*."""
    outer, middle, inner = _INNER[signal]
    found = [item for resource in orjson.loads(line)[outer] for scope in resource[middle] for item in scope[inner]]
    return [item.get("name") or item.get("eventName") or item["body"]["stringValue"] for item in found]


class Shelf:
    """Keeps the items it accepts; asks *answer* what to say to each delivery."""

    def __init__(
        self,
        answer: Callable[[Signal, Sequence[bytes]], Answer] = lambda signal, lines: ACCEPTED,
        *,
        name: str = "shelf",
        signals: tuple[Signal, ...] = SIGNALS,
    ) -> None:
        self.answer = answer
        self.kind = "shelf"
        self.name = name
        self.shown = "a shelf"
        self.gets_notes = False
        self.signals = signals
        self.settings: Mapping[str, object] = {}
        self.requests: list[tuple[Signal, list[str]]] = []
        self.kept: Counter[str] = Counter()
        self.interrupted = threading.Event()
        self.is_closed = False

    def prepared(self, signal: Signal, line: bytes) -> tuple[bytes, int]:
        return without_notes(line) if signal == "logs" else (line, 0)

    def deliver(self, signal: Signal, lines: Sequence[bytes]) -> Answer:
        sent = [item for line in lines for item in _readable(signal, line)]
        answer = self.answer(signal, lines)
        self.requests.append((signal, sent))
        if answer.kind in {"accepted", "partial"}:
            self.kept.update(sent)
        return answer

    def interrupt(self) -> None:
        self.interrupted.set()

    def close(self) -> None:
        self.is_closed = True


def _readable(signal: Signal, line: bytes) -> list[str]:
    try:
        return items(signal, line)
    except ValueError:
        return ["damaged"]


def in_turn(*answers: Answer) -> Callable[[Signal, Sequence[bytes]], Answer]:
    """Return what gives each of the *answers* once, and accepts everything after that."""
    left = list(answers)
    return lambda signal, lines: left.pop(0) if left else ACCEPTED
