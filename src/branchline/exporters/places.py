"""Which destinations are meant: the one that is named, the configured one, or those that runs were to go to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from .._journal import cursors
from ..config import OTLP, Config
from ..errors import ConfigError
from .followers import makers_for
from .otlp.destination import OtlpDestination


Say = Callable[[str], None]


def destinations(
    directory: Path, *, url: str | None, config: Config, environment: Mapping[str, str], say: Say
) -> list[OtlpDestination]:
    """Return where to deliver to: *url*; else the configured place; else where the runs in *directory* were to go.

    Raises:
        ConfigError: for a setting that is not accepted.
    """
    if url is not None:
        return [OtlpDestination(OTLP(url), environment, say=say)]
    options, _ = makers_for(config, environment, is_guest=False, say=say)
    if options is None:
        return list(known_destinations(directory, environment, say))
    return [OtlpDestination(options, environment, say=say)]


def known_destinations(directory: Path, environment: Mapping[str, str], say: Say) -> Iterator[OtlpDestination]:
    """Yield the destinations that the followers of runs in *directory* have noted."""
    for folder in cursors.followers(directory):
        known = cursors.described(folder)
        if known is None or known[0] != "otlp":
            continue
        try:
            yield OtlpDestination(OTLP(**known[1]), environment, say=say)
        except TypeError:
            msg = f"{folder / cursors.DESTINATION_NAME} cannot be understood: name the endpoint"
            raise ConfigError(msg) from None
