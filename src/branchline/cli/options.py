"""What every command shares: its options, how it finds a run, and how it fails."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import click
from rich.console import Console

from ..config import MLflow
from ..errors import BranchlineError
from ..read import Run, Runs, open_runs
from ..read.document import jsonable


F = TypeVar("F", bound=Callable[..., Any])

_PIPE_WIDTH = 400


class CommandError(click.ClickException):
    """Something the user asked for that cannot be done."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it in one line."""
        click.echo(f"branchline: {self.format_message()}", err=True)


def common_options(command: F) -> F:
    """Add ``--directory`` and ``--json``."""
    command = click.option("--json", "is_json", is_flag=True, help="Print JSON, for programs.")(command)
    return click.option(
        "--directory",
        "-d",
        envvar="BRANCHLINE_DIR",
        default=".branchline",
        show_default="$BRANCHLINE_DIR or .branchline",
        type=click.Path(path_type=Path),
        help="Where the journal is; also the folder of one run, or OTLP/JSON lines of somebody else.",
    )(command)


def written_directory_option(command: F) -> F:
    """Add ``--directory``, of commands that record."""
    return click.option(
        "--directory",
        "-d",
        envvar="BRANCHLINE_DIR",
        default=".branchline",
        show_default="$BRANCHLINE_DIR or .branchline",
        type=click.Path(path_type=Path, file_okay=False),
        help="Where the journal goes.",
    )(command)


def mlflow_options(command: F) -> F:
    """Add ``--tracking-uri`` and ``--experiment``, which the command gets as an `MLflow`, or None."""

    @functools.wraps(command)
    def called(*, tracking_uri: str | None, experiment: str | None, **others: Any) -> Any:  # noqa: ANN401  # the command's
        try:
            said = MLflow(tracking_uri, experiment=experiment) if tracking_uri or experiment else None
        except BranchlineError as error:
            raise CommandError(str(error)) from error
        return command(mlflow=said, **others)

    named = click.option("--experiment", metavar="NAME", help="MLflow's experiment; else each run's own.")(called)
    return cast("F", click.option("--tracking-uri", metavar="URI", help="Where MLflow is; means --to mlflow.")(named))


def found_runs(directory: Path) -> Runs:
    """Return the runs of *directory*; fail in one line where there is no such place."""
    if not directory.exists():
        msg = f"there is no {directory}: nothing has been recorded here, or --directory points elsewhere"
        raise CommandError(msg)
    return open_runs(directory)


def found_run(runs: Runs, name: str) -> Run:
    """Return the run that *name* means; fail in one line that says which there are."""
    if not runs:
        msg = f"no runs in {runs.directory}"
        raise CommandError(msg)
    try:
        return runs[name]
    except KeyError as error:
        raise CommandError(str(error.args[0])) from None


def terminal() -> Console:
    """Return the console on stdout, set to print text as it is."""
    if hasattr(sys.stdout, "reconfigure"):
        # A terminal that cannot show a character shows another one; it does not stop the listing.
        sys.stdout.reconfigure(errors="replace")
    # In a pipe or a file nothing has to be cut.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


def print_json(value: object) -> None:
    """Print *value* as one line of JSON."""
    click.echo(json.dumps(jsonable(value), allow_nan=False))
