"""``branchline demo``: a small experiment to look at, with everything that a run can have."""

from __future__ import annotations

import asyncio
import logging
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from .. import branches, metrics, spending, stamps, steps
from ..read import Branch, Run, open_runs
from .options import terminal, written_directory_option
from .paint import STYLES, seconds, table
from .spent import money_cell


_QUESTIONS = 12
_WORDS = 6_000
# How many chunks are found for a question, and how many of them are worth reading.
_FOUND = 8
_RERANKED = 5
_FAST = 0.08
# In a terminal with fewer columns than this, two columns of the table say less than names that are cut.
_TIGHT = 76

# US dollars for a million tokens.
_PRICES = {"tiny-embedder": {"input": 0.02, "output": 0}, "tiny-answerer": {"input": 0.15, "output": 0.60}}

log = logging.getLogger("demo")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to set up the retrieval."""

    name: str
    chunk_size: int
    rerank: bool = False


VARIANTS = (
    Variant(name="small chunks", chunk_size=200),
    Variant(name="small chunks, reranked", chunk_size=200, rerank=True),
    Variant(name="large chunks", chunk_size=1_500),
)


@click.command()
@written_directory_option
@click.option("--fast", is_flag=True, help="Do not take the time that a person needs to watch.")
def demo(directory: Path, *, fast: bool) -> None:
    """Run an experiment of three branches and compare them."""
    # The other commands only read: they must not load the OpenTelemetry SDK.
    from .. import telemetry

    log.setLevel(logging.INFO)
    with telemetry.configure("demo", directory=str(directory), console=True, prices=_PRICES) as recording:
        retrieval(Pace(_FAST if fast else 1.0))
    report(terminal(), open_runs(directory)[recording.run_id], directory)


# ── the work ──────────────────────────────────────────────────────────────────────────────────────


class Pace:
    """Pretends to work: the same lengths of time in every run."""

    def __init__(self, scale: float) -> None:
        self._scale = scale
        # Its own source of chance: a demo that touched the global one would set a bad example.
        self.random = Random(7)  # noqa: S311  # nothing secret hangs on it

    def of(self, milliseconds: float) -> float:
        """Return about *milliseconds* in seconds."""
        return milliseconds / 1000 * self._scale * self.random.uniform(0.8, 1.2)

    def work(self, milliseconds: float) -> None:
        """Take about *milliseconds*."""
        time.sleep(self.of(milliseconds))


def retrieval(pace: Pace) -> None:
    """Try every variant; one that fails does not stop the others."""
    with branches.experiment("retrieval"):
        for variant in VARIANTS:
            try:
                with branches.branch(variant, name=variant.name) as branch:
                    branch.output = evaluate(variant, pace)
            except ValueError as error:
                log.warning("%s failed: %s", variant.name, error)


def evaluate(variant: Variant, pace: Pace) -> dict[str, object]:
    """Return how well questions are answered with *variant*."""
    words = load(pace)
    chunks = list(split(words, variant.chunk_size, pace))
    asyncio.run(embed(chunks, pace))
    right = sum(answer(number, variant, pace) for number in range(_QUESTIONS))
    metrics.record_metric("chunks", len(chunks), unit="{chunk}")
    metrics.record_metric("accuracy", right / _QUESTIONS, unit="1")
    log.info("%s answered %d of %d questions", variant.name, right, _QUESTIONS)
    return {"chunks": len(chunks), "accuracy": round(right / _QUESTIONS, 2)}


@steps.traced_step
def load(pace: Pace) -> list[str]:
    """Return the words of the documents."""
    pace.work(220)
    stamps.stamp("opened", documents=3)
    pace.work(160)
    stamps.stamp("parsed", words=_WORDS)
    return [f"word{number}" for number in range(_WORDS)]


@steps.traced_step
def split(words: Sequence[str], size: int, pace: Pace) -> Iterator[Sequence[str]]:
    """Yield chunks of *size* words; the step is open as long as there are more."""
    for start in range(0, len(words), size):
        pace.work(4)
        yield words[start : start + size]


@steps.traced_step
async def embed(chunks: Sequence[Sequence[str]], pace: Pace) -> None:
    """Embed all chunks, in batches side by side."""
    batches = [chunks[start : start + 5] for start in range(0, len(chunks), 5)]
    stamps.stamp("batched", batches=len(batches))
    await asyncio.gather(*(embed_batch(batch, pace) for batch in batches))


@steps.traced_step(name="embed batch", model="tiny-embedder")
async def embed_batch(batch: Sequence[Sequence[str]], pace: Pace) -> None:
    """Embed one batch, if the model can take it."""
    await asyncio.sleep(pace.of(350))
    longest = max(len(chunk) for chunk in batch)
    if longest > 512:
        msg = f"tiny-embedder takes 512 words, not {longest:,}"
        raise ValueError(msg)
    spending.record_usage("tiny-embedder", input_tokens=sum(len(chunk) for chunk in batch))


def answer(number: int, variant: Variant, pace: Pace) -> bool:
    """Return whether question *number* is answered right."""
    with steps.step("answer", question=number) as step:
        find(pace)
        if variant.rerank:
            rerank(pace)
        kept = _RERANKED if variant.rerank else _FOUND
        spending.record_usage("tiny-answerer", input_tokens=kept * variant.chunk_size, output_tokens=60 + number)
        is_right = pace.random.random() < (0.8 if variant.rerank else 0.55)
        step.set(is_right=is_right)
    return is_right


@steps.traced_step
def find(pace: Pace) -> None:
    """Find the chunks nearest to a question."""
    pace.work(25)


@steps.traced_step
def rerank(pace: Pace) -> None:
    """Put the best of what was found first."""
    pace.work(30)
    stamps.stamp("reranked", kept=_RERANKED)


# ── what is seen of it ────────────────────────────────────────────────────────────────────────────


def report(console: Console, run: Run, directory: Path) -> None:
    """Print the branches side by side, as they are read back, and what to try next."""
    console.print()
    console.print(Text("  The same, read back from the files:", "bold"))
    console.print()
    comparison = table()
    rows = [_cells(branch) for branch in run.branches]
    shown = [title for title in rows[0] if console.width >= _TIGHT or title not in {"steps", "tokens"}]
    for title in shown:
        comparison.add_column(title, justify="left" if title in {"branch", "status"} else "right")
    for row in rows:
        comparison.add_row(*(row[title] for title in shown))
    console.print(Padding(comparison, (0, 0, 0, 2), expand=False))
    console.print()
    console.print(Text.assemble(("  files  ", "dim"), str(run.directory)), soft_wrap=True)
    console.print()
    console.print(Text("  Try next:", "bold"))
    where = "" if str(directory) == ".branchline" else f" --directory {shlex.quote(str(directory))}"
    for command, purpose in (
        ("show last", "this run as a tree, with every step"),
        ("cost --by model", "what its calls of models took and cost"),
        ("logs", "what it has logged, with the step of each line"),
        ("runs", "all runs in this directory"),
        ("tail", "a run while it happens"),
    ):
        line = Text.assemble("  ", (f"{f'branchline {command}{where}':<26}", "cyan"), "  ", (purpose, "dim"))
        console.print(line, soft_wrap=True)


def _cells(branch: Branch) -> dict[str, Text]:
    spent = branch.total_usage
    accuracy = branch.metrics.get("accuracy")
    return {
        "branch": Text(branch.branch_name or branch.name),
        "status": Text(branch.status, STYLES.get(branch.status, "")),
        "duration": Text(seconds(branch.duration)),
        "steps": Text(f"{len(branch.steps):,}"),
        "tokens": Text(f"{spent.input_tokens + spent.output_tokens:,}" if spent.calls else ""),
        "cost": money_cell(spent.cost) if spent.calls else Text(""),
        "accuracy": Text("" if accuracy is None else f"{accuracy:.0%}"),
    }
