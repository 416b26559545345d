"""What the figures say: ratios that are medians over the rounds, held against the bounds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from .contenders import API, BARE, BATCH, CRASH, SDK, SDK_OTLP, UNCONFIGURED
from .rounds import DEFAULT_QUEUE, Samples


# A bound that is missed by more than this part of it fails ``--check``: machines are shared, and busy.
TOLERANCE: Final = 0.10

Way = Literal["ratio", "added", "more", "amount"]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One line of the table."""

    section: str
    title: str
    measure: str
    reference: str = SDK
    way: Way = "ratio"
    """``ratio`` to the reference; ``added``: the same, of what comes on top of the bare function; ``more`` than the
    reference, in the unit; ``amount``: as it is."""
    unit: str = "µs"
    bounds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One figure of the table."""

    value: float
    """As measured: the median, in the question's unit."""
    compared: float
    """As the question asks for it: the median over the rounds."""
    quartiles: tuple[float, float]
    bound: float | None = None

    @property
    def is_kept(self) -> bool | None:
        """Whether the bound is kept; None where there is none."""
        return None if self.bound is None else self.compared <= self.bound

    @property
    def is_missed_clearly(self) -> bool:
        """Whether the bound is missed by more than the noise of a busy machine explains."""
        return self.bound is not None and self.compared > self.bound * (1 + TOLERANCE)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A line of the table, answered for every contender that was measured."""

    question: Question
    verdicts: Mapping[str, Verdict]


_BARE_BOUNDS: Final = {CRASH: 1 / 6, BATCH: 1 / 9}
_ANNOTATED_BOUNDS: Final = {CRASH: 1 / 5, BATCH: 1 / 6}
_TOTAL_BOUNDS: Final = {CRASH: 1 / 5, BATCH: 1 / 5}
# Of a histogram's record and a logger's emit: what a point is to the SDK.
_POINT_BOUNDS: Final = {CRASH: 1 / 3, BATCH: 1 / 3}
# Of one add to a counter with three attributes, which is all that the SDK has for it; and in microseconds.
_USAGE_BOUNDS: Final = {CRASH: 4.0, BATCH: 4.0}
_USAGE_AMOUNTS: Final = {CRASH: 25.0, BATCH: 25.0}
# Of what OpenTelemetry's handler adds to a call of the logging module.
_LOG_BOUNDS: Final = {CRASH: 1 / 4, BATCH: 1 / 4}
_TITLES: Final = {
    "step": "a step with nothing on it",
    "child step": "… inside another step",
    "nested steps": "… three nested, per step",
    "async step": "… async",
    "annotated": "6 attributes and 2 events",
    "annotated child": "… inside another step",
    "annotated block": "… as a with block",
    "async annotated": "… async",
}
_CALLING: Final = "calling thread, CPU per step"
_TOTAL: Final = "total CPU per step, until written"
_LATENCY: Final = "latency of a 6 + 2 step, paced"
_OFF: Final = "not configured, CPU added to a call"
_SPEED: Final = "full speed, 6 + 2, no pauses"
_IMPORT: Final = "import and set-up, CPU"
_MEMORY: Final = "peak memory at full speed, 6 + 2"


def questions() -> tuple[Question, ...]:
    """Return every line of the table, in order."""
    return (
        *(
            Question(
                section=_CALLING,
                title=title,
                measure=f"{case}: thread",
                bounds=_ANNOTATED_BOUNDS if "annotated" in case else _BARE_BOUNDS,
            )
            for case, title in _TITLES.items()
        ),
        Question(section=_CALLING, title="a metric point", measure="point: thread", bounds=_POINT_BOUNDS),
        Question(
            section=_CALLING, title="a call's usage, to counter.add", measure="usage: thread", bounds=_USAGE_BOUNDS
        ),
        Question(
            section=_CALLING, title="… as it is", measure="usage: thread", way="amount", bounds=_USAGE_AMOUNTS
        ),
        Question(
            section=_CALLING, title="a log record, added", measure="log record: thread", way="added", bounds=_LOG_BOUNDS
        ),
        Question(section=_CALLING, title="nothing on it, 8 threads", measure="step, 8 threads: thread"),
        Question(section=_CALLING, title="6 + 2, 8 threads", measure="annotated, 8 threads: thread"),
        *(
            Question(
                section=_OFF, title=_TITLES[case], measure=f"{case}: thread", reference=API, way="added", bounds=bounds
            )
            for case, bounds in (("step", {UNCONFIGURED: 1 / 10}), ("async step", {}), ("annotated", {}))
        ),
        *(
            Question(
                section=_TOTAL, title=title, measure=f"{case}: total", reference=SDK_OTLP, bounds=_TOTAL_BOUNDS
            )
            for case, title in _TITLES.items()
        ),
        Question(section=_TOTAL, title="a metric point", measure="point: total", reference=SDK_OTLP),
        Question(
            section=_TOTAL, title="a log record, added", measure="log record: total", reference=SDK_OTLP, way="added",
            bounds=_LOG_BOUNDS,
        ),
        Question(section=_SPEED, title="calling thread, CPU", measure="sustained: thread", reference=SDK_OTLP),
        Question(
            section=_SPEED, title="total CPU", measure="sustained: total", reference=SDK_OTLP, bounds=_TOTAL_BOUNDS
        ),
        Question(section=_SPEED, title="time, until all has arrived", measure="sustained: wall", reference=SDK_OTLP),
        *_latencies(1, "1 thread"),
        *_latencies(8, "8 threads"),
        Question(
            section=_IMPORT, title="import", measure="import: total", reference=API, way="more", unit="ms",
            bounds={UNCONFIGURED: 15.0},
        ),
        Question(
            section=_IMPORT, title="SDK modules loaded by that", measure="import: sdk modules", way="amount", unit="",
            bounds={UNCONFIGURED: 0.0},
        ),
        Question(section=_IMPORT, title="import and set-up", measure="set-up: total", unit="ms"),
        Question(
            section=_MEMORY, title="growth (SDK: its own queue)", measure="memory: bytes", way="amount", unit="MiB"
        ),
        Question(section=_MEMORY, title="spans lost", measure="memory: lost", way="amount", unit=""),
    )  # fmt: skip


def _latencies(threads: int, words: str) -> tuple[Question, ...]:
    measure = f"latency, {threads} threads"
    bounds = {CRASH: 1 / 10, BATCH: 1 / 10} if threads == 1 else {}
    return (
        Question(section=_LATENCY, title=f"{words}, p50", measure=f"{measure}: p50", reference=SDK_OTLP),
        Question(section=_LATENCY, title=f"{words}, p99", measure=f"{measure}: p99", reference=SDK_OTLP),
        Question(
            section=_LATENCY, title=f"{words}, p99.9", measure=f"{measure}: p99.9", reference=SDK_OTLP, bounds=bounds
        ),
        Question(
            section=_LATENCY, title=f"{words}, steps per second", measure=f"{measure}: rate", way="amount", unit="/s"
        ),
    )


_PER_UNIT: Final = {"µs": 1e3, "ms": 1e6, "MiB": 2.0**20, "/s": 1.0, "": 1.0}


def answers(samples: Samples) -> tuple[Answer, ...]:
    """Answer every question for which there are samples."""
    return tuple(
        _answer(question, samples)
        for question in questions()
        if _needed(question) <= set(samples.get(question.measure, ()))
    )


def _needed(question: Question) -> set[str]:
    """Return who must have been measured; an amount is compared with nobody's, but somebody must have one."""
    if question.way == "amount":
        return set(question.bounds) or {CRASH}
    return {question.reference, BARE} if question.way == "added" else {question.reference}


