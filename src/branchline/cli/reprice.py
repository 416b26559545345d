"""``branchline reprice``: what the calls of a run would have cost, with another model or on another day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click
from rich.text import Text

from ..money import CONTEXT
from ..prices import Prices
from ..read import Spending, Usage
from ..read.document import usage_document
from ..read.spending import spending_in
from ..read.tree import printable
from .options import CommandError, common_options, found_run, found_runs, print_json, terminal
from .paint import table
from .spent import known_prices, money_cell, noon


@dataclass(frozen=True, kw_only=True)
class Repriced:
    """What the calls of one model cost, and would have cost."""

    model: str
    then: Spending
    now: Spending


@click.command()
@click.argument("run", default="last")
@click.option("--model", help="As if this model had been asked, else the one that was.")
@click.option("--provider", help="Whose model that is.")
@click.option("--as-of", "day", type=click.DateTime(["%Y-%m-%d"]), help="At the prices of that day, else of their own.")
@common_options
def reprice(
    run: str, directory: Path, *, model: str | None, provider: str | None, day: datetime | None, is_json: bool
) -> None:
    """Say what the calls of RUN would cost by the prices that are known here; nothing is changed."""
    found = found_run(found_runs(directory), run)
    book = known_prices()
    if model is not None and found.usages and book.rates(model, provider, _when(found.usages[-1], day)) is None:
        msg = f"no price is known of {printable(model)}; `branchline prices` says of which there is one"
        raise CommandError(msg)
    again = [(usage, repriced(usage, book, model, provider, day)) for usage in found.usages]
    rows = [_row(name, [pair for pair in again if pair[0].model == name]) for name in _models(found.usages)]
    total = _row("total", again)
    if is_json:
        print_json({"run": found.id, "rows": [_document(row) for row in rows], "total": _document(total)})
        return
    if not again:
        terminal().print(Text(f"no calls of models in run {printable(found.id)}", "dim"))
        return
    _print(rows, total)


def repriced(usage: Usage, book: Prices, model: str | None, provider: str | None, day: datetime | None) -> Usage:
    """Return *usage* with what it would cost; None where nobody knows."""
    if not usage.total_tokens:
        # It corrects what was known of another one.
        return usage._replace(cost=None)
    when = _when(usage, day)
    asked = [(model, provider)] if model else [(usage.response_model, usage.provider), (usage.model, usage.provider)]
    found = (book.rates(name, whose, when, usage.service_tier) for name, whose in asked if name)
    rates = next((rates for rates in found if rates is not None), None)
    counted = usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens
    cost = None if rates is None else rates.cost(usage.input_tokens, usage.output_tokens, *counted)
    return usage._replace(cost=cost)


def _when(usage: Usage, day: datetime | None) -> int:
    return usage.time_unix_nano if day is None else noon(day)


def _models(usages: Iterable[Usage]) -> list[str]:
    return list(dict.fromkeys(usage.model for usage in usages))


def _row(model: str, pairs: Sequence[tuple[Usage, Usage]]) -> Repriced:
    return Repriced(
        model=model,
        then=spending_in(usage for usage, _ in pairs),
        now=spending_in(again for _, again in pairs),
    )


def _document(row: Repriced) -> dict[str, object]:
    return {"model": row.model, "recorded": usage_document(row.then), "repriced": usage_document(row.now)}


def _print(rows: Sequence[Repriced], total: Repriced) -> None:
    drawn = table()
    drawn.add_column("model", no_wrap=True, overflow="ellipsis")
    for name in ("calls", "tokens", "recorded", "would cost", "difference", "priced"):
        drawn.add_column(name, justify="right", no_wrap=True)
    for row in (*rows, total):
        if row is total:
            drawn.add_section()
        drawn.add_row(Text(printable(row.model), "bold"), *_cells(row))
    terminal().print(drawn)


def _cells(row: Repriced) -> list[Text]:
    then, now = row.then, row.now
    # Of less than was priced then, a difference would say nothing.
    is_known = then.cost is not None and now.cost is not None and now.priced_ratio >= then.priced_ratio
    return [
        Text(f"{then.calls:,}"),
        Text(f"{then.total_tokens:,}"),
        money_cell(then.cost),
        money_cell(now.cost),
        money_cell(CONTEXT.subtract(now.cost, then.cost)) if is_known else Text(""),  # type: ignore[arg-type]  # known
        Text(f"{int(now.priced_ratio * 100)} %", "dim" if now.priced_ratio >= 1 else "yellow"),
    ]
