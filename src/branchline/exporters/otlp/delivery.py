"""Delivery: one transport for all signals, each to the endpoint and by the protocol that is configured for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...destinations import OTLP
from ...errors import ConfigError
from .answers import Transport


def transport_for(
    options: OTLP, environment: Mapping[str, str], *, say: Callable[[str], None] | None = None
) -> Transport:
    """Return what delivers to the endpoint of *options*, completed by *environment*; *say* is told what changes.

    Raises:
        ConfigError: for a variable that is not accepted.
        MissingExtraError: when the protocol needs what is not installed.
    """
    msg = f"{options!r}: delivery is not there yet"
    raise ConfigError(msg)
