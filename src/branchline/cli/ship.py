"""``branchline ship``: deliver what runs have left, from outside of the application."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.text import Text

from ..config import MLflow, find_pyproject, load_config
from ..errors import BranchlineError
from ..exporters import shipping
from ..exporters.accounts import NOUNS, Counts, in_words
from ..exporters.console.text import plural
from ..exporters.places import destinations
from ..exporters.shipping import Left, Shipped, Shipper, left_of, runs_left_for, runs_refused_by, size_left
from ..exporters.underway import Destination, Underway
from ..read.tree import printable
from .options import CommandError, common_options, found_run, found_runs, mlflow_options, print_json, terminal
from .paint import STYLES, glyphs, seconds, styled, table


_POLL_SECONDS: Final = 1.0
_BAR_WIDTH: Final = 20
_STATES: Final = {"delivered": "success", "waiting": "failed", "busy": "running", "unreadable": "failed"}


@dataclass(frozen=True, kw_only=True)
class _Order:
    """What is to be shipped, and how."""

    directory: Path
    run: str | None
    is_all: bool
    is_refused: bool
    give_up_seconds: float | None


@click.command()
@click.argument("run", required=False)
@click.option("--all", "is_all", is_flag=True, help="Every run, also those that were not to go there.")
@click.option(
    "--to",
    "url",
    metavar="URL|mlflow",
    help="The OTLP endpoint, or the word mlflow; else the configured ones, else where they were to go.",
)
@mlflow_options
@click.option("--follow", "is_following", is_flag=True, help="Go on with what is still being recorded, until Ctrl-C.")
@click.option("--refused", "is_refused", is_flag=True, help="Once more also what the endpoint has refused.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Only say what would be delivered.")
@click.option(
    "--timeout",
    default=30.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds of failures to give up after.",
)
@common_options
def ship(
    run: str | None,
    directory: Path,
    *,
    is_all: bool,
    url: str | None,
    mlflow: MLflow | None,
    is_following: bool,
    is_refused: bool,
    is_dry: bool,
    timeout: float,
    is_json: bool,
) -> None:
    """Deliver RUN (an id, the beginning of one, or `last`) over OTLP or to MLflow: what the application could not.

    Without RUN: what all runs have left for that place, and the last run. What was delivered is not sent again.
    """
    if run is not None and is_all:
        msg = "say a run or --all, not both"
        raise CommandError(msg)
    places = found_places(directory, url, mlflow)
    order = _Order(
        directory=directory,
        run=run,
        is_all=is_all,
        is_refused=is_refused,
        give_up_seconds=None if is_following else timeout,
    )
    if is_dry:
        _rehearse(order, places, is_json=is_json)
        return
    try:
        is_done = _follow(order, places) if is_following else _ship(order, places, is_json=is_json)
    except KeyboardInterrupt:
        msg = "stopped; what was delivered is noted, and the same command goes on from there"
        raise CommandError(msg) from None
    finally:
        for place in places:
            place.close()
    if not is_done:
        raise click.exceptions.Exit(1)


def found_places(directory: Path, url: str | None, mlflow: MLflow | None = None) -> list[Destination]:
    """Return where to deliver to; fail in one line where nobody has said it."""
    try:
        config = load_config({}, env=os.environ, pyproject=find_pyproject(Path.cwd()))
        places = destinations(directory, url=url, config=config, environment=os.environ, say=_say, mlflow=mlflow)
    except BranchlineError as error:
        raise CommandError(str(error)) from error
    if not places:
        msg = "there is no endpoint: say --to URL or --to mlflow, or set OTEL_EXPORTER_OTLP_ENDPOINT"
        raise CommandError(msg)
    return places


def _say(text: str) -> None:
    click.echo(f"branchline: {text}", err=True)


def _run_ids(order: _Order, destination: Destination) -> list[str]:
    runs = found_runs(order.directory)
    if order.run is not None:
        return [found_run(runs, order.run).directory.name]
    if order.is_all:
        return [run.directory.name for run in runs]
    left = runs_left_for(order.directory, destination)
    refused = runs_refused_by(order.directory, destination) if order.is_refused else []
    last = [runs.last.directory.name] if runs else []
    return list(dict.fromkeys([*left, *refused, *last]))


# ── doing it ──────────────────────────────────────────────────────────────────────────────────────


def _ship(order: _Order, places: Sequence[Destination], *, is_json: bool) -> bool:
    shown = []
    is_done = True
    for place in places:
        began = time.monotonic()
        results = list(_shipped(order, place, is_quiet=is_json))
        is_done &= all(result.state in {"delivered", "busy"} and not result.rejected for result in results)
        shown.append(_document(place, results))
        if not is_json:
            _print_results(terminal(), place, results, took=time.monotonic() - began)
    if is_json:
        print_json(shown[0] if len(shown) == 1 else shown)
    return is_done


def _shipped(order: _Order, place: Destination, *, is_quiet: bool) -> Iterator[Shipped]:
    run_ids = _run_ids(order, place)
    said: list[str] = []
    shipper = Shipper(
        order.directory, place, tell=lambda kind, text: said.append(text), give_up_seconds=order.give_up_seconds
    )
    total = sum(size_left(order.directory, run_id, place) for run_id in run_ids)
    with _bar(total, place.shown, is_quiet=is_quiet) as bar:
        for run_id in run_ids:
            begun = shipper.begun(run_id)
            if isinstance(begun, Shipped):
                yield begun
                continue
            try:
                yield _one(shipper, begun, bar, is_refused=order.is_refused)
            finally:
                begun.give_up()


def _one(shipper: Shipper, delivery: Underway, bar: _Bar, *, is_refused: bool) -> Shipped:
    before = delivery.cursor
    for progress in chain(shipper.ship_refused(delivery) if is_refused else (), shipper.ship(delivery)):
        bar.show(progress)
    return shipper.result(delivery, before, with_refused=is_refused)


def _follow(order: _Order, places: Sequence[Destination]) -> bool:
    """Ship, and ship again what has come meanwhile; with a run, until its last process has ended."""
    while True:
        is_over = order.run is not None and found_run(found_runs(order.directory), order.run).state != "running"
        for place in places:
            results = [
                result for result in _shipped(order, place, is_quiet=True) if result.delivered or result.rejected
            ]
            if results:
                _print_results(terminal(), place, results, took=None)
        if is_over:
            return True
        time.sleep(_POLL_SECONDS)


# ── showing it ────────────────────────────────────────────────────────────────────────────────────


class _Bar:
    """A bar on stderr while it goes on; nothing where nobody would see it."""

    def __init__(self, bar: Progress | None, total: int, place: str) -> None:
        self._bar = bar
        self._task = None if bar is None else bar.add_task("", total=total, items="", said="")
        self._place = place
        self._items = 0

    def show(self, shipped: shipping.Progress) -> None:
        if self._bar is None or self._task is None:
            return
        self._items += shipped.items
        # Where that is was said when it began; here there is little room.
        message = printable(shipped.message.removeprefix(f"{self._place}: "))
        said = f"{message}; again in {shipped.wait_seconds:.0f} s" if message else ""
        self._bar.update(self._task, advance=shipped.size, items=f"{self._items:,} delivered", said=said)


@contextmanager
def _bar(total: int, place: str, *, is_quiet: bool) -> Iterator[_Bar]:
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    if is_quiet or not console.is_terminal:
        yield _Bar(None, total, place)
        return
    columns = (
        SpinnerColumn(),
        BarColumn(_BAR_WIDTH),
        TaskProgressColumn(),
        TextColumn("{task.fields[items]}", style="green", markup=False),
        TextColumn("{task.fields[said]}", style="yellow", markup=False),
    )
    console.print(Text(f"delivering to {printable(place)}", "dim"), soft_wrap=True)
    with Progress(*columns, console=console, transient=True) as bar:
        yield _Bar(bar, total, place)


def _print_results(console: Console, place: Destination, results: Sequence[Shipped], *, took: float | None) -> None:
    for result in results:
        if result.delivered or result.state != "delivered" or result.damaged or result.rejected:
            console.print(_line(console, result), soft_wrap=True)
    delivered = _added(result.delivered for result in results)
    waiting = _added(result.waiting for result in results)
    rejected = _added(result.rejected for result in results)
    ending = "" if took is None else f" in {seconds(took)}"
    if delivered:
        console.print(Text(f"delivered {in_words(delivered)} to {printable(place.shown)}{ending}"), soft_wrap=True)
    elif not waiting and not rejected and took is not None:
        console.print(Text(f"nothing is left to deliver to {printable(place.shown)}", "dim"), soft_wrap=True)
    if rejected:
        hint = f"{in_words(rejected)} refused: `branchline doctor` says why"
        console.print(Text(hint, "red"), soft_wrap=True)
    if waiting:
        console.print(Text(f"{in_words(waiting)} wait; the same command goes on", "yellow"), soft_wrap=True)


def _line(console: Console, result: Shipped) -> Text:
    known = glyphs(console)
    state = "failed" if result.rejected else _STATES[result.state]
    sign = known.start if state == "running" else known.outcome(state)[0]
    text = styled((sign, STYLES[state]), (" ", ""), (printable(result.run_id), "bold"))
    for counts, what, style in (
        (result.delivered, "delivered", ""),
        (result.rejected, "refused", "red"),
        (result.waiting, "waiting", "yellow"),
    ):
        if counts:
            text.append("  ").append(f"{in_words(counts)} {what}", style)
    if result.damaged:
        text.append(f"  {plural(result.damaged, 'damaged line')} passed over", "yellow")
    return text.append(f"  {printable(result.message)}", "dim") if result.message else text


def _added(counts: Iterable[Counts]) -> Counts:
    every = list(counts)
    return {signal: total for signal in NOUNS if (total := sum(count.get(signal, 0) for count in every))}


def _document(place: Destination, results: Sequence[Shipped]) -> dict[str, Any]:
    return {
        "to": place.shown,
        "runs": [
            {
                "id": result.run_id,
                "state": result.state,
                "delivered": result.delivered,
                "rejected": result.rejected,
                "waiting": result.waiting,
                "damaged_lines": result.damaged,
                "message": result.message,
            }
            for result in results
        ],
    }


# ── only saying it ────────────────────────────────────────────────────────────────────────────────


def _rehearse(order: _Order, places: Sequence[Destination], *, is_json: bool) -> None:
    documents = []
    console = terminal()
    for place in places:
        found = {run_id: left_of(order.directory, run_id, place) for run_id in _run_ids(order, place)}
        documents.append(
            {
                "to": place.shown,
                "runs": [{"id": run_id, "waiting": left.waiting, "bytes": left.size} for run_id, left in found.items()],
            }
        )
        if not is_json:
            _print_rehearsal(console, place, {run_id: left for run_id, left in found.items() if left.waiting})
    if is_json:
        print_json(documents[0] if len(documents) == 1 else documents)


def _print_rehearsal(console: Console, place: Destination, found: Mapping[str, Left]) -> None:
    if not found:
        console.print(Text(f"nothing is left to deliver to {printable(place.shown)}", "dim"), soft_wrap=True)
        return
    drawn = table()
    drawn.add_column("run", no_wrap=True)
    for heading in (*(f"{noun}s" for noun in NOUNS.values()), "size"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for run_id, left in found.items():
        counts = [f"{left.waiting[signal]:,}" if signal in left.waiting else "" for signal in NOUNS]
        drawn.add_row(printable(run_id), *counts, decimal(left.size))
    console.print(Text(f"would be delivered to {printable(place.shown)}"), soft_wrap=True)
    console.print(drawn)
