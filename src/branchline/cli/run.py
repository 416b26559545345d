"""``branchline run``: any command, and a journal of what the Python processes in it tell OpenTelemetry."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import click

from ..read import Run, open_runs
from ..scripts import default_service_name, script_of
from .options import CommandError, written_directory_option


_SITE: Final = Path(__file__).parent.parent / "entrypoints" / "site"
# For those whom OpenTelemetry sets up itself; who says something else, means it.
_EXPORTERS: Final = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER")
_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP)


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@written_directory_option
@click.option("--name", help="What the run is called; else what the command is.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def run(context: click.Context, directory: Path, name: str | None, command: tuple[str, ...]) -> None:
    """Run COMMAND with a journal: `branchline run -- python app.py`.

    The application needs no change. What it tells OpenTelemetry is recorded, whatever else it does with it; if
    OpenTelemetry's instrumentation is installed, it instruments the application. An application that uses branchline
    joins the run. Python processes that it starts do so too.
    """
    # The other commands only read: they must not load the OpenTelemetry SDK.
    from .. import telemetry

    recording = telemetry.configure(
        name or default_service_name(script_of(command), {}),
        directory=str(directory),
        console=False,
        signals=False,
        otlp=False,
        capture_logs=False,
    )
    try:
        code = finished(command, hosted(os.environ))
    finally:
        recording.shutdown()
    found = next((one for one in open_runs(recording.directory) if one.id == recording.run_id), None)
    click.echo(f"branchline: {summed_up(found)}", err=True)
    context.exit(code)


def hosted(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the *environment* of a command whose Python processes join the run."""
    path = os.pathsep.join(filter(None, (str(_SITE), environment.get("PYTHONPATH", ""))))
    exporters = {name: environment.get(name) or "branchline" for name in _EXPORTERS}
    return {**environment, **exporters, "PYTHONPATH": path}


def finished(command: tuple[str, ...], environment: Mapping[str, str]) -> int:
    """Run *command* to its end and return its exit code, as a shell does."""
    try:
        child = subprocess.Popen(command, env=environment)  # noqa: S603  # to run it is what was asked for
    except FileNotFoundError as error:
        msg = f"there is no command {command[0]!r}"
        raise CommandError(msg) from error
    except OSError as error:
        msg = f"cannot run {command[0]!r}: {error.strerror}"
        raise CommandError(msg) from error
    with signals_to(child):
        code = child.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def signals_to(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave the end to *child*: Ctrl-C reaches it from the terminal, what is sent to us alone is passed on."""

    def pass_on(number: int, _: FrameType | None) -> None:
        child.send_signal(number)

    def leave_alone(number: int, _: FrameType | None) -> None:
        """Do nothing: to ignore the signal would be inherited."""

    before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, leave_alone)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def summed_up(found: Run | None) -> str:
    """Return what the run has come to, and how to look at it."""
    if found is None:
        return "nothing was recorded"
    count = len(found.processes) - 1
    processes = "no Python process" if not count else "1 process" if count == 1 else f"{count} processes"
    return f"run {found.id} of {processes}; `branchline show {found.id}` shows it"
