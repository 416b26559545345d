"""``branchline doctor``: whether the journal and its deliveries are well, and what to do where they are not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from ..config import MLflow, find_pyproject, load_config
from ..errors import BranchlineError
from ..exporters.checkup import Finding, follower_folders, look_at_destination, look_at_follower, look_at_journal
from ..exporters.otlp.destination import OtlpDestination
from ..exporters.places import destinations
from ..exporters.underway import Destination
from ..read.tree import printable
from .options import CommandError, common_options, found_runs, mlflow_options, print_json, terminal
from .paint import glyphs, styled


_STYLES: Final = {"good": "green", "fair": "yellow", "bad": "red"}


@click.command()
@click.option(
    "--to",
    "url",
    metavar="URL|mlflow",
    help="The OTLP endpoint, or the word mlflow; else the configured ones, else where runs were to go.",
)
@mlflow_options
@common_options
def doctor(directory: Path, *, url: str | None, mlflow: MLflow | None, is_json: bool) -> None:
    """Look at the journal, at what was delivered, and at the endpoint; say what to do where something is wrong."""
    findings: list[Finding] = []
    console = terminal()
    places = _places(directory, url, mlflow)
    for topic, group in groupby(_findings(directory, places), key=lambda finding: finding.topic):
        # Shown as it is found: an endpoint that does not answer takes its time.
        if not is_json:
            console.print(Text(printable(topic), "bold"), soft_wrap=True)
        for finding in group:
            findings.append(finding)
            if not is_json:
                _print(console, finding)
    if is_json:
        print_json([_document(finding) for finding in findings])
    elif not any(finding.health != "good" for finding in findings):
        console.print(Text("all is well", "green"))
    if any(finding.health == "bad" for finding in findings):
        raise click.exceptions.Exit(1)


def _findings(directory: Path, places: Sequence[Destination]) -> Iterator[Finding]:
    if directory.exists():
        yield from look_at_journal(directory, found_runs(directory).recovered)
    else:
        text = f"there is no {directory}: nothing has been recorded here"
        yield Finding(topic="journal", health="fair", text=text, advice="or --directory points elsewhere")
    if not places:
        advice = "set OTEL_EXPORTER_OTLP_ENDPOINT, or say --to URL or --to mlflow"
        yield Finding(
            topic="endpoint", health="good", text="none is configured: runs stay in the journal", advice=advice
        )
    known = follower_folders(directory)
    for place in places:
        yield from _look_at(place)
        if place.name in known:
            yield from look_at_follower(directory, known.pop(place.name), place.shown)
    for name, folder in known.items():
        yield from look_at_follower(directory, folder, name)


def _look_at(place: Destination) -> Iterator[Finding]:
    if isinstance(place, OtlpDestination):
        return look_at_destination(place)
    # Only who delivers there pays for what that takes.
    from ..exporters.mlflow.checkup import look_at_mlflow
    from ..exporters.mlflow.destination import MlflowDestination

    return look_at_mlflow(place) if isinstance(place, MlflowDestination) else iter(())


def _places(directory: Path, url: str | None, mlflow: MLflow | None) -> Sequence[Destination]:
    try:
        config = load_config({}, env=os.environ, pyproject=find_pyproject(Path.cwd()))
        return destinations(directory, url=url, config=config, environment=os.environ, say=_say, mlflow=mlflow)
    except BranchlineError as error:
        raise CommandError(str(error)) from error


def _say(text: str) -> None:
    click.echo(f"branchline: {text}", err=True)


def _print(console: Console, finding: Finding) -> None:
    known = glyphs(console)
    sign = {"good": known.success, "fair": "!", "bad": known.failed}[finding.health]
    line = styled((sign, _STYLES[finding.health]), (" ", ""), (printable(finding.text), ""))
    console.print(Padding(line, (0, 0, 0, 2), expand=False), soft_wrap=True)
    if finding.advice:
        console.print(Padding(Text(printable(finding.advice), "dim"), (0, 0, 0, 4), expand=False), soft_wrap=True)


def _document(finding: Finding) -> dict[str, str]:
    return {"topic": finding.topic, "health": finding.health, "text": finding.text, "advice": finding.advice}
