"""``branchline prices``: what a model costs."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Final

import click
from rich.text import Text

from ..exporters.console.text import dollars
from ..prices import Rates, is_installed
from ..read.document import iso, money_text
from ..read.tree import printable
from .options import CommandError, common_options, print_json, terminal
from .paint import table
from .spent import known_prices, noon


_KINDS: Final = {
    "input": "input",
    "output": "output",
    "cached": "cached input",
    "cache_write": "cache write",
    "reasoning": "reasoning",
}


@click.command()
@click.argument("model")
@click.option("--provider", help="Whose model it is: openai, anthropic, aws.bedrock, …")
@click.option("--as-of", "day", type=click.DateTime(["%Y-%m-%d"]), help="On that day, else today.")
@common_options
def prices(
    model: str,
    directory: Path,  # noqa: ARG001  # every command takes it
    *,
    provider: str | None,
    day: datetime | None,
    is_json: bool,
) -> None:
    """Say what MODEL costs, in US dollars for a million tokens."""
    when = time.time_ns() if day is None else noon(day)
    rates = known_prices().rates(model, provider, when)
    if rates is None:
        raise CommandError(_nobody_knows(model, provider))
    if is_json:
        print_json(
            {
                "model": rates.model,
                "provider": rates.provider,
                "source": rates.source,
                "as_of": iso(when),
                "prices": [
                    {"above_input_tokens": start, **{kind: money_text(price) for kind, price in row.items()}}
                    for start, row in rates.rows()
                ],
            }
        )
        return
    _print(rates)


def _print(rates: Rates) -> None:
    whose = f" of {printable(rates.provider)}" if rates.provider else ""
    console = terminal()
    title = Text(printable(rates.model), "bold")
    console.print(title.append(f"{whose}, in US dollars for a million tokens ({rates.source})", "dim"))
    rows = list(rates.rows())
    drawn = table()
    drawn.add_column("")
    for start, _ in rows:
        drawn.add_column(f"above {start:,} in" if start else "price", justify="right", no_wrap=True)
    for kind, title_of in _KINDS.items():
        if any(kind in row for _, row in rows):
            cells = [Text(dollars(row[kind]) if kind in row else "", "cyan") for _, row in rows]
            drawn.add_row(Text(title_of), *cells)
    console.print(drawn)


def _nobody_knows(model: str, provider: str | None) -> str:
    whose = f" of {provider}" if provider else ""
    hint = "say it in [tool.branchline.prices]"
    if not is_installed():
        hint = f"install the extra prices (pip install 'branchline[prices]'), or {hint}"
    return f"no price is known of {printable(model)}{printable(whose)}: {hint}"
