"""``branchline flame``: where the money, the tokens or the time of a run went, as a picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from ..read import Run
from ..read.flame import WEIGHTS, Frame, Weight, speedscope
from ..read.flame import flame as flame_of
from .flame_picture import picture, said
from .options import CommandError, common_options, found_run, found_runs, print_json
from .paint import moment


@click.command()
@click.argument("run", default="last")
@click.option("--weight", type=click.Choice(WEIGHTS), default="usd", show_default=True, help="What makes a step wide.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to: a .json file is for speedscope, any other is an SVG. Default: an SVG on stdout.",
)
@common_options
def flame(run: str, directory: Path, *, weight: Weight, output: Path | None, is_json: bool) -> None:
    """Draw where the money, tokens or time of RUN (an id, the beginning of one, or `last`) went."""
    found = found_run(found_runs(directory), run)
    root = flame_of(found, weight)
    if not root.total:
        raise CommandError(_nothing(found, weight))
    if is_json or (output is not None and output.suffix == ".json"):
        document = speedscope(root, weight, name=f"{found.service_name or 'run'} {found.id}")
        if output is None:
            print_json(document)
            return
        text = json.dumps(document)
    else:
        text = picture(root, weight, title=_title(found), subtitle=_subtitle(found, root, weight))
    if output is not None:
        output.write_text(text, encoding="utf-8")
        return
    if sys.stdout.isatty():
        msg = "this would fill the terminal: say where to with -o flame.svg, or pipe it"
        raise CommandError(msg)
    click.echo(text)


def _title(run: Run) -> str:
    return run.service_name or "run"


def _subtitle(run: Run, root: Frame, weight: Weight) -> str:
    parts = [said(root.total, weight), run.id, moment(run.created_unix_nano, "%Y-%m-%d %H:%M")]
    usages = run.usages if weight == "usd" else ()
    unpriced = sum(usage.total_tokens for usage in usages if usage.cost is None)
    if unpriced:
        tokens = sum(usage.total_tokens for usage in usages)
        parts.append(f"{unpriced:,} of {tokens:,} tokens have no known price")
    return " · ".join(parts)


def _nothing(run: Run, weight: Weight) -> str:
    if weight == "ms":
        return f"no step of run {run.id} has ended"
    if not run.usages:
        return f"run {run.id} has recorded no usage of models; --weight ms draws its time"
    return f"nothing that run {run.id} used has a known price; --weight tokens draws its tokens"
