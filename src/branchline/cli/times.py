"""Times, as people say them to a command."""

from __future__ import annotations

import time
from datetime import datetime

import click

from .._files.archive import age_of
from ..errors import ConfigError


def moment_of(said: str, option: str) -> datetime:
    """Return the time that was *said* to an *option*: one of a calendar, local unless it says its zone, or an age."""
    try:
        return datetime.fromisoformat(said).astimezone()
    except ValueError:
        pass
    try:
        return datetime.fromtimestamp(time.time() - age_of(said)).astimezone()
    except (ConfigError, OverflowError, OSError):
        msg = f'{said!r} is no time; a time is "2026-01-31", "2026-01-31 12:00", or "2 h" ago'
        raise click.BadParameter(msg, param_hint=option) from None


def unix_nano(said: str | None, option: str) -> int | None:
    """Return the time that was *said* to an *option* in nanoseconds since 1970; None for none."""
    return None if said is None else int(moment_of(said, option).timestamp() * 1e6) * 1000
