"""Keys of log files: read from files or from the environment, never said on the command line, which others can see."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from .._files.encryption import KEY_VARIABLE, Key, key_of
from ..errors import BranchlineError
from .options import CommandError


F = TypeVar("F", bound=Callable[..., Any])


def key_option(command: F) -> F:
    """Add ``--key-file``."""
    return click.option(
        "--key-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"The key of encrypted files; else what {KEY_VARIABLE} says.",
    )(command)


def key_from(path: Path | None) -> Key | None:
    """Return the key in the file at *path*, else the one in the environment; fail in one line where it is none."""
    said = (os.environ.get(KEY_VARIABLE) or None) if path is None else secret_in(path)
    try:
        return key_of(said)
    except BranchlineError as error:
        where = KEY_VARIABLE if path is None else path
        msg = f"{where}: {error}"
        raise CommandError(msg) from None


def secret_in(path: Path) -> bytes:
    """Return what the file at *path* has in it, without the end of its line; fail in one line where there is none."""
    try:
        secret = path.read_bytes().strip(b"\r\n")
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise CommandError(msg) from None
    if not secret:
        msg = f"{path} has no key in it"
        raise CommandError(msg)
    return secret
