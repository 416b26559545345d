"""The answers on the terminal, and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from importlib.metadata import version
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .contenders import API, BARE, BATCH, CRASH, SDK, SDK_OTLP, UNCONFIGURED
from .judge import Answer, Question, Verdict
from .rounds import DEFAULT_QUEUE


_COLUMNS: Final = {
    BARE: "bare\nfunction",
    API: "API,\nno SDK",
    UNCONFIGURED: "branchline\nnot configured",
    SDK: "SDK\ndiscarding",
    SDK_OTLP: "SDK\n+ OTLP",
    CRASH: "branchline\ncrash (default)",
    BATCH: "branchline\nbatch",
}
_LEAST_WIDTH: Final = 132
_LEGEND: Final = """\
Each row's ratios are to the figure with a unit, in the same round; medians over the rounds.
6 + 2: six attributes, two events. Until written: encoded (SDK + OTLP), or on disk (branchline).\
"""


def wide_console() -> Console:
    """Return stdout, as wide as it is; wide enough for the table where it is no terminal."""
    console = Console()
    return console if console.is_terminal or console.width >= _LEAST_WIDTH else Console(width=_LEAST_WIDTH)


def show(console: Console, answers: Sequence[Answer], lost: Mapping[str, int]) -> None:
    """Print one table, and below it what is wrong."""
    console.print(_table(answers))
    console.print(_LEGEND)
    for name, count in lost.items():
        console.print(f"[red]{name} lost {count:,} spans: its figures are too good")
    held = [verdict for answer in answers for verdict in answer.verdicts.values() if verdict.bound is not None]
    kept = sum(verdict.is_kept is True for verdict in held)
    clearly = sum(verdict.is_missed_clearly for verdict in held)
    console.print(f"{kept} bounds kept, {clearly} missed, {len(held) - kept - clearly} missed by less than 10 %")


def _table(answers: Sequence[Answer]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("")
    for title in _COLUMNS.values():
        table.add_column(title, justify="right", no_wrap=True)
    section = None
    for answer in answers:
        question = answer.question
        if question.section != section:
            if section is not None:
                table.add_row()
            section = question.section
            table.add_row(Text(section, style="bold"))
        table.add_row("  " + question.title, *(_cell(question, _verdict(answer, name), name) for name in _COLUMNS))
    return table


def _verdict(answer: Answer, name: str) -> Verdict | None:
    if name == SDK_OTLP and name not in answer.verdicts:
        name = DEFAULT_QUEUE
    return answer.verdicts.get(name)


def _cell(question: Question, verdict: Verdict | None, name: str) -> Text:
    if verdict is None:
        return Text("")
    if name == question.reference and question.way != "amount":
        return Text(f"{_amount(verdict.value)} {question.unit}", style="cyan")
    text = Text(_figure(question, verdict))
    if verdict.bound is not None:
        style = "green" if verdict.is_kept else "bold red"
        text.append(f" {'✓' if verdict.is_kept else '✗'} {_bound(question, verdict)}", style=style)
    return text


def _figure(question: Question, verdict: Verdict) -> str:
    if question.way == "amount":
        return f"{_amount(verdict.compared)} {question.unit}".strip()
    if question.way == "more":
        return f"{verdict.compared:+.1f} {question.unit}"
    return _ratio(verdict.compared)


def _bound(question: Question, verdict: Verdict) -> str:
    assert verdict.bound is not None
    if question.way in ("amount", "more"):
        return f"≤{verdict.bound:g}"
    return f"≤{Fraction(verdict.bound).limit_denominator(20)}"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 0.2 else f"{value:.3f}"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def as_json(answers: Sequence[Answer], lost: Mapping[str, int]) -> str:
    """Return everything that was found out as one JSON document."""
    document: dict[str, Any] = {
        "version": 1,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "opentelemetry": version("opentelemetry-sdk"),
        "lost": dict(lost),
        "answers": [
            {
                **asdict(answer.question),
                "verdicts": {
                    name: {**asdict(verdict), "is_kept": verdict.is_kept} for name, verdict in answer.verdicts.items()
                },
            }
            for answer in answers
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)