def _answer(question: Question, samples: Samples) -> Answer:
    by_contender = samples[question.measure]
    verdicts = {}
    for name, values in by_contender.items():
        compared = _compared(question, by_contender, values)
        verdicts[name] = Verdict(
            value=statistics.median(values) / _PER_UNIT[question.unit],
            compared=statistics.median(compared),
            quartiles=_quartiles(compared),
            bound=question.bounds.get(name),
        )
    return Answer(question=question, verdicts=verdicts)


def _compared(question: Question, by_contender: Mapping[str, list[float]], values: list[float]) -> list[float]:
    """Return one figure for each round: only what was measured side by side is compared."""
    per_unit = _PER_UNIT[question.unit]
    if question.way == "amount":
        return [value / per_unit for value in values]
    reference = by_contender[question.reference]
    if question.way == "more":
        return [(value - other) / per_unit for value, other in zip(values, reference, strict=True)]
    if question.way == "added":
        bare = by_contender[BARE]
        return [
            (value - least) / max(other - least, 1.0)
            for value, other, least in zip(values, reference, bare, strict=True)
        ]
    return [value / max(other, 1.0) for value, other in zip(values, reference, strict=True)]


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def lost(samples: Samples) -> dict[str, int]:
    """Return how many spans never arrived, by contender; only where some did not."""
    found = {name: int(sum(values)) for name, values in samples.get("end: lost", {}).items()}
    return {name: count for name, count in found.items() if count}


__all__ = ["DEFAULT_QUEUE", "TOLERANCE", "Answer", "Question", "Verdict", "answers", "lost", "questions"]
