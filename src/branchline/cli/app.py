"""The group of commands; each is imported when it is called."""

from __future__ import annotations

import gc
import importlib
from importlib.util import find_spec
from typing import Final

import click

from ..read.tree import first_line
from .options import CommandError


_COMMANDS: Final = (
    *("demo", "run", "runs", "show", "tail", "logs", "archive", "restore", "cost", "flame", "prices", "reprice"),
    *("events", "why", "ship", "doctor"),
)


class Commands(click.Group):
    """Commands by name, loaded on demand; whatever goes wrong is one line on stderr, never a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands that are installed."""
        return [name for name in _COMMANDS if find_spec(f".{name}", __package__) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = getattr(importlib.import_module(f".{cmd_name}", __package__), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            msg = first_line(f"{type(error).__name__}: {error}")
            raise CommandError(msg) from error
        finally:
            # The process ends: to look through all that was read for cycles, once more, would be for nothing.
            gc.freeze()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="branchline")
def main() -> None:
    """Look at what your experiments, branches and steps did."""
