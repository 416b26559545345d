"""What calls of models took, as the cells of a table and as JSON: the same in every command."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path

from rich.table import Table
from rich.text import Text

from ..config import find_pyproject, load_config
from ..exporters.console.text import dollars
from ..prices import Prices
from ..read import Spending, Usage
from ..tally import Tally
from .paint import table


COLUMNS = ("calls", "input", "output", "cached")


def tallied(keyed: Iterable[tuple[str, Usage]]) -> dict[str, Tally]:
    """Return what usages come to by their keys."""
    found: dict[str, Tally] = {}
    for key, usage in keyed:
        found.setdefault(key, Tally()).add(usage)
    return found


def dearest_first(found: Mapping[str, Tally]) -> list[tuple[str, Tally]]:
    """Return the rows of a table, the dearest first, then those of the most tokens."""
    return sorted(found.items(), key=lambda row: (-row[1].cost_units, -row[1].total_tokens, row[0]))


def usage_table(title: str) -> Table:
    """Return an empty table with a column for what each row is, and those for what it took."""
    drawn = table()
    drawn.add_column(title, no_wrap=True, overflow="ellipsis")
    for name in (*COLUMNS, "cost", "priced"):
        drawn.add_column(name, justify="right", no_wrap=True)
    return drawn


def usage_cells(spent: Tally | Spending) -> Iterator[Text]:
    """Yield what calls came to, as the cells of a row."""
    for count in (spent.calls, spent.input_tokens, spent.output_tokens, spent.cached_tokens):
        yield Text(f"{count:,}", "" if count else "dim")
    yield money_cell(spent.cost)
    yield Text(f"{int(spent.priced_ratio * 100)} %", "dim" if spent.priced_ratio >= 1 else "yellow")


def money_cell(amount: Decimal | None) -> Text:
    """Return an amount of money; a word for one that nobody knows."""
    return Text("unknown", "yellow") if amount is None else Text(dollars(amount), "cyan")


# ── prices ────────────────────────────────────────────────────────────────────────────────────────


def known_prices() -> Prices:
    """Return who knows what models cost: what is configured here, then the data of genai-prices."""
    return Prices(load_config({}, env=os.environ, pyproject=find_pyproject(Path.cwd())).prices)


def noon(day: datetime) -> int:
    """Return the middle of a *day* in UTC, in nanoseconds since 1970."""
    return int(datetime.combine(day.date(), time(12), UTC).timestamp()) * 1_000_000_000
