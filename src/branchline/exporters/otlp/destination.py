"""An OTLP endpoint as what a follower delivers to: its name, what it takes, and what it is not told."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from ..._journal.layout import SIGNALS, Signal
from ..._journal.payloads import without_notes
from ...destinations import OTLP, shown_url
from .answers import Answer
from .delivery import transport_for
from .endpoints import Endpoint, endpoints_for


_UNSAFE: Final = re.compile(r"[^a-z0-9.]+")
# What makes the same destination again, and is no secret.
_KEPT: Final = ("protocol", "compression", "certificate", "client_certificate", "client_key", "insecure", "lifecycle")


class OtlpDestination:
    """One endpoint, or one for each signal."""

    kind = "otlp"

    def __init__(
        self, options: OTLP, environment: Mapping[str, str], *, say: Callable[[str], None] | None = None
    ) -> None:
        """Deliver to the endpoint of *options*, completed by *environment*; *say* is told what changes.

        Raises:
            ConfigError: for a variable that is not accepted.
            MissingExtraError: when the protocol needs what is not installed.
        """
        endpoints = endpoints_for(options, environment)
        self.endpoints = endpoints
        self._seconds = {signal: endpoint.timeout_seconds for signal, endpoint in endpoints.items()}
        self.gets_notes = options.lifecycle
        # What is left out is left out here, where it is counted.
        self._transport = transport_for(replace(options, lifecycle=True), environment, say=say)
        self._place = _place_of(endpoints)
        self.signals = tuple(signal for signal in SIGNALS if signal in endpoints)
        self.shown = shown_url(self._place)
        self.name = folder_name(self._place)
        self.settings = _settings(options, endpoints, self._place)

    def __repr__(self) -> str:
        return f"<OtlpDestination {self.shown}>"

    def prepared(self, signal: Signal, line: bytes) -> tuple[bytes, int]:
        """Return *line* without branchline's own notes, and how many of them these were."""
        return (line, 0) if signal != "logs" or self.gets_notes else without_notes(line)

    def deliver(self, signal: Signal, lines: Sequence[bytes]) -> Answer:
        """Deliver *lines*; never raises."""
        return self._transport.send(signal, lines, timeout_seconds=self._seconds[signal])

    def interrupt(self) -> None:
        """From another thread: let a delivery that is under way return soon."""
        self._transport.interrupt()

    def close(self) -> None:
        """Give up the connections."""
        self._transport.close()


def folder_name(place: str) -> str:
    """Return what the folder of the destination at *place* is called: readable, and its own."""
    readable = _UNSAFE.sub("-", place.partition("://")[2].lower() or place.lower()).strip("-.")[:64]
    return f"otlp-{readable}-{hashlib.blake2b(place.encode(), digest_size=4).hexdigest()}"


def _place_of(endpoints: Mapping[Signal, Endpoint]) -> str:
    """Return where all signals go, in one line; without headers, users, or what a query says."""
    urls = {signal: _url(endpoint) for signal, endpoint in endpoints.items()}
    bases = {url.removesuffix(f"/v1/{signal}") for signal, url in urls.items()}
    return bases.pop() if len(bases) == 1 else " ".join(f"{signal}={url}" for signal, url in sorted(urls.items()))


def _url(endpoint: Endpoint) -> str:
    return f"{endpoint.place}{endpoint.path.partition('?')[0]}".rstrip("/")


def _settings(options: OTLP, endpoints: Mapping[Signal, Endpoint], place: str) -> Mapping[str, Any]:
    """Return the arguments of an `OTLP` for the same place; nothing, where one endpoint does not say it."""
    if " " in place or not endpoints:
        return {}
    said = {name: getattr(options, name) for name in _KEPT}
    first = next(iter(endpoints.values()))
    return {
        "endpoint": place,
        "signals": list(endpoints),
        **{name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in said.items()},
        "protocol": first.protocol,
    }
